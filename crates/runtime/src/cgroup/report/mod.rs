//! Everything the groups count, in the shape that `runc events --stats` prints and its readers parse.
//!
//! A number that is zero is left out where runc leaves it out. What a host does not count is not there. Swap is told together with
//! memory, as v1 counts it; no limit is the largest number there is.
//! Source: runc's `types/events.go`, the contract with containerd and cAdvisor; kernel `cgroup-v2.rst`, `cgroup-v1/`.

mod v1;
mod v2;

use super::Cgroup;
use serde::Serialize;
use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd};
use sys::cgroupfs;

#[derive(Debug, Default, Serialize)]
pub struct Report {
    pub cpu: Cpu,
    pub cpuset: CpuSet,
    pub memory: Memory,
    pub pids: Pids,
    pub blkio: Blkio,
    pub hugetlb: BTreeMap<String, Hugetlb>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rdma: Vec<Rdma>,
    pub intel_rdt: crate::rdt::Report,
    pub network_interfaces: Option<Vec<Interface>>,
}

#[derive(Debug, Default, Serialize)]
pub struct Cpu {
    pub usage: CpuUsage,
    pub throttling: Throttling,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Pressure>,
}

/// Nanoseconds.
#[derive(Debug, Default, Serialize)]
pub struct CpuUsage {
    #[serde(skip_serializing_if = "is_zero")]
    pub total: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu: Vec<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu_kernel: Vec<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu_user: Vec<u64>,
    pub kernel: u64,
    pub user: u64,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Throttling {
    #[serde(skip_serializing_if = "is_zero")]
    pub periods: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub throttled_periods: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub throttled_time: u64,
}

/// v1 only.
#[derive(Debug, Default, Serialize)]
pub struct CpuSet {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cpus: Vec<u16>,
    pub cpu_exclusive: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mems: Vec<u16>,
    pub mem_hardwall: u64,
    pub mem_exclusive: u64,
    pub memory_migrate: u64,
    pub memory_spread_page: u64,
    pub memory_spread_slab: u64,
    pub memory_pressure: u64,
    pub sched_load_balance: u64,
    pub sched_relax_domain_level: i64,
}

#[derive(Debug, Default, Serialize)]
pub struct Memory {
    #[serde(skip_serializing_if = "is_zero")]
    pub cache: u64,
    pub usage: MemoryEntry,
    pub swap: MemoryEntry,
    pub kernel: MemoryEntry,
    #[serde(rename = "kernelTCP")]
    pub kernel_tcp: MemoryEntry,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub raw: BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Pressure>,
}

#[derive(Debug, Default, Serialize)]
pub struct MemoryEntry {
    pub limit: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub usage: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub max: u64,
    pub failcnt: u64,
}

#[derive(Debug, Default, Serialize)]
pub struct Pids {
    #[serde(skip_serializing_if = "is_zero")]
    pub current: u64,
    /// Zero for none.
    #[serde(skip_serializing_if = "is_zero")]
    pub limit: u64,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Blkio {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_service_bytes_recursive: Vec<BlkioEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_serviced_recursive: Vec<BlkioEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Pressure>,
}

#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub struct BlkioEntry {
    #[serde(skip_serializing_if = "is_zero")]
    pub major: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub minor: u64,
    pub op: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub value: u64,
}

#[derive(Debug, Default, Serialize)]
pub struct Hugetlb {
    #[serde(skip_serializing_if = "is_zero")]
    pub usage: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub max: u64,
    pub failcnt: u64,
}

#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Rdma {
    pub device: String,
    pub hca_handles: u32,
    pub hca_objects: u32,
}

/// Pressure stall information.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct Pressure {
    pub some: Stall,
    pub full: Stall,
}

#[derive(Debug, Default, PartialEq, Serialize)]
pub struct Stall {
    pub avg10: f64,
    pub avg60: f64,
    pub avg300: f64,
    pub total: u64,
}

/// In the words of Go's encoder, which runc leaves these to.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Interface {
    pub name: String,
    pub rx_bytes: u64,
    pub rx_packets: u64,
    pub rx_errors: u64,
    pub rx_dropped: u64,
    pub tx_bytes: u64,
    pub tx_packets: u64,
    pub tx_errors: u64,
    pub tx_dropped: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Cgroup {
    /// Consumption now; with the container's init also that of its network.
    pub fn report(&self, init: Option<i32>) -> Report {
        let mut report = Report::default();
        if let Some(group) = &self.v2 {
            v2::read(group.directory.as_fd(), &mut report);
        }
        for group in &self.v1 {
            for controller in &group.controllers {
                v1::read(group.directory.as_fd(), controller, &mut report);
            }
        }
        report.network_interfaces = init.and_then(interfaces);
        report
    }
}

