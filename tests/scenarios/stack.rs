//! Swarm's habits on one host: a stack file is deployed, looked at, scaled, updated, rolled back and removed; constraints ask for the
//! labels the node was given.

use testkit::{Host, eventually, http, kernel, scenarios};

scenarios!(
    a_stack_is_deployed_changed_and_removed,
    constraints_ask_for_the_nodes_labels,
    what_ends_is_started_again_as_in_swarm,
    a_cluster_is_told_of_as_it_is,
    swarms_networks_and_modes_work_on_one_host,
    labels_of_an_image_make_no_service,
);

const FILE: &str = "version: '3.8'\nservices:\n  web:\n    image: busybox\n    command: sh -c 'mkdir -p /w; echo $$LEVEL > /w/index.html; httpd -f -p 80 -h /w'\n    environment: {LEVEL: one}\n    ports: ['5080:80']\n    stop_grace_period: 0s\n    deploy:\n      replicas: 2\n      labels: {team: shop}\n  db:\n    image: busybox\n    command: sleep 1000\n    stop_grace_period: 0s\n";

fn level() -> Option<String> {
    http::get("127.0.0.1:5080", "/").map(|page| page.body.trim().to_owned())
}

fn a_stack_is_deployed_changed_and_removed(host: &Host) {
    let dir = host.folder("stack");
    std::fs::write(dir.join("stack.yml"), FILE).expect("a file");
    let said = host
        .docker("stack deploy -c stack.yml vote")
        .dir(&dir)
        .run();
    assert_eq!(said.code, 0, "{said}");
    said.says(&[
        "Creating network vote_default",
        "Creating service vote_web",
        "Creating service vote_db",
    ]);
    assert!(!said.all().contains("obsolete"), "{said}");
    eventually("the published port answers", || {
        (level().as_deref() == Some("one")).then_some(())
    });
    // The containers keep Compose's names, the network answers to Swarm's.
    assert!(kernel::lives(host.pid("vote-web-2")));
    host.docker("exec vote-db-1 nslookup vote_web").ok();

    let names = |format: &str| host.docker(format).ok();
    assert_eq!(
        names("stack ls --format '{{.Name}} {{.Services}}'"),
        "vote 2"
    );
    assert_eq!(
        names("service ls --format '{{.Name}} {{.Replicas}} {{.Ports}}'"),
        "vote_db 1/1 \nvote_web 2/2 *:5080->80/tcp".trim()
    );
    assert_eq!(
        names("stack ps vote --format '{{.Name}} {{.DesiredState}}'"),
        "vote_db.1 Running\nvote_web.1 Running\nvote_web.2 Running"
    );
    let id = names("service ls -q --filter name=vote_web");
    assert_eq!(
        names(&format!(
            "service inspect -f '{{{{.Spec.Name}}}} {{{{.Spec.Labels.team}}}}' {id}"
        )),
        "vote_web shop"
    );

    host.docker("service scale vote_web=3").ok();
    let first = host.pid("vote-web-1");
    assert_eq!(
        names("service ls --format '{{.Replicas}}' --filter name=vote_web"),
        "3/3"
    );
    host.docker("service update --env-add LEVEL=two vote_web")
        .ok();
    assert!(!kernel::lives(first), "made anew");
    assert_eq!(
        names("service ls --format '{{.Replicas}}' --filter name=vote_web"),
        "3/3",
        "still as scaled"
    );
    eventually("it is the new one", || {
        (level().as_deref() == Some("two")).then_some(())
    });
    host.docker("service rollback vote_web").ok();
    eventually("it is the old one", || {
        (level().as_deref() == Some("one")).then_some(())
    });
    let log = host.docker("service logs --no-task-ids vote_web").run();
    assert_eq!(log.code, 0, "{log}");

    // Said anew, the file counts.
    host.docker("stack deploy -c stack.yml vote")
        .dir(&dir)
        .run()
        .says(&["Updating service vote_web"]);
    assert_eq!(
        names("service ls --format '{{.Replicas}}' --filter name=vote_web"),
        "2/2"
    );

    host.docker("service rm vote_db").ok();
    assert_eq!(names("service ls --format '{{.Name}}'"), "vote_web");
    host.docker("stack rm vote")
        .run()
        .says(&["Removing service vote_web", "Removing network vote_default"]);
    assert_eq!(host.docker("ps -aq").ok(), "");
    assert!(
        !host
            .docker("network ls --format '{{.Name}}'")
            .ok()
            .contains("vote")
    );
    let services = host.data_root().join("services");
    assert!(
        kernel::files_below(&services).is_empty(),
        "nothing is remembered"
    );
    host.docker("stack ps vote")
        .fails(1)
        .says(&["nothing found in stack: vote"]);
}

