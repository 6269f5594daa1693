//! `info`: this host and this data root, in figures.

use crate::container::list::{Listed, list};
use crate::container::stats::host_memory;
use crate::context::Context;
use crate::error::Result;
use model::filter::Filters;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Info {
    /// Stable over the life of the data root's host.
    pub id: String,
    pub containers: usize,
    pub running: usize,
    pub paused: usize,
    pub stopped: usize,
    pub images: usize,
    pub kernel: String,
    pub operating_system: String,
    pub os_version: String,
    pub architecture: String,
    pub hostname: String,
    pub cpus: usize,
    pub memory: u64,
    pub cgroup_version: u8,
    pub swap_limit: bool,
    pub data_root: String,
    pub warnings: Vec<String>,
}

/// Gathers it; starts nothing.
pub fn info(ctx: &Context) -> Result<Info> {
    let containers = list(ctx, true, &Filters::default())?;
    let count = |status: &str| {
        containers
            .iter()
            .filter(|c: &&Listed| c.state.status() == status)
            .count()
    };
    let uname = rustix::system::uname();
    let release = os_release();
    let hierarchies = runtime::cgroup::hierarchies();
    let mut warnings = Vec::new();
    if let Err(e) = &hierarchies {
        warnings.push(format!("WARNING: {e}"));
    }
    let swap_limit = runtime::cgroup::limits_swap();
    if !swap_limit {
        warnings.push("WARNING: No swap limit support".to_owned());
    }
    Ok(Info {
        id: machine_id(),
        running: count("running") + count("restarting"),
        paused: count("paused"),
        stopped: count("exited") + count("created"),
        containers: containers.len(),
        images: ctx.images()?.list()?.len(),
        kernel: uname.release().to_string_lossy().into_owned(),
        operating_system: release("PRETTY_NAME").unwrap_or_else(|| "Linux".to_owned()),
        os_version: release("VERSION_ID").unwrap_or_default(),
        architecture: uname.machine().to_string_lossy().into_owned(),
        hostname: uname.nodename().to_string_lossy().into_owned(),
        cpus: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        memory: host_memory(),
        cgroup_version: if hierarchies.is_ok_and(|h| h.v1_with("memory").is_none()) {
            2
        } else {
            1
        },
        swap_limit,
        data_root: ctx.layout.data_root().display().to_string(),
        warnings,
    })
}

fn machine_id() -> String {
    let id = std::fs::read_to_string("/etc/machine-id")
        .or_else(|_| std::fs::read_to_string("/proc/sys/kernel/random/boot_id"));
    id.map(|text| text.trim().to_owned()).unwrap_or_default()
}

/// Looks values up in os-release(5).
fn os_release() -> impl Fn(&str) -> Option<String> {
    let text = std::fs::read_to_string("/etc/os-release")
        .or_else(|_| std::fs::read_to_string("/usr/lib/os-release"));
    let text = text.unwrap_or_default();
    move |key| {
        let value = text
            .lines()
            .find_map(|l| l.strip_prefix(key)?.strip_prefix('='))?;
        Some(value.trim_matches('"').to_owned())
    }
}
