//! The top-level resources: networks, volumes, configs, secrets, models.
//! Source: Compose Specification `06-networks.md` … `11-models.md`.

use super::Extensions;
use model::network::NetworkSpec;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// One entry of `networks`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Network {
    /// Made and removed by somebody else.
    pub external: bool,
    /// `spec.name` is the real name: `name`, else `<project>_<key>`.
    pub spec: NetworkSpec,
    pub extensions: Extensions,
}

/// One entry of `volumes`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Volume {
    /// The real name: `name`, else `<project>_<key>`.
    pub name: String,
    /// Made and removed by somebody else.
    pub external: bool,
    pub driver: Option<String>,
    pub driver_opts: BTreeMap<String, String>,
    pub labels: BTreeMap<String, String>,
    pub extensions: Extensions,
}

/// One entry of `configs` or `secrets`.
#[derive(Debug, Clone, PartialEq)]
pub struct FileObject {
    /// The real name: `name`, else `<project>_<key>`.
    pub name: String,
    pub source: FileSource,
    pub labels: BTreeMap<String, String>,
    pub driver: Option<String>,
    pub driver_opts: BTreeMap<String, String>,
    pub template_driver: Option<String>,
    pub extensions: Extensions,
}

/// Where a config's or secret's content comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileSource {
    /// An absolute path on the host.
    File(PathBuf),
    /// A variable of the project's environment, with its value (`None`: not set).
    Environment {
        variable: String,
        value: Option<String>,
    },
    /// Written in the Compose file.
    Content(String),
    /// Kept by the engine under `name`.
    External,
}

/// One entry of `models`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AiModel {
    pub name: Option<String>,
    pub model: String,
    /// `x-dockless.endpoint`: where a server has it.
    pub endpoint: Option<String>,
    pub context_size: Option<u64>,
    pub runtime_flags: Vec<String>,
    pub extensions: Extensions,
}
