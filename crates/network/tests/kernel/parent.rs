//! Networks that hang on an interface of the host: macvlan.

use crate::world::{NEIGHBOUR, World, ask, tcp};
use model::network::{EndpointSettings, IpamConfig, NetworkSpec};
use network::{AttachError, Driver, NetworkRecord};
use std::os::fd::AsFd;
use sys::netlink::{Request, RouteSocket};

/// A macvlan on the network that the neighbour is on; containers get addresses from 10.9.0.128 on.
fn on_the_lan(world: &World, name: &str, mode: &str) -> NetworkRecord {
    world.network(name, |spec| on_lan(spec, mode))
}

fn on_lan(spec: &mut NetworkSpec, mode: &str) {
    spec.driver = "macvlan".into();
    spec.driver_opts = [("parent", "lan0"), ("macvlan_mode", mode)]
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .into();
    spec.ipam = vec![IpamConfig {
        subnet: Some("10.9.0.0/24".into()),
        ip_range: Some("10.9.0.128/25".into()),
        gateway: Some(NEIGHBOUR.to_string()),
        ..IpamConfig::default()
    }];
}

fn links() -> Vec<String> {
    let text = std::fs::read_to_string("/proc/thread-self/net/dev").unwrap();
    let names = text.lines().filter_map(|line| line.split_once(':'));
    names.map(|(name, _)| name.trim().to_owned()).collect()
}

#[test]
fn containers_on_a_macvlan_are_machines_of_the_host_s_network() {
    let world = World::new();
    let neighbour = world.neighbour();
    let net = on_the_lan(&world, "lan", "");
    let a = world.container("a", &[&net]);
    let b = world
        .container_with("b", &[&net], &[tcp(8080, 80)], None)
        .unwrap();
    b.space.serve("0.0.0.0:80", "b");
    let answer = a.space.ask(format!("{}:80", b.ip()));
    assert_eq!(answer, Some(format!("b {}", a.ip())));
    neighbour.serve("0.0.0.0:80", "outside");
    assert_eq!(
        a.space.ask(format!("{NEIGHBOUR}:80")),
        Some(format!("outside {}", a.ip())),
        "by its own address, the gateway's too"
    );
    assert!(neighbour.ask(format!("{}:80", b.ip())).is_some());
    assert!(b.attached.ports.is_empty(), "nothing to publish");
    assert_eq!(ask("127.0.0.1:8080".parse().unwrap()), None);
    assert!(links().iter().all(|name| !name.starts_with("dl")));
    network::detach(&world.layout, &a.attached).unwrap();
    network::detach(&world.layout, &b.attached).unwrap();
    network::remove(&world.layout, "lan").unwrap();
    assert!(
        links().contains(&"lan0".to_owned()),
        "the parent is not ours"
    );
}

#[test]
fn without_a_parent_a_macvlan_leads_nowhere_and_leaves_nothing() {
    let world = World::new();
    let before = links();
    let net = world.network("alone", |spec| spec.driver = "macvlan".into());
    assert!(net.internal && net.driver == Driver::Macvlan);
    let (a, b) = (world.container("a", &[&net]), world.container("b", &[&net]));
    b.space.serve("0.0.0.0:80", "b");
    assert!(a.space.ask(format!("{}:80", b.ip())).is_some());
    let routes = RouteSocket::open_in(a.space.fd())
        .unwrap()
        .routes()
        .unwrap();
    assert!(routes.iter().all(|route| route.prefix > 0), "{routes:?}");
    assert!(network::remove(&world.layout, "alone").is_err(), "in use");
    world.detach(a);
    world.detach(b);
    network::remove(&world.layout, "alone").unwrap();
    assert_eq!(links(), before);
}

#[test]
fn private_siblings_do_not_hear_each_other() {
    let world = World::new();
    let neighbour = world.neighbour();
    let net = on_the_lan(&world, "lan", "private");
    let (a, b) = (world.container("a", &[&net]), world.container("b", &[&net]));
    b.space.serve("0.0.0.0:80", "b");
    assert_eq!(a.space.ask(format!("{}:80", b.ip())), None);
    assert!(neighbour.ask(format!("{}:80", b.ip())).is_some());
}

#[test]
fn a_parent_that_cannot_be_is_refused_and_nothing_stays() {
    let world = World::new();
    let _neighbour = world.neighbour();
    let _first = on_the_lan(&world, "first", "");
    let refused = |edit: &dyn Fn(&mut NetworkSpec)| {
        let mut spec = NetworkSpec {
            name: "next".into(),
            ..NetworkSpec::default()
        };
        on_lan(&mut spec, "");
        spec.ipam[0].subnet = Some("10.77.0.0/24".into());
        (spec.ipam[0].gateway, spec.ipam[0].ip_range) = (None, None);
        edit(&mut spec);
        let error = network::create(&world.layout, &spec).unwrap_err();
        assert!(network::find(&world.layout, "next").is_err(), "{error}");
        match std::error::Error::source(&error) {
            Some(source) => source.to_string(),
            None => error.to_string(),
        }
    };
    let parent = |spec: &mut NetworkSpec, name: &str| {
        spec.driver_opts.insert("parent".into(), name.into());
    };
    assert!(refused(&|spec| parent(spec, "lo")).contains("loopback"));
    for missing in ["nope0", "nope0.7", "lan0.5000"] {
        let said = refused(&|spec| parent(spec, missing));
        assert!(said.contains(&format!("no interface {missing}")), "{said}");
    }
    let passthru = |spec: &mut NetworkSpec| {
        spec.driver_opts
            .insert("macvlan_mode".into(), "passthru".into());
    };
    assert!(refused(&passthru).contains("first is already using parent interface lan0"));
    assert!(refused(&|spec| spec.driver = "ipvlan".into()).contains("already using"));
    let wrong = |spec: &mut NetworkSpec| {
        spec.driver_opts.insert("macvlan_mode".into(), "x".into());
    };
    assert!(refused(&wrong).contains("private"));
    assert!(!world.layout.run_network("next").exists());
}

