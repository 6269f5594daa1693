//! What `config` prints for every case of the corpus.

use crate::validate;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Every canonical form of the corpus that was printed after interpolation, with the name of its case.
fn forms() -> Vec<(String, Value)> {
    let root = crate::top().join("crates/compose-file/tests/corpus");
    let mut forms = Vec::new();
    for area in folders(&root) {
        for case in folders(&area) {
            let options = std::fs::read_to_string(case.join("options")).unwrap_or_default();
            let path = case.join("expected.yaml");
            if options.lines().any(|line| line == "no-interpolate") || !path.exists() {
                continue;
            }
            let text = std::fs::read(&path).expect("a file of the corpus");
            let mut value =
                compose_file::document::read(&path, &text).expect("what the loader printed");
            crate::keys::remove_extras(&mut value);
            forms.push((
                case.strip_prefix(&root)
                    .unwrap_or(&case)
                    .display()
                    .to_string(),
                value,
            ));
        }
    }
    forms
}

fn folders(dir: &Path) -> Vec<PathBuf> {
    let entries =
        std::fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.is_dir())
        .collect()
}

pub(crate) fn the_canonical_form_is_valid(schema: &Value) {
    let forms = forms();
    assert!(forms.len() > 100, "only {} cases", forms.len());
    let wrong: Vec<String> = forms
        .iter()
        .flat_map(|(name, form)| {
            validate::errors(schema, form)
                .into_iter()
                .map(move |error| format!("{name}: {error}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}
