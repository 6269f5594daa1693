//! The API from within: containers that mount its socket where no daemon runs.

use testkit::{Host, eventually, kernel, requires, scenarios};

scenarios!(
    a_container_with_the_flag_and_one_with_the_bind_list_containers,
    a_server_that_is_killed_is_started_by_who_asks_next,
    the_socket_survives_its_monitor_and_goes_with_the_container,
    a_service_asks_for_the_api_and_gets_the_accounts,
);

/// Lists containers through the socket, with nothing but Python.
const ASK: &str = "import socket,json
s=socket.socket(socket.AF_UNIX)
s.settimeout(60)
s.connect('/var/run/docker.sock')
s.sendall(b'GET /containers/json HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n')
d=b''
while True:
    b=s.recv(65536)
    if not b: break
    d+=b
print(' '.join(sorted(c['Names'][0] for c in json.loads(d.split(b'\\r\\n\\r\\n',1)[1]))))
";

fn script(host: &Host) -> String {
    requires!(host.has_image("python:latest"), "the image python");
    let path = host.folder("script").join("ask.py");
    std::fs::write(&path, ASK).expect("a file");
    format!("-v {}:/ask.py", path.display())
}

/// The servers behind containers' sockets.
fn servers(host: &Host) -> Vec<i32> {
    in_role(host, "api-server")
}

fn in_role(host: &Host, role: &str) -> Vec<i32> {
    let is_it = |pid: &i32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|b| *b == 0).nth(1) == Some(role.as_bytes())
    };
    host.processes().into_iter().filter(is_it).collect()
}

fn ask(host: &Host, container: &str) -> String {
    host.docker(&format!("exec {container} python3 /ask.py"))
        .ok()
}

fn a_container_with_the_flag_and_one_with_the_bind_list_containers(host: &Host) {
    let script = script(host);
    host.docker(&format!(
        "run -d --name agent --use-api-socket {script} python sleep 1000"
    ))
    .ok();
    assert!(servers(host).is_empty(), "nothing runs until somebody asks");
    assert_eq!(ask(host, "agent"), "/agent");
    assert_eq!(servers(host).len(), 1);
    let set = host
        .docker("exec agent sh -c 'echo $DOCKER_CONFIG; stat -c %a $DOCKER_CONFIG/config.json'");
    assert_eq!(set.ok(), "/run/secrets/docker\n600");
    let sources = host.inspect("agent", "{{range .Mounts}}{{.Source}} {{end}}");
    assert!(
        sources.contains("/var/run/docker.sock"),
        "as it was asked for"
    );
    // The plain bind, and another user's process.
    host.docker(&format!(
        "run -d --name plain --user 1000 -v /var/run/docker.sock:/var/run/docker.sock {script} python sleep 1000"
    ))
    .ok();
    assert_eq!(ask(host, "plain"), "/agent /plain");
    // With ids of its own.
    host.docker(&format!(
        "run -d --name mapped --userns=auto --use-api-socket {script} python sleep 1000"
    ))
    .ok();
    assert_eq!(ask(host, "mapped"), "/agent /mapped /plain");
    host.docker("rm -f agent plain mapped").ok();
    eventually("the servers went with the containers", || {
        servers(host).is_empty().then_some(())
    });
}

fn a_server_that_is_killed_is_started_by_who_asks_next(host: &Host) {
    let script = script(host);
    host.docker(&format!(
        "run -d --name agent --use-api-socket {script} python sleep 1000"
    ))
    .ok();
    assert_eq!(ask(host, "agent"), "/agent");
    let first = servers(host);
    first.iter().copied().for_each(kernel::kill_9);
    assert_eq!(ask(host, "agent"), "/agent");
    let second = servers(host);
    assert!(second.len() == 1 && second != first, "{first:?} {second:?}");
    host.docker("restart -t 0 agent").ok();
    assert_eq!(ask(host, "agent"), "/agent", "and in its next run");
}

fn the_socket_survives_its_monitor_and_goes_with_the_container(host: &Host) {
    let script = script(host);
    host.docker(&format!(
        "run -d --name agent --use-api-socket {script} python sleep 1000"
    ))
    .ok();
    for _ in 0..2 {
        assert_eq!(ask(host, "agent"), "/agent");
        // By its words: one that took over is no parent of the container's.
        let monitors = in_role(host, "monitor");
        assert_eq!(monitors.len(), 1);
        kernel::kill_9(monitors[0]);
        eventually("the container is taken over", || {
            (host.docker("ps --format {{.Names}}").ok() == "agent").then_some(())
        });
        servers(host).into_iter().for_each(kernel::kill_9);
        assert_eq!(ask(host, "agent"), "/agent");
    }
    host.docker("rm -f agent").ok();
    let left = std::fs::read_dir(host.run_root().join("containers"));
    assert_eq!(left.map_or(0, Iterator::count), 0);
}

fn a_service_asks_for_the_api_and_gets_the_accounts(host: &Host) {
    let script = script(host);
    let file = script.trim_start_matches("-v ").to_owned();
    let account = host.folder("account");
    let text = r#"{"auths":{"registry.example.com":{"auth":"dTpw"}},"credsStore":""}"#;
    std::fs::write(account.join("config.json"), text).expect("a file");
    let yaml = format!(
        "services:\n  agent:\n    image: python\n    container_name: agent\n    command: sleep 1000\n    use_api_socket: true\n    volumes: ['{file}']\n  own:\n    image: python\n    container_name: own\n    command: sleep 1000\n    use_api_socket: true\n    environment: {{DOCKER_CONFIG: /mine}}\n    volumes: ['{file}']\n"
    );
    let project = host.compose_file("api", &yaml);
    let up = || {
        project
            .compose("up -d")
            .env("DOCKER_CONFIG", &account)
            .run()
    };
    let done = up();
    assert_eq!(done.code, 0, "{done}");
    assert_eq!(ask(host, "agent"), "/agent /own");
    assert_eq!(ask(host, "own"), "/agent /own");
    let seen = |container: &str, line: &str| {
        host.docker(&format!("exec {container} sh -c '{line}'"))
            .ok()
    };
    assert_eq!(seen("agent", "echo $DOCKER_CONFIG"), "/run/secrets/docker");
    assert_eq!(seen("own", "echo $DOCKER_CONFIG"), "/mine");
    let accounts = seen("agent", "cat /run/secrets/docker/config.json");
    assert_eq!(
        accounts,
        r#"{"auths":{"registry.example.com":{"auth":"dTpw"}}}"#
    );
    let id = host.inspect("agent", "{{.Id}}");
    assert_eq!(up().code, 0);
    assert_eq!(host.inspect("agent", "{{.Id}}"), id, "nothing changed");
    project.compose("down").ok();
    eventually("the servers went with the containers", || {
        servers(host).is_empty().then_some(())
    });
}
