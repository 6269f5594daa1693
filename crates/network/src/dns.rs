//! The name server of one container: answers on 127.0.0.11 inside its namespace, forwards from the host's.
//!
//! Single-threaded and never blocking: the owner polls [`Responder::fds`], calls [`ready`](Responder::ready) for each
//! descriptor that is, and [`tick`](Responder::tick) when [`deadline`](Responder::deadline) has passed. The sockets listen on
//! a high port, and a rule in the namespace leads port 53 there ([`redirect`]), so that the container may run a name
//! server of its own. Nobody outside the namespace can reach it.
//!
//! [`zone`] knows the names of the container's networks, [`wire`] the messages, [`forward`] asks others.
//!
//! Source: RFC 1035, RFC 7766 (TCP); moby `libnetwork/resolver.go` for what is answered and what is forwarded.

mod forward;
mod redirect;
mod stream;
mod upstream;
mod wire;
mod zone;

use crate::attach::{Attached, primary_gateway};
use forward::{Asked, Client, Forwarder};
use rustix::net::RecvFlags;
use state::Layout;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::{Duration, Instant};
use stream::Stream;
use sys::datagram;
use sys::netlink::{self, in_netns};
use wire::{Query, Rcode, Records};
use zone::Zone;

/// Where the container sees its name server.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);

/// Connections a container may hold open; the oldest goes first.
const MAX_CLIENTS: usize = 64;
/// Questions answered together, and how often before others have their turn.
const TOGETHER: usize = 16;
const TURNS: usize = 4;
/// Room for one of them.
const MESSAGE: usize = 4096;
/// How long a connection may say nothing.
const IDLE: Duration = Duration::from_secs(10);

/// What one container's name server knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DnsConfig {
    pub container_id: String,
    /// User-defined networks it is on, by name: all names there are served.
    pub networks: Vec<String>,
    /// `--link`: (alias, the other container's name or id), on any network and on the default bridge.
    pub links: Vec<(String, String)>,
    /// Names with fixed addresses, beside `host.docker.internal`.
    pub extra: Vec<(String, IpAddr)>,
    /// The host as the container sees it: `host.docker.internal` and `gateway.docker.internal`.
    pub gateway: Option<IpAddr>,
    /// Whom to ask about other names. Empty: the host's `resolv.conf`, read again when it changes.
    pub upstream: Vec<IpAddr>,
    /// Whether other names are asked for at all; not on internal networks alone.
    pub forward: bool,
}

impl DnsConfig {
    /// What follows from the networks joined; links and servers are the caller's to add.
    pub fn of(attached: &Attached) -> Self {
        let named = |network: &&str| *network != "bridge";
        Self {
            container_id: attached.container_id.clone(),
            networks: attached
                .endpoints
                .iter()
                .map(|e| e.network.as_str())
                .filter(named)
                .map(Into::into)
                .collect(),
            gateway: primary_gateway(attached),
            // A name sent to other servers is a way out too.
            forward: !attached.deny_egress
                && attached.endpoints.iter().any(|endpoint| !endpoint.internal),
            ..Self::default()
        }
    }
}

/// Why there is no name server.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot enter the container's network namespace")]
    Enter { source: io::Error },
    #[error("cannot listen on {ADDRESS} in the container's network namespace")]
    Listen { source: io::Error },
    #[error("cannot lead port 53 of {ADDRESS} to the name server")]
    Redirect { source: netlink::Error },
}

/// What a packet is answered with when no name can be looked up; `None`: it is dropped. Returns for any bytes, which is
/// what the fuzz target asks.
pub fn refusal(packet: &[u8]) -> Option<Vec<u8>> {
    match Query::parse(packet) {
        Ok(query) => query
            .bad_version()
            .or_else(|| Some(query.refuse(Rcode::ServerFailure))),
        Err(answer) => answer,
    }
}

/// What a packet is answered with when its name has these addresses, by UDP. For the fuzz target, too.
pub fn answer_with(packet: &[u8], addresses: &[IpAddr]) -> Option<Vec<u8>> {
    let query = Query::parse(packet).ok()?;
    let records = Records::Addresses(addresses.to_vec());
    Some(query.reply(&records, 0, query.udp_limit()))
}

