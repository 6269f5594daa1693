//! YAML text to a spanned tree: anchors, aliases, merge keys (`<<`), `!reset`, `!override`, duplicate keys.
//!
//! Limits are those of compose-go (100,000 nodes a document) and of the stack (depth). Source: YAML 1.2,
//! Compose Specification `10-fragments.md` and `13-merge.md`.

use crate::diagnostic::{Diagnostic, Place, Severity, Sources};
use crate::scalar;
use crate::tree::{Map, MergeTag, Node, Value};
use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError, Span, Tag};
use std::collections::HashMap;
use std::path::Path;

/// Nodes in one document, aliases counted each time they are used.
const MAX_NODES: usize = 100_000;
/// Text copied by aliases in one document.
const MAX_ALIAS_BYTES: usize = 16 << 20;
const MAX_FILE_BYTES: usize = 16 << 20;
const MAX_DEPTH: usize = 100;

/// Parses all documents of one file; empty documents are left out.
pub(crate) fn parse(
    name: &Path,
    bytes: &[u8],
    sources: &mut Sources,
) -> Result<Vec<Node>, Box<Diagnostic>> {
    if bytes.len() > MAX_FILE_BYTES {
        let file = sources.add(name, "");
        return Err(sources
            .diagnostic(
                Severity::Error,
                Place {
                    file,
                    line: 1,
                    column: 1,
                },
                "",
                format!("the file is larger than {} MiB", MAX_FILE_BYTES >> 20),
            )
            .into());
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text),
        Err(error) => return Err(not_utf8(name, bytes, error.valid_up_to(), sources).into()),
    };
    let file = sources.add(name, text);
    Builder::new(file, text)
        .documents()
        .map_err(|problem| problem.show(sources).into())
}

fn not_utf8(name: &Path, bytes: &[u8], at: usize, sources: &mut Sources) -> Diagnostic {
    let valid = String::from_utf8_lossy(&bytes[..at]);
    let file = sources.add(name, &String::from_utf8_lossy(bytes));
    let line = valid.matches('\n').count() as u32 + 1;
    let column = valid
        .rsplit('\n')
        .next()
        .map_or(0, |last| last.chars().count()) as u32
        + 1;
    let place = Place { file, line, column };
    sources
        .diagnostic(
            Severity::Error,
            place,
            "",
            format!("byte {:#04x} is not valid UTF-8", bytes[at]),
        )
        .with_hint("save the file as UTF-8")
}

/// An error before its place is turned into words.
#[derive(Debug)]
struct Problem {
    place: Place,
    message: String,
    cause: Option<(String, Place)>,
    hint: Option<String>,
}

impl Problem {
    fn new(place: Place, message: impl Into<String>) -> Self {
        Self {
            place,
            message: message.into(),
            cause: None,
            hint: None,
        }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    fn show(self, sources: &Sources) -> Diagnostic {
        let mut diagnostic = sources.diagnostic(Severity::Error, self.place, "", self.message);
        diagnostic.cause = self
            .cause
            .map(|(words, place)| format!("{words} at {}", sources.show(place)));
        diagnostic.hint = self.hint;
        diagnostic
    }
}

/// What an anchor names, and what copying it costs.
#[derive(Debug)]
struct Anchor {
    node: Node,
    nodes: usize,
    bytes: usize,
    depth: usize,
}

/// A collection under construction.
#[derive(Debug)]
struct Frame {
    anchor: usize,
    tag: MergeTag,
    place: Place,
    collection: Collection,
}

#[derive(Debug)]
enum Collection {
    List(Vec<Node>),
    Map {
        map: Map,
        key: Option<(String, Place)>,
        merges: Vec<Node>,
    },
}

struct Builder<'t> {
    file: u32,
    parser: Parser<'t, granit_parser::StrInput<'t>>,
    stack: Vec<Frame>,
    anchors: HashMap<usize, Option<Anchor>>,
    nodes: usize,
    alias_bytes: usize,
}

