//! Variable substitution in instructions: `$v ${v} ${v:-w} ${v-w} ${v:+w} ${v+w} ${v:?e} ${v#p} ${v##p}
//! ${v%p} ${v%%p} ${v/p/r} ${v//p/r}`, quotes and escapes.
//!
//! Source: Dockerfile reference, "Environment replacement"; BuildKit `frontend/dockerfile/shell/lex.go`.

mod glob;

use glob::{replace, strip};
use std::iter::Peekable;
use std::str::Chars;

/// Words nested deeper than this (`${a:-${b:-…}}`) are refused: a Dockerfile is untrusted input.
const DEPTH: usize = 50;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("unexpected end of statement while looking for matching {0}-quote")]
    Unquoted(&'static str),
    #[error("syntax error: missing '}}' in substitution")]
    MissingBrace,
    #[error("bad substitution: ${{}} names no variable")]
    NoName,
    #[error("unsupported modifier ({0}) in substitution")]
    Modifier(String),
    #[error("{name}: {message}")]
    Required { name: String, message: String },
    #[error("substitutions are nested too deeply")]
    Depth,
}

/// What happens to quotes and escapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quotes {
    /// Removed after they had their effect (instruction words).
    Remove,
    /// Ordinary characters (heredoc bodies); a `$` can still be escaped.
    Keep,
}

