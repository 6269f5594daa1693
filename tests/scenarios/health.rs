//! Health checks: starting, healthy, unhealthy, and back.

use testkit::{Host, eventually, scenarios};

scenarios!(
    health_follows_the_probe,
    a_probe_that_hangs_is_killed,
    no_healthcheck_means_none
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
