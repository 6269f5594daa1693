//! From create to rm: states, signals, waiting, pausing, copying, statistics, events.

use testkit::{Host, eventually, kernel, scenarios};

scenarios!(
    states_follow_the_verbs,
    stopping_asks_and_then_kills,
    waiting_gives_the_exit_code,
    pausing_stops_the_clock,
    copying_in_and_out,
    statistics_and_processes,
    events_tell_what_happened,
    several_at_once_and_one_wrong,
    removing_by_force_whatever_it_does,
);

fn status(host: &Host, name: &str) -> String {
    host.inspect(name, "{{.State.Status}}")
}

fn states_follow_the_verbs(host: &Host) {
    let id = host
        .docker("create --name cc busybox sh -c 'echo run >> /count; sleep 1000'")
        .ok();
    assert_eq!(status(host, "cc"), "created");
    host.docker("start cc").ok();
    let first = host.pid("cc");
    assert!(kernel::lives(first));
    host.docker("start cc").ok();
    assert_eq!(host.pid("cc"), first, "started once");
    host.docker("rm cc").fails(1).says(&["running"]);
    host.docker("restart -t 0 cc").ok();
    assert_ne!(host.pid("cc"), first);
    eventually("its file system was kept", || {
        (kernel::file_in(host.pid("cc"), "/count") == "run\nrun\n").then_some(())
    });
    host.docker("stop -t 0 cc").ok();
    assert_eq!(status(host, "cc"), "exited");
    assert_eq!(host.docker("ps -q").ok(), "");
    assert_eq!(host.docker("ps -aq --no-trunc").ok(), id);
    host.docker(&format!("start {}", &id[..6])).ok();
    host.docker("kill -s KILL cc").ok();
    eventually("the signal ends it", || {
        (status(host, "cc") == "exited").then_some(())
    });
    assert_eq!(host.inspect("cc", "{{.State.ExitCode}}"), "137");
    host.docker("rm cc").ok();
    assert!(!host.data_root().join("containers").join(&id).exists());
    eventually("no cgroup stays", || {
        kernel::cgroups_with(&id).is_empty().then_some(())
    });
    host.docker("start -a -i cc").fails(1);
    host.docker("create --name dd busybox sh -c 'read x; echo got $x; exit 6'")
        .ok();
    host.docker("rm dd").ok();
    host.docker("create -i --name dd busybox sh -c 'read x; echo got $x; exit 6'")
        .ok();
    let output = host.docker("start -a -i dd").stdin("word\n").fails(6);
    assert!(output.stdout.contains("got word"), "{output}");
}

/// A signal that finds no handler yet is nothing to the first process of a container.
fn its_handlers_are_set(host: &Host, name: &str) {
    let pid = host.pid(name);
    eventually("its handlers are set", || {
        (kernel::status_field(pid, "SigCgt") != "0000000000000000").then_some(())
    });
}

fn stopping_asks_and_then_kills(host: &Host) {
    host.docker(
        "run -d --name polite busybox sh -c 'trap \"exit 5\" TERM; while :; do sleep 0.1; done'",
    )
    .ok();
    its_handlers_are_set(host, "polite");
    host.docker("stop polite").ok();
    assert_eq!(host.inspect("polite", "{{.State.ExitCode}}"), "5");
    host.docker("run -d --name deaf busybox sh -c 'trap \"\" TERM; while :; do sleep 0.1; done'")
        .ok();
    host.docker("stop -t 1 deaf").ok();
    assert_eq!(host.inspect("deaf", "{{.State.ExitCode}}"), "137");
    host.docker("run -d --name odd localhost/odd:stopsignal")
        .ok();
    its_handlers_are_set(host, "odd");
    host.docker("stop odd").ok();
    assert_eq!(
        host.inspect("odd", "{{.State.ExitCode}}"),
        "7",
        "the image's own signal"
    );
    host.docker("run -d --name named --stop-signal INT --stop-timeout 30 busybox sh -c 'trap \"exit 9\" INT; while :; do sleep 0.1; done'").ok();
    its_handlers_are_set(host, "named");
    host.docker("stop named").ok();
    assert_eq!(host.inspect("named", "{{.State.ExitCode}}"), "9");
}

