//! From a parsed Dockerfile to an image: stages in parallel, their steps in order, each from the cache or anew.
//!
//! Two stages run at a time. Every RUN is a sandbox in a process of its own, because this one has threads.

mod bases;
mod copy;
mod imported;
mod mounts;
mod run;
mod schedule;
mod stage;
mod steps;
mod stubs;
mod undo;

use crate::dockerfile::{self, Dockerfile, Lines, Placed};
use crate::error::{Cause, Error, Excerpt};
use crate::exchange;
use crate::exchange::options::CachePlace;
use crate::files::Source;
use crate::graph::{self, Graph};
use crate::inputs::{ContextRoot, Text};
use crate::options::{ContextSource, NamedContext, Options};
use crate::progress::{Event, Progress};
use crate::remote::{Fetched, Fetcher, Remote};
use crate::scope::{self, Globals};
use crate::workspace::Workspace;
use engine::Timestamp;
use git::GitDir;
use oci::Reference;
use stage::Finished;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Mutex, PoisonError};

/// A build that succeeded.
#[derive(Debug)]
pub struct Built {
    pub image: image::Image,
    /// The tags it got, in full form.
    pub names: Vec<Reference>,
}

/// Everything the stages share.
struct Solver<'a> {
    ctx: &'a engine::Context,
    store: image::Store,
    options: &'a Options,
    file: Dockerfile,
    text: Text,
    globals: Globals,
    graph: Graph,
    context: Source,
    context_path: PathBuf,
    contexts: BTreeSet<String>,
    workspace: Workspace,
    progress: &'a dyn Progress,
    bases: bases::Bases,
    /// Named contexts that were fetched, by name.
    fetched: Mutex<BTreeMap<String, PathBuf>>,
    steps: steps::Numbers,
    /// Caches of other data roots.
    sources: Vec<exchange::Source>,
    /// Steps that were made or found, in no order.
    used: Mutex<Vec<exchange::Used>>,
    /// The next number of what is told beside the Dockerfile's steps.
    beside: AtomicUsize,
    /// What was made, to be taken away again from a full disk.
    made: &'a undo::Made,
    /// A stage has failed: the others stop.
    canceled: AtomicBool,
}

/// Builds one image.
pub fn build(
    ctx: &engine::Context,
    options: Options,
    progress: &dyn Progress,
) -> Result<Built, Error> {
    let store = ctx
        .images()
        .map_err(|error| Error::from(engine_images(error)))?;
    let (store, made) = (store.remembering(), undo::Made::default());
    let built = solve(ctx, options, progress, &store, &made);
    if let Err(error) = &built
        && image::room::is_full(error)
    {
        made.take_away(&ctx.layout, &store);
    }
    built
}

fn solve(
    ctx: &engine::Context,
    mut options: Options,
    progress: &dyn Progress,
    store: &image::Store,
    made: &undo::Made,
) -> Result<Built, Error> {
    let names = tags(&options.tags)?;
    check_platform(&options, store)?;
    let _held = store.hold().map_err(Cause::from)?;
    engine::sandbox::sweep(ctx).map_err(|error| Cause::Sweep(Box::new(error)))?;
    let Read {
        workspace,
        root,
        text,
        file,
        contexts,
        globals,
        graph,
    } = read(ctx, &mut options, store)?;
    warn(&file, &text, progress);
    let context_path = root.path.clone();
    let context = root.into_source(&text)?;
    let steps = steps::Numbers::of(&file, &graph);
    let sources = match options.no_cache {
        true => Vec::new(),
        false => exchange::open(store, &options.cache_from, progress),
    };
    let beside = AtomicUsize::new(steps.last() + 1);
    let solver = Solver {
        ctx,
        store: store.clone(),
        options: &options,
        file,
        text,
        globals,
        graph,
        context,
        context_path,
        contexts,
        workspace,
        progress,
        bases: bases::Bases::default(),
        fetched: Mutex::default(),
        steps,
        sources,
        used: Mutex::default(),
        beside,
        made,
        canceled: AtomicBool::new(false),
    };
    let finished = solver.run()?;
    solver.warn_unused_arguments(&finished);
    let built = solver.export(&finished, names)?;
    solver.leave_cache(&finished)?;
    Ok(built)
}

/// Reads the Dockerfile and what it needs, and builds nothing: what is allowed in it and probably not meant, with its place.
pub fn check(ctx: &engine::Context, mut options: Options) -> Result<Vec<Excerpt>, Error> {
    tags(&options.tags)?;
    let store = ctx
        .images()
        .map_err(|error| Error::from(engine_images(error)))?;
    let read = read(ctx, &mut options, &store)?;
    let excerpts = read.file.warnings.iter().map(|(lines, warning)| {
        let name = format!("{}: {warning}\n{}", read.text.name, read.text.name);
        Excerpt::of(&name, &read.text.text, *lines)
    });
    Ok(excerpts.collect())
}

