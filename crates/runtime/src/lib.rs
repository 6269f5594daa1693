//! From an OCI runtime spec, a root file system and standard streams to a running process, and back to its exit status.
//!
//! [`spawn`] clones init into its namespaces and returns at once; init builds its root while the caller sets up the network in
//! the new network namespace; [`Pending::start`] crosses the barrier and returns when `execve` has succeeded, or with the whole
//! error of init; or [`Pending::leave`] lets init wait at a [`gate`] for another process to start it. [`exec`] starts a further process inside. [`Cgroup`] limits, counts, freezes and kills.
//!
//! A container in a user namespace (`linux.namespaces` with `user`, `linux.uidMappings`) needs nothing else from its caller than
//! [`Overlay::idmap`] with the same mapping, so that its layers belong to its users, and `idmap` among the options of its
//! volumes' mounts. Its network namespace must be [`Netns::Spec`]'s new one, which then belongs to it, or the host's. [`exec`]
//! and the copying into new volumes follow by themselves. What the host has to make for it is in `handover`.
//!
//! It writes no records and knows no Docker objects: the caller remembers. Callers must be single-threaded, because init is a
//! copy of the caller; a caller with threads starts a role of its own by `sys::role` first.
//! Source: OCI runtime-spec; the order in init is argued step by step in `init`.

pub mod annotations;
pub mod cgroup;
pub mod defaults;
mod error;
mod exec;
pub mod features;
pub mod gate;
mod handover;
pub mod hooks;
mod idmap;
mod init;
mod mechanisms;
mod namespaces;
mod netdev;
mod overlay;
mod protocol;
pub mod rdt;
mod request;
mod scheduling;
pub mod seccomp;
mod spawn;
pub mod users;
pub mod validate;

pub use cgroup::{Cgroup, Stats};
pub use error::{Errno, Error, InitError};
pub use exec::{ExecRequest, exec};
pub use features::features;
pub use mechanisms::{Mechanism, mechanisms};
pub use overlay::{image_tree, mount_detached, populate};
pub use request::{
    CopyUp, Entry, Gate, Keyring, Launch, Limits, Loopback, Netns, Overlay, Reaper, Request,
    Rootfs, Seccomp, Stdio, UserSpec,
};
pub use spawn::{Pending, Started, rehearse, spawn};
pub use sys::cgroupfs::Hierarchies;
pub use sys::process::ExitStatus;
pub use sys::userns::{IdMap, IdRange};
pub use validate::validate;
