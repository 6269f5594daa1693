//! One run of a container, from record to executing process: where image, runtime and network meet.
//!
//! Called by the monitor, which is single-threaded. Init builds the container's root while the network is set up
//! here; they meet at `Pending::start`. What was made is undone when a later step fails.

use super::external::{self, External};
use super::files::{self, Files};
use super::hooks::{self, Hooked};
use super::record::{ContainerRecord, Lifecycle};
use super::state::State;
use super::{layers, names, trees};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::spec::{self, Facts, Source, VolumeSource};
use model::container::NamespaceMode;
use model::mount::MountKind;
use model::network::NetworkMode;
use network::Attached;
use network::dns::Responder;
use oci_spec::runtime::LinuxNamespaceType;
use runtime::cgroup::Place;
use runtime::{
    Cgroup, CopyUp, Netns, Overlay, Pending, Reaper, Request, Rootfs, Started, Stdio, UserSpec,
};
use std::cell::RefCell;
use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

/// The container's own ends of its streams.
#[derive(Debug, Clone, Copy)]
pub enum Streams<'a> {
    Fds {
        stdin: BorrowedFd<'a>,
        stdout: BorrowedFd<'a>,
        stderr: BorrowedFd<'a>,
    },
    Terminal {
        rows: u16,
        columns: u16,
    },
}

/// A container that executes.
#[derive(Debug)]
pub struct Born {
    pub started: Started,
    pub cgroup: Cgroup,
    /// The runtime that carries it, when it is not this one.
    pub external: Option<External>,
    /// What is run when it has ended.
    pub hooked: Option<Hooked>,
    pub network: Option<Attached>,
    /// The network namespace, when it is the container's own.
    pub netns: Option<OwnedFd>,
    /// The mount namespace.
    pub mounts: Option<OwnedFd>,
    /// What its layers are mounted by, where they are files.
    pub layers: Vec<OwnedFd>,
    /// Its name server, which answers from the container's first instruction on.
    pub dns: Option<Responder>,
}

/// What a start needs of the host: had ahead, by a monitor that waits for its container to be made.
#[derive(Debug)]
pub struct Host {
    hierarchies: Arc<runtime::Hierarchies>,
    /// The groups of most containers, empty and without limits, until the first start takes them.
    groups: RefCell<Option<NewCgroup>>,
}

impl Host {
    pub fn look() -> Result<Self> {
        Ok(Self {
            hierarchies: Arc::new(runtime::cgroup::hierarchies()?),
            groups: RefCell::new(None),
        })
    }

    /// Makes the groups of a container to be. They go with this unless a start takes them; what fails here is tried, and told,
    /// then.
    pub fn make_groups(&self, ctx: &Context, id: &str) {
        let place = Place::below(&default_parent(ctx), id);
        let made = place.and_then(|place| Cgroup::place_on(self.hierarchies.clone(), &place, None));
        *self.groups.borrow_mut() = made.ok().map(|group| NewCgroup(Some(group)));
    }
}

/// What a monitor does while its container is being made.
pub fn rehearse(ctx: &Context) {
    super::rehearsal::play(ctx);
}

/// Starts one run.
pub fn start(
    ctx: &Context,
    container: &ContainerRecord,
    streams: Streams<'_>,
    host: &Host,
) -> Result<Born> {
    let container = &*super::api_socket::redirected(ctx, container);
    let born = start_on_its_layers(ctx, container, streams, host);
    born.map_err(|error| layers::explain(ctx, &overlay(ctx, container).lower, error))
}

