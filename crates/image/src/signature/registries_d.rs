//! `registries.d`: whether signatures that lie in a registry beside an image are looked at.
//!
//! ```yaml
//! default-docker:
//!   use-sigstore-attachments: true
//! docker:
//!   quay.io/team:
//!     use-sigstore-attachments: false
//! ```
//! Source: containers-registries.d(5). The section of the narrowest scope counts alone, whatever a wider one says; `lookaside` is where
//! GPG's signatures are, which are not verified here. A section that does not say `use-sigstore-attachments` means no to containers'
//! tools and yes here: a policy that asks for signatures could not be met otherwise.

use super::policy::scopes_of;
use crate::registry::config::{self, Error};
use granit_parser::{Event, Parser};
use oci::Reference;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const KEY: &str = "use-sigstore-attachments";
const DEFAULT: &str = "default-docker";
/// Sections lie at the third level.
const MAX_DEPTH: usize = 8;

/// Where attachments of an image are switched off; `None`: they are looked at.
pub(super) fn switched_off(
    dir: Option<&Path>,
    image: &Reference,
) -> Result<Option<PathBuf>, Error> {
    let Some(dir) = dir else { return Ok(None) };
    let mut sections: BTreeMap<String, (PathBuf, Option<bool>)> = BTreeMap::new();
    for path in files(dir)? {
        let invalid = |message: String| Error::Invalid {
            path: path.clone(),
            message,
        };
        let text = config::text(&path)?.unwrap_or_default();
        for (scope, says) in read(&text).map_err(invalid)? {
            if let Some((other, _)) = sections.get(&scope) {
                let message = format!("{scope} is in {} already", other.display());
                return Err(invalid(message));
            }
            sections.insert(scope, (path.clone(), says));
        }
    }
    let scopes = scopes_of(image).into_iter();
    let mut scopes = scopes.chain([DEFAULT.to_owned()]);
    let section = scopes.find_map(|scope| sections.get(&scope));
    Ok(section.and_then(|(path, says)| (*says == Some(false)).then(|| path.clone())))
}

