//! Updates without an interruption: replicas replaced while a client asks without pause, a broken version that is taken back, and
//! what changes without a new container.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use testkit::{Host, Project, eventually, eventually_within, kernel, requires, scenarios};

scenarios!(
    no_request_fails_while_replicas_are_replaced_and_a_broken_version_is_taken_back,
    who_has_no_health_check_gets_requests_once_he_listens,
    a_killed_update_is_finished_by_the_next,
    a_slow_answer_ends_before_its_replica_does,
    an_update_that_fails_pauses_unless_told_otherwise,
    what_can_change_live_keeps_its_process,
);

/// Updates that a client must not notice.
const UPDATES: usize = 20;
/// Two clients, each with one connection for each request.
const CLIENTS: usize = 2;

const WEB: &str = r#"services:
  web:
    image: nginx:alpine
    environment: {LEVEL: "0"}
    ports: ["8080:80"]
    stop_grace_period: 5s
    healthcheck:
      test: ["CMD", "test", "-s", "/run/nginx.pid"]
      interval: 200ms
      retries: 2
    deploy:
      replicas: 3
      update_config: {order: start-first, parallelism: 2, monitor: 100ms, failure_action: rollback}
"#;

/// Asks without pause until told to stop.
struct Clients {
    over: AtomicBool,
    answered: AtomicUsize,
    failures: std::sync::Mutex<Vec<String>>,
}

impl Clients {
    fn during(port: u16, work: impl FnOnce()) -> Self {
        let clients = Self {
            over: AtomicBool::new(false),
            answered: AtomicUsize::new(0),
            failures: Default::default(),
        };
        std::thread::scope(|scope| {
            for _ in 0..CLIENTS {
                scope.spawn(|| clients.ask(port));
            }
            let worked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            clients.over.store(true, Ordering::Relaxed);
            if let Err(panic) = worked {
                std::panic::resume_unwind(panic);
            }
        });
        clients
    }

    fn ask(&self, port: u16) {
        while !self.over.load(Ordering::Relaxed) {
            match request(port, "/") {
                Ok(answer) if answer.starts_with("HTTP/1.1 200") => {
                    self.answered.fetch_add(1, Ordering::Relaxed);
                }
                Ok(answer) => self.fail(format!("answered {answer:?}")),
                Err(error) => self.fail(error.to_string()),
            }
        }
    }

    fn fail(&self, text: String) {
        self.failures.lock().unwrap().push(text);
    }

    fn noticed_nothing(self) {
        let failures = self.failures.into_inner().unwrap();
        let answered = self.answered.into_inner();
        assert!(
            failures.is_empty(),
            "{} of {} requests failed: {:?}",
            failures.len(),
            answered + failures.len(),
            failures.first()
        );
        assert!(answered > 50, "only {answered} requests");
    }
}

fn request(port: u16, path: &str) -> std::io::Result<String> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(10))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn ids(project: &Project<'_>) -> BTreeSet<String> {
    let listed = project.compose("ps -q web").ok();
    listed.lines().map(str::to_owned).collect()
}

/// The value each replica was given.
fn levels(host: &Host, project: &Project<'_>) -> Vec<String> {
    let of = |id: &String| {
        let env = host.inspect(id, "{{join .Config.Env \" \"}}");
        let level = env.split(' ').find_map(|e| e.strip_prefix("LEVEL="));
        level.unwrap_or_default().to_owned()
    };
    ids(project).iter().map(of).collect()
}

fn names(project: &Project<'_>) -> BTreeSet<String> {
    let listed = project.compose("ps -a --format '{{.Name}}'").ok();
    listed.lines().map(str::to_owned).collect()
}

fn three(name: &str) -> BTreeSet<String> {
    (1..=3).map(|n| format!("{name}-web-{n}")).collect()
}

fn no_request_fails_while_replicas_are_replaced_and_a_broken_version_is_taken_back(host: &Host) {
    requires!(host.has_image("nginx:alpine"), "image nginx:alpine");
    let project = host.compose_file("roll", WEB);
    project.compose("up -d --wait").ok();
    eventually("the port answers", || request(8080, "/").ok());
    let first = ids(&project);
    assert_eq!(first.len(), 3);
    let plan = project.compose("up -d --plan").run();
    assert_eq!(plan.code, 0, "{plan}");

    let clients = Clients::during(8080, || {
        for update in 1..=UPDATES {
            let before = format!("LEVEL: \"{}\"", update - 1);
            project.replace(
                "docker-compose.yml",
                &before,
                &format!("LEVEL: \"{update}\""),
            );
            project.compose("up -d").ok();
        }
        project.compose("rollback").ok();
        assert_eq!(levels(host, &project), vec![(UPDATES - 1).to_string(); 3]);
        project.compose("up -d").ok();
    });
    clients.noticed_nothing();
    assert!(ids(&project).is_disjoint(&first), "all are new");
    assert_eq!(levels(host, &project), vec![UPDATES.to_string(); 3]);
    assert_eq!(names(&project), three("roll"), "and have their names");

    let good = ids(&project);
    let clients = Clients::during(8080, || {
        let yaml = project.read("docker-compose.yml");
        let broken = yaml.replace("-s\", \"/run/nginx.pid", "-e\", \"/nowhere");
        assert_ne!(yaml, broken);
        project.write("docker-compose.yml", &broken);
        let failed = project.compose("up -d").fails(1);
        failed.says(&["unhealthy", "update of service web failed; rolled back"]);
        project.write("docker-compose.yml", &yaml);
    });
    clients.noticed_nothing();
    assert_eq!(ids(&project), good, "none was touched");
    assert_eq!(names(&project), three("roll"), "and nothing is left over");
    assert_eq!(project.compose("up -d --plan").run().code, 0);
    project.compose("down").ok();
}

