//! Limits, counts, freezing and killing, on whatever hierarchies this host has.

use crate::world::{Wish, World, chain, eventually};
use oci_spec::runtime::{
    LinuxCpuBuilder, LinuxDeviceCgroupBuilder, LinuxDeviceType, LinuxMemoryBuilder,
    LinuxPidsBuilder, LinuxResources, LinuxResourcesBuilder,
};
use runtime::cgroup::{Cgroup, Error, Place};
use runtime::{ExitStatus, Reaper};
use sys::cgroupfs::Hierarchies;

crate::cases![
    memory_limit_kills,
    pids_limit,
    counts,
    updates,
    freezes_and_kills,
    opens_again,
    names_stay_below_the_parent,
    paths_of_specs,
    a_group_of_another,
    a_scope_without_systemd,
    missing_controllers_are_named,
    extra_devices,
    no_device_rules_at_all,
    left_over_groups_go,
    as_on_a_host_with_v2_alone,
    as_on_a_host_with_v1_alone,
    as_on_a_host_with_nothing,
];

fn memory(limit: i64) -> LinuxResources {
    let memory = LinuxMemoryBuilder::default().limit(limit).build().unwrap();
    LinuxResourcesBuilder::default()
        .memory(memory)
        .build()
        .unwrap()
}

fn has(controller: &str) -> bool {
    let hierarchies = sys::cgroupfs::detect().unwrap();
    let v2 = hierarchies
        .v2
        .as_ref()
        .map(|mount| crate::world::text(mount.join("cgroup.controllers")))
        .unwrap_or_default();
    hierarchies.v1_with(controller).is_some()
        || v2.split_whitespace().any(|name| name == controller)
}

fn memory_limit_kills() {
    if !has("memory") {
        return;
    }
    let world = World::new();
    let wish = Wish {
        resources: Some(memory(32 << 20)),
        ..Wish::probe(&["eat", "200"])
    };
    let running = world.start(&wish).unwrap();
    assert_eq!(running.end(), ExitStatus::Signal(9));
    assert_eq!(running.cgroup.as_ref().unwrap().oom_count(), 1);
    assert_eq!(
        running.cgroup.as_ref().unwrap().stats().memory_limit,
        Some(32 << 20)
    );
}

fn pids_limit() {
    if !has("pids") {
        return;
    }
    let world = World::new();
    let pids = LinuxPidsBuilder::default().limit(10).build().unwrap();
    let resources = LinuxResourcesBuilder::default().pids(pids).build().unwrap();
    assert_eq!(
        world.ask(&Wish {
            resources: Some(resources),
            ..Wish::probe(&["many", "100"])
        }),
        "9"
    );
}

fn counts() {
    let world = World::new();
    let mut running = world
        .start(&Wish {
            cgroup: true,
            reaper: Reaper::Init,
            ..Wish::probe(&["sleep"])
        })
        .unwrap();
    running.wait_for("ready");
    let cgroup = running.cgroup.as_ref().unwrap();
    assert_eq!(cgroup.pids().unwrap().len(), 2);
    assert!(cgroup.pids().unwrap().contains(&running.started.pid));
    let stats = cgroup.stats();
    assert!(stats.cpu_ns > 0, "{stats:?}");
    assert!(!has("memory") || stats.memory > 0, "{stats:?}");
    assert!(!has("pids") || stats.pids == 2, "{stats:?}");
    assert_eq!(cgroup.oom_count(), 0);
}

fn updates() {
    if !has("memory") || !has("cpu") {
        return;
    }
    let world = World::new();
    let mut running = world
        .start(&Wish {
            resources: Some(memory(64 << 20)),
            ..Wish::probe(&["sleep"])
        })
        .unwrap();
    running.wait_for("ready");
    let cgroup = running.cgroup.as_mut().unwrap();
    for limit in [128 << 20, 48 << 20] {
        cgroup.update(&memory(limit)).unwrap();
        assert_eq!(cgroup.stats().memory_limit, Some(limit as u64));
    }
    let cpu = LinuxCpuBuilder::default()
        .quota(50_000)
        .period(100_000u64)
        .cpus("0")
        .build()
        .unwrap();
    let wanted = LinuxResourcesBuilder::default().cpu(cpu).build().unwrap();
    cgroup.update(&wanted).unwrap();
    let status = crate::world::text(format!("/proc/{}/status", running.started.pid));
    assert!(
        !has("cpuset") || status.contains("Cpus_allowed_list:\t0\n"),
        "{status}"
    );
    // What was not named stays.
    assert_eq!(
        running.cgroup.as_ref().unwrap().stats().memory_limit,
        Some(48 << 20)
    );
}

