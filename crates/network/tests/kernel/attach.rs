//! Joining, leaving, who reaches whom.

use crate::world::{NEIGHBOUR, Space, World, ask, tcp};
use model::network::IpamConfig;
use network::{AttachError, LeaseError};
use std::os::fd::AsFd;
use sys::netlink::RouteSocket;

#[test]
fn containers_of_one_network_reach_each_other_and_the_outside() {
    let world = World::new();
    let neighbour = world.neighbour();
    let net = world.network("front", |_| {});
    let (a, b) = (world.container("a", &[&net]), world.container("b", &[&net]));
    assert_ne!(a.ip(), b.ip());
    b.space.serve("0.0.0.0:80", "b");
    assert_eq!(
        a.space.ask(format!("{}:80", b.ip())),
        Some(format!("b {}", a.ip()))
    );
    neighbour.serve("0.0.0.0:80", "outside");
    let answer = a.space.ask(format!("{NEIGHBOUR}:80"));
    assert_eq!(
        answer.as_deref(),
        Some("outside 10.9.0.1"),
        "masqueraded as the host"
    );
}

#[test]
fn networks_are_isolated_from_each_other_and_unpublished_ports_from_outside() {
    let world = World::new();
    let neighbour = world.neighbour();
    let (front, back) = (
        world.network("front", |_| {}),
        world.network("back", |_| {}),
    );
    let (a, b) = (
        world.container("a", &[&front]),
        world.container("b", &[&back]),
    );
    let both = world.container("both", &[&front, &back]);
    b.space.serve("0.0.0.0:80", "b");
    assert_eq!(a.space.ask(format!("{}:80", b.ip())), None);
    assert!(
        both.space.ask(format!("{}:80", b.ip())).is_some(),
        "one that is on both networks gets there"
    );
    assert_eq!(neighbour.ask(format!("{}:80", b.ip())), None);
    assert!(
        ask(format!("{}:80", b.ip()).parse().unwrap()).is_some(),
        "the host itself does"
    );
}

#[test]
fn the_host_takes_no_routes_from_its_containers_cve_2020_13401() {
    let world = World::new();
    let net = world.network("front", |_| {});
    let _a = world.container("a", &[&net]);
    // Of a host with IPv6: one without takes no advertisement in the first place.
    if let Ok(text) =
        std::fs::read_to_string(format!("/proc/sys/net/ipv6/conf/{}/accept_ra", net.bridge))
    {
        assert_eq!(text.trim(), "0");
    }
}

#[test]
fn an_internal_network_has_no_way_out() {
    let world = World::new();
    let neighbour = world.neighbour();
    neighbour.serve("0.0.0.0:80", "outside");
    let net = world.network("vault", |spec| spec.internal = true);
    let (a, b) = (world.container("a", &[&net]), world.container("b", &[&net]));
    b.space.serve("0.0.0.0:80", "b");
    assert!(a.space.ask(format!("{}:80", b.ip())).is_some());
    let routes = RouteSocket::open_in(a.space.fd())
        .unwrap()
        .routes()
        .unwrap();
    assert!(
        routes.iter().all(|route| route.prefix > 0),
        "no default route: {routes:?}"
    );
    assert_eq!(a.space.ask(format!("{NEIGHBOUR}:80")), None);
    // Not even with a route of its own.
    let gateway = a.attached.endpoints[0].ipv4.unwrap().gateway;
    let inside = RouteSocket::open_in(a.space.fd()).unwrap();
    let index = inside.index_of("eth0").unwrap().unwrap();
    let route = sys::netlink::Request::AddRoute {
        destination: None,
        gateway: Some(gateway),
        index,
    };
    inside.apply(&[route]).unwrap();
    assert_eq!(a.space.ask(format!("{NEIGHBOUR}:80")), None);
}

#[test]
fn without_icc_neighbours_do_not_hear_each_other() {
    let world = World::new();
    // Where bridged frames pass the packet filter the table would do; here the ports must be isolated.
    let _ = std::fs::write("/proc/sys/net/bridge/bridge-nf-call-iptables", "0");
    let key = "com.docker.network.bridge.enable_icc".to_owned();
    let net = world.network("quiet", |spec| {
        spec.driver_opts.insert(key, "false".into());
    });
    let (a, b) = (world.container("a", &[&net]), world.container("b", &[&net]));
    b.space.serve("0.0.0.0:80", "b");
    assert_eq!(a.space.ask(format!("{}:80", b.ip())), None);
    assert!(ask(format!("{}:80", b.ip()).parse().unwrap()).is_some());
}

