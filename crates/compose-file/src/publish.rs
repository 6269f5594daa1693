//! One Compose file as it is published: its text stays as it is, but for the paths of local files, which become names beside it.
//! Source: docker compose `pkg/compose/publish.go`, `transform/replace.go`.

use crate::diagnostic::{Diagnostic, Place, Severity, Sources};
use crate::parse;
use crate::paths;
use crate::template;
use crate::tree::Node;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A Compose file's text, and what in it concerns others who get it.
#[derive(Debug, Clone, PartialEq)]
pub struct Publishable {
    text: String,
    pub references: Vec<Reference>,
    /// `include` of files of this host, which cannot go along.
    pub local_includes: Vec<String>,
    /// Service, variable and value of `environment`, as written.
    pub variables: Vec<(String, String, String)>,
    /// Name and text of configs with `content`, as written.
    pub contents: Vec<(String, String)>,
}

/// A path of this host in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    pub service: String,
    pub kind: ReferenceKind,
    pub path: PathBuf,
    place: Place,
    /// As written, variables in it.
    written: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReferenceKind {
    EnvFile,
    /// `extends.file`.
    Extends,
}

/// Reads one file. Relative paths in it begin at `base`.
pub fn publishable(
    name: &Path,
    bytes: &[u8],
    base: &Path,
    environment: &BTreeMap<String, String>,
) -> Result<Publishable, Box<Diagnostic>> {
    let mut sources = Sources::default();
    let documents = parse::parse(name, bytes, &mut sources)?;
    let mut found = Publishable {
        text: String::from_utf8_lossy(bytes).into_owned(),
        references: Vec::new(),
        local_includes: Vec::new(),
        variables: Vec::new(),
        contents: Vec::new(),
    };
    for document in &documents {
        found.read(document, base, environment);
    }
    Ok(found)
}

impl Publishable {
    fn read(&mut self, document: &Node, base: &Path, environment: &BTreeMap<String, String>) {
        let entries = |key| document.get(key).and_then(Node::as_map);
        let sections = [entries("services"), entries("jobs")];
        for service in sections.into_iter().flatten().flat_map(|map| map.iter()) {
            let mut add = |kind, node: &Node| {
                let text = node.as_str().unwrap_or_default();
                let lookup = |name: &str| environment.get(name).cloned();
                let text = template::substitute(text, &lookup)
                    .map_or_else(|_| text.to_owned(), |r| r.text);
                if !text.is_empty() && !paths::is_remote(&text) {
                    self.references.push(Reference {
                        service: service.key.clone(),
                        kind,
                        path: paths::resolve(base, &text, None),
                        place: node.place,
                        written: node.as_str().unwrap_or_default().to_owned(),
                    });
                }
            };
            let extends = service.node.get("extends");
            if let Some(file) = extends.and_then(|extends| extends.get("file")) {
                add(ReferenceKind::Extends, file);
            }
            for file in each(service.node.get("env_file")) {
                add(ReferenceKind::EnvFile, file.get("path").unwrap_or(file));
            }
            self.environment(&service.key, service.node.get("environment"));
        }
        for config in entries("configs").into_iter().flat_map(|map| map.iter()) {
            if let Some(content) = config.node.get("content").and_then(Node::scalar_text) {
                self.contents.push((config.key.clone(), content));
            }
        }
        for include in each(document.get("include")) {
            for file in each(Some(include.get("path").unwrap_or(include))) {
                let text = file.scalar_text().unwrap_or_default();
                if !paths::is_remote(&text) {
                    self.local_includes.push(text);
                }
            }
        }
    }

    fn environment(&mut self, service: &str, node: Option<&Node>) {
        let mut add = |key: &str, value: String| {
            self.variables
                .push((service.to_owned(), key.to_owned(), value));
        };
        let Some(node) = node else { return };
        for entry in node.as_map().into_iter().flat_map(|map| map.iter()) {
            add(&entry.key, entry.node.scalar_text().unwrap_or_default());
        }
        for item in node.as_list().unwrap_or_default() {
            let text = item.scalar_text().unwrap_or_default();
            if let Some((key, value)) = text.split_once('=') {
                add(key, value.to_owned());
            }
        }
    }

