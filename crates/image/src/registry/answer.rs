//! What an unexpected answer means, and whether to ask again.

use super::Error;
use super::http::{self, header};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use ureq::Body;
use ureq::http::{HeaderMap, Response};

/// Tries of one request whose failure may pass.
const ATTEMPTS: u32 = 5;
/// Numbers from here on are a time of the clock in seconds, not a span.
const EPOCH_2001: u64 = 1_000_000_000;
/// Longest wait before one of them.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// How long to wait before the next of [`ATTEMPTS`]; `None`: give up.
pub(crate) fn pause(error: &Error, attempt: u32) -> Option<Duration> {
    if attempt >= ATTEMPTS || !error.is_passing() {
        return None;
    }
    let backoff = Duration::from_millis(250 << attempt.min(6));
    // Who asks for more than that is not waited for: another place may have it, and the user is told how long it is.
    let pause = error.retry_after().unwrap_or(backoff);
    (pause <= LONGEST_PAUSE).then_some(pause)
}

/// What a registry says about how much it still gives (`ratelimit-limit: 100;w=21600`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quota {
    pub(crate) limit: u64,
    pub(crate) remaining: u64,
    pub(crate) seconds: u64,
}

impl Quota {
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let read = |name| {
            let (count, rest) = header(headers, name)?
                .split_once(';')
                .unwrap_or((header(headers, name)?, ""));
            let window = rest
                .trim()
                .strip_prefix("w=")
                .and_then(|w| w.trim().parse().ok());
            Some((count.trim().parse().ok()?, window.unwrap_or(0)))
        };
        let (limit, seconds) = read("ratelimit-limit")?;
        let (remaining, _) = read("ratelimit-remaining")?;
        Some(Self {
            limit,
            remaining,
            seconds,
        })
    }

    /// Worth telling: a tenth is left, or less.
    pub(crate) fn is_low(&self) -> bool {
        self.remaining * 10 <= self.limit
    }
}

impl std::fmt::Display for Quota {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {} pulls left", self.remaining, self.limit)?;
        match self.seconds {
            0 => Ok(()),
            seconds => write!(f, " in {}", span(Duration::from_secs(seconds))),
        }
    }
}

/// `45 s`, `6 h`
pub(super) fn span(time: Duration) -> String {
    match time.as_secs() {
        31_536_000.. => "more than a year".to_owned(),
        seconds @ 0..=119 => format!("{seconds} s"),
        seconds @ 120..=7199 => format!("{} min", seconds.div_ceil(60)),
        seconds => format!("{} h", seconds.div_ceil(3600)),
    }
}

/// An unexpected status in the registry's words.
pub(crate) fn status_error(response: Response<Body>, url: &str) -> Error {
    let status = response.status().as_u16();
    let retry_after = asked_wait(response.headers());
    let quota = Quota::of(response.headers());
    let bytes = http::text(response, url).unwrap_or_default();
    let mut message = error_text(&bytes);
    if matches!(status, 429 | 503) {
        let wait = retry_after.map(|time| format!("it asks to wait {}", span(time)));
        for more in quota.map(|q| q.to_string()).into_iter().chain(wait) {
            message.push_str(if message.is_empty() { "" } else { ", " });
            message.push_str(&more);
        }
    }
    Error::Status {
        url: url.into(),
        status,
        message,
        retry_after,
    }
}

/// How long a registry wants to be left alone.
fn asked_wait(headers: &HeaderMap) -> Option<Duration> {
    // Docker Hub's own limit of all requests has the other name.
    let said = |name| header(headers, name).and_then(retry_after);
    said("retry-after").or_else(|| said("x-retry-after"))
}

