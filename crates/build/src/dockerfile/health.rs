//! HEALTHCHECK.

use super::error::Mistake;
use super::flags::Flags;
use super::instruction::CommandLine;
use super::parse::command;
use super::words::{self, Flag};
use model::health::{HealthTest, Healthcheck};
use std::time::Duration;

pub(super) fn healthcheck(flags: &[Flag], rest: &str) -> Result<Healthcheck, Mistake> {
    let names = [
        "interval",
        "timeout",
        "start-period",
        "start-interval",
        "retries",
    ];
    let mut known = Flags::of("HEALTHCHECK", flags, &names)?;
    let (kind, rest) = words::first(rest);
    let test = match kind.to_ascii_uppercase().as_str() {
        "NONE" if !rest.is_empty() => return Err(Mistake::HealthNone),
        "NONE" => HealthTest::None,
        "CMD" => match command(rest)? {
            CommandLine::Exec(words) if !words.is_empty() => HealthTest::Cmd(words),
            CommandLine::Shell(text) if !text.is_empty() => HealthTest::Shell(text),
            _ => {
                return Err(Mistake::Arguments {
                    instruction: "HEALTHCHECK CMD",
                    need: "a command",
                });
            }
        },
        "" => {
            return Err(Mistake::Arguments {
                instruction: "HEALTHCHECK",
                need: "at least one argument",
            });
        }
        _ => return Err(Mistake::HealthType(kind.to_owned())),
    };
    let mut time = |flag: &'static str| -> Result<Option<Duration>, Mistake> {
        let Some(text) = known.take(flag)? else {
            return Ok(None);
        };
        let bad = |cause: &str| Mistake::FlagValue {
            flag,
            value: text.clone(),
            cause: cause.to_owned(),
        };
        let duration = model::duration::parse(&text).map_err(|error| bad(&error.cause))?;
        if !duration.is_zero() && duration < Duration::from_millis(1) {
            return Err(bad("cannot be less than 1ms"));
        }
        Ok(Some(duration))
    };
    let (interval, timeout) = (time("interval")?, time("timeout")?);
    let (start_period, start_interval) = (time("start-period")?, time("start-interval")?);
    let retries = match known.take("retries")? {
        None => None,
        Some(text) => Some(text.parse().map_err(|_| Mistake::FlagValue {
            flag: "retries",
            value: text,
            cause: "not a number that is 0 or more".to_owned(),
        })?),
    };
    Ok(Healthcheck {
        test,
        interval,
        timeout,
        start_period,
        start_interval,
        retries,
    })
}
