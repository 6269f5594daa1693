//! Restart policies: who is started again, how often, and who is let rest.

use testkit::{Host, eventually, kernel, scenarios};

scenarios!(
    on_failure_counts,
    always_comes_back_and_stop_is_obeyed,
    unless_stopped,
    a_killed_monitor_is_replaced,
    policies_are_checked,
);

fn count(host: &Host, name: &str) -> u32 {
    host.inspect(name, "{{.RestartCount}}")
        .parse()
        .expect("a number")
}

fn on_failure_counts(host: &Host) {
    host.docker(
        "run -d --name cc --restart on-failure:3 busybox sh -c 'echo run >> /runs; exit 2'",
    )
    .ok();
    eventually("it gives up", || {
        (host.inspect("cc", "{{.State.Status}}") == "exited" && count(host, "cc") == 3)
            .then_some(())
    });
    assert_eq!(host.inspect("cc", "{{.State.ExitCode}}"), "2");
    let folder = host.folder("out");
    host.docker("cp cc:/runs out/runs").ok();
    assert_eq!(
        std::fs::read_to_string(folder.join("runs"))
            .expect("a file")
            .lines()
            .count(),
        4,
        "once and three times more"
    );
    host.docker("run -d --name fine --restart on-failure busybox true")
        .ok();
    eventually("it ended well", || {
        (host.inspect("fine", "{{.State.Status}}") == "exited").then_some(())
    });
    assert_eq!(count(host, "fine"), 0);
}

fn always_comes_back_and_stop_is_obeyed(host: &Host) {
    host.docker("run -d --name cc --restart always -p 8080:80 busybox sh -c 'httpd -p 80 -h /etc; exec sleep 1000'").ok();
    let address = host.address("cc");
    for _ in 0..2 {
        let pid = host.pid("cc");
        kernel::kill_9(pid);
        eventually("another process", || {
            let now: i32 = host.inspect("cc", "{{.State.Pid}}").parse().ok()?;
            (now > 0 && now != pid && kernel::lives(now)).then_some(())
        });
    }
    assert_eq!(host.address("cc"), address, "under the same address");
    assert!(count(host, "cc") >= 2);
    eventually("its port serves", || {
        testkit::http::get("127.0.0.1:8080", "/hostname").filter(|p| p.status == 200)
    });
    host.docker("stop -t 0 cc").ok();
    assert_eq!(host.inspect("cc", "{{.State.Status}}"), "exited");
    eventually("no process of it", || {
        host.processes().is_empty().then_some(())
    });
    assert_eq!(host.docker("ps -q").ok(), "", "stopped is stopped");
    host.docker("start cc").ok();
    host.docker("kill cc").ok();
    assert_eq!(
        host.docker("ps -q").ok(),
        "",
        "killed by hand is stopped, too"
    );
    host.docker("run -d --name quick --restart always busybox true")
        .ok();
    eventually("it is restarted again and again", || {
        (count(host, "quick") >= 2).then_some(())
    });
    host.docker("rm -f quick").ok();
}

fn unless_stopped(host: &Host) {
    host.docker("run -d --name cc --restart unless-stopped busybox sleep 1000")
        .ok();
    let pid = host.pid("cc");
    kernel::kill_9(pid);
    eventually("it comes back", || {
        (host.inspect("cc", "{{.State.Running}}") == "true" && count(host, "cc") == 1).then_some(())
    });
    host.docker("rm -f cc").ok();
}

fn a_killed_monitor_is_replaced(host: &Host) {
    host.docker("run -d --name cc --restart always -p 8080:80 busybox sh -c 'httpd -p 80 -h /etc; i=0; while sleep 0.2; do i=$((i+1)); echo tick $i; done'").ok();
    let pid = host.pid("cc");
    let monitor = host.monitor_of("cc");
    kernel::kill_9(monitor);
    eventually("the monitor is gone", || {
        (!kernel::lives(monitor)).then_some(())
    });
    assert!(kernel::lives(pid), "the container goes on");
    assert_eq!(
        host.inspect("cc", "{{.State.Status}} {{.State.Pid}}"),
        format!("running {pid}")
    );
    host.docker("exec cc true").ok();
    eventually("its port serves", || {
        testkit::http::get("127.0.0.1:8080", "/hostname").filter(|p| p.status == 200)
    });
    let lines = || host.docker("logs cc").run().stdout.lines().count();
    let seen = lines();
    eventually("its log goes on", || (lines() > seen).then_some(()));
    // The new monitor does all the old one did.
    kernel::kill_9(pid);
    eventually("the policy holds", || {
        let now: i32 = host.inspect("cc", "{{.State.Pid}}").parse().ok()?;
        (now > 0 && now != pid && kernel::lives(now)).then_some(())
    });
    host.docker("stop -t 0 cc").ok();
    eventually("no process stays", || {
        host.processes().is_empty().then_some(())
    });
}

fn policies_are_checked(host: &Host) {
    host.docker("run -d --restart sometimes busybox true")
        .fails(125)
        .says(&["sometimes"]);
    host.docker("run -d --restart on-failure:x busybox true")
        .fails(125)
        .says(&["on-failure:x"]);
    host.docker("run --rm --restart always busybox true")
        .fails(125)
        .says(&["--rm"]);
}
