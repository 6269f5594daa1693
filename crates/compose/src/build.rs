//! Building the images of services: a service's `build` as options of the builder.

mod order;

use crate::progress::{Event, Progress, State};
use build::dockerfile::RunNetwork;
use build::options::{
    ContextSource, DockerfileSource, NamedContext, Options, Secret, SecretSource,
};
use build::{CacheFrom, CachePlace, CacheTo, Remote, Ssh};
use compose_file::project::{Build, FileReference, FileSource};
use compose_file::{Diagnostic, Project, Service};
use engine::Context;
use image::Depot;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// What the command line says about builds, and where their output goes.
#[derive(Clone)]
pub struct Settings<'a> {
    /// `--build-arg`; without a value: that of the environment.
    pub args: BTreeMap<String, Option<String>>,
    pub no_cache: bool,
    pub pull: bool,
    /// `--ssh`: over the file's of the same id.
    pub ssh: Vec<Ssh>,
    /// Called for each service with its name.
    pub output: &'a (dyn Fn(&str) -> Box<dyn build::Progress> + Sync),
}

impl std::fmt::Debug for Settings<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings")
            .field("args", &self.args)
            .field("no_cache", &self.no_cache)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("failed to build service {service}")]
    Build {
        service: String,
        #[source]
        source: build::Error,
    },
    #[error(transparent)]
    Engine(engine::Error),
    #[error("{0}")]
    Unsupported(Box<Diagnostic>),
}

/// Builds the images of the services, one after the other, a service after those whose images it builds upon.
pub fn all(
    ctx: &Context,
    project: &Project,
    services: &[&Service],
    settings: &Settings<'_>,
    progress: &dyn Progress,
) -> Result<(), Error> {
    let project = &*crate::stored::resolve(ctx, project).map_err(Error::Engine)?;
    let mut done: BTreeSet<String> = BTreeSet::new();
    for service in order::with_bases(ctx, project, services) {
        let Some(wanted) = &service.build else {
            continue;
        };
        let name = service.image_name(&project.name);
        if !done.insert(name.clone()) {
            continue;
        }
        let options = options(project, service, wanted, settings).map_err(Error::Unsupported)?;
        let tell = |text, state| {
            progress.event(Event {
                id: &format!("Image {name}"),
                text,
                state,
            })
        };
        tell("Building", State::Working);
        let output = (settings.output)(&service.name);
        if let Err(source) = build::build(ctx, options, &*output) {
            tell("Error", State::Failed);
            return Err(Error::Build {
                service: service.name.clone(),
                source,
            });
        }
        tell("Built", State::Done);
    }
    Ok(())
}

fn options(
    project: &Project,
    service: &Service,
    wanted: &Build,
    settings: &Settings<'_>,
) -> Result<Options, Box<Diagnostic>> {
    let path = |key: &str| format!("services.{}.build.{key}", service.name);
    let refuse = |key: &str, message: String| Box::new(project.error_at(&path(key), message));
    let context = match Remote::parse(&wanted.context) {
        Some(remote) => remote
            .map(ContextSource::Remote)
            .map_err(|error| refuse("context", error.to_string()))?,
        None => ContextSource::Directory(PathBuf::from(&wanted.context)),
    };
    let mut options = Options::new(context);
    options.dockerfile = dockerfile(wanted);
    options.tags = std::iter::once(service.image_name(&project.name))
        .chain(wanted.tags.iter().cloned())
        .collect();
    options.build_args = arguments(project, wanted, settings);
    options.target = wanted.target.clone();
    options.no_cache = wanted.no_cache || settings.no_cache;
    options.pull = wanted.pull || settings.pull;
    options.labels = wanted.labels.clone();
    options.no_cache_filter = wanted.no_cache_filter.clone();
    options.ulimits = wanted.ulimits.clone();
    options.privileged = wanted.privileged
        || wanted
            .entitlements
            .iter()
            .any(|entitlement| entitlement == "security.insecure");
    options.platform = service.platform.clone().or_else(|| platform(wanted));
    options.extra_hosts = wanted.extra_hosts.clone();
    options.shm_size = wanted.shm_size;
    options.network = match wanted.network.as_deref() {
        None | Some("" | "default" | "bridge") => RunNetwork::Default,
        Some("none") => RunNetwork::None,
        Some("host") => RunNetwork::Host,
        Some(other) => {
            return Err(refuse(
                "network",
                format!("a build can use the networks default, host and none, not {other:?}"),
            ));
        }
    };
    for (name, value) in &wanted.additional_contexts {
        let context = named_context(project, value)
            .map_err(|message| refuse(&format!("additional_contexts.{name}"), message))?;
        options.build_contexts.insert(name.clone(), context);
    }
    options.ssh = ssh(project, wanted, &settings.ssh).map_err(|message| refuse("ssh", message))?;
    let beside = |depot: &mut Depot| beside_project(project, depot);
    for text in &wanted.cache_from {
        let mut cache =
            CacheFrom::parse(text).map_err(|error| refuse("cache_from", error.to_string()))?;
        beside(&mut cache.depot);
        options.cache_from.push(cache);
    }
    for text in &wanted.cache_to {
        let mut cache =
            CacheTo::parse(text).map_err(|error| refuse("cache_to", error.to_string()))?;
        if let CachePlace::Depot(depot) = &mut cache.place {
            beside(depot);
        }
        options.cache_to.push(cache);
    }
    for secret in &wanted.secrets {
        let handed = self::secret(project, secret).map_err(|message| refuse("secrets", message))?;
        options.secrets.push(handed);
    }
    Ok(options)
}

