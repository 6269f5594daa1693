//! `swarm`: what can be said of a cluster of one.

use super::node;
use crate::failure::{Failure, Outcome};
use crate::output;
use crate::session::Session;
use crate::verb::{Run, Verb, verb};
use clap::Args;

pub(crate) const VERBS: &[Verb] = &[
    verb::<Init>(
        &["swarm init"],
        "[OPTIONS]",
        "Tell that stacks and services work here, on this host alone",
    ),
    verb::<Join>(
        &["swarm join"],
        "[OPTIONS] HOST:PORT",
        "Not possible: there is no cluster of several hosts",
    )
    .at_least(0),
    verb::<Leave>(
        &["swarm leave"],
        "[OPTIONS]",
        "Not possible: there is no cluster to leave",
    ),
];

#[derive(Debug, Args)]
struct Init {
    /// Accepted as Docker's; nobody else can join
    #[arg(long, value_name = "string")]
    advertise_addr: Option<String>,
    #[arg(long, value_name = "string", hide = true)]
    listen_addr: Option<String>,
    #[arg(long, value_name = "string", hide = true)]
    data_path_addr: Option<String>,
    #[arg(long, value_name = "string", hide = true)]
    default_addr_pool: Vec<String>,
    #[arg(long, hide = true)]
    force_new_cluster: bool,
    #[arg(long, hide = true)]
    autolock: bool,
    #[arg(long, value_name = "string", hide = true)]
    availability: Option<String>,
    #[arg(long, value_name = "int", hide = true)]
    task_history_limit: Option<i64>,
}

impl Run for Init {
    /// Scripts call it before `stack deploy`, which works here: so it goes well, and says what it does not mean.
    fn run(self, session: &Session) -> Outcome {
        let id = node::id(session)?;
        output::line(format_args!(
            "Swarm initialized: current node ({id}) is now a manager."
        ))?;
        output::note(
            "This host is the only node: stacks, services and node labels work here, other hosts cannot join.",
        );
        Ok(0)
    }
}

#[derive(Debug, Args)]
struct Join {
    #[arg(long, value_name = "string", hide = true)]
    token: Option<String>,
    #[arg(long, value_name = "string", hide = true)]
    advertise_addr: Option<String>,
    #[arg(long, value_name = "string", hide = true)]
    listen_addr: Option<String>,
    #[arg(long, value_name = "string", hide = true)]
    availability: Option<String>,
    remote: Vec<String>,
}

impl Run for Join {
    fn run(self, _: &Session) -> Outcome {
        Err(Failure::said(
            "this engine runs on one host: it cannot join a cluster, and none can join it",
        )
        .hint("`stack deploy` runs a whole stack on this host"))
    }
}

#[derive(Debug, Args)]
struct Leave {
    /// Accepted as Docker's
    #[arg(short, long)]
    force: bool,
}

impl Run for Leave {
    fn run(self, _: &Session) -> Outcome {
        Err(
            Failure::said("This node is not part of a swarm of several hosts")
                .hint("`stack rm` takes a stack down"),
        )
    }
}
