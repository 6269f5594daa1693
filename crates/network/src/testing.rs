//! Records for tests.

use crate::record::{Driver, NetworkRecord, Pool};
use crate::subnet::Subnet;
use model::Id;
use model::network::NetworkSpec;
use state::Layout;
use std::collections::BTreeMap;

/// Roots of their own.
pub(crate) fn layout() -> (tempfile::TempDir, Layout) {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::new(dir.path().join("data"), dir.path().join("run"));
    layout.prepare().unwrap();
    (dir, layout)
}

/// A network that asks for nothing but its name.
pub(crate) fn spec(name: &str) -> NetworkSpec {
    NetworkSpec {
        name: name.into(),
        ..NetworkSpec::default()
    }
}

/// A bridge network over one subnet, its first address the gateway.
pub(crate) fn network(name: &str, subnet: &str) -> NetworkRecord {
    let subnet: Subnet = subnet.parse().unwrap();
    let gateway = subnet.nth(1).unwrap();
    NetworkRecord {
        id: Id::from_random([7; 32]),
        name: name.into(),
        driver: Driver::Bridge,
        pools: vec![Pool {
            subnet,
            gateway,
            ip_range: None,
            aux_addresses: BTreeMap::new(),
        }],
        ipam_driver: "default".into(),
        ipam_options: BTreeMap::new(),
        internal: false,
        attachable: false,
        ipv6: false,
        options: BTreeMap::new(),
        labels: BTreeMap::new(),
        created: String::new(),
        bridge: format!("dl-{name}"),
        parent: String::new(),
        config: None,
        config_from: String::new(),
    }
}
