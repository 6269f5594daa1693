//! User namespaces: a private range of ids over layers and volumes that belong to the host's ids on disk.

use crate::world::{Running, Wish, World, chain, text};
use oci_spec::runtime::{
    LinuxDevice, LinuxDeviceBuilder, LinuxDeviceType, LinuxIdMapping, LinuxIdMappingBuilder,
    LinuxNamespace, LinuxNamespaceType, Mount, Spec,
};
use runtime::defaults::{bind, namespace, namespaces};
use runtime::{CopyUp, IdMap, Overlay, Rootfs};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

crate::cases![
    ids_are_its_own,
    files_keep_their_owners_on_disk,
    layers_of_root_are_its_own,
    devices_and_names,
    terminals,
    pipes_can_be_opened_by_name,
    volumes_by_the_containers_mapping,
    volumes_by_a_mapping_of_their_own,
    mapped_mounts_without_user_namespace,
    wrong_wishes_for_mappings,
    volumes_are_born_with_content,
    exec_enters_it,
    joins_another_ones_users,
    joins_what_belongs_to_the_host,
    network_of_the_host,
    processes_of_the_host,
    without_a_root_inside,
    limits_may_rise,
    read_only_root,
];

const FIRST: u32 = 300_000;
const COUNT: u32 = 65_536;

fn mapping(inside: u32, outside: u32, count: u32) -> Vec<LinuxIdMapping> {
    vec![
        LinuxIdMappingBuilder::default()
            .container_id(inside)
            .host_id(outside)
            .size(count)
            .build()
            .unwrap(),
    ]
}

fn with_user() -> Vec<LinuxNamespace> {
    let mut list = namespaces();
    list.push(namespace(LinuxNamespaceType::User));
    list
}

fn map_spec(spec: &mut Spec) {
    let mut linux = spec.linux().clone().unwrap();
    linux.set_uid_mappings(Some(mapping(0, FIRST, COUNT)));
    linux.set_gid_mappings(Some(mapping(0, FIRST, COUNT)));
    spec.set_linux(Some(linux));
}

fn overlay(world: &World) -> Rootfs {
    let Rootfs::Overlay(overlay) = world.overlay() else {
        unreachable!("the world's root is an overlay")
    };
    Rootfs::Overlay(Overlay {
        idmap: Some(IdMap::range(FIRST, COUNT)),
        ..overlay
    })
}

/// A container with a range of its own, as `--userns=auto` gives it.
fn private<'a>(world: &World, words: &[&'a str]) -> Wish<'a> {
    Wish {
        namespaces: with_user(),
        rootfs: Some(overlay(world)),
        edit: Box::new(map_spec),
        ..Wish::probe(words)
    }
}

fn start(world: &World, wish: &Wish<'_>) -> Running {
    let mut running = world
        .start(wish)
        .unwrap_or_else(|e| panic!("{}", chain(&e)));
    running.wait_for("ready");
    running
}

fn status_line(pid: i32, name: &str) -> String {
    text(format!("/proc/{pid}/status"))
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .unwrap_or_default()
        .trim()
        .to_owned()
}

fn ids_are_its_own() {
    let world = World::new();
    assert_eq!(world.ask(&private(&world, &["id"])), "0 0");
    let map = world.ask(&private(&world, &["cat", "/proc/self/uid_map"]));
    let numbers: Vec<&str> = map.split_whitespace().collect();
    assert_eq!(numbers, ["0", "300000", "65536"]);
    let running = start(&world, &private(&world, &["sleep"]));
    let uids = status_line(running.started.pid, "Uid:");
    assert_eq!(uids.split_whitespace().next(), Some("300000"), "{uids}");
    assert_eq!(status_line(running.started.pid, "Groups:"), "");
}

