//! Interfaces of the host that become the container's.

use crate::world::{Wish, World, chain};
use oci_spec::runtime::{LinuxNamespaceType, LinuxNetDevice, Spec};
use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use sys::netlink::{Request, RouteSocket};

crate::cases![
    moved_renamed_with_its_addresses,
    into_a_namespace_of_another,
    missing_ones_move_nothing,
    none_without_a_namespace,
];

/// A host of its own for this case, with an interface "far".
fn make_host() -> RouteSocket {
    sys::namespace::unshare(sys::namespace::flags::NEWNET).unwrap();
    let host = RouteSocket::open().unwrap();
    host.apply(&[Request::CreateBridge {
        name: "br",
        mac: [2, 0, 0, 0, 0, 1],
        mtu: None,
    }])
    .unwrap();
    let own = sys::namespace::open_own("net").unwrap();
    host.apply(&[Request::CreateVeth {
        name: "near",
        master: host.index_of("br").unwrap().unwrap(),
        mtu: None,
        peer: "far",
        peer_mac: [2, 0, 0, 0, 0, 2],
        netns: own.as_fd(),
    }])
    .unwrap();
    let far = host.index_of("far").unwrap().unwrap();
    let add = |address: &str, prefix| Request::AddAddress {
        index: far,
        address: address.parse().unwrap(),
        prefix,
    };
    host.apply(&[add("192.0.2.7", 24), add("2001:db8::7", 64)])
        .unwrap();
    host
}

fn devices(list: &[(&'static str, &'static str)]) -> Box<dyn Fn(&mut Spec)> {
    let map: HashMap<String, LinuxNetDevice> = list
        .iter()
        .map(|(name, inside)| {
            let mut device = LinuxNetDevice::default();
            if !inside.is_empty() {
                device.set_name(Some((*inside).to_owned()));
            }
            ((*name).to_owned(), device)
        })
        .collect();
    Box::new(move |spec| {
        let mut linux = spec.linux().clone().unwrap();
        linux.set_net_devices(Some(map.clone()));
        spec.set_linux(Some(linux));
    })
}

fn addresses(netns: &OwnedFd, name: &str) -> Vec<String> {
    let inside = RouteSocket::open_in(netns.as_fd()).unwrap();
    let index = inside.index_of(name).unwrap().unwrap();
    let mut found: Vec<String> = inside
        .addresses()
        .unwrap()
        .into_iter()
        .filter(|known| known.interface == index && !known.address.to_string().starts_with("fe80"))
        .map(|known| format!("{}/{}", known.address, known.prefix))
        .collect();
    found.sort();
    found
}

fn moved_renamed_with_its_addresses() {
    let world = World::new();
    let host = make_host();
    let mut running = world
        .start(&Wish {
            edit: devices(&[("far", "eth7")]),
            ..Wish::probe(&["sleep"])
        })
        .unwrap_or_else(|e| panic!("{}", chain(&e)));
    running.wait_for("ready");
    assert_eq!(host.index_of("far").unwrap(), None);
    let netns = sys::namespace::open(running.started.pid, "net").unwrap();
    assert_eq!(
        addresses(&netns, "eth7"),
        ["192.0.2.7/24", "2001:db8::7/64"]
    );
    let process = crate::exec::process(&["cat", "/sys/class/net/eth7/flags"], "/");
    let (up, _) = crate::exec::exec_process(&running, &process, None).unwrap();
    let flags = u32::from_str_radix(up.trim_start_matches("0x"), 16).unwrap();
    assert_eq!(flags & 1, 1, "{up}");
}

fn into_a_namespace_of_another() {
    let world = World::new();
    let _host = make_host();
    let mut first = world.start(&Wish::probe(&["sleep"])).unwrap();
    first.wait_for("ready");
    let mut namespaces = runtime::defaults::namespaces();
    for namespace in &mut namespaces {
        if namespace.typ() == LinuxNamespaceType::Network {
            namespace.set_path(Some(format!("/proc/{}/ns/net", first.started.pid).into()));
        }
    }
    let other = World {
        dir: world.folder("other"),
        parent: world.parent.clone(),
    };
    let listed = other.ask(&Wish {
        namespaces,
        edit: devices(&[("far", "")]),
        ..Wish::probe(&["ls", "/sys/class/net"])
    });
    assert!(listed.split(' ').any(|name| name == "far"), "{listed}");
}

fn missing_ones_move_nothing() {
    let world = World::new();
    let host = make_host();
    let error = world.refused(&Wish {
        edit: devices(&[("far", ""), ("nothing", "")]),
        ..Wish::default()
    });
    assert!(
        chain(&error).contains("no interface \"nothing\""),
        "{}",
        chain(&error)
    );
    assert!(host.index_of("far").unwrap().is_some());
}

fn none_without_a_namespace() {
    let world = World::new();
    let _host = make_host();
    let error = world.refused(&Wish {
        namespaces: crate::world::namespaces_without(LinuxNamespaceType::Network),
        edit: devices(&[("far", "")]),
        ..Wish::default()
    });
    assert!(
        chain(&error).contains("needs a network namespace"),
        "{}",
        chain(&error)
    );
}
