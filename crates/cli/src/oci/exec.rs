//! `exec`: the process is described by flags, or whole by a file.

use super::argv::{Flag, Given, switch, value};
use super::lifecycle::Streams;
use super::{Call, Verb, attend, usage};
use crate::failure::{Failure, Outcome};
use crate::interactive::terminal_size;
use bundle::Container;
use bundle::exec::{Wish, exec};
use oci_spec::runtime::{Capability, Process};
use std::ffi::OsStr;
use std::path::Path;
use std::str::FromStr;

const FLAGS: &[Flag] = &[
    value("console-socket"),
    value("cwd"),
    value("env").or('e'),
    switch("tty").or('t'),
    value("user").or('u'),
    value("additional-gids").or('g'),
    value("process").or('p'),
    switch("detach").or('d'),
    value("pid-file"),
    value("process-label"),
    value("apparmor"),
    switch("no-new-privs"),
    value("cap").or('c'),
    value("preserve-fds"),
    value("cgroup"),
    switch("ignore-paused"),
];

pub(super) const EXEC: Verb = Verb {
    name: "exec",
    usage: "CONTAINER cmd [ARG...] | --process FILE CONTAINER",
    flags: FLAGS,
    words: 2,
    run,
};

/// What runc ends with when the process could not be started.
const NOT_STARTED: u8 = 255;

fn run(call: &Call<'_>, given: &Given) -> Outcome {
    start(call, given).map_err(|failure| match failure {
        Failure::Usage { .. } | Failure::Silent(_) => failure,
        other => Failure::said(format!("exec failed: {}", other.chain())).code(NOT_STARTED),
    })
}

fn start(call: &Call<'_>, given: &Given) -> Outcome {
    let container = call.container(given)?;
    let mut process = match given.path("process") {
        Some(path) => from_file(call, &path)?,
        None => from_flags(&container, given)?,
    };
    let detached = given.is_on("detach");
    let terminal = process.terminal().unwrap_or(false);
    let console_socket = given.path("console-socket");
    check_console(terminal, detached, console_socket.is_some())?;
    let wanted = given.number("preserve-fds").map_err(usage)?.unwrap_or(0);
    let preserve_fds = passed_on(wanted, |listening| {
        process.set_env(Some(announce(&process, listening)));
    })?;
    let streams = Streams::ours();
    let started = exec(
        &container,
        &Wish {
            process: &process,
            stdio: streams.stdio(terminal.then(|| size(&process))),
            console_socket: console_socket.as_deref(),
            pid_file: given.path("pid-file").as_deref(),
            preserve_fds,
            ignore_paused: given.is_on("ignore-paused"),
            cgroup: given.text("cgroup"),
        },
    )?;
    if detached {
        return Ok(0);
    }
    attend::attend(started, None)
}

/// A terminal has somebody who holds its other end.
pub(super) fn check_console(terminal: bool, detached: bool, socket: bool) -> Result<(), Failure> {
    if terminal && detached && !socket {
        return Err(Failure::said(
            "cannot allocate tty if the process is detached without setting console socket",
        )
        .hint("give --console-socket PATH, or set process.terminal to false"));
    }
    if socket && !(terminal && detached) {
        return Err(Failure::said(
            "cannot use console socket if the process is not detached or has no tty",
        ));
    }
    Ok(())
}

fn from_file(call: &Call<'_>, path: &Path) -> Result<Process, Failure> {
    let text = std::fs::read(path).map_err(Failure::system(format!("read {}", path.display())))?;
    let parsed = oci::spec::parse_process(&text)
        .map_err(|e| Failure::said(format!("cannot read the process {}: {e}", path.display())))?;
    parsed
        .warnings
        .iter()
        .for_each(|warning| call.log.warn(warning));
    Ok(parsed.value)
}

/// The container's own process, with what the flags say instead.
fn from_flags(container: &Container, given: &Given) -> Result<Process, Failure> {
    let spec = container.spec()?;
    let mut process = spec
        .process()
        .clone()
        .ok_or_else(|| Failure::said("the container has no process to take after"))?;
    let text = |word: &OsStr| word.to_string_lossy().into_owned();
    let command = given.words.get(1..).unwrap_or_default();
    if command.is_empty() {
        return Err(usage("a command is needed, or --process FILE"));
    }
    process.set_args(Some(command.iter().map(|word| text(word)).collect()));
    process.set_terminal(Some(given.is_on("tty")));
    if let Some(cwd) = given.path("cwd") {
        process.set_cwd(cwd);
    }
    if let Some(profile) = given.text("apparmor") {
        process.set_apparmor_profile(Some(profile.to_owned()));
    }
    if let Some(label) = given.text("process-label") {
        process.set_selinux_label(Some(label.to_owned()));
    }
    if given.get("no-new-privs").is_some() {
        process.set_no_new_privileges(Some(given.is_on("no-new-privs")));
    }
    let mut env = process.env().clone().unwrap_or_default();
    for variable in given.all("env").map(text) {
        set_variable(&mut env, variable);
    }
    process.set_env(Some(env));
    set_user(&mut process, given)?;
    add_capabilities(&mut process, given)?;
    Ok(process)
}

