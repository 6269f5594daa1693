//! Byte sizes, 1024-based (`512m`, `1gb`, `64k`, `1048576`), and how tables print them.
//! Source: Docker CLI reference (`--memory`), go-units `RAMInBytes`, `BytesSize`, `HumanSize`.

use crate::ParseError;

const BINARY: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
const DECIMAL: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];

/// Reads `512m`, `1.5gb`, `64 KiB`, `1048576`: every unit is a power of 1024.
pub fn parse(text: &str) -> Result<u64, ParseError> {
    let fail = |cause: &str| Err(ParseError::new("size", text, cause));
    let number_end = text
        .rfind(|c: char| c.is_ascii_digit() || c == '.')
        .map_or(0, |at| at + 1);
    let (number, unit) = text.split_at(number_end);
    let Some(shift) = unit_shift(unit.strip_prefix(' ').unwrap_or(unit)) else {
        return fail("the unit is none of b, k, m, g, t, p (as in 512m)");
    };
    if !number.starts_with(|c: char| c.is_ascii_digit()) {
        return fail("a size is a number with a unit, as in 512m or 2g");
    }
    if let Ok(whole) = number.parse::<u64>() {
        return match whole.checked_mul(1u64 << shift) {
            Some(bytes) => Ok(bytes),
            None => fail("larger than any memory or disk"),
        };
    }
    match number.parse::<f64>() {
        Ok(value) if value.is_finite() => {
            let bytes = value * (1u64 << shift) as f64;
            if bytes >= u64::MAX as f64 {
                fail("larger than any memory or disk")
            } else {
                Ok(bytes as u64)
            }
        }
        _ => fail("a size is a number with a unit, as in 512m or 2g"),
    }
}

/// As [`parse`], and `-1` for "unlimited" (`--memory-swap`).
pub fn parse_or_unlimited(text: &str) -> Result<i64, ParseError> {
    if text == "-1" {
        return Ok(-1);
    }
    i64::try_from(parse(text)?)
        .map_err(|_| ParseError::new("size", text, "larger than any memory or disk"))
}

fn unit_shift(unit: &str) -> Option<u32> {
    let unit = unit.to_ascii_lowercase();
    let letter = match unit.as_str() {
        "" | "b" => return Some(0),
        _ => unit.chars().next()?,
    };
    if !matches!(&unit[letter.len_utf8()..], "" | "b" | "i" | "ib") {
        return None;
    }
    Some(match letter {
        'k' => 10,
        'm' => 20,
        'g' => 30,
        't' => 40,
        'p' => 50,
        _ => return None,
    })
}

/// `512MiB`, `1.5GiB`, as `stats` and `system info` print memory.
pub fn format(bytes: u64) -> String {
    scaled(bytes, 1024.0, &BINARY, 4)
}

/// `29.3MB`, `1.2GB`: 1000-based with three digits, as `images` and `system df` print disk.
pub fn format_decimal(bytes: u64) -> String {
    scaled(bytes, 1000.0, &DECIMAL, 3)
}

fn scaled(bytes: u64, base: f64, units: &[&str; 7], digits: usize) -> String {
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= base && unit < units.len() - 1 {
        value /= base;
        unit += 1;
    }
    format!("{}{}", significant(value, digits), units[unit])
}

/// C's `%.{digits}g` for numbers from 0 to 1024: so many significant digits, no trailing zeros.
fn significant(value: f64, digits: usize) -> String {
    let whole_digits = if value < 10.0 {
        1
    } else {
        (value.log10().floor() as usize) + 1
    };
    if whole_digits > digits {
        // `%.3g` of 1023 is 1.02e+03.
        let exponent = whole_digits - 1;
        let mantissa = format!("{:.*}", digits - 1, value / 10f64.powi(exponent as i32));
        return format!(
            "{}e+{exponent:02}",
            mantissa.trim_end_matches('0').trim_end_matches('.')
        );
    }
    let text = format!("{value:.*}", digits - whole_digits);
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_docker_reads() {
        for (text, bytes) in [
            ("32", 32),
            ("32b", 32),
            ("32k", 32 << 10),
            ("32K", 32 << 10),
            ("32kb", 32 << 10),
            ("32KiB", 32 << 10),
            ("512m", 512 << 20),
            ("1gb", 1 << 30),
            ("1.5g", 3 << 29),
            ("32 mb", 32 << 20),
            ("2t", 2 << 40),
            ("1p", 1 << 50),
            ("0", 0),
            ("0.5", 0),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn refuses_the_rest() {
        for text in [
            "",
            "m",
            "-1",
            "1x",
            "1 .5m",
            "1mbb",
            "1..2m",
            ".5m",
            "hello",
            "1kk",
            "99999999999999999999",
            "16777216t",
            "é",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert_eq!(
            parse("12potatoes").unwrap_err().to_string(),
            "invalid size \"12potatoes\": the unit is none of b, k, m, g, t, p (as in 512m)"
        );
    }

    #[test]
    fn swap_may_be_unlimited() {
        assert_eq!(parse_or_unlimited("-1"), Ok(-1));
        assert_eq!(parse_or_unlimited("1g"), Ok(1 << 30));
        assert!(parse_or_unlimited("-2").is_err());
    }

    #[test]
    fn prints_as_tables_do() {
        assert_eq!(format(0), "0B");
        assert_eq!(format(1023), "1023B");
        assert_eq!(format(512 << 20), "512MiB");
        assert_eq!(format(3 << 29), "1.5GiB");
        assert_eq!(format(1_234_567), "1.177MiB");
        assert_eq!(format_decimal(29_300_000), "29.3MB");
        assert_eq!(format_decimal(1_199_999_999), "1.2GB");
        assert_eq!(format_decimal(999), "999B");
        assert_eq!(format_decimal(0), "0B");
    }
}
