//! `prune`: what nothing uses, by kind, and what it frees.

use crate::container::list::Listed;
use crate::container::record::ContainerRecord;
use crate::container::remove;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::timestamp::Timestamp;
use crate::{networks, usage, volume};
use model::filter::Filters;
use std::collections::BTreeMap;

/// The keys of `--filter`.
pub const FILTERS: &[&str] = &["until", "label", "label!", "all", "dangling"];

/// What was removed, and the bytes that came free.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    pub removed: Vec<String>,
    pub freed: u64,
}

/// Containers that do not run.
pub fn containers(ctx: &Context, filters: &Filters) -> Result<Report> {
    let mut report = Report::default();
    for record in ContainerRecord::list(ctx)? {
        let container = Listed::load(ctx, record)?;
        let record = &container.record;
        if container.state.is_active() || !fits(filters, &record.labels, Some(record.created))? {
            continue;
        }
        let size = usage::disk_usage(&ctx.layout.container(record.id.as_str()));
        match remove::remove(ctx, record, remove::RemoveOptions::default()) {
            Ok(()) => {
                report.freed += size;
                report.removed.push(record.id.to_string());
            }
            // Started since we looked.
            Err(Error::StillRunning { .. }) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(report)
}

/// Networks that no container names.
pub fn networks(ctx: &Context, filters: &Filters) -> Result<Report> {
    let mut report = Report::default();
    for record in networks::unused(ctx)? {
        if !fits(filters, &record.labels, Timestamp::parse(&record.created))? {
            continue;
        }
        networks::remove(ctx, &record.name)?;
        report.removed.push(record.name);
    }
    Ok(report)
}

/// Volumes that no container mounts: the anonymous ones, with `all` the named ones too.
pub fn volumes(ctx: &Context, all: bool, filters: &Filters) -> Result<Report> {
    let all = all || filters.get("all").iter().any(|v| v == "true" || v == "1");
    let mut report = Report::default();
    for record in volume::list(ctx)? {
        if !(all || record.anonymous) || !fits(filters, &record.labels, Some(record.created))? {
            continue;
        }
        let size = usage::disk_usage(&ctx.layout.volume(&record.name));
        match volume::remove(ctx, &record.name, true) {
            Ok(()) => {
                report.freed += size;
                report.removed.push(record.name);
            }
            Err(Error::VolumeInUse { .. }) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(report)
}

/// `until` and `label`, as all prunes take them.
pub fn fits(
    filters: &Filters,
    labels: &BTreeMap<String, String>,
    created: Option<Timestamp>,
) -> Result<bool> {
    if !filters.matches_labels(labels) {
        return Ok(false);
    }
    let excluded = |wanted: &String| match wanted.split_once('=') {
        Some((key, value)) => labels.get(key).is_some_and(|v| v == value),
        None => labels.contains_key(wanted),
    };
    if filters.get("label!").iter().any(excluded) {
        return Ok(false);
    }
    for until in filters.get("until") {
        let limit = moment(until)?;
        if created.is_none_or(|c| c >= limit) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A point in time: absolute, or so long ago (`10m`, `1h30m`).
pub fn moment(text: &str) -> Result<Timestamp> {
    if let Ok(ago) = model::duration::parse(text) {
        let nanos = i64::try_from(ago.as_nanos()).unwrap_or(i64::MAX);
        return Ok(Timestamp(Timestamp::now().0.saturating_sub(nanos)));
    }
    Timestamp::parse(text).ok_or_else(|| {
        Error::invalid(
            format!("invalid time {text:?}"),
            "use RFC 3339, Unix seconds or e.g. 10m",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{container, context};
    use model::container::ContainerSpec;
    use std::time::Duration;

    fn filters(list: &[&str]) -> Filters {
        Filters::parse(list, FILTERS).unwrap()
    }

    #[test]
    fn a_moment_is_absolute_or_so_long_ago() {
        let ago = Timestamp::now().0 - moment("10m").unwrap().0;
        let ago = Duration::from_nanos(u64::try_from(ago).unwrap());
        assert!(ago < Duration::from_secs(601));
        assert_eq!(moment("1700000000").unwrap().seconds(), 1_700_000_000);
        assert_eq!(
            moment("2023-11-14T22:13:20Z").unwrap().seconds(),
            1_700_000_000
        );
        assert!(moment("yesterday").is_err());
    }

    #[test]
    fn labels_and_age_say_what_goes() {
        let labels = BTreeMap::from([("keep".to_owned(), "yes".to_owned())]);
        let old = Some(Timestamp(0));
        let fit = |list: &[&str], created| fits(&filters(list), &labels, created).unwrap();
        assert!(fit(&[], None));
        assert!(fit(&["label=keep"], old) && !fit(&["label=other"], old));
        assert!(!fit(&["label!=keep"], old) && !fit(&["label!=keep=yes"], old));
        assert!(fit(&["label!=keep=no"], old));
        assert!(fit(&["until=1h"], old) && !fit(&["until=1h"], Some(Timestamp::now())));
        assert!(!fit(&["until=1h"], None), "of unknown age");
    }

    #[test]
    fn only_anonymous_volumes_go_unless_all_are_meant() {
        let (_dir, ctx) = context();
        let named = volume::VolumeSpec {
            name: Some("named".into()),
            ..Default::default()
        };
        volume::create(&ctx, &named).unwrap();
        let anonymous = volume::create(&ctx, &volume::VolumeSpec::default()).unwrap();
        let report = volumes(&ctx, false, &filters(&[])).unwrap();
        assert_eq!(report.removed, [anonymous.name]);
        assert_eq!(
            volumes(&ctx, false, &filters(&["all=true"]))
                .unwrap()
                .removed,
            ["named"]
        );
    }

    #[test]
    fn containers_that_do_not_run_go_with_their_names() {
        let (_dir, ctx) = context();
        let web = container(&ctx, "web", ContainerSpec::default());
        let report = containers(&ctx, &filters(&[])).unwrap();
        assert_eq!(report.removed, [web.id.to_string()]);
        assert!(crate::container::names::holder(&ctx, "web").is_none());
    }
}