fn files(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let failed = |source| Error::Read {
        path: dir.to_owned(),
        source,
    };
    let entries = match std::fs::read_dir(dir) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(failed)?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|end| end == "yaml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The sections of a file, each with what it says.
fn read(text: &str) -> Result<Vec<(String, Option<bool>)>, String> {
    let mut sections = Vec::new();
    for (key, value) in map(tree(text)?, "the file")? {
        match key.as_str() {
            DEFAULT => sections.push((DEFAULT.to_owned(), says(value, DEFAULT)?)),
            "docker" => {
                for (scope, value) in map(value, "docker")? {
                    let says = says(value, &scope)?;
                    sections.push((scope, says));
                }
            }
            other => return Err(format!("unknown key {other:?}")),
        }
    }
    Ok(sections)
}

fn says(section: Node, scope: &str) -> Result<Option<bool>, String> {
    let entries = map(section, scope)?;
    let value = entries.into_iter().find(|(key, _)| key == KEY);
    match value.map(|(_, value)| value) {
        None => Ok(None),
        Some(Node::Text(text)) if text == "true" => Ok(Some(true)),
        Some(Node::Text(text)) if text == "false" => Ok(Some(false)),
        Some(_) => Err(format!("{scope}: {KEY} is true or false")),
    }
}

fn map(node: Node, what: &str) -> Result<Vec<(String, Node)>, String> {
    match node {
        Node::Map(entries) => Ok(entries),
        // An empty file, or a key without a value.
        Node::Text(text) if matches!(text.as_str(), "" | "~" | "null") => Ok(Vec::new()),
        _ => Err(format!("{what} is no mapping")),
    }
}

/// As much of YAML as these files are made of.
#[derive(Debug)]
enum Node {
    Text(String),
    List,
    Map(Vec<(String, Node)>),
}

/// A collection that is not complete.
enum Open {
    List,
    Map(Vec<(String, Node)>, Option<String>),
}

fn tree(text: &str) -> Result<Node, String> {
    let options = granit_parser::options! {
        emit_comments: false,
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    };
    let mut parser = Parser::new_from_str_with_options(text, options);
    let mut open: Vec<Open> = Vec::new();
    let mut root = None;
    while let Some(event) = parser.next_event() {
        let (event, _) = event.map_err(|e| e.to_string())?;
        let node = match event {
            Event::StreamEnd => break,
            Event::Scalar(text, ..) => Node::Text(text.into_owned()),
            Event::SequenceStart(..) | Event::MappingStart(..) if open.len() >= MAX_DEPTH => {
                return Err("it is nested too deeply".into());
            }
            Event::SequenceStart(..) => {
                open.push(Open::List);
                continue;
            }
            Event::MappingStart(..) => {
                open.push(Open::Map(Vec::new(), None));
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(Open::Map(entries, _)) => Node::Map(entries),
                _ => Node::List,
            },
            Event::Alias(_) => return Err("aliases are not read".into()),
            _ => continue,
        };
        match open.last_mut() {
            None if root.is_some() => return Err("it has more than one document".into()),
            None => root = Some(node),
            Some(Open::List) => {}
            Some(Open::Map(entries, key)) => match (key.take(), node) {
                (None, Node::Text(name)) => *key = Some(name),
                (None, _) => return Err("a key is no text".into()),
                (Some(name), _) if entries.iter().any(|(known, _)| *known == name) => {
                    return Err(format!("{name:?} stands there twice"));
                }
                (Some(name), node) => entries.push((name, node)),
            },
        }
    }
    Ok(root.unwrap_or(Node::Map(Vec::new())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn off(files: &[(&str, &str)], image: &str) -> Result<bool, String> {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        let found = switched_off(Some(dir.path()), &image.parse().unwrap());
        found.map(|path| path.is_some()).map_err(|e| e.to_string())
    }

    #[test]
    fn the_narrowest_section_decides_alone() {
        let one = "default-docker:\n  use-sigstore-attachments: false\n";
        let two = "docker:\n  quay.io:\n    use-sigstore-attachments: true\n  quay.io/a:\n    lookaside: http://x\n\
                   \x20 quay.io/a/b:1: {use-sigstore-attachments: false}\n";
        let files = [("1.yaml", one), ("2.yaml", two), ("3.yml", "&&&")];
        for (image, says) in [
            ("redis", true),
            ("quay.io/x", false),
            ("quay.io/a/c", false),
            ("quay.io/a/b:2", false),
            ("quay.io/a/b:1", true),
        ] {
            assert_eq!(off(&files, image), Ok(says), "{image}");
        }
        assert_eq!(off(&[], "redis"), Ok(false));
        assert_eq!(off(&[("1.yaml", "# nothing\n")], "redis"), Ok(false));
        let missing = switched_off(Some(Path::new("/nonexistent")), &"redis".parse().unwrap());
        assert!(missing.unwrap().is_none());
    }

    #[test]
    fn what_is_no_such_file_is_refused_with_its_name() {
        let deep = "[".repeat(10_000);
        for (text, said) in [
            ("docker: [a]", "no mapping"),
            ("dockers: {}", "unknown key"),
            (
                "docker: {a: {use-sigstore-attachments: maybe}}",
                "true or false",
            ),
            ("docker: {a: {}, a: {}}", "twice"),
            ("docker: &x {a: *x}", "1.yaml"),
            ("a: b: c", "1.yaml"),
            ("{[a]: b}", "no text"),
            ("docker: {}\n---\ndocker: {}\n", "more than one"),
            (deep.as_str(), "1.yaml"),
        ] {
            let error = off(&[("1.yaml", text)], "redis").unwrap_err();
            assert!(error.contains(said) && error.contains("1.yaml"), "{error}");
        }
        let twice = [("1.yaml", "docker: {a: {}}"), ("2.yaml", "docker: {a: {}}")];
        assert!(off(&twice, "redis").unwrap_err().contains("already"));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[a-z:{}\\[\\] \\n*&'\"-]{0,60}") {
            let _ = read(&text);
        }
    }
}
