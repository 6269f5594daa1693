//! A server in front of a registry or a token service: it hands requests on, or answers them itself as the scenario says. One request
//! per connection. Source: RFC 9112.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A request that comes by.
#[derive(Debug, Clone)]
pub struct Passing {
    pub method: String,
    pub path: String,
    head: Vec<(String, String)>,
}

impl Passing {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut all = self.head.iter();
        let found = all.find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// What becomes of it.
#[derive(Debug, Clone)]
pub enum Verdict {
    Pass,
    /// Handed on as if another path had been asked for.
    PassAs(String),
    /// A status, headers and a body.
    Answer(u16, Vec<(&'static str, String)>, String),
}

/// A running server; its threads end with the process.
#[derive(Debug)]
pub struct Front {
    pub address: String,
    asked: Arc<Mutex<Vec<Passing>>>,
}

impl Front {
    /// In front of `target` (`host:port`).
    pub fn of(target: &str, rule: impl Fn(&Passing) -> Verdict + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let asked: Arc<Mutex<Vec<Passing>>> = Arc::default();
        let (log, target, rule) = (asked.clone(), target.to_owned(), Arc::new(rule));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (log, target, rule) = (log.clone(), target.clone(), rule.clone());
                std::thread::spawn(move || serve(&client, &target, &*rule, &log));
            }
        });
        Self { address, asked }
    }

    /// What was asked so far, as `METHOD path`.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().map_or_else(
            |_| Vec::new(),
            |all| {
                let line = |one: &Passing| format!("{} {}", one.method, one.path);
                all.iter().map(line).collect()
            },
        )
    }

    /// Requests with a word in their line.
    pub fn count(&self, word: &str) -> usize {
        self.asked()
            .iter()
            .filter(|line| line.contains(word))
            .count()
    }
}

fn serve(
    client: &TcpStream,
    target: &str,
    rule: &dyn Fn(&Passing) -> Verdict,
    log: &Mutex<Vec<Passing>>,
) -> Option<()> {
    let mut reader = BufReader::new(client);
    let passing = read_head(&mut reader)?;
    let length = passing
        .header("content-length")
        .and_then(|l| l.parse().ok());
    let mut body = reader.take(length.unwrap_or(0));
    if let Ok(mut log) = log.lock() {
        log.push(passing.clone());
    }
    match rule(&passing) {
        Verdict::Pass => hand_on(client, target, &passing, &passing.path, &mut body),
        Verdict::PassAs(path) => hand_on(client, target, &passing, &path, &mut body),
        Verdict::Answer(status, headers, text) => {
            // Read to its end, or the client would see a broken connection instead of an answer.
            std::io::copy(&mut body, &mut std::io::sink()).ok()?;
            answer(client, &passing, (status, &headers, &text))
        }
    }
}

/// `None` for what is no HTTP, as the first bytes of TLS.
fn read_head(reader: &mut impl BufRead) -> Option<Passing> {
    let mut line = Vec::new();
    reader.read_until(b'\n', &mut line).ok()?;
    let line = String::from_utf8(line).ok()?;
    let mut words = line.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim().split_once(':') else {
            return Some(Passing { method, path, head });
        };
        head.push((name.to_owned(), value.trim().to_owned()));
    }
}

fn answer(
    mut client: &TcpStream,
    passing: &Passing,
    (status, headers, text): (u16, &[(&'static str, String)], &str),
) -> Option<()> {
    let mut head = format!(
        "HTTP/1.1 {status} Said\r\nConnection: close\r\nContent-Length: {}\r\n",
        text.len()
    );
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    if passing.method != "HEAD" {
        head.push_str(text);
    }
    client.write_all(head.as_bytes()).ok()
}

fn hand_on(
    mut client: &TcpStream,
    target: &str,
    passing: &Passing,
    path: &str,
    body: &mut impl Read,
) -> Option<()> {
    let mut server = TcpStream::connect(target).ok()?;
    let mut head = format!(
        "{} {path} HTTP/1.1\r\nConnection: close\r\n",
        passing.method
    );
    for (name, value) in &passing.head {
        if !name.eq_ignore_ascii_case("connection") {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    head.push_str("\r\n");
    server.write_all(head.as_bytes()).ok()?;
    std::io::copy(body, &mut server).ok()?;
    std::io::copy(&mut server, &mut client).ok().map(drop)
}
