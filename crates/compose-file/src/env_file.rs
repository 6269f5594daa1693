//! The grammar of `.env` files, `env_file` and `label_file`.
//!
//! Source: Compose Specification `env_file`, compose-go `dotenv`. Values that need the environment get it
//! through a lookup; nothing is read here.

use crate::template::{self, Lookup, TemplateError};
use std::collections::{BTreeSet, HashMap};

/// All values of one file together may be this long.
const MAX_VALUES: usize = 16 << 20;

/// One assignment; `None`: `KEY` alone, to be inherited.
pub type Assignment = (String, Option<String>);

/// What is wrong in an env file, and in which line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{cause}")]
pub struct EnvFileError {
    /// From 1.
    pub line: u32,
    pub cause: Cause,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    #[error("unterminated quoted value {0}")]
    Unterminated(String),
    #[error("unexpected character {0:?} in variable name {1:?}")]
    BadKey(char, String),
    #[error("no variable name before the \"=\"")]
    NoKey,
    #[error("text follows the closing quote: {0:?}")]
    AfterQuote(String),
    #[error("the values of the file are longer than {} MiB together", MAX_VALUES >> 20)]
    TooLong,
    #[error(transparent)]
    Template(TemplateError),
}

/// The assignments in order, and the variables that were used without being set.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Parsed {
    pub assignments: Vec<Assignment>,
    pub unset: BTreeSet<String>,
}

/// Reads an env file; earlier keys of the same file are visible to later ones unless `lookup` has them.
pub fn parse(text: &str, lookup: Lookup<'_>) -> Result<Parsed, EnvFileError> {
    let mut reader = Reader {
        rest: text.strip_prefix('\u{feff}').unwrap_or(text),
        line: 1,
    };
    let mut parsed = Parsed::default();
    let mut known: HashMap<String, String> = HashMap::new();
    let mut made = 0;
    while reader.skip_to_statement() {
        let line = reader.line;
        let at = |cause| EnvFileError { line, cause };
        let (key, has_value) = reader.key().map_err(at)?;
        if !has_value {
            parsed.assignments.push((key, None));
            continue;
        }
        let (raw, quoting) = reader.value().map_err(at)?;
        let value = match quoting {
            Quoting::Single => raw,
            Quoting::None | Quoting::Double => {
                let earlier = |name: &str| lookup(name).or_else(|| known.get(name).cloned());
                let result = template::substitute(&raw, &earlier)
                    .map_err(|error| at(Cause::Template(error)))?;
                parsed.unset.extend(result.unset);
                result.text
            }
        };
        made += value.len();
        if made > MAX_VALUES {
            return Err(at(Cause::TooLong));
        }
        known.insert(key.clone(), value.clone());
        parsed.assignments.push((key, Some(value)));
    }
    Ok(parsed)
}

/// Reads `format: raw`: every line is `KEY=VALUE` as it stands; blank lines and `#` lines are skipped.
pub fn parse_raw(text: &str) -> Vec<Assignment> {
    let lines = text
        .lines()
        .filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'));
    lines
        .map(|line| match line.split_once('=') {
            Some((key, value)) => (key.trim().to_owned(), Some(value.to_owned())),
            None => (line.trim().to_owned(), None),
        })
        .collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quoting {
    None,
    Single,
    Double,
}

#[derive(Debug)]
struct Reader<'t> {
    rest: &'t str,
    line: u32,
}

