//! Names, asked as a container asks: of 127.0.0.11:53, over real sockets.

use crate::world::{Container, Space, World, eventually};
use network::dns::{DnsConfig, Responder};
use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE, TYPE};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use sys::netlink::{in_netns, own_netns};

const SERVER: (Ipv4Addr, u16) = (Ipv4Addr::new(127, 0, 0, 11), 53);

/// A responder driven as a monitor would, in the host's namespace.
struct Driven {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Driven {
    fn start(world: &World, space: &Space, config: DnsConfig) -> Self {
        let mut responder = Responder::new(&world.layout, space.fd(), config).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let (home, stopped) = (own_netns().unwrap(), Arc::clone(&stop));
        let drive = move || {
            while !stopped.load(Ordering::Relaxed) {
                turn(&mut responder);
            }
        };
        let thread = std::thread::spawn(move || in_netns(home.as_fd(), drive).unwrap());
        Self {
            stop,
            thread: Some(thread),
        }
    }

    fn of(world: &World, container: &Container) -> Self {
        Self::start(world, &container.space, DnsConfig::of(&container.attached))
    }
}

impl Drop for Driven {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn turn(responder: &mut Responder) {
    use sys::poll::{PollFd, PollFlags};
    let tick = Duration::from_millis(20);
    let due = responder.deadline().map_or(tick, |at| {
        at.saturating_duration_since(Instant::now()).min(tick)
    });
    let ready: Vec<i32> = {
        let fds: Vec<_> = responder.fds().collect();
        let flags = |write: bool| {
            if write {
                PollFlags::IN | PollFlags::OUT
            } else {
                PollFlags::IN
            }
        };
        let mut polled: Vec<PollFd<'_>> = fds
            .iter()
            .map(|(fd, write)| PollFd::from_borrowed_fd(*fd, flags(*write)))
            .collect();
        sys::poll::wait(&mut polled, Some(due)).unwrap();
        let hit = polled
            .iter()
            .zip(&fds)
            .filter(|(polled, _)| !polled.revents().is_empty());
        hit.map(|(_, (fd, _))| fd.as_raw_fd()).collect()
    };
    ready.into_iter().for_each(|fd| responder.ready(fd));
    responder.tick();
}

fn query(name: &str, kind: TYPE) -> Vec<u8> {
    let mut packet = Packet::new_query(4711);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    let name = Name::new(name).unwrap();
    packet.questions.push(Question::new(
        name,
        QTYPE::TYPE(kind),
        QCLASS::CLASS(CLASS::IN),
        false,
    ));
    packet.build_bytes_vec().unwrap()
}

/// Asks over UDP from inside.
fn ask(space: &Space, name: &str, kind: TYPE) -> (RCODE, Vec<String>) {
    let bytes = space.run(|| {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        socket.connect(SERVER).unwrap();
        socket.send(&query(name, kind)).unwrap();
        let mut buffer = [0; 4096];
        let length = socket.recv(&mut buffer).expect("an answer");
        buffer[..length].to_vec()
    });
    read(&bytes)
}

fn ask_tcp(space: &Space, name: &str, kind: TYPE) -> (RCODE, Vec<String>) {
    let bytes = space.run(|| {
        let mut stream = TcpStream::connect(SERVER).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        let query = query(name, kind);
        // In two pieces, as a slow client may.
        stream
            .write_all(&(query.len() as u16).to_be_bytes())
            .unwrap();
        stream.write_all(&query).unwrap();
        read_framed(&mut stream)
    });
    read(&bytes)
}

fn read_framed(stream: &mut TcpStream) -> Vec<u8> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).unwrap();
    let mut bytes = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

fn read(bytes: &[u8]) -> (RCODE, Vec<String>) {
    let packet = Packet::parse(bytes).unwrap();
    assert_eq!(packet.id(), 4711);
    let text = |data: &RData<'_>| match data {
        RData::A(a) => Ipv4Addr::from(a.address).to_string(),
        RData::AAAA(a) => std::net::Ipv6Addr::from(a.address).to_string(),
        RData::PTR(name) => name.0.to_string(),
        other => format!("{other:?}"),
    };
    (
        packet.rcode(),
        packet
            .answers
            .iter()
            .map(|answer| text(&answer.rdata))
            .collect(),
    )
}

fn only(address: IpAddr) -> (RCODE, Vec<String>) {
    (RCODE::NoError, vec![address.to_string()])
}

