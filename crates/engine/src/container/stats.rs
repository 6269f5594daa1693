//! `stats`: what a container uses now, from its cgroup and its network interfaces.

use super::record::ContainerRecord;
use super::state::State;
use crate::context::Context;
use crate::error::{Error, Result};
use std::time::Instant;

/// One reading. Rates come from two of them.
#[derive(Debug, Clone)]
pub struct Sample {
    pub at: Instant,
    pub usage: runtime::Stats,
    /// Bytes received and sent over all interfaces but loopback.
    pub received: u64,
    pub sent: u64,
    pub packets_received: u64,
    pub packets_sent: u64,
    /// The limit, or all of the host's memory.
    pub memory_limit: u64,
}

impl Sample {
    /// Percent of one CPU since an earlier sample.
    pub fn cpu_percent(&self, before: &Self) -> f64 {
        let passed = self.at.duration_since(before.at).as_nanos() as f64;
        if passed <= 0.0 {
            return 0.0;
        }
        self.usage.cpu_ns.saturating_sub(before.usage.cpu_ns) as f64 / passed * 100.0
    }

    pub fn memory_percent(&self) -> f64 {
        if self.memory_limit == 0 {
            return 0.0;
        }
        self.usage.memory_used() as f64 / self.memory_limit as f64 * 100.0
    }
}

/// Reads a running container.
pub fn sample(ctx: &Context, container: &ContainerRecord) -> Result<Sample> {
    let state = State::load(ctx, container.id.as_str())?;
    let (Some(process), Some(run)) = (state.process(), state.run()) else {
        return Err(Error::NotRunning(container.id.to_string()));
    };
    let cgroup = runtime::Cgroup::open(&run.cgroup_parent, container.id.as_str())?;
    let usage = cgroup.stats();
    let host = host_memory();
    let counters = match container.spec.network_mode {
        // The host's traffic is not the container's.
        model::network::NetworkMode::Host => Counters::default(),
        _ => Counters::of(
            &std::fs::read_to_string(format!("/proc/{}/net/dev", process.pid)).unwrap_or_default(),
        ),
    };
    Ok(Sample {
        at: Instant::now(),
        memory_limit: usage.memory_limit.filter(|l| *l < host).unwrap_or(host),
        usage,
        received: counters.received,
        sent: counters.sent,
        packets_received: counters.packets_received,
        packets_sent: counters.packets_sent,
    })
}

/// Sums of `/proc/PID/net/dev`.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counters {
    received: u64,
    packets_received: u64,
    sent: u64,
    packets_sent: u64,
}

impl Counters {
    fn of(text: &str) -> Self {
        let mut sum = Self::default();
        for line in text.lines() {
            let Some((name, values)) = line.split_once(':') else {
                continue;
            };
            if name.trim() == "lo" {
                continue;
            }
            let values: Vec<u64> = values
                .split_whitespace()
                .filter_map(|v| v.parse().ok())
                .collect();
            let value = |index: usize| values.get(index).copied().unwrap_or(0);
            sum.received += value(0);
            sum.packets_received += value(1);
            sum.sent += value(8);
            sum.packets_sent += value(9);
        }
        sum
    }
}

/// Bytes of memory of this host.
pub fn host_memory() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = text
        .lines()
        .find_map(|l| l.strip_prefix("MemTotal:"))
        .and_then(|l| l.split_whitespace().next());
    kib.and_then(|k| k.parse::<u64>().ok()).unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_does_not_count() {
        let text = "Inter-| Receive | Transmit\n face |bytes packets\n    lo: 9 9 0 0 0 0 0 0 9 9 0\n  eth0: 100 2 0 0 0 0 0 0 50 1 0 0\n";
        let sum = Counters {
            received: 100,
            packets_received: 2,
            sent: 50,
            packets_sent: 1,
        };
        assert_eq!(Counters::of(text), sum);
    }
}
