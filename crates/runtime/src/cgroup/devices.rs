//! Which devices a container may use.
//!
//! The rules every container has stand once, in a group beside the containers: on v1 they live in it, on v2 their program is taken
//! from it. A container gets rules of its own only when its spec has others.
//! Source: kernel `cgroup-v1/devices.rst`, `cgroup-v2.rst` "Device controller"; Docker's default rules.

use super::{Cgroup, Error};
use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType, LinuxResources};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use sys::bpf::{DeviceKind, DeviceRule};
use sys::cgroupfs;

/// The name of the group that holds what all containers share.
pub(super) const SHARED: &str = "default-devices";

const READ: u8 = 2;
const WRITE: u8 = 4;
const MKNOD: u8 = 1;
const ALL: u8 = READ | WRITE | MKNOD;

const fn rule(kind: DeviceKind, major: Option<u32>, minor: Option<u32>, access: u8) -> DeviceRule {
    DeviceRule {
        allow: true,
        kind: Some(kind),
        major,
        minor,
        access,
    }
}

/// Docker's: making any node is allowed, using only these.
pub(super) const DEFAULT_RULES: [DeviceRule; 11] = [
    rule(DeviceKind::Char, None, None, MKNOD),
    rule(DeviceKind::Block, None, None, MKNOD),
    rule(DeviceKind::Char, Some(1), Some(3), ALL),
    rule(DeviceKind::Char, Some(1), Some(5), ALL),
    rule(DeviceKind::Char, Some(1), Some(7), ALL),
    rule(DeviceKind::Char, Some(1), Some(8), ALL),
    rule(DeviceKind::Char, Some(1), Some(9), ALL),
    rule(DeviceKind::Char, Some(5), Some(0), ALL),
    rule(DeviceKind::Char, Some(5), Some(1), ALL),
    rule(DeviceKind::Char, Some(5), Some(2), ALL),
    rule(DeviceKind::Char, Some(136), None, ALL),
];

/// Rules of a spec beyond the default ones. An empty list, or the usual "deny all" alone, is the default.
fn own_rules(resources: &LinuxResources) -> Vec<&LinuxDeviceCgroup> {
    let rules = resources.devices().as_deref().unwrap_or_default();
    rules
        .iter()
        .filter(|rule| rule.allow() && !is_default(rule))
        .collect()
}

fn is_default(rule: &LinuxDeviceCgroup) -> bool {
    convert(rule).is_ok_and(|rule| DEFAULT_RULES.contains(&rule))
}

/// Whether the spec asks for more than the default rules, or for less.
pub(super) fn differs(resources: &LinuxResources) -> bool {
    !own_rules(resources).is_empty() || resources.devices().iter().flatten().any(is_partial_deny)
}

/// A "deny" that is not the opening "deny everything".
fn is_partial_deny(rule: &LinuxDeviceCgroup) -> bool {
    !rule.allow() && (rule.major().is_some() || rule.minor().is_some())
}

fn convert(rule: &LinuxDeviceCgroup) -> Result<DeviceRule, Error> {
    let number = |n: Option<i64>| n.filter(|n| *n >= 0).map(|n| n as u32);
    let kind = match rule.typ() {
        None | Some(LinuxDeviceType::A) => None,
        Some(LinuxDeviceType::B) => Some(DeviceKind::Block),
        Some(LinuxDeviceType::C | LinuxDeviceType::U) => Some(DeviceKind::Char),
        Some(other) => {
            return Err(Error::DeviceRule {
                rule: other.as_str().to_owned(),
            });
        }
    };
    let mut access = 0;
    for letter in rule.access().as_deref().unwrap_or("rwm").chars() {
        access |= match letter {
            'r' => READ,
            'w' => WRITE,
            'm' => MKNOD,
            _ => {
                return Err(Error::DeviceRule {
                    rule: rule.access().clone().unwrap_or_default(),
                });
            }
        };
    }
    Ok(DeviceRule {
        allow: rule.allow(),
        kind,
        major: number(rule.major()),
        minor: number(rule.minor()),
        access,
    })
}

/// All rules of a container, in order; the last that matches decides.
fn rules_of(resources: &LinuxResources) -> Result<Vec<DeviceRule>, Error> {
    let mut rules = DEFAULT_RULES.to_vec();
    for rule in resources.devices().iter().flatten() {
        rules.push(convert(rule)?);
    }
    // An opening "deny everything" is where we start anyway; after the default rules it would undo them.
    let opening = |rule: &DeviceRule| {
        !rule.allow && rule.kind.is_none() && rule.major.is_none() && rule.minor.is_none()
    };
    rules.retain(|rule| !opening(rule));
    Ok(rules)
}

