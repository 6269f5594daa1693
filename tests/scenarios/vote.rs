//! Six services as Swarm stack files are written: replicas behind one port, two networks, a worker on both.

use std::collections::BTreeSet;
use std::time::Duration;
use testkit::{Host, Project, eventually, eventually_within, http, kernel, requires, scenarios};

scenarios!(a_vote_travels_from_the_front_end_to_the_result_page);

fn a_vote_travels_from_the_front_end_to_the_result_page(host: &Host) {
    requires!(
        host.has_image("postgres:9.4") && host.has_image("redis:alpine"),
        "images postgres and redis"
    );
    let wheels = host.wheels();
    requires!(
        wheels.is_some(),
        "target/wheels: scripts/images/make-wheels target/wheels flask redis pg8000"
    );
    let project = host.project("vote");
    kernel::tool_ok(&format!(
        "cp -a {} {}",
        wheels.unwrap_or_default().display(),
        project.dir().join("app/wheels").display()
    ));
    host.docker("build -q -t vote-app app")
        .dir(project.dir())
        .ok();

    project.compose("-f stack.yml up -d").ok();
    assert_eq!(ids(&project, "vote").len(), 2);
    assert_eq!(ids(&project, "redis").len(), 2);
    replicas_share_the_port(&project, host);
    redis_has_random_ports(host, &project);

    for (voter, vote) in [("ann", "cats"), ("bob", "dogs"), ("eve", "cats")] {
        let page = eventually("the front end takes the vote", || {
            http::post("127.0.0.1:5000", "/", &[("voter", voter), ("vote", vote)])
                .filter(|p| p.status == 200)
        });
        assert!(page.body.contains("Your vote"), "{}", page.body);
    }
    eventually_within(Duration::from_secs(120), "the votes are counted", || {
        http::get("127.0.0.1:5001", "/")
            .filter(|p| p.body.contains("cats: 2") && p.body.contains("dogs: 1"))
    });

    networks_are_apart(host, &project);
    the_viewer_sees_the_socket_path(host, &project);
    project.compose("-f stack.yml down").ok();
    assert_eq!(host.docker("ps -aq").ok(), "");
    assert!(host.docker("volume ls -q").ok().contains("db-data"));
}

fn ids(project: &Project<'_>, service: &str) -> Vec<String> {
    project
        .compose(&format!("-f stack.yml ps -q {service}"))
        .ok()
        .lines()
        .map(str::to_owned)
        .collect()
}

/// Both replicas answer on the one published port.
fn replicas_share_the_port(project: &Project<'_>, host: &Host) {
    let names: BTreeSet<String> = ids(project, "vote")
        .iter()
        .map(|id| host.inspect(id, "{{.Config.Hostname}}"))
        .collect();
    let mut seen = BTreeSet::new();
    eventually("both replicas answered", || {
        let page = http::get("127.0.0.1:5000", "/")?;
        seen.extend(
            names
                .iter()
                .filter(|n| page.body.contains(n.as_str()))
                .cloned(),
        );
        (seen == names).then_some(())
    });
}

fn redis_has_random_ports(host: &Host, project: &Project<'_>) {
    let ports: BTreeSet<String> = ids(project, "redis")
        .iter()
        .map(|id| {
            host.docker(&format!("port {id} 6379/tcp"))
                .ok()
                .lines()
                .next()
                .unwrap_or_default()
                .to_owned()
        })
        .collect();
    assert_eq!(
        ports.len(),
        2,
        "each replica has a port of its own: {ports:?}"
    );
    for port in ports {
        let port = port.rsplit(':').next().unwrap_or_default().to_owned();
        eventually("redis answers on its random port", || {
            http::get(&format!("127.0.0.1:{port}"), "/")
                .map(|_| ())
                .or_else(|| {
                    std::net::TcpStream::connect(format!("127.0.0.1:{port}"))
                        .ok()
                        .map(|_| ())
                })
        });
    }
}

/// The front end finds the worker and not the database, by name or by address.
fn networks_are_apart(host: &Host, project: &Project<'_>) {
    let vote = &ids(project, "vote")[0];
    let db = host.address(&ids(project, "db")[0]);
    let probe = |target: &str, port: u16| {
        let code = format!("import socket; socket.create_connection(('{target}', {port}), 3)");
        host.docker("exec")
            .arg(vote)
            .arg("python")
            .arg("-c")
            .arg(code)
            .run()
            .code
    };
    assert_eq!(probe("redis", 6379), 0, "its own network");
    assert_ne!(probe("db", 5432), 0, "no such name there");
    assert_ne!(
        probe(&db, 5432),
        0,
        "no way to the other network's addresses"
    );
    let worker = host.pid(&ids(project, "worker")[0]);
    assert_eq!(
        kernel::addresses_in(worker).len(),
        2,
        "the worker is on both"
    );
}

fn the_viewer_sees_the_socket_path(host: &Host, project: &Project<'_>) {
    let viewer = &ids(project, "viewer")[0];
    assert_eq!(host.inspect(viewer, "{{.Config.StopTimeout}}"), "90");
    let mounts = kernel::mounts_of(host.pid(viewer));
    assert!(
        mounts
            .iter()
            .any(|m| m.target == "/run/docker.sock" || m.target == "/var/run/docker.sock"),
        "{mounts:?}"
    );
    eventually("the viewer answers", || {
        http::get("127.0.0.1:8080", "/").filter(|p| p.status == 200)
    });
}
