//! The functions a template may call: Go's built-in ones and Docker's.

use super::value::{Operand, json, print, truth};
use serde_json::Value;
use std::cmp::Ordering;

/// The widest padding or precision taken from a template: more only burns memory.
pub(super) const WIDEST: usize = 4096;

pub(super) enum CallError {
    /// The wrong number of arguments.
    Arity(String),
    Failed(String),
}

const NAMES: [&str; 29] = [
    "and",
    "or",
    "not",
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
    "len",
    "index",
    "slice",
    "print",
    "println",
    "printf",
    "html",
    "urlquery",
    "json",
    "join",
    "split",
    "upper",
    "lower",
    "title",
    "pad",
    "truncate",
    "trim",
    "replace",
    "contains",
    "hasPrefix",
];

pub(super) fn exists(name: &str) -> bool {
    NAMES.contains(&name)
}

type Answer = Result<Value, CallError>;

pub(super) fn failed<T>(what: impl Into<String>) -> Result<T, CallError> {
    Err(CallError::Failed(what.into()))
}

fn want<'a, const N: usize>(
    name: &str,
    args: &'a [Operand],
) -> Result<&'a [Operand; N], CallError> {
    args.try_into().map_err(|_| {
        CallError::Arity(format!(
            "wrong number of args for {name}: want {N} got {}",
            args.len()
        ))
    })
}

fn text(operand: &Operand) -> String {
    match &operand.value {
        Value::Null => String::new(),
        other => print(other),
    }
}

pub(super) fn call(name: &str, args: &[Operand]) -> Answer {
    let of_text = |f: fn(&str) -> String| {
        let [one] = want::<1>(name, args)?;
        Ok(Value::from(f(&text(one))))
    };
    match name {
        "not" => want::<1>(name, args).map(|[one]| Value::from(!truth(&one.value))),
        "eq" => equal(args),
        "ne" => want::<2>(name, args)
            .and_then(|[a, b]| same(&a.value, &b.value))
            .map(|same| Value::from(!same)),
        "lt" | "le" | "gt" | "ge" => compare(name, args),
        "len" => length(want::<1>(name, args)?),
        "index" => index(args),
        "slice" => slice(args),
        "print" => Ok(join_like_print(args).into()),
        "println" => Ok((args
            .iter()
            .map(Operand::print)
            .collect::<Vec<_>>()
            .join(" ")
            + "\n")
            .into()),
        "printf" => super::printf::printf(args),
        "html" => Ok(escape_html(&join_like_print(args)).into()),
        "urlquery" => Ok(escape_query(&join_like_print(args)).into()),
        "json" => want::<1>(name, args).map(|[one]| Value::from(json(&one.value))),
        "join" => {
            let [list, separator] = want::<2>(name, args)?;
            let parts: Vec<_> = match &list.value {
                Value::Array(list) => list.iter().map(print).collect(),
                Value::Null => Vec::new(),
                _ => return failed("wrong type for value; expected []string"),
            };
            Ok(parts.join(&text(separator)).into())
        }
        "split" => {
            let [subject, separator] = want::<2>(name, args)?;
            let (subject, separator) = (text(subject), text(separator));
            if separator.is_empty() {
                return Ok(subject
                    .chars()
                    .map(|c| Value::from(c.to_string()))
                    .collect());
            }
            Ok(subject.split(&separator).map(Value::from).collect())
        }
        "upper" => of_text(str::to_uppercase),
        "lower" => of_text(str::to_lowercase),
        "trim" => of_text(|text| text.trim().to_owned()),
        "title" => of_text(title),
        "pad" => {
            let [subject, left, right] = want::<3>(name, args)?;
            let (left, right) = (
                number(left)?.clamp(0, WIDEST as i64),
                number(right)?.clamp(0, WIDEST as i64),
            );
            let subject = text(subject);
            if subject.is_empty() {
                return Ok(subject.into());
            }
            Ok(format!(
                "{}{subject}{}",
                " ".repeat(left as usize),
                " ".repeat(right as usize)
            )
            .into())
        }
        "truncate" => {
            let [subject, length] = want::<2>(name, args)?;
            let length = usize::try_from(number(length)?).unwrap_or(0);
            Ok(text(subject)
                .chars()
                .take(length)
                .collect::<String>()
                .into())
        }
        "replace" => {
            let [subject, old, new] = want::<3>(name, args)?;
            Ok(text(subject).replace(&text(old), &text(new)).into())
        }
        "contains" => want::<2>(name, args).map(|[a, b]| Value::from(text(a).contains(&text(b)))),
        "hasPrefix" => {
            want::<2>(name, args).map(|[a, b]| Value::from(text(a).starts_with(&text(b))))
        }
        _ => failed("not a function"),
    }
}

fn number(operand: &Operand) -> Result<i64, CallError> {
    operand
        .value
        .as_i64()
        .ok_or_else(|| CallError::Failed(format!("expected integer; found {}", operand.print())))
}

fn title(text: &str) -> String {
    let mut start = true;
    let capital = |c: char| {
        let out: String = if start {
            c.to_uppercase().collect()
        } else {
            c.to_string()
        };
        start = !(c.is_alphanumeric() || c == '_' || c == '\'');
        out
    };
    text.chars().map(capital).collect()
}

