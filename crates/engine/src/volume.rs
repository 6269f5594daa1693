//! Named and anonymous volumes: a directory with a record beside it.
//!
//! `volumes/<name>/record.json` and `volumes/<name>/_data`; made whole in the trash directory and renamed
//! into place, so a volume that is there is complete.

mod filesystem;

pub(crate) use filesystem::Filesystem;

use crate::container::record::ContainerRecord;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::timestamp::Timestamp;
use crate::trash::Leftovers;
use crate::{events, trash};
use model::filter::Filters;
use serde::{Deserialize, Serialize};
use state::{Durability, record};
use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use sys::lock::FileLock;

/// What `docker volume create` is told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VolumeSpec {
    /// `None`: 64 random hexadecimal digits, an anonymous volume.
    pub name: Option<String>,
    pub driver: Option<String>,
    pub options: BTreeMap<String, String>,
    pub labels: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeRecord {
    pub name: String,
    pub created: Timestamp,
    pub labels: BTreeMap<String, String>,
    pub options: BTreeMap<String, String>,
    /// Nobody named it: `volume prune` takes it, and `rm -v` of its container.
    pub anonymous: bool,
}

/// The label Docker marks anonymous volumes with.
pub const ANONYMOUS_LABEL: &str = "com.docker.volume.anonymous";

impl VolumeRecord {
    /// Where the data lies: a directory below the data root, or the host directory that the options bind.
    pub fn mountpoint(&self, ctx: &Context) -> PathBuf {
        match bound_directory(&self.options) {
            Some(device) => device,
            None => ctx.layout.volume(&self.name).join("_data"),
        }
    }

    /// The file system that is mounted for it where it is no directory of ours.
    pub(crate) fn filesystem(&self) -> Result<Option<Filesystem>> {
        Filesystem::of(&self.options)
    }

    /// What its options say of every mount of it.
    pub(crate) fn flags(&self) -> Vec<String> {
        let words = self.options.get("o").map_or("", String::as_str).split(',');
        words
            .filter(|word| FLAGS.contains(word))
            .map(str::to_owned)
            .collect()
    }
}

/// The words of `o` that say something of a mount of it, whatever it is: mount(8), "FILESYSTEM-INDEPENDENT MOUNT OPTIONS".
const FLAGS: [&str; 7] = [
    "ro",
    "nosuid",
    "nodev",
    "noexec",
    "noatime",
    "nodiratime",
    "nosymfollow",
];

/// The local driver's `type=none,o=bind,device=/path`: a host directory under a volume's name.
fn bound_directory(options: &BTreeMap<String, String>) -> Option<PathBuf> {
    let bind = options
        .get("o")
        .is_some_and(|o| o.split(',').any(|w| w == "bind" || w == "rbind"));
    bind.then(|| options.get("device").map(PathBuf::from))
        .flatten()
}

/// Makes a volume; one of that name that is there already is returned as it is, as Docker does.
pub fn create(ctx: &Context, spec: &VolumeSpec) -> Result<VolumeRecord> {
    check(spec)?;
    let anonymous = spec.name.is_none();
    let name = match &spec.name {
        Some(name) => name.clone(),
        None => crate::random_id().to_string(),
    };
    let path = ctx.layout.lock("volume", &name);
    let _lock = FileLock::exclusive(&path).map_err(Error::file("lock", &path))?;
    if let Some(found) = load(ctx, &name)? {
        return Ok(found);
    }
    let mut labels = spec.labels.clone();
    if anonymous {
        labels.insert(ANONYMOUS_LABEL.into(), String::new());
    }
    let volume = VolumeRecord {
        name,
        created: Timestamp::now(),
        labels,
        options: spec.options.clone(),
        anonymous,
    };
    make(ctx, &volume)?;
    events::emit(
        ctx,
        "volume",
        "create",
        &volume.name,
        BTreeMap::from([("driver".into(), "local".into())]),
    );
    Ok(volume)
}

fn make(ctx: &Context, volume: &VolumeRecord) -> Result<()> {
    let staging = trash::fresh(ctx, "volume");
    let data = staging.join("_data");
    let made = DirBuilder::new()
        .recursive(true)
        .mode(0o701)
        .create(&staging)
        .and_then(|()| DirBuilder::new().mode(0o755).create(&data))
        .map_err(Error::file("create", &data));
    let target = ctx.layout.volume(&volume.name);
    let placed = made
        .and_then(|()| {
            Ok(record::write(
                &staging.join("record.json"),
                volume,
                Durability::Durable,
            )?)
        })
        .and_then(|()| std::fs::rename(&staging, &target).map_err(Error::file("create", &target)));
    if placed.is_err() {
        let _ = std::fs::remove_dir_all(&staging);
    }
    placed
}