#[test]
fn what_was_asked_for_an_endpoint_is_what_the_namespace_shows() {
    let world = World::new();
    let net = world.network("app", |spec| {
        spec.ipam = vec![IpamConfig {
            subnet: Some("172.16.238.0/24".into()),
            gateway: Some("172.16.238.1".into()),
            ..IpamConfig::default()
        }];
    });
    let c = world
        .container_as("c", &[&net], &[], None, |settings| {
            settings.ipv4_address = Some("172.16.238.77".parse().unwrap());
            settings.mac_address = Some("02:00:00:aa:bb:cc".into());
            settings.interface_name = Some("wan".into());
        })
        .unwrap();
    assert_eq!(c.ip().to_string(), "172.16.238.77");
    let inside = RouteSocket::open_in(c.space.fd()).unwrap();
    let index = inside
        .index_of("wan")
        .unwrap()
        .expect("the interface has its name");
    let addresses = inside.addresses().unwrap();
    let mine = addresses
        .iter()
        .find(|a| a.interface == index && a.address.is_ipv4())
        .unwrap();
    assert_eq!((mine.address, mine.prefix), (c.ip(), 24));
    let routes = inside.routes().unwrap();
    let default = routes
        .iter()
        .find(|r| r.prefix == 0 && r.destination.is_ipv4())
        .unwrap();
    assert_eq!(default.gateway.unwrap().to_string(), "172.16.238.1");
    let mac = c.space.run(|| {
        let text = std::fs::read_to_string("/proc/thread-self/net/dev").unwrap();
        assert!(text.contains("wan:"), "{text}");
        c.attached.endpoints[0].mac.clone()
    });
    assert_eq!(mac, "02:00:00:aa:bb:cc");
}

#[test]
fn an_address_that_is_taken_is_refused_and_nothing_of_the_attempt_stays() {
    let world = World::new();
    let net = world.network("app", |spec| {
        spec.ipam = vec![IpamConfig {
            subnet: Some("10.77.0.0/24".into()),
            ..IpamConfig::default()
        }];
    });
    let other = world.network("other", |_| {});
    let address = "10.77.0.9".parse().unwrap();
    let take = |name: &str| {
        world.container_as(name, &[&net], &[], None, |settings| {
            settings.ipv4_address = Some(address)
        })
    };
    let first = take("first").unwrap();
    let error = take("second").err().unwrap();
    assert!(
        matches!(
            error,
            AttachError::Lease {
                source: LeaseError::InUse { .. },
                ..
            }
        ),
        "{error}"
    );
    // A failure at the last network takes back what was done for the first.
    let failed = world.container_as("third", &[&other, &net], &[], None, |settings| {
        if settings.network == "app" {
            settings.ipv4_address = Some(address);
        }
    });
    assert!(failed.is_err());
    assert!(network::leases(&world.layout, "other").unwrap().is_empty());
    assert!(network::names(&world.layout, "other").is_empty());
    world.detach(first);
    take("fourth").unwrap();
}

#[test]
fn the_gateway_priority_chooses_the_default_route() {
    let world = World::new();
    let (a, b) = (
        world.network("alpha", |_| {}),
        world.network("beta", |_| {}),
    );
    let c = world
        .container_as("c", &[&a, &b], &[], None, |settings| {
            settings.gw_priority = i64::from(settings.network == "beta");
        })
        .unwrap();
    let routes = RouteSocket::open_in(c.space.fd())
        .unwrap()
        .routes()
        .unwrap();
    let default = routes
        .iter()
        .find(|r| r.prefix == 0 && r.destination.is_ipv4())
        .unwrap();
    assert_eq!(default.gateway, b.pool_v4().map(|pool| pool.gateway));
}

#[test]
fn a_running_container_joins_and_leaves_networks() {
    let world = World::new();
    let (front, back) = (
        world.network("front", |_| {}),
        world.network("back", |_| {}),
    );
    let db = world.container("db", &[&back]);
    db.space.serve("0.0.0.0:80", "db");
    let mut web = world.container("web", &[&front]);
    let db_at = format!("{}:80", db.ip());
    assert_eq!(web.space.ask(&db_at), None);
    let fd = web.space.netns.as_fd();
    network::connect(
        &world.layout,
        fd,
        &mut web.attached,
        (&back, &Default::default()),
        &[],
    )
    .unwrap();
    assert_eq!(web.attached.endpoints[1].interface, "eth1");
    assert!(web.space.ask(&db_at).is_some());
    network::disconnect(&world.layout, Some(fd), &mut web.attached, "back").unwrap();
    assert_eq!(web.space.ask(&db_at), None);
    assert_eq!(network::leases(&world.layout, "back").unwrap().len(), 1);
    let again =
        network::disconnect(&world.layout, Some(fd), &mut web.attached, "back").unwrap_err();
    assert_eq!(
        again.to_string(),
        "container web is not connected to network back"
    );
}

