//! Where errors go: standard error, and the file of `--log` in the form that podman and containerd read.
//!
//! ```text
//! text   time="2025-01-31T12:00:00Z" level=error msg="container \"x\" does not exist"
//! json   {"level":"error","msg":"container \"x\" does not exist","time":"2025-01-31T12:00:00Z"}
//! ```

use crate::failure::Failure;
use crate::output;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Format {
    #[default]
    Text,
    Json,
}

#[derive(Debug, Default)]
pub(super) struct Log {
    file: Option<File>,
    format: Format,
    debug: bool,
}

impl Log {
    pub(super) fn open(path: Option<&Path>, format: Format, debug: bool) -> Result<Self, Failure> {
        let open = |path: &Path| {
            OpenOptions::new()
                .append(true)
                .create(true)
                .mode(0o644)
                .open(path)
                .map_err(Failure::system(format!("open the log {}", path.display())))
        };
        Ok(Self {
            file: path.map(open).transpose()?,
            format,
            debug,
        })
    }

    pub(super) fn failure(&self, failure: &Failure) {
        if matches!(failure, Failure::Silent(_)) {
            return;
        }
        let message = failure.chain();
        if self.debug {
            self.write("debug", &format!("{failure:?}"));
        }
        self.write("error", &message);
        // The word is what callers look for who read no log.
        output::note(format_args!("Error: {message}"));
    }

    pub(super) fn warn(&self, message: impl std::fmt::Display) {
        match &self.file {
            Some(_) => self.write("warning", &message.to_string()),
            None => output::warn(message),
        }
    }

    fn write(&self, level: &str, message: &str) {
        let Some(mut file) = self.file.as_ref() else {
            return;
        };
        let time = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ");
        let line = match self.format {
            Format::Text => format!("time=\"{time}\" level={level} msg={message:?}\n"),
            Format::Json => {
                let message = serde_json::Value::from(message);
                format!("{{\"level\":\"{level}\",\"msg\":{message},\"time\":\"{time}\"}}\n")
            }
        };
        // Whoever reads the log has standard error too.
        let _ = file.write_all(line.as_bytes());
    }
}
