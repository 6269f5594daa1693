//! Limits as properties of a unit, so that systemd does not undo them when it writes a group's files anew.
//!
//! The files are written by us too, after the unit is there: a property is coarser (CPU time in hundredths) and some limits have none.
//! Source: systemd.resource-control(5), org.freedesktop.systemd1(5).

use super::wire::Value;
use crate::cgroup::devices::{Exception, List, Target};
use crate::cgroup::v2;
use oci_spec::runtime::{LinuxCpu, LinuxMemory, LinuxResources};

pub(super) type Property = (&'static str, Value);

/// In systemd's words for no limit.
const INFINITY: u64 = u64::MAX;

/// The largest number of a CPU or memory node that is believed.
const MOST_CPUS: usize = 8192;

pub(super) fn of_limits(resources: &LinuxResources) -> Vec<Property> {
    let mut out = Vec::new();
    if let Some(memory) = resources.memory() {
        of_memory(memory, &mut out);
    }
    if let Some(cpu) = resources.cpu() {
        of_cpu(cpu, &mut out);
    }
    if let Some(pids) = resources.pids() {
        let limit = u64::try_from(pids.limit()).ok().filter(|limit| *limit > 0);
        out.push(("TasksMax", Value::U64(limit.unwrap_or(INFINITY))));
    }
    let weight = resources.block_io().as_ref().and_then(|io| io.weight());
    if let Some(weight) = weight.filter(|weight| *weight != 0) {
        out.push(("IOWeight", Value::U64(v2::io_weight(weight))));
    }
    let mut unified: Vec<_> = resources.unified().iter().flatten().collect();
    unified.sort_unstable();
    out.extend(
        unified
            .into_iter()
            .filter_map(|(key, value)| of_file(key, value.trim())),
    );
    out
}

fn bytes(value: i64) -> Value {
    Value::U64(u64::try_from(value).unwrap_or(INFINITY))
}

fn of_memory(memory: &LinuxMemory, out: &mut Vec<Property>) {
    let set = |value: Option<i64>| value.filter(|value| *value != 0);
    out.extend(set(memory.limit()).map(|limit| ("MemoryMax", bytes(limit))));
    out.extend(set(memory.reservation()).map(|low| ("MemoryLow", bytes(low))));
    // Together with memory in OCI's words, alone in systemd's.
    let swap = match (memory.limit(), memory.swap()) {
        (_, Some(-1)) | (Some(-1), None | Some(0)) => Some(-1),
        (Some(limit), Some(swap)) if limit > 0 && swap >= limit => Some(swap - limit),
        _ => None,
    };
    out.extend(swap.map(|swap| ("MemorySwapMax", bytes(swap))));
}

fn of_cpu(cpu: &LinuxCpu, out: &mut Vec<Property>) {
    let shares = cpu.shares().filter(|shares| *shares != 0);
    match (cpu.idle(), shares) {
        // A weight of zero is how systemd says idle.
        (Some(1), _) => out.push(("CPUWeight", Value::U64(0))),
        (_, Some(shares)) => out.push(("CPUWeight", Value::U64(v2::weight_of_shares(shares)))),
        _ => {}
    }
    let period = cpu.period().filter(|period| *period != 0);
    out.extend(period.map(|period| ("CPUQuotaPeriodUSec", Value::U64(period))));
    if let Some(quota) = cpu.quota().filter(|quota| *quota != 0) {
        out.push(("CPUQuotaPerSecUSec", Value::U64(per_second(quota, period))));
    }
    let sets = [
        ("AllowedCPUs", cpu.cpus()),
        ("AllowedMemoryNodes", cpu.mems()),
    ];
    for (name, set) in sets {
        let bits = set.as_deref().and_then(bits);
        out.extend(bits.map(|bits| (name, Value::Bytes(bits))));
    }
}

/// Microseconds of CPU in a second, in steps of a hundredth: rounded up, so that the group's own file can have the exact value.
fn per_second(quota: i64, period: Option<u64>) -> u64 {
    let Ok(quota) = u64::try_from(quota) else {
        return INFINITY;
    };
    let period = period.unwrap_or(100_000);
    let exact = u128::from(quota) * 1_000_000 / u128::from(period);
    u64::try_from(exact.next_multiple_of(10_000)).unwrap_or(INFINITY)
}

/// `0-2,5` as a bit for each number, the lowest in the first byte.
fn bits(set: &str) -> Option<Vec<u8>> {
    let mut bits = Vec::new();
    for part in set.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        if first > last || last >= MOST_CPUS {
            return None;
        }
        bits.resize(bits.len().max(last / 8 + 1), 0_u8);
        (first..=last).for_each(|number| bits[number / 8] |= 1 << (number % 8));
    }
    Some(bits)
}

