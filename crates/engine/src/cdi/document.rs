//! A CDI specification file: its keys, and what is refused in them.
//!
//! Files come from vendors' packages and are as powerful as root, but a broken one must say where it is broken and may not
//! take the others along. Unknown keys are an error, as in the reference implementation.
//! Source: CDI specification `SPEC.md`, `specs-go/config.go`.

use model::device::{is_cdi_device, is_cdi_word, is_permissions};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Document {
    cdi_version: String,
    kind: String,
    #[serde(default)]
    #[expect(dead_code, reason = "allowed, and for others to read")]
    annotations: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) devices: Vec<Device>,
    #[serde(default)]
    pub(super) container_edits: ContainerEdits,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Device {
    pub(super) name: String,
    #[serde(default)]
    #[expect(dead_code, reason = "allowed, and for others to read")]
    annotations: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) container_edits: ContainerEdits,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct ContainerEdits {
    pub(super) env: Vec<String>,
    pub(super) device_nodes: Vec<DeviceNode>,
    pub(super) net_devices: Vec<NetDevice>,
    pub(super) mounts: Vec<Mount>,
    pub(super) hooks: Vec<Hook>,
    pub(super) additional_gids: Vec<u32>,
    pub(super) intel_rdt: Option<IntelRdt>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct DeviceNode {
    pub(super) path: String,
    pub(super) host_path: Option<String>,
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) major: Option<i64>,
    pub(super) minor: Option<i64>,
    pub(super) file_mode: Option<u32>,
    pub(super) permissions: Option<String>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct NetDevice {
    pub(super) host_interface_name: String,
    pub(super) name: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Mount {
    pub(super) host_path: String,
    pub(super) container_path: String,
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    #[serde(default)]
    pub(super) options: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Hook {
    pub(super) hook_name: HookName,
    pub(super) path: String,
    #[serde(default)]
    pub(super) args: Vec<String>,
    #[serde(default)]
    pub(super) env: Vec<String>,
    pub(super) timeout: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum HookName {
    Prestart,
    CreateRuntime,
    CreateContainer,
    StartContainer,
    Poststart,
    Poststop,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct IntelRdt {
    #[serde(rename = "closID")]
    pub(super) clos_id: Option<String>,
    pub(super) l3_cache_schema: Option<String>,
    pub(super) mem_bw_schema: Option<String>,
    pub(super) schemata: Option<Vec<String>>,
    pub(super) enable_monitoring: Option<bool>,
    #[serde(rename = "enableCMT")]
    pub(super) enable_cmt: Option<bool>,
    #[serde(rename = "enableMBM")]
    pub(super) enable_mbm: Option<bool>,
}

/// Why a file is not used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error("cannot be read: {0}")]
    Read(#[from] std::io::Error),
    #[error("larger than {} MiB", MAX_BYTES >> 20)]
    TooLarge,
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    #[error("{0}")]
    Yaml(String),
    #[error("cdiVersion {0:?} is not known; 0.1.0 to 1.1.0 are")]
    Version(String),
    #[error("kind {0:?} is not vendor.com/class")]
    Kind(String),
    #[error("{0}")]
    Content(String),
}

pub(super) const MAX_BYTES: u64 = 4 << 20;

impl Document {
    /// Reads a file by the end of its name.
    pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Self, Broken> {
        let document: Self = match path.extension().and_then(|e| e.to_str()) {
            Some("json") => serde_json::from_slice(bytes)?,
            _ => {
                let value = compose_file::document::read(path, bytes)
                    .map_err(|e| Broken::Yaml(format!("line {}: {}", e.line, e.message)))?;
                serde_json::from_value(value)?
            }
        };
        document.check()?;
        Ok(document)
    }

    /// Vendor and class.
    pub(super) fn kind(&self) -> (&str, &str) {
        self.kind.split_once('/').unwrap_or((&self.kind, ""))
    }

    fn check(&self) -> Result<(), Broken> {
        if !is_version(&self.cdi_version) {
            return Err(Broken::Version(self.cdi_version.clone()));
        }
        let (vendor, class) = self.kind();
        if !is_cdi_word(vendor) || !is_cdi_word(class) {
            return Err(Broken::Kind(self.kind.clone()));
        }
        check_edits("containerEdits", &self.container_edits)?;
        let mut names = BTreeSet::new();
        for device in &self.devices {
            let name = &device.name;
            if !is_cdi_device(name) {
                return Err(content(format!("device name {name:?} is not valid")));
            }
            if !names.insert(name) {
                return Err(content(format!("device {name:?} is there twice")));
            }
            check_edits(&format!("device {name:?}"), &device.container_edits)?;
        }
        Ok(())
    }
}

fn content(text: String) -> Broken {
    Broken::Content(text)
}

fn is_version(text: &str) -> bool {
    let mut parts = text.strip_prefix('v').unwrap_or(text).split('.');
    let mut number = || parts.next().and_then(|part| part.parse::<u32>().ok());
    let (major, minor, patch) = (number(), number(), number());
    let known = matches!(
        (major, minor),
        (Some(0), Some(1..=8)) | (Some(1), Some(0 | 1))
    );
    known && patch == Some(0) && parts.next().is_none()
}

fn check_edits(place: &str, edits: &ContainerEdits) -> Result<(), Broken> {
    let bad = |what: String| Err(content(format!("{place}: {what}")));
    for variable in &edits.env {
        let named = variable
            .split_once('=')
            .is_some_and(|(name, _)| !name.is_empty());
        if !named || variable.contains('\0') {
            return bad(format!("env {variable:?} is not NAME=value"));
        }
    }
    for node in &edits.device_nodes {
        check_node(node).or_else(|what| bad(format!("device node {:?}: {what}", node.path)))?;
    }
    for device in &edits.net_devices {
        if !is_interface(&device.host_interface_name) || !is_interface(&device.name) {
            return bad(format!(
                "{:?} is no name of a network interface",
                device.name
            ));
        }
    }
    for mount in &edits.mounts {
        if !is_absolute(&mount.container_path) || !is_absolute(&mount.host_path) {
            return bad(format!(
                "mount {:?}: paths are absolute",
                mount.container_path
            ));
        }
    }
    for hook in &edits.hooks {
        if !is_absolute(&hook.path) {
            return bad(format!("hook {:?}: its path is not absolute", hook.path));
        }
        if hook.timeout.is_some_and(|seconds| seconds <= 0) {
            return bad(format!("hook {:?}: its timeout is not above 0", hook.path));
        }
    }
    match edits
        .intel_rdt
        .as_ref()
        .and_then(|rdt| rdt.clos_id.as_deref())
    {
        Some(id)
            if matches!(id, "." | "..") || id.contains(['/', '\n', '\0']) || id.len() > 4095 =>
        {
            bad(format!("closID {id:?} is no name of a directory"))
        }
        _ => Ok(()),
    }
}

fn check_node(node: &DeviceNode) -> Result<(), &'static str> {
    if !is_absolute(&node.path) || !node.host_path.as_deref().is_none_or(is_absolute) {
        return Err("paths are absolute");
    }
    if !matches!(
        node.kind.as_deref(),
        None | Some("" | "b" | "c" | "u" | "p")
    ) {
        return Err("type is one of b, c, u and p");
    }
    match node.permissions.as_deref() {
        None | Some("") => Ok(()),
        Some(text) if is_permissions(text) => Ok(()),
        Some(_) => Err("permissions are some of r, w and m"),
    }
}

/// Absolute, and nothing the kernel would read differently from us.
fn is_absolute(path: &str) -> bool {
    path.starts_with('/') && !path.contains('\0') && !path.split('/').any(|part| part == "..")
}

fn is_interface(name: &str) -> bool {
    !matches!(name, "" | "." | "..")
        && name.len() < 16
        && !name.contains(|c: char| c == '/' || c == '\0' || c.is_whitespace())
}
