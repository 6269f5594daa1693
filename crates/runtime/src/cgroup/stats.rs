//! What a container uses now.
//!
//! A number the host does not count is zero (or `None` for a limit). Source: kernel `cgroup-v2.rst`, `cgroup-v1/memory.rst`,
//! `cgroup-v1/blkio-controller.rst`; Docker's `docker stats` for what counts as used memory.

use super::Cgroup;
use std::os::fd::BorrowedFd;
use sys::cgroupfs;

/// Bytes, nanoseconds and counts since the container's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    pub cpu_ns: u64,
    pub cpu_user_ns: u64,
    pub cpu_system_ns: u64,
    pub periods: u64,
    pub throttled_periods: u64,
    pub throttled_ns: u64,
    pub memory: u64,
    pub memory_max: u64,
    pub memory_limit: Option<u64>,
    /// Page cache the kernel would give up first: `docker stats` does not count it.
    pub memory_inactive_file: u64,
    pub memory_cache: u64,
    pub memory_rss: u64,
    pub pids: u64,
    pub pids_limit: Option<u64>,
    pub io_read_bytes: u64,
    pub io_write_bytes: u64,
    pub io_read_ops: u64,
    pub io_write_ops: u64,
}

impl Stats {
    /// Memory as `docker stats` shows it.
    pub fn memory_used(&self) -> u64 {
        self.memory.saturating_sub(self.memory_inactive_file)
    }
}

pub(super) fn read(group: &Cgroup) -> Stats {
    use std::os::fd::AsFd;
    let mut stats = Stats::default();
    if let Some(v2) = &group.v2 {
        read_v2(v2.directory.as_fd(), &mut stats);
    }
    let fd = |controller: &str| group.v1_with(controller).map(|v1| v1.directory.as_fd());
    fd("cpuacct").iter().for_each(|fd| cpuacct(*fd, &mut stats));
    fd("cpu").iter().for_each(|fd| cpu_stat(*fd, &mut stats));
    fd("memory")
        .iter()
        .for_each(|fd| memory_v1(*fd, &mut stats));
    fd("pids").iter().for_each(|fd| pids(*fd, &mut stats));
    fd("blkio").iter().for_each(|fd| blkio(*fd, &mut stats));
    stats
}

fn number(fd: BorrowedFd<'_>, file: &str) -> Option<u64> {
    cgroupfs::read_number(fd, file).ok().flatten()
}

fn read_v2(fd: BorrowedFd<'_>, stats: &mut Stats) {
    let cpu = cgroupfs::read(fd, "cpu.stat").unwrap_or_default();
    let micros = |key| cgroupfs::field(&cpu, key).unwrap_or(0) * 1000;
    (stats.cpu_ns, stats.cpu_user_ns, stats.cpu_system_ns) = (
        micros("usage_usec"),
        micros("user_usec"),
        micros("system_usec"),
    );
    stats.throttled_ns = micros("throttled_usec");
    stats.periods = cgroupfs::field(&cpu, "nr_periods").unwrap_or(0);
    stats.throttled_periods = cgroupfs::field(&cpu, "nr_throttled").unwrap_or(0);
    let memory = cgroupfs::read(fd, "memory.stat").unwrap_or_default();
    let field = |key| cgroupfs::field(&memory, key).unwrap_or(0);
    (
        stats.memory_cache,
        stats.memory_rss,
        stats.memory_inactive_file,
    ) = (field("file"), field("anon"), field("inactive_file"));
    stats.memory = number(fd, "memory.current").unwrap_or(0);
    stats.memory_max = number(fd, "memory.peak").unwrap_or(0);
    stats.memory_limit = number(fd, "memory.max");
    pids(fd, stats);
    for line in cgroupfs::read(fd, "io.stat").unwrap_or_default().lines() {
        for (key, value) in line
            .split_whitespace()
            .filter_map(|pair| pair.split_once('='))
        {
            let value: u64 = value.parse().unwrap_or(0);
            match key {
                "rbytes" => stats.io_read_bytes += value,
                "wbytes" => stats.io_write_bytes += value,
                "rios" => stats.io_read_ops += value,
                "wios" => stats.io_write_ops += value,
                _ => {}
            }
        }
    }
}

fn cpuacct(fd: BorrowedFd<'_>, stats: &mut Stats) {
    stats.cpu_ns = number(fd, "cpuacct.usage").unwrap_or(0);
    stats.cpu_user_ns = number(fd, "cpuacct.usage_user").unwrap_or(0);
    stats.cpu_system_ns = number(fd, "cpuacct.usage_sys").unwrap_or(0);
}

fn cpu_stat(fd: BorrowedFd<'_>, stats: &mut Stats) {
    let text = cgroupfs::read(fd, "cpu.stat").unwrap_or_default();
    stats.periods = cgroupfs::field(&text, "nr_periods").unwrap_or(0);
    stats.throttled_periods = cgroupfs::field(&text, "nr_throttled").unwrap_or(0);
    stats.throttled_ns = cgroupfs::field(&text, "throttled_time").unwrap_or(0);
}

/// v1 writes "no limit" as the largest number of pages.
const V1_NO_LIMIT: u64 = 1 << 62;

fn memory_v1(fd: BorrowedFd<'_>, stats: &mut Stats) {
    let text = cgroupfs::read(fd, "memory.stat").unwrap_or_default();
    let field = |key| cgroupfs::field(&text, key).unwrap_or(0);
    (stats.memory_cache, stats.memory_rss) = (field("total_cache"), field("total_rss"));
    stats.memory_inactive_file = field("total_inactive_file");
    stats.memory = number(fd, "memory.usage_in_bytes").unwrap_or(0);
    stats.memory_max = number(fd, "memory.max_usage_in_bytes").unwrap_or(0);
    stats.memory_limit = number(fd, "memory.limit_in_bytes").filter(|limit| *limit < V1_NO_LIMIT);
}

fn pids(fd: BorrowedFd<'_>, stats: &mut Stats) {
    stats.pids = number(fd, "pids.current").unwrap_or(0);
    stats.pids_limit = number(fd, "pids.max");
}

fn blkio(fd: BorrowedFd<'_>, stats: &mut Stats) {
    let sum = |file: &str, kind: &str| -> u64 {
        let text = cgroupfs::read(fd, file).unwrap_or_default();
        let lines = text.lines().filter_map(|line| {
            let mut words = line.split_whitespace();
            (words.nth(1) == Some(kind))
                .then(|| words.next()?.parse::<u64>().ok())
                .flatten()
        });
        lines.sum()
    };
    stats.io_read_bytes = sum("blkio.throttle.io_service_bytes_recursive", "Read");
    stats.io_write_bytes = sum("blkio.throttle.io_service_bytes_recursive", "Write");
    stats.io_read_ops = sum("blkio.throttle.io_serviced_recursive", "Read");
    stats.io_write_ops = sum("blkio.throttle.io_serviced_recursive", "Write");
}
