//! What only the host may make, made by the caller for an init that lives in a user namespace.
//!
//! From its first instruction such an init has no rights over the host: it can neither look into directories of the host's root
//! nor map ids nor make devices. So the caller makes the mounts for it, attached nowhere, and hands them over the socket; init
//! attaches them inside. In turn:
//!
//! ```text
//! caller   clones init into the user namespace (or into one that exists: see `spawn`)
//! caller   writes uid_map and gid_map through a handle that is certainly procfs
//! caller   makes the root, clones bind sources (id-mapped where asked), makes the devices, and sends all
//! init     becomes root of its namespace, which it could not be before the maps are written, and builds its root
//! ```
//! Source: user_namespaces(7); mount_setattr(2) "ID-mapped mounts"; device nodes work only on a mount of a file system that the
//! host's user namespace made (`may_open_dev`).

use crate::error::{Error, InitError, OrInit};
use crate::init::{device, mounts, root};
use crate::namespaces::{Namespaces, User};
use crate::overlay;
use crate::protocol::{self, ToInit};
use crate::request::{CopyUp, Request, Rootfs, Stdio};
use crate::scheduling;
use oci_spec::runtime::Process;
use rustix::fs::{FileType, Gid, Uid};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use sys::mount::Recursion;
use sys::process::Child;
use sys::rlimit::Limit;
use sys::userns::IdMap;

/// What init got. The volumes to be filled are in the order of the request.
#[derive(Debug)]
pub(crate) struct Handed {
    pub(crate) root: OwnedFd,
    place: Place,
    /// A directory of nodes.
    pub(crate) devices: Option<OwnedFd>,
    pub(crate) volumes: Vec<OwnedFd>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Attached,
    Nowhere,
}

impl Handed {
    /// A root that init has mounted itself; all else it makes as it goes.
    pub(crate) fn only(root: OwnedFd) -> Self {
        Self {
            root,
            place: Place::Attached,
            devices: None,
            volumes: Vec::new(),
        }
    }

    /// A root made where it could not stay.
    pub(crate) fn unattached(root: OwnedFd) -> Self {
        Self {
            place: Place::Nowhere,
            ..Self::only(root)
        }
    }

    /// Puts the root where it can be entered.
    pub(crate) fn attach(self) -> Result<Self, InitError> {
        if self.place == Place::Nowhere {
            root::attach(&self.root)?;
        }
        Ok(self)
    }
}

/// The caller's side, once init is born.
pub(crate) fn give(
    request: &Request<'_>,
    namespaces: &Namespaces,
    plan: &mut [mounts::Planned],
    child: &Child,
    socket: &OwnedFd,
) -> Result<(), Error> {
    if matches!(namespaces.user, User::Host) {
        return Ok(());
    }
    if let Some(process) = request.spec.process() {
        lend_rights(process, child.pid)?;
        scheduling::apply(process, child.pid)?;
    }
    let made;
    let (userns, map) = match &namespaces.user {
        User::Host => return Ok(()),
        User::Join(fd) => (fd.as_fd(), None),
        User::New(map) => {
            let proc = sys::path::open_proc().map_err(Error::WriteMaps)?;
            sys::userns::write_maps(proc.as_fd(), child.pid, map).map_err(Error::WriteMaps)?;
            made = sys::userns::of(child).map_err(Error::WriteMaps)?;
            (made.as_fd(), Some(map))
        }
    };
    if let (
        Some(map),
        Stdio::Fds {
            stdin,
            stdout,
            stderr,
        },
    ) = (map, request.stdio)
    {
        for stream in [stdin, stdout, stderr] {
            give_pipe(stream, map)?;
        }
    }
    let mut trees = vec![
        make_root(request, userns, map)?,
        device::make_on_host(request.spec, map)?,
    ];
    mounts::open_sources(plan, Some(userns), request.launch.trees)?;
    trees.extend(plan.iter_mut().filter_map(mounts::Planned::take_tree));
    for item in &request.copy_up {
        trees.push(volume(item, userns, &request.rootfs)?);
    }
    match protocol::send_trees(socket, &trees) {
        // Init has failed already; `start` will say why.
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(Error::Socket),
    }
}

