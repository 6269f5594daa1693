//! The counts of v1's controllers.
//!
//! Source: kernel `cgroup-v1/{cpuacct,cpusets,memory,blkio-controller,hugetlb,pids}.rst`.

use super::{BlkioEntry, Hugetlb, MemoryEntry, Report, fields, number, rdma};
use std::os::fd::BorrowedFd;
use sys::cgroupfs;

pub(super) fn read(fd: BorrowedFd<'_>, controller: &str, report: &mut Report) {
    match controller {
        "cpuacct" => cpuacct(fd, report),
        "cpu" => cpu(fd, report),
        "cpuset" => cpuset(fd, report),
        "memory" => memory(fd, report),
        "pids" => {
            report.pids.current = number(fd, "pids.current");
            report.pids.limit = number(fd, "pids.max");
        }
        "blkio" => blkio(fd, report),
        "hugetlb" => hugetlb(fd, report),
        "rdma" => report.rdma = rdma(&text(fd, "rdma.current")),
        _ => {}
    }
}

fn text(fd: BorrowedFd<'_>, file: &str) -> String {
    cgroupfs::read(fd, file).unwrap_or_default()
}

fn cpuacct(fd: BorrowedFd<'_>, report: &mut Report) {
    let usage = &mut report.cpu.usage;
    usage.total = number(fd, "cpuacct.usage");
    usage.user = number(fd, "cpuacct.usage_user");
    usage.kernel = number(fd, "cpuacct.usage_sys");
    let words = text(fd, "cpuacct.usage_percpu");
    usage.percpu = words
        .split_whitespace()
        .filter_map(|n| n.parse().ok())
        .collect();
    // "cpu user system", then a line for each CPU.
    for line in text(fd, "cpuacct.usage_all").lines().skip(1) {
        let numbers: Vec<u64> = line
            .split_whitespace()
            .filter_map(|n| n.parse().ok())
            .collect();
        if let [_, user, kernel] = numbers[..] {
            usage.percpu_user.push(user);
            usage.percpu_kernel.push(kernel);
        }
    }
}

fn cpu(fd: BorrowedFd<'_>, report: &mut Report) {
    let stat = text(fd, "cpu.stat");
    let field = |key| cgroupfs::field(&stat, key).unwrap_or(0);
    let throttling = &mut report.cpu.throttling;
    throttling.periods = field("nr_periods");
    throttling.throttled_periods = field("nr_throttled");
    throttling.throttled_time = field("throttled_time");
}

fn cpuset(fd: BorrowedFd<'_>, report: &mut Report) {
    let set = &mut report.cpuset;
    set.cpus = list(&text(fd, "cpuset.cpus"));
    set.mems = list(&text(fd, "cpuset.mems"));
    set.cpu_exclusive = number(fd, "cpuset.cpu_exclusive");
    set.mem_hardwall = number(fd, "cpuset.mem_hardwall");
    set.mem_exclusive = number(fd, "cpuset.mem_exclusive");
    set.memory_migrate = number(fd, "cpuset.memory_migrate");
    set.memory_spread_page = number(fd, "cpuset.memory_spread_page");
    set.memory_spread_slab = number(fd, "cpuset.memory_spread_slab");
    set.memory_pressure = number(fd, "cpuset.memory_pressure");
    set.sched_load_balance = number(fd, "cpuset.sched_load_balance");
    let level = text(fd, "cpuset.sched_relax_domain_level");
    set.sched_relax_domain_level = level.trim().parse().unwrap_or(0);
}

/// `0-2,5`
fn list(text: &str) -> Vec<u16> {
    let range = |part: &str| -> Option<std::ops::RangeInclusive<u16>> {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse().ok()?..=last.parse().ok()?)
    };
    text.trim().split(',').filter_map(range).flatten().collect()
}

fn memory(fd: BorrowedFd<'_>, report: &mut Report) {
    let entry = |kind: &str| MemoryEntry {
        limit: number(fd, &format!("memory.{kind}limit_in_bytes")),
        usage: number(fd, &format!("memory.{kind}usage_in_bytes")),
        max: number(fd, &format!("memory.{kind}max_usage_in_bytes")),
        failcnt: number(fd, &format!("memory.{kind}failcnt")),
    };
    let memory = &mut report.memory;
    memory.raw = fields(&text(fd, "memory.stat"));
    memory.cache = memory.raw.get("cache").copied().unwrap_or(0);
    memory.usage = entry("");
    memory.swap = entry("memsw.");
    memory.kernel = entry("kmem.");
    memory.kernel_tcp = entry("kmem.tcp.");
}

fn blkio(fd: BorrowedFd<'_>, report: &mut Report) {
    // BFQ counts what it schedules; without it the throttle counts everything.
    let entries = |what: &str| {
        let scheduled = lines(&text(fd, &format!("blkio.bfq.{what}_recursive")));
        match scheduled.is_empty() {
            true => lines(&text(fd, &format!("blkio.throttle.{what}_recursive"))),
            false => scheduled,
        }
    };
    report.blkio.io_service_bytes_recursive = entries("io_service_bytes");
    report.blkio.io_serviced_recursive = entries("io_serviced");
}

/// `8:0 Read 4096`; the sum over all devices has no device.
fn lines(text: &str) -> Vec<BlkioEntry> {
    let entry = |line: &str| {
        let mut words = line.split_whitespace();
        let (major, minor) = words.next()?.split_once(':')?;
        Some(BlkioEntry {
            major: major.parse().ok()?,
            minor: minor.parse().ok()?,
            op: words.next()?.to_owned(),
            value: words.next()?.parse().ok()?,
        })
    };
    text.lines().filter_map(entry).collect()
}

fn hugetlb(fd: BorrowedFd<'_>, report: &mut Report) {
    for size in super::huge_page_sizes() {
        let entry = Hugetlb {
            usage: number(fd, &format!("hugetlb.{size}.usage_in_bytes")),
            max: number(fd, &format!("hugetlb.{size}.max_usage_in_bytes")),
            failcnt: number(fd, &format!("hugetlb.{size}.failcnt")),
        };
        report.hugetlb.insert(size, entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_lines() {
        assert_eq!(list("0-2,5\n"), [0, 1, 2, 5]);
        assert_eq!(list("\n"), [0_u16; 0]);
        let found = lines("8:0 Read 4096\n8:0 Total 4096\nTotal 4096\n");
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].op.as_str(), found[0].value), ("Read", 4096));
    }
}
