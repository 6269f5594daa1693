//! `docs/COMPOSE.md` against what there is: every key the loader knows has a row, every scenario a row names exists.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(top().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// The cells of every row but the heads.
fn rows(page: &str) -> Vec<Vec<String>> {
    let cells = |line: &str| -> Vec<String> {
        let cells = line.trim().trim_matches('|').split('|');
        cells.map(|cell| cell.trim().to_owned()).collect()
    };
    page.lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| key "))
        .map(cells)
        .collect()
}

#[test]
fn every_scenario_that_the_page_names_exists() {
    let page = read("docs/COMPOSE.md");
    let mut named = 0;
    for row in rows(&page) {
        let [_, _, scenario] = row.as_slice() else {
            panic!("a row has three cells: {row:?}");
        };
        let Some((file, name)) = scenario.split_once("::") else {
            assert!(matches!(scenario.as_str(), "" | "unit"), "{row:?}");
            continue;
        };
        let text = read(&format!("tests/scenarios/{file}.rs"));
        assert!(text.contains(&format!("fn {name}(")), "{scenario}");
        named += 1;
    }
    assert!(named > 50, "{named} rows name a scenario");
}

/// Keys by their rows' first two cells: those below a key stand in its status.
#[test]
fn every_key_that_the_loader_knows_is_on_the_page() {
    let page = read("docs/COMPOSE.md");
    let mut known: BTreeSet<String> = BTreeSet::new();
    for row in rows(&page) {
        for cell in row.iter().take(2) {
            let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            known.extend(cell.split(|c| !is_word(c)).map(str::to_owned));
        }
    }
    let mut missing = BTreeSet::new();
    for file in ["build", "deploy", "job", "parts", "resource", "service"] {
        let shapes = read(&format!("crates/compose-file/src/schema/shapes/{file}.rs"));
        for part in shapes.split("(\"").skip(1) {
            let key = part.split('"').next().unwrap_or_default();
            if part[key.len()..].starts_with("\", ") && !known.contains(key) {
                missing.insert(key.to_owned());
            }
        }
    }
    assert!(missing.is_empty(), "not on the page: {missing:?}");
}
