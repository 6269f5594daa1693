//! Anchors and aliases, and the budgets that keep a small text from becoming a large tree ("billion laughs").

use super::MAX_DEPTH;
use super::problem::Problem;
use crate::diagnostic::Place;
use crate::tree::{Node, Value};
use std::collections::HashMap;

/// Nodes that are written in one document: a range of all ports, port by port, has 400,000.
const MAX_NODES: usize = 2_000_000;
/// Nodes copied by aliases in one document, counted each time they are used.
const MAX_COPIED: usize = 100_000;
/// Text copied by aliases in one document.
const MAX_ALIAS_BYTES: usize = 16 << 20;
/// What anchors remember in one document: nodes, and text in units of 64 bytes.
const MAX_ANCHORED: usize = 1_000_000;

/// What an anchor names, and what copying it costs.
#[derive(Debug)]
struct Anchor {
    node: Node,
    weight: Weight,
}

/// What copying a node costs.
#[derive(Debug, Clone, Copy, Default)]
struct Weight {
    nodes: usize,
    bytes: usize,
    depth: usize,
}

/// The anchors of one document. `None` stands for one whose node is not complete.
#[derive(Debug, Default)]
pub(super) struct Anchors {
    known: HashMap<usize, Option<Anchor>>,
    nodes: usize,
    copied: usize,
    alias_bytes: usize,
    anchored: usize,
}

impl Anchors {
    /// Counts a node against the document's limit.
    pub(super) fn count(&mut self, place: Place) -> Result<(), Problem> {
        self.nodes += 1;
        match self.nodes > MAX_NODES {
            true => Err(Problem::new(
                place,
                format!("the document has more than {MAX_NODES} nodes"),
            )),
            false => Ok(()),
        }
    }

    fn count_copied(&mut self, nodes: usize, place: Place) -> Result<(), Problem> {
        self.copied += nodes;
        match self.copied > MAX_COPIED {
            true => Err(
                Problem::new(place, format!("aliases copy more than {MAX_COPIED} nodes"))
                    .hint("they count each time they are used; shorten the chain of anchors"),
            ),
            false => Ok(()),
        }
    }

    /// A collection with an anchor begins: an alias inside it would never end.
    pub(super) fn begin(&mut self, id: usize) {
        if id > 0 {
            self.known.insert(id, None);
        }
    }

    pub(super) fn remember(&mut self, id: usize, node: &Node) -> Result<(), Problem> {
        if id == 0 {
            return Ok(());
        }
        let weight = weigh(node);
        self.anchored += weight.nodes + weight.bytes / 64;
        if self.anchored > MAX_ANCHORED {
            return Err(Problem::new(
                node.place,
                "anchors stand inside anchors too often",
            ));
        }
        self.known.insert(
            id,
            Some(Anchor {
                node: node.clone(),
                weight,
            }),
        );
        Ok(())
    }

    /// A copy of the node an alias names; `depth` is how deep the alias stands.
    pub(super) fn copy(&mut self, id: usize, depth: usize, place: Place) -> Result<Node, Problem> {
        let weight = match self.known.get(&id) {
            Some(Some(anchor)) => anchor.weight,
            Some(None) => {
                return Err(
                    Problem::new(place, "an alias cannot stand inside the node it names")
                        .hint("put the anchor (&name) on a part that does not hold the alias"),
                );
            }
            None => return Err(Problem::new(place, "this alias names no anchor")),
        };
        self.count_copied(weight.nodes, place)?;
        self.alias_bytes += weight.bytes;
        if self.alias_bytes > MAX_ALIAS_BYTES {
            let limit = format!(
                "a document may copy {} MiB by aliases",
                MAX_ALIAS_BYTES >> 20
            );
            return Err(Problem::new(place, "aliases copy too much text").hint(limit));
        }
        if depth + weight.depth > MAX_DEPTH {
            return Err(too_deep(place));
        }
        match self.known.get(&id) {
            Some(Some(anchor)) => Ok(anchor.node.clone()),
            _ => Err(Problem::new(place, "this alias names no anchor")),
        }
    }
}

pub(super) fn too_deep(place: Place) -> Problem {
    Problem::new(place, format!("nested deeper than {MAX_DEPTH} levels"))
}

fn weigh(node: &Node) -> Weight {
    let children = |nodes: &mut dyn Iterator<Item = &Node>| {
        nodes
            .map(weigh)
            .fold(Weight::default(), |sum, part| Weight {
                nodes: sum.nodes + part.nodes,
                bytes: sum.bytes + part.bytes,
                depth: sum.depth.max(part.depth),
            })
    };
    let inside = match &node.value {
        Value::String(text) => Weight {
            bytes: text.len(),
            ..Weight::default()
        },
        Value::List(list) => children(&mut list.iter()),
        Value::Map(map) => children(&mut map.iter().map(|entry| &entry.node)),
        _ => Weight::default(),
    };
    Weight {
        nodes: inside.nodes + 1,
        bytes: inside.bytes,
        depth: inside.depth + 1,
    }
}
