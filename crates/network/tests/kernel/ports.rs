//! Published ports, from everywhere they must answer and nowhere else.

use crate::world::{HOST, NEIGHBOUR, World, ask, eventually, tcp};
use model::port::{HostPort, PortBinding, Protocol};
use std::net::Ipv4Addr;

fn local(port: u16) -> std::net::SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

#[test]
fn a_published_port_answers_outside_localhost_and_containers() {
    answers_everywhere("0");
}

/// Where bridged frames pass the packet filter (as Docker and Kubernetes set it) other paths through it are taken.
#[test]
fn and_so_it_does_where_bridged_frames_are_filtered() {
    answers_everywhere("1");
}

fn answers_everywhere(bridge_nf: &str) {
    let world = World::new();
    let switch = "/proc/sys/net/bridge/bridge-nf-call-iptables";
    if std::fs::write(switch, bridge_nf).is_err() && bridge_nf == "1" {
        return; // a kernel without br_netfilter has no such path
    }
    let neighbour = world.neighbour();
    let (front, back) = (
        world.network("front", |_| {}),
        world.network("back", |_| {}),
    );
    let web = world
        .container_with("web", &[&front], &[tcp(8080, 80)], None)
        .unwrap();
    web.space.serve("0.0.0.0:80", "web");
    let gateway = front.pools[0].gateway;
    let seen = neighbour.ask(format!("{HOST}:8080"));
    assert_eq!(
        seen,
        Some(format!("web {NEIGHBOUR}")),
        "the client's address is kept"
    );
    assert_eq!(ask(local(8080)), Some(format!("web {gateway}")));
    assert_eq!(ask((HOST, 8080).into()), Some(format!("web {HOST}")));
    let same = world.container("same", &[&front]);
    assert!(
        same.space.ask(format!("{HOST}:8080")).is_some(),
        "same network"
    );
    let other = world.container("other", &[&back]);
    assert!(
        other.space.ask(format!("{HOST}:8080")).is_some(),
        "another network"
    );
    assert!(web.space.ask(format!("{HOST}:8080")).is_some(), "itself");
    world.detach(web);
    assert_eq!(ask(local(8080)), None);
    assert_eq!(neighbour.ask(format!("{HOST}:8080")), None);
}

#[test]
fn a_port_on_127_0_0_1_is_for_the_host_alone() {
    let world = World::new();
    let neighbour = world.neighbour();
    let net = world.network("n", |_| {});
    let binding = PortBinding {
        host_ip: Some(Ipv4Addr::LOCALHOST.into()),
        ..tcp(8080, 80)
    };
    let web = world
        .container_with("web", &[&net], &[binding], None)
        .unwrap();
    web.space.serve("0.0.0.0:80", "web");
    assert!(ask(local(8080)).is_some());
    assert_eq!(neighbour.ask(format!("{HOST}:8080")), None);
    // moby#45610: a neighbour routes 127.0.0.1 to us. CVE-2020-8558: a container does.
    let to = Some((Ipv4Addr::LOCALHOST.into(), 32));
    for (space, gateway) in [
        (&neighbour, HOST.into()),
        (&web.space, net.pools[0].gateway),
    ] {
        space.run(|| {
            std::fs::write("/proc/sys/net/ipv4/conf/all/route_localnet", "1").unwrap();
            let socket = sys::netlink::RouteSocket::open().unwrap();
            let index = socket.index_of("eth0").unwrap().unwrap();
            let lo = sys::netlink::Request::AddRoute {
                destination: to,
                gateway: Some(gateway),
                index,
            };
            let _ = socket.apply(&[lo]);
        });
    }
    world.network("unused", |_| {});
    assert_eq!(neighbour.ask("127.0.0.1:8080"), None);
}

#[test]
fn udp_is_published_as_well() {
    let world = World::new();
    let neighbour = world.neighbour();
    let net = world.network("n", |_| {});
    let binding = PortBinding {
        protocol: Protocol::Udp,
        ..tcp(5300, 53)
    };
    let dns = world
        .container_with("dns", &[&net], &[binding], None)
        .unwrap();
    dns.space.serve_udp("0.0.0.0:53", "dns");
    assert_eq!(
        neighbour.ask_udp(format!("{HOST}:5300")),
        Some(format!("dns {NEIGHBOUR}"))
    );
    let same = world.container("same", &[&net]);
    assert!(same.space.ask_udp(format!("{HOST}:5300")).is_some());
    assert_eq!(same.space.ask(format!("{HOST}:5300")), None, "not on TCP");
}

