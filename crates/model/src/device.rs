//! Host devices handed to a container (`--device`, `--gpus`).

use crate::{ParseError, csv};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// `--device HOST[:CONTAINER[:rwm]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceMapping {
    pub host: String,
    pub container: String,
    /// Some of `r`, `w`, `m`.
    pub permissions: String,
}

/// `--gpus` and Compose's device reservations.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeviceRequest {
    pub driver: String,
    /// -1: all.
    pub count: i64,
    pub device_ids: Vec<String>,
    pub capabilities: Vec<Vec<String>>,
    pub options: BTreeMap<String, String>,
}

impl FromStr for DeviceMapping {
    type Err = ParseError;

    /// `HOST[:CONTAINER[:rwm]]`; `HOST:rw` gives permissions alone, as in Docker.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fail = |cause: &str| ParseError::new("device specification", text, cause);
        let parts: Vec<&str> = text.split(':').collect();
        let (host, container, permissions) = match parts[..] {
            [host] => (host, host, "rwm"),
            [host, mode] if is_permissions(mode) => (host, host, mode),
            [host, container] => (host, container, "rwm"),
            [host, container, mode] if is_permissions(mode) => (host, container, mode),
            [_, _, _] => return Err(fail("invalid mode: permissions are some of r, w and m")),
            _ => return Err(fail("write it as /dev/host[:/dev/container[:rwm]]")),
        };
        if !host.starts_with('/') || !container.starts_with('/') {
            return Err(fail("device paths are absolute, as in /dev/snd"));
        }
        Ok(Self {
            host: host.to_owned(),
            container: container.to_owned(),
            permissions: permissions.to_owned(),
        })
    }
}

impl fmt::Display for DeviceMapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.host, self.container, self.permissions)
    }
}

/// Some of `r`, `w`, `m`, none twice.
pub fn is_permissions(text: &str) -> bool {
    let bytes = text.as_bytes();
    !bytes.is_empty()
        && bytes.iter().all(|b| b"rwm".contains(b))
        && bytes
            .iter()
            .enumerate()
            .all(|(at, b)| !bytes[..at].contains(b))
}

/// The driver of a [`DeviceRequest`] whose ids are CDI names, as in Docker's API.
pub const CDI_DRIVER: &str = "cdi";

impl DeviceRequest {
    /// Devices by their CDI names, as `--device vendor.com/class=name` asks for them.
    pub fn cdi(names: Vec<String>) -> Self {
        Self {
            driver: CDI_DRIVER.to_owned(),
            device_ids: names,
            ..Self::default()
        }
    }
}

/// A CDI name in its parts: `vendor.com/class=name`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CdiName<'a> {
    pub vendor: &'a str,
    pub class: &'a str,
    pub device: &'a str,
}

impl<'a> CdiName<'a> {
    /// Source: CDI specification, "Qualified device names".
    pub fn parse(text: &'a str) -> Option<Self> {
        let (kind, device) = text.split_once('=')?;
        let (vendor, class) = kind.split_once('/')?;
        let whole = is_cdi_word(vendor) && is_cdi_word(class) && is_cdi_device(device);
        whole.then_some(Self {
            vendor,
            class,
            device,
        })
    }
}

/// A vendor or a class: a letter first, a letter or digit last, between them also `_`, `-` and `.`.
pub fn is_cdi_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && !text.contains(':')
        && is_cdi_device(text)
}

/// The name of a device within its kind: as [`is_cdi_word`], but digits may begin it and `:` may be in it.
pub fn is_cdi_device(text: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_alphanumeric();
    text.starts_with(alphanumeric)
        && text.ends_with(alphanumeric)
        && text.chars().all(|c| alphanumeric(c) || "_-.:".contains(c))
}

/// Whether a `--device` value is a CDI name (`vendor.com/class=name`) and not a path.
pub fn is_cdi_name(text: &str) -> bool {
    CdiName::parse(text).is_some()
}

