//! Platforms (`linux/arm64/v8`): reading, the host's own, and which image runs where.
//! Source: OCI image-spec `image-index.md` "platform"; containerd/platforms for normalisation and fall-backs.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Why a text is no platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is an invalid platform: write OS[/ARCH[/VARIANT]], as in linux/arm64/v8")]
pub struct Error(pub String);

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Platform {
    pub architecture: String,
    pub os: String,
    #[serde(rename = "os.version", skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    #[serde(rename = "os.features", skip_serializing_if = "Vec::is_empty")]
    pub os_features: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl Platform {
    pub fn new(os: &str, architecture: &str, variant: Option<&str>) -> Self {
        let mut platform = Self {
            os: os.to_ascii_lowercase(),
            architecture: architecture.to_ascii_lowercase(),
            variant: variant
                .filter(|v| !v.is_empty())
                .map(str::to_ascii_lowercase),
            ..Self::default()
        };
        platform.normalise();
        platform
    }

    /// What this machine runs.
    pub fn host() -> Self {
        Self::new("linux", std::env::consts::ARCH, host_variant())
    }

    fn normalise(&mut self) {
        if self.os == "macos" {
            self.os = "darwin".into();
        }
        let variant = self.variant.as_deref();
        let (architecture, variant) = match (self.architecture.as_str(), variant) {
            ("x86_64" | "x86-64" | "amd64", Some("v1")) => ("amd64", None),
            ("x86_64" | "x86-64" | "amd64", v) => ("amd64", v),
            ("i386" | "i486" | "i586" | "i686" | "x86" | "386", _) => ("386", None),
            ("aarch64" | "arm64", Some("8" | "v8") | None) => ("arm64", None),
            ("aarch64" | "arm64", v) => ("arm64", v),
            ("armhf", _) => ("arm", Some("v7")),
            ("armel", _) => ("arm", Some("v6")),
            ("arm", None) => ("arm", Some("v7")),
            ("arm", Some("5")) => ("arm", Some("v5")),
            ("arm", Some("6")) => ("arm", Some("v6")),
            ("arm", Some("7")) => ("arm", Some("v7")),
            ("arm", Some("8")) => ("arm", Some("v8")),
            ("powerpc64le", v) => ("ppc64le", v),
            (a, v) => (a, v),
        };
        (self.architecture, self.variant) = (architecture.to_owned(), variant.map(str::to_owned));
    }

    /// How well an image for `offered` runs here: 0 is exact, larger is worse, `None` not at all.
    pub fn rank(&self, offered: &Platform) -> Option<usize> {
        let offered = Platform::new(
            &offered.os,
            &offered.architecture,
            offered.variant.as_deref(),
        );
        self.acceptable().iter().position(|p| {
            p.os == offered.os
                && p.architecture == offered.architecture
                && p.variant == offered.variant
        })
    }

    /// What runs on this platform, best first.
    fn acceptable(&self) -> Vec<Platform> {
        let os = self.os.as_str();
        let arm = |from: u8| {
            (5..=from)
                .rev()
                .map(move |v| Platform::new(os, "arm", Some(&format!("v{v}"))))
        };
        let level = |prefix: char| {
            let variant = self.variant.as_deref().unwrap_or_default();
            variant
                .strip_prefix(prefix)
                .and_then(|v| v.parse::<u8>().ok())
        };
        match self.architecture.as_str() {
            "arm" => arm(level('v').unwrap_or(7).min(8)).collect(),
            "arm64" => {
                let exact = self.variant.is_some().then(|| self.clone());
                let base = Platform::new(os, "arm64", None);
                exact.into_iter().chain([base]).chain(arm(8)).collect()
            }
            "amd64" => {
                let levels = (2..=level('v').unwrap_or(1).min(9)).rev();
                let mut list: Vec<_> = levels
                    .map(|v| Platform::new(os, "amd64", Some(&format!("v{v}"))))
                    .collect();
                list.push(Platform::new(os, "amd64", None));
                list.push(Platform::new(os, "386", None));
                list
            }
            _ => vec![self.clone()],
        }
    }
}

/// The x86-64 micro-architecture level; nothing where the processor is plain or another one.
fn host_variant() -> Option<&'static str> {
    #[cfg(target_arch = "x86_64")]
    {
        use std::is_x86_feature_detected as has;
        let v2 =
            has!("sse3") && has!("ssse3") && has!("sse4.1") && has!("sse4.2") && has!("popcnt");
        let v3 = v2
            && has!("avx2")
            && has!("bmi1")
            && has!("bmi2")
            && has!("fma")
            && has!("movbe")
            && has!("f16c");
        let v4 = v3
            && has!("avx512f")
            && has!("avx512bw")
            && has!("avx512cd")
            && has!("avx512dq")
            && has!("avx512vl");
        match (v2, v3, v4) {
            (_, _, true) => Some("v4"),
            (_, true, _) => Some("v3"),
            (true, ..) => Some("v2"),
            _ => None,
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    None
}

impl FromStr for Platform {
    type Err = Error;

    /// `os/arch[/variant]`, or one word: an operating system if it is one, else an architecture.
    fn from_str(text: &str) -> Result<Self, Error> {
        let parts: Vec<&str> = text.split('/').collect();
        let word = |p: &&str| {
            !p.is_empty()
                && p.bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
        };
        if !parts.iter().all(word) {
            return Err(Error(text.into()));
        }
        let host = Self::host();
        match parts[..] {
            [os @ ("linux" | "windows" | "darwin" | "freebsd")] => Ok(Self {
                os: os.into(),
                ..Self::new(os, &host.architecture, host.variant.as_deref())
            }),
            [architecture] => Ok(Self::new("linux", architecture, None)),
            [os, architecture] => Ok(Self::new(os, architecture, None)),
            [os, architecture, variant] => Ok(Self::new(os, architecture, Some(variant))),
            _ => Err(Error(text.into())),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rank(host: &str, image: &str) -> Option<usize> {
        host.parse::<Platform>()
            .unwrap()
            .rank(&image.parse().unwrap())
    }

    #[test]
    fn names_of_one_thing_are_one() {
        for (text, canonical) in [
            ("linux/x86_64", "linux/amd64"),
            ("linux/aarch64", "linux/arm64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/arm", "linux/arm/v7"),
            ("linux/armhf", "linux/arm/v7"),
            ("linux/arm/6", "linux/arm/v6"),
            ("arm64", "linux/arm64"),
            ("Linux/AMD64", "linux/amd64"),
        ] {
            assert_eq!(
                text.parse::<Platform>().unwrap().to_string(),
                canonical,
                "{text}"
            );
        }
        for bad in ["", "/", "linux/", "a/b/c/d", "linux/am d64"] {
            assert!(bad.parse::<Platform>().is_err(), "{bad}");
        }
    }

    #[test]
    fn older_variants_run_on_newer_ones_and_not_the_other_way() {
        assert_eq!(rank("linux/amd64/v3", "linux/amd64/v3"), Some(0));
        assert_eq!(rank("linux/amd64/v3", "linux/amd64/v2"), Some(1));
        assert_eq!(rank("linux/amd64/v3", "linux/amd64"), Some(2));
        assert_eq!(rank("linux/amd64", "linux/amd64/v2"), None);
        assert_eq!(rank("linux/arm/v7", "linux/arm/v5"), Some(2));
        assert_eq!(rank("linux/arm/v6", "linux/arm/v7"), None);
        assert_eq!(rank("linux/arm64", "linux/arm64/v8"), Some(0));
        assert!(rank("linux/arm64", "linux/arm/v7").is_some());
        assert_eq!(rank("linux/riscv64", "linux/riscv64"), Some(0));
        assert_eq!(rank("linux/amd64", "windows/amd64"), None);
    }

    #[test]
    fn the_host_runs_its_own_architecture() {
        let host = Platform::host();
        assert_eq!(host.rank(&host), Some(0));
        assert!(
            host.rank(&Platform::new("linux", std::env::consts::ARCH, None))
                .is_some()
        );
    }
}
