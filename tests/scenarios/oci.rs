//! The OCI runtime command line: what a container engine asks of `runc`, asked of the binary under that name.
//!
//! Bundles are made from the host's static busybox.

use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use testkit::{Call, Host, eventually, kernel, scenarios};

scenarios!(
    a_container_is_created_started_killed_and_deleted,
    what_cannot_start_says_why_on_both_channels,
    run_passes_streams_descriptors_and_the_exit_code,
    limits_are_changed_and_usage_is_told,
    hooks_are_told_the_state_at_every_turn,
    a_configuration_that_cannot_be_is_refused_before_anything_is_made,
    it_is_called_by_every_name,
    nothing_is_left_of_a_creator_that_was_killed,
);

/// A bundle and the root its containers are remembered in.
pub(crate) struct Bench<'a> {
    host: &'a Host,
    pub(crate) bundle: PathBuf,
}

impl<'a> Bench<'a> {
    pub(crate) fn new(host: &'a Host) -> Self {
        let bundle = host.folder("bundle");
        root_file_system(&bundle.join("rootfs"));
        Self { host, bundle }
    }

    /// Writes `config.json`: this command, and what `change` makes of the rest.
    pub(crate) fn configure(&self, args: &[&str], change: impl FnOnce(&mut Value)) {
        let mut config = config(args);
        change(&mut config);
        std::fs::write(self.bundle.join("config.json"), config.to_string()).expect("a file");
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.host.folder("containers")
    }

    pub(crate) fn runc(&self, words: &str) -> Call {
        let root = self.root();
        let line = format!("--root {} {words}", root.display());
        self.host.call("runc", &line).dir(&self.bundle)
    }

    /// The same for a shell.
    pub(crate) fn runc_line(&self, words: &str) -> String {
        format!(
            "{} --root {} {words}",
            self.host.program("runc").display(),
            self.root().display()
        )
    }

    /// A call whose container keeps its streams: they are files, so that nobody waits for their end.
    pub(crate) fn aside(&self, words: &str) -> Call {
        let line = self.runc_line(words);
        let script =
            format!("{line} </dev/null >>out 2>err || {{ code=$?; cat err; exit $code; }}");
        Call::tool(Path::new("sh"), "-c")
            .arg(script)
            .dir(&self.bundle)
    }

    fn state(&self, id: &str) -> Value {
        serde_json::from_str(&self.runc(&format!("state {id}")).ok()).expect("JSON")
    }

    pub(crate) fn status(&self, id: &str) -> String {
        self.state(id)["status"]
            .as_str()
            .expect("a status")
            .to_owned()
    }

    #[track_caller]
    fn becomes(&self, id: &str, status: &str) {
        eventually(&format!("{id} is {status}"), || {
            (self.status(id) == status).then_some(())
        });
    }
}

/// busybox and a link for each of the programs that are called here.
pub(crate) fn root_file_system(root: &Path) {
    for directory in ["bin", "proc", "sys", "dev", "etc", "tmp", "root"] {
        std::fs::create_dir_all(root.join(directory)).expect("a directory");
    }
    std::fs::copy("/bin/busybox", root.join("bin/busybox")).expect("busybox-static");
    for name in [
        "sh", "cat", "echo", "sleep", "true", "id", "env", "ls", "tty", "stty", "pwd", "kill",
        "readlink", "stat",
    ] {
        std::os::unix::fs::symlink("busybox", root.join("bin").join(name)).expect("a link");
    }
    std::fs::write(root.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\n").expect("a file");
}

fn config(args: &[&str]) -> Value {
    let capabilities = json!(["CAP_CHOWN", "CAP_KILL", "CAP_SETUID", "CAP_SETGID"]);
    json!({
        "ociVersion": "1.2.0",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": args,
            "env": ["PATH=/bin", "ONE=1"],
            "cwd": "/",
            "capabilities": {"bounding": capabilities, "effective": capabilities, "permitted": capabilities},
            "noNewPrivileges": true,
        },
        "root": {"path": "rootfs"},
        "hostname": "inside",
        "annotations": {"org.example.key": "value"},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["newinstance", "ptmxmode=0666"]},
        ],
        "linux": {
            "namespaces": [
                {"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}, {"type": "network"}, {"type": "cgroup"},
            ],
        },
    })
}

