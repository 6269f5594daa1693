//! What a process asks of the kernel beside its identity: scheduler, I/O priority, processors, memory, domain, limits.

use crate::world::{Running, Wish, World, chain};
use oci_spec::runtime::{Linux, LinuxMemoryPolicy, LinuxPersonality, Process, Spec};
use runtime::{ExecRequest, Limits, Seccomp, Stdio};
use serde_json::{Value, json};
use std::io::Read;
use std::os::fd::AsFd;

crate::cases![
    schedulers,
    io_priorities,
    personality,
    memory_policy,
    out_of_memory_score,
    exact_limits,
    inheritable_without_bounding,
    ambient_needs_both,
    additional_groups_are_exact,
    further_processes,
    processors_of_further_processes,
];

/// Sets properties of the process as JSON says them.
fn process_with(spec: &mut Spec, properties: &Value) {
    let process = spec.process().clone().unwrap();
    spec.set_process(Some(merged(&process, properties)));
}

fn merged(process: &Process, properties: &Value) -> Process {
    let mut document = serde_json::to_value(process).unwrap();
    for (key, value) in properties.as_object().unwrap() {
        document[key] = value.clone();
    }
    serde_json::from_value(document).unwrap()
}

fn ask(words: &[&str], properties: Value) -> Result<String, String> {
    let world = World::new();
    let wish = Wish {
        edit: Box::new(move |spec| process_with(spec, &properties)),
        limits: Limits::Exact,
        seccomp: Seccomp::Spec,
        ..Wish::probe(words)
    };
    match world.start(&wish) {
        Ok(mut running) => {
            let mut out = String::new();
            running.out.read_to_string(&mut out).unwrap();
            Ok(out.trim().to_owned())
        }
        Err(error) => Err(chain(&error)),
    }
}

/// Whether this very process may have the policy: a confined test host may not.
fn allowed(policy: u32, priority: u32, times: (u64, u64, u64)) -> bool {
    let before = sys::sched::get(0).unwrap();
    let wanted = sys::sched::Attributes {
        policy,
        priority,
        runtime: times.0,
        deadline: times.1,
        period: times.2,
        ..Default::default()
    };
    let done = sys::sched::set(0, &wanted).is_ok();
    sys::sched::set(0, &before).unwrap();
    done
}

fn schedulers() {
    let sched = |scheduler: Value| ask(&["sched"], json!({ "scheduler": scheduler }));
    // Newer kernels tell the length of a time slice after that.
    for (scheduler, told) in [
        (
            json!({"policy": "SCHED_BATCH", "nice": 5}),
            "policy 3 nice 5 priority 0 flags 0 ",
        ),
        (
            json!({"policy": "SCHED_OTHER", "nice": 7}),
            "policy 0 nice 7 priority 0 flags 0 ",
        ),
    ] {
        let said = sched(scheduler).unwrap();
        assert!(said.starts_with(told), "{said}");
    }
    assert!(
        sched(json!({"policy": "SCHED_IDLE"}))
            .unwrap()
            .starts_with("policy 5")
    );
    let fifo =
        sched(json!({"policy": "SCHED_FIFO", "priority": 10, "flags": ["SCHED_RESET_ON_FORK"]}));
    if allowed(sys::sched::policy::FIFO, 10, (0, 0, 0)) {
        assert_eq!(
            fifo.unwrap(),
            "policy 1 nice 0 priority 10 flags 1 times 0 0 0"
        );
    } else {
        assert_eq!(
            fifo.unwrap_err(),
            "cannot set the policy SCHED_FIFO: operation not permitted"
        );
    }
    let times = (10_000_000, 20_000_000, 20_000_000);
    let deadline = sched(json!({"policy": "SCHED_DEADLINE",
        "runtime": times.0, "deadline": times.1, "period": times.2}));
    if allowed(sys::sched::policy::DEADLINE, 0, times) {
        assert_eq!(
            deadline.unwrap(),
            "policy 6 nice 0 priority 0 flags 0 times 10000000 20000000 20000000"
        );
    } else {
        assert!(
            deadline
                .unwrap_err()
                .starts_with("cannot set the policy SCHED_DEADLINE")
        );
    }
}