fn freezes_and_kills() {
    let world = World::new();
    let mut running = world
        .start(&Wish {
            cgroup: true,
            ..Wish::probe(&["until", "TERM"])
        })
        .unwrap();
    running.wait_for("ready");
    let cgroup = running.cgroup.as_ref().unwrap();
    cgroup.freeze().unwrap();
    assert!(cgroup.is_frozen().unwrap());
    running.signal(15);
    assert!(
        sys::process::try_wait(&running.started.pidfd)
            .unwrap()
            .is_none()
    );
    cgroup.thaw().unwrap();
    assert!(!cgroup.is_frozen().unwrap());
    assert_eq!(running.end(), ExitStatus::Code(0));
    drop(running);

    let mut running = world
        .start(&Wish {
            cgroup: true,
            ..Wish::probe(&["sleep"])
        })
        .unwrap();
    running.wait_for("ready");
    let cgroup = running.cgroup.as_ref().unwrap();
    cgroup.freeze().unwrap();
    cgroup.kill_all().unwrap();
    assert_eq!(running.end(), ExitStatus::Signal(9));
    eventually("the group is empty", || cgroup.pids().unwrap().is_empty());
}

fn opens_again() {
    let world = World::new();
    let mut running = world
        .start(&Wish {
            cgroup: true,
            ..Wish::probe(&["sleep"])
        })
        .unwrap();
    running.wait_for("ready");
    let again = Cgroup::open(&world.parent, "c").unwrap();
    assert!(again.exists());
    assert_eq!(again.pids().unwrap(), [running.started.pid]);
    assert_eq!(runtime::cgroup::children(&world.parent), ["c"]);
    assert!(!Cgroup::open(&world.parent, "other").unwrap().exists());
}

fn names_stay_below_the_parent() {
    for (parent, name) in [
        ("..", "x"),
        ("a/../..", "x"),
        ("", "x"),
        ("/", "x"),
        ("a", "../x"),
        ("a", ""),
        ("a", ".."),
    ] {
        assert!(
            matches!(Cgroup::create(parent, name, None), Err(Error::Name { .. })),
            "{parent:?} {name:?}"
        );
    }
}

fn places(path: &str) -> Place {
    Place::of_spec(Some(std::path::Path::new(path)), "id").unwrap()
}

fn paths_of_specs() {
    let world = World::new();
    let above = format!("/{}/deep/deeper", world.parent);
    let [one, two] = ["one", "two"].map(|name| places(&format!("{above}/{name}")));
    let mounts = || {
        let found = sys::cgroupfs::detect().unwrap();
        found.v1.into_iter().map(|v1| v1.mount).chain(found.v2)
    };
    let exists = |place: &Place| mounts().any(|mount| mount.join(place.path()).exists());
    let first = Cgroup::place(&one, None).unwrap();
    let second = Cgroup::place(&two, None).unwrap();
    assert!(exists(&one) && exists(&two));
    assert_eq!(first.path(), one.path());
    assert!(Cgroup::open_at(&one).unwrap().exists());
    first.remove().unwrap();
    assert!(!exists(&one) && exists(&two));
    // The last one takes what was made for them with it.
    second.remove().unwrap();
    assert!(mounts().all(|mount| !mount.join(&world.parent).exists()));
    // What was there before stays.
    let mounts: Vec<_> = mounts().map(|mount| mount.join(&world.parent)).collect();
    mounts
        .iter()
        .for_each(|path| std::fs::create_dir(path).unwrap());
    Cgroup::place(&one, None).unwrap().remove().unwrap();
    assert!(mounts.iter().all(|path| path.exists()));
    assert!(mounts.iter().all(|path| !path.join("deep").exists()));
}