impl<'t> Builder<'t> {
    fn new(file: u32, text: &'t str) -> Self {
        let options = granit_parser::options! {
            emit_comments: false,
            flow_nesting_limit: MAX_DEPTH,
            block_nesting_limit: MAX_DEPTH,
        };
        let parser = Parser::new_from_str_with_options(text, options);
        Self {
            file,
            parser,
            stack: Vec::new(),
            anchors: HashMap::new(),
            nodes: 0,
            alias_bytes: 0,
        }
    }

    fn documents(mut self) -> Result<Vec<Node>, Problem> {
        let mut documents = Vec::new();
        while let Some(event) = self.parser.next_event() {
            let (event, span) = event.map_err(|error| self.scan_error(&error))?;
            match event {
                Event::DocumentStart(..) => {
                    self.nodes = 0;
                    self.alias_bytes = 0;
                    self.anchors.clear();
                }
                Event::StreamEnd => break,
                _ => {
                    if let Some(root) = self.event(event, span)?
                        && !root.is_null()
                    {
                        documents.push(root);
                    }
                }
            }
        }
        Ok(documents)
    }

    fn place(&self, span: &Span) -> Place {
        Place {
            file: self.file,
            line: span.start.line() as u32,
            column: span.start.col() as u32 + 1,
        }
    }

    /// Takes one event; the answer is a finished root.
    fn event(&mut self, event: Event<'_>, span: Span) -> Result<Option<Node>, Problem> {
        let place = self.place(&span);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.count(1, place)?;
                let node = scalar_node(&text, style, tag.as_deref(), place)?;
                self.remember(anchor, &node);
                self.finish(node, style == ScalarStyle::Plain && text == "<<")
            }
            Event::Alias(id) => {
                let node = self.alias(id, place)?;
                self.finish(node, false)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.open(Collection::List(Vec::new()), anchor, tag.as_deref(), place)
            }
            Event::MappingStart(_, anchor, tag) => {
                let map = Collection::Map {
                    map: Map::new(),
                    key: None,
                    merges: Vec::new(),
                };
                self.open(map, anchor, tag.as_deref(), place)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            _ => Ok(None),
        }
    }

    fn open(
        &mut self,
        collection: Collection,
        anchor: usize,
        tag: Option<&Tag>,
        place: Place,
    ) -> Result<Option<Node>, Problem> {
        self.count(1, place)?;
        if self.stack.len() >= MAX_DEPTH {
            return Err(too_deep(place));
        }
        if anchor > 0 {
            self.anchors.insert(anchor, None);
        }
        self.stack.push(Frame {
            anchor,
            tag: merge_tag(tag),
            place,
            collection,
        });
        Ok(None)
    }

    fn close(&mut self) -> Result<Option<Node>, Problem> {
        let Some(frame) = self.stack.pop() else {
            return Ok(None);
        };
        let value = match frame.collection {
            Collection::List(list) => Value::List(list),
            Collection::Map {
                mut map, merges, ..
            } => {
                for merge in merges {
                    merge_into(&mut map, merge)?;
                }
                Value::Map(map)
            }
        };
        let node = Node {
            value,
            place: frame.place,
            tag: frame.tag,
        };
        self.remember(frame.anchor, &node);
        self.finish(node, false)
    }

    /// Puts a complete node where it belongs. `merge_key` says that it is a plain `<<`.
    fn finish(&mut self, node: Node, merge_key: bool) -> Result<Option<Node>, Problem> {
        let Some(frame) = self.stack.last_mut() else {
            return Ok(Some(node));
        };
        match &mut frame.collection {
            Collection::List(list) => list.push(node),
            Collection::Map { map, key, merges } => match key.take() {
                None => *key = Some((key_text(&node, merge_key)?, node.place)),
                Some((name, _)) if name == MERGE_KEY => merges.push(node),
                Some((name, place)) => {
                    if let Some(first) = map.entry(&name) {
                        let mut problem =
                            Problem::new(place, format!("mapping key \"{name}\" already defined"));
                        problem.cause = Some(("first defined".into(), first.place));
                        return Err(problem.hint("keep one of the two, or merge them into one"));
                    }
                    map.insert(name, place, node);
                }
            },
        }
        Ok(None)
    }

    fn remember(&mut self, anchor: usize, node: &Node) {
        if anchor > 0 {
            let (nodes, bytes, depth) = weigh(node);
            self.anchors.insert(
                anchor,
                Some(Anchor {
                    node: node.clone(),
                    nodes,
                    bytes,
                    depth,
                }),
            );
        }
    }

    fn alias(&mut self, id: usize, place: Place) -> Result<Node, Problem> {
        let (nodes, bytes, depth) = match self.anchors.get(&id) {
            Some(Some(anchor)) => (anchor.nodes, anchor.bytes, anchor.depth),
            Some(None) => {
                return Err(Problem::new(
                    place,
                    "an alias cannot stand inside the node it names",
                ));
            }
            None => return Err(Problem::new(place, "this alias names no anchor")),
        };
        self.count(nodes, place)?;
        self.alias_bytes += bytes;
        if self.alias_bytes > MAX_ALIAS_BYTES {
            return Err(Problem::new(place, "aliases copy too much text")
                .hint("a document may copy 16 MiB by aliases"));
        }
        if self.stack.len() + depth > MAX_DEPTH {
            return Err(too_deep(place));
        }
        match self.anchors.get(&id) {
            Some(Some(anchor)) => Ok(anchor.node.clone()),
            _ => Err(Problem::new(place, "this alias names no anchor")),
        }
    }

    fn count(&mut self, nodes: usize, place: Place) -> Result<(), Problem> {
        self.nodes += nodes;
        match self.nodes > MAX_NODES {
            true => Err(Problem::new(
                place,
                format!("the document has more than {MAX_NODES} nodes"),
            )
            .hint("aliases count each time they are used; shorten the chain of anchors")),
            false => Ok(()),
        }
    }

    fn scan_error(&self, error: &ScanError) -> Problem {
        let marker = error.marker();
        let place = Place {
            file: self.file,
            line: marker.line() as u32,
            column: marker.col() as u32 + 1,
        };
        let problem = Problem::new(place, format!("this is not valid YAML: {}", error.info()));
        match scan_hint(error.kind()) {
            Some(hint) => problem.hint(hint),
            None => problem,
        }
    }
}