/// All that is known before anything is done.
struct Read {
    workspace: Workspace,
    root: ContextRoot,
    text: Text,
    file: Dockerfile,
    contexts: BTreeSet<String>,
    globals: Globals,
    graph: Graph,
}

fn read(ctx: &engine::Context, options: &mut Options, store: &image::Store) -> Result<Read, Error> {
    let workspace = Workspace::new(&ctx.layout)?;
    let source = std::mem::replace(&mut options.context, ContextSource::Empty);
    let host_paths = !matches!(source, ContextSource::Tar(_) | ContextSource::Remote(_));
    let keep = match options.build_args.get("BUILDKIT_CONTEXT_KEEP_GIT_DIR") {
        Some(value) if matches!(value.as_str(), "1" | "true") => GitDir::Kept,
        _ => GitDir::Dropped,
    };
    let root = ContextRoot::open(source, &fetcher(ctx, options, &workspace), keep)?;
    let text = Text::read(&options.dockerfile, &root, host_paths)?;
    let file = dockerfile::parse(&text.text).map_err(|error| {
        let lines = error.lines;
        Cause::Syntax(error).at(&text.name, &text.text, lines)
    })?;
    let contexts: BTreeSet<String> = options.build_contexts.keys().cloned().collect();
    let (globals, graph) = plan(&file, &text, options, store, &contexts)?;
    Ok(Read {
        workspace,
        root,
        text,
        file,
        contexts,
        globals,
        graph,
    })
}

fn fetcher<'a>(
    ctx: &engine::Context,
    options: &'a Options,
    workspace: &'a Workspace,
) -> Fetcher<'a> {
    Fetcher {
        network: ctx.registries(),
        secrets: &options.secrets,
        workspace,
        ssh: match options.ssh.is_empty() {
            true => git::SshUse::Refused,
            false => git::SshUse::Allowed,
        },
    }
}

fn plan(
    file: &Dockerfile,
    text: &Text,
    options: &Options,
    store: &image::Store,
    contexts: &BTreeSet<String>,
) -> Result<(Globals, Graph), Error> {
    let automatic = scope::automatic(
        &store.platform(),
        options.target.as_deref().unwrap_or("default"),
    );
    let escape = file.directives.escape;
    let globals = Globals::new(&file.args, options.build_args.clone(), automatic, escape).map_err(
        |error| {
            let lines = error.lines;
            Cause::Syntax(error).at(&text.name, &text.text, lines)
        },
    )?;
    let graph =
        graph::plan(file, options.target.as_deref(), &globals, contexts).map_err(|error| {
            match error.lines() {
                Some(lines) => Cause::Graph(error).at(&text.name, &text.text, lines),
                None => Cause::Graph(error).into(),
            }
        })?;
    Ok((globals, graph))
}

fn tags(tags: &[String]) -> Result<Vec<Reference>, Error> {
    let parse = |tag: &String| match tag.parse::<Reference>() {
        Ok(name) if name.digest().is_some() => {
            let cause = "a name with a digest cannot be given: the digest is what comes out";
            Err(Cause::Refused {
                what: format!("tag {tag:?}"),
                cause,
            }
            .into())
        }
        Ok(name) => Ok(name.or_latest()),
        Err(source) => Err(Error::from(Cause::Tag {
            tag: tag.clone(),
            source,
        })),
    };
    tags.iter().map(parse).collect()
}

fn check_platform(options: &Options, store: &image::Store) -> Result<(), Error> {
    let Some(text) = options.platform.as_deref().filter(|text| !text.is_empty()) else {
        return Ok(());
    };
    let wanted: oci::Platform = text.parse().map_err(Cause::BadPlatform)?;
    native(&wanted, store).map_err(Error::from)
}

/// Refuses platforms whose programs this machine cannot execute.
fn native(wanted: &oci::Platform, store: &image::Store) -> Result<(), Cause> {
    let host = store.platform();
    if host.rank(wanted).is_some() {
        return Ok(());
    }
    Err(Cause::Platform {
        platform: wanted.to_string(),
        host: host.to_string(),
    })
}

fn engine_images(error: engine::Error) -> Cause {
    Cause::OpenStore(Box::new(error))
}

