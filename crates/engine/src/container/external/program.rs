//! The other runtime's command line: create, start, kill, delete.
//!
//! What it has to say about an error comes by its log file, because its streams are the container's.
//! Source: runc(8), crun(1): the part of their options that both take.

use super::super::birth::Streams;
use super::super::record::{ContainerRecord, RuntimeRecord};
use crate::context::Context;
use crate::error::{Error, Result};
use runtime::Started;
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use sys::command::{Command, End};
use sys::process::ExitStatus;

/// Longer than any of them takes on a slow machine; then it is killed, and the start has failed.
const TIMEOUT: Duration = Duration::from_secs(120);

/// One container of another runtime.
#[derive(Debug, Clone)]
pub struct External {
    program: PathBuf,
    args: Vec<String>,
    /// `<run>/containers/<id>/oci`: the runtime's records, its log, the bundle. It dies with the boot, as they do.
    dir: PathBuf,
    id: String,
    /// For messages about a command that is not found.
    command: String,
}

impl External {
    pub(super) fn new(ctx: &Context, container: &ContainerRecord, runtime: &RuntimeRecord) -> Self {
        Self {
            program: runtime.path.clone(),
            args: runtime.args.clone(),
            dir: ctx.layout.run_container(container.id.as_str()).join("oci"),
            id: container.id.to_string(),
            command: container
                .process
                .args()
                .first()
                .cloned()
                .unwrap_or_default(),
        }
    }

    /// The runtime that carries a container, when it is not this binary.
    pub fn of(ctx: &Context, container: &ContainerRecord) -> Option<Self> {
        let runtime = container.runtime.as_ref()?;
        Some(Self::new(ctx, container, runtime))
    }