fn waiting_gives_the_exit_code(host: &Host) {
    host.docker("run -d --name cc -i busybox sh -c 'sleep 0.5; exit 11'")
        .ok();
    let waiter = host.docker("wait cc").start();
    let (code, text) = waiter.end();
    assert_eq!((code, text.trim()), (0, "11"));
    assert_eq!(host.docker("wait cc").ok(), "11", "also afterwards");
}

fn pausing_stops_the_clock(host: &Host) {
    host.docker("run -d --name cc busybox sh -c 'i=0; while :; do i=$((i+1)); echo $i > /i; done'")
        .ok();
    host.docker("pause cc").ok();
    assert_eq!(status(host, "cc"), "paused");
    let pid = host.pid("cc");
    let time = || kernel::tool(&format!("cut -d' ' -f14,15 /proc/{pid}/stat"));
    let before = eventually("it stands still", || {
        let now = time();
        std::thread::sleep(std::time::Duration::from_millis(100));
        (time() == now).then_some(now)
    });
    assert_eq!(time(), before);
    host.docker("exec cc true").fails(1).says(&["paused"]);
    host.docker("unpause cc").ok();
    eventually("it goes on", || (time() != before).then_some(()));
    host.docker("unpause cc").fails(1);
    host.docker("pause cc").ok();
    host.docker("rm -f cc").ok();
    assert!(!kernel::lives(pid));
}

fn copying_in_and_out(host: &Host) {
    let folder = host.folder("copy");
    std::fs::create_dir_all(folder.join("tree/sub")).expect("a folder");
    std::fs::write(folder.join("tree/sub/file"), "contents").expect("a file");
    std::os::unix::fs::symlink("sub/file", folder.join("tree/link")).expect("a link");
    host.docker("run -d --name cc -v data:/data busybox sleep 1000")
        .ok();
    host.docker("cp copy/tree cc:/tmp/").ok();
    assert_eq!(
        kernel::file_in(host.pid("cc"), "/tmp/tree/sub/file"),
        "contents"
    );
    host.docker("cp copy/tree/sub/file cc:/data/renamed").ok();
    assert_eq!(
        host.docker("exec cc cat /data/renamed").ok(),
        "contents",
        "into a volume, too"
    );
    host.docker("exec cc sh -c 'ln -s /etc /tmp/escape; echo new > /tmp/tree/new'")
        .ok();
    host.docker("cp cc:/tmp/tree copy/back").ok();
    assert_eq!(
        std::fs::read_to_string(folder.join("back/new")).expect("a file"),
        "new\n"
    );
    assert!(
        std::fs::symlink_metadata(folder.join("back/link"))
            .expect("a link")
            .is_symlink()
    );
    let stream = host.docker("cp cc:/tmp/tree/new -").run();
    assert!(stream.stdout.contains("new\n"), "a tar stream");
    host.docker("stop -t 0 cc").ok();
    host.docker("cp cc:/tmp/tree/sub/file copy/while-stopped")
        .ok();
    assert_eq!(
        std::fs::read_to_string(folder.join("while-stopped")).expect("a file"),
        "contents"
    );
    host.docker("cp cc:/nowhere copy/x")
        .fails(1)
        .says(&["/nowhere"]);
    // A link inside the container leads inside the container.
    host.docker("start cc").ok();
    host.docker("exec cc ln -s /tmp/planted-by-cp /tmp/out")
        .ok();
    host.docker("cp copy/while-stopped cc:/tmp/out").run();
    assert!(!std::path::Path::new("/tmp/planted-by-cp").exists());
}

fn statistics_and_processes(host: &Host) {
    host.docker("run -d --name cc -m 64m busybox sh -c 'sleep 1000 & sleep 2000'")
        .ok();
    let top = eventually("both are there", || {
        Some(host.docker("top cc").ok())
            .filter(|t| t.contains("sleep 1000") && t.contains("sleep 2000"))
    });
    assert!(
        top.starts_with("UID") && top.contains(&host.pid("cc").to_string()),
        "{top}"
    );
    let line = host
        .docker("stats --no-stream --format '{{.Name}} {{.MemUsage}} {{.PIDs}} {{.CPUPerc}}' cc")
        .ok();
    assert!(
        line.starts_with("cc ") && line.contains("/ 64MiB") && line.contains('%'),
        "{line}"
    );
    assert!(
        host.docker("stats --no-stream")
            .ok()
            .contains("CONTAINER ID")
    );
}

