//! The host's interface that a macvlan or ipvlan network hangs on: one that is there, a VLAN of one (`eth0.10`), or without
//! `-o parent` one of our own that leads nowhere.
//!
//! What is not there is made when the network is created, again by the first container after a reboot, and goes with the
//! network. Our own is one end of a veth pair: a dummy needs a module that many kernels do not have, and a bridge without
//! ports has no carrier.
//!
//! Source: kernel `Documentation/networking/ipvlan.rst`, `drivers/net/macvlan.c` (passthru has its parent for itself),
//! `drivers/net/ipvlan/ipvlan_main.c` (the mode is the parent's); moby `libnetwork/drivers/{macvlan,ipvlan}` for names.

use crate::bridge::{self, Error};
use crate::interface::{Marker, Role, index_of};
use crate::record::{Driver, NetworkRecord};
use state::Layout;
use std::io;
use sys::netlink::{IpvlanFlag, IpvlanMode, MacvlanMode, Request, RouteSocket};

const OPTION: &str = "parent";

/// How containers hang on the parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Macvlan(MacvlanMode),
    Ipvlan(IpvlanMode, IpvlanFlag),
}

/// `None` for networks without a parent.
pub(crate) fn kind(network: &NetworkRecord) -> Option<Kind> {
    let option = |key: &str| network.options.get(key).map(String::as_str);
    match network.driver {
        Driver::Macvlan => Some(Kind::Macvlan(match option("macvlan_mode") {
            Some("private") => MacvlanMode::Private,
            Some("vepa") => MacvlanMode::Vepa,
            Some("passthru") => MacvlanMode::Passthru,
            _ => MacvlanMode::Bridge,
        })),
        Driver::Ipvlan => {
            let mode = match option("ipvlan_mode") {
                Some("l3") => IpvlanMode::L3,
                Some("l3s") => IpvlanMode::L3s,
                _ => IpvlanMode::L2,
            };
            let flag = match option("ipvlan_flag") {
                Some("private") => IpvlanFlag::Private,
                Some("vepa") => IpvlanFlag::Vepa,
                _ => IpvlanFlag::Bridge,
            };
            Some(Kind::Ipvlan(mode, flag))
        }
        Driver::Bridge | Driver::Host | Driver::Null => None,
    }
}

/// Whether its interfaces have the parent's address on the wire, which cannot be chosen.
pub(crate) fn shares_address(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Ipvlan(..) | Kind::Macvlan(MacvlanMode::Passthru)
    )
}

/// The interface a new network names, if it names one.
pub(crate) fn asked(options: &std::collections::BTreeMap<String, String>) -> Option<&str> {
    let parent = options.get(OPTION).map(String::as_str);
    parent.filter(|parent| !parent.is_empty())
}

/// The name of an interface of our own.
pub(crate) fn own_name(network_id: &model::Id) -> String {
    format!("dm-{}", network_id.short())
}

/// Whether two networks can hang on one parent.
pub(crate) fn go_together(one: &NetworkRecord, other: &NetworkRecord) -> bool {
    match (kind(one), kind(other)) {
        (Some(Kind::Macvlan(one)), Some(Kind::Macvlan(other))) => {
            ![one, other].contains(&MacvlanMode::Passthru)
        }
        (one, other) => one == other,
    }
}

/// The parent's interface index; makes what is ours to make.
pub(crate) fn ensure(
    layout: &Layout,
    socket: &RouteSocket,
    network: &NetworkRecord,
) -> Result<u32, Error> {
    let there = index_of(socket, &network.parent)?;
    let remembered = Role::Parent.read(layout, &network.name);
    if let (Some(index), Some(marker)) = (there, &remembered)
        && marker.index == index
    {
        return Ok(index);
    }
    let _lock = bridge::own(layout, network)?;
    let there = index_of(socket, &network.parent)?;
    if there.is_none() {
        make(socket, network)?;
    }
    let index = index_of(socket, &network.parent)?.ok_or_else(|| Error::Lookup {
        interface: network.parent.clone(),
        source: io::ErrorKind::NotFound.into(),
    })?;
    let marker = Marker {
        interface: network.parent.clone(),
        index,
        // One of our own is ours whoever made it: the run root may have been lost.
        made: there.is_none() || asked(&network.options).is_none(),
    };
    Role::Parent.write(layout, &network.name, &marker)?;
    Ok(index)
}

fn make(socket: &RouteSocket, network: &NetworkRecord) -> Result<(), Error> {
    let netlink = |source| Error::Netlink {
        network: network.name.clone(),
        source,
    };
    let name = network.parent.as_str();
    if asked(&network.options).is_none() {
        let peer = name.replacen("dm-", "dp-", 1);
        let stub = Request::CreateStub { name, peer: &peer };
        socket.apply(&[stub]).map_err(netlink)?;
        return match index_of(socket, &peer)? {
            Some(index) => socket.apply(&[Request::Up { index }]).map_err(netlink),
            None => Ok(()),
        };
    }
    let missing = || Error::NoParent {
        network: network.name.clone(),
        parent: name.into(),
    };
    let (base, id) = vlan(name).ok_or_else(missing)?;
    let parent = index_of(socket, base)?.ok_or_else(missing)?;
    let request = Request::CreateVlan { name, parent, id };
    socket.apply(&[request]).map_err(netlink)
}

/// `eth0.10`: the interface and the VLAN's number.
fn vlan(name: &str) -> Option<(&str, u16)> {
    let (base, id) = name.rsplit_once('.')?;
    let id = id.parse().ok().filter(|id| (1..=4094).contains(id))?;
    Some((base, id))
}

/// Another network hangs on the parent that `network` made: from now on that one takes it away.
pub(crate) fn bequeath(
    layout: &Layout,
    network: &NetworkRecord,
    heir: &NetworkRecord,
) -> Result<(), Error> {
    let Some(marker) = Role::Parent.read(layout, &network.name).filter(|m| m.made) else {
        return Ok(());
    };
    let _lock = bridge::own(layout, heir)?;
    Role::Parent.write(layout, &heir.name, &marker)?;
    let kept = Marker {
        made: false,
        ..marker
    };
    Role::Parent.write(layout, &network.name, &kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn network(driver: Driver, options: &[(&str, &str)]) -> NetworkRecord {
        let options = options.iter().map(|(k, v)| ((*k).into(), (*v).into()));
        NetworkRecord {
            driver,
            options: options.collect(),
            ..testing::network("n", "10.0.0.0/24")
        }
    }

    #[test]
    fn a_vlan_is_an_interface_and_a_number() {
        assert_eq!(vlan("eth0.10"), Some(("eth0", 10)));
        assert_eq!(vlan("bond0.2.4094"), Some(("bond0.2", 4094)));
        for name in ["eth0", "eth0.", "eth0.0", "eth0.4095", "eth0.x"] {
            assert_eq!(vlan(name), None, "{name}");
        }
    }

    #[test]
    fn a_parent_is_shared_as_far_as_the_kernel_shares_it() {
        let bridge = network(Driver::Macvlan, &[]);
        let vepa = network(Driver::Macvlan, &[("macvlan_mode", "vepa")]);
        let passthru = network(Driver::Macvlan, &[("macvlan_mode", "passthru")]);
        let l2 = network(Driver::Ipvlan, &[]);
        let l3 = network(Driver::Ipvlan, &[("ipvlan_mode", "l3")]);
        assert!(go_together(&bridge, &vepa));
        assert!(!go_together(&bridge, &passthru));
        assert!(!go_together(&bridge, &l2));
        assert!(go_together(&l2, &l2) && !go_together(&l2, &l3));
    }
}
