//! `jobs`: run by hand, by their schedules, and what is known of their runs afterwards.

use std::time::Duration;
use testkit::{Host, Project, eventually, eventually_within, kernel, scenarios};

scenarios!(
    a_job_runs_by_hand_and_its_runs_are_remembered,
    a_schedule_is_kept_while_no_command_runs,
    what_was_missed_is_made_up_for_as_the_job_says,
    a_run_waits_for_the_one_before_it_or_is_left_out_as_the_job_says,
);

const BY_HAND: &str = "\
services:
  db:
    image: busybox
    command: sleep 1000
    init: true
jobs:
  migrate:
    image: busybox
    command: sh -c 'cat /out/prepared; echo migrated'
    volumes: ['./out:/out']
    depends_on: [db, prepare]
    triggers: {manual: true}
  prepare:
    image: busybox
    command: sh -c 'echo prepared > /out/prepared'
    volumes: ['./out:/out']
    triggers: {manual: true}
  report:
    image: busybox
    command: sh -c 'echo no such table >&2; exit 3'
    triggers: {manual: true}
  broken:
    image: busybox
    command: /no/such/program
    triggers: {manual: true}
  never:
    image: busybox
    command: 'true'
    triggers: {manual: false, schedule: ['0 0 1 1 *']}
";

fn a_job_runs_by_hand_and_its_runs_are_remembered(host: &Host) {
    let project = host.compose_file("hand", BY_HAND);
    let up = project.compose("up -d").run();
    up.says(&["jobs wait for `compose run`: migrate, prepare, report, broken"]);
    assert_eq!(host.docker("ps --format '{{.Names}}'").ok(), "hand-db-1");
    for verb in ["up -d", "restart", "stop", "create"] {
        let refused = project.compose(&format!("{verb} migrate")).run();
        assert_ne!(refused.code, 0, "{verb}: {refused}");
        refused.says(&["migrate is a job", "compose run migrate"]);
    }
    let refused = project.compose("run never").run();
    assert_ne!(refused.code, 0);
    refused.says(&["manual: false"]);

    project.compose("stop db").ok();
    let said = project.compose("run -T migrate").ok();
    assert!(said.ends_with("prepared\nmigrated"), "{said}");
    assert!(
        kernel::lives(host.pid("hand-db-1")),
        "what it needs was started"
    );
    let failed = project.compose("run -T report").run();
    assert_eq!(failed.code, 3, "{failed}");
    let runs = |job: &str| {
        let listed =
            format!("job runs --format '{{{{.State}}}} {{{{.Exit}}}} {{{{.Trigger}}}}' {job}");
        host.docker(&listed).ok()
    };
    eventually("both runs are written down", || {
        (runs("hand.migrate") == "succeeded 0 manual" && runs("hand.report") == "failed 3 manual")
            .then_some(())
    });
    eventually("the container of the run that succeeded is gone", || {
        let left = host.docker("ps -a --format '{{.Names}}'").ok();
        (!left.contains("hand-migrate-run")).then_some(())
    });
    for words in ["run -T broken", "run -d broken"] {
        let failed = project.compose(words).run();
        assert_ne!(failed.code, 0, "{failed}");
        failed.says(&["/no/such/program"]);
    }
    eventually("nobody waits for what did not start", || {
        (runs("hand.broken") == "failed - manual\nfailed - manual").then_some(())
    });
    let logs = host.docker("job logs hand.report").run();
    logs.says(&["no such table"]);
    assert_ne!(host.docker("job logs hand.migrate").run().code, 0);
    // Neither what failed nor what a job needed is an orphan.
    let again = project.compose("up -d").run();
    assert!(!again.all().contains("orphan"), "{again}");

    project.compose("down").ok();
    assert_eq!(host.docker("job ls -q").ok(), "");
    assert_eq!(host.docker("ps -aq").ok(), "");
}

const BY_THE_CLOCK: &str = "\
services:
  idle:
    image: busybox
    command: sleep 1000
    init: true
jobs:
  tick:
    image: busybox
    command: sh -c 'echo $$LEVEL $$(cat /word) $$HOSTNAME >> /out/ticks'
    environment: {LEVEL: '${LEVEL:-one}'}
    volumes: ['./out:/out']
    configs: [word]
    triggers: {schedule: ['* * * * *']}
configs: {word: {content: hidden}}
";

/// The process that keeps time.
fn scheduler(host: &Host) -> Option<i32> {
    let mut processes = host.processes().into_iter();
    processes.find(|pid| kernel::command_line(*pid).contains(" scheduler "))
}

