//! The registry client.

use std::path::PathBuf;

/// How registries are reached.
#[derive(Debug, Clone, Default)]
pub struct RegistryOptions {
    /// Registries (`host[:port]`) that may be spoken to without TLS or with a certificate nobody vouches
    /// for. Loopback addresses always may.
    pub insecure: Vec<String>,
    /// Asked before Docker Hub itself for Docker Hub's images (`https://mirror.example`), in order.
    pub mirrors: Vec<String>,
    /// Docker's `config.json` with credentials; `None`: anonymous.
    pub docker_config: Option<PathBuf>,
    /// Never connect: what image directories do not have is not there.
    pub offline: bool,
}
