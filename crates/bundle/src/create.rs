//! `create` and `run`: from a bundle to a container, waiting to be started or running.
//!
//! In this order, so that nothing half-made is ever seen as a container: directory (which takes the id), control group, init, record,
//! pid file. What was made is undone when a later step fails; init ends by itself when its maker is gone before the last step.

use crate::config::Bundle;
use crate::container::Container;
use crate::error::{Error, Result};
use crate::hooks;
use crate::notify::{self, Readiness};
use crate::rdt::NewClass;
use crate::record::{self, Group, Manager, Record, Stage};
use crate::root::{Id, Root};
use oci_spec::runtime::{LinuxNamespaceType, Spec};
use runtime::cgroup::Place;
use runtime::hooks::HookKind;
use runtime::{
    Cgroup, Entry, Gate, Keyring, Launch, Limits, Netns, Pending, Reaper, Request, Rootfs, Seccomp,
    Started, Stdio,
};
use state::record::Durability;
use std::borrow::Cow;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};
use sys::lock::DirectoryLock;

/// What a caller chooses beside the bundle.
#[derive(Debug)]
pub struct Wish<'a> {
    pub stdio: Stdio<'a>,
    /// Where the terminal's master is sent.
    pub console_socket: Option<&'a Path>,
    pub pid_file: Option<&'a Path>,
    /// So many descriptors from 3 on are the command's too.
    pub preserve_fds: u32,
    pub entry: Entry,
    pub keyring: Keyring,
    pub manager: Manager,
    /// The socket at which the service we are told systemd that it is ready: see `notify`.
    pub notify: Option<&'a Path>,
}

/// Makes the container; [`crate::start::start`] starts it, from any process.
pub fn create(root: &Root, id: &Id, bundle: &Bundle, wish: &Wish<'_>) -> Result<Container> {
    make(root, id, bundle, wish, |made, state| {
        let handle = made.directory.open()?;
        let gate = runtime::gate::listen(handle.as_fd())
            .map_err(Error::file("make a socket in", &made.directory.path))?;
        let mut pending = made.spawn(Gate::Listener(gate.as_fd()), state)?;
        made.announce(&pending)?;
        pending.built()?;
        if let (Some(socket), Some(master)) = (wish.console_socket, pending.take_terminal()) {
            send_terminal(socket, &master)?;
        }
        made.settle(&pending)?;
        Ok(pending.leave()?)
    })
    .map(|(container, _)| container)
}

/// A container that runs, as a child of the caller.
#[derive(Debug)]
pub struct Running {
    pub container: Container,
    pub process: Started,
    /// Where it will say that it is ready, if anybody wants to know.
    pub readiness: Option<Readiness>,
}

/// Makes the container and starts it at once.
pub fn run(root: &Root, id: &Id, bundle: &Bundle, wish: &Wish<'_>) -> Result<Running> {
    let mut readiness = None;
    let (container, mut process) = make(root, id, bundle, wish, |made, state| {
        if let Some(socket) = wish.notify {
            let handle = made.directory.open()?;
            readiness = Readiness::listen(handle.as_fd(), socket)?;
        }
        let mut pending = made.spawn(Gate::Caller, state)?;
        if made.announce(&pending)? {
            pending.built()?;
        }
        made.settle(&pending)?;
        Ok(pending.start()?)
    })?;
    let mut finish = || {
        if let Some(socket) = wish.console_socket
            && let Some(master) = process.terminal.take()
        {
            send_terminal(socket, &master)?;
        }
        crate::start::started(&container)
    };
    if let Err(error) = finish() {
        // The error at hand is the one to tell; what cannot be removed is still there to be deleted.
        let _ = crate::delete::delete(&container, crate::delete::Force::Yes);
        return Err(error);
    }
    Ok(Running {
        container,
        process,
        readiness,
    })
}

/// What there is before init.
struct Made<'a> {
    directory: NewDirectory,
    cgroup: NewCgroup,
    class: NewClass,
    group: Group,
    bundle: &'a Bundle,
    /// The bundle's, with what the wishes add.
    spec: Cow<'a, Spec>,
    wish: &'a Wish<'a>,
}

