//! Rolling updates, and what changes without a new container.

use super::*;
use crate::plan::{Action, LiveChange, Reaction, Shift};
use compose_file::project::{FailureAction, UpdateConfig, UpdateOrder};
use std::time::Duration;

const CAUSE: &str = "configuration changed (environment: LEVEL)";

/// Three replicas behind one port, as they run, and a change to the environment.
fn changed(config: UpdateConfig) -> World {
    let mut web = service("web");
    web.ports = published("8080:80");
    web.stop_grace_period = Some(Duration::from_secs(20));
    web.healthcheck = Some(model::health::Healthcheck {
        test: model::health::HealthTest::Shell("true".into()),
        interval: None,
        timeout: None,
        start_period: None,
        start_interval: None,
        retries: None,
    });
    web.deploy = Some(Deploy {
        replicas: Some(3),
        update_config: Some(config),
        ..Default::default()
    });
    let mut world = World::new(vec![web]).carried_out();
    let environment = &mut world.service("web").environment;
    environment.insert("LEVEL".into(), Some("2".into()));
    world
}

/// Without the cause, which all share.
fn short(world: &World) -> String {
    world.text().replace(&format!(", {CAUSE}"), "")
}

#[test]
fn start_first_makes_the_new_one_ready_before_the_old_one_is_taken_out() {
    let world = changed(UpdateConfig {
        order: Some(UpdateOrder::StartFirst),
        parallelism: Some(2),
        delay: Some(Duration::from_secs(10)),
        failure_action: Some(FailureAction::Rollback),
        ..Default::default()
    });
    let text = short(&world);
    let slot = "[] -> #1 service:web:1, CreateContainer shop-web-1\n\
         [1] -> #2 service:web:1, StartContainer 010101010101_shop-web-1\n\
         [2] -> #3 service:web:1, AwaitReady 010101010101_shop-web-1\n\
         [3] -> #4 service:web:1, WithdrawContainer shop-web-1\n\
         [4] -> #5 service:web:1, DrainContainer shop-web-1 for at most 20s\n\
         [5] -> #6 service:web:1, StopContainer shop-web-1\n\
         [6] -> #7 service:web:1, RemoveContainer shop-web-1\n\
         [7] -> #8 service:web:1, RenameContainer shop-web-1\n\
         [8] -> #9 service:web:1, WatchContainer shop-web-1 for 5s\n\
         [] -> #10 service:web:2, CreateContainer shop-web-2\n";
    assert!(text.starts_with(slot), "{text}");
    let between = "[~8,~17] -> #19 service:web:, Delay 10s, update_config.delay\n\
         [~19] -> #20 service:web:3, CreateContainer shop-web-3\n";
    assert!(text.contains(between), "{text}");
    let end = "[27] -> #28 service:web:3, WatchContainer shop-web-3 for 5s\n\
         Service web  Rolling update of 3, 2 at a time, start-first; when more than 0 of them fail: rollback";
    assert!(text.ends_with(end), "nothing after the last batch: {text}");
    let plan = world.plan();
    assert!(plan.steps.iter().all(|step| step.roll == Some(0)));
    let Reaction::Rollback(earlier) = &plan.rolls[0].reaction else {
        panic!("{:?}", plan.rolls);
    };
    assert!(earlier.spec.spec.env.is_empty(), "as it was");
    assert_eq!(earlier.image_id, "one");
    assert_eq!(plan.to_json()["rolls"][0]["parallelism"], 2);
}

#[test]
fn what_nobody_checks_gets_its_ports_when_it_is_ready() {
    let mut world = changed(UpdateConfig {
        order: Some(UpdateOrder::StartFirst),
        ..Default::default()
    });
    let web = world.service("web");
    web.healthcheck = None;
    web.ports[0].allow = Some(vec!["10.0.0.0/8".parse().unwrap()]);
    let mut world = world.carried_out();
    let environment = &mut world.service("web").environment;
    environment.insert("LEVEL".into(), Some("3".into()));
    let text = short(&world);
    let swing = "[2] -> #3 service:web:1, AwaitReady 010101010101_shop-web-1\n\
         [3] -> #4 service:web:1, UpdateContainer 010101010101_shop-web-1\n\
         [4] -> #5 service:web:1, WithdrawContainer shop-web-1\n";
    assert!(text.contains(swing), "{text}");
    let plan = world.plan();
    let Action::CreateContainer(new) = &plan.steps[0].action else {
        panic!("{plan}");
    };
    assert!(new.spec.ports.is_empty());
    let Action::Change(LiveChange::Update { changes, .. }) = &plan.steps[3].action else {
        panic!("{plan}");
    };
    let ports = changes.ports.as_ref().unwrap();
    assert_eq!(ports.access.len(), 1, "never without what restricts them");
    // Killed before that, it is told from one that is as the file wants it.
    let mut world = world.carried_out();
    world.container("shop-web-2").spec.ports.clear();
    let text = world.text();
    let publish = "[] -> #1 service:web:2, UpdateContainer shop-web-2, changed without a new container (ports)";
    assert!(text.starts_with(publish), "{text}");
}