fn start_on_its_layers(
    ctx: &Context,
    container: &ContainerRecord,
    streams: Streams<'_>,
    host: &Host,
) -> Result<Born> {
    if let Some(runtime) = &container.runtime {
        // It makes its own.
        drop(host.groups.take());
        return external::start(ctx, container, runtime, streams);
    }
    let facts = facts(ctx, container, streams)?;
    make_bind_sources(container)?;
    let built = spec::build(container, &facts)?;
    let trees = trees::make(ctx, container, &facts)?;
    super::contents::place(ctx, container)?;
    let files = Files::make(ctx, container)?;
    let mut hooked = hooks::prepare(ctx, container, &built)?;
    let cgroup = NewCgroup::make(ctx, container, &built, host)?;
    let mut request = request(ctx, container, &built, cgroup.cgroup(), streams, &facts);
    let mut overlay = overlay(ctx, container);
    let mut layers =
        layers::hold(ctx, &overlay.lower).map_err(Error::system("mount the layers"))?;
    overlay.lower = std::mem::take(&mut layers.paths);
    request.rootfs = Rootfs::Overlay(overlay);
    request.launch.trees = &trees.trees;
    let state = hooked.as_ref().map(|hooked| hooked.state.clone());
    request.launch.state = state.as_ref();
    let pending = runtime::spawn(&request)?;
    layers.write_down(ctx); // while init is at its mounts
    let mut attachment = None;
    let mut netns = None;
    let mut dns = None;
    if facts.network == Source::New {
        let own = network_namespace(&request, &pending)?;
        let made = Attachment::make(ctx, container, own.as_fd())?;
        dns = crate::name_service::responder(ctx, container, own.as_fd(), made.attached())?;
        attachment = Some(made);
        netns = Some(own);
    }
    let attached = attachment.as_ref().map(Attachment::attached);
    files::fill(ctx, container, attached, files)?;
    // Where the kernel gives it by the pidfd, which costs nothing.
    let mounts = pending.mount_namespace().ok();
    let started = pending.start()?;
    if let Some(hooked) = &mut hooked
        && let Err(error) = hooked.started(started.pid)
    {
        // As other runtimes: a container whose hooks fail does not run.
        let _ = sys::process::pidfd_send_signal(&started.pidfd, 9);
        let _ = sys::process::wait(&started.pidfd);
        return Err(error);
    }
    Ok(Born {
        started,
        hooked,
        mounts,
        layers: layers.held,
        cgroup: cgroup.keep(),
        external: None,
        network: attachment.map(Attachment::keep),
        netns,
        dns,
    })
}

/// The container's network namespace. Making one takes as long as all of its mounts, so it is made here while init is at
/// those; unless it has to belong to a user namespace, which only the clone can do.
fn network_namespace(request: &Request<'_>, pending: &Pending) -> Result<OwnedFd> {
    let failed = "make the container's network namespace";
    if !matches!(request.netns, Netns::Deferred) {
        return pending.netns().map_err(Error::system(failed));
    }
    let made = sys::namespace::new_network().map_err(Error::system(failed))?;
    pending.give_netns(made.as_fd())?;
    Ok(made)
}

/// A cgroup that goes again when the start fails.
#[derive(Debug)]
struct NewCgroup(Option<Cgroup>);

impl NewCgroup {
    fn make(
        ctx: &Context,
        container: &ContainerRecord,
        built: &oci_spec::runtime::Spec,
        host: &Host,
    ) -> Result<Self> {
        let resources = built.linux().as_ref().and_then(|l| l.resources().as_ref());
        let place = Place::below(&cgroup_parent(ctx, container), container.id.as_str())?;
        // To find them there takes a fifth of making them. Made again all the same: a sweep may have taken them for forgotten.
        if let Some(ready) = host.groups.take()
            && *ready.cgroup().located() == place
        {
            drop(ready.keep());
        }
        let hierarchies = host.hierarchies.clone();
        Ok(Self(Some(Cgroup::place_on(
            hierarchies,
            &place,
            resources,
        )?)))
    }

    #[allow(
        clippy::expect_used,
        reason = "taken only by keep(), which consumes self"
    )]
    fn cgroup(&self) -> &Cgroup {
        self.0
            .as_ref()
            .expect("the group is there until it is kept")
    }

    #[allow(clippy::expect_used, reason = "see cgroup()")]
    fn keep(mut self) -> Cgroup {
        self.0.take().expect("the group is there until it is kept")
    }
}

impl Drop for NewCgroup {
    fn drop(&mut self) {
        if let Some(cgroup) = self.0.take() {
            let _ = cgroup.remove();
        }
    }
}

/// The group above the container's own: as asked for, else the one of this data root.
pub fn cgroup_parent(ctx: &Context, container: &ContainerRecord) -> String {
    if let Some(parent) = &container.spec.cgroup_parent {
        return parent.trim_matches('/').to_owned();
    }
    default_parent(ctx)
}

