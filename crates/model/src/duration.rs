//! Durations as Go prints and reads them (`1m30s`, `500ms`, `1.5h`).
//! Source: Go `time.ParseDuration` and `Duration.String`, Compose Specification "Specifying durations".

use crate::ParseError;
use std::time::Duration;

/// Reads a Go duration. Negative ones are refused: nothing here waits backwards.
pub fn parse(text: &str) -> Result<Duration, ParseError> {
    parse_units(text, false)
}

/// As [`parse`], and `d` and `w`, which Compose files may use.
pub fn parse_with_days(text: &str) -> Result<Duration, ParseError> {
    parse_units(text, true)
}

fn parse_units(text: &str, days: bool) -> Result<Duration, ParseError> {
    let fail = |cause: &str| ParseError::new("duration", text, cause);
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest.starts_with('-') {
        return Err(fail("a duration cannot be negative"));
    }
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(fail(
            "empty; write a number with a unit, as in 30s or 1m30s",
        ));
    }
    let mut nanos: u128 = 0;
    while !rest.is_empty() {
        let number_end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, tail) = rest.split_at(number_end);
        let unit_end = tail
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let scale = unit_nanos(unit, days).ok_or_else(|| match unit {
            "" => fail("missing unit; write it as 30s or 1m30s"),
            _ => fail("unknown unit; known are ns, us, ms, s, m, h"),
        })?;
        let part = scaled(number, scale)
            .ok_or_else(|| fail("a duration is a number with a unit, as in 30s or 1m30s"))?;
        nanos = nanos
            .checked_add(part)
            .filter(|n| *n <= i64::MAX as u128)
            .ok_or_else(|| fail("longer than 292 years"))?;
        rest = tail;
    }
    Ok(Duration::from_nanos(nanos as u64))
}

fn unit_nanos(unit: &str, days: bool) -> Option<u128> {
    const SECOND: u128 = 1_000_000_000;
    Some(match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => SECOND,
        "m" => 60 * SECOND,
        "h" => 3_600 * SECOND,
        "d" if days => 86_400 * SECOND,
        "w" if days => 7 * 86_400 * SECOND,
        _ => return None,
    })
}

fn scaled(number: &str, scale: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') || whole.len() > 19 {
        return None;
    }
    let whole: u128 = if whole.is_empty() {
        0
    } else {
        whole.parse().ok()?
    };
    // Beyond eighteen places nothing of a nanosecond is left.
    let fraction = &fraction[..fraction.len().min(18)];
    let part = match fraction {
        "" => 0,
        digits => digits.parse::<u128>().ok()? * scale / 10u128.pow(digits.len() as u32),
    };
    whole.checked_mul(scale)?.checked_add(part)
}

/// Prints as Go does: `1m30s`, `500ms`, `1h0m0s`, `0s`.
pub fn format(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    if nanos == 0 {
        return "0s".to_owned();
    }
    if nanos < 1_000_000_000 {
        let (scale, unit) = match nanos {
            0..1_000 => (1, "ns"),
            1_000..1_000_000 => (1_000, "µs"),
            _ => (1_000_000, "ms"),
        };
        return format!("{}{unit}", decimal(nanos, scale));
    }
    let minutes = duration.as_secs() / 60;
    let seconds = decimal(nanos - u128::from(minutes) * 60_000_000_000, 1_000_000_000);
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{seconds}s"),
        (0, minutes) => format!("{minutes}m{seconds}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

fn decimal(value: u128, scale: u128) -> String {
    let fraction = value % scale;
    if fraction == 0 {
        return (value / scale).to_string();
    }
    let width = scale.ilog10() as usize;
    let digits = format!("{fraction:0width$}");
    format!("{}.{}", value / scale, digits.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_go_reads() {
        for (text, millis) in [
            ("0", 0),
            ("5s", 5_000),
            ("1m30s", 90_000),
            ("500ms", 500),
            ("1.5h", 5_400_000),
            ("1h0m0.5s", 3_600_500),
            (".5s", 500),
            ("1.s", 1_000),
            ("+2s", 2_000),
            ("1000us", 1),
            ("1000µs", 1),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(parse_with_days("1w2d"), Ok(Duration::from_secs(9 * 86_400)));
    }

    #[test]
    fn refuses_the_rest() {
        for text in [
            "",
            "5",
            "s",
            ".s",
            "-5s",
            "1x",
            "1m 30s",
            "1d",
            "3000000h",
            "1..5s",
            "99999999999999999999h",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert_eq!(
            parse("5").unwrap_err().to_string(),
            "invalid duration \"5\": missing unit; write it as 30s or 1m30s"
        );
    }

    #[test]
    fn prints_as_go_prints() {
        for text in [
            "0s",
            "1ns",
            "1.5µs",
            "500ms",
            "1.5s",
            "30s",
            "1m30s",
            "1h0m0s",
            "100h0m0.25s",
        ] {
            assert_eq!(format(parse(text).unwrap()), text);
        }
    }
}
