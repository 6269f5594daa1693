//! Who may reach a published port, and who may not leave.

use crate::world::{HOST, NEIGHBOUR, World, ask, tcp};
use model::access::PortAccess;
use model::network::NetworkSpec;
use model::port::PortBinding;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

fn access(binding: PortBinding, allow: &[&str]) -> PortAccess {
    PortAccess {
        binding,
        allow: allow.iter().map(|text| text.parse().unwrap()).collect(),
    }
}

#[test]
fn a_restricted_port_answers_those_it_names_and_the_host() {
    let world = World::new();
    let neighbour = world.neighbour();
    let net = world.network("n", |_| {});
    let ports = [tcp(8080, 80), tcp(8081, 80), tcp(8082, 80), tcp(8083, 80)];
    let rules = [
        access(ports[0], &["10.9.0.0/24", "10.0.0.0/8"]),
        access(ports[1], &["192.0.2.0/24"]),
        access(ports[2], &[]),
    ];
    let web = world
        .container_asking("web", &[&net], |request| {
            request.ports = &ports;
            request.access = &rules;
        })
        .unwrap();
    web.space.serve("0.0.0.0:80", "web");
    let other = world.network("other", |_| {});
    let stranger = world.container("stranger", &[&other]);
    let seen = |port: u16| {
        let to = format!("{HOST}:{port}");
        let here = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let host = ask(here).is_some() && ask((HOST, port).into()).is_some();
        (
            neighbour.ask(&to).is_some(),
            stranger.space.ask(&to).is_some(),
            host,
        )
    };
    assert_eq!(seen(8080), (true, false, true), "a network that is named");
    assert_eq!(seen(8081), (false, false, true), "another one");
    assert_eq!(seen(8082), (false, false, true), "nobody");
    assert_eq!(seen(8083), (true, true, true), "not restricted");
    let kept = neighbour.ask(format!("{HOST}:8080"));
    assert_eq!(
        kept,
        Some(format!("web {NEIGHBOUR}")),
        "its address is kept"
    );
    world.detach(web);
    let open = world
        .container_with("web", &[&net], &ports[1..2], None)
        .unwrap();
    open.space.serve("0.0.0.0:80", "open");
    assert!(
        neighbour.ask(format!("{HOST}:8081")).is_some(),
        "the list went with it"
    );
}

#[test]
fn a_restricted_range_is_restricted_as_a_whole() {
    let world = World::new();
    let neighbour = world.neighbour();
    let net = world.network("n", |_| {});
    let ports: Vec<PortBinding> = (9000..9100).map(|port| tcp(port, port)).collect();
    let rules: Vec<PortAccess> = ports
        .iter()
        .map(|port| access(*port, &["192.0.2.1"]))
        .collect();
    let c = world
        .container_asking("c", &[&net], |request| {
            request.ports = &ports;
            request.access = &rules;
        })
        .unwrap();
    for port in [9000, 9099] {
        c.space.serve(&format!("0.0.0.0:{port}"), "c");
        assert_eq!(neighbour.ask(format!("{HOST}:{port}")), None);
        assert!(ask((Ipv4Addr::LOCALHOST, port).into()).is_some());
    }
}

#[test]
fn one_that_may_not_leave_talks_to_its_neighbours_and_answers_everybody() {
    let world = World::new();
    let outside = world.neighbour();
    outside.serve("0.0.0.0:80", "outside");
    let six = |spec: &mut NetworkSpec| spec.ipv6 = Some(true);
    let (net, back) = (world.network("n", six), world.network("back", |_| {}));
    let ports = [tcp(8080, 80)];
    let confined = world
        .container_asking("confined", &[&net], |request| {
            request.ports = &ports;
            request.deny_egress = true;
        })
        .unwrap();
    let (free, hidden) = (
        world.container("free", &[&net]),
        world.container("hidden", &[&back]),
    );
    for c in [&confined, &free, &hidden] {
        c.space.serve("[::]:80", "here");
    }
    let published = world
        .container_with("published", &[&back], &[tcp(8090, 80)], None)
        .unwrap();
    published.space.serve("0.0.0.0:80", "published");
    std::net::TcpListener::bind("0.0.0.0:7000")
        .map(std::mem::forget)
        .unwrap();
    let from = |to: String| confined.space.ask(to).is_some();
    assert!(from(format!("{}:80", free.ip())), "a neighbour");
    assert!(!from(format!("{NEIGHBOUR}:80")), "outside");
    assert!(free.space.ask(format!("{NEIGHBOUR}:80")).is_some());
    assert!(!from(format!("{HOST}:8090")), "what others publish");
    let gateway = net.pools[0].gateway;
    let host = SocketAddr::new(gateway, 7000);
    let reaches_host = |c: &crate::world::Container| {
        c.space.run(|| {
            std::net::TcpStream::connect_timeout(&host, std::time::Duration::from_secs(1)).is_ok()
        })
    };
    assert!(
        !reaches_host(&confined) && reaches_host(&free),
        "the host itself"
    );
    assert!(outside.ask(format!("{HOST}:8080")).is_some(), "it answers");
    assert!(ask((Ipv4Addr::LOCALHOST, 8080).into()).is_some());
    let v6 = net.pool_v6().unwrap().gateway;
    assert!(ask(SocketAddr::new(v6, 8080)).is_some(), "and by IPv6");
    network::reload(&world.layout).unwrap();
    assert!(!from(format!("{NEIGHBOUR}:80")), "after a reload");
    let address: IpAddr = confined.ip();
    world.detach(confined);
    let next = world.container_as("next", &[&net], &[], None, |settings| {
        if let IpAddr::V4(v4) = address {
            settings.ipv4_address = Some(v4);
        }
    });
    if let Ok(next) = next {
        assert!(
            next.space.ask(format!("{NEIGHBOUR}:80")).is_some(),
            "the next holder may"
        );
    }
}
