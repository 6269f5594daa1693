//! YAML text to a spanned tree: anchors, aliases, merge keys (`<<`), `!reset`, `!override`, duplicate keys.
//!
//! Limits are those of compose-go (100,000 nodes copied by aliases) and of the stack (depth). Source: YAML 1.2,
//! Compose Specification `10-fragments.md` and `13-merge.md`.

mod anchors;
mod problem;

use crate::diagnostic::{Diagnostic, Place, Severity, Sources};
use crate::scalar;
use crate::tree::{Map, MergeTag, Node, Value};
use anchors::{Anchors, too_deep};
use granit_parser::{Event, Parser, ScalarStyle, Span, Tag};
use problem::Problem;
use std::path::Path;

const MAX_FILE_BYTES: usize = 16 << 20;
const MAX_DEPTH: usize = 100;

/// Parses all documents of one file; empty documents are left out.
pub(crate) fn parse(
    name: &Path,
    bytes: &[u8],
    sources: &mut Sources,
) -> Result<Vec<Node>, Box<Diagnostic>> {
    if bytes.len() > MAX_FILE_BYTES {
        let place = Place {
            file: sources.add(name, ""),
            line: 1,
            column: 1,
        };
        let message = format!("the file is larger than {} MiB", MAX_FILE_BYTES >> 20);
        return Err(sources
            .diagnostic(Severity::Error, place, "", message)
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
    let message = format!("byte {:#04x} is not valid UTF-8", bytes[at]);
    sources
        .diagnostic(Severity::Error, place, "", message)
        .with_hint("save the file as UTF-8")
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
        key: Option<(Key, Place)>,
        merges: Vec<(Place, Node)>,
    },
}

/// A key that waits for its value.
#[derive(Debug)]
enum Key {
    /// A plain `<<`.
    Merge,
    Name(String),
}

struct Builder<'t> {
    file: u32,
    text: &'t str,
    parser: Parser<'t, granit_parser::StrInput<'t>>,
    stack: Vec<Frame>,
    anchors: Anchors,
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
            text,
            parser,
            stack: Vec::new(),
            anchors: Anchors::default(),
        }
    }

    fn documents(mut self) -> Result<Vec<Node>, Problem> {
        let mut documents = Vec::new();
        while let Some(event) = self.parser.next_event() {
            let (event, span) =
                event.map_err(|error| Problem::scan(self.file, self.text, &error))?;
            match event {
                Event::DocumentStart(..) => self.anchors = Anchors::default(),
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

    /// Takes one event; the answer is a finished root.
    fn event(&mut self, event: Event<'_>, span: Span) -> Result<Option<Node>, Problem> {
        let place = Place {
            file: self.file,
            line: span.start.line() as u32,
            column: span.start.col() as u32 + 1,
        };
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.anchors.count(place)?;
                let node = scalar_node(&text, style, tag.as_deref(), place)?;
                self.anchors.remember(anchor, &node)?;
                self.finish(node, style == ScalarStyle::Plain && text == "<<")
            }
            Event::Alias(id) => {
                let node = self.anchors.copy(id, self.stack.len(), place)?;
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
        self.anchors.count(place)?;
        if self.stack.len() >= MAX_DEPTH {
            return Err(too_deep(place));
        }
        self.anchors.begin(anchor);
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
                for (place, merge) in merges {
                    merge_into(&mut map, merge, place)?;
                }
                Value::Map(map)
            }
        };
        let mut node = Node {
            value,
            place: frame.place,
            tag: frame.tag,
        };
        self.anchors.remember(frame.anchor, &node)?;
        // What is taken away has no value.
        if node.tag == MergeTag::Reset {
            node.value = Value::Null;
        }
        self.finish(node, false)
    }

    /// Puts a complete node where it belongs. `merge_key` says that it is a plain `<<`.
    fn finish(&mut self, node: Node, merge_key: bool) -> Result<Option<Node>, Problem> {
        let Some(frame) = self.stack.last_mut() else {
            return Ok(Some(node));
        };
        let (map, key, merges) = match &mut frame.collection {
            Collection::List(list) => {
                list.push(node);
                return Ok(None);
            }
            Collection::Map { map, key, merges } => (map, key, merges),
        };
        match key.take() {
            None if merge_key => *key = Some((Key::Merge, node.place)),
            None => *key = Some((Key::Name(key_text(&node)?), node.place)),
            Some((Key::Merge, place)) => merges.push((place, node)),
            Some((Key::Name(name), place)) => {
                if let Some(first) = map.entry(&name) {
                    return Err(Problem::new(
                        place,
                        format!("mapping key \"{name}\" already defined"),
                    )
                    .because("first defined", first.place)
                    .hint("keep one of the two, or merge them into one"));
                }
                map.insert(name, place, node);
            }
        }
        Ok(None)
    }
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
    let value = match (tag.and_then(Tag::core_suffix), scalar::resolve(text)) {
        (Some("str"), _) => Value::String(text.to_owned()),
        (Some("null"), _) => Value::Null,
        (Some("bool"), Value::Bool(value)) => Value::Bool(value),
        (Some("bool"), _) => return Err(wrong("a boolean")),
        (Some("int"), Value::Int(value)) => Value::Int(value),
        (Some("int"), _) => return Err(wrong("an integer")),
        (Some("float"), Value::Int(value)) => Value::Float(value as f64),
        (Some("float"), Value::Float(value)) => Value::Float(value),
        (Some("float"), _) => return Err(wrong("a number")),
        (_, value) if style == ScalarStyle::Plain => value,
        _ => Value::String(text.to_owned()),
    };
    Ok(Node {
        value,
        place,
        tag: merge_tag(tag),
    })
}

fn key_text(node: &Node) -> Result<String, Problem> {
    match (&node.value, node.scalar_text()) {
        (_, Some(text)) => Ok(text),
        (Value::Null, _) => Ok("null".to_owned()),
        _ => Err(
            Problem::new(node.place, format!("{} cannot be a key", node.kind()))
                .hint("a key is a single word or a quoted string"),
        ),
    }
}

/// Adds what `<<` brings: keys that are there already win, and so do earlier maps of a list.
fn merge_into(map: &mut Map, merged: Node, place: Place) -> Result<(), Problem> {
    let refuse = || {
        Problem::new(
            place,
            "map merge requires map or sequence of maps as the value",
        )
        .hint("write <<: *anchor, where the anchor names a mapping")
    };
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
            Value::Map(_) => merge_into(map, node, place),
            _ => Err(refuse()),
        }),
        Value::Null => Ok(()),
        _ => Err(refuse()),
    }
}

#[cfg(test)]
mod tests;
