//! `GET /containers/{id}/stats`: a reading each second, or one.

use crate::server::Server;
use crate::server::reply::Reply;
use crate::server::request::Asked;
use crate::server::route::Answer;
use engine::container::record::ContainerRecord;
use engine::container::stats::{Sample, sample};
use engine::{Context, Timestamp};
use serde_json::{Value, json};
use std::time::Duration;

/// A reading with what the host did until then.
struct Reading {
    sample: Option<Sample>,
    host_cpu: u64,
    at: String,
}

pub(super) fn stats(server: &Server, asked: &Asked, record: ContainerRecord) -> Answer {
    let stream = asked.query.flag_or("stream", true);
    let one_shot = asked.query.flag("one-shot");
    let ctx = server.ctx.clone();
    Ok(Reply::stream("application/json", move |out| {
        let mut before = None;
        // Without a stream there are two readings all the same, so that there is a rate.
        let skipped = usize::from(!one_shot && !stream);
        for number in 0.. {
            if number > 0 {
                std::thread::sleep(Duration::from_secs(1));
            }
            let now = Reading::take(&ctx, &record);
            let value = now.value(&record, before.as_ref());
            if number >= skipped {
                out.document(&value)?;
            }
            let gone = now.sample.is_none() && number > 0;
            if out.is_closed() || (!stream && number >= skipped) || gone {
                break;
            }
            before = Some(now);
        }
        Ok(())
    }))
}

impl Reading {
    fn take(ctx: &Context, record: &ContainerRecord) -> Self {
        let sample = sample(ctx, record).ok();
        let at = match sample {
            Some(_) => Timestamp::now().to_string(),
            None => Timestamp::ZERO_TEXT.to_owned(),
        };
        Self {
            sample,
            host_cpu: host_cpu(),
            at,
        }
    }

    fn cpu(&self) -> Value {
        let Some(sample) = &self.sample else {
            return json!({
                "cpu_usage": { "total_usage": 0, "usage_in_kernelmode": 0, "usage_in_usermode": 0 },
                "throttling_data": { "periods": 0, "throttled_periods": 0, "throttled_time": 0 },
            });
        };
        let usage = &sample.usage;
        json!({
            "cpu_usage": {
                "total_usage": usage.cpu_ns,
                "usage_in_kernelmode": usage.cpu_system_ns,
                "usage_in_usermode": usage.cpu_user_ns,
            },
            "system_cpu_usage": self.host_cpu,
            "online_cpus": processors(),
            "throttling_data": {
                "periods": usage.periods,
                "throttled_periods": usage.throttled_periods,
                "throttled_time": usage.throttled_ns,
            },
        })
    }

    fn value(&self, record: &ContainerRecord, before: Option<&Self>) -> Value {
        let empty = Self {
            sample: None,
            host_cpu: 0,
            at: Timestamp::ZERO_TEXT.to_owned(),
        };
        let before = before.unwrap_or(&empty);
        let mut value = json!({
            "name": format!("/{}", record.name),
            "id": record.id,
            "read": self.at,
            "preread": before.at,
            "num_procs": 0,
            "storage_stats": {},
            "pids_stats": {},
            "blkio_stats": { "io_service_bytes_recursive": null },
            "cpu_stats": self.cpu(),
            "precpu_stats": before.cpu(),
            "memory_stats": {},
        });
        let (Some(sample), Some(map)) = (&self.sample, value.as_object_mut()) else {
            return value;
        };
        let usage = &sample.usage;
        map.insert(
            "pids_stats".into(),
            json!({ "current": usage.pids, "limit": usage.pids_limit.unwrap_or(0) }),
        );
        map.insert("blkio_stats".into(), blkio(usage));
        map.insert(
            "memory_stats".into(),
            json!({
                "usage": usage.memory,
                "max_usage": usage.memory_max,
                "limit": sample.memory_limit,
                "stats": {
                    "cache": usage.memory_cache,
                    "rss": usage.memory_rss,
                    "inactive_file": usage.memory_inactive_file,
                    "total_inactive_file": usage.memory_inactive_file,
                },
            }),
        );
        map.insert(
            "networks".into(),
            json!({ "eth0": {
                "rx_bytes": sample.received, "rx_packets": sample.packets_received, "rx_errors": 0, "rx_dropped": 0,
                "tx_bytes": sample.sent, "tx_packets": sample.packets_sent, "tx_errors": 0, "tx_dropped": 0,
            }}),
        );
        value
    }
}

fn blkio(usage: &runtime::Stats) -> Value {
    let entry = |op: &str, value: u64| json!({ "major": 0, "minor": 0, "op": op, "value": value });
    json!({
        "io_service_bytes_recursive": [entry("read", usage.io_read_bytes), entry("write", usage.io_write_bytes)],
        "io_serviced_recursive": [entry("read", usage.io_read_ops), entry("write", usage.io_write_ops)],
    })
}

/// Nanoseconds that the host's processors have spent, idle ones included.
fn host_cpu() -> u64 {
    let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let words = text.lines().next().unwrap_or_default().split_whitespace();
    let ticks = words.skip(1).take(8).filter_map(|n| n.parse::<u64>().ok());
    ticks.sum::<u64>().saturating_mul(10_000_000)
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
