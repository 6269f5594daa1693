//! The program inside the containers: does one thing and prints what it saw.

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};
use std::io::Write;
use std::time::Duration;

/// Prints a line; the exit code is the answer where a word is not enough.
fn say(text: impl std::fmt::Display) {
    let mut out = std::io::stdout();
    let _ = writeln!(out, "{text}");
    let _ = out.flush();
}

fn outcome<T, E: Into<std::io::Error>>(result: Result<T, E>) {
    match result {
        Ok(_) => say("ok"),
        Err(e) => say(format!("errno {}", e.into().raw_os_error().unwrap_or(-1))),
    }
}

pub(crate) fn run(args: &[String]) -> i32 {
    let word = |at: usize| args.get(at).map_or("", String::as_str);
    match word(0) {
        "exit" => return word(1).parse().unwrap_or(99),
        "cat" => match std::fs::read_to_string(word(1)) {
            Ok(text) => say(text.trim_end()),
            Err(e) => say(format!("errno {}", e.raw_os_error().unwrap_or(-1))),
        },
        "ls" => say(list(word(1)).join(" ")),
        "status" => say(std::fs::read_to_string("/proc/self/status").unwrap_or_default()),
        "env" => std::env::vars().for_each(|(key, value)| say(format!("{key}={value}"))),
        "id" => say(identity()),
        "cwd" => {
            say(std::env::current_dir().map_or("gone".into(), |dir| dir.display().to_string()))
        }
        "write" => outcome(std::fs::write(word(1), word(2))),
        "copy" => outcome(std::fs::read(word(1)).and_then(|text| std::fs::write(word(2), text))),
        "chmod" => outcome(rustix::fs::chmod(word(1), Mode::from_raw_mode(0o755))),
        "mkdir" => outcome(std::fs::create_dir(word(1))),
        "open" => outcome(
            std::fs::OpenOptions::new()
                .read(true)
                .write(true)
                .open(word(1)),
        ),
        "stat" => stat(word(1)),
        "readlink" => match std::fs::read_link(word(1)) {
            Ok(target) => say(target.display()),
            Err(e) => say(format!("errno {}", e.raw_os_error().unwrap_or(-1))),
        },
        "tty" => terminal(),
        "unshare" => outcome(sys::namespace::unshare(sys::namespace::flags::NEWUTS)),
        "clone3" => outcome(sys::process::clone_single_threaded(0, None).map(
            |cloned| match cloned {
                sys::process::Cloned::Child(_) => sys::process::exit_now(0),
                sys::process::Cloned::Parent(child) => drop(sys::process::wait(child.pidfd)),
            },
        )),
        "thread" => outcome(
            std::thread::Builder::new()
                .spawn(|| ())
                .map(|thread| thread.join().is_ok()),
        ),
        "mknod" => outcome(rustix::fs::mknodat(
            CWD,
            word(1),
            FileType::BlockDevice,
            Mode::RUSR,
            rustix::fs::makedev(8, 0),
        )),
        "chroot" => outcome(rustix::process::chroot("/")),
        "pids" => pids(),
        "many" => many(word(1).parse().unwrap_or(1)),
        "eat" => eat(word(1).parse().unwrap_or(1)),
        "sleep" => sleep(),
        "orphan" => orphan(),
        "until" => until(word(1)),
        "spy" => spy(),
        "nofile" => say(sys::rlimit::get(7)
            .map_or("?".into(), |limit| format!("{} {}", limit.soft, limit.hard))),
        "sched" => say(sys::sched::get(0).map_or("?".into(), |now| {
            format!(
                "policy {} nice {} priority {} flags {} times {} {} {}",
                now.policy,
                now.nice,
                now.priority,
                now.flags,
                now.runtime,
                now.deadline,
                now.period
            )
        })),
        "ioprio" => say(format!("{:?}", sys::sched::io_priority(0).ok())),
        "machine" => say(rustix::system::uname().machine().to_string_lossy()),
        "call" => call(&args[1..]),
        "umask" => say(format!(
            "{:o}",
            rustix::process::umask(Mode::empty()).bits()
        )),
        "keyring" => match sys::program::session_keyring() {
            Ok(number) => say(number),
            Err(e) => say(format!("errno {}", e.raw_os_error().unwrap_or(-1))),
        },
        "sigpipe" => say(ignored_signals()),
        other => {
            say(format!("unknown {other:?}"));
            return 98;
        }
    }
    0
}

/// A system call by number and arguments, and what the kernel said.
fn call(words: &[String]) {
    let mut arguments = [0; 6];
    for (argument, word) in arguments.iter_mut().zip(words.iter().skip(1)) {
        *argument = word.parse().unwrap_or(0);
    }
    let number = words.first().and_then(|word| word.parse().ok());
    match sys::seccomp::probe::try_call(number.unwrap_or(0), &arguments) {
        Ok(value) => say(value),
        Err(e) => say(format!("errno {}", e.raw_os_error().unwrap_or(-1))),
    }
}

fn list(path: &str) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(path) else {
        return vec!["none".into()];
    };
    let mut names: Vec<String> = entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

fn identity() -> String {
    let groups: Vec<String> = rustix::process::getgroups()
        .unwrap_or_default()
        .iter()
        .map(|group| group.as_raw().to_string())
        .collect();
    format!(
        "{} {} {}",
        rustix::process::getuid().as_raw(),
        rustix::process::getgid().as_raw(),
        groups.join(",")
    )
}

