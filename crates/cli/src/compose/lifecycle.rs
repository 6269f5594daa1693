//! `start`, `stop`, `restart`, `kill`, `rm`, `pause`, `unpause`.

use super::Call;
use super::project::Target;
use super::verb::{Run, Verb, verb};
use crate::failure::{Failure, Outcome};
use crate::output;
use clap::Args;
use compose::observe::Container;
use compose::plan::{Plan, lifecycle};
use compose_file::Project;
use std::io::{BufRead, IsTerminal, Write};
use std::time::{Duration, Instant};

pub(crate) const VERBS: &[Verb] = &[
    verb::<Start>(&["start"], "[OPTIONS] [SERVICE...]", "Start services"),
    verb::<Stop>(&["stop"], "[OPTIONS] [SERVICE...]", "Stop services"),
    verb::<Restart>(
        &["restart"],
        "[OPTIONS] [SERVICE...]",
        "Restart service containers",
    ),
    verb::<Kill>(
        &["kill"],
        "[OPTIONS] [SERVICE...]",
        "Force stop service containers",
    ),
    verb::<Remove>(
        &["rm"],
        "[OPTIONS] [SERVICE...]",
        "Removes stopped service containers",
    ),
    verb::<Pause>(&["pause"], "[SERVICE...]", "Pause services"),
    verb::<Unpause>(&["unpause"], "[SERVICE...]", "Unpause services"),
];

#[derive(Debug, Args)]
struct Start {
    /// Wait for services to be running|healthy. Implies detached mode
    #[arg(long)]
    wait: bool,
    /// Maximum duration in seconds to wait for the project to be running|healthy
    #[arg(long, value_name = "int")]
    wait_timeout: Option<u64>,
    service: Vec<String>,
}

#[derive(Debug, Args)]
struct Stop {
    /// Specify a shutdown timeout in seconds
    #[arg(short, long, value_name = "int")]
    timeout: Option<u64>,
    service: Vec<String>,
}

#[derive(Debug, Args)]
struct Restart {
    /// Don't restart dependent services
    #[arg(long)]
    no_deps: bool,
    /// Specify a shutdown timeout in seconds
    #[arg(short, long, value_name = "int")]
    timeout: Option<u64>,
    service: Vec<String>,
}

#[derive(Debug, Args)]
struct Kill {
    /// Also kill containers for services not defined in the Compose file
    #[arg(long)]
    remove_orphans: bool,
    /// SIGNAL to send to the container
    #[arg(short, long, value_name = "string", default_value = "SIGKILL")]
    signal: String,
    service: Vec<String>,
}

#[derive(Debug, Args)]
struct Remove {
    /// Don't ask to confirm removal
    #[arg(short, long)]
    force: bool,
    /// Stop the containers, if required, before removing
    #[arg(short, long)]
    stop: bool,
    /// Remove any anonymous volumes attached to containers
    #[arg(short, long)]
    volumes: bool,
    /// Deprecated, no effect
    #[arg(short, long, hide = true)]
    all: bool,
    service: Vec<String>,
}

#[derive(Debug, Args)]
struct Pause {
    service: Vec<String>,
}

#[derive(Debug, Args)]
struct Unpause {
    service: Vec<String>,
}

impl Call<'_> {
    /// Makes a plan from what exists and carries it out, under the project's lock. Who names no service means those of its files.
    fn change(
        &self,
        target: &Target,
        services: &[String],
        plan: impl FnOnce(&[&Container]) -> Result<Plan, Failure>,
    ) -> Outcome {
        let concerned = |c: &Container| !services.is_empty() || target.has(&c.service);
        self.change_those(target, services, concerned, plan)
    }

    fn change_those(
        &self,
        target: &Target,
        services: &[String],
        concerned: impl Fn(&Container) -> bool,
        plan: impl FnOnce(&[&Container]) -> Result<Plan, Failure>,
    ) -> Outcome {
        let _lock =
            compose::up::lock(self.ctx()?, &target.name).map_err(super::project::up_failure)?;
        let containers = self.containers(target, services, false)?;
        let all: Vec<&Container> = containers.iter().filter(|c| concerned(c)).collect();
        let mut plan = plan(&all)?;
        if let Some(project) = &target.project {
            compose::plan::hooks::insert(&mut plan, project);
        }
        if self.globals.dry_run {
            output::line(&plan)?;
            return Ok(0);
        }
        self.carry_out(&plan)?;
        Ok(0)
    }

    /// What the services want to have run before they start.
    fn with_pre_start(&self, project: &Project, plan: &mut Plan) -> Result<(), Failure> {
        let display = super::display::Display::new(&self.globals, false);
        let interrupted = std::sync::atomic::AtomicBool::new(false);
        let run = self.running(&display, &interrupted)?;
        compose::pre_start::insert(run, project, plan, self.globals.separator)
            .map_err(super::project::up_failure)
    }
}

/// `start` of what was never made is an error, as Docker's.
fn require(target: &Target, services: &[String], all: &[&Container]) -> Result<(), Failure> {
    let wanted: Vec<&String> = services
        .iter()
        .filter(|name| !all.iter().any(|c| c.service == **name))
        .collect();
    let none = all.is_empty()
        && target
            .project
            .as_ref()
            .is_some_and(|p| !p.services.is_empty());
    match wanted.first() {
        Some(name) => Err(
            Failure::said(format!("service {name:?} has no container to start"))
                .hint("make it with `up -d`"),
        ),
        None if none => Err(Failure::said(format!(
            "project {:?} has no container to start",
            target.name
        ))
        .hint("make them with `up -d`")),
        None => Ok(()),
    }
}

