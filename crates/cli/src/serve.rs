//! `serve`: the Docker Engine API on a unix socket, for tools that speak it.
//!
//! And the role behind the socket of a container that mounts it: `api-server <data root> <run root>`, executed by its monitor.

use crate::failure::{Failure, Outcome};
use crate::output;
use crate::session::Session;
use crate::verb::{Run, Verb, verb};
use api::server::{self, Above, Settings, listen};
use clap::Args;
use engine::Context;
use engine::container::api_socket;
use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(crate) const VERBS: &[Verb] = &[verb::<Serve>(
    &["serve", "api"],
    "[OPTIONS]",
    "Offer the Docker Engine API on a unix socket, for tools and libraries that speak it",
)
.examples("serve &                                        # then: docker ps, with DOCKER_HOST unset\nserve -H unix:///run/ci.sock --idle-timeout 5m\nrun --use-api-socket IMAGE                     # needs no server: one is started when it is asked")];

/// A server behind a container's socket ends when nothing was asked for so long.
const OF_A_CONTAINER: Duration = Duration::from_secs(30);

#[derive(Debug, Args)]
struct Serve {
    /// Socket to listen on; whoever may connect to it owns the host
    #[arg(
        short = 'H',
        long,
        value_name = "unix://PATH",
        default_value = "unix:///var/run/docker.sock"
    )]
    host: String,
    /// End when nothing was asked for so long (e.g. "5m"; by default never)
    #[arg(long, value_name = "duration")]
    idle_timeout: Option<String>,
}

impl Run for Serve {
    fn run(self, session: &Session) -> Outcome {
        let idle_timeout = self
            .idle_timeout
            .as_deref()
            .map(|text| crate::args::parse("idle-timeout", text, model::duration::parse))
            .transpose()?;
        let path = self.path()?;
        let ctx = session.engine()?;
        let inherited = inherited()?;
        let own = inherited.is_none();
        let listener = match inherited {
            Some(listener) => listener,
            None => listen::listen(&path).map_err(refused)?,
        };
        if own {
            output::note(format_args!("Listening on unix://{}", path.display()));
        }
        let served = serve(
            // Accounts at registries are the clients', not ours.
            &Context {
                docker_config: None,
                ..ctx.clone()
            },
            listener,
            idle_timeout,
        );
        if own {
            let _ = std::fs::remove_file(&path);
        }
        served.map_err(Failure::system("serve the API"))?;
        Ok(0)
    }
}

impl Serve {
    fn path(&self) -> Result<PathBuf, Failure> {
        let path = self.host.strip_prefix("unix://").map(Path::new);
        match path.filter(|path| path.is_absolute()) {
            Some(path) => Ok(path.to_owned()),
            None => Err(Failure::said(format!("cannot listen at {:?}", self.host)).hint(
                "write unix:///PATH; the API gives the host away, so it is not offered over the network",
            )),
        }
    }
}

fn refused(error: listen::Error) -> Failure {
    let hint = match &error {
        listen::Error::Answered(_) => "use that one, or choose another socket with -H unix:///PATH",
        listen::Error::Other(_) => "move it away, or choose another socket with -H unix:///PATH",
        listen::Error::Listen { .. } => "choose another socket with -H unix:///PATH",
    };
    Failure::said(crate::failure::chain(&error)).hint(hint)
}

/// The listener that a supervisor holds for us (`LISTEN_FDS` of sd_listen_fds(3)).
fn inherited() -> Result<Option<OwnedFd>, Failure> {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u32>().ok();
    let for_us = number("LISTEN_PID").is_none_or(|pid| pid == std::process::id());
    match number("LISTEN_FDS").filter(|_| for_us) {
        None | Some(0) => Ok(None),
        Some(1) => sys::inherited::take(3)
            .map(Some)
            .map_err(Failure::system("take the socket that was passed")),
        Some(many) => Err(Failure::said(format!(
            "{many} sockets were passed, one is served"
        ))),
    }
}

fn serve(ctx: &Context, listener: OwnedFd, idle_timeout: Option<Duration>) -> io::Result<()> {
    server::serve(Settings {
        ctx: ctx.clone(),
        above: Above {
            version: crate::VERSION,
            images_in_use: |ctx| crate::image::in_use_of(ctx).map_err(|failure| failure.chain()),
        },
        stop: listen::until_told()?,
        listener,
        idle_timeout,
    })
}

/// The role's entry.
pub(crate) fn role_main(arguments: &[OsString]) -> u8 {
    sys::signal::started_with_defaults();
    let Ok(listener) = sys::inherited::take(api_socket::LISTENER) else {
        return 125;
    };
    let done = Context::of_role(arguments)
        .map_err(|_| ())
        .and_then(|ctx| serve(&ctx, listener, Some(OF_A_CONTAINER)).map_err(|_| ()));
    match done {
        Ok(()) => 0,
        Err(()) => 125,
    }
}
