//! The flags of `run` and `create`, in groups, and how they become a [`ContainerSpec`].
//!
//! Source: Docker CLI reference (`docker container run`), Docker CLI `cli/command/container/opts.go`.

pub(crate) mod health;
pub(crate) mod isolation;
pub(crate) mod key_value;
pub(crate) mod mounts;
pub(crate) mod networking;
pub(crate) mod process;
pub(crate) mod resources;

use crate::failure::Failure;
use crate::session::Session;
use engine::container::api_socket;
use engine::container::record::ContainerRecord;
use model::ContainerSpec;
use std::fmt::Display;

/// Every flag that says what a container is.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct ContainerFlags {
    #[command(flatten)]
    process: process::ProcessFlags,
    #[command(flatten)]
    networking: networking::NetworkFlags,
    #[command(flatten)]
    mounts: mounts::MountFlags,
    #[command(flatten)]
    isolation: isolation::IsolationFlags,
    #[command(flatten)]
    resources: resources::ResourceFlags,
    #[command(flatten)]
    health: health::HealthFlags,
    #[command(flatten)]
    ignored: WindowsFlags,
}

/// Accepted, since scripts carry them along, and without a meaning on Linux.
#[derive(Debug, Default, clap::Args)]
struct WindowsFlags {
    /// CPU count (Windows only)
    #[arg(long, value_name = "int", hide = true)]
    cpu_count: Option<String>,
    /// CPU percent (Windows only)
    #[arg(long, value_name = "int", hide = true)]
    cpu_percent: Option<String>,
    /// Maximum IO bandwidth limit for the system drive (Windows only)
    #[arg(long, value_name = "bytes", hide = true)]
    io_maxbandwidth: Option<String>,
    /// Maximum IOps limit for the system drive (Windows only)
    #[arg(long, value_name = "uint", hide = true)]
    io_maxiops: Option<String>,
    /// Container isolation technology
    #[arg(long, value_name = "string", hide = true)]
    isolation: Option<String>,
    /// Skip image verification
    #[arg(long, hide = true)]
    disable_content_trust: bool,
}

impl ContainerFlags {
    /// The container these flags, an image and its arguments ask for.
    pub(crate) fn spec(
        &self,
        image: String,
        arguments: Vec<String>,
    ) -> Result<ContainerSpec, Failure> {
        let mut spec = ContainerSpec {
            image,
            ..Default::default()
        };
        if !arguments.is_empty() {
            spec.command = Some(arguments);
        }
        self.process.apply(&mut spec)?;
        self.networking.apply(&mut spec)?;
        self.mounts.apply(&mut spec)?;
        self.isolation.apply(&mut spec)?;
        self.resources.apply(&mut spec.resources)?;
        self.health.apply(&mut spec)?;
        if self.process.use_api_socket {
            spec.mounts.push(api_socket::mount());
            if self.hands_accounts(&spec.env) {
                let directory = api_socket::CONFIG_DIRECTORY;
                spec.env.push(format!("DOCKER_CONFIG={directory}"));
            }
        }
        Ok(spec)
    }

    /// Whether the container gets the caller's accounts at registries: not when it is told where its own are.
    fn hands_accounts(&self, env: &[String]) -> bool {
        let sets = |entry: &String| entry.split('=').next() == Some("DOCKER_CONFIG");
        self.process.use_api_socket && !env.iter().any(sets)
    }

    /// Puts the accounts into the container that was made, where that was asked for.
    pub(crate) fn hand_accounts(
        &self,
        session: &Session,
        record: &ContainerRecord,
    ) -> Result<(), Failure> {
        let ours = format!("DOCKER_CONFIG={}", api_socket::CONFIG_DIRECTORY);
        if !self.process.use_api_socket || !record.spec.env.contains(&ours) {
            return Ok(());
        }
        let ctx = session.engine()?;
        let accounts = image::registry::credentials::portable(&ctx.registries())
            .map_err(|error| Failure::said(crate::failure::chain(&error)).code(125))?;
        Ok(api_socket::hand_accounts(ctx, record, &accounts)?)
    }
}

/// pflag's words for a value that does not fit its flag.
pub(crate) fn bad_value(flag: &str, value: impl Display, cause: impl Display) -> Failure {
    Failure::Said {
        message: format!("invalid argument \"{value}\" for \"--{flag}\" flag: {cause}"),
        hint: None,
        code: 125,
    }
}

/// Reads a flag's value; the error names the flag.
pub(crate) fn parse<T, E: Display>(
    flag: &str,
    value: &str,
    read: impl FnOnce(&str) -> Result<T, E>,
) -> Result<T, Failure> {
    read(value).map_err(|cause| bad_value(flag, value, cause))
}

/// Reads every value of a repeated flag.
pub(crate) fn parse_all<T, E: Display>(
    flag: &str,
    values: &[String],
    read: impl Fn(&str) -> Result<T, E>,
) -> Result<Vec<T>, Failure> {
    values
        .iter()
        .map(|value| parse(flag, value, &read))
        .collect()
}

/// Reads a flag that may not have been given.
pub(crate) fn parse_some<T, E: Display>(
    flag: &str,
    value: Option<&String>,
    read: impl FnOnce(&str) -> Result<T, E>,
) -> Result<Option<T>, Failure> {
    value.map(|value| parse(flag, value, read)).transpose()
}

#[cfg(test)]
mod tests;
