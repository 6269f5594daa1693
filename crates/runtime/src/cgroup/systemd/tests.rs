//! The client against a bus of a few lines: a thread that speaks the server's side.

use super::bus::{Bus, Kind, set_properties, start_transient};
use super::wire::{self, Message, Value, Writer};
use super::{Error, Scope, of_scope, stop_on};
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;

/// What the server answers to a call of this member, and what it sends before.
type Answer = fn(&Message) -> Vec<Vec<u8>>;

fn serve(name: &str, greeting: &'static str, answer: Answer) -> PathBuf {
    let path = std::env::temp_dir().join(format!("bus-{name}-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        greet(&mut stream, greeting);
        while let Some(call) = receive(&mut stream) {
            for bytes in answer(&call) {
                // Nothing to say: the end.
                if bytes.is_empty() || stream.write_all(&bytes).is_err() {
                    return;
                }
            }
        }
    });
    path
}

fn greet(stream: &mut UnixStream, greeting: &str) {
    let mut seen = Vec::new();
    let mut byte = [0_u8; 1];
    while !seen.ends_with(b"\r\n") {
        stream.read_exact(&mut byte).unwrap();
        seen.push(byte[0]);
    }
    // root: the digit 0, in hexadecimal.
    assert!(seen.starts_with(b"\0AUTH EXTERNAL 3"), "{seen:?}");
    stream.write_all(greeting.as_bytes()).unwrap();
    if greeting.starts_with("OK") {
        let mut begin = [0_u8; 7];
        stream.read_exact(&mut begin).unwrap();
        assert_eq!(&begin, b"BEGIN\r\n");
    }
}

fn receive(stream: &mut UnixStream) -> Option<Message> {
    let mut head = [0_u8; 16];
    stream.read_exact(&mut head).ok()?;
    let mut bytes = head.to_vec();
    bytes.resize(Message::length(&head)?, 0);
    stream.read_exact(&mut bytes[16..]).ok()?;
    Message::decode(&bytes)
}

/// A message of the server with a body of words, `u` for numbers.
fn say(kind: u8, fields: &[(u8, &str, &str)], signature: &str, words: &[&str]) -> Vec<u8> {
    let mut body = Writer::default();
    for (kind, word) in signature.chars().zip(words) {
        match kind {
            'u' => body.u32(word.parse().unwrap()),
            _ => body.text(word),
        }
    }
    let mut w = Writer(vec![b'l', kind, 0, 1]);
    w.u32(body.0.len() as u32);
    w.u32(77);
    w.array(8, |w| {
        for (code, kind, text) in fields.iter().chain(&[(8, "g", signature)]) {
            w.0.resize(w.0.len().next_multiple_of(8), 0);
            w.0.push(*code);
            w.signature(kind);
            match *kind {
                "u" => w.u32(text.parse().unwrap()),
                "g" => w.signature(text),
                _ => w.text(text),
            }
        }
    });
    w.0.resize(w.0.len().next_multiple_of(8), 0);
    w.0.extend(body.0);
    w.0
}

fn reply(to: &Message, signature: &str, words: &[&str]) -> Vec<u8> {
    say(
        wire::REPLY,
        &[(5, "u", &to.serial.to_string())],
        signature,
        words,
    )
}

fn refuse(to: &Message, name: &str, text: &str) -> Vec<u8> {
    let serial = to.serial.to_string();
    let fields = [(5, "u", serial.as_str()), (4, "s", name)];
    say(wire::ERROR, &fields, "s", &[text])
}

fn removed(job: &str, unit: &str, result: &str) -> Vec<u8> {
    let fields = [
        (1, "o", "/org/freedesktop/systemd1"),
        (3, "s", "JobRemoved"),
    ];
    say(wire::SIGNAL, &fields, "uoss", &["5", job, unit, result])
}

fn scope() -> Scope {
    Scope {
        slice: "machine.slice".to_owned(),
        unit: "dockless-x.scope".to_owned(),
    }
}

const OK: &str = "OK 0123456789abcdef\r\n";

