//! A tree as YAML, written as go-yaml writes it with an indent of two, so that `config` can be compared byte
//! for byte: which scalars are quoted, and how. Source: go-yaml `encode.go`, `emitterc.go`, `sorter.go`.

use serde_json::{Map, Value};
use std::cmp::Ordering;
use std::fmt::Write;

/// The whole document, with a final newline.
pub(super) fn document(value: &Value) -> String {
    let mut text = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => mapping(&mut text, map, 0, false),
        Value::Array(list) if !list.is_empty() => sequence(&mut text, list, 0, false),
        // Lines of a block without indentation could be a list's or the document's end.
        Value::String(alone) if alone.contains('\n') => {
            double_quoted(&mut text, alone);
            text.push('\n');
        }
        _ => {
            scalar(&mut text, value, 0);
            text.push('\n');
        }
    }
    text
}

/// A longer key is marked with `?`: YAML reads one without mark only as far as 1,024 characters, and go-yaml
/// writes one only as far as this.
const MAX_SIMPLE_KEY: usize = 128;

/// `inline`: the first entry stands behind a dash.
fn mapping(text: &mut String, map: &Map<String, Value>, indent: usize, mut inline: bool) {
    for (key, value) in map {
        if !std::mem::take(&mut inline) {
            pad(text, indent);
        }
        if key.len() > MAX_SIMPLE_KEY {
            text.push_str("? ");
            string(text, key, indent, true);
            text.push('\n');
            pad(text, indent);
        } else {
            string(text, key, indent, true);
        }
        text.push(':');
        match value {
            Value::Object(map) if !map.is_empty() => {
                text.push('\n');
                mapping(text, map, indent + 2, false);
            }
            Value::Array(list) if !list.is_empty() => {
                text.push('\n');
                sequence(text, list, indent + 2, false);
            }
            _ => {
                text.push(' ');
                scalar(text, value, indent + 2);
                text.push('\n');
            }
        }
    }
}

fn sequence(text: &mut String, list: &[Value], indent: usize, mut inline: bool) {
    for value in list {
        if !std::mem::take(&mut inline) {
            pad(text, indent);
        }
        text.push_str("- ");
        match value {
            Value::Object(map) if !map.is_empty() => mapping(text, map, indent + 2, true),
            Value::Array(list) if !list.is_empty() => sequence(text, list, indent + 2, true),
            _ => {
                scalar(text, value, indent + 2);
                text.push('\n');
            }
        }
    }
}

fn pad(text: &mut String, indent: usize) {
    text.extend(std::iter::repeat_n(' ', indent));
}

fn scalar(text: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Null => text.push_str("null"),
        Value::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
        Value::Number(number) => match number.as_f64().filter(|_| number.is_f64()) {
            Some(number) => text.push_str(&float(number)),
            None => drop(write!(text, "{number}")),
        },
        Value::String(value) => string(text, value, indent, false),
        Value::Array(_) => text.push_str("[]"),
        Value::Object(_) => text.push_str("{}"),
    }
}

/// Go's `FormatFloat(number, 'g', -1, 64)`.
fn float(number: f64) -> String {
    if number == 0.0 || (1e-4..1e6).contains(&number.abs()) {
        return number.to_string();
    }
    let shown = format!("{number:e}");
    let (mantissa, exponent) = shown.split_once('e').unwrap_or((&shown, "0"));
    let (sign, digits) = match exponent.strip_prefix('-') {
        Some(digits) => ('-', digits),
        None => ('+', exponent),
    };
    format!("{mantissa}e{sign}{digits:0>2}")
}

/// What a text looks like, as far as its quoting depends on it.
#[derive(Debug, Default)]
struct Looks {
    plain: bool,
    single: bool,
    block: bool,
}

fn string(text: &mut String, value: &str, indent: usize, key: bool) {
    let looks = looks(value);
    if value.contains('\n') {
        match looks.block && !key {
            true => literal(text, value, indent),
            false => double_quoted(text, value),
        }
        return;
    }
    let plain = !value.is_empty() && means_itself(value);
    if !plain {
        return double_quoted(text, value);
    }
    match (looks.plain, looks.single) {
        (true, _) => text.push_str(value),
        (false, true) => {
            text.push('\'');
            text.push_str(&value.replace('\'', "''"));
            text.push('\'');
        }
        (false, false) => double_quoted(text, value),
    }
}

