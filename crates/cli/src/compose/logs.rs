//! `logs`.

use super::Call;
use super::attached::{Choice, Listener, News, Shared};
use super::printer::{Manner, Printer, TaskNames, colour, short_name};
use super::project::Target;
use super::verb::{Run, Verb, usage, verb};
use crate::failure::{Failure, Outcome};
use crate::output::units;
use clap::Args;
use compose::observe::Container;
use engine::logs::{Line, Query, Reader};
use engine::{Timestamp, events};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub(crate) const VERBS: &[Verb] = &[verb::<Logs>(
    &["logs"],
    "[OPTIONS] [SERVICE...]",
    "View output from containers",
)
.examples("logs -f web\nlogs --tail 20 --since 10m")];

#[derive(Debug, Args)]
struct Logs {
    /// Follow log output
    #[arg(short, long)]
    follow: bool,
    /// Index of the container if service has multiple replicas
    #[arg(long, value_name = "int")]
    index: Option<u32>,
    /// Produce monochrome output
    #[arg(long)]
    no_color: bool,
    /// Don't print prefix in logs
    #[arg(long)]
    no_log_prefix: bool,
    /// Show logs since timestamp (e.g. 2013-01-02T13:23:37Z) or relative (e.g. 42m for 42 minutes)
    #[arg(long, value_name = "string")]
    since: Option<String>,
    /// Number of lines to show from the end of the logs for each container
    #[arg(short = 'n', long, value_name = "string", default_value = "all")]
    tail: String,
    /// Show timestamps
    #[arg(short, long)]
    timestamps: bool,
    /// Show logs before a timestamp or relative
    #[arg(long, value_name = "string")]
    until: Option<String>,
    service: Vec<String>,
}

fn time(flag: &str, text: Option<&str>) -> Result<Option<Timestamp>, Failure> {
    let parse = |text| {
        units::point_in_time(text)
            .ok_or_else(|| usage(format!("invalid value for {flag:?}: {text:?} is no time")))
    };
    text.map(parse).transpose()
}

/// `--tail`: a number, or all.
pub(crate) fn tail(text: &str) -> Option<usize> {
    match text {
        "all" | "" => None,
        text => text
            .parse::<i64>()
            .ok()
            .and_then(|n| usize::try_from(n).ok()),
    }
}

impl Run for Logs {
    fn run(self, call: &Call<'_>) -> Outcome {
        if self.index.is_some() && self.service.len() != 1 {
            return Err(usage("--index requires one service to be selected"));
        }
        let query = Query {
            since: time("since", self.since.as_deref())?,
            until: time("until", self.until.as_deref())?,
            tail: tail(&self.tail),
            follow: self.follow,
        };
        let target = call.target(&self.service)?;
        ShowLogs {
            services: self.service,
            index: self.index,
            query,
            colour: colour(call, self.no_color),
            prefix: !self.no_log_prefix,
            timestamps: self.timestamps,
            names: None,
        }
        .show(call, &target)
    }
}

/// Which logs are shown, and how.
#[derive(Debug)]
pub(crate) struct ShowLogs {
    /// Empty: all.
    pub(crate) services: Vec<String>,
    pub(crate) index: Option<u32>,
    pub(crate) query: Query,
    pub(crate) colour: bool,
    pub(crate) prefix: bool,
    pub(crate) timestamps: bool,
    /// What lines are opened with instead of Compose's names.
    pub(crate) names: Option<TaskNames>,
}

impl ShowLogs {
    pub(crate) fn show(self, call: &Call<'_>, target: &Target) -> Outcome {
        let mut containers = call.containers(target, &self.services, false)?;
        if let Some(index) = self.index {
            containers.retain(|c| c.number == index);
        }
        let manner = Manner {
            colour: self.colour,
            prefix: self.prefix,
            timestamps: self.timestamps,
        };
        let printer = Printer::new(manner).named(self.names.as_ref());
        for container in &containers {
            printer.introduce(&short_name(container, &target.name));
        }
        match self.query.follow {
            false => print_all(call, &target.name, &containers, self.query, &printer),
            true => self.follow(call, &target.name, &printer),
        }
    }

    fn follow(&self, call: &Call<'_>, project: &str, printer: &Printer<'_>) -> Outcome {
        let ctx = call.ctx()?;
        let reader = events::Reader::from_now(ctx)?;
        let over = AtomicBool::new(false);
        let shared = Shared {
            ctx,
            project,
            printer,
            over: &over,
        };
        std::thread::scope(|scope| {
            let choice = Choice {
                services: self.services.clone(),
                index: self.index,
                except: Vec::new(),
            };
            let mut listener = Listener::new(scope, &shared, choice);
            listener.hear_events(reader);
            let outcome = listen(&mut listener, self.query);
            over.store(true, Ordering::Relaxed);
            outcome
        })
    }
}

/// Until nothing that is listened to runs any more.
fn listen(listener: &mut Listener<'_, '_>, query: Query) -> Outcome {
    listener.join_all(query)?;
    while listener.active(&[]) > 0 {
        match listener.news.recv_timeout(Duration::from_millis(500)) {
            Ok(News::Started(id)) => listener.started(&id)?,
            Ok(News::Broken(failure)) => return Err(failure),
            Ok(News::Ended {
                container, seen, ..
            }) => {
                listener.ended(&container, seen)?;
                // A restart by hand is a start right after the end: give its event a moment.
                while let Ok(news) = listener.news.recv_timeout(Duration::from_millis(300)) {
                    match news {
                        News::Started(id) => listener.started(&id)?,
                        News::Ended {
                            container, seen, ..
                        } => listener.ended(&container, seen)?,
                        News::Broken(failure) => return Err(failure),
                        News::Signal | News::Key(_) | News::Restarted { .. } | News::Done(_) => {}
                    }
                }
            }
            Ok(News::Signal | News::Key(_) | News::Restarted { .. } | News::Done(_)) | Err(_) => {}
        }
    }
    Ok(0)
}

/// The lines of all containers in the order of their times.
fn print_all(
    call: &Call<'_>,
    project: &str,
    containers: &[Container],
    query: Query,
    printer: &Printer<'_>,
) -> Outcome {
    let mut sources: Vec<(String, Reader, Option<Line>)> = Vec::new();
    for container in containers {
        let record = engine::container::names::resolve(call.ctx()?, &container.id)?;
        if record.spec.log.driver == model::log::LogDriver::None {
            continue;
        }
        let mut reader = Reader::open(call.ctx()?, &record, query)?;
        let first = reader.next_line()?;
        sources.push((short_name(container, project), reader, first));
    }
    while let Some((name, reader, line)) = sources
        .iter_mut()
        .filter(|(_, _, line)| line.is_some())
        .min_by_key(|(_, _, line)| line.as_ref().map(|l| l.time))
    {
        if let Some(line) = line.take() {
            printer.line(name, &line)?;
        }
        *line = reader.next_line()?;
    }
    Ok(0)
}
