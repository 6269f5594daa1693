//! `up`, `create`.

use super::Call;
use super::attached::{Choice, Listener, Shared};
use super::display::Display;
use super::make::{MakeFlags, bring_up, heed_environment};
use super::menu::{self, Menu};
use super::printer::{Manner, Printer, colour};
use super::project::up_failure;
use super::stay::Stay;
use super::verb::{Run, Verb, usage, verb};
use crate::failure::{Failure, Outcome};
use crate::output;
use clap::Args;
use compose::names::Separator;
use compose::plan::up::{Options, Recreate, Start};
use compose::up::Request;
use compose_file::Project;
use engine::{Timestamp, events};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use sys::signal::Signals;

pub(crate) const VERBS: &[Verb] = &[
    verb::<Up>(&["up"], "[OPTIONS] [SERVICE...]", "Create and start containers")
        .examples("up -d\nup -d --build web\nup --scale web=3\nup --plan              # what would be done, and why"),
    verb::<Create>(&["create"], "[OPTIONS] [SERVICE...]", "Creates containers for a service"),
];

#[derive(Debug, Default, Args)]
pub(crate) struct Up {
    #[command(flatten)]
    make: MakeFlags,
    /// Detached mode: Run containers in the background
    #[arg(short, long)]
    detach: bool,
    /// Stops all containers if any container was stopped
    #[arg(long)]
    abort_on_container_exit: bool,
    /// Stops all containers if any container exited with failure
    #[arg(long)]
    abort_on_container_failure: bool,
    /// Recreate dependent containers
    #[arg(long)]
    always_recreate_deps: bool,
    /// Restrict attaching to the specified services
    #[arg(long, value_name = "stringArray")]
    attach: Vec<String>,
    /// Automatically attach to log output of dependent services
    #[arg(long)]
    attach_dependencies: bool,
    /// Do not attach (stream logs) to the specified services
    #[arg(long, value_name = "stringArray")]
    no_attach: Vec<String>,
    /// Return the exit code of the selected service container
    #[arg(long, value_name = "string")]
    pub(super) exit_code_from: Option<String>,
    /// Produce monochrome output
    #[arg(long)]
    no_color: bool,
    /// Don't start linked services
    #[arg(long)]
    no_deps: bool,
    /// Don't print prefix in logs
    #[arg(long)]
    no_log_prefix: bool,
    /// Don't start the services after creating them
    #[arg(long)]
    no_start: bool,
    /// Show what would be done and why, and do nothing; exit code 2 when something would change
    #[arg(long)]
    plan: bool,
    /// With --plan: "text" or "json"
    #[arg(long, value_name = "string", default_value = "text")]
    format: String,
    /// Recreate anonymous volumes instead of retrieving data from the previous containers
    #[arg(short = 'V', long)]
    renew_anon_volumes: bool,
    /// Use this timeout in seconds for container shutdown
    #[arg(short, long, value_name = "int")]
    pub(super) timeout: Option<u64>,
    /// Show timestamps
    #[arg(long)]
    timestamps: bool,
    /// Wait for services to be running|healthy. Implies detached mode
    #[arg(long)]
    wait: bool,
    /// Maximum duration in seconds to wait for the project to be running|healthy
    #[arg(long, value_name = "int")]
    wait_timeout: Option<u64>,
    /// Watch source code and rebuild/refresh containers when files are updated.
    #[arg(short, long)]
    pub(super) watch: bool,
    /// Enable interactive shortcuts when running attached (the default on a terminal; also COMPOSE_MENU)
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    menu: Option<String>,
    service: Vec<String>,
}

#[derive(Debug, Args)]
struct Create {
    #[command(flatten)]
    make: MakeFlags,
    service: Vec<String>,
}

impl Run for Create {
    fn run(self, call: &Call<'_>) -> Outcome {
        let mut request = self.make.request(call, &self.service)?;
        request.options.start = Start::No;
        let project = call.load(&self.service)?;
        heed_environment(&mut request.options, &project);
        call.tell_ignored(&project);
        if call.globals.dry_run {
            let plan = compose::up::preview(call.ctx()?, &project, &request).map_err(up_failure)?;
            output::line(&plan)?;
            return Ok(0);
        }
        call.make(&project, &self.make, &request)?;
        Ok(0)
    }
}

