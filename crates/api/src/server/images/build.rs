//! `/build`: the classic way, a context as one archive and progress as it comes. BuildKit's sessions are not offered.

use super::progress::{Told, tell};
use super::{ApiError, Arc, Asked, Server};
use crate::server::reply::Reply;
use crate::server::route::Answer;
use build::options::{ContextSource, DockerfileSource};
use build::{Event, Options, Progress};
use model::limits::Resources;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::PathBuf;

pub(crate) fn route(server: &Arc<Server>, asked: Asked, path: &[&str]) -> Answer {
    let method = asked.method.clone();
    match (method.as_str(), path) {
        ("POST", []) => start(server, asked),
        ("POST", ["prune"]) => prune(server, &asked),
        ("POST", ["cancel"]) => Err(ApiError::not_found("no such build")),
        _ => Err(ApiError::no_such_page()),
    }
}

/// What the cache of builds needs of the store.
pub(super) fn roots(ctx: &engine::Context) -> Result<(Vec<oci::Digest>, Vec<oci::Digest>), String> {
    build::cache::roots(&ctx.layout).map_err(|cause| engine::error::chain(&cause))
}

fn prune(server: &Server, asked: &Asked) -> Answer {
    let all = asked.query.flag("all");
    let layout = &server.ctx.layout;
    let freed = match all {
        true => build::cache::prune(layout, None).map(|pruned| pruned.bytes),
        false => build::sweep(layout),
    };
    let freed = freed.map_err(|cause| ApiError::server(engine::error::chain(&cause)))?;
    Ok(Reply::json(
        &json!({ "CachesDeleted": [], "SpaceReclaimed": freed }),
    ))
}

fn start(server: &Arc<Server>, asked: Asked) -> Answer {
    if asked.query.get("version") == Some("2") {
        return Err(ApiError::bad(
            "BuildKit's sessions are not offered here: set DOCKER_BUILDKIT=0",
        ));
    }
    let quiet = asked.query.flag("q");
    let tags = asked.query.all("t");
    let options = options(asked)?;
    let ctx = server.ctx.clone();
    tell(server.activity.begin(), quiet, move |told| {
        let teller = Teller { told, quiet };
        let built = build::build(&ctx, options, &teller).map_err(|error| failed(&error))?;
        let id = built.image.id.to_string();
        for name in &built.names {
            engine::images::emit(&ctx, "tag", &id, &name.familiar());
        }
        told.document(&json!({ "aux": { "ID": id } }));
        if quiet {
            told.document(&json!({ "stream": format!("{id}\n") }));
            return Ok(());
        }
        let short = built.image.id.short();
        told.document(&json!({ "stream": format!("Successfully built {short}\n") }));
        for tag in &tags {
            let name = tag
                .parse::<oci::Reference>()
                .map(|n| n.or_latest().familiar());
            let name = name.unwrap_or_else(|_| tag.clone());
            told.document(&json!({ "stream": format!("Successfully tagged {name}\n") }));
        }
        Ok(())
    })
}

/// In the classic builder's words, which clients look for.
fn failed(error: &build::Error) -> ApiError {
    match &*error.cause {
        build::Cause::Process { command, code } => ApiError {
            code: Some(*code),
            ..ApiError::bad(format!(
                "The command '{command}' returned a non-zero code: {code}"
            ))
        },
        build::Cause::NoRoom { code, .. } => ApiError {
            code: Some(*code),
            ..ApiError::bad(engine::error::chain(error))
        },
        _ => ApiError::bad(engine::error::chain(error)),
    }
}

/// A line of a command: what it says of errors is red.
fn line(stream: build::Stream, line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    match stream {
        build::Stream::Stdout => format!("{text}\n"),
        build::Stream::Stderr => format!("\x1b[91m{text}\n\x1b[0m"),
    }
}

fn map(asked: &Asked, key: &str) -> Result<BTreeMap<String, String>, ApiError> {
    let Some(text) = asked.query.get(key) else {
        return Ok(BTreeMap::new());
    };
    let parsed: BTreeMap<String, Option<String>> =
        serde_json::from_str(text).map_err(|e| ApiError::bad(format!("invalid {key}: {e}")))?;
    // An argument without a value is one that the client's environment has not.
    let said = parsed.into_iter().filter_map(|(k, v)| Some((k, v?)));
    Ok(said.collect())
}