fn ticks(project: &Project<'_>) -> Vec<String> {
    let text = std::fs::read_to_string(project.dir().join("out/ticks")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn a_schedule_is_kept_while_no_command_runs(host: &Host) {
    let project = host.compose_file("clock", BY_THE_CLOCK);
    let planned = project.compose("up --plan").run();
    assert_eq!(planned.code, 2);
    planned.says(&["job:tick, RegisterJob clock.tick, not registered"]);
    assert_eq!(host.docker("job ls -q").ok(), "");

    project.compose("up -d").ok();
    let first = scheduler(host).expect("somebody keeps time");
    let listed = host
        .docker("job ls --format '{{.Name}} {{.Trigger}} {{.State}} {{.Paused}}'")
        .ok();
    assert_eq!(listed, "clock.tick * * * * * idle false");
    assert_eq!(project.compose("up --plan").run().code, 0, "as it is");
    // Killed, it is replaced by who needs it next.
    kernel::kill_9(first);
    eventually("it is dead", || (!kernel::lives(first)).then_some(()));
    host.docker("boot").ok();
    let second = scheduler(host).expect("somebody keeps time again");
    assert_ne!(first, second);
    // An image that a job is made from is used.
    assert_ne!(host.docker("rmi busybox").run().code, 0);

    let seen = eventually_within(
        Duration::from_secs(90),
        "the first run by the clock",
        || Some(ticks(&project)).filter(|seen| !seen.is_empty()),
    );
    assert!(seen[0].starts_with("one hidden "), "{seen:?}");
    eventually("it is written down and leaves no container", || {
        let runs = "job runs --format '{{.State}} {{.Exit}} {{.Trigger}}' clock.tick";
        let over = host.docker(runs).ok().starts_with("succeeded 0 schedule");
        let left = host.docker("ps -a --format '{{.Names}}'").ok();
        (over && left == "clock-idle-1").then_some(())
    });

    host.docker("job pause clock.tick").ok();
    eventually("who has nothing to wait for goes", || {
        scheduler(host).is_none().then_some(())
    });
    host.docker("job resume clock.tick").ok();
    eventually("and comes back", || scheduler(host));

    let change = |words: &str| project.compose(words).env("LEVEL", "two");
    let planned = change("up --plan").run();
    planned.says(&["RegisterJob clock.tick, configuration changed"]);
    change("up -d").ok();
    host.docker("job inspect clock.tick")
        .run()
        .says(&["LEVEL=two"]);
    project.replace(
        "docker-compose.yml",
        "schedule: ['* * * * *']",
        "manual: true",
    );
    project
        .compose("up --plan")
        .run()
        .says(&["RemoveJob clock.tick, it has no schedule any more"]);

    project.compose("down").ok();
    eventually("nothing is left that keeps time", || {
        host.processes().is_empty().then_some(())
    });
    assert_eq!(host.docker("job ls -q").ok(), "");
}

const LATE: &str = "\
services: {}
jobs:
  one:
    image: busybox
    command: 'true'
    triggers: {schedule: ['0 0 1 1 *']}
  skip:
    image: busybox
    command: 'true'
    triggers: {schedule: [{cron: '0 0 1 1 *', missed_fires: skip, timezone: UTC}]}
  broken:
    image: busybox
    command: /no/such/program
    triggers: {schedule: ['0 0 1 1 *']}
";

fn what_was_missed_is_made_up_for_as_the_job_says(host: &Host) {
    let project = host.compose_file("late", LATE);
    project.compose("up -d").ok();
    host.kill_everything();
    // As if the host had been off for years.
    for job in ["one", "skip", "broken"] {
        let path = host.data_root().join(format!("jobs/late.{job}.json"));
        let text = std::fs::read_to_string(&path).expect("the record");
        let never = "\"last_fire\":null";
        let compact = text.replace(": null", ":null");
        assert!(compact.contains(never), "{text}");
        let long_ago = "\"last_fire\":\"2001-02-03T04:05:06Z\"";
        std::fs::write(&path, compact.replace(never, long_ago)).expect("a writable record");
    }
    host.docker("boot").ok();
    let runs = |job: &str| {
        let listed = format!(
            "job runs --format '{{{{.Iteration}}}} {{{{.State}}}} {{{{.Trigger}}}}' late.{job}"
        );
        host.docker(&listed).ok()
    };
    eventually("one run makes up for all of them", || {
        (runs("one") == "1 succeeded schedule").then_some(())
    });
    eventually("a run that does not start has failed", || {
        (runs("broken") == "1 failed schedule").then_some(())
    });
    host.docker("job inspect late.broken")
        .run()
        .says(&["/no/such/program"]);
    assert_eq!(runs("skip"), "");
    let skipped = host.docker("job inspect late.skip").ok();
    assert!(!skipped.contains("2001-02-03"), "{skipped}");
    project.compose("down").ok();
}

const IN_TURN: &str = "\
jobs:
  queue: &job
    image: busybox
    command: sh -c 'echo begin >> /out/$$NAME; until [ -e /out/go ]; do sleep 0.1; done; echo end >> /out/$$NAME'
    environment: {NAME: queue}
    volumes: ['./out:/out']
    triggers: {schedule: [{cron: '0 0 1 1 *', timezone: UTC, missed_fires: one, concurrency: queue}]}
  forbid:
    <<: *job
    environment: {NAME: forbid}
    triggers: {schedule: [{cron: '0 0 1 1 *', timezone: UTC, missed_fires: one, concurrency: forbid}]}
";

/// Lets the jobs be due once more: whoever keeps time next finds that a fire was missed.
fn due_again(host: &Host, jobs: &[&str]) {
    if let Some(scheduler) = scheduler(host) {
        kernel::kill_9(scheduler);
        eventually("it is dead", || (!kernel::lives(scheduler)).then_some(()));
    }
    for job in jobs {
        let path = host.data_root().join(format!("jobs/{job}.json"));
        let text = std::fs::read_to_string(&path).expect("the record");
        let mut record: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert!(
            set(&mut record, "last_fire", "2001-02-03T04:05:06Z"),
            "{text}"
        );
        std::fs::write(&path, record.to_string()).expect("a writable record");
    }
    host.docker("boot").ok();
    for job in jobs {
        let path = host.data_root().join(format!("jobs/{job}.json"));
        eventually("it was seen that it is due", || {
            let text = std::fs::read_to_string(&path).expect("the record");
            (!text.contains("2001-02-03")).then_some(())
        });
    }
}

/// Sets a key, wherever it is.
fn set(value: &mut serde_json::Value, key: &str, to: &str) -> bool {
    let serde_json::Value::Object(map) = value else {
        return false;
    };
    if let Some(found) = map.get_mut(key) {
        *found = to.into();
        return true;
    }
    map.values_mut().any(|inner| set(inner, key, to))
}

fn a_run_waits_for_the_one_before_it_or_is_left_out_as_the_job_says(host: &Host) {
    let project = host.compose_file("turns", IN_TURN);
    let wrote = |job: &str| {
        std::fs::read_to_string(project.dir().join("out").join(job)).unwrap_or_default()
    };
    let jobs = ["turns.queue", "turns.forbid"];
    project.compose("up -d").ok();
    due_again(host, &jobs);
    for job in ["queue", "forbid"] {
        eventually("the first run", || (wrote(job) == "begin\n").then_some(()));
    }
    // Both are due while their first run goes on.
    due_again(host, &jobs);
    let waiting = || {
        let of_queue = |pid: &&i32| {
            let line = kernel::command_line(**pid);
            line.contains(" job ") && line.contains("turns.queue")
        };
        host.processes().iter().filter(of_queue).count() == 2
    };
    eventually("one run of the queue waits", || waiting().then_some(()));
    for job in ["queue", "forbid"] {
        assert_eq!(
            wrote(job),
            "begin\n",
            "{job}: no second run beside the first"
        );
    }
    project.write("out/go", "");
    let runs = |job: &str| {
        let listed = format!("job runs --format '{{{{.Iteration}}}} {{{{.State}}}}' turns.{job}");
        let mut runs: Vec<String> = host
            .docker(&listed)
            .ok()
            .lines()
            .map(str::to_owned)
            .collect();
        runs.sort_unstable();
        runs
    };
    eventually("the one that waited has its turn", || {
        (runs("queue") == ["1 succeeded", "2 succeeded"]).then_some(())
    });
    assert_eq!(
        wrote("queue"),
        "begin\nend\nbegin\nend\n",
        "one after the other"
    );
    eventually("the other job is over", || {
        (runs("forbid") == ["1 succeeded"]).then_some(())
    });
    assert_eq!(wrote("forbid"), "begin\nend\n");
    project.compose("down").ok();
}
