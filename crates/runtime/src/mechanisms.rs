//! Which of its ways this runtime goes on this kernel, for whoever asks (`info`). Nothing here decides: each mechanism chooses for
//! itself where it is used, by trying the better way first; the same attempts are made here.
//!
//! Source: the kernel versions named beside each.

use crate::cgroup::hierarchies;
use crate::overlay;
use std::os::fd::AsFd;
use std::path::Path;
use sys::mount::Recursion;
use sys::process::PidfdNamespace;
use sys::userns::IdMap;

/// One mechanism and the way it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mechanism {
    pub name: &'static str,
    pub chosen: &'static str,
    /// A newer kernel, or another set-up of this host, would have a better way.
    pub fallback: bool,
}

/// A name, the better way, the other one.
type Ways = (&'static str, &'static str, &'static str);

/// Looks at the kernel; `layers` are two directories of the file system that layers lie on.
pub fn mechanisms(layers: [&Path; 2]) -> Vec<Mechanism> {
    let v1 = hierarchies().is_ok_and(|found| !found.v1.is_empty());
    let tried: [(Ways, bool); 7] = [
        (("control groups", "v2", "v1 controllers"), !v1),
        (
            (
                "birth into the group",
                "clone3 with CLONE_INTO_CGROUP",
                "the child's one thread by tasks of v1",
            ),
            !v1,
        ),
        (
            (
                "device rules",
                "eBPF program of the group",
                "devices controller of v1",
            ),
            !v1,
        ),
        (
            // Linux 6.7.
            (
                "layers of an overlay",
                "lowerdir+, one by one",
                "one option string of mount(2)",
            ),
            overlay::takes_lowerdir_plus(layers),
        ),
        (
            (
                "id-mapped mounts",
                "mount_setattr",
                "not on this file system: no --userns=auto",
            ),
            maps_ids(layers[0]),
        ),
        (
            // Linux 6.11.
            (
                "namespaces of a process",
                "by pidfd",
                "by /proc/PID/ns, verified",
            ),
            by_pidfd(|fd| sys::process::pidfd_namespace(fd, PidfdNamespace::Net).is_ok()),
        ),
        (
            // Linux 6.15.
            (
                "end of an adopted container",
                "exit code by pidfd",
                "exit code of a zombie, else unknown",
            ),
            by_pidfd(|fd| sys::process::pidfd_exit_status(fd).is_ok()),
        ),
    ];
    let tried = tried.map(|((name, better, other), taken)| Mechanism {
        name,
        chosen: if taken { better } else { other },
        fallback: !taken,
    });
    tried.into()
}

fn maps_ids(directory: &Path) -> bool {
    let tree = sys::mount::clone_path(directory, Recursion::None);
    let userns = sys::userns::new(&IdMap::range(100_000, 65536));
    match (tree, userns) {
        (Ok(tree), Ok(userns)) => {
            overlay::map_tree(&tree, directory, false, userns.as_fd()).is_ok()
        }
        _ => false,
    }
}

fn by_pidfd(works: impl FnOnce(&std::os::fd::OwnedFd) -> bool) -> bool {
    let own = i32::try_from(std::process::id()).ok();
    own.and_then(|pid| sys::process::pidfd_open(pid).ok())
        .is_some_and(|fd| works(&fd))
}
