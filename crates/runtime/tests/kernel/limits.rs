//! `linux.resources` in the kernel's files, as this host's hierarchies have them.

use crate::world::{World, chain, text};
use oci_spec::runtime::LinuxResources;
use runtime::cgroup::{Cgroup, Error, OomEvent, OomWatch, Place};
use std::path::PathBuf;

crate::cases![
    real_time_comes_down_from_parents_made_for_it,
    v1_files,
    updates_keep_the_rest,
    memory_and_swap_in_both_directions,
    device_lists,
    what_no_controller_enforces,
    unified_keys,
    checked_before_an_update,
    huge_pages,
    reports_in_runcs_shape,
    tells_of_a_want_of_memory,
    groups_below_the_containers_own,
    its_own_group_without_a_namespace,
];

fn resources(json: serde_json::Value) -> LinuxResources {
    serde_json::from_value(json).expect("resources")
}

fn place(world: &World) -> Place {
    let path = format!("/{}/spec", world.parent);
    Place::of_spec(Some(path.as_ref()), "id").expect("a place")
}

/// A file of the group in the v1 hierarchy of a controller, if this host has it.
fn v1_file(world: &World, controller: &str, file: &str) -> Option<PathBuf> {
    let found = sys::cgroupfs::detect().expect("hierarchies");
    let mount = found.v1_with(controller)?.mount.clone();
    Some(mount.join(place(world).path()).join(file))
}

fn value(world: &World, controller: &str, file: &str) -> Option<String> {
    let path = v1_file(world, controller, file)?;
    Some(text(path).trim().to_owned())
}

fn expect(world: &World, controller: &str, file: &str, wanted: &str) {
    if let Some(found) = value(world, controller, file) {
        assert_eq!(found, wanted, "{file}");
    }
}

fn on_v1() -> bool {
    let found = sys::cgroupfs::detect().expect("hierarchies");
    ["memory", "cpu", "cpuset", "pids", "devices"]
        .iter()
        .all(|controller| found.v1_with(controller).is_some())
}

fn v1_files() {
    if !on_v1() {
        return;
    }
    let world = World::new();
    let wanted = resources(serde_json::json!({
        "memory": {"limit": 64 << 20, "reservation": 32 << 20, "swappiness": 10, "disableOOMKiller": true},
        "cpu": {"shares": 512, "quota": 50000, "period": 100000, "burst": 10000, "cpus": "0", "mems": "0"},
        "pids": {"limit": 0},
    }));
    let cgroup = Cgroup::place(&place(&world), Some(&wanted)).unwrap();
    expect(&world, "memory", "memory.limit_in_bytes", "67108864");
    expect(&world, "memory", "memory.soft_limit_in_bytes", "33554432");
    expect(&world, "memory", "memory.swappiness", "10");
    let control = value(&world, "memory", "memory.oom_control").unwrap();
    assert!(control.contains("oom_kill_disable 1"), "{control}");
    expect(&world, "cpu", "cpu.shares", "512");
    expect(&world, "cpu", "cpu.cfs_quota_us", "50000");
    expect(&world, "cpu", "cpu.cfs_burst_us", "10000");
    expect(&world, "cpuset", "cpuset.cpus", "0");
    expect(&world, "cpuset", "cpuset.mems", "0");
    expect(&world, "pids", "pids.max", "max");
    cgroup.remove().unwrap();
}

fn updates_keep_the_rest() {
    if !on_v1() {
        return;
    }
    let world = World::new();
    let first = serde_json::json!({"cpu": {"quota": 50000, "period": 100000, "shares": 100}, "pids": {"limit": 20}});
    let mut cgroup = Cgroup::place(&place(&world), Some(&resources(first))).unwrap();
    let steps = [
        (
            serde_json::json!({"cpu": {"period": 90000}}),
            "cpu.cfs_period_us",
            "90000",
        ),
        (
            serde_json::json!({"cpu": {"quota": -1}}),
            "cpu.cfs_quota_us",
            "-1",
        ),
        (
            serde_json::json!({"cpu": {"quota": 60000, "burst": 50000}}),
            "cpu.cfs_burst_us",
            "50000",
        ),
        (
            serde_json::json!({"cpu": {"quota": 40000, "burst": 30000}}),
            "cpu.cfs_quota_us",
            "40000",
        ),
    ];
    for (change, file, wanted) in steps {
        cgroup.update(&resources(change)).unwrap();
        expect(&world, "cpu", file, wanted);
    }
    expect(&world, "cpu", "cpu.cfs_period_us", "90000");
    expect(&world, "cpu", "cpu.shares", "100");
    expect(&world, "pids", "pids.max", "20");
    // A controller the group did without so far.
    let change = resources(serde_json::json!({"cpu": {"cpus": "0"}}));
    cgroup.update(&change).unwrap();
    expect(&world, "cpuset", "cpuset.cpus", "0");
    cgroup.remove().unwrap();
}

