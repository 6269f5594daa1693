//! `watch`, and the same beside `up --watch`.

use super::display::Display;
use super::globals::Globals;
use super::make::{MakeFlags, bring_up};
use super::verb::{Run, Verb, verb};
use super::{Call, failed};
use crate::failure::{Failure, Outcome};
use crate::output;
use clap::Args;
use compose::execute;
use compose::plan::up::selected;
use compose::up::Request;
use compose::watch::{self, News, Watching};
use compose_file::{Project, Service};
use engine::Context;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use sys::signal::Signals;

pub(crate) const VERBS: &[Verb] = &[verb::<Watch>(
    &["watch"],
    "[OPTIONS] [SERVICE...]",
    "Watch build context for service and rebuild/refresh containers when files are updated",
)
.examples("watch\nwatch --no-up web")];

/// How often it is looked whether the user has had enough.
const TURN: Duration = Duration::from_millis(100);

#[derive(Debug, Args)]
struct Watch {
    /// Do not build & start services before watching
    #[arg(long)]
    no_up: bool,
    /// Accepted as Docker's; images that nothing uses are removed by `image prune`
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", hide = true)]
    prune: Option<String>,
    /// Hide build output
    #[arg(long)]
    quiet: bool,
    service: Vec<String>,
}

impl Run for Watch {
    fn run(self, call: &Call<'_>) -> Outcome {
        let project = call.load(&self.service)?;
        let make = MakeFlags {
            build: true,
            quiet_build: self.quiet,
            ..MakeFlags::default()
        };
        let request = make.request(call, &self.service)?;
        let beside = Beside::new(call, &project, &request, self.quiet)?;
        call.tell_ignored(&project);
        if !self.no_up {
            call.make(&project, &make, &request)?;
        }
        let numbers: Vec<i32> = ["INT", "TERM", "HUP"]
            .into_iter()
            .filter_map(sys::signal::parse)
            .collect();
        let signals = Signals::new(&numbers).map_err(Failure::system("listen for signals"))?;
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let watching = scope.spawn(|| {
                let outcome = beside.watch(&over);
                over.store(true, Ordering::Relaxed);
                outcome
            });
            while !over.load(Ordering::Relaxed) {
                match signals.read() {
                    Ok(None) => std::thread::sleep(TURN),
                    _ => over.store(true, Ordering::Relaxed),
                }
            }
            watching
                .join()
                .unwrap_or_else(|_| Err(Failure::said("watching ended unexpectedly")))
        })?;
        Ok(0)
    }
}

/// What is watched by a thread of its own, and how a service is built anew.
#[derive(Debug)]
pub(super) struct Beside<'a> {
    ctx: &'a Context,
    globals: &'a Globals,
    parallel: usize,
    project: &'a Project,
    make: MakeFlags,
    /// What is asked for when something is rebuilt; the service is set then.
    request: Request,
    services: Vec<&'a Service>,
}

impl<'a> Beside<'a> {
    /// Rules that cannot be followed are refused here, before anything is done.
    pub(super) fn new(
        call: &'a Call<'_>,
        project: &'a Project,
        wanted: &Request,
        quiet: bool,
    ) -> Result<Self, Failure> {
        let services = selected(project, &wanted.options);
        watch::check(project, &services).map_err(failed)?;
        let make = MakeFlags {
            build: true,
            quiet_build: quiet,
            ..MakeFlags::default()
        };
        let mut request = make.request(call, &[])?;
        request.options.no_dependencies = true;
        request.options.ignore_orphans = true;
        Ok(Self {
            ctx: call.ctx()?,
            globals: &call.globals,
            parallel: call.parallel(),
            project,
            make,
            request,
            services,
        })
    }

    /// Watches the services' files until it is over.
    pub(super) fn watch(&self, over: &AtomicBool) -> Result<(), Failure> {
        let display = Display::new(self.globals, true);
        let interrupted = AtomicBool::new(false);
        let run = self.run(&display, &interrupted);
        let watching = Watching {
            run,
            project: self.project,
            services: &self.services,
            rebuild: &|service| self.rebuild(service),
            tell: &tell,
            over,
        };
        watching.watch().map_err(failed)
    }

    fn run<'r>(&'r self, display: &'r Display, interrupted: &'r AtomicBool) -> execute::Run<'r> {
        execute::Run {
            ctx: self.ctx,
            progress: display,
            parallel: self.parallel,
            interrupted,
        }
    }

    /// The service anew, and nothing else.
    fn rebuild(&self, service: &str) -> Result<(), String> {
        let mut request = self.request.clone();
        request.options.services = vec![service.to_owned()];
        let display = Display::new(self.globals, self.make.quiet_build);
        let interrupted = AtomicBool::new(false);
        let run = self.run(&display, &interrupted);
        bring_up(run, &display, self.project, &self.make, &request)
            .map_err(|failure| failure.chain())
    }
}

fn tell(news: News<'_>) {
    match news {
        News::Begun => output::note("Watch enabled"),
        News::Synced { service, files } => output::note(format_args!(
            "Syncing service {service:?} after {files} changes were detected"
        )),
        News::Restarted { service } => {
            output::note(format_args!("service(s) [{service:?}] restarted"));
        }
        News::Executed { service, command } => {
            output::note(format_args!("service {service:?}: {command:?} was run"));
        }
        News::Rebuilding { service } => output::note(format_args!(
            "Rebuilding service(s) [{service:?}] after changes were detected..."
        )),
        News::Failed { service, why } => {
            output::warn(format_args!("service {service:?}: {why}"));
        }
    }
}
