//! `run`: exit codes, what the process is given, how it is confined, and what it may see.

use testkit::{Host, eventually, kernel, scenarios};

scenarios!(
    exit_codes_are_dockers,
    the_process_gets_what_was_asked_for,
    it_is_confined_by_default,
    privileges_are_given_and_taken,
    mounts_of_every_kind,
    standard_streams_are_passed_on,
    a_terminal_is_a_terminal,
    detaching_from_a_terminal_leaves_it_running,
    namespaces_are_shared_when_asked,
    init_reaps,
    the_name_is_taken,
);

fn exit_codes_are_dockers(host: &Host) {
    host.docker("run --rm busybox true").fails(0);
    host.docker("run --rm busybox sh -c 'exit 42'").fails(42);
    host.docker("run --rm busybox no-such-program")
        .fails(127)
        .says(&["no-such-program"]);
    host.docker("run --rm busybox /etc")
        .fails(126)
        .says(&["/etc"]);
    host.docker("run --rm --no-such busybox").fails(125);
    host.docker("run --rm --network nowhere busybox true")
        .fails(125)
        .says(&["nowhere"]);
    host.docker("run --rm -u nobody-here busybox true")
        .run()
        .says(&["nobody-here"]);
    host.docker("run --name kept busybox sh -c 'exit 3'")
        .fails(3);
    assert_eq!(
        host.inspect(
            "kept",
            "{{.State.ExitCode}} {{.State.Status}} {{.State.OOMKilled}}"
        ),
        "3 exited false"
    );
    host.docker("rm kept").ok();
    assert_eq!(host.docker("ps -aq").ok(), "", "--rm leaves nothing");
    assert_eq!(
        kernel::files_below(&host.data_root().join("containers")).len(),
        0
    );
}

fn the_process_gets_what_was_asked_for(host: &Host) {
    let folder = host.folder("env");
    std::fs::write(folder.join("list"), "FROM_FILE=yes\n# comment\nINHERITED\n").expect("a file");
    host.docker("run -d --name cc -e A=1 -e GIVEN -e EMPTY= -w /tmp/new/dir -u 1000:2000 --group-add 44 -h my-host \
                 --ulimit nofile=100:200 --sysctl net.ipv4.ip_unprivileged_port_start=1 -l who=me --entrypoint sleep \
                 --add-host db.example:192.0.2.9 --dns 192.0.2.53 --dns-search example.org --env-file env/list busybox 1000")
        .env("GIVEN", "by the shell")
        .env("INHERITED", "too")
        .ok();
    let pid = host.pid("cc");
    let environment = kernel::environment(pid);
    for (key, value) in [
        ("A", "1"),
        ("GIVEN", "by the shell"),
        ("EMPTY", ""),
        ("FROM_FILE", "yes"),
        ("INHERITED", "too"),
        ("HOSTNAME", "my-host"),
    ] {
        assert_eq!(
            environment.get(key).map(String::as_str),
            Some(value),
            "{key}"
        );
    }
    assert!(environment.contains_key("PATH") && environment.contains_key("HOME"));
    assert_eq!(kernel::command_line(pid), "sleep 1000");
    assert_eq!(kernel::status_field(pid, "Uid"), "1000\t1000\t1000\t1000");
    assert_eq!(kernel::status_field(pid, "Gid"), "2000\t2000\t2000\t2000");
    assert!(
        kernel::status_field(pid, "Groups")
            .split_whitespace()
            .any(|g| g == "44")
    );
    assert_eq!(
        std::fs::read_link(format!("/proc/{pid}/cwd"))
            .expect("cwd")
            .to_string_lossy(),
        "/tmp/new/dir"
    );
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).expect("limits");
    assert!(
        limits
            .lines()
            .any(|l| l.starts_with("Max open files") && l.contains(" 100 ") && l.contains(" 200 ")),
        "{limits}"
    );
    assert_eq!(host.docker("exec cc hostname").ok(), "my-host");
    assert_eq!(
        host.docker("exec cc cat /proc/sys/net/ipv4/ip_unprivileged_port_start")
            .ok(),
        "1"
    );
    let hosts = kernel::file_in(pid, "/etc/hosts");
    assert!(
        hosts.contains("192.0.2.9") && hosts.contains("db.example") && hosts.contains("my-host"),
        "{hosts}"
    );
    assert!(kernel::file_in(pid, "/etc/resolv.conf").contains("example.org"));
    assert_eq!(host.inspect("cc", "{{.Config.Labels.who}}"), "me");
    // Names are looked up in the image's own files.
    assert_eq!(
        host.docker("run --rm -u nobody busybox id -un").ok(),
        "nobody"
    );
    let user = host.docker("run --rm -u daemon:www-data debian id").ok();
    assert!(
        user.contains("(daemon)") && user.contains("(www-data)"),
        "{user}"
    );
    let cid = folder.join("cid");
    let id = host
        .docker("run -d --rm --cidfile")
        .arg(&cid)
        .arg("busybox")
        .arg("sleep")
        .arg("1000")
        .ok();
    assert_eq!(std::fs::read_to_string(cid).expect("the file"), id);
    host.docker("kill").arg(id).ok();
}

