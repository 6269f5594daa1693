//! Records of jobs: what stays of one that is registered again, and which names are none.

use super::*;
use crate::fixture::{context, refusal};

fn job(cron: &str) -> JobRecord {
    JobRecord {
        name: "shop.backup".into(),
        project: "shop".into(),
        prefix: "shop-backup-run-".into(),
        spec: ContainerSpec::default(),
        image_id: "sha256:ab".into(),
        hash: "1".into(),
        schedule: Some(Schedule {
            cron: cron.parse().unwrap(),
            timezone: None,
            concurrency: None,
            missed_fires: None,
        }),
        paused: false,
        registered: Timestamp(1_000_000_000),
        last_fire: None,
        iterations: 0,
        runs: Vec::new(),
    }
}

#[test]
fn registered_again_it_keeps_its_runs_and_its_time() {
    let (_dir, ctx) = context();
    register(&ctx, job("0 3 * * *")).unwrap();
    change(&ctx, "shop.backup", |job| {
        job.iterations = 7;
        job.last_fire = Some(Timestamp(2_000_000_000));
    })
    .unwrap();
    let again = JobRecord {
        hash: "2".into(),
        registered: Timestamp(9_000_000_000),
        ..job("0 3 * * *")
    };
    register(&ctx, again).unwrap();
    let kept = JobRecord::find(&ctx, "shop.backup").unwrap();
    assert_eq!((kept.iterations, kept.hash.as_str()), (7, "2"));
    assert_eq!(kept.last_fire, Some(Timestamp(2_000_000_000)));
    // Another schedule begins when it is made.
    let other = JobRecord {
        registered: Timestamp(9_000_000_000),
        ..job("0 4 * * *")
    };
    register(&ctx, other).unwrap();
    let kept = JobRecord::find(&ctx, "shop.backup").unwrap();
    assert_eq!(
        (kept.last_fire, kept.registered),
        (None, Timestamp(9_000_000_000))
    );
}

#[test]
fn what_is_paused_or_manual_is_never_due() {
    let (_dir, ctx) = context();
    assert!(job("0 3 * * *").next_fire().is_some());
    let paused = JobRecord {
        paused: true,
        ..job("0 3 * * *")
    };
    assert_eq!(paused.next_fire(), None);
    let manual = JobRecord {
        schedule: None,
        ..job("0 3 * * *")
    };
    assert_eq!(manual.next_fire(), None);
    register(&ctx, manual).unwrap();
    // Nobody is started to keep time for it.
    scheduler::ensure(&ctx).unwrap();
    assert!(!ctx.layout.locks().join("scheduler").exists());
}

#[test]
fn a_clock_that_was_set_back_holds_nothing_up() {
    let ahead = JobRecord {
        last_fire: Some(Timestamp(Timestamp::now().0 + 86_400_000_000_000)),
        ..job("* * * * *")
    };
    let next = ahead.next_fire().unwrap();
    assert!(next.0 - Timestamp::now().0 <= 61_000_000_000);
}

#[test]
fn names_that_are_paths_are_no_jobs() {
    let (_dir, ctx) = context();
    for name in ["../../etc/passwd", "", ".", "..", "a/b", "-x"] {
        assert!(
            refusal(JobRecord::find(&ctx, name)).contains("No such job"),
            "{name}"
        );
        let hostile = JobRecord {
            name: name.into(),
            ..job("* * * * *")
        };
        assert!(register(&ctx, hostile).is_err(), "{name}");
    }
    let nowhere = JobRecord {
        schedule: Some(Schedule {
            timezone: Some("Mars/Olympus".into()),
            ..job("* * * * *").schedule.unwrap()
        }),
        ..job("* * * * *")
    };
    assert!(refusal(register(&ctx, nowhere)).contains("Mars/Olympus"));
}
