//! `create`, `start`, `run`, `kill`, `delete`, `pause`, `resume`.

use super::argv::{Flag, Given, switch, value};
use super::exec::{announce, check_console, passed_on, size};
use super::{Call, Verb, at_most, attend, id, usage};
use crate::failure::{Failure, Outcome, chain};
use bundle::create::{Running, Wish};
use bundle::delete::{Force, delete};
use bundle::kill::{Whom, kill};
use bundle::{Bundle, Error, Id, Readiness};
use runtime::{Entry, Keyring, Stdio};
use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

const CREATION: &[Flag] = &[
    value("bundle").or('b'),
    value("config").or('f'),
    value("console-socket"),
    value("pid-file"),
    value("preserve-fds"),
    switch("no-pivot"),
    switch("no-new-keyring"),
    switch("no-subreaper"),
    switch("detach").or('d'),
    switch("keep"),
];

pub(super) const CREATE: Verb = Verb {
    name: "create",
    usage: "CONTAINER",
    flags: CREATION,
    words: usize::MAX,
    run: create,
};

pub(super) const RUN: Verb = Verb {
    name: "run",
    usage: "CONTAINER",
    flags: CREATION,
    words: usize::MAX,
    run,
};

pub(super) const START: Verb = Verb {
    name: "start",
    usage: "CONTAINER",
    flags: &[],
    words: usize::MAX,
    run: start,
};

pub(super) const KILL: Verb = Verb {
    name: "kill",
    usage: "CONTAINER [SIGNAL]",
    flags: &[switch("all").or('a')],
    words: usize::MAX,
    run: send,
};

pub(super) const DELETE: Verb = Verb {
    name: "delete",
    usage: "CONTAINER",
    flags: &[switch("force").or('f'), value("regex")],
    words: usize::MAX,
    run: remove,
};

pub(super) const PAUSE: Verb = Verb {
    name: "pause",
    usage: "CONTAINER",
    flags: &[],
    words: usize::MAX,
    run: |call, given| {
        at_most(given, 1)?;
        bundle::pause::pause(&call.container(given)?)?;
        Ok(0)
    },
};

pub(super) const RESUME: Verb = Verb {
    name: "resume",
    usage: "CONTAINER",
    flags: &[],
    words: usize::MAX,
    run: |call, given| {
        at_most(given, 1)?;
        bundle::pause::resume(&call.container(given)?)?;
        Ok(0)
    },
};

/// What `create` and `run` read alike.
struct Making {
    id: Id,
    bundle: Bundle,
    console_socket: Option<PathBuf>,
    pid_file: Option<PathBuf>,
    preserve_fds: u32,
    entry: Entry,
    keyring: Keyring,
    notify: Option<PathBuf>,
}

/// The socket at which systemd waits for the service we are.
fn notify_socket() -> Option<PathBuf> {
    let path = PathBuf::from(std::env::var_os("NOTIFY_SOCKET")?);
    // An abstract name, with `@`, has no place in the container's file system.
    path.is_absolute().then_some(path)
}

fn making(call: &Call<'_>, given: &Given, detached: bool) -> Result<Making, Failure> {
    at_most(given, 1)?;
    let id = Id::parse(id(given)?)?;
    let directory = given.path("bundle").unwrap_or_else(|| ".".into());
    let mut bundle = Bundle::load(&directory, given.path("config").as_deref())?;
    bundle
        .warnings
        .iter()
        .for_each(|warning| call.log.warn(warning));
    let console_socket = given.path("console-socket");
    check_console(has_terminal(&bundle), detached, console_socket.is_some())?;
    let wanted = given.number("preserve-fds").map_err(usage)?.unwrap_or(0);
    let preserve_fds = passed_on(wanted, |listening| {
        if let Some(process) = bundle.spec.process_mut() {
            process.set_env(Some(announce(process, listening)));
        }
    })?;
    Ok(Making {
        id,
        bundle,
        console_socket,
        pid_file: given.path("pid-file"),
        preserve_fds,
        entry: match given.is_on("no-pivot") {
            true => Entry::Move,
            false => Entry::Pivot,
        },
        keyring: match given.is_on("no-new-keyring") {
            true => Keyring::Inherited,
            false => Keyring::New,
        },
        notify: notify_socket(),
    })
}

fn has_terminal(bundle: &Bundle) -> bool {
    let process = bundle.spec.process().as_ref();
    process
        .and_then(|process| process.terminal())
        .unwrap_or(false)
}

impl Making {
    fn wish<'a>(&'a self, call: &Call<'_>, stdio: Stdio<'a>) -> Wish<'a> {
        Wish {
            stdio,
            console_socket: self.console_socket.as_deref(),
            pid_file: self.pid_file.as_deref(),
            preserve_fds: self.preserve_fds,
            entry: self.entry,
            keyring: self.keyring,
            manager: call.manager,
            notify: self.notify.as_deref(),
        }
    }

    /// The size the specification asks for, or else that of our own terminal.
    fn size(&self) -> Option<(u16, u16)> {
        let process = self.bundle.spec.process().as_ref()?;
        if !process.terminal().unwrap_or(false) {
            return None;
        }
        Some(size(process))
    }
}

