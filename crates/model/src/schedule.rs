//! When a job runs: a crontab expression of five fields, the time zone it is meant in, and what is done about runs that meet or
//! were missed. Moments are the engine's, which has a clock; this is the text and what it says.
//!
//! ```text
//! minute 0-59   hour 0-23   day of the month 1-31   month 1-12   day of the week 0-7 (0 and 7: Sunday)
//! ```
//!
//! Each field is `*`, a number, a range, a list of those, and a step behind `/`. Names (`mon`) and shortcuts (`@daily`) are not
//! taken. Source: docs.docker.com, Compose file reference, `jobs`; crontab(5).

use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// One entry of `triggers.schedule`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    pub cron: Cron,
    /// IANA's name; `None`: UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<Concurrency>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missed_fires: Option<MissedFires>,
}

/// What is done when it is time and the run before has not ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Concurrency {
    /// The new run does not take place.
    #[default]
    Forbid,
    /// It waits; only one does.
    Queue,
}

/// What is done about runs that were due while nobody watched the clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MissedFires {
    /// One run makes up for all of them.
    #[default]
    One,
    Skip,
}

/// A crontab expression, with its text as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cron {
    text: String,
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Both kinds of day are restricted: then one that fits suffices, as cron has it.
    either_day: bool,
}

/// Why a text is no crontab expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    #[error(
        "{text:?} has {found} fields instead of five: minute, hour, day of the month, month, day of the week"
    )]
    Fields { text: String, found: usize },
    #[error("shortcuts such as {0:?} are not supported: write the five fields, as \"0 0 * * *\"")]
    Shortcut(String),
    #[error("{part:?} is no {field}: {why}")]
    Field {
        field: &'static str,
        part: String,
        why: String,
    },
    #[error("{0:?} never comes: no month of it has such a day")]
    Never(String),
}

/// Name, lowest and highest value of each field.
const FIELDS: [(&str, u32, u32); 5] = [
    ("minute", 0, 59),
    ("hour", 0, 23),
    ("day of the month", 1, 31),
    ("month", 1, 12),
    ("day of the week", 0, 7),
];

impl Cron {
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether a day is one of its: `weekday` counts from Sunday, 0.
    pub fn has_day(&self, month: u32, day: u32, weekday: u32) -> bool {
        let (by_date, by_week) = (has(self.days, day), has(self.weekdays, weekday));
        let fits = match self.either_day {
            true => by_date || by_week,
            false => by_date && by_week,
        };
        has(self.months, month) && fits
    }

    /// Whether a time of such a day is one of its.
    pub fn has_time(&self, hour: u32, minute: u32) -> bool {
        has(self.hours, hour) && has(self.minutes, minute)
    }

    /// Whether every hour is one of its: then it goes by time that passes, and not by what clocks show.
    pub fn is_hourly(&self) -> bool {
        (0..24).all(|hour| has(self.hours, hour))
    }
}

fn has(set: u64, value: u32) -> bool {
    set & (1 << value) != 0
}

impl FromStr for Cron {
    type Err = CronError;

    fn from_str(text: &str) -> Result<Self, CronError> {
        let fields: Vec<&str> = text.split_ascii_whitespace().collect();
        if text.trim_start().starts_with('@') {
            return Err(CronError::Shortcut(text.trim().to_owned()));
        }
        let [minutes, hours, days, months, weekdays] = fields.as_slice() else {
            return Err(CronError::Fields {
                text: text.to_owned(),
                found: fields.len(),
            });
        };
        let mut week = set(weekdays, FIELDS[4])?;
        if has(week, 7) {
            week = (week & !(1 << 7)) | 1;
        }
        let cron = Self {
            text: fields.join(" "),
            minutes: set(minutes, FIELDS[0])?,
            hours: set(hours, FIELDS[1])?,
            days: set(days, FIELDS[2])?,
            months: set(months, FIELDS[3])?,
            weekdays: week,
            either_day: !days.starts_with('*') && !weekdays.starts_with('*'),
        };
        match cron.comes() {
            true => Ok(cron),
            false => Err(CronError::Never(cron.text)),
        }
    }
}

impl Cron {
    /// Whether one of its months has one of its days: `30 February` does not come.
    fn comes(&self) -> bool {
        const LONGEST: [u32; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        self.either_day
            || (1..=12)
                .filter(|month| has(self.months, *month))
                .any(|month| (1..=LONGEST[month as usize - 1]).any(|day| has(self.days, day)))
    }
}

impl TryFrom<String> for Cron {
    type Error = CronError;

