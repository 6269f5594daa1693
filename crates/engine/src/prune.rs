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
    for record in network::list(&ctx.layout)? {
        if record.is_builtin()
            || !networks::members(ctx, &record)?.is_empty()
            || !fits(filters, &record.labels, Timestamp::parse(&record.created))?
        {
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