#[test]
fn a_range_of_ten_thousand_ports_answers_at_both_ends() {
    let world = World::new();
    let net = world.network("n", |_| {});
    let ports: Vec<PortBinding> = (20_000..30_000).map(|port| tcp(port, port)).collect();
    let c = world.container_with("c", &[&net], &ports, None).unwrap();
    assert_eq!(c.attached.ports.len(), 10_000);
    for port in [20_000, 29_999] {
        c.space.serve(&format!("0.0.0.0:{port}"), "c");
        assert!(ask(local(port)).is_some(), "{port}");
    }
    assert_eq!(ask(local(30_000)), None);
    let inside = world.container_with("d", &[&net], &[tcp(25_000, 80)], None);
    assert!(
        inside
            .err()
            .unwrap()
            .to_string()
            .contains("held by container \"c\"")
    );
    world.detach(c);
    world
        .container_with("d", &[&net], &[tcp(25_000, 80)], None)
        .unwrap();
}

#[test]
fn replicas_share_a_port_and_each_gets_its_part() {
    let world = World::new();
    let net = world.network("n", |_| {});
    let replica = |name: &str| {
        world
            .container_with(name, &[&net], &[tcp(5000, 80)], Some("vote"))
            .unwrap()
    };
    let (a, b) = (replica("a"), replica("b"));
    a.space.serve("0.0.0.0:80", "a");
    b.space.serve("0.0.0.0:80", "b");
    let count = |wanted: char, of: usize| {
        (0..of)
            .filter(|_| ask(local(5000)).is_some_and(|text| text.starts_with(wanted)))
            .count()
    };
    eventually("both answer", || (1..16).contains(&count('b', 16)));
    network::set_serving(&world.layout, &a.id, false).unwrap();
    assert_eq!(count('b', 8), 8, "an unhealthy one gets nothing");
    network::set_serving(&world.layout, &a.id, true).unwrap();
    eventually("it is back", || count('a', 8) > 0);
    let stranger = world.container_with("s", &[&net], &[tcp(5000, 80)], Some("other"));
    assert!(stranger.is_err(), "another service may not");
    world.detach(a);
    assert_eq!(count('b', 8), 8, "the one that stays gets all");
    world.detach(b);
    assert_eq!(ask(local(5000)), None);
    world
        .container_with("s", &[&net], &[tcp(5000, 80)], None)
        .unwrap();
}

#[test]
fn one_that_is_withdrawn_keeps_its_connections_and_gets_no_new_ones() {
    let world = World::new();
    let net = world.network("n", |_| {});
    let replica = |name: &str| {
        world
            .container_with(name, &[&net], &[tcp(5001, 80)], Some("vote"))
            .unwrap()
    };
    let a = replica("a");
    let inside = a
        .space
        .run(|| std::net::TcpListener::bind("0.0.0.0:80").unwrap());
    let client = std::net::TcpStream::connect(local(5001)).unwrap();
    let (server, _) = inside.accept().unwrap();
    let address = a.ip();
    let open = || network::open_connections(&world.layout, &[address]).unwrap();
    assert_eq!(open(), 1);
    network::withdraw(&world.layout, &a.id).unwrap();
    assert!(
        std::net::TcpStream::connect(local(5001)).is_ok(),
        "alone it is better than nobody"
    );
    let b = replica("b");
    b.space.serve("0.0.0.0:80", "b");
    network::set_serving(&world.layout, &b.id, false).unwrap();
    network::set_serving(&world.layout, &a.id, true).unwrap();
    for _ in 0..8 {
        assert!(ask(local(5001)).is_some_and(|text| text.starts_with('b')));
    }
    assert!(network::withdrawn(&world.layout).unwrap().contains(&a.id));
    // The server's end is the end; the client may take its time.
    drop(server);
    let _ = inside.set_nonblocking(true);
    while let Ok((other, _)) = inside.accept() {
        drop(other);
    }
    eventually("nothing leads there", || open() == 0);
    drop(client);
    network::readmit(&world.layout, &a.id).unwrap();
    assert!(network::withdrawn(&world.layout).unwrap().is_empty());
}

