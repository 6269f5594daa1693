//! D-Bus messages as bytes: what the client of systemd says and what it understands of the answers.
//!
//! ```text
//! 0      1     2      3        4            8       12            16
//! 'l'/'B' type  flags  version  body length  serial  field bytes   fields … (to 8)   body
//!                      = 1      u32          u32     u32           array of (y v)
//! ```
//! Every value is aligned to its own size from the message's start: u32, strings and arrays to 4, u64 and structures to 8. A string is
//! its length, its bytes and a zero; a signature has one byte of length; a variant is a signature and a value. Fields: 1 path,
//! 2 interface, 3 member, 4 error name, 5 reply serial, 6 destination, 8 signature.
//! What comes in is another process's word: lengths are bounded and every read is checked.
//! Source: D-Bus specification, "Message Protocol" and "Type System".

/// Longer messages are not for us.
pub(super) const MAXIMUM: usize = 1 << 20;

pub(super) const CALL: u8 = 1;
pub(super) const REPLY: u8 = 2;
#[cfg(test)]
pub(super) const ERROR: u8 = 3;
pub(super) const SIGNAL: u8 = 4;

/// A value inside a variant, as systemd's properties need them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Bool(bool),
    U64(u64),
    Text(String),
    Pids(Vec<u32>),
    Bytes(Vec<u8>),
    Pairs(Vec<(String, String)>),
}

impl Value {
    fn signature(&self) -> &'static str {
        match self {
            Self::Bool(_) => "b",
            Self::U64(_) => "t",
            Self::Text(_) => "s",
            Self::Pids(_) => "au",
            Self::Bytes(_) => "ay",
            Self::Pairs(_) => "a(ss)",
        }
    }
}

/// Writes values one after the other, little endian.
#[derive(Debug, Default)]
pub(super) struct Writer(pub(super) Vec<u8>);

impl Writer {
    fn align(&mut self, to: usize) {
        self.0.resize(self.0.len().next_multiple_of(to), 0);
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.align(4);
        self.0.extend(value.to_le_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.align(8);
        self.0.extend(value.to_le_bytes());
    }

    pub(super) fn text(&mut self, text: &str) {
        self.u32(text.len() as u32);
        self.0.extend(text.as_bytes());
        self.0.push(0);
    }

    pub(super) fn signature(&mut self, text: &str) {
        self.0.push(text.len() as u8);
        self.0.extend(text.as_bytes());
        self.0.push(0);
    }

    /// The length of an array counts from its first element, after that one's alignment.
    pub(super) fn array(&mut self, alignment: usize, fill: impl FnOnce(&mut Self)) {
        self.u32(0);
        let length = self.0.len() - 4;
        self.align(alignment);
        let start = self.0.len();
        fill(self);
        let bytes = (self.0.len() - start) as u32;
        self.0[length..length + 4].copy_from_slice(&bytes.to_le_bytes());
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Bool(on) => self.u32(u32::from(*on)),
            Value::U64(number) => self.u64(*number),
            Value::Text(text) => self.text(text),
            Value::Pids(pids) => self.array(4, |w| pids.iter().for_each(|pid| w.u32(*pid))),
            Value::Bytes(bytes) => self.array(1, |w| w.0.extend(bytes)),
            Value::Pairs(pairs) => self.array(8, |w| {
                for (first, second) in pairs {
                    w.align(8);
                    w.text(first);
                    w.text(second);
                }
            }),
        }
    }

    /// `a(sv)`
    pub(super) fn properties(&mut self, properties: &[(&str, Value)]) {
        self.array(8, |w| {
            for (name, value) in properties {
                w.align(8);
                w.text(name);
                w.signature(value.signature());
                w.value(value);
            }
        });
    }
}

/// A call of a method.
#[derive(Debug)]
pub(super) struct Call<'a> {
    pub(super) destination: &'a str,
    pub(super) path: &'a str,
    pub(super) interface: &'a str,
    pub(super) member: &'a str,
    pub(super) signature: &'a str,
    pub(super) body: Vec<u8>,
}