#[test]
fn no_network_at_all_still_has_a_loopback() {
    let world = World::new();
    let c = world.container("lonely", &[]);
    c.space.serve("127.0.0.1:80", "self");
    assert!(c.space.ask("127.0.0.1:80").is_some());
}

#[test]
fn sweeping_frees_what_the_dead_held_and_nothing_of_the_living() {
    let world = World::new();
    let net = world.network("n", |_| {});
    let ports = [crate::world::tcp(8080, 80)];
    let dead = world.container_with("dead", &[&net], &ports, None).unwrap();
    let live = world
        .container_with("live", &[&net], &[crate::world::tcp(9090, 80)], None)
        .unwrap();
    live.space.serve("0.0.0.0:80", "live");
    let swept = network::sweep(&world.layout, &|id| id == live.id).unwrap();
    assert_eq!((swept.leases, swept.names, swept.ports), (1, 1, 1));
    assert_eq!(network::leases(&world.layout, "n").unwrap().len(), 1);
    assert!(ask("127.0.0.1:9090".parse().unwrap()).is_some());
    assert_eq!(
        network::sweep(&world.layout, &|id| id == live.id).unwrap(),
        Default::default()
    );
    network::detach(&world.layout, &dead.attached).unwrap();
    world.container_with("next", &[&net], &ports, None).unwrap();
}

#[test]
fn a_network_in_use_stays_and_an_unused_one_goes_with_its_bridge() {
    let world = World::new();
    let net = world.network("n", |_| {});
    let c = world.container("c", &[&net]);
    let refused = network::remove(&world.layout, "n").unwrap_err().to_string();
    assert_eq!(
        refused,
        "error while removing network: network n has active endpoints: c"
    );
    world.detach(c);
    network::remove(&world.layout, "n").unwrap();
    assert_eq!(
        RouteSocket::open().unwrap().index_of(&net.bridge).unwrap(),
        None
    );
    assert!(network::find(&world.layout, "n").is_err());
}

#[test]
fn subnets_avoid_the_host_s_routes_and_each_other() {
    let world = World::new();
    let _neighbour = world.neighbour();
    let lan = |spec: &mut model::network::NetworkSpec, subnet: &str| {
        spec.ipam = vec![IpamConfig {
            subnet: Some(subnet.into()),
            ..IpamConfig::default()
        }];
    };
    let mut spec = model::network::NetworkSpec {
        name: "clash".into(),
        ..Default::default()
    };
    lan(&mut spec, "10.9.0.0/16");
    let error = network::create(&world.layout, &spec)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("Pool overlaps with other one on this address space"),
        "{error}"
    );
    assert!(error.contains("lan0"), "{error}");
    let first = world.network("first", |_| {});
    lan(&mut spec, &first.pools[0].subnet.to_string());
    assert!(
        network::create(&world.layout, &spec)
            .unwrap_err()
            .to_string()
            .contains("network first")
    );
    assert_ne!(
        world.network("second", |_| {}).pools[0].subnet,
        first.pools[0].subnet
    );
}

#[test]
fn a_flushed_ruleset_comes_back_with_the_next_container() {
    let world = World::new();
    let net = world.network("n", |_| {});
    let web = world
        .container_with("web", &[&net], &[crate::world::tcp(8080, 80)], None)
        .unwrap();
    web.space.serve("0.0.0.0:80", "web");
    let at = "127.0.0.1:8080".parse().unwrap();
    assert!(ask(at).is_some());
    let name = format!("dockless-{}", world.layout.instance());
    let table = sys::nft::Table {
        family: sys::nft::INET,
        name: &name,
    };
    sys::nft::NftSocket::open()
        .unwrap()
        .apply(table, &[sys::nft::Change::DeleteTable])
        .unwrap();
    assert!(ask(at).is_none());
    world.container("other", &[&net]);
    assert!(ask(at).is_some());
}

