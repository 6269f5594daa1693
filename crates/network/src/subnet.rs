//! Subnets in CIDR form: parsing, containment, overlap, and walking their addresses.
//!
//! Source: RFC 4632; Docker's texts for what is refused.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A network address and the length of its prefix; host bits are zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Subnet {
    address: IpAddr,
    prefix: u8,
}

/// Why a text is no subnet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubnetError {
    #[error("invalid CIDR address: {text}")]
    Form { text: String },
    #[error("invalid subnet {text}: it should be {right}")]
    HostBits { text: String, right: Subnet },
}

impl Subnet {
    /// The subnet `address` lies in.
    pub fn around(address: IpAddr, prefix: u8) -> Self {
        let bits = number(address) & mask(prefix, width(address));
        Self {
            address: from_number(bits, address),
            prefix,
        }
    }

    pub fn address(&self) -> IpAddr {
        self.address
    }

    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    pub fn is_ipv4(&self) -> bool {
        self.address.is_ipv4()
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.is_ipv4()
            && Self::around(address, self.prefix).address == self.address
    }

    pub fn overlaps(&self, other: &Self) -> bool {
        let prefix = self.prefix.min(other.prefix);
        self.is_ipv4() == other.is_ipv4()
            && Self::around(self.address, prefix).address
                == Self::around(other.address, prefix).address
    }

    pub fn is_within(&self, other: &Self) -> bool {
        self.prefix >= other.prefix && other.contains(self.address)
    }

    /// How many addresses it has; `u128::MAX` stands for 2^128 too.
    pub fn size(&self) -> u128 {
        let host_bits = u32::from(width(self.address) - self.prefix);
        1u128.checked_shl(host_bits).unwrap_or(u128::MAX)
    }

    /// The address `offset` behind the first; `None` beyond the end.
    pub fn nth(&self, offset: u128) -> Option<IpAddr> {
        (offset < self.size()).then(|| from_number(number(self.address) + offset, self.address))
    }

    /// How far behind the first address this one is.
    pub fn offset_of(&self, address: IpAddr) -> Option<u128> {
        self.contains(address)
            .then(|| number(address) - number(self.address))
    }

    /// Whether a host may have it: not the network's own address, not IPv4's broadcast.
    pub fn is_host(&self, address: IpAddr) -> bool {
        match self.offset_of(address) {
            None => false,
            Some(_) if self.size() <= 2 => true,
            Some(0) => false,
            Some(offset) => !(self.is_ipv4() && offset + 1 == self.size()),
        }
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

fn from_number(number: u128, like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => Ipv4Addr::from(number as u32).into(),
        IpAddr::V6(_) => Ipv6Addr::from(number).into(),
    }
}

fn mask(prefix: u8, width: u8) -> u128 {
    let all = if width == 32 {
        u128::from(u32::MAX)
    } else {
        u128::MAX
    };
    let host = 1u128
        .checked_shl(u32::from(width.saturating_sub(prefix)))
        .map_or(u128::MAX, |n| n - 1);
    all & !host
}

impl FromStr for Subnet {
    type Err = SubnetError;

    fn from_str(text: &str) -> Result<Self, SubnetError> {
        let form = || SubnetError::Form { text: text.into() };
        let (address, prefix) = text.trim().split_once('/').ok_or_else(form)?;
        let address: IpAddr = address.parse().map_err(|_| form())?;
        let prefix: u8 = prefix.parse().map_err(|_| form())?;
        if prefix > width(address) {
            return Err(form());
        }
        let right = Self::around(address, prefix);
        if right.address != address {
            return Err(SubnetError::HostBits {
                text: text.into(),
                right,
            });
        }
        Ok(right)
    }
}

impl TryFrom<String> for Subnet {
    type Error = SubnetError;

    fn try_from(text: String) -> Result<Self, SubnetError> {
        text.parse()
    }
}

impl From<Subnet> for String {
    fn from(subnet: Subnet) -> Self {
        subnet.to_string()
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl fmt::Debug for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn subnet(text: &str) -> Subnet {
        text.parse().unwrap()
    }

    #[test]
    fn texts_that_are_no_subnet_say_what_is_wrong() {
        for text in [
            "",
            "10.0.0.0",
            "10.0.0.0/33",
            "10.0.0/8",
            "x/8",
            "::/129",
            "10.0.0.0/-1",
        ] {
            assert!(
                matches!(text.parse::<Subnet>(), Err(SubnetError::Form { .. })),
                "{text}"
            );
        }
        let error = "10.0.0.7/8".parse::<Subnet>().unwrap_err().to_string();
        assert_eq!(error, "invalid subnet 10.0.0.7/8: it should be 10.0.0.0/8");
    }

    #[test]
    fn containment_and_overlap() {
        let wide = subnet("172.16.0.0/12");
        assert!(wide.overlaps(&subnet("172.20.0.0/16")) && subnet("172.20.0.0/16").overlaps(&wide));
        assert!(!wide.overlaps(&subnet("172.32.0.0/16")));
        assert!(
            !subnet("0.0.0.0/0").overlaps(&subnet("::/0")),
            "families do not overlap"
        );
        assert!(
            subnet("172.20.0.0/16").is_within(&wide) && !wide.is_within(&subnet("172.20.0.0/16"))
        );
        assert!(subnet("0.0.0.0/0").contains("1.2.3.4".parse().unwrap()));
    }

    #[test]
    fn hosts_exclude_the_first_and_the_broadcast_address() {
        let net = subnet("10.1.2.0/29");
        let hosts = (0..8)
            .filter_map(|n| net.nth(n))
            .filter(|a| net.is_host(*a))
            .count();
        assert_eq!(hosts, 6);
        assert_eq!(net.nth(8), None);
        assert!(
            subnet("10.0.0.0/31").is_host("10.0.0.0".parse().unwrap()),
            "RFC 3021"
        );
        assert!(
            subnet("fd00::/64").is_host("fd00::ffff:ffff:ffff:ffff".parse().unwrap()),
            "no broadcast in IPv6"
        );
    }

    proptest! {
        #[test]
        fn every_text_parses_or_is_refused_and_printing_comes_back(text in "\\PC{0,40}") {
            if let Ok(net) = text.parse::<Subnet>() {
                prop_assert_eq!(net.to_string().parse::<Subnet>().unwrap(), net);
            }
        }

        #[test]
        fn an_address_lies_in_the_subnet_around_it(bits: u128, v4: bool, prefix in 0u8..=128) {
            let address: IpAddr =
                if v4 { Ipv4Addr::from(bits as u32).into() } else { Ipv6Addr::from(bits).into() };
            let net = Subnet::around(address, prefix.min(width(address)));
            prop_assert!(net.contains(address));
            prop_assert_eq!(net.nth(net.offset_of(address).unwrap()), Some(address).filter(|_| net.size() < u128::MAX || net.offset_of(address).unwrap() < u128::MAX));
        }
    }
}
