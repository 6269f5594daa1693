//! The caller's side of a container's birth: clone init, let it work, open the barrier, learn how it went.

use crate::error::Error;
use crate::hooks::{HookKind, State};
use crate::init;
use crate::protocol::{self, FromInit};
use crate::request::{Netns, Request};
use oci_spec::runtime::{Hooks, LinuxNamespace, LinuxNamespaceType};
use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use sys::namespace::flags;
use sys::process::{Child, Cloned, ExitStatus, PidfdNamespace};

/// Init is building its root. Dropping this ends it.
#[derive(Debug)]
pub struct Pending {
    /// `None` once the process has become the caller's.
    child: Option<Child>,
    pid: i32,
    socket: Option<OwnedFd>,
    /// What init has said so far.
    heard: Heard,
    /// The hooks that are the caller's to run while init waits.
    hooks: Option<Box<(Hooks, State)>>,
}

/// The messages of init that are not its last.
#[derive(Debug, Default)]
struct Heard {
    ready: bool,
    executing: bool,
    terminal: Option<OwnedFd>,
}

/// How far init is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Underway,
    Executed,
}

/// A process that executes what was asked for, or waits at its gate to do so.
#[derive(Debug)]
pub struct Started {
    pub pid: i32,
    /// Clock ticks after boot: what makes the pid believable later.
    pub start_time: u64,
    pub pidfd: OwnedFd,
    /// The master of the terminal, when one was asked for.
    pub terminal: Option<OwnedFd>,
}

