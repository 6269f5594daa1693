//! Compose's verbs: what changes is changed and nothing else, scaling, profiles, overrides, waiting, one-off runs.

use std::collections::BTreeSet;
use testkit::{Host, Project, Registry, eventually, kernel, requires, scenarios};

scenarios!(
    up_again_does_nothing_and_a_changed_value_recreates_its_service_alone,
    scale_up_and_down_in_both_spellings,
    files_are_merged_and_variables_come_from_their_places,
    profiles_start_what_they_name,
    dependencies_wait_for_health_and_completion,
    attached_up_prefixes_lines_and_stops_on_interrupt,
    the_verbs_answer,
    run_is_a_one_off,
    orphans_are_named_and_removed,
    the_plan_is_shown_and_not_carried_out,
    legacy_habits_still_work,
    build_and_push_go_through_a_registry,
    wait_and_events_follow_what_happens,
);

const TWO: &str = "services:\n  a:\n    image: busybox\n    command: sleep 1000\n    environment:\n      LEVEL: one\n  \
                   b:\n    image: busybox\n    command: sleep 1000\n    stop_grace_period: 0s\n";

fn id(project: &Project<'_>, service: &str) -> String {
    project.compose(&format!("ps -q {service}")).ok()
}

fn up_again_does_nothing_and_a_changed_value_recreates_its_service_alone(host: &Host) {
    let project = host.compose_file(
        "two",
        &TWO.replace(
            "command: sleep 1000\n    env",
            "command: sleep 1000\n    stop_grace_period: 0s\n    env",
        ),
    );
    project.compose("up -d").ok();
    let (a, b) = (id(&project, "a"), id(&project, "b"));
    let pids = (host.pid(&a), host.pid(&b));

    let again = project.compose("up -d").run();
    assert_eq!(again.code, 0, "{again}");
    assert!(
        again.all().contains("Running")
            || again.all().contains("up-to-date")
            || again.all().contains("nothing"),
        "{again}"
    );
    assert_eq!((host.pid(&a), host.pid(&b)), pids, "untouched");

    project.replace("docker-compose.yml", "LEVEL: one", "LEVEL: two");
    project.compose("up -d").ok();
    assert_eq!(id(&project, "b"), b);
    assert_eq!(host.pid(&b), pids.1);
    let new = id(&project, "a");
    assert_ne!(new, a, "recreated");
    assert!(!kernel::lives(pids.0));
    assert_eq!(
        kernel::environment(host.pid(&new))
            .get("LEVEL")
            .map(String::as_str),
        Some("two")
    );
    assert_eq!(
        host.inspect(&new, "{{.Name}}"),
        "/two-a-1",
        "under the same name"
    );

    project.compose("up -d --force-recreate b").ok();
    assert_ne!(id(&project, "b"), b);
    project.compose("down").ok();
}

fn scale_up_and_down_in_both_spellings(host: &Host) {
    let yaml = "services:\n  web:\n    image: busybox\n    command: sleep 1000\n    stop_grace_period: 0s\n";
    let project = host.compose_file("scaled", yaml);
    let count = || project.compose("ps -q web").ok().lines().count();
    project.compose("up -d").ok();
    let first = id(&project, "web");
    project.compose("scale web=3").ok();
    assert_eq!(count(), 3);
    let names: BTreeSet<String> = host
        .docker("ps --format '{{.Names}}'")
        .ok()
        .lines()
        .map(str::to_owned)
        .collect();
    assert_eq!(
        names,
        ["scaled-web-1", "scaled-web-2", "scaled-web-3"]
            .map(str::to_owned)
            .into()
    );
    project.compose("scale web=1").ok();
    assert_eq!(id(&project, "web"), first, "the oldest stays");
    project.compose("scale web = 2").ok();
    assert_eq!(count(), 2);
    project.compose("up -d --scale web=4").ok();
    assert_eq!(count(), 4);
    project.compose("down").ok();
}

