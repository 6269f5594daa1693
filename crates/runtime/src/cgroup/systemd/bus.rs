//! A blocking connection to systemd, over its private socket or the system bus.
//!
//! Both begin with SASL lines: a zero byte, `AUTH EXTERNAL` with the uid in hexadecimal digits of its decimal digits, `OK`, `BEGIN`. The
//! bus wants `Hello` first and signals asked for; the private socket, root's, sends them to everybody.
//! Source: D-Bus specification "Authentication Protocol"; org.freedesktop.systemd1(5).

use super::Error;
use super::wire::{self, Call, Message, Value, Writer};
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const PRIVATE: &str = "/run/systemd/private";
const SYSTEM: &str = "/run/dbus/system_bus_socket";

/// As long as others wait for a job of systemd.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// systemd itself is at the other end.
    Private,
    /// A bus with many ends.
    Shared,
}

#[derive(Debug)]
pub(super) struct Bus {
    stream: UnixStream,
    path: PathBuf,
    serial: u32,
    deadline: Instant,
    /// Ends of jobs that came before their call was answered.
    jobs: Vec<(String, String)>,
}

impl Bus {
    /// The private socket where there is one and it is ours to use, else the system bus.
    pub(super) fn connect() -> Result<Self, Error> {
        Self::open(Path::new(PRIVATE), Kind::Private)
            .or_else(|_| Self::open(Path::new(SYSTEM), Kind::Shared))
    }

    pub(super) fn open(path: &Path, kind: Kind) -> Result<Self, Error> {
        let failed = |source| Error::Connect {
            path: path.to_owned(),
            source,
        };
        let stream = UnixStream::connect(path).map_err(failed)?;
        let mut bus = Self {
            stream,
            path: path.to_owned(),
            serial: 0,
            deadline: Instant::now() + PATIENCE,
            jobs: Vec::new(),
        };
        bus.authenticate().map_err(failed)?;
        if kind == Kind::Shared {
            bus.join()?;
        }
        Ok(bus)
    }

