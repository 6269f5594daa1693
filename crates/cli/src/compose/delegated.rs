//! `exec`, `attach`, `top`, `stats`, `cp`: the engine's own verbs, with services in the place of containers.

use super::Call;
use super::verb::{Run, Verb, usage, verb};
use crate::catalog;
use crate::failure::{Failure, Outcome};
use crate::output;
use clap::Args;
use std::ffi::OsString;
use std::io::IsTerminal;

pub(crate) const VERBS: &[Verb] = &[
    verb::<Exec>(
        &["exec"],
        "[OPTIONS] SERVICE COMMAND [ARGS...]",
        "Execute a command in a running container",
    )
    .flags_first()
    .examples("exec web sh\nexec -T db pg_dump app > app.sql"),
    verb::<Attach>(
        &["attach"],
        "[OPTIONS] SERVICE",
        "Attach local standard input, output, and error streams to a service's running container",
    ),
    verb::<Top>(&["top"], "[SERVICES...]", "Display the running processes"),
    verb::<Stats>(
        &["stats"],
        "[OPTIONS] [SERVICE]",
        "Display a live stream of container(s) resource usage statistics",
    ),
    verb::<Copy>(
        &["cp"],
        "[OPTIONS] SERVICE:SRC_PATH DEST_PATH|- | SRC_PATH|- SERVICE:DEST_PATH",
        "Copy files/folders between a service container and the local filesystem",
    ),
];

/// Runs one of the engine's verbs.
pub(super) fn delegate(call: &Call<'_>, verb: &str, words: Vec<OsString>) -> Outcome {
    match catalog::find(&[verb]) {
        Some((found, _)) => found.execute(call.session, &words),
        None => Err(Failure::said(format!("{verb} is not there"))),
    }
}

/// Words of a command line that is put together.
#[derive(Debug, Default)]
pub(super) struct Words(pub(super) Vec<OsString>);

impl Words {
    pub(super) fn push(&mut self, word: impl Into<OsString>) {
        self.0.push(word.into());
    }

    pub(super) fn switch(&mut self, is: bool, flag: &str) {
        if is {
            self.push(flag);
        }
    }

    pub(super) fn value(&mut self, flag: &str, value: Option<&String>) {
        if let Some(value) = value {
            self.push(flag);
            self.push(value);
        }
    }

    pub(super) fn values(&mut self, flag: &str, values: &[String]) {
        for value in values {
            self.value(flag, Some(value));
        }
    }
}

#[derive(Debug, Args)]
struct Exec {
    /// Detached mode: Run command in the background
    #[arg(short, long)]
    detach: bool,
    /// Set environment variables
    #[arg(short, long, value_name = "stringArray")]
    env: Vec<String>,
    /// Index of the container if service has multiple replicas
    #[arg(long, value_name = "int")]
    index: Option<u32>,
    /// Keep STDIN open even if not attached
    #[arg(short, long, hide = true)]
    interactive: bool,
    /// Give extended privileges to the process
    #[arg(long)]
    privileged: bool,
    /// Disable pseudo-TTY allocation. By default 'docker compose exec' allocates a TTY
    #[arg(short = 'T', long = "no-tty", alias = "no-TTY")]
    no_tty: bool,
    /// Allocate a pseudo-TTY
    #[arg(short, long, hide = true)]
    tty: bool,
    /// Run the command as this user
    #[arg(short, long, value_name = "string")]
    user: Option<String>,
    /// Path to workdir directory for this command
    #[arg(short, long, value_name = "string")]
    workdir: Option<String>,
    #[arg(required = true)]
    service: String,
    #[arg(required = true)]
    command: Vec<OsString>,
}

impl Run for Exec {
    fn run(self, call: &Call<'_>) -> Outcome {
        let container = call.one(&self.service, self.index)?;
        if !container.status.is_active() {
            return Err(
                Failure::said(format!("service {:?} is not running", self.service))
                    .hint("start it with `up -d`"),
            );
        }
        let terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
        let mut words = Words::default();
        words.switch(self.detach, "-d");
        words.switch(!self.detach, "-i");
        words.switch(!self.detach && !self.no_tty && terminal, "-t");
        words.switch(self.privileged, "--privileged");
        words.values("-e", &self.env);
        words.value("-u", self.user.as_ref());
        words.value("-w", self.workdir.as_ref());
        words.push(container.id);
        words.0.extend(self.command);
        delegate(call, "exec", words.0)
    }
}

#[derive(Debug, Args)]
struct Attach {
    /// Override the key sequence for detaching from a container
    #[arg(long, value_name = "string")]
    detach_keys: Option<String>,
    /// index of the container if service has multiple replicas
    #[arg(long, value_name = "int")]
    index: Option<u32>,
    /// Do not attach STDIN
    #[arg(long)]
    no_stdin: bool,
    /// Proxy all received signals to the process
    #[arg(long, num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", action = clap::ArgAction::Set)]
    sig_proxy: bool,
    #[arg(required = true)]
    service: String,
}

