//! Further processes in a running container.

use crate::world::{Running, Wish, World, chain};
use oci_spec::runtime::Process;
use runtime::{ExecRequest, ExitStatus, Seccomp, Stdio, UserSpec};
use std::io::Read;
use std::os::fd::AsFd;

crate::cases![
    sees_what_the_container_sees,
    exit_codes,
    errors_are_told,
    user_and_directory,
    terminals,
    joins_the_groups,
    container_in_a_group_of_its_own_making,
    nothing_leaks_cve_2024_21626,
    nobody_looks_into_an_exec_cve_2016_9962,
    inheritable_capabilities_are_none_cve_2022_29162,
    script_that_names_the_runtime_cve_2019_5736,
    restrictions_hold,
    container_that_is_gone,
];

pub(crate) fn process(words: &[&str], cwd: &str) -> Process {
    let spec = crate::world::spec(&Wish {
        cwd,
        ..Wish::probe(words)
    });
    spec.process().clone().unwrap()
}

pub(crate) fn exec_process(
    running: &Running,
    process: &Process,
    user: Option<&str>,
) -> Result<(String, ExitStatus), runtime::Error> {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let null = std::fs::File::open("/dev/null").unwrap();
    let started = runtime::exec(&ExecRequest {
        pidfd: running.started.pidfd.as_fd(),
        process,
        user: user.map(|user| UserSpec {
            user: user.to_owned(),
            add_groups: Vec::new(),
        }),
        stdio: Stdio::Fds {
            stdin: null.as_fd(),
            stdout: writer.as_fd(),
            stderr: writer.as_fd(),
        },
        cgroup: running.cgroup.as_ref(),
        seccomp: Seccomp::Default,
        pass_fds: 0,
        keyring: runtime::Keyring::New,
        limits: runtime::Limits::WithinOurs,
        linux: None,
        state: None,
    })?;
    drop(writer);
    let mut out = String::new();
    reader.read_to_string(&mut out).unwrap();
    Ok((
        out.trim_end().to_owned(),
        sys::process::wait(&started.pidfd).unwrap(),
    ))
}

fn exec(running: &Running, words: &[&str]) -> String {
    let (out, status) = exec_process(running, &process(words, "/"), None)
        .unwrap_or_else(|e| panic!("{}", chain(&e)));
    assert_eq!(status, ExitStatus::Code(0), "{out}");
    out
}

fn running(world: &World) -> Running {
    let mut running = world
        .start(&Wish {
            cgroup: true,
            ..Wish::probe(&["sleep"])
        })
        .unwrap();
    running.wait_for("ready");
    running
}

fn sees_what_the_container_sees() {
    let world = World::new();
    let running = running(&world);
    assert_eq!(exec(&running, &["pids"]), "1 2");
    assert_eq!(
        exec(&running, &["cat", "/proc/sys/kernel/hostname"]),
        "probed"
    );
    assert_eq!(exec(&running, &["write", "/etc/x", "x"]), "ok");
    assert_eq!(exec(&running, &["cat", "/etc/x"]), "x");
    assert_eq!(
        exec(&running, &["ls", "/sys/class/net"]),
        exec(&running, &["ls", "/sys/class/net"])
    );
    // The caller is where it was.
    assert_ne!(
        std::fs::read_to_string("/proc/sys/kernel/hostname")
            .unwrap()
            .trim(),
        "probed"
    );
}

fn exit_codes() {
    let world = World::new();
    let running = running(&world);
    let (_, status) = exec_process(&running, &process(&["exit", "9"], "/"), None).unwrap();
    assert_eq!(status, ExitStatus::Code(9));
}

fn errors_are_told() {
    let world = World::new();
    let running = running(&world);
    let mut missing = process(&[], "/");
    missing.set_args(Some(vec!["nope".to_owned()]));
    let error = exec_process(&running, &missing, None).unwrap_err();
    assert_eq!(
        (chain(&error).as_str(), error.exit_code()),
        ("exec: \"nope\": executable file not found in $PATH", 127)
    );
    missing.set_args(Some(vec!["/bin/plain".to_owned()]));
    assert_eq!(
        exec_process(&running, &missing, None)
            .unwrap_err()
            .exit_code(),
        126
    );
    let error = exec_process(&running, &process(&[], "/no/such"), None).unwrap_err();
    assert!(
        chain(&error).contains("working directory /no/such: no such file or directory"),
        "{}",
        chain(&error)
    );
}

fn user_and_directory() {
    let world = World::new();
    let running = running(&world);
    assert_eq!(
        exec_process(&running, &process(&["id"], "/"), Some("redis"))
            .unwrap()
            .0,
        "999 1000 50,1000"
    );
    assert_eq!(
        exec_process(&running, &process(&["cwd"], "/data"), None)
            .unwrap()
            .0,
        "/data"
    );
}