fn a_container_is_created_started_killed_and_deleted(host: &Host) {
    let bench = Bench::new(host);
    bench.configure(&["sleep", "1000"], |_| {});
    bench.aside("create --pid-file pid one-life").ok();
    let state = bench.state("one-life");
    let pid = state["pid"].as_i64().expect("a pid");
    assert_eq!(state["status"], "created");
    assert_eq!(state["bundle"], bench.bundle.to_str().expect("a path"));
    assert_eq!(state["annotations"]["org.example.key"], "value");
    let written = std::fs::read_to_string(bench.bundle.join("pid")).expect("a pid file");
    assert_eq!(written, pid.to_string());
    // Init waits; nothing of the user's is executed.
    assert!(!kernel::command_line(pid as i32).contains("sleep"));
    bench
        .aside("create one-life")
        .fails(1)
        .says(&["already exists"]);

    bench.runc("start one-life").ok();
    assert_eq!(bench.status("one-life"), "running");
    assert_eq!(kernel::command_line(pid as i32).trim(), "sleep 1000");
    bench
        .runc("start one-life")
        .fails(1)
        .says(&["already running"]);
    bench
        .runc("delete one-life")
        .fails(1)
        .says(&["not stopped: running"]);
    bench.runc("list").run().says(&["one-life", "running"]);
    assert_eq!(bench.runc("list -q").ok().trim(), "one-life");
    let listed: Value = serde_json::from_str(&bench.runc("list --format json").ok()).expect("JSON");
    assert_eq!(listed[0]["pid"], pid);
    bench.runc("ps one-life").run().says(&["sleep 1000"]);
    assert_eq!(
        bench.runc("ps --format json one-life").ok().trim(),
        format!("[{pid}]")
    );

    bench.runc("kill one-life KILL").ok();
    bench.becomes("one-life", "stopped");
    assert_eq!(bench.state("one-life")["pid"], 0);
    bench.runc("kill one-life").fails(1).says(&["not running"]);
    bench.runc("start one-life").fails(1).says(&["has stopped"]);
    bench
        .runc("exec one-life true")
        .fails(255)
        .says(&["stopped"]);
    bench.runc("delete one-life").ok();
    bench
        .runc("state one-life")
        .fails(1)
        .says(&["does not exist"]);
    bench
        .runc("delete one-life")
        .fails(1)
        .says(&["does not exist"]);
    bench.runc("delete --force one-life").ok();
    assert_eq!(kernel::cgroups_with("one-life").len(), 0);
    assert_eq!(std::fs::read_dir(bench.root()).expect("a root").count(), 0);

    // One that was only created needs no force.
    bench.aside("create never-started").ok();
    bench.runc("delete never-started").ok();
}

fn what_cannot_start_says_why_on_both_channels(host: &Host) {
    let bench = Bench::new(host);
    bench.configure(&["no-such-program"], |_| {});
    bench
        .aside("create never-there")
        .fails(1)
        .says(&["executable file not found in $PATH"]);
    assert_eq!(bench.runc("list -q").ok(), "");

    // What only the kernel can tell is told by the start.
    let script = bench.bundle.join("rootfs/bin/orphaned");
    std::fs::write(&script, "#!/no/such/interpreter\n").expect("a file");
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&script, executable).expect("a mode");
    bench.configure(&["orphaned"], |_| {});
    bench.aside("create tells-why").ok();
    let words = "--log log.json --log-format json start tells-why";
    bench
        .runc(words)
        .fails(1)
        .says(&["/bin/orphaned", "no such file or directory"]);
    let log = std::fs::read_to_string(bench.bundle.join("log.json")).expect("a log");
    let line: Value = serde_json::from_str(log.trim()).expect("one line of JSON");
    assert_eq!(line["level"], "error");
    assert!(
        line["msg"].as_str().is_some_and(|m| m.contains("orphaned")),
        "{log}"
    );
    assert!(line["time"].is_string());
    bench.becomes("tells-why", "stopped");
    bench.runc("delete tells-why").ok();

    // Init that died while it waited.
    bench.configure(&["true"], |_| {});
    bench.aside("create died-waiting").ok();
    bench.runc("kill died-waiting KILL").ok();
    bench.becomes("died-waiting", "stopped");
    bench
        .runc("start died-waiting")
        .fails(1)
        .says(&["has stopped"]);
    bench.runc("delete died-waiting").ok();

    bench
        .runc("run nowhere --bundle /no/such")
        .fails(1)
        .says(&["config.json", "not found"]);
    bench
        .runc("run ../../etc")
        .fails(1)
        .says(&["invalid container ID"]);
    bench.runc("frobnicate x").fails(1).says(&["frobnicate"]);
    bench
        .runc("start --no-such x")
        .fails(1)
        .says(&["--no-such"]);
}