impl Run for Up {
    fn run(self, call: &Call<'_>) -> Outcome {
        self.check()?;
        let mut request = self.make.request(call, &self.service)?;
        let options = &mut request.options;
        options.no_dependencies = self.no_deps;
        options.renew_anonymous_volumes = self.renew_anon_volumes;
        options.timeout = self.timeout;
        if self.always_recreate_deps {
            options.recreate_dependencies = Recreate::Always;
        }
        if self.no_start {
            options.start = Start::No;
        }
        let mut named = self.service.clone();
        named.extend(options.scale.keys().cloned());
        let project = call.load(if self.service.is_empty() { &[] } else { &named })?;
        heed_environment(&mut request.options, &project);
        call.tell_ignored(&project);
        if self.plan || call.globals.dry_run {
            return self.show_plan(call, &project, &request);
        }
        if self.detach || self.wait || self.no_start {
            call.make(&project, &self.make, &request)?;
            return if self.wait {
                self.wait_for(call, &project)
            } else {
                Ok(0)
            };
        }
        self.stay(call, &project, &request)
    }
}

impl Up {
    /// `scale` is `up -d --no-deps`-like: everything else stays as it is.
    pub(crate) fn scaled(words: &[String]) -> Self {
        let make = MakeFlags {
            scale: words.to_vec(),
            no_recreate: true,
            ..MakeFlags::default()
        };
        Self {
            make,
            detach: true,
            format: "text".into(),
            ..Self::default()
        }
    }

    pub(crate) fn only(mut self, services: Vec<String>, no_deps: bool) -> Self {
        self.service = services;
        self.no_deps = no_deps;
        self
    }

    fn check(&self) -> Result<(), Failure> {
        let attached_only = self.abort_on_container_exit
            || self.abort_on_container_failure
            || self.exit_code_from.is_some();
        if self.detach && (attached_only || !self.attach.is_empty() || self.attach_dependencies) {
            return Err(usage(
                "--detach cannot be combined with --abort-on-container-exit, --abort-on-container-failure, --exit-code-from, --attach or --attach-dependencies",
            ));
        }
        if self.watch && (self.detach || self.wait || self.no_start) {
            return Err(usage(
                "--watch cannot be combined with --detach, --wait or --no-start",
            ));
        }
        if self.wait && attached_only {
            return Err(usage(
                "--wait cannot be combined with --abort-on-container-exit",
            ));
        }
        Ok(())
    }

    fn show_plan(&self, call: &Call<'_>, project: &Project, request: &Request) -> Outcome {
        let plan = compose::up::preview(call.ctx()?, project, request).map_err(up_failure)?;
        match self.format.as_str() {
            "json" => {
                output::line(serde_json::to_string_pretty(&plan.to_json()).unwrap_or_default())?
            }
            "text" => {
                for warning in &plan.warnings {
                    call.warn(warning);
                }
                output::line(&plan)?;
            }
            other => {
                return Err(usage(format!(
                    "unknown --format {other:?}: use text or json"
                )));
            }
        }
        Ok(if plan.is_empty() || call.globals.dry_run {
            0
        } else {
            2
        })
    }

    fn wait_for(&self, call: &Call<'_>, project: &Project) -> Outcome {
        let display = Display::new(&call.globals, false);
        let interrupted = AtomicBool::new(false);
        let run = call.running(&display, &interrupted)?;
        let timeout = self.wait_timeout.map(Duration::from_secs);
        compose::up::wait_until_up(run, project, &self.service, timeout).map_err(up_failure)?;
        Ok(0)
    }

