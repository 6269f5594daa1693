//! Records of the data root that cannot be read, or that speak of what is not there; and what can be done. `image` checks what it keeps.
//!
//! One damaged record keeps every command from listing its kind, so this reads each by itself.

use crate::container::record::{self, ContainerRecord, Lifecycle};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::jobs::JobRecord;
use crate::stored::StoredRecord;
use crate::timestamp::Timestamp;
use crate::trash;
use crate::volume::VolumeRecord;
use network::NetworkRecord;
use serde::de::DeserializeOwned;
use serde_json::Value;
use state::Durability;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What can be done about a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// It is made anew, what it stood for stays.
    Remake,
    /// It goes; nothing is lost with it that was not lost before.
    Drop,
    /// Files of the user's go with it: only on his word.
    DropForced,
    /// Not here.
    Nothing,
    /// It is whole, for a newer version than this one.
    Newer,
}

/// One record, or what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordFault {
    pub kind: &'static str,
    pub name: String,
    pub path: PathBuf,
    pub cause: String,
    /// Containers that stand on it.
    pub dependents: Vec<String>,
    pub way: Way,
}

/// Looks at every record.
pub fn records(ctx: &Context) -> Result<Vec<RecordFault>> {
    let mut faults = Vec::new();
    let containers = containers(ctx, &mut faults)?;
    volumes(ctx, &containers, &mut faults)?;
    networks(ctx, &containers, &mut faults)?;
    leases(ctx, &mut faults);
    let layout = &ctx.layout;
    plain::<Value>("build step", &layout.build().join("steps"), &mut faults);
    plain::<Value>("generation", &layout.generations(), &mut faults);
    plain::<StoredRecord>("secret", &layout.secrets(), &mut faults);
    plain::<StoredRecord>("config", &layout.configs(), &mut faults);
    plain::<JobRecord>("job", &layout.jobs(), &mut faults);
    plain::<Value>("service changes", &layout.services(), &mut faults);
    plain::<Value>("provider answers", &layout.providers(), &mut faults);
    plain::<Value>("manifest list", &layout.manifests(), &mut faults);
    if let Err(error) = state::record::read::<Value>(&layout.node()) {
        let name = "labels".to_owned();
        faults.push(fault("node", name, layout.node(), &error, Way::Drop));
    }
    Ok(faults)
}

