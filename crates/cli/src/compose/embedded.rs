//! What `stack` and `service` ask of Compose: a project by the files it came from, brought to what it says.

use super::display::Display;
use super::globals::{Globals, ProgressMode};
use super::project::up_failure;
use super::{Call, images};
use crate::failure::{Failure, Outcome};
use crate::session::Session;
use compose::plan::Plan;
use compose::up::Request;
use compose_file::Project;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

/// Which files make a project.
#[derive(Debug, Clone, Default)]
pub(crate) struct Origin {
    pub(crate) project: String,
    pub(crate) files: Vec<String>,
    pub(crate) directory: Option<PathBuf>,
    pub(crate) env_files: Vec<PathBuf>,
}

impl<'a> Call<'a> {
    /// A call that names its project whole. Its progress is for the caller to tell.
    pub(crate) fn of(session: &'a Session, origin: Origin) -> Self {
        Self {
            session,
            globals: Globals {
                files: origin.files,
                project_name: Some(origin.project),
                project_directory: origin.directory,
                env_files: origin.env_files,
                progress: ProgressMode::Quiet,
                ..Globals::default()
            },
        }
    }

    /// Brings a project up; `tell` sees the plan before anything is done.
    pub(crate) fn bring(
        &self,
        project: &Project,
        request: &Request,
        tell: &mut dyn FnMut(&Plan),
    ) -> Result<(), Failure> {
        let display = Display::new(&self.globals, true);
        let interrupted = AtomicBool::new(false);
        let run = self.running(&display, &interrupted)?;
        let output = images::build_output(true);
        let settings = images::settings(&output);
        compose::up::up(run, project, request, &settings, tell)
            .map(drop)
            .map_err(up_failure)
    }

    /// Another of Compose's verbs, with words of its own.
    pub(crate) fn verb(&self, name: &str, words: Vec<OsString>) -> Outcome {
        match super::find(name) {
            Some(verb) => verb.execute(self, &words),
            None => Err(Failure::said(format!("{name} is not there"))),
        }
    }
}