    /// Starts everything and stays with it.
    fn stay(&self, call: &Call<'_>, project: &Project, request: &Request) -> Outcome {
        let ctx = call.ctx()?;
        let watching = self
            .watch
            .then(|| super::watch::Beside::new(call, project, request, self.make.quiet_build))
            .transpose()?;
        let reader = events::Reader::from_now(ctx)?;
        let since = Timestamp::now();
        // From here on Ctrl-C stops the containers instead of us.
        let numbers: Vec<i32> = ["INT", "TERM", "HUP"]
            .into_iter()
            .filter_map(sys::signal::parse)
            .collect();
        let signals = Signals::new(&numbers).map_err(Failure::system("listen for signals"))?;
        let (over, interrupted) = (AtomicBool::new(false), AtomicBool::new(false));
        let manner = Manner {
            colour: colour(call, self.no_color),
            prefix: !self.no_log_prefix,
            timestamps: self.timestamps,
        };
        let display = Display::new(&call.globals, false);
        let variable = std::env::var("COMPOSE_MENU").ok();
        let menu = menu::wanted(self.menu.as_deref(), variable.as_deref())
            .then(|| Menu::open(call, project, &display))
            .transpose()?;
        let printer = Printer::new(manner).above(&display);
        let shared = Shared {
            ctx,
            project: &project.name,
            printer: &printer,
            over: &over,
        };
        let run = call.running(&display, &interrupted)?;
        std::thread::scope(|scope| {
            let choice = self.choice(project);
            introduce(&printer, project, &choice, call.globals.separator);
            let mut listener = Listener::new(scope, &shared, choice);
            listener.hear_events(reader);
            listener.hear_signals(&signals);
            if menu.is_some() {
                listener.hear_keys();
            }
            let (display, make) = (&display, &self.make);
            let (over, watching) = (&over, &watching);
            listener.beside(move || {
                bring_up(run, display, project, make, request)?;
                if let Some(watching) = watching {
                    scope.spawn(move || {
                        if let Err(failure) = watching.watch(over) {
                            output::warn(failure.chain());
                        }
                    });
                }
                Ok(())
            });
            let stay = Stay {
                flags: self,
                call,
                project,
                display,
                printer: &printer,
                interrupted: &interrupted,
                since,
                menu,
            };
            let outcome = stay.listen(&mut listener);
            over.store(true, Ordering::Relaxed);
            outcome
        })
    }

    fn choice(&self, project: &Project) -> Choice {
        let mut services = if self.attach.is_empty() {
            self.service.clone()
        } else {
            self.attach.clone()
        };
        if self.attach_dependencies && !services.is_empty() {
            let options = Options {
                services: services.clone(),
                ..Options::default()
            };
            services = compose::plan::up::selected(project, &options)
                .iter()
                .map(|s| s.name.clone())
                .collect();
        }
        let silent = project
            .services
            .iter()
            .filter(|s| s.attach == Some(false))
            .map(|s| s.name.clone());
        let except = self
            .no_attach
            .iter()
            .cloned()
            .chain(silent.filter(|name| !self.attach.contains(name)))
            .collect();
        Choice {
            services,
            except,
            ..Choice::default()
        }
    }

    /// The services whose end is the end; empty: all that are attached.
    pub(super) fn decisive(&self) -> &[String] {
        match self.attach_dependencies {
            true => &self.service,
            false => &[],
        }
    }

    /// Whether leaving stops a service: those named, not what was only needed.
    pub(super) fn stops(&self, service: &String) -> bool {
        self.service.is_empty() || self.service.contains(service)
    }

    pub(super) fn aborts(&self, failure: bool) -> bool {
        self.abort_on_container_exit
            || self.exit_code_from.is_some()
            || (self.abort_on_container_failure && failure)
    }
}

/// All names that will stand before lines, so that they stand in one column from the first line on.
fn introduce(printer: &Printer<'_>, project: &Project, choice: &Choice, separator: Separator) {
    for service in project
        .services
        .iter()
        .filter(|s| choice.takes_service(&s.name))
    {
        for number in 1..=service.replicas() {
            let name = service.container_name.clone();
            printer.introduce(
                &name.unwrap_or_else(|| format!("{}{}{number}", service.name, separator.as_str())),
            );
        }
    }
}
