//! Who we are, and what the host is: `version` and `info`, for the command line and the server alike.

use crate::wire::system::{
    Client, ClientInfo, Component, DiscoveredDevice, IndexConfig, Info, KernelMechanism, Platform,
    Plugin, Plugins, RegistryConfig, Runtime, Server, Swarm, Version,
};
use crate::wire::{API_VERSION, DOCKER_VERSION};
use engine::{Context, Timestamp};
use image::account::SaidOfAll;
use std::collections::BTreeMap;

/// `x86_64` → `amd64`, as Go names machines.
fn architecture() -> String {
    oci::Platform::host().architecture
}

/// Docker's `version`, of both sides: `own` is our version.
pub fn version(own: &str) -> Version {
    let kernel = rustix::system::uname()
        .release()
        .to_string_lossy()
        .into_owned();
    let commit = format!("dockless-{own}");
    let platform = Platform { name: "dockless" };
    Version {
        client: Client {
            platform: platform.clone(),
            version: DOCKER_VERSION.into(),
            api_version: API_VERSION,
            default_api_version: API_VERSION,
            git_commit: commit.clone(),
            os: "linux",
            arch: architecture(),
            context: "default",
        },
        server: Server {
            platform,
            components: vec![Component {
                name: "dockless",
                version: own.into(),
                details: [].into(),
            }],
            version: DOCKER_VERSION.into(),
            api_version: API_VERSION,
            min_api_version: "1.24",
            git_commit: commit,
            os: "linux",
            arch: architecture(),
            kernel_version: kernel,
            experimental: false,
        },
    }
}

/// Docker's `info`, with what the caller offers beside.
pub fn info(ctx: &Context, plugins: Vec<Plugin>) -> Result<Info, engine::Error> {
    let host = engine::info::info(ctx)?;
    let proxy = |name: &str| {
        std::env::var(name)
            .or_else(|_| std::env::var(name.to_uppercase()))
            .unwrap_or_default()
    };
    Ok(Info {
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
            plugins,
            warnings: None,
        },
    })
}

/// What new layers become here.
fn layers(ctx: &Context) -> &'static str {
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

/// What the host's files say of registries; of files that cannot be read, what dockless' own says. A pull names those.
fn registries(ctx: &Context) -> RegistryConfig {
    let options = ctx.registries();
    let said = image::account::said_of_all(&options).unwrap_or_else(|_| SaidOfAll {
        mirrors: options.mirrors.clone(),
        insecure: options.insecure.clone(),
    });
    let index = |name: &str, mirrors: &[String], official: bool| IndexConfig {
        name: name.into(),
        mirrors: mirrors.to_vec(),
        secure: official,
        official,
    };
    // A network has a slash: registries have none.
    let (networks, hosts): (Vec<String>, Vec<String>) = said
        .insecure
        .into_iter()
        .partition(|name| name.contains('/'));
    let always = ["::1/128".to_owned(), "127.0.0.0/8".to_owned()];
    let hub = (
        "docker.io".to_owned(),
        index("docker.io", &said.mirrors, true),
    );
    let others = hosts
        .iter()
        .map(|name| (name.clone(), index(name, &[], false)));
    RegistryConfig {
        insecure_registry_cidrs: always.into_iter().chain(networks).collect(),
        index_configs: std::iter::once(hub).chain(others).collect(),
        mirrors: (!said.mirrors.is_empty()).then_some(said.mirrors),
    }
}
