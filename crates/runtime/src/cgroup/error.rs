//! What can go wrong with control groups.

use std::io;
use std::path::PathBuf;
use thiserror::Error;

#[derive(Debug, Error)]
pub enum Error {
    #[error("cannot find the cgroup hierarchies")]
    Detect(#[source] io::Error),
    #[error("cannot mount cgroup2 at {path}")]
    Mount {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{name:?} is not the name of a cgroup")]
    Name { name: String },
    #[error(
        "{text:?} is not a scope: with systemd as cgroup manager cgroupsPath reads slice:prefix:name"
    )]
    Scope { text: String },
    #[error("cannot place the container in {unit}")]
    Systemd {
        unit: String,
        #[source]
        source: super::systemd::Error,
    },
    #[error("{slice:?} is not the name of a systemd slice")]
    Slice { slice: String },
    #[error("the cgroup {path} is another's: it has {count} processes")]
    Occupied { path: PathBuf, count: usize },
    #[error("the cgroup {path} exists and is frozen")]
    Frozen { path: PathBuf },
    #[error("cannot make the cgroup {path}")]
    Make {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot enable the controllers {controllers} in {path}")]
    Enable {
        path: PathBuf,
        controllers: String,
        #[source]
        source: io::Error,
    },
    #[error("cannot write {value:?} to {path}")]
    Write {
        path: PathBuf,
        value: String,
        #[source]
        source: io::Error,
    },
    #[error("cannot read {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot remove the cgroup {path}")]
    Remove {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "the host cannot enforce {limit}: it offers no {controller} controller for it (see /proc/cgroups and /sys/fs/cgroup/cgroup.controllers)"
    )]
    Controller { controller: String, limit: String },
    #[error("the host cannot enforce {limit}: its kernel is built without {file}")]
    NoFile { file: String, limit: String },
    #[error(
        "cannot set {key}: the requested cgroup controller `{controller}` is not available in cgroup v2"
    )]
    Unified { key: String, controller: String },
    #[error("unified: the specified key has not the form CONTROLLER.VALUE `{key}`")]
    UnifiedKey { key: String },
    #[error("{size:?} is not a size of huge pages such as 2MB or 1GB")]
    PageSize { size: String },
    #[error("{device:?} is not the name of an RDMA device")]
    RdmaDevice { device: String },
    #[error(
        "cannot limit memory and swap together to {swap} bytes: {}",
        match limit {
            Some(limit) => format!("memory alone may take {limit}"),
            None => "memory alone has no limit, set one too".to_owned(),
        }
    )]
    Swap { swap: i64, limit: Option<i64> },
    #[error("the limit of {limit} bytes is below the {usage} bytes in use")]
    MemoryInUse { limit: u64, usage: u64 },
    #[error("cannot watch the memory of {path}")]
    Watch {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("`..` components are not allowed in the sub-cgroup {path}")]
    SubgroupDots { path: String },
    #[error("the container has no sub-cgroup {path}")]
    Subgroup { path: String },
    #[error("the processes of {path} did not stop")]
    Freeze { path: PathBuf },
    #[error("device rule {rule:?}: {why}")]
    DeviceRule { rule: String, why: String },
    #[error("cannot load the device program of {path}")]
    DeviceProgram {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}