    pub(super) fn bundle(&self) -> PathBuf {
        self.dir.join("bundle")
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Creates the container from its bundle. Its first process waits.
    pub(super) fn create(&self, streams: Streams<'_>) -> Result<Started> {
        let pid_file = self.file("pid");
        let bundle = self.bundle();
        let mut args = vec![
            "--bundle".as_ref(),
            bundle.as_os_str(),
            "--pid-file".as_ref(),
            pid_file.as_os_str(),
        ];
        let console = match streams {
            Streams::Terminal { .. } => Some(Console::listen(&self.dir)?),
            Streams::Fds { .. } => None,
        };
        if let Some(console) = &console {
            args.extend(["--console-socket".as_ref(), console.path.as_os_str()]);
        }
        let given = match streams {
            Streams::Fds {
                stdin,
                stdout,
                stderr,
            } => Some([stdin, stdout, stderr]),
            Streams::Terminal { .. } => None,
        };
        args.push(self.id.as_ref());
        self.run("create", &args, given)?;
        let terminal = match (console, streams) {
            (Some(console), Streams::Terminal { rows, columns }) => {
                let master = console.receive()?;
                let _ = sys::tty::set_size(&master, rows, columns);
                Some(master)
            }
            _ => None,
        };
        started(&pid_file, terminal)
    }

    pub(super) fn start(&self) -> Result<()> {
        self.run("start", &[self.id.as_ref()], None)
    }

    /// Sends a signal to the container's first process, wherever the runtime keeps it.
    pub fn kill(&self, signal: i32) -> Result<()> {
        let number = signal.to_string();
        self.run("kill", &[self.id.as_ref(), number.as_ref()], None)
    }

    /// Ends what is left, and gives back what the runtime made. There is nobody to tell an error to: what stays is found by
    /// the sweep.
    pub fn delete(&self) {
        let _ = self.run("delete", &["--force".as_ref(), self.id.as_ref()], None);
        // In the monitor's mount namespace; another process has nothing there.
        let bundle = self.bundle();
        let _ = sys::mount::detach(&bundle.join(super::bundle::ROOTFS));
        let mut trees = (0..).map(|number| bundle.join(format!("tree-{number}")));
        while trees
            .next()
            .is_some_and(|tree| sys::mount::detach(&tree).is_ok())
        {}
    }

    pub(super) fn run(
        &self,
        verb: &str,
        args: &[&std::ffi::OsStr],
        streams: Option<[BorrowedFd<'_>; 3]>,
    ) -> Result<()> {
        let log = self.file("log");
        let _ = std::fs::remove_file(&log);
        let state = self.file("state");
        let global = [
            "--root".as_ref(),
            state.as_os_str(),
            "--log".as_ref(),
            log.as_os_str(),
            "--log-format".as_ref(),
            "json".as_ref(),
        ];
        let own = self.args.iter().map(std::ffi::OsStr::new);
        let words = std::iter::once(self.program.as_os_str())
            .chain(own)
            .chain(global)
            .chain(std::iter::once(std::ffi::OsStr::new(verb)))
            .chain(args.iter().copied());
        let argv: Vec<CString> = words
            .map(|word| CString::new(word.as_bytes()))
            .collect::<std::result::Result<_, _>>()
            .map_err(|e| Error::invalid("argument of the runtime", e.to_string()))?;
        let path = argv.first().cloned().unwrap_or_default();
        let command = Command {
            path: &path,
            argv: &argv,
            env: &[CString::from(PATH)],
            directory: None,
            input: &[],
            timeout: Some(TIMEOUT),
            stdout: None,
            stderr: None,
        };
        let null = null().map_err(Error::system("open /dev/null"))?;
        let streams = streams.unwrap_or([null.as_fd(), null.as_fd(), null.as_fd()]);
        let end = sys::command::run_on(&command, streams)
            .map_err(Error::file("execute the runtime", &self.program))?;
        match end {
            End::Exited(ExitStatus::Code(0)) => Ok(()),
            other => Err(self.failure(verb, other, &log)),
        }
    }

    /// What the runtime wrote to its log, with Docker's exit code for it.
    fn failure(&self, verb: &str, end: End, log: &Path) -> Error {
        let said = last_error(&std::fs::read_to_string(log).unwrap_or_default());
        let why = said.unwrap_or_else(|| match end {
            End::TimedOut => format!("it did not end within {} s", TIMEOUT.as_secs()),
            End::Exited(status) => format!("it ended with {}", status.code()),
        });
        let name = self.program.display();
        Error::Start {
            code: code(&why, &self.command),
            message: format!("OCI runtime {name} failed to {verb} the container: {why}"),
        }
    }
}

const PATH: &std::ffi::CStr = c"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

fn null() -> std::io::Result<OwnedFd> {
    use rustix::fs::{Mode, OFlags};
    Ok(rustix::fs::open(
        "/dev/null",
        OFlags::RDWR | OFlags::CLOEXEC,
        Mode::empty(),
    )?)
}

/// The last error of a log in JSON lines; a line that is none is one itself.
fn last_error(log: &str) -> Option<String> {
    let lines = log.lines().rev().filter(|line| !line.trim().is_empty());
    let mut texts =
        lines.filter_map(
            |line| match serde_json::from_str::<serde_json::Value>(line) {
                Ok(entry) if matches!(entry["level"].as_str(), None | Some("error" | "fatal")) => {
                    entry["msg"].as_str().map(str::to_owned)
                }
                Ok(_) => None,
                Err(_) => Some(line.to_owned()),
            },
        );
    texts.next()
}

/// 127 for a command that is not there, 126 for one that cannot be executed, as Docker reads it from the runtime's words.
fn code(why: &str, command: &str) -> u8 {
    let says = |words: &[&str]| words.iter().any(|word| why.contains(word));
    if command.is_empty() || !why.contains(command) {
        return 125;
    }
    if says(&[
        "executable file not found",
        "no such file or directory",
        "No such file or directory",
    ]) {
        return 127;
    }
    match says(&["permission denied", "Permission denied", "is a directory"]) {
        true => 126,
        false => 125,
    }
}

/// The process whose number the runtime wrote down; it is our child by now, or dead.
pub(super) fn started(pid_file: &Path, terminal: Option<OwnedFd>) -> Result<Started> {
    let text = std::fs::read_to_string(pid_file)
        .map_err(Error::file("read the runtime's pid file", pid_file))?;
    let pid: i32 = text
        .trim()
        .parse()
        .map_err(|_| Error::invalid("the runtime's pid file", format!("{text:?} is no number")))?;
    let gone = || Error::system("hold the process that the runtime made");
    // A child of ours stays under its number until we reap it.
    let start_time = sys::process::start_time(pid).map_err(gone())?;
    let pidfd = sys::process::pidfd_open_verified(pid, start_time).map_err(gone())?;
    Ok(Started {
        pid,
        start_time,
        pidfd,
        terminal,
    })
}

/// Where the runtime sends the terminal's master to.
pub(super) struct Console {
    listener: OwnedFd,
    /// Through our descriptor of the directory: an address has room for 107 bytes.
    pub(super) path: PathBuf,
    _dir: OwnedFd,
}

impl Console {
    pub(super) fn listen(dir: &Path) -> Result<Self> {
        use rustix::fs::{Mode, OFlags};
        const NAME: &str = "console.sock";
        let _ = std::fs::remove_file(dir.join(NAME));
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let handle = rustix::fs::open(dir, flags, Mode::empty())
            .map_err(|e| Error::file("open", dir)(e.into()))?;
        let path = super::path_of(&handle).join(NAME);
        let listener = sys::socket::listen(&path, sys::socket::Type::STREAM)
            .map_err(Error::file("listen on", dir.join(NAME)))?;
        Ok(Self {
            listener,
            path,
            _dir: handle,
        })
    }

    /// After the runtime's process has ended: what it sent is there, or never comes.
    pub(super) fn receive(self) -> Result<OwnedFd> {
        let none = || Error::Refused("the runtime sent no terminal".to_owned());
        let failed = || Error::system("receive the container's terminal");
        let socket = sys::socket::accept(&self.listener)
            .map_err(failed())?
            .ok_or_else(none)?;
        let mut name = [0; 4096];
        let received = sys::socket::receive(&socket, &mut name).map_err(failed())?;
        received.fds.into_iter().next().ok_or_else(none)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runtimes_last_error_is_told() {
        let log = "{\"level\":\"warning\",\"msg\":\"a\"}\n{\"level\":\"error\",\"msg\":\"b \\\"c\\\"\"}\n{\"level\":\"debug\",\"msg\":\"d\"}\n\n";
        assert_eq!(last_error(log).as_deref(), Some("b \"c\""));
        assert_eq!(last_error("plain words\n").as_deref(), Some("plain words"));
        assert_eq!(last_error(""), None);
        // crun's lines have no level.
        assert_eq!(last_error("{\"msg\":\"x\"}").as_deref(), Some("x"));
    }

    #[test]
    fn exit_codes_are_dockers() {
        let runc = "runc create failed: unable to start container process: exec: \"nope\": executable file not found in $PATH";
        assert_eq!(code(runc, "nope"), 127);
        assert_eq!(code("exec: \"/etc\": permission denied", "/etc"), 126);
        assert_eq!(code("mount /x: no such file or directory", "sh"), 125);
        assert_eq!(code("anything", ""), 125);
    }
}
