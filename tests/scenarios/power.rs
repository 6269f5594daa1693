//! Power cuts: a command is killed before the n-th of its system calls that change a file system. Whatever n is, no later command sees
//! half a thing, the same command succeeds, and `system prune` leaves nothing that nothing reaches.
//!
//! Some n of each command are tried, others in every run; all of them with `DOCKLESS_TEST_EVERY_CUT=1`.

use testkit::cut::{Ended, cut_at};
use testkit::{Call, Host, Registry, cut, eventually, kernel, requires, scenarios};

scenarios!(
    cut_while_pulling_from_a_folder,
    cut_while_pulling_from_a_registry,
    cut_while_loading,
    cut_while_removing,
    cut_while_building,
);

/// So many n of each command.
const SOME: u64 = 9;

/// Which n of `all` are tried: spread over the whole, not always the same.
fn moments(all: u64) -> Vec<u64> {
    if std::env::var_os("DOCKLESS_TEST_EVERY_CUT").is_some() {
        return (1..=all).collect();
    }
    let step = (all / SOME).max(1);
    let shift = u64::from(std::process::id()) % step;
    (0..SOME)
        .map(|k| 1 + k * step + shift)
        .filter(|n| *n <= all)
        .collect()
}

/// Cuts `command` at many moments; before each it is undone, after each the store is looked at.
fn cut_everywhere(host: &Host, image: &str, command: impl Fn() -> Call, undo: impl Fn()) {
    undo();
    let Ended::ByItself { calls, code: 0 } = cut_at(command(), u64::MAX) else {
        panic!("it does not succeed when it is let");
    };
    assert!(calls > 10, "only {calls} calls change something");
    for n in moments(calls) {
        undo();
        // Some calls are made in another order, or not at all, each time.
        let ended = cut_at(command(), n);
        let scene = format!("cut at call {n} of {calls}: {ended:?}");
        nothing_is_half_there(host, image, &scene);
        let again = command().run();
        assert_eq!(again.code, 0, "{scene}: {again}");
        nothing_is_half_there(host, image, &scene);
    }
    undo();
    host.docker("builder prune -af").run();
    host.docker("system prune -af").ok();
    nothing_is_left(host);
}

fn nothing_is_half_there(host: &Host, image: &str, scene: &str) {
    let listed = host.docker(&format!("images -q {image}")).run();
    assert_eq!(listed.code, 0, "{scene}: {listed}");
    let checked = host.docker("system check").run();
    assert_eq!(checked.code, 0, "{scene}: {checked}");
    if !listed.stdout.trim().is_empty() {
        let run = host
            .docker(&format!(
                "run --rm --pull never --network none {image} true"
            ))
            .env("DOCKLESS_IMAGE_DIR", "")
            .run();
        assert_eq!(run.code, 0, "{scene}: {run}");
    }
}

fn nothing_is_left(host: &Host) {
    let data = host.data_root();
    for part in ["layers", "trash", "images/blobs/sha256", "images/ingest"] {
        // What a monitor has taken out of sight it deletes when everybody has their answer.
        eventually(&format!("nothing in {part}"), || {
            kernel::files_below(&data.join(part))
                .is_empty()
                .then_some(())
        });
    }
}

fn cut_while_pulling_from_a_folder(host: &Host) {
    requires!(cut::works(), "no tracer for this machine");
    cut_everywhere(
        host,
        "busybox",
        || host.docker("pull busybox"),
        || drop(host.docker("rmi -f busybox").run()),
    );
}

fn cut_while_pulling_from_a_registry(host: &Host) {
    requires!(cut::works(), "no tracer for this machine");
    requires!(Registry::installed(), "docker-registry");
    let registry = Registry::start(host, 5071);
    let remote = format!("{}/box:1", registry.address);
    host.docker("pull busybox").ok();
    host.docker(&format!("tag busybox {remote}")).ok();
    host.docker(&format!("push {remote}")).ok();
    host.docker("rmi busybox").ok();
    cut_everywhere(
        host,
        &remote,
        || {
            host.docker(&format!("pull {remote}"))
                .env("DOCKLESS_IMAGE_DIR", "")
        },
        || drop(host.docker(&format!("rmi -f {remote}")).run()),
    );
}

fn cut_while_loading(host: &Host) {
    requires!(cut::works(), "no tracer for this machine");
    let archive = host.folder("archives").join("box.tar");
    host.docker("pull busybox").ok();
    host.docker("save busybox -o").arg(&archive).ok();
    cut_everywhere(
        host,
        "busybox",
        || host.docker("load -i").arg(&archive),
        || drop(host.docker("rmi -f busybox").run()),
    );
}

fn cut_while_removing(host: &Host) {
    requires!(cut::works(), "no tracer for this machine");
    let pull = || drop(host.docker("pull busybox").ok());
    pull();
    let Ended::ByItself { calls, code: 0 } = cut_at(host.docker("rmi busybox"), u64::MAX) else {
        panic!("it does not succeed when it is let");
    };
    for n in moments(calls) {
        pull();
        let ended = cut_at(host.docker("rmi busybox"), n);
        let scene = format!("cut at call {n} of {calls}: {ended:?}");
        nothing_is_half_there(host, "busybox", &scene);
    }
    host.docker("rmi -f busybox").run();
    host.docker("system prune -af").ok();
    nothing_is_left(host);
}

fn cut_while_building(host: &Host) {
    requires!(cut::works(), "no tracer for this machine");
    let project = host.compose_file("cut", "");
    project.write(
        "Dockerfile",
        "FROM busybox\nCOPY Dockerfile /copied\nRUN echo done > /done\n",
    );
    host.docker("pull busybox").ok();
    let undo = || {
        host.docker("rmi -f cut").run();
        host.docker("builder prune -af").run();
    };
    undo();
    let build = || {
        host.docker("build -q --network none -t cut .")
            .dir(project.dir())
    };
    let Ended::ByItself { calls, code: 0 } = cut_at(build(), u64::MAX) else {
        panic!("it does not succeed when it is let");
    };
    for n in moments(calls) {
        undo();
        let ended = cut_at(build(), n);
        let scene = format!("cut at call {n} of {calls}: {ended:?}");
        nothing_is_half_there(host, "cut", &scene);
        let again = build().run();
        assert_eq!(again.code, 0, "{scene}: {again}");
        let made = host
            .docker("run --rm --network none cut cat /done /copied")
            .run();
        assert!(made.stdout.starts_with("done\nFROM"), "{scene}: {made}");
    }
    undo();
    host.docker("rmi -f busybox").run();
    host.docker("system prune -af").ok();
    nothing_is_left(host);
}
