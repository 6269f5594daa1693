//! A container's record → the OCI runtime spec it is executed with. Pure but for looking devices up.
//!
//! Source: runtime-spec `config.md` and `config-linux.md`; moby `oci/defaults.go`, `daemon/oci_linux.go`.

mod capabilities;
mod devices;
mod mounts;
mod resources;
mod security;
#[cfg(test)]
pub(crate) mod tests;

pub use resources::linux_resources;
pub use security::{Seccomp, Security, apparmor_enabled, embed_profiles, selinux_enabled};

use crate::cdi::Edits;
use crate::container::record::ContainerRecord;
use crate::error::{Error, Result};
use model::container::{ContainerSpec, NamespaceMode};
use oci_spec::runtime::{
    BoxBuilder, Linux, LinuxIdMapping, LinuxIdMappingBuilder, LinuxNamespace,
    LinuxNamespaceBuilder, LinuxNamespaceType, PosixRlimit, PosixRlimitBuilder, PosixRlimitType,
    Process, ProcessBuilder, Root, Spec, SpecBuilder, UserBuilder,
};
use std::collections::HashMap;
use std::path::PathBuf;

/// Where one namespace comes from, container names resolved to processes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Source {
    #[default]
    New,
    Host,
    /// The namespace of this process.
    Process(i32),
    /// A new one that is already there.
    Path(PathBuf),
}

/// Where a volume's data lies, and what its own options say of every mount of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VolumeSource {
    pub directory: PathBuf,
    /// `ro`, `nosuid` and the like.
    pub flags: Vec<String>,
    /// It is mounted for the container; the directory only stands for it.
    pub is_filesystem: bool,
}

/// What the record does not know: paths of this run, and whose namespaces are joined.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    pub hostname_file: PathBuf,
    /// Where the container's files that are handed over by content lie, each by its number.
    pub contents: PathBuf,
    pub hosts_file: PathBuf,
    pub resolv_file: PathBuf,
    /// By the volume's name.
    pub volumes: HashMap<String, VolumeSource>,
    pub network: Source,
    pub pid: Source,
    pub ipc: Source,
    pub uts: Source,
    pub cgroup: Source,
    pub size: Option<(u16, u16)>,
    /// What devices asked for by name bring along.
    pub edits: Edits,
    /// What links tell of other containers, below the container's own variables.
    pub linked: Vec<String>,
}

/// Refuses what no container can be started with, before one is made.
pub fn check(spec: &ContainerSpec) -> Result<()> {
    Security::parse(spec)?.check_host()?;
    capabilities::sets(spec)?;
    resources::linux_resources(spec, &[])?;
    rlimits(spec)?;
    for device in &spec.devices {
        devices::check(device)?;
    }
    devices::rules(&spec.device_cgroup_rules)?;
    check_sysctls(spec)
}

/// Builds the spec.
pub fn build(record: &ContainerRecord, facts: &Facts) -> Result<Spec> {
    let spec = &record.spec;
    let security = Security::parse(spec)?;
    let root = Root::default();
    let mut root = root;
    root.set_path(PathBuf::from("rootfs"))
        .set_readonly(Some(spec.read_only));
    let mut built = SpecBuilder::default()
        .version("1.2.0")
        .root(root)
        .process(process(record, facts, &security)?)
        .hostname(record.hostname.clone())
        .mounts(mounts::list(record, facts, &security)?)
        .linux(linux(record, facts, &security)?)
        .build()
        .map_err(spec_error)?;
    if let Some(domain) = &spec.domainname {
        built.set_domainname(Some(domain.clone()));
    }
    if !spec.annotations.is_empty() {
        built.set_annotations(Some(spec.annotations.clone().into_iter().collect()));
    }
    if !facts.edits.is_empty() {
        facts.edits.apply(&mut built);
    }
    Ok(built)
}

pub(crate) fn spec_error(error: oci_spec::OciSpecError) -> Error {
    Error::invalid("runtime spec", error.to_string())
}

fn process(record: &ContainerRecord, facts: &Facts, security: &Security) -> Result<Process> {
    let spec = &record.spec;
    let mut process = ProcessBuilder::default()
        .terminal(spec.tty)
        // Resolved from the user's name inside the container; see `runtime`.
        .user(
            UserBuilder::default()
                .uid(0u32)
                .gid(0u32)
                .build()
                .map_err(spec_error)?,
        )
        .args(record.process.args())
        .env(environment(record, &facts.linked))
        .cwd(record.process.working_dir.clone())
        .capabilities(capabilities::sets(spec)?)
        .rlimits(rlimits(spec)?)
        .no_new_privileges(security.no_new_privileges)
        .build()
        .map_err(spec_error)?;
    process.set_oom_score_adj(spec.oom_score_adj);
    if let Some(profile) = &security.apparmor {
        process.set_apparmor_profile(Some(profile.clone()));
    }
    if let Some((label, _)) = security.contexts() {
        process.set_selinux_label(Some(label));
    }
    if let Some((rows, columns)) = facts.size {
        let size = BoxBuilder::default()
            .height(rows)
            .width(columns)
            .build()
            .map_err(spec_error)?;
        process.set_console_size(Some(size));
    }
    Ok(process)
}