fn check(spec: &VolumeSpec) -> Result<()> {
    if let Some(driver) = &spec.driver
        && driver != "local"
        && !driver.is_empty()
    {
        return Err(Error::invalid(
            format!("volume driver {driver:?}"),
            "only the driver \"local\" exists here; use a bind mount of the share's mount point",
        ));
    }
    if let Some(name) = &spec.name
        && !crate::container::names::is_valid(name)
    {
        return Err(Error::invalid(
            format!("create {name}: {name:?} includes invalid characters for a local volume name"),
            "only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed; for a host directory pass an absolute path",
        ));
    }
    for (key, value) in &spec.options {
        let known = matches!(key.as_str(), "type" | "o" | "device");
        if !known {
            return Err(Error::invalid(
                format!("volume option {key:?}"),
                "known are type, o and device",
            ));
        }
        let plain = matches!(value.as_str(), "none" | "bind") || filesystem::is_known(value);
        if key == "type" && !plain {
            return Err(Error::invalid(
                format!("volume type {value:?}"),
                "known are none, tmpfs, nfs, nfs4, cifs and smb3; mount another one on the host and bind it",
            ));
        }
    }
    if let Some(filesystem) = Filesystem::of(&spec.options)? {
        filesystem.check()?;
    }
    if let Some(device) = bound_directory(&spec.options)
        && !device.is_absolute()
    {
        return Err(Error::invalid(
            format!("volume device {}", device.display()),
            "must be an absolute path",
        ));
    }
    Ok(())
}

pub fn load(ctx: &Context, name: &str) -> Result<Option<VolumeRecord>> {
    if !crate::container::names::is_valid(name) {
        return Ok(None);
    }
    Ok(record::read(&ctx.layout.volume(name).join("record.json"))?)
}

pub fn find(ctx: &Context, name: &str) -> Result<VolumeRecord> {
    load(ctx, name)?.ok_or_else(|| Error::NoSuchVolume(name.to_owned()))
}

/// The keys of `volume ls --filter`.
pub const FILTERS: &[&str] = &["dangling", "driver", "label", "name"];

/// Volumes that fit the filters.
pub fn selected(ctx: &Context, filters: &Filters) -> Result<Vec<VolumeRecord>> {
    let flag = filters.flag("dangling");
    let dangling = flag.map_err(|e| Error::invalid("filter", e.to_string()))?;
    let mut volumes = Vec::new();
    for record in list(ctx)? {
        let fits = filters.matches_name("name", &record.name)
            && filters.matches_labels(&record.labels)
            && filters.matches_exact("driver", "local");
        let used = dangling.is_some() && !users(ctx, &record.name)?.is_empty();
        if fits && dangling.is_none_or(|wanted| wanted != used) {
            volumes.push(record);
        }
    }
    Ok(volumes)
}

/// All volumes, by name.
pub fn list(ctx: &Context) -> Result<Vec<VolumeRecord>> {
    let dir = ctx.layout.volumes();
    let mut volumes = Vec::new();
    for entry in std::fs::read_dir(&dir).map_err(Error::file("list", &dir))? {
        let entry = entry.map_err(Error::file("list", &dir))?;
        if let Some(volume) = entry
            .file_name()
            .to_str()
            .map(|n| load(ctx, n))
            .transpose()?
            .flatten()
        {
            volumes.push(volume);
        }
    }
    volumes.sort_by(|a: &VolumeRecord, b| a.name.cmp(&b.name));
    Ok(volumes)
}

/// The containers (by id) that mount a volume.
pub fn users(ctx: &Context, name: &str) -> Result<Vec<String>> {
    let uses = |c: &ContainerRecord| c.mounts.iter().any(|m| m.volume.as_deref() == Some(name));
    Ok(ContainerRecord::list(ctx)?
        .iter()
        .filter(|c| uses(c))
        .map(|c| c.id.to_string())
        .collect())
}

/// Held by who makes a container, from the settling of its volumes until it is seen.
pub(crate) fn hold(ctx: &Context) -> Result<FileLock> {
    let path = creations(ctx);
    FileLock::shared(&path).map_err(Error::file("lock", &path))
}

/// No container is being made while this is held.
fn stillness(ctx: &Context) -> Result<FileLock> {
    let path = creations(ctx);
    FileLock::exclusive(&path).map_err(Error::file("lock", &path))
}

/// No volume can have this name.
fn creations(ctx: &Context) -> PathBuf {
    ctx.layout.lock("volume", ".creations")
}

/// Removes a volume that no container mounts.
pub fn remove(ctx: &Context, name: &str, force: bool) -> Result<()> {
    take_apart(ctx, name, force, &mut Leftovers::default())
}