fn files_keep_their_owners_on_disk() {
    let world = World::new();
    let answer = world.ask(&private(&world, &["write", "/etc/new", "x"]));
    assert_eq!(answer, "ok");
    let owner = |path: &str| {
        let metadata = std::fs::metadata(world.path(path)).unwrap();
        (metadata.uid(), metadata.gid())
    };
    assert_eq!(owner("upper/etc/new"), (0, 0));
    // What it finds belongs to its own users, and so does what it copies up.
    let wish = Wish {
        user: Some("redis"),
        ..private(&world, &["write", "/data/greeting", "y"])
    };
    assert_eq!(world.ask(&wish), "ok");
    assert_eq!(owner("upper/data/greeting"), (999, 1000));
}

fn layers_of_root_are_its_own() {
    let world = World::new();
    let stat = |path: &str| world.ask(&private(&world, &["stat", path]));
    assert!(stat("/etc/passwd").starts_with("100644 0 0 "));
    assert!(stat("/data/greeting").starts_with("100640 999 1000 "));
    // A directory that only root may enter is open to the container's root.
    assert_eq!(world.ask(&private(&world, &["ls", "/private"])), "");
    let denied = Wish {
        user: Some("redis"),
        ..private(&world, &["write", "/private/x", "y"])
    };
    assert_eq!(world.ask(&denied), "errno 13");
}

fn device(path: &str, minor: i64, owner: (u32, u32)) -> LinuxDevice {
    LinuxDeviceBuilder::default()
        .path(path)
        .typ(LinuxDeviceType::C)
        .major(1)
        .minor(minor)
        .file_mode(0o640u32)
        .uid(owner.0)
        .gid(owner.1)
        .build()
        .unwrap()
}

fn devices_and_names() {
    let world = World::new();
    for path in ["/dev/null", "/dev/zero", "/dev/tty"] {
        assert_eq!(world.ask(&private(&world, &["stat", path])), "20666 0 0 0");
    }
    assert_eq!(world.ask(&private(&world, &["open", "/dev/null"])), "ok");
    let mounts = world.ask(&private(&world, &["cat", "/proc/self/mounts"]));
    let null = mounts.lines().find(|line| line.contains(" /dev/null "));
    assert!(null.unwrap().contains("nosuid,noexec"), "{mounts}");
    let wish = |words: &[&'static str]| Wish {
        edit: Box::new(|spec: &mut Spec| {
            map_spec(spec);
            let mut linux = spec.linux().clone().unwrap();
            linux.set_devices(Some(vec![device("/opt/my/zero", 5, (999, 1000))]));
            spec.set_linux(Some(linux));
        }),
        ..private(&world, words)
    };
    assert_eq!(
        world.ask(&wish(&["stat", "/opt/my/zero"])),
        "20640 999 1000 0"
    );
    let name = private(&world, &["cat", "/proc/sys/kernel/hostname"]);
    assert_eq!(world.ask(&name), "probed");
    // The host's memory stays covered.
    assert_eq!(world.ask(&private(&world, &["cat", "/proc/keys"])), "");
}

fn terminals() {
    let world = World::new();
    let wish = Wish {
        terminal: true,
        ..private(&world, &["tty"])
    };
    assert_eq!(
        world.ask(&wish),
        "/dev/pts/0 33x99 leader=true foreground=true control=true"
    );
}

fn pipes_can_be_opened_by_name() {
    let world = World::new();
    let wish = |user| Wish {
        user: Some(user),
        ..private(&world, &["write", "/dev/stdout", "by name"])
    };
    for user in ["0", "redis"] {
        assert_eq!(world.ask(&wish(user)), "by nameok", "{user}");
    }
}