/// The process of an `exec`: the container's own settings with what the caller says over them.
pub(crate) fn exec_process(
    record: &ContainerRecord,
    exec: &crate::container::exec::ExecSpec,
    linked: Vec<String>,
) -> Result<Process> {
    let mut spec = record.spec.clone();
    spec.privileged |= exec.privileged;
    spec.tty = exec.terminal.is_some();
    let mut as_executed = ContainerRecord {
        spec,
        ..record.clone()
    };
    as_executed.process.env =
        crate::container::resolve::environment(&exec.env, &record.process.env);
    let security = Security::parse(&as_executed.spec)?;
    let facts = Facts {
        size: exec.terminal,
        linked,
        ..Facts::default()
    };
    let mut process = process(&as_executed, &facts, &security)?;
    process.set_args(Some(exec.args.clone()));
    if let Some(directory) = &exec.working_dir {
        process.set_cwd(PathBuf::from(directory));
    }
    Ok(process)
}

/// The system call filter of an `exec`.
pub(crate) enum Filter {
    Default,
    None,
    Program(sys::seccomp::Program),
}

pub(crate) fn exec_filter(
    record: &ContainerRecord,
    exec: &crate::container::exec::ExecSpec,
) -> Result<Filter> {
    let mut spec = record.spec.clone();
    spec.privileged |= exec.privileged;
    let security = Security::parse(&spec)?;
    match security.seccomp {
        Seccomp::Default => Ok(Filter::Default),
        Seccomp::Unconfined => Ok(Filter::None),
        Seccomp::Profile(_) | Seccomp::File(_) => match security.own_profile(&spec)? {
            Some(profile) => Ok(Filter::Program(runtime::seccomp::compile(&profile)?)),
            None => Ok(Filter::None),
        },
    }
}

/// The container's variables as Docker sets them: PATH, HOSTNAME, TERM and what is `linked` below the image's and the user's. HOME
/// is added by the runtime, which knows the user.
pub fn environment(record: &ContainerRecord, linked: &[String]) -> Vec<String> {
    let given = &record.process.env;
    let key = |entry: &str| entry.split('=').next().unwrap_or_default().to_owned();
    let has = |wanted: &str| given.iter().any(|e| key(e) == wanted);
    let mut env = Vec::with_capacity(given.len() + 2);
    if !has("HOSTNAME") {
        env.push(format!("HOSTNAME={}", record.hostname));
    }
    if record.spec.tty && !has("TERM") {
        env.push("TERM=xterm".to_owned());
    }
    env.extend(linked.iter().filter(|e| !has(&key(e))).cloned());
    env.extend(given.iter().cloned());
    env
}

fn linux(record: &ContainerRecord, facts: &Facts, security: &Security) -> Result<Linux> {
    let spec = &record.spec;
    let devices = devices::nodes(spec)?;
    let mut rules = devices::node_rules(spec, &devices);
    rules.extend(devices::rules(&spec.device_cgroup_rules)?);
    let mut linux = Linux::default();
    linux
        .set_namespaces(Some(namespaces(record, facts)?))
        .set_resources(Some(resources::linux_resources(spec, &rules)?))
        .set_devices(Some(devices))
        .set_sysctl(Some(sysctls(record, facts)))
        .set_masked_paths(Some(security.masked_paths()))
        .set_readonly_paths(Some(security.readonly_paths()))
        .set_seccomp(security.own_profile(spec)?);
    if let Some(ids) = &record.userns {
        linux
            .set_uid_mappings(Some(vec![id_mapping(ids.uid, ids.size)?]))
            .set_gid_mappings(Some(vec![id_mapping(ids.gid, ids.size)?]));
    }
    if let Some((_, files)) = security.contexts() {
        linux.set_mount_label(Some(files));
    }
    Ok(linux)
}

fn id_mapping(outside: u32, size: u32) -> Result<LinuxIdMapping> {
    LinuxIdMappingBuilder::default()
        .container_id(0u32)
        .host_id(outside)
        .size(size)
        .build()
        .map_err(spec_error)
}

