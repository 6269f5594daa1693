//! What the kernel makes of births, execs and limits: each case in a process of its own, as root.
//!
//! The test executable is also the containers' program (`probe`), so that a root needs nothing else. Mounts are made in the
//! containers' namespaces only; control groups below `dockless-test-…`, removed at the end of each case.

mod attributes;
mod birth;
mod cgroups;
mod errors;
mod exec;
mod gate;
mod hooks;
mod hostile;
mod isolation;
mod launch;
mod limits;
mod mounts;
mod netdev;
mod options;
mod probe;
mod seccomp;
mod userns;
mod world;

use std::ffi::CString;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use sys::process::ExitStatus;
use sys::role::Role;

/// Where the roots' common lower layer lies, for a case's process.
const BASE: &str = "RUNTIME_TEST_BASE";

pub(crate) type Case = (&'static str, fn());

/// The cases of a module under their names.
#[macro_export]
macro_rules! cases {
    ($($name:ident),+ $(,)?) => {
        pub(crate) const CASES: &[$crate::Case] = &[$((concat!(module_path!(), "::", stringify!($name)), $name)),+];
    };
}

fn all() -> Vec<Case> {
    [
        attributes::CASES,
        birth::CASES,
        cgroups::CASES,
        errors::CASES,
        exec::CASES,
        gate::CASES,
        hooks::CASES,
        hostile::CASES,
        isolation::CASES,
        launch::CASES,
        limits::CASES,
        mounts::CASES,
        netdev::CASES,
        options::CASES,
        seccomp::CASES,
        userns::CASES,
    ]
    .concat()
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if args[0].ends_with("probe") {
        std::process::exit(probe::run(&args[1..]));
    }
    match args.get(1).map(String::as_str) {
        Some("--case") => run_case(&args[2]),
        Some("--list") => all()
            .iter()
            .for_each(|(name, _)| say(&format!("{name}: test"))),
        _ => run_all(
            args.iter()
                .skip(1)
                .find(|arg| !arg.starts_with('-'))
                .map_or("", String::as_str),
        ),
    }
}

fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn run_case(name: &str) {
    match all().into_iter().find(|(known, _)| *known == name) {
        Some((_, case)) => case(),
        None => std::process::exit(2),
    }
}

fn run_all(filter: &str) {
    let chosen: Vec<Case> = all()
        .into_iter()
        .filter(|(name, _)| name.contains(filter))
        .collect();
    say(&format!("running {} tests", chosen.len()));
    let base = world::make_base();
    let queue = Mutex::new(chosen.clone());
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some((name, _)) = take(&queue) {
                    let (status, output) = run_in_process(name, &base);
                    let verdict = if status == ExitStatus::Code(0) {
                        "ok"
                    } else {
                        "FAILED"
                    };
                    say(&format!("test {name} ... {verdict}"));
                    if status != ExitStatus::Code(0)
                        && let Ok(mut failed) = failed.lock()
                    {
                        failed.push(format!("---- {name} ({status:?}) ----\n{output}"));
                    }
                }
            });
        }
    });
    let _ = std::fs::remove_dir_all(&base);
    let failed = failed.into_inner().unwrap_or_default();
    failed.iter().for_each(|text| say(text));
    say(&format!(
        "test result: {} passed; {} failed",
        chosen.len() - failed.len(),
        failed.len()
    ));
    std::process::exit(i32::from(!failed.is_empty()));
}

fn take(queue: &Mutex<Vec<Case>>) -> Option<Case> {
    queue.lock().ok()?.pop()
}

fn run_in_process(name: &str, base: &Path) -> (ExitStatus, String) {
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    let argv = ["kernel", "--case", name]
        .map(|word| CString::new(word).expect("no zero byte"))
        .to_vec();
    let mut env = sys::role::inherited_env();
    env.push(CString::new(format!("{BASE}={}", base.display())).expect("no zero byte"));
    let role = Role {
        argv,
        env,
        fds: vec![(writer.as_fd(), 1), (writer.as_fd(), 2)],
        ..Role::default()
    };
    let child = sys::role::spawn(&role).expect("the case starts");
    drop(role);
    drop(writer);
    let mut output = String::new();
    let _ = reader.read_to_string(&mut output);
    (
        sys::process::wait(&child.pidfd).expect("the case ends"),
        output,
    )
}

pub(crate) fn base() -> PathBuf {
    PathBuf::from(std::env::var_os(BASE).expect("cases are started by the runner"))
}
