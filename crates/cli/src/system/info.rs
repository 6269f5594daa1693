//! `info`.

use super::DOCKER_VERSION;
use crate::VERSION;
use crate::failure::{Failure, Outcome};
use crate::output::{self, units};
use crate::session::Session;
use crate::verb::{Run, Verb, verb};
use api::wire::system::{
    ClientInfo, DiscoveredDevice, IndexConfig, Info as Shape, KernelMechanism, Plugin, Plugins,
    RegistryConfig, Runtime, Swarm,
};
use clap::Args;
use engine::Timestamp;
use std::collections::BTreeMap;
use std::fmt::Write;
use template::Template;

pub(crate) const VERB: Verb = verb::<Info>(
    &["info", "system info"],
    "[OPTIONS]",
    "Display system-wide information",
)
.examples("info --format '{{json .}}'");

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
                Template::parse(text)?
                    .execute(&value)
                    .map_err(|error| Failure::said(format!("template parsing error: {error}")))?
            }
        };
        output::line(text)?;
        Ok(0)
    }
}

fn shape(session: &Session) -> Result<Shape, Failure> {
    let ctx = session.engine()?;
    let host = engine::info::info(ctx)?;
    let proxy = |name: &str| {
        std::env::var(name)
            .or_else(|_| std::env::var(name.to_uppercase()))
            .unwrap_or_default()
    };
    Ok(Shape {
        id: host.id,
        containers: host.containers,
        containers_running: host.running,
        containers_paused: host.paused,
        containers_stopped: host.stopped,
        images: host.images,
        driver: "overlay2",
        driver_status: vec![
            [
                "Backing Filesystem".into(),
                "overlayfs, in the container's mount namespace".into(),
            ],
            ["Layers".into(), layers(ctx).into()],
        ],
        plugins: Plugins {
            volume: vec!["local"],
            network: vec!["bridge", "host", "null"],
            authorization: None,
            log: vec!["json-file", "local", "none"],
        },
        memory_limit: true,
        swap_limit: host.swap_limit,
        cpu_cfs_period: true,
        cpu_cfs_quota: true,
        cpu_shares: true,
        cpu_set: true,
        pids_limit: true,
        ipv4_forwarding: std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward")
            .is_ok_and(|text| text.trim() == "1"),
        debug: false,
        oom_kill_disable: host.cgroup_version == 1,
        system_time: Timestamp::now().to_string(),
        logging_driver: ctx.config.log_driver.unwrap_or_default().to_string(),
        cgroup_driver: "cgroupfs",
        cgroup_version: if host.cgroup_version == 2 { "2" } else { "1" },
        kernel_version: host.kernel,
        operating_system: host.operating_system,
        os_version: host.os_version,
        os_type: "linux",
        architecture: host.architecture,
        ncpu: host.cpus,
        mem_total: host.memory,
        index_server_address: "https://index.docker.io/v1/",
        registry_config: registries(ctx),
        docker_root_dir: host.data_root,
        http_proxy: proxy("http_proxy"),
        https_proxy: proxy("https_proxy"),
        no_proxy: proxy("no_proxy"),
        name: host.hostname,
        labels: Vec::new(),
        experimental_build: false,
        server_version: DOCKER_VERSION.into(),
        runtimes: runtimes(host.runtimes),
        default_runtime: host.default_runtime,
        swarm: Swarm {
            node_id: "",
            node_addr: "",
            local_node_state: "inactive",
            control_available: false,
            error: "",
        },
        live_restore_enabled: true,
        init_binary: "dockless",
        security_options: host.security_options,
        cdi_spec_dirs: host.cdi_dirs,
        discovered_devices: discovered(host.cdi_devices),
        kernel_mechanisms: mechanisms(&host.mechanisms),
        warnings: (!host.warnings.is_empty()).then_some(host.warnings),
        client_info: ClientInfo {
            debug: false,
            context: "default",
            plugins: vec![compose_plugin()],
            warnings: None,
        },
    })
}

/// What new layers become here.
fn layers(ctx: &engine::Context) -> &'static str {
    let form = ctx.images().map(|store| store.layers().form());
    match form {
        Ok(Ok(image::Form::Erofs)) => "EROFS images",
        _ => "directories",
    }
}

fn runtimes(found: Vec<(String, String)>) -> BTreeMap<String, Runtime> {
    let each = found.into_iter();
    each.map(|(name, path)| (name, Runtime { path })).collect()
}

fn discovered(names: Vec<String>) -> Vec<DiscoveredDevice> {
    let each = names.into_iter();
    each.map(|id| DiscoveredDevice { source: "cdi", id })
        .collect()
}

fn mechanisms(found: &[runtime::Mechanism]) -> Vec<KernelMechanism> {
    let each = found.iter().map(|mechanism| KernelMechanism {
        name: mechanism.name,
        chosen: mechanism.chosen,
        fallback: mechanism.fallback,
    });
    each.collect()
}

fn compose_plugin() -> Plugin {
    Plugin {
        schema_version: "0.1.0",
        vendor: "dockless",
        version: format!("v{}", crate::compose::VERSION),
        short_description: "Docker Compose",
        name: "compose",
        path: std::env::current_exe()
            .map(|path| path.display().to_string())
            .unwrap_or_default(),
    }
}

fn registries(ctx: &engine::Context) -> RegistryConfig {
    let hub = IndexConfig {
        name: "docker.io".into(),
        mirrors: Vec::new(),
        secure: true,
        official: true,
    };
    let insecure = ctx.config.insecure_registries.iter().map(|name| {
        (
            name.clone(),
            IndexConfig {
                name: name.clone(),
                mirrors: Vec::new(),
                secure: false,
                official: false,
            },
        )
    });
    RegistryConfig {
        insecure_registry_cidrs: vec!["::1/128".into(), "127.0.0.0/8".into()],
        index_configs: std::iter::once(("docker.io".to_owned(), hub))
            .chain(insecure)
            .collect(),
        mirrors: None,
    }
}

fn plain(info: &Shape) -> String {
    let mut out = format!(
        "Client: dockless {VERSION}\n Context:    {}\n\nServer: (no daemon: this very program)\n",
        info.client_info.context
    );
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
        info.runtimes.keys().cloned().collect::<Vec<_>>().join(" "),
        info.default_runtime,
    );
    for option in &info.security_options {
        let _ = writeln!(
            out,
            "  {}",
            option
                .trim_start_matches("name=")
                .replace(",profile=", "\n   Profile: ")
        );
    }
    if !info.discovered_devices.is_empty() {
        let _ = writeln!(out, " Discovered Devices:");
        for device in &info.discovered_devices {
            let _ = writeln!(out, "  {}: {}", device.source, device.id);
        }
    }
    let _ = writeln!(
        out,
        " CDI spec directories:\n  {}\n Kernel Mechanisms:",
        info.cdi_spec_dirs.join("\n  ")
    );
    for mechanism in &info.kernel_mechanisms {
        let mark = if mechanism.fallback {
            " (fallback)"
        } else {
            ""
        };
        let _ = writeln!(out, "  {}: {}{mark}", mechanism.name, mechanism.chosen);
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
