//! What can be wrong with a Dockerfile, and where.
//!
//! The texts follow BuildKit's (`dockerfile parse error on line N: …`), which scripts and people search for.

use super::Lines;

/// A mistake in a Dockerfile, at its place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("dockerfile parse error on line {}: {cause}", lines.first)]
pub struct SyntaxError {
    pub lines: Lines,
    pub cause: Mistake,
}

impl SyntaxError {
    pub(crate) fn at(lines: Lines, cause: Mistake) -> Self {
        Self { lines, cause }
    }
}

/// The kinds of mistakes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Mistake {
    #[error("file with no instructions")]
    Empty,
    #[error("the file is not text: it contains a NUL byte")]
    Binary,
    #[error("dockerfile contains no stages to build: it needs a FROM")]
    NoStages,
    #[error("no build stage in current context: {0} comes before the first FROM (only ARG may)")]
    BeforeFrom(String),
    #[error("unknown instruction: {word}{}", hint(.nearest))]
    UnknownInstruction {
        word: String,
        nearest: Option<&'static str>,
    },
    #[error(
        "{0} is not a valid change command: use CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, SHELL, STOPSIGNAL, USER, VOLUME or WORKDIR"
    )]
    NoChange(String),
    #[error("unknown flag: --{flag} of {instruction}{}", hint_flag(.nearest))]
    UnknownFlag {
        instruction: &'static str,
        flag: String,
        nearest: Option<&'static str>,
    },
    #[error("missing a value on flag: --{0}")]
    FlagWithoutValue(String),
    #[error("duplicate flag specified: --{0}")]
    DuplicateFlag(String),
    #[error("expecting boolean value for flag --{flag}, not: {value}")]
    FlagNotBoolean { flag: String, value: String },
    #[error("only one {0} parser directive can be used")]
    DuplicateDirective(String),
    #[error("invalid ESCAPE '{0}': must be ` or \\")]
    Escape(String),
    #[error("unterminated heredoc: no line says {0:?}")]
    UnterminatedHeredoc(String),
    #[error("{0} cannot contain a heredoc here")]
    HeredocPlace(&'static str),
    #[error("{instruction} requires {need}")]
    Arguments {
        instruction: &'static str,
        need: &'static str,
    },
    #[error("Syntax error - can't find = in {word:?}. Must be of the form: name=value")]
    NoEquals { word: String },
    #[error("{0} names can not be blank")]
    BlankName(&'static str),
    #[error("when using JSON array syntax, arrays must be comprised of strings only")]
    JsonNotStrings,
    #[error("SHELL requires the arguments to be in JSON form: [\"executable\", \"parameters\"]")]
    ShellNotJson,
    #[error("FROM requires either one or three arguments: FROM image [AS name]")]
    From,
    #[error(
        "invalid name for build stage: {0:?}, name can't start with a number or contain symbols"
    )]
    StageName(String),
    #[error(
        "when using {0} with more than one source file, the destination must be a directory and end with a /"
    )]
    DestinationNotDirectory(&'static str),
    #[error("ONBUILD isn't allowed to have the trigger {0}")]
    OnbuildTrigger(String),
    #[error("unknown type {0:?} in HEALTHCHECK (try CMD)")]
    HealthType(String),
    #[error("HEALTHCHECK NONE takes no arguments")]
    HealthNone,
    #[error("invalid value {value:?} for --{flag}: {cause}")]
    FlagValue {
        flag: &'static str,
        value: String,
        cause: String,
    },
    #[error("{0}")]
    Address(String),
    #[error("invalid port {0:?} in EXPOSE: write PORT[-PORT][/tcp|udp|sctp]")]
    Port(String),
    #[error("invalid signal {0:?} in STOPSIGNAL: write a name (SIGTERM) or a number from 1 to 64")]
    Signal(String),
    #[error("{0}")]
    Substitution(#[from] crate::expand::Error),
    #[error(
        "--from of {0} doesn't support variable expansion: define an alias stage instead (FROM ${{…}} AS name)"
    )]
    FromVariable(&'static str),
    #[error("invalid mount {text:?}: {cause}")]
    Mount { text: String, cause: String },
}

fn hint(nearest: &Option<&'static str>) -> String {
    nearest
        .map(|n| format!(" (did you mean {n}?)"))
        .unwrap_or_default()
}

fn hint_flag(nearest: &Option<&'static str>) -> String {
    nearest
        .map(|n| format!(" (did you mean --{n}?)"))
        .unwrap_or_default()
}

/// The candidate that is at most a third of the word's length away, by edit distance.
pub(crate) fn nearest<'a>(word: &str, candidates: &[&'a str]) -> Option<&'a str> {
    if word.len() > 64 {
        return None;
    }
    let limit = (word.chars().count() / 3).max(1);
    let scored = candidates
        .iter()
        .map(|candidate| (distance(word, candidate), *candidate));
    scored
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Optimal string alignment: insertions, deletions, replacements and swapped neighbours cost one each.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![(0..=b.len()).collect::<Vec<_>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_offered_and_far_ones_are_not() {
        assert_eq!(nearest("RNU", &["RUN", "CMD"]), Some("RUN"));
        assert_eq!(nearest("FORM", &["FROM", "ARG"]), Some("FROM"));
        assert_eq!(nearest("BANANA", &["RUN", "CMD"]), None);
    }
}
