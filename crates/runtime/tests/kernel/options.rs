//! Mount options and what else the spec says of mounts: each is seen from inside, and can fail.

use crate::world::{Wish, World, chain, text};
use oci_spec::runtime::{LinuxNamespaceType, LinuxTimeOffsetBuilder, Mount, Spec};
use runtime::Rootfs;
use runtime::defaults::{bind, mount, namespace, namespaces};
use std::collections::HashMap;
use std::os::fd::AsFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

crate::cases![
    attributes_of_the_whole_tree,
    attributes_of_one_mount,
    links_are_not_followed,
    links_as_sources_and_targets,
    copied_links,
    tmpfs_with_what_it_covers,
    remounted,
    relative_destinations,
    wrong_options,
    control_groups_read_only,
    propagation_of_the_root,
    root_receives_what_the_host_mounts,
    mount_namespace_of_another,
    name_of_another,
    time_is_its_own,
    time_of_another,
    namespaces_of_a_wrong_kind,
];

/// A volume with a tmpfs of the host mounted below, in this case's own mount namespace.
fn volume_with_mount(world: &World) -> PathBuf {
    sys::namespace::unshare(sys::namespace::flags::NEWNS).unwrap();
    sys::mount::set_root_propagation(sys::mount::Propagation::Private).unwrap();
    let volume = world.folder("volume");
    mount_tmpfs(&world.folder("volume/below"));
    volume
}

fn mount_tmpfs(at: &std::path::Path) {
    let tmpfs = sys::mount::new_filesystem("tmpfs", &[], sys::mount::Flags::empty()).unwrap();
    let place = sys::mount::open_root(at).unwrap();
    sys::mount::attach(tmpfs.as_fd(), place.as_fd()).unwrap();
}

/// The options of the mount at a place, as the container's own table shows them.
fn shown(world: &World, mounts: Vec<Mount>, at: &str) -> String {
    let table = world.ask(&Wish {
        mounts,
        ..Wish::probe(&["cat", "/proc/self/mounts"])
    });
    let line = table
        .lines()
        .rfind(|line| line.split(' ').nth(1) == Some(at));
    let line = line.unwrap_or_else(|| panic!("{at} in {table}"));
    line.split(' ').nth(3).unwrap().to_owned()
}

fn has(options: &str, name: &str) -> bool {
    options.split(',').any(|option| option == name)
}

fn attributes_of_the_whole_tree() {
    let world = World::new();
    let volume = volume_with_mount(&world);
    for (option, shown_as) in [
        ("rro", "ro"),
        ("rnosuid", "nosuid"),
        ("rnodev", "nodev"),
        ("rnoexec", "noexec"),
        ("rnoatime", "noatime"),
        ("rnodiratime", "nodiratime"),
        ("rnosymfollow", "nosymfollow"),
    ] {
        for at in ["/mnt", "/mnt/below"] {
            let options = shown(&world, vec![bind(&volume, "/mnt", &[option])], at);
            assert!(has(&options, shown_as), "{option} at {at}: {options}");
        }
    }
    let strict = shown(
        &world,
        vec![bind(&volume, "/mnt", &["rstrictatime"])],
        "/mnt/below",
    );
    assert!(
        !has(&strict, "relatime") && !has(&strict, "noatime"),
        "{strict}"
    );
    // The opposites take away what the host has.
    let below = sys::mount::open_root(&volume.join("below")).unwrap();
    for (option, bit, shown_as) in [
        ("rrw", 1, "ro"),
        ("rsuid", 2, "nosuid"),
        ("rdev", 4, "nodev"),
        ("rexec", 8, "noexec"),
        ("ratime", 0x10, "noatime"),
        ("rrelatime", 0x10, "noatime"),
    ] {
        let change = sys::mount::Attributes {
            set: bit,
            ..Default::default()
        };
        sys::mount::set_attributes(below.as_fd(), change).unwrap();
        let kept = shown(&world, vec![bind(&volume, "/mnt", &[])], "/mnt/below");
        assert!(has(&kept, shown_as), "{option}: {kept}");
        let options = shown(&world, vec![bind(&volume, "/mnt", &[option])], "/mnt/below");
        assert!(!has(&options, shown_as), "{option}: {options}");
        let back = sys::mount::Attributes {
            clear: if bit == 0x10 { 0x70 } else { bit },
            ..Default::default()
        };
        sys::mount::set_attributes(below.as_fd(), back).unwrap();
    }
}