#[test]
fn a_scope_is_there_when_its_job_is_done() {
    let path = serve("start", OK, |call| {
        assert_eq!(call.member.as_deref(), Some("StartTransientUnit"));
        assert_eq!(call.signature, "ssa(sv)a(sa(sv))");
        assert_eq!(call.words(), ["dockless-x.scope", "replace"]);
        let other = removed("/job/1", "another.service", "failed");
        // The end of the job may come before the answer that names it.
        let end = removed("/job/2", "dockless-x.scope", "done");
        vec![other, end, reply(call, "o", &["/job/2"])]
    });
    let mut bus = Bus::open(&path, Kind::Private).unwrap();
    let properties = of_scope(&scope(), 42);
    bus.run(&start_transient(&scope().unit, &properties), &scope().unit)
        .unwrap();
    std::fs::remove_file(path).unwrap();
}

#[test]
fn a_job_that_fails_is_told() {
    let path = serve("fail", OK, |call| {
        let answer = reply(call, "o", &["/job/2"]);
        vec![answer, removed("/job/2", "dockless-x.scope", "timeout")]
    });
    let mut bus = Bus::open(&path, Kind::Private).unwrap();
    let error = bus.run(
        &start_transient("dockless-x.scope", &[]),
        "dockless-x.scope",
    );
    assert!(matches!(error, Err(Error::Job { result, .. }) if result == "timeout"));
    std::fs::remove_file(path).unwrap();
}

#[test]
fn on_the_shared_bus_hello_comes_first() {
    let path = serve("hello", OK, |call| match call.member.as_deref() {
        Some("Hello") => vec![reply(call, "s", &[":1.7"])],
        Some("AddMatch" | "Subscribe") => vec![reply(call, "", &[])],
        Some("SetUnitProperties") => {
            let name = "org.freedesktop.DBus.Error.PropertyReadOnly";
            vec![refuse(call, name, "Cannot set property NoSuch")]
        }
        other => panic!("{other:?}"),
    });
    let mut bus = Bus::open(&path, Kind::Shared).unwrap();
    let properties = [("NoSuch", Value::Text("x".to_owned()))];
    let error = bus
        .call(&set_properties("x.scope", &properties))
        .unwrap_err();
    assert!(
        error.to_string().contains("Cannot set property NoSuch"),
        "{error}"
    );
    std::fs::remove_file(path).unwrap();
}

#[test]
fn a_scope_that_is_gone_is_stopped() {
    let path = serve("gone", OK, |call| {
        let name = "org.freedesktop.systemd1.NoSuchUnit";
        vec![refuse(call, name, "Unit not loaded")]
    });
    stop_on(&mut Bus::open(&path, Kind::Private).unwrap(), &scope()).unwrap();
    std::fs::remove_file(path).unwrap();
}

#[test]
fn hostile_ends() {
    let path = serve("reject", "REJECTED EXTERNAL\r\n", |_| Vec::new());
    assert!(matches!(
        Bus::open(&path, Kind::Private),
        Err(Error::Connect { .. })
    ));
    std::fs::remove_file(path).unwrap();
    let answers: [(&str, Answer); 3] = [
        ("rubbish", |_| vec![vec![b'x'; 64], Vec::new()]),
        ("huge", |_| {
            vec![b"l\x02\x00\x01\xff\xff\xff\x7f\x01\0\0\0\0\0\0\0".to_vec()]
        }),
        ("short", |_| {
            vec![
                b"l\x02\x00\x01\x00\x00\x00\x00\x01\0\0\0\x08\0\0\0\x05\x01u\0".to_vec(),
                vec![0; 3],
                vec![0xff; 5],
                Vec::new(),
            ]
        }),
    ];
    for (name, answer) in answers {
        let path = serve(name, OK, answer);
        let mut bus = Bus::open(&path, Kind::Private).unwrap();
        let call = set_properties("x.scope", &[]);
        assert!(bus.call(&call).is_err(), "{name}");
        std::fs::remove_file(path).unwrap();
    }
}
