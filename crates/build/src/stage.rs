//! Walking through a stage: each instruction changes the image's configuration, and some become an action on the
//! filesystem. Pure: what is to be done comes out as data.
//!
//! Source: Dockerfile reference; BuildKit `dockerfile2llb/convert.go` for history texts and corners.

use crate::dockerfile::{self, Heredoc};
use crate::dockerfile::{
    CommandLine, Copy, CopyVerb, Instruction, Mistake, Placed, Run, RunMount, RunNetwork,
    RunSecurity,
};
use crate::expand;
use crate::metadata;
use crate::remote::Remote;
use crate::scope::{Globals, Scope, Variables, proxies};
use oci::{History, ImageConfig};
use serde::Serialize;
use std::path::Path;

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A stage's image so far, and the variables that hold at this point.
#[derive(Debug, Clone)]
pub struct StageState {
    pub image: ImageConfig,
    pub scope: Scope,
    /// CMD was given in this very stage, so ENTRYPOINT does not clear it.
    pub(crate) own_cmd: bool,
}

/// What an instruction asks of the filesystem.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// The configuration alone has changed.
    None,
    Run(Box<RunStep>),
    Copy(Box<CopyStep>),
    Workdir(WorkdirStep),
}

/// A RUN with everything resolved.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunStep {
    pub argv: Vec<String>,
    pub env: Variables,
    /// Given to the process, in neither key nor history.
    #[serde(skip)]
    pub proxies: Variables,
    pub user: String,
    pub cwd: String,
    pub mounts: Vec<RunMount>,
    pub network: RunNetwork,
    #[serde(skip_serializing_if = "RunSecurity::is_sandbox")]
    pub security: RunSecurity,
    /// A heredoc that opens with `#!`: name and content of the program.
    pub script: Option<(String, String)>,
}

/// A COPY or ADD with everything resolved.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CopyStep {
    pub verb: CopyVerb,
    pub sources: Vec<String>,
    /// Name and content of files written in the Dockerfile.
    pub files: Vec<(String, String)>,
    /// Absolute; ends in `/` when it must be a directory.
    pub destination: String,
    pub from: Option<String>,
    pub chown: Option<String>,
    pub chmod: Option<String>,
    pub exclude: Vec<String>,
    pub parents: bool,
    pub unpack: Option<bool>,
    /// What ADD fetches: the key has its content, and here the addresses, whose ends name files.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "shown")]
    pub remotes: Vec<Remote>,
    /// Of the one URL in them.
    #[serde(skip)]
    pub checksum: Option<oci::Digest>,
    #[serde(skip)]
    pub keep_git_dir: bool,
}

/// The directory WORKDIR makes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WorkdirStep {
    pub path: String,
    pub user: String,
}

impl StageState {
    /// A stage on an image.
    pub fn on_image(image: ImageConfig) -> Self {
        let mut scope = Scope::default();
        for entry in &image.config.env {
            let (key, value) = entry.split_once('=').unwrap_or((entry, ""));
            scope.set_env(key, value);
        }
        Self {
            image,
            scope,
            own_cmd: false,
        }
    }

    /// A stage on nothing.
    pub fn on_scratch(platform: &oci::Platform) -> Self {
        let mut image = ImageConfig {
            os: platform.os.clone(),
            architecture: platform.architecture.clone(),
            ..ImageConfig::default()
        };
        image.config.env = vec![format!("PATH={DEFAULT_PATH}")];
        image.config.working_dir = "/".to_owned();
        Self::on_image(image)
    }

    /// A stage on another stage: its ARGs hold on.
    pub fn on_stage(mut self) -> Self {
        self.own_cmd = false;
        self
    }

    /// Applies one instruction. `created` is the time that goes into the history.
    pub fn apply(
        &mut self,
        placed: &Placed<Instruction>,
        globals: &Globals,
        created: &str,
    ) -> Result<Action, Mistake> {
        let step = Words {
            scope: self.scope.clone(),
            escape: globals.escape,
        };
        match &placed.what {
            Instruction::Run(run) => self.run(run, globals, created),
            Instruction::Copy(copy) => self.copy(copy, &step, created),
            Instruction::Workdir(path) => self.workdir(&step.word(path)?, created),
            other => {
                let text = metadata::apply(self, other, &step, globals)?;
                self.record(text, true, created);
                Ok(Action::None)
            }
        }
    }

    /// Applies an instruction that changes the configuration alone, as `commit --change` and `import --change` allow.
    pub(crate) fn change(&mut self, text: &str) -> Result<(), Mistake> {
        let globals = Globals {
            escape: '\\',
            ..Globals::default()
        };
        let placed = dockerfile::parse_trigger(text).map_err(|error| error.cause)?;
        if matches!(
            placed.what,
            Instruction::Run(_) | Instruction::Copy(_) | Instruction::Arg(_)
        ) {
            let word = text.split_whitespace().next().unwrap_or_default();
            return Err(Mistake::NoChange(word.to_ascii_uppercase()));
        }
        self.apply(&placed, &globals, "").map(drop)
    }

