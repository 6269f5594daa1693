//! A template's text cut into items: literal text, and the words inside `{{ }}`.

use super::TemplateError;

/// One item and where it starts.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Item {
    pub(super) pos: usize,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Text(String),
    Open,
    Close,
    /// `.name`
    Field(String),
    /// `.`
    Dot,
    /// `$name` or `$`
    Variable(String),
    Word(String),
    Str(String),
    Int(i64),
    Float(f64),
    Pipe,
    LeftParen,
    RightParen,
    /// `:=`
    Declare,
    /// `=`
    Assign,
    Comma,
    /// Blank between operands: `.a .b` are two, `$x.a` is one.
    Space,
}

/// The line a byte offset lies in, counted from 1.
pub(super) fn line_of(source: &str, pos: usize) -> usize {
    source
        .as_bytes()
        .iter()
        .take(pos)
        .filter(|b| **b == b'\n')
        .count()
        + 1
}

pub(super) fn syntax(source: &str, pos: usize, what: impl std::fmt::Display) -> TemplateError {
    TemplateError(format!("template: :{}: {what}", line_of(source, pos)))
}

pub(super) fn lex(source: &str) -> Result<Vec<Item>, TemplateError> {
    let mut items = Vec::new();
    let mut at = 0;
    let mut trim_next = false;
    while at < source.len() {
        let open = source[at..].find("{{").map(|i| at + i);
        let end = open.unwrap_or(source.len());
        let mut text = &source[at..end];
        if trim_next {
            text = text.trim_start_matches(blank);
        }
        let trims = open.is_some_and(|o| trims_left(&source[o + 2..]));
        if trims {
            text = text.trim_end_matches(blank);
        }
        if !text.is_empty() {
            items.push(Item {
                pos: at,
                kind: Kind::Text(text.to_owned()),
            });
        }
        let Some(open) = open else { break };
        (at, trim_next) = action(
            source,
            open,
            if trims { open + 3 } else { open + 2 },
            &mut items,
        )?;
    }
    Ok(items)
}

fn blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

/// `{{- ` with a blank after the dash.
fn trims_left(inside: &str) -> bool {
    let mut chars = inside.chars();
    chars.next() == Some('-') && chars.next().is_some_and(blank)
}

/// Lexes one action; answers where the text after it starts and whether that text is trimmed.
fn action(
    source: &str,
    open: usize,
    start: usize,
    items: &mut Vec<Item>,
) -> Result<(usize, bool), TemplateError> {
    let mut at = start;
    let rest = &source[at..];
    let lead = rest.len() - rest.trim_start_matches(blank).len();
    if rest[lead..].starts_with("/*") {
        return comment(source, at + lead);
    }
    items.push(Item {
        pos: open,
        kind: Kind::Open,
    });
    loop {
        let rest = &source[at..];
        let Some(first) = rest.chars().next() else {
            return Err(syntax(source, open, "unclosed action"));
        };
        if rest.starts_with("}}") {
            items.push(Item {
                pos: at,
                kind: Kind::Close,
            });
            return Ok((at + 2, false));
        }
        if blank(first) {
            let after = rest.trim_start_matches(blank);
            if after.starts_with("-}}") {
                at = source.len() - after.len();
                items.push(Item {
                    pos: at,
                    kind: Kind::Close,
                });
                return Ok((at + 3, true));
            }
            items.push(Item {
                pos: at,
                kind: Kind::Space,
            });
            at = source.len() - after.len();
            continue;
        }
        let (kind, length) = word(source, at)?;
        items.push(Item { pos: at, kind });
        at += length;
    }
}

fn comment(source: &str, at: usize) -> Result<(usize, bool), TemplateError> {
    let Some(end) = source[at..].find("*/").map(|i| at + i + 2) else {
        return Err(syntax(source, at, "unclosed comment"));
    };
    let after = &source[end..];
    if after.starts_with("}}") {
        return Ok((end + 2, false));
    }
    let trimmed = after.trim_start_matches(blank);
    if trimmed.len() < after.len() && trimmed.starts_with("-}}") {
        return Ok((source.len() - trimmed.len() + 3, true));
    }
    Err(syntax(source, at, "comment ends before closing delimiter"))
}

fn name_length(text: &str) -> usize {
    text.find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(text.len())
}