/// Stands for a plain `<<` among keys; no key of a file can be this text.
const MERGE_KEY: &str = "\0<<";

fn too_deep(place: Place) -> Problem {
    Problem::new(place, format!("nested deeper than {MAX_DEPTH} levels"))
}

fn scan_hint(kind: &ErrorKind) -> Option<&'static str> {
    Some(match kind {
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation => "indent with spaces, not with tabs",
        ErrorKind::UnclosedQuotedScalar | ErrorKind::InvalidQuotedScalarIndent => {
            "close the quote that was opened before this place"
        }
        ErrorKind::UnknownAnchor => {
            "define the anchor (&name) before its use (*name), in the same file"
        }
        ErrorKind::MappingValueNotAllowed => {
            "a value that contains \": \" needs quotes; a key needs the same indentation as its neighbours"
        }
        ErrorKind::ExpectedBlockMappingKey
        | ErrorKind::InvalidIndentation
        | ErrorKind::SimpleKeyExpected
        | ErrorKind::InvalidSimpleKey => {
            "keys of one mapping start in the same column, and each is followed by \": \" (check this line and the one before)"
        }
        ErrorKind::ExpectedBlockSequenceEntry => {
            "entries of one list start in the same column with \"- \""
        }
        ErrorKind::UnexpectedEofFlowSequence | ErrorKind::ExpectedFlowSequenceSeparator => {
            "close the list with ]"
        }
        ErrorKind::UnexpectedEofFlowMapping | ErrorKind::ExpectedFlowMappingSeparator => {
            "close the mapping with }"
        }
        ErrorKind::UnknownQuotedScalarEscape => {
            "in double quotes write \\\\ for a backslash, or use single quotes"
        }
        _ => return None,
    })
}