fn same(a: &Value, b: &Value) -> Result<bool, CallError> {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => Ok(a.as_f64() == b.as_f64()),
        (Value::Null, _) | (_, Value::Null) => Ok(a == b),
        (Value::Array(_) | Value::Object(_), _) | (_, Value::Array(_) | Value::Object(_)) => {
            failed("non-comparable type")
        }
        (a, b) if std::mem::discriminant(a) == std::mem::discriminant(b) => Ok(a == b),
        _ => failed("incompatible types for comparison"),
    }
}

/// `eq a b c`: a equals any of the others.
fn equal(args: &[Operand]) -> Answer {
    let [first, others @ ..] = args else {
        return Err(CallError::Arity(
            "wrong number of args for eq: want at least 1 got 0".into(),
        ));
    };
    if others.is_empty() {
        return failed("missing argument for comparison");
    }
    for other in others {
        if same(&first.value, &other.value)? {
            return Ok(true.into());
        }
    }
    Ok(false.into())
}

fn compare(name: &str, args: &[Operand]) -> Answer {
    let [a, b] = want::<2>(name, args)?;
    let order = match (&a.value, &b.value) {
        (Value::Number(a), Value::Number(b)) => match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) => Some(a.cmp(&b)),
            _ => a.as_f64().partial_cmp(&b.as_f64()),
        },
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        _ => None,
    };
    let Some(order) = order else {
        return failed("incompatible types for comparison");
    };
    Ok(Value::from(match name {
        "lt" => order == Ordering::Less,
        "le" => order != Ordering::Greater,
        "gt" => order == Ordering::Greater,
        _ => order != Ordering::Less,
    }))
}

fn length([one]: &[Operand; 1]) -> Answer {
    Ok(Value::from(match &one.value {
        Value::Null if one.field.is_some() => 0,
        Value::Null => return failed("len of nil pointer"),
        Value::String(text) => text.len(),
        Value::Array(list) => list.len(),
        Value::Object(map) => map.len(),
        other => return failed(format!("len of type {}", print(other))),
    }))
}

/// `index map "key" 0 …`. A missing key of a map of texts is the empty text, as Go's zero value is.
fn index(args: &[Operand]) -> Answer {
    let [subject, keys @ ..] = args else {
        return Err(CallError::Arity(
            "wrong number of args for index: want at least 1 got 0".into(),
        ));
    };
    let mut value = subject.value.clone();
    for key in keys {
        value = match (&value, &key.value) {
            (Value::Object(map), Value::String(name)) => match map.get(name) {
                Some(found) => found.clone(),
                None if map.values().all(Value::is_string) => "".into(),
                None => Value::Null,
            },
            (Value::Array(list), Value::Number(at)) => {
                match at.as_u64().and_then(|at| list.get(at as usize)) {
                    Some(found) => found.clone(),
                    None => return failed(format!("reflect: slice index out of range: {at}")),
                }
            }
            (Value::String(text), Value::Number(at)) => {
                match at.as_u64().and_then(|at| text.as_bytes().get(at as usize)) {
                    Some(byte) => Value::from(*byte),
                    None => return failed(format!("index out of range: {at}")),
                }
            }
            (Value::Null, Value::String(_)) => "".into(),
            (Value::Null, _) => return failed("index of nil pointer"),
            (Value::Object(_), other) => {
                return failed(format!("value has type {}; should be string", print(other)));
            }
            (Value::Array(_) | Value::String(_), other) => {
                return failed(format!(
                    "cannot index slice/array with type {}",
                    print(other)
                ));
            }
            (other, _) => return failed(format!("can't index item of type {}", print(other))),
        };
    }
    Ok(value)
}

fn slice(args: &[Operand]) -> Answer {
    let [subject, bounds @ ..] = args else {
        return Err(CallError::Arity(
            "wrong number of args for slice: want at least 1 got 0".into(),
        ));
    };
    let length = match &subject.value {
        Value::String(text) => text.len(),
        Value::Array(list) => list.len(),
        Value::Null => return failed("slice of untyped nil"),
        other => return failed(format!("can't slice item of type {}", print(other))),
    };
    let bound = |i: usize, default: usize| match bounds.get(i) {
        Some(operand) => number(operand).map(|n| usize::try_from(n).unwrap_or(usize::MAX)),
        None => Ok(default),
    };
    let (from, to) = (bound(0, 0)?, bound(1, length)?);
    if bounds.len() > 2 || to > length || from > to {
        return failed(format!(
            "index out of range: {}",
            if to > length { to } else { from }
        ));
    }
    match &subject.value {
        Value::Array(list) => Ok(Value::from(list[from..to].to_vec())),
        Value::String(text) => Ok(String::from_utf8_lossy(&text.as_bytes()[from..to])
            .into_owned()
            .into()),
        _ => Ok(Value::Null),
    }
}

/// Go's `Sprint`: a blank between two operands when neither is a text.
fn join_like_print(args: &[Operand]) -> String {
    let mut out = String::new();
    for (i, arg) in args.iter().enumerate() {
        if i > 0 && !arg.value.is_string() && !args[i - 1].value.is_string() {
            out.push(' ');
        }
        out.push_str(&arg.print());
    }
    out
}

fn escape_html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

fn escape_query(text: &str) -> String {
    use std::fmt::Write;
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(byte))
            }
            b' ' => out.push('+'),
            other => {
                let _ = write!(out, "%{other:02X}");
            }
        }
    }
    out
}
