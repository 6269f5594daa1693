//! Names to addresses without libc: `/etc/hosts`, then the servers of `/etc/resolv.conf` over UDP, over TCP
//! where the answer was cut. A statically linked `getaddrinfo` would load the host's NSS modules into a
//! foreign libc. Source: hosts(5), resolv.conf(5), RFC 1035, RFC 6761 (`localhost`).

use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, Question, RCODE, TYPE};
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::time::Duration;

/// The files that say how names are looked up.
#[derive(Debug, Clone)]
pub struct ResolverFiles {
    pub hosts: PathBuf,
    pub resolv_conf: PathBuf,
}

impl Default for ResolverFiles {
    fn default() -> Self {
        Self {
            hosts: "/etc/hosts".into(),
            resolv_conf: "/etc/resolv.conf".into(),
        }
    }
}

/// What resolv.conf says.
#[derive(Debug, PartialEq, Eq)]
struct Config {
    servers: Vec<SocketAddr>,
    search: Vec<String>,
    ndots: usize,
    timeout: Duration,
    attempts: u32,
}

/// All addresses of a name, IPv4 first (of two ways in, the one that fails less often).
pub fn resolve(name: &str, files: &ResolverFiles) -> io::Result<Vec<IpAddr>> {
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = bare.parse() {
        return Ok(vec![address]);
    }
    let name = bare.trim_end_matches('.').to_ascii_lowercase();
    let known = hosts_lookup(
        &std::fs::read_to_string(&files.hosts).unwrap_or_default(),
        &name,
    );
    if !known.is_empty() {
        return Ok(known);
    }
    if name == "localhost" || name.ends_with(".localhost") {
        return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
    }
    let config = parse_config(&std::fs::read_to_string(&files.resolv_conf).unwrap_or_default());
    let mut last = Ok(Vec::new());
    for candidate in candidates(&name, bare.ends_with('.'), &config) {
        last = query_both(&candidate, &config);
        if last.as_ref().is_ok_and(|found| !found.is_empty()) {
            return last;
        }
    }
    match last? {
        found if found.is_empty() => Err(io::Error::new(
            io::ErrorKind::NotFound,
            format!("no such host: {name}"),
        )),
        found => Ok(found),
    }
}

fn hosts_lookup(text: &str, name: &str) -> Vec<IpAddr> {
    let mut found: Vec<IpAddr> = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_whitespace();
        let Some(Ok(address)) = words.next().map(str::parse) else {
            continue;
        };
        if words.any(|w| w.eq_ignore_ascii_case(name)) && !found.contains(&address) {
            found.push(address);
        }
    }
    found.sort_by_key(IpAddr::is_ipv6);
    found
}

fn parse_config(text: &str) -> Config {
    let mut config = Config {
        servers: Vec::new(),
        search: Vec::new(),
        ndots: 1,
        timeout: Duration::from_secs(5),
        attempts: 2,
    };
    for line in text.lines() {
        let line = line.split(['#', ';']).next().unwrap_or_default();
        let mut words = line.split_whitespace();
        match words.next() {
            Some("nameserver") => {
                let address = words
                    .next()
                    .map(|w| w.split('%').next().unwrap_or(w))
                    .and_then(|w| w.parse().ok());
                if let Some(address) = address
                    && config.servers.len() < 3
                {
                    config.servers.push(SocketAddr::new(address, 53));
                }
            }
            Some("search" | "domain") => config.search = words.map(str::to_owned).take(6).collect(),
            Some("options") => words.for_each(|word| option(&mut config, word)),
            _ => {}
        }
    }
    if config.servers.is_empty() {
        config
            .servers
            .push(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 53));
    }
    config
}

fn option(config: &mut Config, word: &str) {
    match word.split_once(':') {
        Some(("ndots", n)) => config.ndots = n.parse().unwrap_or(1).min(15),
        Some(("timeout", n)) => {
            config.timeout = Duration::from_secs(n.parse().unwrap_or(5).clamp(1, 30))
        }
        Some(("attempts", n)) => config.attempts = n.parse().unwrap_or(2).clamp(1, 5),
        _ => {}
    }
}

/// The names to try: with few dots the search list first, as resolv.conf(5) says.
fn candidates(name: &str, absolute: bool, config: &Config) -> Vec<String> {
    if absolute {
        return vec![name.to_owned()];
    }
    let searched = config
        .search
        .iter()
        .map(|domain| format!("{name}.{}", domain.trim_matches('.')));
    let dots = name.bytes().filter(|b| *b == b'.').count();
    if dots >= config.ndots {
        std::iter::once(name.to_owned()).chain(searched).collect()
    } else {
        searched.chain([name.to_owned()]).collect()
    }
}

fn query_both(name: &str, config: &Config) -> io::Result<Vec<IpAddr>> {
    let v4 = query(name, TYPE::A, config);
    let v6 = query(name, TYPE::AAAA, config);
    match (v4, v6) {
        (Ok(mut found), Ok(more)) => {
            found.extend(more);
            Ok(found)
        }
        (Ok(found), Err(_)) | (Err(_), Ok(found)) if !found.is_empty() => Ok(found),
        (Err(e), _) | (_, Err(e)) => Err(e),
    }
}

fn query(name: &str, kind: TYPE, config: &Config) -> io::Result<Vec<IpAddr>> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "no name server answered");
    for _ in 0..config.attempts {
        for server in &config.servers {
            match ask(name, kind, *server, config.timeout) {
                Ok(found) => return Ok(found),
                Err(e) => {
                    last = io::Error::new(
                        e.kind(),
                        format!("looking up {name} at {}: {e}", server.ip()),
                    )
                }
            }
        }
    }
    Err(last)
}