#[test]
fn ports_change_while_the_container_runs() {
    let world = World::new();
    let net = world.network("n", |_| {});
    let mut a = world.container_with("a", &[&net], &[], None).unwrap();
    a.space.serve("0.0.0.0:80", "a");
    let mut rebind = |ports: &[PortBinding]| {
        network::set_ports(&world.layout, &mut a.attached, ports.to_vec(), Vec::new())
    };
    rebind(&[tcp(5002, 80), tcp(5003, 80)]).unwrap();
    eventually("both lead there", || {
        ask(local(5002)).is_some() && ask(local(5003)).is_some()
    });
    let taken = std::net::TcpListener::bind("0.0.0.0:5004").unwrap();
    assert!(rebind(&[tcp(5004, 80)]).is_err());
    assert!(ask(local(5002)).is_some(), "then nothing has changed");
    drop(taken);
    rebind(&[tcp(5003, 80)]).unwrap();
    assert_eq!(ask(local(5002)), None);
    assert!(ask(local(5003)).is_some());
    rebind(&[]).unwrap();
    assert_eq!(ask(local(5003)), None);
    network::rename(&world.layout, &mut a.attached, "anna").unwrap();
    let names = network::names(&world.layout, "n");
    assert!(
        names
            .iter()
            .any(|entry| entry.names.contains(&"anna".to_owned()))
    );
}

#[test]
fn a_port_of_a_process_on_the_host_is_refused_by_name() {
    let world = World::new();
    let net = world.network("n", |_| {});
    let listener = std::net::TcpListener::bind("0.0.0.0:8088").unwrap();
    let error = network::check_ports(&world.layout, &[tcp(8088, 80)], None, None)
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with(
            "Bind for 0.0.0.0:8088 failed: port is already allocated (held by process"
        ),
        "{error}"
    );
    assert!(error.contains(&std::process::id().to_string()), "{error}");
    let refused = world.container_with("c", &[&net], &[tcp(8088, 80)], None);
    assert!(refused.is_err());
    assert!(
        network::leases(&world.layout, "n").unwrap().is_empty(),
        "nothing half-made"
    );
    drop(listener);
    network::check_ports(&world.layout, &[tcp(8088, 80)], None, None).unwrap();
    world
        .container_with("c", &[&net], &[tcp(8088, 80)], None)
        .unwrap();
}

#[test]
fn random_and_first_free_ports_are_chosen_and_work() {
    let world = World::new();
    let net = world.network("n", |_| {});
    let random = PortBinding {
        host_port: HostPort::Random,
        ..tcp(0, 80)
    };
    let any = PortBinding {
        host_port: HostPort::AnyOf {
            first: 8000,
            last: 8001,
        },
        ..tcp(0, 80)
    };
    let a = world
        .container_with("a", &[&net], &[random, any], None)
        .unwrap();
    a.space.serve("0.0.0.0:80", "a");
    for port in &a.attached.ports {
        assert!(ask(local(port.host_port)).is_some(), "{port:?}");
    }
    let b = world.container_with("b", &[&net], &[any], None).unwrap();
    assert_eq!(b.attached.ports[0].host_port, 8001);
    let error = world
        .container_with("c", &[&net], &[any], None)
        .err()
        .unwrap()
        .to_string();
    assert!(
        error.contains("all ports of 8000-8001 are allocated"),
        "{error}"
    );
}

/// Whether bridged IPv6 frames pass the packet filter; `false` where the kernel has no such path.
fn filter_bridged(value: &str) -> bool {
    std::fs::write("/proc/sys/net/bridge/bridge-nf-call-ip6tables", value).is_ok()
}

