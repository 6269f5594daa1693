//! `wait`, `rename`, `container exists`.

use crate::failure::{Failure, Outcome};
use crate::output;
use crate::session::Session;
use crate::verb::{Run, Verb, verb};
use clap::Args;
use engine::container::{rename, wait};

pub(crate) const WAIT: Verb = verb::<Wait>(
    &["wait", "container wait"],
    "CONTAINER [CONTAINER...]",
    "Block until one or more containers stop, then print their exit codes",
)
.at_least(1)
.examples("wait job");

pub(crate) const RENAME: Verb = verb::<Rename>(
    &["rename", "container rename"],
    "CONTAINER NEW_NAME",
    "Rename a container",
)
.exactly(2)
.examples("rename web web-old");

pub(crate) const EXISTS: Verb = verb::<Exists>(
    &["container exists"],
    "CONTAINER",
    "Exit with 0 if the container exists, with 1 if not",
)
.exactly(1)
.examples("container exists web && echo there");

#[derive(Debug, Args)]
struct Wait {
    #[arg(required = true)]
    containers: Vec<String>,
}

impl Run for Wait {
    fn run(self, session: &Session) -> Outcome {
        let ctx = session.engine()?;
        session.each(&self.containers, |name| {
            let record = super::find(session, name)?;
            let code = wait::wait(ctx, &record, wait::Condition::NotRunning, None)?;
            output::line(code.unwrap_or(0))
        })
    }
}

#[derive(Debug, Args)]
struct Rename {
    #[arg(required = true)]
    container: String,
    #[arg(required = true)]
    name: String,
}

impl Run for Rename {
    fn run(self, session: &Session) -> Outcome {
        if self.name.trim_matches('/').is_empty() {
            return Err(Failure::said("neither old nor new names may be empty"));
        }
        rename::rename(
            session.engine()?,
            &super::find(session, &self.container)?,
            &self.name,
        )?;
        Ok(0)
    }
}

#[derive(Debug, Args)]
struct Exists {
    #[arg(required = true)]
    container: String,
}

impl Run for Exists {
    fn run(self, session: &Session) -> Outcome {
        match super::find(session, &self.container) {
            Ok(_) => Ok(0),
            Err(Failure::Engine(engine::Error::NoSuchContainer(_))) => Ok(1),
            Err(failure) => Err(failure),
        }
    }
}