fn memory_and_swap_in_both_directions() {
    if !on_v1() || !runtime::cgroup::limits_swap() {
        return;
    }
    let world = World::new();
    let both = |limit: i64, swap: i64| {
        resources(serde_json::json!({"memory": {"limit": limit, "swap": swap}}))
    };
    let mib = 1 << 20;
    let mut cgroup = Cgroup::place(&place(&world), Some(&both(30 * mib, 50 * mib))).unwrap();
    for (limit, swap) in [(60, 80), (20, 40), (40, 40)] {
        cgroup.update(&both(limit * mib, swap * mib)).unwrap();
        let (limit, swap) = ((limit * mib).to_string(), (swap * mib).to_string());
        expect(&world, "memory", "memory.limit_in_bytes", &limit);
        expect(&world, "memory", "memory.memsw.limit_in_bytes", &swap);
    }
    let free = resources(serde_json::json!({"memory": {"limit": -1}}));
    cgroup.update(&free).unwrap();
    assert_eq!(cgroup.stats().memory_limit, None);
    cgroup.remove().unwrap();
}

fn device_lists() {
    if !on_v1() {
        return;
    }
    let world = World::new();
    let devices = |rules: serde_json::Value| resources(serde_json::json!({ "devices": rules }));
    let lines = |world: &World| value(world, "devices", "devices.list").unwrap();
    // Nothing said: the default rules.
    let mut cgroup = Cgroup::place(&place(&world), None).unwrap();
    assert!(lines(&world).contains("c 1:3 rwm") && !lines(&world).contains("10:229"));
    let fuse = serde_json::json!([{"allow": false}, {"allow": true, "type": "c", "major": 10, "minor": 229, "access": "rw"}]);
    cgroup.update(&devices(fuse)).unwrap();
    assert!(lines(&world).contains("c 10:229 rw") && lines(&world).contains("c 1:3 rwm"));
    // An update of something else leaves them.
    cgroup
        .update(&resources(serde_json::json!({"pids": {"limit": 9}})))
        .unwrap();
    assert!(lines(&world).contains("c 10:229 rw"));
    cgroup
        .update(&devices(
            serde_json::json!([{"allow": true, "access": "rwm"}]),
        ))
        .unwrap();
    assert_eq!(lines(&world), "a *:* rwm");
    cgroup
        .update(&devices(serde_json::json!([{"allow": false}])))
        .unwrap();
    assert!(!lines(&world).contains("10:229") && lines(&world).contains("c 136:* rwm"));
    cgroup.remove().unwrap();
}

fn what_no_controller_enforces() {
    let kernel = sys::cgroupfs::detect().unwrap();
    let world = World::new();
    let wishes = [
        (
            "rdma",
            serde_json::json!({"rdma": {"mlx5_0": {"hcaHandles": 1}}}),
        ),
        ("net_cls", serde_json::json!({"network": {"classID": 5}})),
        (
            "net_prio",
            serde_json::json!({"network": {"priorities": [{"name": "lo", "priority": 1}]}}),
        ),
    ];
    for (controller, wish) in wishes {
        if kernel.v1_with(controller).is_some() {
            continue;
        }
        let wanted = resources(wish);
        match Cgroup::place(&place(&world), Some(&wanted)) {
            Err(Error::Controller {
                controller: named, ..
            }) => assert_eq!(named, controller),
            // On v2 alone it may be there.
            other => assert!(controller == "rdma" && other.is_ok()),
        }
    }
    let mounts = kernel.v1.iter().map(|v1| &v1.mount).chain(&kernel.v2);
    assert!(
        mounts
            .into_iter()
            .all(|mount| !mount.join(&world.parent).exists())
    );
}

