//! This host as Swarm's only node: its labels, which placement constraints ask for, are in one record.

use engine::{Context, Error};
use serde::{Deserialize, Serialize};
use state::{Durability, record};
use std::collections::BTreeMap;

/// What was set by `node update`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    pub labels: BTreeMap<String, String>,
}

impl Record {
    pub fn load(ctx: &Context) -> Result<Self, Error> {
        Ok(record::read(&ctx.layout.node())?.unwrap_or_default())
    }

    pub fn save(&self, ctx: &Context) -> Result<(), Error> {
        Ok(record::write(
            &ctx.layout.node(),
            self,
            Durability::Durable,
        )?)
    }
}