fn attributes_of_one_mount() {
    let world = World::new();
    let volume = volume_with_mount(&world);
    for option in ["ro", "nosuid", "nodev", "noexec", "noatime", "nodiratime"] {
        let at = |place| shown(&world, vec![bind(&volume, "/mnt", &[option])], place);
        assert!(has(&at("/mnt"), option), "{option}");
        assert!(!has(&at("/mnt/below"), option), "{option}");
    }
    let tmpfs = |options| shown(&world, vec![mount("/run/x", "tmpfs", options)], "/run/x");
    for options in [
        &["noatime"][..],
        &["ro", "noexec"],
        &["strictatime", "noatime"],
    ] {
        let shown = tmpfs(options);
        assert!(
            has(&shown, options[options.len() - 1]),
            "{options:?}: {shown}"
        );
    }
    assert!(has(&tmpfs(&["sync", "dirsync", "lazytime"]), "sync"));
}

fn links_are_not_followed() {
    let world = World::new();
    let volume = world.folder("volume");
    std::fs::write(volume.join("a"), "x").unwrap();
    symlink("a", volume.join("link")).unwrap();
    let ask = |option: &'static str| {
        world.ask(&Wish {
            mounts: vec![bind(&volume, "/mnt", &[option])],
            ..Wish::probe(&["cat", "/mnt/link"])
        })
    };
    assert_eq!(ask("symfollow"), "x");
    assert_eq!(ask("nosymfollow"), "errno 40");
}

fn links_as_sources_and_targets() {
    let world = World::new();
    let volume = world.folder("volume");
    std::fs::write(volume.join("a"), "target of the link").unwrap();
    symlink("a", volume.join("link")).unwrap();
    let source = volume.join("link");
    let wish = |options: &[&str], words: &[&'static str]| Wish {
        mounts: vec![bind(&source, "/etc/link", options)],
        ..Wish::probe(words)
    };
    assert_eq!(
        world.ask(&wish(&[], &["cat", "/etc/link"])),
        "target of the link"
    );
    // The link itself lies over a link of the image's.
    let lower = world.folder("lower/etc");
    let _ = std::fs::remove_file(world.path("upper/etc/link"));
    symlink("passwd", lower.join("link")).unwrap();
    let both = &["src-nofollow", "dest-nofollow"];
    assert_eq!(world.ask(&wish(both, &["readlink", "/etc/link"])), "a");
    let missing = Wish {
        mounts: vec![bind(&volume.join("a"), "/etc/nothing", &["dest-nofollow"])],
        ..Wish::default()
    };
    assert!(chain(&world.refused(&missing)).contains("cannot make the mount point /etc/nothing"));
}

fn copied_links() {
    let world = World::new();
    let volume = world.folder("volume");
    symlink("/etc/passwd", volume.join("link")).unwrap();
    std::fs::write(volume.join("file"), "x").unwrap();
    let wish = |name: &str, words: &[&'static str]| Wish {
        mounts: vec![bind(&volume.join(name), "/opt/there", &["copy-symlink"])],
        ..Wish::probe(words)
    };
    assert_eq!(
        world.ask(&wish("link", &["readlink", "/opt/there"])),
        "/etc/passwd"
    );
    // The same again is no error; something else in its place is.
    assert_eq!(
        world.ask(&wish("link", &["readlink", "/opt/there"])),
        "/etc/passwd"
    );
    std::fs::remove_file(world.path("upper/opt/there")).unwrap();
    assert_eq!(world.ask(&wish("file", &["cat", "/opt/there"])), "x");
    let error = chain(&world.refused(&wish("link", &["exit", "0"])));
    assert!(
        error.contains("cannot make the mount point /opt/there"),
        "{error}"
    );
}