/// Whether the plain text would be read as this string again, by YAML 1.1 readers too.
fn means_itself(text: &str) -> bool {
    const OLD: [&str; 17] = [
        "y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "n", "N", "no", "No", "NO", "off", "Off",
        "OFF", "<<",
    ];
    !OLD.contains(&text)
        && matches!(crate::scalar::resolve(text), crate::tree::Value::String(_))
        && !is_sexagesimal(text)
        && !is_timestamp(text)
}

/// `12:30:45.5`, a number in YAML 1.1.
fn is_sexagesimal(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let mut parts = unsigned.split(':');
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit() || b == b'_');
    let Some(first) = parts
        .next()
        .filter(|part| part.starts_with(|c: char| c.is_ascii_digit()))
    else {
        return false;
    };
    let rest: Vec<&str> = parts.collect();
    let Some((last, middle)) = rest.split_last() else {
        return false;
    };
    let sixty = |part: &str| matches!(part.as_bytes(), [b'0'..=b'9'] | [b'0'..=b'5', b'0'..=b'9']);
    let (whole, fraction) = last.split_once('.').unwrap_or((last, ""));
    digits(first) && middle.iter().all(|part| sixty(part)) && sixty(whole) && digits(fraction)
}

/// `2001-01-01`, or with a time: what go-yaml reads as a time.
fn is_timestamp(text: &str) -> bool {
    let bytes = text.as_bytes();
    let dashed = bytes.len() >= 8 && bytes[..4].iter().all(u8::is_ascii_digit) && bytes[4] == b'-';
    if !dashed {
        return false;
    }
    let (date, time) = match text.find(['T', 't', ' ']) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    let fields: Vec<&str> = date.split('-').collect();
    let number =
        |field: &str| (1..=2).contains(&field.len()) && field.bytes().all(|b| b.is_ascii_digit());
    let [year, month, day] = fields[..] else {
        return false;
    };
    let day_ok = year.len() == 4 && number(month) && number(day);
    let time_ok = time.is_none_or(|time| {
        let digits = time.bytes().filter(u8::is_ascii_digit).count();
        digits >= 5
            && time
                .bytes()
                .all(|b| b.is_ascii_digit() || b":.+-Zz ".contains(&b))
    });
    // A date alone has two digits in each field.
    day_ok && time_ok && (time.is_some() || (month.len() == 2 && day.len() == 2))
}

fn looks(value: &str) -> Looks {
    let chars: Vec<char> = value.chars().collect();
    let (mut block_indicator, mut special, mut tab, mut breaks) = (
        value.starts_with("---") || value.starts_with("..."),
        false,
        false,
        false,
    );
    let (mut break_space, mut space_break) = (false, false);
    let is_break = |c: char| matches!(c, '\r' | '\n' | '\u{85}' | '\u{2028}' | '\u{2029}');
    for (at, &c) in chars.iter().enumerate() {
        let blank = |c: Option<&char>| c.is_none_or(|c| *c == ' ' || *c == '\t' || is_break(*c));
        let before = at == 0 || blank(chars.get(at - 1));
        let after = blank(chars.get(at + 1));
        block_indicator |= match c {
            '#' => before,
            ':' => after,
            '?' | '-' => at == 0 && after,
            ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@'
            | '`' => at == 0,
            _ => false,
        };
        tab |= c == '\t';
        special |= c != '\t' && !is_printable(c);
        let previous = at.checked_sub(1).map(|at| chars[at]);
        break_space |= c == ' ' && previous.is_some_and(is_break);
        space_break |= is_break(c) && previous == Some(' ');
        breaks |= is_break(c);
    }
    let edge = |c: Option<&char>| c.is_some_and(|c| *c == ' ' || is_break(*c));
    let edges = edge(chars.first()) || edge(chars.last());
    let single = !(break_space || space_break || tab || special);
    Looks {
        plain: single && !edges && !breaks && !block_indicator,
        single,
        block: !(space_break || special || chars.last() == Some(&' ')),
    }
}

/// What go-yaml writes as it is: not what lies beyond the basic plane.
fn is_printable(c: char) -> bool {
    matches!(c, '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}')
}

fn literal(text: &mut String, value: &str, indent: usize) {
    text.push('|');
    if value.starts_with([' ', '\n']) {
        text.push('2');
    }
    if !value.ends_with('\n') {
        text.push('-');
    } else if value == "\n" || value.ends_with("\n\n") {
        text.push('+');
    }
    let body = value.strip_suffix('\n').unwrap_or(value);
    for line in body.split('\n') {
        text.push('\n');
        if !line.is_empty() {
            pad(text, indent);
            text.push_str(line);
        }
    }
}

