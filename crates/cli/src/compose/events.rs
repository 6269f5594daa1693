//! `events`.

use super::Call;
use super::verb::{Run, Verb, usage, verb};
use crate::failure::Outcome;
use crate::output::{self, units};
use clap::Args;
use compose::labels;
use engine::Timestamp;
use engine::events::{Event, Reader};
use serde_json::json;
use std::collections::BTreeMap;

pub(crate) const VERBS: &[Verb] = &[verb::<Events>(
    &["events"],
    "[OPTIONS] [SERVICE...]",
    "Receive real time events from containers",
)];

#[derive(Debug, Args)]
struct Events {
    /// Output events as a stream of json objects
    #[arg(long)]
    json: bool,
    /// Show all events created since timestamp
    #[arg(long, value_name = "string")]
    since: Option<String>,
    /// Stream events until this timestamp
    #[arg(long, value_name = "string")]
    until: Option<String>,
    service: Vec<String>,
}

impl Run for Events {
    fn run(self, call: &Call<'_>) -> Outcome {
        let time = |text: &String| {
            units::point_in_time(text).ok_or_else(|| usage(format!("{text:?} is no time")))
        };
        let (since, until) = (
            self.since.as_ref().map(time).transpose()?,
            self.until.as_ref().map(time).transpose()?,
        );
        let target = call.target(&self.service)?;
        call.containers(&target, &self.service, true)?;
        let mut reader = match since {
            Some(_) => Reader::from_start(call.ctx()?)?,
            None => Reader::from_now(call.ctx()?)?,
        };
        loop {
            while let Some(event) = reader.next_ready()? {
                let time = Timestamp(event.time_nano);
                if until.is_some_and(|until| time > until) {
                    return Ok(0);
                }
                if since.is_none_or(|since| time >= since) && self.wants(&event, &target.name) {
                    self.show(&event)?;
                }
            }
            if until.is_some_and(|until| Timestamp::now() > until) {
                return Ok(0);
            }
            reader.wait(until.map(|until| {
                std::time::Duration::from_nanos(
                    u64::try_from(until.0 - Timestamp::now().0).unwrap_or(1),
                )
            }))?;
        }
    }
}

impl Events {
    fn wants(&self, event: &Event, project: &str) -> bool {
        let attributes = &event.actor.attributes;
        let service = attributes.get(labels::SERVICE);
        event.kind == "container"
            && attributes
                .get(labels::PROJECT)
                .is_some_and(|p| p == project)
            && (self.service.is_empty() || service.is_some_and(|s| self.service.contains(s)))
    }

    fn show(&self, event: &Event) -> Result<(), crate::failure::Failure> {
        let own = |(key, _): &(&String, &String)| !key.starts_with(labels::PREFIX);
        let attributes: BTreeMap<&String, &String> =
            event.actor.attributes.iter().filter(own).collect();
        let service = event.actor.attributes.get(labels::SERVICE);
        let time = Timestamp(event.time_nano);
        if self.json {
            return output::line(json!({
                "time": time.to_string(), "type": "container", "service": service, "id": event.actor.id,
                "action": event.action, "attributes": attributes,
            }));
        }
        let pairs: Vec<String> = attributes
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        let time = jiff::Timestamp::from_nanosecond(i128::from(time.0))
            .map(|t| t.to_zoned(jiff::tz::TimeZone::system()))
            .map_or_else(
                |_| String::new(),
                |t| t.strftime("%Y-%m-%d %H:%M:%S%.6f").to_string(),
            );
        output::line(format_args!(
            "{time} container {} {} ({})",
            event.action,
            event.actor.id,
            pairs.join(", ")
        ))
    }
}
