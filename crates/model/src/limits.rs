//! cgroup limits and resource limits (`--memory`, `--cpus`, `--ulimit`, …).

use crate::ParseError;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Limits of a container's cgroup. Bytes, Docker's units elsewhere.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Resources {
    pub memory: Option<u64>,
    pub memory_reservation: Option<u64>,
    /// Memory plus swap; -1: unlimited swap.
    pub memory_swap: Option<i64>,
    pub memory_swappiness: Option<u64>,
    pub oom_kill_disable: bool,
    /// Billionths of a CPU (`--cpus 1.5` is 1,500,000,000).
    pub nano_cpus: Option<u64>,
    pub cpu_shares: Option<u64>,
    /// Microseconds.
    pub cpu_period: Option<u64>,
    /// Microseconds per period; -1: unlimited.
    pub cpu_quota: Option<i64>,
    pub cpu_rt_period: Option<u64>,
    pub cpu_rt_runtime: Option<i64>,
    pub cpuset_cpus: Option<String>,
    pub cpuset_mems: Option<String>,
    /// -1 or 0: unlimited.
    pub pids_limit: Option<i64>,
    /// 10 to 1000.
    pub blkio_weight: Option<u16>,
    pub blkio_weight_device: Vec<DeviceValue>,
    pub device_read_bps: Vec<DeviceValue>,
    pub device_write_bps: Vec<DeviceValue>,
    pub device_read_iops: Vec<DeviceValue>,
    pub device_write_iops: Vec<DeviceValue>,
}

/// A value for one block device, named by its path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceValue {
    pub path: String,
    pub value: u64,
}

/// `--ulimit name=soft[:hard]`; -1: unlimited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    pub name: String,
    pub soft: i64,
    pub hard: i64,
}

/// The names `--ulimit` takes, as `setrlimit(2)` knows them.
pub const ULIMIT_NAMES: [&str; 16] = [
    "as",
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

impl FromStr for Ulimit {
    type Err = ParseError;

    /// `nofile=1024:2048`; one number sets both; -1 (or `unlimited`) is unlimited.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fail = |cause: String| ParseError::new("ulimit argument", text, cause);
        let (name, values) = text
            .split_once('=')
            .ok_or_else(|| fail("write it as name=soft[:hard], as in nofile=1024:2048".into()))?;
        if !ULIMIT_NAMES.contains(&name) {
            return Err(fail(format!(
                "invalid ulimit type: {name}; known are {}",
                ULIMIT_NAMES.join(", ")
            )));
        }
        let number = |digits: &str| match digits {
            "unlimited" => Ok(-1),
            _ => digits
                .parse::<i64>()
                .ok()
                .filter(|n| *n >= -1)
                .ok_or_else(|| fail(format!("{digits:?} is no number (-1 means unlimited)"))),
        };
        let (soft, hard) = match values.split_once(':') {
            Some((soft, hard)) => (number(soft)?, number(hard)?),
            None => (number(values)?, number(values)?),
        };
        if hard != -1 && (soft == -1 || soft > hard) {
            return Err(fail(format!(
                "ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}"
            )));
        }
        Ok(Self {
            name: name.to_owned(),
            soft,
            hard,
        })
    }
}

impl fmt::Display for Ulimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}:{}", self.name, self.soft, self.hard)
    }
}

impl DeviceValue {
    /// `/dev/sda:1mb`, bytes per second.
    pub fn parse_bytes(text: &str) -> Result<Self, ParseError> {
        Self::split(
            text,
            |value| crate::size::parse(value).ok().filter(|n| *n > 0),
            "/dev/sda:1mb",
        )
    }

    /// `/dev/sda:1000`, operations per second.
    pub fn parse_count(text: &str) -> Result<Self, ParseError> {
        Self::split(text, |value| value.parse().ok(), "/dev/sda:1000")
    }

    /// `/dev/sda:500`, a weight from 10 to 1000 (0: not set).
    pub fn parse_weight(text: &str) -> Result<Self, ParseError> {
        let weight = |value: &str| {
            value
                .parse()
                .ok()
                .filter(|n| *n == 0 || (10..=1000).contains(n))
        };
        Self::split(text, weight, "/dev/sda:500, a weight from 10 to 1000")
    }

