//! `create`, and the first half of `run`: checks everything, then makes the record in one rename.

use super::external;
use super::names;
use super::record::{ContainerRecord, ImageRecord, MountRecord, RuntimeRecord};
use super::{quota, resolve, userns};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::timestamp::Timestamp;
use crate::volume::{self, VolumeSpec};
use crate::{events, logs, trash};
use model::container::{ContainerSpec, NamespaceMode};
use model::id::Id;
use model::mount::{Mount, MountKind};
use model::network::NetworkMode;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use sys::lock::FileLock;

/// An image as a container is made from it.
#[derive(Debug, Clone)]
pub struct BaseImage {
    pub record: ImageRecord,
    pub config: oci::ContainerConfig,
    /// Nothing of it is collected until the container's record says that it is used.
    pub(crate) _hold: std::sync::Arc<image::Hold>,
}

/// Makes a container that can be started. Nothing stays behind when it fails.
pub fn create(
    ctx: &Context,
    spec: ContainerSpec,
    name: Option<&str>,
    image: &BaseImage,
) -> Result<ContainerRecord> {
    create_as(ctx, crate::random_id(), spec, name, image)
}

/// The same with an id chosen before, which nothing else has.
pub fn create_as(
    ctx: &Context,
    id: Id,
    mut spec: ContainerSpec,
    name: Option<&str>,
    image: &BaseImage,
) -> Result<ContainerRecord> {
    defaults(ctx, &mut spec);
    crate::spec::embed_profiles(&mut spec.security_opt)?;
    check(ctx, &spec)?;
    let runtime = external::select::select(ctx, spec.runtime.as_deref())?;
    check_runtime(&spec, runtime.as_ref())?;
    let process = resolve::process(&spec, &image.config);
    if process.args().is_empty() {
        return Err(Error::NoCommand);
    }
    let from = volumes_from(ctx, &spec)?;
    let mounts = resolve::mounts(&spec, from, &image.config);
    check_mounts(&mounts)?;
    // Held until it is seen: what says that a name without a container is not a dead one's.
    let _making = ContainerRecord::lock(ctx, id.as_str())?;
    let (name, reservation) = match name {
        Some(name) => {
            let name = name.strip_prefix('/').unwrap_or(name);
            (name.to_owned(), names::reserve(ctx, name, &id)?)
        }
        None => names::reserve_generated(ctx, &id)?,
    };
    let mut volumes = NewVolumes::of(ctx, &mounts)?;
    // Held until the record that says so is seen.
    let ids = userns::choose(ctx, &spec)?;
    volumes.mapped = ids.is_some();
    let limit = quota::choose(ctx, &spec)?;
    let record = ContainerRecord {
        created: Timestamp::now(),
        image: image.record.clone(),
        mounts: volumes.settle(mounts)?,
        hostname: hostname(ctx, &spec, &id)?,
        labels: resolve::labels(&spec, &image.config),
        stop_signal: stop_signal(&spec, &image.config)?,
        healthcheck: resolve::healthcheck(&spec, &image.config),
        exposed: resolve::exposed(&spec, &image.config),
        process,
        runtime,
        userns: ids.as_ref().map(|ids| ids.record),
        quota: limit.as_ref().map(|limit| limit.record),
        name,
        id,
        spec,
    };
    mark_static_addresses(ctx, &record.spec)?;
    place(ctx, &record)?;
    volumes.keep();
    reservation.keep();
    events::emit_container(ctx, "create", &record, &[]);
    Ok(record)
}

fn defaults(ctx: &Context, spec: &mut ContainerSpec) {
    spec.default_host_ip = spec.default_host_ip.or(ctx.config.ip);
    if let Some(driver) = ctx.config.log_driver
        && spec.log == model::log::LogConfig::default()
    {
        spec.log.driver = driver;
    }
    for (key, value) in &ctx.config.log_opts {
        spec.log
            .options
            .entry(key.clone())
            .or_insert_with(|| value.clone());
    }
}