fn run_passes_streams_descriptors_and_the_exit_code(host: &Host) {
    let bench = Bench::new(host);
    // A pipe is the process's own, so that it can be opened again by name.
    bench.configure(&["stat", "-Lc", "%u:%g", "/proc/self/fd/1"], |config| {
        config["process"]["user"] = json!({"uid": 7, "gid": 8});
    });
    assert_eq!(bench.runc("run owns-its-output").ok(), "7:8");
    bench.configure(&["sh", "-c", "cat; echo to-stderr >&2; exit 7"], |_| {});
    let said = bench.runc("run passes-on").stdin("from outside").fails(7);
    assert_eq!(
        (said.stdout.as_str(), said.stderr.trim()),
        ("from outside", "to-stderr")
    );
    assert_eq!(
        bench.runc("list -q").ok(),
        "",
        "a run in the foreground leaves nothing"
    );
    bench.configure(&["sh", "-c", "kill -9 $$"], |config| {
        config["linux"]["namespaces"] = json!([{"type": "mount"}, {"type": "uts"}]);
    });
    bench.runc("run --keep killed-itself").fails(137);
    assert_eq!(bench.status("killed-itself"), "stopped");
    bench.runc("delete killed-itself").ok();

    // Descriptor 3 is passed on, 4 is not; what the runtime itself has open never is.
    bench.configure(
        &["sh", "-c", "cat <&3; ls /proc/self/fd; echo $LISTEN_FDS"],
        |_| {},
    );
    std::fs::write(bench.bundle.join("passed"), "passed\n").expect("a file");
    let script = format!(
        "exec 3<passed 4<passed; {} --root {} run --preserve-fds 1 keeps-three",
        host.program("runc").display(),
        bench.root().display()
    );
    let shell = |script: &str| {
        Call::tool(Path::new("sh"), "-c")
            .arg(script)
            .dir(&bench.bundle)
    };
    assert_eq!(
        shell(&script).ok().split_whitespace().collect::<Vec<_>>(),
        // 4 is the directory that ls reads.
        ["passed", "0", "1", "2", "3", "4"]
    );
    let activated = script
        .replace("--preserve-fds 1", "")
        .replace("; /", "; LISTEN_FDS=1 /");
    assert!(shell(&activated).ok().ends_with("4\n1"));
}

fn limits_are_changed_and_usage_is_told(host: &Host) {
    let bench = Bench::new(host);
    bench.configure(&["sleep", "1000"], |config| {
        config["linux"]["resources"] = json!({"pids": {"limit": 20}});
    });
    bench.aside("run -d has-limits").ok();
    let told = |bench: &Bench<'_>| -> Value {
        let event: Value =
            serde_json::from_str(&bench.runc("events --stats has-limits").ok()).expect("JSON");
        assert_eq!(
            (&event["type"], &event["id"]),
            (&json!("stats"), &json!("has-limits"))
        );
        event["data"].clone()
    };
    assert_eq!(told(&bench)["pids"], json!({"current": 1, "limit": 20}));
    bench
        .runc("update --pids-limit 30 --memory 64m has-limits")
        .ok();
    assert_eq!(told(&bench)["pids"]["limit"], 30);
    assert_eq!(told(&bench)["memory"]["usage"]["limit"], 64 << 20);
    bench
        .runc("update -r - has-limits")
        .stdin(r#"{"pids": {"limit": 40}}"#)
        .ok();
    assert_eq!(told(&bench)["pids"]["limit"], 40);
    bench
        .runc("update --memory lots has-limits")
        .fails(1)
        .says(&["lots"]);
    bench
        .runc("update --l3-cache-schema x has-limits")
        .fails(1)
        .says(&["intelRdt"]);

    let events = bench.runc("events --interval 50ms has-limits").start();
    events.says("\"stats\"");
    bench.runc("kill has-limits 9").ok();
    assert_eq!(events.end().0, 0, "events end with the container");
    bench
        .runc("events --stats has-limits")
        .fails(1)
        .says(&["not running"]);
    bench.runc("delete has-limits").ok();
}