fn tmpfs_with_what_it_covers() {
    let world = World::new();
    let wish = |options: &[&str], words: &[&'static str]| Wish {
        mounts: vec![mount("/data", "tmpfs", options)],
        ..Wish::probe(words)
    };
    assert_eq!(world.ask(&wish(&[], &["ls", "/data"])), "");
    let filled = &["tmpcopyup", "noexec"];
    assert_eq!(world.ask(&wish(filled, &["cat", "/data/link"])), "hello");
    assert!(
        world
            .ask(&wish(filled, &["stat", "/data"]))
            .starts_with("40755 999 1000")
    );
    let moded = &["tmpcopyup", "mode=700", "ro"];
    assert!(
        world
            .ask(&wish(moded, &["stat", "/data"]))
            .starts_with("40700 999 1000")
    );
    assert_eq!(
        world.ask(&wish(moded, &["write", "/data/x", "y"])),
        "errno 30"
    );
    // What is written to it does not reach the root.
    assert_eq!(
        world.ask(&wish(filled, &["write", "/data/greeting", "y"])),
        "ok"
    );
    assert!(!world.path("upper/data/greeting").exists());
    let error = chain(&world.refused(&Wish {
        mounts: vec![mount("/data", "ramfs", &["tmpcopyup"])],
        ..Wish::default()
    }));
    assert!(error.contains("mount option \"tmpcopyup\""), "{error}");
}

fn remounted() {
    let world = World::new();
    let options = shown(
        &world,
        vec![mount("/dev/shm", "tmpfs", &["remount", "ro", "size=1m"])],
        "/dev/shm",
    );
    assert!(
        has(&options, "ro") && has(&options, "size=1024k"),
        "{options}"
    );
    // /sys is read-only by default.
    let options = shown(
        &world,
        vec![mount("/sys", "sysfs", &["remount", "rw"])],
        "/sys",
    );
    assert!(has(&options, "rw"), "{options}");
    let nothing = Wish {
        mounts: vec![mount("/etc", "tmpfs", &["remount", "ro"])],
        ..Wish::default()
    };
    assert!(chain(&world.refused(&nothing)).contains("cannot mount tmpfs at /etc"));
}

fn relative_destinations() {
    let world = World::new();
    let volume = world.folder("volume");
    std::fs::write(volume.join("a"), "x").unwrap();
    let wish = Wish {
        mounts: vec![bind(&volume, "srv/data", &[])],
        ..Wish::probe(&["cat", "/srv/data/a"])
    };
    assert_eq!(world.ask(&wish), "x");
}

fn wrong_options() {
    let world = World::new();
    let volume = world.folder("volume");
    let refused = |mount: Mount| {
        chain(&world.refused(&Wish {
            mounts: vec![mount],
            ..Wish::default()
        }))
    };
    let text = refused(bind(&volume, "/mnt", &["nosuch=thing"]));
    assert_eq!(text, "unknown mount option \"nosuch\" for /mnt");
    let text = refused(mount("/mnt", "tmpfs", &["nosuch"]));
    assert!(
        text.contains("cannot mount tmpfs at /mnt") && text.contains("nosuch"),
        "{text}"
    );
    let text = refused(mount("/mnt", "tmpfs", &["src-nofollow"]));
    assert!(text.contains("src-nofollow"), "{text}");
    let text = refused(mount("/mnt", "nosuchfs", &[]));
    assert!(
        text.contains("cannot mount nosuchfs at /mnt: no such device"),
        "{text}"
    );
}

fn control_groups_read_only() {
    let world = World::new();
    let first = world.ask(&Wish::probe(&["ls", "/sys/fs/cgroup"]));
    assert!(!first.is_empty());
    let made = world.ask(&Wish::probe(&["mkdir", "/sys/fs/cgroup/x"]));
    assert_eq!(made, "errno 30");
}

fn with_propagation(value: &'static str) -> Box<dyn Fn(&mut Spec)> {
    Box::new(move |spec| {
        let mut linux = spec.linux().clone().unwrap();
        linux.set_rootfs_propagation(Some(value.to_owned()));
        spec.set_linux(Some(linux));
    })
}

/// The optional fields of the root's line in mountinfo.
fn root_fields(mountinfo: &str) -> String {
    let line = mountinfo
        .lines()
        .find(|line| line.split(' ').nth(4) == Some("/"));
    let fields = line.unwrap_or_default().split(' ').skip(6);
    fields
        .take_while(|field| *field != "-")
        .collect::<Vec<_>>()
        .join(" ")
}