fn unified_keys() {
    let world = World::new();
    let unified = |key: &str| {
        let wanted = resources(serde_json::json!({"unified": {key: "1"}}));
        Cgroup::place(&place(&world), Some(&wanted)).unwrap_err()
    };
    for wrong in [
        "NOT-A-KEY",
        "cgroup.procs/../x.y",
        ".x",
        "memory.",
        "../cgroup.procs",
    ] {
        let error = unified(wrong);
        assert!(
            matches!(error, Error::UnifiedKey { .. }),
            "{}",
            chain(&error)
        );
    }
    let error = unified("foo.bar");
    assert!(
        chain(&error).contains("controller `foo` is not available"),
        "{}",
        chain(&error)
    );
    if sys::cgroupfs::detect().unwrap().v2.is_none() {
        return;
    }
    let error = unified("cgroup.nosuchfile");
    assert!(chain(&error).contains("No such file"), "{}", chain(&error));
    let depth = resources(serde_json::json!({"unified": {"cgroup.max.depth": "3"}}));
    let cgroup = Cgroup::place(&place(&world), Some(&depth)).unwrap();
    let v2 = sys::cgroupfs::detect().unwrap().v2.unwrap();
    let file = v2.join(place(&world).path()).join("cgroup.max.depth");
    assert_eq!(text(file).trim(), "3");
    cgroup.remove().unwrap();
}

fn checked_before_an_update() {
    if !on_v1() {
        return;
    }
    let world = World::new();
    let mut running = world
        .start(&crate::world::Wish {
            cgroup: true,
            ..crate::world::Wish::probe(&["sleep"])
        })
        .unwrap();
    running.wait_for("ready");
    let tight =
        resources(serde_json::json!({"memory": {"limit": 4096, "checkBeforeUpdate": true}}));
    let cgroup = running.cgroup.as_mut().unwrap();
    let error = cgroup.update(&tight).unwrap_err();
    assert!(
        matches!(error, Error::MemoryInUse { .. }),
        "{}",
        chain(&error)
    );
    cgroup.kill_all().unwrap();
    running.end();
}

fn huge_pages() {
    let found = sys::cgroupfs::detect().unwrap();
    let v2 = found
        .v2
        .clone()
        .filter(|mount| text(mount.join("cgroup.controllers")).contains("hugetlb"));
    let Some(v2) = v2.filter(|_| found.v1_with("hugetlb").is_none()) else {
        return;
    };
    let world = World::new();
    let limit = |size: &str| {
        resources(serde_json::json!({"hugepageLimits": [{"pageSize": size, "limit": 4 << 20}]}))
    };
    let cgroup = Cgroup::place(&place(&world), Some(&limit("2MB"))).unwrap();
    let directory = v2.join(place(&world).path());
    assert_eq!(text(directory.join("hugetlb.2MB.max")).trim(), "4194304");
    assert_eq!(
        text(directory.join("hugetlb.2MB.rsvd.max")).trim(),
        "4194304"
    );
    cgroup.remove().unwrap();
    let error = Cgroup::place(&place(&world), Some(&limit("3MB"))).unwrap_err();
    assert!(
        chain(&error).contains("hugetlb.3MB.max"),
        "{}",
        chain(&error)
    );
}

fn sleeping(world: &World) -> crate::world::Running {
    let mut running = world
        .start(&crate::world::Wish {
            cgroup: true,
            ..crate::world::Wish::probe(&["sleep"])
        })
        .unwrap();
    running.wait_for("ready");
    running
}

fn reports_in_runcs_shape() {
    let world = World::new();
    let running = sleeping(&world);
    let cgroup = running.cgroup.as_ref().unwrap();
    let report = serde_json::to_value(cgroup.report(Some(running.started.pid))).unwrap();
    assert!(
        report["cpu"]["usage"]["total"].as_u64().unwrap() > 0,
        "{report}"
    );
    if on_v1() {
        assert!(
            report["memory"]["usage"]["usage"].as_u64().unwrap() > 0,
            "{report}"
        );
        assert!(report["memory"]["raw"]["rss"].is_number(), "{report}");
        assert_eq!(report["pids"]["current"], 1, "{report}");
    }
    assert_eq!(report["network_interfaces"][0]["Name"], "lo", "{report}");
    cgroup.kill_all().unwrap();
    running.end();
}