fn files_are_merged_and_variables_come_from_their_places(host: &Host) {
    let yaml = "x-base: &base\n  image: busybox\n  stop_grace_period: 0s\nservices:\n  web:\n    <<: *base\n    \
                command: sleep 1000\n    environment:\n      FROM_DOTENV: ${ONE}\n      FROM_SHELL: ${TWO:-default}\n      \
                NESTED: ${NONE:-${ONE}x}\n      DOLLAR: $$HOME\n    env_file: web.env\n";
    let project = host.compose_file("merged", yaml);
    project.write(".env", "ONE=first\nTWO=second\n");
    project.write("web.env", "FILE='from a file'\nFROM_DOTENV=loses\n");
    project.write(
        "docker-compose.override.yml",
        "services:\n  web:\n    environment:\n      OVERRIDE: yes it is\n",
    );
    project.write("more.yml", "services:\n  web:\n    hostname: more\n");

    project.compose("up -d").env("TWO", "shell").ok();
    let environment = kernel::environment(host.pid(&id(&project, "web")));
    for (key, value) in [
        ("FROM_DOTENV", "first"),
        ("FROM_SHELL", "shell"),
        ("NESTED", "firstx"),
        ("DOLLAR", "$HOME"),
        ("FILE", "from a file"),
        ("OVERRIDE", "yes it is"),
    ] {
        assert_eq!(
            environment.get(key).map(String::as_str),
            Some(value),
            "{key}"
        );
    }
    // With -f the override file is not read by itself.
    let config = project
        .compose("-f docker-compose.yml -f more.yml config")
        .ok();
    assert!(
        config.contains("hostname: more") && !config.contains("OVERRIDE"),
        "{config}"
    );
    assert_eq!(project.compose("config --services").ok(), "web");
    let json: serde_json::Value =
        serde_json::from_str(&project.compose("config --format json").ok()).expect("JSON");
    assert_eq!(json["services"]["web"]["image"], "busybox");

    project.write("derived/docker-compose.yml", "services:\n  w:\n    extends:\n      file: ../docker-compose.yml\n      service: web\n    hostname: derived\n");
    let config = project.compose_in("derived", "config").ok();
    assert!(
        config.contains("hostname: derived") && config.contains("image: busybox"),
        "{config}"
    );
    project.compose("down").ok();
}

fn profiles_start_what_they_name(host: &Host) {
    let yaml = "services:\n  web:\n    image: busybox\n    command: sleep 1000\n    stop_grace_period: 0s\n  debug:\n    \
                image: busybox\n    command: sleep 1000\n    stop_grace_period: 0s\n    profiles: [tools]\n";
    let project = host.compose_file("profiled", yaml);
    project.compose("up -d").ok();
    assert_eq!(id(&project, "debug"), "");
    project.compose("--profile tools up -d").ok();
    assert_ne!(project.compose("--profile tools ps -q debug").ok(), "");
    project.compose("--profile tools down").ok();
    project
        .compose("up -d")
        .env("COMPOSE_PROFILES", "tools")
        .ok();
    assert_eq!(host.docker("ps -q").ok().lines().count(), 2);
    project.compose("--profile '*' down").ok();
    assert_eq!(host.docker("ps -aq").ok(), "");
}

fn dependencies_wait_for_health_and_completion(host: &Host) {
    let yaml = "services:\n  \
      setup:\n    image: busybox\n    command: sh -c 'echo ready > /shared/flag'\n    volumes: ['shared:/shared']\n  \
      db:\n    image: busybox\n    command: sh -c 'sleep 1; touch /tmp/up; sleep 1000'\n    stop_grace_period: 0s\n    \
        healthcheck:\n      test: test -e /tmp/up\n      interval: 200ms\n      retries: 50\n  \
      web:\n    image: busybox\n    command: sh -c 'cat /shared/flag > /tmp/seen; sleep 1000'\n    stop_grace_period: 0s\n    \
        volumes: ['shared:/shared']\n    depends_on:\n      setup: { condition: service_completed_successfully }\n      \
        db: { condition: service_healthy }\nvolumes:\n  shared:\n";
    let project = host.compose_file("waits", yaml);
    project.compose("up -d").ok();
    let (db, web) = (id(&project, "db"), id(&project, "web"));
    assert_eq!(host.inspect(&db, "{{.State.Health.Status}}"), "healthy");
    let pid = host.pid(&web);
    eventually("web saw what setup left", || {
        (kernel::tool(&format!("cat /proc/{pid}/root/tmp/seen")) == "ready").then_some(())
    });
    project.compose("down -v").ok();

    project.replace("docker-compose.yml", "echo ready > /shared/flag", "exit 3");
    let output = project.compose("up -d").run();
    assert_ne!(output.code, 0, "{output}");
    output.says(&["setup", "3"]);
    project.compose("down -v").ok();

    let wait = host.compose_file("waited", "services:\n  a:\n    image: busybox\n    command: sh -c 'sleep 1; touch /tmp/up; sleep 1000'\n    \
      stop_grace_period: 0s\n    healthcheck: { test: 'test -e /tmp/up', interval: 200ms, retries: 50 }\n");
    wait.compose("up -d --wait").ok();
    assert_eq!(
        host.inspect(&id(&wait, "a"), "{{.State.Health.Status}}"),
        "healthy"
    );
    wait.compose("down").ok();
}

