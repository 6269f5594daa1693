//! Projects as people write them for Docker (`demo/`), on real software: each is brought up unchanged, used, hurt in one place, and
//! taken down without a trace.

use std::collections::BTreeSet;
use std::time::Duration;
use testkit::{Host, Project, eventually, eventually_within, http, kernel, requires, scenarios};

scenarios!(
    messages_are_shared_by_consumers_and_survive_the_broker,
    orders_are_packed_by_workers_once_the_tables_are_there,
    an_alert_fires_while_a_target_is_gone,
    a_proxy_finds_its_back_ends_by_name,
    a_plan_changes_nothing,
);

/// What real servers need to come up on a busy machine.
const LONG: Duration = Duration::from_secs(120);

fn give_wheels(host: &Host, project: &Project<'_>) -> bool {
    let Some(wheels) = host.wheels() else {
        return false;
    };
    let into = project.dir().join("app/wheels");
    kernel::tool_ok(&format!("cp -a {} {}", wheels.display(), into.display()));
    true
}

/// Takes it down with its volumes: neither containers nor networks nor volumes may stay.
fn leaves_nothing(host: &Host, project: &Project<'_>) {
    project.compose("down -v").ok();
    assert_eq!(host.docker("ps -aq").ok(), "");
    assert_eq!(host.docker("volume ls -q").ok(), "");
    let networks = host.docker("network ls --format {{.Name}}").ok();
    let mut networks: Vec<&str> = networks.lines().collect();
    networks.sort_unstable();
    assert_eq!(networks, ["bridge", "host", "none"]);
}

fn a_proxy_finds_its_back_ends_by_name(host: &Host) {
    requires!(
        host.has_image("haproxy:2.6") && host.has_image("nginx:alpine"),
        "images haproxy and nginx"
    );
    let project = host.project("proxy");
    project.compose("up -d").ok();
    let hostnames = |count: usize| -> BTreeSet<String> {
        let ids = project.compose("ps -q web").ok();
        let ids: BTreeSet<String> = ids.lines().map(|id| id[..12].to_owned()).collect();
        assert_eq!(ids.len(), count);
        ids
    };
    let answers = |expected: &BTreeSet<String>| {
        eventually_within(LONG, "all back ends answer, and nobody else", || {
            let pages = (0..expected.len() * 4).map(|_| http::get("127.0.0.1:8080", "/"));
            let pages: Option<Vec<http::Page>> = pages.collect();
            let seen: BTreeSet<String> = pages?.iter().map(|p| p.body.trim().to_owned()).collect();
            (seen == *expected).then_some(())
        });
    };
    answers(&hostnames(3));
    project.compose("up -d --scale web=5").ok();
    answers(&hostnames(5));
    project.compose("up -d --scale web=2").ok();
    answers(&hostnames(2));
    leaves_nothing(host, &project);
}

fn orders_are_packed_by_workers_once_the_tables_are_there(host: &Host) {
    requires!(
        host.has_image("postgres:15") && host.has_image("redis:7-alpine"),
        "images postgres and redis"
    );
    let project = host.project("shop");
    requires!(
        give_wheels(host, &project),
        "target/wheels: scripts/images/make-wheels target/wheels flask redis pg8000"
    );
    project.compose("up -d --build --wait").ok();
    let order = |item: &str| {
        let page = http::post("127.0.0.1:8000", "/orders", &[("item", item)]);
        assert_eq!(page.expect("the shop answers").status, 200);
    };
    let packed = |count: usize| {
        eventually_within(LONG, "all orders are packed", || {
            let page = http::get("127.0.0.1:8000", "/orders")?;
            (page.body.matches(" packed").count() == count && !page.body.contains("open"))
                .then_some(())
        });
    };
    ["hat", "coat", "scarf", "shoes"]
        .into_iter()
        .for_each(order);
    packed(4);

    // The tables are there: a second run of the migrations has nothing to do, and the orders stay.
    project.compose("down").ok();
    // As in Docker the cache's nameless volume stays, and belongs to nobody.
    host.docker("volume prune -f").ok();
    project.compose("up -d --wait").ok();
    assert_eq!(project.compose("logs --no-log-prefix migrate").ok(), "");
    order("gloves");
    packed(5);
    // `back` is internal: the database reaches nothing outside.
    let routes = project.compose("exec -T db cat /proc/net/route").ok();
    let to_everywhere = |line: &str| line.split_whitespace().nth(1) == Some("00000000");
    assert!(!routes.lines().any(to_everywhere), "{routes}");
    leaves_nothing(host, &project);
}

