//! A container's first process: what it finds, what it is, how it ends.

use crate::world::{Wish, World, chain};
use oci_spec::runtime::{PosixRlimitBuilder, PosixRlimitType};
use runtime::{ExitStatus, Reaper, Rootfs};

crate::cases![
    exit_codes_and_signals,
    a_directory_is_a_root_too,
    user_by_name,
    user_by_number,
    unknown_user,
    working_directory,
    environment,
    default_capabilities,
    all_capabilities_dropped,
    user_has_no_capabilities,
    seccomp_is_on,
    no_new_privs,
    limits,
    terminal,
    no_descriptors_leak,
    signals_are_fresh,
    init_reaps_and_forwards,
    init_passes_the_exit_code,
    init_holds_nothing_of_the_host,
    dropped_before_start,
    killed_while_building,
];

fn exit_codes_and_signals() {
    let world = World::new();
    assert_eq!(
        world.run(&Wish::probe(&["exit", "42"])).unwrap().status,
        ExitStatus::Code(42)
    );
    let mut running = world.start(&Wish::probe(&["sleep"])).unwrap();
    running.wait_for("ready");
    assert_eq!(
        sys::process::start_time(running.started.pid).unwrap(),
        running.started.start_time
    );
    running.signal(9);
    assert_eq!(running.end().code(), 137);
}

fn a_directory_is_a_root_too() {
    let world = World::new();
    let wish = Wish {
        rootfs: Some(Rootfs::Directory(crate::base())),
        read_only: true,
        ..Wish::probe(&["ls", "/data"])
    };
    assert_eq!(world.ask(&wish), "greeting link");
}

fn user_by_name() {
    let world = World::new();
    let wish = |words: &[&'static str]| Wish {
        user: Some("redis"),
        ..Wish::probe(words)
    };
    assert_eq!(world.ask(&wish(&["id"])), "999 1000 50,1000");
    assert!(world.ask(&wish(&["env"])).contains("HOME=/data"));
    assert_eq!(world.ask(&wish(&["cat", "/data/greeting"])), "hello");
    assert_eq!(world.ask(&wish(&["ls", "/private"])), "none");
    // The stream belongs to the user, so that it may be opened again by name.
    assert_eq!(world.ask(&wish(&["write", "/dev/stdout", "x"])), "xok");
}

fn user_by_number() {
    let world = World::new();
    assert_eq!(
        world.ask(&Wish {
            user: Some("4242:77"),
            ..Wish::probe(&["id"])
        }),
        "4242 77 77"
    );
    assert_eq!(
        world.ask(&Wish {
            user: Some("4242:77"),
            ..Wish::probe(&["env"])
        }),
        "PATH=/sbin:/bin\nHOME=/"
    );
}

fn unknown_user() {
    let world = World::new();
    let error = world.refused(&Wish {
        user: Some("foo"),
        ..Wish::default()
    });
    assert_eq!(
        chain(&error),
        "unable to find user foo: no matching entries in passwd file"
    );
    assert_eq!(error.exit_code(), 125);
}

fn working_directory() {
    let world = World::new();
    assert_eq!(
        world.ask(&Wish {
            cwd: "/made/for/me",
            ..Wish::probe(&["cwd"])
        }),
        "/made/for/me"
    );
    assert_eq!(
        world.ask(&Wish {
            cwd: "/made/for/me",
            read_only: true,
            ..Wish::probe(&["cwd"])
        }),
        "/made/for/me"
    );
    let error = world.refused(&Wish {
        cwd: "/etc/passwd",
        ..Wish::default()
    });
    assert!(
        chain(&error).contains("working directory /etc/passwd: not a directory"),
        "{}",
        chain(&error)
    );
    let closed = Wish {
        cwd: "/private",
        user: Some("redis"),
        ..Wish::default()
    };
    assert!(chain(&world.refused(&closed)).contains("permission denied"));
}

fn environment() {
    let world = World::new();
    let wish = Wish {
        env: vec!["PATH=/bin", "A=b c"],
        ..Wish::probe(&["env"])
    };
    assert_eq!(world.ask(&wish), "PATH=/bin\nA=b c\nHOME=/root");
}

