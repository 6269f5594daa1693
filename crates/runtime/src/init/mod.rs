//! The container's first process, from its clone to `execve`. The order is the point: each step says why it stands where it does.
//!
//! Init is a copy of the caller with one thread. It builds the root on directory handles before it enters it, tells the caller,
//! waits for the start, gives up its privileges and executes. The first error ends it and crosses the socket.
//! Source: runtime-spec `config.md`, `config-linux.md`, `runtime.md`; runc's `standard_init_linux.go` for what must precede what.

mod attach;
pub(crate) mod birth;
pub(crate) mod copy_up;
pub(crate) mod device;
pub(crate) mod hooks;
pub(crate) mod identity;
mod mask;
pub(crate) mod mounts;
pub(crate) mod options;
mod program;
mod reaper;
pub(crate) mod root;

pub(crate) use device::open_terminal_in_running as terminal_in_running;
pub(crate) use program::own_executable;

use crate::error::{InitError, OrInit};
use crate::gate::{self, LateGate};
use crate::handover::{self, Handed};
use crate::namespaces::{Namespaces, User};
use crate::netdev;
use crate::protocol::{self, ToInit};
use crate::request::{Entry, Gate, Loopback, Netns, Request};
use crate::scheduling;
use crate::seccomp::Filter;
use mounts::Planned;
use std::cell::Cell;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use sys::mount::Propagation;
use sys::namespace::flags;
use sys::path::Missing;

pub(crate) struct Context<'a> {
    pub(crate) request: &'a Request<'a>,
    pub(crate) namespaces: &'a Namespaces,
    /// Cgroup and namespaces of others have been entered by a step in between.
    pub(crate) joined: bool,
    pub(crate) filter: Option<&'a Filter>,
    pub(crate) socket: &'a OwnedFd,
    pub(crate) alone: sys::process::Alone,
    /// Whether the barrier was opened while init waited for something else.
    pub(crate) started: Cell<bool>,
}

impl Context<'_> {
    fn in_user_namespace(&self) -> bool {
        self.namespaces.has_user()
    }
}

/// Runs in the child and never returns: it becomes the command, or reports why not.
pub(crate) fn run(context: &Context<'_>, plan: Vec<Planned>) -> ! {
    let error = match build_and_execute(context, plan) {
        Ok(never) => match never {},
        Err(error) => error,
    };
    // Nobody may listen any more; the exit code says the same in short.
    let _ = protocol::send_failed(context.socket, &error);
    sys::process::exit_now(error.exit_code())
}

fn build_and_execute(
    context: &Context<'_>,
    plan: Vec<Planned>,
) -> Result<std::convert::Infallible, InitError> {
    let built = build(context, plan)?;
    let (late_gate, starter) = wait_at_gate(context)?;
    execute(context, &built, late_gate, starter.as_ref())
}

/// What is left of the building once the container's root is `/`.
struct Built {
    terminal: Option<sys::tty::Pty>,
    cwd: std::path::PathBuf,
    /// The runtime's executable.
    own: Option<OwnedFd>,
}