#[test]
fn ipv6_is_published_on_the_host_s_addresses_and_on_its_loopback() {
    let world = World::new();
    filter_bridged("0");
    let net = world.network("six", |spec| spec.ipv6 = Some(true));
    let web = world
        .container_with("web", &[&net], &[tcp(8080, 80)], None)
        .unwrap();
    web.space.serve("[::]:80", "web");
    let gateway = net.pool_v6().unwrap().gateway;
    assert!(
        ask((gateway, 8080).into()).is_some(),
        "an address of the host"
    );
    let loopback = "[::1]:8080".parse().unwrap();
    assert_eq!(ask(loopback), Some(format!("web {gateway}")));
    let own = std::net::TcpListener::bind("[::1]:0").unwrap();
    std::net::TcpStream::connect(own.local_addr().unwrap()).expect("the host's own loopback");
    let bound = PortBinding {
        host_ip: Some(std::net::Ipv6Addr::LOCALHOST.into()),
        ..tcp(8081, 80)
    };
    let local = world
        .container_with("local", &[&net], &[bound], None)
        .unwrap();
    local.space.serve("[::]:80", "local");
    assert!(ask("[::1]:8081".parse().unwrap()).is_some());
    assert_eq!(ask((gateway, 8081).into()), None, "bound to ::1 alone");
    if filter_bridged("1") {
        let filtered = world.container("filtered", &[&net]);
        let refused = std::net::TcpStream::connect(loopback).unwrap_err();
        assert_eq!(
            refused.kind(),
            std::io::ErrorKind::ConnectionRefused,
            "so that clients go on to 127.0.0.1"
        );
        world.detach(filtered);
        filter_bridged("0");
    }
    let other = world.container("other", &[&net]);
    let direct = web.attached.endpoints[0].ipv6.unwrap().address;
    assert!(
        other
            .space
            .ask(std::net::SocketAddr::new(direct, 80))
            .is_some(),
        "its neighbour"
    );
    assert!(
        other
            .space
            .ask(std::net::SocketAddr::new(gateway, 8080))
            .is_some(),
        "through the host"
    );
}

#[test]
fn a_udp_client_that_keeps_talking_follows_the_port_to_its_next_holder() {
    let world = World::new();
    let net = world.network("n", |_| {});
    let binding = PortBinding {
        protocol: Protocol::Udp,
        ..tcp(5300, 53)
    };
    let client = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    client
        .set_read_timeout(Some(std::time::Duration::from_millis(100)))
        .unwrap();
    client.connect("127.0.0.1:5300").unwrap();
    let says = |wanted: &str| {
        let _ = client.send(b"?");
        let mut buffer = [0; 64];
        client
            .recv(&mut buffer)
            .is_ok_and(|length| buffer[..length].starts_with(wanted.as_bytes()))
    };
    assert!(!says("anything"), "nobody is there yet");
    for name in ["one", "two"] {
        let c = world
            .container_with(name, &[&net], &[binding], None)
            .unwrap();
        c.space
            .serve_udp("0.0.0.0:53", if name == "one" { "one" } else { "two" });
        eventually(name, || says(name));
        world.detach(c);
    }
}

#[test]
fn a_flushed_map_is_filled_again_with_everybody_s_ports() {
    let world = World::new();
    let net = world.network("n", |_| {});
    let a = world
        .container_with("a", &[&net], &[tcp(8080, 80)], None)
        .unwrap();
    let b = world
        .container_with("b", &[&net], &[tcp(9090, 80)], None)
        .unwrap();
    a.space.serve("0.0.0.0:80", "a");
    let name = format!("dockless-{}", world.layout.instance());
    let table = sys::nft::Table {
        family: sys::nft::INET,
        name: &name,
    };
    let flush = sys::nft::Change::FlushSet { set: "publish4" };
    sys::nft::NftSocket::open()
        .unwrap()
        .apply(table, &[flush])
        .unwrap();
    assert_eq!(ask(local(8080)), None);
    world.detach(b);
    assert!(ask(local(8080)).is_some());
    assert_eq!(ask(local(9090)), None);
}

#[test]
fn an_address_of_a_family_the_container_does_not_have_is_refused() {
    let world = World::new();
    let net = world.network("four", |spec| spec.ipv6 = Some(false));
    let binding = PortBinding {
        host_ip: Some(std::net::Ipv6Addr::LOCALHOST.into()),
        ..tcp(8080, 80)
    };
    let error = world
        .container_with("web", &[&net], &[binding], None)
        .err()
        .unwrap();
    let mut text = String::new();
    let mut next: Option<&dyn std::error::Error> = Some(&error);
    while let Some(cause) = next {
        text += &cause.to_string();
        next = cause.source();
    }
    assert!(
        text.contains("has no IPv6 address") && text.contains("--ipv6"),
        "{text}"
    );
}

