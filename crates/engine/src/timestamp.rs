//! Points in time as Docker prints them: RFC 3339, UTC, nanoseconds.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::{Duration, SystemTime};

/// Nanoseconds since the epoch; in JSON an RFC 3339 string.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Docker's "never": `0001-01-01T00:00:00Z`.
    pub const ZERO_TEXT: &'static str = "0001-01-01T00:00:00Z";

    pub fn now() -> Self {
        let since = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        Self(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
    }

    /// How long ago this was; zero when it lies ahead.
    pub fn elapsed(self) -> Duration {
        Duration::from_nanos(u64::try_from(Self::now().0 - self.0).unwrap_or(0))
    }

    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000_000)
    }

    /// Reads HTTP's form, `Sun, 06 Nov 1994 08:49:37 GMT`.
    pub fn parse_http(text: &str) -> Option<Self> {
        let time = jiff::fmt::rfc2822::parse(text).ok()?;
        Self::from_jiff(time.timestamp())
    }

    /// Reads RFC 3339, a date with or without time, or Unix seconds with a fraction. What is relative
    /// (`10m`) is the caller's, who knows now.
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(stamp) = text.parse::<jiff::Timestamp>() {
            return Self::from_jiff(stamp);
        }
        if let Ok(civil) = text.parse::<jiff::civil::DateTime>() {
            let zoned = civil.to_zoned(jiff::tz::TimeZone::system()).ok()?;
            return Self::from_jiff(zoned.timestamp());
        }
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let seconds: i64 = whole.parse().ok()?;
        let digits: String = fraction
            .chars()
            .chain(std::iter::repeat('0'))
            .take(9)
            .collect();
        let nanos: i64 = digits.parse().ok()?;
        seconds
            .checked_mul(1_000_000_000)?
            .checked_add(nanos)
            .map(Self)
    }

    fn from_jiff(stamp: jiff::Timestamp) -> Option<Self> {
        i64::try_from(stamp.as_nanosecond()).ok().map(Self)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_nanosecond(i128::from(self.0)) {
            Ok(stamp) => write!(f, "{stamp:.9}"),
            Err(_) => f.write_str(Self::ZERO_TEXT),
        }
    }
}

impl From<Timestamp> for String {
    fn from(stamp: Timestamp) -> Self {
        stamp.to_string()
    }
}

impl TryFrom<String> for Timestamp {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or_else(|| format!("not a time: {text:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nanoseconds_survive_the_text_form() {
        let stamp = Timestamp(1_732_230_000_123_456_789);
        assert_eq!(stamp.to_string(), "2024-11-21T23:00:00.123456789Z");
        assert_eq!(Timestamp::parse(&stamp.to_string()), Some(stamp));
        assert_eq!(
            Timestamp::parse("1732230000.5"),
            Some(Timestamp(1_732_230_000_500_000_000))
        );
        assert_eq!(Timestamp::parse("yesterday"), None);
    }
}
