//! Volumes, configs and secrets of a service.

use super::Object;
use crate::project::{FileReference, ServiceVolume};
use model::mount::{Mount, MountKind};
use serde_json::Value;

pub(super) fn volume(volume: &ServiceVolume) -> Value {
    let mut object = Object::new();
    let mount = &volume.mount;
    let kind = match &mount.kind {
        MountKind::Bind { .. } => "bind",
        MountKind::Volume { .. } => "volume",
        MountKind::Tmpfs { .. } => "tmpfs",
        MountKind::Image { .. } => "image",
    };
    object.set("type", kind);
    match &mount.kind {
        MountKind::Bind { source, .. } => object.set("source", source.as_str()),
        MountKind::Volume { name, .. } => object.text("source", name),
        MountKind::Image { reference, .. } => object.set("source", reference.as_str()),
        MountKind::Tmpfs { .. } => {}
    }
    object.set("target", mount.target.as_str());
    object.flag("read_only", mount.read_only && kind != "image");
    object.text("consistency", &volume.consistency);
    let details = details(volume, &mount.kind);
    match kind {
        // The short form brings an empty one along.
        "volume" => object.set(kind, details.0),
        _ => object.object(kind, details),
    }
    object.into_value()
}

/// The part of the long form that is named after its type.
fn details(volume: &ServiceVolume, kind: &MountKind) -> Object {
    let mut details = Object::new();
    match kind {
        MountKind::Bind {
            create_source,
            propagation,
            ..
        } => {
            details.text("selinux", &volume.selinux);
            details.text("propagation", propagation);
            details.set("create_host_path", *create_source);
            details.text("recursive", &volume.recursive);
        }
        MountKind::Volume {
            no_copy,
            subpath,
            labels,
            ..
        } => {
            details.table("labels", labels);
            details.flag("nocopy", *no_copy);
            details.text("subpath", subpath);
        }
        MountKind::Tmpfs { size, mode, .. } => {
            details.size("size", *size);
            details.option("mode", *mode);
        }
        MountKind::Image { subpath, .. } => details.text("subpath", subpath),
    }
    details
}

/// `/run:size=65536,mode=1777`.
pub(super) fn tmpfs(mount: &Mount) -> Value {
    let MountKind::Tmpfs {
        size,
        mode,
        options,
    } = &mount.kind
    else {
        return mount.target.as_str().into();
    };
    let mut words: Vec<String> = Vec::new();
    words.extend(size.map(|size| format!("size={size}")));
    words.extend(mode.map(|mode| format!("mode={mode:o}")));
    words.extend(mount.read_only.then(|| "ro".to_owned()));
    words.extend(options.iter().cloned());
    match words.is_empty() {
        true => mount.target.as_str().into(),
        false => format!("{}:{}", mount.target, words.join(",")).into(),
    }
}

/// The target is left out when it is the usual one.
pub(super) fn file_reference(file: &FileReference, usual: &str) -> Value {
    let mut object = Object::new();
    object.set("source", file.source.as_str());
    if file.target != usual {
        object.set("target", file.target.as_str());
    }
    object.text("uid", &file.uid);
    object.text("gid", &file.gid);
    object.option("mode", file.mode.map(|mode| format!("0{mode:o}")));
    object.into_value()
}
