//! What a service mounts: volumes by their real names, tmpfs, other services' volumes, configs and secrets.
//!
//! A config or secret that is a plain file is bind-mounted as it is. One with a mode, an owner or its content elsewhere (environment,
//! the Compose file, the engine's own store) is written below the data root, under a name made from its content so that an unchanged
//! one is found again, and every run of a container gets a copy of it in memory. Source: Compose Specification `08-configs.md`.

use super::{Surroundings, donor};
use compose_file::project::{FileObject, FileReference, FileSource, VolumesFromSource};
use compose_file::{Diagnostic, Project, Service};
use model::container::ContainerSpec;
use model::mount::{FileMount, Mount, MountKind, Recursion};
use sha2::{Digest, Sha256};
use std::path::PathBuf;

/// One file to be written before a container is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Material {
    /// Where it is to lie.
    pub path: PathBuf,
    pub content: Content,
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
    (service, hash): (&Service, &str),
    around: Surroundings<'_>,
    spec: &mut ContainerSpec,
    errors: &mut Vec<Diagnostic>,
) -> Vec<Material> {
    errors.extend(contradictions(project, service));
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
            match file(project, hash, around, reference, object) {
                Ok(Handed::AsItIs(mount)) => spec.mounts.push(mount),
                Ok(Handed::Copied(mount, material)) => {
                    spec.files.push(mount);
                    files.push(material);
                }
                Err(wrong) => {
                    let path = format!("services.{}.{kind}[{index}]", service.name);
                    errors.push(wrong.at(project, &path, kind, reference));
                }
            }
        }
    }
    if service.use_api_socket {
        files.push(api_socket(project, around, spec));
    }
    files
}

/// The API's socket, and the caller's accounts at registries beside it, as docker/compose `pkg/compose/apiSocket.go` does it.
fn api_socket(project: &Project, around: Surroundings<'_>, spec: &mut ContainerSpec) -> Material {
    use engine::container::api_socket::{CONFIG_DIRECTORY, mount};
    spec.mounts.push(mount());
    // Who sets it has accounts of its own.
    let has_own = spec
        .env
        .iter()
        .any(|entry| entry.split('=').next() == Some("DOCKER_CONFIG"));
    if !has_own {
        spec.env.push(format!("DOCKER_CONFIG={CONFIG_DIRECTORY}"));
    }
    let content = Content::Bytes(around.accounts.as_bytes().to_vec());
    let path = around
        .files_root
        .join(&project.name)
        .join(file_name(&content, ""));
    spec.files.push(FileMount {
        source: path.display().to_string(),
        target: format!("{CONFIG_DIRECTORY}/config.json"),
        uid: 0,
        gid: 0,
        mode: 0o444,
    });
    Material { path, content }
}

/// Bind mounts whose `recursive` does not go with the rest of them.
fn contradictions(project: &Project, service: &Service) -> Vec<Diagnostic> {
    let wrong = |(index, volume): (usize, &compose_file::project::ServiceVolume)| {
        let MountKind::Bind {
            recursion,
            propagation,
            ..
        } = &volume.mount.kind
        else {
            return None;
        };
        let error = recursion
            .check(volume.mount.read_only, propagation.as_deref())
            .err()?;
        let path = format!("services.{}.volumes[{index}].bind.recursive", service.name);
        Some(project.error_at(&path, error))
    };
    let volumes = service.volumes.iter().enumerate();
    volumes.filter_map(wrong).collect()
}

fn volume_mount(project: &Project, volume: &compose_file::project::ServiceVolume) -> Mount {
    let mut mount = volume.mount.clone();
    if let MountKind::Volume {
        name: Some(name),
        driver,
        driver_opts,
        ..
    } = &mut mount.kind
        && let Some(declared) = project.volumes.get(name)
    {
        *name = declared.name.clone();
        // The volume is there before the container: made with the project's own labels and options.
        *driver = None;
        driver_opts.clear();
    }
    mount
}

/// Why a config or secret cannot be handed over.
enum Wrong {
    /// There is none of this name in the engine's store.
    External(String),
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
            Self::External(name) => project
                .error_at(
                    path,
                    format!(
                        "external {} {source} not found: there is none of the name {name:?}",
                        kind.trim_end_matches('s')
                    ),
                )
                .with_hint(format!(
                    "make it with `docker {} create {name} FILE`, or give {kind}.{source} a `file:`, `environment:` or `content:`",
                    kind.trim_end_matches('s')
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

/// How a config or secret reaches the container.
enum Handed {
    /// The host's own file: what is written to it is seen.
    AsItIs(Mount),
    Copied(FileMount, Material),
}

fn file(
    project: &Project,
    hash: &str,
    around: Surroundings<'_>,
    reference: &FileReference,
    object: &FileObject,
) -> Result<Handed, Wrong> {
    let owned = reference.uid.is_some() || reference.gid.is_some() || reference.mode.is_some();
    let content = match &object.source {
        FileSource::External => return Err(Wrong::External(object.name.clone())),
        FileSource::File(path) if !owned => {
            let mount = bind(path.display().to_string(), &reference.target);
            return Ok(Handed::AsItIs(mount));
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
    let path = around
        .files_root
        .join(&project.name)
        .join(file_name(&content, hash));
    let mount = FileMount {
        source: path.display().to_string(),
        target: reference.target.clone(),
        uid: number("uid", &reference.uid)?,
        gid: number("gid", &reference.gid)?,
        mode: reference.mode.unwrap_or(0o444) & 0o7777,
    };
    Ok(Handed::Copied(mount, Material { path, content }))
}

/// What a file of the host holds is part of the service's hash: with other content it is another file, and a container that was made
/// with the earlier one keeps it.
fn file_name(content: &Content, service_hash: &str) -> String {
    let mut hash = Sha256::new();
    match content {
        Content::Bytes(bytes) => {
            hash.update(b"content\0");
            hash.update(bytes);
        }
        Content::File(path) => {
            hash.update(b"file\0");
            hash.update(path.as_os_str().as_encoded_bytes());
            hash.update(b"\0");
            hash.update(service_hash);
        }
    }
    crate::change::hex(&hash.finalize())
}

fn bind(source: String, target: &str) -> Mount {
    let kind = MountKind::Bind {
        source,
        create_source: false,
        propagation: None,
        recursion: Recursion::Enabled,
    };
    Mount {
        kind,
        target: target.to_owned(),
        read_only: true,
    }
}
