//! The properties of `linux`: namespaces and what depends on them, devices, policies.
//!
//! Source: runtime-spec `config-linux.md`; set_mempolicy(2), time_namespaces(7), kernel `resctrl.rst`.

use super::{Error, absolute, sysctl};
use oci_spec::runtime::{
    Linux, LinuxDeviceType, LinuxMemoryPolicy, LinuxNamespace, LinuxNamespaceType,
    MemoryPolicyModeType, Spec,
};
use std::path::Component;
use sys::cpuset::Mask;

/// The namespaces of a spec, each type once.
pub(super) struct Namespaces<'a>(&'a [LinuxNamespace]);

impl Namespaces<'_> {
    fn get(&self, kind: LinuxNamespaceType) -> Option<&LinuxNamespace> {
        self.0.iter().find(|namespace| namespace.typ() == kind)
    }

    pub(super) fn has(&self, kind: LinuxNamespaceType) -> bool {
        self.get(kind).is_some()
    }

    /// Whether the container's network is not the one we are in.
    pub(super) fn is_own_network(&self) -> bool {
        let Some(network) = self.get(LinuxNamespaceType::Network) else {
            return false;
        };
        let Some(path) = network.path() else {
            return true;
        };
        let id =
            |path: &std::path::Path| rustix::fs::stat(path).map(|stat| (stat.st_dev, stat.st_ino));
        // One that cannot be looked at cannot be joined either: the join will say so.
        match (id(path), id("/proc/self/ns/net".as_ref())) {
            (Ok(theirs), Ok(ours)) => theirs != ours,
            _ => true,
        }
    }
}

pub(super) fn check(spec: &Spec) -> Result<(), Error> {
    let nothing = Linux::default();
    let linux = spec.linux().as_ref();
    let list = linux.and_then(|linux| linux.namespaces().as_deref());
    let namespaces = Namespaces(list.unwrap_or_default());
    for (at, namespace) in namespaces.0.iter().enumerate() {
        let before = &namespaces.0[..at];
        if before.iter().any(|other| other.typ() == namespace.typ()) {
            return Err(Error::TwoNamespaces(name(namespace.typ())));
        }
        if let Some(path) = namespace.path() {
            absolute(path, || format!("linux.namespaces[{at}].path"))?;
        }
    }
    let names = [
        ("hostname", spec.hostname()),
        ("domainname", spec.domainname()),
    ];
    for (property, value) in names {
        if value.as_ref().is_some_and(|value| !value.is_empty()) {
            need(&namespaces, LinuxNamespaceType::Uts, property)?;
        }
    }
    let linux = match linux {
        Some(linux) => linux,
        None => return mappings(&nothing, &namespaces),
    };
    mappings(linux, &namespaces)?;
    time(linux, &namespaces)?;
    for (key, value) in linux.sysctl().iter().flatten() {
        sysctl::check(key, &namespaces)?;
        let domainname = crate::init::sysctl_path(key) == "kernel/domainname";
        // The same name twice is no contradiction.
        let property = spec.domainname().as_ref();
        if domainname && property.is_some_and(|property| property != value) {
            return Err(Error::Sysctl {
                key: key.clone(),
                problem: "is not allowed: the property domainname sets another",
            });
        }
    }
    network_devices(linux, &namespaces)?;
    paths(linux)?;
    policies(linux)
}

fn name(kind: LinuxNamespaceType) -> &'static str {
    match kind {
        LinuxNamespaceType::Mount => "mount",
        LinuxNamespaceType::Cgroup => "cgroup",
        LinuxNamespaceType::Uts => "uts",
        LinuxNamespaceType::Ipc => "ipc",
        LinuxNamespaceType::User => "user",
        LinuxNamespaceType::Pid => "pid",
        LinuxNamespaceType::Network => "network",
        LinuxNamespaceType::Time => "time",
    }
}

fn need(
    namespaces: &Namespaces<'_>,
    kind: LinuxNamespaceType,
    property: &str,
) -> Result<(), Error> {
    if namespaces.has(kind) {
        return Ok(());
    }
    Err(Error::NeedsNamespace {
        property: property.to_owned(),
        namespace: name(kind),
    })
}

fn mappings(linux: &Linux, namespaces: &Namespaces<'_>) -> Result<(), Error> {
    let uid = linux.uid_mappings().as_deref().unwrap_or_default();
    let gid = linux.gid_mappings().as_deref().unwrap_or_default();
    for (property, list) in [("linux.uidMappings", uid), ("linux.gidMappings", gid)] {
        if list.is_empty() {
            continue;
        }
        need(namespaces, LinuxNamespaceType::User, property)?;
        let fits = |first: u32, size: u32| size > 0 && first.checked_add(size - 1).is_some();
        if let Some(wrong) = list
            .iter()
            .find(|map| !fits(map.container_id(), map.size()) || !fits(map.host_id(), map.size()))
        {
            return Err(Error::Range {
                property,
                value: format!(
                    "{}:{}:{}",
                    wrong.container_id(),
                    wrong.host_id(),
                    wrong.size()
                ),
                range: "at least one id, none above 4294967295",
            });
        }
    }
    match namespaces.get(LinuxNamespaceType::User) {
        Some(user) if user.path().is_none() && (uid.is_empty() || gid.is_empty()) => {
            Err(Error::NoMappings)
        }
        _ => Ok(()),
    }
}

