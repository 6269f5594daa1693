//! One job: a service with its triggers.

use super::{Cursor, Decoder};
use crate::project::{Service, Triggers};
use model::schedule::{Concurrency, Cron, MissedFires, Schedule};
use std::str::FromStr;

impl Decoder<'_> {
    pub(super) fn job(&mut self, name: &str, at: &Cursor<'_>) -> Service {
        let mut job = self.service(name, at);
        job.triggers = Some(self.triggers(at));
        job
    }

    fn triggers(&mut self, at: &Cursor<'_>) -> Triggers {
        let hint = "add \"triggers: {manual: true}\" for a job that `run` starts, or a schedule: \"triggers: {schedule: [\"0 3 * * *\"]}\"";
        let Some(triggers) = at.child("triggers") else {
            self.error_with_hint(at, "a job has no triggers", hint);
            return Triggers::default();
        };
        let manual = self.flag(&triggers, "manual");
        let schedules = self.list(&triggers, "schedule", Self::schedule);
        let listed = triggers
            .child("schedule")
            .map_or(0, |list| list.items().count());
        if listed > 1 {
            let message = format!("a job has {listed} schedules, but only one is supported");
            let hint = "join them in one expression, or write a second job";
            self.error_with_hint(&triggers, message, hint);
        } else if listed == 0 && manual.is_none() {
            self.error_with_hint(&triggers, "the triggers of a job are empty", hint);
        } else if listed == 1 && manual == Some(true) {
            let hint = "leave manual out: `run` starts a scheduled job too, unless manual is false";
            self.error_with_hint(
                &triggers,
                "manual: true and a schedule exclude each other",
                hint,
            );
        }
        Triggers {
            manual,
            schedule: schedules.into_iter().next(),
        }
    }

    fn schedule(&mut self, at: &Cursor<'_>) -> Option<Schedule> {
        let concurrency = [
            ("forbid", Concurrency::Forbid),
            ("queue", Concurrency::Queue),
        ];
        let missed = [("one", MissedFires::One), ("skip", MissedFires::Skip)];
        let timezone = self.filled(at, "timezone");
        let concurrency = self.word(at, "concurrency", &concurrency);
        let missed_fires = self.word(at, "missed_fires", &missed);
        if self.filled(at, "cron").is_none() {
            self.error_with_hint(at, "a schedule has no cron", "add cron: \"0 3 * * *\"");
        }
        Some(Schedule {
            cron: self.parsed(at, "cron", Cron::from_str)?,
            timezone,
            concurrency,
            missed_fires,
        })
    }
}
