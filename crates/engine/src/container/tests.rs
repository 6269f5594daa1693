//! Containers as records, without a kernel that runs them.

use super::create::create;
use super::list::{FILTERS, list};
use super::names;
use super::record::{ContainerRecord, Lifecycle};
use super::remove::{RemoveOptions, remove};
use super::rename::rename;
use super::state::{Phase, ProcessRef, RunState, State};
use crate::fixture::{container, context, image, refusal};
use crate::{Context, Error, Timestamp};
use model::container::ContainerSpec;
use model::filter::Filters;
use model::mount::{Mount, MountKind, parse_volume};
use model::network::{EndpointSettings, NetworkMode};
use model::restart::{RestartCondition, RestartPolicy};
use std::path::Path;

fn volume(text: &str) -> Mount {
    parse_volume(text, Path::new("/")).unwrap()
}

fn refused(ctx: &Context, spec: ContainerSpec) -> String {
    let said = refusal(create(ctx, spec, Some("web"), &image(ctx)));
    assert!(
        names::holder(ctx, "web").is_none(),
        "the name is free again after: {said}"
    );
    assert!(super::record::ids(ctx).unwrap().is_empty());
    said
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_made() {
    let (_dir, ctx) = context();
    let both = ContainerSpec {
        auto_remove: true,
        restart: RestartPolicy {
            condition: RestartCondition::Always,
            ..Default::default()
        },
        ..Default::default()
    };
    assert_eq!(
        refused(&ctx, both),
        "conflicting options: cannot specify both --restart and --rm"
    );
    let twice = ContainerSpec {
        mounts: vec![volume("one:/data"), volume("two:/data/")],
        ..Default::default()
    };
    assert!(refused(&ctx, twice).starts_with("Duplicate mount point: /data"));
    let root = ContainerSpec {
        mounts: vec![
            volume("one:/data"),
            Mount {
                target: "/".into(),
                ..volume("one:/x")
            },
        ],
        ..Default::default()
    };
    assert!(refused(&ctx, root).contains("destination can't be '/'"));
    assert!(crate::volume::list(&ctx).unwrap().is_empty());
    for hostname in ["", "we b", "a/b", &"x".repeat(64)] {
        let spec = ContainerSpec {
            hostname: Some(hostname.to_owned()),
            ..Default::default()
        };
        assert!(refused(&ctx, spec).starts_with("invalid hostname"));
    }
    let runtime = ContainerSpec {
        runtime: Some("kata".into()),
        ..Default::default()
    };
    assert!(
        refused(&ctx, runtime).starts_with("unknown or invalid runtime name: kata: use dockless,")
    );
    let signal = ContainerSpec {
        stop_signal: Some("SIGNOPE".into()),
        ..Default::default()
    };
    assert!(refused(&ctx, signal).starts_with("invalid signal: SIGNOPE"));
    let missing = ContainerSpec {
        network_mode: NetworkMode::Networks,
        networks: vec![EndpointSettings {
            network: "nowhere".into(),
            ..Default::default()
        }],
        ..Default::default()
    };
    assert!(refused(&ctx, missing).contains("nowhere"));
    let source = Mount {
        kind: MountKind::Bind {
            source: "/nowhere/at/all".into(),
            create_source: false,
            propagation: None,
            recursion: Default::default(),
        },
        target: "/data".into(),
        read_only: false,
    };
    let bind = ContainerSpec {
        mounts: vec![source],
        ..Default::default()
    };
    assert!(refused(&ctx, bind).ends_with("bind source path does not exist: /nowhere/at/all"));
}

#[test]
fn an_image_without_a_command_needs_one() {
    let (_dir, ctx) = context();
    let mut bare = image(&ctx);
    bare.config.cmd = None;
    let made = create(&ctx, ContainerSpec::default(), Some("web"), &bare);
    assert!(matches!(made, Err(Error::NoCommand)));
}

#[test]
fn volumes_made_for_a_container_that_does_not_come_to_be_go_again() {
    let (_dir, ctx) = context();
    crate::volume::create(
        &ctx,
        &crate::volume::VolumeSpec {
            name: Some("kept".into()),
            ..Default::default()
        },
    )
    .unwrap();
    let spec = ContainerSpec {
        mounts: vec![
            volume("kept:/kept"),
            volume("fresh:/fresh"),
            volume("/anonymous"),
        ],
        hostname: Some("not a name".into()),
        ..Default::default()
    };
    refused(&ctx, spec);
    let left: Vec<String> = crate::volume::list(&ctx)
        .unwrap()
        .into_iter()
        .map(|v| v.name)
        .collect();
    assert_eq!(left, ["kept"]);
}

#[test]
fn a_created_container_is_found_by_name_id_and_prefix() {
    let (_dir, ctx) = context();
    let web = container(&ctx, "web", ContainerSpec::default());
    assert_eq!(State::load(&ctx, web.id.as_str()).unwrap(), State::Created);
    for wanted in ["web", "/web", web.id.as_str(), web.id.short()] {
        assert_eq!(names::resolve(&ctx, wanted).unwrap().id, web.id, "{wanted}");
    }
    assert_eq!(
        refusal(names::resolve(&ctx, "other")),
        "No such container: other"
    );
    assert!(names::resolve(&ctx, "").is_err());
}

#[test]
fn a_prefix_of_two_ids_is_ambiguous() {
    let (_dir, ctx) = context();
    // Of 17 ids two begin with the same digit.
    for number in 0..17 {
        container(&ctx, &format!("web{number}"), ContainerSpec::default());
    }
    let ids = super::record::ids(&ctx).unwrap();
    let twice = ids
        .iter()
        .map(|id| &id[..1])
        .find(|first| ids.iter().filter(|id| id.starts_with(*first)).count() > 1)
        .unwrap();
    assert!(matches!(
        names::resolve(&ctx, twice),
        Err(Error::Ambiguous { .. })
    ));
}

#[test]
fn a_name_is_had_by_one_and_taken_over_from_the_dead() {
    let (_dir, ctx) = context();
    let web = container(&ctx, "web", ContainerSpec::default());
    let second = create(&ctx, ContainerSpec::default(), Some("/web"), &image(&ctx));
    assert!(matches!(second, Err(Error::NameInUse { holder, .. }) if holder == web.id.as_str()));
    // Killed between the rename of the directory and the release of the name.
    std::fs::remove_dir_all(ctx.layout.container(web.id.as_str())).unwrap();
    let next = container(&ctx, "web", ContainerSpec::default());
    assert_eq!(names::holder(&ctx, "web").unwrap(), next.id.as_str());
}

#[test]
fn a_name_whose_container_is_being_made_is_not_taken_over() {
    let (_dir, ctx) = context();
    let id = crate::random_id();
    let making = ContainerRecord::lock(&ctx, id.as_str()).unwrap();
    names::reserve(&ctx, "web", &id).unwrap().keep();
    let second = create(&ctx, ContainerSpec::default(), Some("web"), &image(&ctx));
    assert!(matches!(second, Err(Error::NameInUse { .. })));
    crate::sweep::sweep(&ctx).unwrap();
    assert!(names::holder(&ctx, "web").is_some());
    drop(making);
    assert_eq!(crate::sweep::sweep(&ctx).unwrap().names, 1);
    assert!(names::holder(&ctx, "web").is_none());
}

#[test]
fn of_many_that_want_one_name_at_once_one_gets_it() {
    let (_dir, ctx) = context();
    let base = image(&ctx);
    let made: usize = std::thread::scope(|scope| {
        let tries: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| create(&ctx, ContainerSpec::default(), Some("web"), &base).is_ok())
            })
            .collect();
        tries
            .into_iter()
            .map(|t| usize::from(t.join().unwrap()))
            .sum()
    });
    assert_eq!(made, 1);
    assert_eq!(super::record::ids(&ctx).unwrap().len(), 1);
}