impl Run for Start {
    fn run(self, call: &Call<'_>) -> Outcome {
        let target = call.target(&self.service)?;
        call.containers(&target, &self.service, false)?;
        let everyone = call.containers(&target, &[], false)?;
        // What a service needs is started with it.
        let names = lifecycle::needed_with(&everyone, &self.service);
        call.change(&target, &names, |all| {
            require(&target, &self.service, all)?;
            let mut plan = lifecycle::start(target.project.as_ref(), all);
            if let Some(project) = &target.project {
                call.with_pre_start(project, &mut plan)?;
            }
            Ok(plan)
        })?;
        if !self.wait {
            return Ok(0);
        }
        let within = Within::new(self.wait_timeout);
        let interrupted = std::sync::atomic::AtomicBool::new(false);
        for container in call.containers(&target, &self.service, false)? {
            compose::condition::wait(
                call.ctx()?,
                &container.name,
                compose::condition::Goal::Up,
                within.left(),
                &interrupted,
            )
            .map_err(super::failed)?;
        }
        Ok(0)
    }
}

/// `--wait-timeout`: for all containers together.
struct Within {
    begun: Instant,
    limit: Option<Duration>,
}

impl Within {
    fn new(seconds: Option<u64>) -> Self {
        Self {
            begun: Instant::now(),
            limit: seconds.map(Duration::from_secs),
        }
    }

    fn left(&self) -> Option<Duration> {
        self.limit
            .map(|limit| limit.saturating_sub(self.begun.elapsed()))
    }
}

impl Run for Stop {
    fn run(self, call: &Call<'_>) -> Outcome {
        let target = call.target(&self.service)?;
        let code = call.change(&target, &self.service, |all| {
            Ok(lifecycle::stop(all, self.timeout))
        })?;
        if let Some(project) = target.project.as_ref().filter(|_| !call.globals.dry_run) {
            let display = super::display::Display::new(&call.globals, false);
            compose::provider::stop(project, &self.service, &display).map_err(super::failed)?;
        }
        Ok(code)
    }
}

impl Run for Restart {
    fn run(self, call: &Call<'_>) -> Outcome {
        let target = call.target(&self.service)?;
        // Those who asked to be restarted along are not among the services named: look at all.
        let mut everyone = call.containers(&target, &[], false)?;
        call.containers(&target, &self.service, false)?;
        everyone.retain(|c| target.has(&c.service) || self.service.contains(&c.service));
        let all: Vec<&Container> = everyone.iter().collect();
        let concerned = match self.no_deps {
            true => all
                .into_iter()
                .filter(|c| self.service.is_empty() || self.service.contains(&c.service))
                .collect(),
            false => lifecycle::restarted_with(&all, &self.service),
        };
        let names: Vec<String> = concerned.iter().map(|c| c.service.clone()).collect();
        call.change(&target, &names, |all| {
            require(&target, &self.service, all)?;
            Ok(lifecycle::restart(
                target.project.as_ref(),
                all,
                self.timeout,
            ))
        })
    }
}

impl Run for Kill {
    fn run(self, call: &Call<'_>) -> Outcome {
        let target = call.target(&self.service)?;
        // Orphans are left alone unless asked for; without a file nobody can tell who is one.
        let concerned = |c: &Container| self.remove_orphans || target.has(&c.service);
        call.change_those(&target, &self.service, concerned, |all| {
            if !all.iter().any(|c| c.status.is_active()) {
                output::note("No container to kill");
            }
            Ok(lifecycle::kill(all, &self.signal))
        })
    }
}

impl Run for Remove {
    fn run(self, call: &Call<'_>) -> Outcome {
        let target = call.target(&self.service)?;
        if self.stop {
            call.change(&target, &self.service, |all| Ok(lifecycle::stop(all, None)))?;
        }
        let containers = call.containers(&target, &self.service, self.service.is_empty())?;
        let stopped: Vec<&Container> = containers
            .iter()
            .filter(|c| !c.status.is_active())
            .filter(|c| !self.service.is_empty() || target.has(&c.service))
            .collect();
        if stopped.is_empty() {
            output::note("No stopped containers");
            return Ok(0);
        }
        if call.globals.dry_run {
            output::line(lifecycle::remove(&stopped, self.volumes))?;
            return Ok(0);
        }
        let names: Vec<&str> = stopped.iter().map(|c| c.name.as_str()).collect();
        if !self.force && !confirmed(&names)? {
            return Ok(0);
        }
        call.carry_out(&lifecycle::remove(&stopped, self.volumes))?;
        Ok(0)
    }
}

/// Asks on a terminal; without one nobody can say yes.
fn confirmed(names: &[&str]) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(
            Failure::said("cannot ask whether to remove: the input device is not a TTY")
                .hint("use rm -f"),
        );
    }
    let mut out = std::io::stderr().lock();
    let _ = write!(out, "? Going to remove {} (y/N) ", names.join(", "));
    let _ = out.flush();
    let mut answer = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(Failure::system("read the answer"))?;
    Ok(super::globals::is_true(answer.trim()))
}

impl Run for Pause {
    fn run(self, call: &Call<'_>) -> Outcome {
        let target = call.target(&self.service)?;
        call.change(&target, &self.service, |all| Ok(lifecycle::pause(all)))
    }
}

impl Run for Unpause {
    fn run(self, call: &Call<'_>) -> Outcome {
        let target = call.target(&self.service)?;
        call.change(&target, &self.service, |all| Ok(lifecycle::unpause(all)))
    }
}
