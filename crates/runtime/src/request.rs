//! What a caller asks for, beside the OCI spec: the parts the spec has no words for.

use crate::Cgroup;
use crate::hooks::State;
use oci_spec::runtime::{LinuxSeccomp, Spec};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::PathBuf;
use sys::userns::IdMap;

/// A container to be born.
#[derive(Debug)]
pub struct Request<'a> {
    pub spec: &'a Spec,
    pub rootfs: Rootfs,
    pub stdio: Stdio<'a>,
    /// Without one the process stays in the groups of the caller.
    pub cgroup: Option<&'a Cgroup>,
    pub netns: Netns<'a>,
    /// Looked up in the container's own files; replaces `process.user` of the spec.
    pub user: Option<UserSpec>,
    /// Volumes that get the image's content if they are still empty, before anything is mounted.
    pub copy_up: Vec<CopyUp>,
    pub reaper: Reaper,
    pub seccomp: Seccomp<'a>,
    pub launch: Launch<'a>,
}

/// How the command comes to run, where callers differ; the default is what the engine wants.
#[derive(Debug, Clone, Copy, Default)]
pub struct Launch<'a> {
    pub gate: Gate<'a>,
    /// So many descriptors from 3 on are the command's too.
    pub pass_fds: u32,
    pub entry: Entry,
    pub loopback: Loopback,
    pub keyring: Keyring,
    pub limits: Limits,
    /// What the spec's hooks and its seccomp listener are told; without it no hook runs.
    pub state: Option<&'a State>,
    /// By their places: what is attached for a bind mount of the spec in place of its source. Mounts attached nowhere, which
    /// cannot be named by a path.
    pub trees: &'a [(PathBuf, OwnedFd)],
}

/// Who says that the command may start.
#[derive(Debug, Clone, Copy, Default)]
pub enum Gate<'a> {
    /// The caller, by [`crate::Pending::start`].
    #[default]
    Caller,
    /// Whoever comes to this socket ([`crate::gate::listen`]): the caller goes away after [`crate::Pending::leave`].
    Listener(BorrowedFd<'a>),
}

/// How the container's root becomes `/`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Entry {
    /// pivot_root(2); the host's tree is gone afterwards.
    #[default]
    Pivot,
    /// Moved over the host's root, for hosts that run from a ram disk.
    Move,
}

/// What becomes of a limit that we have no right to raise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Limits {
    /// It is set as high as we may.
    #[default]
    WithinOurs,
    /// The start fails.
    Exact,
}

/// Who brings `lo` up in a new network namespace.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Loopback {
    /// The caller, with the other interfaces.
    #[default]
    Caller,
    Init,
}

/// The session keyring of the command.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Keyring {
    #[default]
    New,
    /// The caller's, whose keys the container may then read.
    Inherited,
}

/// Where the root file system comes from.
#[derive(Debug, Clone)]
pub enum Rootfs {
    Overlay(Overlay),
    Directory(PathBuf),
}

/// An overlay, mounted in the container's mount namespace only.
#[derive(Debug, Clone, Default)]
pub struct Overlay {
    /// Lowest layer first, as images list them.
    pub lower: Vec<PathBuf>,
    /// Upper and work directory, on one file system; none for a root nobody writes to.
    pub upper: Option<(PathBuf, PathBuf)>,
    /// No syncing: for a root that is thrown away (`--rm`, build steps).
    pub volatile: bool,
    /// Shows the files of id 0.. on disk as the mapping's outer ids: for a container whose user namespace has the same
    /// mapping (`linux.uidMappings`), so that they belong to its own users. Volumes have `idmap` among their mount's options.
    pub idmap: Option<IdMap>,
}

/// The three standard streams.
#[derive(Debug, Clone, Copy)]
pub enum Stdio<'a> {
    Fds {
        stdin: BorrowedFd<'a>,
        stdout: BorrowedFd<'a>,
        stderr: BorrowedFd<'a>,
    },
    /// Init makes a terminal in the container's own devpts; its master comes back in [`crate::Started`].
    Terminal { rows: u16, columns: u16 },
}

/// The network namespace.
#[derive(Debug, Clone, Copy)]
pub enum Netns<'a> {
    /// As `linux.namespaces` of the spec says: new, by path, or the caller's.
    Spec,
    Existing(BorrowedFd<'a>),
    /// The caller makes it while init works and hands it over by [`crate::Pending::give_netns`].
    Deferred,
}

/// `user[:group]` and `--group-add`, names or numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserSpec {
    pub user: String,
    pub add_groups: Vec<String>,
}

/// A new volume and the directory of the image it is to be mounted over.
#[derive(Debug, Clone)]
pub struct CopyUp {
    pub target: PathBuf,
    pub volume: PathBuf,
}

/// Whether init stays as PID 1 beside the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reaper {
    None,
    /// `--init`: forwards signals and reaps orphans.
    Init,
}

/// The system call filter.
#[derive(Debug, Clone, Copy)]
pub enum Seccomp<'a> {
    /// `linux.seccomp` of the spec, none if it has none.
    Spec,
    /// Docker's default profile for the capabilities of the process.
    Default,
    /// A profile, with its listener if it names one.
    Profile(&'a LinuxSeccomp),
    /// One compiled before; a listener it has not.
    Program(&'a sys::seccomp::Program),
}
