//! `--health-*`.

use super::parse_some;
use crate::failure::Failure;
use model::ContainerSpec;
use model::duration;
use model::health::{HealthTest, Healthcheck};

#[derive(Debug, Default, clap::Args)]
pub(crate) struct HealthFlags {
    /// Command to run to check health
    #[arg(long, value_name = "string")]
    health_cmd: Option<String>,
    /// Time between running the check (ms|s|m|h)
    #[arg(long, value_name = "duration")]
    health_interval: Option<String>,
    /// Consecutive failures needed to report unhealthy
    #[arg(long, value_name = "int")]
    health_retries: Option<u32>,
    /// Start period for the container to initialize before starting health-retries countdown
    #[arg(long, value_name = "duration")]
    health_start_period: Option<String>,
    /// Time between running the check during the start period
    #[arg(long, value_name = "duration")]
    health_start_interval: Option<String>,
    /// Maximum time to allow one check to run
    #[arg(long, value_name = "duration")]
    health_timeout: Option<String>,
    /// Disable any container-specified HEALTHCHECK
    #[arg(long)]
    no_healthcheck: bool,
}

impl HealthFlags {
    pub(super) fn apply(&self, spec: &mut ContainerSpec) -> Result<(), Failure> {
        let check = Healthcheck {
            test: match &self.health_cmd {
                Some(command) if !command.is_empty() => HealthTest::Shell(command.clone()),
                _ => HealthTest::Inherit,
            },
            interval: parse_some(
                "health-interval",
                self.health_interval.as_ref(),
                duration::parse,
            )?,
            timeout: parse_some(
                "health-timeout",
                self.health_timeout.as_ref(),
                duration::parse,
            )?,
            start_period: parse_some(
                "health-start-period",
                self.health_start_period.as_ref(),
                duration::parse,
            )?,
            start_interval: parse_some(
                "health-start-interval",
                self.health_start_interval.as_ref(),
                duration::parse,
            )?,
            retries: self.health_retries,
        };
        let nothing = Healthcheck {
            test: HealthTest::Inherit,
            interval: None,
            timeout: None,
            start_period: None,
            start_interval: None,
            retries: None,
        };
        match (self.no_healthcheck, check == nothing) {
            (true, false) => {
                return Err(
                    Failure::said("--no-healthcheck conflicts with --health-* options").code(125),
                );
            }
            (true, true) => {
                spec.healthcheck = Some(Healthcheck {
                    test: HealthTest::None,
                    ..nothing
                })
            }
            (false, true) => {}
            (false, false) => spec.healthcheck = Some(check),
        }
        Ok(())
    }
}
