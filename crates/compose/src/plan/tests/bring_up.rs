//! What `up` plans: what is made, replaced, started or left.

use super::*;

#[test]
fn a_first_up_makes_everything_in_dependency_order() {
    let mut db = service("db");
    db.volumes = vec![volume("data", "/var/lib")];
    let mut world = World::new(vec![needs(service("web"), "db", Condition::Healthy), db]);
    world.project.volumes.insert(
        "data".into(),
        Volume {
            name: "shop_data".into(),
            ..Default::default()
        },
    );
    assert_eq!(
        world.text(),
        "[] -> #1 network:default, CreateNetwork shop_default, not found\n\
         [] -> #2 volume:data, CreateVolume shop_data, not found\n\
         [1,2] -> #3 service:db:1, CreateContainer shop-db-1, no existing container\n\
         [3] -> #4 service:db:1, StartContainer shop-db-1, no existing container\n\
         [1] -> #5 service:web:1, CreateContainer shop-web-1, no existing container\n\
         [4] -> #6 service:db, WaitForDependency service_healthy, web needs it\n\
         [5,6] -> #7 service:web:1, StartContainer shop-web-1, no existing container"
    );
}

#[test]
fn a_second_up_does_nothing_and_says_so() {
    let world = World::new(vec![
        needs(service("web"), "db", Condition::Healthy),
        service("db"),
    ])
    .carried_out();
    let plan = world.plan();
    assert!(plan.is_empty());
    assert_eq!(
        plan.to_string(),
        "Container shop-db-1  Running\nContainer shop-web-1  Running\nNothing to do: everything is as the file wants it"
    );
    assert_eq!(plan.to_json()["changes"], false);
}

#[test]
fn one_changed_value_replaces_that_service_alone() {
    let mut world = World::new(vec![service("web"), service("db")]).carried_out();
    world
        .service("web")
        .environment
        .insert("GREETING".into(), Some("hello".into()));
    assert_eq!(
        world.text(),
        "[] -> #1 service:web:1, CreateContainer shop-web-1, configuration changed (environment: GREETING)\n\
         [1] -> #2 service:web:1, StopContainer shop-web-1, configuration changed (environment: GREETING)\n\
         [2] -> #3 service:web:1, RemoveContainer shop-web-1, configuration changed (environment: GREETING)\n\
         [3] -> #4 service:web:1, RenameContainer shop-web-1, configuration changed (environment: GREETING)\n\
         [4] -> #5 service:web:1, StartContainer shop-web-1, configuration changed (environment: GREETING)\n\
         Container shop-db-1  Running"
    );
}

#[test]
fn what_compose_does_with_a_service_is_no_change_of_its_containers() {
    let mut world = World::new(vec![service("web"), service("db")]).carried_out();
    let web = world.service("web");
    web.depends_on.insert("db".into(), Dependency::default());
    web.profiles = vec!["x".into()];
    web.pull_policy = Some(compose_file::project::PullPolicy::Always);
    web.deploy = Some(Deploy {
        labels: BTreeMap::from([("APP".into(), "VOTING".into())]),
        ..Default::default()
    });
    assert!(world.plan().is_empty(), "{}", world.text());
}

#[test]
fn a_newer_image_replaces() {
    let mut world = World::new(vec![service("web")]).carried_out();
    world.images.insert("web".into(), image("two"));
    assert!(
        world
            .text()
            .starts_with("[] -> #1 service:web:1, CreateContainer shop-web-1, image changed\n"),
        "{}",
        world.text()
    );
}

#[test]
fn the_flags_about_replacing() {
    let mut world = World::new(vec![
        needs(service("web"), "db", Condition::Started),
        service("db"),
    ])
    .carried_out();
    world.options.recreate = Recreate::Always;
    world.options.services = vec!["web".into()];
    let text = world.text();
    assert!(
        text.contains("service:web:1, CreateContainer shop-web-1, force recreate"),
        "{text}"
    );
    assert!(
        text.contains("Container shop-db-1  Running"),
        "what it needs is left alone: {text}"
    );
    world.options.recreate_dependencies = Recreate::Always;
    assert!(
        world
            .text()
            .contains("service:db:1, CreateContainer shop-db-1, force recreate")
    );
    world.options = Options {
        recreate: Recreate::Never,
        ..Default::default()
    };
    world.service("web").tty = true;
    assert!(world.plan().is_empty());
}

