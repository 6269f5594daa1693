//! `scale`.

use super::Call;
use super::make::parse_scale;
use super::up::Up;
use super::verb::{Run, Verb, usage, verb};
use crate::failure::Outcome;
use clap::Args;

pub(crate) const VERBS: &[Verb] =
    &[
        verb::<Scale>(&["scale"], "[SERVICE=REPLICAS...]", "Scale services")
            .examples("scale web=3 worker=2"),
    ];

#[derive(Debug, Args)]
struct Scale {
    /// Don't start linked services
    #[arg(long)]
    no_deps: bool,
    /// Accepted as version 1's
    #[arg(short, long, value_name = "int", hide = true)]
    timeout: Option<u64>,
    #[arg(required = true)]
    replicas: Vec<String>,
}

impl Run for Scale {
    fn run(self, call: &Call<'_>) -> Outcome {
        let services: Vec<String> = parse_scale(&self.replicas)?.into_keys().collect();
        if services.is_empty() {
            return Err(usage("name a service and a number: scale web=3"));
        }
        Up::scaled(&self.replicas)
            .only(services, self.no_deps)
            .run(call)
    }
}