fn double_quoted(text: &mut String, value: &str) {
    text.push('"');
    for c in value.chars() {
        let short = match c {
            '"' => "\\\"",
            '\\' => "\\\\",
            '\0' => "\\0",
            '\u{7}' => "\\a",
            '\u{8}' => "\\b",
            '\t' => "\\t",
            '\n' => "\\n",
            '\u{b}' => "\\v",
            '\u{c}' => "\\f",
            '\r' => "\\r",
            '\u{1b}' => "\\e",
            '\u{85}' => "\\N",
            '\u{a0}' => "\\_",
            '\u{2028}' => "\\L",
            '\u{2029}' => "\\P",
            _ => "",
        };
        match (short, u32::from(c)) {
            ("", _) if is_printable(c) => text.push(c),
            ("", code @ ..=0xff) => drop(write!(text, "\\x{code:02X}")),
            ("", code @ ..=0xffff) => drop(write!(text, "\\u{code:04X}")),
            ("", code) => drop(write!(text, "\\U{code:08X}")),
            (short, _) => text.push_str(short),
        }
    }
    text.push('"');
}

/// The order of a mapping's keys: letters after other signs, numbers by value (`web2` before `web10`).
pub(super) fn natural(a: &str, b: &str) -> Ordering {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut digits = false;
    for at in 0..a.len().min(b.len()) {
        let (x, y) = (a[at], b[at]);
        if x == y {
            digits = x.is_ascii_digit();
            continue;
        }
        return match (x.is_alphabetic(), y.is_alphabetic()) {
            (true, true) => x.cmp(&y),
            (false, false) => numbers(&a, &b, at).then(x.cmp(&y)),
            // Behind a number a letter comes first, else it comes last.
            (letter, _) if letter == digits => Ordering::Less,
            _ => Ordering::Greater,
        };
    }
    a.len().cmp(&b.len())
}

/// The numbers that begin at `at`: by value, then by length.
fn numbers(a: &[char], b: &[char], at: usize) -> Ordering {
    let zeros = a[at] == '0' || b[at] == '0';
    let before = a[..at].iter().rev().take_while(|c| c.is_ascii_digit());
    let lead = i64::from(zeros && before.clone().any(|c| *c != '0'));
    let read = |chars: &[char]| {
        let digits = chars[at..].iter().map_while(|c| c.to_digit(10));
        digits.fold((lead, 0usize), |(value, length), digit| {
            (
                value.wrapping_mul(10).wrapping_add(digit.into()),
                length + 1,
            )
        })
    };
    read(a).cmp(&read(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        let mut out = String::new();
        string(&mut out, text, 2, false);
        out
    }

    #[test]
    fn scalars_are_quoted_as_go_yaml_quotes_them() {
        for (text, expected) in [
            ("plain", "plain"),
            ("", "\"\""),
            ("1", "\"1\""),
            ("8080:80", "8080:80"),
            ("12:30", "\"12:30\""),
            ("yes", "\"yes\""),
            ("true", "\"true\""),
            ("2001-01-01", "\"2001-01-01\""),
            ("a: b", "'a: b'"),
            ("a #b", "'a #b'"),
            ("a#b", "a#b"),
            ("@x", "'@x'"),
            ("it's", "it's"),
            ("'x", "'''x'"),
            (" x", "' x'"),
            ("a\tb", "\"a\\tb\""),
            ("-", "'-'"),
            ("-x", "-x"),
            ("*", "'*'"),
            ("a\nb", "|-\n  a\n  b"),
            ("a\n", "|\n  a"),
            ("é", "é"),
            ("\u{1f600}", "\"\\U0001F600\""),
            ("${X}", "${X}"),
            ("{a}", "'{a}'"),
        ] {
            assert_eq!(shown(text), expected, "{text:?}");
        }
    }

    #[test]
    fn keys_are_in_natural_order() {
        let mut keys = ["web10", "web2", "web", "a-b", "a_b", "B", "a", "10", "9"];
        keys.sort_by(|a, b| natural(a, b));
        assert_eq!(
            keys,
            ["9", "10", "B", "a", "a-b", "a_b", "web", "web2", "web10"]
        );
    }

    #[test]
    fn floats_are_go_s() {
        for (number, text) in [
            (0.5, "0.5"),
            (1.0, "1"),
            (1e6, "1e+06"),
            (0.00001, "1e-05"),
            (1234.5, "1234.5"),
        ] {
            assert_eq!(float(number), text);
        }
    }
}
