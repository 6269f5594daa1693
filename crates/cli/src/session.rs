//! One call of the command line: who we are called as, the options before the command, the engine once opened.

use crate::failure::{Failure, Outcome};
use crate::globals::{Globals, Verbosity};
use crate::output::{self, terminal};
use anstyle::AnsiColor;
use engine::container::launch::Ahead;
use engine::context::{Context, Options};
use std::cell::{OnceCell, RefCell};
use std::path::{Path, PathBuf};

/// The name the binary was called by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Program {
    Dockless,
    Docker,
    DockerCompose,
}

impl Program {
    /// By `argv[0]`.
    pub(crate) fn from_name(name: &str) -> Self {
        match name {
            "docker" => Self::Docker,
            "docker-compose" => Self::DockerCompose,
            _ => Self::Dockless,
        }
    }
}

impl std::fmt::Display for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Dockless => "dockless",
            Self::Docker => "docker",
            Self::DockerCompose => "docker-compose",
        })
    }
}

/// So many containers are stopped or removed at a time.
const AT_ONCE: usize = 16;

#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) program: Program,
    pub(crate) globals: Globals,
    engine: OnceCell<Context>,
    /// The monitor of a container that will be made.
    ahead: RefCell<Option<Ahead>>,
}

impl Session {
    pub(crate) fn new(program: Program, globals: Globals) -> Self {
        Self {
            program,
            globals,
            engine: OnceCell::new(),
            ahead: RefCell::new(None),
        }
    }

    /// The engine; opened when first asked for, so that `version` and help touch nothing.
    pub(crate) fn engine(&self) -> Result<&Context, Failure> {
        if let Some(engine) = self.engine.get() {
            return Ok(engine);
        }
        let options = Options {
            data_root: self.globals.data_root.clone(),
            run_root: self.globals.run_root.clone(),
            image_dirs: self.globals.image_dirs.clone(),
            config: self.globals.engine_config.clone(),
            docker_config: self.docker_config(),
            waiting: image::registry::Waiting(Some(|text| output::note(text))),
        };
        let opened = Context::open(&options)?;
        Ok(self.engine.get_or_init(|| opened))
    }

    /// Executes the monitor of a container to be made. On a host where nothing was ever made nothing is before the command line is
    /// known to be right; what fails is tried, and told, by [`Session::monitor`].
    pub(crate) fn begin_monitor(&self) {
        let root = self.globals.data_root.as_deref();
        if root
            .unwrap_or(Path::new(engine::context::DATA_ROOT))
            .is_dir()
            && let Ok(engine) = self.engine()
        {
            *self.ahead.borrow_mut() = Ahead::execute(engine).ok();
        }
    }

    /// The monitor that was executed before, or a new one.
    pub(crate) fn monitor(&self) -> Result<Ahead, Failure> {
        match self.ahead.borrow_mut().take() {
            Some(ahead) => Ok(ahead),
            None => Ahead::execute(self.engine()?).map_err(Failure::Start),
        }
    }

    /// Docker's `config.json`: of `--config`, DOCKER_CONFIG, or the home directory. Only registry credentials are there.
    fn docker_config(&self) -> Option<PathBuf> {
        let home = || {
            std::env::var_os("HOME")
                .filter(|home| !home.is_empty())
                .map(|home| PathBuf::from(home).join(".docker"))
        };
        self.globals
            .docker_config
            .clone()
            .or_else(home)
            .map(|dir| dir.join("config.json"))
    }

    /// Does one thing for each name, goes on after an error, and exits with 1 when there was one.
    pub(crate) fn each<S: AsRef<str>>(
        &self,
        names: &[S],
        mut act: impl FnMut(&str) -> Result<(), Failure>,
    ) -> Outcome {
        let mut code = 0;
        for name in names {
            match act(name.as_ref()) {
                Ok(()) => {}
                Err(Failure::Silent(silent)) => return Err(Failure::Silent(silent)),
                Err(failure) => {
                    self.report(&failure);
                    code = failure.exit_code().max(1);
                }
            }
        }
        Ok(code)
    }

    /// The same for several at once, as Docker does where each may take its time; told in the order given.
    pub(crate) fn each_at_once<S: AsRef<str> + Sync>(
        &self,
        names: &[S],
        act: impl Fn(&Context, &str) -> Result<(), Failure> + Sync,
    ) -> Outcome {
        let ctx = self.engine()?;
        if names.len() == 1 {
            return self.each(names, |name| {
                act(ctx, name)?;
                output::line(name)
            });
        }
        let mut code = 0;
        for some in names.chunks(AT_ONCE) {
            let results: Vec<Result<(), Failure>> = std::thread::scope(|scope| {
                let act = &act;
                let running: Vec<_> = some
                    .iter()
                    .map(|name| scope.spawn(move || act(ctx, name.as_ref())))
                    .collect();
                running
                    .into_iter()
                    .map(|thread| thread.join().unwrap_or(Err(Failure::Silent(1))))
                    .collect()
            });
            let mut results = results.into_iter();
            code = code.max(self.each(some, |name| {
                results.next().unwrap_or(Ok(()))?;
                output::line(name)
            })?);
        }
        Ok(code)
    }

    /// Tells an error: Docker's opening words when we are called `docker`, since scripts look for them.
    pub(crate) fn report(&self, failure: &Failure) {
        if matches!(failure, Failure::Silent(_)) {
            return;
        }
        let colour = terminal::stderr_has_colour();
        let chain = failure.chain();
        match (self.program, failure) {
            (_, Failure::Usage { .. }) => output::note(&chain),
            (Program::Docker, Failure::Engine(_)) => {
                output::note(format_args!("Error response from daemon: {chain}"))
            }
            (Program::Docker, Failure::Start(_)) => output::note(format_args!(
                "docker: Error response from daemon: {chain}\n\nRun 'docker run --help' for more information"
            )),
            (Program::Docker, _) => output::note(&chain),
            _ => output::note(format_args!(
                "{} {chain}",
                terminal::paint("Error:", AnsiColor::Red, colour)
            )),
        }
        if let Some(hint) = failure.way_out().or_else(|| needs_root(failure)) {
            output::note(format_args!(
                "{} {hint}",
                terminal::paint("Hint:", AnsiColor::Cyan, colour)
            ));
        }
        if self.globals.verbosity == Verbosity::Debug {
            output::note(format_args!("{failure:?}"));
        }
    }
}

/// Whatever the engine could not do, somebody who is not root is told the likely reason.
fn needs_root(failure: &Failure) -> Option<String> {
    let engine = matches!(failure, Failure::Engine(_) | Failure::Start(_));
    let root = rustix::process::geteuid().is_root();
    (engine && !root && failure.chain().contains("ermission denied"))
        .then(|| "containers are for root: call it with sudo".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_goes_on_after_an_error_and_stops_when_nobody_reads() {
        let session = Session::new(Program::Docker, Globals::default());
        let mut done = Vec::new();
        let code = session.each(&["a", "b", "c"], |name| {
            done.push(name.to_owned());
            if name == "b" {
                Err(Failure::said("b failed"))
            } else {
                Ok(())
            }
        });
        assert_eq!((code.unwrap(), done.len()), (1, 3));
        let closed = session.each(&["a", "b"], |_| Err(Failure::Silent(141)));
        assert!(matches!(closed, Err(Failure::Silent(141))));
    }

    #[test]
    fn the_program_is_the_name_it_was_called_by() {
        assert_eq!(Program::from_name("docker"), Program::Docker);
        assert_eq!(Program::from_name("docker-compose"), Program::DockerCompose);
        assert_eq!(Program::from_name("anything"), Program::Dockless);
    }
}