/// Makes everything around init, and undoes it when that does not become a container.
fn make(
    root: &Root,
    id: &Id,
    bundle: &Bundle,
    wish: &Wish<'_>,
    give_birth: impl FnOnce(&Made<'_>, Option<&runtime::hooks::State>) -> Result<Started>,
) -> Result<(Container, Started)> {
    let group = Group {
        path: cgroups_path(&bundle.spec),
        manager: wish.manager,
    };
    let place = group.place(id.as_str())?;
    let directory = NewDirectory::make(root, id)?;
    let mut spec = Cow::Borrowed(&bundle.spec);
    if let Some(socket) = wish.notify {
        notify::prepare(spec.to_mut(), &directory.path, socket)?;
    }
    let made = Made {
        directory,
        cgroup: NewCgroup::make(&place, &bundle.spec)?,
        class: NewClass::make(&bundle.spec, id.as_str())?,
        group,
        bundle,
        spec,
        wish,
    };
    let state = hooks::told(&bundle.spec, id.as_str(), &bundle.directory);
    match give_birth(&made, state.as_ref()) {
        Ok(started) => {
            made.cgroup.keep();
            made.class.keep();
            let container = Container::open(made.directory.keep(), id.as_str())?;
            Ok((container, started))
        }
        Err(error) => {
            drop(made);
            hooks::poststop_of_failed(&bundle.spec, state.as_ref());
            Err(error)
        }
    }
}

fn cgroups_path(spec: &Spec) -> Option<PathBuf> {
    spec.linux().as_ref()?.cgroups_path().clone()
}

/// With the right to raise limits, one that cannot be had ends the start. A confined runtime, without CAP_SYS_RESOURCE, passes
/// on as much as it has: engines ask for more files than their own host gives as a matter of course.
pub(crate) fn limits_by_our_rights() -> Limits {
    let raises = sys::capability::number("CAP_SYS_RESOURCE")
        .is_some_and(|bit| sys::capability::effective().contains(bit));
    if raises {
        Limits::Exact
    } else {
        Limits::WithinOurs
    }
}

impl Made<'_> {
    fn spawn(&self, gate: Gate<'_>, state: Option<&runtime::hooks::State>) -> Result<Pending> {
        Ok(runtime::spawn(&Request {
            spec: &self.spec,
            rootfs: Rootfs::Directory(self.bundle.rootfs.clone()),
            stdio: self.wish.stdio,
            cgroup: self.cgroup.0.as_ref(),
            netns: Netns::Spec,
            user: None,
            copy_up: Vec::new(),
            reaper: Reaper::None,
            seccomp: Seccomp::Spec,
            launch: Launch {
                loopback: runtime::Loopback::Init,
                gate,
                pass_fds: self.wish.preserve_fds,
                entry: self.wish.entry,
                keyring: self.wish.keyring,
                limits: limits_by_our_rights(),
                state,
                trees: &[],
            },
        })?)
    }

    /// Writes down that the container is being made, for hooks that ask for its state while it is; whether there are any.
    fn announce(&self, pending: &Pending) -> Result<bool> {
        let wanted = self.bundle.spec.hooks().as_ref().is_some_and(|hooks| {
            [
                HookKind::Prestart,
                HookKind::CreateRuntime,
                HookKind::CreateContainer,
            ]
            .iter()
            .any(|kind| !kind.of(hooks).is_empty())
        });
        if wanted {
            self.write_record(pending, Stage::Creating)?;
        }
        Ok(wanted)
    }

    /// Writes down what was made. The pid file comes last: who waits for it finds everything else.
    fn settle(&self, pending: &Pending) -> Result<()> {
        self.class.add(pending.pid())?;
        let config = self.directory.path.join(record::CONFIG);
        std::fs::write(&config, &self.bundle.text).map_err(Error::file("write", &config))?;
        self.write_record(pending, Stage::Made)?;
        if let Some(file) = self.wish.pid_file {
            write_pid_file(file, pending.pid())?;
        }
        Ok(())
    }

    fn write_record(&self, pending: &Pending, stage: Stage) -> Result<()> {
        let (path, bundle) = (&self.directory.path, self.bundle);
        let record = Record {
            oci_version: bundle.spec.version().clone(),
            id: self.directory.id.clone(),
            bundle: bundle.directory.clone(),
            rootfs: bundle.rootfs.clone(),
            created: now(),
            owner: rustix::process::getuid().as_raw(),
            annotations: bundle.spec.annotations().clone().unwrap_or_default(),
            stage,
            pid: pending.pid(),
            start_time: pending.start_time()?,
            cgroup: self.group.clone(),
            has_hooks: bundle.spec.hooks().is_some(),
            has_class: has_class(&bundle.spec),
            own_pid_namespace: has_own_pid_namespace(&bundle.spec),
            keeps_keyring: self.wish.keyring == Keyring::Inherited,
        };
        let file = path.join(record::FILE);
        Ok(state::record::write(&file, &record, Durability::Volatile)?)
    }
}