fn it_is_confined_by_default(host: &Host) {
    host.docker("run -d --name cc busybox sleep 1000").ok();
    let pid = host.pid("cc");
    assert_eq!(
        kernel::status_field(pid, "NoNewPrivs"),
        "0",
        "Docker's default"
    );
    assert_eq!(kernel::status_field(pid, "Seccomp"), "2", "a filter");
    assert_eq!(
        kernel::status_field(pid, "CapBnd"),
        "00000000a80425fb",
        "Docker's fourteen"
    );
    assert_eq!(kernel::status_field(pid, "CapEff"), "00000000a80425fb");
    assert_eq!(kernel::status_field(pid, "CapInh"), "0000000000000000");
    let me = i32::try_from(std::process::id()).expect("a pid");
    for kind in ["mnt", "pid", "net", "ipc", "uts", "cgroup"] {
        assert_ne!(
            kernel::namespaces(&[pid], kind),
            kernel::namespaces(&[me], kind),
            "{kind}"
        );
    }
    let mounts = kernel::mounts_of(pid);
    let at = |target: &str| {
        mounts
            .iter()
            .rfind(|m| m.target == target)
            .unwrap_or_else(|| panic!("{target}: {mounts:?}"))
    };
    assert_eq!(at("/").kind, "overlay");
    assert!(at("/sys").has("ro") && at("/proc").has("nosuid") && at("/dev").kind == "tmpfs");
    for masked in [
        "/proc/kcore",
        "/proc/keys",
        "/proc/timer_list",
        "/sys/firmware",
    ] {
        assert!(
            !std::path::Path::new(masked).exists() || mounts.iter().any(|m| m.target == masked),
            "{masked} is masked"
        );
    }
    for read_only in ["/proc/sys", "/proc/bus", "/proc/irq", "/proc/sysrq-trigger"] {
        assert!(
            !std::path::Path::new(read_only).exists() || at(read_only).has("ro"),
            "{read_only}"
        );
    }
    assert!(
        host.docker("exec cc sh -c 'echo 1 > /proc/sys/kernel/panic'")
            .run()
            .code
            != 0
    );
    assert!(host.docker("exec cc mount -t tmpfs x /mnt").run().code != 0);
    assert!(
        host.docker("exec cc mknod /tmp/disk b 254 0").run().code != 0
            || host.docker("exec cc head -c 1 /tmp/disk").run().code != 0
    );
    assert!(host.docker("exec cc unshare -m true").run().code != 0);
    let seen = host
        .docker("exec cc sh -c 'ls /proc | grep -c \"^[0-9]\"'")
        .ok();
    assert!(
        seen.parse::<u32>().is_ok_and(|n| n < 8),
        "it sees its own processes alone: {seen}"
    );
    // Nothing of it shows in the host's own mount table.
    let data = host.data_root();
    let ours = kernel::mounts_of(me)
        .into_iter()
        .filter(|m| m.target.starts_with(data.to_str().expect("text")))
        .count();
    assert_eq!(ours, 0);
}

