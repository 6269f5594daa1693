//! `events`.

use crate::container;
use crate::failure::{Failure, Outcome};
use crate::output;
use crate::session::Session;
use crate::verb::{Run, Verb, verb};
use clap::Args;
use engine::Timestamp;
use engine::events::{Event, Reader};
use model::filter::Filters;
use std::time::Duration;
use template::Template;

pub(crate) const VERB: Verb = verb::<Events>(&["events", "system events"], "[OPTIONS]", "Get real time events from the engine")
    .examples("events --filter container=web --filter event=die\nevents --since 10m --until 0s --format '{{json .}}'");

#[derive(Debug, Args)]
struct Events {
    /// Filter output based on conditions provided
    #[arg(short, long, value_name = "filter")]
    filter: Vec<String>,
    /// Format output using a custom template: 'json' or TEMPLATE
    #[arg(long, value_name = "string")]
    format: Option<String>,
    /// Show all events created since timestamp
    #[arg(long, value_name = "string")]
    since: Option<String>,
    /// Stream events until this timestamp
    #[arg(long, value_name = "string")]
    until: Option<String>,
}

impl Run for Events {
    fn run(self, session: &Session) -> Outcome {
        let ctx = session.engine()?;
        let filters = Filters::parse(&self.filter, engine::events::FILTERS)?;
        let since = container::time("since", self.since.as_deref())?;
        let until = container::time("until", self.until.as_deref())?;
        let template = match self.format.as_deref() {
            None | Some("") => None,
            Some("json") => Some(Template::parse("{{json .}}")?),
            Some(text) => Some(Template::parse(text)?),
        };
        // With only an end, what was before it is asked for as well.
        let past = since.is_some() || until.is_some_and(|until| until <= Timestamp::now());
        let mut reader = if past {
            Reader::from_start(ctx)?
        } else {
            Reader::from_now(ctx)?
        };
        loop {
            while let Some(event) = reader.next_ready()? {
                let time = Timestamp(event.time_nano);
                if until.is_some_and(|until| time > until) {
                    return Ok(0);
                }
                if since.is_none_or(|since| time >= since) && event.fits(&filters) {
                    print(&event, template.as_ref())?;
                }
            }
            let left = until.map(|until| until.0 - Timestamp::now().0);
            if left.is_some_and(|left| left <= 0) {
                return Ok(0);
            }
            reader.wait(left.map(|left| Duration::from_nanos(u64::try_from(left).unwrap_or(0))))?;
        }
    }
}

fn print(event: &Event, template: Option<&Template>) -> Result<(), Failure> {
    let Some(template) = template else {
        return output::line(plain(event));
    };
    let mut value = serde_json::to_value(event).unwrap_or_default();
    if let Some(map) = value.as_object_mut() {
        // Docker's old names of the same, which scripts still use.
        let from = event.actor.attributes.get("image").cloned();
        map.insert("status".into(), event.action.clone().into());
        map.insert("id".into(), event.actor.id.clone().into());
        if let Some(image) = from.filter(|_| event.kind == "container") {
            map.insert("from".into(), image.into());
        }
    }
    output::line(
        template
            .execute(&value)
            .map_err(|error| Failure::said(error.to_string()))?,
    )
}

/// `2026-11-21T23:00:00.000000000Z container start <id> (image=nginx, name=web)`.
fn plain(event: &Event) -> String {
    let attributes: Vec<_> = event
        .actor
        .attributes
        .iter()
        .map(|(k, v)| format!("{k}={v}"))
        .collect();
    let shown = if attributes.is_empty() {
        String::new()
    } else {
        format!(" ({})", attributes.join(", "))
    };
    format!(
        "{} {} {} {}{shown}",
        Timestamp(event.time_nano),
        event.kind,
        event.action,
        event.actor.id
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::events::Actor;
    use std::collections::BTreeMap;

    fn event() -> Event {
        let attributes = [
            ("image", "nginx:alpine"),
            ("name", "web"),
            ("tier", "front"),
        ];
        Event {
            kind: "container".into(),
            action: "exec_start: ls".into(),
            actor: Actor {
                id: "abc".into(),
                attributes: BTreeMap::from(attributes.map(|(k, v)| (k.into(), v.into()))),
            },
            scope: "local".into(),
            time: 0,
            time_nano: 1_732_230_000_000_000_000,
        }
    }

    #[test]
    fn a_line_is_dockers() {
        assert_eq!(
            plain(&event()),
            "2024-11-21T23:00:00.000000000Z container exec_start: ls abc (image=nginx:alpine, name=web, tier=front)"
        );
    }

    #[test]
    fn filters_name_kinds_names_and_labels() {
        for (filter, wanted) in [
            ("container=web", true),
            ("container=db", false),
            ("event=exec_start", true),
            ("event=die", false),
            ("image=nginx", true),
            ("label=tier=front", true),
            ("network=web", false),
            ("type=container", true),
        ] {
            let filters = Filters::parse(&[filter], engine::events::FILTERS).unwrap();
            assert_eq!(event().fits(&filters), wanted, "{filter}");
        }
    }
}
