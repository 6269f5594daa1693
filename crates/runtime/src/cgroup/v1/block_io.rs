//! The blkio controller of v1.
//!
//! Source: kernel `cgroup-v1/blkio-controller.rst`, `block/bfq-iosched.rst`.

use super::limits::write;
use crate::cgroup::{Error, V1Group, limits};
use oci_spec::runtime::LinuxBlockIo;
use std::os::fd::AsFd;
use sys::cgroupfs;

pub(super) fn set(group: &V1Group, io: &LinuxBlockIo) -> Result<(), Error> {
    // BFQ carries the weight since the CFQ scheduler is gone (Linux 5.0).
    let old = cgroupfs::exists(group.directory.as_fd(), "blkio.weight");
    let weight = if old {
        "blkio.weight"
    } else {
        "blkio.bfq.weight"
    };
    let numbers = [
        (weight, io.weight(), "a block I/O weight"),
        (
            "blkio.leaf_weight",
            io.leaf_weight(),
            "a block I/O leaf weight",
        ),
    ];
    for (file, value, limit) in numbers {
        if let Some(value) = value.filter(|value| *value != 0) {
            write(group, file, &value.to_string(), limit)?;
        }
    }
    for device in io.weight_device().iter().flatten() {
        let lines = [
            (format!("{weight}_device"), device.weight()),
            ("blkio.leaf_weight_device".to_owned(), device.leaf_weight()),
        ];
        for (file, value) in lines {
            if let Some(value) = value {
                let line = format!("{}:{} {value}", device.major(), device.minor());
                write(group, &file, &line, "a block I/O weight of a device")?;
            }
        }
    }
    for (key, devices) in limits::throttles(io) {
        let file = match key {
            "rbps" => "blkio.throttle.read_bps_device",
            "wbps" => "blkio.throttle.write_bps_device",
            "riops" => "blkio.throttle.read_iops_device",
            _ => "blkio.throttle.write_iops_device",
        };
        for device in devices {
            let line = format!("{}:{} {}", device.major(), device.minor(), device.rate());
            write(group, file, &line, "a block I/O rate")?;
        }
    }
    Ok(())
}