fn number(fd: BorrowedFd<'_>, file: &str) -> u64 {
    cgroupfs::read_number(fd, file).ok().flatten().unwrap_or(0)
}

/// No limit is the largest number.
fn limit(fd: BorrowedFd<'_>, file: &str) -> Option<u64> {
    let value = cgroupfs::read_number(fd, file).ok()?;
    Some(value.unwrap_or(u64::MAX))
}

fn fields(text: &str) -> BTreeMap<String, u64> {
    let pairs = text.lines().filter_map(|line| line.split_once(' '));
    pairs
        .filter_map(|(key, value)| Some((key.to_owned(), value.trim().parse().ok()?)))
        .collect()
}

/// The sizes of huge pages, from the files `hugetlb.SIZE.…` of the kernel's list.
fn huge_page_sizes() -> Vec<String> {
    let Ok(entries) = std::fs::read_dir("/sys/kernel/mm/hugepages") else {
        return Vec::new();
    };
    let names = entries
        .flatten()
        .filter_map(|e| e.file_name().into_string().ok());
    names.filter_map(|name| size_of_pages(&name)).collect()
}

/// `hugepages-2048kB` is `2MB` in the names of cgroup files.
fn size_of_pages(name: &str) -> Option<String> {
    let kilo: u64 = name
        .strip_prefix("hugepages-")?
        .strip_suffix("kB")?
        .parse()
        .ok()?;
    Some(match kilo {
        0..1024 => format!("{kilo}KB"),
        1024..1_048_576 => format!("{}MB", kilo >> 10),
        _ => format!("{}GB", kilo >> 20),
    })
}

/// `mlx4_0 hca_handle=2 hca_object=max`, a line for each device.
fn rdma(text: &str) -> Vec<Rdma> {
    let device = |line: &str| {
        let mut words = line.split_whitespace();
        let mut entry = Rdma {
            device: words.next()?.to_owned(),
            ..Rdma::default()
        };
        for (key, value) in words.filter_map(|word| word.split_once('=')) {
            let value = value.parse().unwrap_or(u32::MAX);
            match key {
                "hca_handle" => entry.hca_handles = value,
                "hca_object" => entry.hca_objects = value,
                _ => {}
            }
        }
        Some(entry)
    };
    text.lines().filter_map(device).collect()
}

fn interfaces(pid: i32) -> Option<Vec<Interface>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/net/dev")).ok()?;
    Some(text.lines().filter_map(interface).collect())
}

fn interface(line: &str) -> Option<Interface> {
    let (name, numbers) = line.split_once(':')?;
    let n: Vec<u64> = numbers
        .split_whitespace()
        .map_while(|n| n.parse().ok())
        .collect();
    let [
        rx_bytes,
        rx_packets,
        rx_errors,
        rx_dropped,
        _,
        _,
        _,
        _,
        tx_bytes,
        tx_packets,
        tx_errors,
        tx_dropped,
        ..,
    ] = n[..]
    else {
        return None;
    };
    Some(Interface {
        name: name.trim().to_owned(),
        rx_bytes,
        rx_packets,
        rx_errors,
        rx_dropped,
        tx_bytes,
        tx_packets,
        tx_errors,
        tx_dropped,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_report_has_runcs_shape() {
        let json = serde_json::to_value(Report::default()).unwrap();
        let entry = serde_json::json!({"limit": 0, "failcnt": 0});
        assert_eq!(json["memory"]["kernelTCP"], entry);
        assert_eq!(
            json["cpu"]["usage"],
            serde_json::json!({"kernel": 0, "user": 0})
        );
        assert_eq!(json["pids"], serde_json::json!({}));
        assert_eq!(json["intel_rdt"], serde_json::json!({}));
        assert!(json["network_interfaces"].is_null() && json.get("rdma").is_none());
        let interface = serde_json::to_value(Interface::default()).unwrap();
        assert!(interface["RxBytes"].is_number() && interface["Name"].is_string());
    }

    #[test]
    fn page_sizes_and_interfaces() {
        assert_eq!(size_of_pages("hugepages-2048kB").as_deref(), Some("2MB"));
        assert_eq!(size_of_pages("hugepages-1048576kB").as_deref(), Some("1GB"));
        assert_eq!(size_of_pages("hugepages-64kB").as_deref(), Some("64KB"));
        assert_eq!(size_of_pages("surplus"), None);
        let line = "  eth0: 10 2 0 1 0 0 0 0 30 4 5 6 0 0 0 0";
        let found = interface(line).unwrap();
        assert_eq!(
            (found.name.as_str(), found.rx_dropped, found.tx_dropped),
            ("eth0", 1, 6)
        );
        assert_eq!(interface("Inter-|   Receive"), None);
        assert_eq!(
            rdma("mlx4_0 hca_handle=2 hca_object=max\n")[0].hca_objects,
            u32::MAX
        );
    }
}