fn merge_tag(tag: Option<&Tag>) -> MergeTag {
    match tag.map(Tag::parts) {
        Some(("!", "reset")) => MergeTag::Reset,
        Some(("!", "override")) => MergeTag::Override,
        _ => MergeTag::Merge,
    }
}

fn scalar_node(
    text: &str,
    style: ScalarStyle,
    tag: Option<&Tag>,
    place: Place,
) -> Result<Node, Problem> {
    let wrong =
        |kind: &str| Problem::new(place, format!("{text:?} is not {kind}, as its tag says"));
    let plain = || scalar::resolve(text);
    let value = match tag.and_then(Tag::core_suffix) {
        Some("str") => Value::String(text.to_owned()),
        Some("null") => Value::Null,
        Some("bool") => match plain() {
            Value::Bool(value) => Value::Bool(value),
            _ => return Err(wrong("a boolean")),
        },
        Some("int") => match plain() {
            Value::Int(value) => Value::Int(value),
            _ => return Err(wrong("an integer")),
        },
        Some("float") => match plain() {
            Value::Int(value) => Value::Float(value as f64),
            Value::Float(value) => Value::Float(value),
            _ => return Err(wrong("a number")),
        },
        _ if style == ScalarStyle::Plain => plain(),
        _ => Value::String(text.to_owned()),
    };
    Ok(Node {
        value,
        place,
        tag: merge_tag(tag),
    })
}

fn key_text(node: &Node, merge_key: bool) -> Result<String, Problem> {
    if merge_key {
        return Ok(MERGE_KEY.to_owned());
    }
    match (&node.value, node.scalar_text()) {
        (_, Some(text)) => Ok(text),
        (Value::Null, _) => Ok("null".to_owned()),
        _ => Err(
            Problem::new(node.place, format!("{} cannot be a key", node.kind()))
                .hint("a key is a single word or a quoted string"),
        ),
    }
}

/// What a node costs to copy: its nodes, its bytes of text, its depth.
fn weigh(node: &Node) -> (usize, usize, usize) {
    let children = |nodes: &mut dyn Iterator<Item = &Node>| {
        nodes
            .map(weigh)
            .fold((0, 0, 0), |sum: (usize, usize, usize), part| {
                (sum.0 + part.0, sum.1 + part.1, sum.2.max(part.2))
            })
    };
    let (nodes, bytes, depth) = match &node.value {
        Value::String(text) => (0, text.len(), 0),
        Value::List(list) => children(&mut list.iter()),
        Value::Map(map) => children(&mut map.iter().map(|entry| &entry.node)),
        _ => (0, 0, 0),
    };
    (nodes + 1, bytes, depth + 1)
}

/// Adds what `<<` brings: keys that are there already win, and so do earlier maps of a list.
fn merge_into(map: &mut Map, merged: Node) -> Result<(), Problem> {
    let place = merged.place;
    match merged.value {
        Value::Map(other) => {
            for entry in other {
                if !map.contains(&entry.key) {
                    map.insert(entry.key, entry.place, entry.node);
                }
            }
            Ok(())
        }
        Value::List(list) => list.into_iter().try_for_each(|node| match node.value {
            Value::Map(_) => merge_into(map, node),
            _ => Err(Problem::new(
                node.place,
                "map merge requires map or sequence of maps as the value",
            )),
        }),
        Value::Null => Ok(()),
        _ => Err(Problem::new(
            place,
            "map merge requires map or sequence of maps as the value",
        )
        .hint("write <<: *anchor, where the anchor names a mapping")),
    }
}

#[cfg(test)]
mod tests;