    fn run(&mut self, run: &Run, globals: &Globals, created: &str) -> Result<Action, Mistake> {
        let words = Words {
            scope: self.scope.clone(),
            escape: globals.escape,
        };
        let mounts = run
            .mounts
            .iter()
            .map(|text| dockerfile::parse_mount(&words.word(text)?));
        let mounts = mounts.collect::<Result<Vec<_>, Mistake>>()?;
        let (argv, script) = self.argv(run);
        let args = self.scope.visible_args();
        let shown = shown_command(&argv, run);
        let text = match args.as_slice() {
            [] => format!("RUN {shown} # buildkit"),
            args => {
                let list: Vec<String> = args
                    .iter()
                    .map(|(key, value)| format!("{key}={value}"))
                    .collect();
                format!("RUN |{} {} {shown} # buildkit", list.len(), list.join(" "))
            }
        };
        self.record(text, false, created);
        Ok(Action::Run(Box::new(RunStep {
            argv,
            env: self.scope.run_env(),
            proxies: proxies(&self.scope, globals),
            user: self.image.config.user.clone(),
            cwd: self.cwd(),
            mounts,
            network: run.network,
            security: run.security,
            script,
        })))
    }

    /// What is executed: heredocs become the shell's script, a shebang makes one a program of its own.
    fn argv(&self, run: &Run) -> (Vec<String>, Option<(String, String)>) {
        let text = match &run.command {
            CommandLine::Exec(words) => return (words.clone(), None),
            CommandLine::Shell(text) => text,
        };
        let script = match run.heredocs.as_slice() {
            [only] if dockerfile::is_opening(text) => {
                if only.content.starts_with("#!") {
                    let path = format!("/dev/pipes/{}", only.name);
                    return (vec![path], Some((only.name.clone(), only.content.clone())));
                }
                only.content.clone()
            }
            several => {
                let body = |heredoc: &Heredoc| format!("\n{}{}", heredoc.raw, heredoc.name);
                text.clone() + &several.iter().map(body).collect::<String>()
            }
        };
        let mut argv = self.shell();
        argv.push(script);
        (argv, None)
    }

    fn copy(&mut self, copy: &Copy, words: &Words, created: &str) -> Result<Action, Mistake> {
        let all = |texts: &[String]| {
            texts
                .iter()
                .map(|text| words.word(text))
                .collect::<Result<Vec<_>, _>>()
        };
        let one = |text: &Option<String>| text.as_deref().map(|text| words.word(text)).transpose();
        let sources = all(&copy.sources)?;
        let files = copy.heredocs.iter().map(|heredoc| {
            let content = if heredoc.expand {
                words.body(&heredoc.content)?
            } else {
                heredoc.content.clone()
            };
            Ok((heredoc.name.clone(), content))
        });
        let files = files.collect::<Result<Vec<_>, Mistake>>()?;
        let written = words.word(&copy.destination)?;
        let destination = self.destination(&written);
        if sources.len() + files.len() > 1 && !destination.ends_with('/') {
            return Err(Mistake::DestinationNotDirectory(copy.verb.name()));
        }
        let shown: Vec<String> = sources
            .iter()
            .map(|source| image::web::shown(source))
            .collect();
        let checksum = one(&copy.checksum)?;
        let sources = match copy.verb {
            CopyVerb::Add => Sources::of_add(sources, checksum, copy.keep_git_dir)?,
            CopyVerb::Copy => Sources {
                local: sources,
                ..Sources::default()
            },
        };
        let names = shown
            .into_iter()
            .chain(files.iter().map(|(name, _)| format!("<<{name}")));
        let text = names.chain([written]).collect::<Vec<_>>().join(" ");
        self.record(
            format!("{} {text} # buildkit", copy.verb.name()),
            false,
            created,
        );
        Ok(Action::Copy(Box::new(CopyStep {
            verb: copy.verb,
            sources: sources.local,
            files,
            destination,
            from: copy.from.clone(),
            chown: one(&copy.chown)?,
            chmod: one(&copy.chmod)?,
            exclude: all(&copy.exclude)?,
            parents: copy.parents,
            unpack: copy.unpack,
            remotes: sources.remotes,
            checksum: sources.checksum,
            keep_git_dir: copy.keep_git_dir,
        })))
    }