/// Files of v2 that systemd has a property of the same meaning for.
fn of_file(file: &str, value: &str) -> Option<Property> {
    let name = match file {
        "memory.min" => "MemoryMin",
        "memory.low" => "MemoryLow",
        "memory.high" => "MemoryHigh",
        "memory.max" => "MemoryMax",
        "memory.swap.max" => "MemorySwapMax",
        "cpu.weight" => "CPUWeight",
        "pids.max" => "TasksMax",
        "cpuset.cpus" => return bits(value).map(|bits| ("AllowedCPUs", Value::Bytes(bits))),
        "cpuset.mems" => return bits(value).map(|bits| ("AllowedMemoryNodes", Value::Bytes(bits))),
        _ => return None,
    };
    let number = match value {
        "max" => INFINITY,
        number => number.parse().ok()?,
    };
    Some((name, Value::U64(number)))
}

/// What systemd is to allow. Where it has no words for a rule it is to allow everything: our own list or program refuses the rest.
pub(super) fn of_devices(list: &List) -> Vec<Property> {
    let known = std::fs::read_to_string("/proc/devices").unwrap_or_default();
    let named = list
        .exceptions
        .iter()
        .map(|exception| allowed(exception, &known));
    match named.collect::<Option<Vec<_>>>().filter(|_| !list.allows) {
        Some(pairs) => vec![
            ("DevicePolicy", Value::Text("strict".to_owned())),
            ("DeviceAllow", Value::Pairs(pairs)),
        ],
        None => vec![
            ("DevicePolicy", Value::Text("auto".to_owned())),
            ("DeviceAllow", Value::Pairs(Vec::new())),
        ],
    }
}

/// `/dev/char/1:3`, `char-pts` for a whole major, `char-*` for all of them.
fn allowed(exception: &Exception, known: &str) -> Option<(String, String)> {
    let kind = exception.kind_name();
    let node = match exception.target() {
        Target::One(major, minor) => format!("/dev/{kind}/{major}:{minor}"),
        Target::Major(major) => format!("{kind}-{}", driver(known, kind, major)?),
        Target::All => format!("{kind}-*"),
        Target::Minor => return None,
    };
    Some((node, exception.access()))
}

/// The name of a major in /proc/devices.
fn driver<'a>(text: &'a str, kind: &str, major: u32) -> Option<&'a str> {
    let heading = match kind {
        "char" => "Character devices:",
        _ => "Block devices:",
    };
    let lines = text.lines().skip_while(|line| *line != heading).skip(1);
    lines
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.trim().split_once(' '))
        .find(|(number, _)| number.parse() == Ok(major))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_in_systemds_words() {
        let wanted: LinuxResources = serde_json::from_value(serde_json::json!({
            "memory": {"limit": 100, "swap": 150, "reservation": -1},
            "cpu": {"shares": 1024, "quota": 33333, "period": 100000, "cpus": "0-1,9"},
            "pids": {"limit": 0},
            "unified": {"memory.high": "max", "memory.oom.group": "1"},
        }))
        .unwrap();
        let expected = [
            ("MemoryMax", Value::U64(100)),
            ("MemoryLow", Value::U64(INFINITY)),
            ("MemorySwapMax", Value::U64(50)),
            ("CPUWeight", Value::U64(100)),
            ("CPUQuotaPeriodUSec", Value::U64(100_000)),
            ("CPUQuotaPerSecUSec", Value::U64(340_000)),
            ("AllowedCPUs", Value::Bytes(vec![3, 2])),
            ("TasksMax", Value::U64(INFINITY)),
            ("MemoryHigh", Value::U64(INFINITY)),
        ];
        assert_eq!(of_limits(&wanted), expected);
        assert_eq!(bits("5-1"), None);
        assert_eq!(bits("0-99999999"), None);
    }

    #[test]
    fn devices_in_systemds_words() {
        let known = "Character devices:\n  1 mem\n136 pts\n\nBlock devices:\n  8 sd\n";
        let allow = |line: &str| {
            let list = List::parse(line).unwrap();
            allowed(&list.exceptions[0], known)
        };
        let pair = |node: &str, access: &str| Some((node.to_owned(), access.to_owned()));
        assert_eq!(allow("c 1:3 rwm"), pair("/dev/char/1:3", "rwm"));
        assert_eq!(allow("c 136:* rw"), pair("char-pts", "rw"));
        assert_eq!(allow("b *:* m"), pair("block-*", "m"));
        assert_eq!(allow("c 8:* r"), None);
        let everything = List::parse("a *:* rwm").unwrap();
        assert_eq!(of_devices(&everything)[0].1, Value::Text("auto".to_owned()));
    }
}
