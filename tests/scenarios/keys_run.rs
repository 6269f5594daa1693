//! `compose run`: its flags, and what runs before it.

use testkit::{Host, eventually, http, kernel, scenarios};

scenarios!(
    every_flag_of_run_reaches_the_container,
    what_runs_before_a_service_runs_before_start_and_run
);

const TASK: &str = "\
services:
  app:
    image: busybox
    command: sleep 1000
    entrypoint: []
    init: true
    environment: {LEVEL: file, KEPT: 'yes'}
    labels: {mine: file}
    ports: ['8071:80']
    volumes: ['./in:/in']
    networks: {default: {aliases: [other]}}
    depends_on: [db]
  db:
    image: busybox
    command: sleep 1000
    init: true
";

fn every_flag_of_run_reaches_the_container(host: &Host) {
    let project = host.compose_file("task", TASK);
    project.write("env", "FROM=file\nLEVEL=env file\n");
    let run = |words: &str| project.compose(&format!("run {words}"));
    let said = run(
        "--rm --no-deps -T -e LEVEL=flag --env-from-file env -u 7 -w /tmp app sh -c 'echo $LEVEL $KEPT $FROM $(id -u) $(pwd)'",
    );
    assert_eq!(said.ok(), "flag yes file 7 /tmp");
    assert_eq!(
        host.docker("ps -aq").ok(),
        "",
        "nothing it needs, nothing it leaves"
    );

    let caps = "--rm --no-deps --cap-drop ALL --cap-add NET_ADMIN --entrypoint 'grep CapBnd' app /proc/self/status";
    assert_eq!(run(caps).ok(), format!("CapBnd:\t{:016x}", 1 << 12));
    let quiet =
        run("--rm --quiet --quiet-pull --quiet-build -v ./env:/in/env:ro app cat /in/env").run();
    assert!(quiet.stdout.starts_with("FROM=file"), "{quiet}");
    assert_eq!(quiet.stderr, "");
    assert!(
        kernel::lives(host.pid("task-db-1")),
        "what it needs was started"
    );

    let served = "httpd -f -p 80 -h /in";
    project.write("in/index.html", "served");
    let id = run(&format!(
        "-d --name named -l mine=flag -P --use-aliases app {served}"
    ))
    .ok();
    assert_eq!(host.inspect(&id, "{{.Name}}"), "/named");
    assert_eq!(host.inspect("named", "{{.Config.Labels.mine}}"), "flag");
    assert_eq!(
        host.inspect(
            "named",
            "{{index .Config.Labels \"com.docker.compose.oneoff\"}}"
        ),
        "True"
    );
    eventually("the service's port answers", || {
        http::get("127.0.0.1:8071", "/").filter(|page| page.body.contains("served"))
    });
    host.docker("exec task-db-1 nslookup other").ok();
    let listed = project.compose("ps -a --format '{{.Name}}'").ok();
    assert!(
        !listed.contains("named") || listed.contains("task-db-1"),
        "{listed}"
    );
    host.docker("rm -f named").ok();

    run(&format!("-d --name published -p 8072:80 app {served}")).ok();
    eventually("a port of its own answers", || {
        http::get("127.0.0.1:8072", "/").filter(|page| page.status == 200)
    });
    assert!(
        http::get("127.0.0.1:8071", "/").is_none(),
        "not the service's"
    );
    assert_ne!(host.docker("exec task-db-1 nslookup other").run().code, 0);
    host.docker("rm -f published").ok();
    run("-P -p 80:80 app").fails(1).says(&["incompatible"]);
    let silent = run("--rm -i=false app cat").stdin("not heard");
    assert_eq!(silent.ok(), "");
    assert_eq!(run("--rm -T app cat").stdin("heard").ok(), "heard");
    assert_eq!(run("--rm app sh -c 'exit 9'").run().code, 9);

    project.write(
        "docker-compose.yml",
        "services:\n  alone: {image: busybox, command: 'true'}\n",
    );
    run("--rm --remove-orphans alone").ok();
    assert_eq!(host.docker("ps -aq").ok(), "");
}

const PREPARED: &str = "\
services:
  app:
    image: busybox
    command: sleep 1000
    init: true
    volumes: ['./out:/out', '/anonymous']
    pre_start:
      - command: sh -c 'test ! -e /out/broken || exit 5; echo once >> /out/log'
      - command: sh -c 'echo each >> /out/log; touch /anonymous/mine'
        per_replica: true
";

fn what_runs_before_a_service_runs_before_start_and_run(host: &Host) {
    let project = host.compose_file("prepared", PREPARED);
    let log = || {
        let said = project.read("out/log");
        std::fs::write(project.dir().join("out/log"), "").expect("emptied");
        said.replace('\n', " ")
    };
    // Nothing of the service runs: all of it.
    assert_eq!(project.compose("run --rm app ls /anonymous").ok(), "mine");
    assert_eq!(log(), "once each ");
    project.compose("up -d").ok();
    assert_eq!(log(), "once each ");
    assert_eq!(project.compose("run --rm app ls /anonymous").ok(), "mine");
    assert_eq!(log(), "each ", "the service is up");
    project.compose("start").ok();
    assert_eq!(log(), "", "nothing was started");
    project.compose("stop -t 0").ok();
    project.compose("start").ok();
    assert_eq!(log(), "once each ");

    project.compose("stop -t 0").ok();
    project.write("out/broken", "");
    for words in ["start", "run --rm app true", "run -d app true"] {
        let said = project.compose(words).run();
        assert_ne!(said.code, 0, "{words}");
        said.says(&["exited with status 5"]);
    }
    assert_eq!(log(), "");
    // What failed is there to be looked at, until `down`.
    let left = host.docker("ps -a --format '{{.Names}} {{.State}}'").ok();
    let left: String = left
        .lines()
        .filter(|line| !line.contains("pre_start"))
        .collect();
    assert_eq!(left, "prepared-app-1 exited", "what never ran is gone");
    project.compose("down -v").ok();
    assert_eq!(host.docker("ps -aq").ok(), "", "and what failed before it");
}