/// The group that holds the containers of this data root.
pub fn default_parent(ctx: &Context) -> String {
    match ctx.layout.instance().as_str() {
        "" => "dockless".to_owned(),
        instance => format!("dockless-{instance}"),
    }
}

/// Endpoints that go again when the start fails.
pub(super) struct Attachment<'a> {
    ctx: &'a Context,
    attached: Option<Attached>,
}

impl<'a> Attachment<'a> {
    pub(super) fn make(
        ctx: &'a Context,
        container: &ContainerRecord,
        netns: BorrowedFd<'_>,
    ) -> Result<Self> {
        let last = Lifecycle::load(ctx, container.id.as_str())?;
        let previous = last.map(|l| l.addresses).unwrap_or_default();
        let attached = crate::networks::attach(ctx, container, netns, &previous)?;
        Ok(Self {
            ctx,
            attached: Some(attached),
        })
    }

    #[allow(
        clippy::expect_used,
        reason = "taken only by keep(), which consumes self"
    )]
    pub(super) fn attached(&self) -> &Attached {
        self.attached.as_ref().expect("attached until kept")
    }

    #[allow(clippy::expect_used, reason = "see attached()")]
    pub(super) fn keep(mut self) -> Attached {
        self.attached.take().expect("attached until kept")
    }
}

impl Drop for Attachment<'_> {
    fn drop(&mut self) {
        if let Some(attached) = self.attached.take() {
            let _ = crate::networks::detach(self.ctx, &attached);
        }
    }
}

pub(super) fn facts(
    ctx: &Context,
    container: &ContainerRecord,
    streams: Streams<'_>,
) -> Result<Facts> {
    let dir = ctx.layout.run_container(container.id.as_str());
    let spec = &container.spec;
    // A container in another's network namespace shares that one's names too.
    let (network, shared) = match &spec.network_mode {
        NetworkMode::Container(other) => {
            let other = names::resolve(ctx, other)?;
            let theirs = ctx.layout.run_container(other.id.as_str());
            (Source::Process(running(ctx, &other)?), theirs)
        }
        NetworkMode::Host => (Source::Host, dir.clone()),
        _ => (Source::New, dir.clone()),
    };
    let mut volumes = HashMap::new();
    for name in container.mounts.iter().filter_map(|m| m.volume.as_ref()) {
        let volume = crate::volume::find(ctx, name)?;
        let source = VolumeSource {
            directory: volume.mountpoint(ctx),
            flags: volume.flags(),
            is_filesystem: volume.filesystem()?.is_some(),
        };
        volumes.insert(name.clone(), source);
    }
    Ok(Facts {
        hostname_file: dir.join(files::HOSTNAME),
        contents: dir.join(super::contents::DIRECTORY),
        hosts_file: shared.join(files::HOSTS),
        resolv_file: shared.join(files::RESOLV_CONF),
        volumes,
        network,
        pid: namespace(ctx, &spec.pid_mode)?,
        ipc: namespace(ctx, &spec.ipc_mode)?,
        uts: namespace(ctx, &spec.uts_mode)?,
        cgroup: namespace(ctx, &spec.cgroupns_mode)?,
        size: match streams {
            Streams::Terminal { rows, columns } => Some((rows, columns)),
            Streams::Fds { .. } => None,
        },
        edits: crate::cdi::resolve(&ctx.config.cdi_dirs(), &spec.device_requests)?,
        linked: super::linked::environment(ctx, container),
    })
}

fn namespace(ctx: &Context, mode: &NamespaceMode) -> Result<Source> {
    Ok(match mode {
        NamespaceMode::Host => Source::Host,
        NamespaceMode::Container(name) => {
            Source::Process(running(ctx, &names::resolve(ctx, name)?)?)
        }
        _ => Source::New,
    })
}

fn running(ctx: &Context, container: &ContainerRecord) -> Result<i32> {
    match State::load(ctx, container.id.as_str())?.process() {
        Some(process) => Ok(process.pid),
        None => Err(Error::invalid(
            format!("cannot join the namespaces of container {}", container.name),
            "it is not running; start it first",
        )),
    }
}

