//! What the command line and the environment say about which project to load, and the answer.

use crate::diagnostic::Diagnostic;
use crate::project::Project;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// The global flags of `compose` and the process's environment. Paths may be relative to `current_dir`.
#[derive(Debug, Clone)]
pub struct Options {
    /// Absolute.
    pub current_dir: PathBuf,
    /// `-f`, in order; `-` is standard input. Empty: `COMPOSE_FILE`, else looked up.
    pub files: Vec<String>,
    /// `--project-directory`.
    pub project_directory: Option<PathBuf>,
    /// `-p`.
    pub project_name: Option<String>,
    /// `--profile`; `*` is all.
    pub profiles: Vec<String>,
    /// `--env-file`, in order.
    pub env_files: Vec<PathBuf>,
    /// The process's environment.
    pub environment: BTreeMap<String, String>,
    /// Services named on the command line: they and what they need are active whatever their profiles.
    pub services: Vec<String>,
    /// `config --no-interpolate` unsets it.
    pub interpolate: bool,
    /// `config --no-normalize` unsets it: no names, no default network, no implicit dependencies.
    pub normalize: bool,
    /// `config --no-consistency` unsets it.
    pub check_consistency: bool,
    /// `config --no-path-resolution` unsets it.
    pub resolve_paths: bool,
    /// `config --no-env-resolution` unsets it: `env_file` and `label_file` are not read.
    pub resolve_environment: bool,
    /// Whether the environment of every service is needed: then an `env_file` that is not there is an error. Else only that of
    /// `services` and what those need.
    pub needs_environment: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            current_dir: PathBuf::from("/"),
            files: Vec::new(),
            project_directory: None,
            project_name: None,
            profiles: Vec::new(),
            env_files: Vec::new(),
            environment: BTreeMap::new(),
            services: Vec::new(),
            interpolate: true,
            normalize: true,
            check_consistency: true,
            resolve_paths: true,
            resolve_environment: true,
            needs_environment: true,
        }
    }
}

/// A project that could be loaded.
#[derive(Debug, Clone)]
pub struct Loaded {
    pub project: Project,
    pub warnings: Vec<Diagnostic>,
}

/// Everything that kept a project from being loaded, and the warnings before that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadError {
    /// At least one; errors and warnings in the order of the files.
    pub diagnostics: Vec<Diagnostic>,
}

impl std::error::Error for LoadError {}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, diagnostic) in self.diagnostics.iter().enumerate() {
            if number > 0 {
                f.write_str("\n")?;
            }
            diagnostic.fmt(f)?;
        }
        Ok(())
    }
}
