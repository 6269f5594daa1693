//! Containers' logs: written by the monitor, read by `logs`.
//!
//! ```text
//! <data>/containers/<id>/logs/
//!   current.log          driver `local`: frames; `json-file`: Docker's JSON lines
//!   current.log.1 …      older, by rotation (`max-size`, `max-file`; 10 MB x 3 unless said otherwise)
//! ```
//!
//! Each file counts on from the one before it (`NUMBER`), so that a follower knows what it did not see.
//!
//! A frame of the driver `local` is what one `read(2)` from the container gave:
//!
//! ```text
//! 0       4        5      8            16
//! ┌───────┬────────┬──────┬────────────┬──────────────┐
//! │ len   │ stream │ 0    │ unix nanos │ len bytes …  │   integers little-endian; stream 1 or 2
//! └───────┴────────┴──────┴────────────┴──────────────┘
//! ```

mod frame;
mod json;
pub mod reader;
#[cfg(test)]
mod tests;
pub mod writer;

use crate::container::record::ContainerRecord;
use crate::context::Context;
use crate::error::{Error, Result};
use model::log::{LogConfig, LogDriver};
use rustix::fs::XattrFlags;
use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

pub use reader::{Line, Query, Reader};
pub use writer::Writer;

/// Which of the two output streams bytes came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stream {
    Stdout,
    Stderr,
}

/// A log configuration with its options read and checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    pub driver: LogDriver,
    /// Bytes per file; `None`: never rotated.
    pub max_size: Option<u64>,
    /// Files kept, the current one included.
    pub max_file: u32,
}

impl Settings {
    /// Reads the options of `--log-opt`; an unknown or malformed one is an error.
    pub fn parse(config: &LogConfig) -> Result<Self> {
        let mut settings = Self {
            driver: config.driver,
            max_size: Some(10_000_000),
            max_file: 3,
        };
        for (key, value) in &config.options {
            let bad = |cause: String| Error::invalid(format!("log option {key}={value}"), cause);
            match key.as_str() {
                "max-size" if value == "-1" => settings.max_size = None,
                "max-size" => {
                    let size = model::size::parse(value).map_err(|e| bad(e.cause))?;
                    settings.max_size = Some(size.max(4096));
                }
                "max-file" => {
                    settings.max_file = value
                        .parse()
                        .ok()
                        .filter(|n| *n > 0)
                        .ok_or_else(|| bad("must be a number of at least 1".into()))?;
                }
                // Told by Docker's drivers how to do what is done anyway, or only labels entries.
                "compress" | "mode" | "max-buffer-size" | "labels" | "labels-regex" | "env"
                | "env-regex" | "tag" => {}
                _ => {
                    return Err(bad(format!(
                        "unknown log opt {key:?}; known are max-size, max-file, mode, compress"
                    )));
                }
            }
        }
        Ok(settings)
    }
}

/// The directory of a container's log files.
pub fn directory(ctx: &Context, container: &ContainerRecord) -> PathBuf {
    ctx.layout.container(container.id.as_str()).join("logs")
}

/// The extended attribute with a log file's number. It is nothing but a help: a file system may have none.
const NUMBER: &str = "trusted.dockless.log";

fn number(file: &File) -> Option<u64> {
    let mut value = [0; 8];
    let length = rustix::fs::fgetxattr(file, NUMBER, &mut value).ok()?;
    (length == value.len()).then(|| u64::from_le_bytes(value))
}

fn set_number(file: &File, number: u64) {
    let flags = XattrFlags::empty();
    let _ = rustix::fs::fsetxattr(file, NUMBER, &number.to_le_bytes(), flags);
}

/// Nobody but root reads what containers say.
fn make_directory(dir: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}
