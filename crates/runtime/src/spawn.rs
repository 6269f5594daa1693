//! The caller's side of a container's birth: clone init, let it work, open the barrier, learn how it went.

use crate::error::{Error, InitError, OrInit};
use crate::hooks::{HookKind, State};
use crate::init::mounts::{self, Planned};
use crate::namespaces::{Namespaces, User};
use crate::protocol::{self, FromInit};
use crate::request::{Netns, Request};
use crate::seccomp::{Delivery, Filter};
use crate::{handover, idmap, init, netdev};
use oci_spec::runtime::Hooks;
use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use sys::namespace::flags;
use sys::process::{Alone, Child, Cloned, ExitStatus, PidfdNamespace};

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
    /// What holds a scope of systemd until init is in it.
    anchor: Option<crate::cgroup::Anchor>,
}

/// The messages of init that are not its last.
#[derive(Debug, Default)]
struct Heard {
    ready: bool,
    executing: bool,
    terminal: Option<OwnedFd>,
    delivery: Option<Delivery>,
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

/// Reads a spec as [`spawn`] does, to no other end than that the code for it is in memory when it is needed.
pub fn rehearse(spec: &oci_spec::runtime::Spec) {
    if let Ok(namespaces) = Namespaces::of(spec, Netns::Deferred) {
        let _ = mounts::plan(spec, &namespaces);
    }
    let capabilities = spec.process().as_ref().map(crate::seccomp::effective_of);
    let _ = crate::seccomp::default_program(&capabilities.unwrap_or_default());
}

/// Clones init and returns while it builds the container's root.
pub fn spawn(request: &Request<'_>) -> Result<Pending, Error> {
    let namespaces = Namespaces::of(request.spec, request.netns)?;
    let mut plan = mounts::plan(request.spec, &namespaces)?;
    idmap::make_namespaces(plan.iter_mut().filter_map(Planned::mapping), &namespaces)?;
    let devices = netdev::wanted(request.spec);
    if !devices.is_empty() && !namespaces.has_network() {
        return Err(Error::DevicesWithoutNamespace);
    }
    let filter = crate::seccomp::for_request(request)?;
    let (ours, theirs) = sys::socket::seqpacket_pair().map_err(Error::Socket)?;
    let birth = Birth {
        request,
        namespaces: &namespaces,
        filter: filter.as_ref(),
        socket: &theirs,
    };
    let cloned = if namespaces.need_a_step() {
        birth.by_a_step()?
    } else {
        birth.clone()?
    };
    let child = match cloned {
        Cloned::Parent(child) => child,
        Cloned::Child(alone) => {
            drop(ours);
            birth.become_init(alone, plan)
        }
    };
    drop(theirs);
    let mut pending = if namespaces.need_a_step() {
        Pending::after_a_step(child, ours)?
    } else {
        Pending::new(child, ours)
    };
    pending.hooks = init::hooks::for_caller(request)
        .map(|(hooks, state)| Box::new((hooks.clone(), state.clone())));
    pending.anchor = request.cgroup.and_then(crate::Cgroup::take_anchor);
    handover::give(
        request,
        &namespaces,
        &mut plan,
        pending.child(),
        pending.socket(),
    )?;
    // Last: what fails before has moved nothing.
    if !devices.is_empty() {
        let netns = match namespaces.joined_network() {
            Some(fd) => {
                rustix::io::fcntl_dupfd_cloexec(fd, 0).map_err(|e| Error::Gone(e.into()))?
            }
            None => pending.netns().map_err(Error::Gone)?,
        };
        netdev::give(&devices, netns.as_fd())?;
    }
    Ok(pending)
}

/// What init inherits.
struct Birth<'a> {
    request: &'a Request<'a>,
    namespaces: &'a Namespaces,
    filter: Option<&'a Filter>,
    socket: &'a OwnedFd,
}

