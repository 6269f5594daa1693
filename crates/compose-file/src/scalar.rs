//! What a plain scalar means: exactly what go-yaml makes of it, so that a file means the same here as in
//! docker compose (`0755` is octal, `yes` a string, `12:30` a string). Source: go-yaml `resolve.go`.

use crate::tree::Value;

/// The value of a plain (unquoted) scalar without a tag.
pub(crate) fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Value::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => {
            return Value::Float(f64::INFINITY);
        }
        "-.inf" | "-.Inf" | "-.INF" => return Value::Float(f64::NEG_INFINITY),
        _ => {}
    }
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return Value::String(text.to_owned());
    }
    let plain = text.replace('_', "");
    if let Some(number) = integer(&plain) {
        return number;
    }
    match is_float(&plain).then(|| plain.parse::<f64>()) {
        Some(Ok(number)) if number.is_finite() => Value::Float(number),
        _ => Value::String(text.to_owned()),
    }
}

/// Go's `ParseInt(text, 0, 64)`: base by prefix, a leading zero is octal.
fn integer(text: &str) -> Option<Value> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let lower = digits.get(..2).map(str::to_ascii_lowercase);
    let (radix, digits) = match lower.as_deref() {
        Some("0x") => (16, &digits[2..]),
        Some("0b") => (2, &digits[2..]),
        Some("0o") => (8, &digits[2..]),
        Some(two) if two.starts_with('0') && two.as_bytes()[1].is_ascii_digit() => {
            (8, &digits[1..])
        }
        _ => (10, digits),
    };
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    let magnitude = i128::from_str_radix(digits, radix).ok()?;
    let number = if negative { -magnitude } else { magnitude };
    Some(match i64::try_from(number) {
        Ok(number) => Value::Int(number),
        Err(_) => Value::Float(number as f64),
    })
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn is_float(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(at) => (&unsigned[..at], Some(&unsigned[at + 1..])),
        None => (unsigned, None),
    };
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    let mantissa_ok = match mantissa.split_once('.') {
        Some(("", fraction)) => !fraction.is_empty() && digits(fraction),
        Some((whole, fraction)) => digits(whole) && digits(fraction),
        None => !mantissa.is_empty() && digits(mantissa),
    };
    let exponent_ok = exponent.is_none_or(|part| {
        let part = part.strip_prefix(['-', '+']).unwrap_or(part);
        !part.is_empty() && digits(part)
    });
    mantissa_ok && exponent_ok
}

/// Go's `fmt.Sprint` of a float: shortest, with an exponent below 1e-4 and from 1e21 on.
pub(crate) fn format_float(number: f64) -> String {
    if number.is_nan() {
        return "NaN".into();
    }
    if number.is_infinite() {
        return if number > 0.0 {
            "+Inf".into()
        } else {
            "-Inf".into()
        };
    }
    let magnitude = number.abs();
    if number == 0.0 || (1e-4..1e21).contains(&magnitude) {
        return number.to_string();
    }
    let text = format!("{number:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, digits) = match exponent.strip_prefix('-') {
        Some(digits) => ('-', digits),
        None => ('+', exponent),
    };
    format!("{mantissa}e{sign}{digits:0>2}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_what_go_yaml_means() {
        for (text, value) in [
            ("", Value::Null),
            ("~", Value::Null),
            ("true", Value::Bool(true)),
            ("False", Value::Bool(false)),
            ("123", Value::Int(123)),
            ("-5", Value::Int(-5)),
            ("+5", Value::Int(5)),
            ("0755", Value::Int(493)),
            ("0o755", Value::Int(493)),
            ("0x1F", Value::Int(31)),
            ("0b101", Value::Int(5)),
            ("1_000", Value::Int(1000)),
            ("0", Value::Int(0)),
            ("3.8", Value::Float(3.8)),
            ("1e3", Value::Float(1000.0)),
            (".5", Value::Float(0.5)),
            ("5.", Value::Float(5.0)),
            ("089", Value::Float(89.0)),
            (
                "9223372036854775808",
                Value::Float(9.223_372_036_854_776e18),
            ),
        ] {
            assert_eq!(resolve(text), value, "{text}");
        }
    }

    #[test]
    fn the_rest_are_strings() {
        for text in [
            "yes",
            "no",
            "on",
            "off",
            "y",
            "n",
            "22:22",
            "12:30:45",
            "2001-01-01",
            "0.1.2",
            "1.2.3.4",
            "0x",
            "-",
            ".",
            "..",
            "+",
            "1e",
            "e3",
            "tRuE",
            "512m",
            "-.5.5",
            "${X}",
            "1.5e+",
            "é",
            "0é",
            "-é",
        ] {
            assert_eq!(resolve(text), Value::String(text.to_owned()), "{text}");
        }
    }

    #[test]
    fn floats_print_as_go_prints() {
        for (number, text) in [
            (1.1, "1.1"),
            (3.0, "3"),
            (1e21, "1e+21"),
            (1e-5, "1e-05"),
            (0.0001, "0.0001"),
            (1e20, "100000000000000000000"),
        ] {
            assert_eq!(format_float(number), text);
        }
    }
}