fn stat(path: &str) {
    match rustix::fs::statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => say(format!(
            "{:o} {} {} {}",
            stat.st_mode, stat.st_uid, stat.st_gid, stat.st_size
        )),
        Err(e) => say(format!("errno {}", e.raw_os_error())),
    }
}

fn terminal() {
    let stdin = rustix::stdio::stdin();
    let name = rustix::termios::ttyname(stdin, Vec::new())
        .map_or("none".into(), |n| n.to_string_lossy().into_owned());
    let size = sys::tty::size(stdin).unwrap_or((0, 0));
    let leader = rustix::process::getsid(None).is_ok_and(|sid| sid == rustix::process::getpid());
    let foreground =
        rustix::termios::tcgetpgrp(stdin).is_ok_and(|group| group == rustix::process::getpgrp());
    let control = rustix::fs::open("/dev/tty", OFlags::RDWR, Mode::empty()).is_ok();
    say(format!(
        "{name} {}x{} leader={leader} foreground={foreground} control={control}",
        size.0, size.1
    ));
}

/// Looks at every other process until there is a file `/stop`, and says what of it was not the container's: an executable that is
/// not this program, descriptors beyond the standard streams, a directory outside.
fn spy() {
    let mut found = std::collections::BTreeSet::new();
    say("ready");
    while !std::path::Path::new("/stop").exists() {
        for pid in list("/proc") {
            if pid.parse::<u32>().is_err() || pid == std::process::id().to_string() {
                continue;
            }
            let path = |what: &str| format!("/proc/{pid}/{what}");
            if let Ok(exe) = std::fs::read_link(path("exe"))
                && exe != std::path::Path::new("/bin/probe")
            {
                found.insert(format!("exe {}", exe.display()));
            }
            let held = std::fs::read_dir(path("fd"));
            for fd in held.into_iter().flatten().flatten() {
                let number = fd.file_name().to_string_lossy().parse::<u32>();
                let link = std::fs::read_link(fd.path()).unwrap_or_default();
                // Closed meanwhile, or opened by the program itself (its start-up reads its maps).
                let own = ["", "/stop"]
                    .map(std::path::Path::new)
                    .contains(&link.as_path())
                    || link.starts_with("/proc");
                if number.is_ok_and(|n| n > 2) && !own {
                    found.insert(format!("fd {}", link.display()));
                }
            }
            if std::fs::File::open(path("mem")).is_ok()
                && std::fs::read_link(path("exe"))
                    .is_ok_and(|exe| exe != std::path::Path::new("/bin/probe"))
            {
                found.insert("mem".to_owned());
            }
        }
    }
    say(format!("found {found:?}"));
}

/// Numbers under /proc.
fn pids() {
    let numbers: Vec<String> = list("/proc")
        .into_iter()
        .filter(|name| name.parse::<u32>().is_ok())
        .collect();
    say(numbers.join(" "));
}

/// Starts threads that stay, and says how many the limit allowed.
fn many(wanted: usize) {
    let mut started = 0;
    for _ in 0..wanted {
        let thread = std::thread::Builder::new()
            .stack_size(64 * 1024)
            .spawn(|| std::thread::sleep(Duration::from_secs(30)));
        if thread.is_err() {
            break;
        }
        started += 1;
    }
    say(started);
}

fn eat(megabytes: usize) {
    let mut eaten: Vec<Vec<u8>> = Vec::new();
    for _ in 0..megabytes {
        eaten.push(vec![1; 1024 * 1024]);
    }
    say(format!("ate {}", eaten.len()));
}

fn sleep() {
    say("ready");
    loop {
        std::thread::sleep(Duration::from_secs(60));
    }
}

/// A child that outlives its parent's child: somebody must reap it.
fn orphan() {
    let Ok(sys::process::Cloned::Child(alone)) = sys::process::clone_single_threaded(0, None)
        .inspect(|cloned| {
            if let sys::process::Cloned::Parent(child) = cloned {
                let _ = sys::process::wait(&child.pidfd);
            }
        })
    else {
        // The grandchild now belongs to PID 1; wait until it has been reaped.
        for _ in 0..500 {
            if list("/proc")
                .iter()
                .filter(|name| name.parse::<u32>().is_ok())
                .count()
                <= 2
            {
                say("reaped");
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        say("left");
        return;
    };
    let _ = alone.fork();
    sys::process::exit_now(0)
}

/// Waits for a signal by name and says that it came.
fn until(name: &str) {
    let number = sys::signal::parse(name).unwrap_or(15);
    let Ok(signals) = sys::signal::Signals::new(&[number]) else {
        return say("no signals");
    };
    say("ready");
    loop {
        let _ = sys::poll::wait(
            &mut [sys::poll::PollFd::new(&signals, sys::poll::PollFlags::IN)],
            None,
        );
        if let Ok(Some(got)) = signals.read() {
            return say(format!("got {}", sys::signal::name(got)));
        }
    }
}

/// The signals this program found ignored, before Rust's start-up could change them: none but SIGPIPE, which is Rust's own doing.
fn ignored_signals() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap_or("")
            .trim()
            .to_owned()
    };
    format!("blocked {} ignored {}", field("SigBlk:"), field("SigIgn:"))
}