/// What can be refused before anything is made.
fn check(ctx: &Context, spec: &ContainerSpec) -> Result<()> {
    logs::Settings::parse(&spec.log)?;
    if spec.auto_remove && spec.restart.condition != model::restart::RestartCondition::No {
        return Err(Error::invalid(
            "conflicting options",
            "cannot specify both --restart and --rm",
        ));
    }
    crate::cdi::resolve(&ctx.config.cdi_dirs(), &spec.device_requests)?;
    userns::check(spec)?;
    quota::check(ctx, spec)?;
    crate::spec::check(spec)?;
    for mode in [&spec.pid_mode, &spec.ipc_mode] {
        if let NamespaceMode::Container(name) = mode {
            names::resolve(ctx, name)?;
        }
    }
    crate::networks::check(ctx, spec)
}

/// What another runtime cannot be asked for.
fn check_runtime(spec: &ContainerSpec, runtime: Option<&RuntimeRecord>) -> Result<()> {
    let refused = |option: &str, cause: &str| {
        Err(Error::invalid(
            format!("conflicting options: {option} and --runtime"),
            cause,
        ))
    };
    match runtime {
        Some(_) if spec.init => refused(
            "--init",
            "another runtime has no init of ours; leave one of the two out",
        ),
        Some(_) if spec.userns_mode.range_size().is_some() => refused(
            "--userns=auto",
            "the layers are mapped for dockless' own runtime; leave one of the two out",
        ),
        _ => Ok(()),
    }
}

fn check_mounts(mounts: &[Mount]) -> Result<()> {
    let mut targets = std::collections::BTreeSet::new();
    for mount in mounts {
        let bad =
            |cause: &str| Error::invalid(format!("invalid mount target {:?}", mount.target), cause);
        if !mount.target.starts_with('/') {
            return Err(bad("must be an absolute path in the container"));
        }
        let clean = mount.target.trim_end_matches('/');
        if clean.is_empty() {
            return Err(bad("destination can't be '/'"));
        }
        if !targets.insert(clean.to_owned()) {
            return Err(Error::invalid(
                format!("Duplicate mount point: {clean}"),
                "mount one thing at one place",
            ));
        }
        if let MountKind::Bind {
            source,
            create_source: false,
            ..
        } = &mount.kind
            && !super::api_socket::is_source(source)
            && !std::path::Path::new(source).exists()
        {
            return Err(Error::invalid(
                "invalid mount config for type \"bind\"",
                format!("bind source path does not exist: {source}"),
            ));
        }
    }
    Ok(())
}

/// The mounts of the containers named by `--volumes-from`.
fn volumes_from(ctx: &Context, spec: &ContainerSpec) -> Result<Vec<Mount>> {
    let mut mounts = Vec::new();
    for entry in &spec.volumes_from {
        let (name, mode) = entry
            .rsplit_once(':')
            .filter(|(_, m)| matches!(*m, "ro" | "rw" | "z" | "Z"))
            .unwrap_or((entry, "rw"));
        for mount in names::resolve(ctx, name)?.mounts {
            let mut shared = mount.mount;
            if let MountKind::Volume { name, no_copy, .. } = &mut shared.kind {
                name.clone_from(&mount.volume);
                *no_copy = true;
            }
            shared.read_only |= mode == "ro";
            mounts.push(shared);
        }
    }
    Ok(mounts)
}

fn hostname(ctx: &Context, spec: &ContainerSpec, id: &Id) -> Result<String> {
    if let Some(given) = &spec.hostname {
        let fits = given.len() <= 63
            && given
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'));
        if !fits || given.is_empty() {
            return Err(Error::invalid(
                format!("invalid hostname {given:?}"),
                "up to 63 letters, digits, dots and hyphens",
            ));
        }
        return Ok(given.clone());
    }
    if spec.network_mode == NetworkMode::Host || spec.uts_mode == NamespaceMode::Host {
        return Ok(rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned());
    }
    if let NetworkMode::Container(other) = &spec.network_mode {
        return Ok(names::resolve(ctx, other)?.hostname);
    }
    Ok(id.short().to_owned())
}

fn stop_signal(spec: &ContainerSpec, image: &oci::ContainerConfig) -> Result<String> {
    let signal = spec
        .stop_signal
        .as_ref()
        .or(image.stop_signal.as_ref())
        .map_or("SIGTERM", String::as_str);
    super::kill::parse(signal)?;
    Ok(signal.to_owned())
}

