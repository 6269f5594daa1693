//! Profiles as the kernel carries them out: actions, arguments, architectures, listeners.

use crate::world::{Wish, World, chain, eventually};
use oci_spec::runtime::{ContainerProcessState, LinuxSeccomp, Spec, StateBuilder};
use runtime::{Gate, Seccomp};
use serde_json::{Value, json};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

crate::cases![
    actions,
    arguments,
    unknown_calls,
    listener_gets_its_descriptor,
    listener_with_no_new_privs,
    listener_before_the_gate,
    missing_listener,
];

fn profile(document: Value) -> LinuxSeccomp {
    serde_json::from_value(document).unwrap()
}

fn set(spec: &mut Spec, profile: &LinuxSeccomp) {
    let mut linux = spec.linux().clone().unwrap();
    linux.set_seccomp(Some(profile.clone()));
    spec.set_linux(Some(linux));
}

fn wish<'a>(words: &[&'a str], profile: LinuxSeccomp) -> Wish<'a> {
    Wish {
        seccomp: Seccomp::Spec,
        edit: Box::new(move |spec| set(spec, &profile)),
        ..Wish::probe(words)
    }
}

fn number(name: &str) -> String {
    sys::seccomp::Arch::NATIVE.number(name).unwrap().to_string()
}

fn actions() {
    let world = World::new();
    let run = |action: &str, errno: Option<u32>| {
        let mut rule = json!({"names": ["getppid"], "action": action});
        if let Some(errno) = errno {
            rule["errnoRet"] = errno.into();
        }
        let document = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]});
        let call = number("getppid");
        let outcome = world
            .run(&wish(&["call", &call], profile(document)))
            .unwrap();
        (outcome.out.trim().to_owned(), outcome.status.code())
    };
    assert_eq!(run("SCMP_ACT_ALLOW", None), ("0".to_owned(), 0));
    assert_eq!(run("SCMP_ACT_LOG", None), ("0".to_owned(), 0));
    assert_eq!(run("SCMP_ACT_ERRNO", None), ("errno 1".to_owned(), 0));
    assert_eq!(run("SCMP_ACT_ERRNO", Some(95)), ("errno 95".to_owned(), 0));
    // Without a tracer there is no such call.
    assert_eq!(run("SCMP_ACT_TRACE", None), ("errno 38".to_owned(), 0));
    for action in [
        "SCMP_ACT_KILL",
        "SCMP_ACT_KILL_THREAD",
        "SCMP_ACT_KILL_PROCESS",
        "SCMP_ACT_TRAP",
    ] {
        // SIGSYS.
        assert_eq!(run(action, None), (String::new(), 128 + 31), "{action}");
    }
}

/// getpriority(which, who): any arguments do no harm.
fn arguments() {
    let world = World::new();
    let call = number("getpriority");
    let refused = |op: &str, value: u64, two: u64, argument: u64| {
        let document = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{
            "names": ["getpriority"], "action": "SCMP_ACT_ERRNO", "errnoRet": 77,
            "args": [{"index": 4, "value": value, "valueTwo": two, "op": op}]}]});
        let argument = argument.to_string();
        let said = world.ask(&wish(
            &["call", &call, "0", "0", "0", "0", &argument],
            profile(document),
        ));
        said == "errno 77"
    };
    const BIG: u64 = 0x1_0000_0005;
    for (op, value, two, yes, no) in [
        ("SCMP_CMP_EQ", BIG, 0, BIG, 5),
        ("SCMP_CMP_NE", BIG, 0, 5, BIG),
        ("SCMP_CMP_LT", BIG, 0, 6, BIG),
        ("SCMP_CMP_LE", BIG, 0, BIG, BIG + 1),
        ("SCMP_CMP_GE", BIG, 0, BIG, 6),
        ("SCMP_CMP_GT", BIG, 0, 0x2_0000_0000, BIG),
        ("SCMP_CMP_MASKED_EQ", 0xff, 5, BIG, 6),
    ] {
        assert!(
            refused(op, value, two, yes),
            "{op} {value:#x} with {yes:#x}"
        );
        assert!(!refused(op, value, two, no), "{op} {value:#x} with {no:#x}");
    }
}

/// What neither the profile nor we know is no call, so that programs fall back (runc's rule).
fn unknown_calls() {
    let world = World::new();
    let call = |errno: u32, number: &str| {
        let document = json!({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": errno,
            "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_AARCH64"],
            "syscalls": [{"names": EVERYTHING_THE_PROBE_NEEDS, "action": "SCMP_ACT_ALLOW"},
                {"names": ["never_heard_of"], "action": "SCMP_ACT_ALLOW"}]});
        world.ask(&wish(&["call", number], profile(document)))
    };
    assert_eq!(call(1, "1023"), "errno 38");
    assert_eq!(call(1, &number("getppid")), "errno 1");
    assert_eq!(call(13, &number("getppid")), "errno 13");
}

