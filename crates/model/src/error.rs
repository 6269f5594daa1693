//! Why a short form could not be read.

/// A short form that could not be read: what was given, what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid {what} {input:?}: {cause}")]
pub struct ParseError {
    /// The kind of thing, in Docker's words: `port`, `volume`, `restart policy`, …
    pub what: &'static str,
    /// The text as the user typed it.
    pub input: String,
    /// What is wrong, and the form that would be right.
    pub cause: String,
}

impl ParseError {
    pub fn new(what: &'static str, input: impl Into<String>, cause: impl Into<String>) -> Self {
        Self {
            what,
            input: input.into(),
            cause: cause.into(),
        }
    }
}
