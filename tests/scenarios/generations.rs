//! Back to what a project was, and on to newer images: `history`, `rollback`, `update`.

use std::collections::BTreeSet;
use testkit::{Host, Project, Registry, eventually, http, kernel, requires, scenarios};

scenarios!(
    rollback_restores_configuration_contents_replicas_and_services,
    a_rollback_brings_back_every_replica_of_a_web_server,
    images_of_kept_generations_are_not_pruned_while_the_project_is_there,
    update_takes_newer_images_and_goes_back_from_a_broken_one,
);

const YAML: &str = "services:\n  web:\n    image: busybox\n    command: sleep 1000\n    stop_grace_period: 0s\n    \
    environment: {LEVEL: one, PRICE: '$$5'}\n    configs: [motd]\n    secrets: [token]\n    deploy: {replicas: 2}\n\
    configs:\n  motd: {file: ./motd}\nsecrets:\n  token: {environment: TOKEN}\n";

fn ids(project: &Project<'_>, service: &str) -> BTreeSet<String> {
    let listed = project.compose(&format!("ps -q {service}")).ok();
    listed.lines().map(str::to_owned).collect()
}

/// What each replica sees: environment, config, secret.
fn seen(host: &Host, project: &Project<'_>) -> BTreeSet<[String; 4]> {
    let of = |id: &String| {
        let pid = host.pid(id);
        let env = kernel::environment(pid);
        [
            env["LEVEL"].clone(),
            env["PRICE"].clone(),
            kernel::file_in(pid, "/motd"),
            kernel::file_in(pid, "/run/secrets/token"),
        ]
    };
    ids(project, "web").iter().map(of).collect()
}

fn all(level: &str, motd: &str, token: &str) -> BTreeSet<[String; 4]> {
    [[level, "$5", motd, token].map(str::to_owned)].into()
}

fn numbers(project: &Project<'_>) -> Vec<u32> {
    let listed = project.compose("history -q").ok();
    listed
        .lines()
        .map(|n| n.parse().expect("a number"))
        .collect()
}

fn rollback_restores_configuration_contents_replicas_and_services(host: &Host) {
    let project = host.compose_file("back", YAML);
    project.write("motd", "first\n");
    project.compose("up -d").env("TOKEN", "t1").ok();
    project.compose("up -d").env("TOKEN", "t1").ok();
    assert_eq!(numbers(&project), [1], "nothing changed, nothing to keep");
    let refused = project.compose("rollback").env("TOKEN", "t1").fails(1);
    refused.says(&["no earlier generation", "there are 1"]);

    project.write("motd", "second\n");
    let second = YAML
        .replace("LEVEL: one", "LEVEL: two")
        .replace("replicas: 2", "replicas: 3");
    let second = second.replace(
        "configs:\n  motd: ",
        "  extra:\n    image: busybox\n    command: sleep 1000\n    stop_grace_period: 0s\nconfigs:\n  motd: ",
    );
    project.write("docker-compose.yml", &second);
    project.compose("up -d").env("TOKEN", "t2").ok();
    assert_eq!(ids(&project, "web").len(), 3);
    assert_eq!(seen(host, &project), all("two", "second\n", "t2"));

    let plan = project.compose("rollback --plan").run();
    assert_eq!(plan.code, 2, "{plan}");
    assert_eq!(ids(&project, "web").len(), 3, "shown and not done");
    project.compose("rollback").ok();
    assert_eq!(ids(&project, "web").len(), 2);
    assert!(ids(&project, "extra").is_empty(), "it came later");
    assert_eq!(seen(host, &project), all("one", "first\n", "t1"));
    assert_eq!(
        project.read("motd"),
        "second\n",
        "the host's file is as it was"
    );
    assert_eq!(numbers(&project), [1, 2, 3]);
    project
        .compose("history")
        .run()
        .says(&["rollback to 1", "web=busybox@"]);

    // The file as it was then wants what runs now.
    let again = host.compose_file("back", YAML);
    again.write("motd", "first\n");
    let plan = again.compose("up -d --plan").env("TOKEN", "t1").run();
    assert_eq!(plan.code, 0, "{plan}");

    again.write("docker-compose.yml", "services: [");
    again.compose("rollback 2").fails(1);
    again.compose("-p back rollback 2").ok();
    again.write("docker-compose.yml", YAML);
    assert_eq!(seen(host, &again), all("two", "second\n", "t2"));
    assert_eq!(ids(&again, "web").len(), 3);
    for level in ["three", "four", "five"] {
        again.write(
            "docker-compose.yml",
            &YAML.replace("LEVEL: one", &format!("LEVEL: {level}")),
        );
        again
            .compose("up -d --remove-orphans")
            .env("TOKEN", "t3")
            .ok();
    }
    assert_eq!(numbers(&again), [3, 4, 5, 6, 7], "the last five");
    let data = host.data_root();
    let secrets = data.join("generations/back");
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(secrets).expect("kept").permissions(),
    );
    assert_eq!(mode & 0o777, 0o700, "nobody else looks in");
    again.compose("down").ok();
}