#[test]
fn a_dropped_reservation_is_given_back() {
    let (_dir, ctx) = context();
    drop(names::reserve(&ctx, "web", &crate::random_id()).unwrap());
    assert!(names::holder(&ctx, "web").is_none());
    assert!(matches!(
        names::reserve(&ctx, "-web", &crate::random_id()),
        Err(Error::BadName(_))
    ));
}

#[test]
fn a_rename_keeps_what_others_wrote_meanwhile() {
    let (_dir, ctx) = context();
    let web = container(&ctx, "web", ContainerSpec::default());
    let mut updated = web.clone();
    updated.spec.resources.cpu_shares = Some(7);
    updated.save(&ctx).unwrap();
    rename(&ctx, &web, "site").unwrap();
    let now = names::resolve(&ctx, "site").unwrap();
    assert_eq!(now.spec.resources.cpu_shares, Some(7));
    assert!(names::holder(&ctx, "web").is_none());
    container(&ctx, "web", ContainerSpec::default());
    assert!(matches!(
        rename(&ctx, &now, "web"),
        Err(Error::NameInUse { .. })
    ));
    assert!(rename(&ctx, &now, "site").is_err());
}

fn ours() -> ProcessRef {
    ProcessRef::current().unwrap()
}

fn dead() -> ProcessRef {
    ProcessRef {
        start_time: ours().start_time + 1,
        ..ours()
    }
}

