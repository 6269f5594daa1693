//! What on this host keeps containers' packets from passing, named with the way out.
//!
//! Our own table only accepts or drops what is ours; a drop in anybody else's table is final all the same. Those tables are
//! never changed by us: they are looked at, and what would drop is told.
//!
//! Source: nft(8) (a packet must be accepted by every base chain of its hook), ip-sysctl.rst.

use crate::FirewallError;
use state::Layout;
use sys::nft::{BaseChain, INET, IPV4, IPV6, NftSocket, Table};

/// Something that blocks, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was found: `table ip filter, chain FORWARD: policy drop`.
    pub what: String,
    /// What does not work because of it.
    pub blocks: &'static str,
    /// The way out, as a command or a place to look.
    pub hint: String,
}

/// Looks at the packet filters and switches of this network namespace.
pub fn diagnose(layout: &Layout) -> Result<Vec<Finding>, FirewallError> {
    let socket = NftSocket::open().map_err(|source| FirewallError::Netlink { source })?;
    let chains = socket
        .base_chains()
        .map_err(|source| FirewallError::Netlink { source })?;
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let mut findings = of_chains(&chains, &layout.instance());
    let zones = socket.compared(Table {
        family: INET,
        name: FIREWALLD,
    });
    if zones.is_ok_and(|zones| has_bridges(&zones)) {
        findings.retain(|finding| !finding.what.contains(ZONELESS));
    }
    findings.extend(of_forwarding(&read("/proc/sys/net/ipv4/ip_forward")));
    findings.extend(of_legacy(&read("/proc/thread-self/net/ip_tables_names")));
    Ok(findings)
}

const OUT: &str =
    "containers cannot reach other machines, nor be reached from them at published ports";

/// `NF_INET_FORWARD`.
const FORWARD: u32 = 2;

const FIREWALLD: &str = "firewalld";
const ZONELESS: &str = "firewalld rejects what no zone forwards";

/// Whether somebody put our bridges into a zone: an interface's name is compared whole, or its beginning where `+` ends it.
fn has_bridges(compared: &[Vec<u8>]) -> bool {
    let of_ours = |name: &Vec<u8>| name == b"dl" || name.len() == 16 && name.starts_with(b"dl");
    compared.iter().any(of_ours)
}

/// `instance` is the word in the names of another data root's bridges.
fn of_chains(chains: &[BaseChain], instance: &str) -> Vec<Finding> {
    let forward = chains.iter().filter(|chain| {
        let family = matches!(chain.family, INET | IPV4 | IPV6);
        chain.hook == FORWARD && family && !chain.table.starts_with("dockless")
    });
    forward
        .filter_map(|chain| of_chain(chain, bridges(instance)))
        .collect()
}

/// All bridges, those of networks to come too, as iptables writes a beginning of names.
fn bridges(instance: &str) -> &'static [&'static str] {
    if instance.is_empty() {
        &["dockless0", "dl+"]
    } else {
        &["dl+"]
    }
}

