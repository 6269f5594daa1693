//! `system check`: whether the store is whole, and what killed commands left behind.

use crate::failure::Outcome;
use crate::output::{self, units};
use crate::session::Session;
use crate::verb::{Run, Verb, verb};
use clap::Args;
use image::collect::Fault;

pub(crate) const VERB: Verb = verb::<Check>(
    &["system check"],
    "[OPTIONS]",
    "Check the image store, and mend it on request",
)
.examples("system check --deep\nsystem check --repair");

#[derive(Debug, Args)]
struct Check {
    /// Read every blob again and compare it with its digest
    #[arg(long)]
    deep: bool,
    /// Remove what is damaged, unpack what is missing, sweep what killed commands left
    #[arg(long)]
    repair: bool,
}

fn text(fault: &Fault) -> String {
    match fault {
        Fault::MissingBlob { image, digest } => {
            format!("image {image}: blob {digest} is missing; pull it again")
        }
        Fault::DamagedBlob { digest } => format!("blob {digest} is damaged"),
        Fault::MissingLayer { image, chain_id } => {
            format!("image {image}: layer {chain_id} is not unpacked")
        }
    }
}

impl Run for Check {
    fn run(self, session: &Session) -> Outcome {
        let ctx = session.engine()?;
        let store = ctx.images()?;
        let faults = store.check(self.deep).map_err(engine::Error::from)?;
        for fault in &faults {
            output::line(text(fault))?;
        }
        if !self.repair {
            let summary = match faults.len() {
                0 => "The store is whole".to_owned(),
                1 => "1 fault; mend it with --repair".to_owned(),
                count => format!("{count} faults; mend them with --repair"),
            };
            output::line(summary)?;
            return Ok(u8::from(!faults.is_empty()));
        }
        store.repair(&faults).map_err(engine::Error::from)?;
        let swept = engine::sweep::sweep(ctx)?;
        output::line(format_args!(
            "Mended {} faults, swept {} dead runs and {} names, freed {}",
            faults.len(),
            swept.runs,
            swept.names,
            units::size_long(swept.bytes)
        ))?;
        Ok(0)
    }
}
