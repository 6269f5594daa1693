//! What an unexpected answer means, and whether to ask again.

use super::Error;
use super::http::{self, header};
use std::time::Duration;
use ureq::Body;
use ureq::http::Response;

/// Tries of one request whose failure may pass.
const ATTEMPTS: u32 = 5;

/// How long to wait before the next of [`ATTEMPTS`]; `None`: give up.
pub(crate) fn pause(error: &Error, attempt: u32) -> Option<Duration> {
    if attempt >= ATTEMPTS || !error.is_passing() {
        return None;
    }
    let backoff = Duration::from_millis(250 << attempt.min(6));
    Some(
        error
            .retry_after()
            .unwrap_or(backoff)
            .min(Duration::from_secs(60)),
    )
}

/// An unexpected status in the registry's words.
pub(crate) fn status_error(response: Response<Body>, url: &str) -> Error {
    let status = response.status().as_u16();
    let seconds =
        header(response.headers(), "retry-after").and_then(|v| v.trim().parse::<u64>().ok());
    let bytes = http::text(response, url).unwrap_or_default();
    let message = error_text(&bytes);
    Error::Status {
        url: url.into(),
        status,
        message,
        retry_after: seconds.map(Duration::from_secs),
    }
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
            Some(Duration::from_secs(60))
        );
    }
}
