//! `/etc/hosts` and `/etc/resolv.conf` of a sandbox.
//!
//! A sandbox has no responder of its own: it asks the host's name servers directly. Those on the host's loopback are out of
//! its reach; systemd-resolved keeps the list of the real ones. Source: resolv.conf(5), hosts(5); moby
//! `libnetwork/internal/resolvconf` for the public servers of last resort.

use model::network::{ExtraHost, HostAddress};
use std::fmt::Write;
use std::net::IpAddr;

const LAST_RESORT: &str = "nameserver 8.8.8.8\nnameserver 8.8.4.4\n";

/// `addresses`: the sandbox's own; `gateway`: the host as the sandbox sees it.
pub(super) fn hosts(
    hostname: &str,
    addresses: &[IpAddr],
    extra: &[ExtraHost],
    gateway: Option<IpAddr>,
) -> String {
    let mut text = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n".to_owned();
    for host in extra {
        let address = match host.address {
            HostAddress::Ip(address) => Some(address),
            HostAddress::HostGateway => gateway,
        };
        if let Some(address) = address {
            let _ = writeln!(text, "{address}\t{}", host.name);
        }
    }
    for address in addresses {
        let _ = writeln!(text, "{address}\t{hostname}");
    }
    text
}

/// `read` gives the content of a file of the host.
pub(super) fn resolv(own_namespace: bool, read: &dyn Fn(&str) -> Option<String>) -> String {
    let text = read("/etc/resolv.conf").unwrap_or_default();
    if !own_namespace {
        return text;
    }
    let reachable = filtered(&text);
    if has_server(&reachable) {
        return reachable;
    }
    let systemd = read("/run/systemd/resolve/resolv.conf")
        .map(|text| filtered(&text))
        .filter(|text| has_server(text));
    systemd.unwrap_or_else(|| reachable + LAST_RESORT)
}

/// Without the name servers that only the host itself reaches.
fn filtered(text: &str) -> String {
    let kept = text.lines().filter(|line| {
        let mut words = line.split_whitespace();
        if words.next() != Some("nameserver") {
            return true;
        }
        let address = words
            .next()
            .and_then(|word| word.split('%').next()?.parse::<IpAddr>().ok());
        !address.is_none_or(|address| address.is_loopback())
    });
    kept.map(|line| format!("{line}\n")).collect()
}

fn has_server(text: &str) -> bool {
    text.lines().any(|line| line.starts_with("nameserver"))
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
        assert_eq!(resolv(true, &stub), "nameserver 10.0.0.1\n");
        assert_eq!(resolv(false, &stub), "nameserver 127.0.0.53\nsearch lan\n");
        let plain = |path: &str| {
            (path == "/etc/resolv.conf").then(|| "nameserver 10.1.1.1\noptions x\n".to_owned())
        };
        assert_eq!(resolv(true, &plain), "nameserver 10.1.1.1\noptions x\n");
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
