//! The counts of the unified hierarchy, in v1's words where the shape is v1's.
//!
//! Source: kernel `cgroup-v2.rst`, `accounting/psi.rst`.

use super::{BlkioEntry, Hugetlb, Memory, Pressure, Report, Stall, fields, limit, number, rdma};
use std::os::fd::BorrowedFd;
use sys::cgroupfs;

pub(super) fn read(fd: BorrowedFd<'_>, report: &mut Report) {
    cpu(fd, report);
    report.memory = memory(fd);
    report.pids.current = number(fd, "pids.current");
    report.pids.limit = number(fd, "pids.max");
    let io = text(fd, "io.stat");
    report.blkio.io_service_bytes_recursive = io_entries(
        &io,
        [
            ("rbytes", "Read"),
            ("wbytes", "Write"),
            ("dbytes", "Discard"),
        ],
    );
    report.blkio.io_serviced_recursive = io_entries(
        &io,
        [("rios", "Read"), ("wios", "Write"), ("dios", "Discard")],
    );
    report.blkio.psi = pressure(&text(fd, "io.pressure"));
    hugetlb(fd, report);
    report.rdma = rdma(&text(fd, "rdma.current"));
}

fn text(fd: BorrowedFd<'_>, file: &str) -> String {
    cgroupfs::read(fd, file).unwrap_or_default()
}

fn cpu(fd: BorrowedFd<'_>, report: &mut Report) {
    let stat = text(fd, "cpu.stat");
    let field = |key| cgroupfs::field(&stat, key).unwrap_or(0);
    let cpu = &mut report.cpu;
    cpu.usage.total = field("usage_usec") * 1000;
    cpu.usage.user = field("user_usec") * 1000;
    cpu.usage.kernel = field("system_usec") * 1000;
    cpu.throttling.periods = field("nr_periods");
    cpu.throttling.throttled_periods = field("nr_throttled");
    cpu.throttling.throttled_time = field("throttled_usec") * 1000;
    cpu.psi = pressure(&text(fd, "cpu.pressure"));
}

fn memory(fd: BorrowedFd<'_>) -> Memory {
    let mut memory = Memory {
        raw: fields(&text(fd, "memory.stat")),
        psi: pressure(&text(fd, "memory.pressure")),
        ..Memory::default()
    };
    memory.cache = memory.raw.get("file").copied().unwrap_or(0);
    let events = text(fd, "memory.events");
    memory.usage.usage = number(fd, "memory.current");
    memory.usage.max = number(fd, "memory.peak");
    memory.usage.limit = limit(fd, "memory.max").unwrap_or(0);
    memory.usage.failcnt = cgroupfs::field(&events, "max").unwrap_or(0);
    // Without swap accounting there is nothing to add to memory.
    if let Some(swap) = limit(fd, "memory.swap.max") {
        memory.swap.usage = memory.usage.usage + number(fd, "memory.swap.current");
        memory.swap.limit = swap.saturating_add(memory.usage.limit);
    }
    memory
}

/// `8:0 rbytes=1 wbytes=2 …`
fn io_entries(text: &str, kinds: [(&str, &str); 3]) -> Vec<BlkioEntry> {
    let mut out = Vec::new();
    for line in text.lines() {
        let Some((device, counts)) = line.split_once(' ') else {
            continue;
        };
        let Some((major, minor)) = device.split_once(':') else {
            continue;
        };
        let (Ok(major), Ok(minor)) = (major.parse(), minor.parse()) else {
            continue;
        };
        for (key, op) in kinds {
            let mut pairs = counts
                .split_whitespace()
                .filter_map(|pair| pair.split_once('='));
            let value = pairs.find(|(name, _)| *name == key);
            out.extend(
                value
                    .and_then(|(_, value)| value.parse().ok())
                    .map(|value| BlkioEntry {
                        major,
                        minor,
                        op: op.to_owned(),
                        value,
                    }),
            );
        }
    }
    out
}

fn hugetlb(fd: BorrowedFd<'_>, report: &mut Report) {
    for size in super::huge_page_sizes() {
        let current = format!("hugetlb.{size}.current");
        let Ok(Some(usage)) = cgroupfs::read_number(fd, &current) else {
            continue;
        };
        let events = text(fd, &format!("hugetlb.{size}.events"));
        let entry = Hugetlb {
            usage,
            max: 0,
            failcnt: cgroupfs::field(&events, "max").unwrap_or(0),
        };
        report.hugetlb.insert(size, entry);
    }
}

/// Two lines, `some avg10=0.00 avg60=0.00 avg300=0.00 total=0` and `full …`.
fn pressure(text: &str) -> Option<Pressure> {
    let mut found = Pressure::default();
    let mut any = false;
    for line in text.lines() {
        let (kind, values) = line.split_once(' ')?;
        let stall = match kind {
            "some" => &mut found.some,
            "full" => &mut found.full,
            _ => continue,
        };
        *stall = self::stall(values)?;
        any = true;
    }
    any.then_some(found)
}

fn stall(values: &str) -> Option<Stall> {
    let mut stall = Stall::default();
    for (key, value) in values
        .split_whitespace()
        .filter_map(|pair| pair.split_once('='))
    {
        match key {
            "avg10" => stall.avg10 = value.parse().ok()?,
            "avg60" => stall.avg60 = value.parse().ok()?,
            "avg300" => stall.avg300 = value.parse().ok()?,
            "total" => stall.total = value.parse().ok()?,
            _ => {}
        }
    }
    Some(stall)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn io_and_pressure() {
        let text = "8:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\n254:16 \nrubbish\n";
        let bytes = io_entries(
            text,
            [
                ("rbytes", "Read"),
                ("wbytes", "Write"),
                ("dbytes", "Discard"),
            ],
        );
        assert_eq!(bytes.len(), 3);
        assert_eq!(
            (bytes[1].major, bytes[1].op.as_str(), bytes[1].value),
            (8, "Write", 20)
        );
        let found = pressure("some avg10=1.50 avg60=0.00 avg300=0.00 total=7\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=3\n").unwrap();
        assert_eq!((found.some.avg10, found.full.total), (1.5, 3));
        assert_eq!(pressure(""), None);
        assert_eq!(pressure("some avg10=x\n"), None);
    }
}