fn constraints_ask_for_the_nodes_labels(host: &Host) {
    let dir = host.folder("stack");
    let yaml = "services:\n  db:\n    image: busybox\n    command: sleep 1000\n    stop_grace_period: 0s\n    deploy:\n      placement:\n        constraints: [node.labels.disk == ssd]\n";
    std::fs::write(dir.join("stack.yml"), yaml).expect("a file");
    let deploy = || {
        host.docker("stack deploy -c stack.yml placed")
            .dir(&dir)
            .run()
    };
    deploy().says(&["pending", "node.labels.disk is not set on this node"]);
    assert_eq!(host.docker("ps -aq").ok(), "");
    host.docker("node update --label-add disk=ssd --label-add zone=eu self")
        .ok();
    assert_eq!(
        host.docker("node inspect -f '{{.Spec.Labels.disk}}' self")
            .ok(),
        "ssd"
    );
    let again = deploy();
    assert!(!again.all().contains("pending"), "{again}");
    assert!(kernel::lives(host.pid("placed-db-1")));
    host.docker("node update --label-rm disk self").ok();
    assert_eq!(
        host.docker("node inspect -f '{{json .Spec.Labels}}' self")
            .ok(),
        "{\"zone\":\"eu\"}"
    );
    host.docker("node update --availability drain self")
        .fails(1);
    host.docker("node update --label-add a=b elsewhere")
        .fails(1);
    host.docker("stack rm placed").ok();
}

fn what_ends_is_started_again_as_in_swarm(host: &Host) {
    let dir = host.folder("stack");
    let yaml = "services:\n  on:\n    image: busybox\n    command: sleep 1000\n  once:\n    image: busybox\n    command: 'true'\n    deploy: {restart_policy: {condition: none}}\n";
    std::fs::write(dir.join("stack.yml"), yaml).expect("a file");
    host.docker("stack deploy -c stack.yml again")
        .dir(&dir)
        .ok();
    let first = host.pid("again-on-1");
    kernel::kill_9(first);
    eventually("another one runs", || {
        let pid = host
            .inspect("again-on-1", "{{.State.Pid}}")
            .parse::<i32>()
            .unwrap_or(0);
        (pid > 0 && pid != first).then_some(())
    });
    eventually("the task is complete", || {
        let state = host
            .docker("stack ps again --format '{{.Name}} {{.CurrentState}}'")
            .ok();
        state.contains("again_once.1 Complete").then_some(())
    });
    host.docker("stack rm again").ok();
}

fn a_cluster_is_told_of_as_it_is(host: &Host) {
    host.docker("swarm init")
        .run()
        .says(&["is now a manager", "other hosts cannot join"]);
    assert_eq!(host.docker("node ls -q").ok().lines().count(), 1);
    host.docker("swarm join --token x 192.0.2.1:2377")
        .fails(1)
        .says(&["runs on one host"]);
    host.docker("service ps nope")
        .fails(1)
        .says(&["no such service: nope"]);
    host.docker("service update --update-order sideways nope")
        .fails(125);
    host.docker("stack deploy nope")
        .fails(1)
        .says(&["--compose-file"]);
}

fn swarms_networks_and_modes_work_on_one_host(host: &Host) {
    let dir = host.folder("stack");
    let yaml = "version: '3.7'\nservices:\n  a:\n    image: busybox\n    command: sleep 1000\n    stop_grace_period: 0s\n    networks: [front]\n    deploy: {mode: global}\n  \
                b:\n    image: busybox\n    command: sleep 1000\n    stop_grace_period: 0s\n    networks: [front]\n\
                networks:\n  front: {driver: overlay, attachable: true}\n";
    std::fs::write(dir.join("stack.yml"), yaml).expect("a file");
    host.docker("stack deploy -c stack.yml over").dir(&dir).ok();
    host.docker("exec over-b-1 ping -c 1 over_a").ok();
    let modes = host
        .docker("service ls --format '{{.Name}} {{.Mode}}'")
        .ok();
    assert_eq!(modes, "over_a global\nover_b replicated");
    // Its file is gone: what exists is still shown, and what needs the file says so.
    std::fs::remove_file(dir.join("stack.yml")).expect("the file");
    assert_eq!(host.docker("service ls -q").ok().lines().count(), 2);
    host.docker("service scale over_b=2")
        .fails(1)
        .says(&["stack.yml", "stack deploy -c FILE"]);
    host.docker("stack rm over").ok();
    assert_eq!(host.docker("ps -aq").ok(), "");
}

fn labels_of_an_image_make_no_service(host: &Host) {
    host.docker("run --name cc busybox true").ok();
    host.docker("commit -c 'LABEL com.docker.compose.project=../../tmp/x com.docker.compose.service=web com.docker.compose.project.config_files=/etc/passwd' cc bad:1").ok();
    host.docker("run -d bad:1 sleep 1000").ok();
    assert_eq!(host.docker("service ls -q").ok(), "");
    host.docker("service update --replicas 2 ../../tmp/x_web")
        .fails(1);
    host.docker("stack rm ../../tmp/x")
        .fails(1)
        .says(&["invalid stack name"]);
    // Not even when the user says so.
    host.docker("run -d --label com.docker.compose.project=../x --label com.docker.compose.service=web busybox sleep 1000").ok();
    assert_eq!(host.docker("service ls -q").ok(), "");
}