/// Namespaces of a spec, sorted by what has to be done about them.
#[derive(Debug, Default)]
pub(crate) struct Namespaces {
    /// Made by clone.
    pub(crate) new: u64,
    /// Made by init itself.
    pub(crate) new_cgroup: bool,
    /// Entered by init.
    pub(crate) join: Vec<(u64, &'static str, OwnedFd)>,
    /// Entered by the caller for its children, because a process cannot change its own pid namespace.
    pub(crate) join_pid: Option<OwnedFd>,
}

fn bit(kind: LinuxNamespaceType) -> (u64, &'static str) {
    match kind {
        LinuxNamespaceType::Mount => (flags::NEWNS, "mount"),
        LinuxNamespaceType::Cgroup => (flags::NEWCGROUP, "cgroup"),
        LinuxNamespaceType::Uts => (flags::NEWUTS, "uts"),
        LinuxNamespaceType::Ipc => (flags::NEWIPC, "ipc"),
        LinuxNamespaceType::User => (flags::NEWUSER, "user"),
        LinuxNamespaceType::Pid => (flags::NEWPID, "pid"),
        LinuxNamespaceType::Network => (flags::NEWNET, "network"),
        LinuxNamespaceType::Time => (flags::NEWTIME, "time"),
    }
}

impl Namespaces {
    pub(crate) fn of(list: &[LinuxNamespace], netns: Netns<'_>) -> Result<Self, Error> {
        // Always its own mount namespace: everything below is mounted there and must not show on the host.
        let mut sorted = Self {
            new: flags::NEWNS,
            ..Self::default()
        };
        for namespace in list {
            let (flag, kind) = bit(namespace.typ());
            match (namespace.typ(), namespace.path()) {
                (LinuxNamespaceType::User, _) => return Err(Error::UserNamespace),
                (LinuxNamespaceType::Network, _) if !matches!(netns, Netns::Spec) => {}
                (LinuxNamespaceType::Pid, Some(path)) => sorted.join_pid = Some(open(kind, path)?),
                (_, Some(path)) => sorted.join.push((flag, kind, open(kind, path)?)),
                // A cgroup namespace is rooted where its maker is: init makes it after it has joined its group.
                (LinuxNamespaceType::Cgroup, None) => sorted.new_cgroup = true,
                (_, None) => sorted.new |= flag,
            }
        }
        if let Netns::Existing(fd) = netns {
            let source = |source| Error::OpenNamespace {
                kind: "network",
                path: "(by descriptor)".into(),
                source,
            };
            let fd = rustix::io::fcntl_dupfd_cloexec(fd, 0).map_err(|e| source(e.into()))?;
            sorted.join.push((flags::NEWNET, "network", fd));
        }
        Ok(sorted)
    }
}

fn open(kind: &'static str, path: &Path) -> Result<OwnedFd, Error> {
    use rustix::fs::{Mode, OFlags};
    rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(|e| {
        Error::OpenNamespace {
            kind,
            path: path.to_owned(),
            source: e.into(),
        }
    })
}

/// Clones init and returns while it builds the container's root.
pub fn spawn(request: &Request<'_>) -> Result<Pending, Error> {
    let empty = Vec::new();
    let list = request
        .spec
        .linux()
        .as_ref()
        .and_then(|linux| linux.namespaces().as_ref())
        .unwrap_or(&empty);
    let namespaces = Namespaces::of(list, request.netns)?;
    let filter = crate::seccomp::for_request(request)?;
    let (ours, theirs) = sys::socket::seqpacket_pair().map_err(Error::Socket)?;
    let cgroup = request.cgroup.and_then(|cgroup| cgroup.v2_fd());
    let cloned = clone_beside(
        namespaces.join_pid.as_ref().map(AsFd::as_fd),
        namespaces.new,
        cgroup,
    )?;
    match cloned {
        Cloned::Parent(child) => {
            let mut pending = Pending::new(child, ours);
            pending.hooks = init::hooks::for_caller(request)
                .map(|(hooks, state)| Box::new((hooks.clone(), state.clone())));
            Ok(pending)
        }
        Cloned::Child(alone) => {
            drop(ours);
            init::run(&init::Context {
                request,
                namespaces: &namespaces,
                filter: filter.as_ref(),
                socket: &theirs,
                alone,
                started: Cell::new(false),
            })
        }
    }
}

/// Clones, with the child born into another pid namespace if one is given.
pub(crate) fn clone_beside(
    pid_namespace: Option<BorrowedFd<'_>>,
    new: u64,
    cgroup: Option<BorrowedFd<'_>>,
) -> Result<Cloned, Error> {
    let clone = || {
        sys::process::clone_single_threaded(new, cgroup).map_err(|e| match e.raw_os_error() {
            Some(16) if sys::process::thread_count().is_ok_and(|count| count > 1) => Error::Threads,
            _ => Error::Clone(e),
        })
    };
    let Some(target) = pid_namespace else {
        return clone();
    };
    let own = sys::namespace::open_own("pid").map_err(Error::JoinPidNamespace)?;
    // Before execve the child holds our memory and descriptors: processes in its pid namespace must not trace it
    // (CVE-2016-9962). The flag is inherited; execve gives the new program its own.
    sys::process::set_dumpable(false).map_err(Error::Clone)?;
    sys::namespace::enter(target, flags::NEWPID).map_err(Error::JoinPidNamespace)?;
    let cloned = clone();
    if matches!(cloned, Ok(Cloned::Child(_))) {
        return cloned;
    }
    sys::namespace::enter(own, flags::NEWPID).map_err(Error::JoinPidNamespace)?;
    sys::process::set_dumpable(true).map_err(Error::Clone)?;
    cloned
}

impl Pending {
    pub(crate) fn new(child: Child, socket: OwnedFd) -> Self {
        Self {
            pid: child.pid,
            child: Some(child),
            socket: Some(socket),
            heard: Heard::default(),
            hooks: None,
        }
    }

    pub fn pid(&self) -> i32 {
        self.pid
    }

    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.child().pidfd.as_fd()
    }

    /// The network namespace of init, which exists from the clone on.
    pub fn netns(&self) -> io::Result<OwnedFd> {
        match sys::process::pidfd_namespace(self.pidfd(), PidfdNamespace::Net) {
            Ok(fd) => Ok(fd),
            // Before Linux 6.11. The pid cannot be another's: it is our child and we have not reaped it.
            Err(_) => sys::namespace::open(self.pid, "net"),
        }
    }

    /// The mount namespace: who holds it keeps the mounts over the death of the last process.
    pub fn mount_namespace(&self) -> io::Result<OwnedFd> {
        match sys::process::pidfd_namespace(self.pidfd(), PidfdNamespace::Mount) {
            Ok(fd) => Ok(fd),
            Err(_) => sys::namespace::open(self.pid, "mnt"),
        }
    }