    /// The text as it is in the file.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text with other names for the references that get one.
    pub fn renamed(
        &self,
        name: impl Fn(&Reference) -> Option<String>,
    ) -> Result<String, Box<Diagnostic>> {
        let mut places: Vec<(Place, &str, String)> = Vec::new();
        for reference in &self.references {
            // An alias stands where its anchor does: once is enough.
            if let Some(name) = name(reference)
                && !places.iter().any(|(place, ..)| *place == reference.place)
            {
                places.push((reference.place, &reference.written, name));
            }
        }
        // From the end, so that the places before stay what they are.
        places.sort_by_key(|(place, ..)| std::cmp::Reverse((place.line, place.column)));
        let mut lines: Vec<String> = self.text.split('\n').map(str::to_owned).collect();
        for (place, written, name) in places {
            let line = lines.get_mut((place.line as usize).saturating_sub(1));
            let replaced = line.and_then(|line| {
                let (start, end) = scalar(line, place.column as usize)?;
                // One that goes on in the next line is more than what is here.
                (line[start..end].trim_matches(['\'', '"']) == written).then_some(())?;
                line.replace_range(start..end, &name);
                Some(())
            });
            replaced.ok_or_else(|| {
                let message = format!("the path in line {} cannot be replaced", place.line);
                Box::new(
                    Diagnostic::new(Severity::Error, message).with_hint("write it on one line"),
                )
            })?;
        }
        Ok(lines.join("\n"))
    }
}

/// A list's items, or the one that stands for a list.
fn each(node: Option<&Node>) -> Vec<&Node> {
    match node {
        None => Vec::new(),
        Some(node) => match node.as_list() {
            Some(list) => list.iter().collect(),
            None => vec![node],
        },
    }
}

/// From where to where a scalar goes that begins in this column and ends in this line.
fn scalar(line: &str, column: usize) -> Option<(usize, usize)> {
    let start = line.char_indices().nth(column.checked_sub(1)?)?.0;
    let rest = &line[start..];
    // An anchor or a tag stands before what it is of.
    if rest.starts_with(['&', '!', '*', '|', '>']) {
        return None;
    }
    let length = match rest.chars().next()? {
        '\'' => rest[1..].find('\'')? + 2,
        '"' => {
            rest[1..]
                .find('"')
                .filter(|end| !rest[1..=*end].contains('\\'))?
                + 2
        }
        _ => {
            let flow = line[..start].contains(['[', '{']);
            let ends: &[char] = if flow {
                &[',', ']', '}', '\r']
            } else {
                &['\r']
            };
            let end = rest.find(ends).unwrap_or(rest.len());
            let end = rest[..end].find(" #").unwrap_or(end);
            rest[..end].trim_end().len()
        }
    };
    (length > 0).then_some((start, start + length))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
include:\n  - oci://r/x\n  - path: [a.yaml, 'https://h/b.git']\nservices:\n  web: # comment stays\n    env_file: \"./é.env\"   # here\n    \
extends: {file: ../base.yaml, service: b}\n    environment: {PASSWORD: x, N: 1}\n  db:\n    env_file:\n      - one.env\n      \
- path: ${DIR}/two.env\n        required: false\n    environment: [\"TOKEN=t\", PLAIN]\nconfigs:\n  c: {content: text}\n";

    fn read(text: &str) -> Publishable {
        let environment = BTreeMap::from([("DIR".to_owned(), "/d".to_owned())]);
        publishable(
            Path::new("/p/compose.yaml"),
            text.as_bytes(),
            Path::new("/p"),
            &environment,
        )
        .unwrap()
    }

    #[test]
    fn what_concerns_others() {
        let found = read(TEXT);
        let paths: Vec<_> = found
            .references
            .iter()
            .map(|r| r.path.display().to_string())
            .collect();
        assert_eq!(
            paths,
            ["/base.yaml", "/p/é.env", "/p/one.env", "/d/two.env"]
        );
        assert_eq!(found.local_includes, ["a.yaml"]);
        let variables: Vec<_> = found
            .variables
            .iter()
            .map(|(s, k, v)| format!("{s}.{k}={v}"))
            .collect();
        assert_eq!(variables, ["web.PASSWORD=x", "web.N=1", "db.TOKEN=t"]);
        assert_eq!(found.contents, [("c".to_owned(), "text".to_owned())]);
    }

    #[test]
    fn paths_become_names_and_nothing_else_changes() {
        let found = read(TEXT);
        let name = |r: &Reference| Some(format!("{}.x", r.path.file_stem()?.to_string_lossy()));
        let expected = TEXT
            .replace("\"./é.env\"", "é.x")
            .replace("../base.yaml", "base.x")
            .replace("one.env", "one.x")
            .replace("${DIR}/two.env", "two.x");
        assert_eq!(found.renamed(name).unwrap(), expected);
        assert_eq!(found.renamed(|_| None).unwrap(), TEXT);
        let folded = read("services:\n  a:\n    env_file: >-\n      one\n      two.env\n");
        assert!(folded.renamed(name).is_err());
    }
}