/// The rules of an OCI configuration: its own in order, then the default ones, without which no program runs. What is in neither is
/// refused.
fn rules_of_spec(resources: &LinuxResources) -> Result<Vec<DeviceRule>, Error> {
    let own = resources.devices().iter().flatten().map(convert);
    own.chain(DEFAULT_RULES.map(Ok)).collect()
}

pub(super) fn apply(group: &Cgroup, resources: &LinuxResources) -> Result<(), Error> {
    let of_spec = group.place.is_of_spec();
    let rules = || match of_spec {
        true => rules_of_spec(resources),
        false => rules_of(resources),
    };
    if let Some(v1) = group.v1_with("devices") {
        return write_v1(&v1.directory, &v1.path, &rules()?);
    }
    // With a v1 hierarchy and no rules of its own, the parent's hold.
    if group.hierarchies.v1_with("devices").is_some() {
        return Ok(());
    }
    let Some(v2) = &group.v2 else { return Ok(()) };
    if of_spec || differs(resources) {
        let program = sys::bpf::device_program(&rules()?);
        let failed = |source| Error::DeviceProgram {
            path: v2.path.clone(),
            source,
        };
        return sys::bpf::attach_device_program(v2.directory.as_fd(), &program).map_err(failed);
    }
    let Some(mount) = &group.hierarchies.v2 else {
        return Ok(());
    };
    let shared = mount.join(group.place.parent()).join(SHARED);
    attach_default(v2.directory.as_fd(), &shared).map_err(|source| Error::DeviceProgram {
        path: v2.path.clone(),
        source,
    })
}

/// v2: programs of ancestors must all agree, so the parent carries none. The default program is loaded once, kept by an empty
/// group, and attached from there to each container: microseconds in place of a verifier's run.
fn attach_default(group: BorrowedFd<'_>, shared: &Path) -> std::io::Result<()> {
    let (keeper, _) = cgroupfs::make(shared)?;
    if let Ok(Some(program)) = sys::bpf::attached_device_program(keeper.as_fd()) {
        return sys::bpf::attach(group, program.as_fd());
    }
    let program = sys::bpf::load_device_program(&sys::bpf::device_program(&DEFAULT_RULES))?;
    sys::bpf::attach(keeper.as_fd(), program.as_fd())?;
    sys::bpf::attach(group, program.as_fd())
}

/// v1: the group that containers without rules of their own share, below the parent. The parent itself allows everything,
/// because a child may only narrow what its parent has, and `--device` must be able to add.
pub(super) fn shared_v1(parent: &Path) -> Result<OwnedFd, Error> {
    let path = parent.join(SHARED);
    let failed = |source| Error::Make {
        path: path.clone(),
        source,
    };
    let (directory, _) = cgroupfs::make(&path).map_err(failed)?;
    if allows_everything(&directory) {
        // Two first containers at once: one writes, the other waits and sees it done.
        rustix::fs::flock(&directory, rustix::fs::FlockOperation::LockExclusive)
            .map_err(|e| failed(e.into()))?;
        if allows_everything(&directory) {
            write_v1(&directory, &path, &DEFAULT_RULES)?;
        }
        rustix::fs::flock(&directory, rustix::fs::FlockOperation::Unlock)
            .map_err(|e| failed(e.into()))?;
    }
    Ok(directory)
}

fn allows_everything(directory: &OwnedFd) -> bool {
    cgroupfs::read(directory, "devices.list").is_ok_and(|list| list.starts_with("a "))
}

fn write_v1(directory: &OwnedFd, path: &Path, rules: &[DeviceRule]) -> Result<(), Error> {
    let write = |file: &str, value: &str| {
        let failed = |source| Error::Write {
            path: path.join(file),
            value: value.to_owned(),
            source,
        };
        cgroupfs::write(directory, file, value).map_err(failed)
    };
    write("devices.deny", "a")?;
    for rule in rules {
        write(
            if rule.allow {
                "devices.allow"
            } else {
                "devices.deny"
            },
            &line(rule),
        )?;
    }
    Ok(())
}

fn line(rule: &DeviceRule) -> String {
    let kind = match rule.kind {
        // An "a" line takes no numbers.
        None => return "a".to_owned(),
        Some(DeviceKind::Block) => 'b',
        Some(DeviceKind::Char) => 'c',
    };
    let number = |n: Option<u32>| n.map_or("*".to_owned(), |n| n.to_string());
    let access: String = [(READ, 'r'), (WRITE, 'w'), (MKNOD, 'm')]
        .iter()
        .filter(|(bit, _)| rule.access & bit != 0)
        .map(|(_, c)| c)
        .collect();
    format!(
        "{kind} {}:{} {access}",
        number(rule.major),
        number(rule.minor)
    )
}
