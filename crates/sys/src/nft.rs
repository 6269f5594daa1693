//! nf_tables: tables, chains, rules, sets and maps as data, applied in one transaction.
//!
//! [`apply`](NftSocket::apply) encodes a list of [`Change`]s into one netlink batch: the kernel takes all of it or
//! nothing. [`expr`] has the rule language, [`dump`](NftSocket) reads back. What the tables are for is decided elsewhere.
//!
//! Source: kernel `include/uapi/linux/netfilter/nf_tables.h`, `net/netfilter/nfnetlink.c` (batches, answers); type
//! numbers of keys as nftables' `include/datatype.h`, so that `nft list table` prints our maps readably.

mod dump;
pub(crate) mod encode;
pub mod expr;
mod watch;

pub use dump::{BaseChain, Element};
pub use expr::{Expr, Verdict};
pub use watch::Watch;

use crate::netlink::{Channel, Datagram, Error, NETFILTER, NLM_F_ACK, NLM_F_REQUEST};
use encode::Writer;
use std::os::fd::BorrowedFd;

/// `NFPROTO_INET`: rules for IPv4 and IPv6 alike.
pub const INET: u8 = 1;
/// `NFPROTO_IPV4`.
pub const IPV4: u8 = 2;
/// `NFPROTO_IPV6`.
pub const IPV6: u8 = 10;

const NLM_F_CREATE: u16 = 0x400;
const NLM_F_APPEND: u16 = 0x800;

const MSG_NEWTABLE: u8 = 0;
const MSG_DELTABLE: u8 = 2;
const MSG_NEWCHAIN: u8 = 3;
const MSG_GETCHAIN: u8 = 4;
const MSG_NEWRULE: u8 = 6;
const MSG_GETRULE: u8 = 7;
const MSG_DELRULE: u8 = 8;
const MSG_NEWSET: u8 = 9;
const MSG_NEWSETELEM: u8 = 12;
const MSG_GETSETELEM: u8 = 13;
const MSG_DELSETELEM: u8 = 14;
const MSG_GETGEN: u8 = 16;

/// A table, named by its family too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Table<'a> {
    pub family: u8,
    pub name: &'a str,
}

/// Where packets enter a base chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hook {
    pub kind: ChainKind,
    pub point: HookPoint,
    pub priority: i32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainKind {
    Filter,
    Nat,
}

/// `enum nf_inet_hooks`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum HookPoint {
    Prerouting = 0,
    Input = 1,
    Forward = 2,
    Output = 3,
    Postrouting = 4,
}

/// The type of one field of a key or of a map's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    Ipv4,
    Ipv6,
    Protocol,
    Port,
    /// A number; `nft` shows it as a mark.
    Number,
    InterfaceName,
}

impl Field {
    /// nftables' number of the type.
    fn datatype(self) -> u32 {
        match self {
            Self::Ipv4 => 7,
            Self::Ipv6 => 8,
            Self::Protocol => 12,
            Self::Port => 13,
            Self::Number => 19,
            Self::InterfaceName => 41,
        }
    }

    /// Its length in bytes; in registers and concatenations rounded up to four.
    pub fn length(self) -> u32 {
        match self {
            Self::Ipv4 | Self::Number => 4,
            Self::Ipv6 | Self::InterfaceName => 16,
            Self::Protocol => 1,
            Self::Port => 2,
        }
    }
}

/// A set (`data` empty) or map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SetSpec<'a> {
    pub name: &'a str,
    pub key: &'a [Field],
    pub data: &'a [Field],
    /// Elements are ranges, field by field.
    pub interval: bool,
}

/// A key or datum: the fields' bytes, each padded to four where there are several.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Value(pub Vec<u8>);

impl Value {
    /// Appends a field in the byte order it has in registers (network order for addresses and ports).
    pub fn field(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    /// An interface name, padded as the kernel holds it.
    pub fn interface(self, name: &str) -> Self {
        let mut padded = [0u8; 16];
        let length = name.len().min(15);
        padded[..length].copy_from_slice(&name.as_bytes()[..length]);
        self.field(&padded)
    }
}

/// One step of a transaction.
#[derive(Debug, Clone)]
pub enum Change<'a> {
    AddTable,
    /// Fails when the table exists.
    CreateTable,
    DeleteTable,
    AddChain {
        name: &'a str,
        hook: Option<Hook>,
    },
    AddRule {
        chain: &'a str,
        expressions: Vec<Expr>,
    },
    /// Removes all rules of a chain.
    FlushChain {
        name: &'a str,
    },
    AddSet(SetSpec<'a>),
    AddElements {
        set: &'a str,
        elements: Vec<Element>,
    },
    /// Fails as a whole when one is not there.
    DeleteElements {
        set: &'a str,
        elements: Vec<Element>,
    },
    FlushSet {
        set: &'a str,
    },
}

/// A netfilter socket in the namespace it was opened in.
#[derive(Debug)]
pub struct NftSocket {
    pub(crate) channel: Channel,
}

impl NftSocket {
    pub fn open() -> Result<Self, Error> {
        Ok(Self {
            channel: Channel::open(NETFILTER)?,
        })
    }