fn volumes_by_the_containers_mapping() {
    let world = World::new();
    let volume = world.folder("volume");
    std::fs::write(volume.join("old"), "x").unwrap();
    std::fs::set_permissions(volume.join("old"), std::fs::Permissions::from_mode(0o600)).unwrap();
    let wish = |option: &'static str, words: &[&'static str]| Wish {
        mounts: vec![bind(&volume, "/mnt", &[option])],
        ..private(&world, words)
    };
    for option in ["idmap", "ridmap"] {
        assert_eq!(world.ask(&wish(option, &["cat", "/mnt/old"])), "x");
        assert_eq!(world.ask(&wish(option, &["write", "/mnt/new", "y"])), "ok");
        assert_eq!(std::fs::metadata(volume.join("new")).unwrap().uid(), 0);
        std::fs::remove_file(volume.join("new")).unwrap();
    }
    // Without it the files are those of somebody the container does not know.
    let answer = world.ask(&wish("rw", &["stat", "/mnt/old"]));
    assert!(answer.starts_with("100600 65534 65534 "), "{answer}");
    assert_eq!(world.ask(&wish("rw", &["cat", "/mnt/old"])), "errno 13");
}

fn mapped_bind(volume: &std::path::Path, outside: u32) -> Mount {
    let mut mount = bind(volume, "/mnt", &["idmap"]);
    mount.set_uid_mappings(Some(mapping(0, outside, 1000)));
    mount.set_gid_mappings(Some(mapping(0, outside, 1000)));
    mount
}

fn volumes_by_a_mapping_of_their_own() {
    let world = World::new();
    let volume = world.folder("volume");
    std::fs::write(volume.join("a"), "x").unwrap();
    // The volume's root is the container's user 7.
    let wish = Wish {
        mounts: vec![mapped_bind(&volume, FIRST + 7)],
        ..private(&world, &["stat", "/mnt/a"])
    };
    assert!(world.ask(&wish).starts_with("100644 7 7 "));
    let wish = Wish {
        mounts: vec![bind(
            &volume,
            "/mnt",
            &["idmap=uids=0-@5-10;gids=0-300009-10"],
        )],
        ..private(&world, &["stat", "/mnt/a"])
    };
    assert!(chain(&world.refused(&wish)).contains("idmap= wants"));
    let wish = Wish {
        mounts: vec![bind(
            &volume,
            "/mnt",
            &["idmap=uids=@0-5-10;gids=0-300009-10"],
        )],
        ..private(&world, &["stat", "/mnt/a"])
    };
    assert!(world.ask(&wish).starts_with("100644 5 9 "));
}

fn mapped_mounts_without_user_namespace() {
    let world = World::new();
    let volume = world.folder("volume");
    std::fs::write(volume.join("a"), "x").unwrap();
    let wish = Wish {
        mounts: vec![mapped_bind(&volume, 5000)],
        ..Wish::probe(&["stat", "/mnt/a"])
    };
    assert!(world.ask(&wish).starts_with("100644 5000 5000 "));
    // The mount of the host below is shown by the mapping only with ridmap.
    sys::namespace::unshare(sys::namespace::flags::NEWNS).unwrap();
    sys::mount::set_root_propagation(sys::mount::Propagation::Private).unwrap();
    let below = world.folder("volume/below");
    let tmpfs = sys::mount::new_filesystem("tmpfs", &[], sys::mount::Flags::empty()).unwrap();
    let place = sys::mount::open_root(&below).unwrap();
    use std::os::fd::AsFd;
    sys::mount::attach(tmpfs.as_fd(), place.as_fd()).unwrap();
    for (option, expected) in [("idmap", " 0 0 "), ("ridmap", " 5000 5000 ")] {
        let mut mount = mapped_bind(&volume, 5000);
        mount.set_options(Some(vec!["rbind".into(), option.into()]));
        let answer = world.ask(&Wish {
            mounts: vec![mount],
            ..Wish::probe(&["stat", "/mnt/below"])
        });
        assert!(answer.contains(expected), "{option}: {answer}");
    }
    sys::mount::detach(&below).unwrap();
}