fn who_has_no_health_check_gets_requests_once_he_listens(host: &Host) {
    requires!(host.has_image("nginx:alpine"), "image nginx:alpine");
    let yaml = "services:\n  web:\n    image: nginx:alpine\n    environment: {LEVEL: '0'}\n    ports: ['8085:80']\n    \
        stop_grace_period: 5s\n    command: [sh, -c, 'sleep 0.7; exec nginx -g \"daemon off;\"']\n    deploy:\n      replicas: 2\n      \
        update_config: {order: start-first, parallelism: 2, monitor: 0s}\n";
    let project = host.compose_file("unchecked", yaml);
    project.compose("up -d").ok();
    eventually("the port answers", || request(8085, "/").ok());
    // The other one may take a moment longer.
    eventually("both answer", || {
        (0..16).all(|_| request(8085, "/").is_ok()).then_some(())
    });
    let clients = Clients::during(8085, || {
        for level in 1..=3 {
            let level = format!("LEVEL: '{level}'");
            project.write("docker-compose.yml", &yaml.replace("LEVEL: '0'", &level));
            project.compose("up -d").ok();
        }
    });
    clients.noticed_nothing();
    assert_eq!(levels(host, &project), ["3", "3"]);
    assert_eq!(project.compose("up -d --plan").run().code, 0);
    project.compose("down").ok();
}

fn a_killed_update_is_finished_by_the_next(host: &Host) {
    requires!(host.has_image("nginx:alpine"), "image nginx:alpine");
    let yaml = WEB.replace("8080:80", "8084:80");
    let project = host.compose_file("killed", &yaml);
    project.compose("up -d --wait").ok();
    eventually("the port answers", || request(8084, "/").ok());
    let clients = Clients::during(8084, || {
        for level in 1..=3 {
            let level = format!("LEVEL: \"{level}\"");
            project.write("docker-compose.yml", &yaml.replace("LEVEL: \"0\"", &level));
            let before = ids(&project);
            let update = project.compose("up -d").start();
            eventually("the update is under way", || {
                (ids(&project) != before).then_some(())
            });
            update.kill_9();
            project.compose("up -d").ok();
            assert_eq!(names(&project), three("killed"), "nothing is left over");
        }
        assert_eq!(levels(host, &project), ["3", "3", "3"]);
    });
    clients.noticed_nothing();
    assert_eq!(project.compose("up -d --plan").run().code, 0);
    project.compose("down").ok();
}

fn a_slow_answer_ends_before_its_replica_does(host: &Host) {
    // Answers two seconds late, and is killed by its stop signal at once.
    let server = "services:\n  web:\n    image: busybox\n    environment: {LEVEL: '1'}\n    ports: ['8081:80']\n    \
        command: [sh, -c, \"printf '#!/bin/sh\\necho; sleep 2; echo late' > /slow; chmod +x /slow; exec nc -ll -p 80 -e /slow\"]\n    \
        stop_signal: SIGKILL\n    stop_grace_period: 20s\n    deploy:\n      replicas: 1\n      \
        update_config: {order: start-first, monitor: 0s}\n";
    let project = host.compose_file("slow", server);
    project.compose("up -d").ok();
    eventually("it listens", || TcpStream::connect("127.0.0.1:8081").ok());
    let old = ids(&project);
    let mut stream = TcpStream::connect("127.0.0.1:8081").expect("a connection");
    let timeout = Some(Duration::from_secs(30));
    stream.set_read_timeout(timeout).expect("a timeout");
    let mut first = [0];
    stream.read_exact(&mut first).expect("the answer begins");
    project.replace("docker-compose.yml", "LEVEL: '1'", "LEVEL: '2'");
    project.compose("up -d").ok();
    assert!(ids(&project).is_disjoint(&old), "replaced");
    let mut rest = String::new();
    stream
        .read_to_string(&mut rest)
        .expect("no reset in the middle");
    assert_eq!(rest.trim(), "late");
    project.compose("down -t 0").ok();
}

