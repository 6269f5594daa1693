//! DNS messages, as far as a name server for a few names needs them.
//!
//! A query is believed only as far as its one question; the rest of a forwarded message passes through as it is, so that
//! record types we have never heard of work. Hostile input is refused or ignored, never trusted: names in questions
//! have no compression, every length is checked.
//!
//! ```text
//! header: id, flags (QR opcode AA TC RD | RA Z AD CD rcode), counts of question, answer, authority, additional
//! question: labels (length, bytes)… 0, type, class
//! ```
//! Source: RFC 1035 section 4, RFC 6891 (EDNS), RFC 2308 (no data, with its authority).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub(super) const HEADER: usize = 12;
const QR: u8 = 0x80;
const TC: u8 = 0x02;
const OPCODE: u8 = 0x78;
const RD: u8 = 0x01;
const CLASS_IN: u16 = 1;
const TYPE_A: u16 = 1;
const TYPE_SOA: u16 = 6;
const TYPE_PTR: u16 = 12;
const TYPE_AAAA: u16 = 28;
const TYPE_OPT: u16 = 41;
/// What every client can take by UDP.
const CLASSIC_LIMIT: usize = 512;
/// What we take and send at most.
const EDNS_LIMIT: usize = 4096;
/// An OPT record without options.
const OPT_LEN: usize = 11;
/// A pointer to it.
const NAME_OF_QUESTION: [u8; 2] = [0xc0, HEADER as u8];
/// Short: addresses change with every restart.
const TTL: u32 = 1;

/// `RCODE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Rcode {
    NoError = 0,
    FormatError = 1,
    ServerFailure = 2,
    NotImplemented = 4,
}

/// What the question is about, as far as we can answer it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    A,
    Aaaa,
    Ptr,
    Other,
}

/// A query with one question.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Query<'a> {
    header: [u8; HEADER],
    /// The question section, byte for byte.
    pub(super) question: &'a [u8],
    /// Lower case, without the final dot.
    pub(super) name: String,
    pub(super) kind: Kind,
    /// `None`: a client that knows only the classic messages.
    edns: Option<Edns>,
}

/// What the client's OPT record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Edns {
    size: usize,
    version: u8,
}

/// What is known about a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Records {
    Addresses(Vec<IpAddr>),
    Name(String),
}

impl<'a> Query<'a> {
    /// `Err`: no query we can act on, and the answer it deserves (nothing, for what is no query at all).
    pub(super) fn parse(message: &'a [u8]) -> Result<Self, Option<Vec<u8>>> {
        let Some(header) = message.first_chunk::<HEADER>().copied() else {
            return Err(None);
        };
        if header[2] & QR != 0 {
            return Err(None); // an answer: two servers must not talk each other to death
        }
        let bad = |rcode| Err(Some(reply_header(&header, rcode, 0, 0).to_vec()));
        if header[2] & OPCODE != 0 {
            return bad(Rcode::NotImplemented);
        }
        if count(&header, 4) != 1 {
            return bad(Rcode::FormatError);
        }
        let Some((name, length)) = read_name(&message[HEADER..]) else {
            return bad(Rcode::FormatError);
        };
        let end = HEADER + length + 4;
        let Some(question) = message.get(HEADER..end) else {
            return bad(Rcode::FormatError);
        };
        let (kind, class) = (be16(question, length), be16(question, length + 2));
        let kind = match kind {
            _ if class != CLASS_IN => Kind::Other,
            TYPE_A => Kind::A,
            TYPE_AAAA => Kind::Aaaa,
            TYPE_PTR => Kind::Ptr,
            _ => Kind::Other,
        };
        let edns = edns(&header, &message[end..]);
        Ok(Self {
            header,
            question,
            name,
            kind,
            edns,
        })
    }

    pub(super) fn id(&self) -> [u8; 2] {
        [self.header[0], self.header[1]]
    }

