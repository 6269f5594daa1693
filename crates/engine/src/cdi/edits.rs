//! What CDI devices change in a container, gathered, and written into its runtime spec.
//!
//! Source: CDI specification "containerEdits"; `pkg/cdi/container-edits.go` for what replaces and what adds.

use super::document::{self, ContainerEdits, HookName};
use crate::error::{Error, Result};
use oci_spec::runtime::{
    Hook, Hooks, LinuxDevice, LinuxDeviceBuilder, LinuxDeviceCgroup, LinuxDeviceCgroupBuilder,
    LinuxDeviceType, LinuxIntelRdt, LinuxIntelRdtBuilder, LinuxNetDevice, Mount, MountBuilder,
    Spec,
};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

/// The edits of all devices of a container.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Edits {
    env: Vec<String>,
    devices: Vec<(LinuxDevice, String)>,
    net_devices: Vec<(String, LinuxNetDevice)>,
    /// For the list of mounts, which is put in order as a whole.
    pub(crate) mounts: Vec<Mount>,
    hooks: Vec<(HookName, Hook)>,
    intel_rdt: Option<LinuxIntelRdt>,
    /// Groups the process is in; 0 adds nothing.
    pub additional_gids: Vec<u32>,
}

impl Edits {
    /// Adds those of one file; `origin` is named where one cannot be met.
    pub(super) fn add(&mut self, origin: &Path, edits: &ContainerEdits) -> Result<()> {
        let bad = |what: String, cause: String| {
            Error::invalid(
                format!("CDI specification {}: {what}", origin.display()),
                cause,
            )
        };
        self.env.extend(edits.env.iter().cloned());
        for node in &edits.device_nodes {
            let made = device(node).map_err(|cause| bad(format!("device {}", node.path), cause))?;
            self.devices.push(made);
        }
        for device in &edits.net_devices {
            let mut inside = LinuxNetDevice::default();
            inside.set_name(Some(device.name.clone()));
            self.net_devices
                .push((device.host_interface_name.clone(), inside));
        }
        for mount in &edits.mounts {
            if !Path::new(&mount.host_path).exists() && is_bind(mount) {
                return Err(bad(
                    format!("mount of {}", mount.host_path),
                    "no such file or directory; make the specification anew".to_owned(),
                ));
            }
            self.mounts.push(self::mount(mount)?);
        }
        let hooks = edits
            .hooks
            .iter()
            .map(|hook| (hook.hook_name, self::hook(hook)));
        self.hooks.extend(hooks);
        if let Some(rdt) = &edits.intel_rdt {
            self.intel_rdt = Some(intel_rdt(rdt)?);
        }
        for gid in edits.additional_gids.iter().filter(|gid| **gid != 0) {
            if !self.additional_gids.contains(gid) {
                self.additional_gids.push(*gid);
            }
        }
        Ok(())
    }

