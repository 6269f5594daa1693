//! What a service mounts: volumes by their real names, tmpfs, other services' volumes, configs and secrets.
//!
//! A config or secret that is a plain file is bind-mounted as it is; one with a mode, an owner or its content elsewhere
//! (environment, the Compose file) is written below the data root under a name made from its content, so that
//! a change makes another file and an unchanged one is found again. Source: Compose Specification `08-configs.md`.

use super::{Surroundings, donor};
use compose_file::project::{FileObject, FileReference, FileSource, VolumesFromSource};
use compose_file::{Diagnostic, Project, Service};
use model::container::ContainerSpec;
use model::mount::{Mount, MountKind};
use sha2::{Digest, Sha256};
use std::path::PathBuf;

/// One file to be written before a container is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Material {
    /// Where it is to lie.
    pub path: PathBuf,
    pub content: Content,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
}

/// Where the content of a file comes from.
#[derive(Clone, PartialEq, Eq)]
pub enum Content {
    Bytes(Vec<u8>),
    /// Another file of the host.
    File(PathBuf),
}

/// A secret's content is nobody's business, a debug print's included.
impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "Bytes({} bytes)", bytes.len()),
            Self::File(path) => write!(f, "File({})", path.display()),
        }
    }
}

pub(super) fn fill(
    project: &Project,
    service: &Service,
    around: Surroundings<'_>,
    spec: &mut ContainerSpec,
    errors: &mut Vec<Diagnostic>,
) -> Vec<Material> {
    spec.mounts = service
        .volumes
        .iter()
        .map(|volume| volume_mount(project, volume))
        .collect();
    spec.mounts.extend(service.tmpfs.iter().cloned());
    spec.volumes_from = service
        .volumes_from
        .iter()
        .map(|from| {
            let name = match &from.source {
                VolumesFromSource::Service(name) => donor(project, name, around.separator),
                VolumesFromSource::Container(name) => name.clone(),
            };
            format!("{name}:{}", if from.read_only { "ro" } else { "rw" })
        })
        .collect();
    let mut files = Vec::new();
    for (kind, references, objects) in [
        ("configs", &service.configs, &project.configs),
        ("secrets", &service.secrets, &project.secrets),
    ] {
        for (index, reference) in references.iter().enumerate() {
            let Some(object) = objects.get(&reference.source) else {
                continue;
            };
            match file(project, around, reference, object) {
                Ok((mount, material)) => {
                    spec.mounts.push(mount);
                    files.extend(material);
                }
                Err(wrong) => {
                    let path = format!("services.{}.{kind}[{index}]", service.name);
                    errors.push(wrong.at(project, &path, kind, reference));
                }
            }
        }
    }
    files
}

fn volume_mount(project: &Project, volume: &compose_file::project::ServiceVolume) -> Mount {
    let mut mount = volume.mount.clone();
    match &mut mount.kind {
        MountKind::Volume {
            name: Some(name),
            driver,
            driver_opts,
            ..
        } => {
            if let Some(declared) = project.volumes.get(name) {
                *name = declared.name.clone();
                // The volume is there before the container: made with the project's own labels and options.
                *driver = None;
                driver_opts.clear();
            }
        }
        MountKind::Bind { non_recursive, .. } => {
            *non_recursive |= volume.recursive.as_deref() == Some("disabled");
        }
        _ => {}
    }
    mount
}

/// Why a config or secret cannot be handed over.
enum Wrong {
    External,
    Unset(String),
    Owner(&'static str, String),
}

impl Wrong {
    fn at(
        self,
        project: &Project,
        path: &str,
        kind: &str,
        reference: &FileReference,
    ) -> Diagnostic {
        let source = &reference.source;
        match self {
            Self::External => project
                .error_at(
                    path,
                    format!(
                        "unsupported external {} {source}",
                        kind.trim_end_matches('s')
                    ),
                )
                .with_hint(format!(
                    "give {kind}.{source} a `file:`, `environment:` or `content:` of its own"
                )),
            Self::Unset(variable) => project
                .error_at(
                    path,
                    format!(
                        "environment variable {variable:?} required by {kind} {source:?} is not set"
                    ),
                )
                .with_hint(format!("export {variable}=… or put it into .env")),
            Self::Owner(key, value) => project
                .error_at(
                    path,
                    format!("invalid {key} {value:?} of {kind} {source:?}"),
                )
                .with_hint("write the number of the user or group"),
        }
    }
}

fn file(
    project: &Project,
    around: Surroundings<'_>,
    reference: &FileReference,
    object: &FileObject,
) -> Result<(Mount, Option<Material>), Wrong> {
    let owned = reference.uid.is_some() || reference.gid.is_some() || reference.mode.is_some();
    let content = match &object.source {
        FileSource::External => return Err(Wrong::External),
        FileSource::File(path) if !owned => {
            return Ok((bind(path.display().to_string(), &reference.target), None));
        }
        FileSource::File(path) => Content::File(path.clone()),
        FileSource::Content(text) => Content::Bytes(text.clone().into_bytes()),
        FileSource::Environment { variable, value } => {
            let value = value
                .clone()
                .ok_or_else(|| Wrong::Unset(variable.clone()))?;
            Content::Bytes(value.into_bytes())
        }
    };
    let number = |key, text: &Option<String>| match text {
        None => Ok(0),
        Some(text) => text
            .parse::<u32>()
            .map_err(|_| Wrong::Owner(key, text.clone())),
    };
    let (uid, gid) = (
        number("uid", &reference.uid)?,
        number("gid", &reference.gid)?,
    );
    let mode = reference.mode.unwrap_or(0o444) & 0o7777;
    let path = around
        .files_root
        .join(&project.name)
        .join(file_name(&content, uid, gid, mode));
    let mount = bind(path.display().to_string(), &reference.target);
    Ok((
        mount,
        Some(Material {
            path,
            content,
            mode,
            uid,
            gid,
        }),
    ))
}

fn file_name(content: &Content, uid: u32, gid: u32, mode: u32) -> String {
    let mut hash = Sha256::new();
    match content {
        Content::Bytes(bytes) => hash.update(bytes),
        Content::File(path) => hash.update(path.as_os_str().as_encoded_bytes()),
    }
    hash.update(format!("\0{uid}:{gid}:{mode:o}"));
    crate::change::hex(&hash.finalize())
}

fn bind(source: String, target: &str) -> Mount {
    let kind = MountKind::Bind {
        source,
        create_source: false,
        propagation: None,
        non_recursive: false,
    };
    Mount {
        kind,
        target: target.to_owned(),
        read_only: true,
    }
}