fn privileges_are_given_and_taken(host: &Host) {
    let caps = |name: &str| {
        u64::from_str_radix(&kernel::status_field(host.pid(name), "CapEff"), 16)
            .expect("hexadecimal")
    };
    host.docker(
        "run -d --name added --cap-add NET_ADMIN --cap-add cap_sys_time busybox sleep 1000",
    )
    .ok();
    assert_ne!(caps("added") & (1 << 12), 0);
    assert_ne!(caps("added") & (1 << 25), 0);
    host.docker("run -d --name dropped --cap-drop ALL --cap-add CHOWN busybox sleep 1000")
        .ok();
    assert_eq!(caps("dropped"), 1);
    host.docker("run -d --name all --privileged busybox sleep 1000")
        .ok();
    let all = host.pid("all");
    assert_eq!(kernel::status_field(all, "Seccomp"), "0");
    let me = i32::try_from(std::process::id()).expect("a pid");
    assert_eq!(
        kernel::status_field(all, "CapEff"),
        kernel::status_field(me, "CapEff")
    );
    assert!(
        !kernel::mounts_of(all)
            .iter()
            .any(|m| m.target == "/proc/kcore")
    );
    host.docker("run -d --name nnp --security-opt no-new-privileges --security-opt seccomp=unconfined busybox sleep 1000").ok();
    assert_eq!(kernel::status_field(host.pid("nnp"), "NoNewPrivs"), "1");
    assert_eq!(kernel::status_field(host.pid("nnp"), "Seccomp"), "0");
    assert_eq!(
        host.docker("run --rm -u 1000 busybox grep CapEff /proc/self/status")
            .ok(),
        "CapEff:\t0000000000000000"
    );
    host.docker("run --rm --cap-add NO_SUCH busybox true")
        .fails(125)
        .says(&["NO_SUCH"]);
    host.docker(
        "run --rm --device /dev/null:/dev/nothing:rw busybox sh -c 'echo x > /dev/nothing'",
    )
    .ok();
}

fn mounts_of_every_kind(host: &Host) {
    let folder = host.folder("shared");
    std::fs::write(folder.join("file"), "host").expect("a file");
    let shared = folder.display();
    host.docker(&format!(
        "run -d --name cc -v {shared}:/rw -v {shared}:/ro:ro -v {shared}/file:/one-file --mount type=bind,src={shared},dst=/long,readonly \
         --tmpfs /scratch:size=1m,mode=700 --mount type=tmpfs,dst=/more -v vol:/vol -v /anonymous --shm-size 8m --read-only busybox sleep 1000"
    ))
    .ok();
    let pid = host.pid("cc");
    let mounts = kernel::mounts_of(pid);
    let at = |target: &str| {
        mounts
            .iter()
            .rfind(|m| m.target == target)
            .unwrap_or_else(|| panic!("{target}"))
    };
    assert!(
        at("/rw").has("rw") && at("/ro").has("ro") && at("/long").has("ro") && at("/").has("ro")
    );
    assert!(
        at("/scratch").kind == "tmpfs"
            && at("/scratch").has("size=1024k")
            && at("/scratch").has("mode=700")
    );
    assert!(at("/more").kind == "tmpfs" && at("/dev/shm").has("size=8192k"));
    assert_eq!(kernel::file_in(pid, "/one-file"), "host");
    assert_ne!(host.docker("exec cc touch /x").run().code, 0);
    assert_ne!(host.docker("exec cc touch /ro/x").run().code, 0);
    host.docker("exec cc touch /rw/from-inside /vol/x /anonymous/x /scratch/x")
        .ok();
    assert!(folder.join("from-inside").exists());
    assert_eq!(host.docker("volume ls -q").ok().lines().count(), 2);
    host.docker("rm -f -v cc").ok();
    assert_eq!(
        host.docker("volume ls -q").ok(),
        "vol",
        "-v takes the anonymous one along"
    );
    host.docker(&format!(
        "run --rm -v {shared}/made/by/the/engine:/x busybox true"
    ))
    .ok();
    assert!(folder.join("made/by/the/engine").is_dir());
    let output = host
        .docker(&format!(
            "run --rm --mount type=bind,src={shared}/missing,dst=/x busybox true"
        ))
        .fails(125);
    output.says(&["missing"]);
}

fn standard_streams_are_passed_on(host: &Host) {
    host.docker("pull busybox").ok();
    let output = host
        .docker("run --rm busybox sh -c 'echo out; echo err >&2'")
        .run();
    assert_eq!(
        (output.stdout.as_str(), output.stderr.as_str()),
        ("out\n", "err\n")
    );
    let big: Vec<u8> = (0..2_000_000_u32)
        .map(|i| b'a' + u8::try_from(i % 26).unwrap_or(0))
        .collect();
    let output = host
        .docker("run --rm -i busybox md5sum")
        .stdin(big.clone())
        .run();
    let copied = host
        .docker("run --rm -i busybox cat")
        .stdin(big.clone())
        .run();
    assert_eq!(copied.stdout.as_bytes(), big, "every byte, in order");
    assert!(output.stdout.contains("  -"), "{output}");
    assert_eq!(
        host.docker("run --rm busybox cat").stdin("unread").ok(),
        "",
        "without -i there is no input"
    );
    host.docker("run --rm -a stdout busybox sh -c 'echo out; echo err >&2'")
        .run()
        .says(&["out"]);
    // The command's end does not wait for who else holds its output, nor the container for the command.
    let id = host
        .docker("run -d busybox sh -c 'echo hi; sleep 1000'")
        .ok();
    assert_eq!(id.len(), 64);
    assert!(kernel::lives(host.pid(&id)));
}

