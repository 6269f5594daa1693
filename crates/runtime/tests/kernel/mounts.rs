//! Binds, tmpfs, propagation, and what a new volume is born with.

use crate::world::{Wish, World, chain, text};
use runtime::CopyUp;
use runtime::defaults::{bind, mount};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

crate::cases![
    binds_of_directories_and_files,
    read_only_binds,
    recursive_read_only,
    missing_targets_are_made,
    tmpfs_options,
    order_is_the_callers,
    shared_propagation,
    private_propagation,
    volumes_are_born_with_content,
    volumes_with_content_keep_it,
    nothing_to_be_born_with,
    device_directory_of_the_host,
    proc_is_out_of_bounds,
];

fn binds_of_directories_and_files() {
    let world = World::new();
    let source = world.folder("volume");
    std::fs::write(source.join("a"), "from outside").unwrap();
    let mounts = vec![
        bind(&source, "/mnt", &[]),
        bind(&source.join("a"), "/etc/hosts", &["ro"]),
    ];
    let wish = |words: &[&'static str]| Wish {
        mounts: mounts.clone(),
        ..Wish::probe(words)
    };
    assert_eq!(world.ask(&wish(&["cat", "/mnt/a"])), "from outside");
    assert_eq!(world.ask(&wish(&["cat", "/etc/hosts"])), "from outside");
    assert_eq!(world.ask(&wish(&["write", "/mnt/b", "from inside"])), "ok");
    assert_eq!(text(source.join("b")), "from inside");
    assert_eq!(world.ask(&wish(&["write", "/etc/hosts", "x"])), "errno 30");
}

fn read_only_binds() {
    let world = World::new();
    let source = world.folder("volume");
    let wish = Wish {
        mounts: vec![bind(&source, "/mnt", &["ro"])],
        ..Wish::probe(&["write", "/mnt/a", "x"])
    };
    assert_eq!(world.ask(&wish), "errno 30");
    // The host's own view of it stays writable.
    std::fs::write(source.join("a"), "x").unwrap();
}

/// A mount of the host below a volume, in this case's own mount namespace.
fn with_submount(world: &World) -> std::path::PathBuf {
    sys::namespace::unshare(sys::namespace::flags::NEWNS).unwrap();
    sys::mount::set_root_propagation(sys::mount::Propagation::Private).unwrap();
    let source = world.folder("volume");
    let below = world.folder("volume/below");
    let tmpfs = sys::mount::new_filesystem("tmpfs", &[], sys::mount::Flags::empty()).unwrap();
    let place = sys::mount::open_root(&below).unwrap();
    sys::mount::attach(
        std::os::fd::AsFd::as_fd(&tmpfs),
        std::os::fd::AsFd::as_fd(&place),
    )
    .unwrap();
    source
}

fn recursive_read_only() {
    let world = World::new();
    let source = with_submount(&world);
    let ask = |option: &'static str| {
        let mounts = vec![bind(&source, "/mnt", &[option])];
        world.ask(&Wish {
            mounts,
            ..Wish::probe(&["write", "/mnt/below/a", "x"])
        })
    };
    assert_eq!(ask("ro"), "ok");
    assert_eq!(ask("rro"), "errno 30");
    let shallow = mount("/mnt", "bind", &["bind"]);
    let mut shallow = shallow;
    shallow.set_source(Some(source));
    assert_eq!(
        world.ask(&Wish {
            mounts: vec![shallow],
            ..Wish::probe(&["ls", "/mnt/below"])
        }),
        ""
    );
    sys::mount::detach(&world.path("volume/below")).unwrap();
}

fn missing_targets_are_made() {
    let world = World::new();
    let source = world.folder("volume");
    std::fs::write(source.join("a"), "x").unwrap();
    let mounts = vec![
        bind(&source, "/not/there/yet", &[]),
        bind(&source.join("a"), "/nor/this/file", &[]),
    ];
    assert_eq!(
        world.ask(&Wish {
            mounts,
            read_only: true,
            ..Wish::probe(&["cat", "/nor/this/file"])
        }),
        "x"
    );
    assert!(world.path("upper/not/there/yet").is_dir());
    assert!(world.path("upper/nor/this/file").is_file());
}

fn tmpfs_options() {
    let world = World::new();
    let mounts = vec![mount(
        "/run/x",
        "tmpfs",
        &["size=64k", "mode=750", "uid=999", "noexec", "nosuid"],
    )];
    let wish = |words: &[&'static str]| Wish {
        mounts: mounts.clone(),
        ..Wish::probe(words)
    };
    assert!(
        world
            .ask(&wish(&["stat", "/run/x"]))
            .starts_with("40750 999 0")
    );
    let mounted = world.ask(&wish(&["cat", "/proc/mounts"]));
    let line = mounted
        .lines()
        .find(|line| line.contains(" /run/x "))
        .unwrap();
    assert!(
        line.contains("size=64k") && line.contains("noexec") && line.contains("nosuid"),
        "{line}"
    );
}

