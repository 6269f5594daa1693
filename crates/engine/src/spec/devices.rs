//! Device nodes in the container and the cgroup rules that allow them.

use crate::error::{Error, Result};
use model::container::ContainerSpec;
use model::device::DeviceMapping;
use oci_spec::runtime::{
    LinuxDevice, LinuxDeviceBuilder, LinuxDeviceCgroup, LinuxDeviceCgroupBuilder, LinuxDeviceType,
};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// In a directory nothing of these names is handed over: they are the container's own, or somebody's tools.
/// Source: runc `devices.GetDevices`.
const OWN: [&str; 9] = [
    ".lxc",
    ".lxd-mounts",
    ".udev",
    "console",
    "fd",
    "mqueue",
    "ptmx",
    "pts",
    "shm",
];

pub(super) fn check(device: &DeviceMapping) -> Result<()> {
    let host = Path::new(&device.host);
    if !host.exists() {
        return Err(Error::invalid(
            format!(
                "error gathering device information while adding custom device {:?}",
                device.host
            ),
            "no such file or directory",
        ));
    }
    let meta = std::fs::metadata(host).map_err(Error::file("look at the device", host))?;
    let kind = meta.file_type();
    if kind.is_char_device() || kind.is_block_device() || kind.is_dir() {
        return Ok(());
    }
    Err(Error::invalid(
        format!("--device {}", device.host),
        "not a device node",
    ))
}

/// The nodes to make: of `--device`, and of the whole host with `--privileged`. Of two at one path the last is meant.
pub(super) fn nodes(spec: &ContainerSpec) -> Result<Vec<LinuxDevice>> {
    let mut nodes = Vec::new();
    if spec.privileged {
        collect(Path::new("/dev"), Path::new("/dev"), &mut nodes)?;
    }
    for device in &spec.devices {
        check(device)?;
        let mut asked = Vec::new();
        collect(
            Path::new(&device.host),
            Path::new(&device.container),
            &mut asked,
        )?;
        nodes.retain(|known: &LinuxDevice| asked.iter().all(|new| new.path() != known.path()));
        nodes.extend(asked);
    }
    Ok(nodes)
}

/// One node, or all below a directory. A link named by the user is followed, and the node stands under the link's name.
fn collect(host: &Path, target: &Path, nodes: &mut Vec<LinuxDevice>) -> Result<()> {
    let Ok(meta) = std::fs::metadata(host) else {
        return Ok(());
    };
    let kind = meta.file_type();
    if kind.is_dir() {
        let entries = std::fs::read_dir(host).map_err(Error::file("list", host))?;
        for entry in entries.flatten() {
            let name = entry.file_name();
            let own = OWN.iter().any(|own| name == *own);
            // Links in /dev lead to nodes that are listed by themselves, or to loops.
            if !own && !entry.file_type().is_ok_and(|t| t.is_symlink()) {
                collect(&entry.path(), &target.join(name), nodes)?;
            }
        }
        return Ok(());
    }
    let typ = match (kind.is_char_device(), kind.is_block_device()) {
        (true, _) => LinuxDeviceType::C,
        (_, true) => LinuxDeviceType::B,
        _ => return Ok(()),
    };
    nodes.push(node(target.to_owned(), typ, &meta)?);
    Ok(())
}

fn node(path: PathBuf, typ: LinuxDeviceType, meta: &std::fs::Metadata) -> Result<LinuxDevice> {
    LinuxDeviceBuilder::default()
        .path(path)
        .typ(typ)
        .major(i64::from(rustix::fs::major(meta.rdev())))
        .minor(i64::from(rustix::fs::minor(meta.rdev())))
        .file_mode(meta.mode() & 0o7777)
        .uid(meta.uid())
        .gid(meta.gid())
        .build()
        .map_err(super::spec_error)
}

/// The rules for those nodes; with `--privileged` everything is allowed. A directory's permissions are its nodes'.
pub(super) fn node_rules(spec: &ContainerSpec, nodes: &[LinuxDevice]) -> Vec<LinuxDeviceCgroup> {
    if spec.privileged {
        return LinuxDeviceCgroupBuilder::default()
            .allow(true)
            .access("rwm")
            .build()
            .into_iter()
            .collect();
    }
    let permissions = |node: &LinuxDevice| {
        spec.devices
            .iter()
            .filter(|d| node.path().starts_with(&d.container))
            .map(|d| d.permissions.clone())
            .next_back()
            .filter(|p| !p.is_empty())
            .unwrap_or_else(|| "rwm".to_owned())
    };
    let rule = |node: &LinuxDevice| {
        LinuxDeviceCgroupBuilder::default()
            .allow(true)
            .typ(node.typ())
            .major(node.major())
            .minor(node.minor())
            .access(permissions(node))
            .build()
            .ok()
    };
    nodes.iter().filter_map(rule).collect()
}

/// `--device-cgroup-rule 'c 1:3 mr'`.
pub(super) fn rules(texts: &[String]) -> Result<Vec<LinuxDeviceCgroup>> {
    texts.iter().map(|text| rule(text)).collect()
}

fn rule(text: &str) -> Result<LinuxDeviceCgroup> {
    let bad = || {
        Error::invalid(
            format!("invalid device cgroup format {text:?}"),
            "write e.g. 'c 10:200 rwm'",
        )
    };
    let mut words = text.split_whitespace();
    let (Some(typ), Some(numbers), Some(access), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(bad());
    };
    let typ = match typ {
        "a" => LinuxDeviceType::A,
        "b" => LinuxDeviceType::B,
        "c" => LinuxDeviceType::C,
        _ => return Err(bad()),
    };
    let (major, minor) = numbers.split_once(':').ok_or_else(bad)?;
    let number = |n: &str| {
        if n == "*" {
            Ok(None)
        } else {
            n.parse::<i64>().map(Some).map_err(|_| bad())
        }
    };
    if access.is_empty() || !access.bytes().all(|b| b"rwm".contains(&b)) {
        return Err(bad());
    }
    let mut builder = LinuxDeviceCgroupBuilder::default()
        .allow(true)
        .typ(typ)
        .access(access.to_owned());
    if let Some(major) = number(major)? {
        builder = builder.major(major);
    }
    if let Some(minor) = number(minor)? {
        builder = builder.minor(minor);
    }
    builder.build().map_err(super::spec_error)
}
