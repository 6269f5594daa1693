//! A built web service and Redis, found by its name: the first project everybody tries.

use testkit::{Host, eventually, http, kernel, requires, scenarios};

scenarios!(counts_visits_through_the_life_of_a_project);

fn counts_visits_through_the_life_of_a_project(host: &Host) {
    requires!(
        host.has_image("python:3.7") && host.has_image("redis:3.0.7"),
        "images python and redis"
    );
    let wheels = host.wheels();
    requires!(
        wheels.is_some(),
        "target/wheels: scripts/images/make-wheels target/wheels flask redis pg8000"
    );
    let project = host.project("counter");
    kernel::tool_ok(&format!(
        "cp -a {} {}",
        wheels.unwrap_or_default().display(),
        project.dir().join("src/wheels").display()
    ));
    let compose = |words: &str| project.compose_in("docker", words);

    compose("up -d").ok();
    for count in ["1 times", "2 times", "3 times"] {
        let page = eventually("the page answers", || {
            http::get("127.0.0.1:5000", "/").filter(|p| p.status == 200)
        });
        assert!(page.body.contains(count), "{count}: {}", page.body);
    }

    let listed = compose("ps").run();
    listed.says(&["web", "redis", "5000"]);

    let follower = compose("logs -f web").start();
    follower.says("GET / ");
    http::get("127.0.0.1:5000", "/followed");
    follower.says("/followed");
    follower.kill_9();

    let id = compose("ps -q redis").ok();
    let before = host.pid(&id);
    compose("restart redis").ok();
    assert_ne!(host.pid(&id), before, "another process");
    assert!(!kernel::lives(before));
    let page = eventually("the page finds redis again", || {
        http::get("127.0.0.1:5000", "/").filter(|p| p.status == 200)
    });
    assert!(page.body.contains("times"), "{}", page.body);

    assert!(
        compose("exec web python -V")
            .run()
            .all()
            .contains("Python 3")
    );

    let web = host.pid(&compose("ps -q web").ok());
    compose("down").ok();
    assert!(!kernel::lives(web));
    assert_eq!(host.docker("ps -aq").ok(), "");
    assert!(
        !host
            .docker("network ls --format '{{.Name}}'")
            .ok()
            .contains("docker_default")
    );
    assert!(
        http::get("127.0.0.1:5000", "/").is_none(),
        "the port is closed"
    );
    compose("down").ok(); // once more: nothing to do is no mistake
}
