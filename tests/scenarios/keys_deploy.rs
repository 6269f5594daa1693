//! Keys of `deploy` that say how many, where and until when.

use testkit::{Host, eventually, kernel, scenarios};

scenarios!(
    a_job_runs_to_its_end_and_is_done,
    modes_and_labels_are_the_services,
    what_the_node_cannot_hold_is_left_out_and_told,
    constraints_follow_the_labels_of_the_node
);

const JOBS: &str = "\
services:
  once:
    image: busybox
    command: sh -c 'echo $$HOSTNAME >> /out/once'
    volumes: ['./out:/out']
    environment: {LEVEL: '${LEVEL:-0}'}
    deploy: {mode: replicated-job, replicas: 2, restart_policy: {condition: any}, update_config: {parallelism: 1}}
  again:
    image: busybox
    command: sh -c 'echo x >> /out/again; test $$(wc -l < /out/again) = 3'
    volumes: ['./out:/out']
    deploy: {mode: global-job, restart_policy: {delay: 0s}}
  never:
    image: busybox
    command: sh -c 'echo x >> /out/never; exit 4'
    volumes: ['./out:/out']
    deploy: {mode: replicated-job, restart_policy: {condition: none}}
  beside:
    image: busybox
    command: sleep 1000
    init: true
    depends_on: {once: {condition: service_completed_successfully}}
";

fn a_job_runs_to_its_end_and_is_done(host: &Host) {
    let project = host.compose_file("jobs", JOBS);
    let lines = |file: &str| project.read(&format!("out/{file}")).lines().count();
    let status = |name: &str| host.inspect(name, "{{.State.Status}} {{.State.ExitCode}}");
    project.compose("up -d").ok();
    assert_eq!(lines("once"), 2, "each replica once");
    eventually("the third attempt does its work", || {
        (status("jobs-again-1") == "exited 0").then_some(())
    });
    assert_eq!(lines("again"), 3);
    assert_eq!(status("jobs-never-1"), "exited 4");
    let listed = "service ls --format '{{.Name}} {{.Mode}} {{.Replicas}}'";
    let said = host.docker(listed).ok();
    for line in [
        "jobs_once replicated job 0/0 (2/2 completed)",
        "jobs_again global job 0/0 (1/1 completed)",
        "jobs_never replicated job 0/1 (0/1 completed)",
        "jobs_beside replicated 1/1",
    ] {
        assert!(said.lines().any(|l| l == line), "{said}");
    }
    // What is done is done; what failed is tried again.
    project.compose("up -d").ok();
    assert_eq!(lines("once"), 2);
    assert_eq!(lines("again"), 3);
    eventually("it was begun again", || (lines("never") == 2).then_some(()));
    let plan = project.compose("up --plan once again beside").run();
    assert_eq!(plan.code, 0, "{plan}");
    // Another version is another job, of which nothing is rolled.
    project.compose("up -d once").env("LEVEL", "1").ok();
    eventually("both have run again", || (lines("once") == 4).then_some(()));
    project.compose("down").ok();
}

fn modes_and_labels_are_the_services(host: &Host) {
    let yaml = "services:\n  web:\n    image: busybox\n    command: sleep 1000\n    init: true\n    \
                deploy: {mode: global, labels: {team: shop, level: '2'}, replicas: 5}\n";
    let project = host.compose_file("modes", yaml);
    project.compose("up -d").ok();
    assert_eq!(project.compose("ps -q").ok().lines().count(), 1, "one node");
    let labels = host.inspect("modes-web-1", "{{json .Config.Labels}}");
    assert!(!labels.contains("team"), "{labels}");
    let of = |template: &str| {
        let call = host.docker("service inspect modes_web --format");
        call.arg(template).ok()
    };
    assert_eq!(of("{{.Spec.Labels.team}} {{.Spec.Labels.level}}"), "shop 2");
    assert_eq!(of("{{json .Spec.Mode}}"), r#"{"Global":{}}"#);
    project.compose("down").ok();
}

const TOO_MUCH: &str = "\
x-base: &base {image: busybox, command: sleep 1000, init: true, network_mode: none}
services:
  memory:
    <<: *base
    deploy: {resources: {reservations: {memory: 4000G}}}
  cpus:
    <<: *base
    deploy: {replicas: 2, resources: {reservations: {cpus: '4000'}}}
  leaning:
    <<: *base
    depends_on: [memory]
  capped:
    <<: *base
    deploy:
      replicas: 3
      placement: {max_replicas_per_node: 2, preferences: [{spread: node.labels.zone}]}
      resources: {reservations: {cpus: '0.01', memory: 1M, generic_resources: [{discrete_resource_spec: {kind: gpu, value: 2}}]}}
";

fn what_the_node_cannot_hold_is_left_out_and_told(host: &Host) {
    let project = host.compose_file("much", TOO_MUCH);
    let said = project.compose("up -d").run();
    said.says(&[
        "0 of 1 replicas run: each reserves 4096000 MiB of memory",
        "0 of 2 replicas run: each reserves 4000 CPUs",
        "placement.max_replicas_per_node is 2",
        "services.capped.deploy.placement.preferences",
        "services.capped.deploy.resources.reservations.generic_resources",
    ]);
    let names = host.docker("ps -a --format '{{.Names}}'").ok();
    let mut names: Vec<&str> = names.lines().collect();
    names.sort_unstable();
    assert_eq!(names, ["much-capped-1", "much-capped-2"], "{said}");
    let reserved = ["memory.soft_limit_in_bytes", "memory.low"];
    let low = kernel::cgroup_file(host.pid("much-capped-1"), "memory", reserved);
    assert_eq!(low.as_deref(), Some("1048576"));
    project.compose("down").ok();
}

fn constraints_follow_the_labels_of_the_node(host: &Host) {
    let yaml = "services:\n  db:\n    image: busybox\n    command: sleep 1000\n    init: true\n    \
                deploy: {placement: {constraints: [node.labels.disk == ssd, node.role == manager]}}\n";
    let project = host.compose_file("placed", yaml);
    let up = project.compose("up -d").run();
    up.says(&["node.labels.disk is not set on this node"]);
    assert_eq!(host.docker("ps -aq").ok(), "");
    host.dockless("node update --label-add disk=ssd self").ok();
    let up = project.compose("up -d").run();
    assert!(!up.all().contains("pending"), "{up}");
    assert!(kernel::lives(host.pid("placed-db-1")));
    project.compose("down").ok();
}
