//! `--userns`: whose user ids a container has.
//!
//! Source: Docker CLI reference (`--userns host`); podman-run(1) (`--userns auto[:size=N]`).

use crate::ParseError;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The user namespace of a container.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UsernsMode {
    /// Not said: the host's, as Docker without `userns-remap`.
    #[default]
    Default,
    Host,
    /// One of its own, with a range of the host's ids that no other container has.
    Auto {
        /// How many ids; `None`: 65536.
        size: Option<u32>,
    },
}

/// As many ids as a distribution uses: `nobody` is 65534.
pub const DEFAULT_SIZE: u32 = 65536;

impl UsernsMode {
    /// How many ids of the host it takes, when it takes any.
    pub fn range_size(self) -> Option<u32> {
        match self {
            Self::Auto { size } => Some(size.unwrap_or(DEFAULT_SIZE)),
            Self::Default | Self::Host => None,
        }
    }
}

impl FromStr for UsernsMode {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fail = |cause: &str| ParseError::new("user namespace mode", text, cause);
        match text {
            "" => return Ok(Self::Default),
            "host" => return Ok(Self::Host),
            "auto" => return Ok(Self::Auto { size: None }),
            _ => {}
        }
        let options = text
            .strip_prefix("auto:")
            .ok_or_else(|| fail("use host or auto[:size=N]"))?;
        let mut size = None;
        for option in options.split(',') {
            match option.split_once('=') {
                Some(("size", number)) => {
                    let number = number.parse::<u32>().ok().filter(|n| *n > 5);
                    size = Some(number.ok_or_else(|| {
                        fail("size is a number of ids above 5, which is the group of terminals")
                    })?);
                }
                _ => return Err(fail("the only option of auto is size=N")),
            }
        }
        Ok(Self::Auto { size })
    }
}

impl fmt::Display for UsernsMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => Ok(()),
            Self::Host => f.write_str("host"),
            Self::Auto { size: None } => f.write_str("auto"),
            Self::Auto { size: Some(size) } => write!(f, "auto:size={size}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_read_and_shown_as_they_were_given() {
        for text in ["", "host", "auto", "auto:size=1000"] {
            assert_eq!(text.parse::<UsernsMode>().unwrap().to_string(), text);
        }
        assert_eq!(
            "auto".parse::<UsernsMode>().unwrap().range_size(),
            Some(65536)
        );
        assert_eq!(UsernsMode::Host.range_size(), None);
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for text in [
            "private",
            "keep-id",
            "auto:",
            "auto:size=0",
            "auto:size=5",
            "auto:size=-1",
            "auto:size=99999999999",
            "auto:colour=red",
            "container:x",
        ] {
            assert!(text.parse::<UsernsMode>().is_err(), "{text}");
        }
    }

    #[test]
    fn records_of_earlier_versions_are_read() {
        for (text, mode) in [
            ("\"default\"", UsernsMode::Default),
            ("\"host\"", UsernsMode::Host),
        ] {
            assert_eq!(serde_json::from_str::<UsernsMode>(text).unwrap(), mode);
        }
    }
}