    fn try_from(text: String) -> Result<Self, CronError> {
        text.parse()
    }
}

impl From<Cron> for String {
    fn from(cron: Cron) -> Self {
        cron.text
    }
}

/// The values of one field as bits.
fn set(text: &str, (field, low, high): (&'static str, u32, u32)) -> Result<u64, CronError> {
    let mut values = 0;
    for part in text.split(',') {
        let wrong = |why: String| CronError::Field {
            field,
            part: part.to_owned(),
            why,
        };
        let number = |digits: &str| match digits.parse::<u32>() {
            Ok(number) if (low..=high).contains(&number) && is_digits(digits) => Ok(number),
            _ if digits.starts_with(|c: char| c.is_ascii_alphabetic()) => {
                Err(wrong("names are not supported, write numbers".into()))
            }
            _ => Err(wrong(format!("use numbers from {low} to {high}"))),
        };
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (part, None),
        };
        let (first, last) = match range.split_once('-') {
            _ if range == "*" => (low, high),
            Some((first, last)) => (number(first)?, number(last)?),
            None => {
                let first = number(range)?;
                (first, if step.is_some() { high } else { first })
            }
        };
        if first > last {
            return Err(wrong("a range goes from the lower to the higher".into()));
        }
        let step = match step {
            None => 1,
            Some(step) => step
                .parse::<usize>()
                .ok()
                .filter(|n| *n > 0 && is_digits(step))
                .ok_or_else(|| wrong("a step is a number above 0".into()))?,
        };
        values |= (first..=last).step_by(step).fold(0, |set, n| set | 1 << n);
    }
    Ok(values)
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cron(text: &str) -> Cron {
        text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    fn said(text: &str) -> String {
        text.parse::<Cron>().unwrap_err().to_string()
    }

    #[test]
    fn fields_are_numbers_lists_ranges_and_steps() {
        let quarters = cron("*/15 8-10,20 * * *");
        let minutes: Vec<u32> = (0..60).filter(|m| quarters.has_time(9, *m)).collect();
        assert_eq!(minutes, [0, 15, 30, 45]);
        let hours: Vec<u32> = (0..24).filter(|h| quarters.has_time(*h, 0)).collect();
        assert_eq!(hours, [8, 9, 10, 20]);
        let tens = cron("0-30/10 * * * *");
        let minutes: Vec<u32> = (0..60).filter(|m| tens.has_time(0, *m)).collect();
        assert_eq!(minutes, [0, 10, 20, 30]);
        assert!(tens.is_hourly() && !quarters.is_hourly());
        assert_eq!(cron(" 0   3 * *\t1 ").as_str(), "0 3 * * 1");
    }

    #[test]
    fn sunday_has_two_numbers_and_days_of_both_kinds_are_either() {
        assert!(cron("0 0 * * 7").has_day(5, 3, 0));
        assert!(cron("0 0 * * 0").has_day(5, 3, 0));
        let either = cron("0 0 1 * 1");
        assert!(either.has_day(6, 1, 3) && either.has_day(6, 9, 1) && !either.has_day(6, 9, 3));
        let only_mondays = cron("0 0 * * 1");
        assert!(only_mondays.has_day(6, 9, 1) && !only_mondays.has_day(6, 1, 3));
    }

    #[test]
    fn what_is_no_expression_says_why() {
        assert!(said("* * * *").contains("4 fields instead of five"));
        assert!(said("").contains("0 fields"));
        assert!(said("@daily").contains("shortcuts"));
        assert!(said("0 3 * * mon").contains("names are not supported"));
        assert!(said("60 * * * *").contains("use numbers from 0 to 59"));
        assert!(said("* * 0 * *").contains("use numbers from 1 to 31"));
        assert!(said("5-1 * * * *").contains("from the lower to the higher"));
        assert!(said("*/0 * * * *").contains("a step is a number above 0"));
        assert!(said("0 0 30 2 *").contains("never comes"));
        for hostile in [
            "+5 * * * *",
            "*/+5 * * * *",
            ", * * * *",
            "1, * * * *",
            "* * * * 8",
        ] {
            assert!(hostile.parse::<Cron>().is_err(), "{hostile}");
        }
        assert!("99999999999999999999 * * * *".parse::<Cron>().is_err());
        assert!("0/99999999999999999999999 * * * *".parse::<Cron>().is_err());
    }

    #[test]
    fn a_leap_day_and_the_thirty_first_come() {
        assert!(cron("0 0 29 2 *").has_day(2, 29, 4));
        assert!("0 0 31 4,5 *".parse::<Cron>().is_ok());
        assert!("0 0 31 4 *".parse::<Cron>().is_err());
    }
}
