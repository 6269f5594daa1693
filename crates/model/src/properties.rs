//! What holds for every short form: no text makes a parser panic, and what is printed is read again.

use proptest::prelude::*;
use std::path::Path;
use std::time::Duration;

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,40}") {
        let _ = crate::size::parse(&text);
        let _ = crate::duration::parse_with_days(&text);
        let _ = crate::port::parse(&text);
        let _ = crate::port::parse_expose(&text);
        let _ = crate::mount::parse_volume(&text, Path::new("/p"));
        let _ = crate::mount::parse_mount(&text, Path::new("/p"));
        let _ = crate::mount::parse_tmpfs(&text);
        let _ = crate::device::parse_gpus(&text);
        let _ = crate::limits::parse_cpus(&text);
        let _ = text.parse::<crate::restart::RestartPolicy>();
        let _ = text.parse::<crate::limits::Ulimit>();
        let _ = text.parse::<crate::device::DeviceMapping>();
        let _ = text.parse::<crate::network::NetworkArg>();
        let _ = text.parse::<crate::network::ExtraHost>();
        let _ = crate::filter::Filters::parse_json(&text, &["label"]);
    }

    #[test]
    fn nearly_right_texts_do_not_panic(text in "[0-9a-z:/.,=\\[\\]\"-]{0,30}") {
        let _ = crate::port::parse(&text);
        let _ = crate::mount::parse_volume(&text, Path::new("/p"));
        let _ = crate::mount::parse_mount(&text, Path::new("/p"));
        let _ = crate::mount::parse_tmpfs(&text);
        let _ = text.parse::<crate::network::NetworkArg>();
        let _ = crate::device::parse_gpus(&text);
        let _ = crate::size::parse(&text);
        let _ = crate::duration::parse(&text);
    }

    #[test]
    fn durations_survive(nanos in 0u64..i64::MAX as u64) {
        let duration = Duration::from_nanos(nanos);
        prop_assert_eq!(crate::duration::parse(&crate::duration::format(duration)), Ok(duration));
    }

    #[test]
    fn port_bindings_survive(ip in any::<Option<std::net::IpAddr>>(), host in 1u16.., container in 1u16..) {
        let binding = crate::port::PortBinding {
            host_ip: ip,
            host_port: crate::port::HostPort::Exact(host),
            container_port: container,
            protocol: crate::port::Protocol::Udp,
        };
        prop_assert_eq!(crate::port::parse(&binding.to_string()).unwrap(), vec![binding]);
    }

    #[test]
    fn mount_targets_are_absolute_and_clean(text in "[a-z./:]{1,20}") {
        if let Ok(mount) = crate::mount::parse_volume(&text, Path::new("/p")) {
            prop_assert!(mount.target.starts_with('/') && !mount.target.contains("/../") && !mount.target.contains("//"));
        }
    }
}