fn a_group_of_another() {
    let world = World::new();
    let mut running = world
        .start(&Wish {
            cgroup: true,
            ..Wish::probe(&["sleep"])
        })
        .unwrap();
    running.wait_for("ready");
    let theirs = places(&format!("/{}/c", world.parent));
    let error = Cgroup::place(&theirs, None).unwrap_err();
    assert!(matches!(error, Error::Occupied { count: 1, .. }), "{error}");
    let cgroup = running.cgroup.as_ref().unwrap();
    assert_eq!(cgroup.pids().unwrap(), [running.started.pid]);
    cgroup.kill_all().unwrap();
    running.end();
    // Left empty, it may be used.
    Cgroup::place(&theirs, None).unwrap().remove().unwrap();
}

fn a_scope_without_systemd() {
    if std::path::Path::new("/run/systemd/system").exists() {
        return;
    }
    let path = std::path::Path::new("machine.slice:dockless-test:x");
    let place = Place::of_systemd(Some(path), "id").unwrap();
    let error = Cgroup::place(&place, None).unwrap_err();
    assert!(matches!(error, Error::Systemd { .. }), "{}", chain(&error));
    assert!(
        chain(&error).contains("use the cgroupfs manager"),
        "{}",
        chain(&error)
    );
    let found = sys::cgroupfs::detect().unwrap();
    let mut mounts = found.v1.into_iter().map(|v1| v1.mount).chain(found.v2);
    assert!(mounts.all(|mount| !mount.join(place.path()).exists()));
}

fn missing_controllers_are_named() {
    let world = World::new();
    let unified = std::collections::HashMap::from([("nosuch.max".to_owned(), "1".to_owned())]);
    let resources = LinuxResourcesBuilder::default()
        .unified(unified)
        .build()
        .unwrap();
    let error = Cgroup::create(&world.parent, "c", Some(&resources)).unwrap_err();
    assert!(
        chain(&error).contains("cannot set nosuch.max"),
        "{}",
        chain(&error)
    );
    // What was made for it is gone again.
    assert!(runtime::cgroup::children(&world.parent).is_empty());
}

fn device_rule(major: i64, minor: i64) -> LinuxResources {
    let rule = LinuxDeviceCgroupBuilder::default()
        .allow(true)
        .typ(LinuxDeviceType::C)
        .major(major)
        .minor(minor)
        .access("rwm")
        .build()
        .unwrap();
    LinuxResourcesBuilder::default()
        .devices(vec![rule])
        .build()
        .unwrap()
}

/// A device of the host that is in no default list and that anybody may open: (path, major, minor).
fn foreign_device() -> Option<(&'static str, u32, u32)> {
    let known = [
        ("/dev/net/tun", 10, 200),
        ("/dev/loop-control", 10, 237),
        ("/dev/fuse", 10, 229),
        ("/dev/hwrng", 10, 183),
    ];
    known.into_iter().find(|(path, ..)| {
        std::fs::File::options()
            .read(true)
            .write(true)
            .open(path)
            .is_ok()
    })
}

fn opens(world: &World, path: &str, resources: Option<LinuxResources>) -> String {
    let mounts = vec![runtime::defaults::bind(
        std::path::Path::new(path),
        "/foreign",
        &[],
    )];
    world.ask(&Wish {
        mounts,
        cgroup: true,
        resources,
        ..Wish::probe(&["open", "/foreign"])
    })
}

fn extra_devices() {
    let Some((path, major, minor)) = foreign_device() else {
        return;
    };
    let world = World::new();
    assert_eq!(opens(&world, path, None), "errno 1");
    assert_eq!(
        opens(&world, path, Some(device_rule(major.into(), minor.into()))),
        "ok"
    );
    assert_eq!(
        opens(
            &world,
            path,
            Some(device_rule(major.into(), i64::from(minor) + 1))
        ),
        "errno 1"
    );
}

