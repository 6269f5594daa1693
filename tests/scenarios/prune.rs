//! What nobody needs any more is found and removed, and only that.

use testkit::{Host, eventually, kernel, scenarios};

scenarios!(
    prune_takes_what_is_unused,
    records_of_killed_writers_are_swept,
    nothing_is_left_behind
);

fn prune_takes_what_is_unused(host: &Host) {
    host.docker("run -d --name up --network bridge -v used:/u busybox sleep 1000")
        .ok();
    host.docker("create --name stopped -v unused:/u busybox")
        .ok();
    host.docker("network create empty").ok();
    host.docker("pull hello-world").ok();
    host.docker("container prune -f").run().says(&["reclaimed"]);
    assert_eq!(host.docker("ps -a --format '{{.Names}}'").ok(), "up");
    host.docker("network prune -f").run().says(&["empty"]);
    host.docker("image prune -f").ok();
    assert_eq!(
        host.docker("images -q").ok().lines().count(),
        2,
        "named images stay"
    );
    host.docker("image prune -af").run().says(&["hello-world"]);
    assert_eq!(host.docker("images -q").ok().lines().count(), 1);
    host.docker("system prune -af --volumes").ok();
    host.docker("volume prune -af").ok();
    assert_eq!(host.docker("volume ls -q").ok(), "used");
    assert!(kernel::lives(host.pid("up")));
    let filtered = host.docker("system prune").stdin("n\n").run();
    assert!(kernel::lives(host.pid("up")), "{filtered}");
}

fn records_of_killed_writers_are_swept(host: &Host) {
    host.docker("network create kept").ok();
    host.docker("volume create held").ok();
    let root = host.data_root();
    // Above the largest pid there can be.
    let left = ["networks", "volumes/held"].map(|dir| root.join(dir).join(".x.json.4194305.0.tmp"));
    let users = root.join("volumes/held/_data/.x.json.4194305.0.tmp");
    for path in left.iter().chain([&users]) {
        std::fs::write(path, "{").expect("a file");
    }
    host.docker("run -d --network kept -v held:/v busybox sleep 1000")
        .ok();
    host.docker("system prune -f").ok();
    assert!(left.iter().all(|path| !path.exists()));
    assert!(users.exists(), "what is in a volume is its user's");
    assert_eq!(
        host.docker("network ls -q --filter name=kept")
            .ok()
            .lines()
            .count(),
        1
    );
}

fn nothing_is_left_behind(host: &Host) {
    let links = kernel::links();
    let rounds = |host: &Host| {
        host.docker("network create n1").ok();
        host.docker("run -d --name aa --network n1 -p 8081:80 -v vv:/v busybox sleep 1000")
            .ok();
        host.docker("run --rm --network n1 busybox true").ok();
        host.docker("rm -f aa").ok();
        host.docker("network rm n1").ok();
        host.docker("volume rm vv").ok();
    };
    let trash = host.data_root().join("trash");
    let emptied = || {
        // What removes a container has answered before its files are gone.
        eventually("nothing in the trash", || {
            kernel::files_below(&trash).is_empty().then_some(())
        });
    };
    rounds(host);
    host.docker("system prune -af --volumes").ok();
    emptied();
    let left = kernel::files_below(&host.data_root());
    let elements = kernel::nft_elements().len();
    rounds(host);
    host.docker("system prune -af --volumes").ok();
    emptied();
    assert_eq!(kernel::files_below(&host.data_root()), left);
    assert_eq!(kernel::nft_elements().len(), elements);
    eventually("no process stays", || {
        host.processes().is_empty().then_some(())
    });
    let extra: Vec<String> = kernel::links()
        .difference(&links)
        .filter(|l| l.starts_with("veth"))
        .cloned()
        .collect();
    assert!(extra.is_empty(), "{extra:?}");
}