fn hooks_are_told_the_state_at_every_turn(host: &Host) {
    let bench = Bench::new(host);
    let record = bench.bundle.join("turns");
    let hook = |kind: &str| {
        let script = format!("echo {kind} $(cat) >> {}", record.display());
        json!([{"path": "/bin/sh", "args": ["sh", "-c", script]}])
    };
    bench.configure(&["true"], |config| {
        config["hooks"] = json!({
            "createRuntime": hook("createRuntime"), "poststart": hook("poststart"), "poststop": hook("poststop"),
        });
    });
    bench.runc("run is-hooked").ok();
    let turns = std::fs::read_to_string(&record).expect("what the hooks wrote");
    let seen: Vec<(&str, Value)> = turns
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(kind, state)| (kind, serde_json::from_str(state).expect("a state")))
        .collect();
    let kinds: Vec<&str> = seen.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, ["createRuntime", "poststart", "poststop"]);
    let statuses: Vec<&Value> = seen.iter().map(|(_, state)| &state["status"]).collect();
    assert_eq!(statuses, ["creating", "running", "stopped"]);
    assert!(seen.iter().all(|(_, state)| state["id"] == "is-hooked"));
    assert!(seen[0].1["pid"].as_i64().is_some_and(|pid| pid > 0));

    // One that asks gets the same answer, whether it is created or run.
    bench.configure(&["true"], |config| {
        let ask = bench.runc_line("state is-asked");
        let ask = format!("{ask} >> {}", bench.bundle.join("asked").display());
        config["hooks"] =
            json!({"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", ask]}]});
    });
    bench.runc("run is-asked").ok();
    bench.aside("create is-asked").ok();
    bench.runc("delete -f is-asked").ok();
    let asked = std::fs::read_to_string(bench.bundle.join("asked")).expect("what state said");
    let answers = serde_json::Deserializer::from_str(&asked).into_iter::<Value>();
    let answers: Vec<Value> = answers.map(|answer| answer.expect("JSON")).collect();
    assert_eq!(answers.len(), 2);
    assert!(answers.iter().all(|state| state["status"] == "creating"));
    assert!(
        answers
            .iter()
            .all(|state| state["pid"].as_i64().is_some_and(|pid| pid > 0))
    );

    // One that fails before the start leaves no container.
    bench.configure(&["true"], |config| {
        let failing =
            json!([{"path": "/bin/sh", "args": ["sh", "-c", "echo not today >&2; exit 1"]}]);
        config["hooks"] = json!({"createRuntime": failing, "poststop": hook("undone")});
    });
    bench
        .runc("run is-refused")
        .fails(1)
        .says(&["createRuntime", "not today"]);
    assert_eq!(bench.runc("list -q").ok(), "");
    assert!(
        std::fs::read_to_string(&record)
            .expect("a file")
            .contains("undone")
    );
    assert_eq!(kernel::cgroups_with("is-refused").len(), 0);
}

fn a_configuration_that_cannot_be_is_refused_before_anything_is_made(host: &Host) {
    let bench = Bench::new(host);
    let refused = |change: &dyn Fn(&mut Value), words: &[&str]| {
        bench.configure(&["true"], change);
        bench.runc("run is-impossible").fails(1).says(words);
        assert_eq!(std::fs::read_dir(bench.root()).expect("a root").count(), 0);
        assert_eq!(kernel::cgroups_with("is-impossible").len(), 0);
    };
    refused(&|c| c["ociVersion"] = json!("7.0"), &["ociVersion"]);
    refused(
        &|c| c["root"]["path"] = json!("elsewhere"),
        &["elsewhere", "does not exist"],
    );
    refused(
        &|c| c["process"]["cwd"] = json!("relative"),
        &["process.cwd"],
    );
    refused(
        &|c| c["linux"]["namespaces"] = json!([{"type": "sideways"}]),
        &["linux.namespaces"],
    );
    refused(
        &|c| c["mounts"][0]["options"] = json!(["no-such-option"]),
        &["no-such-option"],
    );
    refused(
        &|c| drop(c.as_object_mut().map(|c| c.remove("process"))),
        &["process"],
    );
    let twice = json!([{"type": "mount"}, {"type": "mount"}]);
    refused(&|c| c["linux"]["namespaces"] = twice.clone(), &["twice"]);
}

