//! Privileges, namespaces, devices and kernel settings.

use super::process::NamespaceFlags;
use super::{key_value, parse_all, parse_some};
use crate::failure::Failure;
use model::ContainerSpec;
use model::device::{self, DeviceRequest};
use model::limits::Ulimit;

#[derive(Debug, Default, clap::Args)]
pub(crate) struct IsolationFlags {
    #[command(flatten)]
    namespaces: NamespaceFlags,
    /// Give extended privileges to this container
    #[arg(long)]
    privileged: bool,
    /// Add Linux capabilities
    #[arg(long, value_name = "list")]
    cap_add: Vec<String>,
    /// Drop Linux capabilities
    #[arg(long, value_name = "list")]
    cap_drop: Vec<String>,
    /// Security Options
    #[arg(long, value_name = "list")]
    security_opt: Vec<String>,
    /// Add a host device to the container
    #[arg(long, value_name = "list")]
    device: Vec<String>,
    /// Add a rule to the cgroup allowed devices list
    #[arg(long, value_name = "list")]
    device_cgroup_rule: Vec<String>,
    /// GPU devices to add to the container ('all' to pass all GPUs)
    #[arg(long, value_name = "gpu-request")]
    gpus: Vec<String>,
    /// Sysctl options
    #[arg(long, value_name = "map")]
    sysctl: Vec<String>,
    /// Ulimit options
    #[arg(long, value_name = "ulimit")]
    ulimit: Vec<String>,
    /// Tune host's OOM preferences (-1000 to 1000)
    #[arg(long, value_name = "int", allow_hyphen_values = true)]
    oom_score_adj: Option<String>,
}

impl IsolationFlags {
    pub(super) fn apply(&self, spec: &mut ContainerSpec) -> Result<(), Failure> {
        self.namespaces.apply(spec)?;
        spec.privileged = self.privileged;
        spec.cap_add = self.cap_add.clone();
        spec.cap_drop = self.cap_drop.clone();
        spec.security_opt = self.security_opt.clone();
        let (cdi, nodes): (Vec<String>, Vec<String>) = self
            .device
            .iter()
            .cloned()
            .partition(|text| device::is_cdi_name(text));
        spec.devices = parse_all("device", &nodes, str::parse)?;
        spec.device_cgroup_rules = self.device_cgroup_rule.clone();
        spec.device_requests = parse_all("gpus", &self.gpus, device::parse_gpus)?;
        if !cdi.is_empty() {
            spec.device_requests.push(DeviceRequest::cdi(cdi));
        }
        spec.sysctls = key_value::strict_map("sysctl", &self.sysctl)?;
        spec.ulimits = parse_all("ulimit", &self.ulimit, str::parse::<Ulimit>)?;
        spec.oom_score_adj =
            parse_some(
                "oom-score-adj",
                self.oom_score_adj.as_ref(),
                |text| match text.parse::<i32>() {
                    Ok(number) if (-1000..=1000).contains(&number) => Ok(number),
                    _ => Err("the range is -1000 to 1000"),
                },
            )?;
        Ok(())
    }
}
