//! `exec` and `attach`: a further process in a running container, and the first one's streams.

use testkit::{Host, eventually, kernel, scenarios};

scenarios!(
    exec_joins_the_container,
    exec_on_a_terminal,
    exec_detached,
    attach_joins_the_streams
);

fn exec_joins_the_container(host: &Host) {
    host.docker("run -d --name cc -e KEPT=yes -w /tmp -m 64m busybox sleep 1000")
        .ok();
    let pid = host.pid("cc");
    assert_eq!(host.docker("exec cc pwd").ok(), "/tmp");
    assert_eq!(
        host.docker("exec -w /etc -e MORE=1 cc sh -c 'echo $KEPT $MORE $PWD'")
            .ok(),
        "yes 1 /etc"
    );
    assert_eq!(host.docker("exec -u 1000:5 cc id -u").ok(), "1000");
    assert_eq!(
        host.docker("exec -i cc cat").stdin("through").ok(),
        "through"
    );
    let output = host
        .docker("exec cc sh -c 'echo out; echo err >&2; exit 3'")
        .fails(3);
    assert_eq!(
        (output.stdout.as_str(), output.stderr.as_str()),
        ("out\n", "err\n")
    );
    for kind in ["mnt", "pid", "net", "ipc", "uts"] {
        let inside = host
            .docker(&format!("exec cc readlink /proc/self/ns/{kind}"))
            .ok();
        assert_eq!(
            inside,
            kernel::tool(&format!("readlink /proc/{pid}/ns/{kind}")),
            "{kind}"
        );
    }
    let status = host.docker("exec cc cat /proc/self/status").ok();
    assert!(
        status.contains("CapEff:\t00000000a80425fb") && status.contains("Seccomp:\t2"),
        "confined alike: {status}"
    );
    let groups = host.docker("exec cc cat /proc/self/cgroup").ok();
    assert!(
        groups
            .lines()
            .filter(|l| l.contains(":memory:") || l.starts_with("0::"))
            .all(|l| !l.contains("/../")),
        "{groups}"
    );
    let whole = host
        .docker("exec --privileged cc grep CapEff /proc/self/status")
        .ok();
    assert_ne!(whole, "CapEff:\t00000000a80425fb");
    host.docker("exec cc no-such-program").fails(127);
    host.docker("exec cc /etc").fails(126);
    host.docker("exec nothing true")
        .fails(1)
        .says(&["No such container: nothing"]);
    host.docker("stop -t 0 cc").ok();
    host.docker("exec cc true")
        .fails(1)
        .says(&["is not running"]);
}

fn exec_on_a_terminal(host: &Host) {
    host.docker("run -d --name cc busybox sleep 1000").ok();
    let mut session = host.on_a_terminal("exec -it cc sh").start();
    session.says("/ #");
    session.write(b"tty; echo $((50+5)); exit 4\n");
    let (code, text) = session.end();
    assert_eq!(code, 4, "{text}");
    assert!(text.contains("/dev/pts/") && text.contains("55"), "{text}");
    assert!(kernel::lives(host.pid("cc")));
}

fn exec_detached(host: &Host) {
    host.docker("run -d --name cc busybox sleep 1000").ok();
    host.docker("exec -d cc sh -c 'sleep 0.2; echo done > /flag; sleep 500'")
        .ok();
    let pid = host.pid("cc");
    eventually("it went on", || {
        std::fs::read_to_string(format!("/proc/{pid}/root/flag")).ok()
    });
    host.docker("rm -f cc").ok();
    eventually("it ends with its container", || {
        host.processes().is_empty().then_some(())
    });
}

fn attach_joins_the_streams(host: &Host) {
    host.docker("run -d -i --name cc busybox sh -c 'while read x && test $x != quit; do echo \"<$x>\"; done; exit 8'")
        .ok();
    let mut first = host.docker("attach cc").start();
    let second = host.docker("attach --no-stdin cc").start();
    std::thread::sleep(std::time::Duration::from_millis(300));
    first.write(b"word\n");
    first.says("<word>");
    second.says("<word>");
    drop(second);
    let mut third = host.docker("attach cc").start();
    third.write(b"more\n");
    third.says("<more>");
    first.kill_9();
    third.write(b"quit\n");
    let (code, text) = third.end();
    assert_eq!(code, 8, "{text}");
    assert!(
        host.docker("logs cc")
            .run()
            .stdout
            .contains("<word>\n<more>")
    );
}