fn no_device_rules_at_all() {
    let Some((path, ..)) = foreign_device() else {
        return;
    };
    let everything = LinuxDeviceCgroupBuilder::default()
        .allow(true)
        .access("rwm")
        .build()
        .unwrap();
    let resources = LinuxResourcesBuilder::default()
        .devices(vec![everything])
        .build()
        .unwrap();
    assert_eq!(opens(&World::new(), path, Some(resources)), "ok");
}

fn left_over_groups_go() {
    let world = World::new();
    let cgroup = Cgroup::create(&world.parent, "c", None).unwrap();
    drop(cgroup);
    let again = Cgroup::create(&world.parent, "c", None).unwrap();
    again.remove().unwrap();
    again.remove().unwrap();
    runtime::cgroup::remove_parent(&world.parent);
    for hierarchy in &sys::cgroupfs::detect().unwrap().v1 {
        assert!(
            !hierarchy.mount.join(&world.parent).exists(),
            "{}",
            hierarchy.mount.display()
        );
    }
}

/// The same container on a part of this host's hierarchies.
fn lives_in(hierarchies: &Hierarchies) {
    let world = World::new();
    let wish = |words: &[&'static str]| Wish {
        cgroup: true,
        hierarchies: Some(hierarchies.clone()),
        ..Wish::probe(words)
    };
    if let Some((path, major, minor)) = foreign_device() {
        let with_device = |resources| {
            let mounts = vec![runtime::defaults::bind(
                std::path::Path::new(path),
                "/foreign",
                &[],
            )];
            world.ask(&Wish {
                mounts,
                resources,
                ..wish(&["open", "/foreign"])
            })
        };
        assert_eq!(with_device(None), "errno 1");
        // Once more: now the program or the list is there already.
        assert_eq!(with_device(None), "errno 1");
        assert_eq!(
            with_device(Some(device_rule(major.into(), minor.into()))),
            "ok"
        );
    }
    assert_eq!(world.ask(&wish(&["open", "/dev/null"])), "ok");
    let mut running = world.start(&wish(&["sleep"])).unwrap();
    running.wait_for("ready");
    let cgroup = running.cgroup.as_ref().unwrap();
    assert_eq!(cgroup.pids().unwrap(), [running.started.pid]);
    cgroup.freeze().unwrap();
    assert!(cgroup.is_frozen().unwrap());
    cgroup.kill_all().unwrap();
    assert_eq!(running.end(), ExitStatus::Signal(9));
}

fn as_on_a_host_with_v2_alone() {
    let Some(v2) = sys::cgroupfs::detect().unwrap().v2 else {
        return;
    };
    let hierarchies = Hierarchies {
        v2: Some(v2.clone()),
        v1: Vec::new(),
    };
    lives_in(&hierarchies);
    let world = World::new();
    let inside = world.ask(&Wish {
        cgroup: true,
        hierarchies: Some(hierarchies.clone()),
        ..Wish::probe(&["cat", "/sys/fs/cgroup/cgroup.procs"])
    });
    assert_eq!(inside, "1");
    if crate::world::text(v2.join("cgroup.controllers")).contains("memory") {
        return;
    }
    let error = Cgroup::place_on(
        hierarchies,
        &Place::below(&world.parent, "d").unwrap(),
        Some(&memory(1 << 20)),
    )
    .unwrap_err();
    assert!(
        chain(&error).contains("no memory controller"),
        "{}",
        chain(&error)
    );
}

fn as_on_a_host_with_v1_alone() {
    let found = sys::cgroupfs::detect().unwrap();
    if found.v1_with("freezer").is_some() && found.v1_with("pids").is_some() {
        lives_in(&Hierarchies {
            v2: None,
            v1: found.v1,
        });
    }
}

fn as_on_a_host_with_nothing() {
    let world = World::new();
    let nothing = Hierarchies::default();
    let error = Cgroup::place_on(
        nothing.clone(),
        &Place::below(&world.parent, "c").unwrap(),
        Some(&memory(1 << 20)),
    )
    .unwrap_err();
    assert!(
        chain(&error).contains("no memory controller"),
        "{}",
        chain(&error)
    );
    let wish = Wish {
        cgroup: true,
        hierarchies: Some(nothing),
        ..Wish::probe(&["pids"])
    };
    assert_eq!(world.ask(&wish), "1");
}