/// The same; its files are deleted with the leftovers.
pub(crate) fn take_apart(
    ctx: &Context,
    name: &str,
    force: bool,
    leftovers: &mut Leftovers,
) -> Result<()> {
    // A container that is just being made has settled its volumes, but is not seen yet. Taken before the volume's
    // own lock, as who makes a container takes them.
    let _still = stillness(ctx)?;
    let path = ctx.layout.lock("volume", name);
    let _lock = FileLock::exclusive(&path).map_err(Error::file("lock", &path))?;
    if load(ctx, name)?.is_none() {
        return if force {
            Ok(())
        } else {
            Err(Error::NoSuchVolume(name.to_owned()))
        };
    }
    let users = users(ctx, name)?;
    if !users.is_empty() {
        return Err(Error::VolumeInUse {
            volume: name.to_owned(),
            users,
        });
    }
    leftovers.add(ctx, &ctx.layout.volume(name))?;
    let _ = std::fs::remove_file(&path);
    events::emit(
        ctx,
        "volume",
        "destroy",
        name,
        BTreeMap::from([("driver".into(), "local".into())]),
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{container, context, refusal};
    use model::container::ContainerSpec;
    use std::path::Path;

    fn named(name: &str, options: &[(&str, &str)]) -> VolumeSpec {
        VolumeSpec {
            name: Some(name.into()),
            options: options
                .iter()
                .map(|(k, v)| ((*k).into(), (*v).into()))
                .collect(),
            ..Default::default()
        }
    }

    #[test]
    fn a_volume_is_made_once_and_found_again() {
        let (_dir, ctx) = context();
        let made = create(&ctx, &named("data", &[])).unwrap();
        assert!(made.mountpoint(&ctx).is_dir());
        assert_eq!(create(&ctx, &named("data", &[])).unwrap(), made);
        assert_eq!(list(&ctx).unwrap(), [made]);
        remove(&ctx, "data", false).unwrap();
        assert!(list(&ctx).unwrap().is_empty());
        assert!(matches!(
            remove(&ctx, "data", false),
            Err(Error::NoSuchVolume(_))
        ));
        remove(&ctx, "data", true).unwrap();
    }

    #[test]
    fn an_anonymous_volume_is_marked_as_docker_marks_it() {
        let (_dir, ctx) = context();
        let made = create(&ctx, &VolumeSpec::default()).unwrap();
        assert!(made.anonymous && made.name.len() == 64);
        assert!(made.labels.contains_key(ANONYMOUS_LABEL));
    }

    #[test]
    fn a_volume_in_use_stays_and_says_by_whom() {
        let (_dir, ctx) = context();
        let mount = model::mount::parse_volume("data:/data", Path::new("/")).unwrap();
        let web = container(
            &ctx,
            "web",
            ContainerSpec {
                mounts: vec![mount],
                ..Default::default()
            },
        );
        let Err(Error::VolumeInUse { users, .. }) = remove(&ctx, "data", true) else {
            panic!("it is in use");
        };
        assert_eq!(users, [web.id.to_string()]);
    }

    #[test]
    fn a_volume_settled_for_a_container_that_is_being_made_is_not_removed_under_it() {
        let (_dir, ctx) = context();
        create(&ctx, &named("data", &[])).unwrap();
        let making = hold(&ctx).unwrap();
        let removed = std::thread::scope(|scope| {
            let removing = scope.spawn(|| remove(&ctx, "data", false));
            assert!(load(&ctx, "data").unwrap().is_some());
            drop(making);
            removing.join().unwrap()
        });
        removed.unwrap();
    }

    #[test]
    fn what_the_local_driver_cannot_do_is_refused() {
        let (_dir, ctx) = context();
        let refused = |spec: &VolumeSpec| refusal(create(&ctx, spec));
        let driver = VolumeSpec {
            driver: Some("nfs".into()),
            ..named("data", &[])
        };
        assert!(refused(&driver).starts_with("volume driver"));
        assert!(refused(&named("../x", &[])).contains("includes invalid characters"));
        assert!(refused(&named("data", &[("speed", "high")])).contains("known are"));
        assert!(refused(&named("data", &[("type", "zfs")])).starts_with("volume type"));
        let relative = [("type", "none"), ("o", "bind"), ("device", "srv")];
        assert!(refused(&named("data", &relative)).contains("absolute"));
        let bound = [("type", "none"), ("o", "bind"), ("device", "/srv")];
        let made = create(&ctx, &named("bound", &bound)).unwrap();
        assert_eq!(made.mountpoint(&ctx), Path::new("/srv"));
    }
}
