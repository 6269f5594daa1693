//! The kernel, typed: one module per mechanism, no policy. Nothing here knows what a container is.
//!
//! This is the only crate in which `unsafe` is allowed; each block argues why it is sound.
#![allow(unsafe_code)]

pub mod aside;
pub mod bpf;
pub mod capability;
pub mod cgroupfs;
pub mod command;
pub mod conntrack;
pub mod cpuset;
pub mod datagram;
pub mod disposition;
pub mod entry;
pub mod file;
pub mod helper;
pub mod inherited;
pub mod layer;
pub mod lock;
pub mod lsm;
pub mod mempolicy;
pub mod mount;
pub mod namespace;
pub mod netlink;
pub mod nft;
pub mod path;
pub mod pipe;
pub mod poll;
pub mod proc_stat;
pub mod process;
pub mod program;
pub mod quota;
pub mod reaper;
pub mod rest;
pub mod rlimit;
pub mod role;
pub mod sched;
pub mod seccomp;
pub mod signal;
pub mod sockdiag;
pub mod socket;
pub mod timer;
pub mod tree;
pub mod tty;
pub mod userns;
mod vfork;
