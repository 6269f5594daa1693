//! What runs, as whom, with which environment, and what happens when it ends.

use super::{key_value, parse, parse_all, parse_some};
use crate::failure::Failure;
use model::ContainerSpec;
use model::container::NamespaceMode;
use model::restart::RestartPolicy;
use std::str::FromStr;

#[derive(Debug, Default, clap::Args)]
pub(crate) struct ProcessFlags {
    /// Overwrite the default ENTRYPOINT of the image
    #[arg(long, value_name = "string")]
    entrypoint: Option<String>,
    /// Set environment variables
    #[arg(short, long, value_name = "list")]
    env: Vec<String>,
    /// Read in a file of environment variables
    #[arg(long, value_name = "list")]
    env_file: Vec<String>,
    /// Username or UID (format: <name|uid>[:<group|gid>])
    #[arg(short, long, value_name = "string")]
    user: Option<String>,
    /// Add additional groups to join
    #[arg(long, value_name = "list")]
    group_add: Vec<String>,
    /// Working directory inside the container
    #[arg(short, long, value_name = "string")]
    workdir: Option<String>,
    /// Container host name
    #[arg(short = 'h', long, value_name = "string")]
    hostname: Option<String>,
    /// Container NIS domain name
    #[arg(long, value_name = "string")]
    domainname: Option<String>,
    /// Set meta data on a container
    #[arg(short, long, value_name = "list")]
    label: Vec<String>,
    /// Read in a line delimited file of labels
    #[arg(long, value_name = "list")]
    label_file: Vec<String>,
    /// Add an annotation to the container (passed through to the OCI runtime)
    #[arg(long, value_name = "map")]
    annotation: Vec<String>,
    /// Allocate a pseudo-TTY
    #[arg(short, long)]
    tty: bool,
    /// Keep STDIN open even if not attached
    #[arg(short, long)]
    interactive: bool,
    /// Signal to stop the container
    #[arg(long, value_name = "string")]
    stop_signal: Option<String>,
    /// Timeout (in seconds) to stop a container
    #[arg(long, value_name = "int")]
    stop_timeout: Option<i64>,
    /// Run an init inside the container that forwards signals and reaps processes
    #[arg(long)]
    init: bool,
    /// Restart policy to apply when a container exits
    #[arg(long, value_name = "string")]
    restart: Option<String>,
    /// Automatically remove the container and its associated anonymous volumes when it exits
    #[arg(long)]
    rm: bool,
    /// Set platform if server is multi-platform capable
    #[arg(long, value_name = "string")]
    platform: Option<String>,
    /// Runtime to use for this container
    #[arg(long, value_name = "string")]
    runtime: Option<String>,
    /// Logging driver for the container
    #[arg(long, value_name = "string")]
    log_driver: Option<String>,
    /// Log driver options
    #[arg(long, value_name = "list")]
    log_opt: Vec<String>,
    /// Bind mount the API socket, and hand over your accounts at registries
    #[arg(long)]
    pub(super) use_api_socket: bool,
}

impl ProcessFlags {
    pub(super) fn apply(&self, spec: &mut ContainerSpec) -> Result<(), Failure> {
        spec.entrypoint = self.entrypoint.as_ref().map(|word| match word.is_empty() {
            true => Vec::new(),
            false => vec![word.clone()],
        });
        spec.env = key_value::environment(&self.env_file, &self.env)?;
        spec.user = self.user.clone();
        spec.group_add = self.group_add.clone();
        spec.working_dir = self.workdir.clone();
        spec.hostname = self.hostname.clone();
        spec.domainname = self.domainname.clone();
        spec.labels = key_value::labels(&self.label_file, &self.label)?;
        spec.annotations = key_value::strict_map("annotation", &self.annotation)?;
        spec.tty = self.tty;
        spec.open_stdin = self.interactive;
        spec.stop_signal = self.stop_signal.clone();
        // Docker's -1: never kill; a century does.
        spec.stop_timeout = self
            .stop_timeout
            .map(|seconds| u64::try_from(seconds).unwrap_or(100 * 365 * 86400));
        spec.init = self.init;
        if let Some(policy) = parse_some("restart", self.restart.as_ref(), RestartPolicy::from_str)?
        {
            spec.restart = policy;
        }
        spec.auto_remove = self.rm;
        spec.platform = self.platform.clone();
        spec.runtime = self.runtime.clone();
        if let Some(driver) = &self.log_driver {
            spec.log.driver = parse("log-driver", driver, str::parse)?;
        }
        spec.log.options = key_value::strict_map("log-opt", &self.log_opt)?;
        Ok(())
    }
}

/// Namespaces shared with the host or another container.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct NamespaceFlags {
    /// PID namespace to use
    #[arg(long, value_name = "string")]
    pid: Option<String>,
    /// IPC mode to use
    #[arg(long, value_name = "string")]
    ipc: Option<String>,
    /// UTS namespace to use
    #[arg(long, value_name = "string")]
    uts: Option<String>,
    /// Cgroup namespace to use (host|private)
    #[arg(long, value_name = "string")]
    cgroupns: Option<String>,
    /// User namespace to use
    #[arg(long, value_name = "string")]
    userns: Option<String>,
    /// Optional parent cgroup for the container
    #[arg(long, value_name = "string")]
    cgroup_parent: Option<String>,
}

impl NamespaceFlags {
    pub(super) fn apply(&self, spec: &mut ContainerSpec) -> Result<(), Failure> {
        let mode = |flag: &str,
                    value: &Option<String>,
                    allowed: &[NamespaceMode]|
         -> Result<NamespaceMode, Failure> {
            let Some(mode) = parse_some(flag, value.as_ref(), NamespaceMode::from_str)? else {
                return Ok(NamespaceMode::Default);
            };
            let fits = match &mode {
                NamespaceMode::Default => true,
                NamespaceMode::Container(_) => allowed
                    .iter()
                    .any(|a| matches!(a, NamespaceMode::Container(_))),
                other => allowed.contains(other),
            };
            let shown = value.as_deref().unwrap_or_default();
            if fits {
                Ok(mode)
            } else {
                Err(super::bad_value(
                    flag,
                    shown,
                    format_args!("--{flag}: invalid mode"),
                ))
            }
        };
        use NamespaceMode::{Container, Host, None, Private, Shareable};
        let other = Container(String::new());
        spec.pid_mode = mode("pid", &self.pid, &[Host, Private, other.clone()])?;
        spec.ipc_mode = mode("ipc", &self.ipc, &[Host, Private, Shareable, None, other])?;
        spec.uts_mode = mode("uts", &self.uts, &[Host, Private])?;
        spec.cgroupns_mode = mode("cgroupns", &self.cgroupns, &[Host, Private])?;
        spec.userns_mode =
            parse_some("userns", self.userns.as_ref(), str::parse)?.unwrap_or_default();
        spec.cgroup_parent = self.cgroup_parent.clone();
        Ok(())
    }
}

/// `stdin`, `stdout`, `stderr` of `-a`.
pub(crate) fn streams(given: &[String]) -> Result<engine::protocol::Streams, Failure> {
    let mut streams = engine::protocol::Streams::default();
    let read = |text: &str| match text.to_ascii_lowercase().as_str() {
        "stdin" => Ok(0),
        "stdout" => Ok(1),
        "stderr" => Ok(2),
        _ => Err("valid streams are STDIN, STDOUT and STDERR"),
    };
    for stream in parse_all("attach", given, read)? {
        match stream {
            0 => streams.stdin = true,
            1 => streams.stdout = true,
            _ => streams.stderr = true,
        }
    }
    Ok(streams)
}
