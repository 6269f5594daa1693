//! What a container has unless asked otherwise: Docker's mounts, masks, namespaces and capabilities as parts of an OCI spec.
//!
//! Source: moby's `oci/defaults.go`; runtime-spec `config-linux.md`.

use oci_spec::runtime::{Capability, LinuxNamespace, LinuxNamespaceType, Mount, MountBuilder};

/// Docker's default capabilities.
pub const CAPABILITIES: [Capability; 14] = [
    Capability::Chown,
    Capability::DacOverride,
    Capability::Fsetid,
    Capability::Fowner,
    Capability::Mknod,
    Capability::NetRaw,
    Capability::Setgid,
    Capability::Setuid,
    Capability::Setfcap,
    Capability::Setpcap,
    Capability::NetBindService,
    Capability::SysChroot,
    Capability::Kill,
    Capability::AuditWrite,
];

/// Paths covered in every container that is not privileged.
pub const MASKED_PATHS: [&str; 13] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
    // Thermal throttling counters tell what the neighbours compute (moby's GHSA-6fw5-f8r9-fgfm).
    "/sys/devices/system/cpu/cpu0/thermal_throttle",
];

/// Paths made read-only in every container that is not privileged.
pub const READONLY_PATHS: [&str; 5] = [
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

/// All namespaces new, the network's included.
pub fn namespaces() -> Vec<LinuxNamespace> {
    use LinuxNamespaceType::{Cgroup, Ipc, Mount, Network, Pid, Uts};
    [Mount, Uts, Ipc, Pid, Network, Cgroup]
        .map(namespace)
        .into()
}

/// A new namespace of one type.
pub fn namespace(typ: LinuxNamespaceType) -> LinuxNamespace {
    let mut namespace = LinuxNamespace::default();
    namespace.set_typ(typ);
    namespace
}

/// /proc, /dev and below, /sys: the mounts before those of the user, in the order they must have.
pub fn mounts(shm_size: u64) -> Vec<Mount> {
    let shm = format!("size={shm_size}");
    vec![
        mount("/proc", "proc", &["nosuid", "noexec", "nodev"]),
        mount(
            "/dev",
            "tmpfs",
            &["nosuid", "strictatime", "mode=755", "size=65536k"],
        ),
        mount(
            "/dev/pts",
            "devpts",
            &[
                "nosuid",
                "noexec",
                "newinstance",
                "ptmxmode=0666",
                "mode=0620",
                "gid=5",
            ],
        ),
        mount("/sys", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
        mount(
            "/sys/fs/cgroup",
            "cgroup",
            &["nosuid", "noexec", "nodev", "ro"],
        ),
        mount("/dev/mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        mount(
            "/dev/shm",
            "tmpfs",
            &["nosuid", "noexec", "nodev", "mode=1777", &shm],
        ),
    ]
}

/// One mount of a kernel file system.
pub fn mount(target: &str, kind: &str, options: &[&str]) -> Mount {
    let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
    let mut mount = Mount::default();
    mount
        .set_destination(target.into())
        .set_typ(Some(kind.to_owned()))
        .set_source(Some(kind.into()))
        .set_options(Some(options));
    mount
}

/// A bind mount of a host path; `options` are beside `rbind`.
pub fn bind(source: &std::path::Path, target: &str, options: &[&str]) -> Mount {
    let options: Vec<String> = ["rbind"]
        .iter()
        .chain(options)
        .map(|option| (*option).to_owned())
        .collect();
    let build = MountBuilder::default()
        .destination(target)
        .typ("bind")
        .source(source)
        .options(options)
        .build();
    build.unwrap_or_default()
}