fn namespaces(record: &ContainerRecord, facts: &Facts) -> Result<Vec<LinuxNamespace>> {
    let sources = [
        (LinuxNamespaceType::Pid, &facts.pid, "pid"),
        (LinuxNamespaceType::Ipc, &facts.ipc, "ipc"),
        (LinuxNamespaceType::Uts, &facts.uts, "uts"),
        (LinuxNamespaceType::Network, &facts.network, "net"),
        (LinuxNamespaceType::Cgroup, &facts.cgroup, "cgroup"),
    ];
    let mount = LinuxNamespaceBuilder::default()
        .typ(LinuxNamespaceType::Mount)
        .build()
        .map_err(spec_error)?;
    let mut list = vec![mount];
    if record.userns.is_some() {
        let user = LinuxNamespaceBuilder::default()
            .typ(LinuxNamespaceType::User)
            .build();
        list.push(user.map_err(spec_error)?);
    }
    for (kind, source, name) in sources {
        let builder = LinuxNamespaceBuilder::default().typ(kind);
        let built = match source {
            Source::New => builder.build(),
            Source::Path(path) => builder.path(path).build(),
            Source::Process(pid) => builder.path(format!("/proc/{pid}/ns/{name}")).build(),
            Source::Host => continue,
        };
        list.push(built.map_err(spec_error)?);
    }
    Ok(list)
}

/// Sysctls that belong to a namespace the container has for itself; others would change the host.
fn check_sysctls(spec: &ContainerSpec) -> Result<()> {
    use model::network::NetworkMode;
    for key in spec.sysctls.keys() {
        let net = key.starts_with("net.");
        let ipc = key.starts_with("fs.mqueue.")
            || matches!(
                key.as_str(),
                "kernel.msgmax"
                    | "kernel.msgmnb"
                    | "kernel.msgmni"
                    | "kernel.sem"
                    | "kernel.shmall"
                    | "kernel.shmmax"
                    | "kernel.shmmni"
                    | "kernel.shm_rmid_forced"
            );
        let uts = key == "kernel.domainname";
        let refused = |cause: &str| Err(Error::invalid(format!("invalid sysctl {key}"), cause));
        if net && spec.network_mode == NetworkMode::Host {
            return refused("not allowed in the host's network namespace");
        }
        if ipc && spec.ipc_mode == NamespaceMode::Host {
            return refused("not allowed in the host's ipc namespace");
        }
        if uts && spec.uts_mode == NamespaceMode::Host {
            return refused("not allowed in the host's uts namespace");
        }
        if key == "kernel.hostname" {
            return refused("set the name with --hostname");
        }
        if !net && !ipc && !uts {
            return refused("it is not namespaced: it would change the host; set it there");
        }
    }
    Ok(())
}

fn sysctls(record: &ContainerRecord, facts: &Facts) -> HashMap<String, String> {
    let mut sysctls: HashMap<String, String> = record.spec.sysctls.clone().into_iter().collect();
    // Groups that do not exist in the container's user namespace cannot be named.
    let last = record.userns.map_or(2_147_483_647, |ids| ids.size - 1);
    if matches!(facts.network, Source::New | Source::Path(_)) {
        // As Docker: ports below 1024 and ping need no capability in a network namespace of one's own.
        for (key, value) in [
            ("net.ipv4.ip_unprivileged_port_start", "0".to_owned()),
            ("net.ipv4.ping_group_range", format!("0 {last}")),
        ] {
            sysctls.entry(key.to_owned()).or_insert(value);
        }
    }
    sysctls
}

pub(crate) fn rlimits(spec: &ContainerSpec) -> Result<Vec<PosixRlimit>> {
    spec.ulimits.iter().map(rlimit).collect()
}

fn rlimit(limit: &model::limits::Ulimit) -> Result<PosixRlimit> {
    let kind = match limit.name.as_str() {
        "core" => PosixRlimitType::RlimitCore,
        "cpu" => PosixRlimitType::RlimitCpu,
        "data" => PosixRlimitType::RlimitData,
        "fsize" => PosixRlimitType::RlimitFsize,
        "locks" => PosixRlimitType::RlimitLocks,
        "memlock" => PosixRlimitType::RlimitMemlock,
        "msgqueue" => PosixRlimitType::RlimitMsgqueue,
        "nice" => PosixRlimitType::RlimitNice,
        "nofile" => PosixRlimitType::RlimitNofile,
        "nproc" => PosixRlimitType::RlimitNproc,
        "rss" => PosixRlimitType::RlimitRss,
        "rtprio" => PosixRlimitType::RlimitRtprio,
        "rttime" => PosixRlimitType::RlimitRttime,
        "sigpending" => PosixRlimitType::RlimitSigpending,
        "stack" => PosixRlimitType::RlimitStack,
        "as" => PosixRlimitType::RlimitAs,
        other => {
            return Err(Error::invalid(
                format!("invalid ulimit type: {other}"),
                "see setrlimit(2) for the names",
            ));
        }
    };
    let value = |v: i64| u64::try_from(v).unwrap_or(u64::MAX);
    PosixRlimitBuilder::default()
        .typ(kind)
        .soft(value(limit.soft))
        .hard(value(limit.hard))
        .build()
        .map_err(spec_error)
}