fn events_tell_what_happened(host: &Host) {
    let watcher = host
        .docker("events --format '{{.Type}} {{.Action}} {{.Actor.Attributes.name}}'")
        .start();
    std::thread::sleep(std::time::Duration::from_millis(300));
    host.docker("run --rm --name brief busybox true").ok();
    for event in [
        "container create brief",
        "container start brief",
        "container die brief",
        "container destroy brief",
    ] {
        watcher.says(event);
    }
    watcher.kill_9();
    let since = host
        .docker("events --since 1h --until 0s --filter event=die --filter container=brief")
        .run();
    assert!(
        since.stdout.contains("die") && !since.stdout.contains("create"),
        "{since}"
    );

    host.docker("run -d --name ended busybox sleep 1000").ok();
    let ends = |words: &str, expected: &str| {
        host.docker(&format!("{words} ended")).ok();
        let what = "events --since 1h --until 0s --filter container=ended --format {{.Action}}";
        let all = host.docker(what).ok();
        let end = all.rsplit("start\n").next();
        assert_eq!(end, Some(expected), "{words}, as Docker tells it");
    };
    ends("kill", "kill\ndie");
    host.docker("start ended").ok();
    ends("stop", "kill\ndie\nstop");
}

fn several_at_once_and_one_wrong(host: &Host) {
    host.docker("create --name aa busybox sleep 1000").ok();
    host.docker("create --name bb busybox sleep 1000").ok();
    let output = host.docker("start aa nothing bb").fails(1);
    output.says(&["No such container: nothing"]);
    assert!(
        kernel::lives(host.pid("aa")) && kernel::lives(host.pid("bb")),
        "the others are started"
    );
    host.docker("rm -f aa nothing bb").run();
    assert_eq!(host.docker("ps -aq").ok(), "");
}

fn removing_by_force_whatever_it_does(host: &Host) {
    let mut ids = Vec::new();
    let mut run = |words: &str| ids.push(host.docker(&format!("run -d --name {words}")).ok());
    let gone = |name: &str, pid: i32| {
        assert!(!kernel::lives(pid), "{name}");
        assert_eq!(host.docker(&format!("ps -aq -f name={name}")).ok(), "");
    };
    run("running -v /data busybox sleep 1000");
    let pid = host.pid("running");
    host.docker("rm -f running").ok();
    gone("running", pid);
    assert_eq!(host.docker("volume ls -q").ok().lines().count(), 1);
    let what = "events --since 1h --until 0s --filter container=running --format {{.Action}}";
    let all = host.docker(what).ok();
    let end = all.rsplit("start\n").next();
    assert_eq!(end, Some("kill\ndie\ndestroy"), "as Docker tells it");

    run("volumes -v /data busybox sleep 1000");
    host.docker("rm -f -v volumes").ok();
    assert_eq!(host.docker("volume ls -q").ok().lines().count(), 1);

    run("comes-back --restart always busybox sh -c 'exit 1'");
    eventually("it waits for its next run", || {
        (status(host, "comes-back") == "restarting").then_some(())
    });
    host.docker("rm -f comes-back").ok();
    assert_eq!(host.docker("ps -aq").ok(), "");

    run("orphan busybox sleep 1000");
    let (pid, monitor) = (host.pid("orphan"), host.monitor_of("orphan"));
    kernel::kill_9(monitor);
    host.docker("rm -f orphan").ok();
    gone("orphan", pid);

    run("wanted-twice busybox sleep 1000");
    let pid = host.pid("wanted-twice");
    let calls = [(); 4].map(|()| host.docker("rm -f wanted-twice").start());
    calls.into_iter().for_each(|call| drop(call.end()));
    gone("wanted-twice", pid);
    eventually("nobody stays, and nothing is left of the groups", || {
        let left = ids.iter().flat_map(|id| kernel::cgroups_with(id));
        (host.processes().is_empty() && left.count() == 0).then_some(())
    });
}