fn create(call: &Call<'_>, given: &Given) -> Outcome {
    let making = making(call, given, true)?;
    let streams = Streams::ours();
    let stdio = streams.stdio(making.size());
    bundle::create::create(
        &call.root,
        &making.id,
        &making.bundle,
        &making.wish(call, stdio),
    )?;
    Ok(0)
}

fn start(call: &Call<'_>, given: &Given) -> Outcome {
    at_most(given, 1)?;
    let container = call.container(given)?;
    let readiness = bundle::start::start(&container, notify_socket().as_deref())?;
    if let (Some(readiness), Some(process)) = (readiness, container.process()) {
        await_ready(&readiness, process.as_fd())?;
    }
    Ok(0)
}

fn await_ready(readiness: &Readiness, process: BorrowedFd<'_>) -> Result<(), Failure> {
    let said = readiness.wait(process);
    said.map_err(Failure::system("tell systemd that the container is ready"))
}

fn run(call: &Call<'_>, given: &Given) -> Outcome {
    let detached = given.is_on("detach");
    let making = making(call, given, detached)?;
    let streams = Streams::ours();
    let stdio = streams.stdio(making.size());
    let Running {
        container,
        process,
        readiness,
    } = bundle::create::run(
        &call.root,
        &making.id,
        &making.bundle,
        &making.wish(call, stdio),
    )?;
    if detached {
        if let Some(readiness) = readiness {
            await_ready(&readiness, process.pidfd.as_fd())?;
        }
        return Ok(0);
    }
    let code = attend::attend(process, readiness.as_ref());
    if !given.is_on("keep") {
        removed(call, delete(&container, Force::Yes)?);
    }
    code
}

/// Our own standard streams, which become the container's.
pub(super) struct Streams {
    stdin: std::io::Stdin,
    stdout: std::io::Stdout,
    stderr: std::io::Stderr,
}

impl Streams {
    pub(super) fn ours() -> Self {
        Self {
            stdin: std::io::stdin(),
            stdout: std::io::stdout(),
            stderr: std::io::stderr(),
        }
    }

    pub(super) fn stdio(&self, terminal: Option<(u16, u16)>) -> Stdio<'_> {
        match terminal {
            Some((rows, columns)) => Stdio::Terminal { rows, columns },
            None => Stdio::Fds {
                stdin: self.stdin.as_fd(),
                stdout: self.stdout.as_fd(),
                stderr: self.stderr.as_fd(),
            },
        }
    }
}

fn send(call: &Call<'_>, given: &Given) -> Outcome {
    at_most(given, 2)?;
    let signal = given.words.get(1).map_or(Ok(15), parse_signal)?;
    let whom = match given.is_on("all") {
        true => Whom::All,
        false => Whom::First,
    };
    kill(&call.container(given)?, signal, whom)?;
    Ok(0)
}

fn parse_signal(word: &OsString) -> Result<i32, Failure> {
    let text = word.to_str().unwrap_or_default();
    // Signal 0 asks whether the process is there.
    match text {
        "0" => Ok(0),
        text => sys::signal::parse(text)
            .ok_or_else(|| Failure::said(format!("unknown signal {word:?}"))),
    }
}

/// Every container whose id has the pattern in it.
fn remove_all(call: &Call<'_>, pattern: &str, force: Force) -> Outcome {
    let pattern = regex_lite::Regex::new(pattern)
        .map_err(|e| usage(format!("invalid pattern for --regex: {e}")))?;
    for container in call.root.list()? {
        if pattern.is_match(container.id()) {
            removed(call, delete(&container, force)?);
        }
    }
    Ok(0)
}

/// Hooks that failed when all was over.
fn removed(call: &Call<'_>, failed: Vec<runtime::hooks::Error>) {
    for error in failed {
        call.log.warn(chain(&error));
    }
}

fn remove(call: &Call<'_>, given: &Given) -> Outcome {
    let force = match given.is_on("force") {
        true => Force::Yes,
        false => Force::No,
    };
    if let Some(pattern) = given.text("regex") {
        at_most(given, 0)?;
        return remove_all(call, pattern, force);
    }
    at_most(given, 1)?;
    match call.container(given) {
        Ok(container) => removed(call, delete(&container, force)?),
        // Asked to see to it that it is gone, and it is.
        Err(Failure::Bundle(Error::Unknown(_))) if force == Force::Yes => {
            bundle::delete::sweep(&call.root, &Id::parse(id(given)?)?)?;
        }
        Err(failure) => return Err(failure),
    }
    Ok(0)
}
