//! Taking down, stopping, starting again; hooks and steps before a start.

use super::*;

#[test]
fn down_goes_the_other_way_round() {
    let world = World::new(vec![
        needs(service("web"), "db", Condition::Started),
        service("db"),
    ])
    .carried_out();
    let options = down::Options::default();
    assert_eq!(
        down::plan("shop", Some(&world.project), &world.observed, &options).to_string(),
        "[] -> #1 service:web:1, StopContainer shop-web-1, down\n\
         [1] -> #2 service:web:1, RemoveContainer shop-web-1, down\n\
         [1] -> #3 service:db:1, StopContainer shop-db-1, down\n\
         [3] -> #4 service:db:1, RemoveContainer shop-db-1, down\n\
         [2,4] -> #5 network:default, RemoveNetwork shop_default, down"
    );
    let without_file = down::plan("shop", None, &world.observed, &options);
    assert_eq!(
        without_file.steps.len(),
        5,
        "a project is taken down by its name alone"
    );
}

#[test]
fn down_spares_volumes_images_and_orphans_unless_told() {
    let mut db = service("db");
    db.volumes = vec![volume("data", "/var/lib")];
    let mut world = World::new(vec![db, service("old")]);
    world.project.volumes.insert(
        "data".into(),
        Volume {
            name: "shop_data".into(),
            ..Default::default()
        },
    );
    let mut world = world.carried_out();
    world.container("shop-db-1").volumes = vec!["shop_data".into()];
    world.container("shop-db-1").anonymous_volumes = vec![("/x".into(), "anon".into())];
    world.project.services.retain(|s| s.name == "db");
    let text = |options: down::Options| {
        down::plan("shop", Some(&world.project), &world.observed, &options)
    };
    let plain = text(down::Options::default());
    assert!(
        !plain.to_string().contains("old") && !plain.to_string().contains("RemoveNetwork"),
        "{plain}"
    );
    assert_eq!(
        plain.warnings,
        ["Network shop_default stays: container shop-old-1 is still on it"]
    );
    let all = down::Options {
        volumes: true,
        remove_orphans: true,
        images: down::Images::All,
        timeout: Some(1),
        services: vec![],
    };
    assert_eq!(
        text(all).to_string(),
        "[] -> #1 service:db:1, StopContainer shop-db-1, down\n\
         [1] -> #2 service:db:1, RemoveContainer shop-db-1, down\n\
         [] -> #3 service:old:1, StopContainer shop-old-1, down\n\
         [3] -> #4 service:old:1, RemoveContainer shop-old-1, down\n\
         [2,4] -> #5 network:default, RemoveNetwork shop_default, down\n\
         [2] -> #6 volume:data, RemoveVolume shop_data, down --volumes\n\
         [] -> #7 volume:anon, RemoveVolume anon, down --volumes\n\
         [2,4] -> #8 image:db:1, RemoveImage db:1, down --rmi"
    );
}

#[test]
fn stop_start_and_restart_keep_the_order() {
    let mut world = World::new(vec![
        needs(service("web"), "db", Condition::Started),
        service("db"),
    ])
    .carried_out();
    let all: Vec<&Container> = world.observed.containers.iter().collect();
    assert_eq!(
        lifecycle::stop(&all, None).to_string(),
        "[] -> #1 service:web:1, StopContainer shop-web-1, stop\n[1] -> #2 service:db:1, StopContainer shop-db-1, stop"
    );
    assert_eq!(
        lifecycle::restart(Some(&world.project), &all, None).to_string(),
        "[] -> #1 service:db:1, RestartContainer shop-db-1, restart\n[1] -> #2 service:web:1, RestartContainer shop-web-1, restart"
    );
    let healthy = World::new(vec![
        needs(service("web"), "db", Condition::Healthy),
        service("db"),
    ])
    .carried_out();
    let of_healthy: Vec<&Container> = healthy.observed.containers.iter().collect();
    assert_eq!(
        lifecycle::restart(Some(&healthy.project), &of_healthy, None).to_string(),
        "[] -> #1 service:db:1, RestartContainer shop-db-1, restart\n\
         [1] -> #2 service:db, WaitForDependency service_healthy, web needs it\n\
         [2] -> #3 service:web:1, RestartContainer shop-web-1, restart"
    );
    for container in &mut world.observed.containers {
        container.status = Status::Exited(0);
    }
    let all: Vec<&Container> = world.observed.containers.iter().collect();
    assert_eq!(
        lifecycle::start(Some(&world.project), &all).to_string(),
        "[] -> #1 service:db:1, StartContainer shop-db-1, start\n[1] -> #2 service:web:1, StartContainer shop-web-1, start"
    );
    assert!(lifecycle::stop(&all, None).is_empty() && lifecycle::pause(&all).is_empty());
}