#[test]
fn scaling_up_fills_numbers_and_scaling_down_takes_the_highest() {
    let mut world = World::new(vec![service("web")]).carried_out();
    world.options.scale.insert("web".into(), 3);
    assert_eq!(
        world.text(),
        "[] -> #1 service:web:2, CreateContainer shop-web-2, no existing container\n\
         [1] -> #2 service:web:2, StartContainer shop-web-2, no existing container\n\
         [] -> #3 service:web:3, CreateContainer shop-web-3, no existing container\n\
         [3] -> #4 service:web:3, StartContainer shop-web-3, no existing container\n\
         Container shop-web-1  Running"
    );
    world.service("web").scale = Some(3);
    let mut world = world.carried_out();
    world.options.scale.insert("web".into(), 1);
    assert_eq!(
        world.text(),
        "[] -> #1 service:web:2, StopContainer shop-web-2, scaled to 1\n\
         [1] -> #2 service:web:2, RemoveContainer shop-web-2, scaled to 1\n\
         [] -> #3 service:web:3, StopContainer shop-web-3, scaled to 1\n\
         [3] -> #4 service:web:3, RemoveContainer shop-web-3, scaled to 1\n\
         Container shop-web-1  Running"
    );
    world.options.scale.insert("web".into(), 0);
    assert_eq!(world.plan().steps.len(), 6);
}

#[test]
fn what_does_not_run_is_started_and_what_is_paused_goes_on() {
    let mut world = World::new(vec![service("a"), service("b"), service("c")]).carried_out();
    world.container("shop-a-1").status = Status::Exited(137);
    world.container("shop-b-1").status = Status::Paused;
    world.container("shop-c-1").status = Status::Created;
    assert_eq!(
        world.text(),
        "[] -> #1 service:a:1, StartContainer shop-a-1, exited (137)\n\
         [] -> #2 service:b:1, UnpauseContainer shop-b-1, paused\n\
         [] -> #3 service:c:1, StartContainer shop-c-1, created, not started"
    );
    world.options.start = Start::No;
    world.container("shop-b-1").status = Status::Running;
    assert!(world.plan().is_empty());
}

#[test]
fn a_container_that_waits_for_a_running_dependency_still_waits() {
    let mut world = World::new(vec![
        needs(service("web"), "db", Condition::Healthy),
        service("db"),
    ])
    .carried_out();
    world.container("shop-web-1").status = Status::Exited(1);
    assert_eq!(
        world.text(),
        "[] -> #1 service:db, WaitForDependency service_healthy, web needs it\n\
         [1] -> #2 service:web:1, StartContainer shop-web-1, exited (1)\n\
         Container shop-db-1  Running"
    );
}

#[test]
fn replicas_share_one_wait() {
    let mut web = needs(service("web"), "db", Condition::CompletedSuccessfully);
    web.scale = Some(2);
    let world = World::new(vec![web, service("db")]);
    assert_eq!(
        world.text().matches("WaitForDependency").count(),
        1,
        "{}",
        world.text()
    );
}

#[test]
fn only_what_is_named_and_what_it_needs() {
    let services = vec![
        needs(service("web"), "db", Condition::Started),
        service("db"),
        service("other"),
    ];
    let mut world = World::new(services);
    world.options.services = vec!["web".into()];
    let text = world.text();
    assert!(
        text.contains("service:db:1") && text.contains("service:web:1") && !text.contains("other"),
        "{text}"
    );
    world.options.no_dependencies = true;
    let text = world.text();
    assert!(!text.contains("service:db"), "{text}");
}

#[test]
fn orphans_are_named_or_removed() {
    let mut world = World::new(vec![service("web"), service("old")]).carried_out();
    world.project.services.retain(|s| s.name == "web");
    let plan = world.plan();
    assert!(plan.is_empty());
    assert!(
        plan.warnings[0].starts_with("Found orphan containers ([shop-old-1]) for this project."),
        "{plan:?}"
    );
    world.options.remove_orphans = true;
    assert_eq!(
        world.text(),
        "[] -> #1 service:old:1, StopContainer shop-old-1, orphan: no such service in the file\n\
         [1] -> #2 service:old:1, RemoveContainer shop-old-1, orphan: no such service in the file\n\
         Container shop-web-1  Running"
    );
    world.options = Options {
        ignore_orphans: true,
        ..Default::default()
    };
    assert!(world.plan().warnings.is_empty());
}