fn wrong_wishes_for_mappings() {
    let world = World::new();
    let volume = world.folder("volume");
    let refused = |mount: Mount| {
        chain(&world.refused(&Wish {
            mounts: vec![mount],
            ..Wish::default()
        }))
    };
    let text = refused(bind(&volume, "/mnt", &["idmap"]));
    assert!(text.contains("the container no user namespace"), "{text}");
    let mut half = mapped_bind(&volume, 5);
    half.set_gid_mappings(None);
    let text = refused(half);
    assert!(text.contains("it maps no ids"), "{text}");
    let text = refused(runtime::defaults::mount("/mnt", "tmpfs", &["idmap"]));
    assert!(text.contains("it is not a bind mount"), "{text}");
}

fn volumes_are_born_with_content() {
    let world = World::new();
    let volume = world.folder("volume");
    let wish = Wish {
        copy_up: vec![CopyUp {
            target: "/data".into(),
            volume: volume.clone(),
        }],
        mounts: vec![bind(&volume, "/data", &["idmap"])],
        user: Some("redis"),
        ..private(&world, &["write", "/data/new", "x"])
    };
    assert_eq!(world.ask(&wish), "ok");
    for (name, owner) in [
        ("greeting", (999, 1000)),
        ("new", (999, 1000)),
        ("", (999, 1000)),
    ] {
        let metadata = std::fs::metadata(volume.join(name)).unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), owner, "{name:?}");
    }
}

fn exec_enters_it() {
    let world = World::new();
    let running = start(&world, &private(&world, &["sleep"]));
    let ask = |words: &[&str], user| {
        let process = crate::exec::process(words, "/");
        let (out, status) = crate::exec::exec_process(&running, &process, user)
            .unwrap_or_else(|e| panic!("{}", chain(&e)));
        assert_eq!(status.code(), 0, "{out}");
        out
    };
    assert_eq!(ask(&["id"], None), "0 0");
    assert_eq!(ask(&["id"], Some("redis")), "999 1000 50,1000");
    assert!(ask(&["cat", "/proc/self/uid_map"], None).contains("300000"));
    assert_eq!(ask(&["write", "/private/x", "y"], None), "ok");
    assert_eq!(
        std::fs::metadata(world.path("upper/private/x"))
            .unwrap()
            .uid(),
        0
    );
    // Its capabilities are those of the namespace: the sets of the spec, not those of the host's root.
    let status = ask(&["status"], None);
    let bounding = status
        .lines()
        .find(|line| line.starts_with("CapBnd:"))
        .unwrap();
    assert!(bounding.ends_with("00000000a80425fb"), "{bounding}");
}

fn joined(first: &Running, kinds: &[(LinuxNamespaceType, &str)]) -> Vec<LinuxNamespace> {
    let mut list = with_user();
    for namespace in &mut list {
        if let Some((_, name)) = kinds.iter().find(|(typ, _)| *typ == namespace.typ()) {
            let path = format!("/proc/{}/ns/{name}", first.started.pid);
            namespace.set_path(Some(path.into()));
        }
    }
    list
}

fn other_world(world: &World) -> World {
    World {
        dir: world.folder("other"),
        parent: world.parent.clone(),
    }
}

fn joins_another_ones_users() {
    let world = World::new();
    let first = start(&world, &private(&world, &["sleep"]));
    let other = other_world(&world);
    for kinds in [
        &[(LinuxNamespaceType::User, "user")][..],
        &[
            (LinuxNamespaceType::User, "user"),
            (LinuxNamespaceType::Network, "net"),
        ],
        &[
            (LinuxNamespaceType::User, "user"),
            (LinuxNamespaceType::Pid, "pid"),
        ],
    ] {
        let wish = |words: &[&'static str]| Wish {
            namespaces: joined(&first, kinds),
            rootfs: Some(overlay(&other)),
            mounts: vec![bind(&other.folder("volume"), "/mnt", &["idmap"])],
            ..Wish::probe(words)
        };
        assert_eq!(
            other.ask(&wish(&["write", "/mnt/a", "x"])),
            "ok",
            "{kinds:?}"
        );
        let second = start(&other, &wish(&["sleep"]));
        for kind in ["user", "net", "uts", "pid", "mnt"] {
            let link = |pid| std::fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap();
            let same = link(first.started.pid) == link(second.started.pid);
            assert_eq!(same, kinds.iter().any(|(_, name)| *name == kind), "{kind}");
        }
        assert_eq!(status_line(second.started.pid, "Groups:"), "");
    }
}

