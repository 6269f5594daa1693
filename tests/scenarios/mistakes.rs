//! Mistakes get an answer: where, what, why and the way out, before anything is started.

use testkit::{Host, scenarios};

scenarios!(
    a_container_name_with_two_replicas,
    host_mode_together_with_networks,
    a_volume_without_a_target,
    a_service_inside_another,
    an_unknown_key_with_the_nearest_right_one,
    an_undefined_network,
    a_dependency_cycle,
    a_port_already_taken,
    an_image_that_exists_nowhere,
    bad_yaml,
    a_variable_that_must_be_set,
    words_that_run_does_not_know,
);

/// The project is refused, names the place and all of `words`, and nothing was made.
fn refused(host: &Host, yaml: &str, place: &str, words: &[&str]) {
    let project = host.compose_file("mistake", yaml);
    let output = project.compose("up -d").run();
    assert_ne!(output.code, 0, "{output}");
    output
        .says(&[&format!("docker-compose.yml:{place}")])
        .says(words);
    nothing_was_made(host);
}

fn nothing_was_made(host: &Host) {
    assert_eq!(host.docker("ps -aq").ok(), "", "no container");
    let networks = host.docker("network ls --format '{{.Name}}'").ok();
    assert!(!networks.contains("mistake"), "no network: {networks}");
    assert!(host.processes().is_empty(), "no process");
}

fn a_container_name_with_two_replicas(host: &Host) {
    let yaml = "services:\n  web:\n    image: busybox\n    container_name: web\n    deploy:\n      replicas: 2\n";
    refused(host, yaml, "4:", &["container_name", "web", "2", "Hint"]);
}

fn host_mode_together_with_networks(host: &Host) {
    let yaml = "services:\n  web:\n    image: busybox\n    network_mode: host\n    networks:\n      - a\nnetworks:\n  a:\n";
    refused(host, yaml, "", &["network_mode", "networks"]);
}

fn a_volume_without_a_target(host: &Host) {
    let yaml = "services:\n  web:\n    image: busybox\n    volumes:\n      - type: bind\n        source: ./src\n";
    refused(host, yaml, "", &["target"]);
}

fn a_service_inside_another(host: &Host) {
    let yaml = "services:\n  web:\n    image: busybox\n    db:\n      image: redis:alpine\n";
    refused(host, yaml, "4:5", &["db", "indent"]);
}

fn an_unknown_key_with_the_nearest_right_one(host: &Host) {
    let yaml = "services:\n  web:\n    image: busybox\n    enviroment:\n      - A=1\n";
    refused(host, yaml, "4:5", &["enviroment", "environment"]);
}

fn an_undefined_network(host: &Host) {
    let yaml = "services:\n  web:\n    image: busybox\n    networks:\n      - back\n";
    refused(host, yaml, "5:", &["back", "networks"]);
}

fn a_dependency_cycle(host: &Host) {
    let yaml = "services:\n  a:\n    image: busybox\n    depends_on: [b]\n  b:\n    image: busybox\n    depends_on: [a]\n";
    refused(host, yaml, "", &["cycle", "a", "b"]);
}

fn a_port_already_taken(host: &Host) {
    let me = std::fs::read_to_string("/proc/self/comm")
        .expect("our own name")
        .trim()
        .to_owned();
    let listener =
        std::net::TcpListener::bind("0.0.0.0:8123").expect("a free port in our own namespace");
    let yaml =
        "services:\n  web:\n    image: busybox\n    command: sleep 1000\n    ports: ['8123:80']\n";
    let project = host.compose_file("mistake", yaml);
    let output = project.compose("up -d").run();
    assert_ne!(output.code, 0, "{output}");
    output.says(&["8123", &std::process::id().to_string(), &me]);
    assert_eq!(host.docker("ps -q").ok(), "", "nothing runs");
    drop(listener);
    project.compose("up -d").ok();

    let output = host.docker("run --rm -p 8123:80 busybox true").fails(125);
    output.says(&["8123", "web"]);
}

fn an_image_that_exists_nowhere(host: &Host) {
    let yaml = "services:\n  web:\n    image: localhost:1/no/such:image\n";
    let project = host.compose_file("mistake", yaml);
    let output = project.compose("up -d").run();
    assert_ne!(output.code, 0, "{output}");
    output.says(&[
        "localhost:1/no/such:image",
        &host.image_dir().display().to_string(),
        "localhost:1",
    ]);
    assert_eq!(host.docker("ps -aq").ok(), "");
    host.docker("run --rm localhost:1/no/such:image true")
        .fails(125)
        .says(&["localhost:1/no/such:image"]);
}

fn bad_yaml(host: &Host) {
    refused(host, "services:\n  web:\n    image: 'busybox\n", "", &[]);
    refused(
        host,
        "services:\n  web:\n\timage: busybox\n",
        "3:",
        &["tab"],
    );
}

fn a_variable_that_must_be_set(host: &Host) {
    let yaml = "services:\n  web:\n    image: busybox:${VERSION:?say which version}\n";
    refused(host, yaml, "3:", &["VERSION", "say which version"]);
}

fn words_that_run_does_not_know(host: &Host) {
    host.docker("run --no-such-flag busybox")
        .fails(125)
        .says(&["--no-such-flag"]);
    host.docker("no-such-command")
        .fails(1)
        .says(&["no-such-command"]);
    host.docker("run --rm -m 12x busybox true")
        .fails(125)
        .says(&["12x"]);
    host.docker("run --rm -v relative/path:/x busybox true")
        .run()
        .says(&["relative/path"]);
    host.docker("inspect no-such-thing")
        .fails(1)
        .says(&["No such object: no-such-thing"]);
    host.docker("stop no-such-thing")
        .fails(1)
        .says(&["No such container: no-such-thing"]);
    nothing_was_made(host);
}
