//! After a reboot: what the policies say is started, and nothing else. The hook for the host's init is a file like any other.

use testkit::{Host, eventually, kernel, scenarios};

scenarios!(
    boot_starts_what_the_policies_say,
    boot_brings_a_project_up_in_the_order_of_its_dependencies,
    boot_enable_writes_the_unit,
    boot_enable_knows_the_init_of_another_host,
);

fn boot_starts_what_the_policies_say(host: &Host) {
    for (name, policy) in [
        ("always", "always"),
        ("unless", "unless-stopped"),
        ("stopped", "unless-stopped"),
        ("never", "no"),
    ] {
        host.docker(&format!(
            "run -d --name {name} --restart {policy} -p 80 busybox sleep 1000"
        ))
        .ok();
    }
    host.docker("stop -t 0 stopped").ok();
    let address = host.address("always");
    power_cut(host);

    host.dockless("boot").ok();
    let running = eventually("both run", || {
        let text = host.docker("ps --format '{{.Names}}'").ok();
        (text.lines().count() >= 2).then_some(text)
    });
    let mut running: Vec<&str> = running.lines().collect();
    running.sort_unstable();
    assert_eq!(running, ["always", "unless"]);
    assert!(kernel::lives(host.pid("always")));
    assert!(!address.is_empty());
    assert_eq!(host.inspect("never", "{{.State.Status}}"), "exited");
    host.docker("exec always true").ok();
    host.dockless("boot").ok();
    assert_eq!(
        host.docker("ps -q").ok().lines().count(),
        2,
        "once more changes nothing"
    );
}

/// What a power cut leaves: what is in the data root.
fn power_cut(host: &Host) {
    host.kill_everything();
    std::fs::remove_dir_all(host.run_root()).expect("a reboot empties /run");
    for link in kernel::links().into_iter().filter(|l| l != "lo") {
        kernel::tool(&format!("ip link del {link}"));
    }
    kernel::tool("nft flush ruleset");
}

fn boot_brings_a_project_up_in_the_order_of_its_dependencies(host: &Host) {
    // The database is healthy only some time after its start, and says when; it needs its file from before.
    let yaml = "services:\n  web:\n    image: busybox\n    restart: always\n    command: sh -c 'test -e /shared/healthy && echo in order || echo too early; sleep 1000'\n    \
                volumes: ['shared:/shared']\n    depends_on:\n      db: {condition: service_healthy}\n      init: {condition: service_completed_successfully}\n  \
                db:\n    image: busybox\n    restart: always\n    volumes: ['shared:/shared', 'data:/data']\n    \
                command: sh -c 'rm -f /shared/healthy; echo kept >> /data/kept; sleep 1; touch /shared/healthy; sleep 1000'\n    \
                healthcheck: {test: 'test -e /shared/healthy', interval: 200ms, retries: 100}\n  \
                init:\n    image: busybox\n    command: 'true'\n  \
                side:\n    image: busybox\n    restart: always\n    network_mode: service:web\n    command: sleep 1000\n  \
                broken:\n    image: busybox\n    restart: always\n    command: sleep 1000\n    volumes: ['shared:/shared']\n    \
                healthcheck: {test: 'test ! -e /shared/fail', interval: 200ms, retries: 1}\n  \
                late:\n    image: busybox\n    restart: always\n    command: sleep 1000\n    depends_on:\n      broken: {condition: service_healthy}\n\
                volumes: {shared: {}, data: {}}\n";
    let project = host.compose_file("up", yaml);
    project.compose("up -d").ok();
    let address = host.address("up-web-1");
    project.compose("exec -T db touch /shared/fail").ok();
    power_cut(host);

    let boot = host.dockless("boot").run();
    assert_eq!(boot.code, 0, "{boot}");
    let at = |name: &str| boot.stdout.find(&format!("started {name}"));
    assert!(
        at("up-db-1") < at("up-web-1") && at("up-web-1") < at("up-side-1"),
        "{boot}"
    );
    assert!(at("up-init-1").is_none(), "no policy starts it: {boot}");
    // One whose dependency is ill is started nevertheless, and that is told.
    boot.says(&[
        "up-late-1 does not wait longer: up-broken-1 is unhealthy",
        "started up-late-1",
    ]);
    let log = project.compose("logs --no-log-prefix web").ok();
    assert_eq!(log.lines().last(), Some("in order"), "{log}");
    assert_eq!(
        project.compose("exec -T db cat /data/kept").ok(),
        "kept\nkept"
    );
    assert_eq!(host.address("up-web-1"), address, "the address it had");
    let pids = [host.pid("up-web-1"), host.pid("up-side-1")];
    assert_eq!(
        kernel::namespaces(&pids, "net").len(),
        1,
        "side is in the network of web"
    );
    project.compose("down -v -t 0").ok();
}

fn boot_enable_knows_the_init_of_another_host(host: &Host) {
    let root = host.folder("image");
    for (init, sign, place) in [
        (
            "openrc",
            "etc/runlevels/default",
            "etc/runlevels/default/dockless",
        ),
        ("dinit", "etc/dinit.d/boot.d", "etc/dinit.d/boot.d/dockless"),
    ] {
        let root = root.join(init);
        std::fs::create_dir_all(root.join(sign)).expect("a directory");
        let boot = |verb: &str| host.dockless(&format!("boot {verb} --root")).arg(&root);
        boot("status").fails(1).says(&["disabled"]);
        boot("enable").ok();
        assert!(
            root.join(place).symlink_metadata().is_ok(),
            "{init}: the link is there"
        );
        assert_eq!(boot("status").ok(), format!("enabled ({init})"));
        boot("disable").ok();
        assert!(root.join(place).symlink_metadata().is_err());
    }
    let other = host.folder("nothing");
    host.dockless("boot enable --root")
        .arg(&other)
        .fails(1)
        .says(&["--init"]);
    host.dockless("boot enable --init upstart --root")
        .arg(&other)
        .fails(1)
        .says(&["systemd, openrc"]);
    host.dockless("boot enable --init runit --root")
        .arg(&other)
        .ok();
    let run = std::fs::read_to_string(other.join("etc/sv/dockless/run")).expect("a service");
    assert!(run.contains("\n/usr/local/bin/dockless boot\n"), "{run}");
}

fn boot_enable_writes_the_unit(host: &Host) {
    // The host's own /etc is not to be touched: a copy of our own hides it.
    let copy = host.folder("etc");
    kernel::tool(&format!("cp -a /etc/. {}", copy.display()));
    kernel::tool_ok(&format!("mount --bind {} /etc", copy.display()));
    std::fs::create_dir_all("/run/systemd/system").expect("a sign of systemd");
    // It is for the default data root alone: one of our own hides the real one.
    kernel::tool_ok("mount -t tmpfs none /var/lib");
    let boot = |words: &str| {
        host.dockless(words)
            .without("DOCKLESS_ROOT")
            .without("DOCKLESS_RUN_ROOT")
    };
    let said = boot("boot enable").ok();
    let found = kernel::files_below(std::path::Path::new("/etc/systemd/system"));
    let unit = found
        .iter()
        .find(|f| f.ends_with("dockless.service") || f.contains("dockless-boot"))
        .unwrap_or_else(|| panic!("no unit: {said}"));
    let text = std::fs::read_to_string(std::path::Path::new("/etc/systemd/system").join(unit))
        .expect("a unit");
    assert!(
        text.contains("ExecStart=") && text.contains(" boot"),
        "{text}"
    );
    boot("boot disable").ok();
    kernel::tool("umount /etc");
}
