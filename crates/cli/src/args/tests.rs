//! Flags in, specification out.

use super::ContainerFlags;
use crate::argv::{self, Flags, Parsed};
use clap::{Args, Command, FromArgMatches};
use model::ContainerSpec;
use model::container::NamespaceMode;
use model::health::HealthTest;
use model::network::NetworkMode;
use model::port::HostPort;
use std::ffi::OsString;
use std::time::Duration;

fn spec_of(words: &str) -> Result<ContainerSpec, String> {
    let mut command = ContainerFlags::augment_args(Command::new(""))
        .no_binary_name(true)
        .disable_help_flag(true)
        .args_override_self(true);
    command.build();
    let words: Vec<OsString> = words
        .split(' ')
        .filter(|word| !word.is_empty())
        .map(OsString::from)
        .collect();
    let Parsed::Arguments { flags, positionals } = argv::split(&command, &words, Flags::First)?
    else {
        return Err("help".into());
    };
    let matches = command
        .try_get_matches_from(flags)
        .map_err(|e| e.to_string())?;
    let flags = ContainerFlags::from_arg_matches(&matches).map_err(|e| e.to_string())?;
    let mut words = positionals
        .into_iter()
        .map(|word| word.into_string().unwrap());
    let image = words.next().unwrap_or_default();
    flags.spec(image, words.collect()).map_err(|e| e.chain())
}

fn ok(words: &str) -> ContainerSpec {
    spec_of(words).unwrap_or_else(|e| panic!("{words}: {e}"))
}

fn wrong(words: &str) -> String {
    spec_of(words).expect_err(words)
}

#[test]
fn nothing_said_is_nothing_asked() {
    assert_eq!(
        ok("alpine"),
        ContainerSpec {
            image: "alpine".into(),
            ..Default::default()
        }
    );
}

#[test]
fn the_process() {
    let spec = ok(
        "-it --rm -e A=1 --env B=2 -u 1000:5 -w /srv -h web --init -l a=b -l c --stop-timeout 3 --stop-signal INT --restart no --entrypoint sh img -c id",
    );
    assert!(spec.tty && spec.open_stdin && spec.auto_remove && spec.init);
    assert_eq!(spec.env, ["A=1", "B=2"]);
    assert_eq!(spec.user.as_deref(), Some("1000:5"));
    assert_eq!(spec.working_dir.as_deref(), Some("/srv"));
    assert_eq!(spec.hostname.as_deref(), Some("web"));
    assert_eq!(spec.labels.get("a").map(String::as_str), Some("b"));
    assert_eq!(spec.labels.get("c").map(String::as_str), Some(""));
    assert_eq!(spec.stop_timeout, Some(3));
    assert_eq!(spec.entrypoint, Some(vec!["sh".into()]));
    assert_eq!(spec.command, Some(vec!["-c".into(), "id".into()]));
    assert_eq!(ok("--entrypoint= img").entrypoint, Some(vec![]));
    assert_eq!(
        ok("--log-driver json-file --log-opt max-size=1m img")
            .log
            .options
            .len(),
        1
    );
    assert_eq!(
        ok("--cpu-count 3 --isolation=default --disable-content-trust img").image,
        "img"
    );
}

