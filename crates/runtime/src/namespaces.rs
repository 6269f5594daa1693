//! The namespaces of a spec, sorted by what has to be done about them, and refused when they make no sense together.
//!
//! Who makes and enters which is `spawn`'s part. Source: runtime-spec `config-linux.md` "Namespaces", "User namespace
//! mappings", "Offset for Time Namespace"; namespaces(7), setns(2).

use crate::error::Error;
use crate::request::Netns;
use oci_spec::runtime::{
    LinuxIdMapping, LinuxNamespace, LinuxNamespaceType, LinuxTimeOffset, Spec,
};
use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use sys::namespace::flags;
use sys::userns::{IdMap, IdRange};

#[derive(Debug, Default)]
pub(crate) struct Namespaces {
    /// Made by clone.
    pub(crate) new: u64,
    /// Made by init itself.
    pub(crate) new_cgroup: bool,
    /// Entered by init, or before it is born when it could not any more: see [`Namespaces::need_a_step`].
    pub(crate) join: Vec<(u64, &'static str, OwnedFd)>,
    /// Entered by the caller for its children, because a process cannot change its own pid namespace.
    pub(crate) join_pid: Option<OwnedFd>,
    /// Entered when sources and root are in hand: what they are looked up in is the caller's.
    pub(crate) join_mount: Option<OwnedFd>,
    pub(crate) user: User,
    /// Lines for `timens_offsets` of a new time namespace.
    pub(crate) time_offsets: String,
}

/// Whose ids the container has.
#[derive(Debug, Default)]
pub(crate) enum User {
    #[default]
    Host,
    New(IdMap),
    Join(OwnedFd),
}

fn bit(kind: LinuxNamespaceType) -> (u64, &'static str) {
    match kind {
        LinuxNamespaceType::Mount => (flags::NEWNS, "mount"),
        LinuxNamespaceType::Cgroup => (flags::NEWCGROUP, "cgroup"),
        LinuxNamespaceType::Uts => (flags::NEWUTS, "uts"),
        LinuxNamespaceType::Ipc => (flags::NEWIPC, "ipc"),
        LinuxNamespaceType::User => (flags::NEWUSER, "user"),
        LinuxNamespaceType::Pid => (flags::NEWPID, "pid"),
        LinuxNamespaceType::Network => (flags::NEWNET, "network"),
        LinuxNamespaceType::Time => (flags::NEWTIME, "time"),
    }
}

impl Namespaces {
    pub(crate) fn of(spec: &Spec, netns: Netns<'_>) -> Result<Self, Error> {
        let linux = spec.linux().as_ref();
        let list = linux
            .and_then(|linux| linux.namespaces().as_deref())
            .unwrap_or_default();
        // Its own mount namespace, unless another is named: everything below is mounted there and must not show on the host.
        let mut sorted = Self {
            new: flags::NEWNS,
            ..Self::default()
        };
        let mut seen = 0;
        for namespace in list {
            let (flag, kind) = bit(namespace.typ());
            if seen & flag != 0 {
                return Err(Error::NamespaceTwice { kind });
            }
            seen |= flag;
            sorted.sort(namespace, netns, spec)?;
        }
        if let Netns::Existing(fd) = netns {
            let source = |source| Error::OpenNamespace {
                kind: "network",
                path: "(by descriptor)".into(),
                source,
            };
            let fd = rustix::io::fcntl_dupfd_cloexec(fd, 0).map_err(|e| source(e.into()))?;
            sorted.join.push((flags::NEWNET, "network", fd));
        }
        sorted.take_offsets(linux.and_then(|linux| linux.time_offsets().as_ref()))?;
        let maps = linux.is_some_and(|linux| {
            linux.uid_mappings().as_ref().is_some_and(|m| !m.is_empty())
                || linux.gid_mappings().as_ref().is_some_and(|m| !m.is_empty())
        });
        if maps && matches!(sorted.user, User::Host) {
            return Err(Error::MapsWithoutNamespace);
        }
        Ok(sorted)
    }

