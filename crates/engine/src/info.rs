//! `info`: this host and this data root, in figures.

use crate::container::external::select;
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
    /// Docker's `SecurityOptions`: what confines containers here.
    pub security_options: Vec<String>,
    /// Runtimes by name and program; this one among them.
    pub runtimes: Vec<(String, String)>,
    pub default_runtime: String,
    pub cdi_dirs: Vec<String>,
    /// Full names of CDI devices.
    pub cdi_devices: Vec<String>,
    /// Which ways this kernel lets us go.
    pub mechanisms: Vec<runtime::Mechanism>,
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
    let cdi_dirs = ctx.config.cdi_dirs();
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
        security_options: security_options(),
        runtimes: runtimes(ctx),
        default_runtime: default_runtime(ctx),
        cdi_dirs: cdi_dirs.iter().map(|d| d.display().to_string()).collect(),
        cdi_devices: crate::cdi::devices(&cdi_dirs),
        mechanisms: runtime::mechanisms([&ctx.layout.containers(), &ctx.layout.volumes()]),
        data_root: ctx.layout.data_root().display().to_string(),
        warnings,
    })
}

fn security_options() -> Vec<String> {
    let known = [
        ("name=apparmor", crate::spec::apparmor_enabled()),
        ("name=seccomp,profile=builtin", true),
        ("name=selinux", crate::spec::selinux_enabled()),
        ("name=cgroupns", true),
    ];
    let on = known.iter().filter(|(_, on)| *on);
    on.map(|(name, _)| (*name).to_owned()).collect()
}

fn runtimes(ctx: &Context) -> Vec<(String, String)> {
    let own = (select::OWN.to_owned(), select::OWN.to_owned());
    let others = select::available(ctx);
    let others = others
        .into_iter()
        .map(|(name, path)| (name, path.display().to_string()));
    std::iter::once(own).chain(others).collect()
}

fn default_runtime(ctx: &Context) -> String {
    let configured = ctx.config.default_runtime.clone();
    configured.unwrap_or_else(|| select::OWN.to_owned())
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