fn io_priorities() {
    let priority = |class: &str, level: u32| {
        ask(
            &["ioprio"],
            json!({"ioPriority": {"class": class, "priority": level}}),
        )
    };
    assert_eq!(priority("IOPRIO_CLASS_BE", 3).unwrap(), "Some((2, 3))");
    assert_eq!(priority("IOPRIO_CLASS_IDLE", 7).unwrap(), "Some((3, 7))");
    match priority("IOPRIO_CLASS_RT", 0) {
        Ok(said) => assert_eq!(said, "Some((1, 0))"),
        Err(error) => assert_eq!(
            error,
            "cannot set the I/O priority IOPRIO_CLASS_RT 0: operation not permitted"
        ),
    }
}

fn linux_with(spec: &mut Spec, change: impl FnOnce(&mut Linux)) {
    let mut linux = spec.linux().clone().unwrap();
    change(&mut linux);
    spec.set_linux(Some(linux));
}

fn domain() -> LinuxPersonality {
    serde_json::from_value(json!({"domain": "LINUX32"})).unwrap()
}

fn personality() {
    let world = World::new();
    let wish = Wish {
        edit: Box::new(|spec| {
            linux_with(spec, |linux| {
                linux.set_personality(Some(domain()));
            });
        }),
        ..Wish::probe(&["machine"])
    };
    let told = world.ask(&wish);
    // What the kernel calls the machine for 32-bit programs.
    let expected = if cfg!(target_arch = "x86_64") {
        "i686"
    } else {
        "armv8l"
    };
    assert_eq!(told, expected);
}

fn memory_policy() {
    let world = World::new();
    let with = |policy: Value| {
        let policy: LinuxMemoryPolicy = serde_json::from_value(policy).unwrap();
        Wish {
            edit: Box::new(move |spec| {
                linux_with(spec, |linux| {
                    linux.set_memory_policy(Some(policy.clone()));
                });
            }),
            ..Wish::probe(&["cat", "/proc/self/numa_maps"])
        }
    };
    let wish = with(json!({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]}));
    match world.run(&wish) {
        Ok(outcome) => assert!(outcome.out.contains("bind=static:0"), "{}", outcome.out),
        // A kernel without NUMA.
        Err(error) => assert!(
            chain(&error).contains("function not implemented"),
            "{}",
            chain(&error)
        ),
    }
    let error = world.refused(&with(json!({"mode": "MPOL_BIND", "nodes": "1000"})));
    assert!(
        chain(&error).starts_with("cannot set the memory policy MPOL_BIND on the nodes \"1000\": "),
        "{}",
        chain(&error)
    );
}

fn out_of_memory_score() {
    let score = |score: i32| {
        ask(
            &["cat", "/proc/self/oom_score_adj"],
            json!({ "oomScoreAdj": score }),
        )
    };
    assert_eq!(score(500).unwrap(), "500");
    match score(-900) {
        Ok(said) => assert_eq!(said, "-900"),
        Err(error) => assert!(
            error.starts_with("cannot set the limit oom_score_adj=-900"),
            "{error}"
        ),
    }
}

/// No process may open so many files, whatever its rights.
fn exact_limits() {
    let limit = json!({"rlimits": [{"type": "RLIMIT_NOFILE", "soft": u64::MAX, "hard": u64::MAX}]});
    assert_eq!(
        ask(&["nofile"], limit).unwrap_err(),
        "cannot set the limit RLIMIT_NOFILE: operation not permitted"
    );
    let limit = json!({"rlimits": [{"type": "RLIMIT_NOFILE", "soft": 17, "hard": 20}]});
    assert_eq!(ask(&["nofile"], limit).unwrap(), "17 20");
}

fn sets(process: Value) -> String {
    let status = ask(&["status"], process).unwrap();
    let value = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap()
    };
    format!(
        "{:x} {:x} {:x} {:x}",
        value("CapInh"),
        value("CapPrm"),
        value("CapBnd"),
        value("CapAmb")
    )
}

fn inheritable_without_bounding() {
    let caps = json!({"capabilities": {"inheritable": ["CAP_KILL"], "bounding": []}});
    // Root inherits what is inheritable, even if it is not bounded.
    assert_eq!(sets(caps), "20 20 0 0");
}