/// The last one counts, and a program that takes the first must find the same.
fn set_variable(env: &mut Vec<String>, variable: String) {
    let name = variable.split('=').next().unwrap_or_default().to_owned();
    env.retain(|known| known.split('=').next() != Some(name.as_str()));
    env.push(variable);
}

fn set_user(process: &mut Process, given: &Given) -> Result<(), Failure> {
    let wrong = |text: &str| usage(format!("invalid user {text:?}: UID[:GID] in numbers"));
    let mut user = process.user().clone();
    if let Some(text) = given.text("user") {
        let (uid, gid) = text
            .split_once(':')
            .map_or((text, None), |(u, g)| (u, Some(g)));
        user.set_uid(uid.parse().map_err(|_| wrong(text))?);
        if let Some(gid) = gid {
            user.set_gid(gid.parse().map_err(|_| wrong(text))?);
        }
    }
    let mut groups = user.additional_gids().clone().unwrap_or_default();
    for gid in given.all("additional-gids") {
        groups.push(super::argv::number("additional-gids", gid).map_err(usage)?);
    }
    user.set_additional_gids(Some(groups));
    process.set_user(user);
    Ok(())
}

fn add_capabilities(process: &mut Process, given: &Given) -> Result<(), Failure> {
    let mut wanted = Vec::new();
    for name in given.all("cap") {
        let upper = name.to_string_lossy().to_ascii_uppercase();
        let short = upper.strip_prefix("CAP_").unwrap_or(&upper);
        wanted.push(
            Capability::from_str(short)
                .map_err(|_| usage(format!("unknown capability {name:?}")))?,
        );
    }
    if wanted.is_empty() {
        return Ok(());
    }
    let mut sets = process.capabilities().clone().unwrap_or_default();
    let with = |set: &Option<oci_spec::runtime::Capabilities>| {
        let mut set = set.clone().unwrap_or_default();
        set.extend(wanted.iter().copied());
        Some(set)
    };
    sets.set_bounding(with(sets.bounding()));
    sets.set_effective(with(sets.effective()));
    sets.set_permitted(with(sets.permitted()));
    // Not the inheritable ones, which a program of the image could take on (CVE-2022-29162), and without them no ambient ones.
    process.set_capabilities(Some(sets));
    Ok(())
}

/// The size the process asks for, or else that of our own terminal; 0 leaves the kernel's.
pub(super) fn size(process: &Process) -> (u16, u16) {
    let narrow = |number: u64| u16::try_from(number).unwrap_or(u16::MAX);
    match process.console_size() {
        Some(size) => (narrow(size.height()), narrow(size.width())),
        None => terminal_size().unwrap_or((0, 0)),
    }
}

/// How many descriptors from 3 on are the command's: those of socket activation, and so many more. What is not open now is
/// ours later, and not passed on.
pub(super) fn passed_on(more: u32, announce: impl FnOnce(u32)) -> Result<u32, Failure> {
    let listening = listening();
    if listening > 0 {
        announce(listening);
    }
    let wanted = more.saturating_add(listening);
    if wanted == 0 {
        return Ok(0);
    }
    let entries =
        std::fs::read_dir("/proc/self/fd").map_err(Failure::system("read /proc/self/fd"))?;
    let numbers = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    // Only those that outlive an execve were meant for us: the one that reads this directory does not.
    let open: Vec<u32> = numbers
        .filter(|number| (3..wanted.saturating_add(3)).contains(number))
        .filter(|number| i32::try_from(*number).is_ok_and(sys::inherited::is_inherited))
        .collect();
    Ok(open.into_iter().max().map_or(0, |last| last - 2))
}

/// Sockets that systemd has opened for us: sd_listen_fds(3).
fn listening() -> u32 {
    let number = |name| std::env::var(name).ok()?.parse::<u32>().ok();
    match (number("LISTEN_PID"), number("LISTEN_FDS")) {
        (Some(pid), Some(count)) if pid == std::process::id() => count,
        // crun and conmon pass them on without the pid.
        (None, Some(count)) => count,
        _ => 0,
    }
}

/// The variables of the process, with those that tell it of its sockets.
pub(super) fn announce(process: &Process, count: u32) -> Vec<String> {
    let mut env = process.env().clone().unwrap_or_default();
    set_variable(&mut env, format!("LISTEN_FDS={count}"));
    set_variable(&mut env, "LISTEN_PID=1".to_owned());
    env
}