    pub(super) fn udp_limit(&self) -> usize {
        self.edns.map_or(CLASSIC_LIMIT, |edns| edns.size)
    }

    /// An answer without records.
    pub(super) fn refuse(&self, rcode: Rcode) -> Vec<u8> {
        let mut message = reply_header(&self.header, rcode, 1, 0).to_vec();
        message.extend_from_slice(self.question);
        message
    }

    /// The records that fit the question's type; an existing name without any is an answer too. The first of several
    /// addresses changes with `turn`.
    pub(super) fn reply(&self, records: &Records, turn: usize, limit: usize) -> Vec<u8> {
        let mut data: Vec<(u16, Vec<u8>)> = match records {
            Records::Name(name) if self.kind == Kind::Ptr => encode_name(name)
                .map(|name| (TYPE_PTR, name))
                .into_iter()
                .collect(),
            Records::Name(_) => Vec::new(),
            Records::Addresses(addresses) => addresses
                .iter()
                .filter_map(|a| self.address_data(*a))
                .collect(),
        };
        if !data.is_empty() {
            let by = turn % data.len();
            data.rotate_left(by);
        }
        let mut message = reply_header(&self.header, Rcode::NoError, 1, 0).to_vec();
        message.extend_from_slice(self.question);
        let nothing = data.is_empty();
        let limit = limit - self.edns.map_or(0, |_| OPT_LEN);
        let mut written = 0u16;
        for (kind, rdata) in data {
            if message.len() + NAME_OF_QUESTION.len() + 10 + rdata.len() > limit {
                message[2] |= TC;
                break;
            }
            record(&mut message, kind, &rdata);
            written += 1;
        }
        message[6..8].copy_from_slice(&written.to_be_bytes());
        if nothing {
            record(&mut message, TYPE_SOA, &authority());
            message[8..10].copy_from_slice(&1u16.to_be_bytes());
        }
        self.add_opt(&mut message, 0);
        message
    }

    /// The client speaks a version of EDNS that nobody knows yet: it is told which we do.
    pub(super) fn bad_version(&self) -> Option<Vec<u8>> {
        const BADVERS_HIGH: u8 = 1;
        self.edns.filter(|edns| edns.version > 0)?;
        let mut message = self.refuse(Rcode::NoError);
        self.add_opt(&mut message, BADVERS_HIGH);
        Some(message)
    }

    /// Who sent an OPT record gets one (RFC 6891, section 6.1.1): root, type, our size, code and version, flags, no options.
    fn add_opt(&self, message: &mut Vec<u8>, extended_rcode: u8) {
        if self.edns.is_none() {
            return;
        }
        message.push(0);
        message.extend_from_slice(&TYPE_OPT.to_be_bytes());
        message.extend_from_slice(&(EDNS_LIMIT as u16).to_be_bytes());
        message.extend_from_slice(&[extended_rcode, 0, 0, 0, 0, 0]);
        message[10..12].copy_from_slice(&1u16.to_be_bytes());
    }

    fn address_data(&self, address: IpAddr) -> Option<(u16, Vec<u8>)> {
        match (self.kind, address) {
            (Kind::A, IpAddr::V4(v4)) => Some((TYPE_A, v4.octets().to_vec())),
            (Kind::Aaaa, IpAddr::V6(v6)) => Some((TYPE_AAAA, v6.octets().to_vec())),
            _ => None,
        }
    }

    /// The address a reverse name stands for.
    pub(super) fn reverse_address(&self) -> Option<IpAddr> {
        if let Some(digits) = self.name.strip_suffix(".in-addr.arpa") {
            let reversed: Vec<&str> = digits.rsplit('.').collect();
            return reversed.join(".").parse::<Ipv4Addr>().ok().map(IpAddr::V4);
        }
        let digits: Vec<&str> = self.name.strip_suffix(".ip6.arpa")?.rsplit('.').collect();
        if digits.len() != 32 || digits.iter().any(|digit| digit.len() != 1) {
            return None;
        }
        u128::from_str_radix(&digits.concat(), 16)
            .ok()
            .map(|bits| Ipv6Addr::from(bits).into())
    }
}

