//! What a container sees of the host, and the host of it.

use crate::world::{Wish, World, chain, namespaces_without, text};
use oci_spec::runtime::LinuxNamespaceType;
use std::collections::HashMap;

crate::cases![
    namespaces_are_its_own,
    host_namespaces_when_asked,
    joins_another_ones,
    joins_another_ones_pids,
    nothing_shows_on_the_host,
    only_its_own_processes,
    host_name,
    masked_and_read_only,
    devices,
    mknod_is_all_it_may,
    sysctls,
    deferred_network,
    keys_and_kernel_memory_stay_hidden,
    privileged,
];

const KINDS: [&str; 6] = ["mnt", "uts", "ipc", "pid", "net", "cgroup"];

fn namespace(pid: i32, kind: &str) -> String {
    std::fs::read_link(format!("/proc/{pid}/ns/{kind}"))
        .map(|link| link.display().to_string())
        .unwrap_or_default()
}

fn own() -> i32 {
    std::process::id() as i32
}

fn namespaces_are_its_own() {
    let world = World::new();
    let mut running = world.start(&Wish::probe(&["sleep"])).unwrap();
    running.wait_for("ready");
    for kind in KINDS {
        assert_ne!(
            namespace(running.started.pid, kind),
            namespace(own(), kind),
            "{kind}"
        );
    }
}

fn host_namespaces_when_asked() {
    let world = World::new();
    for (typ, kind) in [
        (LinuxNamespaceType::Network, "net"),
        (LinuxNamespaceType::Pid, "pid"),
        (LinuxNamespaceType::Uts, "uts"),
    ] {
        let before = text("/proc/sys/kernel/hostname");
        let wish = Wish {
            namespaces: namespaces_without(typ),
            ..Wish::probe(&["sleep"])
        };
        let mut running = world
            .start(&wish)
            .unwrap_or_else(|e| panic!("{kind}: {}", chain(&e)));
        running.wait_for("ready");
        assert_eq!(
            namespace(running.started.pid, kind),
            namespace(own(), kind),
            "{kind}"
        );
        assert_ne!(
            namespace(running.started.pid, "mnt"),
            namespace(own(), "mnt")
        );
        assert_eq!(text("/proc/sys/kernel/hostname"), before);
    }
}

fn joins_another_ones() {
    let world = World::new();
    let mut first = world.start(&Wish::probe(&["sleep"])).unwrap();
    first.wait_for("ready");
    let mut namespaces = Vec::new();
    for mut namespace in runtime::defaults::namespaces() {
        let kind = match namespace.typ() {
            LinuxNamespaceType::Network => "net",
            LinuxNamespaceType::Ipc => "ipc",
            _ => "",
        };
        if !kind.is_empty() {
            namespace.set_path(Some(
                format!("/proc/{}/ns/{kind}", first.started.pid).into(),
            ));
        }
        namespaces.push(namespace);
    }
    let other = World {
        dir: world.folder("other"),
        parent: world.parent.clone(),
    };
    let mut second = other
        .start(&Wish {
            namespaces,
            ..Wish::probe(&["sleep"])
        })
        .unwrap();
    second.wait_for("ready");
    for kind in KINDS {
        let same = namespace(first.started.pid, kind) == namespace(second.started.pid, kind);
        assert_eq!(same, kind == "net" || kind == "ipc", "{kind}");
    }
}

fn joins_another_ones_pids() {
    let world = World::new();
    let mut first = world.start(&Wish::probe(&["sleep"])).unwrap();
    first.wait_for("ready");
    let mut namespaces = namespaces_without(LinuxNamespaceType::Pid);
    let mut pid = runtime::defaults::namespace(LinuxNamespaceType::Pid);
    pid.set_path(Some(format!("/proc/{}/ns/pid", first.started.pid).into()));
    namespaces.push(pid);
    let other = World {
        dir: world.folder("other"),
        parent: world.parent.clone(),
    };
    assert_eq!(
        other.ask(&Wish {
            namespaces,
            ..Wish::probe(&["pids"])
        }),
        "1 2"
    );
    // The caller's own children are born where they always were.
    assert_eq!(other.ask(&Wish::probe(&["pids"])), "1");
}