    pub fn open_in(netns: BorrowedFd<'_>) -> Result<Self, Error> {
        Ok(Self {
            channel: Channel::open_in(NETFILTER, netns)?,
        })
    }

    /// Applies all changes to `table`, or none.
    pub fn apply(&self, table: Table<'_>, changes: &[Change<'_>]) -> Result<(), Error> {
        if changes.is_empty() {
            return Ok(());
        }
        let datagram = batch(table, changes);
        // Begin is 1, the changes follow. The answer to the last change comes after every error of the batch.
        let last = datagram.labels.len() as u32 - 1;
        self.channel.transact(&datagram, last)
    }

    /// The table with just this in it, in one transaction. Where there was none nothing is deleted, so that nobody has to
    /// wait for the kernel's grace period after a deletion.
    pub fn replace_table(&self, table: Table<'_>, content: Vec<Change<'_>>) -> Result<(), Error> {
        let mut changes = vec![Change::CreateTable];
        changes.extend(content);
        match self.apply(table, &changes) {
            Err(e) if e.is_exists() => {
                changes.splice(
                    ..1,
                    [Change::AddTable, Change::DeleteTable, Change::AddTable],
                );
                self.apply(table, &changes)
            }
            other => other,
        }
    }
}

fn batch(table: Table<'_>, changes: &[Change<'_>]) -> Datagram {
    const NFNL_MSG_BATCH_BEGIN: u16 = 0x10;
    const NFNL_MSG_BATCH_END: u16 = 0x11;
    let mut datagram = Datagram::default();
    let mut writer = Writer::new(&mut datagram);
    writer.control(NFNL_MSG_BATCH_BEGIN, "nf_tables transaction");
    for (at, change) in changes.iter().enumerate() {
        let ack = if at + 1 == changes.len() {
            NLM_F_ACK
        } else {
            0
        };
        change.encode(&mut writer, table, NLM_F_REQUEST | ack);
    }
    writer.control(NFNL_MSG_BATCH_END, "nf_tables transaction");
    datagram
}

impl Change<'_> {
    fn encode(&self, writer: &mut Writer<'_>, table: Table<'_>, flags: u16) {
        const NLM_F_EXCL: u16 = 0x200;
        let create = flags | NLM_F_CREATE;
        let (family, name) = (table.family, table.name);
        let new_table = |w: &mut Writer<'_>| {
            w.text(1, name);
            w.be32(2, 0);
        };
        let one_of_table = |w: &mut Writer<'_>, what: &str| {
            w.text(1, name);
            w.text(2, what);
        };
        let mut put = |kind, flags, label: String, body: &dyn Fn(&mut Writer<'_>)| {
            writer.message(kind, flags, family, label, body);
        };
        match self {
            Self::AddTable => put(
                MSG_NEWTABLE,
                create,
                format!("add the table {name}"),
                &new_table,
            ),
            Self::CreateTable => {
                let label = format!("create the table {name}");
                put(MSG_NEWTABLE, create | NLM_F_EXCL, label, &new_table);
            }
            Self::DeleteTable => {
                let label = format!("delete the table {name}");
                put(MSG_DELTABLE, flags, label, &|w| w.text(1, name));
            }
            Self::AddChain { name: chain, hook } => {
                let label = format!("add the chain {chain}");
                put(MSG_NEWCHAIN, create, label, &|w| {
                    w.text(1, name);
                    w.text(3, chain);
                    if let Some(hook) = hook {
                        base_chain(w, *hook);
                    }
                });
            }
            Self::AddRule { chain, expressions } => {
                let label = format!("add a rule to the chain {chain}");
                put(MSG_NEWRULE, create | NLM_F_APPEND, label, &|w| {
                    one_of_table(w, chain);
                    w.nest(4, |w| {
                        expressions.iter().for_each(|e| w.nest(1, |w| e.encode(w)))
                    });
                });
            }
            Self::FlushChain { name: chain } => {
                let label = format!("flush the chain {chain}");
                put(MSG_DELRULE, flags, label, &|w| one_of_table(w, chain));
            }
            Self::AddSet(spec) => {
                let label = format!("add the set {}", spec.name);
                put(MSG_NEWSET, create, label, &|w| set(w, name, spec));
            }
            Self::AddElements { set, elements } => {
                let label = format!("add to the set {set}");
                let body = |w: &mut Writer<'_>| dump::encode_elements(w, name, set, elements);
                put(MSG_NEWSETELEM, create, label, &body);
            }
            Self::DeleteElements { set, elements } => {
                let label = format!("delete from the set {set}");
                let body = |w: &mut Writer<'_>| dump::encode_elements(w, name, set, elements);
                put(MSG_DELSETELEM, flags, label, &body);
            }
            Self::FlushSet { set } => {
                let label = format!("flush the set {set}");
                put(MSG_DELSETELEM, flags, label, &|w| one_of_table(w, set));
            }
        }
    }
}