#[test]
fn a_running_container_joins_and_leaves_a_macvlan() {
    let world = World::new();
    let neighbour = world.neighbour();
    neighbour.serve("0.0.0.0:80", "outside");
    let (app, lan) = (world.network("app", |_| {}), on_the_lan(&world, "lan", ""));
    let mut c = world.container("c", &[&app]);
    let settings = EndpointSettings {
        ipv4_address: Some([10, 9, 0, 77].into()),
        gw_priority: 1,
        mac_address: Some("02:00:00:00:00:77".into()),
        ..EndpointSettings::default()
    };
    let netns = c.space.netns.as_fd();
    network::connect(
        &world.layout,
        netns,
        &mut c.attached,
        (&lan, &settings),
        &[],
    )
    .unwrap();
    let reached =
        |seen: &str| c.space.ask(format!("{NEIGHBOUR}:80")) == Some(format!("outside {seen}"));
    assert!(reached("10.9.0.77"));
    network::disconnect(&world.layout, netns, &mut c.attached, "lan").unwrap();
    let inside = RouteSocket::open_in(netns).unwrap();
    assert_eq!(inside.index_of("eth1").unwrap(), None);
    assert!(reached("10.9.0.1"), "by the bridge and the host again");
    assert!(network::leases(&world.layout, "lan").unwrap().is_empty());
}

#[test]
fn one_that_may_not_leave_is_refused_where_nobody_would_see_it_leave() {
    let world = World::new();
    let _neighbour = world.neighbour();
    let lan = on_the_lan(&world, "lan", "");
    let refused = world.container_asking("c", &[&lan], |request| request.deny_egress = true);
    assert!(matches!(refused, Err(AttachError::Unconfinable { .. })));
    assert!(network::leases(&world.layout, "lan").unwrap().is_empty());
    assert!(network::names(&world.layout, "lan").is_empty());
}

#[test]
fn a_parent_of_our_own_is_there_again_after_a_reboot_and_goes_with_its_network() {
    let world = World::new();
    let before = links();
    let net = world.network("alone", |spec| spec.driver = "macvlan".into());
    let reboot = || {
        let run = world.layout.run_network("alone");
        std::fs::remove_dir_all(run).unwrap();
    };
    let name = net.parent.clone();
    let host = RouteSocket::open().unwrap();
    host.apply(&[Request::DeleteLink { name: &name }]).unwrap();
    reboot();
    world.detach(world.container("a", &[&net]));
    assert!(links().contains(&name));
    // Only what was remembered is lost: it is ours still.
    reboot();
    world.detach(world.container("b", &[&net]));
    network::remove(&world.layout, "alone").unwrap();
    assert_eq!(links(), before);
}

#[test]
fn what_the_kernel_refuses_of_a_parent_names_it() {
    let world = World::new();
    let _neighbour = world.neighbour();
    let net = on_the_lan(&world, "lan", "passthru");
    let first = world.container("a", &[&net]);
    assert_eq!(first.attached.endpoints[0].mac, "", "the parent's");
    let refused = world.container_with("b", &[&net], &[], None).err().unwrap();
    assert!(
        refused.to_string().contains("lan0: in passthru mode"),
        "{refused}"
    );
    let chosen = world.container_as("c", &[&net], &[], None, |settings| {
        settings.mac_address = Some("02:00:00:00:00:09".into());
    });
    assert!(
        chosen
            .err()
            .unwrap()
            .to_string()
            .contains("address of the parent")
    );
    // Two of one address on the wire cannot both be up.
    let mac = |settings: &mut EndpointSettings| {
        settings.mac_address = Some("02:00:00:00:00:09".into());
    };
    let alone = world.network("alone", |spec| spec.driver = "macvlan".into());
    let _one = world
        .container_as("one", &[&alone], &[], None, mac)
        .unwrap();
    let two = world
        .container_as("two", &[&alone], &[], None, mac)
        .err()
        .unwrap();
    assert!(two.to_string().contains("the same MAC"), "{two}");
    assert_eq!(network::leases(&world.layout, "alone").unwrap().len(), 1);
}

#[test]
fn a_container_comes_back_with_its_address_while_its_old_namespace_is_going() {
    let world = World::new();
    let net = world.network("alone", |spec| spec.driver = "macvlan".into());
    for _ in 0..5 {
        let again = |settings: &mut EndpointSettings| {
            settings.mac_address = Some("02:00:00:00:00:07".into());
        };
        world.detach(world.container_as("a", &[&net], &[], None, again).unwrap());
    }
}