impl<'t> Reader<'t> {
    fn advance(&mut self, bytes: usize) -> &'t str {
        let (taken, rest) = self.rest.split_at(bytes);
        self.line += taken.matches('\n').count() as u32;
        self.rest = rest;
        taken
    }

    /// Skips blanks, empty lines and comments; false at the end.
    fn skip_to_statement(&mut self) -> bool {
        loop {
            let blank = self.rest.len() - self.rest.trim_start().len();
            self.advance(blank);
            if !self.rest.starts_with('#') {
                return !self.rest.is_empty();
            }
            self.advance(self.rest.find('\n').unwrap_or(self.rest.len()));
        }
    }

    /// `[export ]KEY` and whether a value follows.
    fn key(&mut self) -> Result<(String, bool), Cause> {
        if let Some(after) = self.rest.strip_prefix("export")
            && after.starts_with([' ', '\t'])
        {
            self.advance("export".len());
            self.advance(self.rest.len() - self.rest.trim_start_matches([' ', '\t']).len());
        }
        let end = self.rest.find(['=', ':', '\n']).unwrap_or(self.rest.len());
        let (key, separator) = (self.rest[..end].trim(), self.rest[end..].chars().next());
        let has_value = matches!(separator, Some('=' | ':'));
        // `KEY # comment` inherits KEY.
        let key = match key.split_once([' ', '\t']) {
            Some((word, comment)) if !has_value && comment.trim_start().starts_with('#') => word,
            _ => key,
        };
        let allowed = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '[' | ']');
        if let Some(bad) = key.chars().find(|c| !allowed(*c)) {
            return Err(Cause::BadKey(bad, key.chars().take(60).collect()));
        }
        if key.is_empty() {
            return Err(Cause::NoKey);
        }
        self.advance(end + usize::from(has_value));
        Ok((key.to_owned(), has_value))
    }

    fn value(&mut self) -> Result<(String, Quoting), Cause> {
        self.advance(self.rest.len() - self.rest.trim_start_matches([' ', '\t']).len());
        match self.rest.chars().next() {
            Some('\'') => self
                .quoted('\'')
                .map(|text| (text.replace("\\'", "'"), Quoting::Single)),
            Some('"') => self
                .quoted('"')
                .map(|text| (unescape(&text), Quoting::Double)),
            _ => {
                let line = self.advance(self.rest.find('\n').unwrap_or(self.rest.len()));
                Ok((without_comment(line).trim().to_owned(), Quoting::None))
            }
        }
    }

    /// The text between quotes, which may span lines; a backslash protects the next character.
    fn quoted(&mut self, quote: char) -> Result<String, Cause> {
        let mut escaped = false;
        let end = self.rest.char_indices().skip(1).find(|(_, c)| {
            let closes = *c == quote && !escaped;
            escaped = *c == '\\' && !escaped;
            closes
        });
        let Some((end, _)) = end else {
            return Err(Cause::Unterminated(
                self.rest
                    .lines()
                    .next()
                    .unwrap_or("")
                    .chars()
                    .take(60)
                    .collect(),
            ));
        };
        let inner = self.rest[1..end].to_owned();
        self.advance(end + 1);
        let tail = self
            .advance(self.rest.find('\n').unwrap_or(self.rest.len()))
            .trim();
        match tail.is_empty() || tail.starts_with('#') {
            true => Ok(inner),
            false => Err(Cause::AfterQuote(tail.chars().take(60).collect())),
        }
    }
}

/// An unquoted value ends at ` #`.
fn without_comment(line: &str) -> &str {
    if line.starts_with('#') {
        return "";
    }
    let cut = line.find(" #").into_iter().chain(line.find("\t#")).min();
    cut.map_or(line, |at| &line[..at])
}

