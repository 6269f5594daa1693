//! A start played through in memory, without a container: by a monitor that has nothing else to do yet.
//!
//! The kernel maps a program page by page, as its code is first run, and each of those faults is part of the time in which
//! somebody waits. What computes only can be run before: after this its pages are there.

use super::record::{ContainerRecord, ImageRecord, Lifecycle, ProcessRecord};
use crate::context::Context;
use crate::spec::{self, Facts};
use crate::timestamp::Timestamp;
use model::container::ContainerSpec;
use state::record;
use std::path::Path;

pub(super) fn play(ctx: &Context) {
    let nowhere = Path::new("");
    let written = record::document(nowhere, &plain());
    let Ok(container) = written.and_then(|text| record::parse::<ContainerRecord>(nowhere, &text))
    else {
        return;
    };
    if let Ok(built) = spec::build(&container, &Facts::default()) {
        runtime::rehearse(&built);
    }
    let _ = record::document(nowhere, &Lifecycle::default());
    let _ = crate::name_service::hosts_text(ctx, &container, None);
    let _ = crate::name_service::resolv_conf(&container, None);
}

/// A container as most are.
fn plain() -> ContainerRecord {
    ContainerRecord {
        id: crate::random_id(),
        name: "rehearsal".to_owned(),
        created: Timestamp::now(),
        spec: ContainerSpec::default(),
        image: ImageRecord::default(),
        process: ProcessRecord {
            command: vec!["true".to_owned()],
            env: vec!["PATH=/bin".to_owned()],
            ..ProcessRecord::default()
        },
        mounts: Vec::new(),
        hostname: "rehearsal".to_owned(),
        labels: Default::default(),
        stop_signal: "SIGTERM".to_owned(),
        healthcheck: None,
        exposed: Vec::new(),
        userns: None,
        quota: None,
        runtime: None,
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_plain_container_is_one_that_can_be_started() {
        let built = crate::spec::build(&super::plain(), &crate::spec::Facts::default());
        assert!(built.is_ok(), "{built:?}");
    }
}
