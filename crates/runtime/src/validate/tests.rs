//! Specs by their JSON, as callers write them, and the text of the refusal.

use super::*;

const GOOD: &str = r#"{
    "ociVersion": "1.0.0", "root": {"path": "rootfs"},
    "process": {"cwd": "/", "user": {}, "args": ["true"]},
    "linux": {"namespaces": [{"type": "mount"}]}
}"#;

/// The good spec with one property set, by its JSON pointer.
fn with(pointer: &str, value: &str) -> Spec {
    let mut document: serde_json::Value = serde_json::from_str(GOOD).unwrap();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let mut place = &mut document;
    for part in parent.split('/').skip(1) {
        place = place
            .as_object_mut()
            .unwrap()
            .entry(part)
            .or_insert_with(|| serde_json::json!({}));
    }
    place[key] = serde_json::from_str(value).unwrap();
    serde_json::from_value(document).unwrap()
}

fn refusal(pointer: &str, value: &str) -> String {
    match validate(&with(pointer, value)) {
        Ok(()) => format!("{pointer} = {value} was taken"),
        Err(error) => error.to_string(),
    }
}

fn taken(pointer: &str, value: &str) {
    if let Err(error) = validate(&with(pointer, value)) {
        panic!("{pointer} = {value}: {error}");
    }
}

fn spec(json: &str) -> Spec {
    serde_json::from_str(json).unwrap()
}

