//! Writing netlink attributes: lengths are filled in when a nest closes.
//!
//! Source: kernel `include/net/netlink.h` (`struct nlattr`, alignment), nf_tables numbers are big-endian.

use crate::netlink::{Datagram, HEADER_LEN};
use std::borrow::Cow;

const NLA_F_NESTED: u16 = 0x8000;
const NFNL_SUBSYS_NFTABLES: u16 = 10;

/// Appends messages and attributes to a datagram.
pub(crate) struct Writer<'a> {
    datagram: &'a mut Datagram,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(datagram: &'a mut Datagram) -> Self {
        Self { datagram }
    }

    /// The begin or the end of a batch.
    pub(crate) fn control(&mut self, kind: u16, label: &'static str) {
        const NLM_F_REQUEST: u16 = 1;
        let start = self.header(kind, NLM_F_REQUEST, 0, NFNL_SUBSYS_NFTABLES, label.into());
        self.finish(start);
    }

    /// One message of another netfilter subsystem, `subsystem << 8 | kind`.
    pub(crate) fn foreign(
        &mut self,
        kind: u16,
        flags: u16,
        family: u8,
        label: &'static str,
        body: impl FnOnce(&mut Self),
    ) {
        let start = self.header(kind, flags, family, 0, label.into());
        body(self);
        self.finish(start);
    }

    /// One nf_tables message.
    pub(crate) fn message(
        &mut self,
        kind: u8,
        flags: u16,
        family: u8,
        label: impl Into<Cow<'static, str>>,
        body: impl FnOnce(&mut Self),
    ) {
        let start = self.header(
            NFNL_SUBSYS_NFTABLES << 8 | u16::from(kind),
            flags,
            family,
            0,
            label.into(),
        );
        body(self);
        self.finish(start);
    }

    /// `struct nlmsghdr` and `struct nfgenmsg`.
    fn header(
        &mut self,
        kind: u16,
        flags: u16,
        family: u8,
        resource: u16,
        label: Cow<'static, str>,
    ) -> usize {
        let sequence = self.datagram.next_sequence(label);
        let bytes = &mut self.datagram.bytes;
        let start = bytes.len();
        bytes.extend_from_slice(&0u32.to_ne_bytes());
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&flags.to_ne_bytes());
        bytes.extend_from_slice(&sequence.to_ne_bytes());
        bytes.extend_from_slice(&0u32.to_ne_bytes());
        debug_assert_eq!(bytes.len() - start, HEADER_LEN);
        bytes.extend_from_slice(&[family, 0]);
        bytes.extend_from_slice(&resource.to_be_bytes());
        start
    }

    fn finish(&mut self, start: usize) {
        let length = (self.datagram.bytes.len() - start) as u32;
        self.datagram.bytes[start..start + 4].copy_from_slice(&length.to_ne_bytes());
    }

    pub(crate) fn bytes(&mut self, kind: u16, value: &[u8]) {
        let out = &mut self.datagram.bytes;
        out.extend_from_slice(&(4 + value.len() as u16).to_ne_bytes());
        out.extend_from_slice(&kind.to_ne_bytes());
        out.extend_from_slice(value);
        out.resize(out.len().next_multiple_of(4), 0);
    }

    /// A text, ended by zero.
    pub(crate) fn text(&mut self, kind: u16, value: &str) {
        let mut ended = Vec::with_capacity(value.len() + 1);
        ended.extend_from_slice(value.as_bytes());
        ended.push(0);
        self.bytes(kind, &ended);
    }

    pub(crate) fn be32(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_be_bytes());
    }

    pub(crate) fn nest(&mut self, kind: u16, body: impl FnOnce(&mut Self)) {
        let start = self.datagram.bytes.len();
        self.bytes(kind | NLA_F_NESTED, &[]);
        body(self);
        // A nest of more than 64 KiB cannot be said in its 16-bit length: callers split their elements.
        let length = self.datagram.bytes.len() - start;
        debug_assert!(length <= usize::from(u16::MAX));
        self.datagram.bytes[start..start + 2].copy_from_slice(&(length as u16).to_ne_bytes());
    }
}