fn attached_up_prefixes_lines_and_stops_on_interrupt(host: &Host) {
    let yaml = "services:\n  a:\n    image: busybox\n    command: sh -c 'trap \"exit 0\" TERM; echo from-a; sleep 1000 & wait'\n  \
                b:\n    image: busybox\n    command: sh -c 'trap \"exit 0\" TERM; echo from-b; sleep 1000 & wait'\n";
    let project = host.compose_file("attached", yaml);
    let up = project.compose("up").start();
    up.says("from-a");
    up.says("from-b");
    let text = up.so_far();
    let line = text
        .lines()
        .find(|l| l.contains("from-a"))
        .unwrap_or_default();
    assert!(line.contains("a-1") && line.contains('|'), "{line:?}");
    up.signal(rustix::process::Signal::INT);
    let (code, text) = up.end();
    assert!(code == 0 || code == 130, "{code}: {text}");
    assert_eq!(host.docker("ps -q").ok(), "", "stopped");
    assert_eq!(host.docker("ps -aq").ok().lines().count(), 2, "and kept");
    project.compose("down").ok();
    let exit = host.compose_file("exits", "services:\n  a:\n    image: busybox\n    command: sh -c 'exit 4'\n  b:\n    image: busybox\n    command: sleep 1000\n    stop_grace_period: 0s\n");
    assert_eq!(exit.compose("up --exit-code-from a").run().code, 4);
    exit.compose("down").ok();
}

fn the_verbs_answer(host: &Host) {
    let yaml = "services:\n  web:\n    image: busybox\n    command: sh -c 'echo started; sleep 1000'\n    stop_grace_period: 0s\n    ports: ['8080:80']\n";
    let project = host.compose_file("verbs", yaml);
    let compose = |words: &str| project.compose(words);
    compose("create").ok();
    assert_eq!(compose("ps -a --format '{{.State}}'").ok(), "created");
    compose("start").ok();
    let web = id(&project, "web");
    let pid = host.pid(&web);
    assert!(compose("top").ok().contains("sleep 1000"));
    assert!(compose("port web 80").ok().ends_with(":8080"));
    assert!(compose("images").ok().contains("busybox"));
    compose("logs --no-color").run().says(&["started"]);
    compose("pause").ok();
    assert_eq!(host.inspect(&web, "{{.State.Status}}"), "paused");
    compose("unpause").ok();
    compose("exec -T web sh -c 'echo x > /tmp/file'").ok();
    compose("cp web:/tmp/file copied").ok();
    assert_eq!(project.read("copied"), "x\n");
    compose("restart -t 0").ok();
    assert_ne!(host.pid(&web), pid);
    compose("kill").ok();
    eventually("it is dead", || {
        (host.inspect(&web, "{{.State.Running}}") == "false").then_some(())
    });
    assert!(host.docker("ps -aq").ok().lines().count() == 1);
    compose("rm -f").ok();
    assert_eq!(host.docker("ps -aq").ok(), "");
    compose("up -d").ok();
    assert!(compose("ls").ok().contains("verbs"));
    compose("stop").ok();
    assert!(compose("ps -a").ok().contains("Exited"));
    compose("pull").ok();
    compose("down").ok();
    assert!(!compose("ls -a").ok().contains("verbs"));
}

fn run_is_a_one_off(host: &Host) {
    let yaml = "services:\n  web:\n    image: busybox\n    command: sleep 1000\n    stop_grace_period: 0s\n    ports: ['8080:80']\n    depends_on: [db]\n  \
                db:\n    image: busybox\n    command: sleep 1000\n    stop_grace_period: 0s\n";
    let project = host.compose_file("oneoff", yaml);
    let output = project
        .compose("run --rm -e ONE=1 web sh -c 'echo $ONE; exit 5'")
        .fails(5);
    assert!(output.stdout.contains('1'), "{output}");
    assert_ne!(id(&project, "db"), "", "dependencies are started");
    assert_eq!(id(&project, "web"), "", "the service itself is not");
    project.compose("down").ok();
    assert_eq!(host.docker("ps -aq").ok(), "");
}

