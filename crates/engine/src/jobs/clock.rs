//! When a schedule is due: a crontab expression in its time zone.
//!
//! Where clocks are put forward, a time of the day that is left out comes as much later as they were; where they are put back, one
//! that comes twice counts once. What is due every hour goes by the time that passes instead, and knows of neither.
//! Source: crontab(5) of cron 3 ("daylight saving time"); time zones are the host's (`/usr/share/zoneinfo`).

use crate::error::{Error, Result};
use crate::timestamp::Timestamp;
use jiff::ToSpan;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use model::schedule::{Cron, Schedule};

/// Further ahead nothing is looked for: from one 29 February on a given day of the week to the next it may be forty years.
const DAYS_AHEAD: usize = 366 * 41;

/// Whether the host knows a time zone.
pub fn check_timezone(name: &str) -> Result<()> {
    TimeZone::get(name).map(drop).map_err(|_| {
        let why = match std::path::Path::new("/usr/share/zoneinfo").is_dir() {
            true => "there is no such time zone: name one as Europe/Paris",
            false => {
                "this host has no time zones: install its package tzdata, or leave timezone out for UTC"
            }
        };
        Error::invalid(format!("timezone {name:?}"), why)
    })
}

/// The first time after a moment. `None`: none in forty years, or a zone that the host has no more.
pub(super) fn next_after(schedule: &Schedule, after: Timestamp) -> Option<Timestamp> {
    let zone = match &schedule.timezone {
        Some(name) => TimeZone::get(name).ok()?,
        None => TimeZone::UTC,
    };
    let after = jiff::Timestamp::from_second(after.seconds()).ok()?;
    let found = match schedule.cron.is_hourly() {
        true => by_time_passed(&schedule.cron, &zone, after)?,
        false => by_the_clock(&schedule.cron, &zone, after)?,
    };
    Some(Timestamp(i64::try_from(found.as_nanosecond()).ok()?))
}

/// Minute by minute, days that are not meant left out.
fn by_time_passed(cron: &Cron, zone: &TimeZone, after: jiff::Timestamp) -> Option<jiff::Timestamp> {
    let second = after.as_second();
    let mut moment = jiff::Timestamp::from_second(second - second.rem_euclid(60) + 60).ok()?;
    let mut days = 0;
    while days < DAYS_AHEAD {
        let here = zone.to_datetime(moment);
        if !is_meant(cron, here.date()) {
            days += 1;
            let tomorrow = here.date().tomorrow().ok()?;
            moment = zone.to_timestamp(tomorrow.at(0, 0, 0, 0)).ok()?;
            continue;
        }
        if cron.has_time(word(here.hour()), word(here.minute())) {
            return Some(moment);
        }
        moment = moment.checked_add(1.minute()).ok()?;
    }
    None
}

fn by_the_clock(cron: &Cron, zone: &TimeZone, after: jiff::Timestamp) -> Option<jiff::Timestamp> {
    // From the day before: one that was left out there may come today.
    let mut date = zone.to_datetime(after).date().yesterday().ok()?;
    for _ in 0..DAYS_AHEAD {
        if is_meant(cron, date) {
            let times = (0..24i8).flat_map(|hour| (0..60i8).map(move |minute| (hour, minute)));
            let meant = times.filter(|(h, m)| cron.has_time(word(*h), word(*m)));
            let moments = meant.filter_map(|(h, m)| zone.to_timestamp(date.at(h, m, 0, 0)).ok());
            if let Some(first) = moments.filter(|moment| *moment > after).min() {
                return Some(first);
            }
        }
        date = date.tomorrow().ok()?;
    }
    None
}

fn is_meant(cron: &Cron, date: Date) -> bool {
    let weekday = date.weekday().to_sunday_zero_offset();
    cron.has_day(word(date.month()), word(date.day()), word(weekday))
}

fn word(number: i8) -> u32 {
    u32::try_from(number).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(cron: &str, zone: Option<&str>, after: &str) -> String {
        let schedule = Schedule {
            cron: cron.parse().unwrap(),
            timezone: zone.map(str::to_owned),
            concurrency: None,
            missed_fires: None,
        };
        let after = Timestamp::parse(after).unwrap();
        let found = next_after(&schedule, after).expect("a time");
        jiff::Timestamp::from_second(found.seconds())
            .unwrap()
            .to_string()
    }

    #[test]
    fn the_next_time_lies_strictly_ahead() {
        let at = |cron, after| next(cron, None, after);
        assert_eq!(
            at("* * * * *", "2026-03-01T10:00:00Z"),
            "2026-03-01T10:01:00Z"
        );
        assert_eq!(
            at("* * * * *", "2026-03-01T10:00:59.9Z"),
            "2026-03-01T10:01:00Z"
        );
        assert_eq!(
            at("0 3 * * *", "2026-03-01T03:00:00Z"),
            "2026-03-02T03:00:00Z"
        );
        assert_eq!(
            at("0 3 * * *", "2026-03-01T02:59:59Z"),
            "2026-03-01T03:00:00Z"
        );
        assert_eq!(
            at("*/15 8 * * 1-5", "2026-02-27T08:45:00Z"),
            "2026-03-02T08:00:00Z"
        );
        assert_eq!(
            at("0 0 29 2 *", "2026-03-01T00:00:00Z"),
            "2028-02-29T00:00:00Z"
        );
        assert_eq!(
            at("30 * 31 12 *", "2026-01-01T00:00:00Z"),
            "2026-12-31T00:30:00Z"
        );
    }

    #[test]
    fn clocks_that_are_put_forward_leave_no_night_out() {
        if TimeZone::get("Europe/Paris").is_err() {
            return; // a host without time zones
        }
        let paris = |cron, after| next(cron, Some("Europe/Paris"), after);
        assert_eq!(
            paris("0 3 * * *", "2026-01-01T00:00:00Z"),
            "2026-01-01T02:00:00Z"
        );
        // 2026-03-29: 02:30 is not, and comes as 03:30.
        assert_eq!(
            paris("30 2 * * *", "2026-03-28T12:00:00Z"),
            "2026-03-29T01:30:00Z"
        );
        assert_eq!(
            paris("30 2 * * *", "2026-03-29T01:30:00Z"),
            "2026-03-30T00:30:00Z"
        );
        // 2026-10-25: 02:30 comes twice, and counts once.
        assert_eq!(
            paris("30 2 * * *", "2026-10-24T12:00:00Z"),
            "2026-10-25T00:30:00Z"
        );
        assert_eq!(
            paris("30 2 * * *", "2026-10-25T00:30:00Z"),
            "2026-10-26T01:30:00Z"
        );
        // What is due every hour misses none.
        assert_eq!(
            paris("*/5 * * * *", "2026-10-25T01:00:00Z"),
            "2026-10-25T01:05:00Z"
        );
        assert_eq!(
            paris("*/5 * * * *", "2026-03-29T00:55:00Z"),
            "2026-03-29T01:00:00Z"
        );
    }

    #[test]
    fn a_zone_that_is_none_is_told() {
        let error = check_timezone("Mars/Olympus").unwrap_err().to_string();
        assert!(error.contains("Mars/Olympus"), "{error}");
    }
}
