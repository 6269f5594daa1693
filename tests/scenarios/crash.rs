//! `kill -9` in the middle: afterwards the same command succeeds, nothing is lost, and prune leaves nothing behind.
//!
//! Each is killed after a delay that grows from nothing to past its end, so that every phase is hit by some round.

use std::time::{Duration, Instant};
use testkit::{Call, Host, Registry, eventually, kernel, requires, scenarios};

scenarios!(
    killed_while_pulling,
    killed_while_building,
    killed_while_running,
    killed_while_bringing_up,
    everything_killed_at_once,
);

/// How many moments of each command are tried.
const ROUNDS: u32 = 8;

/// Runs it once to learn how long it takes, then kills it at `ROUNDS` moments of that time; `undo` before each.
fn kill_at_many_moments(command: impl Fn() -> Call, undo: impl Fn()) {
    let started = Instant::now();
    command().ok();
    let whole = started.elapsed();
    for round in 0..ROUNDS {
        undo();
        let running = command().start();
        std::thread::sleep(whole * round / ROUNDS + Duration::from_millis(1));
        running.kill_9();
    }
}

/// After `system prune` and the like: no mount, namespace, cgroup, veth, nft element or directory.
fn nothing_is_left(host: &Host) {
    let ids: Vec<String> = std::fs::read_dir(host.data_root().join("containers"))
        .map(|d| {
            d.flatten()
                .map(|e| e.file_name().to_string_lossy().into_owned())
                .collect()
        })
        .unwrap_or_default();
    let all = host.docker("ps -aq").ok();
    if !all.is_empty() {
        host.docker(&format!("rm -f {}", all.replace('\n', " ")))
            .ok();
    }
    host.docker("system prune -af --volumes").ok();
    host.docker("volume prune -af").ok();
    let data = host.data_root();
    eventually("no process", || host.processes().is_empty().then_some(()));
    let me = i32::try_from(std::process::id()).expect("a pid");
    let text = data.to_string_lossy().into_owned();
    assert_eq!(
        kernel::mounts_of(me)
            .iter()
            .filter(|m| m.target.starts_with(&text))
            .count(),
        0,
        "mounts"
    );
    for id in &ids {
        eventually("no cgroup", || {
            kernel::cgroups_with(id).is_empty().then_some(())
        });
    }
    eventually("no veth, by whatever name", || {
        kernel::tool("ip -o link show type veth")
            .is_empty()
            .then_some(())
    });
    assert_eq!(kernel::nft_elements(), Vec::<String>::new(), "nft elements");
    for part in ["containers", "layers", "volumes", "trash"] {
        eventually(&format!("nothing in {part}"), || {
            kernel::files_below(&data.join(part))
                .is_empty()
                .then_some(())
        });
    }
    let blobs = kernel::files_below(&data.join("images/blobs"));
    assert!(blobs.iter().all(|b| b == "sha256"), "no blob: {blobs:?}");
    let run = kernel::files_below(&host.run_root().join("containers"));
    assert!(run.is_empty(), "no run directory: {run:?}");
}

fn killed_while_pulling(host: &Host) {
    requires!(Registry::installed(), "docker-registry");
    let registry = Registry::start(host, 5057);
    let remote = format!("{}/debian:1", registry.address);
    host.docker("pull debian").ok();
    host.docker(&format!("tag debian {remote}")).ok();
    host.docker(&format!("push {remote}")).ok();
    host.docker(&format!("rmi debian {remote}")).ok();
    let pull = || {
        host.docker(&format!("pull {remote}"))
            .env("DOCKLESS_IMAGE_DIR", "")
    };
    kill_at_many_moments(pull, || {
        host.docker(&format!("rmi {remote}")).run();
    });
    pull().ok();
    host.docker(&format!("run --rm --pull never {remote} bash -c true"))
        .ok();
    drop(registry);
    nothing_is_left(host);
}

