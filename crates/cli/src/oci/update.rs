//! `update`: limits by flags, or all of them by a file.

use super::argv::{Flag, Given, value};
use super::{Call, Verb, at_most, usage};
use crate::failure::{Failure, Outcome};
use oci_spec::runtime::{LinuxIntelRdt, LinuxResources};
use serde_json::{Map, Value, json};
use std::io::Read;
use std::path::Path;

const FLAGS: &[Flag] = &[
    value("resources").or('r'),
    value("blkio-weight"),
    value("cpu-period"),
    value("cpu-quota"),
    value("cpu-burst"),
    value("cpu-rt-period"),
    value("cpu-rt-runtime"),
    value("cpu-share"),
    value("cpu-shares"),
    value("cpu-idle"),
    value("cpuset-cpus"),
    value("cpuset-mems"),
    value("memory"),
    value("memory-reservation"),
    value("memory-swap"),
    value("kernel-memory"),
    value("kernel-memory-tcp"),
    value("pids-limit"),
    value("l3-cache-schema"),
    value("mem-bw-schema"),
];

pub(super) const UPDATE: Verb = Verb {
    name: "update",
    usage: "CONTAINER",
    flags: FLAGS,
    words: usize::MAX,
    run: update,
};

/// Flag, group and member of `linux.resources`.
const NUMBERS: [(&str, &str, &str); 9] = [
    ("blkio-weight", "blockIO", "weight"),
    ("cpu-period", "cpu", "period"),
    ("cpu-quota", "cpu", "quota"),
    ("cpu-burst", "cpu", "burst"),
    ("cpu-rt-period", "cpu", "realtimePeriod"),
    ("cpu-rt-runtime", "cpu", "realtimeRuntime"),
    ("cpu-share", "cpu", "shares"),
    ("cpu-shares", "cpu", "shares"),
    ("pids-limit", "pids", "limit"),
];

const TEXTS: [(&str, &str, &str); 2] = [
    ("cpuset-cpus", "cpu", "cpus"),
    ("cpuset-mems", "cpu", "mems"),
];

const SIZES: [(&str, &str); 5] = [
    ("memory", "limit"),
    ("memory-reservation", "reservation"),
    ("memory-swap", "swap"),
    ("kernel-memory", "kernel"),
    ("kernel-memory-tcp", "kernelTCP"),
];

fn update(call: &Call<'_>, given: &Given) -> Outcome {
    at_most(given, 1)?;
    let container = call.container(given)?;
    let resources = match given.path("resources") {
        Some(path) => from_file(&path)?,
        None => from_flags(given)?,
    };
    let mut class = LinuxIntelRdt::default();
    let text = |flag| given.text(flag).map(str::to_owned);
    class.set_l3_cache_schema(text("l3-cache-schema"));
    class.set_mem_bw_schema(text("mem-bw-schema"));
    bundle::update::update(&container, &resources, &class)?;
    Ok(0)
}

fn from_file(path: &Path) -> Result<LinuxResources, Failure> {
    let read = || match path.to_str() {
        Some("-") => {
            let mut text = Vec::new();
            std::io::stdin().read_to_end(&mut text).map(|_| text)
        }
        _ => std::fs::read(path),
    };
    let text = read().map_err(Failure::system(format!("read {}", path.display())))?;
    parse(serde_json::from_slice(&text))
}

fn parse(read: serde_json::Result<LinuxResources>) -> Result<LinuxResources, Failure> {
    read.map_err(|e| Failure::said(format!("cannot read the resources: {e}")))
}

fn from_flags(given: &Given) -> Result<LinuxResources, Failure> {
    let mut groups: Map<String, Value> = Map::new();
    let mut set = |group: &str, member: &str, value: Value| {
        let group = groups.entry(group).or_insert_with(|| json!({}));
        group[member] = value;
    };
    for (flag, group, member) in NUMBERS {
        if let Some(number) = given.number::<i64>(flag).map_err(usage)? {
            set(group, member, json!(number));
        }
    }
    if let Some(idle) = given.number::<i64>("cpu-idle").map_err(usage)? {
        set("cpu", "idle", json!(idle));
    }
    for (flag, group, member) in TEXTS {
        if let Some(text) = given.text(flag).filter(|text| !text.is_empty()) {
            set(group, member, json!(text));
        }
    }
    for (flag, member) in SIZES {
        if let Some(text) = given.text(flag) {
            set("memory", member, json!(bytes(flag, text)?));
        }
    }
    parse(serde_json::from_value(groups.into()))
}

/// `512m`, plain bytes, or -1 for no limit.
fn bytes(flag: &str, text: &str) -> Result<i64, Failure> {
    model::size::parse_or_unlimited(text).map_err(|_| {
        usage(format!(
            "invalid value {text:?} for --{flag}: a size is needed"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsString;

    fn resources(line: &str) -> Result<LinuxResources, Failure> {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        from_flags(&super::super::argv::read(&words, &[FLAGS], usize::MAX).unwrap())
    }

    #[test]
    fn flags_are_the_specs_resources() {
        let read = resources(
            "--memory 64m --memory-swap -1 --cpu-share 512 --cpuset-cpus 0-1 --pids-limit 7 id",
        )
        .unwrap();
        let memory = read.memory().as_ref().unwrap();
        assert_eq!((memory.limit(), memory.swap()), (Some(64 << 20), Some(-1)));
        let cpu = read.cpu().as_ref().unwrap();
        assert_eq!(cpu.shares(), Some(512));
        assert_eq!(cpu.cpus().as_deref(), Some("0-1"));
        assert!(cpu.quota().is_none());
        assert!(resources("--memory lots").is_err());
        assert!(resources("--cpu-share -5").is_err());
    }
}
