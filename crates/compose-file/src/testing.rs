//! What the tests of several phases share: a text to a tree and back.

use crate::diagnostic::Sources;
use crate::tree::{MergeTag, Node, Value};
use std::path::Path;

/// Parses one document called `c.yaml`.
pub(crate) fn parse(text: &str) -> (Node, Sources) {
    let mut sources = Sources::default();
    let mut documents = crate::parse::parse(Path::new("c.yaml"), text.as_bytes(), &mut sources)
        .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(documents.len(), 1, "{text}");
    (documents.remove(0), sources)
}

/// The tree as JSON-like text, so that a test reads at a glance.
pub(crate) fn show(node: &Node) -> String {
    let tag = match node.tag {
        MergeTag::Merge => "",
        MergeTag::Reset => "!reset ",
        MergeTag::Override => "!override ",
    };
    let value = match &node.value {
        Value::Null => "null".into(),
        Value::String(text) => format!("{text:?}"),
        Value::List(list) => format!("[{}]", list.iter().map(show).collect::<Vec<_>>().join(", ")),
        Value::Map(map) => {
            let entries: Vec<_> = map
                .iter()
                .map(|e| format!("{}: {}", e.key, show(&e.node)))
                .collect();
            format!("{{{}}}", entries.join(", "))
        }
        _ => node.scalar_text().unwrap_or_default(),
    };
    format!("{tag}{value}")
}

/// Loads `/p/compose.yaml` with this text, in an empty environment.
pub(crate) fn load_text(text: &str) -> Result<crate::Loaded, crate::LoadError> {
    load_files(&[("/p/compose.yaml", text)])
}

/// Loads the project in `/p` from these files.
pub(crate) fn load_files(files: &[(&str, &str)]) -> Result<crate::Loaded, crate::LoadError> {
    load_with(&options(), files)
}

pub(crate) fn load_with(
    options: &crate::Options,
    files: &[(&str, &str)],
) -> Result<crate::Loaded, crate::LoadError> {
    crate::load(options, &crate::MemoryFiles::new(files.iter().copied()))
}

pub(crate) fn options() -> crate::Options {
    crate::Options {
        current_dir: "/p".into(),
        ..crate::Options::default()
    }
}

/// The bare messages, in order.
pub(crate) fn messages(diagnostics: &[crate::Diagnostic]) -> Vec<String> {
    diagnostics
        .iter()
        .map(|diagnostic| diagnostic.message.clone())
        .collect()
}
