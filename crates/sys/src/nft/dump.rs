//! Reading nf_tables back: the generation, rules counted, elements of a set, the base chains of everybody.
//!
//! Source: kernel `net/netfilter/nf_tables_api.c` (`nf_tables_fill_*`).

use super::encode::Writer;
use super::expr::data;
use super::{MSG_GETCHAIN, MSG_GETGEN, MSG_GETRULE, MSG_GETSETELEM, NftSocket, Table, Value};
use crate::netlink::{Attributes, Datagram, Error, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST};

/// `struct nfgenmsg`.
const GENERIC_LEN: usize = 4;
/// A nest's length has 16 bits: elements are split over several lists of at most this many bytes.
const LIST_LIMIT: usize = 48 << 10;

/// One element of a set or map.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Element {
    pub key: Value,
    /// The last key of a range of concatenated fields.
    pub key_end: Option<Value>,
    pub data: Option<Value>,
    /// Who it belongs to; `nft list` shows it.
    pub comment: Option<String>,
}

/// A chain through which the kernel sends packets, whoever made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseChain {
    pub family: u8,
    pub table: String,
    pub name: String,
    pub hook: u32,
    pub priority: i32,
    pub drops_by_default: bool,
}

impl NftSocket {
    /// The generation number: it grows with every transaction of anybody.
    pub fn generation(&self) -> Result<u32, Error> {
        let mut generation = 0;
        let mut datagram = Datagram::default();
        let label = "read the nf_tables generation";
        Writer::new(&mut datagram).message(MSG_GETGEN, NLM_F_REQUEST | NLM_F_ACK, 0, label, |_| {});
        self.channel.dump(&datagram, |message| {
            for (kind, value) in attributes(message.payload) {
                if kind == 1 {
                    generation = be32(value);
                }
            }
        })?;
        Ok(generation)
    }

    /// How many rules the table has; 0 when there is no such table.
    pub fn count_rules(&self, table: Table<'_>) -> Result<usize, Error> {
        let mut datagram = Datagram::default();
        let label = format!("list the rules of {}", table.name);
        let flags = NLM_F_REQUEST | NLM_F_DUMP;
        Writer::new(&mut datagram).message(MSG_GETRULE, flags, table.family, label, |w| {
            w.text(1, table.name)
        });
        let mut count = 0;
        self.channel.dump(&datagram, |message| {
            // Kernels before 4.x ignore the filter: count only what is ours.
            let ours = attributes(message.payload)
                .any(|(kind, value)| kind == 1 && text(value) == table.name);
            count += usize::from(ours);
        })?;
        Ok(count)
    }

    /// What the rules of a table compare packets with: names of interfaces, addresses, numbers, as the kernel has them.
    pub fn compared(&self, table: Table<'_>) -> Result<Vec<Vec<u8>>, Error> {
        let mut datagram = Datagram::default();
        let label = format!("list the rules of {}", table.name);
        let flags = NLM_F_REQUEST | NLM_F_DUMP;
        Writer::new(&mut datagram).message(MSG_GETRULE, flags, table.family, label, |w| {
            w.text(1, table.name)
        });
        let mut found = Vec::new();
        self.channel.dump(&datagram, |message| {
            let rule = || attributes(message.payload);
            if rule().any(|(kind, value)| kind == 1 && text(value) == table.name) {
                let expressions = rule().filter(|(kind, _)| *kind == 4);
                found.extend(
                    expressions
                        .flat_map(|(_, list)| Attributes(list))
                        .filter_map(comparand),
                );
            }
        })?;
        Ok(found)
    }

    /// The elements of a set or map.
    pub fn elements(&self, table: Table<'_>, set: &str) -> Result<Vec<Element>, Error> {
        let mut datagram = Datagram::default();
        let label = format!("list the set {set}");
        Writer::new(&mut datagram).message(
            MSG_GETSETELEM,
            NLM_F_REQUEST | NLM_F_DUMP,
            table.family,
            label,
            |w| {
                w.text(1, table.name);
                w.text(2, set);
            },
        );
        let mut found = Vec::new();
        self.channel.dump(&datagram, |message| {
            for (kind, list) in attributes(message.payload) {
                if kind == 3 {
                    found.extend(Attributes(list).map(|(_, element)| parse_element(element)));
                }
            }
        })?;
        Ok(found)
    }

    /// Every base chain of every table of the namespace.
    pub fn base_chains(&self) -> Result<Vec<BaseChain>, Error> {
        let mut datagram = Datagram::default();
        let flags = NLM_F_REQUEST | NLM_F_DUMP;
        Writer::new(&mut datagram).message(MSG_GETCHAIN, flags, 0, "list the chains", |_| {});
        let mut found = Vec::new();
        self.channel.dump(&datagram, |message| {
            found.extend(parse_chain(message.payload))
        })?;
        Ok(found)
    }
}

/// `NFTA_SET_ELEM_LIST_*` of one message.
pub(super) fn encode_elements(w: &mut Writer<'_>, table: &str, set: &str, elements: &[Element]) {
    w.text(1, table);
    w.text(2, set);
    w.nest(3, |w| {
        elements
            .iter()
            .for_each(|element| w.nest(1, |w| encode_element(w, element)))
    });
}

