//! Volumes, configs and secrets of a service.

use super::Object;
use crate::project::{FileReference, ServiceVolume};
use model::mount::MountKind;
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
        "volume" => {
            let mut bind = Object::new();
            bind.text("selinux", &volume.selinux);
            object.object("bind", bind);
            if volume.has_volume || !details.0.is_empty() {
                object.set(kind, details.0);
            }
        }
        _ => object.object(kind, details),
    }
    object.into_value()
}

/// The part of the long form that is named after its type.
fn details(volume: &ServiceVolume, kind: &MountKind) -> Object {
    let mut details = Object::new();
    match kind {
        MountKind::Bind { propagation, .. } => {
            details.text("selinux", &volume.selinux);
            details.text("propagation", propagation);
            details.option("create_host_path", volume.create_host_path);
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

/// The target is shown as it is written, else `usual` where one is to be shown.
pub(super) fn file_reference(file: &FileReference, usual: Option<&str>) -> Value {
    let mut object = Object::new();
    object.set("source", file.source.as_str());
    object.option("target", file.written.as_deref().or(usual));
    object.text("uid", &file.uid);
    object.text("gid", &file.gid);
    object.option("mode", file.mode.map(|mode| format!("0{mode:o}")));
    object.into_value()
}