    fn workdir(&mut self, path: &str, created: &str) -> Result<Action, Mistake> {
        if path.is_empty() {
            return Err(Mistake::Arguments {
                instruction: "WORKDIR",
                need: "exactly one argument",
            });
        }
        let whole = absolute(&self.cwd(), path);
        self.image.config.working_dir.clone_from(&whole);
        // The root is there, and so makes no layer.
        self.record(format!("WORKDIR {whole}"), whole == "/", created);
        if whole == "/" {
            return Ok(Action::None);
        }
        Ok(Action::Workdir(WorkdirStep {
            path: whole,
            user: self.image.config.user.clone(),
        }))
    }

    /// COPY's destination, absolute, its meaning as a directory kept.
    fn destination(&self, written: &str) -> String {
        let directory = written.is_empty()
            || written.ends_with('/')
            || written == "."
            || written.ends_with("/.");
        let mut path = absolute(&self.cwd(), written);
        if directory && !path.ends_with('/') {
            path.push('/');
        }
        path
    }

    pub(crate) fn cwd(&self) -> String {
        match self.image.config.working_dir.as_str() {
            "" => "/".to_owned(),
            path => path.to_owned(),
        }
    }

    pub(crate) fn shell(&self) -> Vec<String> {
        let default = || vec!["/bin/sh".to_owned(), "-c".to_owned()];
        self.image
            .config
            .shell
            .clone()
            .filter(|shell| !shell.is_empty())
            .unwrap_or_else(default)
    }

    fn record(&mut self, created_by: String, empty_layer: bool, created: &str) {
        self.image.history.push(History {
            created: Some(created.to_owned()),
            created_by,
            comment: "dockless.dockerfile.v0".to_owned(),
            empty_layer,
            ..History::default()
        });
    }
}

/// The values an instruction sees: those of its start.
pub(crate) struct Words {
    pub(crate) scope: Scope,
    escape: char,
}

impl Words {
    pub(crate) fn word(&self, text: &str) -> Result<String, Mistake> {
        Ok(expand::word(text, self.escape, &|name| {
            self.scope.get(name)
        })?)
    }

    pub(crate) fn words(&self, text: &str) -> Result<Vec<String>, Mistake> {
        Ok(expand::words(text, self.escape, &|name| {
            self.scope.get(name)
        })?)
    }

    fn body(&self, text: &str) -> Result<String, Mistake> {
        Ok(expand::body(text, self.escape, &|name| {
            self.scope.get(name)
        })?)
    }
}

/// `path` as seen from `cwd`, cleaned as Go's `path.Join` does.
fn absolute(cwd: &str, path: &str) -> String {
    let joined = if Path::new(path).is_absolute() {
        path.to_owned()
    } else {
        format!("{cwd}/{path}")
    };
    format!("/{}", crate::pattern::clean(&joined))
}

fn shown<S: serde::Serializer>(remotes: &[Remote], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(remotes.iter().map(Remote::shown))
}

/// What COPY or ADD takes.
#[derive(Default)]
struct Sources {
    local: Vec<String>,
    remotes: Vec<Remote>,
    /// What the digest of the one URL in them must be.
    checksum: Option<oci::Digest>,
}

impl Sources {
    fn of_add(
        sources: Vec<String>,
        checksum: Option<String>,
        keep_git_dir: bool,
    ) -> Result<Self, Mistake> {
        let mut found = Self::default();
        for source in sources {
            // Git's old short form for GitHub is a path here.
            match Remote::parse(&source).filter(|_| !source.starts_with("github.com/")) {
                None => found.local.push(source),
                Some(remote) => {
                    let remote = remote.map_err(|error| Mistake::Address(error.to_string()))?;
                    found.remotes.push(remote);
                }
            }
        }
        let is_git = |remote: &Remote| matches!(remote, Remote::Git(_));
        if keep_git_dir && !found.remotes.iter().any(is_git) {
            let cause = "no source is a git repository".to_owned();
            return Err(bad_flag("keep-git-dir", "true", cause));
        }
        if let Some(checksum) = checksum {
            found
                .check_by(&checksum)
                .map_err(|cause| bad_flag("checksum", &checksum, cause))?;
        }
        Ok(found)
    }

    fn check_by(&mut self, checksum: &str) -> Result<(), String> {
        match (self.local.as_slice(), self.remotes.as_mut_slice()) {
            ([], [Remote::Git(location)]) => location.set_checksum(checksum),
            ([], [Remote::Url(_)]) => {
                let digest = checksum.parse().map_err(|error| format!("{error}"))?;
                self.checksum = Some(digest);
                Ok(())
            }
            _ => Err("it is that of one source, an address of HTTP or git".to_owned()),
        }
    }
}

fn bad_flag(flag: &'static str, value: &str, cause: String) -> Mistake {
    Mistake::FlagValue {
        flag,
        value: value.to_owned(),
        cause,
    }
}

fn shown_command(argv: &[String], run: &Run) -> String {
    match &run.command {
        CommandLine::Exec(words) => words.join(" "),
        CommandLine::Shell(_) => argv.join(" "),
    }
}