    fn split(
        text: &str,
        number: impl Fn(&str) -> Option<u64>,
        example: &str,
    ) -> Result<Self, ParseError> {
        let fail = || {
            ParseError::new(
                "device rate",
                text,
                format!("bad format; write it as {example}"),
            )
        };
        let (path, value) = text.split_once(':').ok_or_else(fail)?;
        if !path.starts_with("/dev/") {
            return Err(ParseError::new(
                "device rate",
                text,
                "bad format for device path: it must begin with /dev/",
            ));
        }
        Ok(Self {
            path: path.to_owned(),
            value: number(value).ok_or_else(fail)?,
        })
    }
}

/// Reads `--cpus`: `1.5` is 1,500,000,000 billionths. Digits below a billionth are refused, as Docker does.
pub fn parse_cpus(text: &str) -> Result<u64, ParseError> {
    let fail = |cause: &str| ParseError::new("number of CPUs", text, cause);
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !digits(whole) || !digits(fraction) {
        return Err(fail("write a number such as 1.5"));
    }
    if fraction.trim_end_matches('0').len() > 9 {
        return Err(fail("value is too precise"));
    }
    let whole: u64 = if whole.is_empty() {
        0
    } else {
        whole.parse().map_err(|_| fail("too many CPUs"))?
    };
    let nanos: u64 = format!("{:0<9}", fraction.trim_end_matches('0'))
        .parse()
        .map_err(|_| fail("value is too precise"))?;
    whole
        .checked_mul(1_000_000_000)
        .and_then(|n| n.checked_add(nanos))
        .ok_or_else(|| fail("too many CPUs"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ulimits() {
        let parsed: Ulimit = "nofile=1024:2048".parse().unwrap();
        assert_eq!((parsed.soft, parsed.hard), (1024, 2048));
        assert_eq!("core=0".parse::<Ulimit>().unwrap().to_string(), "core=0:0");
        assert_eq!("memlock=-1:-1".parse::<Ulimit>().unwrap().hard, -1);
        assert_eq!("stack=5:-1".parse::<Ulimit>().unwrap().soft, 5);
        for text in [
            "nofile",
            "nofile=",
            "nofile=2:1",
            "nofile=-1:5",
            "files=1",
            "nofile=a",
            "nofile=1:2:3",
            "nofile=-2",
        ] {
            assert!(text.parse::<Ulimit>().is_err(), "{text}");
        }
        let error = "nofile=2:1".parse::<Ulimit>().unwrap_err().to_string();
        assert!(
            error.ends_with("ulimit soft limit must be less than or equal to hard limit: 2 > 1"),
            "{error}"
        );
    }

    #[test]
    fn device_values() {
        let rate = DeviceValue::parse_bytes("/dev/sda:1mb").unwrap();
        assert_eq!((rate.path.as_str(), rate.value), ("/dev/sda", 1 << 20));
        assert_eq!(
            DeviceValue::parse_count("/dev/sda:1000").unwrap().value,
            1000
        );
        assert_eq!(
            DeviceValue::parse_weight("/dev/sda:500").unwrap().value,
            500
        );
        assert!(DeviceValue::parse_weight("/dev/sda:5").is_err());
        assert!(DeviceValue::parse_bytes("/dev/sda").is_err());
        assert!(DeviceValue::parse_bytes("sda:1mb").is_err());
        assert!(DeviceValue::parse_count("/dev/sda:1mb").is_err());
    }

    #[test]
    fn cpus() {
        assert_eq!(parse_cpus("1.5"), Ok(1_500_000_000));
        assert_eq!(parse_cpus(".5"), Ok(500_000_000));
        assert_eq!(parse_cpus("2"), Ok(2_000_000_000));
        assert_eq!(parse_cpus("0.000000001"), Ok(1));
        assert_eq!(parse_cpus("0.50000000000"), Ok(500_000_000));
        for text in [
            "",
            ".",
            "-1",
            "1e3",
            "0.0000000001",
            "x",
            "99999999999999999999",
            "1.2.3",
        ] {
            assert!(parse_cpus(text).is_err(), "{text}");
        }
    }
}