/// The spec of `GOOD` with these namespaces and these properties of `linux`.
fn linux(namespaces: &str, rest: &str) -> Result<(), Error> {
    let list: Vec<String> = namespaces
        .split_whitespace()
        .map(|word| match word.split_once('=') {
            Some((kind, path)) => format!(r#"{{"type":"{kind}","path":"{path}"}}"#),
            None => format!(r#"{{"type":"{word}"}}"#),
        })
        .collect();
    validate(&spec(&format!(
        r#"{{"ociVersion":"1.2.0","root":{{"path":"r"}},"linux":{{"namespaces":[{}]{}{rest}}}}}"#,
        list.join(","),
        if rest.is_empty() { "" } else { "," },
    )))
}

fn told(namespaces: &str, rest: &str) -> String {
    linux(namespaces, rest).unwrap_err().to_string()
}

#[test]
fn good_ones() {
    validate(&spec(GOOD)).unwrap();
    for version in ["1.0.0", "1.2.1-dev", "1.0.2+dev", "1.3.0"] {
        taken("/ociVersion", &format!("{version:?}"));
    }
    // A process is wanted by the start, not by the creation.
    validate(&spec(r#"{"ociVersion":"1.0.0","root":{"path":"r"}}"#)).unwrap();
}

#[test]
fn versions_and_roots() {
    for version in ["", "2.0.0", "0.2.0", "1", "1.0", "1.x.0", "1.0.0.0", "one"] {
        let text = refusal("/ociVersion", &format!("{version:?}"));
        assert!(text.starts_with("ociVersion: "), "{text}");
    }
    assert_eq!(refusal("/root", "null"), "root: missing");
    assert_eq!(refusal("/root/path", "\"\""), "root.path: is empty");
}

#[test]
fn processes() {
    let cases = [
        ("/process/cwd", r#""""#, "process.cwd: is empty"),
        (
            "/process/cwd",
            r#""tmp""#,
            r#"process.cwd: "tmp" is not an absolute path"#,
        ),
        (
            "/process/args",
            r#"["a","b\u0000c"]"#,
            "process.args[1]: holds a zero byte",
        ),
        (
            "/process/env",
            r#"["A=\u0000"]"#,
            "process.env[0]: holds a zero byte",
        ),
        (
            "/process/user/umask",
            "4096",
            "process.user.umask: 0o10000 is out of range (0 to 0777)",
        ),
        (
            "/process/oomScoreAdj",
            "-1001",
            "process.oomScoreAdj: -1001 is out of range (-1000 to 1000)",
        ),
        (
            "/process/ioPriority",
            r#"{"class":"IOPRIO_CLASS_BE","priority":8}"#,
            "process.ioPriority.priority: 8 is out of range (0 to 7)",
        ),
        (
            "/process/consoleSize",
            r#"{"height":70000,"width":1}"#,
            "process.consoleSize: 70000x1 is out of range (0 to 65535)",
        ),
        (
            "/process/execCPUAffinity",
            r#"{"initial":"3-1"}"#,
            r#"process.execCPUAffinity.initial: "3-1" is not a list of numbers and ranges (0-3,7)"#,
        ),
        (
            "/process/rlimits",
            r#"[{"type":"RLIMIT_CORE","soft":1,"hard":1},{"type":"RLIMIT_CORE","soft":1,"hard":1}]"#,
            "process.rlimits: RLIMIT_CORE is given twice",
        ),
        (
            "/process/rlimits",
            r#"[{"type":"RLIMIT_CORE","soft":2,"hard":1}]"#,
            "process.rlimits: the soft limit 2 of RLIMIT_CORE is higher than its hard limit 1",
        ),
    ];
    for (pointer, value, text) in cases {
        assert_eq!(refusal(pointer, value), text);
    }
}

#[test]
fn more_files_than_the_kernel_gives_anybody() {
    let told = refusal(
        "/process/rlimits",
        r#"[{"type":"RLIMIT_NOFILE","soft":1,"hard":18446744073709551615}]"#,
    );
    assert!(told.contains("sysctl fs.nr_open"), "{told}");
    taken(
        "/process/rlimits",
        r#"[{"type":"RLIMIT_NOFILE","soft":1,"hard":1024}]"#,
    );
}

#[test]
fn schedulers() {
    let told = |value: &str| refusal("/process/scheduler", value);
    for (value, text) in [
        (
            r#"{"policy":"SCHED_ISO"}"#,
            "no kernel has the policy SCHED_ISO",
        ),
        (
            r#"{"policy":"SCHED_OTHER","nice":20}"#,
            "nice 20 is out of range (-20 to 19)",
        ),
        (
            r#"{"policy":"SCHED_BATCH","priority":1}"#,
            "priority 1 belongs to SCHED_FIFO and SCHED_RR, not to SCHED_BATCH",
        ),
        (
            r#"{"policy":"SCHED_RR","priority":100}"#,
            "priority 100 is out of range (1 to 99)",
        ),
        (
            r#"{"policy":"SCHED_FIFO","period":5}"#,
            "runtime, deadline and period belong to SCHED_DEADLINE, not to SCHED_FIFO",
        ),
        (
            r#"{"policy":"SCHED_DEADLINE","deadline":5000}"#,
            "sched_setattr: `SCHED_DEADLINE` requires `runtime`",
        ),
        (
            r#"{"policy":"SCHED_DEADLINE","runtime":5000}"#,
            "sched_setattr: `SCHED_DEADLINE` requires `deadline`",
        ),
        (
            r#"{"policy":"SCHED_DEADLINE","runtime":0,"deadline":5000}"#,
            "sched_setattr: `SCHED_DEADLINE` runtime must be greater than 0",
        ),
        (
            r#"{"policy":"SCHED_DEADLINE","runtime":6000,"deadline":5000}"#,
            "sched_setattr: `SCHED_DEADLINE` runtime (6000) must be <= deadline (5000)",
        ),
        (
            r#"{"policy":"SCHED_DEADLINE","runtime":2000,"deadline":5000,"period":3000}"#,
            "sched_setattr: `SCHED_DEADLINE` deadline (5000) must be <= period (3000)",
        ),
        (
            r#"{"policy":"SCHED_DEADLINE","runtime":3,"deadline":5000}"#,
            "sched_setattr: `SCHED_DEADLINE` runtime (3) must be between 1024 and 9223372036854775808",
        ),
    ] {
        assert_eq!(told(value), format!("process.scheduler: {text}"));
    }
    taken(
        "/process/scheduler",
        r#"{"policy":"SCHED_DEADLINE","runtime":10000000,"deadline":20000000}"#,
    );
    taken(
        "/process/scheduler",
        r#"{"policy":"SCHED_FIFO","priority":10}"#,
    );
}

#[test]
fn hooks() {
    assert_eq!(
        refusal("/hooks/createRuntime", r#"[{"path":"/a"},{"path":"b"}]"#),
        r#"hooks.createRuntime[1].path: "b" is not an absolute path"#
    );
    assert_eq!(
        refusal("/hooks/poststop", r#"[{"path":"/a","timeout":0}]"#),
        "hooks.poststop[0].timeout: 0 is not greater than zero"
    );
}

#[test]
fn namespaces() {
    assert_eq!(told("pid pid", ""), "linux.namespaces: pid is given twice");
    assert_eq!(
        told("network=net", ""),
        r#"linux.namespaces[0].path: "net" is not an absolute path"#
    );
    assert_eq!(
        refusal("/hostname", "\"web\""),
        "hostname: needs a uts namespace in linux.namespaces"
    );
    taken("/hostname", "\"\"");
    let map = r#""uidMappings":[{"containerID":0,"hostID":0,"size":1}]"#;
    assert_eq!(
        told("mount", map),
        "linux.uidMappings: needs a user namespace in linux.namespaces"
    );
    assert_eq!(
        told("user", map),
        "linux.namespaces: a new user namespace needs linux.uidMappings and linux.gidMappings"
    );
    linux("user=/proc/self/ns/user", "").unwrap();
    assert!(
        told(
            "user",
            r#""uidMappings":[{"containerID":0,"hostID":4294967295,"size":2}]"#
        )
        .starts_with("linux.uidMappings: 0:4294967295:2 is out of range")
    );
    let offsets = r#""timeOffsets":{"monotonic":{"secs":5}}"#;
    assert_eq!(
        told("mount", offsets),
        "linux.timeOffsets: needs a time namespace in linux.namespaces"
    );
    linux("time", offsets).unwrap();
    assert!(told("time=/proc/self/ns/time", offsets).starts_with("linux.timeOffsets: a time"));
    assert!(
        told("time", r#""timeOffsets":{"realtime":{}}"#).contains("unknown clock \"realtime\"")
    );
}

#[test]
fn sysctls_belong_to_namespaces() {
    let key =
        |namespaces: &str, key: &str| linux(namespaces, &format!(r#""sysctl":{{"{key}":"1"}}"#));
    key("ipc", "kernel.msgmax").unwrap();
    key("ipc", "kernel/shmmax").unwrap();
    key("ipc", "fs.mqueue.msg_max").unwrap();
    key("network", "net.ipv4.ip_forward").unwrap();
    key("network", "net/ipv4/conf/eth0.1/forwarding").unwrap();
    key("uts", "kernel.domainname").unwrap();
    for (namespaces, name) in [
        ("mount", "kernel.msgmax"),
        ("mount", "fs.mqueue.msg_max"),
        ("ipc", "net.ipv4.ip_forward"),
        ("network=/proc/self/ns/net", "net.ipv4.ip_forward"),
        ("uts", "kernel.hostname"),
        ("ipc network uts", "vm.overcommit_memory"),
        ("ipc network uts", "kernel.core_pattern"),
        ("ipc network uts", "user.max_user_namespaces"),
        ("network", "net/../kernel/core_pattern"),
        ("network", "net.//.//.kernel.core_pattern"),
        ("network", ""),
    ] {
        let error = key(namespaces, name).unwrap_err();
        assert!(matches!(error, Error::Sysctl { .. }), "{name}: {error}");
    }
}

#[test]
fn the_domain_name_is_one() {
    let both = |sysctl: &str| {
        validate(&spec(&format!(
            r#"{{"ociVersion":"1.2.0","root":{{"path":"r"}},"domainname":"example.org",
            "linux":{{"namespaces":[{{"type":"uts"}}],"sysctl":{{"kernel/domainname":"{sysctl}"}}}}}}"#
        )))
    };
    both("example.org").unwrap();
    let error = both("example.com").unwrap_err().to_string();
    assert!(
        error.ends_with("the property domainname sets another"),
        "{error}"
    );
}

#[test]
fn the_rest_of_linux() {
    assert!(told("mount", r#""cgroupsPath":"/a/../../b""#).starts_with("linux.cgroupsPath: "));
    assert_eq!(
        told("mount", r#""rootfsPropagation":"loud""#),
        r#"linux.rootfsPropagation: unknown value "loud""#
    );
    assert_eq!(
        told("mount", r#""personality":{"domain":"LINUX","flags":["X"]}"#),
        r#"linux.personality.flags: "X" is not supported, no flag is"#
    );
    assert_eq!(
        told("mount", r#""memoryPolicy":{"mode":"MPOL_BIND"}"#),
        "linux.memoryPolicy: MPOL_BIND needs at least one node"
    );
    assert_eq!(
        told(
            "mount",
            r#""memoryPolicy":{"mode":"MPOL_LOCAL","nodes":"0"}"#
        ),
        "linux.memoryPolicy: MPOL_LOCAL takes no nodes"
    );
    assert_eq!(
        told("mount", r#""netDevices":{"eth0":{}}"#),
        "linux.netDevices: needs a network namespace in linux.namespaces"
    );
    for name in ["", "..", "a/b", "a b", "sixteen-letters!"] {
        assert!(
            told("network", &format!(r#""netDevices":{{"{name}":{{}}}}"#))
                .contains("is not a name")
        );
    }
    assert!(
        told(
            "mount",
            r#""devices":[{"type":"c","path":"null","major":1,"minor":3}]"#
        )
        .starts_with("linux.devices[0].path")
    );
    assert!(
        told(
            "mount",
            r#""devices":[{"type":"c","path":"/dev/x","major":-1,"minor":3}]"#
        )
        .contains("-1:3 is out of range")
    );
    assert!(told("mount", r#""maskedPaths":["proc"]"#).starts_with("linux.maskedPaths"));
    if !sys::lsm::has_resctrl() {
        assert!(told("mount", r#""intelRdt":{"closID":"x"}"#).contains("no resctrl file system"));
    }
    assert!(told("mount", r#""intelRdt":{"closID":"../x"}"#).starts_with("linux.intelRdt.closID"));
}

#[test]
fn unknown_system_calls_are_an_error_on_request() {
    let asked = |value: &str, name: &str| {
        validate(&spec(&format!(
            r#"{{"ociVersion":"1.2.0","root":{{"path":"/"}},"annotations":{{"run.oci.seccomp_fail_unknown_syscall":"{value}"}},
            "linux":{{"seccomp":{{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{{"names":["{name}"],"action":"SCMP_ACT_ERRNO"}}]}}}}}}"#
        )))
    };
    assert_eq!(
        asked("1", "raed").unwrap_err(),
        Error::UnknownSyscall("raed".to_owned())
    );
    asked("0", "raed").unwrap();
    // One that only another architecture has.
    asked("1", "chown32").unwrap();
}

#[test]
fn seccomp_profiles() {
    let profile = |rest: &str| {
        told(
            "mount",
            &format!(r#""seccomp":{{"defaultAction":"SCMP_ACT_ALLOW"{rest}}}"#),
        )
    };
    let rule = |rest: &str| profile(&format!(r#","syscalls":[{{"names":["read"],{rest}}}]"#));
    assert!(rule(r#""action":"SCMP_ACT_NOTIFY""#).ends_with("need a listenerPath"));
    assert!(rule(r#""action":"SCMP_ACT_ERRNO","errnoRet":4096"#).contains("4096 is out of range"));
    assert!(
        rule(r#""action":"SCMP_ACT_ERRNO","args":[{"index":6,"value":0,"op":"SCMP_CMP_EQ"}]"#)
            .contains("argument 6 of read")
    );
    linux(
        "mount",
        r#""seccomp":{"defaultAction":"SCMP_ACT_ALLOW","flags":["SECCOMP_FILTER_FLAG_LOG","SECCOMP_FILTER_FLAG_TSYNC"]}"#,
    )
    .unwrap();
    assert!(profile(r#","listenerPath":"here""#).contains("not an absolute path"));
    assert!(
        profile(
            r#","listenerPath":"/s","syscalls":[{"names":["write"],"action":"SCMP_ACT_NOTIFY"}]"#
        )
        .contains("system call write")
    );
    assert!(
        told(
            "mount",
            r#""seccomp":{"defaultAction":"SCMP_ACT_NOTIFY","listenerPath":"/s"}"#
        )
        .contains("cannot be the default")
    );
}

#[test]
fn mounts_and_warnings() {
    assert!(refusal("/mounts", r#"[{"destination":""}]"#).contains("destination is empty"));
    assert!(
        refusal(
            "/mounts",
            r#"[{"destination":"/a","uidMappings":[{"containerID":0,"hostID":1,"size":1}]}]"#
        )
        .contains("both uidMappings and gidMappings")
    );
    assert_eq!(
        warnings(&with("/mounts", r#"[{"destination":"data"}]"#)),
        ["mounts: the relative destination data is taken from /"]
    );
    assert_eq!(
        warnings(&with(
            "/process/capabilities",
            r#"{"ambient":["CAP_KILL"],"permitted":["CAP_KILL"]}"#
        )),
        [
            "process.capabilities.ambient: CAP_KILL is left out, it is not both permitted and inheritable"
        ]
    );
}

#[test]
fn labels_need_their_module() {
    taken("/process/apparmorProfile", "\"unconfined\"");
    taken("/process/selinuxLabel", "\"\"");
    if !sys::lsm::has_apparmor() {
        assert!(refusal("/process/apparmorProfile", "\"strict\"").contains("AppArmor"));
    }
    if !sys::lsm::has_selinux() {
        assert!(refusal("/process/selinuxLabel", "\"a:b:c\"").contains("SELinux"));
    }
}
