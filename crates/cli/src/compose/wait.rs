//! `wait`.

use super::verb::{Run, Verb, verb};
use super::{Call, down};
use crate::failure::{Failure, Outcome};
use crate::output;
use clap::Args;
use compose::observe::Container;
use engine::container::names;
use engine::container::wait::{Condition, wait};
use std::sync::mpsc::channel;

pub(crate) const VERBS: &[Verb] = &[verb::<Wait>(
    &["wait"],
    "[OPTIONS] SERVICE [SERVICE...]",
    "Block until containers of all (or specified) services stop.",
)
.examples(
    "wait migrate\nwait --down-project tests     # the project goes with the first that ends",
)];

#[derive(Debug, Args)]
struct Wait {
    /// Drops project when the first container stops
    #[arg(long)]
    down_project: bool,
    #[arg(required = true)]
    service: Vec<String>,
}

impl Run for Wait {
    fn run(self, call: &Call<'_>) -> Outcome {
        let target = call.target(&self.service)?;
        let containers = call.containers(&target, &self.service, false)?;
        if containers.is_empty() {
            return Err(Failure::said(format!(
                "no containers for project {:?}",
                target.name
            )));
        }
        let code = self.ends(call, containers)?;
        if self.down_project {
            down::take_down(call, &target, &Default::default())?;
        }
        Ok(code)
    }
}

impl Wait {
    /// Tells every end as it comes, or the first alone; gives the exit code of the last that was told.
    fn ends(&self, call: &Call<'_>, containers: Vec<Container>) -> Outcome {
        let (sender, ends) = channel();
        let count = containers.len();
        for container in containers {
            let (ctx, sender) = (call.ctx()?.clone(), sender.clone());
            // Not joined: whom nobody waits for any more is let go with the process.
            std::thread::spawn(move || {
                let code = names::resolve(&ctx, &container.id)
                    .and_then(|record| wait(&ctx, &record, Condition::NotRunning, None));
                let _ = sender.send((container, code));
            });
        }
        let mut last = 0;
        let wanted = if self.down_project { 1 } else { count };
        for (container, code) in ends.iter().take(wanted) {
            last = code?.unwrap_or(0);
            output::line(format_args!(
                "container {:?} exited with status code {last}",
                container.name
            ))?;
        }
        Ok(last)
    }
}