/// Reads `--gpus`: `all`, a number, or `device=…,driver=…,count=…,"capabilities=a,b",options=…`.
pub fn parse_gpus(text: &str) -> Result<DeviceRequest, ParseError> {
    let fail = |cause: String| ParseError::new("gpus request", text, cause);
    let mut request = DeviceRequest {
        count: 1,
        ..DeviceRequest::default()
    };
    let mut count = None;
    let mut gpu = vec!["gpu".to_owned()];
    for field in csv::fields(text).map_err(|cause| fail(cause.into()))? {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key, value),
            None => ("count", field.as_str()),
        };
        match key {
            "driver" => request.driver = value.to_owned(),
            "count" if value == "all" => count = Some(-1),
            "count" => {
                let number = value.parse().ok().filter(|n| *n >= 0);
                count = Some(number.ok_or_else(|| {
                    fail(format!("count ({value:?}) must be \"all\" or an integer"))
                })?);
            }
            "device" => request.device_ids = value.split(',').map(str::to_owned).collect(),
            "capabilities" => {
                gpu.extend(value.split(',').filter(|c| *c != "gpu").map(str::to_owned))
            }
            "options" => request.options.extend(
                value
                    .split(',')
                    .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                    .map(|(k, v)| (k.into(), v.into())),
            ),
            _ => {
                return Err(fail(format!(
                    "unexpected key {key:?}; known are device, driver, count, capabilities, options"
                )));
            }
        }
    }
    if count.is_some() && !request.device_ids.is_empty() {
        return Err(fail("count and device cannot both be given".into()));
    }
    request.count = match (count, request.device_ids.is_empty()) {
        (Some(count), _) => count,
        (None, true) => 1,
        (None, false) => 0,
    };
    request.capabilities = vec![gpu];
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings() {
        let full: DeviceMapping = "/dev/sda:/dev/xvda:rw".parse().unwrap();
        assert_eq!(
            (
                full.host.as_str(),
                full.container.as_str(),
                full.permissions.as_str()
            ),
            ("/dev/sda", "/dev/xvda", "rw")
        );
        assert_eq!(
            "/dev/snd".parse::<DeviceMapping>().unwrap().to_string(),
            "/dev/snd:/dev/snd:rwm"
        );
        assert_eq!(
            "/dev/snd:r".parse::<DeviceMapping>().unwrap().to_string(),
            "/dev/snd:/dev/snd:r"
        );
        for text in [
            "",
            "snd",
            "/dev/a:b:rw",
            "/dev/a:/dev/b:x",
            "/dev/a:/dev/b:rr",
            "/a:/b:rw:z",
        ] {
            assert!(text.parse::<DeviceMapping>().is_err(), "{text}");
        }
    }

    #[test]
    fn cdi_names_are_no_paths() {
        assert!(is_cdi_name("nvidia.com/gpu=all"));
        assert!(!is_cdi_name("/dev/sda"));
        assert!(!is_cdi_name("/dev/a=b"));
        assert!(!is_cdi_name("gpu=0"));
        assert!(!is_cdi_name("vendor/class="));
        assert!(!is_cdi_name("0vendor/class=0"));
        assert!(!is_cdi_name("vendor/cl:ass=0"));
        assert!(is_cdi_name("vendor.com/class-1=GPU-0:1"));
    }

    #[test]
    fn gpus() {
        assert_eq!(parse_gpus("all").unwrap().count, -1);
        assert_eq!(parse_gpus("2").unwrap().count, 2);
        assert_eq!(parse_gpus("all").unwrap().capabilities, [["gpu"]]);
        let two = parse_gpus("\"device=0,GPU-1\",driver=nvidia").unwrap();
        assert_eq!(
            (two.device_ids, two.driver.as_str(), two.count),
            (vec!["0".into(), "GPU-1".into()], "nvidia", 0)
        );
        let caps = parse_gpus("all,\"capabilities=compute,utility\"").unwrap();
        assert_eq!(caps.capabilities, [["gpu", "compute", "utility"]]);
        assert!(parse_gpus("some").is_err());
        assert!(parse_gpus("count=1,device=0").is_err());
        assert!(parse_gpus("kind=x").is_err());
    }
}
