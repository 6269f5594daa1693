//! A command in a throw-away container that has no record: layers below, an upper directory that keeps what it
//! writes, a network, an exit status. What `build` runs its RUN instructions in.
//!
//! ```text
//! caller (may have threads)                     role `sandbox` (one thread)
//!    │ ── executes; fd 3: request (JSON) ─────────▶ │ own mount namespace, mounts, cgroup, network, init
//!    │ ◀───────────── fds 1, 2: the command's output │
//!    │ ◀── fd 4: Answer (JSON), once it has ended ── │
//! ```
//! Nobody reading fd 4 any more means that the caller is dead: the role kills the container then and cleans up. When the
//! role is killed itself, [`sweep`] gives back what it held: `<run>/sandboxes/<id>` is locked as long as it lives.

mod mounts;
mod names;
mod role;

use crate::context::Context;
use crate::error::{Error, Result};
use model::limits::{Resources, Ulimit};
use model::network::ExtraHost;
use serde::{Deserialize, Serialize};
use std::ffi::CString;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

pub use role::role_main;

/// The role's name: `dockless sandbox <data root> <run root>`.
pub const ROLE: &str = "sandbox";
const REQUEST_FD: i32 = 3;
const ANSWER_FD: i32 = 4;

/// What is to be run, and in what.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Sandbox {
    /// Directories of the layers' contents, lowest first; at least one.
    pub layers: Vec<PathBuf>,
    /// Where what the command writes ends up, and overlayfs' working directory beside it.
    pub upper: PathBuf,
    pub work: PathBuf,
    /// An empty directory for the mounts' sources; seen by nobody else.
    pub scratch: PathBuf,
    pub argv: Vec<String>,
    /// `KEY=value`.
    pub env: Vec<String>,
    pub cwd: String,
    /// `name|uid[:group|gid]`, looked up in the layers.
    pub user: String,
    pub hostname: String,
    pub network: SandboxNetwork,
    pub extra_hosts: Vec<ExtraHost>,
    pub mounts: Vec<SandboxMount>,
    pub shm_size: Option<u64>,
    pub ulimits: Vec<Ulimit>,
    /// Of its control group.
    pub resources: Resources,
    /// All capabilities and devices, no seccomp filter (`build.privileged`, `--allow security.insecure`).
    pub privileged: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SandboxNetwork {
    /// The default network.
    #[default]
    Bridge,
    None,
    Host,
}