const SITE: &str = "\
services:
  web:
    image: nginx:alpine
    environment: {LEVEL: one}
    configs: [{source: page, target: /usr/share/nginx/html/index.html}]
    ports: ['8077:80']
    stop_grace_period: 2s
    healthcheck: {test: [CMD, wget, -q, -O, /dev/null, '127.0.0.1'], interval: 200ms, retries: 20}
    deploy: {replicas: 3, update_config: {order: start-first, parallelism: 3, monitor: 0s}}
configs: {page: {content: one}}
";

fn a_rollback_brings_back_every_replica_of_a_web_server(host: &Host) {
    requires!(host.has_image("nginx:alpine"), "image nginx:alpine");
    let project = host.compose_file("site", SITE);
    project.compose("up -d --wait").ok();
    let page = || http::get("127.0.0.1:8077", "/").map(|page| page.body);
    let levels = || -> Vec<String> {
        // nginx writes its title over the environment it was started with.
        let template = "{{range .Config.Env}}{{.}} {{end}}";
        let level = |id: &String| {
            let all = host.inspect(id, template);
            let found = all
                .split(' ')
                .find_map(|entry| entry.strip_prefix("LEVEL="));
            found.unwrap_or_default().to_owned()
        };
        ids(&project, "web").iter().map(level).collect()
    };
    eventually("the first page", || page().filter(|body| body == "one"));
    project.write("docker-compose.yml", &SITE.replace("one}", "two}"));
    project.compose("up -d --wait").ok();
    eventually("the second page", || page().filter(|body| body == "two"));
    assert_eq!(levels(), ["two"; 3]);
    let plan = project.compose("rollback --plan").run();
    plan.says(&["site-web-1", "site-web-2", "site-web-3"]);
    assert_eq!(levels(), ["two"; 3], "a plan changes nothing");
    project.compose("rollback").ok();
    assert_eq!(levels(), ["one"; 3]);
    assert!((0..9).all(|_| page().as_deref() == Some("one")));
    project.compose("history").run().says(&["rollback"]);
    project.compose("down").ok();
}

fn images_of_kept_generations_are_not_pruned_while_the_project_is_there(host: &Host) {
    let yaml = "services:\n  app:\n    build: .\n    stop_grace_period: 0s\n";
    let project = host.compose_file("kept", yaml);
    let dockerfile = |word: &str| {
        let text = format!("FROM busybox\nRUN echo {word} > /word\nCMD [\"sleep\", \"1000\"]\n");
        project.write("Dockerfile", &text);
    };
    let word = || project.compose("exec -T app cat /word").ok();
    dockerfile("old");
    project.compose("up -d").ok();
    let old = host.inspect("kept-app-1", "{{.Image}}");
    dockerfile("new");
    project.compose("up -d --build").ok();
    assert_eq!(word(), "new");
    host.docker(&format!("rmi {old}")).fails(1).says(&[
        "must be forced",
        "project kept keeps it to go back to (generation 1)",
        "compose -p kept down",
    ]);
    host.docker("image prune -f").ok();
    project.compose("rollback").ok();
    assert_eq!(word(), "old");
    project.compose("down").ok();
    let before = host.docker("images -aq --no-trunc").ok().lines().count();
    host.docker("image prune -f").ok();
    let after = host.docker("images -aq --no-trunc").ok().lines().count();
    assert_eq!(after + 1, before, "the one without a name went");
}

fn update_takes_newer_images_and_goes_back_from_a_broken_one(host: &Host) {
    requires!(Registry::installed(), "docker-registry");
    let registry = Registry::start(host, 5059);
    let image = format!("{}/team/app:1", registry.address);
    let yaml = format!(
        "services:\n  app:\n    image: {image}\n    stop_grace_period: 0s\n    \
         healthcheck: {{test: [CMD, test, -e, /well], interval: 100ms, retries: 2}}\n    \
         deploy: {{replicas: 2, update_config: {{monitor: 0s}}}}\n"
    );
    let project = host.compose_file("newer", &yaml);
    let publish = |word: &str, file: &str| {
        let text = format!(
            "FROM busybox\nRUN echo {word} > /word && touch {file}\nCMD [\"sleep\", \"1000\"]\n"
        );
        project.write("Dockerfile", &text);
        host.docker(&format!("build -q -t {image} ."))
            .dir(project.dir())
            .ok();
        host.docker(&format!("push -q {image}")).ok();
    };
    let words = || -> BTreeSet<String> {
        let ids = ids(&project, "app");
        let word = |id: &String| kernel::file_in(host.pid(id), "/word").trim().to_owned();
        ids.iter().map(word).collect()
    };
    let update = || project.compose("update").env("DOCKLESS_IMAGE_DIR", "");
    publish("first", "/well");
    project.compose("up -d --wait").ok();
    let before = ids(&project, "app");
    update().ok();
    assert_eq!(ids(&project, "app"), before, "nothing newer");

    publish("second", "/well");
    update().ok();
    assert_eq!(words(), ["second".to_owned()].into());
    let good = ids(&project, "app");

    publish("broken", "/ill");
    update().fails(1).says(&["unhealthy", "rolled back"]);
    assert_eq!(words(), ["second".to_owned()].into());
    assert_eq!(ids(&project, "app").len(), 2);
    assert!(
        !ids(&project, "app").is_disjoint(&good),
        "one was not touched"
    );
    project.compose("down").ok();
}