#[test]
fn a_task_of_run_is_an_orphan_once_it_has_ended() {
    let mut world = World::new(vec![service("web")]).carried_out();
    let mut task = world.observed.containers[0].clone();
    task.name = "shop-web-run-ab12".into();
    task.oneoff = true;
    world.observed.containers.push(task);
    assert!(world.plan().warnings.is_empty());
    world.container("shop-web-run-ab12").status = Status::Exited(0);
    assert!(world.plan().warnings[0].contains("([shop-web-run-ab12])"));
    world.options.remove_orphans = true;
    assert!(
        world.text().starts_with(
            "[] -> #1 service:web:1, RemoveContainer shop-web-run-ab12, orphan: a task of `run` that has ended"
        ),
        "{}",
        world.text()
    );
}

#[test]
fn all_resources_are_made_on_request_alone() {
    let mut world = World::new(vec![service("web")]).carried_out();
    let unused = Volume {
        name: "shop_unused".into(),
        ..Default::default()
    };
    world.project.volumes.insert("unused".into(), unused);
    assert!(world.plan().is_empty());
    world.options.all_resources = true;
    assert!(world.text().contains("CreateVolume shop_unused"));
}

#[test]
fn what_is_shared_needs_somebody_to_share_it_with() {
    let mut app = service("app");
    app.networks.clear();
    app.network_mode = Some(NetworkModeRef::Service("db".into()));
    let mut world = World::new(vec![app, service("db")]);
    let before = |world: &World, services: &[&Service]| -> Vec<String> {
        crate::preflight::before(&world.project, services, &world.observed)
            .iter()
            .map(|error| error.message.clone())
            .collect()
    };
    let (app, db) = (world.project.services[0].clone(), service("db"));
    assert_eq!(
        before(&world, &[&app]),
        ["cannot share network namespace with service db: container missing"]
    );
    assert!(before(&world, &[&app, &db]).is_empty());
    world = world.carried_out();
    assert!(before(&world, &[&app]).is_empty());
}

#[test]
fn a_container_name_clashes_only_among_what_is_brought_up() {
    let named = |name: &str| Service {
        container_name: Some("fixed".into()),
        ..service(name)
    };
    let world = World::new(vec![named("a"), named("b")]);
    let services: Vec<&Service> = world.project.services.iter().collect();
    let errors = crate::preflight::before(&world.project, &services, &world.observed);
    assert_eq!(
        errors[0].message,
        "container name \"fixed\" is already in use by service \"a\""
    );
    assert!(crate::preflight::before(&world.project, &services[1..], &world.observed).is_empty());
}

#[test]
fn a_start_takes_along_what_is_needed_and_exists() {
    let world = World::new(vec![
        service("db"),
        needs(service("api"), "db", Condition::Started),
        needs(service("web"), "api", Condition::Healthy),
        service("other"),
    ])
    .carried_out();
    let started = lifecycle::needed_with(&world.observed.containers, &["web".to_owned()]);
    assert_eq!(started, ["api", "db", "web"]);
    let few = &world.observed.containers[2..];
    assert_eq!(
        lifecycle::needed_with(few, &["web".to_owned()]),
        ["web"],
        "what does not exist cannot be started"
    );
}

#[test]
fn a_service_in_an_inactive_profile_is_no_orphan() {
    let mut world = World::new(vec![service("web"), service("debug")]).carried_out();
    let debug = world.project.services.pop().unwrap();
    world.project.disabled_services.push(debug);
    assert!(world.plan().warnings.is_empty());
}

#[test]
fn volumes_nobody_named_go_over_to_the_successor() {
    let anonymous = "ab".repeat(32);
    let mut world = World::new(vec![service("db")]).carried_out();
    world.container("shop-db-1").anonymous_volumes = vec![
        ("/data".into(), anonymous.clone()),
        ("/gone".into(), "x".into()),
    ];
    world.service("db").tty = true;
    let mounted = |world: &World| -> Vec<String> {
        let plan = world.plan();
        let crate::plan::Action::CreateContainer(new) = &plan.steps[0].action else {
            panic!("{plan}")
        };
        assert_eq!(new.spec.labels[labels::REPLACE], "shop-db-1");
        let names = new.spec.mounts.iter().filter_map(|m| match &m.kind {
            MountKind::Volume { name, .. } => name.clone(),
            _ => None,
        });
        names.collect()
    };
    assert_eq!(mounted(&world), [anonymous]);
    world.options.renew_anonymous_volumes = true;
    assert!(mounted(&world).is_empty());
}

