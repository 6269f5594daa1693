//! Health checks (`--health-*`, `HEALTHCHECK`, Compose `healthcheck`).

use serde::{Deserialize, Serialize};
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Healthcheck {
    pub test: HealthTest,
    /// Default 30 s.
    pub interval: Option<Duration>,
    /// Default 30 s.
    pub timeout: Option<Duration>,
    /// Default 0 s.
    pub start_period: Option<Duration>,
    /// Default 5 s.
    pub start_interval: Option<Duration>,
    /// Default 3.
    pub retries: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum HealthTest {
    /// Take the image's test (only the timings were given).
    Inherit,
    /// `NONE`: no check.
    None,
    /// `CMD`: executed as it is.
    Cmd(Vec<String>),
    /// `CMD-SHELL`: run by the container's shell.
    Shell(String),
}