#[test]
fn containers_find_each_other_by_name_alias_and_short_id() {
    let world = World::new();
    let net = world.network("front", |_| {});
    let a = world.container("a", &[&net]);
    let web = world
        .container_as("web", &[&net], &[], None, |settings| {
            settings.aliases = vec!["www".into()]
        })
        .unwrap();
    let _dns = Driven::of(&world, &a);
    for name in ["web", "WWW", "web.front", &web.id[..12]] {
        assert_eq!(ask(&a.space, name, TYPE::A), only(web.ip()), "{name}");
    }
    assert_eq!(ask_tcp(&a.space, "web", TYPE::A), only(web.ip()));
    assert_eq!(ask(&a.space, "a", TYPE::A), only(a.ip()), "itself");
    assert_eq!(
        ask(&a.space, "web", TYPE::AAAA),
        (RCODE::NoError, vec![]),
        "no IPv6 is not an error"
    );
    let IpAddr::V4(ip) = web.ip() else { panic!() };
    let [x, y, z, w] = ip.octets();
    let reverse = ask(
        &a.space,
        &format!("{w}.{z}.{y}.{x}.in-addr.arpa"),
        TYPE::PTR,
    );
    assert_eq!(reverse, (RCODE::NoError, vec!["web.front".into()]));
    let gateway = net.pools[0].gateway;
    assert_eq!(
        ask(&a.space, "host.docker.internal", TYPE::A),
        only(gateway)
    );
    assert_eq!(
        ask(&a.space, "gateway.docker.internal", TYPE::A),
        only(gateway)
    );
}

#[test]
fn names_come_and_go_with_their_containers_and_replicas_take_turns() {
    let world = World::new();
    let (net, other) = (
        world.network("front", |_| {}),
        world.network("other", |_| {}),
    );
    let a = world.container("a", &[&net]);
    let config = DnsConfig {
        forward: false,
        ..DnsConfig::of(&a.attached)
    };
    let _dns = Driven::start(&world, &a.space, config);
    assert_eq!(ask(&a.space, "web", TYPE::A).0, RCODE::ServerFailure);
    let replica = |name: &str| {
        world
            .container_as(name, &[&net], &[], None, |s| s.aliases = vec!["web".into()])
            .unwrap()
    };
    let (one, two) = (replica("web-1"), replica("web-2"));
    let firsts: std::collections::HashSet<String> = (0..2)
        .map(|_| {
            let (_, answers) = ask(&a.space, "web", TYPE::A);
            assert_eq!(answers.len(), 2);
            answers[0].clone()
        })
        .collect();
    assert_eq!(firsts.len(), 2, "each comes first in turn");
    let left = two.ip();
    world.detach(one);
    assert_eq!(ask(&a.space, "web", TYPE::A), only(left));
    let _hidden = world.container("hidden", &[&other]);
    assert_eq!(
        ask(&a.space, "hidden", TYPE::A).0,
        RCODE::ServerFailure,
        "another network's name"
    );
}

#[test]
fn links_are_served_on_the_default_bridge_and_other_names_there_are_not() {
    let world = World::new();
    let bridge = network::find(&world.layout, "bridge").unwrap();
    let (a, db) = (
        world.container("a", &[&bridge]),
        world.container("db", &[&bridge]),
    );
    let links = vec![("database".to_owned(), "db".to_owned())];
    let config = DnsConfig {
        links,
        forward: false,
        ..DnsConfig::of(&a.attached)
    };
    let _dns = Driven::start(&world, &a.space, config);
    assert_eq!(ask(&a.space, "database", TYPE::A), only(db.ip()));
    assert_eq!(ask(&a.space, "db", TYPE::A).0, RCODE::ServerFailure);
}

/// A server for other names, on the host: says 192.0.2.1 by UDP and 192.0.2.2 by TCP.
fn upstream(on: Ipv4Addr) {
    let answer = |bytes: &[u8], last: u8| {
        let query = Packet::parse(bytes).unwrap();
        let mut reply = Packet::new_reply(query.id());
        let data = RData::A(simple_dns::rdata::A {
            address: Ipv4Addr::new(192, 0, 2, last).into(),
        });
        for question in query.questions {
            let record = simple_dns::ResourceRecord::new(
                question.qname.clone(),
                CLASS::IN,
                60,
                data.clone(),
            );
            reply.answers.push(record);
            reply.questions.push(question);
        }
        reply.build_bytes_vec().unwrap()
    };
    let udp = UdpSocket::bind((on, 53)).unwrap();
    let tcp = TcpListener::bind((on, 53)).unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((length, from)) = udp.recv_from(&mut buffer) {
            let _ = udp.send_to(&answer(&buffer[..length], 1), from);
        }
    });
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = tcp.accept() {
            let reply = answer(&read_framed(&mut stream), 2);
            let _ = stream.write_all(&(reply.len() as u16).to_be_bytes());
            let _ = stream.write_all(&reply);
        }
    });
}