/// Of several platforms this host's own, else the first, which the builder then refuses.
fn platform(wanted: &Build) -> Option<String> {
    let host = oci::Platform::host();
    let own = |text: &&String| {
        text.parse::<oci::Platform>()
            .is_ok_and(|asked| (&asked.os, &asked.architecture) == (&host.os, &host.architecture))
    };
    let all = &wanted.platforms;
    all.iter().find(own).or_else(|| all.first()).cloned()
}

fn dockerfile(wanted: &Build) -> DockerfileSource {
    match (&wanted.dockerfile_inline, wanted.dockerfile.as_deref()) {
        (Some(text), _) => DockerfileSource::Text(text.clone()),
        (None, None | Some("Dockerfile")) => DockerfileSource::InContext,
        (None, Some(path)) if wanted.is_remote() => DockerfileSource::Path(path.into()),
        (None, Some(path)) => DockerfileSource::Path(PathBuf::from(&wanted.context).join(path)),
    }
}

/// The file's arguments with the command line's over them; one without a value takes that of the environment.
fn arguments(
    project: &Project,
    wanted: &Build,
    settings: &Settings<'_>,
) -> BTreeMap<String, String> {
    let all = wanted.args.iter().chain(&settings.args);
    let mut arguments = BTreeMap::new();
    for (key, value) in all {
        match value.as_ref().or_else(|| project.environment.get(key)) {
            Some(value) => drop(arguments.insert(key.clone(), value.clone())),
            None => drop(arguments.remove(key)),
        }
    }
    arguments
}

fn named_context(project: &Project, value: &str) -> Result<NamedContext, String> {
    if let Some(name) = value.strip_prefix("service:") {
        let base = project
            .service(name)
            .ok_or_else(|| format!("no such service: {name}"))?;
        return Ok(NamedContext::Image(base.image_name(&project.name)));
    }
    NamedContext::parse(&format!("x={value}"))
        .map(|(_, context)| context)
        .map_err(|error| error.cause.into_owned())
}

/// Directories of the file are found from the project's, as all of its paths are.
fn beside_project(project: &Project, depot: &mut Depot) {
    if let Depot::Layout { dir, .. } = depot {
        *dir = project.working_dir.join(&*dir);
    }
}

/// The file's agents and keys with the command line's over them.
fn ssh(project: &Project, wanted: &Build, given: &[Ssh]) -> Result<Vec<Ssh>, String> {
    let env = |name: &str| project.environment.get(name).cloned();
    let own = wanted
        .ssh
        .iter()
        .filter(|key| !given.iter().any(|given| given.id == key.id));
    let own = own.map(|key| {
        let paths = key.path.iter().map(PathBuf::from).collect();
        Ssh::new(&key.id, paths, &env).map_err(|cause| format!("invalid ssh {:?}: {cause}", key.id))
    });
    own.chain(given.iter().cloned().map(Ok)).collect()
}

/// A secret under the last part of its target, with the owner and mode it is to have where a mount says none.
fn secret(project: &Project, wanted: &FileReference) -> Result<Secret, String> {
    let number = |key: &str, text: &Option<String>| match text {
        None => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|_| {
            format!(
                "invalid {key} {text:?} of secret {}: write a number",
                wanted.source
            )
        }),
    };
    let name = wanted.target.rsplit('/').next();
    Ok(Secret {
        id: name.unwrap_or(&wanted.source).to_owned(),
        source: secret_source(project, &wanted.source)?,
        uid: number("uid", &wanted.uid)?,
        gid: number("gid", &wanted.gid)?,
        mode: wanted.mode,
    })
}

fn secret_source(project: &Project, key: &str) -> Result<SecretSource, String> {
    let secret = project
        .secrets
        .get(key)
        .ok_or_else(|| format!("no such secret: {key}"))?;
    match &secret.source {
        FileSource::File(path) => Ok(SecretSource::File(path.clone())),
        FileSource::Content(text) => Ok(SecretSource::Value(text.clone().into_bytes())),
        FileSource::Environment {
            value: Some(value), ..
        } => Ok(SecretSource::Value(value.clone().into_bytes())),
        FileSource::Environment { variable, .. } => Err(format!(
            "the variable {variable} of secret {key} is not set"
        )),
        FileSource::External => Err(format!(
            "there is no secret {:?}: make it with `docker secret create {} FILE`",
            secret.name, secret.name
        )),
    }
}

/// Keys of `build` that are read but not acted upon.
pub fn ignored<'a>(
    project: &Project,
    services: impl IntoIterator<Item = &'a Service>,
) -> Vec<Diagnostic> {
    let mut all = Vec::new();
    for service in services {
        let Some(wanted) = &service.build else {
            continue;
        };
        let asks = |value: &Option<String>| {
            let value = value.as_deref();
            value.is_some_and(|value| !matches!(value, "false" | "0" | ""))
        };
        let said = [
            (
                wanted.platforms.len() > 1,
                "platforms",
                "only this host's own is built",
            ),
            (
                wanted.isolation.is_some(),
                "isolation",
                "only Windows containers know it",
            ),
            (
                asks(&wanted.provenance),
                "provenance",
                "no attestations are made",
            ),
            (asks(&wanted.sbom), "sbom", "no attestations are made"),
        ];
        for (_, key, why) in said.iter().filter(|(is, ..)| *is) {
            let path = format!("services.{}.build.{key}", service.name);
            all.push(project.warning_at(&path, format!("no effect: {why}")));
        }
    }
    all
}
