//! `attach`.

use super::run;
use crate::failure::Outcome;
use crate::interactive;
use crate::session::Session;
use crate::verb::{Run, Verb, verb};
use clap::Args;
use engine::container::attach::attach;
use engine::container::start::Started;
use engine::protocol::Streams;

pub(crate) const VERB: Verb = verb::<Attach>(
    &["attach", "container attach"],
    "[OPTIONS] CONTAINER",
    "Attach local standard input, output, and error streams to a running container",
)
.exactly(1)
.examples("attach web           # leave it again with ctrl-p ctrl-q");

#[derive(Debug, Args)]
struct Attach {
    /// Override the key sequence for detaching a container
    #[arg(long, value_name = "string")]
    detach_keys: Option<String>,
    /// Do not attach STDIN
    #[arg(long)]
    no_stdin: bool,
    /// Proxy all received signals to the process
    #[arg(long, num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", action = clap::ArgAction::Set)]
    sig_proxy: bool,
    #[arg(required = true)]
    container: String,
}

impl Run for Attach {
    fn run(self, session: &Session) -> Outcome {
        let keys = run::detach_keys(self.detach_keys.as_deref())?;
        let record = super::find(session, &self.container)?;
        let stdin = !self.no_stdin && record.spec.open_stdin;
        interactive::check_terminal(record.spec.tty, stdin)?;
        let streams = Streams {
            stdin,
            stdout: true,
            stderr: true,
        };
        let attached = attach(session.engine()?, &record, streams)?;
        if let Some((rows, columns)) = run::size(&record) {
            attached.resize(rows, columns)?;
        }
        run::stay(
            session,
            &record,
            Started::Attached(attached),
            keys,
            self.sig_proxy,
        )
    }
}
