//! `docker container …`: one file per verb or pair of verbs.

mod attach;
mod commit;
mod copy;
mod create;
mod diff;
mod exec;
mod export;
mod list;
pub(crate) mod logs;
mod open_ports;
mod ports;
mod remove;
mod run;
mod signals;
mod start;
mod stats;
mod status;
mod stop;
mod top;
mod update;
mod wait;

use crate::failure::Failure;
use crate::session::Session;
use crate::verb::Verb;
use engine::container::record::ContainerRecord;

pub(crate) use list::rows as list_rows;
pub(crate) use logs::time;

/// Every verb of this noun.
pub(crate) const VERBS: &[Verb] = &[
    run::VERB,
    create::VERB,
    start::VERB,
    stop::STOP,
    stop::RESTART,
    signals::KILL,
    signals::PAUSE,
    signals::UNPAUSE,
    remove::RM,
    remove::PRUNE,
    list::VERB,
    logs::VERB,
    exec::VERB,
    attach::VERB,
    wait::WAIT,
    wait::RENAME,
    wait::EXISTS,
    top::VERB,
    stats::VERB,
    ports::VERB,
    open_ports::VERB,
    update::VERB,
    copy::VERB,
    diff::VERB,
    export::VERB,
    commit::VERB,
];

/// The container of a name, id or unique id prefix.
pub(crate) fn find(session: &Session, wanted: &str) -> Result<ContainerRecord, Failure> {
    Ok(engine::container::names::resolve(
        session.engine()?,
        wanted,
    )?)
}

/// A container as tests need one.
#[cfg(test)]
pub(crate) fn sample(name: &str) -> ContainerRecord {
    ContainerRecord {
        id: model::Id::from_random([7; 32]),
        name: name.to_owned(),
        created: engine::Timestamp::now(),
        spec: model::ContainerSpec {
            image: "nginx".into(),
            ..Default::default()
        },
        image: Default::default(),
        process: Default::default(),
        mounts: Vec::new(),
        hostname: name.to_owned(),
        labels: Default::default(),
        stop_signal: "SIGTERM".into(),
        healthcheck: None,
        runtime: None,
        userns: None,
        quota: None,
        exposed: Vec::new(),
    }
}