/// Whether `answer` (from a server) is one to the question we sent under `id`.
pub(super) fn is_answer(answer: &[u8], id: [u8; 2], question: &[u8]) -> bool {
    let end = HEADER + question.len();
    answer.len() >= end
        && answer[..2] == id
        && answer[2] & QR != 0
        && answer
            .get(HEADER..end)
            .is_some_and(|theirs| theirs.eq_ignore_ascii_case(question))
}

fn reply_header(query: &[u8; HEADER], rcode: Rcode, questions: u16, answers: u16) -> [u8; HEADER] {
    const RA: u8 = 0x80;
    let mut header = [0; HEADER];
    header[..2].copy_from_slice(&query[..2]);
    header[2] = QR | query[2] & (OPCODE | RD);
    header[3] = RA | rcode as u8;
    header[4..6].copy_from_slice(&questions.to_be_bytes());
    header[6..8].copy_from_slice(&answers.to_be_bytes());
    header
}

/// A name without compression and its length in the message. Bytes that are no host name's stay out of ours, so they
/// are kept as they are, as text.
fn read_name(bytes: &[u8]) -> Option<(String, usize)> {
    let mut name = Vec::new();
    let mut at = 0;
    loop {
        let length = usize::from(*bytes.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        if length > 63 || at + length > 255 {
            return None; // a pointer (0xc0), a reserved kind, or too long
        }
        if !name.is_empty() {
            name.push(b'.');
        }
        name.extend_from_slice(bytes.get(at..at + length)?);
        at += length;
    }
    name.make_ascii_lowercase();
    Some((String::from_utf8_lossy(&name).into_owned(), at))
}

fn encode_name(name: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(name.len() + 2);
    for label in name.split('.').filter(|label| !label.is_empty()) {
        let length = u8::try_from(label.len())
            .ok()
            .filter(|length| *length <= 63)?;
        bytes.push(length);
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.push(0);
    (bytes.len() <= 255).then_some(bytes)
}

/// A record about the name of the question.
fn record(message: &mut Vec<u8>, kind: u16, rdata: &[u8]) {
    message.extend_from_slice(&NAME_OF_QUESTION);
    message.extend_from_slice(&kind.to_be_bytes());
    message.extend_from_slice(&CLASS_IN.to_be_bytes());
    message.extend_from_slice(&TTL.to_be_bytes());
    message.extend_from_slice(&(rdata.len() as u16).to_be_bytes());
    message.extend_from_slice(rdata);
}

/// The start of authority that says how long "no such record" may be believed: the name is its own zone. Name server,
/// mailbox, serial, refresh, retry, expire, minimum.
fn authority() -> Vec<u8> {
    let mut data = [NAME_OF_QUESTION, NAME_OF_QUESTION].concat();
    for number in [1, TTL, TTL, TTL, TTL] {
        data.extend_from_slice(&number.to_be_bytes());
    }
    data
}

/// The OPT record, when that is the only thing behind the question.
fn edns(header: &[u8; HEADER], rest: &[u8]) -> Option<Edns> {
    let only_additional = count(header, 6) == 0 && count(header, 8) == 0 && count(header, 10) > 0;
    let is_opt = rest.first() == Some(&0) && rest.len() >= 11 && be16(rest, 1) == TYPE_OPT;
    (only_additional && is_opt).then(|| Edns {
        size: usize::from(be16(rest, 3)).clamp(CLASSIC_LIMIT, EDNS_LIMIT),
        version: rest[6],
    })
}

fn count(header: &[u8; HEADER], at: usize) -> u16 {
    be16(header, at)
}

fn be16(bytes: &[u8], at: usize) -> u16 {
    bytes
        .get(at..at + 2)
        .map_or(0, |two| u16::from_be_bytes([two[0], two[1]]))
}

#[cfg(test)]
mod tests;