fn warn(file: &Dockerfile, text: &Text, progress: &dyn Progress) {
    for (lines, warning) in &file.warnings {
        progress.event(Event::Warning(&format!(
            "{}:{}: {warning}",
            text.name, lines.first
        )));
    }
    let Some(syntax) = &file.directives.syntax else {
        return;
    };
    if !syntax.starts_with("docker/dockerfile")
        && !syntax.starts_with("docker.io/docker/dockerfile")
    {
        let warning = format!(
            "{}: the frontend {syntax} is not run: the file is read as a Dockerfile",
            text.name
        );
        progress.event(Event::Warning(&warning));
    }
}

impl Solver<'_> {
    /// The failure at an instruction.
    fn at(&self, cause: Cause, lines: Lines) -> Error {
        cause.at(&self.text.name, &self.text.text, lines)
    }

    fn place<T>(&self, placed: &Placed<T>) -> impl Fn(Cause) -> Error {
        let lines = placed.lines;
        move |cause| self.at(cause, lines)
    }

    fn resolver(&self) -> graph::Resolver<'_> {
        graph::Resolver {
            stages: &self.file.stages,
            contexts: &self.contexts,
        }
    }

    /// `--build-arg` that no ARG asked for is mostly a typing mistake.
    fn warn_unused_arguments(&self, finished: &Finished) {
        let given = self
            .options
            .build_args
            .keys()
            .filter(|name| !scope::is_predefined(name));
        let declared = |name: &String| {
            let in_stages = self
                .file
                .stages
                .iter()
                .flat_map(|stage| &stage.instructions);
            let args = in_stages.filter_map(|placed| match &placed.what {
                dockerfile::Instruction::Arg(args) => Some(args),
                _ => None,
            });
            let mut all = args
                .chain(self.file.args.iter().map(|placed| &placed.what))
                .flatten();
            all.any(|(declared, _)| declared == name) || finished.state.scope.get(name).is_some()
        };
        let unused: Vec<String> = given.filter(|name| !declared(name)).cloned().collect();
        if !unused.is_empty() {
            let text = format!(
                "One or more build-args [{}] were not consumed",
                unused.join(" ")
            );
            self.progress.event(Event::Warning(&text));
        }
    }

    /// The target stage as an image in the store.
    fn export(&self, finished: &Finished, names: Vec<Reference>) -> Result<Built, Error> {
        let mut config = finished.state.image.clone();
        config.config.labels.extend(self.options.labels.clone());
        config.created = Some(finished.created.to_string());
        if let Some(epoch) = self.epoch() {
            config.created = Some(epoch.to_string());
        }
        exchange::write_inline(
            &mut config,
            self.is_inline_wanted(),
            &self.used(),
            &finished.layers,
        );
        let image = self
            .store
            .put_image(&config, &finished.layers, &names)
            .map_err(Cause::from)?;
        let reference = names.first().map(Reference::familiar).unwrap_or_default();
        engine::images::emit(self.ctx, "build", &image.id.to_string(), &reference);
        for name in &names {
            engine::images::emit(self.ctx, "tag", &image.id.to_string(), &name.familiar());
        }
        Ok(Built { image, names })
    }

    fn is_inline_wanted(&self) -> bool {
        let argument = self.options.build_args.get("BUILDKIT_INLINE_CACHE");
        let mut places = self.options.cache_to.iter().map(|to| &to.place);
        argument.is_some_and(|value| value == "1")
            || places.any(|place| *place == CachePlace::Inline)
    }

    /// The one time all records name, if the caller set one.
    fn epoch(&self) -> Option<Timestamp> {
        let argument = || {
            self.options
                .build_args
                .get("SOURCE_DATE_EPOCH")
                .and_then(|text| text.parse().ok())
        };
        let seconds: i64 = self.options.source_date_epoch.or_else(argument)?;
        Some(Timestamp(seconds.saturating_mul(1_000_000_000)))
    }

    fn fetcher(&self) -> Fetcher<'_> {
        fetcher(self.ctx, self.options, &self.workspace)
    }

    /// The directory of a named context, fetched at its first use.
    fn fetched_context(&self, name: &str, remote: &Remote) -> Result<PathBuf, Cause> {
        // Held while it is fetched: another stage that wants it waits.
        let mut all = self.fetched.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(path) = all.get(name) {
            return Ok(path.clone());
        }
        let path = match self.fetcher().context(remote, GitDir::Dropped)? {
            Fetched::Directory(path) => path,
            Fetched::Dockerfile(_) => {
                return Err(Cause::UrlContext {
                    url: remote.shown(),
                    why: "it is no archive".to_owned(),
                });
            }
        };
        all.insert(name.to_owned(), path.clone());
        Ok(path)
    }

    fn named_context(&self, name: &str) -> Option<&NamedContext> {
        self.options.build_contexts.get(name)
    }
}