/// Volumes made for this container: removed again when the container does not come to be.
struct NewVolumes<'a> {
    ctx: &'a Context,
    names: Vec<String>,
    /// The container has a user namespace.
    mapped: bool,
    /// Nobody removes them before the container is seen.
    hold: Option<FileLock>,
    /// Nor these.
    images: Vec<BaseImage>,
}

impl<'a> NewVolumes<'a> {
    fn of(ctx: &'a Context, mounts: &[Mount]) -> Result<Self> {
        let any = mounts
            .iter()
            .any(|m| matches!(m.kind, MountKind::Volume { .. }));
        Ok(Self {
            ctx,
            names: Vec::new(),
            mapped: false,
            hold: any.then(|| volume::hold(ctx)).transpose()?,
            images: Vec::new(),
        })
    }

    /// Gives every volume mount its volume.
    fn settle(&mut self, mounts: Vec<Mount>) -> Result<Vec<MountRecord>> {
        mounts
            .into_iter()
            .map(|mount| self.settle_one(mount))
            .collect()
    }

    fn settle_one(&mut self, mount: Mount) -> Result<MountRecord> {
        if let MountKind::Image { reference, .. } = &mount.kind {
            let image = crate::images::mounted(self.ctx, reference)?;
            self.images.push(image.clone());
            return Ok(MountRecord {
                image: Some(image.record),
                ..MountRecord::of(mount)
            });
        }
        let MountKind::Volume {
            name,
            driver,
            driver_opts,
            labels,
            ..
        } = &mount.kind
        else {
            return Ok(MountRecord::of(mount));
        };
        let spec = VolumeSpec {
            name: name.clone(),
            driver: driver.clone(),
            options: driver_opts.clone(),
            labels: labels.clone(),
        };
        let anonymous = name.is_none();
        let known = match name {
            Some(name) => volume::load(self.ctx, name)?.is_some(),
            None => false,
        };
        let volume = volume::create(self.ctx, &spec)?;
        let subpath = matches!(
            &mount.kind,
            MountKind::Volume {
                subpath: Some(_),
                ..
            }
        );
        if (subpath || self.mapped) && volume.filesystem()?.is_some() {
            let what = if subpath { "subpath" } else { "user namespace" };
            return Err(Error::invalid(
                format!("volume {} with a {what}", volume.name),
                "a volume that is a file system of its own is mounted whole, with the ids it has",
            ));
        }
        if !known {
            self.names.push(volume.name.clone());
        }
        Ok(MountRecord {
            volume: Some(volume.name),
            anonymous,
            ..MountRecord::of(mount)
        })
    }

    fn keep(mut self) {
        self.names.clear();
    }
}

impl Drop for NewVolumes<'_> {
    fn drop(&mut self) {
        // Removing waits until nobody holds it.
        self.hold = None;
        for name in &self.names {
            let _ = volume::remove(self.ctx, name, true);
        }
    }
}

fn mark_static_addresses(ctx: &Context, spec: &ContainerSpec) -> Result<()> {
    let fixed =
        |e: &model::network::EndpointSettings| e.ipv4_address.is_some() || e.ipv6_address.is_some();
    if !spec.networks.iter().any(fixed) {
        return Ok(());
    }
    let path = ctx.layout.static_addresses();
    std::fs::write(&path, "").map_err(Error::file("create", &path))
}

/// Makes the container's directory aside and renames it to where it is seen.
fn place(ctx: &Context, record: &ContainerRecord) -> Result<()> {
    let staging = trash::fresh(ctx, "container");
    let target = ctx.layout.container(record.id.as_str());
    let made = (|| {
        let make = |path: &std::path::Path, mode| {
            DirBuilder::new()
                .mode(mode)
                .create(path)
                .map_err(Error::file("create", path))
        };
        make(&staging, 0o710)?;
        make(&staging.join("upper"), 0o755)?;
        make(&staging.join("work"), 0o700)?;
        ::state::record::write(&staging.join("config.json"), record, record.durability())?;
        if let Some(limit) = record.quota {
            quota::set(&staging, limit)?;
        }
        std::fs::rename(&staging, &target).map_err(Error::file("create", &target))
    })();
    if made.is_err() {
        trash::delete(&staging);
    }
    made
}