#[test]
fn a_port_that_moves_is_given_up_first() {
    let mut a = service("a");
    a.ports = published("80:80");
    let mut world = World::new(vec![a, service("b")]).carried_out();
    world.service("a").ports.clear();
    world.service("b").ports = published("80:80");
    let plan = world.plan();
    let stop = plan
        .steps
        .iter()
        .find(|s| s.resource == "service:a:1" && s.action.operation() == "UpdateContainer")
        .unwrap();
    let start = plan
        .steps
        .iter()
        .find(|s| s.resource == "service:b:1" && s.action.operation() == "StartContainer")
        .unwrap();
    assert!(start.needs.contains(&stop.id), "{plan}");
}

#[test]
fn who_shares_a_namespace_is_replaced_with_its_donor() {
    let mut side = needs(service("side"), "web", Condition::Started);
    side.networks.clear();
    side.network_mode = Some(NetworkModeRef::Service("web".into()));
    let mut world = World::new(vec![side, service("web")]).carried_out();
    world.service("web").tty = true;
    let text = world.text();
    assert!(
        text.contains("service:side:1, CreateContainer shop-side-1, service web, whose namespace"),
        "{text}"
    );
    let plan = world.plan();
    let rename = plan
        .steps
        .iter()
        .find(|s| s.action.operation() == "RenameContainer")
        .unwrap()
        .id;
    let create = plan
        .steps
        .iter()
        .find(|s| s.resource == "service:side:1")
        .unwrap();
    assert!(
        create.needs.contains(&rename),
        "it joins the successor, which has its name only then: {plan}"
    );
}

#[test]
fn who_asked_for_it_restarts_with_what_it_needs() {
    let mut web = service("web");
    web.depends_on.insert(
        "db".into(),
        Dependency {
            restart: true,
            ..Default::default()
        },
    );
    let mut world = World::new(vec![web, service("db")]).carried_out();
    world.service("db").tty = true;
    let plan = world.plan();
    let step = |resource: &str, operation: &str| {
        plan.steps
            .iter()
            .find(|s| s.resource == resource && s.action.operation() == operation)
            .unwrap()
    };
    let (stop_web, stop_db) = (
        step("service:web:1", "StopContainer"),
        step("service:db:1", "StopContainer"),
    );
    let (start_web, start_db) = (
        step("service:web:1", "StartContainer"),
        step("service:db:1", "StartContainer"),
    );
    assert!(stop_db.needs.contains(&stop_web.id), "{plan}");
    assert!(
        start_web.needs.contains(&start_db.id) && start_web.needs.contains(&stop_web.id),
        "{plan}"
    );
    assert_eq!(start_web.cause, "service db is replaced");
}

#[test]
fn a_changed_network_is_replaced_around_its_containers() {
    let mut world = World::new(vec![service("web")]).carried_out();
    world
        .project
        .networks
        .get_mut("default")
        .unwrap()
        .spec
        .internal = true;
    assert_eq!(
        world.text(),
        "[] -> #1 service:web:1, StopContainer shop-web-1, network default changed\n\
         [1] -> #2 network:default, RemoveNetwork shop_default, configuration changed\n\
         [2] -> #3 network:default, CreateNetwork shop_default, configuration changed\n\
         [1,3] -> #4 service:web:1, StartContainer shop-web-1, network changed"
    );
}

#[test]
fn placement_that_cannot_hold_leaves_pending() {
    let mut far = service("far");
    let placement = Placement {
        constraints: vec!["node.role == worker".into()],
        ..Default::default()
    };
    far.deploy = Some(Deploy {
        placement,
        ..Default::default()
    });
    let world = World::new(vec![
        far,
        needs(service("web"), "far", Condition::Started),
        service("here"),
    ]);
    let plan = world.plan();
    assert_eq!(plan.pending.len(), 2, "{plan}");
    assert!(
        plan.pending[0].why.contains("node.role is \"manager\""),
        "{plan}"
    );
    assert_eq!(plan.pending[1].why, "it depends on far, which is pending");
    assert!(
        plan.to_string().contains("service:here:1, StartContainer")
            && !plan.to_string().contains("service:web:1")
    );
}

