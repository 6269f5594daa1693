//! Placement constraints, asked of the one node there is.
//!
//! Source: SwarmKit `manager/constraint` (`node.role == manager`, `!=`, keys without case).

use compose_file::Service;
use std::collections::BTreeMap;

/// What constraints can ask about this host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Node {
    pub id: String,
    pub hostname: String,
    /// `linux`.
    pub os: String,
    /// As Docker names it (`x86_64`, `aarch64`).
    pub arch: String,
    pub labels: BTreeMap<String, String>,
}

impl Node {
    /// This host with the labels it was given.
    pub fn of(ctx: &engine::Context) -> Result<Self, engine::Error> {
        Ok(Self {
            labels: crate::swarm::node::Record::load(ctx)?.labels,
            ..Self::local()
        })
    }

    /// This host.
    pub fn local() -> Self {
        let name = rustix::system::uname();
        let text = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
        let id = std::fs::read_to_string("/etc/machine-id")
            .unwrap_or_default()
            .trim()
            .to_owned();
        Self {
            id,
            hostname: text(name.nodename()),
            os: "linux".to_owned(),
            arch: text(name.machine()),
            labels: BTreeMap::new(),
        }
    }

    fn value(&self, key: &str) -> Option<&str> {
        Some(match key.to_ascii_lowercase().as_str() {
            "node.id" => &self.id,
            "node.hostname" => &self.hostname,
            // Every role is played here.
            "node.role" => "manager",
            "node.platform.os" => &self.os,
            "node.platform.arch" => &self.arch,
            lower => {
                let prefix = ["node.labels.", "engine.labels."]
                    .into_iter()
                    .find(|p| lower.starts_with(p))?;
                self.labels
                    .get(&key[prefix.len()..])
                    .map_or("", String::as_str)
            }
        })
    }
}

/// Why a service cannot run here; `None`: it can.
pub(crate) fn obstacle(service: &Service, node: &Node) -> Option<String> {
    let placement = &service.deploy.as_ref()?.placement;
    placement
        .constraints
        .iter()
        .find_map(|constraint| unmet(constraint, node))
}

fn unmet(constraint: &str, node: &Node) -> Option<String> {
    let (key, wanted, equal) = match (constraint.split_once("=="), constraint.split_once("!=")) {
        (Some((key, value)), _) => (key.trim(), value.trim(), true),
        (None, Some((key, value))) => (key.trim(), value.trim(), false),
        (None, None) => {
            return Some(format!(
                "placement constraint {constraint:?} is not of the form key == value or key != value"
            ));
        }
    };
    let Some(actual) = node.value(key) else {
        return Some(format!(
            "placement constraint {constraint:?} asks for {key:?}, which no node has"
        ));
    };
    let same = actual.eq_ignore_ascii_case(wanted)
        || (key.ends_with("arch") && arch(actual) == arch(wanted));
    if same == equal {
        return None;
    }
    let shown = if actual.is_empty() {
        "not set".to_owned()
    } else {
        format!("{actual:?}")
    };
    Some(format!(
        "placement constraint {constraint:?} cannot be met: {key} is {shown} on this node"
    ))
}

fn arch(name: &str) -> &str {
    match name {
        "x86_64" | "amd64" => "amd64",
        "aarch64" | "arm64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(constraint: &str) -> Option<String> {
        let node = Node {
            hostname: "box".into(),
            os: "linux".into(),
            arch: "x86_64".into(),
            ..Default::default()
        };
        unmet(constraint, &node)
    }

    #[test]
    fn the_local_node_is_a_manager() {
        for met in [
            "node.role == manager",
            "node.role==manager",
            "node.role != worker",
            "Node.Hostname == BOX",
            "node.platform.os == linux",
            "node.platform.arch == amd64",
            "node.labels.zone != eu",
        ] {
            assert_eq!(asked(met), None, "{met}");
        }
    }

    #[test]
    fn what_cannot_hold_says_why() {
        let why = asked("node.role == worker").unwrap();
        assert_eq!(
            why,
            "placement constraint \"node.role == worker\" cannot be met: node.role is \"manager\" on this node"
        );
        assert!(
            asked("node.labels.disk == ssd")
                .unwrap()
                .contains("node.labels.disk is not set on this node")
        );
        assert!(
            asked("node.role = manager")
                .unwrap()
                .contains("key == value")
        );
        assert!(
            asked("node.colour == red")
                .unwrap()
                .contains("which no node has")
        );
    }
}
