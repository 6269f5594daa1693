//! `run`: a service's container for one task.

use super::delegated::{Words, delegate};
use super::display::Display;
use super::globals::{Globals, ProgressMode};
use super::make::MakeFlags;
use super::project::{steps_failure, up_failure};
use super::verb::{Run, Verb, usage, verb};
use super::{Call, failed, images};
use crate::args::key_value;
use crate::failure::{Failure, Outcome};
use crate::output;
use clap::Args;
use compose::oneoff::{self, Changes};
use compose::plan::up::{ImageState, Options};
use compose_file::{Project, Service};
use std::io::IsTerminal;

pub(crate) const VERBS: &[Verb] = &[verb::<RunVerb>(
    &["run"],
    "[OPTIONS] SERVICE [COMMAND] [ARGS...]",
    "Run a one-off command on a service, or a job",
)
.flags_first()
.examples("run --rm web python manage.py migrate\nrun --service-ports web\nrun migrate      # a job: its exit code is that of the command")];

#[derive(Debug, Args)]
struct RunVerb {
    /// Build image before starting container
    #[arg(long)]
    build: bool,
    /// Add Linux capabilities
    #[arg(long, value_name = "list")]
    cap_add: Vec<String>,
    /// Drop Linux capabilities
    #[arg(long, value_name = "list")]
    cap_drop: Vec<String>,
    /// Run container in background and print container ID
    #[arg(short, long)]
    detach: bool,
    /// Override the entrypoint of the image
    #[arg(long, value_name = "string")]
    entrypoint: Option<String>,
    /// Set environment variables
    #[arg(short, long, value_name = "stringArray")]
    env: Vec<String>,
    /// Set environment variables from file
    #[arg(long, value_name = "stringArray")]
    env_from_file: Vec<String>,
    /// Keep STDIN open even if not attached
    #[arg(short, long, num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", action = clap::ArgAction::Set)]
    interactive: bool,
    /// Add or override a label
    #[arg(short, long, value_name = "stringArray")]
    label: Vec<String>,
    /// Assign a name to the container
    #[arg(long, value_name = "string")]
    name: Option<String>,
    /// Disable pseudo-TTY allocation (default: auto-detected)
    #[arg(short = 'T', long = "no-tty", alias = "no-TTY", num_args = 0..=1, require_equals = true, default_missing_value = "true", conflicts_with = "tty")]
    no_tty: Option<bool>,
    /// Allocate a pseudo-TTY
    #[arg(short = 't', long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    tty: Option<bool>,
    /// Don't start linked services
    #[arg(long)]
    no_deps: bool,
    /// Publish a container's port(s) to the host
    #[arg(short, long, value_name = "stringArray")]
    publish: Vec<String>,
    /// Pull image before running ("always"|"missing"|"never")
    #[arg(long, value_name = "string")]
    pull: Option<String>,
    /// Don't print anything to STDOUT
    #[arg(short, long)]
    quiet: bool,
    /// Suppress progress output from the build process
    #[arg(long)]
    quiet_build: bool,
    /// Pull without printing progress information
    #[arg(long)]
    quiet_pull: bool,
    /// Remove containers for services not defined in the Compose file
    #[arg(long)]
    remove_orphans: bool,
    /// Automatically remove the container when it exits
    #[arg(long)]
    rm: bool,
    /// Run command with all service's ports enabled and mapped to the host
    #[arg(short = 'P', long)]
    service_ports: bool,
    /// Use the service's network useAliases in the network(s) the container connects to
    #[arg(long)]
    use_aliases: bool,
    /// Run as specified username or uid
    #[arg(short, long, value_name = "string")]
    user: Option<String>,
    /// Bind mount a volume
    #[arg(short, long, alias = "volumes", value_name = "stringArray")]
    volume: Vec<String>,
    /// Working directory inside the container
    #[arg(short, long, value_name = "string")]
    workdir: Option<String>,
    #[arg(required = true)]
    service: String,
    command: Vec<String>,
}

impl Run for RunVerb {
    fn run(self, call: &Call<'_>) -> Outcome {
        let silent = Call {
            session: call.session,
            globals: Globals {
                progress: ProgressMode::Quiet,
                ..call.globals.clone()
            },
        };
        let call = if self.quiet { &silent } else { call };
        if self.service_ports && !self.publish.is_empty() {
            return Err(usage("--service-ports and --publish are incompatible"));
        }
        self.check_terminal()?;
        let names = [self.service.clone()];
        let mut project = call.load(&names)?;
        let is_job = project.job(&self.service).is_some();
        if is_job {
            project = project.with_job(&self.service);
            if let Some(why) = compose::by_hand::forbidden(&project) {
                return Err(Failure::said(why).hint("take `manual: false` out of its triggers"));
            }
        }
        let service = project
            .service(&self.service)
            .ok_or_else(|| super::project::no_such_service(Some(&project), &self.service))?;
        call.tell_ignored(&Project {
            services: vec![service.clone()],
            ..project.clone()
        });
        if self.remove_orphans {
            call.remove_orphans(&project)?;
        }
        self.start_dependencies(call, &project, service)?;
        let id = self.create(call, &project, service)?;
        let outcome = self.start(call, &id);
        if is_job && outcome.is_err() {
            forget_unstarted(call, &id)?;
        }
        outcome
    }
}