fn tells_of_a_want_of_memory() {
    let found = sys::cgroupfs::detect().unwrap();
    let v2 = found
        .v2
        .as_ref()
        .map(|mount| text(mount.join("cgroup.controllers")));
    if found.v1_with("memory").is_none() && !v2.unwrap_or_default().contains("memory") {
        return;
    }
    let world = World::new();
    let wish = crate::world::Wish {
        resources: Some(resources(
            serde_json::json!({"memory": {"limit": 32 << 20}}),
        )),
        ..crate::world::Wish::probe(&["eat", "200"])
    };
    let (pending, out, cgroup) = world.spawn(&wish).unwrap();
    let cgroup = cgroup.unwrap();
    let mut watch = cgroup.watch_oom().unwrap();
    let started = pending.start().unwrap();
    let minute = std::time::Duration::from_secs(60);
    let next = |watch: &mut OomWatch| loop {
        if let Some(event) = watch.next(Some(minute)).unwrap() {
            return event;
        }
    };
    assert_eq!(next(&mut watch), OomEvent::Oom);
    let running = crate::world::Running {
        started,
        out,
        cgroup: None,
    };
    assert_eq!(running.end(), runtime::ExitStatus::Signal(9));
    cgroup.remove().unwrap();
    // A second of the kind may have been counted before the end.
    while next(&mut watch) != OomEvent::End {}
}

fn groups_below_the_containers_own() {
    let world = World::new();
    let cgroup = Cgroup::place(&place(&world), None).unwrap();
    let found = sys::cgroupfs::detect().unwrap();
    let mount = match found.v1_with("memory") {
        Some(v1) => v1.mount.clone(),
        None => found.v2.unwrap(),
    };
    std::fs::create_dir_all(mount.join(place(&world).path()).join("foo/bar")).unwrap();
    assert!(cgroup.subgroup("foo/bar").is_ok() && cgroup.subgroup("/").is_ok());
    for dots in ["../outside", "./foo/../foo", "foo/.."] {
        let error = cgroup.subgroup(dots).unwrap_err();
        assert!(
            matches!(error, Error::SubgroupDots { .. }),
            "{}",
            chain(&error)
        );
    }
    for missing in ["nothing", "cpu:nothing", "nosuch:/"] {
        let error = cgroup.subgroup(missing).unwrap_err();
        assert!(matches!(error, Error::Subgroup { .. }), "{}", chain(&error));
    }
    // What it made below goes with it.
    cgroup.remove().unwrap();
    assert!(!mount.join(&world.parent).exists());
}

fn its_own_group_without_a_namespace() {
    let kind = oci_spec::runtime::LinuxNamespaceType::Cgroup;
    let mut namespaces = runtime::defaults::namespaces();
    namespaces.retain(|namespace| namespace.typ() != kind);
    let world = World::new();
    let pids = on_v1().then(|| resources(serde_json::json!({"pids": {"limit": 77}})));
    let ask = |path| {
        let wish = crate::world::Wish {
            cgroup: true,
            resources: pids.clone(),
            namespaces: namespaces.clone(),
            ..crate::world::Wish::probe(&["cat", path])
        };
        world.ask(&wish)
    };
    if on_v1() {
        assert_eq!(ask("/sys/fs/cgroup/pids/pids.max"), "77");
        assert_eq!(ask("/sys/fs/cgroup/memory/cgroup.procs"), "1");
    }
    let found = sys::cgroupfs::detect().unwrap();
    if found.v2.is_some() && !found.v1.is_empty() {
        assert_eq!(ask("/sys/fs/cgroup/unified/cgroup.procs"), "1");
    }
}

/// Two containers in one new parent, whose real time is what they have together.
fn real_time_comes_down_from_parents_made_for_it() {
    let hierarchies = sys::cgroupfs::detect().unwrap();
    let Some(cpu) = hierarchies.v1_with("cpu") else {
        return;
    };
    if !cpu.mount.join("cpu.rt_runtime_us").exists() {
        return;
    }
    let world = World::new();
    let resources =
        resources(serde_json::json!({"cpu": {"realtimeRuntime": 1000, "realtimePeriod": 100_000}}));
    let parent = format!("{}-rt", world.parent);
    let made = ["one", "two"].map(|name| {
        let path = format!("{parent}/above/{name}");
        let place = Place::of_spec(Some(path.as_ref()), "id").expect("a place");
        Cgroup::place(&place, Some(&resources)).unwrap_or_else(|e| panic!("{}", chain(&e)))
    });
    let runtime = |below: &str| {
        let group = cpu.mount.join(&parent).join(below);
        text(group.join("cpu.rt_runtime_us")).trim().to_owned()
    };
    assert_eq!(runtime("above/one"), "1000");
    // In the parents' own period, which is ten times as long.
    assert_eq!(runtime("above"), "20000");
    assert_eq!(runtime(""), "20000");
    for group in made {
        group.remove().unwrap();
    }
    assert!(!cpu.mount.join(&parent).exists());
}