/// Init's side. `plan` gets its trees back.
pub(crate) fn receive(
    request: &Request<'_>,
    plan: &mut [mounts::Planned],
    socket: &OwnedFd,
) -> Result<Handed, InitError> {
    let wanted = plan.iter().filter(|mount| mount.needs_tree()).count();
    let mut trees = Vec::new();
    while trees.len() < 2 + wanted + request.copy_up.len() {
        match protocol::receive_in_init(socket).because(|cause| InitError::Prepare { cause })? {
            Some(ToInit::Trees(some)) if !some.is_empty() => trees.extend(some),
            _ => return Err(InitError::Abandoned),
        }
    }
    let mut trees = trees.into_iter();
    let (Some(root), Some(devices)) = (trees.next(), trees.next()) else {
        return Err(InitError::Abandoned);
    };
    for mount in plan.iter_mut().filter(|mount| mount.needs_tree()) {
        mount.put_tree(trees.next());
    }
    Ok(Handed {
        devices: Some(devices),
        volumes: trees.collect(),
        ..Handed::unattached(root)
    })
}

/// Root of the namespace, or who the process is to be if the mapping has no root. Until the maps are written nobody is anybody.
pub(crate) fn become_root(process: Option<&Process>) -> Result<(), InitError> {
    let become_id = |uid, gid| sys::capability::set_identity(uid, gid, &[]);
    let error = |cause| InitError::BecomeRoot { cause };
    match (become_id(0, 0), process) {
        (Err(e), Some(process)) if e.raw_os_error() == Some(22) => {
            let user = process.user();
            become_id(user.uid(), user.gid()).because(error)
        }
        (other, _) => other.because(error),
    }
}

/// Hard limits and the OOM score: raising the one and lowering the other needs CAP_SYS_RESOURCE on the host.
fn lend_rights(process: &Process, pid: i32) -> Result<(), Error> {
    raise_limits(process, pid);
    if let Some(score) = process.oom_score_adj() {
        let proc = sys::path::open_proc().map_err(Error::WriteMaps)?;
        let path = format!("{pid}/oom_score_adj");
        // Refused to us as well: then init is told so when it tries.
        let _ = sys::path::write_proc(proc.as_fd(), path.as_ref(), score.to_string().as_bytes());
    }
    Ok(())
}

/// Raises the hard limits of a process, 0 for the caller. The soft limits stay, so that it can still work; it sets them at the
/// end, and is told then what was refused to us here.
pub(crate) fn raise_limits(process: &Process, pid: i32) {
    for limit in process.rlimits().iter().flatten() {
        let Some(resource) = sys::rlimit::number(&limit.typ().to_string()) else {
            continue;
        };
        match sys::rlimit::get(resource) {
            Ok(now) if limit.hard() > now.hard => {
                let higher = Limit {
                    soft: now.soft,
                    hard: limit.hard(),
                };
                let _ = sys::rlimit::set_of(pid, resource, higher);
            }
            _ => {}
        }
    }
}

/// A pipe belongs to the container's root, so that init may give it to the command's user: see `give_to` in `birth`.
fn give_pipe(stream: BorrowedFd<'_>, map: &IdMap) -> Result<(), Error> {
    let prepare = |source| Error::Prepare {
        what: "the standard streams",
        source,
    };
    let stat = rustix::fs::fstat(stream).map_err(|e| prepare(e.into()))?;
    let (Some(uid), Some(gid)) = (map.user_outside(0), map.group_outside(0)) else {
        return Ok(());
    };
    if FileType::from_raw_mode(stat.st_mode) != FileType::Fifo {
        return Ok(());
    }
    rustix::fs::fchown(stream, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
        .map_err(|e| prepare(e.into()))
}

fn make_root(
    request: &Request<'_>,
    userns: BorrowedFd<'_>,
    container: Option<&IdMap>,
) -> Result<OwnedFd, Error> {
    let Rootfs::Overlay(overlay) = &request.rootfs else {
        return Ok(root::detached(&request.rootfs, request.spec)?);
    };
    match &overlay.idmap {
        // The usual case: the container's own mapping, whose namespace is there already.
        Some(map) if Some(map) == container => Ok(overlay::idmapped(overlay, userns)?),
        Some(_) => overlay::mount_detached(overlay),
        None => Ok(root::detached(&request.rootfs, request.spec)?),
    }
}

/// A new volume, shown as the root is: what is copied into it then keeps its owners.
fn volume(item: &CopyUp, userns: BorrowedFd<'_>, rootfs: &Rootfs) -> Result<OwnedFd, InitError> {
    let error = |cause| InitError::CopyUp {
        target: item.target.display().to_string(),
        cause,
    };
    let tree = sys::mount::clone_path(&item.volume, Recursion::None).because(error)?;
    if matches!(rootfs, Rootfs::Overlay(overlay) if overlay.idmap.is_some()) {
        overlay::map_tree(&tree, &item.volume, false, userns)?;
    }
    Ok(tree)
}
