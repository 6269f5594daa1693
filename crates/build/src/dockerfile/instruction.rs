//! The instructions as typed data, variables not yet expanded.
//!
//! Source: Dockerfile reference (docs.docker.com/reference/dockerfile).

use super::Heredoc;
use model::health::Healthcheck;
use serde::Serialize;

/// What an ARG declares: names with their defaults.
pub type Declarations = Vec<(String, Option<String>)>;

/// One instruction of a stage.
#[derive(Debug, Clone, PartialEq)]
pub enum Instruction {
    /// Names with their defaults.
    Arg(Declarations),
    Env(Vec<(String, String)>),
    Label(Vec<(String, String)>),
    Run(Run),
    /// COPY and ADD.
    Copy(Copy),
    Cmd(CommandLine),
    Entrypoint(CommandLine),
    Shell(Vec<String>),
    User(String),
    Workdir(String),
    Volume(Vec<String>),
    Expose(Vec<String>),
    StopSignal(String),
    Maintainer(String),
    Healthcheck(Healthcheck),
    /// The trigger's text.
    Onbuild(String),
}

impl Instruction {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Arg(_) => "ARG",
            Self::Env(_) => "ENV",
            Self::Label(_) => "LABEL",
            Self::Run(_) => "RUN",
            Self::Copy(copy) => copy.verb.name(),
            Self::Cmd(_) => "CMD",
            Self::Entrypoint(_) => "ENTRYPOINT",
            Self::Shell(_) => "SHELL",
            Self::User(_) => "USER",
            Self::Workdir(_) => "WORKDIR",
            Self::Volume(_) => "VOLUME",
            Self::Expose(_) => "EXPOSE",
            Self::StopSignal(_) => "STOPSIGNAL",
            Self::Maintainer(_) => "MAINTAINER",
            Self::Healthcheck(_) => "HEALTHCHECK",
            Self::Onbuild(_) => "ONBUILD",
        }
    }
}

/// The two forms of RUN, CMD and ENTRYPOINT.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum CommandLine {
    /// Handed to the stage's shell.
    Shell(String),
    /// `["program", "argument"]`.
    Exec(Vec<String>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    pub command: CommandLine,
    pub heredocs: Vec<Heredoc>,
    /// `--mount` as written; see [`super::RunMount`].
    pub mounts: Vec<String>,
    pub network: RunNetwork,
    pub security: RunSecurity,
}

/// `RUN --network`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub enum RunNetwork {
    /// What the build was told.
    #[default]
    Default,
    None,
    Host,
}

/// `RUN --security`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub enum RunSecurity {
    #[default]
    Sandbox,
    /// All capabilities and devices, where the caller allows it.
    Insecure,
}

impl RunSecurity {
    pub(crate) fn is_sandbox(&self) -> bool {
        *self == Self::Sandbox
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum CopyVerb {
    Copy,
    Add,
}

impl CopyVerb {
    pub fn name(self) -> &'static str {
        match self {
            Self::Copy => "COPY",
            Self::Add => "ADD",
        }
    }
}

/// COPY and ADD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    pub verb: CopyVerb,
    pub sources: Vec<String>,
    /// Sources written in the Dockerfile itself.
    pub heredocs: Vec<Heredoc>,
    pub destination: String,
    /// Stage, image or named context; `None`: the build context.
    pub from: Option<String>,
    pub chown: Option<String>,
    pub chmod: Option<String>,
    pub exclude: Vec<String>,
    pub parents: bool,
    pub link: bool,
    /// ADD: whether archives are unpacked; `None`: local ones are.
    pub unpack: Option<bool>,
    pub checksum: Option<String>,
    pub keep_git_dir: bool,
}

/// The image a stage starts from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct From {
    /// As written, variables in it.
    pub image: String,
    pub platform: Option<String>,
    /// `AS name`, lower case.
    pub name: Option<String>,
}