    fn sort(
        &mut self,
        namespace: &LinuxNamespace,
        netns: Netns<'_>,
        spec: &Spec,
    ) -> Result<(), Error> {
        let (flag, kind) = bit(namespace.typ());
        let path = namespace
            .path()
            .as_deref()
            .filter(|path| !path.as_os_str().is_empty());
        match (namespace.typ(), path) {
            (LinuxNamespaceType::Network, _) if !matches!(netns, Netns::Spec) => {}
            (LinuxNamespaceType::Pid, Some(path)) => self.join_pid = Some(open(flag, kind, path)?),
            (LinuxNamespaceType::Mount, Some(path)) => {
                let fd = open(flag, kind, path)?;
                // All that is mounted, and the pivot, would be the host's.
                if is_own(&fd, "mnt") {
                    return Err(Error::OwnMountNamespace);
                }
                self.join_mount = Some(fd);
                self.new &= !flag;
            }
            (LinuxNamespaceType::User, Some(path)) => {
                let fd = open(flag, kind, path)?;
                // To enter the own one again is refused by the kernel, and is what happens anyway.
                if !is_own(&fd, "user") {
                    self.user = User::Join(fd);
                }
            }
            (LinuxNamespaceType::User, None) => {
                self.user = User::New(maps(spec)?);
                self.new |= flag;
            }
            (_, Some(path)) => self.join.push((flag, kind, open(flag, kind, path)?)),
            // A cgroup namespace is rooted where its maker is: init makes it after it has joined its group.
            (LinuxNamespaceType::Cgroup, None) => self.new_cgroup = true,
            (_, None) => self.new |= flag,
        }
        Ok(())
    }

    /// The offsets of a time namespace freeze when its first process is born. So it is not made by the clone but by the
    /// caller, for its children, and the offsets are written in between.
    fn take_offsets(
        &mut self,
        offsets: Option<&HashMap<String, LinuxTimeOffset>>,
    ) -> Result<(), Error> {
        let Some(offsets) = offsets.filter(|offsets| !offsets.is_empty()) else {
            return Ok(());
        };
        if self.new & flags::NEWTIME == 0 {
            return Err(Error::OffsetsWithoutNamespace);
        }
        self.new &= !flags::NEWTIME;
        for (clock, offset) in offsets {
            if !matches!(clock.as_str(), "monotonic" | "boottime") {
                return Err(Error::UnknownClock {
                    name: clock.clone(),
                });
            }
            let (secs, nanosecs) = (offset.secs().unwrap_or(0), offset.nanosecs().unwrap_or(0));
            self.time_offsets += &format!("{clock} {secs} {nanosecs}\n");
        }
        Ok(())
    }

    /// Whether a process in between has to enter namespaces for init. In a user namespace of its own, init has no rights over
    /// namespaces that are not: they are entered before. And namespaces that are to belong to a user namespace which is
    /// entered must be made from within it, where the caller cannot go, because nobody comes back out of one.
    pub(crate) fn need_a_step(&self) -> bool {
        match self.user {
            User::Host => false,
            User::New(_) => !self.join.is_empty() || self.join_mount.is_some(),
            User::Join(_) => true,
        }
    }

    /// The network namespace init enters, when it makes none.
    pub(crate) fn joined_network(&self) -> Option<BorrowedFd<'_>> {
        let joined = self.join.iter().find(|(flag, ..)| *flag == flags::NEWNET);
        joined.map(|(.., fd)| fd.as_fd())
    }

    /// Whether init's network is known and not the caller's from its birth on.
    pub(crate) fn has_network(&self) -> bool {
        self.new & flags::NEWNET != 0 || self.joined_network().is_some()
    }

    pub(crate) fn has_user(&self) -> bool {
        !matches!(self.user, User::Host)
    }
}

/// Whether a process that joined a container is in a user namespace other than the caller's now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entered {
    OwnUsers,
    HostUsers,
}

/// Enters all namespaces of a container but its pid namespace, in one call: all or nothing, with the caller's rights.
///
/// To enter the user namespace one is in is refused (EINVAL), as are time namespaces by kernels without them, so the sets are
/// tried from the largest on. No smaller one succeeds in place of a larger one that could: whatever else makes the kernel say
/// EINVAL (a shared working directory) concerns the mount namespace as well, which is part of all.
pub(crate) fn enter_all(pidfd: BorrowedFd<'_>) -> std::io::Result<Entered> {
    let all = flags::NEWNS | flags::NEWUTS | flags::NEWIPC | flags::NEWNET | flags::NEWCGROUP;
    for extra in [
        flags::NEWUSER | flags::NEWTIME,
        flags::NEWTIME,
        flags::NEWUSER,
    ] {
        match sys::namespace::enter(pidfd, all | extra) {
            Ok(()) if extra & flags::NEWUSER != 0 => return Ok(Entered::OwnUsers),
            Ok(()) => return Ok(Entered::HostUsers),
            Err(e) if e.raw_os_error() == Some(22) => {}
            Err(e) => return Err(e),
        }
    }
    sys::namespace::enter(pidfd, all)?;
    Ok(Entered::HostUsers)
}

