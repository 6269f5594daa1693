//! Placement constraints and reservations, asked of the one node there is.
//!
//! Source: SwarmKit `manager/constraint` (`node.role == manager`, `!=`, keys without case), `manager/scheduler/filter.go`
//! (`ResourceFilter`).

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
    /// What there is to be reserved; `None`: not known, so nothing is refused.
    pub capacity: Option<Capacity>,
}

/// Processors and memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Capacity {
    pub nano_cpus: u64,
    /// Bytes.
    pub memory: u64,
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
            capacity: Some(Capacity::local()),
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

impl Capacity {
    fn local() -> Self {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        let system = rustix::system::sysinfo();
        Self {
            nano_cpus: cpus as u64 * 1_000_000_000,
            memory: system.totalram * u64::from(system.mem_unit),
        }
    }

    /// How many of so many replicas find room for what each reserves, and why not more. What they take is taken from here.
    pub(crate) fn reserve(&mut self, service: &Service, wanted: u32) -> (u32, Option<String>) {
        let Some(deploy) = &service.deploy else {
            return (wanted, None);
        };
        let each = &deploy.resources.reservations;
        let (cpus, memory) = (each.nano_cpus.unwrap_or(0), each.memory.unwrap_or(0));
        let times = |free: u64, each: u64| free.checked_div(each).unwrap_or(u64::MAX);
        let (by_cpus, by_memory) = (times(self.nano_cpus, cpus), times(self.memory, memory));
        let room = u32::try_from(by_cpus.min(by_memory)).unwrap_or(u32::MAX);
        let fit = wanted.min(room);
        let why = (fit < wanted).then(|| {
            let what = if by_cpus < by_memory {
                let in_cpus = |nano: u64| nano as f64 / 1e9;
                format!(
                    "{} CPUs of the {} that are free",
                    in_cpus(cpus),
                    in_cpus(self.nano_cpus)
                )
            } else {
                let mib = |bytes: u64| bytes >> 20;
                format!(
                    "{} MiB of memory of the {} that are free",
                    mib(memory),
                    mib(self.memory)
                )
            };
            format!("{fit} of {wanted} replicas run: each reserves {what} on this node")
        });
        self.nano_cpus -= cpus * u64::from(fit);
        self.memory -= memory * u64::from(fit);
        (fit, why)
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
    fn what_is_reserved_must_be_there() {
        use compose_file::project::Deploy;
        let mut deploy = Deploy::default();
        deploy.resources.reservations.memory = Some(300 << 20);
        deploy.resources.reservations.nano_cpus = Some(500_000_000);
        let service = Service {
            deploy: Some(deploy),
            ..Default::default()
        };
        let mut free = Capacity {
            nano_cpus: 2_000_000_000,
            memory: 1 << 30,
        };
        assert_eq!(free.reserve(&service, 2), (2, None));
        let (fit, why) = free.reserve(&service, 2);
        assert_eq!(fit, 1);
        assert_eq!(
            why.unwrap(),
            "1 of 2 replicas run: each reserves 300 MiB of memory of the 424 that are free on this node"
        );
        assert_eq!(free.reserve(&Service::default(), 9), (9, None));
        let mut none = Capacity::default();
        let (fit, why) = none.reserve(&service, 1);
        assert_eq!(fit, 0);
        assert!(why.unwrap().contains("300 MiB"));
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