/// A job's container that could not be started: whoever waits for its end waits no longer.
fn forget_unstarted(call: &Call<'_>, id: &str) -> Result<(), Failure> {
    use engine::container::{record::ContainerRecord, remove, state::State};
    let ctx = call.ctx()?;
    if let Some(container) = ContainerRecord::load(ctx, id)?
        && matches!(State::load(ctx, id)?, State::Created)
    {
        let options = remove::RemoveOptions {
            force: true,
            volumes: true,
        };
        remove::remove(ctx, &container, options)?;
    }
    Ok(())
}

impl RunVerb {
    fn start(&self, call: &Call<'_>, id: &str) -> Outcome {
        if self.detach {
            delegate_quietly(call, id)?;
            output::line(id)?;
            return Ok(0);
        }
        let mut words = Words::default();
        words.push("-a");
        words.switch(self.interactive, "-i");
        words.push(id);
        delegate(call, "start", words.0)
    }
}

/// `start` without the name it would print.
fn delegate_quietly(call: &Call<'_>, id: &str) -> Result<(), Failure> {
    let record = engine::container::names::resolve(call.ctx()?, id)?;
    engine::container::start::start(call.ctx()?, &record, Default::default())?;
    Ok(())
}

impl RunVerb {
    fn start_dependencies(
        &self,
        call: &Call<'_>,
        project: &Project,
        service: &Service,
    ) -> Result<(), Failure> {
        let needed: Vec<String> = service
            .depends_on
            .keys()
            .filter(|name| project.service(name).is_some())
            .cloned()
            .collect();
        if self.no_deps || needed.is_empty() {
            return Ok(());
        }
        let make = MakeFlags::default();
        let mut request = make.request(call, &needed)?;
        request.options.ignore_orphans = true;
        request.options.jobs_as_services = true;
        call.make(project, &make, &request)?;
        // `up` starts them as each other want them; what this service wants of them is waited for here.
        let interrupted = std::sync::atomic::AtomicBool::new(false);
        for (name, how) in &service.depends_on {
            use compose::condition::Goal;
            use compose_file::project::Condition;
            let goal = match how.condition {
                Condition::Started => continue,
                Condition::Healthy => Goal::Healthy,
                Condition::CompletedSuccessfully => Goal::CompletedSuccessfully,
            };
            let target = super::project::Target {
                name: project.name.clone(),
                project: Some(project.clone()),
            };
            for container in call.containers(&target, std::slice::from_ref(name), false)? {
                let waited = compose::condition::wait(
                    call.ctx()?,
                    &container.name,
                    goal,
                    None,
                    &interrupted,
                );
                match waited {
                    Err(error) if how.required => {
                        return Err(Failure::said(format!(
                            "dependency failed to start: {}",
                            crate::failure::chain(&error)
                        )));
                    }
                    Err(error) => call.warn(&format!(
                        "optional dependency {name:?} failed to start: {error}"
                    )),
                    Ok(()) => {}
                }
            }
        }
        Ok(())
    }

    /// Makes the container, and with it the networks and volumes it needs.
    fn create(
        &self,
        call: &Call<'_>,
        project: &Project,
        service: &Service,
    ) -> Result<String, Failure> {
        let ctx = call.ctx()?;
        let options = Options {
            separator: call.globals.separator,
            ..Options::default()
        };
        let image_options = compose::images::Options {
            build: if self.build {
                compose::images::Build::Always
            } else {
                compose::images::Build::Missing
            },
            pull: self.pull.as_deref().map(images::pull_policy).transpose()?,
            quiet: self.quiet_pull,
        };
        let display = Display::new(&call.globals, self.quiet);
        let output = images::build_output(self.quiet_build || self.quiet);
        let settings = images::settings(&output);
        let specs = compose::up::specs(ctx, project, &[service], &options).map_err(up_failure)?;
        let states =
            compose::images::ensure(ctx, project, &[service], image_options, &settings, &display)
                .map_err(failed)?;
        self.make_resources(call, project, service)?;
        display.finish();
        let (Some(base), Some(ImageState::Present { id: image, .. })) =
            (specs.get(&service.name), states.get(&service.name))
        else {
            return Err(Failure::said(format!(
                "service {:?} has no image",
                service.name
            )));
        };
        let slug: String = engine::random_id().as_str().chars().take(12).collect();
        let changes = self.changes(project, service)?;
        let (name, spec) = oneoff::container(
            project,
            service,
            base,
            &changes,
            &slug,
            call.globals.separator,
        );
        for file in &base.files {
            compose::files::write(file).map_err(failed)?;
        }
        let platform = spec.platform.clone();
        let _hold = ctx.images()?.hold().map_err(engine::Error::from)?;
        let image = engine::images::base(
            ctx,
            image,
            image::PullPolicy::Never,
            platform.as_deref(),
            &image::Silent,
        )?;
        let record = engine::container::create::create(ctx, spec, Some(&name), &image)?;
        if let Err(error) = self.pre_start(call, project, service, &record.name) {
            // It never ran: nobody looks for what it left.
            let options = engine::container::remove::RemoveOptions {
                force: true,
                volumes: true,
            };
            engine::container::remove::remove(ctx, &record, options)?;
            return Err(error);
        }
        if service.triggers.is_some() {
            let separator = call.globals.separator;
            compose::by_hand::remember(ctx, project, service, base, &record, separator)?;
        }
        Ok(record.id.to_string())
    }