fn an_alert_fires_while_a_target_is_gone(host: &Host) {
    requires!(
        host.has_image("docker.io/prom/prometheus:latest"),
        "image prom/prometheus"
    );
    let project = host.project("monitoring");
    project.compose("up -d").ok();
    let up = "/api/v1/query?query=up%7Bjob%3D%22node%22%7D";
    eventually_within(LONG, "the node exporter is scraped", || {
        let page = http::get("127.0.0.1:9090", up)?;
        page.body.contains(r#","1"]"#).then_some(())
    });
    let fires = || {
        let page = http::get("127.0.0.1:9093", "/api/v2/alerts?active=true")?;
        Some(page.body.contains("NodeIsGone"))
    };
    assert_eq!(fires(), Some(false));
    project.compose("stop node").ok();
    eventually_within(LONG, "the alert fires", || fires()?.then_some(()));

    // The metrics outlive their server.
    project
        .compose("up -d --force-recreate --no-deps prometheus")
        .ok();
    let ever = "/api/v1/query?query=max_over_time(up%7Bjob%3D%22node%22%7D%5B1h%5D)";
    eventually_within(LONG, "what was measured before is still there", || {
        let page = http::get("127.0.0.1:9090", ever)?;
        page.body.contains(r#","1"]"#).then_some(())
    });
    leaves_nothing(host, &project);
}

fn messages_are_shared_by_consumers_and_survive_the_broker(host: &Host) {
    requires!(host.has_image("rabbitmq:3"), "image rabbitmq");
    let project = host.project("queue");
    requires!(
        give_wheels(host, &project)
            && project
                .dir()
                .join("app/wheels/pika-1.2.0-py3-none-any.whl")
                .exists(),
        "target/wheels: scripts/images/make-wheels target/wheels pika"
    );
    project.compose("up -d --build").ok();
    let results = || {
        let text = host
            .docker("run --rm -v queue_results:/results busybox sh -c")
            .arg("cat /results/* 2>/dev/null; ls /results | wc -l >&2")
            .run();
        let numbers: Vec<u32> = text.stdout.lines().filter_map(|l| l.parse().ok()).collect();
        (numbers, text.stderr.trim().to_owned())
    };
    let all = |count: usize| {
        eventually_within(LONG, "every message is done", || {
            (results().0.len() == count).then_some(())
        });
    };
    all(30);
    let (numbers, _) = results();
    assert_eq!(
        numbers.iter().collect::<BTreeSet<_>>().len(),
        30,
        "each of them once"
    );

    // Nobody consumes, the broker is restarted: what was sent waits on its disk.
    project.compose("stop consumer").ok();
    project.compose("run --rm producer").ok();
    project.compose("restart rabbitmq").ok();
    assert_eq!(results().0.len(), 30);
    eventually_within(LONG, "the broker is healthy again", || {
        (host.inspect("queue-rabbitmq-1", "{{.State.Health.Status}}") == "healthy").then_some(())
    });
    project.compose("start consumer").ok();
    all(60);
    assert_eq!(results().1, "2", "both consumers had a part");
    leaves_nothing(host, &project);
}

/// What a command could have changed: records and files below the roots, processes, the network.
fn everything(host: &Host) -> Vec<String> {
    let mut all: Vec<String> = kernel::files_below(&host.data_root()).into_iter().collect();
    // A lock's file may be made to look; it says nothing.
    all.extend(
        kernel::files_below(&host.run_root())
            .into_iter()
            .filter(|file| !file.contains("locks/")),
    );
    all.push(
        host.docker("ps -a --no-trunc --format '{{.ID}} {{.Names}} {{.State}}'")
            .ok(),
    );
    all.extend(host.processes().iter().map(ToString::to_string));
    all.extend(kernel::links());
    all.push(kernel::tool("nft list ruleset"));
    all
}

fn a_plan_changes_nothing(host: &Host) {
    // The first commands of all make the data root.
    host.docker("images").ok();
    host.docker("network ls").ok();
    for name in ["proxy", "monitoring", "shop", "queue", "keys"] {
        let project = host.project(name);
        let before = everything(host);
        let plan = project.compose("up -d --plan").run();
        assert!(plan.stdout.contains("Create"), "{name}: {plan}");
        assert_eq!(everything(host), before, "{name}");
    }
    requires!(
        host.has_image("haproxy:2.6") && host.has_image("nginx:alpine"),
        "images haproxy and nginx"
    );
    let project = host.project("proxy");
    project.compose("up -d").ok();
    project.replace("compose.yaml", "8080:80", "8081:80");
    project.replace("compose.yaml", "replicas: 3", "replicas: 2");
    // The health probes come and go, their files with them.
    let before = eventually("it is quiet", || {
        let first = everything(host);
        (first == everything(host)).then_some(first)
    });
    project.compose("up -d --plan").run();
    eventually("all is as before", || {
        (everything(host) == before).then_some(())
    });
    project.compose("up -d").ok();
    assert!(http::get("127.0.0.1:8080", "/").is_none());
    eventually("it answers at the new port", || {
        http::get("127.0.0.1:8081", "/").filter(|page| page.status == 200)
    });
    leaves_nothing(host, &project);
}