/// `-v /srv/new:/data` makes the directory on the host, as Docker does.
pub(super) fn make_bind_sources(container: &ContainerRecord) -> Result<()> {
    for mount in &container.mounts {
        let MountKind::Bind {
            source,
            create_source,
            ..
        } = &mount.mount.kind
        else {
            continue;
        };
        let path = Path::new(source);
        if path.symlink_metadata().is_ok() {
            continue;
        }
        if !create_source {
            return Err(Error::invalid(
                format!(
                    "cannot mount {source} at {} in container {:?}",
                    mount.mount.target, container.name
                ),
                format!("bind source path does not exist: {source}"),
            ));
        }
        std::fs::create_dir_all(path).map_err(Error::file("create the bind source", path))?;
    }
    Ok(())
}

/// The image's layers with the container's own above them, and below them all the places where something is mounted in every
/// container: an image that lacks them needs none made at every start.
pub(crate) fn overlay(ctx: &Context, container: &ContainerRecord) -> Overlay {
    let dir = ctx.layout.container(container.id.as_str());
    let mut lower = container.image.files();
    lower.push(ctx.layout.mount_points());
    Overlay {
        lower,
        upper: Some((dir.join("upper"), dir.join("work"))),
        volatile: container.spec.auto_remove,
        idmap: container.userns.map(|ids| ids.map()),
    }
}

fn request<'a>(
    ctx: &Context,
    container: &ContainerRecord,
    built: &'a oci_spec::runtime::Spec,
    cgroup: &'a Cgroup,
    streams: Streams<'a>,
    facts: &Facts,
) -> Request<'a> {
    let security = spec::Security::parse(&container.spec);
    let seccomp = match security.map(|s| s.seccomp) {
        Ok(spec::Seccomp::Default) => runtime::Seccomp::Default,
        _ => runtime::Seccomp::Spec,
    };
    Request {
        spec: built,
        rootfs: Rootfs::Overlay(overlay(ctx, container)),
        stdio: match streams {
            Streams::Fds {
                stdin,
                stdout,
                stderr,
            } => Stdio::Fds {
                stdin,
                stdout,
                stderr,
            },
            Streams::Terminal { rows, columns } => Stdio::Terminal { rows, columns },
        },
        cgroup: Some(cgroup),
        netns: if facts.network == Source::New && !has_user_namespace(built) {
            Netns::Deferred
        } else {
            Netns::Spec
        },
        user: Some(UserSpec {
            user: container.process.user.clone(),
            add_groups: groups(container, facts),
        }),
        copy_up: copy_up(container, &facts.volumes),
        reaper: if container.spec.init {
            Reaper::Init
        } else {
            Reaper::None
        },
        seccomp,
        launch: runtime::Launch::default(),
    }
}

/// `--group-add`, and the groups that devices asked for by name want.
pub(super) fn groups(container: &ContainerRecord, facts: &Facts) -> Vec<String> {
    let of_devices = facts.edits.additional_gids.iter().map(u32::to_string);
    let asked = container.spec.group_add.iter().cloned();
    asked.chain(of_devices).collect()
}

fn has_user_namespace(built: &oci_spec::runtime::Spec) -> bool {
    let namespaces = built.linux().as_ref().and_then(|l| l.namespaces().as_ref());
    namespaces
        .into_iter()
        .flatten()
        .any(|namespace| namespace.typ() == LinuxNamespaceType::User)
}

/// Volumes that may still need the image's content.
pub(super) fn copy_up(
    container: &ContainerRecord,
    volumes: &HashMap<String, VolumeSource>,
) -> Vec<CopyUp> {
    let wanted = container.mounts.iter().filter_map(|m| match &m.mount.kind {
        MountKind::Volume {
            no_copy: false,
            subpath: None,
            ..
        } => Some((m.mount.target.clone(), m.volume.as_ref()?)),
        _ => None,
    });
    wanted
        .filter_map(|(target, name)| {
            let volume = volumes.get(name).filter(|volume| !volume.is_filesystem)?;
            Some(CopyUp {
                target: target.into(),
                volume: volume.directory.clone(),
            })
        })
        .collect()
}

/// Gives back what a run used of its networks. Repeatable; goes on after an error.
pub fn give_back_network(ctx: &Context, attached: &Attached) -> Result<()> {
    crate::networks::detach(ctx, attached)
}
