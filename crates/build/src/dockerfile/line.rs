//! Text to logical lines: parser directives, comments, continuations and heredoc bodies.
//!
//! Source: BuildKit `frontend/dockerfile/parser/parser.go` (the rules, not the code). A line ends in the
//! escape character (then blanks) to be continued; comments and empty lines inside a continued instruction
//! are dropped; a heredoc's body follows the logical line that opens it.

use super::error::{Mistake, SyntaxError};
use super::{Heredoc, Lines, heredoc};

/// `# syntax=`, `# escape=`, `# check=`, before everything else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directives {
    pub syntax: Option<String>,
    pub escape: char,
    pub check: Option<String>,
}

impl Default for Directives {
    fn default() -> Self {
        Self {
            syntax: None,
            escape: '\\',
            check: None,
        }
    }
}

/// One instruction's text, continuations joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogicalLine {
    pub(crate) text: String,
    pub(crate) lines: Lines,
    pub(crate) heredocs: Vec<Heredoc>,
}

/// Reads the parser directives at the head. An unknown `# key=value` is a comment; the first line that is
/// none of these ends the head.
pub(crate) fn directives(text: &str) -> Result<Directives, SyntaxError> {
    let mut found = Directives::default();
    let mut seen = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let Some((key, value)) = directive(line) else {
            break;
        };
        let lines = Lines::one(index + 1);
        if !["syntax", "escape", "check"].contains(&key.as_str()) {
            continue;
        }
        if seen.contains(&key) {
            return Err(SyntaxError::at(lines, Mistake::DuplicateDirective(key)));
        }
        match key.as_str() {
            "syntax" => found.syntax = Some(value.to_owned()),
            "check" => found.check = Some(value.to_owned()),
            _ => match value {
                "\\" | "`" => found.escape = value.chars().next().unwrap_or('\\'),
                other => return Err(SyntaxError::at(lines, Mistake::Escape(other.to_owned()))),
            },
        }
        seen.push(key);
    }
    Ok(found)
}

fn directive(line: &str) -> Option<(String, &str)> {
    let (key, value) = line.trim_start().strip_prefix('#')?.split_once('=')?;
    let (key, value) = (key.trim(), value.trim());
    let letters = key.starts_with(|c: char| c.is_ascii_alphabetic());
    let word = letters && key.chars().all(|c| c.is_ascii_alphanumeric());
    (word && !value.is_empty()).then(|| (key.to_ascii_lowercase(), value))
}

/// Splits the whole text.
pub(crate) fn split(text: &str, escape: char) -> Result<Vec<LogicalLine>, SyntaxError> {
    let mut physical = text
        .split_inclusive('\n')
        .enumerate()
        .map(|(index, line)| (index + 1, line));
    let mut logical = Vec::new();
    while let Some((first, raw)) = physical.next() {
        let start = bare(raw).trim_start();
        if start.is_empty() || start.starts_with('#') {
            continue;
        }
        let (part, mut more) = continued(start, escape);
        let (mut text, mut last) = (part.to_owned(), first);
        while more {
            let Some((number, raw)) = physical.next() else {
                break;
            };
            last = number;
            let line = bare(raw);
            if line.trim_start().starts_with('#') || line.trim().is_empty() {
                continue;
            }
            let (part, again) = continued(line, escape);
            text.push_str(part);
            more = again;
        }
        let mut lines = Lines { first, last };
        let mut heredocs = heredoc::openings(&text, escape);
        for opened in &mut heredocs {
            lines.last = read_body(opened, &mut physical, lines)?;
        }
        logical.push(LogicalLine {
            text: text.trim_end().to_owned(),
            lines,
            heredocs,
        });
    }
    Ok(logical)
}

/// Reads a heredoc's body up to its terminator; the number of the terminator's line.
fn read_body<'a>(
    heredoc: &mut Heredoc,
    physical: &mut impl Iterator<Item = (usize, &'a str)>,
    lines: Lines,
) -> Result<usize, SyntaxError> {
    for (number, raw) in physical {
        let line = bare(raw);
        let candidate = if heredoc.strip_tabs {
            line.trim_start_matches('\t')
        } else {
            line
        };
        if candidate == heredoc.name {
            return Ok(number);
        }
        let kept = if heredoc.strip_tabs {
            raw.trim_start_matches('\t')
        } else {
            raw
        };
        heredoc.content.push_str(kept);
        heredoc.raw.push_str(raw);
    }
    Err(SyntaxError::at(
        lines,
        Mistake::UnterminatedHeredoc(heredoc.name.clone()),
    ))
}

fn bare(raw: &str) -> &str {
    raw.trim_end_matches(['\n', '\r'])
}

/// The line without a continuation mark, and whether it had one. A doubled escape character is none.
fn continued(line: &str, escape: char) -> (&str, bool) {
    let trimmed = line.trim_end_matches([' ', '\t']);
    match trimmed.strip_suffix(escape) {
        Some(rest) if !rest.ends_with(escape) => (rest, true),
        _ => (line, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<String> {
        split(text, '\\')
            .unwrap()
            .into_iter()
            .map(|line| line.text)
            .collect()
    }

    #[test]
    fn continuations_skip_comments_and_empty_lines() {
        assert_eq!(
            texts("RUN a \\\n# note\n\n  b \\  \n c\nCMD x\n"),
            ["RUN a   b  c", "CMD x"]
        );
        assert_eq!(texts("RUN a \\\\\nCMD x"), ["RUN a \\\\", "CMD x"]);
        assert_eq!(texts("RUN a \\"), ["RUN a"]);
        assert_eq!(texts("  # only\r\n\r\nRUN a\r\n"), ["RUN a"]);
    }

    #[test]
    fn a_heredoc_body_belongs_to_its_line() {
        let lines = split(
            "RUN <<-EOF\n\t#a\n\tEOF\nCOPY <<'x' <<y /d/\n$1\nx\n2\ny\nCMD z",
            '\\',
        )
        .unwrap();
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[0].heredocs[0].content, "#a\n");
        assert_eq!(lines[0].lines, Lines { first: 1, last: 3 });
        assert_eq!(lines[1].heredocs.len(), 2);
        assert!(!lines[1].heredocs[0].expand);
        assert!(lines[1].heredocs[1].expand);
        assert_eq!(lines[1].heredocs[1].content, "2\n");
        assert_eq!(lines[2].lines, Lines::one(9));
    }

    #[test]
    fn an_open_heredoc_is_an_error_at_its_first_line() {
        let error = split("FROM a\nRUN <<EOF\nb\n", '\\').unwrap_err();
        assert_eq!(
            error.to_string(),
            "dockerfile parse error on line 2: unterminated heredoc: no line says \"EOF\""
        );
    }

    #[test]
    fn directives_end_at_the_first_other_line() {
        let found = directives("# syntax = docker/dockerfile:1\n# unknown=x\n#escape=`\n").unwrap();
        assert_eq!(
            (found.syntax.as_deref(), found.escape),
            (Some("docker/dockerfile:1"), '`')
        );
        assert_eq!(
            directives("# a comment\n# escape=`\n").unwrap().escape,
            '\\'
        );
        assert_eq!(directives("\n# escape=`\n").unwrap().escape, '\\');
        assert!(directives("# escape=`\n# escape=`\n").is_err());
        assert!(directives("# escape=x\n").is_err());
    }
}
