//! Host devices handed to a container (`--device`, `--gpus`).

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `--device HOST[:CONTAINER[:rwm]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceMapping {
    pub host: String,
    pub container: String,
    /// Some of `r`, `w`, `m`.
    pub permissions: String,
}

/// `--gpus` and Compose's device reservations.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeviceRequest {
    pub driver: String,
    /// -1: all.
    pub count: i64,
    pub device_ids: Vec<String>,
    pub capabilities: Vec<Vec<String>>,
    pub options: BTreeMap<String, String>,
}
