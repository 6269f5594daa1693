//! What a service runs around its life: `pre_start`, `post_start`, `pre_stop`.

use testkit::{Host, kernel, scenarios};

scenarios!(
    pre_start_runs_to_its_end_before_the_service_with_its_mounts_and_networks,
    a_pre_start_that_fails_keeps_the_service_from_starting,
    hooks_run_as_they_are_told
);

const MIGRATED: &str = "\
services:
  db:
    image: busybox
    command: nc -ll -p 5432 -e echo ready
    init: true
  app:
    image: busybox
    init: true
    command: sleep 1000
    user: '1000'
    depends_on: [db]
    environment: {LEVEL: '1', KEEP: kept}
    volumes: ['data:/data', '/anonymous']
    secrets: [key]
    deploy: {replicas: 2}
    pre_start:
      - command: sh -c 'nc db 5432 </dev/null > /data/answer; cat /run/secrets/key >> /data/answer; chmod 666 /data/answer; mkdir -p /data/own; chown 1000 /data/own'
        user: root
      - command: ['sh', '-c', 'echo $$LEVEL $$KEEP $$(id -u) $$(pwd) >> /data/answer']
        environment: {LEVEL: '2'}
        working_dir: /tmp
      - command: sh -c 'hostname >> /data/each; touch /anonymous/mine'
        user: '0'
        per_replica: true
      - command: sh -c 'mkdir /here && mount -t tmpfs none /here'
        user: root
        image: busybox:1.36
        privileged: true
volumes: {data: }
secrets: {key: {environment: KEY}}
";

fn pre_start_runs_to_its_end_before_the_service_with_its_mounts_and_networks(host: &Host) {
    let project = host.compose_file("hooks", MIGRATED);
    let up = || project.compose("up -d").env("KEY", "hunter2");
    up().ok();
    let seen = |path: &str| host.docker(&format!("exec hooks-app-1 cat {path}")).ok();
    assert_eq!(seen("/data/answer"), "ready\nhunter22 kept 1000 /tmp");
    assert_eq!(
        seen("/data/each").lines().count(),
        2,
        "once for each replica"
    );
    for number in [1, 2] {
        let own = format!("exec hooks-app-{number} test -f /anonymous/mine");
        host.docker(&own).ok();
    }
    host.docker("exec hooks-app-1 touch /data/own/x").ok();
    let all = host.docker("ps -a --format '{{.Names}}'").ok();
    assert!(!all.contains("pre_start"), "they are gone: {all}");

    // Not again for a service that is up, also when it grows; the new container has its own.
    up().ok();
    project
        .compose("up -d --scale app=3")
        .env("KEY", "hunter2")
        .ok();
    assert_eq!(seen("/data/answer").lines().count(), 2);
    assert_eq!(seen("/data/each").lines().count(), 3);
    // Again when it is replaced as a whole.
    project
        .compose("up -d --force-recreate app")
        .env("KEY", "another")
        .ok();
    assert_eq!(
        seen("/data/answer"),
        "ready\nanother2 kept 1000 /tmp",
        "written anew"
    );
    assert_eq!(seen("/data/each").lines().count(), 5);
    project.compose("down -v").env("KEY", "").ok();
    assert_eq!(host.docker("ps -aq").ok(), "");
}

fn a_pre_start_that_fails_keeps_the_service_from_starting(host: &Host) {
    let project = host.compose_file(
        "broken",
        "services:\n  app:\n    image: busybox\n    command: sleep 1000\n    init: true\n    pre_start:\n\
         \x20     - command: sh -c 'test -f /ok/go || { echo no migration; exit 3; }'\n\
         \x20     - command: touch /ok/second\n    volumes: ['./ok:/ok']\n\
         \x20 after:\n    image: busybox\n    command: sleep 1000\n    init: true\n    depends_on: [app]\n",
    );
    let said = project.compose("up -d").run();
    assert_ne!(said.code, 0);
    said.says(&[
        "exited with status 3",
        "no migration",
        "docker logs broken-app-1-pre_start-0",
    ]);
    assert_eq!(host.inspect("broken-app-1", "{{.State.Status}}"), "created");
    assert_eq!(
        host.inspect("broken-after-1", "{{.State.Status}}"),
        "created"
    );
    assert!(!project.dir().join("ok/second").exists());
    // What is put right goes on from there.
    project.write("ok/go", "");
    project.compose("up -d").ok();
    assert_eq!(
        host.inspect("broken-after-1", "{{.State.Status}}"),
        "running"
    );
    assert!(project.dir().join("ok/second").exists());
}

const TOLD: &str = "\
services:
  app:
    image: busybox
    command: sleep 1000
    init: true
    user: '1000'
    working_dir: /tmp
    environment: {A: one, B: two}
    volumes: ['./out:/out']
    post_start:
      - command: sh -c 'echo $$A $$B $$(id -u) $$(pwd) > /out/started'
        user: root
        environment: {B: three}
        working_dir: /etc
      - command: sh -c 'grep CapEff /proc/self/status > /out/privileged'
        user: root
        privileged: true
    pre_stop:
      - command: sh -c 'echo stopping > /out/stopped'
        user: root
";

fn hooks_run_as_they_are_told(host: &Host) {
    let project = host.compose_file("told", TOLD);
    project.compose("up -d").ok();
    assert_eq!(project.read("out/started"), "one three 0 /etc\n");
    let all = kernel::status_field(std::process::id() as i32, "CapBnd");
    assert!(project.read("out/privileged").contains(&all), "{all}");
    assert!(!project.dir().join("out/stopped").exists());
    project.compose("stop").ok();
    assert_eq!(project.read("out/stopped"), "stopping\n");
}