fn nothing_shows_on_the_host() {
    let world = World::new();
    let before = text("/proc/self/mountinfo");
    let mut running = world.start(&Wish::probe(&["sleep"])).unwrap();
    running.wait_for("ready");
    assert_eq!(text("/proc/self/mountinfo"), before);
    // And the container sees nothing but its own mounts.
    let inside = text(format!("/proc/{}/mountinfo", running.started.pid));
    assert!(inside.lines().all(|line| !line.contains(world.dir.to_str().unwrap()) || line.contains(" - overlay ")), "{inside}");
    let targets: Vec<&str> = inside
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .collect();
    for expected in [
        "/",
        "/proc",
        "/dev",
        "/dev/pts",
        "/dev/shm",
        "/dev/mqueue",
        "/sys",
        "/sys/fs/cgroup",
    ] {
        assert!(targets.contains(&expected), "{expected} in {targets:?}");
    }
    assert!(!inside.contains("shared:"), "{inside}");
}

fn only_its_own_processes() {
    assert_eq!(World::new().ask(&Wish::probe(&["pids"])), "1");
}

fn host_name() {
    let world = World::new();
    assert_eq!(
        world.ask(&Wish::probe(&["cat", "/proc/sys/kernel/hostname"])),
        "probed"
    );
    assert_ne!(text("/proc/sys/kernel/hostname").trim(), "probed");
}

fn masked_and_read_only() {
    let world = World::new();
    for path in ["/proc/keys", "/proc/timer_list", "/proc/interrupts"] {
        if std::path::Path::new(path).exists() {
            assert_eq!(world.ask(&Wish::probe(&["cat", path])), "", "{path}");
        }
    }
    for path in ["/proc/acpi", "/sys/firmware", "/proc/scsi"] {
        if std::path::Path::new(path).exists() {
            assert_eq!(world.ask(&Wish::probe(&["ls", path])), "", "{path}");
        }
    }
    for path in [
        "/proc/sys/kernel/core_pattern",
        "/sys/kernel/uevent_seqnum",
        "/proc/sysrq-trigger",
        "/sys/fs/cgroup/x",
    ] {
        if path.starts_with("/proc") && !std::path::Path::new(path).exists() {
            continue;
        }
        let answer = world.ask(&Wish::probe(&["write", path, "x"]));
        assert!(
            answer == "errno 30" || answer == "errno 13",
            "{path}: {answer}"
        );
    }
    assert_eq!(
        world.ask(&Wish {
            read_only: true,
            ..Wish::probe(&["write", "/etc/x", "x"])
        }),
        "errno 30"
    );
    assert_eq!(
        world.ask(&Wish {
            read_only: true,
            ..Wish::probe(&["write", "/dev/shm/x", "x"])
        }),
        "ok"
    );
    assert_eq!(world.ask(&Wish::probe(&["write", "/etc/x", "x"])), "ok");
    assert_eq!(text(world.path("upper/etc/x")), "x");
    assert!(!crate::base().join("etc/x").exists());
}

fn devices() {
    let world = World::new();
    let listed = world.ask(&Wish::probe(&["ls", "/dev"]));
    let listed = listed.strip_prefix("core ").unwrap_or(&listed);
    assert_eq!(
        listed,
        "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero"
    );
    assert!(
        world
            .ask(&Wish::probe(&["stat", "/dev/null"]))
            .starts_with("20666 0 0")
    );
    assert_eq!(world.ask(&Wish::probe(&["write", "/dev/null", "x"])), "ok");
    assert_eq!(
        world.ask(&Wish {
            cgroup: true,
            ..Wish::probe(&["open", "/dev/zero"])
        }),
        "ok"
    );
}

fn mknod_is_all_it_may() {
    let world = World::new();
    // With Docker's capabilities a node may be made, but not opened.
    assert_eq!(
        world.ask(&Wish {
            cgroup: true,
            ..Wish::probe(&["mknod", "/disk"])
        }),
        "ok"
    );
    assert_eq!(
        world.ask(&Wish {
            cgroup: true,
            ..Wish::probe(&["open", "/disk"])
        }),
        "errno 1"
    );
}

