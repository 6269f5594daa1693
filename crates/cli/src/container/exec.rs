//! `exec`: a further process in a running container.

use super::run;
use crate::args::key_value;
use crate::failure::{Failure, Outcome};
use crate::interactive::{self, End, Seat, Sitting};
use crate::session::Session;
use crate::verb::{Run, Verb, verb};
use clap::Args;
use engine::container::exec::{ExecSpec, ExecStdio, exec};
use rustix::fs::{Mode, OFlags};
use std::os::fd::AsFd;

pub(crate) const VERB: Verb = verb::<Exec>(
    &["exec", "container exec"],
    "[OPTIONS] CONTAINER COMMAND [ARG...]",
    "Execute a command in a running container",
)
.at_least(2)
.flags_first()
.examples("exec -it web sh\nexec -u postgres db psql -c 'select 1'");

#[derive(Debug, Args)]
struct Exec {
    /// Detached mode: run command in the background
    #[arg(short, long)]
    detach: bool,
    /// Override the key sequence for detaching a container
    #[arg(long, value_name = "string")]
    detach_keys: Option<String>,
    /// Set environment variables
    #[arg(short, long, value_name = "list")]
    env: Vec<String>,
    /// Read in a file of environment variables
    #[arg(long, value_name = "list")]
    env_file: Vec<String>,
    /// Keep STDIN open even if not attached
    #[arg(short, long)]
    interactive: bool,
    /// Give extended privileges to the command
    #[arg(long)]
    privileged: bool,
    /// Allocate a pseudo-TTY
    #[arg(short, long)]
    tty: bool,
    /// Username or UID (format: "<name|uid>[:<group|gid>]")
    #[arg(short, long, value_name = "string")]
    user: Option<String>,
    /// Working directory inside the container
    #[arg(short, long, value_name = "string")]
    workdir: Option<String>,
    #[arg(required = true)]
    container: String,
    #[arg(required = true)]
    command: Vec<String>,
}

impl Run for Exec {
    fn run(self, session: &Session) -> Outcome {
        let keys = run::detach_keys(self.detach_keys.as_deref())?;
        let record = super::find(session, &self.container)?;
        let sits = self.tty && !self.detach;
        if !self.detach {
            interactive::check_terminal(self.tty, self.interactive)?;
        }
        let spec = ExecSpec {
            args: self.command.clone(),
            env: key_value::environment(&self.env_file, &self.env)?,
            user: self.user.clone(),
            working_dir: self.workdir.clone(),
            privileged: self.privileged,
            terminal: sits.then(|| interactive::terminal_size().unwrap_or((24, 80))),
        };
        let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
            .map_err(|e| Failure::system("open /dev/null")(e.into()))?;
        let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
        let stdio = match self.detach {
            true => ExecStdio {
                stdin: null.as_fd(),
                stdout: null.as_fd(),
                stderr: null.as_fd(),
            },
            false => ExecStdio {
                stdin: if self.interactive {
                    stdin.as_fd()
                } else {
                    null.as_fd()
                },
                stdout: stdout.as_fd(),
                stderr: stderr.as_fd(),
            },
        };
        let process = exec(session.engine()?, &record, &spec, stdio).map_err(refused)?;
        if self.detach {
            return Ok(0);
        }
        if !sits {
            return Ok(process.wait()?);
        }
        let seat = Seat::at_process(process, self.interactive)?;
        match interactive::sit(
            seat,
            &Sitting {
                tty: true,
                detach_keys: keys,
                proxy: None,
                aside: None,
            },
        )? {
            End::Exited(code) => Ok(code),
            End::Detached | End::Lost => Ok(0),
        }
    }
}

/// A command that cannot be executed gives 126 or 127; a container that does not run gives 1.
fn refused(error: engine::Error) -> Failure {
    match error {
        engine::Error::Start { .. } | engine::Error::Runtime(_) => Failure::Start(error),
        other => Failure::Engine(other),
    }
}