fn it_is_called_by_every_name(host: &Host) {
    for (name, words) in [
        ("runc", "--version"),
        ("crun", "--version"),
        ("dockless", "oci --version"),
    ] {
        let said = host.call(name, words).ok();
        let lines: Vec<&str> = said.lines().collect();
        assert!(
            lines[0].contains(" version ") && lines[1].starts_with("commit: "),
            "{said}"
        );
        assert!(lines.iter().any(|l| l.starts_with("spec: 1.")), "{said}");
        // What it can is told in crun's words where crun's callers look for them.
        let told = lines.iter().any(|line| line.starts_with("+SYSTEMD "));
        assert_eq!(told, name == "crun", "{said}");
    }
    let features: Value = serde_json::from_str(&host.call("crun", "features").ok()).expect("JSON");
    assert!(features["ociVersionMax"].is_string() && features["linux"]["namespaces"].is_array());
    let bench = Bench::new(host);
    bench.configure(&["echo", "hello"], |_| {});
    let root = bench.root();
    let words = format!(
        "--cgroup-manager cgroupfs --root {} run --config config.json named",
        root.display()
    );
    assert_eq!(host.call("crun", &words).dir(&bench.bundle).ok(), "hello");
    let words = format!(
        "oci --root {} --systemd-cgroup=false run -b . again",
        root.display()
    );
    assert_eq!(host.dockless(&words).dir(&bench.bundle).ok(), "hello");
    // `spec` writes what `run` takes.
    let fresh = host.folder("fresh");
    root_file_system(&fresh.join("rootfs"));
    host.call("runc", "spec").dir(&fresh).ok();
    host.call("runc", "spec")
        .dir(&fresh)
        .fails(1)
        .says(&["exists"]);
    let text = std::fs::read_to_string(fresh.join("config.json")).expect("a file");
    let mut config: Value = serde_json::from_str(&text).expect("JSON");
    config["process"]["terminal"] = json!(false);
    config["process"]["args"] = json!(["echo", "as written"]);
    std::fs::write(fresh.join("config.json"), config.to_string()).expect("a file");
    let words = format!("--root {} run from-spec", root.display());
    assert_eq!(host.call("runc", &words).dir(&fresh).ok(), "as written");
}

fn nothing_is_left_of_a_creator_that_was_killed(host: &Host) {
    let bench = Bench::new(host);
    let hold = bench.bundle.join("hold");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &hold,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .expect("a FIFO");
    bench.configure(&["sleep", "1000"], |config| {
        let script = format!("echo > {}; sleep 1000", hold.display());
        config["hooks"] =
            json!({"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", script]}]});
    });
    let creator = bench.runc("create half-made").start();
    // The hook runs: everything before it is made.
    std::fs::read(&hold).expect("the hook's line");
    assert_eq!(bench.status("half-made"), "creating");
    for verb in ["start", "delete --force", "kill", "pause"] {
        let call = bench.runc(&format!("{verb} half-made"));
        call.fails(1).says(&["being created"]);
    }
    creator.kill_9();
    eventually("init has ended with its creator", || {
        let groups = kernel::cgroups_with("half-made");
        let empty = |group: &PathBuf| {
            std::fs::read_to_string(group.join("cgroup.procs")).is_ok_and(|pids| pids.is_empty())
        };
        groups.iter().all(empty).then_some(())
    });
    bench
        .runc("state half-made")
        .fails(1)
        .says(&["does not exist"]);
    bench.runc("delete --force half-made").ok();
    bench.configure(&["echo", "again"], |_| {});
    assert_eq!(
        bench.runc("run half-made").ok(),
        "again",
        "the id is free again"
    );
}
