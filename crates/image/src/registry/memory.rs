//! Which registries did not answer a short while ago, kept in the run root for all commands: a mirror that is down costs its timeout
//! once, not with every image. One file per host: until when (seconds of the clock), and what it said.

use super::Error;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use state::Durability;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// As long a host that failed is asked after all others.
const FAILED: Duration = Duration::from_secs(120);
/// A registry that wants to be left alone for longer is asked again after this.
const LONGEST: Duration = Duration::from_secs(3600);

#[derive(Debug, Clone, Default)]
pub(crate) struct Memory {
    /// `None`: nothing is remembered.
    dir: Option<PathBuf>,
}

impl Memory {
    pub(crate) fn new(dir: Option<PathBuf>) -> Self {
        Self { dir }
    }

    fn path(&self, host: &str) -> Option<PathBuf> {
        let name = utf8_percent_encode(host, NON_ALPHANUMERIC).to_string();
        self.dir.as_ref().map(|dir| dir.join(name))
    }

    /// Whether the host failed lately.
    pub(crate) fn is_down(&self, host: &str) -> bool {
        let text = self
            .path(host)
            .and_then(|path| std::fs::read_to_string(path).ok());
        let until = text
            .as_deref()
            .and_then(|t| t.lines().next()?.parse::<u64>().ok());
        // A clock that was set back does not keep a host out for long.
        until.is_some_and(|until| until > now() && until <= now() + LONGEST.as_secs())
    }

    /// Remembers a failure that is the host's, not the image's.
    pub(crate) fn note(&self, host: &str, error: &Error) {
        let Some(path) = self.path(host).filter(|_| error.is_outage()) else {
            return;
        };
        let rest = error.retry_after().unwrap_or(FAILED).clamp(FAILED, LONGEST);
        let text = format!("{}\n{error}\n", now() + rest.as_secs());
        // Forgetting is no failure: the host is then asked as any other.
        if let Some(dir) = &self.dir {
            let _ = std::fs::create_dir_all(dir);
        }
        let _ = state::record::write_bytes(&path, text.as_bytes(), Durability::Volatile);
    }

    /// The host answered.
    pub(crate) fn clear(&self, host: &str) {
        if let Some(path) = self.path(host) {
            let _ = std::fs::remove_file(path);
        }
    }
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(status: u16, seconds: u64) -> Error {
        Error::Status {
            url: "u".into(),
            status,
            message: String::new(),
            retry_after: Some(Duration::from_secs(seconds)),
        }
    }

    #[test]
    fn outages_are_remembered_for_a_while_and_answers_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let memory = Memory::new(Some(dir.path().join("registries")));
        memory.note("m.local:5000", &status(404, 0));
        assert!(!memory.is_down("m.local:5000"));
        memory.note("m.local:5000", &status(429, 99999));
        memory.note("../x", &status(503, 0));
        assert!(memory.is_down("m.local:5000") && memory.is_down("../x"));
        assert!(!memory.is_down("m.local"));
        let path = memory.path("m.local:5000").unwrap();
        std::fs::write(&path, format!("{}\nold\n", now() - 1)).unwrap();
        assert!(!memory.is_down("m.local:5000"));
        std::fs::write(&path, format!("{}\nfar\n", now() + 999_999)).unwrap();
        assert!(!memory.is_down("m.local:5000"), "a clock that was wrong");
        memory.clear("../x");
        assert!(!memory.is_down("../x"));
        assert!(!Memory::default().is_down("x"));
    }
}