/// Escapes of double quotes. `\$` becomes `$$`, which interpolation turns into one `$`.
fn unescape(text: &str) -> String {
    let mut output = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\\' {
            output.push(c);
            continue;
        }
        match chars.next() {
            Some('a') => output.push('\u{7}'),
            Some('b') => output.push('\u{8}'),
            Some('f') => output.push('\u{c}'),
            Some('n') => output.push('\n'),
            Some('r') => output.push('\r'),
            Some('t') => output.push('\t'),
            Some('v') => output.push('\u{b}'),
            Some('"') => output.push('"'),
            Some('\\') => output.push('\\'),
            Some('$') => output.push_str("$$"),
            Some('0') => {
                let mut code = 0u32;
                let mut digits = 0;
                while let Some(digit) = chars
                    .peek()
                    .and_then(|c| c.to_digit(8))
                    .filter(|_| digits < 3)
                {
                    code = code * 8 + digit;
                    digits += 1;
                    chars.next();
                }
                output.push(char::from_u32(code & 0xff).unwrap_or('\0'));
            }
            Some(other) => {
                output.push('\\');
                output.push(other);
            }
            None => output.push('\\'),
        }
    }
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outer(name: &str) -> Option<String> {
        (name == "OUTER").then(|| "out".to_owned())
    }

    fn one(text: &str) -> String {
        let parsed = parse(text, &outer).unwrap_or_else(|e| panic!("{text:?}: {e}"));
        let shown: Vec<_> = parsed
            .assignments
            .iter()
            .map(|(key, value)| match value {
                Some(value) => format!("{key}={value}"),
                None => key.clone(),
            })
            .collect();
        shown.join("|")
    }

    #[test]
    fn the_grammar() {
        for (text, expected) in [
            ("A=1", "A=1"),
            ("A=1\nB=2\n", "A=1|B=2"),
            ("A=1\r\nB=2\r\n", "A=1|B=2"),
            ("export A=1", "A=1"),
            ("exported=1", "exported=1"),
            ("A: 1", "A=1"),
            ("A = 1", "A=1"),
            ("  A=1  ", "A=1"),
            ("A=", "A="),
            ("A", "A"),
            ("A # inherit", "A"),
            ("# comment\n\nA=1", "A=1"),
            ("A=1 # comment", "A=1"),
            ("A=1# no comment", "A=1# no comment"),
            ("A=#x", "A="),
            ("A=a b c", "A=a b c"),
            ("A='single $X \\n'", "A=single $X \\n"),
            ("A='it\\'s'", "A=it's"),
            ("A=\"x\\ty\"", "A=x\ty"),
            ("A=\"say \\\"hi\\\"\" # c", "A=say \"hi\""),
            ("A=\"two\nlines\"\nB=1", "A=two\nlines|B=1"),
            ("A='two\nlines'\nB=1", "A=two\nlines|B=1"),
            ("A=\"\\$B $OUTER\"", "A=$B out"),
            ("A=\"\\0101\"", "A=A"),
            ("A=\"\\q\"", "A=\\q"),
            ("A=$OUTER-${NO:-d}", "A=out-d"),
            ("A=1\nB=$A-2", "A=1|B=1-2"),
            ("A.b-c[0]=1", "A.b-c[0]=1"),
            ("A=http://x?y=z", "A=http://x?y=z"),
            ("A=x=y", "A=x=y"),
            ("\u{feff}A=1", "A=1"),
            ("", ""),
        ] {
            assert_eq!(one(text), expected, "{text:?}");
        }
    }

    #[test]
    fn errors_name_the_line() {
        for (text, line, words) in [
            ("A=1\nB=\"open\nC=2", 2, "unterminated quoted value \"open"),
            ("A='open", 1, "unterminated"),
            (
                "A=1\n\nB C=2",
                3,
                "unexpected character ' ' in variable name \"B C\"",
            ),
            ("=1", 1, "no variable name"),
            ("A=\"x\" y", 1, "text follows the closing quote"),
            ("A=1\nB=${", 2, "invalid interpolation format"),
            (
                "A=${NO:?please}",
                1,
                "required variable NO is missing a value: please",
            ),
            ("A=\"a\nb\"\n!=1", 3, "unexpected character '!'"),
        ] {
            let error = parse(text, &outer).unwrap_err();
            assert_eq!(error.line, line, "{text:?}");
            assert!(error.to_string().contains(words), "{text:?}: {error}");
        }
    }

    #[test]
    fn the_environment_wins_over_earlier_keys() {
        assert_eq!(one("OUTER=in\nA=$OUTER"), "OUTER=in|A=out");
    }

    #[test]
    fn raw_lines_stay_as_they_are() {
        let expected = [
            ("A".to_owned(), Some("\"$X\" # no".to_owned())),
            ("B".to_owned(), None),
        ];
        assert_eq!(parse_raw("A=\"$X\" # no\n# c\n\nB\n"), expected);
    }

    #[test]
    fn unset_variables_are_reported() {
        let unset: Vec<_> = parse("A=$NO", &outer).unwrap().unset.into_iter().collect();
        assert_eq!(unset, ["NO"]);
    }

    #[test]
    fn keys_that_double_each_other_end_in_an_error() {
        let mut text = String::from("A0=xxxxxxxx\n");
        for n in 1..60 {
            text.push_str(&format!("A{n}=$A{0}$A{0}\n", n - 1));
        }
        let error = parse(&text, &outer).unwrap_err().to_string();
        assert!(error.contains("longer than"), "{error}");
    }
}