    /// Writes everything but the mounts into a spec.
    pub(crate) fn apply(&self, spec: &mut Spec) {
        if let Some(process) = spec.process_mut() {
            let mut env = process.env().clone().unwrap_or_default();
            for variable in &self.env {
                let name = variable.split('=').next();
                env.retain(|known| known.split('=').next() != name);
                env.push(variable.clone());
            }
            process.set_env(Some(env));
        }
        if !self.hooks.is_empty() {
            let mut hooks = spec.hooks().clone().unwrap_or_default();
            for (name, hook) in &self.hooks {
                append(&mut hooks, *name, hook.clone());
            }
            spec.set_hooks(Some(hooks));
        }
        let Some(linux) = spec.linux_mut() else {
            return;
        };
        let mut nodes = linux.devices().clone().unwrap_or_default();
        let mut resources = linux.resources().clone().unwrap_or_default();
        let mut rules = resources.devices().clone().unwrap_or_default();
        for (node, access) in &self.devices {
            nodes.retain(|known| known.path() != node.path());
            nodes.push(node.clone());
            rules.extend(rule(node, access));
        }
        linux.set_devices(Some(nodes));
        resources.set_devices((!rules.is_empty()).then_some(rules));
        linux.set_resources(Some(resources));
        if self.intel_rdt.is_some() {
            linux.set_intel_rdt(self.intel_rdt.clone());
        }
        if !self.net_devices.is_empty() {
            linux.set_net_devices(Some(self.net_devices.iter().cloned().collect()));
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Type and numbers that are not said are those of the node on the host.
fn device(node: &document::DeviceNode) -> Result<(LinuxDevice, String), String> {
    let path = node.host_path.as_deref().unwrap_or(&node.path);
    let said = match node.kind.as_deref() {
        Some("b") => Some(LinuxDeviceType::B),
        Some("c") => Some(LinuxDeviceType::C),
        Some("u") => Some(LinuxDeviceType::U),
        Some("p") => Some(LinuxDeviceType::P),
        _ => None,
    };
    let numbered = node.major.is_some_and(|major| major != 0) || said == Some(LinuxDeviceType::P);
    let host = match (said, numbered) {
        (Some(_), true) => None,
        _ => Some(std::fs::metadata(path).map_err(|e| format!("{path}: {e}"))?),
    };
    let found = host.as_ref().and_then(|meta| {
        let kind = meta.file_type();
        match (
            kind.is_char_device(),
            kind.is_block_device(),
            kind.is_fifo(),
        ) {
            (true, ..) => Some(LinuxDeviceType::C),
            (_, true, _) => Some(LinuxDeviceType::B),
            (_, _, true) => Some(LinuxDeviceType::P),
            _ => None,
        }
    });
    let kind = match (said, found, host.is_some()) {
        (_, None, true) => return Err(format!("{path} is no device node")),
        (Some(said), Some(found), _) if !alike(said, found) => {
            return Err(format!("{path} is a device of type {}", found.as_str()));
        }
        (said, found, _) => said.or(found).ok_or("it has no type")?,
    };
    let of_host = |number: fn(u64) -> u32| host.as_ref().map(|m| i64::from(number(m.rdev())));
    let mut builder = LinuxDeviceBuilder::default()
        .path(&node.path)
        .typ(kind)
        .major(
            node.major
                .filter(|_| numbered)
                .or(of_host(rustix::fs::major))
                .unwrap_or(0),
        )
        .minor(
            node.minor
                .filter(|_| numbered)
                .or(of_host(rustix::fs::minor))
                .unwrap_or(0),
        )
        .uid(node.uid.unwrap_or(0))
        .gid(node.gid.unwrap_or(0));
    if let Some(mode) = node.file_mode.or(host.as_ref().map(MetadataExt::mode)) {
        builder = builder.file_mode(mode & 0o7777);
    }
    let access = node.permissions.clone().filter(|p| !p.is_empty());
    let made = builder.build().map_err(|e| e.to_string())?;
    Ok((made, access.unwrap_or_else(|| "rwm".to_owned())))
}

/// An unbuffered character device is a character device.
fn alike(said: LinuxDeviceType, found: LinuxDeviceType) -> bool {
    said == found || (said == LinuxDeviceType::U && found == LinuxDeviceType::C)
}

/// FIFOs need no rule.
fn rule(node: &LinuxDevice, access: &str) -> Option<LinuxDeviceCgroup> {
    let kind = match node.typ() {
        LinuxDeviceType::B => LinuxDeviceType::B,
        LinuxDeviceType::C | LinuxDeviceType::U => LinuxDeviceType::C,
        _ => return None,
    };
    LinuxDeviceCgroupBuilder::default()
        .allow(true)
        .typ(kind)
        .major(node.major())
        .minor(node.minor())
        .access(access)
        .build()
        .ok()
}

fn is_bind(mount: &document::Mount) -> bool {
    let named = mount.options.iter().any(|o| o == "bind" || o == "rbind");
    named || matches!(mount.kind.as_deref(), None | Some("" | "bind"))
}

fn mount(mount: &document::Mount) -> Result<Mount> {
    let mut options = mount.options.clone();
    if is_bind(mount) && !options.iter().any(|o| o == "bind" || o == "rbind") {
        options.push("bind".to_owned());
    }
    let kind = match mount.kind.as_deref() {
        None | Some("") => "bind",
        Some(kind) => kind,
    };
    MountBuilder::default()
        .source(&mount.host_path)
        .destination(&mount.container_path)
        .typ(kind)
        .options(options)
        .build()
        .map_err(crate::spec::spec_error)
}

fn hook(hook: &document::Hook) -> Hook {
    let mut made = Hook::default();
    made.set_path(hook.path.clone().into());
    made.set_args((!hook.args.is_empty()).then(|| hook.args.clone()));
    made.set_env((!hook.env.is_empty()).then(|| hook.env.clone()));
    made.set_timeout(hook.timeout);
    made
}

fn append(hooks: &mut Hooks, name: HookName, hook: Hook) {
    fn with(list: &Option<Vec<Hook>>, hook: Hook) -> Option<Vec<Hook>> {
        let mut list = list.clone().unwrap_or_default();
        list.push(hook);
        Some(list)
    }
    match name {
        HookName::Prestart => hooks.set_prestart(with(hooks.prestart(), hook)),
        HookName::CreateRuntime => hooks.set_create_runtime(with(hooks.create_runtime(), hook)),
        HookName::CreateContainer => {
            hooks.set_create_container(with(hooks.create_container(), hook))
        }
        HookName::StartContainer => hooks.set_start_container(with(hooks.start_container(), hook)),
        HookName::Poststart => hooks.set_poststart(with(hooks.poststart(), hook)),
        HookName::Poststop => hooks.set_poststop(with(hooks.poststop(), hook)),
    };
}

fn intel_rdt(rdt: &document::IntelRdt) -> Result<LinuxIntelRdt> {
    let mut builder = LinuxIntelRdtBuilder::default();
    if let Some(id) = &rdt.clos_id {
        builder = builder.clos_id(id);
    }
    if let Some(schema) = &rdt.l3_cache_schema {
        builder = builder.l3_cache_schema(schema);
    }
    if let Some(schema) = &rdt.mem_bw_schema {
        builder = builder.mem_bw_schema(schema);
    }
    if let Some(schemata) = &rdt.schemata {
        builder = builder.schemata(schemata.clone());
    }
    // The two older switches became one in runtime-spec 1.3.
    if [rdt.enable_monitoring, rdt.enable_cmt, rdt.enable_mbm].contains(&Some(true)) {
        builder = builder.enable_monitoring(true);
    }
    builder.build().map_err(crate::spec::spec_error)
}