/// A network namespace made by the host: entered before the user namespace, in which nobody could.
fn joins_what_belongs_to_the_host() {
    let world = World::new();
    let first = start(&world, &Wish::probe(&["sleep"]));
    let other = other_world(&world);
    let wish = Wish {
        namespaces: joined(&first, &[(LinuxNamespaceType::Network, "net")]),
        ..private(&other, &["sleep"])
    };
    let second = start(&other, &wish);
    let link = |pid| std::fs::read_link(format!("/proc/{pid}/ns/net")).unwrap();
    assert_eq!(link(first.started.pid), link(second.started.pid));
    // sysfs is the host's mount then, and read-only as was asked for.
    let mounts = text(format!("/proc/{}/mounts", second.started.pid));
    let sysfs = mounts
        .lines()
        .find(|line| line.contains(" /sys sysfs "))
        .unwrap();
    assert!(sysfs.contains(" ro,"), "{sysfs}");
}

fn network_of_the_host() {
    let world = World::new();
    let wish = Wish {
        namespaces: with_user()
            .into_iter()
            .filter(|namespace| namespace.typ() != LinuxNamespaceType::Network)
            .collect(),
        ..private(&world, &["ls", "/sys/class"])
    };
    assert!(world.ask(&wish).contains("net"));
}

fn processes_of_the_host() {
    let world = World::new();
    let wish = Wish {
        namespaces: with_user()
            .into_iter()
            .filter(|namespace| namespace.typ() != LinuxNamespaceType::Pid)
            .collect(),
        ..private(&world, &["pids"])
    };
    assert!(world.ask(&wish).split(' ').count() > 1);
}

/// A mapping of one ordinary user.
fn without_a_root_inside() {
    let world = World::new();
    let wish = Wish {
        rootfs: Some(world.overlay()),
        user: Some("1000:1000"),
        edit: Box::new(|spec: &mut Spec| {
            let mut linux = spec.linux().clone().unwrap();
            linux.set_uid_mappings(Some(mapping(1000, 0, 1)));
            linux.set_gid_mappings(Some(mapping(1000, 0, 1)));
            spec.set_linux(Some(linux));
            let mut process = spec.process().clone().unwrap();
            let mut user = process.user().clone();
            user.set_uid(1000);
            user.set_gid(1000);
            process.set_user(user);
            spec.set_process(Some(process));
            let mounts = spec.mounts().clone().unwrap();
            let mounts = mounts.into_iter().map(|mut mount| {
                let options = mount.options().clone().unwrap_or_default();
                let kept = options
                    .into_iter()
                    .filter(|option| !option.starts_with("gid="));
                mount.set_options(Some(kept.collect()));
                mount
            });
            spec.set_mounts(Some(mounts.collect()));
        }),
        ..private(&world, &["id"])
    };
    assert_eq!(world.ask(&wish), "1000 1000 1000");
}

fn limits_may_rise() {
    let world = World::new();
    let now = sys::rlimit::get(7).unwrap();
    let hard = now.hard - 1;
    let wish = Wish {
        rlimits: vec![
            oci_spec::runtime::PosixRlimitBuilder::default()
                .typ(oci_spec::runtime::PosixRlimitType::RlimitNofile)
                .soft(100u64)
                .hard(hard)
                .build()
                .unwrap(),
        ],
        ..private(&world, &["nofile"])
    };
    assert_eq!(world.ask(&wish), format!("100 {hard}"));
}

fn read_only_root() {
    let world = World::new();
    let layer = world.folder("lower");
    chown(&layer, Some(0), Some(0)).unwrap();
    let wish = Wish {
        read_only: true,
        ..private(&world, &["write", "/etc/x", "y"])
    };
    assert_eq!(world.ask(&wish), "errno 30");
}
