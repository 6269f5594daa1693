//! DNS over one TCP connection, without ever waiting: messages with a length of two bytes before each.
//!
//! Source: RFC 1035 section 4.2.2, RFC 7766.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU64, Ordering};

/// What may wait for a peer that does not read.
const MAX_QUEUED: usize = 1 << 20;

#[derive(Debug)]
pub(super) struct Stream {
    socket: TcpStream,
    serial: u64,
    received: Vec<u8>,
    to_send: Vec<u8>,
    broken: bool,
}

impl Stream {
    /// Over a connection that does not block.
    pub(super) fn new(socket: TcpStream) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let serial = NEXT.fetch_add(1, Ordering::Relaxed);
        Self {
            socket,
            serial,
            received: Vec::new(),
            to_send: Vec::new(),
            broken: false,
        }
    }

    /// Tells connections apart after a descriptor's number is used again.
    pub(super) fn serial(&self) -> u64 {
        self.serial
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    pub(super) fn wants_to_write(&self) -> bool {
        !self.to_send.is_empty()
    }

    /// Queues a message and sends what can be sent.
    pub(super) fn send(&mut self, message: &[u8]) {
        let Ok(length) = u16::try_from(message.len()) else {
            return;
        };
        if self.to_send.len() > MAX_QUEUED {
            self.broken = true;
            return;
        }
        self.to_send.extend_from_slice(&length.to_be_bytes());
        self.to_send.extend_from_slice(message);
        self.write();
    }

    /// Writes and reads what is possible now: the messages that came whole, and whether the connection still stands.
    pub(super) fn advance(&mut self) -> (Vec<Vec<u8>>, bool) {
        self.write();
        let open = self.read();
        let mut messages = Vec::new();
        while let Some(message) = self.next_message() {
            messages.push(message);
        }
        (messages, open && !self.broken)
    }

    fn write(&mut self) {
        while !self.to_send.is_empty() {
            match self.socket.write(&self.to_send) {
                Ok(0) => break,
                Ok(count) => drop(self.to_send.drain(..count)),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                // Not yet connected is the same as not yet writable.
                Err(e)
                    if matches!(
                        e.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected
                    ) =>
                {
                    break;
                }
                Err(_) => {
                    self.broken = true;
                    break;
                }
            }
        }
    }

    fn read(&mut self) -> bool {
        let mut buffer = [0; 4096];
        // At most one full message a turn: others wait to be served too.
        for _ in 0..16 {
            match self.socket.read(&mut buffer) {
                Ok(0) => return false,
                Ok(count) => self.received.extend_from_slice(&buffer[..count]),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e)
                    if matches!(
                        e.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected
                    ) =>
                {
                    return true;
                }
                Err(_) => return false,
            }
        }
        true
    }

    fn next_message(&mut self) -> Option<Vec<u8>> {
        let length = usize::from(u16::from_be_bytes(*self.received.first_chunk::<2>()?));
        let message = self.received.get(2..2 + length)?.to_vec();
        self.received.drain(..2 + length);
        Some(message)
    }
}
