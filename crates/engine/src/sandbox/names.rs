//! `/etc/hosts` and `/etc/resolv.conf` of a sandbox.
//!
//! A sandbox has no responder of its own: it asks the host's name servers directly. Those on the host's loopback are out of
//! its reach; systemd-resolved keeps the list of the real ones. The texts are `network`'s. Source: moby
//! `libnetwork/internal/resolvconf` for the public servers of last resort.

use model::network::{ExtraHost, HostAddress};
use network::ResolvRequest;
use std::net::{IpAddr, Ipv4Addr};

/// Where the host's name servers are told.
const SOURCES: [&str; 2] = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"];
const LAST_RESORT: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(8, 8, 8, 8)),
    IpAddr::V4(Ipv4Addr::new(8, 8, 4, 4)),
];

/// `addresses`: the sandbox's own; `gateway`: the host as the sandbox sees it.
pub(super) fn hosts(
    hostname: &str,
    addresses: &[IpAddr],
    extra: &[ExtraHost],
    gateway: Option<IpAddr>,
) -> String {
    let known = |host: &ExtraHost| {
        let address = match host.address {
            HostAddress::Ip(address) => Some(address),
            HostAddress::HostGateway => gateway,
        };
        Some((host.name.clone(), address?))
    };
    let extra: Vec<(String, IpAddr)> = extra.iter().filter_map(known).collect();
    network::hosts_file(hostname, "", addresses, &extra)
}

/// `read` gives the content of a file of the host.
pub(super) fn resolv(own_namespace: bool, read: &dyn Fn(&str) -> Option<String>) -> String {
    let host = read(SOURCES[0]).unwrap_or_default();
    if !own_namespace {
        return host;
    }
    let made = |host: &str, servers: &[IpAddr]| {
        network::resolv_conf(&ResolvRequest {
            user_defined: false,
            servers,
            search: &[],
            options: &[],
            host,
        })
    };
    let texts = SOURCES.into_iter().filter_map(read);
    texts
        .map(|text| made(&text, &[]))
        .find(|found| !found.needs_responder)
        .unwrap_or_else(|| made(&host, &LAST_RESORT))
        .text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_servers_are_replaced() {
        let stub = |path: &str| match path {
            "/etc/resolv.conf" => Some("nameserver 127.0.0.53\nsearch lan\n".to_owned()),
            "/run/systemd/resolve/resolv.conf" => Some("nameserver 10.0.0.1\n".to_owned()),
            _ => None,
        };
        let lines = |text: String| -> Vec<String> {
            let told = text
                .lines()
                .filter(|l| !l.is_empty() && !l.starts_with('#'));
            told.map(str::to_owned).collect()
        };
        assert_eq!(lines(resolv(true, &stub)), ["nameserver 10.0.0.1"]);
        assert_eq!(resolv(false, &stub), "nameserver 127.0.0.53\nsearch lan\n");
        let plain = |path: &str| {
            (path == "/etc/resolv.conf").then(|| "nameserver 10.1.1.1\noptions x\n".to_owned())
        };
        assert_eq!(
            lines(resolv(true, &plain)),
            ["nameserver 10.1.1.1", "options x"]
        );
        assert!(resolv(true, &|_| None).contains("8.8.8.8"));
    }

    #[test]
    fn extra_hosts_come_before_the_own_name() {
        let extra = [
            ExtraHost {
                name: "db".into(),
                address: HostAddress::Ip("10.0.0.2".parse().unwrap()),
            },
            ExtraHost {
                name: "host.docker.internal".into(),
                address: HostAddress::HostGateway,
            },
        ];
        let text = hosts(
            "box",
            &["172.17.0.2".parse().unwrap()],
            &extra,
            Some("172.17.0.1".parse().unwrap()),
        );
        assert!(
            text.ends_with("10.0.0.2\tdb\n172.17.0.1\thost.docker.internal\n172.17.0.2\tbox\n")
        );
    }
}