#[test]
fn other_names_are_asked_of_the_host_s_servers_and_silent_ones_give_way() {
    let world = World::new();
    let net = world.network("front", |_| {});
    let a = world.container("a", &[&net]);
    upstream(Ipv4Addr::new(127, 0, 0, 5));
    // The first refuses (nothing listens there), the second answers.
    let servers: Vec<IpAddr> = vec![
        Ipv4Addr::new(127, 0, 0, 4).into(),
        Ipv4Addr::new(127, 0, 0, 5).into(),
    ];
    let _dns = Driven::start(
        &world,
        &a.space,
        DnsConfig {
            upstream: servers,
            ..DnsConfig::of(&a.attached)
        },
    );
    assert_eq!(
        ask(&a.space, "example.org", TYPE::A),
        only(Ipv4Addr::new(192, 0, 2, 1).into())
    );
    assert_eq!(
        ask_tcp(&a.space, "example.org", TYPE::A),
        only(Ipv4Addr::new(192, 0, 2, 2).into())
    );
}

#[test]
fn unreachable_servers_and_internal_networks_are_a_failure_at_once() {
    let world = World::new();
    let net = world.network("front", |_| {});
    let vault = world.network("vault", |spec| spec.internal = true);
    let (a, b) = (
        world.container("a", &[&net]),
        world.container("b", &[&vault]),
    );
    let nobody: Vec<IpAddr> = vec![Ipv4Addr::new(127, 0, 0, 4).into()];
    let _first = Driven::start(
        &world,
        &a.space,
        DnsConfig {
            upstream: nobody,
            ..DnsConfig::of(&a.attached)
        },
    );
    assert_eq!(
        ask(&a.space, "example.org", TYPE::A).0,
        RCODE::ServerFailure
    );
    assert_eq!(
        ask_tcp(&a.space, "example.org", TYPE::A).0,
        RCODE::ServerFailure
    );
    upstream(Ipv4Addr::LOCALHOST);
    let _second = Driven::of(&world, &b);
    assert_eq!(
        ask(&b.space, "example.org", TYPE::A).0,
        RCODE::ServerFailure
    );
    assert_eq!(ask(&b.space, "b", TYPE::A), only(b.ip()));
}

#[test]
fn a_container_may_run_a_name_server_of_its_own_and_a_new_responder_takes_over() {
    let world = World::new();
    let net = world.network("front", |_| {});
    let a = world.container("a", &[&net]);
    let first = Driven::of(&world, &a);
    a.space.run(|| {
        UdpSocket::bind("0.0.0.0:53").unwrap();
        TcpListener::bind("0.0.0.0:53").unwrap();
    });
    drop(first);
    let _second = Driven::of(&world, &a);
    assert_eq!(ask(&a.space, "a", TYPE::A), only(a.ip()));
}

#[test]
fn rubbish_does_not_stop_it() {
    let world = World::new();
    let net = world.network("front", |_| {});
    let a = world.container("a", &[&net]);
    let _dns = Driven::of(&world, &a);
    a.space.run(|| {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        for rubbish in [
            &[][..],
            &[0; 5],
            &[0xff; 600],
            &[0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xc0, 12],
        ] {
            socket.send_to(rubbish, SERVER).unwrap();
        }
        // Connections that say nothing, or half of something, more than may be open.
        let open: Vec<TcpStream> = (0..100)
            .map(|_| {
                let mut stream = TcpStream::connect(SERVER).unwrap();
                let _ = stream.write_all(&[0xff, 0xff, 1]);
                stream
            })
            .collect();
        drop(open);
    });
    eventually("it answers", || ask(&a.space, "a", TYPE::A) == only(a.ip()));
    let _: SocketAddr = SERVER.into();
}

#[test]
fn a_shared_name_leads_to_those_that_serve() {
    let world = World::new();
    let net = world.network("front", |_| {});
    let client = world.container("client", &[&net]);
    let aliased = |name: &str| {
        world
            .container_as(name, &[&net], &[], None, |settings| {
                settings.aliases = vec!["web".into()]
            })
            .unwrap()
    };
    let (one, two) = (aliased("one"), aliased("two"));
    let _dns = Driven::of(&world, &client);
    let asked = |name: &str| {
        let (_, mut addresses) = ask(&client.space, name, TYPE::A);
        addresses.sort();
        addresses
    };
    let [first, second] = [&one, &two].map(|container| vec![container.ip().to_string()]);
    let both = [first.clone(), second.clone()].concat();
    assert_eq!(asked("web"), both);
    network::set_serving(&world.layout, &one.id, false).unwrap();
    assert_eq!(asked("web"), second);
    assert_eq!(asked("one"), first, "its own name");
    network::set_serving(&world.layout, &two.id, false).unwrap();
    assert_eq!(asked("web"), both, "when none serves all are answered with");
    network::withdraw(&world.layout, &one.id).unwrap();
    assert_eq!(asked("web"), second);
    let withdrawn = network::withdrawn(&world.layout).unwrap();
    assert!(withdrawn.len() == 1 && withdrawn.contains(&one.id));
    network::readmit(&world.layout, &one.id).unwrap();
    network::set_serving(&world.layout, &one.id, true).unwrap();
    assert_eq!(asked("web"), first);
}