fn terminals() {
    let world = World::new();
    let running = running(&world);
    let started = runtime::exec(&ExecRequest {
        pidfd: running.started.pidfd.as_fd(),
        process: &process(&["tty"], "/"),
        user: None,
        stdio: Stdio::Terminal {
            rows: 5,
            columns: 6,
        },
        cgroup: None,
        seccomp: Seccomp::Default,
        pass_fds: 0,
        keyring: runtime::Keyring::New,
        limits: runtime::Limits::WithinOurs,
        linux: None,
        state: None,
    })
    .unwrap();
    let master = started.terminal.unwrap();
    let mut buffer = [0; 256];
    let length = rustix::io::read(&master, &mut buffer).unwrap();
    let text = String::from_utf8_lossy(&buffer[..length]);
    assert_eq!(
        text.trim(),
        "/dev/pts/0 5x6 leader=true foreground=true control=true"
    );
    sys::process::wait(&started.pidfd).unwrap();
}

fn joins_the_groups() {
    let world = World::new();
    let running = running(&world);
    // In the container's cgroup namespace its own groups are the root.
    let groups = exec(&running, &["cat", "/proc/self/cgroup"]);
    let memory = groups
        .lines()
        .find(|line| line.contains(":memory:") || line.starts_with("0::"))
        .unwrap();
    assert!(memory.ends_with(":/"), "{groups}");
    assert_eq!(groups, exec(&running, &["cat", "/proc/1/cgroup"]));
}

/// A container that has moved itself into a group below its own.
fn container_in_a_group_of_its_own_making() {
    let world = World::new();
    let running = running(&world);
    let Some(mount) = sys::cgroupfs::detect().unwrap().v2 else {
        return;
    };
    let inner = mount.join(&world.parent).join("c/inner");
    std::fs::create_dir(&inner).unwrap();
    std::fs::write(inner.join("cgroup.procs"), running.started.pid.to_string()).unwrap();
    // Where init has gone is found by its handle.
    let pid = sys::process::pid_of(&running.started.pidfd).unwrap();
    assert!(crate::world::text(format!("/proc/{pid}/cgroup")).contains("/c/inner"));
    assert_eq!(exec(&running, &["pids"]), "1 2");
}

/// A process of the container's root that looks at everybody who comes.
fn nobody_looks_into_an_exec_cve_2016_9962() {
    let world = World::new();
    let mut running = world
        .start(&Wish {
            cgroup: true,
            ..Wish::probe(&["spy"])
        })
        .unwrap();
    running.wait_for("ready");
    for _ in 0..60 {
        exec(&running, &["exit", "0"]);
        exec_process(&running, &process(&["exit", "0"], "/"), Some("redis")).unwrap();
    }
    // The first process may end, and take this one along, before it has ended itself.
    exec_process(&running, &process(&["write", "/stop", ""], "/"), None).unwrap();
    let mut said = String::new();
    running.out.read_to_string(&mut said).unwrap();
    assert_eq!(said.trim(), "found {}");
}

/// A file of the container with capabilities of its own gives a process no more than the process may pass on.
fn inheritable_capabilities_are_none_cve_2022_29162() {
    let world = World::new();
    let running = running(&world);
    let status = exec(&running, &["status"]);
    let first = exec(&running, &["cat", "/proc/1/status"]);
    for text in [status, first] {
        assert!(text.contains("CapInh:\t0000000000000000"), "{text}");
        assert!(text.contains("CapAmb:\t0000000000000000"), "{text}");
    }
}

/// The kernel runs the interpreter a script names: here the runtime, inside the container. It is the read-only one.
fn script_that_names_the_runtime_cve_2019_5736() {
    let world = World::new();
    let running = running(&world);
    exec(
        &running,
        &["write", "/bin/evil", "#!/proc/self/exe sleep\n"],
    );
    exec(&running, &["chmod", "/bin/evil"]);
    let mut evil = process(&[], "/");
    evil.set_args(Some(vec!["/bin/evil".to_owned()]));
    let (_, status) = exec_process(&running, &evil, None).unwrap();
    // It ran, as what it is: a program of tests that knows no such case.
    assert!(matches!(status, ExitStatus::Code(_)));
    let own = std::fs::File::open("/proc/self/exe").unwrap();
    let flags = rustix::fs::fstatvfs(own).unwrap().f_flag;
    assert!(flags.contains(rustix::fs::StatVfsMountFlags::RDONLY));
}

fn nothing_leaks_cve_2024_21626() {
    let world = World::new();
    let running = running(&world);
    assert_eq!(exec(&running, &["ls", "/proc/self/fd"]), "0 1 2 3");
}

fn restrictions_hold() {
    let world = World::new();
    let running = running(&world);
    assert_eq!(exec(&running, &["clone3"]), "errno 38");
    let status = exec(&running, &["status"]);
    assert!(
        status.contains("CapEff:\t00000000a80425fb") && status.contains("Seccomp:\t2"),
        "{status}"
    );
}

fn container_that_is_gone() {
    let world = World::new();
    let running = running(&world);
    running.signal(9);
    crate::world::eventually("it ends", || {
        sys::process::peek_exit(&running.started.pidfd).is_ok_and(|status| status.is_some())
    });
    assert!(exec_process(&running, &process(&["exit", "0"], "/"), None).is_err());
}