fn options(asked: Asked) -> Result<Options, ApiError> {
    let query = &asked.query;
    let dockerfile = query.get("dockerfile").map(PathBuf::from);
    let labels = map(&asked, "labels")?;
    let build_args = map(&asked, "buildargs")?;
    let network = query.get("networkmode").unwrap_or_default();
    let network = build::options::parse_network(network).ok_or_else(|| {
        ApiError::bad(format!(
            "network mode {network:?} not supported by the builder"
        ))
    })?;
    let hosts = query.all("extrahosts");
    let hosts = hosts.iter().map(|text| text.parse());
    let mut options = Options::new(match query.get("remote") {
        Some(remote) => match build::Remote::parse(remote) {
            Some(parsed) => {
                ContextSource::Remote(parsed.map_err(|e| ApiError::bad(e.to_string()))?)
            }
            None => return Err(ApiError::bad(format!("invalid remote {remote:?}"))),
        },
        None => ContextSource::Empty,
    });
    options.extra_hosts = hosts.collect::<Result<_, _>>()?;
    options.tags = query.all("t");
    options.build_args = build_args;
    options.labels = labels;
    options.target = query.get("target").map(str::to_owned);
    options.no_cache = query.flag("nocache");
    options.pull = query.flag("pull");
    options.platform = query.get("platform").map(str::to_owned);
    options.shm_size = query.number::<u64>("shmsize")?.filter(|n| *n > 0);
    options.resources = resources(&asked)?;
    options.network = network;
    if let Some(path) = dockerfile.filter(|path| path.as_os_str() != "Dockerfile") {
        options.dockerfile = DockerfileSource::Path(path);
    }
    if matches!(options.context, ContextSource::Empty) {
        options.context = ContextSource::Tar(Box::new(Shared(std::sync::Mutex::new(asked.body))));
    }
    Ok(options)
}

fn resources(asked: &Asked) -> Result<Resources, ApiError> {
    let query = &asked.query;
    Ok(Resources {
        memory: query.number::<u64>("memory")?.filter(|n| *n > 0),
        memory_swap: query.number::<i64>("memswap")?.filter(|n| *n != 0),
        cpu_shares: query.number::<u64>("cpushares")?.filter(|n| *n > 0),
        cpu_period: query.number::<u64>("cpuperiod")?.filter(|n| *n > 0),
        cpu_quota: query.number::<i64>("cpuquota")?.filter(|n| *n != 0),
        cpuset_cpus: query.get("cpusetcpus").map(str::to_owned),
        cpuset_mems: query.get("cpusetmems").map(str::to_owned),
        ..Default::default()
    })
}

/// A body that may be handed to another thread.
struct Shared(std::sync::Mutex<crate::server::body::Upload>);

impl std::io::Read for Shared {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let body = self.0.get_mut();
        let body = body.unwrap_or_else(std::sync::PoisonError::into_inner);
        body.read(buffer)
    }
}

struct Teller<'a> {
    told: &'a Told,
    quiet: bool,
}

/// `[build 2/5] RUN x` in the words of the classic builder: `Step 2/5 : RUN x`.
fn told(name: &str) -> String {
    let parts = name.strip_prefix('[').and_then(|n| n.split_once("] "));
    match parts {
        Some((place, rest)) => {
            let number = place.rsplit(' ').next().unwrap_or(place);
            format!("Step {number} : {rest}\n")
        }
        None => format!("{name}\n"),
    }
}

impl Progress for Teller<'_> {
    fn event(&self, event: Event<'_>) {
        let text = match event {
            Event::Started(step) => told(&step.name),
            Event::Cached(step) => format!("{} ---> Using cache\n", told(&step.name)),
            Event::Output {
                line: said, stream, ..
            } => line(stream, said),
            Event::Warning(text) => format!("[Warning] {text}\n"),
            Event::Finished { .. } | Event::Failed { .. } => return,
        };
        if !self.quiet {
            self.told.document(&json!({ "stream": text }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_fails_is_told_as_the_classic_builder_does() {
        let error = build::Error {
            cause: Box::new(build::Cause::Process {
                command: "/bin/sh -c exit 3".into(),
                code: 3,
            }),
            excerpt: None,
        };
        let told = failed(&error);
        assert_eq!(
            told.message,
            "The command '/bin/sh -c exit 3' returned a non-zero code: 3"
        );
        assert_eq!(told.code, Some(3));
        assert_eq!(line(build::Stream::Stderr, b"x"), "\x1b[91mx\n\x1b[0m");
        assert_eq!(line(build::Stream::Stdout, b"x"), "x\n");
    }

    #[test]
    fn steps_are_told_as_the_classic_builder_does() {
        assert_eq!(told("[1/3] FROM busybox"), "Step 1/3 : FROM busybox\n");
        assert_eq!(told("[build 2/5] RUN x"), "Step 2/5 : RUN x\n");
        assert_eq!(told("exporting"), "exporting\n");
    }
}