fn ask(name: &str, kind: TYPE, server: SocketAddr, timeout: Duration) -> io::Result<Vec<IpAddr>> {
    let mut id = [0u8; 2];
    rustix::rand::getrandom(&mut id, rustix::rand::GetRandomFlags::empty())?;
    let id = u16::from_ne_bytes(id);
    let invalid =
        |e: simple_dns::SimpleDnsError| io::Error::new(io::ErrorKind::InvalidInput, e.to_string());
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    packet.questions.push(Question::new(
        Name::new(name).map_err(invalid)?,
        kind.into(),
        CLASS::IN.into(),
        false,
    ));
    let request = packet.build_bytes_vec().map_err(invalid)?;
    let answer = over_udp(&request, id, server, timeout)?;
    let cut = Packet::parse(&answer).is_ok_and(|p| p.has_flags(PacketFlag::TRUNCATION));
    let answer = if cut {
        over_tcp(&request, server, timeout)?
    } else {
        answer
    };
    addresses(&answer, id)
}

fn over_udp(request: &[u8], id: u16, server: SocketAddr, timeout: Duration) -> io::Result<Vec<u8>> {
    let local: SocketAddr = if server.is_ipv4() {
        (Ipv4Addr::UNSPECIFIED, 0).into()
    } else {
        (Ipv6Addr::UNSPECIFIED, 0).into()
    };
    let socket = UdpSocket::bind(local)?;
    socket.set_read_timeout(Some(timeout))?;
    // Connected: the kernel drops answers of anybody else.
    socket.connect(server)?;
    socket.send(request)?;
    let mut buffer = vec![0u8; 4096];
    for _ in 0..16 {
        let got = socket.recv(&mut buffer)?;
        if got >= 12 && buffer[..2] == id.to_be_bytes() {
            buffer.truncate(got);
            return Ok(buffer);
        }
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidData,
        "only foreign answers",
    ))
}

fn over_tcp(request: &[u8], server: SocketAddr, timeout: Duration) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&server, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    let length = u16::try_from(request.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), request].concat())?;
    let mut head = [0u8; 2];
    stream.read_exact(&mut head)?;
    let mut answer = vec![0u8; usize::from(u16::from_be_bytes(head))];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

fn addresses(answer: &[u8], id: u16) -> io::Result<Vec<IpAddr>> {
    let packet = Packet::parse(answer)
        .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, format!("bad answer: {e}")))?;
    if packet.id() != id || !packet.has_flags(PacketFlag::RESPONSE) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "not an answer to our question",
        ));
    }
    match packet.rcode() {
        RCODE::NoError => {}
        RCODE::NameError => return Ok(Vec::new()),
        code => {
            return Err(io::Error::other(format!(
                "the name server failed ({code:?})"
            )));
        }
    }
    let found = packet
        .answers
        .iter()
        .filter_map(|record| match &record.rdata {
            RData::A(a) => Some(IpAddr::V4(a.address.into())),
            RData::AAAA(a) => Some(IpAddr::V6(a.address.into())),
            _ => None,
        });
    Ok(found.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_localhost_need_no_server() {
        let text = "127.0.0.1 localhost\n::1 reg.test\n127.0.0.9  reg.test other # reg.bad\n";
        let reg: Vec<IpAddr> = vec!["127.0.0.9".parse().unwrap(), "::1".parse().unwrap()];
        assert_eq!(hosts_lookup(text, "REG.test"), reg);
        assert!(hosts_lookup(text, "reg.bad").is_empty());
        let none = ResolverFiles {
            hosts: "/nonexistent".into(),
            resolv_conf: "/nonexistent".into(),
        };
        assert!(
            resolve("a.localhost", &none)
                .unwrap()
                .iter()
                .all(IpAddr::is_loopback)
        );
        assert_eq!(
            resolve("[::1]", &none).unwrap(),
            ["::1".parse::<IpAddr>().unwrap()]
        );
    }

    #[test]
    fn resolv_conf_decides_servers_and_search() {
        let config = parse_config(
            "nameserver 10.0.0.1\nnameserver fe80::1%eth0\nsearch a.b c.d\noptions ndots:2 timeout:1 rotate\n",
        );
        assert_eq!(config.servers.len(), 2);
        assert_eq!((config.ndots, config.timeout), (2, Duration::from_secs(1)));
        assert_eq!(
            candidates("x.y", false, &config),
            ["x.y.a.b", "x.y.c.d", "x.y"]
        );
        assert_eq!(candidates("x.y.z", false, &config)[0], "x.y.z");
        assert_eq!(candidates("x", true, &config), ["x"]);
    }

    #[test]
    fn an_answer_is_read_from_a_server() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        let thread = std::thread::spawn(move || {
            let mut buffer = [0u8; 512];
            let (got, from) = server.recv_from(&mut buffer).unwrap();
            let query = Packet::parse(&buffer[..got]).unwrap();
            let mut reply = Packet::new_reply(query.id());
            let name = Name::new_unchecked("registry.test");
            let record = simple_dns::rdata::A {
                address: Ipv4Addr::new(127, 0, 0, 7).into(),
            };
            reply.answers.push(simple_dns::ResourceRecord::new(
                name,
                CLASS::IN,
                1,
                RData::A(record),
            ));
            server
                .send_to(&reply.build_bytes_vec().unwrap(), from)
                .unwrap();
        });
        let found = ask("registry.test", TYPE::A, address, Duration::from_secs(5)).unwrap();
        assert_eq!(found, ["127.0.0.7".parse::<IpAddr>().unwrap()]);
        thread.join().unwrap();
    }

    proptest::proptest! {
        #[test]
        fn any_answer_is_read_or_refused(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            let _ = addresses(&bytes, 1);
        }
    }
}
