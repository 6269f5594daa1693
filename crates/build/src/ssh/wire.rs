//! The agent's protocol: the few messages a step may send, and how values are laid out.
//!
//! ```text
//! uint32 length, byte type, contents        string: uint32 length, bytes
//! 11 REQUEST_IDENTITIES                     → 12 uint32 count, (string key, string comment)*
//! 13 SIGN_REQUEST  string key, string data, uint32 flags     → 14 string signature
//! everything else                           → 5 FAILURE
//! ```
//! Source: draft-ietf-sshm-ssh-agent; RFC 4251 section 5.

use std::io::{self, Read, Write};

pub(super) const FAILURE: u8 = 5;
pub(super) const REQUEST_IDENTITIES: u8 = 11;
pub(super) const IDENTITIES_ANSWER: u8 = 12;
pub(super) const SIGN_REQUEST: u8 = 13;
pub(super) const SIGN_RESPONSE: u8 = 14;

/// What OpenSSH's agent takes and gives at most.
const MESSAGE_MAX: usize = 256 << 10;

/// The next message, type first; `None` when the other end is done.
pub(super) fn read(stream: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    match stream.read_exact(&mut length) {
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let length = u32::from_be_bytes(length) as usize;
    if length == 0 || length > MESSAGE_MAX {
        let text = format!("a message of {length} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    // Grows with what comes: a length alone costs its sender nothing.
    let mut message = Vec::new();
    stream.take(length as u64).read_to_end(&mut message)?;
    if message.len() < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some(message))
}

pub(super) fn write(stream: &mut impl Write, message: &[u8]) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(4 + message.len());
    put_string(&mut bytes, message);
    stream.write_all(&bytes)
}

pub(super) fn put_string(to: &mut Vec<u8>, bytes: &[u8]) {
    to.extend((bytes.len() as u32).to_be_bytes());
    to.extend(bytes);
}

/// A positive integer: no leading zeros, but one where the highest bit would make it negative.
pub(super) fn put_integer(to: &mut Vec<u8>, big_endian: &[u8]) {
    let digits = without_zeros(big_endian);
    let mut bytes = Vec::with_capacity(digits.len() + 1);
    if digits.first().is_some_and(|first| first & 0x80 != 0) {
        bytes.push(0);
    }
    bytes.extend(digits);
    put_string(to, &bytes);
}

pub(super) fn without_zeros(big_endian: &[u8]) -> &[u8] {
    let zeros = big_endian.iter().take_while(|byte| **byte == 0).count();
    &big_endian[zeros..]
}

/// Takes values off the front; `None` where there are none left.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(front)
    }

    pub(super) fn number(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    pub(super) fn string(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        self.take(length as usize)
    }

    /// A positive integer's digits.
    pub(super) fn integer(&mut self) -> Option<&'a [u8]> {
        let bytes = self.string()?;
        let negative = bytes.first().is_some_and(|first| first & 0x80 != 0);
        (!negative).then(|| without_zeros(bytes))
    }
}
