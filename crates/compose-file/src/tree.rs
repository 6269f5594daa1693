//! A YAML document as a tree in which every node and key knows its place.
//!
//! Maps keep the order of the file and have unique keys. No Compose knowledge beyond the two merge tags.

use crate::diagnostic::Place;
use std::collections::HashMap;

/// A value with its place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) place: Place,
    pub(crate) tag: MergeTag,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    String(String),
    List(Vec<Node>),
    Map(Map),
}

/// `!reset` and `!override`: how this node meets the one it is merged over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum MergeTag {
    #[default]
    Merge,
    Reset,
    Override,
}

/// One key with its value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) place: Place,
    pub(crate) node: Node,
}

/// Entries in order, found by key.
#[derive(Debug, Clone, Default)]
pub(crate) struct Map {
    entries: Vec<Entry>,
    index: HashMap<String, usize>,
}

impl PartialEq for Map {
    fn eq(&self, other: &Self) -> bool {
        self.entries == other.entries
    }
}

impl Map {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        self.index.get(key).map(|at| &self.entries[*at])
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.node)
    }

    pub(crate) fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        self.index.get(key).map(|at| &mut self.entries[*at].node)
    }

    pub(crate) fn contains(&self, key: &str) -> bool {
        self.index.contains_key(key)
    }

    /// Replaces the value of a known key in its position, or appends.
    pub(crate) fn insert(&mut self, key: impl Into<String>, place: Place, node: Node) {
        let key = key.into();
        match self.index.get(&key) {
            Some(at) => self.entries[*at] = Entry { key, place, node },
            None => {
                self.index.insert(key.clone(), self.entries.len());
                self.entries.push(Entry { key, place, node });
            }
        }
    }

    pub(crate) fn remove(&mut self, key: &str) -> Option<Entry> {
        let at = self.index.remove(key)?;
        let entry = self.entries.remove(at);
        for position in self.index.values_mut().filter(|position| **position > at) {
            *position -= 1;
        }
        Some(entry)
    }

    pub(crate) fn retain(&mut self, keep: impl FnMut(&Entry) -> bool) {
        self.entries.retain(keep);
        self.index = self
            .entries
            .iter()
            .enumerate()
            .map(|(at, entry)| (entry.key.clone(), at))
            .collect();
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Entry> {
        self.entries.iter()
    }

    /// The values, to be changed; keys stay.
    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = (&str, &mut Node)> {
        self.entries
            .iter_mut()
            .map(|entry| (entry.key.as_str(), &mut entry.node))
    }
}

impl<'a> IntoIterator for &'a Map {
    type Item = &'a Entry;
    type IntoIter = std::slice::Iter<'a, Entry>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.iter()
    }
}

impl IntoIterator for Map {
    type Item = Entry;
    type IntoIter = std::vec::IntoIter<Entry>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}

impl Node {
    pub(crate) fn new(value: Value, place: Place) -> Self {
        Self {
            value,
            place,
            tag: MergeTag::Merge,
        }
    }

    pub(crate) fn string(text: impl Into<String>, place: Place) -> Self {
        Self::new(Value::String(text.into()), place)
    }

    pub(crate) fn as_map(&self) -> Option<&Map> {
        match &self.value {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    pub(crate) fn as_map_mut(&mut self) -> Option<&mut Map> {
        match &mut self.value {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    pub(crate) fn as_list(&self) -> Option<&[Node]> {
        match &self.value {
            Value::List(list) => Some(list),
            _ => None,
        }
    }

    pub(crate) fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// A child of a map, unless it is null.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.as_map()?.get(key).filter(|node| !node.is_null())
    }

    pub(crate) fn is_null(&self) -> bool {
        self.value == Value::Null
    }

    /// A scalar's text as Go prints it (`0755` is `493`, `1.10` is `1.1`); `None` for null, lists and maps.
    pub(crate) fn scalar_text(&self) -> Option<String> {
        match &self.value {
            Value::String(text) => Some(text.clone()),
            Value::Bool(value) => Some(value.to_string()),
            Value::Int(value) => Some(value.to_string()),
            Value::Float(value) => Some(crate::scalar::format_float(*value)),
            Value::Null | Value::List(_) | Value::Map(_) => None,
        }
    }

    /// What this is, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "a boolean",
            Value::Int(_) => "an integer",
            Value::Float(_) => "a number",
            Value::String(_) => "a string",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }
}

/// `parent.key`, or `key` at the top.
pub(crate) fn join(parent: &str, key: &str) -> String {
    match parent {
        "" => key.to_owned(),
        _ => format!("{parent}.{key}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_keep_order_and_find_after_removal() {
        let mut map = Map::new();
        for key in ["a", "b", "c", "d"] {
            map.insert(key, Place::default(), Node::string(key, Place::default()));
        }
        map.remove("b");
        map.insert("a", Place::default(), Node::string("A", Place::default()));
        let keys: Vec<_> = map.iter().map(|entry| entry.key.as_str()).collect();
        assert_eq!(keys, ["a", "c", "d"]);
        assert_eq!(map.get("d").unwrap().as_str(), Some("d"));
        assert_eq!(map.get("a").unwrap().as_str(), Some("A"));
        map.retain(|entry| entry.key != "c");
        assert_eq!(map.get("d").unwrap().as_str(), Some("d"));
        assert!(!map.contains("c"));
    }
}