fn base_chain(w: &mut Writer<'_>, hook: Hook) {
    const NF_ACCEPT: u32 = 1;
    w.nest(4, |w| {
        w.be32(1, hook.point as u32);
        w.be32(2, hook.priority as u32);
    });
    w.be32(5, NF_ACCEPT);
    w.text(
        7,
        if hook.kind == ChainKind::Nat {
            "nat"
        } else {
            "filter"
        },
    );
}

fn set(w: &mut Writer<'_>, table: &str, spec: &SetSpec<'_>) {
    const INTERVAL: u32 = 0x4;
    const MAP: u32 = 0x8;
    const CONCAT: u32 = 0x80;
    let concatenated = spec.key.len() > 1;
    let mut flags = 0;
    if spec.interval {
        flags |= INTERVAL | if concatenated { CONCAT } else { 0 };
    }
    if !spec.data.is_empty() {
        flags |= MAP;
    }
    w.text(1, table);
    w.text(2, spec.name);
    w.be32(3, flags);
    w.be32(4, datatype(spec.key));
    w.be32(5, length(spec.key));
    if !spec.data.is_empty() {
        w.be32(6, datatype(spec.data));
        w.be32(7, length(spec.data));
    }
    if spec.interval && concatenated {
        // NFTA_SET_DESC { NFTA_SET_DESC_CONCAT { NFTA_LIST_ELEM { NFTA_SET_FIELD_LEN }… } }
        w.nest(9, |w| {
            w.nest(2, |w| {
                spec.key
                    .iter()
                    .for_each(|f| w.nest(1, |w| w.be32(1, f.length())))
            })
        });
    }
    if let [Field::InterfaceName] = spec.key {
        // nftables' user data: NFTNL_UDATA_SET_KEYBYTEORDER, host endian. `nft list` shows names only when told.
        w.bytes(13, &[0, 4, 1, 0, 0, 0]);
    }
    w.be32(10, 1); // NFTA_SET_ID: only rules of the same batch refer to it; we refer by name
}

/// The type of a concatenation: six bits a field.
fn datatype(fields: &[Field]) -> u32 {
    fields
        .iter()
        .fold(0, |all, field| all << 6 | field.datatype())
}

fn length(fields: &[Field]) -> u32 {
    match fields {
        [one] => one.length(),
        several => several
            .iter()
            .map(|field| field.length().next_multiple_of(4))
            .sum(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::messages;

    #[test]
    fn a_batch_is_framed_by_begin_and_end_and_only_the_last_change_asks_for_an_answer() {
        let table = Table {
            family: INET,
            name: "t",
        };
        let datagram = batch(
            table,
            &[
                Change::AddTable,
                Change::AddChain {
                    name: "c",
                    hook: None,
                },
            ],
        );
        let flags: Vec<u16> = {
            let mut rest = &datagram.bytes[..];
            std::iter::from_fn(|| {
                let length = u32::from_ne_bytes(*rest.first_chunk::<4>()?) as usize;
                let flags = u16::from_ne_bytes([rest[6], rest[7]]);
                rest = &rest[length.next_multiple_of(4)..];
                Some(flags)
            })
            .collect()
        };
        assert_eq!(messages(&datagram.bytes).count(), 4);
        assert_eq!(
            flags.iter().map(|f| f & NLM_F_ACK != 0).collect::<Vec<_>>(),
            [false, false, true, false]
        );
    }

    #[test]
    fn concatenated_types_and_lengths_are_as_nft_counts_them() {
        let key = [Field::Ipv4, Field::Protocol, Field::Port];
        assert_eq!(length(&key), 12);
        assert_eq!(datatype(&key), (7 << 6 | 12) << 6 | 13);
        assert_eq!(length(&[Field::Port]), 2, "a single field is not padded");
        assert_eq!(
            Value::default().field(&[6]).field(&[0, 80]).0,
            [6, 0, 0, 0, 0, 80, 0, 0]
        );
    }
}
