//! `docs/SECURITY.md` names tests and functions; here they are looked up, so that the table cannot rot.

use std::fs;
use std::path::{Path, PathBuf};

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// All Rust sources of the project.
fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a directory").flatten() {
        let path = entry.path();
        if path.is_dir() && path.file_name().is_none_or(|name| name != "target") {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// What stands between backquotes.
fn code(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// The rows of the table under "The table", as cells.
fn rows(document: &str) -> Vec<Vec<&str>> {
    let (_, table) = document.split_once("## The table").expect("the table");
    table
        .lines()
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'))
        .skip(2)
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect()
}

#[test]
fn every_row_of_the_security_table_has_tests_that_exist() {
    let document = fs::read_to_string(top().join("docs/SECURITY.md")).expect("SECURITY.md");
    let mut paths = Vec::new();
    for dir in ["crates", "tests"] {
        sources(&top().join(dir), &mut paths);
    }
    let text: String = paths
        .iter()
        .map(|path| fs::read_to_string(path).expect("a source"))
        .collect();
    let rows = rows(&document);
    assert!(rows.len() > 30, "the table was found");
    let mut missing = Vec::new();
    for row in &rows {
        let [class, _, _, tests] = row.as_slice() else {
            panic!("four cells: {row:?}")
        };
        let tests = code(tests);
        assert!(!tests.is_empty(), "{class} has no test");
        for test in tests {
            if !text.contains(&format!("fn {test}(")) {
                missing.push(format!("{class}: no test {test}"));
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn what_the_security_table_says_stops_an_attack_is_there() {
    let document = fs::read_to_string(top().join("docs/SECURITY.md")).expect("SECURITY.md");
    let mut missing = Vec::new();
    for row in rows(&document) {
        let mut file = String::new();
        for word in code(row[2]) {
            if word.contains('/') {
                file = fs::read_to_string(top().join(word))
                    .unwrap_or_else(|e| panic!("{}: {word}: {e}", row[0]));
            } else if !file.contains(word) {
                missing.push(format!("{}: no {word} in the file before it", row[0]));
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}
