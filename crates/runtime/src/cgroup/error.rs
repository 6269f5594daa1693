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
        "the host cannot enforce {limit}: its kernel offers no {controller} controller (see /proc/cgroups and /sys/fs/cgroup/cgroup.controllers)"
    )]
    Controller { controller: String, limit: String },
    #[error("the processes of {path} did not stop")]
    Freeze { path: PathBuf },
    #[error("device rule {rule:?} is not understood")]
    DeviceRule { rule: String },
    #[error("cannot load the device program of {path}")]
    DeviceProgram {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}