#[test]
fn a_range_meets_a_process_of_the_host_that_listens_within_it() {
    let world = World::new();
    let net = world.network("n", |_| {});
    let listener = std::net::TcpListener::bind("127.0.0.1:21500").unwrap();
    let ports: Vec<PortBinding> = (21_000..22_000).map(|port| tcp(port, port)).collect();
    let refused = world.container_with("c", &[&net], &ports, None);
    let text = refused.err().unwrap().to_string();
    let own = format!("held by process {}", std::process::id());
    assert!(text.contains(":21500") && text.contains(&own), "{text}");
    let open = network::open_ports(&world.layout).unwrap();
    let mine = open.iter().find(|port| port.first == 21_500).unwrap();
    assert_eq!(mine.reach, network::Reach::Host);
    drop(listener);
    let c = world.container_with("c", &[&net], &ports, None).unwrap();
    let open = network::open_ports(&world.layout).unwrap();
    let range = open.iter().find(|port| port.last == 21_999).unwrap();
    assert_eq!(
        (range.first, &range.reach),
        (21_000, &network::Reach::Everybody)
    );
    assert!(matches!(&range.holder, network::Holder::Container { name, .. } if name == "c"));
    world.detach(c);
}

#[test]
fn ports_come_and_go_while_the_container_runs_and_drawn_ones_stay() {
    let world = World::new();
    let net = world.network("n", |_| {});
    let random = PortBinding {
        host_port: HostPort::Random,
        ..tcp(0, 80)
    };
    let mut c = world.container("c", &[&net]);
    c.space.serve("0.0.0.0:80", "c");
    let set = |c: &mut crate::world::Container, ports: &[PortBinding]| {
        network::set_ports(&world.layout, &mut c.attached, ports.to_vec(), Vec::new())
    };
    set(&mut c, &[random, tcp(8080, 80)]).unwrap();
    let drawn = c.attached.ports.iter().find(|port| port.host_port != 8080);
    let drawn = drawn.unwrap().host_port;
    let gateway = net.pools[0].gateway;
    assert!(ask(local(8080)).is_some() && ask(local(drawn)).is_some());
    let itself = c.space.ask(std::net::SocketAddr::new(gateway, 8080));
    assert!(itself.is_some(), "it reaches itself");
    set(&mut c, &[random, tcp(8081, 80)]).unwrap();
    assert_eq!(ask(local(8080)), None);
    assert!(ask(local(8081)).is_some() && ask(local(drawn)).is_some());
    let holder = std::net::TcpListener::bind("0.0.0.0:8082").unwrap();
    set(&mut c, &[tcp(8082, 80)]).unwrap_err();
    assert!(ask(local(8081)).is_some(), "as it was");
    drop(holder);
    set(&mut c, &[]).unwrap();
    assert_eq!((ask(local(8081)), ask(local(drawn))), (None, None));
    assert!(c.attached.ports.is_empty());
}

/// The kernel may lack SCTP sockets; the rules do not.
#[test]
fn sctp_is_published_as_an_element_of_its_own() {
    let world = World::new();
    let net = world.network("n", |_| {});
    let binding = PortBinding {
        protocol: Protocol::Sctp,
        ..tcp(3868, 3868)
    };
    let c = world
        .container_with("c", &[&net], &[binding], None)
        .unwrap();
    assert_eq!(c.attached.ports[0].protocol, Protocol::Sctp);
    let name = format!("dockless-{}", world.layout.instance());
    let table = sys::nft::Table {
        family: sys::nft::INET,
        name: &name,
    };
    let socket = sys::nft::NftSocket::open().unwrap();
    let elements = socket.elements(table, "publish4").unwrap();
    assert_eq!(elements[0].key.0[4], 132, "IANA's number");
    assert_eq!(ask(local(3868)), None, "not on TCP");
    world
        .container_with("d", &[&net], &[tcp(3868, 80)], None)
        .expect("TCP is another port");
}