/// A container's name server.
#[derive(Debug)]
pub struct Responder {
    config: DnsConfig,
    zone: Zone,
    udp: UdpSocket,
    tcp: TcpListener,
    clients: HashMap<RawFd, (Stream, Instant)>,
    forwarder: Forwarder,
    /// Rotates the answers with several addresses.
    turn: usize,
    /// Where questions are read to.
    space: Vec<u8>,
}

impl Responder {
    /// Opens the sockets in `netns`; from then on every name is answered. Its loopback must be up.
    pub fn new(layout: &Layout, netns: BorrowedFd<'_>, config: DnsConfig) -> Result<Self, Error> {
        let (udp, tcp) = in_netns(netns, listen)
            .map_err(|source| Error::Enter { source })?
            .map_err(|source| Error::Listen { source })?;
        let port = udp
            .local_addr()
            .map_err(|source| Error::Listen { source })?
            .port();
        redirect::lead_here(netns, port).map_err(|source| Error::Redirect { source })?;
        Ok(Self {
            zone: Zone::new(layout, &config),
            forwarder: Forwarder::new(config.upstream.clone()),
            config,
            udp,
            tcp,
            clients: HashMap::new(),
            turn: 0,
            space: Vec::new(),
        })
    }

    /// What to wait for: readable always, writable where the flag says so.
    pub fn fds(&self) -> impl Iterator<Item = (BorrowedFd<'_>, bool)> {
        let own = [(self.udp.as_fd(), false), (self.tcp.as_fd(), false)];
        let clients = self
            .clients
            .values()
            .map(|(stream, _)| (stream.fd(), stream.wants_to_write()));
        own.into_iter().chain(clients).chain(self.forwarder.fds())
    }