fn has_class(spec: &Spec) -> bool {
    spec.linux()
        .as_ref()
        .is_some_and(|linux| linux.intel_rdt().is_some())
}

fn now() -> i128 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos() as i128)
}

fn has_own_pid_namespace(spec: &Spec) -> bool {
    let linux = spec.linux().as_ref();
    let namespaces = linux.and_then(|linux| linux.namespaces().as_deref());
    namespaces
        .unwrap_or_default()
        .iter()
        .any(|namespace| namespace.typ() == LinuxNamespaceType::Pid && namespace.path().is_none())
}

/// In one step: whoever waits for the file reads the whole number.
pub(crate) fn write_pid_file(path: &Path, pid: i32) -> Result<()> {
    state::record::write_bytes(path, pid.to_string().as_bytes(), Durability::Volatile)
        .map_err(Error::file("write the pid file", path))
}

/// The master in one message, as containerd and conmon expect it; the bytes are a name for it.
pub(crate) fn send_terminal(path: &Path, master: &OwnedFd) -> Result<()> {
    sys::socket::connect(path, sys::socket::Type::STREAM)
        .and_then(|socket| sys::socket::send(socket, b"/dev/ptmx", &[master.as_fd()]))
        .map_err(|source| Error::Console {
            path: path.to_owned(),
            source,
        })
}

/// A directory that goes again when the creation fails; locked meanwhile.
struct NewDirectory {
    path: PathBuf,
    id: String,
    kept: bool,
    _lock: DirectoryLock,
}

impl NewDirectory {
    fn make(root: &Root, id: &Id) -> Result<Self> {
        let path = root.reserve(id)?;
        let lock = DirectoryLock::exclusive(&path).map_err(Error::file("lock", &path))?;
        Ok(Self {
            path,
            id: id.as_str().to_owned(),
            kept: false,
            _lock: lock,
        })
    }

    fn open(&self) -> Result<OwnedFd> {
        sys::mount::open_root(&self.path).map_err(Error::file("open", &self.path))
    }

    fn keep(mut self) -> PathBuf {
        self.kept = true;
        self.path.clone()
    }
}

impl Drop for NewDirectory {
    fn drop(&mut self) {
        if !self.kept {
            // What cannot be removed is a directory without a record, which nobody takes for a container.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

/// A control group that goes again when the creation fails.
struct NewCgroup(Option<Cgroup>);

impl NewCgroup {
    fn make(place: &Place, spec: &Spec) -> Result<Self> {
        let linux = spec.linux().as_ref();
        let resources = linux.and_then(|linux| linux.resources().as_ref());
        Ok(Self(Some(Cgroup::place(place, resources)?)))
    }

    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for NewCgroup {
    fn drop(&mut self) {
        if let Some(cgroup) = self.0.take() {
            let _ = cgroup.remove();
        }
    }
}
