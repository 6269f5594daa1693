//! Trust, and where one may be sent on to.

use super::*;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};

fn offline() -> RegistryOptions {
    let none = ResolverFiles {
        hosts: "/nonexistent".into(),
        resolv_conf: "/nonexistent".into(),
    };
    RegistryOptions {
        resolver: none,
        ..RegistryOptions::default()
    }
}

#[test]
fn loopback_and_listed_registries_may_be_insecure_and_others_not() {
    let mut options = offline();
    options.insecure = vec!["reg.example:5000".into(), "10.1.0.0/16".into()];
    let trust = |host: &str| Http::new(host, &options).trust();
    assert_eq!(trust("127.0.0.1:5000"), Trust::Anything);
    assert_eq!(trust("localhost:5000"), Trust::Anything);
    assert_eq!(trust("[::1]:5000"), Trust::Anything);
    assert_eq!(trust("reg.example:5000"), Trust::Anything);
    assert_eq!(trust("10.1.2.3:5000"), Trust::Anything);
    assert_eq!(trust("10.2.2.3:5000"), Trust::Verified);
}

#[test]
fn a_name_that_is_the_loopbacks_counts_as_loopback() {
    let dir = tempfile::tempdir().unwrap();
    let hosts = dir.path().join("hosts");
    std::fs::write(&hosts, "127.0.0.1 registry.test\n192.0.2.1 far.test\n").unwrap();
    let mut options = offline();
    options.resolver.hosts = hosts;
    assert_eq!(
        Http::new("registry.test:5000", &options).trust(),
        Trust::Anything
    );
    assert_eq!(
        Http::new("far.test:5000", &options).trust(),
        Trust::Verified
    );
}

#[test]
fn a_location_is_seen_from_where_it_was_given() {
    let join = |location| join("https://a:1/v2/x/blobs/y?z=/1", location);
    assert_eq!(join("http://b/c"), "http://b/c");
    assert_eq!(join("//b/c"), "https://b/c");
    assert_eq!(join("/c?d"), "https://a:1/c?d");
    assert_eq!(join("c"), "https://a:1/v2/x/blobs/c");
    assert_eq!(super::join("https://a", "c"), "https://a/c");
    assert_eq!(origin("https://a:1?x"), "https://a:1");
}

#[test]
fn nobody_is_sent_to_a_place_that_was_not_reachable_for_the_sender() {
    let far = Http::new("192.0.2.1", &offline());
    let towards = |url| {
        far.towards("https://192.0.2.1/v2/", url)
            .map(|peer| peer.is_some())
    };
    assert_eq!(towards("https://192.0.2.1/x"), Ok(false));
    assert_eq!(towards("https://198.51.100.1/x"), Ok(true));
    for bad in [
        "http://198.51.100.1/x",
        "http://192.0.2.1/x",
        "https://127.0.0.1/x",
        "https://169.254.169.254/latest/meta-data",
        "https://0.0.0.0/x",
        "https://[::1]/x",
        "https://me@198.51.100.1/x",
        "ftp://198.51.100.1/x",
        "file:///etc/shadow",
        "/x",
        "",
    ] {
        assert!(towards(bad).is_err(), "{bad}");
    }
    let near = Http::new("127.0.0.1:5000", &offline());
    assert!(
        near.towards("http://127.0.0.1:5000/v2/", "http://127.0.0.1:9/x")
            .is_ok()
    );
}

#[test]
fn networks_contain_what_they_should() {
    let ip = |t: &str| t.parse::<IpAddr>().unwrap();
    assert!(in_network(ip("10.1.2.3"), ip("10.0.0.0"), 8));
    assert!(in_network(ip("10.1.2.3"), ip("0.0.0.0"), 0));
    assert!(!in_network(ip("10.1.2.3"), ip("10.1.2.0"), 32));
    assert!(in_network(ip("fd00::5"), ip("fd00::"), 8));
}

/// Answers requests without a body, always alike; how many it answered on each connection is told in the end.
fn answer_all(listener: &TcpListener, answer: &str, connections: usize) -> Vec<usize> {
    let one = |stream: TcpStream| {
        let lines = BufReader::new(stream.try_clone().unwrap()).lines();
        let ends = lines.map_while(Result::ok).filter(String::is_empty);
        ends.map(|_| (&stream).write_all(answer.as_bytes()))
            .filter(Result::is_ok)
            .count()
    };
    let streams = listener.incoming().map(Result::unwrap);
    streams.take(connections).map(one).collect()
}

#[test]
fn the_connection_of_an_answer_that_nobody_reads_serves_the_next_request() {
    let long = SPENT_MAX + 1;
    let endless = format!("HTTP/1.1 200 OK\r\nContent-Length: {long}\r\n\r\n");
    let cases = [
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", vec![2]),
        (
            "HTTP/1.1 401 Unauthorized\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
            vec![2],
        ),
        (endless.as_str(), vec![1, 1]),
    ];
    for (answer, expected) in cases {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let answered = std::thread::scope(|scope| {
            let server = scope.spawn(|| answer_all(&listener, answer, expected.len()));
            let http = Http::new(&host, &offline());
            for _ in 0..2 {
                let url = format!("http://{host}/v2/");
                spend(http.follow("GET", &url, &[], &[]).unwrap());
            }
            drop(http);
            server.join().unwrap()
        });
        assert_eq!(answered, expected, "{answer}");
    }
}
