//! `stop` and `restart`.

use crate::failure::Outcome;
use crate::session::Session;
use crate::verb::{Run, Verb, verb};
use clap::Args;
use engine::container::names::resolve;
use engine::container::stop::{StopOptions, restart, stop};

pub(crate) const STOP: Verb = verb::<Stop>(
    &["stop", "container stop"],
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Stop one or more running containers",
)
.at_least(1)
.examples("stop web\nstop -t 60 db         # a minute before SIGKILL");

pub(crate) const RESTART: Verb = verb::<Restart>(
    &["restart", "container restart"],
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Restart one or more containers",
)
.at_least(1)
.examples("restart web");

#[derive(Debug, Args)]
struct StopFlags {
    /// Signal to send to the container
    #[arg(short, long, value_name = "string")]
    signal: Option<String>,
    /// Seconds to wait before killing the container
    #[arg(
        short,
        long,
        alias = "timeout",
        value_name = "int",
        allow_hyphen_values = true
    )]
    time: Option<i64>,
    #[arg(required = true)]
    containers: Vec<String>,
}

impl StopFlags {
    fn options(&self) -> StopOptions {
        // -1: wait without end; a century does.
        let timeout = self
            .time
            .map(|seconds| u64::try_from(seconds).unwrap_or(100 * 365 * 86400));
        StopOptions {
            signal: self.signal.clone(),
            timeout,
        }
    }
}

#[derive(Debug, Args)]
struct Stop {
    #[command(flatten)]
    flags: StopFlags,
}

impl Run for Stop {
    fn run(self, session: &Session) -> Outcome {
        let options = self.flags.options();
        session.each_at_once(&self.flags.containers, |ctx, name| {
            Ok(stop(ctx, &resolve(ctx, name)?, &options)?)
        })
    }
}

#[derive(Debug, Args)]
struct Restart {
    #[command(flatten)]
    flags: StopFlags,
}

impl Run for Restart {
    fn run(self, session: &Session) -> Outcome {
        let options = self.flags.options();
        session.each_at_once(&self.flags.containers, |ctx, name| {
            Ok(restart(ctx, &resolve(ctx, name)?, &options)?)
        })
    }
}