/// Everything up to the entry into the container's root.
fn build(context: &Context<'_>, mut plan: Vec<Planned>) -> Result<Built, InitError> {
    let request = context.request;
    // A session of its own: no signal of the caller's terminal reaches the container.
    rustix::process::setsid().because(|cause| InitError::Prepare { cause })?;
    if !context.joined {
        join_cgroup(request)?;
        join_namespaces(context.namespaces)?;
    }
    if context.namespaces.new_cgroup {
        // After joining the groups: they become the root of what the container sees.
        sys::namespace::unshare(flags::NEWCGROUP).because(|cause| InitError::NewNamespace {
            kind: "cgroup".to_owned(),
            cause,
        })?;
    }
    // Everything made for the container from here on has the mode it asks for; the command's own umask is set at the end.
    rustix::process::umask(rustix::fs::Mode::empty());

    // The sources of bind mounts are host paths, taken while the host's tree is still in sight and still shared with the
    // host: cloned after the next step, an rshared volume would no longer propagate.
    let handed = take_sources(context, &mut plan)?;
    // From here on nothing mounted reaches the host; slave, so that a disk the host unmounts is not pinned by us.
    sys::mount::set_root_propagation(Propagation::Slave)
        .because(|cause| InitError::Prepare { cause })?;
    let handed = match handed {
        None => Handed::only(root::mount(&request.rootfs, request.spec)?),
        Some(handed) => handed,
    };
    let devices = match &handed.devices {
        Some(made) => Some(device::clone_made(request.spec, made.as_fd())?),
        None => None,
    };
    let Handed { root, volumes, .. } = handed.attach()?;
    // Before the volumes cover it, the image's content goes into those that are new.
    copy_up::run(root.as_fd(), &request.copy_up, &volumes)?;
    drop(volumes);
    if request.launch.loopback == Loopback::Init && context.namespaces.new & flags::NEWNET != 0 {
        netdev::raise_loopback()?;
    }
    let proc = mount_all(context, root.as_fd(), plan)?;
    let terminal = device::populate(root.as_fd(), request, devices)?;
    if let Some(terminal) = &terminal {
        protocol::send_terminal(context.socket, terminal.master.as_fd())
            .because(|cause| InitError::Terminal { cause })?;
    }
    // All mounts are there, the old root still in sight. Before the sysctls: a hook may bring the device one of them is for.
    hooks::before_pivot(context)?;
    write_to_proc(request, proc)?;
    // Made while the root is still writable, as Docker does for WORKDIR.
    let cwd = make_working_directory(request, root.as_fd())?;
    // Masks cover what proc and sysfs brought, so they come after all mounts.
    mask::apply(root.as_fd(), request.spec)?;
    // The last change of the root: every mount point inside it exists by now.
    root::finish(root.as_fd(), request.spec)?;
    set_names(context)?;
    // Opened while the host's tree is still there: compared with what is to be executed (CVE-2019-5736).
    let own = program::own_executable();
    match request.launch.entry {
        Entry::Pivot => sys::mount::pivot_into(root.as_fd()),
        Entry::Move => sys::mount::move_over_root(root.as_fd()),
    }
    .because(|cause| InitError::Pivot { cause })?;
    drop(root);
    root::set_propagation(request.spec)?;
    Ok(Built { terminal, cwd, own })
}

/// Tells that the root is built and waits for the start, unless a filter's listener has to be there first: then the gate is given
/// back, to be waited at later. The descriptor is the starter's connection, where it is not the creator that starts.
fn wait_at_gate<'a>(
    context: &Context<'a>,
) -> Result<(Option<LateGate<'a>>, Option<OwnedFd>), InitError> {
    let request = context.request;
    if matches!(request.launch.gate, Gate::Listener(_)) {
        // Engines tell a command that is missing by an error of `create`.
        program::foresee(request.spec.process().as_ref())?;
    }
    let late_gate = late_gate(context);
    // Whoever starts a container that was only created hears how it went in place of its creator.
    let starter = match (late_gate, request.launch.gate) {
        (Some(_), _) => None,
        (None, gate) => {
            protocol::send_ready(context.socket).because(|cause| InitError::Prepare { cause })?;
            await_start(context)?;
            match gate {
                Gate::Caller => None,
                Gate::Listener(listener) => {
                    Some(gate::await_starter(listener, context.in_user_namespace())?)
                }
            }
        }
    };
    Ok((late_gate, starter))
}

/// From the open gate to `execve`.
fn execute(
    context: &Context<'_>,
    built: &Built,
    late_gate: Option<LateGate<'_>>,
    starter: Option<&OwnedFd>,
) -> Result<std::convert::Infallible, InitError> {
    let request = context.request;
    let process = request
        .spec
        .process()
        .as_ref()
        .ok_or(InitError::NoCommand)?;
    if !context.in_user_namespace() {
        // As late as we have the rights: what runs in real time, or has a deadline, builds no root.
        scheduling::apply(process, 0)?;
    }
    let outcome = birth::execute(&birth::Birth {
        process,
        linux: request.spec.linux().as_ref(),
        limits: request.launch.limits,
        user: request.user.as_ref(),
        stdio: request.stdio,
        terminal: built.terminal.as_ref().map(|pty| pty.slave.as_fd()),
        reaper: request.reaper,
        hooks: hooks::for_start(request),
        filter: context.filter,
        cwd: &built.cwd,
        own: built.own.as_ref().map(AsFd::as_fd),
        socket: starter.unwrap_or(context.socket),
        alone: &context.alone,
        pass_fds: request.launch.pass_fds,
        keyring: request.launch.keyring,
        late_gate,
    });
    if let (Err(error), Some(starter)) = (&outcome, starter) {
        // It may have gone away; the exit code says the same in short.
        let _ = protocol::send_failed(starter, error);
    }
    outcome
}