fn of_chain(chain: &BaseChain, bridges: &[&str]) -> Option<Finding> {
    let family = match chain.family {
        IPV4 => "ip",
        IPV6 => "ip6",
        _ => "inet",
    };
    let place = format!("table {family} {}, chain {}", chain.table, chain.name);
    if chain.table == FIREWALLD {
        let each = bridges
            .iter()
            .map(|bridge| format!(" --add-interface={bridge}"));
        return Some(Finding {
            what: format!("{place}: {ZONELESS}"),
            blocks: "containers cannot reach other machines, nor processes of this host",
            hint: format!(
                "put the bridges into a zone that accepts: firewall-cmd --permanent --zone=trusted{} && firewall-cmd --reload",
                each.collect::<String>()
            ),
        });
    }
    if !chain.drops_by_default {
        return None;
    }
    let names = bridges.join(" ");
    let hint = if chain.table == "filter" && chain.name == "FORWARD" {
        let tool = if family == "ip6" {
            "ip6tables"
        } else {
            "iptables"
        };
        format!(
            "Docker, ufw or a script set it; accept the bridges: for b in {names}; do {tool} -I FORWARD -i $b -j ACCEPT; {tool} -I FORWARD -o $b -j ACCEPT; done (beside Docker in chain DOCKER-USER; with ufw: for b in {names}; do ufw route allow in on $b; ufw route allow out on $b; done)"
        )
    } else {
        let names: Vec<String> = bridges.iter().map(|b| b.replace('+', "*")).collect();
        let rule = |direction: &str| {
            let each = names.iter().map(|name| {
                format!(
                    "nft insert rule {family} {} {} {direction} '\"{name}\"' accept",
                    chain.table, chain.name
                )
            });
            each.collect::<Vec<_>>().join("; ")
        };
        format!(
            "accept the bridges there: {}; {}",
            rule("iifname"),
            rule("oifname")
        )
    };
    Some(Finding {
        what: format!("{place}: policy drop"),
        blocks: OUT,
        hint,
    })
}

fn of_forwarding(ip_forward: &str) -> Option<Finding> {
    (ip_forward.trim() == "0").then(|| Finding {
        what: "sysctl net.ipv4.ip_forward = 0".into(),
        blocks: OUT,
        hint: "sysctl -w net.ipv4.ip_forward=1 (it is set when the first container starts; something set it back)".into(),
    })
}

/// The old iptables beside nf_tables: its policies cannot be seen from here.
fn of_legacy(tables: &str) -> Option<Finding> {
    tables.lines().any(|table| table == "filter").then(|| Finding {
        what: "iptables-legacy rules (table filter)".into(),
        blocks: "possibly all forwarded traffic",
        hint: "look at iptables-legacy -S FORWARD; move to iptables-nft, or accept the bridges there".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(family: u8, table: &str, name: &str, hook: u32, drops_by_default: bool) -> BaseChain {
        BaseChain {
            family,
            table: table.into(),
            name: name.into(),
            hook,
            priority: 0,
            drops_by_default,
        }
    }

    #[test]
    fn foreign_forward_policies_are_named_and_nothing_else() {
        let chains = [
            chain(IPV4, "filter", "FORWARD", FORWARD, true),
            chain(IPV4, "filter", "INPUT", 1, true),
            chain(INET, "dockless", "forward", FORWARD, true),
            chain(INET, "firewalld", "filter_FORWARD", FORWARD, false),
            chain(INET, "mine", "fwd", FORWARD, false),
        ];
        let found = of_chains(&chains, "");
        let what: Vec<&str> = found.iter().map(|finding| finding.what.as_str()).collect();
        assert_eq!(
            what,
            [
                "table ip filter, chain FORWARD: policy drop",
                "table inet firewalld, chain filter_FORWARD: firewalld rejects what no zone forwards",
            ]
        );
        assert!(
            found[0]
                .hint
                .contains("for b in dockless0 dl+; do iptables -I FORWARD -i $b")
        );
        let mine = [chain(INET, "mine", "fwd", FORWARD, true)];
        let hint = &of_chains(&mine, "x")[0].hint;
        assert!(
            hint.contains("nft insert rule inet mine fwd iifname '\"dl*\"' accept"),
            "{hint}"
        );
    }

    #[test]
    fn bridges_in_a_zone_are_seen() {
        let name = |text: &[u8]| [text, &[0; 16][text.len()..]].concat();
        assert!(has_bridges(&[b"dl".to_vec()]));
        assert!(has_bridges(&[name(b"eth0"), name(b"dl0123456789")]));
        assert!(!has_bridges(&[
            name(b"eth0"),
            b"dlx".to_vec(),
            name(b"wlan0")
        ]));
    }

    #[test]
    fn switches_are_looked_at() {
        assert!(of_forwarding("0\n").is_some() && of_forwarding("1\n").is_none());
        assert!(of_legacy("nat\nfilter\n").is_some() && of_legacy("").is_none());
    }
}
