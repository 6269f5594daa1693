//! podman and containerd with the binary as their OCI runtime, both Debian's, each with roots of its own.

use crate::oci::root_file_system;
use std::fmt::Write as _;
use std::path::Path;
use testkit::{Call, Host, eventually_within, scenarios};

scenarios!(
    podman_runs_executes_and_builds,
    containerd_runs_and_executes,
);

/// `podman` with everything below the scenario's own folder, and below a /run of its own: it takes no longer path there.
fn podman(host: &Host, words: &str) -> Call {
    let dir = host.folder("podman");
    let dir = dir.display();
    let runtime = host.program("crun");
    let line = format!(
        "--root {dir}/root --runroot /run/containers --tmpdir {dir}/tmp --storage-driver vfs --cgroup-manager cgroupfs \
         --events-backend none --runtime {} {words}",
        runtime.display()
    );
    Call::tool(Path::new("podman"), &line)
        .env("HOME", host.folder("home"))
        .env("TMPDIR", host.folder("tmp"))
        .dir(host.folder("."))
}

fn podman_runs_executes_and_builds(host: &Host) {
    testkit::requires!(
        Path::new("/usr/bin/podman").exists(),
        "podman is not installed"
    );
    let root = host.folder("rootfs");
    root_file_system(&root);
    let root = root.display();
    let said = podman(
        host,
        &format!("run --rm --network none --rootfs {root} sh -c 'echo from podman; exit 7'"),
    )
    .fails(7);
    assert_eq!(said.stdout, "from podman\n");
    podman(
        host,
        &format!("run --rm --network none --rootfs {root} no-such-program"),
    )
    .fails(127)
    .says(&["no-such-program"]);

    podman(
        host,
        &format!("run -d --name stays --network none --memory 64m --rootfs {root} sleep 1000"),
    )
    .ok();
    assert_eq!(
        podman(host, "exec stays sh -c 'echo inside; exit 5'")
            .fails(5)
            .stdout,
        "inside\n"
    );
    assert_eq!(
        podman(host, "exec -e WHO=me stays sh -c 'echo $WHO'").ok(),
        "me"
    );
    podman(host, "pause stays").ok();
    podman(host, "unpause stays").ok();
    podman(host, "top stays").run().says(&["sleep"]);
    podman(host, "kill stays").ok();
    podman(host, "wait stays").ok();
    podman(host, "start stays").ok();
    podman(host, "rm -f -t 0 stays").ok();

    let context = host.folder("context");
    std::fs::copy("/bin/busybox", context.join("busybox")).expect("busybox-static");
    std::fs::write(
        context.join("Containerfile"),
        "FROM scratch\nCOPY busybox /bin/busybox\nRUN [\"/bin/busybox\", \"--install\", \"-s\", \"/bin\"]\n\
         RUN echo built > /made\nCMD [\"cat\", \"/made\"]\n",
    )
    .expect("a file");
    podman(
        host,
        "build --network none --isolation oci -t localhost/built context",
    )
    .ok();
    assert_eq!(
        podman(host, "run --rm --network none localhost/built").ok(),
        "built"
    );
}

fn containerd_runs_and_executes(host: &Host) {
    testkit::requires!(
        Path::new("/usr/bin/containerd").exists(),
        "containerd is not installed"
    );
    let dir = host.folder("containerd");
    let socket = dir.join("socket");
    let root = host.folder("rootfs");
    root_file_system(&root);
    let mut config = String::from("version = 2\n");
    let _ = write!(
        config,
        "root = \"{0}/root\"\nstate = \"{0}/state\"\n\
         disabled_plugins = [\"io.containerd.grpc.v1.cri\", \"io.containerd.internal.v1.opt\"]\n\
         [grpc]\naddress = \"{0}/socket\"\n[ttrpc]\naddress = \"{0}/ttrpc\"\n",
        dir.display()
    );
    std::fs::write(dir.join("config.toml"), config).expect("a file");
    let words = format!("--config {}/config.toml", dir.display());
    let _daemon = Call::tool(Path::new("containerd"), &words).start();
    let ctr = |words: &str| {
        let line = format!("--address {} {words}", socket.display());
        Call::tool(Path::new("ctr"), &line)
    };
    eventually_within(
        std::time::Duration::from_secs(60),
        "containerd answers",
        || (ctr("version").run().code == 0).then_some(()),
    );
    let runtime = format!(
        "--rootfs --runc-binary {} --runc-root {}/runc",
        host.program("runc").display(),
        dir.display()
    );
    let root = root.display();
    assert_eq!(
        ctr(&format!("run --rm {runtime} {root} speaks echo hello")).ok(),
        "hello"
    );
    ctr(&format!("run --rm {runtime} {root} fails sh -c 'exit 9'")).fails(9);
    ctr(&format!("run -d {runtime} {root} stays sleep 1000")).ok();
    ctr("task ls").run().says(&["stays", "RUNNING"]);
    assert_eq!(
        ctr("task exec --exec-id one stays echo inside").ok(),
        "inside"
    );
    ctr("task exec --exec-id two stays sh -c 'exit 4'").fails(4);
    ctr("task pause stays").ok();
    ctr("task ls").run().says(&["PAUSED"]);
    ctr("task resume stays").ok();
    ctr("task kill -s KILL stays").ok();
    eventually_within(std::time::Duration::from_secs(30), "the task stops", || {
        ctr("task ls")
            .run()
            .stdout
            .contains("STOPPED")
            .then_some(())
    });
    ctr("task rm stays").run();
    ctr("container rm stays").ok();
}
