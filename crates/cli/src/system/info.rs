//! `info`.

use crate::VERSION;
use crate::failure::{Failure, Outcome};
use crate::output::{self, units};
use crate::session::Session;
use crate::verb::{Run, Verb, verb};
use api::wire::system::{Info as Shape, Plugin, RegistryConfig};
use clap::Args;
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
    let plugins = vec![compose_plugin()];
    Ok(api::describe::info(session.engine()?, plugins)?)
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

fn plain(info: &Shape) -> String {
    let mut out = format!(
        "Client: dockless {VERSION}\n Context:    {}\n\nServer: (no daemon: this very program)\n",
        info.client_info.context
    );
    let _ = write!(
        out,
        " Containers: {}\n  Running: {}\n  Paused: {}\n  Stopped: {}\n Images: {}\n Server Version: {}\n Storage Driver: {}\n{} Logging Driver: {}\n Cgroup Driver: {}\n Cgroup Version: {}\n Plugins:\n  Volume: {}\n  Network: {}\n  Log: {}\n Swarm: {}\n Runtimes: {}\n Default Runtime: {}\n Security Options:\n",
        info.containers,
        info.containers_running,
        info.containers_paused,
        info.containers_stopped,
        info.images,
        info.server_version,
        info.driver,
        info.driver_status
            .iter()
            .map(|[name, value]| format!("  {name}: {value}\n"))
            .collect::<String>(),
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
        " Kernel Version: {}\n Operating System: {}\n OSType: {}\n Architecture: {}\n CPUs: {}\n Total Memory: {}\n Name: {}\n ID: {}\n Docker Root Dir: {}\n Debug Mode: {}\n Insecure Registries:\n  {}\n{} Live Restore Enabled: {}",
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
        insecure(&info.registry_config).join("\n  "),
        mirrors(&info.registry_config),
        info.live_restore_enabled,
    );
    out
}

/// Hosts first, then networks.
fn insecure(config: &RegistryConfig) -> Vec<String> {
    let hosts = config.index_configs.values().filter(|index| !index.secure);
    let hosts = hosts.map(|index| index.name.clone());
    hosts
        .chain(config.insecure_registry_cidrs.iter().cloned())
        .collect()
}

/// A section of its own where there are any.
fn mirrors(config: &RegistryConfig) -> String {
    match &config.mirrors {
        Some(mirrors) => format!(" Registry Mirrors:\n  {}\n", mirrors.join("\n  ")),
        None => String::new(),
    }
}