/// Expands one word; the result stays one word.
pub fn word(
    text: &str,
    escape: char,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<String, Error> {
    Ok(Lexer::new(text, escape, Quotes::Remove, lookup)
        .run(None, false)?
        .0)
}

/// Expands a heredoc's body.
pub fn body(
    text: &str,
    escape: char,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<String, Error> {
    Ok(Lexer::new(text, escape, Quotes::Keep, lookup)
        .run(None, false)?
        .0)
}

/// Expands one word; blanks in unquoted values split it (EXPOSE).
pub fn words(
    text: &str,
    escape: char,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<String>, Error> {
    Ok(Lexer::new(text, escape, Quotes::Remove, lookup)
        .run(None, false)?
        .1)
}

struct Lexer<'a> {
    chars: Peekable<Chars<'a>>,
    escape: char,
    quotes: Quotes,
    lookup: &'a dyn Fn(&str) -> Option<String>,
    depth: usize,
}

/// Collects the text as one word and as several at a time.
#[derive(Default)]
struct Output {
    whole: String,
    words: Vec<String>,
    word: String,
    /// Something quoted, perhaps empty, belongs to the word being collected.
    quoted: bool,
}

impl Output {
    fn literal(&mut self, text: &str) {
        self.whole.push_str(text);
        self.word.push_str(text);
        self.quoted = true;
    }

    fn splitting(&mut self, text: &str) {
        for c in text.chars() {
            self.whole.push(c);
            if c.is_whitespace() {
                self.end_word();
            } else {
                self.word.push(c);
            }
        }
    }

    fn end_word(&mut self) {
        if self.quoted || !self.word.is_empty() {
            self.words.push(std::mem::take(&mut self.word));
        }
        self.quoted = false;
    }
}

impl<'a> Lexer<'a> {
    fn new(
        text: &'a str,
        escape: char,
        quotes: Quotes,
        lookup: &'a dyn Fn(&str) -> Option<String>,
    ) -> Self {
        Self {
            chars: text.chars().peekable(),
            escape,
            quotes,
            lookup,
            depth: 0,
        }
    }

    /// Reads up to `stop` (or the end). `keep_escapes`: in a pattern an escape means something later.
    fn run(
        &mut self,
        stop: Option<char>,
        keep_escapes: bool,
    ) -> Result<(String, Vec<String>), Error> {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(Error::Depth);
        }
        let mut out = Output::default();
        loop {
            let Some(c) = self.chars.next() else {
                if stop.is_some() {
                    return Err(Error::MissingBrace);
                }
                break;
            };
            match c {
                c if Some(c) == stop => break,
                '\'' if self.quotes == Quotes::Remove => out.literal(&self.single()?),
                '"' if self.quotes == Quotes::Remove => out.literal(&self.double()?),
                '$' => out.splitting(&self.dollar()?),
                c if c == self.escape => self.escaped(&mut out, keep_escapes),
                c => out.splitting(c.encode_utf8(&mut [0; 4])),
            }
        }
        out.end_word();
        self.depth -= 1;
        Ok((out.whole, out.words))
    }

    fn escaped(&mut self, out: &mut Output, keep: bool) {
        let mut taken = String::new();
        let next = self.chars.peek().copied();
        if keep || (self.quotes == Quotes::Keep && next != Some('$')) || next.is_none() {
            taken.push(self.escape);
        }
        if self.quotes == Quotes::Remove || next == Some('$') || keep {
            taken.extend(self.chars.next());
        }
        out.literal(&taken);
    }

    fn single(&mut self) -> Result<String, Error> {
        let mut text = String::new();
        for c in self.chars.by_ref() {
            if c == '\'' {
                return Ok(text);
            }
            text.push(c);
        }
        Err(Error::Unquoted("single"))
    }

    fn double(&mut self) -> Result<String, Error> {
        let mut text = String::new();
        while let Some(c) = self.chars.next() {
            match c {
                '"' => return Ok(text),
                '$' => text.push_str(&self.dollar()?),
                c if c == self.escape => match self.chars.peek().copied() {
                    Some(next) if next == '"' || next == '$' || next == self.escape => {
                        text.push(next);
                        self.chars.next();
                    }
                    _ => text.push(c),
                },
                c => text.push(c),
            }
        }
        Err(Error::Unquoted("double"))
    }

    /// After a `$`.
    fn dollar(&mut self) -> Result<String, Error> {
        if self.chars.peek() == Some(&'{') {
            self.chars.next();
            return self.braced();
        }
        let name = self.name();
        if name.is_empty() {
            return Ok("$".to_owned());
        }
        Ok((self.lookup)(&name).unwrap_or_default())
    }

    fn name(&mut self) -> String {
        let mut name = String::new();
        while let Some(&c) = self.chars.peek() {
            if !c.is_ascii_alphanumeric() && c != '_' {
                break;
            }
            // A positional parameter is digits only, and no variable has such a name.
            if name.starts_with(|f: char| f.is_ascii_digit()) && !c.is_ascii_digit() {
                break;
            }
            name.push(c);
            self.chars.next();
        }
        name
    }

    fn braced(&mut self) -> Result<String, Error> {
        let name = self.name();
        let Some(mut operator) = self.chars.next() else {
            return Err(Error::MissingBrace);
        };
        if name.is_empty() {
            return Err(Error::NoName);
        }
        let value = (self.lookup)(&name);
        if operator == '}' {
            return Ok(value.unwrap_or_default());
        }
        let colon = operator == ':';
        if colon {
            operator = self.chars.next().ok_or(Error::MissingBrace)?;
        }
        let there = value.as_ref().is_some_and(|v| !colon || !v.is_empty());
        match operator {
            '-' | '+' | '?' => {
                let word = self.run(Some('}'), false)?.0;
                match operator {
                    '-' => Ok(if there {
                        value.unwrap_or_default()
                    } else {
                        word
                    }),
                    '+' => Ok(if there { word } else { String::new() }),
                    _ if there => Ok(value.unwrap_or_default()),
                    _ if word.is_empty() => Err(Error::Required {
                        name,
                        message: "parameter not set".to_owned(),
                    }),
                    _ => Err(Error::Required {
                        name,
                        message: word,
                    }),
                }
            }
            '#' | '%' if !colon => {
                let greedy = self.chars.next_if_eq(&operator).is_some();
                let pattern = self.run(Some('}'), true)?.0;
                Ok(strip(
                    &value.unwrap_or_default(),
                    &pattern,
                    operator == '#',
                    greedy,
                ))
            }
            '/' if !colon => {
                let all = self.chars.next_if_eq(&'/').is_some();
                let pattern = self.run(Some('/'), true)?.0;
                let replacement = self.run(Some('}'), false)?.0;
                Ok(replace(
                    &value.unwrap_or_default(),
                    &pattern,
                    &replacement,
                    all,
                ))
            }
            other => Err(Error::Modifier(if colon {
                format!(":{other}")
            } else {
                other.to_string()
            })),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lookup(name: &str) -> Option<String> {
        match name {
            "v" => Some("value".to_owned()),
            "path" => Some("/a/b/c.tar.gz".to_owned()),
            "empty" => Some(String::new()),
            "two" => Some("8080 9090".to_owned()),
            _ => None,
        }
    }

    fn expanded(text: &str) -> String {
        word(text, '\\', &lookup).unwrap()
    }

    #[test]
    fn the_rules_of_the_reference() {
        for (text, expected) in [
            ("$v", "value"),
            ("${v}x", "valuex"),
            ("$vx", ""),
            ("a$", "a$"),
            ("$$", "$$"),
            ("${unset:-w}", "w"),
            ("${empty:-w}", "w"),
            ("${empty-w}", ""),
            ("${unset-$v}", "value"),
            ("${v:+w}", "w"),
            ("${empty:+w}", ""),
            ("${empty+w}", "w"),
            ("${unset+w}", ""),
            ("\\$v", "$v"),
            ("'$v'", "$v"),
            ("\"$v\"", "value"),
            ("\"\\$v \\x\"", "$v \\x"),
            ("a\\ b", "a b"),
            ("${path#*/}", "a/b/c.tar.gz"),
            ("${path##*/}", "c.tar.gz"),
            ("${path%.*}", "/a/b/c.tar"),
            ("${path%%.*}", "/a/b/c"),
            ("${path#x}", "/a/b/c.tar.gz"),
            ("${v/l/L}", "vaLue"),
            ("${path//\\//_}", "_a_b_c.tar.gz"),
            ("${path/a?b/X}", "/X/c.tar.gz"),
            ("${unset:-${empty:-${v}}}", "value"),
        ] {
            assert_eq!(expanded(text), expected, "{text}");
        }
    }

    #[test]
    fn the_escape_character_can_be_another() {
        assert_eq!(word("`$v \\$v", '`', &lookup).unwrap(), "$v \\value");
    }

    #[test]
    fn unquoted_values_split_where_words_are_asked_for() {
        assert_eq!(words("$two", '\\', &lookup).unwrap(), ["8080", "9090"]);
        assert_eq!(words("\"$two\"", '\\', &lookup).unwrap(), ["8080 9090"]);
        assert_eq!(
            words("$unset", '\\', &lookup).unwrap(),
            Vec::<String>::new()
        );
    }

    #[test]
    fn a_heredoc_body_keeps_quotes_and_escapes() {
        assert_eq!(
            body("'$v' \"x\" \\n \\$v", '\\', &lookup).unwrap(),
            "'value' \"x\" \\n $v"
        );
    }

    #[test]
    fn mistakes_are_named() {
        let error = |text: &str| word(text, '\\', &lookup).unwrap_err();
        assert_eq!(error("${v"), Error::MissingBrace);
        assert_eq!(error("${v:-"), Error::MissingBrace);
        assert_eq!(error("${}"), Error::NoName);
        assert_eq!(error("'a"), Error::Unquoted("single"));
        assert_eq!(error("${v@x}"), Error::Modifier("@".to_owned()));
        assert_eq!(error("${unset:?is needed}").to_string(), "unset: is needed");
        assert_eq!(error(&("${a:-".repeat(60) + &"}".repeat(60))), Error::Depth);
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "[$v{}:#%/*?'\"\\\\a-]{0,40}") {
            let _ = word(&text, '\\', &lookup);
            let _ = words(&text, '`', &lookup);
            let _ = body(&text, '\\', &lookup);
        }
    }
}