/// As a monitor would write it down.
fn running(ctx: &Context, id: &str, process: ProcessRef, monitor: ProcessRef) {
    std::fs::create_dir_all(ctx.layout.run_container(id)).unwrap();
    let run = RunState {
        monitor,
        phase: Phase::Running { process },
        started_at: Timestamp::now(),
        restart_count: 0,
        cgroup_parent: "dockless-none".into(),
        network: None,
    };
    run.save(ctx, id).unwrap();
    let lifecycle = Lifecycle {
        running: true,
        started_at: Some(Timestamp::now()),
        ..Default::default()
    };
    lifecycle
        .save(ctx, id, state::Durability::Volatile)
        .unwrap();
}

#[test]
fn a_record_is_believed_as_far_as_the_kernel_agrees() {
    let (_dir, ctx) = context();
    let web = container(&ctx, "web", ContainerSpec::default());
    let id = web.id.as_str();
    running(&ctx, id, ours(), dead());
    assert_eq!(State::load(&ctx, id).unwrap().status(), "running");
    running(&ctx, id, dead(), ours());
    assert_eq!(
        State::load(&ctx, id).unwrap().status(),
        "running",
        "its end is about to be written down"
    );
    running(&ctx, id, dead(), dead());
    let State::Exited(last) = State::load(&ctx, id).unwrap() else {
        panic!("nothing of it lives");
    };
    assert_eq!((last.exit_code, last.running), (255, false));
}

#[test]
fn a_running_container_is_not_removed_and_one_killed_with_its_monitor_is() {
    let (_dir, ctx) = context();
    let web = container(&ctx, "web", ContainerSpec::default());
    let id = web.id.as_str();
    running(&ctx, id, ours(), dead());
    assert!(matches!(
        remove(&ctx, &web, RemoveOptions::default()),
        Err(Error::StillRunning { .. })
    ));
    running(&ctx, id, dead(), dead());
    remove(&ctx, &web, RemoveOptions::default()).unwrap();
    assert!(!ctx.layout.run_container(id).exists());
    assert!(!ctx.layout.container(id).exists());
    assert!(names::holder(&ctx, "web").is_none());
    // Somebody else was faster: that is no error.
    remove(&ctx, &web, RemoveOptions::default()).unwrap();
}

#[test]
fn removal_takes_anonymous_volumes_only_when_asked() {
    let (_dir, ctx) = context();
    let spec = || ContainerSpec {
        mounts: vec![volume("/data"), volume("named:/named")],
        ..Default::default()
    };
    let names = || crate::volume::list(&ctx).unwrap().len();
    remove(
        &ctx,
        &container(&ctx, "web", spec()),
        RemoveOptions::default(),
    )
    .unwrap();
    assert_eq!(names(), 2);
    let options = RemoveOptions {
        volumes: true,
        ..Default::default()
    };
    remove(&ctx, &container(&ctx, "web", spec()), options).unwrap();
    assert_eq!(names(), 2, "the second one's anonymous volume went");
}

#[test]
fn lists_show_what_runs_or_what_was_asked_for() {
    let (_dir, ctx) = context();
    let web = container(
        &ctx,
        "web",
        ContainerSpec {
            labels: [("tier".to_owned(), "front".to_owned())].into(),
            mounts: vec![volume("data:/data")],
            ..Default::default()
        },
    );
    let db = container(&ctx, "db", ContainerSpec::default());
    running(&ctx, db.id.as_str(), ours(), dead());
    let found = |all: bool, filters: &[&str]| -> Vec<String> {
        let filters = Filters::parse(filters, FILTERS).unwrap();
        let listed = list(&ctx, all, &filters).unwrap();
        listed.into_iter().map(|l| l.record.name).collect()
    };
    assert_eq!(found(false, &[]), ["db"]);
    assert_eq!(found(true, &[]), ["db", "web"], "newest first");
    assert_eq!(found(false, &["status=created"]), ["web"]);
    assert_eq!(found(true, &["label=tier=front"]), ["web"]);
    assert_eq!(found(true, &["volume=data"]), ["web"]);
    assert_eq!(found(true, &["volume=/data"]), ["web"]);
    assert_eq!(found(true, &["name=^db$"]), ["db"]);
    assert_eq!(found(true, &["before=db"]), ["web"]);
    assert_eq!(found(true, &["since=web"]), ["db"]);
    assert_eq!(
        found(true, &["network=bridge", "health=none"]),
        ["db", "web"]
    );
    assert_eq!(
        found(true, &[&format!("id={}", &web.id.as_str()[..20])]),
        ["web"]
    );
    assert!(found(true, &["ancestor=other"]).is_empty());
    assert!(super::list::parse_filters(&["colour=red".into()]).is_err());
}