fn ambient_needs_both() {
    let caps = json!({"user": {"uid": 1000, "gid": 1000}, "capabilities": {
        "bounding": ["CAP_KILL", "CAP_CHOWN"], "permitted": ["CAP_KILL", "CAP_CHOWN"],
        "inheritable": ["CAP_KILL"], "ambient": ["CAP_KILL", "CAP_CHOWN"]}});
    assert_eq!(sets(caps), "20 20 21 20");
    // Inheritable capabilities are empty unless they are asked for (CVE-2022-29162).
    let caps = json!({"capabilities": {"bounding": ["CAP_KILL"], "permitted": ["CAP_KILL"], "effective": ["CAP_KILL"]}});
    assert_eq!(sets(caps), "0 20 20 0");
}

fn additional_groups_are_exact() {
    let user = json!({"user": {"uid": 10, "gid": 10, "additionalGids": [150, 120, 150]}});
    let groups = ask(&["id"], user).unwrap();
    let mut groups: Vec<&str> = groups.strip_prefix("10 10 ").unwrap().split(',').collect();
    groups.sort_unstable();
    assert_eq!(groups, ["120", "150", "150"]);
}

fn exec(running: &Running, words: &[&str], properties: Value, linux: Option<&Linux>) -> String {
    let spec = crate::world::spec(&Wish::probe(words));
    let process = merged(spec.process().as_ref().unwrap(), &properties);
    let (mut reader, writer) = std::io::pipe().unwrap();
    let null = std::fs::File::open("/dev/null").unwrap();
    let started = runtime::exec(&ExecRequest {
        pidfd: running.started.pidfd.as_fd(),
        process: &process,
        user: None,
        stdio: Stdio::Fds {
            stdin: null.as_fd(),
            stdout: writer.as_fd(),
            stderr: writer.as_fd(),
        },
        cgroup: running.cgroup.as_ref(),
        seccomp: Seccomp::Default,
        pass_fds: 0,
        keyring: runtime::Keyring::New,
        limits: Limits::Exact,
        linux,
        state: None,
    })
    .unwrap_or_else(|e| panic!("{}", chain(&e)));
    drop(writer);
    let mut out = String::new();
    reader.read_to_string(&mut out).unwrap();
    sys::process::wait(&started.pidfd).unwrap();
    out.trim_end().to_owned()
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

fn further_processes() {
    let world = World::new();
    let running = running(&world);
    let scheduler = json!({"scheduler": {"policy": "SCHED_BATCH", "nice": 3},
        "ioPriority": {"class": "IOPRIO_CLASS_IDLE", "priority": 0}, "oomScoreAdj": 321});
    assert!(exec(&running, &["sched"], scheduler.clone(), None).starts_with("policy 3 nice 3"));
    assert_eq!(
        exec(&running, &["ioprio"], scheduler.clone(), None),
        "Some((3, 0))"
    );
    assert_eq!(
        exec(
            &running,
            &["cat", "/proc/self/oom_score_adj"],
            scheduler,
            None
        ),
        "321"
    );
    let mut linux = Linux::default();
    linux.set_personality(Some(domain()));
    let machine = exec(&running, &["machine"], json!({}), Some(&linux));
    assert_ne!(machine, rustix::system::uname().machine().to_string_lossy());
    let limit = json!({"rlimits": [{"type": "RLIMIT_NOFILE", "soft": 33, "hard": 44}]});
    assert_eq!(exec(&running, &["nofile"], limit, None), "33 44");
    // The caller has what he had.
    assert_eq!(sys::sched::get(0).unwrap().policy, 0);
}

fn processors_of_further_processes() {
    let ours = sys::cpuset::affinity().unwrap();
    let first = ours
        .words()
        .iter()
        .enumerate()
        .find(|(_, word)| **word != 0)
        .unwrap();
    let first = first.0 as u32 * 64 + first.1.trailing_zeros();
    let world = World::new();
    let running = running(&world);
    let list = |affinity: Value| {
        let status = exec(
            &running,
            &["status"],
            json!({ "execCPUAffinity": affinity }),
            None,
        );
        let line = status
            .lines()
            .find(|line| line.starts_with("Cpus_allowed_list:"));
        line.unwrap().split_whitespace().nth(1).unwrap().to_owned()
    };
    let one = first.to_string();
    assert_eq!(list(json!({ "final": one })), one);
    assert_eq!(list(json!({ "initial": one })), one);
    let all = list(json!({}));
    assert_eq!(list(json!({ "initial": one, "final": all })), all);
    assert_eq!(sys::cpuset::affinity().unwrap(), ours);
}
