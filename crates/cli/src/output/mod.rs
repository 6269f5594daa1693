//! What the user sees: tables, texts for sizes and times, `--format`, progress.

pub(crate) mod listing;
pub(crate) mod progress;
pub(crate) mod sink;
pub(crate) mod table;
pub(crate) mod terminal;
pub(crate) mod units;

use crate::failure::Failure;
use std::io::Write;

/// Writes one line to standard output.
pub(crate) fn line(text: impl std::fmt::Display) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}")
        .and_then(|()| out.flush())
        .map_err(Failure::from)
}

/// Writes text to standard output as it is.
pub(crate) fn text(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(Failure::from)
}

/// Writes one line to standard error; that nobody reads it is no reason to fail.
pub(crate) fn note(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// A warning, in Docker's form.
pub(crate) fn warn(text: impl std::fmt::Display) {
    note(format_args!("WARNING: {text}"));
}
