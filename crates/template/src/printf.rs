//! `printf`: Go's verbs and flags.
//!
//! Source: Go `fmt` documentation.

use super::func::{CallError, WIDEST, failed};
use super::value::Operand;
use serde_json::Value;

#[derive(Debug, Default)]
struct Verb {
    left: bool,
    zero: bool,
    plus: bool,
    sharp: bool,
    width: usize,
    precision: Option<usize>,
}

pub(super) fn printf(args: &[Operand]) -> Result<Value, CallError> {
    let [format, values @ ..] = args else {
        return Err(CallError::Arity(
            "wrong number of args for printf: want at least 1 got 0".into(),
        ));
    };
    let Value::String(format) = &format.value else {
        return failed("wrong type for value; expected string");
    };
    let mut values = values.iter();
    let mut out = String::new();
    let mut chars = format.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut verb = Verb::default();
        while let Some(flag) = chars.next_if(|c| matches!(c, '-' | '0' | '+' | '#' | ' ')) {
            match flag {
                '-' => verb.left = true,
                '0' => verb.zero = true,
                '+' => verb.plus = true,
                '#' => verb.sharp = true,
                _ => {}
            }
        }
        let digits = |chars: &mut std::iter::Peekable<std::str::Chars<'_>>| {
            let mut number = 0_usize;
            while let Some(digit) = chars.next_if(char::is_ascii_digit) {
                number = (number * 10 + digit as usize - '0' as usize).min(WIDEST);
            }
            number
        };
        verb.width = digits(&mut chars);
        if chars.next_if_eq(&'.').is_some() {
            verb.precision = Some(digits(&mut chars));
        }
        match chars.next() {
            None => out.push_str("%!(NOVERB)"),
            Some('%') => out.push('%'),
            Some(letter) => match values.next() {
                Some(value) => out.push_str(&pad(&verb, one(&verb, letter, value))),
                None => out.push_str(&format!("%!{letter}(MISSING)")),
            },
        }
    }
    let extra: Vec<_> = values
        .map(|value| format!("{}={}", go_type(&value.value), value.print()))
        .collect();
    if !extra.is_empty() {
        out.push_str(&format!("%!(EXTRA {})", extra.join(", ")));
    }
    Ok(out.into())
}

fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

/// One value under one verb, before padding.
fn one(verb: &Verb, letter: char, operand: &Operand) -> String {
    let cut = |text: String| match verb.precision {
        Some(length) => text.chars().take(length).collect(),
        None => text,
    };
    let sign = |text: String| {
        if verb.plus && !text.starts_with('-') {
            format!("+{text}")
        } else {
            text
        }
    };
    match (letter, &operand.value) {
        ('v', Value::Number(_)) => sign(operand.print()),
        ('v', _) => operand.print(),
        ('s', Value::String(text)) => cut(text.clone()),
        ('s', Value::Array(_) | Value::Object(_)) => operand.print(),
        ('q', Value::String(text)) => Value::from(text.as_str()).to_string(),
        ('t', Value::Bool(flag)) => flag.to_string(),
        ('T', value) => go_type(value).into(),
        ('x', Value::String(text)) => text.bytes().map(|b| format!("{b:02x}")).collect(),
        ('X', Value::String(text)) => text.bytes().map(|b| format!("{b:02X}")).collect(),
        ('d', Value::Number(number)) if number.is_i64() || number.is_u64() => {
            sign(number.to_string())
        }
        ('x' | 'X' | 'o' | 'b' | 'c', Value::Number(number)) if number.is_i64() => {
            let n = number.as_i64().unwrap_or(0);
            match (letter, verb.sharp) {
                ('x', false) => format!("{n:x}"),
                ('x', true) => format!("{n:#x}"),
                ('X', _) => format!("{n:X}"),
                ('o', _) => format!("{n:o}"),
                ('b', _) => format!("{n:b}"),
                _ => u32::try_from(n)
                    .ok()
                    .and_then(char::from_u32)
                    .unwrap_or('\u{fffd}')
                    .to_string(),
            }
        }
        ('f' | 'F', Value::Number(number)) if number.is_f64() => sign(format!(
            "{:.*}",
            verb.precision.unwrap_or(6),
            number.as_f64().unwrap_or(0.0)
        )),
        (letter, value) => format!("%!{letter}({}={})", go_type(value), operand.print()),
    }
}

fn pad(verb: &Verb, text: String) -> String {
    let missing = verb.width.saturating_sub(text.chars().count());
    match (verb.left, verb.zero) {
        (true, _) => text + &" ".repeat(missing),
        (false, true) => match text.strip_prefix('-') {
            Some(digits) => format!("-{}{digits}", "0".repeat(missing)),
            None => "0".repeat(missing) + &text,
        },
        (false, false) => " ".repeat(missing) + &text,
    }
}