fn encode_element(w: &mut Writer<'_>, element: &Element) {
    data(w, 1, &element.key.0);
    if let Some(value) = &element.data {
        data(w, 2, &value.0);
    }
    if let Some(comment) = &element.comment {
        // nftables' user data: type 0 is the comment, its length, the text ended by zero.
        let mut length = comment.len().min(120);
        while !comment.is_char_boundary(length) {
            length -= 1;
        }
        let mut value = vec![0, length as u8 + 1];
        value.extend_from_slice(&comment.as_bytes()[..length]);
        value.push(0);
        w.bytes(6, &value);
    }
    if let Some(end) = &element.key_end {
        data(w, 10, &end.0);
    }
}

impl Element {
    fn encoded_length(&self) -> usize {
        let data = self.data.as_ref().map_or(0, |v| v.0.len() + 8);
        let end = self.key_end.as_ref().map_or(0, |v| v.0.len() + 8);
        24 + self.key.0.len() + data + end + self.comment.as_ref().map_or(0, |c| c.len() + 12)
    }

    /// Splits a list into parts each of which fits one message.
    pub fn split(elements: Vec<Self>) -> Vec<Vec<Self>> {
        let mut parts = Vec::new();
        let mut size = LIST_LIMIT;
        for element in elements {
            size += element.encoded_length();
            if size > LIST_LIMIT {
                parts.push(Vec::new());
                size = element.encoded_length();
            }
            if let Some(part) = parts.last_mut() {
                part.push(element);
            }
        }
        parts
    }
}

fn parse_element(bytes: &[u8]) -> Element {
    let mut element = Element::default();
    for (kind, value) in Attributes(bytes) {
        match kind {
            1 => element.key = inner_value(value),
            2 => element.data = Some(inner_value(value)),
            6 => element.comment = comment(value),
            10 => element.key_end = Some(inner_value(value)),
            _ => {}
        }
    }
    element
}

fn inner_value(nest: &[u8]) -> Value {
    Value(
        Attributes(nest)
            .find(|(kind, _)| *kind == 1)
            .map(|(_, v)| v.to_vec())
            .unwrap_or_default(),
    )
}

fn comment(value: &[u8]) -> Option<String> {
    let (&[kind, length], rest) = value.split_first_chunk::<2>()?;
    (kind == 0)
        .then(|| rest.get(..usize::from(length)).map(text))
        .flatten()
}

fn parse_chain(payload: &[u8]) -> Option<BaseChain> {
    let mut chain = BaseChain {
        family: *payload.first()?,
        table: String::new(),
        name: String::new(),
        hook: u32::MAX,
        priority: 0,
        drops_by_default: false,
    };
    for (kind, value) in attributes(payload) {
        match kind {
            1 => chain.table = text(value),
            3 => chain.name = text(value),
            4 => {
                for (kind, value) in Attributes(value) {
                    match kind {
                        1 => chain.hook = be32(value),
                        2 => chain.priority = be32(value) as i32,
                        _ => {}
                    }
                }
            }
            5 => chain.drops_by_default = be32(value) == 0,
            _ => {}
        }
    }
    (chain.hook != u32::MAX).then_some(chain)
}

/// `NFTA_CMP_DATA` of an expression that is a comparison (`NFTA_EXPR_NAME`, `NFTA_EXPR_DATA`).
fn comparand((_, expression): (u16, &[u8])) -> Option<Vec<u8>> {
    let part = |of, wanted| Attributes(of).find(|(kind, _)| *kind == wanted);
    let (_, name) = part(expression, 1)?;
    let (_, body) = part(expression, 2).filter(|_| text(name) == "cmp")?;
    let (_, data) = part(body, 3)?;
    part(data, 1).map(|(_, value)| value.to_vec())
}

fn attributes(payload: &[u8]) -> Attributes<'_> {
    Attributes(payload.get(GENERIC_LEN..).unwrap_or(&[]))
}

fn be32(value: &[u8]) -> u32 {
    value
        .first_chunk::<4>()
        .map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value)
        .trim_end_matches('\0')
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_split_so_that_no_list_outgrows_its_length_field() {
        let element = Element {
            key: Value(vec![0; 12]),
            comment: Some("web".into()),
            ..Element::default()
        };
        let parts = Element::split(vec![element; 10_000]);
        assert!(parts.len() > 1);
        assert_eq!(parts.iter().map(Vec::len).sum::<usize>(), 10_000);
        assert!(
            parts
                .iter()
                .all(|p| p.iter().map(Element::encoded_length).sum::<usize>() <= LIST_LIMIT)
        );
        assert!(Element::split(Vec::new()).is_empty());
    }

    #[test]
    fn damaged_dumps_are_read_as_far_as_they_go() {
        assert_eq!(parse_chain(&[]), None);
        assert_eq!(parse_chain(&[1, 0, 0, 0, 200, 0, 1, 0]), None);
        assert_eq!(parse_element(&[0xff; 7]), Element::default());
        assert_eq!(comment(&[0, 9, b'a']), None, "a length beyond the end");
    }
}
