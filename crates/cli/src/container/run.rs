//! `run`: create, start, and stay until it exits unless `-d`.

use super::create::CreateFlags;
use crate::args::{ContainerFlags, process};
use crate::failure::{Failure, Outcome};
use crate::interactive::{self, End, Proxy, Seat, Sitting};
use crate::output;
use crate::session::Session;
use crate::verb::{Run, Verb, verb};
use clap::Args;
use engine::container::launch::Ahead;
use engine::container::record::ContainerRecord;
use engine::container::remove::{self, RemoveOptions};
use engine::container::start::{self, StartOptions, Started};
use engine::container::wait;
use engine::protocol::Streams;

pub(crate) const VERB: Verb = verb::<RunCommand>(
    &["run", "container run"],
    "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    "Create and run a new container from an image",
)
.at_least(1)
.flags_first()
// The monitor gets ready while the container is made; it ends when nothing comes of that.
.early(Session::begin_monitor)
.examples(
    "run --rm -it debian bash\nrun -d --name web -p 8080:80 nginx\nrun --rm -v \"$PWD\":/src -w /src python:3 python app.py\nrun -d --restart unless-stopped -m 512m --cpus 1.5 -v data:/var/lib/db -e PASSWORD=x postgres",
);

#[derive(Debug, Args)]
struct RunCommand {
    /// Run container in background and print container ID
    #[arg(short, long)]
    detach: bool,
    /// Override the key sequence for detaching a container
    #[arg(long, value_name = "string")]
    detach_keys: Option<String>,
    /// Proxy received signals to the process
    #[arg(long, num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", action = clap::ArgAction::Set)]
    sig_proxy: bool,
    #[command(flatten)]
    making: CreateFlags,
    #[command(flatten)]
    container: ContainerFlags,
    #[arg(required = true)]
    image: String,
    arguments: Vec<String>,
}

impl Run for RunCommand {
    fn run(self, session: &Session) -> Outcome {
        if self.detach && !self.making.attach.is_empty() {
            return Err(Failure::said(
                "conflicting options: cannot specify both --attach and --detach",
            )
            .code(125));
        }
        let keys = detach_keys(self.detach_keys.as_deref())?;
        let mut spec = self
            .container
            .spec(self.image.clone(), self.arguments.clone())?;
        spec.stdin_once = spec.open_stdin && !self.detach;
        let streams = match (self.detach, self.making.attach.is_empty()) {
            (true, _) => Streams::default(),
            (false, true) => Streams {
                stdin: spec.open_stdin,
                stdout: true,
                stderr: true,
            },
            (false, false) => process::streams(&self.making.attach)?,
        };
        if !self.detach {
            interactive::check_terminal(spec.tty, streams.stdin)?;
        }
        let image = self.making.image(session, &spec)?;
        let ahead = session.monitor()?;
        let id = ahead.id().clone();
        let record = self.making.create(session, id, spec, &image)?;
        self.container.hand_accounts(session, &record)?;
        drop(image);
        if self.detach {
            started(session, &record, StartOptions::default(), ahead)?;
            output::line(&record.id)?;
            return Ok(0);
        }
        if !streams.any() {
            output::line(&record.id)?;
        }
        let options = StartOptions {
            attach: streams,
            size: size(&record),
        };
        let seat = started(session, &record, options, ahead)?;
        stay(session, &record, seat, keys, self.sig_proxy)
    }
}

pub(super) fn detach_keys(given: Option<&str>) -> Result<Vec<u8>, Failure> {
    engine::detach_keys::parse(given.unwrap_or(engine::detach_keys::DEFAULT))
        .map_err(|cause| Failure::said(format!("invalid detach keys: {cause}")).code(125))
}

pub(super) fn size(record: &ContainerRecord) -> Option<(u16, u16)> {
    record.spec.tty.then(interactive::terminal_size).flatten()
}

/// Starts; with `--rm` a container that cannot be started is not left behind.
fn started(
    session: &Session,
    record: &ContainerRecord,
    options: StartOptions,
    ahead: Ahead,
) -> Result<Started, Failure> {
    let ctx = session.engine()?;
    start::start_ahead(ctx, record, options, Some(ahead)).map_err(|error| {
        if record.spec.auto_remove {
            let _ = remove::remove(
                ctx,
                record,
                RemoveOptions {
                    force: true,
                    volumes: true,
                },
            );
        }
        Failure::Start(error)
    })
}

/// Sits at a started container and exits with its code.
pub(super) fn stay(
    session: &Session,
    record: &ContainerRecord,
    started: Started,
    detach_keys: Vec<u8>,
    sig_proxy: bool,
) -> Outcome {
    let ctx = session.engine()?;
    let Started::Attached(attached) = started else {
        return exit_code(session, record);
    };
    let send = |signal: &str| {
        // It may just have exited; that is no news to whoever sent the signal.
        let _ = engine::container::kill::kill(ctx, record, signal);
    };
    let proxy = Proxy(&send);
    let tty = record.spec.tty;
    let sitting = Sitting {
        tty,
        detach_keys,
        proxy: (sig_proxy && !tty).then_some(&proxy),
        aside: None,
    };
    match interactive::sit(Seat::at_container(attached), &sitting)? {
        End::Exited(code) => Ok(code),
        End::Detached => Ok(0),
        End::Lost => exit_code(session, record),
    }
}

/// Waits for a container we are not attached to (any more).
fn exit_code(session: &Session, record: &ContainerRecord) -> Outcome {
    let code = wait::wait(session.engine()?, record, wait::Condition::NotRunning, None)?;
    Ok(code.unwrap_or(0))
}
