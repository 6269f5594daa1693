//! `exec`, `attach`, `stats`, `commit`, `export`: the engine's own verbs, with services in the place of containers.

use super::Call;
use super::verb::{Run, Verb, verb};
use crate::catalog;
use crate::failure::{Failure, Outcome};
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
    verb::<Stats>(
        &["stats"],
        "[OPTIONS] [SERVICE]",
        "Display a live stream of container(s) resource usage statistics",
    ),
    verb::<Commit>(
        &["commit"],
        "[OPTIONS] SERVICE [REPOSITORY[:TAG]]",
        "Create a new image from a service container's changes",
    ),
    verb::<Export>(
        &["export"],
        "[OPTIONS] SERVICE",
        "Export a service container's filesystem as a tar archive",
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
        let container = call.one_running(&self.service, self.index)?;
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
        let container = call.one_running(&self.service, self.index)?;
        let mut words = Words::default();
        words.value("--detach-keys", self.detach_keys.as_ref());
        words.switch(self.no_stdin, "--no-stdin");
        words.push(format!("--sig-proxy={}", self.sig_proxy));
        words.push(container.id);
        delegate(call, "attach", words.0)
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
struct Commit {
    /// Author (e.g., "John Hannibal Smith <hannibal@a-team.com>")
    #[arg(short, long, value_name = "string")]
    author: Option<String>,
    /// Apply Dockerfile instruction to the created image
    #[arg(short, long, value_name = "list")]
    change: Vec<String>,
    /// Index of the container if service has multiple replicas
    #[arg(long, value_name = "int")]
    index: Option<u32>,
    /// Commit message
    #[arg(short, long, value_name = "string")]
    message: Option<String>,
    /// Pause container during commit
    #[arg(short, long, num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", action = clap::ArgAction::Set)]
    pause: bool,
    #[arg(required = true)]
    service: String,
    reference: Option<String>,
}

impl Run for Commit {
    fn run(self, call: &Call<'_>) -> Outcome {
        let container = call.one(&self.service, self.index)?;
        let mut words = Words::default();
        words.value("--author", self.author.as_ref());
        words.values("--change", &self.change);
        words.value("--message", self.message.as_ref());
        words.switch(!self.pause, "--no-pause");
        words.push(container.id);
        words.0.extend(self.reference.map(OsString::from));
        delegate(call, "commit", words.0)
    }
}

#[derive(Debug, Args)]
struct Export {
    /// Index of the container if service has multiple replicas
    #[arg(long, value_name = "int")]
    index: Option<u32>,
    /// Write to a file, instead of STDOUT
    #[arg(short, long, value_name = "string")]
    output: Option<String>,
    #[arg(required = true)]
    service: String,
}

impl Run for Export {
    fn run(self, call: &Call<'_>) -> Outcome {
        let container = call.one(&self.service, self.index)?;
        let mut words = Words::default();
        words.value("--output", self.output.as_ref());
        words.push(container.id);
        delegate(call, "export", words.0)
    }
}