impl Run for Attach {
    fn run(self, call: &Call<'_>) -> Outcome {
        let container = call.one(&self.service, self.index)?;
        let mut words = Words::default();
        words.value("--detach-keys", self.detach_keys.as_ref());
        words.switch(self.no_stdin, "--no-stdin");
        words.push(format!("--sig-proxy={}", self.sig_proxy));
        words.push(container.id);
        delegate(call, "attach", words.0)
    }
}

#[derive(Debug, Args)]
struct Top {
    service: Vec<String>,
}

impl Run for Top {
    fn run(self, call: &Call<'_>) -> Outcome {
        let target = call.target(&self.service)?;
        for container in call
            .containers(&target, &self.service, false)?
            .into_iter()
            .filter(|c| c.status.is_active())
        {
            output::line(&container.name)?;
            delegate(call, "top", vec![container.id.into()])?;
            output::line("")?;
        }
        Ok(0)
    }
}

#[derive(Debug, Args)]
struct Stats {
    /// Show all containers (default shows just running)
    #[arg(short, long)]
    all: bool,
    /// Format output: 'table', 'json' or TEMPLATE
    #[arg(long, value_name = "string")]
    format: Option<String>,
    /// Disable streaming stats and only pull the first result
    #[arg(long)]
    no_stream: bool,
    /// Do not truncate output
    #[arg(long)]
    no_trunc: bool,
    service: Vec<String>,
}

impl Run for Stats {
    fn run(self, call: &Call<'_>) -> Outcome {
        let target = call.target(&self.service)?;
        let containers = call.containers(&target, &self.service, false)?;
        let mut words = Words::default();
        words.switch(self.all, "-a");
        words.value("--format", self.format.as_ref());
        words.switch(self.no_stream, "--no-stream");
        words.switch(self.no_trunc, "--no-trunc");
        let before = words.0.len();
        words.0.extend(
            containers
                .into_iter()
                .filter(|c| self.all || c.status.is_active())
                .map(|c| OsString::from(c.id)),
        );
        if words.0.len() == before {
            return Err(Failure::said(format!(
                "no running containers for project {:?}",
                target.name
            )));
        }
        delegate(call, "stats", words.0)
    }
}

#[derive(Debug, Args)]
struct Copy {
    /// Include containers created by the run command
    #[arg(long)]
    all: bool,
    /// Archive mode (copy all uid/gid information)
    #[arg(short, long)]
    archive: bool,
    /// Always follow symbol link in SRC_PATH
    #[arg(short = 'L', long)]
    follow_link: bool,
    /// Index of the container if service has multiple replicas
    #[arg(long, value_name = "int")]
    index: Option<u32>,
    #[arg(required = true)]
    source: String,
    #[arg(required = true)]
    destination: String,
}

/// `web:/path`, unless it is a path of the host.
fn in_service(text: &str) -> Option<(&str, &str)> {
    let (service, path) = text.split_once(':')?;
    (!service.is_empty() && !service.contains('/') && !text.starts_with('.'))
        .then_some((service, path))
}

impl Run for Copy {
    fn run(self, call: &Call<'_>) -> Outcome {
        let flags = |words: &mut Words| {
            words.switch(self.archive, "-a");
            words.switch(self.follow_link, "-L");
        };
        match (in_service(&self.source), in_service(&self.destination)) {
            (Some((service, path)), None) => {
                let container = call.one(service, self.index)?;
                let mut words = Words::default();
                flags(&mut words);
                words.push(format!("{}:{path}", container.id));
                words.push(&self.destination);
                delegate(call, "cp", words.0)
            }
            (None, Some((service, path))) => {
                let names = [service.to_owned()];
                let target = call.target(&names)?;
                let mut containers = call.containers(&target, &names, self.all)?;
                containers.retain(|c| self.index.is_none_or(|index| c.number == index));
                if containers.is_empty() {
                    return Err(Failure::said(format!(
                        "no container found for service {service:?}"
                    )));
                }
                for container in containers {
                    let mut words = Words::default();
                    flags(&mut words);
                    words.push(&self.source);
                    words.push(format!("{}:{path}", container.id));
                    delegate(call, "cp", words.0)?;
                }
                Ok(0)
            }
            (Some(_), Some(_)) => Err(usage("copying between services is not supported")),
            (None, None) => Err(usage(
                "unknown copy direction: one side must be SERVICE:PATH",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::in_service;

    #[test]
    fn a_service_is_told_from_a_path() {
        assert_eq!(in_service("web:/etc"), Some(("web", "/etc")));
        for host in ["./a:b", "/a:b", "a/b:c", "plain", "-", ":x"] {
            assert_eq!(in_service(host), None, "{host}");
        }
    }
}