#[test]
fn stop_first_waits_for_the_new_one_before_the_next_goes() {
    let text = short(&changed(UpdateConfig {
        monitor: Some(Duration::ZERO),
        ..Default::default()
    }));
    let slots = "[] -> #1 service:web:1, CreateContainer shop-web-1\n\
         [1] -> #2 service:web:1, WithdrawContainer shop-web-1\n\
         [2] -> #3 service:web:1, DrainContainer shop-web-1 for at most 20s\n\
         [3] -> #4 service:web:1, StopContainer shop-web-1\n\
         [4] -> #5 service:web:1, RemoveContainer shop-web-1\n\
         [5] -> #6 service:web:1, RenameContainer shop-web-1\n\
         [6] -> #7 service:web:1, StartContainer shop-web-1\n\
         [7] -> #8 service:web:1, AwaitReady shop-web-1\n\
         [~8] -> #9 service:web:2, CreateContainer shop-web-2\n";
    assert!(text.starts_with(slots), "{text}");
    let end = "1 at a time, stop-first; when more than 0 of them fail: pause";
    assert!(text.ends_with(end), "{text}");
}

#[test]
fn when_all_go_at_once_nobody_waits_for_connections_that_go_on_coming() {
    let text = short(&changed(UpdateConfig {
        parallelism: Some(0),
        ..Default::default()
    }));
    assert!(
        !text.contains("Withdraw") && !text.contains("Drain"),
        "{text}"
    );
}

#[test]
fn what_cannot_run_beside_itself_stops_first() {
    let mut world = changed(UpdateConfig {
        order: Some(UpdateOrder::StartFirst),
        ..Default::default()
    });
    world.service("web").ports = published("8080-8082:80");
    let world = world.carried_out();
    let mut world = world;
    let environment = &mut world.service("web").environment;
    environment.insert("LEVEL".into(), Some("3".into()));
    let plan = world.plan();
    assert!(
        plan.warnings[0].contains("the range of host ports 8080-8082 has none left over"),
        "{:?}",
        plan.warnings
    );
    assert!(plan.to_string().contains("stop-first"), "{plan}");
}

#[test]
fn the_way_back_has_its_own_rules_and_no_way_back() {
    let mut world = changed(UpdateConfig {
        order: Some(UpdateOrder::StartFirst),
        failure_action: Some(FailureAction::Rollback),
        ..Default::default()
    });
    world.options.going_back = true;
    let plan = world.plan();
    assert_eq!(
        plan.rolls[0].to_string(),
        "Service web  Rolling update of 3, 3 at a time, start-first; when more than 0 of them fail: pause",
        "unless said otherwise all at once, in the order of updates"
    );
    let deploy = world.service("web").deploy.as_mut().unwrap();
    deploy.rollback_config = Some(UpdateConfig {
        max_failure_ratio: Some(0.5),
        ..Default::default()
    });
    assert_eq!(
        world.plan().rolls[0].to_string(),
        "Service web  Rolling update of 3, 1 at a time, stop-first; when more than 1 of them fail: pause"
    );
}

