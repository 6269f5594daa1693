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

    /// The scanner's own error.
    pub(super) fn scan(file: u32, error: &ScanError) -> Self {
        let marker = error.marker();
        let place = Place {
            file,
            line: marker.line() as u32,
            column: marker.col() as u32 + 1,
        };
        let problem = Self::new(place, format!("this is not valid YAML: {}", error.info()));
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
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation => "indent with spaces, not with tabs",
        ErrorKind::UnclosedQuotedScalar | ErrorKind::InvalidQuotedScalarIndent => {
            "close the quote that was opened before this place"
        }
        ErrorKind::UnknownAnchor => {
            "define the anchor (&name) before its use (*name), in the same file"
        }
        ErrorKind::MappingValueNotAllowed => {
            "a value that contains \": \" needs quotes; a key needs the same indentation as its neighbours"
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
        ErrorKind::UnknownQuotedScalarEscape => {
            "in double quotes write \\\\ for a backslash, or use single quotes"
        }
        _ => return None,
    })
}
