//! Health checks: starting, healthy, unhealthy, and back.

use testkit::{Host, eventually, scenarios};

scenarios!(
    health_follows_the_probe,
    a_probe_that_hangs_is_killed,
    no_healthcheck_means_none,
    a_name_leads_to_the_healthy_ones,
);

fn health(host: &Host, name: &str) -> String {
    host.inspect(name, "{{.State.Health.Status}}")
}

fn health_follows_the_probe(host: &Host) {
    host.docker("run -d --name cc --health-cmd 'test -e /tmp/ok' --health-interval 100ms --health-retries 3 --health-start-period 0s busybox sleep 1000").ok();
    eventually("it is unhealthy", || {
        (health(host, "cc") == "unhealthy").then_some(())
    });
    assert_eq!(
        host.docker("ps -q --filter health=unhealthy")
            .ok()
            .lines()
            .count(),
        1
    );
    host.docker("exec cc touch /tmp/ok").ok();
    eventually("it is healthy", || {
        (health(host, "cc") == "healthy").then_some(())
    });
    assert!(host.docker("ps").ok().contains("(healthy)"));
    let streak = host.inspect(
        "cc",
        "{{.State.Health.FailingStreak}} {{(index .State.Health.Log 0).ExitCode}}",
    );
    assert!(streak.starts_with("0 "), "{streak}");
    host.docker("run -d --name image localhost/odd:health").ok();
    eventually("by the image's own check", || {
        (health(host, "image") == "healthy").then_some(())
    });
    host.docker("exec image rm /www/index.html").ok();
    eventually("and not any more", || {
        (health(host, "image") == "unhealthy").then_some(())
    });
    let seen = host
        .docker("events --since 1h --until 0s --filter container=image")
        .ok();
    assert!(
        seen.contains("health_status: healthy") && seen.contains("health_status: unhealthy"),
        "{seen}"
    );
}

fn a_probe_that_hangs_is_killed(host: &Host) {
    host.docker("run -d --name cc --health-cmd 'sleep 500' --health-interval 100ms --health-timeout 200ms --health-retries 1 busybox sleep 1000").ok();
    eventually("it is unhealthy", || {
        (health(host, "cc") == "unhealthy").then_some(())
    });
    eventually("at most one probe is there", || {
        (host.docker("top cc").ok().matches("sleep 500").count() <= 1).then_some(())
    });
    host.docker("stop -t 0 cc").ok();
    eventually("nothing stays", || {
        host.processes().is_empty().then_some(())
    });
}

fn no_healthcheck_means_none(host: &Host) {
    host.docker("run -d --name cc --no-healthcheck localhost/odd:health")
        .ok();
    assert_eq!(
        host.inspect(
            "cc",
            "{{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}}"
        ),
        "none"
    );
}

fn a_name_leads_to_the_healthy_ones(host: &Host) {
    let check = "sh -c 'test ! -e /tmp/ill'";
    let project = host.compose_file(
        "named",
        &format!("services:\n  web:\n    image: busybox\n    command: sleep 1000\n    stop_grace_period: 0s\n    deploy: {{replicas: 2}}\n    healthcheck: {{test: \"{check}\", interval: 100ms, retries: 1}}\n  client:\n    image: busybox\n    command: sleep 1000\n    stop_grace_period: 0s\n"),
    );
    project.compose("up -d --wait").ok();
    let leads_to = |numbers: &[u8]| {
        let said = project
            .compose("exec -T client nslookup -type=a web")
            .run()
            .stdout;
        let answer = said.split("answer").nth(1).unwrap_or(&said).to_owned();
        let has = |number: &u8| {
            let address = format!(
                "Address: {}\n",
                host.address(&format!("named-web-{number}"))
            );
            answer.contains(&address)
        };
        ([1, 2]
            .iter()
            .all(|number| has(number) == numbers.contains(number)))
        .then_some(())
    };
    eventually("both", || leads_to(&[1, 2]));
    host.docker("exec named-web-1 touch /tmp/ill").ok();
    eventually("the healthy one", || leads_to(&[2]));
    host.docker("exec named-web-2 touch /tmp/ill").ok();
    eventually("when none is healthy, all", || leads_to(&[1, 2]));
    host.docker("exec named-web-1 rm /tmp/ill").ok();
    eventually("the one that recovered", || leads_to(&[1]));
}
