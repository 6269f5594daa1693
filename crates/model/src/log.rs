//! Where a container's output goes (`--log-driver`, `--log-opt`).

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogConfig {
    pub driver: LogDriver,
    /// `max-size`, `max-file`, …, as given.
    pub options: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogDriver {
    /// Compact frames, rotated.
    #[default]
    Local,
    /// Docker's JSON lines.
    JsonFile,
    None,
}