/// `Retry-After`: seconds, or a date of RFC 9110; Docker Hub has it as a time of the clock.
fn retry_after(value: &str) -> Option<Duration> {
    let value = value.trim();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
    // More than can be counted is longer than anybody waits.
    let is_number = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
    let then = match is_number {
        true => value.parse().unwrap_or(u64::MAX),
        false => date(value)?,
    };
    let is_span = is_number && !(EPOCH_2001..u64::from(u32::MAX)).contains(&then);
    let wait = if is_span {
        then
    } else {
        then.saturating_sub(now)
    };
    Some(Duration::from_secs(wait))
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` in seconds since 1970.
fn date(value: &str) -> Option<u64> {
    let words: Vec<&str> = value.split(' ').collect();
    let [_, day, month, year, time, "GMT"] = words[..] else {
        return None;
    };
    let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let month = months.iter().position(|m| *m == month)? as u64 + 1;
    let (day, year): (u64, u64) = (day.parse().ok()?, year.parse().ok()?);
    if !(1970..=9999).contains(&year) || !(1..=31).contains(&day) {
        return None;
    }
    let clock: Vec<u64> = time
        .split(':')
        .map_while(|part| part.parse().ok())
        .collect();
    let [hours, minutes, seconds] = clock[..] else {
        return None;
    };
    // Days since the epoch, the year counted from March, so that a leap day is its last.
    let (y, m) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 719_469;
    Some(days * 86400 + hours.min(23) * 3600 + minutes.min(59) * 60 + seconds.min(60))
}

/// `{"errors":[{"code":"DENIED","message":"…"}]}` → `denied: …`
fn error_text(bytes: &[u8]) -> String {
    let Ok(body) = serde_json::from_slice::<serde_json::Value>(bytes) else {
        return String::new();
    };
    let errors = body
        .get("errors")
        .and_then(|e| e.as_array())
        .cloned()
        .unwrap_or_default();
    let text = |error: &serde_json::Value| {
        let field = |name: &str| {
            error
                .get(name)
                .and_then(|v| v.as_str())
                .unwrap_or_default()
                .to_owned()
        };
        let (code, message) = (
            field("code").to_lowercase().replace('_', " "),
            field("message"),
        );
        if message.is_empty() {
            code
        } else {
            format!("{code}: {message}")
        }
    };
    let details = body
        .get("details")
        .or_else(|| body.get("message"))
        .and_then(|d| d.as_str());
    match errors.is_empty() {
        true => details.unwrap_or_default().to_owned(),
        false => errors.iter().map(text).collect::<Vec<_>>().join("; "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_in_the_registrys_words() {
        let body = br#"{"errors":[{"code":"NAME_UNKNOWN","message":"repository name not known"},{"code":"DENIED"}]}"#;
        assert_eq!(
            error_text(body),
            "name unknown: repository name not known; denied"
        );
        assert_eq!(error_text(br#"{"details":"too fast"}"#), "too fast");
        assert_eq!(error_text(b"<html>"), "");
    }

    #[test]
    fn only_failures_that_pass_are_tried_again() {
        let status = |status, retry_after| Error::Status {
            url: "u".into(),
            status,
            message: String::new(),
            retry_after,
        };
        assert_eq!(
            pause(&status(429, Some(Duration::from_secs(7))), 1),
            Some(Duration::from_secs(7))
        );
        assert!(pause(&status(503, None), 1) < pause(&status(503, None), 3));
        assert_eq!(pause(&status(404, None), 1), None);
        assert_eq!(pause(&status(503, None), ATTEMPTS), None);
        assert_eq!(
            pause(&status(503, Some(Duration::from_secs(9999))), 1),
            None
        );
    }

    #[test]
    fn a_retry_may_be_a_date() {
        assert_eq!(date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(date("Thu, 29 Feb 2024 00:00:00 GMT"), Some(1_709_164_800));
        assert_eq!(date("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        assert_eq!(date("tomorrow"), None);
        assert_eq!(retry_after(" 7 "), Some(Duration::from_secs(7)));
        assert_eq!(
            retry_after("Sun, 06 Nov 1994 08:49:37 GMT"),
            Some(Duration::ZERO)
        );
        for none in ["x", "-1", "1.5", ""] {
            assert_eq!(retry_after(none), None, "{none}");
        }
        assert_eq!(retry_after("1700000000"), Some(Duration::ZERO), "long ago");
        let absurd = retry_after("99999999999999999999999");
        assert!(absurd > Some(LONGEST_PAUSE), "{absurd:?}");
        let error = Error::Status {
            url: "u".into(),
            status: 429,
            message: String::new(),
            retry_after: absurd,
        };
        assert_eq!(pause(&error, 1), None);
    }

    #[test]
    fn docker_hubs_own_header_counts_where_the_common_one_is_missing() {
        let mut headers = HeaderMap::new();
        headers.insert("x-retry-after", "7".parse().unwrap());
        assert_eq!(asked_wait(&headers), Some(Duration::from_secs(7)));
        headers.insert("retry-after", "9".parse().unwrap());
        assert_eq!(asked_wait(&headers), Some(Duration::from_secs(9)));
    }

    #[test]
    fn a_quota_is_read_and_told_when_it_runs_out() {
        let mut headers = HeaderMap::new();
        assert_eq!(Quota::of(&headers), None);
        headers.insert("ratelimit-limit", "100;w=21600".parse().unwrap());
        headers.insert("ratelimit-remaining", "7;w=21600".parse().unwrap());
        let quota = Quota::of(&headers).unwrap();
        assert!(quota.is_low());
        assert_eq!(quota.to_string(), "7 of 100 pulls left in 6 h");
    }
}