/// Opens what is of the host. A root is made here only when it cannot be made in the mount namespace that is next.
fn take_sources(context: &Context<'_>, plan: &mut [Planned]) -> Result<Option<Handed>, InitError> {
    if context.namespaces.has_user() {
        return take_over(context, plan).map(Some);
    }
    mounts::open_sources(plan, None, context.request.launch.trees)?;
    if context.namespaces.join_mount.is_none() {
        return Ok(None);
    }
    let root = root::detached(&context.request.rootfs, context.request.spec)?;
    join_mount(context.namespaces)?;
    Ok(Some(Handed::unattached(root)))
}

/// A seccomp listener gets its descriptor from the creator: then the filter must hold before the gate.
fn late_gate<'a>(context: &Context<'a>) -> Option<LateGate<'a>> {
    let Gate::Listener(listener) = context.request.launch.gate else {
        return None;
    };
    context.filter?.listener.as_ref()?;
    Some(LateGate {
        listener,
        in_user_namespace: context.in_user_namespace(),
    })
}

/// In a user namespace: waits for what the caller makes, which comes after the ids.
fn take_over(context: &Context<'_>, plan: &mut [Planned]) -> Result<Handed, InitError> {
    let handed = handover::receive(context.request, plan, context.socket)?;
    // Who joined a user namespace is root of it since then.
    if matches!(context.namespaces.user, User::New(_)) {
        handover::become_root(context.request.spec.process().as_ref())?;
        if context.namespaces.new & flags::NEWPID != 0 {
            // The change of user made us undumpable, and with that our files in /proc the host's. Nobody else is in the pid
            // namespace yet, so nobody could trace us (CVE-2016-9962).
            sys::process::set_dumpable(true).because(|cause| InitError::Prepare { cause })?;
        }
    }
    Ok(handed)
}

/// First of all, so that everything init itself uses is counted, and while this is the only thread: see
/// `join_v1_as_single_thread`. The v2 group was joined by the clone.
pub(crate) fn join_cgroup(request: &Request<'_>) -> Result<(), InitError> {
    let Some(cgroup) = request.cgroup else {
        return Ok(());
    };
    cgroup
        .join_v1_self()
        .because(|cause| InitError::JoinCgroup { cause })
}

pub(crate) fn join_namespaces(namespaces: &Namespaces) -> Result<(), InitError> {
    for (flag, kind, fd) in &namespaces.join {
        let error = |cause| InitError::JoinNamespace {
            kind: (*kind).to_owned(),
            of: "of the other container".to_owned(),
            cause,
        };
        sys::namespace::enter(fd, *flag).because(error)?;
    }
    Ok(())
}

pub(crate) fn join_mount(namespaces: &Namespaces) -> Result<(), InitError> {
    let Some(fd) = &namespaces.join_mount else {
        return Ok(());
    };
    sys::namespace::enter(fd, flags::NEWNS).because(|cause| InitError::JoinNamespace {
        kind: "mount".to_owned(),
        of: "of the other container".to_owned(),
        cause,
    })
}

/// Mounts in the order of the spec; a deferred network namespace is entered before sysfs, whose view of the network is fixed
/// when it is mounted. Gives back the procfs that was mounted at /proc.
fn mount_all(
    context: &Context<'_>,
    root: std::os::fd::BorrowedFd<'_>,
    mut plan: Vec<Planned>,
) -> Result<Option<OwnedFd>, InitError> {
    let request = context.request;
    let mut netns_pending = matches!(request.netns, Netns::Deferred);
    let mut proc = None;
    let mut rest = plan.as_mut_slice();
    while let Some((mount, later)) = rest.split_first_mut() {
        if netns_pending && mount.kind == "sysfs" {
            enter_deferred(context)?;
            netns_pending = false;
        }
        let made = attach::perform(root, mount, later, request)?;
        match made {
            Some(made) if mount.is_proc() => proc = Some(made),
            Some(made) => sys::program::leave_open(made),
            None => {}
        }
        rest = later;
    }
    if netns_pending {
        enter_deferred(context)?;
    }
    Ok(proc)
}

fn enter_deferred(context: &Context<'_>) -> Result<(), InitError> {
    match protocol::receive_in_init(context.socket).because(|cause| InitError::Prepare { cause })? {
        Some(ToInit::Netns(fd)) => {
            sys::namespace::enter(fd, flags::NEWNET).because(|cause| InitError::JoinNamespace {
                kind: "network".to_owned(),
                of: "made by the caller".to_owned(),
                cause,
            })
        }
        _ => Err(InitError::Abandoned),
    }
}

