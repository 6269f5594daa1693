//! `info`.

use super::DOCKER_VERSION;
use crate::VERSION;
use crate::failure::{Failure, Outcome};
use crate::output::{self, units};
use crate::session::Session;
use crate::template::Template;
use crate::verb::{Run, Verb, verb};
use api::wire::system::{ClientInfo, IndexConfig, Info as Shape, Plugin, Plugins, RegistryConfig, Runtime, Swarm};
use clap::Args;
use engine::Timestamp;
use engine::container::list::{self, Listed};
use engine::container::state::State;
use model::filter::Filters;
use std::collections::BTreeMap;
use std::fmt::Write;

pub(crate) const VERB: Verb =
    verb::<Info>(&["info", "system info"], "[OPTIONS]", "Display system-wide information").examples("info --format '{{json .}}'");

#[derive(Debug, Args)]
struct Info {
    /// Format output using a custom template: 'json' or TEMPLATE
    #[arg(short, long, value_name = "string")]
    format: Option<String>,
}

impl Run for Info {
    fn run(self, session: &Session) -> Outcome {
        let shape = shape(session)?;
        let text = match self.format.as_deref() {
            None | Some("") => plain(&shape),
            Some("json") => serde_json::to_string(&shape).unwrap_or_default(),
            Some(text) => {
                let value = serde_json::to_value(&shape).unwrap_or_default();
                Template::parse(text)?.execute(&value).map_err(|error| Failure::said(format!("template parsing error: {error}")))?
            }
        };
        output::line(text)?;
        Ok(0)
    }
}

fn shape(session: &Session) -> Result<Shape, Failure> {
    let ctx = session.engine()?;
    let containers = list::list(ctx, true, &Filters::default())?;
    let count = |fits: fn(&Listed) -> bool| containers.iter().filter(|container| fits(container)).count();
    let images = ctx.images()?.list().map_err(engine::Error::from)?.len();
    let uname = rustix::system::uname();
    let text = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
    let (operating_system, os_version) = os_release();
    let v2 = std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    let proxy = |name: &str| std::env::var(name).or_else(|_| std::env::var(name.to_uppercase())).unwrap_or_default();
    let running = count(|c| matches!(c.state, State::Running { .. } | State::Restarting { .. }));
    let paused = count(|c| matches!(c.state, State::Paused { .. }));
    Ok(Shape {
        id: machine_id(),
        containers: containers.len(),
        containers_running: running,
        containers_paused: paused,
        containers_stopped: containers.len() - running - paused,
        images,
        driver: "overlay2",
        driver_status: vec![["Backing Filesystem".into(), "overlayfs, in the container's mount namespace".into()]],
        plugins: Plugins {
            volume: vec!["local"],
            network: vec!["bridge", "host", "null"],
            authorization: None,
            log: vec!["json-file", "local", "none"],
        },
        memory_limit: true,
        swap_limit: true,
        cpu_cfs_period: true,
        cpu_cfs_quota: true,
        cpu_shares: true,
        cpu_set: true,
        pids_limit: true,
        ipv4_forwarding: std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward").is_ok_and(|text| text.trim() == "1"),
        debug: false,
        oom_kill_disable: !v2,
        system_time: Timestamp::now().to_string(),
        logging_driver: ctx.config.log_driver.unwrap_or_default().to_string(),
        cgroup_driver: "cgroupfs",
        cgroup_version: if v2 { "2" } else { "1" },
        kernel_version: text(uname.release()),
        operating_system,
        os_version,
        os_type: "linux",
        architecture: text(uname.machine()),
        ncpu: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        mem_total: engine::container::stats::host_memory(),
        index_server_address: "https://index.docker.io/v1/",
        registry_config: registries(ctx),
        docker_root_dir: ctx.layout.data_root().display().to_string(),
        http_proxy: proxy("http_proxy"),
        https_proxy: proxy("https_proxy"),
        no_proxy: proxy("no_proxy"),
        name: text(uname.nodename()),
        labels: Vec::new(),
        experimental_build: false,
        server_version: DOCKER_VERSION.into(),
        runtimes: BTreeMap::from([("runc", Runtime { path: "dockless".into() })]),
        default_runtime: "runc",
        swarm: Swarm { node_id: "", node_addr: "", local_node_state: "inactive", control_available: false, error: "" },
        live_restore_enabled: true,
        init_binary: "dockless",
        security_options: vec!["name=seccomp,profile=builtin", "name=cgroupns"],
        warnings: None,
        client_info: ClientInfo { debug: false, context: "default", plugins: vec![compose_plugin()], warnings: None },
    })
}