#[test]
fn an_interrupted_update_is_gone_on_with() {
    let mut world = changed(UpdateConfig {
        order: Some(UpdateOrder::StartFirst),
        ..Default::default()
    });
    let mut left = world.container("shop-web-1").clone();
    left.name = "010101010101_shop-web-1".into();
    left.id = "ff".repeat(32);
    world.observed.containers.push(left);
    world.container("shop-web-1").withdrawn = true;
    let plan = world.plan();
    let create = plan.steps.iter().find(
        |s| matches!(&s.action, Action::CreateContainer(new) if new.name == "010101010101_shop-web-1"),
    );
    let removal = plan.steps.iter().find(|s| {
        matches!(&s.action, Action::RemoveContainer { name, .. } if name == "010101010101_shop-web-1")
    });
    assert!(
        create.unwrap().needs.contains(&removal.unwrap().id),
        "the name must be free: {plan}"
    );
    // The file is as it was again: who was taken out comes back.
    world.service("web").environment.clear();
    let readmit = |s: &crate::plan::Step| matches!(&s.action, Action::Shift(Shift::Readmit { container }) if container == "shop-web-1");
    assert!(world.plan().steps.iter().any(readmit), "{}", world.text());
}

#[test]
fn ports_limits_policy_and_labels_change_without_a_new_container() {
    let mut world = World::new(vec![service("web")]).carried_out();
    let web = world.service("web");
    web.ports = published("8080:80");
    web.limits.memory = Some(64 << 20);
    web.restart = Some("always".parse().unwrap());
    web.labels.insert("a".into(), "b".into());
    assert_eq!(
        world.text(),
        "[] -> #1 service:web:1, UpdateContainer shop-web-1, changed without a new container (labels: a, ports, limits, restart)"
    );
    let plan = world.plan();
    let Action::Change(LiveChange::Update { changes, .. }) = &plan.steps[0].action else {
        panic!("{plan}");
    };
    let labels = changes.labels.as_ref().unwrap();
    assert_eq!(labels[labels::CONFIG_HASH], world.specs()["web"].hash);
    let ports = changes.ports.as_ref();
    assert_eq!(ports.map(|ports| ports.bindings.len()), Some(1));
    // Together with anything else the container is replaced.
    world.service("web").tty = true;
    assert!(world.text().contains("CreateContainer"), "{}", world.text());
}

#[test]
fn a_limit_that_goes_and_a_newer_image_need_a_new_container() {
    let mut world = World::new(vec![service("web")]);
    world.service("web").limits.memory = Some(64 << 20);
    let mut world = world.carried_out();
    world.service("web").limits.memory = None;
    assert!(world.text().contains("CreateContainer"), "{}", world.text());
    let mut world = World::new(vec![service("web")]).carried_out();
    world.service("web").ports = published("8080:80");
    world.images.insert("web".into(), image("two"));
    assert!(world.text().contains("CreateContainer"), "{}", world.text());
}

#[test]
fn two_services_that_swap_their_ports_are_both_replaced() {
    let (mut a, mut b) = (service("a"), service("b"));
    a.ports = published("80:80");
    b.ports = published("81:80");
    let mut world = World::new(vec![a, b]).carried_out();
    world.service("a").ports = published("81:80");
    world.service("b").ports = published("80:80");
    let plan = world.plan();
    let of = |service: &str, operation: &str| {
        let is = |s: &&crate::plan::Step| {
            s.resource == format!("service:{service}:1") && s.action.operation() == operation
        };
        plan.steps.iter().find(is).unwrap().clone()
    };
    for (one, other) in [("a", "b"), ("b", "a")] {
        let stop = of(other, "StopContainer").id;
        assert!(of(one, "StartContainer").needs.contains(&stop), "{plan}");
    }
}

#[test]
fn networks_are_joined_before_others_are_left() {
    let mut world = World::new(vec![service("web")]);
    for key in ["front", "back"] {
        let mut network = world.project.networks["default"].clone();
        network.spec.name = format!("shop_{key}");
        world.project.networks.insert(key.into(), network);
    }
    let on = |key: &str| EndpointSettings {
        network: key.into(),
        ..Default::default()
    };
    world.service("web").networks.push(on("front"));
    let mut world = world.carried_out();
    world.service("web").networks = vec![on("default"), on("back")];
    let text = world.text();
    let change = "changed without a new container (networks)";
    assert!(
        text.contains(&format!(
            "ConnectNetwork shop-web-1 to shop_back, {change}\n"
        )) && text.contains(&format!(
            "DisconnectNetwork shop-web-1 from shop_front, {change}\n"
        )),
        "{text}"
    );
    let at = |word: &str| text.find(word).unwrap();
    assert!(at("ConnectNetwork") < at("DisconnectNetwork"));
    assert!(at("DisconnectNetwork") < at("UpdateContainer"));
}