impl Birth<'_> {
    fn clone(&self) -> Result<Cloned, Error> {
        self.clone_beside(self.namespaces.new)
    }

    fn clone_beside(&self, new: u64) -> Result<Cloned, Error> {
        let cgroup = self.request.cgroup.and_then(|cgroup| cgroup.v2_fd());
        let pid = self.namespaces.join_pid.as_ref().map(AsFd::as_fd);
        let clone = || clone_beside(pid, new, cgroup);
        match self.namespaces.time_offsets.as_str() {
            "" => clone(),
            offsets => clone_with_offsets(offsets, clone),
        }
    }

    fn become_init(&self, alone: Alone, plan: Vec<Planned>) -> ! {
        init::run(
            &init::Context {
                request: self.request,
                namespaces: self.namespaces,
                joined: self.namespaces.need_a_step(),
                filter: self.filter,
                socket: self.socket,
                alone,
                started: Cell::new(false),
            },
            plan,
        )
    }

    /// A process in between enters what init is to be born into, makes it as our child, and ends. `Child` is init.
    fn by_a_step(&self) -> Result<Cloned, Error> {
        let alone = match self.clone_beside(0)? {
            Cloned::Child(alone) => alone,
            parent => return Ok(parent),
        };
        let error = match self.enter_and_clone(&alone) {
            Ok(None) => return Ok(Cloned::Child(alone)),
            Ok(Some(init)) => {
                // Nobody listens: init, whose socket ends with us too, is told by its end of file.
                let _ = protocol::send_born(self.socket, init.as_fd());
                sys::process::exit_now(0)
            }
            Err(error) => error,
        };
        let _ = protocol::send_failed(self.socket, &error);
        sys::process::exit_now(error.exit_code())
    }

    fn enter_and_clone(&self, alone: &Alone) -> Result<Option<OwnedFd>, InitError> {
        // The host's groups and namespaces while we have the host's rights.
        init::join_cgroup(self.request)?;
        init::join_namespaces(self.namespaces)?;
        init::join_mount(self.namespaces)?;
        if let User::Join(userns) = &self.namespaces.user {
            // Who is in that user namespace already must not trace us while we hold descriptors of the host (CVE-2016-9962).
            sys::process::set_dumpable(false).because(|cause| InitError::Prepare { cause })?;
            sys::namespace::enter(userns, flags::NEWUSER).because(|cause| {
                InitError::JoinNamespace {
                    kind: "user".to_owned(),
                    of: "of the other container".to_owned(),
                    cause,
                }
            })?;
            handover::become_root(self.request.spec.process().as_ref())?;
        }
        alone
            .clone_sibling(self.namespaces.new)
            .because(|cause| InitError::NewNamespace {
                kind: "container's".to_owned(),
                cause,
            })
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

/// Clones, with the child born into a time namespace of its own that has these offsets. It belongs to our user namespace.
fn clone_with_offsets(
    offsets: &str,
    clone: impl FnOnce() -> Result<Cloned, Error>,
) -> Result<Cloned, Error> {
    let own = sys::namespace::open_own("time").map_err(Error::TimeNamespace)?;
    sys::namespace::unshare(flags::NEWTIME).map_err(Error::TimeNamespace)?;
    let proc = sys::path::open_proc().map_err(Error::TimeNamespace)?;
    let file = Path::new("self/timens_offsets");
    let cloned = sys::path::write_proc(proc.as_fd(), file, offsets.as_bytes())
        .map_err(Error::TimeNamespace)
        .and_then(|()| clone());
    if matches!(cloned, Ok(Cloned::Child(_))) {
        return cloned;
    }
    // Our further children have our own time again.
    sys::namespace::enter(own, flags::NEWTIME).map_err(Error::TimeNamespace)?;
    cloned
}

impl Pending {
    /// Init's handle comes from the step in between, which then ends.
    fn after_a_step(step: Child, socket: OwnedFd) -> Result<Self, Error> {
        let step = Self::new(step, socket);
        let born = match protocol::receive_from_init(step.socket()).map_err(Error::Socket)? {
            Some(FromInit::Born(pidfd)) => pidfd,
            Some(FromInit::Failed(error)) => return Err(Error::Init(error)),
            Some(FromInit::Closed) => return Err(step.silent_death()),
            _ => return Err(Error::Protocol),
        };
        let pid = sys::process::pid_of(&born).map_err(Error::Gone)?;
        let child = Child { pid, pidfd: born };
        // The step ends by itself; should it not, it is ended when its `Pending` drops.
        let mut step = step;
        let socket = step.socket.take().ok_or(Error::Protocol)?;
        if let Some(step) = step.child.take() {
            sys::process::wait(&step.pidfd).map_err(Error::Gone)?;
        }
        Ok(Self::new(child, socket))
    }

    pub(crate) fn new(child: Child, socket: OwnedFd) -> Self {
        Self {
            pid: child.pid,
            child: Some(child),
            socket: Some(socket),
            heard: Heard::default(),
            hooks: None,
            anchor: None,
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

    /// Clock ticks after boot: what makes the pid believable later.
    pub fn start_time(&self) -> Result<u64, Error> {
        sys::process::start_time(self.pid).map_err(|source| Error::StartTime {
            pid: self.pid,
            source,
        })
    }

    /// The master of the terminal, once the root is built.
    pub fn take_terminal(&mut self) -> Option<OwnedFd> {
        self.heard.terminal.take()
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
        let start_time = self.start_time()?;
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
            FromInit::Filtering(listener, init) => {
                self.heard.delivery = Some(Delivery::prepare(listener, init)?);
            }
            FromInit::Filtered(number) => self.deliver(number)?,
            FromInit::Born(_) => return Err(Error::Protocol),
            FromInit::Terminal(master) => self.heard.terminal = Some(master),
            FromInit::Ready => {
                self.heard.ready = true;
                self.anchor = None;
            }
            FromInit::Executing => self.heard.executing = true,
            FromInit::Failed(error) => return Err(Error::Init(error)),
            FromInit::Closed if self.heard.executing => return Ok(Progress::Executed),
            FromInit::Closed => return Err(self.silent_death()),
        }
        Ok(Progress::Underway)
    }

    fn deliver(&mut self, number: i32) -> Result<(), Error> {
        let delivery = self.heard.delivery.take().ok_or(Error::Protocol)?;
        delivery.finish(number)?;
        protocol::send_delivered(self.socket()).map_err(Error::Socket)
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