fn orphans_are_named_and_removed(host: &Host) {
    let project = host.compose_file(
        "orphans",
        &TWO.replace("    env", "    stop_grace_period: 0s\n    env"),
    );
    project.compose("up -d").ok();
    project.write(
        "docker-compose.yml",
        "services:\n  a:\n    image: busybox\n    command: sleep 1000\n    stop_grace_period: 0s\n",
    );
    let output = project.compose("up -d").run();
    assert_eq!(output.code, 0, "{output}");
    output.says(&["orphan", "orphans-b-1"]);
    project.compose("up -d --remove-orphans").ok();
    assert_eq!(
        host.docker("ps -a --format '{{.Names}}'").ok(),
        "orphans-a-1"
    );
    project.compose("down").ok();
}

fn the_plan_is_shown_and_not_carried_out(host: &Host) {
    let project = host.compose_file("planned", TWO);
    // Exit code 2 says that there is something to do, as `terraform plan` does.
    let plan = project.compose("up -d --plan").fails(2);
    plan.says(&[
        "service:a",
        "service:b",
        "CreateContainer",
        "no existing container",
    ]);
    assert_eq!(host.docker("ps -aq").ok(), "");
    project.compose("up -d").ok();
    project.compose("up -d --plan").fails(0);
}

fn legacy_habits_still_work(host: &Host) {
    let yaml = "version: \"2.4\"\nservices:\n  web:\n    image: busybox\n    command: sleep 1000\n    stop_grace_period: 0s\n";
    let project = host.compose_file("My_Project.1", yaml);
    let output = project.compose("up -d").run();
    assert_eq!(output.code, 0, "{output}");
    output.says(&["version"]);
    assert_eq!(
        host.docker("ps --format '{{.Names}}'").ok(),
        "my_project1-web-1"
    );
    project.compose("--version").run().says(&["version"]);
    let short = project.compose("version --short").ok();
    assert!(short.starts_with(|c: char| c.is_ascii_digit()), "{short}");
    let same = host.docker("compose version --short").ok();
    assert_eq!(same, short);
    // Nothing hangs on HOME or DOCKER_CONFIG.
    let ids = project
        .compose("ps -q")
        .env("HOME", "")
        .env("DOCKER_CONFIG", "/nowhere")
        .ok();
    assert_eq!(ids, project.compose("ps -q").env("HOME", "/root").ok());
    host.docker("compose -p other -f")
        .arg(project.dir().join("docker-compose.yml"))
        .arg("up")
        .arg("-d")
        .ok();
    assert!(
        host.docker("ps --format '{{.Names}}'")
            .ok()
            .contains("other-web-1")
    );
    project.compose("-p other down").ok();
    project.compose("down").ok();
}

fn build_and_push_go_through_a_registry(host: &Host) {
    requires!(Registry::installed(), "docker-registry");
    let registry = Registry::start(host, 5058);
    let image = format!("{}/team/app:1", registry.address);
    let yaml = format!(
        "services:\n  app:\n    image: {image}\n    build:\n      context: .\n      args: [WHO=compose]\n    stop_grace_period: 0s\n"
    );
    let project = host.compose_file("pushed", &yaml);
    project.write(
        "Dockerfile",
        "FROM busybox\nARG WHO\nRUN echo built by $WHO > /who\nCMD [\"sleep\", \"1000\"]\n",
    );
    project.compose("build").ok();
    project.compose("push").ok();
    host.docker(&format!("rmi {image}")).ok();
    project.write("Dockerfile", "FROM this-is-not-built-again\n");
    project.compose("pull").env("DOCKLESS_IMAGE_DIR", "").ok();
    project
        .compose("up -d --no-build")
        .env("DOCKLESS_IMAGE_DIR", "")
        .ok();
    assert_eq!(
        project.compose("exec -T app cat /who").ok(),
        "built by compose"
    );
    project.compose("down --rmi all").ok();
    assert!(
        !host
            .docker("images --format '{{.Repository}}'")
            .ok()
            .contains("team/app")
    );
}

fn wait_and_events_follow_what_happens(host: &Host) {
    let yaml = "services:\n  job:\n    image: busybox\n    command: sh -c 'sleep 1; exit 6'\n";
    let project = host.compose_file("waits", yaml);
    let events = project.compose("events --json").start();
    project.compose("up -d").ok();
    let waiter = project.compose("wait job").start();
    let (code, text) = waiter.end();
    assert_eq!(code, 6, "the service's own exit code: {text}");
    events.says("\"action\":\"die\"");
    assert!(
        events.so_far().contains("\"service\":\"job\""),
        "{}",
        events.so_far()
    );
    events.kill_9();
    project.compose("down").ok();
}
