//! What makes a job run.

use super::Object;
use crate::project::Triggers;
use model::schedule::{Concurrency, MissedFires};

pub(super) fn triggers(triggers: &Triggers) -> Object {
    let mut object = Object::new();
    object.option("manual", triggers.manual);
    object.list("schedule", triggers.schedule.as_slice(), |schedule| {
        let mut object = Object::new();
        object.set("cron", schedule.cron.as_str());
        object.text("timezone", &schedule.timezone);
        let concurrency = schedule.concurrency.map(|word| match word {
            Concurrency::Forbid => "forbid",
            Concurrency::Queue => "queue",
        });
        object.option("concurrency", concurrency);
        let missed = schedule.missed_fires.map(|word| match word {
            MissedFires::One => "one",
            MissedFires::Skip => "skip",
        });
        object.option("missed_fires", missed);
        object.into_value()
    });
    object
}
