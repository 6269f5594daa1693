//! Logs: everything written, in order, by time and by tail, across restarts and rotation, and never without bound.

use testkit::{Host, eventually, kernel, scenarios};

scenarios!(
    logs_are_read_back,
    following_goes_on_across_restarts_and_ends_with_the_container,
    rotation_keeps_the_newest_and_bounds_the_rest,
    following_survives_rotation,
    drivers,
);

fn logs_are_read_back(host: &Host) {
    host.docker("run --name cc busybox sh -c 'for i in 1 2 3 4 5; do echo line $i; done; echo complaint >&2; printf unfinished'").ok();
    let output = host.docker("logs cc").run();
    assert_eq!(
        output.stdout,
        "line 1\nline 2\nline 3\nline 4\nline 5\nunfinished"
    );
    assert_eq!(output.stderr, "complaint\n");
    host.docker("run --name tail busybox seq 10").ok();
    assert_eq!(host.docker("logs --tail 3 tail").run().stdout, "8\n9\n10\n");
    assert_eq!(host.docker("logs -n 0 cc").run().all(), "");
    let stamped = host.docker("logs -t cc").run();
    let first = stamped.stdout.lines().next().unwrap_or_default();
    let (time, text) = first.split_once(' ').unwrap_or_default();
    assert!(
        time.ends_with('Z') && time.contains('T') && text == "line 1",
        "{first}"
    );
    assert_eq!(
        host.docker("logs --since 1h cc").run().stdout,
        output.stdout
    );
    assert_eq!(host.docker("logs --until 1h cc").run().stdout, "");
    assert_eq!(
        host.docker("logs")
            .arg("--since")
            .arg(time)
            .arg("cc")
            .run()
            .stdout,
        output.stdout
    );
    host.docker("logs nothing")
        .fails(1)
        .says(&["No such container: nothing"]);
    let long = host
        .docker("run --name long busybox sh -c 'head -c 100000 /dev/zero | tr \"\\0\" x; echo'")
        .run();
    assert_eq!(host.docker("logs long").run().stdout, long.stdout);
    assert_eq!(long.stdout.len(), 100_001);
}

fn following_goes_on_across_restarts_and_ends_with_the_container(host: &Host) {
    host.docker("run -d --name cc busybox sh -c 'echo begin; sleep 1000'")
        .ok();
    let follower = host.docker("logs -f cc").start();
    follower.says("begin");
    host.docker("restart -t 0 cc").ok();
    let twice = |f: &testkit::Running| f.so_far().matches("begin").count() == 2;
    let onlooker = host.docker("logs -f --tail 0 cc").start();
    if !twice(&follower) {
        // A follower may end with the run it began in, as Docker's does; a new one sees both runs.
        drop(follower);
        let follower = host.docker("logs -f cc").start();
        eventually("both runs", || twice(&follower).then_some(()));
    }
    host.docker("stop -t 0 cc").ok();
    let (code, _) = onlooker.end();
    assert_eq!(code, 0, "ends with the container");
}

fn rotation_keeps_the_newest_and_bounds_the_rest(host: &Host) {
    for driver in ["local", "json-file"] {
        host.docker(&format!(
            "run --name {driver} --log-driver {driver} --log-opt max-size=100k --log-opt max-file=3 busybox sh -c 'for i in $(seq 60000); do echo line $i; done'"
        ))
        .ok();
        let id = host.inspect(driver, "{{.Id}}");
        let dir = host.data_root().join("containers").join(id);
        let size: u64 = kernel::files_below(&dir)
            .iter()
            .filter(|f| f.contains("log"))
            .filter_map(|f| {
                let meta = std::fs::metadata(dir.join(f)).ok()?;
                meta.is_file().then_some(meta.len())
            })
            .sum();
        // Three files of 100 KiB, each passed by at most the last piece written.
        assert!(size < 450_000, "{driver}: {size} bytes on disk");
        let kept = host.docker(&format!("logs {driver}")).run().stdout;
        let lines: Vec<&str> = kept.lines().collect();
        assert_eq!(lines.last(), Some(&"line 60000"), "{driver}");
        let first: usize = lines[0]
            .trim_start_matches("line ")
            .parse()
            .expect("a whole line");
        assert_eq!(lines.len(), 60_001 - first, "{driver}: no gap");
        assert!(first > 1, "{driver}: rotated");
    }
}

fn following_survives_rotation(host: &Host) {
    let go = host.folder("go");
    // A batch is half a file, and the next is written when the follower has this one: it never is more than it may be behind.
    let script = "for b in $(seq 0 19); do until [ -e /go/$b ]; do sleep 0.05; done; seq $((b*100+1)) $((b*100+100)); done; echo the end; sleep 1000";
    host.docker("run -d --name cc --log-opt max-size=4k --log-opt max-file=2")
        .arg("-v")
        .arg(format!("{}:/go", go.display()))
        .arg("busybox")
        .arg("sh")
        .arg("-c")
        .arg(script)
        .ok();
    let follower = host.docker("logs -f cc").start();
    for batch in 0..20 {
        std::fs::write(go.join(batch.to_string()), "").expect("a file");
        follower.says(&format!("{}\n", (batch + 1) * 100));
    }
    follower.says("the end");
    let text = follower.so_far();
    let numbers: Vec<u32> = text.lines().filter_map(|line| line.parse().ok()).collect();
    assert_eq!(numbers, (1..=2000).collect::<Vec<_>>());
    // The first are long gone for who asks now.
    let left = host.docker("logs cc").ok();
    assert!(left.lines().count() < 1500, "{left}");
}

fn drivers(host: &Host) {
    host.docker("run --name none --log-driver none busybox echo unseen")
        .ok();
    host.docker("logs none").fails(1).says(&["none"]);
    host.docker("run --name json --log-driver json-file busybox echo seen")
        .ok();
    let path = host.inspect("json", "{{.LogPath}}");
    let line = std::fs::read_to_string(path).expect("the file that LogPath names");
    let json: serde_json::Value = serde_json::from_str(line.trim()).expect("JSON");
    assert_eq!(
        (json["log"].as_str(), json["stream"].as_str()),
        (Some("seen\n"), Some("stdout"))
    );
    host.docker("run --rm --log-driver no-such busybox true")
        .fails(125)
        .says(&["no-such"]);
}