fn an_update_that_fails_pauses_unless_told_otherwise(host: &Host) {
    let yaml = "services:\n  web:\n    image: busybox\n    command: sleep 1000\n    stop_grace_period: 0s\n    deploy:\n      \
        replicas: 3\n      update_config: {order: start-first, monitor: 2s, delay: 2s}\n";
    let project = host.compose_file("pause", yaml);
    project.compose("up -d").ok();
    let before = ids(&project);
    let broken = yaml.replace(
        "command: sleep 1000",
        "command: [sh, -c, 'sleep 1; echo no database >&2; exit 3']",
    );
    project.write("docker-compose.yml", &broken);
    let failed = project.compose("up -d").fails(1);
    failed.says(&[
        "exited (3)",
        "| no database",
        "update of service web paused",
    ]);
    let running = ids(&project);
    assert!(before.intersection(&running).count() >= 2, "{running:?}");

    project.write(
        "docker-compose.yml",
        &broken.replace("delay: 2s", "delay: 2s, failure_action: continue"),
    );
    project.compose("up -d").fails(1).says(&["exited (3)"]);
    assert!(ids(&project).is_disjoint(&before), "all were tried");

    project.write("docker-compose.yml", yaml);
    project.compose("up -d").ok();
    assert_eq!(ids(&project).len(), 3);
    assert_eq!(names(&project), three("pause"), "nothing is left over");
    project.compose("down").ok();
}

/// Files of both roots, elements of the packet filter, processes.
fn everything(host: &Host) -> (Vec<BTreeSet<String>>, Vec<String>, Vec<i32>) {
    let roots = [host.data_root(), host.run_root()];
    (
        roots.map(|root| kernel::files_below(&root)).to_vec(),
        kernel::nft_elements(),
        host.processes(),
    )
}

fn what_can_change_live_keeps_its_process(host: &Host) {
    let yaml = "services:\n  web:\n    image: busybox\n    command: nc -ll -p 80 -e echo hello\n    stop_grace_period: 0s\n    \
        networks: [default]\nnetworks:\n  default: {}\n  extra: {}\n";
    let project = host.compose_file("live", yaml);
    project.compose("up -d").ok();
    let id = project.compose("ps -q web").ok();
    let pid = host.pid(&id);
    let changed = yaml.replace(
        "    networks: [default]",
        "    networks: [default, extra]\n    ports: ['8082:80', '8083:80']\n    mem_limit: 64m\n    restart: always\n    labels: {tier: front}",
    );
    project.write("docker-compose.yml", &changed);
    let before = everything(host);
    let plan = project.compose("up -d --plan").run();
    assert_eq!(plan.code, 2, "{plan}");
    assert_eq!(everything(host), before, "a plan changes nothing");
    plan.says(&[
        "UpdateContainer live-web-1",
        "ConnectNetwork live-web-1 to live_extra",
    ]);
    assert!(!plan.stdout.contains("CreateContainer"), "{plan}");
    assert!(TcpStream::connect("127.0.0.1:8082").is_err(), "a plan only");

    project.compose("up -d").ok();
    assert_eq!(project.compose("ps -q web").ok(), id);
    assert_eq!(host.pid(&id), pid, "the same process");
    for port in [8082, 8083] {
        eventually("the port leads there", || {
            let mut text = String::new();
            let stream = TcpStream::connect(("127.0.0.1", port)).ok();
            stream?.read_to_string(&mut text).ok()?;
            (text.trim() == "hello").then_some(())
        });
    }
    assert_eq!(kernel::addresses_in(pid).len(), 2, "in two networks");
    let limit = kernel::cgroup_file(pid, "memory", ["memory.max", "memory.limit_in_bytes"]);
    assert_eq!(limit.unwrap_or_default().trim(), (64 << 20).to_string());
    assert_eq!(host.inspect(&id, "{{.Config.Labels.tier}}"), "front");
    assert_eq!(
        host.inspect(&id, "{{.HostConfig.RestartPolicy.Name}}"),
        "always"
    );
    let again = project.compose("up -d --plan").run();
    assert_eq!(again.code, 0, "it is as the file wants it: {again}");

    let fewer = changed
        .replace(", '8083:80'", "")
        .replace("[default, extra]", "[default]");
    project.write("docker-compose.yml", &fewer);
    project.compose("up -d").ok();
    assert_eq!(host.pid(&id), pid);
    eventually_within(Duration::from_secs(5), "the port is given up", || {
        TcpStream::connect("127.0.0.1:8083").is_err().then_some(())
    });
    assert!(TcpStream::connect("127.0.0.1:8082").is_ok());
    project.compose("down").ok();
}