fn killed_while_building(host: &Host) {
    let project = host.compose_file("killed", "");
    project.write(
        "Dockerfile",
        "FROM debian\nCOPY . /all\nRUN cp -a /usr/share /copy\nRUN sleep 0.3; echo done > /done\n",
    );
    let build = || host.docker("build -t killed .").dir(project.dir());
    host.docker("pull debian").ok();
    kill_at_many_moments(build, || {
        host.docker("rmi killed").run();
        host.docker("builder prune -af").run();
    });
    build().ok();
    assert_eq!(host.docker("run --rm killed cat /done").ok(), "done");
    host.docker("builder prune -af").run();
    nothing_is_left(host);
}

fn killed_while_running(host: &Host) {
    host.docker("pull busybox").ok();
    let run = || host.docker("run -d --name cc -p 8080:80 -v data:/etc -m 64m busybox sleep 1000");
    kill_at_many_moments(run, || {
        host.docker("rm -f cc").run();
        let listed = host.docker("ps -a --format '{{.Names}}'").ok();
        assert_eq!(listed, "", "a half-made container can be removed");
    });
    host.docker("rm -f cc").run();
    run().ok();
    assert!(kernel::lives(host.pid("cc")));
    assert!(
        kernel::file_in(host.pid("cc"), "/etc/passwd").contains("root"),
        "the copy into the volume is whole"
    );
    nothing_is_left(host);
}

fn killed_while_bringing_up(host: &Host) {
    let yaml = "services:\n  a:\n    image: busybox\n    command: sleep 1000\n    stop_grace_period: 0s\n    ports: ['8080:80']\n  \
                b:\n    image: busybox\n    command: sleep 1000\n    stop_grace_period: 0s\n    depends_on: [a]\n  \
                c:\n    image: busybox\n    command: sleep 1000\n    stop_grace_period: 0s\n    volumes: ['v:/v']\n    deploy: { replicas: 2 }\nvolumes:\n  v:\n";
    let project = host.compose_file("up", yaml);
    host.docker("pull busybox").ok();
    kill_at_many_moments(
        || project.compose("up -d"),
        || {
            project.compose("down").ok();
        },
    );
    project.compose("up -d").ok();
    let names = host.docker("ps --format '{{.Names}}'").ok();
    let mut names: Vec<&str> = names.lines().collect();
    names.sort_unstable();
    assert_eq!(names, ["up-a-1", "up-b-1", "up-c-1", "up-c-2"]);
    project.compose("down -v").ok();
    nothing_is_left(host);
}

fn everything_killed_at_once(host: &Host) {
    host.docker("network create nn").ok();
    host.docker("run -d --name keeps --network nn -p 8080:80 -v data:/data busybox sh -c 'test -e /inside || { echo kept > /data/file; echo here > /inside; }; sleep 1000'").ok();
    host.docker("run -d --name gone --rm busybox sleep 1000")
        .ok();
    eventually("it wrote", || {
        (host
            .docker("exec keeps cat /data/file /inside")
            .run()
            .stdout
            == "kept\nhere\n")
            .then_some(())
    });
    let address = host.address("keeps");
    for _ in 0..3 {
        host.kill_everything();
        let listed = host.docker("ps -a --format '{{.Names}} {{.State}}'").ok();
        assert!(listed.contains("keeps exited"), "{listed}");
        assert_eq!(host.docker("ps -q").ok(), "");
        host.docker("start keeps").ok();
        assert_eq!(
            host.docker("exec keeps cat /data/file /inside").ok(),
            "kept\nhere",
            "nothing is lost"
        );
        assert_eq!(host.address("keeps"), address, "the lease is its own");
        host.docker("run --rm -p 8081:80 --network nn busybox true")
            .ok();
    }
    let started = host
        .docker("run -d --name late --network nn -p 8082:80 busybox sleep 1000")
        .start();
    host.kill_everything();
    drop(started);
    host.docker("rm -f late").run();
    host.docker("run -d --name late --network nn -p 8082:80 busybox sleep 1000")
        .ok();
    host.kill_everything();
    nothing_is_left(host);
}
