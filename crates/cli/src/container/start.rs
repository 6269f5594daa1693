//! `start`.

use super::run;
use crate::failure::{Failure, Outcome};
use crate::interactive;
use crate::output;
use crate::session::Session;
use crate::verb::{Run, Verb, verb};
use clap::Args;
use engine::container::start::{StartOptions, start};
use engine::protocol::Streams;

pub(crate) const VERB: Verb = verb::<Start>(
    &["start", "container start"],
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Start one or more stopped containers",
)
.at_least(1)
.examples("start web db\nstart -ai shell      # start it and sit at it");

#[derive(Debug, Args)]
struct Start {
    /// Attach STDOUT/STDERR and forward signals
    #[arg(short, long)]
    attach: bool,
    /// Attach container's STDIN
    #[arg(short, long)]
    interactive: bool,
    /// Override the key sequence for detaching a container
    #[arg(long, value_name = "string")]
    detach_keys: Option<String>,
    /// Proxy received signals to the process
    #[arg(long, num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", action = clap::ArgAction::Set)]
    sig_proxy: bool,
    #[arg(required = true)]
    containers: Vec<String>,
}

impl Run for Start {
    fn run(self, session: &Session) -> Outcome {
        if self.attach || self.interactive {
            return self.attached(session);
        }
        let ctx = session.engine()?;
        let mut failed = Vec::new();
        session.each(&self.containers, |name| {
            let started = super::find(session, name)
                .and_then(|record| Ok(start(ctx, &record, StartOptions::default())?));
            match started {
                Ok(_) => output::line(name),
                Err(failure) => {
                    failed.push(name.to_owned());
                    Err(failure)
                }
            }
        })?;
        if failed.is_empty() {
            return Ok(0);
        }
        output::note(format_args!(
            "Error: failed to start containers: {}",
            failed.join(", ")
        ));
        Ok(1)
    }
}

impl Start {
    fn attached(self, session: &Session) -> Outcome {
        let [name] = self.containers.as_slice() else {
            return Err(Failure::said(
                "you cannot start and attach multiple containers at once",
            ));
        };
        let keys = run::detach_keys(self.detach_keys.as_deref())?;
        let record = super::find(session, name)?;
        let stdin = self.interactive && record.spec.open_stdin;
        interactive::check_terminal(record.spec.tty, stdin)?;
        let attach = Streams {
            stdin,
            stdout: true,
            stderr: true,
        };
        let options = StartOptions {
            attach,
            size: run::size(&record),
        };
        let started = start(session.engine()?, &record, options)?;
        run::stay(session, &record, started, keys, self.sig_proxy)
    }
}
