//! The engine's configuration: `/etc/dockless/config.json`, every key optional.
//!
//! ```json
//! { "image-dirs": ["/media/usb/images"], "insecure-registries": ["10.0.0.5:5000"], "registry-mirrors": ["https://hub.local"],
//!   "registries": [{ "prefix": "ghcr.io", "mirror": [{ "location": "harbor.local/ghcr" }] }],
//!   "proxies": { "https-proxy": "http://proxy.local:3128", "no-proxy": "harbor.local" }, "signature-policy": "/etc/dockless/policy.json",
//!   "ip": "127.0.0.1", "log-driver": "local", "log-opts": { "max-size": "10m" },
//!   "default-address-pools": [{ "base": "10.210.0.0/16", "size": 24 }],
//!   "model-endpoint": "http://172.17.0.1:12434/engines/v1",
//!   "keep-blobs": true, "min-free-space": "2g", "keep-generations": 10,
//!   "cdi-spec-dirs": ["/etc/cdi", "/var/run/cdi"],
//!   "runtimes": { "crun": { "path": "/usr/bin/crun", "runtimeArgs": ["--debug"] } }, "default-runtime": "dockless" }
//! ```

use model::log::LogDriver;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// Where the configuration lies when nobody says otherwise.
pub const PATH: &str = "/etc/dockless/config.json";

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// OCI image layouts that are looked through before any registry.
    pub image_dirs: Vec<PathBuf>,
    /// How new layers are kept: `directories`, or `erofs` where the kernel can (Linux 6.12).
    pub layer_store: image::Form,
    /// Whether the archives of pulled layers stay when their files are there: for pushing and saving them. `true` when it is not said.
    pub keep_blobs: Option<bool>,
    /// What pulls, builds and loads leave free on the data root's file system (`2g`; `0` switches the guard off). Without it:
    /// 256 MB, of a file system smaller than 5 GB a twentieth.
    #[serde(deserialize_with = "size")]
    pub min_free_space: Option<u64>,
    /// How many generations of a Compose project are kept to go back to; 5 when it is not said.
    pub keep_generations: Option<std::num::NonZeroUsize>,
    /// Registries (host, host:port or CIDR) spoken to over plain HTTP or with any certificate.
    pub insecure_registries: Vec<String>,
    /// Asked before Docker Hub for its images, as dockerd does.
    pub registry_mirrors: Vec<String>,
    /// Mirrors and other locations of any registry, in the words of containers' `registries.conf`.
    pub registries: Vec<image::registry::config::Rule>,
    /// Between here and registries, in place of the environment's and of dockerd's.
    pub proxies: Option<image::registry::proxy::Proxies>,
    /// Which images are taken, and which only with a signature: a `policy.json` in place of containers'.
    pub signature_policy: Option<PathBuf>,
    /// Where CDI specifications are looked for, in place of [`crate::cdi::SPEC_DIRS`].
    pub cdi_spec_dirs: Option<Vec<PathBuf>>,
    /// Other OCI runtimes by name, for `--runtime`.
    pub runtimes: BTreeMap<String, RuntimeConfig>,
    /// The runtime of containers that ask for none; dockless itself when it is not said.
    pub default_runtime: Option<String>,
    /// Where ports are published that name no address of the host: `127.0.0.1` keeps them on this host.
    pub ip: Option<IpAddr>,
    /// Where networks get subnets that ask for none; a family without a pool here has the built-in ones.
    pub default_address_pools: Vec<PoolConfig>,
    /// A server that speaks OpenAI's language and has the models of Compose files that name no server.
    pub model_endpoint: Option<String>,
    pub log_driver: Option<LogDriver>,
    pub log_opts: BTreeMap<String, String>,
}

/// One entry of `default-address-pools`, as in dockerd's configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolConfig {
    pub base: network::Subnet,
    /// The length of the prefix of each network's subnet.
    pub size: u8,
}

/// One entry of `runtimes`, as in dockerd's configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RuntimeConfig {
    /// A program, by path or by its name in `PATH`.
    pub path: PathBuf,
    /// Put before everything else on its command line.
    #[serde(rename = "runtimeArgs")]
    pub runtime_args: Vec<String>,
}

fn size<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    let text = String::deserialize(from)?;
    let wrong = |error| serde::de::Error::custom(format_args!("min-free-space: {error}"));
    model::size::parse(&text).map(Some).map_err(wrong)
}

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is not valid", path.display())]
    Parse {
        path: PathBuf,
        source: serde_json::Error,
    },
}

impl Config {
    /// Where CDI specifications are looked for, the more important directory last.
    pub fn cdi_dirs(&self) -> Vec<PathBuf> {
        match &self.cdi_spec_dirs {
            Some(dirs) => dirs.clone(),
            None => crate::cdi::SPEC_DIRS.iter().map(PathBuf::from).collect(),
        }
    }

    /// Reads the file; one that does not exist is an empty one.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        match std::fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|source| ConfigError::Parse {
                path: path.into(),
                source,
            }),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(ConfigError::Read {
                path: path.into(),
                source,
            }),
        }
    }
}