fn propagation_of_the_root() {
    let world = World::new();
    for (value, expected) in [
        ("", ""),
        ("private", ""),
        ("rprivate", ""),
        ("shared", "shared:"),
        ("rshared", "shared:"),
        ("unbindable", "unbindable"),
        ("runbindable", "unbindable"),
    ] {
        let table = world.ask(&Wish {
            edit: with_propagation(value),
            ..Wish::probe(&["cat", "/proc/self/mountinfo"])
        });
        let fields = root_fields(&table);
        assert!(fields.starts_with(expected), "{value}: {fields}");
        assert_eq!(fields.is_empty(), expected.is_empty(), "{value}: {fields}");
        // One root, and nothing of the host's below it.
        let roots = table
            .lines()
            .filter(|line| line.split(' ').nth(4) == Some("/"));
        assert_eq!(roots.count(), 1, "{table}");
        let recursive = table
            .lines()
            .find(|line| line.split(' ').nth(4) == Some("/proc"));
        let recursive = recursive.unwrap().contains("shared:");
        assert_eq!(recursive, value == "rshared", "{value}: {table}");
    }
}

fn root_receives_what_the_host_mounts() {
    let world = World::new();
    sys::namespace::unshare(sys::namespace::flags::NEWNS).unwrap();
    sys::mount::set_root_propagation(sys::mount::Propagation::Shared).unwrap();
    let root = world.folder("root");
    for name in ["bin", "proc", "sys", "dev", "late", "etc"] {
        std::fs::create_dir_all(root.join(name)).unwrap();
    }
    std::fs::copy("/proc/self/exe", root.join("bin/probe")).unwrap();
    let arrives = |value: &'static str| {
        let mut running = world
            .start(&Wish {
                rootfs: Some(Rootfs::Directory(root.clone())),
                edit: with_propagation(value),
                ..Wish::probe(&["sleep"])
            })
            .unwrap_or_else(|e| panic!("{}", chain(&e)));
        running.wait_for("ready");
        mount_tmpfs(&root.join("late"));
        let table = text(format!("/proc/{}/mountinfo", running.started.pid));
        sys::mount::detach(&root.join("late")).unwrap();
        let fields = root_fields(&table);
        (table.contains(" /late "), fields)
    };
    let (seen, fields) = arrives("rslave");
    assert!(seen && fields.starts_with("master:"), "{fields}");
    assert_eq!(arrives("private"), (false, String::new()));
}

fn other_world(world: &World) -> World {
    World {
        dir: world.folder("other"),
        parent: world.parent.clone(),
    }
}

fn joined(pid: i32, typ: LinuxNamespaceType, name: &str) -> Vec<oci_spec::runtime::LinuxNamespace> {
    let mut list = namespaces();
    list.retain(|namespace| namespace.typ() != typ);
    let mut path = namespace(typ);
    path.set_path(Some(format!("/proc/{pid}/ns/{name}").into()));
    list.push(path);
    list
}

fn same(a: i32, b: i32, name: &str) -> bool {
    let link = |pid| std::fs::read_link(format!("/proc/{pid}/ns/{name}")).unwrap();
    link(a) == link(b)
}

/// Sources are the caller's, the mounts are made in the other's namespace.
fn mount_namespace_of_another() {
    let world = World::new();
    let mut first = world.start(&Wish::probe(&["sleep"])).unwrap();
    first.wait_for("ready");
    let other = other_world(&world);
    let volume = other.folder("volume");
    std::fs::write(volume.join("a"), "x").unwrap();
    let mut second = other
        .start(&Wish {
            namespaces: joined(first.started.pid, LinuxNamespaceType::Mount, "mnt"),
            mounts: vec![bind(&volume, "/mnt", &[])],
            // What the hierarchies are is the caller's knowledge too.
            cgroup: true,
            ..Wish::probe(&["sleep"])
        })
        .unwrap_or_else(|e| panic!("{}", chain(&e)));
    second.wait_for("ready");
    assert!(same(first.started.pid, second.started.pid, "mnt"));
    let inside = format!("/proc/{}/root/mnt/a", second.started.pid);
    assert_eq!(text(inside), "x");
    let own = Wish {
        namespaces: joined(std::process::id() as i32, LinuxNamespaceType::Mount, "mnt"),
        ..Wish::default()
    };
    assert!(chain(&other.refused(&own)).contains("the caller's own"));
}