fn sysctls() {
    let world = World::new();
    let key = "net.ipv4.ip_unprivileged_port_start";
    let before = text("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    let sysctl = HashMap::from([
        (key.to_owned(), "7".to_owned()),
        ("kernel.shm_rmid_forced".to_owned(), "1".to_owned()),
    ]);
    let wish = |path: &'static str| Wish {
        sysctl: sysctl.clone(),
        ..Wish::probe(&["cat", path])
    };
    assert_eq!(
        world.ask(&wish("/proc/sys/net/ipv4/ip_unprivileged_port_start")),
        "7"
    );
    assert_eq!(world.ask(&wish("/proc/sys/kernel/shm_rmid_forced")), "1");
    assert_eq!(
        text("/proc/sys/net/ipv4/ip_unprivileged_port_start"),
        before
    );
}

fn deferred_network() {
    use runtime::{Netns, Reaper, Request, Seccomp, Stdio};
    use std::os::fd::AsFd;
    let world = World::new();
    let own = sys::namespace::open_own("net").unwrap();
    sys::namespace::unshare(sys::namespace::flags::NEWNET).unwrap();
    let made = sys::namespace::open_own("net").unwrap();
    sys::namespace::enter(&own, sys::namespace::flags::NEWNET).unwrap();
    let spec = crate::world::spec(&Wish::probe(&["ls", "/sys/class/net"]));
    let (mut reader, writer) = std::io::pipe().unwrap();
    let stdio = Stdio::Fds {
        stdin: writer.as_fd(),
        stdout: writer.as_fd(),
        stderr: writer.as_fd(),
    };
    let request = Request {
        spec: &spec,
        rootfs: world.overlay(),
        stdio,
        cgroup: None,
        netns: Netns::Deferred,
        user: None,
        copy_up: Vec::new(),
        reaper: Reaper::None,
        seccomp: Seccomp::Default,
        launch: runtime::Launch::default(),
    };
    let pending = runtime::spawn(&request).unwrap();
    pending.give_netns(made.as_fd()).unwrap();
    let started = pending.start().unwrap();
    drop(writer);
    let mut out = String::new();
    std::io::Read::read_to_string(&mut reader, &mut out).unwrap();
    sys::process::wait(&started.pidfd).unwrap();
    // sysfs shows the namespace it was mounted in: nothing but loopback (and what the kernel makes in every new one).
    assert!(out.split_whitespace().any(|name| name == "lo"), "{out}");
    assert!(!out.contains("eth0") && !out.contains("ens"), "{out}");
}

fn keys_and_kernel_memory_stay_hidden() {
    let world = World::new();
    let kcore = world.ask(&Wish::probe(&["cat", "/proc/kcore"]));
    // Some kernels are built without it.
    assert!(kcore.is_empty() || kcore == "errno 2", "{kcore}");
    assert_eq!(world.ask(&Wish::probe(&["chroot"])), "ok");
}

/// Privileged is the caller's spec: nothing masked, all capabilities, no filter, its own groups writable.
fn privileged() {
    use oci_spec::runtime::Capability;
    let world = World::new();
    let all = [
        Capability::SysAdmin,
        Capability::NetAdmin,
        Capability::SysPtrace,
        Capability::Mknod,
    ]
    .into();
    let wish = |words: &[&'static str]| Wish {
        privileged: true,
        capabilities: Vec::clone(&all),
        seccomp: runtime::Seccomp::Spec,
        cgroup: true,
        ..Wish::probe(words)
    };
    assert_eq!(world.ask(&wish(&["unshare"])), "ok");
    assert_eq!(
        world.ask(&wish(&["mkdir", "/sys/fs/cgroup/pids/inner"])),
        "ok"
    );
    assert_eq!(
        world.ask(&wish(&["write", "/proc/sys/kernel/domainname", "x"])),
        "ok"
    );
    let status = world.ask(&wish(&["status"]));
    assert!(status.contains("Seccomp:\t0"), "{status}");
}
