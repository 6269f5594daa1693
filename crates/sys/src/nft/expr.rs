//! The rule language: a rule is a list of expressions over registers, left at the first that does not match.
//!
//! Registers are counted in 32-bit words, 0 to 15; a value of several words takes consecutive ones.
//!
//! Source: kernel `include/uapi/linux/netfilter/nf_tables.h`, `net/netfilter/nft_*.c`.

use super::encode::Writer;

/// A 32-bit register, 0 to 15.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reg(pub u8);

impl Reg {
    /// `NFT_REG32_00` is 8.
    fn number(self) -> u32 {
        8 + u32::from(self.0)
    }
}

/// Which header a payload offset counts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Base {
    Network = 1,
    Transport = 2,
}

/// Facts about a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Meta {
    InputName = 6,
    OutputName = 7,
    Family = 15,
    Protocol = 16,
}

/// Facts about its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Ct {
    State = 0,
    Status = 2,
}

/// `ct state established,related` as a mask.
pub const CT_ESTABLISHED_RELATED: u32 = 0x2 | 0x4;
/// `ct status dnat`.
pub const CT_STATUS_DNAT: u32 = 0x20;
/// `RTN_LOCAL`, what [`Expr::DestinationType`] and [`Expr::SourceType`] yield for an address of this host.
pub const ADDRESS_LOCAL: u32 = 2;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Accept,
    Drop,
    Return,
    Jump(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expr {
    Payload {
        base: Base,
        offset: u32,
        length: u32,
        to: Reg,
    },
    Meta {
        key: Meta,
        to: Reg,
    },
    Ct {
        key: Ct,
        to: Reg,
    },
    /// `fib daddr type`.
    DestinationType {
        to: Reg,
    },
    /// `fib saddr type`.
    SourceType {
        to: Reg,
    },
    /// Goes on when the register equals `value`.
    Equal {
        from: Reg,
        value: Vec<u8>,
    },
    NotEqual {
        from: Reg,
        value: Vec<u8>,
    },
    /// `register &= mask`, of one or more words.
    And {
        at: Reg,
        mask: Vec<u8>,
    },
    Load {
        to: Reg,
        value: Vec<u8>,
    },
    /// Goes on when the key at `from` is in the set.
    In {
        set: String,
        from: Reg,
    },
    NotIn {
        set: String,
        from: Reg,
    },
    /// Goes on with the datum at `to` when the map has the key at `from`.
    Map {
        map: String,
        from: Reg,
        to: Reg,
    },
    /// A random number below `below`, in host byte order.
    Random {
        to: Reg,
        below: u32,
    },
    /// Rewrites the destination to the address (and port) in the registers.
    Dnat {
        family: u8,
        address: Reg,
        port: Option<Reg>,
    },
    /// Rewrites the source to the outgoing interface's address.
    Masquerade,
    Verdict(Verdict),
}

impl Expr {
    pub(super) fn encode(&self, w: &mut Writer<'_>) {
        match self {
            Self::Payload {
                base,
                offset,
                length,
                to,
            } => expression(w, "payload", |w| {
                w.be32(1, to.number());
                w.be32(2, *base as u32);
                w.be32(3, *offset);
                w.be32(4, *length);
            }),
            Self::Meta { key, to } => two(w, "meta", (1, to.number()), (2, *key as u32)),
            Self::Ct { key, to } => two(w, "ct", (1, to.number()), (2, *key as u32)),
            Self::DestinationType { to } => address_type(w, *to, 2),
            Self::SourceType { to } => address_type(w, *to, 1),
            Self::Equal { from, value } => compare(w, *from, 0, value),
            Self::NotEqual { from, value } => compare(w, *from, 1, value),
            Self::And { at, mask } => expression(w, "bitwise", |w| {
                w.be32(1, at.number());
                w.be32(2, at.number());
                w.be32(3, mask.len() as u32);
                data(w, 4, mask);
                data(w, 5, &vec![0; mask.len()]);
            }),
            Self::Load { to, value } => expression(w, "immediate", |w| {
                w.be32(1, to.number());
                data(w, 2, value);
            }),
            Self::In { set, from } => lookup(w, set, *from, None, false),
            Self::NotIn { set, from } => lookup(w, set, *from, None, true),
            Self::Map { map, from, to } => lookup(w, map, *from, Some(*to), false),
            Self::Random { to, below } => expression(w, "numgen", |w| {
                const NFT_NG_RANDOM: u32 = 1;
                w.be32(1, to.number());
                w.be32(2, *below);
                w.be32(3, NFT_NG_RANDOM);
            }),
            Self::Dnat {
                family,
                address,
                port,
            } => expression(w, "nat", |w| {
                const NFT_NAT_DNAT: u32 = 1;
                w.be32(1, NFT_NAT_DNAT);
                w.be32(2, u32::from(*family));
                w.be32(3, address.number());
                if let Some(port) = port {
                    w.be32(5, port.number());
                }
            }),
            Self::Masquerade => expression(w, "masq", |_| {}),
            Self::Verdict(verdict) => expression(w, "immediate", |w| encode_verdict(w, verdict)),
        }
    }
}

/// `NFTA_EXPR_NAME` and `NFTA_EXPR_DATA`.
fn expression(w: &mut Writer<'_>, name: &str, body: impl FnOnce(&mut Writer<'_>)) {
    w.text(1, name);
    w.nest(2, body);
}

fn two(w: &mut Writer<'_>, name: &str, first: (u16, u32), second: (u16, u32)) {
    expression(w, name, |w| {
        w.be32(first.0, first.1);
        w.be32(second.0, second.1);
    });
}

/// `flags`: `NFTA_FIB_F_SADDR` 1, `NFTA_FIB_F_DADDR` 2.
fn address_type(w: &mut Writer<'_>, to: Reg, flags: u32) {
    const NFT_FIB_RESULT_ADDRTYPE: u32 = 3;
    expression(w, "fib", |w| {
        w.be32(1, to.number());
        w.be32(2, NFT_FIB_RESULT_ADDRTYPE);
        w.be32(3, flags);
    });
}

fn compare(w: &mut Writer<'_>, from: Reg, operator: u32, value: &[u8]) {
    expression(w, "cmp", |w| {
        w.be32(1, from.number());
        w.be32(2, operator);
        data(w, 3, value);
    });
}

fn lookup(w: &mut Writer<'_>, set: &str, from: Reg, to: Option<Reg>, inverted: bool) {
    const NFT_LOOKUP_F_INV: u32 = 1;
    expression(w, "lookup", |w| {
        w.text(1, set);
        w.be32(2, from.number());
        if let Some(to) = to {
            w.be32(3, to.number());
        }
        if inverted {
            w.be32(5, NFT_LOOKUP_F_INV);
        }
    });
}

/// `NFTA_DATA_VALUE` inside the attribute `kind`.
pub(super) fn data(w: &mut Writer<'_>, kind: u16, value: &[u8]) {
    w.nest(kind, |w| w.bytes(1, value));
}

fn encode_verdict(w: &mut Writer<'_>, verdict: &Verdict) {
    const NFT_REG_VERDICT: u32 = 0;
    let (code, chain) = match verdict {
        Verdict::Drop => (0i32, None),
        Verdict::Accept => (1, None),
        Verdict::Jump(chain) => (-3, Some(chain)),
        Verdict::Return => (-5, None),
    };
    w.be32(1, NFT_REG_VERDICT);
    w.nest(2, |w| {
        w.nest(2, |w| {
            w.be32(1, code as u32);
            if let Some(chain) = chain {
                w.text(2, chain);
            }
        });
    });
}