fn name_of_another() {
    let world = World::new();
    let mut first = world.start(&Wish::probe(&["sleep"])).unwrap();
    first.wait_for("ready");
    let other = other_world(&world);
    let wish = Wish {
        namespaces: joined(first.started.pid, LinuxNamespaceType::Uts, "uts"),
        edit: Box::new(|spec: &mut Spec| {
            spec.set_hostname(Some("renamed".to_owned()));
            spec.set_domainname(Some("example.org".to_owned()));
        }),
        ..Wish::probe(&["cat", "/proc/sys/kernel/domainname"])
    };
    assert_eq!(other.ask(&wish), "example.org");
    let seen = crate::exec::exec_process(
        &first,
        &crate::exec::process(&["cat", "/proc/sys/kernel/hostname"], "/"),
        None,
    );
    assert_eq!(seen.unwrap().0, "renamed");
}

fn with_time() -> Vec<oci_spec::runtime::LinuxNamespace> {
    let mut list = namespaces();
    list.push(namespace(LinuxNamespaceType::Time));
    list
}

fn offsets(spec: &mut Spec) {
    let mut linux = spec.linux().clone().unwrap();
    let offset = |secs: i64| {
        LinuxTimeOffsetBuilder::default()
            .secs(secs)
            .nanosecs(5u32)
            .build()
            .unwrap()
    };
    linux.set_time_offsets(Some(HashMap::from([
        ("monotonic".to_owned(), offset(86_400)),
        ("boottime".to_owned(), offset(1_000_000)),
    ])));
    spec.set_linux(Some(linux));
}

fn uptime(text: &str) -> f64 {
    text.split(' ').next().unwrap().parse().unwrap()
}

fn time_is_its_own() {
    let world = World::new();
    let wish = |words: &[&'static str]| Wish {
        namespaces: with_time(),
        edit: Box::new(offsets),
        ..Wish::probe(words)
    };
    let inside = uptime(&world.ask(&wish(&["cat", "/proc/uptime"])));
    let outside = uptime(&text("/proc/uptime"));
    assert!(
        (inside - outside - 1_000_000.0).abs() < 1000.0,
        "{inside} {outside}"
    );
    let shown = world.ask(&wish(&["cat", "/proc/self/timens_offsets"]));
    let words: Vec<&str> = shown.split_whitespace().collect();
    assert_eq!(
        words,
        ["monotonic", "86400", "5", "boottime", "1000000", "5"]
    );
    // Our own children have our time again, and so has a container without the namespace.
    assert_eq!(
        std::fs::read_link("/proc/self/ns/time").unwrap(),
        std::fs::read_link("/proc/self/ns/time_for_children").unwrap()
    );
    let plain = uptime(&world.ask(&Wish::probe(&["cat", "/proc/uptime"])));
    assert!((plain - outside).abs() < 1000.0);
    // A time namespace without offsets.
    let same = Wish {
        namespaces: with_time(),
        ..Wish::probe(&["sleep"])
    };
    let mut running = world.start(&same).unwrap();
    running.wait_for("ready");
    let link = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/time")).unwrap();
    assert_ne!(link(&running.started.pid.to_string()), link("self"));
}

fn time_of_another() {
    let world = World::new();
    let mut first = world
        .start(&Wish {
            namespaces: with_time(),
            edit: Box::new(offsets),
            ..Wish::probe(&["sleep"])
        })
        .unwrap();
    first.wait_for("ready");
    let other = other_world(&world);
    let wish = Wish {
        namespaces: joined(first.started.pid, LinuxNamespaceType::Time, "time"),
        ..Wish::probe(&["cat", "/proc/uptime"])
    };
    let outside = uptime(&text("/proc/uptime"));
    assert!(uptime(&other.ask(&wish)) - outside > 900_000.0);
    let process = crate::exec::process(&["cat", "/proc/uptime"], "/");
    let (seen, _) = crate::exec::exec_process(&first, &process, None).unwrap();
    assert!(uptime(&seen) - outside > 900_000.0);
}

fn namespaces_of_a_wrong_kind() {
    let world = World::new();
    let file = world.path("file");
    std::fs::write(&file, "").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let refused = |path: PathBuf| {
        let mut list = namespaces();
        list.retain(|namespace| namespace.typ() != LinuxNamespaceType::Ipc);
        let mut ipc = namespace(LinuxNamespaceType::Ipc);
        ipc.set_path(Some(path));
        list.push(ipc);
        chain(&world.refused(&Wish {
            namespaces: list,
            ..Wish::default()
        }))
    };
    assert!(refused(file).ends_with("is no ipc namespace"));
    assert!(refused("/proc/self/ns/uts".into()).ends_with("is no ipc namespace"));
}
