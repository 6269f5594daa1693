//! What is wrong with a YAML text, before its place is turned into words.

use crate::diagnostic::{Diagnostic, Place, Severity, Sources};
use granit_parser::{ErrorKind, ScanError};

/// An error with its places.
#[derive(Debug)]
pub(super) struct Problem {
    place: Place,
    message: String,
    cause: Option<(String, Place)>,
    hint: Option<String>,
}

impl Problem {
    pub(super) fn new(place: Place, message: impl Into<String>) -> Self {
        Self {
            place,
            message: message.into(),
            cause: None,
            hint: None,
        }
    }

    /// The scanner's own error in `text`.
    pub(super) fn scan(file: u32, text: &str, error: &ScanError) -> Self {
        let marker = error.marker();
        let place = Place {
            file,
            line: marker.line() as u32,
            column: marker.col() as u32 + 1,
        };
        let problem = Self::new(place, format!("this is not valid YAML: {}", error.info()));
        let problem = match (
            is_open_quote(error.kind()),
            open_quote(file, text, place.line),
        ) {
            (true, Some(opened)) => problem.because("a quote is opened", opened),
            _ => problem,
        };
        match scan_hint(error.kind()) {
            Some(hint) => problem.hint(hint),
            None => problem,
        }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(super) fn because(mut self, words: &str, place: Place) -> Self {
        self.cause = Some((words.to_owned(), place));
        self
    }

    pub(super) fn show(self, sources: &Sources) -> Diagnostic {
        let mut diagnostic = sources.diagnostic(Severity::Error, self.place, "", self.message);
        diagnostic.cause = self
            .cause
            .map(|(words, place)| format!("{words} at {}", sources.show(place)));
        diagnostic.hint = self.hint;
        diagnostic
    }
}

fn scan_hint(kind: &ErrorKind) -> Option<&'static str> {
    Some(match kind {
        kind if is_open_quote(kind) => "close the quote that was opened before this place",
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabInPlainScalar => {
            "indent with spaces, not with tabs (check the next line too)"
        }
        ErrorKind::InvalidColonPlacement => "close the [ or { that was opened before this place",
        ErrorKind::UnknownAnchor => {
            "define the anchor (&name) before its use (*name), in the same file"
        }
        ErrorKind::MappingValueNotAllowed => {
            "a value that contains \": \" needs quotes, and the key in the line before needs its \":\""
        }
        ErrorKind::ExpectedBlockMappingKey
        | ErrorKind::InvalidIndentation
        | ErrorKind::SimpleKeyExpected
        | ErrorKind::InvalidSimpleKey => {
            "keys of one mapping start in the same column, and each is followed by \": \" (check this line and the one before)"
        }
        ErrorKind::ExpectedBlockSequenceEntry => {
            "entries of one list start in the same column with \"- \""
        }
        ErrorKind::UnexpectedEofFlowSequence | ErrorKind::ExpectedFlowSequenceSeparator => {
            "close the list with ]"
        }
        ErrorKind::UnexpectedEofFlowMapping | ErrorKind::ExpectedFlowMappingSeparator => {
            "close the mapping with }"
        }
        ErrorKind::UnclosedFlowCollection { open: '{' } => "close it with }",
        ErrorKind::UnclosedFlowCollection { .. } => "close it with ]",
        ErrorKind::UnknownQuotedScalarEscape => {
            "in double quotes write \\\\ for a backslash, or use single quotes"
        }
        _ => return None,
    })
}

fn is_open_quote(kind: &ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::UnclosedQuotedScalar | ErrorKind::InvalidQuotedScalarIndent
    )
}

/// The last line up to `line` in which a quote is opened and not closed.
fn open_quote(file: u32, text: &str, line: u32) -> Option<Place> {
    let lines: Vec<&str> = text.lines().take(line as usize).collect();
    let odd = |line: &str, quote: char| line.matches(quote).count() % 2 == 1;
    let open = |line: &&str| ['"', '\''].into_iter().find(|quote| odd(line, *quote));
    let (number, quote) = lines
        .iter()
        .enumerate()
        .rev()
        .find_map(|(n, line)| Some((n, open(line)?)))?;
    let column = lines[number].chars().position(|c| c == quote)?;
    Some(Place {
        file,
        line: number as u32 + 1,
        column: column as u32 + 1,
    })
}