fn field(status: &str, name: &str) -> String {
    status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .unwrap_or("")
        .trim()
        .to_owned()
}

fn default_capabilities() {
    let status = World::new().ask(&Wish::probe(&["status"]));
    // Without CAP_SYS_RESOURCE or whatever else the host lacks: Docker's 14 are among those every root has.
    for set in ["CapPrm:", "CapEff:", "CapBnd:"] {
        assert_eq!(field(&status, set), "00000000a80425fb", "{set}");
    }
    assert_eq!(field(&status, "CapInh:"), "0000000000000000");
    assert_eq!(field(&status, "CapAmb:"), "0000000000000000");
}

fn all_capabilities_dropped() {
    let status = World::new().ask(&Wish {
        capabilities: vec![],
        ..Wish::probe(&["status"])
    });
    for set in ["CapPrm:", "CapEff:", "CapBnd:", "CapInh:"] {
        assert_eq!(field(&status, set), "0000000000000000", "{set}");
    }
}

fn user_has_no_capabilities() {
    let status = World::new().ask(&Wish {
        user: Some("redis"),
        ..Wish::probe(&["status"])
    });
    assert_eq!(field(&status, "CapEff:"), "0000000000000000");
    assert_eq!(field(&status, "CapBnd:"), "00000000a80425fb");
}

fn seccomp_is_on() {
    let world = World::new();
    assert_eq!(
        field(&world.ask(&Wish::probe(&["status"])), "Seccomp:"),
        "2"
    );
    assert_eq!(world.ask(&Wish::probe(&["clone3"])), "errno 38");
    assert_eq!(world.ask(&Wish::probe(&["unshare"])), "errno 1");
    assert_eq!(world.ask(&Wish::probe(&["thread"])), "ok");
    let off = Wish {
        seccomp: runtime::Seccomp::Spec,
        ..Wish::probe(&["clone3"])
    };
    assert_eq!(world.ask(&off), "ok");
}

fn no_new_privs() {
    let world = World::new();
    let status = world.ask(&Wish {
        no_new_privs: true,
        user: Some("redis"),
        ..Wish::probe(&["status"])
    });
    assert_eq!(
        (field(&status, "NoNewPrivs:"), field(&status, "Seccomp:")),
        ("1".to_owned(), "2".to_owned())
    );
    assert_eq!(
        field(&world.ask(&Wish::probe(&["status"])), "NoNewPrivs:"),
        "0"
    );
}

fn limits() {
    let limit = |soft: u64, hard: u64| {
        PosixRlimitBuilder::default()
            .typ(PosixRlimitType::RlimitNofile)
            .soft(soft)
            .hard(hard)
            .build()
            .unwrap()
    };
    let world = World::new();
    assert_eq!(
        world.ask(&Wish {
            rlimits: vec![limit(100, 200)],
            ..Wish::probe(&["nofile"])
        }),
        "100 200"
    );
    // More than the host gives, where it gives no more: as much as there is.
    let now = sys::rlimit::get(7).unwrap();
    let asked = now.hard.saturating_add(1);
    let got = world.ask(&Wish {
        rlimits: vec![limit(64, asked)],
        ..Wish::probe(&["nofile"])
    });
    assert!(
        got == format!("64 {asked}") || got == format!("64 {}", now.hard),
        "{got}"
    );
    assert_eq!(world.ask(&Wish::probe(&["umask"])), "22");
}

fn terminal() {
    let world = World::new();
    let outcome = world
        .run(&Wish {
            terminal: true,
            ..Wish::probe(&["tty"])
        })
        .unwrap();
    assert_eq!(
        outcome.out.trim(),
        "/dev/pts/0 33x99 leader=true foreground=true control=true"
    );
    let console = world
        .run(&Wish {
            terminal: true,
            ..Wish::probe(&["stat", "/dev/console"])
        })
        .unwrap();
    assert!(console.out.starts_with("20620 0 "), "{}", console.out);
    let owned = world
        .run(&Wish {
            terminal: true,
            user: Some("redis"),
            ..Wish::probe(&["stat", "/dev/pts/0"])
        })
        .unwrap();
    assert!(owned.out.starts_with("20620 999 "), "{}", owned.out);
}

