//! Sizes, durations and times in Docker's texts.
//!
//! Source: go-units `size.go`, `duration.go`; Docker CLI `formatter/container.go`.

pub(crate) use api::wire::status::{ago, duration};
use engine::Timestamp;

const DECIMAL: [&str; 9] = ["B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"];
const BINARY: [&str; 9] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"];

fn scaled(size: f64, base: f64, units: &[&str], digits: usize) -> String {
    let mut size = size;
    let mut unit = 0;
    while size >= base && unit < units.len() - 1 {
        size /= base;
        unit += 1;
    }
    format!("{}{}", significant(size, digits), units[unit])
}

/// Go's `%.{digits}g`, without exponents.
fn significant(value: f64, digits: usize) -> String {
    let whole = if value < 1.0 {
        1
    } else {
        value.log10().floor() as usize + 1
    };
    let text = format!("{value:.*}", digits.saturating_sub(whole));
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// `72.8MB`: three digits, powers of 1000 (images, container sizes, traffic).
pub(crate) fn size(bytes: u64) -> String {
    scaled(bytes as f64, 1000.0, &DECIMAL, 3)
}

/// `72.85MB`: four digits, powers of 1000 (`system df`, what a prune freed).
pub(crate) fn size_long(bytes: u64) -> String {
    scaled(bytes as f64, 1000.0, &DECIMAL, 4)
}

/// `69.48MiB`: four digits, powers of 1024 (memory).
pub(crate) fn memory(bytes: u64) -> String {
    scaled(bytes as f64, 1024.0, &BINARY, 4)
}

/// `2026-11-21 23:05:11 +0000 UTC`, as Go prints a local time.
pub(crate) fn created_at(time: Timestamp) -> String {
    match jiff::Timestamp::from_nanosecond(i128::from(time.0)) {
        Ok(stamp) => stamp
            .to_zoned(jiff::tz::TimeZone::system())
            .strftime("%Y-%m-%d %H:%M:%S %z %Z")
            .to_string(),
        Err(_) => String::new(),
    }
}

/// A point in time as `--since` and `--until` take it: RFC 3339, Unix seconds, or `10m` before now.
pub(crate) fn point_in_time(text: &str) -> Option<Timestamp> {
    if let Ok(back) = model::duration::parse(text) {
        let nanos = i64::try_from(back.as_nanos()).ok()?;
        // A bare number is a time, not a duration.
        if !text.bytes().all(|b| b.is_ascii_digit()) {
            return Some(Timestamp(Timestamp::now().0.saturating_sub(nanos)));
        }
    }
    Timestamp::parse(text)
}

/// Cuts a text to `width` characters, the last one being `…`.
pub(crate) fn ellipsis(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(width.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

/// The first twelve digits of an id or digest.
pub(crate) fn short_id(id: &str) -> &str {
    let bare = id.split_once(':').map_or(id, |(_, hex)| hex);
    bare.get(..12).unwrap_or(bare)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn sizes_read_as_dockers() {
        for (bytes, wanted) in [
            (0, "0B"),
            (999, "999B"),
            (1090, "1.09kB"),
            (72_812_345, "72.8MB"),
            (187_000_000, "187MB"),
            (5_000_000_000, "5GB"),
        ] {
            assert_eq!(size(bytes), wanted);
        }
        assert_eq!(size_long(72_812_345), "72.81MB");
        assert_eq!(memory(1_294_336), "1.234MiB");
        assert_eq!(memory(1 << 30), "1GiB");
        assert_eq!(memory(512), "512B");
    }

    #[test]
    fn durations_read_as_dockers() {
        for (seconds, wanted) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (45, "45 seconds"),
            (60, "About a minute"),
            (119, "About a minute"),
            (120, "2 minutes"),
            (3599, "59 minutes"),
            (3600, "About an hour"),
            (7200, "2 hours"),
            (47 * 3600, "47 hours"),
            (48 * 3600, "2 days"),
            (14 * 86400, "2 weeks"),
            (61 * 86400, "2 months"),
            (800 * 86400, "2 years"),
        ] {
            assert_eq!(duration(Duration::from_secs(seconds)), wanted);
        }
    }

    #[test]
    fn points_in_time_are_absolute_or_relative() {
        assert_eq!(
            point_in_time("1732230000"),
            Some(Timestamp(1_732_230_000_000_000_000))
        );
        assert_eq!(
            point_in_time("2024-11-21T23:00:00Z"),
            Some(Timestamp(1_732_230_000_000_000_000))
        );
        let back = Timestamp::now().0 - point_in_time("10m").unwrap().0;
        assert!((590_000_000_000..660_000_000_000).contains(&back), "{back}");
        assert_eq!(point_in_time("soon"), None);
    }

    #[test]
    fn long_texts_are_cut() {
        assert_eq!(ellipsis("abcdef", 4), "abc…");
        assert_eq!(ellipsis("abc", 4), "abc");
        assert_eq!(short_id("sha256:0123456789abcdef"), "0123456789ab");
        assert_eq!(short_id("é"), "é");
    }
}