/// One word of an action, and its length in bytes.
fn word(source: &str, at: usize) -> Result<(Kind, usize), TemplateError> {
    let rest = &source[at..];
    let first = rest.chars().next().unwrap_or(' ');
    let single = |kind| Ok((kind, 1));
    match first {
        '|' => single(Kind::Pipe),
        '(' => single(Kind::LeftParen),
        ')' => single(Kind::RightParen),
        ',' => single(Kind::Comma),
        '=' => single(Kind::Assign),
        ':' if rest.starts_with(":=") => Ok((Kind::Declare, 2)),
        ':' => Err(syntax(source, at, "expected :=")),
        '"' => quoted(source, at),
        '`' => match rest[1..].find('`') {
            Some(end) => Ok((Kind::Str(rest[1..=end].to_owned()), end + 2)),
            None => Err(syntax(source, at, "unterminated raw quoted string")),
        },
        '\'' => character(source, at),
        '$' => {
            let length = name_length(&rest[1..]) + 1;
            Ok((Kind::Variable(rest[..length].to_owned()), length))
        }
        '.' if !rest[1..].starts_with(|c: char| c.is_ascii_digit()) => {
            let length = name_length(&rest[1..]);
            if length == 0 {
                return single(Kind::Dot);
            }
            Ok((Kind::Field(rest[1..=length].to_owned()), length + 1))
        }
        '+' | '-' | '.' | '0'..='9' => number(source, at),
        c if c.is_alphabetic() || c == '_' => {
            let length = name_length(rest);
            Ok((Kind::Word(rest[..length].to_owned()), length))
        }
        c => Err(syntax(
            source,
            at,
            format_args!("unexpected {c:?} in command"),
        )),
    }
}

fn number(source: &str, at: usize) -> Result<(Kind, usize), TemplateError> {
    let rest = &source[at..];
    let length = rest
        .char_indices()
        .find(|(i, c)| {
            !(c.is_alphanumeric() || matches!(c, '.' | '_') || (*i == 0 && matches!(c, '+' | '-')))
        })
        .map_or(rest.len(), |(i, _)| i);
    let text = &rest[..length];
    let bad = || syntax(source, at, format_args!("bad number syntax: {text:?}"));
    let plain = text.replace('_', "");
    let (sign, digits) = match plain.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, plain.strip_prefix('+').unwrap_or(&plain)),
    };
    let radix = [("0x", 16), ("0o", 8), ("0b", 2)]
        .iter()
        .find_map(|(prefix, radix)| digits.strip_prefix(prefix).map(|rest| (rest, *radix)));
    let parsed = match radix {
        Some((digits, radix)) => i64::from_str_radix(digits, radix).ok(),
        None => digits.parse::<i64>().ok(),
    };
    if let Some(number) = parsed {
        return Ok((Kind::Int(sign * number), length));
    }
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return Err(bad());
    }
    plain
        .parse::<f64>()
        .map(|number| (Kind::Float(number), length))
        .map_err(|_| bad())
}

fn character(source: &str, at: usize) -> Result<(Kind, usize), TemplateError> {
    let mut chars = source[at + 1..].chars();
    let unterminated = || syntax(source, at, "unterminated character constant");
    let first = chars.next().ok_or_else(unterminated)?;
    let (value, length) = if first == '\\' {
        let escaped = chars.next().ok_or_else(unterminated)?;
        (
            simple_escape(escaped).ok_or_else(unterminated)?,
            1 + escaped.len_utf8(),
        )
    } else {
        (first, first.len_utf8())
    };
    if chars.next() != Some('\'') {
        return Err(unterminated());
    }
    Ok((Kind::Int(i64::from(u32::from(value))), length + 2))
}

fn simple_escape(c: char) -> Option<char> {
    Some(match c {
        'n' => '\n',
        't' => '\t',
        'r' => '\r',
        'a' => '\x07',
        'b' => '\x08',
        'f' => '\x0c',
        'v' => '\x0b',
        '0' => '\0',
        '\\' | '"' | '\'' => c,
        _ => return None,
    })
}

fn quoted(source: &str, at: usize) -> Result<(Kind, usize), TemplateError> {
    let mut text = String::new();
    let mut chars = source[at + 1..].char_indices();
    while let Some((i, c)) = chars.next() {
        match c {
            '"' => return Ok((Kind::Str(text), i + 2)),
            '\n' => break,
            '\\' => {
                let Some((_, escaped)) = chars.next() else {
                    break;
                };
                let digits = match escaped {
                    'x' => 2,
                    'u' => 4,
                    'U' => 8,
                    _ => 0,
                };
                let decoded = if digits == 0 {
                    simple_escape(escaped)
                } else {
                    let hex: String = chars.by_ref().take(digits).map(|(_, c)| c).collect();
                    u32::from_str_radix(&hex, 16).ok().and_then(char::from_u32)
                };
                text.push(
                    decoded.ok_or_else(|| syntax(source, at, "invalid syntax in quoted string"))?,
                );
            }
            c => text.push(c),
        }
    }
    Err(syntax(source, at, "unterminated quoted string"))
}