#[test]
fn who_watches_hears_of_a_flush_and_makes_the_table_again() {
    let world = World::new();
    let net = world.network("n", |_| {});
    let watch = network::Watch::open().unwrap();
    let hears = || {
        use sys::poll::{PollFd, PollFlags};
        let mut fds = [PollFd::from_borrowed_fd(watch.as_fd(), PollFlags::IN)];
        sys::poll::wait(&mut fds, Some(std::time::Duration::ZERO)).unwrap();
        !fds[0].revents().is_empty()
    };
    let web = world
        .container_with("web", &[&net], &[tcp(8080, 80)], None)
        .unwrap();
    web.space.serve("0.0.0.0:80", "web");
    let published = (std::net::Ipv4Addr::LOCALHOST, 8080).into();
    assert!(ask(published).is_some());
    let other = world
        .container_with("other", &[&net], &[tcp(9090, 80)], None)
        .unwrap();
    world.detach(other);
    assert!(
        !hears(),
        "ports that come and go are nothing to wake up for"
    );
    let name = format!("dockless-{}", world.layout.instance());
    let table = sys::nft::Table {
        family: sys::nft::INET,
        name: &name,
    };
    let socket = sys::nft::NftSocket::open().unwrap();
    let gone = [sys::nft::Change::DeleteTable];
    socket.apply(table, &gone).unwrap();
    assert!(hears());
    assert_eq!(ask(published), None);
    watch.heal(&world.layout).unwrap();
    assert!(ask(published).is_some());
}

#[test]
fn a_bridge_that_vanished_is_made_again() {
    let world = World::new();
    let net = world.network("n", |_| {});
    let first = world.container("first", &[&net]);
    world.detach(first);
    let socket = RouteSocket::open().unwrap();
    socket
        .apply(&[sys::netlink::Request::DeleteLink { name: &net.bridge }])
        .unwrap();
    let (a, b) = (world.container("a", &[&net]), world.container("b", &[&net]));
    b.space.serve("0.0.0.0:80", "b");
    assert!(a.space.ask(format!("{}:80", b.ip())).is_some());
}

#[test]
fn fifty_at_once_get_distinct_addresses() {
    let world = World::new();
    let net = world.network("n", |_| {});
    let home = sys::netlink::own_netns().unwrap();
    let addresses: Vec<_> = std::thread::scope(|scope| {
        let each = |n: usize| {
            let (world, net, home) = (&world, &net, home.as_fd());
            scope.spawn(move || {
                let container = || world.container(&format!("c{n}"), &[net]);
                let container = sys::netlink::in_netns(home, container).unwrap();
                (container.ip(), container.space)
            })
        };
        let threads: Vec<_> = (0..50).map(each).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    let distinct: std::collections::HashSet<_> = addresses.iter().map(|(ip, _)| ip).collect();
    assert_eq!(distinct.len(), 50);
    let _: Vec<Space> = addresses.into_iter().map(|(_, space)| space).collect();
}

#[test]
fn a_foreign_table_that_drops_is_named_and_left_alone() {
    use sys::nft::{ChainKind, Change, Expr, Hook, HookPoint, INET, NftSocket, Table, Verdict};
    let world = World::new();
    let net = world.network("n", |_| {});
    let _c = world.container("c", &[&net]);
    assert_eq!(network::diagnose(&world.layout).unwrap(), []);
    std::fs::write("/proc/sys/net/ipv4/ip_forward", "0").unwrap();
    let found = network::diagnose(&world.layout).unwrap();
    assert!(found[0].what.contains("ip_forward = 0"), "{found:?}");
    let foreign = Table {
        family: INET,
        name: "somebody",
    };
    let hook = Some(Hook {
        kind: ChainKind::Filter,
        point: HookPoint::Input,
        priority: 0,
    });
    let rule = Change::AddRule {
        chain: "in",
        expressions: vec![Expr::Verdict(Verdict::Accept)],
    };
    let socket = NftSocket::open().unwrap();
    socket
        .apply(
            foreign,
            &[
                Change::AddTable,
                Change::AddChain { name: "in", hook },
                rule,
            ],
        )
        .unwrap();
    network::reload(&world.layout).unwrap();
    network::tear_down(&world.layout).unwrap();
    assert_eq!(socket.count_rules(foreign).unwrap(), 1);
    let name = format!("dockless-{}", world.layout.instance());
    assert_eq!(
        socket
            .count_rules(Table {
                family: INET,
                name: &name
            })
            .unwrap(),
        0
    );
}

#[test]
fn a_removal_that_was_killed_is_finished_by_the_sweep() {
    let world = World::new();
    let net = world.network("n", |_| {});
    let c = world.container("c", &[&net]);
    world.detach(c);
    std::fs::remove_file(world.layout.networks().join("n.json")).unwrap();
    assert_eq!(network::sweep(&world.layout, &|_| true).unwrap().bridges, 1);
    assert_eq!(
        RouteSocket::open().unwrap().index_of(&net.bridge).unwrap(),
        None
    );
    assert_eq!(network::sweep(&world.layout, &|_| true).unwrap().bridges, 0);
}