#[test]
fn networks_and_ports() {
    let spec = ok("-p 127.0.0.1:8080:80 -p 53:53/udp -p 90 -P --expose 99 img");
    assert_eq!(spec.ports.len(), 3);
    assert_eq!(spec.ports[0].host_port, HostPort::Exact(8080));
    assert_eq!(spec.ports[2].host_port, HostPort::Random);
    assert!(spec.publish_all);
    let spec = ok(
        "--network front --network name=back,alias=db --network-alias web --ip 10.0.0.5 --mac-address 02:42:ac:11:00:02 img",
    );
    assert_eq!(spec.network_mode, NetworkMode::Networks);
    assert_eq!(spec.networks.len(), 2);
    assert_eq!(spec.networks[0].aliases, ["web"]);
    assert_eq!(spec.networks[0].ipv4_address, Some([10, 0, 0, 5].into()));
    assert_eq!(spec.networks[1].aliases, ["db"]);
    assert_eq!(ok("--net host img").network_mode, NetworkMode::Host);
    assert_eq!(ok("--ip 172.17.0.9 img").networks[0].network, "bridge");
    assert_eq!(
        ok("--add-host a:1.2.3.4 --add-host b:host-gateway --dns 1.1.1.1 img")
            .extra_hosts
            .len(),
        2
    );
    assert!(wrong("--network host --ip 1.2.3.4 img").contains("conflicting options"));
    assert!(wrong("--dns nope img").contains("nope is not an ip address"));
    assert!(
        wrong("-p 99999:80 img")
            .starts_with("invalid argument \"99999:80\" for \"--publish\" flag")
    );
}

#[test]
fn mounts() {
    let spec = ok(
        "-v data:/var/lib -v /etc/hosts:/h:ro --mount type=tmpfs,target=/t --tmpfs /run:size=1m --read-only --shm-size 128m --volumes-from x:ro img",
    );
    assert_eq!(spec.mounts.len(), 4);
    assert!(spec.mounts[1].read_only && spec.read_only);
    assert_eq!(spec.shm_size, Some(128 << 20));
    assert!(wrong("-v data img:x:y:z").len() < 400);
    assert!(wrong("--mount type=bind img").contains("--mount"));
}

#[test]
fn isolation_and_limits() {
    let spec = ok(
        "--privileged --cap-add NET_ADMIN --cap-drop ALL --pid host --ipc container:x --device /dev/null:/dev/x:r --sysctl a.b=1 --ulimit nofile=10:20 --oom-score-adj -500 img",
    );
    assert_eq!(spec.pid_mode, NamespaceMode::Host);
    assert_eq!(spec.ipc_mode, NamespaceMode::Container("x".into()));
    assert_eq!(spec.oom_score_adj, Some(-500));
    assert_eq!(spec.ulimits[0].hard, 20);
    let limits = ok("-m 512m --memory-swap -1 --cpus 1.5 -c 512 --cpuset-cpus 0-1 --pids-limit -1 --blkio-weight 100 --memory-swappiness -1 img").resources;
    assert_eq!(limits.memory, Some(512 << 20));
    assert_eq!(limits.memory_swap, Some(-1));
    assert_eq!(limits.nano_cpus, Some(1_500_000_000));
    assert_eq!(limits.cpu_shares, Some(512));
    assert_eq!(limits.pids_limit, Some(-1));
    assert_eq!(limits.memory_swappiness, None);
    assert!(wrong("--uts container:x img").contains("invalid mode"));
    assert!(wrong("--memory lots img").contains("--memory"));
    assert!(wrong("--blkio-weight 5 img").contains("10 to 1000"));
    let cdi = &ok("--device vendor.com/gpu=0 img").device_requests[0];
    assert_eq!(
        (cdi.driver.as_str(), cdi.device_ids.as_slice()),
        ("cdi", &["vendor.com/gpu=0".to_owned()][..])
    );
}

#[test]
fn health() {
    let check = ok("--health-cmd curl --health-interval 5s --health-retries 2 img")
        .healthcheck
        .unwrap();
    assert_eq!(check.test, HealthTest::Shell("curl".into()));
    assert_eq!(check.interval, Some(Duration::from_secs(5)));
    assert_eq!(
        ok("--no-healthcheck img").healthcheck.unwrap().test,
        HealthTest::None
    );
    assert!(wrong("--no-healthcheck --health-retries 2 img").contains("conflicts"));
}

#[test]
fn hostile_flags_are_errors() {
    for words in [
        "--pids-limit x img",
        "--gpus \u{0} img",
        "--env = img",
        "--ulimit = img",
        "--ip6 ::: img",
        "--restart often img",
        "--stop-timeout 99999999999999999999 img",
    ] {
        wrong(words);
    }
}