fn fault(
    kind: &'static str,
    name: String,
    path: PathBuf,
    error: &(dyn std::error::Error + 'static),
    way: Way,
) -> RecordFault {
    RecordFault {
        kind,
        name,
        path,
        cause: told(error),
        dependents: Vec::new(),
        way: way_for(error, way),
    }
}

/// What is for a newer version is not this one's to take away.
fn way_for(error: &(dyn std::error::Error + 'static), way: Way) -> Way {
    let newer = |error: &state::Error| matches!(error, state::Error::Newer { .. });
    let is_newer = error.downcast_ref().is_some_and(newer)
        || matches!(error.downcast_ref(), Some(Error::Record(error)) if newer(error));
    match is_newer {
        true => Way::Newer,
        false => way,
    }
}

/// Those that can be read.
fn containers(ctx: &Context, faults: &mut Vec<RecordFault>) -> Result<Vec<ContainerRecord>> {
    let mut readable = Vec::new();
    for id in record::ids(ctx)? {
        let path = ctx.layout.container(&id);
        let fault = |cause, way| RecordFault {
            kind: "container",
            name: id[..12.min(id.len())].to_owned(),
            path: path.clone(),
            cause,
            dependents: Vec::new(),
            way,
        };
        match ContainerRecord::load(ctx, &id) {
            Err(error) => {
                let way = way_for(&error, Way::DropForced);
                faults.push(fault(told(&error), way));
            }
            Ok(None) => faults.push(fault("it has no record".to_owned(), Way::Drop)),
            Ok(Some(record)) => {
                let lost = record.image.layers.iter().find(|layer| !layer.exists());
                let lost = lost.map(|l| format!("its layer {} is missing", l.display()));
                faults.extend(lost.map(|cause| RecordFault {
                    name: record.name.clone(),
                    ..fault(cause, Way::Nothing)
                }));
                faults.extend(last_run(ctx, &record));
                readable.push(record);
            }
        }
    }
    Ok(readable)
}

/// How a container's last run went. Commands go on without it, and it is told here alone.
fn last_run(ctx: &Context, container: &ContainerRecord) -> Option<RecordFault> {
    let path = ctx
        .layout
        .container(container.id.as_str())
        .join("exit.json");
    let error = state::record::read::<Lifecycle>(&path).err()?;
    let name = container.name.clone();
    Some(fault(
        "last run of container",
        name,
        path,
        &error,
        Way::Drop,
    ))
}

fn volumes(
    ctx: &Context,
    containers: &[ContainerRecord],
    faults: &mut Vec<RecordFault>,
) -> Result<()> {
    for path in entries(&ctx.layout.volumes())? {
        let name = file_name(&path);
        if !crate::container::names::is_valid(&name) {
            continue;
        }
        let uses = |c: &&ContainerRecord| c.mounts.iter().any(|m| m.volume.as_ref() == Some(&name));
        let data = path.join("_data");
        let (cause, way) = match state::record::read::<VolumeRecord>(&path.join("record.json")) {
            Err(error) => (told(&error), way_for(&error, Way::Remake)),
            Ok(None) => ("it has no record".to_owned(), Way::Remake),
            Ok(Some(record)) if record.mountpoint(ctx) == data && !data.is_dir() => {
                ("its directory _data is missing".to_owned(), Way::Remake)
            }
            Ok(Some(_)) => continue,
        };
        let dependents = containers.iter().filter(uses);
        faults.push(RecordFault {
            kind: "volume",
            dependents: dependents.map(|c| c.name.clone()).collect(),
            name,
            path,
            cause,
            way,
        });
    }
    Ok(())
}

fn networks(
    ctx: &Context,
    containers: &[ContainerRecord],
    faults: &mut Vec<RecordFault>,
) -> Result<()> {
    for path in entries(&ctx.layout.networks())? {
        let Some(name) = file_name(&path).strip_suffix(".json").map(str::to_owned) else {
            continue;
        };
        if name.starts_with('.') {
            continue;
        }
        let Err(error) = state::record::read::<NetworkRecord>(&path) else {
            continue;
        };
        let joins = |c: &&ContainerRecord| c.spec.networks.iter().any(|n| n.network == name);
        let dependents = containers.iter().filter(joins);
        let dependents = dependents.map(|c| c.name.clone()).collect();
        faults.push(RecordFault {
            dependents,
            ..fault("network", name, path, &error, Way::Drop)
        });
    }
    Ok(())
}

/// A lease is a symbolic link, named after its address, to its holder.
fn leases(ctx: &Context, faults: &mut Vec<RecordFault>) {
    for network in entries(&ctx.layout.run_networks()).unwrap_or_default() {
        for path in entries(&network).unwrap_or_default() {
            let address = file_name(&path);
            if address.parse::<std::net::IpAddr>().is_ok() && std::fs::read_link(&path).is_err() {
                faults.push(RecordFault {
                    kind: "lease",
                    name: format!("{address} of {}", file_name(&network)),
                    cause: "it names no holder".to_owned(),
                    path,
                    dependents: Vec::new(),
                    way: Way::Drop,
                });
            }
        }
    }
}

/// Records of whatever kind, two directories deep: each is a document of a schema that is known, with what `T` has.
fn plain<T: DeserializeOwned>(kind: &'static str, root: &Path, faults: &mut Vec<RecordFault>) {
    const RECORDS: [&str; 3] = ["generation.json", "record.json", ""];
    let mut todo = vec![(root.to_owned(), 0)];
    while let Some((dir, depth)) = todo.pop() {
        for path in entries(&dir).unwrap_or_default() {
            let name = file_name(&path);
            if path.is_dir() && depth < 2 && !name.starts_with('.') {
                todo.push((path, depth + 1));
                continue;
            }
            let record =
                RECORDS.contains(&name.as_str()) || (depth == 0 && name.ends_with(".json"));
            if !record || !path.is_file() {
                continue;
            }
            if let Err(error) = state::record::read::<T>(&path) {
                let whole = depth > 0;
                let path = match whole {
                    true => dir.clone(),
                    false => path,
                };
                let below = path.strip_prefix(root).unwrap_or(&path);
                let way = match kind {
                    "secret" | "config" => Way::DropForced,
                    _ => Way::Drop,
                };
                let name = below.display().to_string();
                faults.push(fault(kind, name, path, &error, way));
            }
        }
    }
}

/// Does what can be done; `false`: the fault stays.
pub fn mend(ctx: &Context, fault: &RecordFault, force: bool) -> Result<bool> {
    match fault.way {
        Way::Nothing | Way::Newer => return Ok(false),
        Way::DropForced if !force => return Ok(false),
        Way::Remake => remake_volume(fault)?,
        Way::Drop | Way::DropForced if fault.kind == "lease" => {
            std::fs::remove_file(&fault.path).map_err(Error::file("remove", &fault.path))?;
        }
        Way::Drop | Way::DropForced => trash::discard(ctx, &fault.path)?,
    }
    Ok(true)
}

/// What a volume holds is the user's; only what was said of it is lost.
fn remake_volume(fault: &RecordFault) -> Result<()> {
    let record = fault.path.join("record.json");
    let data = fault.path.join("_data");
    std::fs::create_dir_all(&data).map_err(Error::file("make", &data))?;
    if matches!(state::record::read::<VolumeRecord>(&record), Ok(Some(_))) {
        return Ok(());
    }
    let volume = VolumeRecord {
        name: fault.name.clone(),
        created: Timestamp::now(),
        labels: BTreeMap::new(),
        options: BTreeMap::new(),
        anonymous: false,
    };
    Ok(state::record::write(&record, &volume, Durability::Durable)?)
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(dir) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(Error::file("list", dir))?,
    };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    Ok(paths)
}

fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

fn told(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{container, context};
    use crate::volume::{self, VolumeSpec};
    use model::container::ContainerSpec;

    #[test]
    fn each_damaged_record_is_named_and_only_it_goes() {
        let (_dir, ctx) = context();
        let (web, db) = (
            container(&ctx, "web", ContainerSpec::default()),
            container(&ctx, "db", ContainerSpec::default()),
        );
        let named = VolumeSpec {
            name: Some("data".into()),
            ..Default::default()
        };
        volume::create(&ctx, &named).unwrap();
        let file = ctx.layout.volume("data").join("_data/file");
        std::fs::write(&file, "kept").unwrap();
        let sound: Vec<_> = records(&ctx).unwrap();
        let sound: Vec<_> = sound.iter().filter(|f| f.way != Way::Nothing).collect();
        assert_eq!(sound, Vec::<&RecordFault>::new());
        let record = ctx.layout.container(web.id.as_str()).join("config.json");
        std::fs::write(&record, "{").unwrap();
        std::fs::write(ctx.layout.volume("data").join("record.json"), "").unwrap();
        std::fs::write(ctx.layout.networks().join("back.json"), "[]").unwrap();
        let mut faults = records(&ctx).unwrap();
        faults.retain(|fault| fault.way != Way::Nothing);
        let kinds: Vec<&str> = faults.iter().map(|fault| fault.kind).collect();
        assert_eq!(kinds, ["container", "volume", "network"]);
        let mended: Vec<bool> = faults
            .iter()
            .map(|fault| mend(&ctx, fault, false).unwrap())
            .collect();
        assert_eq!(
            mended,
            [false, true, true],
            "a container's files go on request alone"
        );
        assert!(mend(&ctx, &faults[0], true).unwrap());
        assert_eq!(std::fs::read_to_string(file).unwrap(), "kept");
        assert!(volume::load(&ctx, "data").unwrap().is_some());
        let left = ContainerRecord::list(&ctx).unwrap();
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].id, db.id);
    }

    #[test]
    fn every_kind_of_record_is_looked_at() {
        let (_dir, ctx) = context();
        let web = container(&ctx, "web", ContainerSpec::default());
        let layout = &ctx.layout;
        let places = [
            layout.container(web.id.as_str()).join("exit.json"),
            layout.build().join("steps/aa.json"),
            layout.generations().join("shop/1/generation.json"),
            layout.secrets().join("key/record.json"),
            layout.configs().join("motd/record.json"),
            layout.jobs().join("shop.backup.json"),
            layout.service_changes("shop"),
            layout.provided("shop"),
            layout.manifests().join("aa.json"),
            layout.node(),
        ];
        for content in ["", "{", "\0\0\0\0", "null", r#"{"schema":99}"#] {
            for place in &places {
                std::fs::create_dir_all(place.parent().unwrap()).unwrap(); // repaired, some go with all they were in
                std::fs::write(place, content).unwrap();
            }
            let mut faults = records(&ctx).unwrap();
            faults.retain(|fault| fault.way != Way::Nothing);
            let seen: Vec<&PathBuf> = faults.iter().map(|fault| &fault.path).collect();
            let found = places.iter().filter(|place| {
                seen.iter()
                    .any(|path| path == place || Some(path.as_path()) == place.parent())
            });
            assert_eq!(found.count(), places.len(), "{content:?}: {seen:?}");
            for fault in &faults {
                let done = mend(&ctx, fault, true).unwrap();
                assert_eq!(done, !content.contains("99"), "{fault:?}");
            }
        }
    }
}