fn await_start(context: &Context<'_>) -> Result<(), InitError> {
    if context.started.get() {
        return Ok(());
    }
    match protocol::receive_in_init(context.socket).because(|cause| InitError::Prepare { cause })? {
        Some(ToInit::Start) => Ok(()),
        _ => Err(InitError::Abandoned),
    }
}

/// Through the procfs that we have mounted ourselves, by its handle: what the container's root has at /proc may be anything. Where
/// there is none, or one that cannot be written, through another, attached nowhere; taking that apart waits for all processors.
/// Before the masks: in a user namespace the kernel allows a procfs only to who sees one whole.
fn write_to_proc(request: &Request<'_>, mounted: Option<OwnedFd>) -> Result<(), InitError> {
    let linux = request.spec.linux().as_ref();
    let sysctls = linux.and_then(|linux| linux.sysctl().as_ref());
    let sysctls = sysctls.filter(|sysctls| !sysctls.is_empty());
    let process = request.spec.process().as_ref();
    let process = process.filter(|process| identity::has_settings(process));
    if sysctls.is_none() && process.is_none() {
        return Ok(());
    }
    // Who has no rights over the pid namespace cannot mount one; the host's is still in sight here.
    let proc = match mounted {
        Some(mounted) => mounted,
        None => sys::mount::new_filesystem("proc", &[], sys::mount::Flags::empty())
            .or_else(|_| sys::path::open_proc())
            .because(|cause| InitError::Prepare { cause })?,
    };
    if let Some(process) = process {
        identity::write_settings(process, proc.as_fd(), request.launch.limits)?;
    }
    for (key, value) in sysctls.into_iter().flatten() {
        let error = |cause| InitError::Sysctl {
            key: key.clone(),
            value: value.clone(),
            cause,
        };
        let path = format!("sys/{}", sysctl_path(key));
        sys::path::write_proc(proc.as_fd(), Path::new(&path), value.as_bytes()).because(error)?;
    }
    Ok(())
}

/// sysctl(8): dots separate, unless the key is written with slashes (names of interfaces may hold dots).
pub(crate) fn sysctl_path(key: &str) -> String {
    match (key.find('.'), key.find('/')) {
        (Some(dot), Some(slash)) if slash < dot => key.to_owned(),
        (None, Some(_)) => key.to_owned(),
        _ => key
            .chars()
            .map(|c| match c {
                '.' => '/',
                '/' => '.',
                c => c,
            })
            .collect(),
    }
}

fn make_working_directory(
    request: &Request<'_>,
    root: std::os::fd::BorrowedFd<'_>,
) -> Result<std::path::PathBuf, InitError> {
    let cwd = request
        .spec
        .process()
        .as_ref()
        .map_or_else(|| "/".into(), |process| process.cwd().clone());
    if cwd != Path::new("/") {
        let error = |cause| InitError::WorkingDirectory {
            path: cwd.display().to_string(),
            cause,
        };
        match sys::path::make_in_root(root, &cwd, Missing::Directory, 0o755) {
            // On a read-only image without the directory, or a magic link: the change of directory will say what is wrong.
            Err(e) if matches!(e.raw_os_error(), Some(30 | 40)) => {}
            other => drop(other.because(error)?),
        }
    }
    Ok(cwd)
}

fn set_names(context: &Context<'_>) -> Result<(), InitError> {
    // Without a namespace of its own, the names are the host's.
    let joined = |(flag, ..): &(u64, &str, OwnedFd)| *flag == flags::NEWUTS;
    let namespaces = context.namespaces;
    if namespaces.new & flags::NEWUTS == 0 && !namespaces.join.iter().any(joined) {
        return Ok(());
    }
    if let Some(name) = context.request.spec.hostname() {
        rustix::system::sethostname(name.as_bytes()).because(|cause| InitError::Hostname {
            name: name.clone(),
            cause,
        })?;
    }
    if let Some(name) = context.request.spec.domainname() {
        rustix::system::setdomainname(name.as_bytes()).because(|cause| InitError::Hostname {
            name: name.clone(),
            cause,
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::sysctl_path;

    #[test]
    fn sysctl_keys() {
        assert_eq!(sysctl_path("net.ipv4.ip_forward"), "net/ipv4/ip_forward");
        assert_eq!(
            sysctl_path("net/ipv4/conf/eth0.1/forwarding"),
            "net/ipv4/conf/eth0.1/forwarding"
        );
        assert_eq!(
            sysctl_path("net.ipv4.conf.eth0/1.forwarding"),
            "net/ipv4/conf/eth0.1/forwarding"
        );
    }
}
