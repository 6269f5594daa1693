//! Questions about names that are not ours, asked of other servers from the host's namespace.
//!
//! Each question has a socket of its own, connected to one server from a random port under a random id, so that nobody
//! else's packet passes for the answer. A server that is silent or refuses gives way to the next. What came by TCP is
//! asked by TCP, so a truncated answer is simply handed on and the client asks again.
//!
//! Source: RFC 5452 (spoofing), RFC 1035 section 7.

use super::receive;
use super::stream::Stream;
use super::upstream::Servers;
use super::wire::{self, Query, Rcode};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

/// How long one server may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often the list of servers is gone through.
const ROUNDS: usize = 2;
/// Questions under way at once; more are refused.
const MAX_PENDING: usize = 256;
const PORT: u16 = 53;

/// Who wants to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Client {
    Udp(SocketAddr),
    Tcp { fd: RawFd, serial: u64 },
}

/// A question to be put to others.
#[derive(Debug)]
pub(super) struct Asked {
    client: Client,
    /// The client's message, as it came.
    message: Vec<u8>,
    question: Vec<u8>,
    failure: Vec<u8>,
    id: [u8; 2],
    attempt: usize,
}

impl Asked {
    pub(super) fn new(message: &[u8], client: Client, query: &Query<'_>) -> Self {
        Self {
            client,
            message: message.to_vec(),
            question: query.question.to_vec(),
            failure: query.refuse(Rcode::ServerFailure),
            id: query.id(),
            attempt: 0,
        }
    }
}

#[derive(Debug)]
struct Pending {
    asked: Asked,
    socket: Socket,
    /// The id we asked under.
    id: [u8; 2],
    until: Instant,
}

#[derive(Debug)]
enum Socket {
    Udp(UdpSocket),
    Tcp(Stream),
}

/// The questions under way.
#[derive(Debug)]
pub(super) struct Forwarder {
    servers: Servers,
    pending: HashMap<RawFd, Pending>,
}

impl Forwarder {
    pub(super) fn new(servers: Vec<IpAddr>) -> Self {
        Self {
            servers: Servers::new(servers),
            pending: HashMap::new(),
        }
    }

    pub(super) fn fds(&self) -> impl Iterator<Item = (BorrowedFd<'_>, bool)> {
        self.pending.values().map(|pending| match &pending.socket {
            Socket::Udp(socket) => (socket.as_fd(), false),
            Socket::Tcp(stream) => (stream.fd(), stream.wants_to_write()),
        })
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.pending.values().map(|pending| pending.until).min()
    }

    /// Asks; `false` when nobody can be asked.
    pub(super) fn ask(&mut self, mut asked: Asked) -> bool {
        if self.pending.len() >= MAX_PENDING {
            return false;
        }
        let servers = self.servers.current().to_vec();
        while asked.attempt < servers.len() * ROUNDS {
            let server = servers[asked.attempt % servers.len()];
            asked.attempt += 1;
            // A server that cannot even be sent to gives way at once.
            if let Ok((socket, id)) = send(&asked, server) {
                let until = Instant::now() + PATIENCE;
                let fd = match &socket {
                    Socket::Udp(socket) => socket.as_raw_fd(),
                    Socket::Tcp(stream) => stream.fd().as_raw_fd(),
                };
                self.pending.insert(
                    fd,
                    Pending {
                        asked,
                        socket,
                        id,
                        until,
                    },
                );
                return true;
            }
        }
        false
    }

    /// The answers that are complete now.
    pub(super) fn ready(&mut self, fd: RawFd) -> Vec<(Client, Vec<u8>)> {
        let Some(pending) = self.pending.get_mut(&fd) else {
            return Vec::new();
        };
        let outcome = match &mut pending.socket {
            Socket::Udp(socket) => {
                let mut buffer = [0; 4096];
                match receive(socket.as_fd(), &mut buffer) {
                    Ok(Some(length)) => {
                        let message = buffer[..length].to_vec();
                        judge(&[message], pending.id, &pending.asked.question, true)
                    }
                    Ok(None) => Outcome::Wait,
                    Err(_) => Outcome::Failed, // nobody listens there
                }
            }
            Socket::Tcp(stream) => {
                let (messages, open) = stream.advance();
                judge(&messages, pending.id, &pending.asked.question, open)
            }
        };
        match outcome {
            Outcome::Wait => Vec::new(),
            Outcome::Failed => self
                .pending
                .remove(&fd)
                .and_then(|p| self.next_server(p.asked))
                .into_iter()
                .collect(),
            Outcome::Answer(mut answer) => {
                let Some(pending) = self.pending.remove(&fd) else {
                    return Vec::new();
                };
                answer[..2].copy_from_slice(&pending.asked.id);
                vec![(pending.asked.client, answer)]
            }
        }
    }

    /// Goes on to the next server where one took too long.
    pub(super) fn tick(&mut self, now: Instant) -> Vec<(Client, Vec<u8>)> {
        let late: Vec<RawFd> = self
            .pending
            .iter()
            .filter(|(_, p)| p.until <= now)
            .map(|(fd, _)| *fd)
            .collect();
        let late: Vec<Pending> = late
            .iter()
            .filter_map(|fd| self.pending.remove(fd))
            .collect();
        late.into_iter()
            .filter_map(|pending| self.next_server(pending.asked))
            .collect()
    }

    /// A failure for the client when there is no server left.
    fn next_server(&mut self, asked: Asked) -> Option<(Client, Vec<u8>)> {
        let (client, failure) = (asked.client, asked.failure.clone());
        (!self.ask(asked)).then_some((client, failure))
    }
}

enum Outcome {
    Wait,
    Failed,
    Answer(Vec<u8>),
}

/// Finds the answer among what came. One that refuses or fails is worth asking somebody else.
fn judge(messages: &[Vec<u8>], id: [u8; 2], question: &[u8], open: bool) -> Outcome {
    const SERVER_FAILURE: u8 = 2;
    const REFUSED: u8 = 5;
    match messages
        .iter()
        .find(|message| wire::is_answer(message, id, question))
    {
        Some(answer) if matches!(answer[3] & 0xf, SERVER_FAILURE | REFUSED) => Outcome::Failed,
        Some(answer) => Outcome::Answer(answer.clone()),
        None if open => Outcome::Wait,
        None => Outcome::Failed,
    }
}

fn send(asked: &Asked, server: IpAddr) -> io::Result<(Socket, [u8; 2])> {
    let id: [u8; 2] = crate::random::bytes()?;
    let mut message = asked.message.clone();
    message[..2].copy_from_slice(&id);
    let to = SocketAddr::new(server, PORT);
    let socket = match asked.client {
        Client::Udp(_) => {
            let any: IpAddr = if server.is_ipv4() {
                Ipv4Addr::UNSPECIFIED.into()
            } else {
                Ipv6Addr::UNSPECIFIED.into()
            };
            let socket = UdpSocket::bind((any, 0))?;
            socket.set_nonblocking(true)?;
            socket.connect(to)?;
            socket.send(&message)?;
            Socket::Udp(socket)
        }
        Client::Tcp { .. } => {
            let mut stream = Stream::new(connect(to)?);
            stream.send(&message);
            Socket::Tcp(stream)
        }
    };
    Ok((socket, id))
}

/// Begins to connect.
fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType};
    let family = if to.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket: OwnedFd = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    match rustix::net::connect(&socket, &to) {
        Ok(()) | Err(rustix::io::Errno::INPROGRESS) => Ok(TcpStream::from(socket)),
        Err(e) => Err(e.into()),
    }
}