fn time(linux: &Linux, namespaces: &Namespaces<'_>) -> Result<(), Error> {
    let Some(offsets) = linux.time_offsets().as_ref().filter(|map| !map.is_empty()) else {
        return Ok(());
    };
    need(namespaces, LinuxNamespaceType::Time, "linux.timeOffsets")?;
    let time = namespaces.get(LinuxNamespaceType::Time);
    if time.is_some_and(|time| time.path().is_some()) {
        return Err(Error::OffsetsOfAnother);
    }
    let unknown = |clock: &&String| !matches!(clock.as_str(), "monotonic" | "boottime");
    match offsets.keys().find(unknown) {
        Some(clock) => Err(Error::Clock(clock.clone())),
        None => Ok(()),
    }
}

fn network_devices(linux: &Linux, namespaces: &Namespaces<'_>) -> Result<(), Error> {
    let Some(devices) = linux.net_devices().as_ref().filter(|map| !map.is_empty()) else {
        return Ok(());
    };
    need(namespaces, LinuxNamespaceType::Network, "linux.netDevices")?;
    for (name, device) in devices {
        let renamed = device.name().iter().filter(|name| !name.is_empty());
        for name in [name].into_iter().chain(renamed) {
            if !is_device_name(name) {
                return Err(Error::DeviceName(name.clone()));
            }
        }
    }
    Ok(())
}

/// As the kernel's `dev_valid_name`.
fn is_device_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..")
        && name.len() < 16
        && !name.contains(|c: char| c == '/' || c == ':' || c.is_ascii_whitespace())
}

fn paths(linux: &Linux) -> Result<(), Error> {
    if let Some(path) = linux.cgroups_path()
        && path.components().any(|part| part == Component::ParentDir)
    {
        return Err(Error::CgroupsPath(path.clone()));
    }
    // Those of readonlyPaths may be relative, to the root: other runtimes take them so.
    for path in linux.masked_paths().iter().flatten() {
        absolute(path.as_ref(), || "linux.maskedPaths".to_owned())?;
    }
    for (at, device) in linux.devices().iter().flatten().enumerate() {
        absolute(device.path(), || format!("linux.devices[{at}].path"))?;
        let numbered = device.typ() != LinuxDeviceType::P;
        if numbered && (device.major() < 0 || device.minor() < 0) {
            return Err(Error::Range {
                property: "linux.devices.major and minor",
                value: format!("{}:{}", device.major(), device.minor()),
                range: "0 and above",
            });
        }
        if device.typ() == LinuxDeviceType::A {
            return Err(Error::Range {
                property: "linux.devices.type",
                value: "a".to_owned(),
                range: "b, c, u or p",
            });
        }
    }
    Ok(())
}

fn policies(linux: &Linux) -> Result<(), Error> {
    const PROPAGATIONS: [&str; 9] = [
        "",
        "shared",
        "slave",
        "private",
        "unbindable",
        "rshared",
        "rslave",
        "rprivate",
        "runbindable",
    ];
    if let Some(propagation) = linux.rootfs_propagation()
        && !PROPAGATIONS.contains(&propagation.as_str())
    {
        return Err(Error::Propagation(propagation.clone()));
    }
    if let Some(personality) = linux.personality()
        && let Some(flag) = personality.flags().iter().flatten().next()
    {
        return Err(Error::PersonalityFlag(flag.clone()));
    }
    if let Some(policy) = linux.memory_policy() {
        memory_policy(policy)?;
    }
    if let Some(rdt) = linux.intel_rdt() {
        if let Some(id) = rdt.clos_id()
            && (matches!(id.as_str(), "." | "..") || (id != "/" && id.contains('/')))
        {
            return Err(Error::ClosId(id.clone()));
        }
        if !sys::lsm::has_resctrl() {
            return Err(Error::NoResctrl);
        }
    }
    if let Some(profile) = linux.seccomp() {
        crate::seccomp::check(profile).map_err(|e| Error::Seccomp(e.to_string()))?;
    }
    Ok(())
}

/// For profiles whose writer wants to hear of a misspelt name; left out, it would stay allowed or forbidden by the default.
pub(super) fn only_known_syscalls(spec: &Spec) -> Result<(), Error> {
    let profile = spec
        .linux()
        .as_ref()
        .and_then(|linux| linux.seccomp().as_ref());
    let rules = profile.and_then(|profile| profile.syscalls().as_deref());
    let mut names = rules
        .unwrap_or_default()
        .iter()
        .flat_map(|rule| rule.names());
    match names.find(|name| !crate::seccomp::is_known(name)) {
        Some(name) => Err(Error::UnknownSyscall(name.clone())),
        None => Ok(()),
    }
}

fn memory_policy(policy: &LinuxMemoryPolicy) -> Result<(), Error> {
    use MemoryPolicyModeType::{MpolDefault, MpolLocal, MpolPreferred};
    let mode = policy.mode();
    let wrong = |problem| {
        Err(Error::MemoryPolicy {
            mode: mode.to_string(),
            problem,
        })
    };
    let nodes = match policy.nodes().as_deref() {
        None | Some("") => 0,
        Some(list) => match Mask::parse(list) {
            Some(mask) => mask.count(),
            None => {
                return Err(Error::List {
                    property: "linux.memoryPolicy.nodes",
                    value: list.to_owned(),
                });
            }
        },
    };
    match mode {
        MpolDefault | MpolLocal if nodes > 0 => wrong("takes no nodes"),
        MpolDefault | MpolLocal | MpolPreferred => Ok(()),
        _ if nodes == 0 => wrong("needs at least one node"),
        _ => Ok(()),
    }
}
