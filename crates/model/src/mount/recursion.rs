//! What of the mounts below a bind mount's source is seen, and whether `readonly` holds for them.
//!
//! Source: Docker CLI reference (`--mount`, "bind-recursive"); Compose Specification, `volumes.bind.recursive`.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Recursion {
    /// Seen, and read-only with the mount itself.
    #[default]
    Enabled,
    /// Not seen.
    Disabled,
    /// Seen, as writable as they are.
    Writable,
    /// As `Enabled`, and refused where that could not be promised.
    Readonly,
}

impl Recursion {
    pub fn parse(word: &str) -> Result<Self, String> {
        Ok(match word {
            "enabled" => Self::Enabled,
            "disabled" => Self::Disabled,
            "writable" => Self::Writable,
            "readonly" => Self::Readonly,
            _ => {
                return Err(format!(
                    "invalid value for bind-recursive: {word:?}; use enabled, disabled, writable or readonly"
                ));
            }
        })
    }

    /// Refuses what contradicts itself: a read-only tree that is writable, or one into which the host may mount later.
    pub fn check(self, read_only: bool, propagation: Option<&str>) -> Result<(), String> {
        match self {
            Self::Writable if !read_only => {
                Err("recursive: writable says something of read-only mounts only; add readonly or take it out".to_owned())
            }
            Self::Readonly if !read_only => {
                Err("recursive: readonly needs a read-only mount; add readonly".to_owned())
            }
            Self::Readonly if propagation.is_some_and(|word| word != "rprivate") => {
                Err("recursive: readonly needs the propagation rprivate: what the host mounts later would be writable".to_owned())
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_contradicts_itself_is_refused() {
        assert!(Recursion::parse("sometimes").is_err());
        let refused = |word: &str, read_only, propagation| {
            Recursion::parse(word)
                .unwrap()
                .check(read_only, propagation)
                .is_err()
        };
        assert!(refused("writable", false, None));
        assert!(refused("readonly", false, None));
        assert!(refused("readonly", true, Some("rslave")));
        assert!(!refused("readonly", true, Some("rprivate")));
        assert!(!refused("writable", true, Some("rslave")));
        assert!(!refused("enabled", false, None));
        assert!(!refused("disabled", false, Some("rshared")));
    }
}
