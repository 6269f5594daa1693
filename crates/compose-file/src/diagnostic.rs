//! What is wrong, where, and what to do: every message of this crate.
//!
//! A [`Diagnostic`] carries its place and, when the source is known, the line itself, so that it can be shown
//! wherever it ends up. It decides nothing and prints nothing.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A place in one of the files read; line and column count from 1, line 0 means "no place".
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) file: u32,
    pub(crate) line: u32,
    pub(crate) column: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    Warning,
    Error,
}

/// One message for the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    pub severity: Severity,
    pub file: Option<PathBuf>,
    /// From 1; 0: no line is meant.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
    /// `services.web.ports[0]`; empty when the file as a whole is meant.
    pub path: String,
    pub message: String,
    /// What it comes from, when that is somewhere else (`first defined at compose.yaml:3:5`).
    pub cause: Option<String>,
    pub hint: Option<String>,
    /// The source line.
    pub source_line: Option<String>,
}

impl Diagnostic {
    pub(crate) fn new(severity: Severity, message: impl Into<String>) -> Self {
        Self {
            severity,
            file: None,
            line: 0,
            column: 0,
            path: String::new(),
            message: message.into(),
            cause: None,
            hint: None,
            source_line: None,
        }
    }

    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub fn with_cause(mut self, cause: impl Into<String>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// `compose.yaml:3:5`, or the file alone, or nothing.
    pub fn location(&self) -> Option<String> {
        let file = self.file.as_ref()?.display();
        Some(match self.line {
            0 => file.to_string(),
            line => format!("{file}:{line}:{}", self.column),
        })
    }

    /// The message with its place, the source line with a caret, cause and hint, without a final newline.
    pub fn render(&self) -> String {
        use fmt::Write;
        let mut text = String::new();
        if let Some(location) = self.location() {
            let _ = write!(text, "{location}: ");
        }
        if !self.path.is_empty() {
            let _ = write!(text, "{}: ", self.path);
        }
        text.push_str(&self.message);
        if let Some(source) = self
            .source_line
            .as_deref()
            .filter(|line| !line.trim().is_empty())
        {
            let number = self.line.to_string();
            let (shown, caret) = window(source, self.column as usize);
            let margin = " ".repeat(number.len());
            let _ = write!(
                text,
                "\n  {number} | {shown}\n  {margin} | {}^",
                " ".repeat(caret)
            );
        }
        if let Some(cause) = &self.cause {
            let _ = write!(text, "\n  Cause: {cause}");
        }
        if let Some(hint) = &self.hint {
            let _ = write!(text, "\n  Hint: {hint}");
        }
        without_controls(&text)
    }
}

/// What a file says must not move the terminal's cursor.
fn without_controls(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c.is_control() && c != '\n' {
            true => shown.extend(c.escape_default()),
            false => shown.push(c),
        }
    }
    shown
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render())
    }
}

/// At most a hundred characters around `column` (from 1), and where the caret stands in them.
fn window(line: &str, column: usize) -> (String, usize) {
    const WIDTH: usize = 100;
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    let caret = column.saturating_sub(1);
    let start = if caret > WIDTH - 20 {
        caret - WIDTH / 2
    } else {
        0
    };
    let mut shown: String = line
        .chars()
        .skip(start)
        .take(WIDTH)
        .map(printable)
        .collect();
    let mut caret = caret - start;
    if start > 0 {
        shown.insert(0, '…');
        caret += 1;
    }
    (shown.trim_end().to_owned(), caret)
}

/// The texts of the files read, so that a place can be shown.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sources {
    files: Vec<(PathBuf, Arc<str>)>,
}

impl Sources {
    /// Remembers a file; the answer is what [`Place::file`] holds.
    pub(crate) fn add(&mut self, name: &Path, text: &str) -> u32 {
        self.files.push((name.to_owned(), text.into()));
        self.files.len() as u32 - 1
    }

    pub(crate) fn name(&self, place: Place) -> Option<&Path> {
        self.files
            .get(place.file as usize)
            .map(|(name, _)| name.as_path())
    }

    pub(crate) fn line(&self, place: Place) -> Option<&str> {
        let (_, text) = self.files.get(place.file as usize)?;
        text.split('\n')
            .nth((place.line as usize).checked_sub(1)?)
            .map(|line| line.trim_end_matches('\r'))
    }

    /// `compose.yaml:3:5`.
    pub(crate) fn show(&self, place: Place) -> String {
        match self.name(place) {
            Some(name) => format!("{}:{}:{}", name.display(), place.line, place.column),
            None => format!("{}:{}", place.line, place.column),
        }
    }

    pub(crate) fn diagnostic(
        &self,
        severity: Severity,
        place: Place,
        path: &str,
        message: impl Into<String>,
    ) -> Diagnostic {
        let mut diagnostic = Diagnostic::new(severity, message);
        diagnostic.path = path.to_owned();
        if place.line > 0 {
            diagnostic.file = self.name(place).map(Path::to_owned);
            diagnostic.line = place.line;
            diagnostic.column = place.column;
            diagnostic.source_line = self.line(place).map(str::to_owned);
        }
        diagnostic
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources() -> Sources {
        let mut sources = Sources::default();
        sources.add(
            Path::new("compose.yaml"),
            "services:\n  web:\n    imag: nginx\n",
        );
        sources
    }

    #[test]
    fn shows_the_line_and_a_caret() {
        let place = Place {
            file: 0,
            line: 3,
            column: 5,
        };
        let error = sources()
            .diagnostic(
                Severity::Error,
                place,
                "services.web",
                "unknown key \"imag\"",
            )
            .with_hint("did you mean \"image\"?");
        assert_eq!(
            error.render(),
            "compose.yaml:3:5: services.web: unknown key \"imag\"\n  3 |     imag: nginx\n    |     ^\n  Hint: did you mean \"image\"?"
        );
    }

    #[test]
    fn a_place_that_does_not_exist_is_no_panic() {
        let place = Place {
            file: 7,
            line: 99,
            column: 400,
        };
        assert!(
            sources()
                .diagnostic(Severity::Error, place, "", "x")
                .render()
                .contains('x')
        );
    }

    #[test]
    fn a_very_long_line_is_cut_around_the_caret() {
        let mut sources = Sources::default();
        sources.add(Path::new("a"), &"é".repeat(100_000));
        let place = Place {
            file: 0,
            line: 1,
            column: 50_000,
        };
        let text = sources.diagnostic(Severity::Error, place, "", "x").render();
        assert!(text.chars().count() < 300, "{}", text.len());
    }
}