#[test]
fn no_plan_needs_a_step_that_comes_never() {
    // Every kind of change at once; each step must need only other steps, and no circle may close.
    let mut web = needs(service("web"), "db", Condition::Healthy);
    web.depends_on.get_mut("db").unwrap().restart = true;
    web.ports = published("80:80");
    let mut world = World::new(vec![web, service("db"), service("gone")]).carried_out();
    world.project.services.retain(|s| s.name != "gone");
    world.options.remove_orphans = true;
    world.service("db").ports = published("80:80");
    world.service("web").ports = published("81:80");
    world
        .project
        .networks
        .get_mut("default")
        .unwrap()
        .spec
        .internal = true;
    let plan = world.plan();
    let mut done: Vec<usize> = Vec::new();
    while done.len() < plan.steps.len() {
        let ready = plan
            .steps
            .iter()
            .find(|s| !done.contains(&s.id) && s.needs.iter().all(|n| done.contains(n)));
        done.push(ready.unwrap_or_else(|| panic!("a circle:\n{plan}")).id);
    }
}

#[test]
fn hooks_run_after_the_start_and_before_the_stop() {
    let hook = |word: &str| compose_file::project::Hook {
        command: vec![word.into()],
        ..Default::default()
    };
    let mut db = service("db");
    db.post_start = vec![hook("one"), hook("two")];
    db.pre_stop = vec![hook("bye")];
    let world = World::new(vec![needs(service("web"), "db", Condition::Started), db]);
    let text = world.text();
    assert!(
        text.contains("[3] -> #6 service:db:1, RunHook shop-db-1, post_start"),
        "{text}"
    );
    assert!(
        text.contains("[6] -> #7 service:db:1, RunHook shop-db-1, post_start"),
        "{text}"
    );
    assert!(
        text.contains("[3,4,7] -> #5 service:web:1, StartContainer"),
        "{text}"
    );
    let world = world.carried_out();
    let mut plan = down::plan(
        "shop",
        Some(&world.project),
        &world.observed,
        &Default::default(),
    );
    crate::plan::hooks::insert(&mut plan, &world.project);
    let stop = plan
        .steps
        .iter()
        .find(|s| s.to_string().contains("service:db:1, StopContainer"))
        .unwrap();
    let hook = plan
        .steps
        .iter()
        .find(|s| s.to_string().contains("RunHook"))
        .unwrap();
    assert!(
        stop.needs.contains(&hook.id) && !hook.needs.contains(&stop.id),
        "{plan}"
    );
}

#[test]
fn steps_before_a_start_run_once_for_a_service_and_wait_for_what_it_needs() {
    use compose_file::project::{Hook, InitHook};
    let hook = |word: &str, per_replica| InitHook {
        hook: Hook {
            command: vec![word.into()],
            ..Hook::default()
        },
        image: None,
        per_replica,
    };
    let mut web = needs(service("web"), "db", Condition::Started);
    web.scale = Some(2);
    web.pre_start = vec![hook("once", false), hook("each", true)];
    let world = World::new(vec![web, service("db")]);
    let plan = world.plan();
    let steps = |operation: &str, about: &str| -> Vec<usize> {
        let fits = |s: &&Step| s.action.operation() == operation && s.resource.starts_with(about);
        plan.steps.iter().filter(fits).map(|s| s.id).collect()
    };
    let init = steps("RunInitContainer", "service:web");
    let starts = steps("StartContainer", "service:web");
    let db = steps("StartContainer", "service:db");
    assert_eq!((init.len(), starts.len()), (3, 2), "{plan}");
    let once = &plan.steps[init[0] - 1];
    assert_eq!(once.action.object(), "shop-web-1-pre_start-0");
    assert!(once.needs.contains(&db[0]), "{plan}");
    for (start, each) in starts.iter().zip(&init[1..]) {
        let needs = &plan.steps[start - 1].needs;
        assert!(needs.contains(&init[0]) && needs.contains(each), "{plan}");
    }
    // One that is up has been prepared.
    let mut grown = world.carried_out();
    grown.service("web").scale = Some(3);
    let plan = grown.plan();
    let added: Vec<&str> = plan
        .steps
        .iter()
        .filter(|s| s.action.operation() == "RunInitContainer")
        .map(|s| s.action.object())
        .collect();
    assert_eq!(added, ["shop-web-3-pre_start-1"]);
}