    fn authenticate(&mut self) -> io::Result<()> {
        let uid = rustix::process::geteuid().as_raw().to_string();
        let digits: String = uid.bytes().map(|byte| format!("{byte:02x}")).collect();
        self.stream
            .write_all(format!("\0AUTH EXTERNAL {digits}\r\n").as_bytes())?;
        let answer = self.line()?;
        if !answer.starts_with("OK ") {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, answer));
        }
        self.stream.write_all(b"BEGIN\r\n")
    }

    /// One line of the greeting, byte by byte: what follows it is not text.
    fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            if line.len() > 512 {
                return Err(io::ErrorKind::InvalidData.into());
            }
            let mut byte = [0_u8; 1];
            self.fill(&mut byte)?;
            line.push(byte[0]);
        }
        Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
    }

    fn join(&mut self) -> Result<(), Error> {
        let bus = |member, signature, body| Call {
            destination: "org.freedesktop.DBus",
            path: "/org/freedesktop/DBus",
            interface: "org.freedesktop.DBus",
            member,
            signature,
            body,
        };
        self.call(&bus("Hello", "", Vec::new()))?;
        let mut rule = Writer::default();
        rule.text("type='signal',sender='org.freedesktop.systemd1',member='JobRemoved'");
        self.call(&bus("AddMatch", "s", rule.0))?;
        self.call(&manager("Subscribe", "", Vec::new())).map(drop)
    }

    /// Calls and waits for the answer.
    pub(super) fn call(&mut self, call: &Call<'_>) -> Result<Message, Error> {
        self.serial += 1;
        let serial = self.serial;
        self.stream
            .write_all(&call.encode(serial))
            .map_err(|source| self.broken(source))?;
        loop {
            let message = self.receive()?;
            if message.reply_to != Some(serial) {
                self.note(&message);
                continue;
            }
            return match message.kind {
                wire::REPLY => Ok(message),
                _ => Err(Error::Refused {
                    method: call.member.to_owned(),
                    name: message.error.clone().unwrap_or_default(),
                    text: message.words().into_iter().next().unwrap_or_default(),
                }),
            };
        }
    }

    /// Calls a method that starts a job and waits for the job's end.
    pub(super) fn run(&mut self, call: &Call<'_>, unit: &str) -> Result<(), Error> {
        let answer = self.call(call)?;
        let job = answer.words().into_iter().next().unwrap_or_default();
        let result = loop {
            if let Some(at) = self.jobs.iter().position(|(known, _)| *known == job) {
                break self.jobs.swap_remove(at).1;
            }
            let message = self.receive()?;
            self.note(&message);
        };
        match result.as_str() {
            "done" => Ok(()),
            _ => Err(Error::Job {
                unit: unit.to_owned(),
                result,
            }),
        }
    }

    /// `JobRemoved(u id, o job, s unit, s result)`
    fn note(&mut self, message: &Message) {
        if message.kind != wire::SIGNAL || message.member.as_deref() != Some("JobRemoved") {
            return;
        }
        let words = message.words();
        if let [_, job, _, result] = &words[..] {
            // One job of ours is waited for at a time; others' need no memory.
            self.jobs.truncate(64);
            self.jobs.insert(0, (job.clone(), result.clone()));
        }
    }

    fn receive(&mut self) -> Result<Message, Error> {
        let mut head = [0_u8; 16];
        self.fill(&mut head).map_err(|source| self.broken(source))?;
        let wrong = || Error::Protocol {
            path: self.path.clone(),
        };
        let length = Message::length(&head).ok_or_else(wrong)?;
        let mut bytes = vec![0_u8; length];
        bytes[..16].copy_from_slice(&head);
        self.fill(&mut bytes[16..])
            .map_err(|source| self.broken(source))?;
        Message::decode(&bytes).ok_or(Error::Protocol {
            path: self.path.clone(),
        })
    }

    /// Reads all of it or fails when the time is over, however slowly it comes.
    fn fill(&mut self, mut buffer: &mut [u8]) -> io::Result<()> {
        while !buffer.is_empty() {
            let left = self.deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.stream.set_read_timeout(Some(left))?;
            match self.stream.read(buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => buffer = &mut buffer[count..],
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    fn broken(&self, source: io::Error) -> Error {
        Error::Connect {
            path: self.path.clone(),
            source,
        }
    }
}

/// A method of systemd's manager.
pub(super) fn manager<'a>(member: &'a str, signature: &'a str, body: Vec<u8>) -> Call<'a> {
    Call {
        destination: "org.freedesktop.systemd1",
        path: "/org/freedesktop/systemd1",
        interface: "org.freedesktop.systemd1.Manager",
        member,
        signature,
        body,
    }
}

/// `StartTransientUnit(s name, s mode, a(sv) properties, a(sa(sv)) auxiliary)`
pub(super) fn start_transient<'a>(unit: &str, properties: &[(&str, Value)]) -> Call<'a> {
    let mut w = Writer::default();
    w.text(unit);
    w.text("replace");
    w.properties(properties);
    w.array(8, |_| ());
    manager("StartTransientUnit", "ssa(sv)a(sa(sv))", w.0)
}

/// `SetUnitProperties(s name, b runtime, a(sv) properties)`
pub(super) fn set_properties<'a>(unit: &str, properties: &[(&str, Value)]) -> Call<'a> {
    let mut w = Writer::default();
    w.text(unit);
    w.u32(1);
    w.properties(properties);
    manager("SetUnitProperties", "sba(sv)", w.0)
}

/// `StopUnit(s name, s mode)`
pub(super) fn stop<'a>(unit: &str) -> Call<'a> {
    let mut w = Writer::default();
    w.text(unit);
    w.text("replace");
    manager("StopUnit", "ss", w.0)
}

/// `ResetFailedUnit(s name)`
pub(super) fn reset_failed<'a>(unit: &str) -> Call<'a> {
    let mut w = Writer::default();
    w.text(unit);
    manager("ResetFailedUnit", "s", w.0)
}