impl Call<'_> {
    pub(super) fn encode(&self, serial: u32) -> Vec<u8> {
        let fields = [
            (1, "o", self.path),
            (2, "s", self.interface),
            (3, "s", self.member),
            (6, "s", self.destination),
        ];
        let mut w = Writer(vec![b'l', CALL, 0, 1]);
        w.u32(self.body.len() as u32);
        w.u32(serial);
        w.array(8, |w| {
            for (code, kind, text) in fields {
                w.align(8);
                w.0.push(code);
                w.signature(kind);
                w.text(text);
            }
            if !self.signature.is_empty() {
                w.align(8);
                w.0.push(8);
                w.signature("g");
                w.signature(self.signature);
            }
        });
        w.align(8);
        w.0.extend(&self.body);
        w.0
    }
}

/// What came in, as far as it matters.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) kind: u8,
    pub(super) serial: u32,
    pub(super) reply_to: Option<u32>,
    pub(super) path: Option<String>,
    pub(super) member: Option<String>,
    pub(super) error: Option<String>,
    pub(super) signature: String,
    pub(super) body: Vec<u8>,
    big: bool,
}

impl Message {
    /// The whole length, from the first 16 bytes; `None` for what is no message or too long.
    pub(super) fn length(head: &[u8; 16]) -> Option<usize> {
        let mut r = Reader::new(head, endian(head[0])?);
        if head[3] != 1 {
            return None;
        }
        r.at = 4;
        let body = r.u32()? as usize;
        r.at = 12;
        let fields = r.u32()? as usize;
        let total = 16_usize
            .checked_add(fields)?
            .checked_next_multiple_of(8)?
            .checked_add(body)?;
        (total <= MAXIMUM).then_some(total)
    }

    /// Of a whole message.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let head: &[u8; 16] = bytes.first_chunk()?;
        if Self::length(head)? != bytes.len() {
            return None;
        }
        let mut r = Reader::new(bytes, endian(head[0])?);
        let mut message = Self {
            kind: head[1],
            big: r.big,
            ..Self::default()
        };
        r.at = 4;
        let body = r.u32()? as usize;
        message.serial = r.u32()?;
        let end = 16 + r.u32()? as usize;
        while r.at < end {
            r.align(8);
            message.field(&mut r)?;
        }
        message.body = bytes.get(bytes.len() - body..)?.to_vec();
        Some(message)
    }

    fn field(&mut self, r: &mut Reader<'_>) -> Option<()> {
        let code = r.byte()?;
        match (code, r.signature()?.as_str()) {
            (1, "o") => self.path = Some(r.text()?),
            (3, "s") => self.member = Some(r.text()?),
            (4, "s") => self.error = Some(r.text()?),
            (5, "u") => self.reply_to = Some(r.u32()?),
            (8, "g") => self.signature = r.signature()?,
            (_, "s" | "o") => drop(r.text()?),
            (_, "u") => drop(r.u32()?),
            (_, "g") => drop(r.signature()?),
            _ => return None,
        }
        Some(())
    }

    /// The strings, paths and numbers the body begins with.
    pub(super) fn words(&self) -> Vec<String> {
        let mut r = Reader::new(&self.body, self.big);
        let word = |kind| match kind {
            's' | 'o' => r.text(),
            'u' => r.u32().map(|number| number.to_string()),
            _ => None,
        };
        self.signature.chars().map_while(word).collect()
    }
}

fn endian(byte: u8) -> Option<bool> {
    match byte {
        b'l' => Some(false),
        b'B' => Some(true),
        _ => None,
    }
}