fn order_is_the_callers() {
    let world = World::new();
    let (outer, inner) = (world.folder("outer"), world.folder("inner"));
    std::fs::write(inner.join("a"), "inner").unwrap();
    let mounts = vec![bind(&outer, "/mnt", &[]), bind(&inner, "/mnt/inner", &[])];
    assert_eq!(
        world.ask(&Wish {
            mounts,
            ..Wish::probe(&["cat", "/mnt/inner/a"])
        }),
        "inner"
    );
}

/// Mounts a tmpfs at a directory while a container looks at it from below a bind; says whether it shows there.
fn appears(propagation: &'static str) -> bool {
    let world = World::new();
    sys::namespace::unshare(sys::namespace::flags::NEWNS).unwrap();
    sys::mount::set_root_propagation(sys::mount::Propagation::Shared).unwrap();
    let source = world.folder("volume");
    let later = world.folder("volume/later");
    let mounts = vec![bind(&source, "/mnt", &[propagation])];
    let mut running = world
        .start(&Wish {
            mounts,
            ..Wish::probe(&["sleep"])
        })
        .unwrap();
    running.wait_for("ready");
    let tmpfs = sys::mount::new_filesystem("tmpfs", &[], sys::mount::Flags::empty()).unwrap();
    let place = sys::mount::open_root(&later).unwrap();
    sys::mount::attach(
        std::os::fd::AsFd::as_fd(&tmpfs),
        std::os::fd::AsFd::as_fd(&place),
    )
    .unwrap();
    let inside = text(format!("/proc/{}/mountinfo", running.started.pid));
    sys::mount::detach(&later).unwrap();
    inside.contains(" /mnt/later ")
}

fn shared_propagation() {
    assert!(appears("rshared"));
    assert!(appears("rslave"));
}

fn private_propagation() {
    assert!(!appears("rprivate"));
}

fn volumes_are_born_with_content() {
    let world = World::new();
    let volume = world.folder("volume");
    let wish = Wish {
        copy_up: vec![CopyUp {
            target: "/data".into(),
            volume: volume.clone(),
        }],
        mounts: vec![bind(&volume, "/data", &[])],
        user: Some("redis"),
        ..Wish::probe(&["write", "/data/new", "x"])
    };
    assert_eq!(world.ask(&wish), "ok");
    let owner = |name: &str| {
        let metadata = std::fs::symlink_metadata(volume.join(name)).unwrap();
        (
            metadata.uid(),
            metadata.gid(),
            metadata.permissions().mode() & 0o7777,
        )
    };
    assert_eq!(owner("greeting"), (999, 1000, 0o640));
    assert_eq!((owner("").0, owner("").1), (999, 1000));
    assert_eq!(
        std::fs::read_link(volume.join("link")).unwrap().to_str(),
        Some("greeting")
    );
    assert_eq!(text(volume.join("greeting")), "hello\n");
}

fn volumes_with_content_keep_it() {
    let world = World::new();
    let volume = world.folder("volume");
    std::fs::write(volume.join("mine"), "x").unwrap();
    chown(&volume, Some(5), Some(5)).unwrap();
    let copy_up = vec![CopyUp {
        target: "/data".into(),
        volume: volume.clone(),
    }];
    let wish = Wish {
        copy_up,
        mounts: vec![bind(&volume, "/data", &[])],
        ..Wish::probe(&["ls", "/data"])
    };
    assert_eq!(world.ask(&wish), "mine");
    assert_eq!(std::fs::metadata(&volume).unwrap().uid(), 5);
}

fn nothing_to_be_born_with() {
    let world = World::new();
    let volume = world.folder("volume");
    for target in ["/no/such/place", "/etc/passwd"] {
        let copy_up = vec![CopyUp {
            target: target.into(),
            volume: volume.clone(),
        }];
        world.ask(&Wish {
            copy_up,
            ..Wish::default()
        });
        assert_eq!(std::fs::read_dir(&volume).unwrap().count(), 0, "{target}");
    }
}

fn device_directory_of_the_host() {
    let world = World::new();
    let dev = world.folder("dev");
    let mounts = vec![bind(&dev, "/dev", &[])];
    assert_eq!(
        world.ask(&Wish {
            mounts,
            ..Wish::probe(&["ls", "/dev"])
        }),
        ""
    );
    assert_eq!(std::fs::read_dir(&dev).unwrap().count(), 0);
}

fn proc_is_out_of_bounds() {
    let world = World::new();
    let source = world.folder("volume");
    for target in ["/proc", "/proc/self/fd", "/tmp/../proc/sys"] {
        let error = world.refused(&Wish {
            mounts: vec![bind(&source, target, &[])],
            ..Wish::default()
        });
        assert!(
            chain(&error).contains("it is inside /proc"),
            "{}",
            chain(&error)
        );
    }
    std::fs::write(source.join("uptime"), "1 1").unwrap();
    let mounts = vec![bind(&source.join("uptime"), "/proc/uptime", &[])];
    assert_eq!(
        world.ask(&Wish {
            mounts,
            ..Wish::probe(&["cat", "/proc/uptime"])
        }),
        "1 1"
    );
}