    /// Runs what the service wants to have run before it starts, with the mounts of the container.
    fn pre_start(
        &self,
        call: &Call<'_>,
        project: &Project,
        service: &Service,
        container: &str,
    ) -> Result<(), Failure> {
        let _lock = compose::up::lock(call.ctx()?, &project.name).map_err(up_failure)?;
        let display = Display::new(&call.globals, self.quiet);
        let interrupted = std::sync::atomic::AtomicBool::new(false);
        let run = call.running(&display, &interrupted)?;
        let separator = call.globals.separator;
        let plan = compose::pre_start::before_run(run, project, service, container, separator)
            .map_err(up_failure)?;
        display
            .during(|| compose::execute::execute(run, &plan))
            .map_err(steps_failure)
    }

    /// Networks and volumes: a plan of which only those steps are kept.
    fn make_resources(
        &self,
        call: &Call<'_>,
        project: &Project,
        service: &Service,
    ) -> Result<(), Failure> {
        let make = MakeFlags::default();
        let mut request = make.request(call, std::slice::from_ref(&service.name))?;
        request.options.no_dependencies = true;
        super::make::heed_environment(&mut request.options, project);
        request.options.scale.insert(service.name.clone(), 0);
        let _lock = compose::up::lock(call.ctx()?, &project.name).map_err(up_failure)?;
        let plan = compose::up::resources(call.ctx()?, project, &request).map_err(up_failure)?;
        call.carry_out(&plan)
    }

    /// Whether a terminal was asked for, or refused; `None`: it goes by what there is.
    fn terminal_wanted(&self) -> Option<bool> {
        self.tty.or(self.no_tty.map(|no| !no))
    }

    /// A terminal that was asked for needs one on this side, before anything is made.
    fn check_terminal(&self) -> Result<(), Failure> {
        let attached = self.interactive && !self.detach;
        if self.terminal_wanted() == Some(true) && attached && !std::io::stdin().is_terminal() {
            return Err(Failure::said(
                "cannot attach stdin to a TTY-enabled container because stdin is not a terminal",
            )
            .hint("leave out --tty, or use -T"));
        }
        Ok(())
    }

    fn changes(&self, project: &Project, service: &Service) -> Result<Changes, Failure> {
        let terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
        let variable = |name: &str| project.environment.get(name).cloned();
        let split = |text: &String| {
            shell_words::split(text)
                .map_err(|error| Failure::said(format!("--entrypoint {text:?}: {error}")))
        };
        let mut mounts = Vec::new();
        for volume in &self.volume {
            mounts.push(self.mount(volume)?);
        }
        let mut ports = Vec::new();
        for port in &self.publish {
            ports.extend(model::port::parse(port)?);
        }
        let mut environment = key_value::environment_of(&self.env_from_file, &self.env, variable)?;
        // A variable that is nowhere changes nothing: the image's value stays.
        environment.retain(|entry| entry.contains('='));
        let mut labels = key_value::map(&self.label);
        let is_job = service.triggers.is_some();
        if is_job {
            labels.insert(compose::labels::JOB.to_owned(), service.name.clone());
        }
        Ok(Changes {
            command: self.command.clone(),
            entrypoint: self.entrypoint.as_ref().map(split).transpose()?,
            environment,
            labels,
            mounts,
            user: self.user.clone(),
            working_dir: self.workdir.clone(),
            cap_add: self.cap_add.clone(),
            cap_drop: self.cap_drop.clone(),
            ports,
            service_ports: self.service_ports || is_job,
            use_aliases: self.use_aliases,
            // Who sees a job's run through removes it, once it is written down how it ended.
            remove: self.rm && !is_job,
            tty: self
                .terminal_wanted()
                .unwrap_or(terminal && (!self.detach || service.tty)),
            // Nobody is attached to a container in the background, but its input stays open.
            interactive: self.interactive,
            name: self.name.clone(),
        })
    }

    /// A relative source begins in the current directory.
    fn mount(&self, text: &str) -> Result<model::mount::Mount, Failure> {
        let here =
            std::env::current_dir().map_err(Failure::system("find the current directory"))?;
        Ok(model::mount::parse_volume(text, &here)?)
    }
}