#[derive(Debug)]
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    big: bool,
}

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8], big: bool) -> Self {
        Self { bytes, at: 0, big }
    }

    fn align(&mut self, to: usize) {
        self.at = self.at.next_multiple_of(to);
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(count)?;
        let bytes = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(bytes)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn u32(&mut self) -> Option<u32> {
        self.align(4);
        let bytes = *self.take(4)?.first_chunk()?;
        Some(match self.big {
            true => u32::from_be_bytes(bytes),
            false => u32::from_le_bytes(bytes),
        })
    }

    fn text(&mut self) -> Option<String> {
        let length = self.u32()? as usize;
        self.terminated(length)
    }

    fn signature(&mut self) -> Option<String> {
        let length = self.byte()?;
        self.terminated(length.into())
    }

    fn terminated(&mut self, length: usize) -> Option<String> {
        let text = self.take(length)?;
        (self.byte()? == 0).then(|| String::from_utf8_lossy(text).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The first call on every bus, byte for byte as other clients send it.
    const HELLO: &[u8] = b"l\x01\x00\x01\x00\x00\x00\x00\x01\x00\x00\x00\x6d\x00\x00\x00\
\x01\x01o\x00\x15\x00\x00\x00/org/freedesktop/DBus\x00\x00\x00\
\x02\x01s\x00\x14\x00\x00\x00org.freedesktop.DBus\x00\x00\x00\x00\
\x03\x01s\x00\x05\x00\x00\x00Hello\x00\x00\x00\
\x06\x01s\x00\x14\x00\x00\x00org.freedesktop.DBus\x00\x00\x00\x00";

    #[test]
    fn a_call_is_what_others_send() {
        let hello = Call {
            destination: "org.freedesktop.DBus",
            path: "/org/freedesktop/DBus",
            interface: "org.freedesktop.DBus",
            member: "Hello",
            signature: "",
            body: Vec::new(),
        };
        assert_eq!(hello.encode(1), HELLO);
        let read = Message::decode(HELLO).unwrap();
        assert_eq!((read.kind, read.serial), (CALL, 1));
        assert_eq!(read.member.as_deref(), Some("Hello"));
    }

    #[test]
    fn properties_are_aligned() {
        let mut w = Writer::default();
        w.properties(&[
            ("Delegate", Value::Bool(true)),
            ("MemoryMax", Value::U64(5)),
            ("PIDs", Value::Pids(vec![7])),
        ]);
        let expected: &[u8] = b"\x54\x00\x00\x00\x00\x00\x00\x00\
\x08\x00\x00\x00Delegate\x00\x01b\x00\x01\x00\x00\x00\x00\x00\x00\x00\
\x09\x00\x00\x00MemoryMax\x00\x01t\x00\x00\x00\x00\x00\x00\x00\x05\x00\x00\x00\x00\x00\x00\x00\
\x04\x00\x00\x00PIDs\x00\x02au\x00\x00\x00\x00\x04\x00\x00\x00\x07\x00\x00\x00";
        // Lengths are checked by the reader of the test of the bus; here the places of the values.
        assert_eq!(w.0[8..24], expected[8..24]);
        assert_eq!(&w.0[w.0.len() - 8..], &expected[expected.len() - 8..]);
        assert_eq!(
            w.0.len() as u32 - 8,
            u32::from_le_bytes(*w.0.first_chunk().unwrap())
        );
    }

    #[test]
    fn lengths_are_bounded() {
        let mut head: [u8; 16] = *HELLO.first_chunk().unwrap();
        head[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(Message::length(&head), None);
        head[4..8].copy_from_slice(&0_u32.to_le_bytes());
        head[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(Message::length(&head), None);
        assert_eq!(Message::decode(&HELLO[..HELLO.len() - 1]), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Some(message) = Message::decode(&bytes) {
                message.words();
            }
        }

        #[test]
        fn a_spoilt_message_is_read_without_harm(at in 0..HELLO.len(), byte: u8) {
            let mut bytes = HELLO.to_vec();
            bytes[at] = byte;
            if let Some(message) = Message::decode(&bytes) {
                message.words();
            }
        }
    }
}