    /// When [`tick`](Self::tick) is due.
    pub fn deadline(&self) -> Option<Instant> {
        let idle = self.clients.values().map(|(_, since)| *since + IDLE).min();
        [idle, self.forwarder.deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Handles a descriptor of [`fds`](Self::fds) that is ready. One that is not known any more is passed over.
    pub fn ready(&mut self, fd: RawFd) {
        if fd == self.udp.as_raw_fd() {
            self.read_udp();
        } else if fd == self.tcp.as_raw_fd() {
            self.accept();
        } else if self.clients.contains_key(&fd) {
            self.serve_client(fd);
        } else {
            let answers = self.forwarder.ready(fd);
            self.deliver(answers);
        }
    }

    /// Gives up on what took too long.
    pub fn tick(&mut self) {
        let now = Instant::now();
        self.clients.retain(|_, (_, since)| now < *since + IDLE);
        let answers = self.forwarder.tick(now);
        self.deliver(answers);
    }

    /// Answers what came, and what comes meanwhile: who has its answer may ask on at once. A bounded number, so that a flood
    /// cannot keep the owner from its other work.
    fn read_udp(&mut self) {
        let mut space = std::mem::take(&mut self.space);
        if space.is_empty() {
            // Pages of it that no question ever reached cost nothing.
            space = vec![0; TOGETHER * MESSAGE];
        }
        for _ in 0..TURNS {
            let asked = datagram::receive_many(&self.udp, &mut space, MESSAGE).unwrap_or_default();
            if asked.is_empty() {
                break;
            }
            self.answer_together(&asked, &space);
        }
        self.space = space;
    }

    /// Each question lies in its own part of `space`.
    fn answer_together(&mut self, asked: &[(usize, SocketAddrV4)], space: &[u8]) {
        // After they came: who asks knows nothing newer.
        self.zone.refresh();
        let mut answers = Vec::with_capacity(asked.len());
        for ((length, from), message) in asked.iter().zip(space.chunks_exact(MESSAGE)) {
            let answer = self.answer(&message[..*length], Client::Udp((*from).into()));
            answers.extend(answer.map(|answer| (answer, *from)));
        }
        datagram::send_many(&self.udp, &answers);
    }

    fn accept(&mut self) {
        while let Ok((socket, _)) = self.tcp.accept() {
            if self.clients.len() >= MAX_CLIENTS {
                let oldest = self
                    .clients
                    .iter()
                    .min_by_key(|(_, (_, since))| *since)
                    .map(|(fd, _)| *fd);
                oldest.map(|fd| self.clients.remove(&fd));
            }
            if socket.set_nonblocking(true).is_ok() {
                self.clients
                    .insert(socket.as_raw_fd(), (Stream::new(socket), Instant::now()));
            }
        }
    }

    fn serve_client(&mut self, fd: RawFd) {
        let Some((stream, since)) = self.clients.get_mut(&fd) else {
            return;
        };
        *since = Instant::now();
        let serial = stream.serial();
        let (messages, open) = stream.advance();
        self.zone.refresh();
        for message in messages {
            if let Some(answer) = self.answer(&message, Client::Tcp { fd, serial })
                && let Some((stream, _)) = self.clients.get_mut(&fd)
            {
                stream.send(&answer);
            }
        }
        if !open {
            self.clients.remove(&fd);
        }
    }

    fn deliver(&mut self, answers: Vec<(Client, Vec<u8>)>) {
        for (client, answer) in answers {
            match client {
                Client::Udp(to) => {
                    let _ = self.udp.send_to(&answer, to);
                }
                Client::Tcp { fd, serial } => {
                    // The descriptor's number may belong to a later connection by now.
                    if let Some((stream, since)) = self.clients.get_mut(&fd)
                        && stream.serial() == serial
                    {
                        *since = Instant::now();
                        stream.send(&answer);
                    }
                }
            }
        }
    }

    /// The answer, when it can be given at once.
    fn answer(&mut self, message: &[u8], client: Client) -> Option<Vec<u8>> {
        let query = match Query::parse(message) {
            Ok(query) => query,
            Err(reply) => return reply,
        };
        if let Some(told) = query.bad_version() {
            return Some(told);
        }
        if let Some(records) = self.zone.lookup(&query) {
            self.turn = self.turn.wrapping_add(1);
            let limit = if matches!(client, Client::Udp(_)) {
                query.udp_limit()
            } else {
                usize::from(u16::MAX)
            };
            return Some(query.reply(&records, self.turn, limit));
        }
        if !self.config.forward {
            return Some(query.refuse(Rcode::ServerFailure));
        }
        let asked = self.forwarder.ask(Asked::new(message, client, &query));
        (!asked).then(|| query.refuse(Rcode::ServerFailure))
    }
}

/// One port for both protocols.
fn listen() -> io::Result<(UdpSocket, TcpListener)> {
    let mut tries = 0;
    loop {
        let udp = UdpSocket::bind(SocketAddr::from((ADDRESS, 0)))?;
        match TcpListener::bind(udp.local_addr()?) {
            Ok(tcp) => {
                udp.set_nonblocking(true)?;
                tcp.set_nonblocking(true)?;
                return Ok((udp, tcp));
            }
            Err(e) if e.kind() == io::ErrorKind::AddrInUse && tries < 16 => tries += 1,
            Err(e) => return Err(e),
        }
    }
}

/// Reads one packet: `Ok(None)` when there is none, an error when the other end refused.
fn receive(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    match rustix::net::recv(fd, buffer, RecvFlags::DONTWAIT) {
        Ok((length, _)) => Ok(Some(length)),
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::refusal;
    use proptest::prelude::*;

    proptest! {
        /// The same question as the fuzz target `dns`.
        #[test]
        fn an_answer_fits_what_the_client_takes(packet in prop::collection::vec(any::<u8>(), 0..600)) {
            let addresses: Vec<std::net::IpAddr> = (0..=255).map(|n| [10, 0, 0, n].into()).collect();
            if let Some(answer) = super::answer_with(&packet, &addresses) {
                prop_assert!(answer.len() <= 4096);
                prop_assert_eq!(&answer[..2], &packet[..2]);
            }
        }

        /// The same question as the fuzz target `dns`.
        #[test]
        fn a_refusal_never_amplifies(packet in prop::collection::vec(any::<u8>(), 0..600)) {
            if let Some(answer) = refusal(&packet) {
                prop_assert!(answer.len() >= 12);
                prop_assert!(answer.len() <= packet.len().max(12) + 11);
                prop_assert_eq!(&answer[..2], &packet[..2]);
            }
        }
    }
}
