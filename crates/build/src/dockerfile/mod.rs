//! Dockerfile text to stages of typed instructions. Pure: opens no file, expands no variable.
//!
//! Source: Dockerfile reference; BuildKit's parser for the corners. Untrusted input: nothing here panics or
//! takes more than time and memory in proportion to the text (fuzzed by `fuzz/fuzz_targets/dockerfile.rs`).

mod error;
mod flags;
mod health;
mod heredoc;
mod instruction;
mod line;
mod mount;
mod parse;
#[cfg(test)]
mod tests;
mod warnings;
mod words;

pub use error::{Mistake, SyntaxError};
pub use heredoc::Heredoc;
pub use instruction::{
    CommandLine, Copy, CopyVerb, Declarations, From, Instruction, Run, RunNetwork, RunSecurity,
};
pub use line::Directives;
pub use mount::{CacheMount, RunMount, RunMountKind, SecretMount, Sharing, SshMount};

pub(crate) use error::nearest;
pub(crate) use mount::{from_of as mount_from, parse as parse_mount};

/// First and last line of an instruction, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lines {
    pub first: usize,
    pub last: usize,
}

impl Lines {
    pub fn one(line: usize) -> Self {
        Self {
            first: line,
            last: line,
        }
    }
}

/// Something with its place and text in the Dockerfile.
#[derive(Debug, Clone, PartialEq)]
pub struct Placed<T> {
    pub what: T,
    pub lines: Lines,
    /// The instruction as written, continuations joined.
    pub text: String,
}

/// A FROM and what follows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    pub from: Placed<From>,
    pub instructions: Vec<Placed<Instruction>>,
}

/// A whole file.
#[derive(Debug, Clone, PartialEq)]
pub struct Dockerfile {
    pub directives: Directives,
    /// The ARGs before the first FROM.
    pub args: Vec<Placed<Declarations>>,
    pub stages: Vec<Stage>,
    /// What is allowed but probably not meant.
    pub warnings: Vec<(Lines, String)>,
}

/// Reads a whole Dockerfile.
pub fn parse(text: &str) -> Result<Dockerfile, SyntaxError> {
    parse::file(text)
}

/// Whether a word is nothing but the opening of a heredoc.
pub(crate) fn is_opening(word: &str) -> bool {
    heredoc::opening(word.trim()).is_some()
}

/// Reads one instruction by itself: a trigger left by ONBUILD in a base image.
pub fn parse_trigger(text: &str) -> Result<Placed<Instruction>, SyntaxError> {
    parse::trigger(text, '\\')
}
