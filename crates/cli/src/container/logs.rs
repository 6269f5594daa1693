//! `logs`.

use crate::failure::{Failure, Outcome};
use crate::output::{self, units};
use crate::session::Session;
use crate::verb::{Run, Verb, verb};
use clap::Args;
use engine::Timestamp;
use engine::logs::{Line, Query, Reader, Stream};
use std::io::Write;

pub(crate) const VERB: Verb = verb::<Logs>(
    &["logs", "container logs"],
    "[OPTIONS] CONTAINER",
    "Fetch the logs of a container",
)
.exactly(1)
.examples("logs -f --tail 20 web\nlogs --since 10m -t web");

#[derive(Debug, Args)]
struct Logs {
    /// Show extra details provided to logs
    #[arg(long)]
    details: bool,
    /// Follow log output
    #[arg(short, long)]
    follow: bool,
    /// Show logs since timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)
    #[arg(long, value_name = "string")]
    since: Option<String>,
    /// Show logs before a timestamp or relative
    #[arg(long, value_name = "string")]
    until: Option<String>,
    /// Number of lines to show from the end of the logs
    #[arg(short = 'n', long, value_name = "string", default_value = "all")]
    tail: String,
    /// Show timestamps
    #[arg(short, long)]
    timestamps: bool,
    #[arg(required = true)]
    container: String,
}

impl Run for Logs {
    fn run(self, session: &Session) -> Outcome {
        let record = super::find(session, &self.container)?;
        let query = Query {
            since: time("since", self.since.as_deref())?,
            until: time("until", self.until.as_deref())?,
            tail: tail(&self.tail),
            follow: self.follow,
        };
        let mut reader = Reader::open(session.engine()?, &record, query)?;
        let (stdout, stderr) = (std::io::stdout(), std::io::stderr());
        // A terminal's stream carries its own line ends.
        let mut out = std::io::BufWriter::with_capacity(1 << 16, stdout.lock());
        loop {
            let line = match self.follow {
                true => match reader.try_next()? {
                    Some(line) => Some(line),
                    // Nothing more for now: what is read shall be seen before we wait.
                    None => {
                        out.flush()?;
                        reader.next_line()?
                    }
                },
                false => reader.next_line()?,
            };
            if let Some(note) = missed(&mut reader, &record.name) {
                out.flush()?;
                output::note(format_args!("{note}"));
            }
            let Some(line) = line else { break };
            match line.stream {
                Stream::Stdout => self.write(&mut out, &line)?,
                Stream::Stderr => {
                    out.flush()?;
                    self.write(&mut stderr.lock(), &line)?;
                }
            }
        }
        out.flush()?;
        Ok(0)
    }
}

impl Logs {
    fn write(&self, out: &mut impl Write, line: &Line) -> std::io::Result<()> {
        if self.timestamps {
            write!(out, "{} ", line.time)?;
        }
        out.write_all(&line.bytes)
    }
}

/// What a follower has to say when files went away before it came to them.
pub(crate) fn missed(reader: &mut Reader, container: &str) -> Option<String> {
    let lost = reader.take_lost();
    let plural = if lost == 1 { "file" } else { "files" };
    (lost > 0).then(|| {
        format!(
            "{lost} {plural} of the log of {container} went with rotation before being read; with a larger max-file they stay longer"
        )
    })
}

/// Docker takes anything that is no number as `all`.
fn tail(text: &str) -> Option<usize> {
    text.parse::<usize>().ok()
}

pub(crate) fn time(flag: &str, text: Option<&str>) -> Result<Option<Timestamp>, Failure> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    match units::point_in_time(text) {
        Some(time) => Ok(Some(time)),
        None => Err(Failure::said(format!(
            "invalid value for \"{flag}\": failed to parse value as time or duration: {text:?}"
        ))
        .hint("write 10m, 2026-01-02T13:23:37Z or Unix seconds")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tail_is_a_number_or_all() {
        assert_eq!(tail("20"), Some(20));
        assert_eq!(tail("0"), Some(0));
        assert_eq!(tail("all"), None);
        assert_eq!(tail("-1"), None);
        assert!(time("since", Some("soon")).is_err());
        assert_eq!(time("since", Some("")).unwrap(), None);
    }
}