/// Something mounted over the layers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxMount {
    /// Absolute.
    pub target: String,
    pub source: MountSource,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MountSource {
    /// A path beneath a directory of the host, links resolved beneath it.
    Directory {
        root: PathBuf,
        path: PathBuf,
        access: Access,
    },
    /// A path in merged layers, lowest first.
    Layers {
        layers: Vec<PathBuf>,
        path: PathBuf,
        access: Access,
    },
    Tmpfs {
        size: Option<u64>,
    },
    /// A file that exists nowhere else: a secret, a script.
    File {
        content: Vec<u8>,
        uid: u32,
        gid: u32,
        mode: u32,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Access {
    ReadOnly,
    Writable,
    /// Writable, but nothing of it stays.
    Discarded,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Answer {
    Exited { code: i32 },
    Failed { message: String, code: u8 },
}

/// Receives the command's output as it comes.
pub trait Output {
    fn stdout(&mut self, bytes: &[u8]);
    fn stderr(&mut self, bytes: &[u8]);
    /// Asked now and then; `true` ends the command.
    fn canceled(&mut self) -> bool {
        false
    }
}

/// Runs the command and waits for its end. The number is what a shell shows: the code, or 128 plus the signal.
pub fn run(ctx: &Context, sandbox: &Sandbox, output: &mut dyn Output) -> Result<i32> {
    let request = request_file(sandbox)?;
    let pipe = || sys::pipe::new().map_err(Error::system("make a pipe"));
    let ((out, out_end), (err, err_end), (answer, answer_end)) = (pipe()?, pipe()?, pipe()?);
    let role = sys::role::Role {
        argv: argv(ctx)?,
        env: Vec::new(),
        fds: vec![
            (out_end.as_fd(), 1),
            (err_end.as_fd(), 2),
            (request.as_fd(), REQUEST_FD),
            (answer_end.as_fd(), ANSWER_FD),
        ],
        session: sys::role::Session::Own,
    };
    let child = sys::role::spawn(&role).map_err(Error::system("start the sandbox"))?;
    drop((out_end, err_end, answer_end));
    let role = Reaped(child);
    // Declared after the role: dropped first, and its end is what the role takes for ours.
    let answer = answer;
    if pump(&out, &err, &role, output)? == Pumped::Canceled {
        drop(answer);
        return Err(ended("the sandbox was canceled"));
    }
    let answer = read_answer(answer)?;
    drop(role);
    match answer {
        Some(Answer::Exited { code }) => Ok(code),
        Some(Answer::Failed { message, code }) => Err(Error::Start { message, code }),
        None => {
            // Killed before it could end what it had started.
            sweep(ctx)?;
            Err(ended("the sandbox was killed"))
        }
    }
}

fn ended(message: &str) -> Error {
    Error::Start {
        message: message.to_owned(),
        code: 125,
    }
}

/// Waits for the role when dropped: it must not use the directories any more when the caller goes on.
struct Reaped(sys::process::Child);

impl Drop for Reaped {
    fn drop(&mut self) {
        let _ = sys::process::wait(&self.0.pidfd);
    }
}

fn argv(ctx: &Context) -> Result<Vec<CString>> {
    let word =
        |text: &[u8]| CString::new(text).map_err(|e| Error::invalid("data root", e.to_string()));
    Ok(vec![
        word(b"dockless")?,
        word(ROLE.as_bytes())?,
        word(ctx.layout.data_root().as_os_str().as_encoded_bytes())?,
        word(ctx.layout.run_root().as_os_str().as_encoded_bytes())?,
    ])
}

/// In memory: it may hold secrets.
fn request_file(sandbox: &Sandbox) -> Result<OwnedFd> {
    let failed = || Error::system("hand the request to the sandbox");
    let fd = rustix::fs::memfd_create("sandbox", rustix::fs::MemfdFlags::CLOEXEC)
        .map_err(|e| failed()(e.into()))?;
    let mut file = std::fs::File::from(fd);
    let bytes = serde_json::to_vec(sandbox).map_err(|e| failed()(e.into()))?;
    file.write_all(&bytes).map_err(failed())?;
    std::io::Seek::rewind(&mut file).map_err(failed())?;
    Ok(file.into())
}

/// How the output ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pumped {
    Ended,
    Canceled,
}

/// Hands the output on until both pipes end, or the role does: one that was killed leaves a command behind that holds
/// the pipes.
fn pump(out: &OwnedFd, err: &OwnedFd, role: &Reaped, output: &mut dyn Output) -> Result<Pumped> {
    let failed = || Error::system("read the output of the sandbox");
    let pipes = [out, err];
    for pipe in pipes {
        sys::pipe::set_nonblocking(pipe, true).map_err(failed())?;
    }
    let (mut open, mut buffer) = ([true, true], vec![0; 64 << 10]);
    while open.contains(&true) {
        if output.canceled() {
            return Ok(Pumped::Canceled);
        }
        let gone = wait_for(&pipes, open, role).map_err(failed())?;
        for index in 0..2 {
            while open[index] {
                match rustix::io::read(pipes[index], &mut buffer) {
                    Ok(0) => open[index] = false,
                    Ok(got) if index == 0 => output.stdout(&buffer[..got]),
                    Ok(got) => output.stderr(&buffer[..got]),
                    Err(rustix::io::Errno::INTR) => {}
                    Err(rustix::io::Errno::AGAIN) => break,
                    Err(e) => return Err(failed()(e.into())),
                }
            }
        }
        if gone {
            break;
        }
    }
    Ok(Pumped::Ended)
}

/// Waits until there is something to read, now and then also without; `true` when the role has ended.
fn wait_for(pipes: &[&OwnedFd; 2], open: [bool; 2], role: &Reaped) -> std::io::Result<bool> {
    use sys::poll::{PollFd, PollFlags};
    let mut fds = vec![PollFd::new(&role.0.pidfd, PollFlags::IN)];
    for (pipe, _) in pipes.iter().zip(open).filter(|(_, open)| *open) {
        fds.push(PollFd::new(*pipe, PollFlags::IN));
    }
    sys::poll::wait(&mut fds, Some(std::time::Duration::from_millis(200)))?;
    Ok(!fds[0].revents().is_empty())
}

fn read_answer(answer: OwnedFd) -> Result<Option<Answer>> {
    let mut bytes = Vec::new();
    let read = std::fs::File::from(answer).read_to_end(&mut bytes);
    read.map_err(Error::system("hear from the sandbox"))?;
    Ok(serde_json::from_slice(&bytes).ok())
}

/// Where the living sandboxes have their lock files.
fn lock_dir(ctx: &Context) -> PathBuf {
    ctx.layout.run_root().join("sandboxes")
}

/// Whether a lease, a name or a cgroup with this id belongs to a sandbox that still runs.
pub fn is_alive(ctx: &Context, id: &str) -> bool {
    let path = lock_dir(ctx).join(id);
    path.exists() && matches!(sys::lock::FileLock::try_exclusive(&path), Ok(None))
}

/// The group above all sandboxes of this data root.
pub(crate) fn cgroup_parent(ctx: &Context) -> String {
    role::parent(ctx)
}

/// Whether any build step runs now.
pub(crate) fn any_alive(ctx: &Context) -> bool {
    let entries = std::fs::read_dir(lock_dir(ctx))
        .into_iter()
        .flatten()
        .flatten();
    let mut ids = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    ids.any(|id| is_alive(ctx, &id))
}

/// Gives back what sandboxes held whose role was killed.
pub fn sweep(ctx: &Context) -> Result<()> {
    let dir = lock_dir(ctx);
    let entries = match std::fs::read_dir(&dir) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(Error::file("list", &dir))?,
    };
    for entry in entries.flatten() {
        let (path, id) = (
            entry.path(),
            entry.file_name().to_string_lossy().into_owned(),
        );
        // Held: it lives.
        let Ok(Some(_lock)) = sys::lock::FileLock::try_exclusive(&path) else {
            continue;
        };
        role::give_back(ctx, &id)?;
        std::fs::remove_file(&path).map_err(Error::file("remove", &path))?;
    }
    Ok(())
}
