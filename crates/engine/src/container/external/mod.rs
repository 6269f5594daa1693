//! A container in another OCI runtime: `--runtime NAME|PATH`.
//!
//! The one place where a program that is not this binary carries a container, because the user asked for it by name. All that is
//! around a container stays ours: layers, network, streams, names, log, restart policy. The monitor makes a bundle, has the
//! runtime create, start, kill and delete, and learns the end as it does of its own children: it is a subreaper, so the
//! container's first process becomes its child when the runtime's own process has ended.
//!
//! The root is mounted in a mount namespace of the monitor's own: nothing is mounted where the host sees it. So a bind mount with
//! shared propagation gets what the host mounts later, and the host does not get what the container mounts.
//! Source: runtime-spec `runtime.md`, runc(8).

mod bundle;
mod exec;
mod program;
pub mod select;

pub(super) use bundle::write_json;
pub(crate) use exec::exec;
pub use program::External;

use super::birth::{self, Attachment, Born, Streams};
use super::record::{ContainerRecord, RuntimeRecord};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::spec::{self, Facts, Source};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use sys::namespace::flags;

/// Makes and starts the container.
pub(super) fn start(
    ctx: &Context,
    container: &ContainerRecord,
    runtime: &RuntimeRecord,
    streams: Streams<'_>,
) -> Result<Born> {
    // Before anything is started: whose end is to be told is this process's child from its first moment.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
        .map_err(|e| Error::system("become the parent of the container")(e.into()))?;
    let external = External::new(ctx, container, runtime);
    let mut facts = birth::facts(ctx, container, streams)?;
    birth::make_bind_sources(container)?;
    super::contents::place(ctx, container)?;
    let network = Network::make(ctx, container, &mut facts)?;
    super::files::write(
        ctx,
        container,
        network.attachment.as_ref().map(Attachment::attached),
    )?;
    let created = Created(Some(&external));
    let bundle = external.bundle();
    let root = mount_root(ctx, container, &bundle)?;
    runtime::populate(root.as_fd(), &birth::copy_up(container, &facts.volumes))?;
    let parent = birth::cgroup_parent(ctx, container);
    let adapted = bundle::Surroundings {
        facts: &facts,
        cgroups_path: format!("/{parent}/{}", container.id),
        groups: birth::groups(container, &facts),
    };
    let mut built = spec::build(container, &facts)?;
    let trees = super::trees::make(ctx, container, &facts)?;
    attach_trees(&bundle, &trees.trees, &mut built)?;
    bundle::adapt(&mut built, container, &adapted, root.as_fd())?;
    bundle::write(&bundle, &built)?;
    let started = external.create(streams)?;
    let cgroup = runtime::Cgroup::open(&parent, container.id.as_str())?;
    external.start()?;
    created.keep();
    Ok(Born {
        layers: Vec::new(),
        started,
        cgroup,
        external: Some(external),
        hooked: None,
        mounts: None,
        network: network.attachment.map(Attachment::keep),
        netns: network.netns,
        dns: network.dns,
    })
}

/// A network namespace made before the container, and what is in it.
struct Network<'a> {
    attachment: Option<Attachment<'a>>,
    netns: Option<OwnedFd>,
    dns: Option<network::dns::Responder>,
}

impl<'a> Network<'a> {
    fn make(ctx: &'a Context, container: &ContainerRecord, facts: &mut Facts) -> Result<Self> {
        if facts.network != Source::New {
            return Ok(Self {
                attachment: None,
                netns: None,
                dns: None,
            });
        }
        let netns = new_network_namespace()
            .map_err(Error::system("make the container's network namespace"))?;
        let made = Attachment::make(ctx, container, netns.as_fd())?;
        let dns = crate::name_service::responder(ctx, container, netns.as_fd(), made.attached())?;
        // The descriptor stays open in this process until the container has joined.
        facts.network = Source::Path(path_of(&netns));
        Ok(Self {
            attachment: Some(made),
            netns: Some(netns),
            dns,
        })
    }
}

/// This process enters a new one and goes back: it has one thread, so nobody works in the wrong one meanwhile.
fn new_network_namespace() -> std::io::Result<OwnedFd> {
    let own = sys::namespace::open_own("net")?;
    sys::namespace::unshare(flags::NEWNET)?;
    let made = sys::namespace::open_own("net");
    sys::namespace::enter(own, flags::NEWNET)?;
    made
}

/// One of our descriptors as another process finds it.
fn path_of(fd: &OwnedFd) -> PathBuf {
    format!("/proc/{}/fd/{}", std::process::id(), fd.as_raw_fd()).into()
}

/// Mounts the layers at the bundle's `rootfs`, for this process and its children alone.
fn mount_root(ctx: &Context, container: &ContainerRecord, bundle: &Path) -> Result<OwnedFd> {
    let failed = || Error::system("mount the container's root");
    sys::namespace::unshare(flags::NEWNS).map_err(failed())?;
    sys::mount::set_root_propagation(sys::mount::Propagation::Slave).map_err(failed())?;
    let rootfs = bundle.join(bundle::ROOTFS);
    std::fs::create_dir_all(&rootfs).map_err(Error::file("create", &rootfs))?;
    let mounted = runtime::mount_detached(&birth::overlay(ctx, container))?;
    let place = sys::mount::open_root(&rootfs).map_err(Error::file("open", &rootfs))?;
    sys::mount::attach(mounted.as_fd(), place.as_fd()).map_err(failed())?;
    Ok(mounted)
}

/// Puts what cannot be named by a path at one, in this process's mount namespace.
fn attach_trees(
    bundle: &Path,
    trees: &[(PathBuf, OwnedFd)],
    spec: &mut oci_spec::runtime::Spec,
) -> Result<()> {
    let failed = || Error::system("mount what the container is to share");
    for (number, (target, tree)) in trees.iter().enumerate() {
        let place = bundle.join(format!("tree-{number}"));
        let stat = rustix::fs::fstat(tree).map_err(|e| failed()(e.into()))?;
        match rustix::fs::FileType::from_raw_mode(stat.st_mode) {
            rustix::fs::FileType::Directory => std::fs::create_dir_all(&place),
            _ => std::fs::write(&place, ""),
        }
        .map_err(Error::file("create", &place))?;
        let handle = sys::mount::open_root(&place)
            .or_else(|_| open_file(&place))
            .map_err(Error::file("open", &place))?;
        sys::mount::attach(tree.as_fd(), handle.as_fd()).map_err(failed())?;
        let mounts = spec.mounts_mut().iter_mut().flatten();
        for mount in mounts.filter(|mount| mount.destination() == target) {
            mount.set_source(Some(place.clone()));
        }
    }
    Ok(())
}

fn open_file(path: &Path) -> std::io::Result<OwnedFd> {
    use rustix::fs::{Mode, OFlags};
    Ok(rustix::fs::open(
        path,
        OFlags::PATH | OFlags::CLOEXEC,
        Mode::empty(),
    )?)
}

/// A container of the other runtime that goes again when the start fails.
struct Created<'a>(Option<&'a External>);

impl Created<'_> {
    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Created<'_> {
    fn drop(&mut self) {
        if let Some(external) = self.0 {
            external.delete();
        }
    }
}
