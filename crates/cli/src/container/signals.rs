//! `kill`, `pause`, `unpause`.

use crate::failure::Outcome;
use crate::output;
use crate::session::Session;
use crate::verb::{Run, Verb, verb};
use clap::Args;
use engine::container::{kill, pause};

pub(crate) const KILL: Verb = verb::<Kill>(
    &["kill", "container kill"],
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Kill one or more running containers",
)
.at_least(1)
.examples("kill web\nkill -s HUP web       # reload instead");

pub(crate) const PAUSE: Verb = verb::<Pause>(
    &["pause", "container pause"],
    "CONTAINER [CONTAINER...]",
    "Pause all processes within one or more containers",
)
.at_least(1)
.examples("pause web");

pub(crate) const UNPAUSE: Verb = verb::<Unpause>(
    &["unpause", "container unpause"],
    "CONTAINER [CONTAINER...]",
    "Unpause all processes within one or more containers",
)
.at_least(1)
.examples("unpause web");

#[derive(Debug, Args)]
struct Kill {
    /// Signal to send to the container
    #[arg(short, long, value_name = "string", default_value = "KILL")]
    signal: String,
    #[arg(required = true)]
    containers: Vec<String>,
}

impl Run for Kill {
    fn run(self, session: &Session) -> Outcome {
        let ctx = session.engine()?;
        session.each(&self.containers, |name| {
            kill::kill(ctx, &super::find(session, name)?, &self.signal)?;
            output::line(name)
        })
    }
}

#[derive(Debug, Args)]
struct Pause {
    #[arg(required = true)]
    containers: Vec<String>,
}

impl Run for Pause {
    fn run(self, session: &Session) -> Outcome {
        let ctx = session.engine()?;
        session.each(&self.containers, |name| {
            pause::pause(ctx, &super::find(session, name)?)?;
            output::line(name)
        })
    }
}

#[derive(Debug, Args)]
struct Unpause {
    #[arg(required = true)]
    containers: Vec<String>,
}

impl Run for Unpause {
    fn run(self, session: &Session) -> Outcome {
        let ctx = session.engine()?;
        session.each(&self.containers, |name| {
            pause::unpause(ctx, &super::find(session, name)?)?;
            output::line(name)
        })
    }
}
