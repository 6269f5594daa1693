//! After a reboot: what the policies say is started, and nothing else. The hook for the host's init is a file like any other.

use testkit::{Host, eventually, kernel, scenarios};

scenarios!(
    boot_starts_what_the_policies_say,
    boot_enable_writes_the_unit
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
    host.kill_everything();
    std::fs::remove_dir_all(host.run_root()).expect("a reboot empties /run");
    for link in kernel::links().into_iter().filter(|l| l != "lo") {
        kernel::tool(&format!("ip link del {link}"));
    }
    kernel::tool("nft flush ruleset");

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