fn no_descriptors_leak() {
    let world = World::new();
    // 3 is the directory being read.
    assert_eq!(world.ask(&Wish::probe(&["ls", "/proc/self/fd"])), "0 1 2 3");
    let terminal = world
        .run(&Wish {
            terminal: true,
            ..Wish::probe(&["ls", "/proc/self/fd"])
        })
        .unwrap();
    assert_eq!(terminal.out.trim(), "0 1 2 3");
    assert_eq!(
        world.ask(&Wish {
            reaper: Reaper::Init,
            cgroup: true,
            ..Wish::probe(&["ls", "/proc/self/fd"])
        }),
        "0 1 2 3"
    );
}

fn signals_are_fresh() {
    let ask = World::new().ask(&Wish::probe(&["sigpipe"]));
    // Rust ignores SIGPIPE (bit 12) in the probe itself.
    assert_eq!(ask, "blocked 0000000000000000 ignored 0000000000001000");
}

fn init_reaps_and_forwards() {
    let world = World::new();
    let wish = Wish {
        reaper: Reaper::Init,
        seccomp: runtime::Seccomp::Spec,
        ..Wish::probe(&["orphan"])
    };
    assert_eq!(world.ask(&wish), "reaped");
    let mut running = world
        .start(&Wish {
            reaper: Reaper::Init,
            ..Wish::probe(&["until", "TERM"])
        })
        .unwrap();
    running.wait_for("ready");
    running.signal(15);
    running.wait_for("got SIGTERM");
    assert_eq!(running.end(), ExitStatus::Code(0));
}

fn init_passes_the_exit_code() {
    let world = World::new();
    assert_eq!(
        world
            .run(&Wish {
                reaper: Reaper::Init,
                ..Wish::probe(&["exit", "7"])
            })
            .unwrap()
            .status,
        ExitStatus::Code(7)
    );
    assert_eq!(
        world
            .refused(&Wish {
                reaper: Reaper::Init,
                args: vec!["nope"],
                ..Wish::default()
            })
            .exit_code(),
        127
    );
    let outcome = world
        .run(&Wish {
            reaper: Reaper::Init,
            terminal: true,
            ..Wish::probe(&["tty"])
        })
        .unwrap();
    assert_eq!(
        outcome.out.trim(),
        "/dev/pts/0 33x99 leader=false foreground=true control=true"
    );
}

fn init_holds_nothing_of_the_host() {
    let world = World::new();
    let wish = Wish {
        reaper: Reaper::Init,
        cgroup: true,
        ..Wish::probe(&["sleep"])
    };
    let mut running = world.start(&wish).unwrap();
    running.wait_for("ready");
    let pid = running.started.pid;
    let held = || {
        let entries = std::fs::read_dir(format!("/proc/{pid}/fd"))
            .unwrap()
            .flatten();
        let mut links: Vec<String> = entries
            .filter_map(|entry| Some(std::fs::read_link(entry.path()).ok()?.display().to_string()))
            .collect();
        links.sort();
        links.retain(|link| !link.starts_with("pipe:") && link != "/dev/null");
        links
    };
    crate::world::eventually("only the signals are left", || {
        held() == ["anon_inode:[signalfd]"]
    });
}

fn dropped_before_start() {
    let world = World::new();
    let (pending, _out, _) = world.spawn(&Wish::default()).unwrap();
    let pid = pending.pid();
    drop(pending);
    assert!(sys::process::pidfd_open(pid).is_err());
}

fn killed_while_building() {
    let world = World::new();
    let (pending, _out, _) = world.spawn(&Wish::default()).unwrap();
    sys::process::pidfd_send_signal(pending.pidfd(), 9).unwrap();
    let error = pending.start().unwrap_err();
    assert!(
        matches!(error, runtime::Error::KilledBySignal { signal: 9 }),
        "{error:?}"
    );
}