#[test]
fn an_interrupted_replacement_is_finished() {
    let mut world = World::new(vec![service("web")]).carried_out();
    // Killed after the old one was removed: the successor has its temporary name.
    let old = world.container("shop-web-1");
    old.name = "0101010101ab_shop-web-1".into();
    old.status = Status::Created;
    assert_eq!(
        world.text(),
        "[] -> #1 service:web:1, RenameContainer shop-web-1, left over from an interrupted run\n\
         [1] -> #2 service:web:1, StartContainer shop-web-1, created, not started"
    );
    // Killed before that: both are there.
    let mut world = World::new(vec![service("web")]).carried_out();
    let mut successor = world.container("shop-web-1").clone();
    successor.name = "0101010101ab_shop-web-1".into();
    successor.status = Status::Created;
    world.observed.containers.push(successor);
    world.service("web").scale = Some(2);
    let text = world.text();
    assert!(
        text.contains("RemoveContainer 0101010101ab_shop-web-1, left over from an interrupted run"),
        "{text}"
    );
    assert!(text.contains("service:web:2, CreateContainer"), "{text}");
}

fn scheduled(name: &str, cron: &str) -> Service {
    let schedule = model::schedule::Schedule {
        cron: cron.parse().unwrap(),
        timezone: None,
        concurrency: None,
        missed_fires: None,
    };
    Service {
        triggers: Some(compose_file::project::Triggers {
            manual: None,
            schedule: Some(schedule),
        }),
        ..service(name)
    }
}

#[test]
fn a_job_with_a_schedule_is_registered_once_and_taken_out_with_its_schedule() {
    let mut world = World::new(vec![service("web"), scheduled("backup", "0 3 * * *")]);
    world.images.insert("backup".into(), image("one"));
    let plan = world.plan();
    let registered = plan.steps.iter().find_map(|step| match &step.action {
        crate::plan::Action::RegisterJob(new) => Some(new),
        _ => None,
    });
    let mut record = registered.expect("a step").record.clone();
    assert!(
        plan.to_string()
            .contains("[1] -> #4 job:backup, RegisterJob shop.backup, not registered"),
        "{plan}"
    );
    assert_eq!(record.prefix, "shop-backup-run-");
    assert_eq!(record.spec.labels[labels::JOB], "backup");
    record.image_id = "one".into();
    world.observed.jobs = vec![record];
    assert!(!world.text().contains("job:backup"), "{}", world.text());

    world.project.services[1] = scheduled("backup", "0 4 * * *");
    assert!(
        world
            .text()
            .contains("schedule changed: 0 3 * * * -> 0 4 * * *")
    );
    world.images.insert("backup".into(), image("two"));
    assert!(
        world
            .text()
            .contains("RegisterJob shop.backup, image changed")
    );
    world.project.services.pop();
    assert!(
        world
            .text()
            .contains("RemoveJob shop.backup, no such job in the file")
    );
    world.options.services = vec!["web".into()];
    assert!(!world.text().contains("RemoveJob"), "not of what was named");
}

#[test]
fn another_image_at_a_mount_replaces_the_container_of_it_alone() {
    let mut web = service("web");
    web.volumes = vec![ServiceVolume {
        mount: Mount {
            kind: MountKind::Image {
                reference: "tools".into(),
                subpath: None,
            },
            ..volume("x", "/tools").mount
        },
        ..volume("x", "/tools")
    }];
    let mut world = World::new(vec![web, service("db")]).carried_out();
    for container in &mut world.observed.containers {
        container.mounted_images = vec![("/tools".into(), "old".into())];
    }
    world.observed.images = BTreeMap::from([("tools".into(), "old".into())]);
    assert!(world.plan().is_empty());
    world.observed.images = BTreeMap::from([("tools".into(), "new".into())]);
    let text = world.text();
    assert!(
        text.contains("shop-web-1, image tools, mounted at /tools, changed"),
        "{text}"
    );
    assert!(text.contains("Container shop-db-1  Running"), "{text}");
}