const EVERYTHING_THE_PROBE_NEEDS: &[&str] = &[
    "read",
    "write",
    "close",
    "openat",
    "openat2",
    "fstat",
    "newfstatat",
    "statx",
    "mmap",
    "munmap",
    "mprotect",
    "mremap",
    "brk",
    "rt_sigaction",
    "rt_sigprocmask",
    "sigaltstack",
    "arch_prctl",
    "set_tid_address",
    "set_robust_list",
    "rseq",
    "prlimit64",
    "poll",
    "ppoll",
    "getrandom",
    "execve",
    "exit",
    "exit_group",
    "futex",
    "fcntl",
    "ioctl",
    "prctl",
    "capset",
    "setgroups",
    "setresuid",
    "setresgid",
    "fchdir",
    "getcwd",
    "stat",
    "access",
    "faccessat",
    "faccessat2",
    "umask",
    "close_range",
    "sched_getaffinity",
    "gettid",
    "madvise",
    "sendmsg",
    "readlink",
    "readlinkat",
    "pread64",
    "fstatfs",
    "statfs",
    "dup",
    "open",
    "lstat",
    "getdents64",
    "setuid",
    "setgid",
    "geteuid",
    "getegid",
    "getuid",
    "getgid",
    "dup2",
    "dup3",
    "lseek",
    "uname",
    "getpid",
];

/// An agent's socket; what comes to it.
struct Agent(OwnedFd);

impl Agent {
    fn listen(path: &Path) -> Self {
        Self(sys::socket::listen(path, sys::socket::Type::STREAM).unwrap())
    }

    fn receive(&self) -> (ContainerProcessState, OwnedFd) {
        let mut accepted = None;
        eventually("the runtime connects", || {
            accepted = sys::socket::accept(&self.0).unwrap();
            accepted.is_some()
        });
        let mut buffer = vec![0; 64 * 1024];
        let mut received = sys::socket::receive(accepted.unwrap(), &mut buffer).unwrap();
        let told = serde_json::from_slice(&buffer[..received.length]).unwrap();
        assert_eq!(received.fds.len(), 1);
        (told, received.fds.remove(0))
    }
}

fn asking(path: &Path, names: &[&str]) -> LinuxSeccomp {
    profile(
        json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": path, "listenerMetadata": "secret word",
        "syscalls": [{"names": names, "action": "SCMP_ACT_NOTIFY"}]}),
    )
}

fn state(world: &World) -> runtime::hooks::State {
    StateBuilder::default()
        .version("1.2.0")
        .id("watched")
        .bundle(&world.dir)
        .build()
        .unwrap()
}

/// Every call that init still makes under the filter waits for the agent too: here it answers all.
fn listener_gets_its_descriptor() {
    watched(false);
}

fn listener_with_no_new_privs() {
    watched(true);
}

fn watched(no_new_privs: bool) {
    let world = World::new();
    let path = world.path("agent");
    let agent = Agent::listen(&path);
    let call = number("getppid");
    let names = ["getppid", "getcwd", "sendmsg", "close", "umask"];
    let wish = Wish {
        state: Some(state(&world)),
        no_new_privs,
        ..wish(&["call", &call], asking(&path, &names))
    };
    // The agent answers on a thread of another process: the caller must have none.
    let answering = match sys::process::clone_single_threaded(0, None).unwrap() {
        sys::process::Cloned::Parent(child) => child,
        sys::process::Cloned::Child(_) => {
            let (told, waiting) = agent.receive();
            let whole = told.metadata().as_deref() == Some("secret word")
                && told.fds() == &["seccompFd"]
                && told.state().id() == "watched"
                && *told.pid() > 1;
            let told = if whole { 0 } else { 9 };
            while sys::seccomp::probe::answer(waiting.as_fd(), |number| {
                match number.to_string() == call {
                    true => Some(4711),
                    false => None,
                }
            })
            .is_ok()
            {}
            sys::process::exit_now(told)
        }
    };
    assert_eq!(world.ask(&wish), "4711");
    assert_eq!(sys::process::wait(&answering.pidfd).unwrap().code(), 0);
}

/// Who creates is the one the listener hears of; nobody answers, and still the creation returns.
fn listener_before_the_gate() {
    for no_new_privs in [false, true] {
        let world = World::new();
        let path = world.path("agent");
        let agent = Agent::listen(&path);
        let directory = sys::mount::open_root(&world.folder("container")).unwrap();
        let listener = runtime::gate::listen(directory.as_fd()).unwrap();
        let mut wish = Wish {
            state: Some(state(&world)),
            no_new_privs,
            ..wish(&["exit", "0"], asking(&path, &["getppid"]))
        };
        wish.gate = Gate::Listener(listener.as_fd());
        let (mut pending, ..) = world.spawn(&wish).unwrap();
        pending.built().unwrap_or_else(|e| panic!("{}", chain(&e)));
        let (told, _) = agent.receive();
        assert_eq!(*told.pid(), pending.pid());
        let status = std::fs::read_to_string(format!("/proc/{}/status", pending.pid())).unwrap();
        assert!(status.contains("Seccomp:\t2"), "{status}");
        let started = pending.leave().unwrap();
        runtime::gate::open(directory.as_fd()).unwrap_or_else(|e| panic!("{}", chain(&e)));
        assert_eq!(sys::process::wait(&started.pidfd).unwrap().code(), 0);
    }
}

fn missing_listener() {
    let world = World::new();
    let path = world.path("nobody");
    let mut unheard = wish(&["exit", "0"], asking(&path, &["getppid"]));
    let error = world.refused(&unheard);
    assert!(
        chain(&error).contains("needs the container's state"),
        "{}",
        chain(&error)
    );
    unheard.state = Some(state(&world));
    let error = world.refused(&unheard);
    let told = chain(&error).to_lowercase();
    let expected = format!(
        "cannot reach the seccomp listener at {}: no such file",
        path.display()
    );
    assert!(told.starts_with(&expected), "{told}");
}