    /// Hands over the namespace of [`Netns::Deferred`]. Init waits for it before it mounts sysfs.
    pub fn give_netns(&self, netns: BorrowedFd<'_>) -> Result<(), Error> {
        match protocol::send_netns(self.socket(), netns) {
            // Init has failed already; `start` will say why.
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other.map_err(Error::Socket),
        }
    }

    /// Opens the barrier and waits until the command executes.
    pub fn start(mut self) -> Result<Started, Error> {
        self.open_barrier()?;
        while self.listen()? != Progress::Executed {}
        self.hand_over()
    }

    /// Waits until the container's root is built: what remains is the start.
    pub fn built(&mut self) -> Result<(), Error> {
        while !self.heard.ready {
            self.listen()?;
        }
        Ok(())
    }

    /// Lets init wait at its [`crate::Gate::Listener`]; from now on it outlives the caller. Call [`Self::built`] before.
    pub fn leave(mut self) -> Result<Started, Error> {
        self.built()?;
        self.open_barrier()?;
        self.hand_over()
    }

    fn open_barrier(&self) -> Result<(), Error> {
        match protocol::send_start(self.socket()) {
            // Init has failed already; its message waits in the socket.
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other.map_err(Error::Socket),
        }
    }

    fn hand_over(mut self) -> Result<Started, Error> {
        let start_time = sys::process::start_time(self.pid).map_err(|source| Error::StartTime {
            pid: self.pid,
            source,
        })?;
        let child = self.child.take().ok_or(Error::Protocol)?;
        Ok(Started {
            pid: child.pid,
            start_time,
            pidfd: child.pidfd,
            terminal: self.heard.terminal.take(),
        })
    }

    /// Reads init's next message.
    fn listen(&mut self) -> Result<Progress, Error> {
        match protocol::receive_from_init(self.socket())
            .map_err(Error::Socket)?
            .ok_or(Error::Protocol)?
        {
            FromInit::Mounted => self.run_hooks()?,
            FromInit::Terminal(master) => self.heard.terminal = Some(master),
            FromInit::Ready => self.heard.ready = true,
            FromInit::Executing => self.heard.executing = true,
            FromInit::Failed(error) => return Err(Error::Init(error)),
            FromInit::Closed if self.heard.executing => return Ok(Progress::Executed),
            FromInit::Closed => return Err(self.silent_death()),
        }
        Ok(Progress::Underway)
    }

    /// What [`FromInit::Mounted`] asks for: the hooks in the runtime's namespaces, while init waits.
    fn run_hooks(&self) -> Result<(), Error> {
        let (hooks, state) = self.hooks.as_deref().ok_or(Error::Protocol)?;
        let mut state = state.clone();
        state.set_pid(Some(self.pid));
        for kind in [HookKind::Prestart, HookKind::CreateRuntime] {
            crate::hooks::run(kind, hooks, &state)?;
        }
        match protocol::send_hooked(self.socket()) {
            // Init has failed meanwhile; its message waits in the socket.
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other.map_err(Error::Socket),
        }
    }

    /// The socket closed without a word: say what became of the process.
    fn silent_death(&self) -> Error {
        match sys::process::wait(self.pidfd()) {
            Ok(ExitStatus::Signal(signal)) => Error::KilledBySignal { signal },
            Ok(ExitStatus::Code(code)) => Error::Ended { code },
            Err(e) => Error::Gone(e),
        }
    }

    #[allow(
        clippy::expect_used,
        reason = "taken only by start(), which consumes self"
    )]
    fn child(&self) -> &Child {
        self.child
            .as_ref()
            .expect("the child is ours until the start")
    }

    #[allow(clippy::expect_used, reason = "taken only by drop()")]
    fn socket(&self) -> &OwnedFd {
        self.socket
            .as_ref()
            .expect("the socket is open until the end")
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.socket = None;
        if let Some(child) = &self.child {
            // Nobody will start it any more. It may have ended by itself, or been reaped by `silent_death`.
            let _ = sys::process::pidfd_send_signal(&child.pidfd, 9);
            let _ = sys::process::wait(&child.pidfd);
        }
    }
}