fn compose_plugin() -> Plugin {
    Plugin {
        schema_version: "0.1.0",
        vendor: "dockless",
        version: format!("v{}", crate::compose::VERSION),
        short_description: "Docker Compose",
        name: "compose",
        path: std::env::current_exe().map(|path| path.display().to_string()).unwrap_or_default(),
    }
}

fn registries(ctx: &engine::Context) -> RegistryConfig {
    let hub = IndexConfig { name: "docker.io".into(), mirrors: Vec::new(), secure: true, official: true };
    let insecure = ctx.config.insecure_registries.iter().map(|name| {
        (name.clone(), IndexConfig { name: name.clone(), mirrors: Vec::new(), secure: false, official: false })
    });
    RegistryConfig {
        insecure_registry_cidrs: vec!["::1/128".into(), "127.0.0.0/8".into()],
        index_configs: std::iter::once(("docker.io".to_owned(), hub)).chain(insecure).collect(),
        mirrors: None,
    }
}

/// Name and version of the host's system, os-release(5).
fn os_release() -> (String, String) {
    let text = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let value = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.map(|value| value.trim_matches('"').to_owned()).unwrap_or_default()
    };
    let name = value("PRETTY_NAME");
    (if name.is_empty() { "Linux".into() } else { name }, value("VERSION_ID"))
}

fn machine_id() -> String {
    std::fs::read_to_string("/etc/machine-id").map(|id| id.trim().to_owned()).unwrap_or_default()
}

fn plain(info: &Shape) -> String {
    let mut out = format!("Client: dockless {VERSION}\n Context:    {}\n\nServer: (no daemon: this very program)\n", info.client_info.context);
    let _ = write!(
        out,
        " Containers: {}\n  Running: {}\n  Paused: {}\n  Stopped: {}\n Images: {}\n Server Version: {}\n Storage Driver: {}\n Logging Driver: {}\n Cgroup Driver: {}\n Cgroup Version: {}\n Plugins:\n  Volume: {}\n  Network: {}\n  Log: {}\n Swarm: {}\n Runtimes: {}\n Default Runtime: {}\n Security Options:\n",
        info.containers,
        info.containers_running,
        info.containers_paused,
        info.containers_stopped,
        info.images,
        info.server_version,
        info.driver,
        info.logging_driver,
        info.cgroup_driver,
        info.cgroup_version,
        info.plugins.volume.join(" "),
        info.plugins.network.join(" "),
        info.plugins.log.join(" "),
        info.swarm.local_node_state,
        info.runtimes.keys().copied().collect::<Vec<_>>().join(" "),
        info.default_runtime,
    );
    for option in &info.security_options {
        let _ = writeln!(out, "  {}", option.trim_start_matches("name=").replace(",profile=", "\n   Profile: "));
    }
    let _ = write!(
        out,
        " Kernel Version: {}\n Operating System: {}\n OSType: {}\n Architecture: {}\n CPUs: {}\n Total Memory: {}\n Name: {}\n ID: {}\n Docker Root Dir: {}\n Debug Mode: {}\n Insecure Registries:\n  {}\n Live Restore Enabled: {}",
        info.kernel_version,
        info.operating_system,
        info.os_type,
        info.architecture,
        info.ncpu,
        units::memory(info.mem_total),
        info.name,
        info.id,
        info.docker_root_dir,
        info.debug,
        info.registry_config.insecure_registry_cidrs.join("\n  "),
        info.live_restore_enabled,
    );
    out
}
