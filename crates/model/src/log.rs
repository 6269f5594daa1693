//! Where a container's output goes (`--log-driver`, `--log-opt`).

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

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

impl FromStr for LogDriver {
    type Err = UnknownLogDriver;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "" | "local" => Self::Local,
            "json-file" => Self::JsonFile,
            "none" => Self::None,
            _ => {
                return Err(UnknownLogDriver {
                    name: text.to_owned(),
                });
            }
        })
    }
}

/// Docker's words for a driver it does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "error looking up logging plugin {name}: plugin \"{name}\" not found (known drivers: local, json-file, none)"
)]
pub struct UnknownLogDriver {
    pub name: String,
}

impl fmt::Display for LogDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Local => "local",
            Self::JsonFile => "json-file",
            Self::None => "none",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drivers() {
        for name in ["local", "json-file", "none"] {
            assert_eq!(name.parse::<LogDriver>().unwrap().to_string(), name);
        }
        let error = "fluentd".parse::<LogDriver>().unwrap_err().to_string();
        assert!(
            error.starts_with(
                "error looking up logging plugin fluentd: plugin \"fluentd\" not found"
            ),
            "{error}"
        );
    }
}
