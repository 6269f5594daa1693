//! The loader held against the JSON schema that the Compose Specification publishes. `scripts/compose-schema`
//! lays it into `target/`; where it is not, every case is skipped, and counted as skipped.

#![expect(
    clippy::print_stdout,
    reason = "a test binary without libtest prints its lines itself"
)]

mod corpus;
mod keys;
mod mutants;
mod places;
mod validate;

use serde_json::Value;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// One thing to hold true: its name, and what panics when it is not.
type Case = (&'static str, fn(&Value));

const CASES: [Case; 5] = [
    ("every_key_is_known_here", keys::every_key_is_known_here),
    (
        "every_key_here_is_known_there",
        keys::every_key_here_is_known_there,
    ),
    (
        "every_kind_of_value_is_taken",
        keys::every_kind_of_value_is_taken,
    ),
    (
        "the_canonical_form_is_valid",
        corpus::the_canonical_form_is_valid,
    ),
    (
        "what_the_schema_refuses_is_refused",
        mutants::what_the_schema_refuses_is_refused,
    ),
];

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with('-'))
        .collect();
    let chosen =
        |name: &str| words.is_empty() || words.iter().any(|word| name.contains(word.as_str()));
    let cases: Vec<Case> = CASES.into_iter().filter(|(name, _)| chosen(name)).collect();
    let path = top().join("target/compose-spec.json");
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    match std::fs::read(&path) {
        Ok(text) => {
            let schema: Value = serde_json::from_slice(&text).expect("the schema is JSON");
            for (name, case) in cases {
                let good = catch_unwind(|| case(&schema)).is_ok();
                *(if good { &mut passed } else { &mut failed }) += 1;
                println!(
                    "test published::{name} ... {}",
                    if good { "ok" } else { "FAILED" }
                );
            }
        }
        Err(_) => {
            for (name, _) in cases {
                skipped += 1;
                println!(
                    "test published::{name} ... skipped: no target/compose-spec.json, run scripts/compose-schema"
                );
            }
            if std::env::var_os("DOCKLESS_TEST_NO_SKIP").is_some() {
                (failed, skipped) = (skipped, 0);
            }
        }
    }
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    println!("\ntest result: {verdict}. {passed} passed; {failed} failed; {skipped} skipped\n");
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