fn a_terminal_is_a_terminal(host: &Host) {
    let mut session = host
        .on_a_terminal("run -it --rm --name cc busybox sh")
        .start();
    session.says("/ #");
    session.write(b"tty; stty size; echo $((40+2)); trap 'echo caught' INT; echo $TERM\n");
    session.says("/dev/pts/0");
    session.says("42");
    session.says("xterm");
    session.write(b"sleep 1000\n");
    eventually("it sleeps", || {
        host.docker("top cc")
            .run()
            .stdout
            .contains("sleep 1000")
            .then_some(())
    });
    session.write(b"\x03");
    session.write(b"echo again $((1+1))\n");
    session.says("again 2");
    session.write(b"exit 7\n");
    let (code, text) = session.end();
    assert_eq!(code, 7, "{text}");
    host.docker("run --rm -t busybox tty")
        .run()
        .says(&["/dev/pts/0"]);
    assert_ne!(
        host.docker("run --rm -it busybox true")
            .stdin("x")
            .run()
            .code,
        0,
        "-t wants a terminal for input"
    );
}

fn detaching_from_a_terminal_leaves_it_running(host: &Host) {
    let mut session = host.on_a_terminal("run -it --name cc busybox sh").start();
    session.says("/ #");
    session.write(b"echo before; ");
    session.write(b"\x10\x11");
    let (code, text) = session.end();
    assert_eq!(code, 0, "{text}");
    assert!(kernel::lives(host.pid("cc")));
    let mut again = host.on_a_terminal("attach cc").start();
    again.write(b"echo after $((2+3))\n");
    again.says("after 5");
    again.write(b"exit 0\n");
    assert_eq!(again.end().0, 0);
    assert_eq!(host.inspect("cc", "{{.State.Status}}"), "exited");
}

fn namespaces_are_shared_when_asked(host: &Host) {
    let me = i32::try_from(std::process::id()).expect("a pid");
    host.docker("run -d --name aa busybox sleep 1000").ok();
    host.docker("run -d --name bb --network container:aa --pid container:aa --ipc container:aa busybox sleep 2000").ok();
    let (a, b) = (host.pid("aa"), host.pid("bb"));
    for kind in ["net", "pid", "ipc"] {
        assert_eq!(
            kernel::namespaces(&[a], kind),
            kernel::namespaces(&[b], kind),
            "{kind}"
        );
    }
    host.docker(
        "run -d --name hh --network host --pid host --uts host --ipc host busybox sleep 1000",
    )
    .ok();
    let h = host.pid("hh");
    for kind in ["net", "uts", "ipc"] {
        assert_eq!(
            kernel::namespaces(&[h], kind),
            kernel::namespaces(&[me], kind),
            "{kind}"
        );
    }
    assert!(
        host.docker("exec hh ps -o pid")
            .ok()
            .split_whitespace()
            .any(|pid| pid == std::process::id().to_string()),
        "the host's processes"
    );
    assert_eq!(
        host.docker("run --rm --network none busybox sh -c 'ls /sys/class/net'")
            .ok(),
        "lo"
    );
}

fn init_reaps(host: &Host) {
    host.docker("run -d --init --name cc busybox sh -c '(sleep 0.1 &) ; sleep 1000'")
        .ok();
    let first = host.docker("exec cc cat /proc/1/comm").ok();
    assert_ne!(first, "sh", "not the program itself");
    eventually("no zombie stays", || {
        let ps = host.docker("exec cc ps -o stat,comm").ok();
        (!ps.lines().any(|l| l.starts_with('Z')) && ps.matches("sleep").count() == 1).then_some(())
    });
    host.docker("stop -t 20 cc").ok();
    assert_eq!(
        host.inspect("cc", "{{.State.ExitCode}}"),
        "143",
        "init passes the signal on"
    );
}

fn the_name_is_taken(host: &Host) {
    host.docker("create --name cc busybox").ok();
    host.docker("create --name cc busybox")
        .fails(1)
        .says(&["cc", "already in use"]);
    host.docker("run --name cc busybox")
        .fails(125)
        .says(&["already in use"]);
    host.docker("run --name 'not a name' busybox")
        .fails(125)
        .says(&["not a name"]);
    host.docker("rename cc dd").ok();
    host.docker("create --name cc busybox").ok();
    host.docker("rename cc dd").fails(1);
    assert_eq!(
        host.docker("ps -a --format '{{.Names}}'")
            .ok()
            .lines()
            .count(),
        2
    );
}