fn maps(spec: &Spec) -> Result<IdMap, Error> {
    let linux = spec.linux().as_ref();
    let map = IdMap {
        uids: ranges(linux.and_then(|linux| linux.uid_mappings().as_deref())),
        gids: ranges(linux.and_then(|linux| linux.gid_mappings().as_deref())),
    };
    map.check().map_err(|problem| Error::WrongMap {
        map: map.clone(),
        problem,
    })?;
    Ok(map)
}

pub(crate) fn ranges(list: Option<&[LinuxIdMapping]>) -> Vec<IdRange> {
    let ranges = list.unwrap_or_default().iter().map(|range| IdRange {
        inside: range.container_id(),
        outside: range.host_id(),
        count: range.size(),
    });
    ranges.collect()
}

fn is_own(fd: &OwnedFd, name: &str) -> bool {
    let own = sys::namespace::open_own(name).and_then(sys::namespace::inode);
    own.is_ok_and(|own| sys::namespace::inode(fd).is_ok_and(|other| other == own))
}

/// Opens a namespace and makes sure that it is one of the kind: setns would find out too late, in init.
fn open(flag: u64, kind: &'static str, path: &Path) -> Result<OwnedFd, Error> {
    use rustix::fs::{Mode, OFlags};
    let failed = |source| Error::OpenNamespace {
        kind,
        path: path.to_owned(),
        source,
    };
    // NONBLOCK: a path that is a pipe must not hold us.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let fd = rustix::fs::open(path, flags, Mode::empty()).map_err(|e| failed(e.into()))?;
    match sys::namespace::kind(&fd) {
        Ok(found) if found == flag => Ok(fd),
        _ => Err(Error::WrongNamespace {
            kind,
            path: path.to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(linux: &str) -> String {
        let spec = format!(r#"{{"ociVersion":"1.2.0","root":{{"path":"/"}},"linux":{linux}}}"#);
        let spec: Spec = serde_json::from_str(&spec).unwrap();
        match Namespaces::of(&spec, Netns::Spec) {
            Ok(_) => String::new(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (linux, expected) in [
            (r#"{"namespaces":[{"type":"pid"},{"type":"uts"}]}"#, ""),
            (
                r#"{"namespaces":[{"type":"pid"},{"type":"pid"}]}"#,
                "the spec names the pid namespace twice",
            ),
            (
                r#"{"namespaces":[{"type":"user"}]}"#,
                "wrong mapping of ids for the user namespace: it maps no ids",
            ),
            (
                r#"{"uidMappings":[{"containerID":0,"hostID":1,"size":1}]}"#,
                "the spec maps ids (linux.uidMappings, gidMappings) without a user namespace",
            ),
            (
                r#"{"timeOffsets":{"monotonic":{"secs":1}}}"#,
                "the spec has timeOffsets without a new time namespace",
            ),
            (
                r#"{"namespaces":[{"type":"time"}],"timeOffsets":{"realtime":{"secs":1}}}"#,
                "unknown clock \"realtime\" in timeOffsets: only monotonic and boottime have offsets",
            ),
            (
                r#"{"namespaces":[{"type":"uts","path":"/proc/self/ns/net"}]}"#,
                "/proc/self/ns/net is no uts namespace",
            ),
        ] {
            assert_eq!(refusal(linux), expected);
        }
    }

    #[test]
    fn offsets_are_lines_for_the_kernel() {
        let spec: Spec = serde_json::from_str(
            r#"{"ociVersion":"1.2.0","root":{"path":"/"},"linux":{"namespaces":[{"type":"time"}],
                "timeOffsets":{"boottime":{"secs":-5,"nanosecs":7}}}}"#,
        )
        .unwrap();
        let namespaces = Namespaces::of(&spec, Netns::Spec).unwrap();
        assert_eq!(namespaces.time_offsets, "boottime -5 7\n");
        assert_eq!(namespaces.new & flags::NEWTIME, 0);
    }
}
