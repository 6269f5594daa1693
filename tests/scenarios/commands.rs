//! Commands that are more than a plan: a container's files as an image and as an archive, copies between services, waiting, the keys
//! of an attached `up`.

use testkit::{Host, eventually, kernel, scenarios};

scenarios!(
    a_containers_changes_are_told_and_become_an_image,
    an_export_has_the_containers_own_files_and_nothing_mounted_over_them,
    files_of_ids_of_its_own_keep_their_owners,
    compose_commits_and_exports_a_service,
    files_go_from_one_service_to_another_and_to_every_replica,
    waiting_counts_a_task_that_has_done_its_work,
    wait_takes_the_project_down_with_the_first_that_ends,
    kill_leaves_orphans_alone_unless_asked,
    processes_of_all_services_stand_in_one_table,
    keys_show_the_state_and_leave_everything_running,
    restart_waits_for_health_as_up_does,
    the_second_interrupt_kills,
    an_attached_up_ends_as_it_was_told_to,
);

fn a_containers_changes_are_told_and_become_an_image(host: &Host) {
    host.docker("run -d --name cc -v data:/data busybox sh -c 'echo hi > /new; ln /new /hard; rm /etc/passwd; mkdir -p /d/e; echo x > /data/x; touch /ready; sleep 1000'").ok();
    eventually("it has done its work", || {
        host.docker("diff cc")
            .ok()
            .contains("A /ready")
            .then_some(())
    });
    let diff = host.docker("diff cc").ok();
    let lines: Vec<&str> = diff.lines().collect();
    assert_eq!(
        lines,
        [
            "A /d",
            "A /d/e",
            "A /data",
            "C /etc",
            "D /etc/passwd",
            "A /hard",
            "A /new",
            "A /ready"
        ]
    );
    // What is refused is refused before anything is made.
    host.docker("commit -c 'RUN true' cc bad:1").fails(1);
    host.docker("image inspect bad:1").fails(1);
    let id = host
        .docker("commit -m why -a me -c 'ENV A=1' -c 'CMD [\"cat\",\"/new\"]' cc flat:1")
        .ok();
    assert!(id.starts_with("sha256:"), "{id}");
    assert_eq!(host.docker("run --rm flat:1").ok(), "hi");
    host.docker("run --rm flat:1 test -e /etc/passwd").fails(1);
    // A hard link stays one; what is in a volume is not in the image.
    assert_eq!(host.docker("run --rm flat:1 stat -c %h /hard").ok(), "2");
    host.docker("run --rm flat:1 test -e /data/x").fails(1);
    assert_eq!(
        host.inspect("flat:1", "{{.Author}} {{index .Config.Env 1}}"),
        "me A=1"
    );
    assert_eq!(
        host.inspect("cc", "{{.State.Status}}"),
        "running",
        "thawed again"
    );
    // The same files make the same layer.
    let layers = |name: &str| host.inspect(name, "{{json .RootFS.Layers}}");
    host.docker("commit cc flat:2").ok();
    assert_eq!(layers("flat:1"), layers("flat:2"));
}

fn an_export_has_the_containers_own_files_and_nothing_mounted_over_them(host: &Host) {
    host.docker("run -d --name cc -v data:/etc/network busybox sh -c 'echo x > /etc/network/volume; echo hi > /new; sleep 1000'").ok();
    eventually("it has written", || {
        host.docker("diff cc").ok().contains("A /new").then_some(())
    });
    let dir = host.folder("exported");
    let names = |file: &str| {
        host.docker(&format!("export -o {file} cc")).dir(&dir).ok();
        kernel::tool_ok(&format!("tar tf {}/{file}", dir.display()))
    };
    let running = names("running.tar");
    let has = |text: &str, name: &str| text.lines().any(|line| line == name);
    assert!(has(&running, "new") && has(&running, "bin/sh"), "{running}");
    // The image's files below the volume, not the volume's; no process is in /proc.
    assert!(has(&running, "etc/network/if-up.d/"), "{running}");
    assert!(!has(&running, "etc/network/volume"), "{running}");
    assert!(!running.contains("proc/1"), "{running}");
    host.docker("stop -t 0 cc").ok();
    assert_eq!(names("stopped.tar"), running);
    let sum = |file: &str| kernel::tool_ok(&format!("sha256sum {}/{file}", dir.display()));
    names("again.tar");
    assert_eq!(
        sum("stopped.tar").split(' ').next(),
        sum("again.tar").split(' ').next()
    );
    let left = kernel::files_below(&dir);
    assert!(left.iter().all(|f| !f.contains("partial")), "{left:?}");

    host.docker("import -c 'CMD [\"cat\",\"/new\"]' stopped.tar flat:1")
        .dir(&dir)
        .ok();
    assert_eq!(host.docker("run --rm flat:1").ok(), "hi");
    host.docker("import http://example.com/a.tar").fails(1);
}

fn files_of_ids_of_its_own_keep_their_owners(host: &Host) {
    host.docker(
        "run -d --name cc --userns=auto busybox sh -c 'echo hi > /new; chown 7:8 /new; sleep 1000'",
    )
    .ok();
    eventually("it has written", || {
        host.docker("exec cc stat -c %u /new")
            .run()
            .all()
            .starts_with('7')
            .then_some(())
    });
    let file = host.folder("exported").join("a.tar");
    let owner = || {
        host.docker("export -o").arg(&file).arg("cc").ok();
        let list = kernel::tool_ok(&format!("tar tvnf {}", file.display()));
        let line = list
            .lines()
            .find(|l| l.ends_with(" new"))
            .map(str::to_owned);
        line.unwrap_or(list)
    };
    assert!(owner().contains(" 7/8 "), "{}", owner());
    host.docker("commit cc own:1").ok();
    assert_eq!(host.docker("run --rm own:1 stat -c %u:%g /new").ok(), "7:8");
    host.docker("stop -t 0 cc").ok();
    assert!(owner().contains(" 7/8 "), "{}", owner());
}

fn compose_commits_and_exports_a_service(host: &Host) {
    let yaml = "services:\n  web:\n    image: busybox\n    scale: 2\n    command: sh -c 'hostname > /me; sleep 1000'\n    stop_grace_period: 0s\n";
    let project = host.compose_file("made", yaml);
    project.compose("up -d").ok();
    project
        .compose("commit --index 2 -c 'CMD [\"cat\",\"/me\"]' web second:1")
        .ok();
    let second = project.compose("exec --index 2 web hostname").ok();
    assert_eq!(host.docker("run --rm second:1").ok(), second);
    project.compose("export --index 1 -o one.tar web").ok();
    let names = kernel::tool_ok(&format!("tar tf {}/one.tar", project.dir().display()));
    assert!(names.lines().any(|line| line == "me"), "{names}");
    project.compose("export --index 3 web").fails(1);
    project.compose("down").ok();
}

fn files_go_from_one_service_to_another_and_to_every_replica(host: &Host) {
    let yaml = "services:\n  from:\n    image: busybox\n    command: sleep 1000\n    stop_grace_period: 0s\n  to:\n    image: busybox\n    scale: 2\n    command: sleep 1000\n    stop_grace_period: 0s\n";
    let project = host.compose_file("copied", yaml);
    project.compose("up -d").ok();
    project
        .compose("exec -T from sh -c 'mkdir /d; echo one > /d/a'")
        .ok();
    project.compose("cp from:/d to:/tmp").ok();
    for index in [1, 2] {
        let text = project
            .compose(&format!("exec -T --index {index} to cat /tmp/d/a"))
            .ok();
        assert_eq!(text, "one");
    }
    project.write("f", "two\n");
    project.compose("cp --index 2 f to:/f").ok();
    project.compose("exec -T --index 1 to test -e /f").fails(1);
    assert_eq!(project.compose("exec -T --index 2 to cat /f").ok(), "two");
    let tar = project.compose("cp from:/d -").run();
    assert!(tar.stdout.contains("d/a"), "an archive");
    project.compose("cp a b").fails(1);
    project.compose("cp f to:/no/such/place/").fails(1);
    project.compose("down").ok();
}

fn waiting_counts_a_task_that_has_done_its_work(host: &Host) {
    let yaml = "services:\n  task:\n    image: busybox\n    command: 'true'\n  web:\n    image: busybox\n    command: sleep 1000\n    stop_grace_period: 0s\n    depends_on:\n      task: {condition: service_completed_successfully}\n";
    let project = host.compose_file("waited", yaml);
    project.compose("up --wait --wait-timeout 60").ok();
    assert!(kernel::lives(host.pid("waited-web-1")));
    project.compose("stop").ok();
    project.compose("start --wait --wait-timeout 60").ok();
    assert!(kernel::lives(host.pid("waited-web-1")));
    project.compose("down").ok();

    project.replace(
        "docker-compose.yml",
        "command: 'true'",
        "command: sh -c 'exit 4'",
    );
    project
        .compose("up --wait --wait-timeout 60")
        .fails(1)
        .says(&["exit 4"]);
    project.compose("down").ok();
}

fn wait_takes_the_project_down_with_the_first_that_ends(host: &Host) {
    let yaml = "services:\n  long:\n    image: busybox\n    command: sleep 1000\n    stop_grace_period: 0s\n  short:\n    image: busybox\n    command: sh -c 'while ! test -e /go; do sleep 0.1; done; exit 3'\n    stop_grace_period: 0s\n";
    let project = host.compose_file("first", yaml);
    project.compose("up -d").ok();
    let waiter = project.compose("wait --down-project long short").start();
    project.compose("exec -T short touch /go").ok();
    let (code, said) = waiter.end();
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("exited with status code 3"), "{said}");
    assert_eq!(host.docker("ps -aq").ok(), "");
}

fn kill_leaves_orphans_alone_unless_asked(host: &Host) {
    let two = "services:\n  a:\n    image: busybox\n    command: sleep 1000\n  b:\n    image: busybox\n    command: sleep 1000\n";
    let project = host.compose_file("killed", two);
    project.compose("up -d").ok();
    let b = host.pid("killed-b-1");
    project.write(
        "docker-compose.yml",
        &two[..two.find("  b:").expect("two services")],
    );
    project.compose("kill").ok();
    eventually("a is dead", || {
        (host.inspect("killed-a-1", "{{.State.Status}}") == "exited").then_some(())
    });
    assert!(kernel::lives(b));
    project.compose("kill --remove-orphans").ok();
    eventually("b is dead", || (!kernel::lives(b)).then_some(()));
    project
        .compose("kill")
        .run()
        .says(&["No container to kill"]);
    project.compose("down --remove-orphans").ok();
}

fn processes_of_all_services_stand_in_one_table(host: &Host) {
    let yaml = "services:\n  a:\n    image: busybox\n    scale: 2\n    command: sleep 1001\n    stop_grace_period: 0s\n  other:\n    image: busybox\n    command: sleep 1002\n    stop_grace_period: 0s\n";
    let project = host.compose_file("topped", yaml);
    project.compose("up -d").ok();
    let top = project.compose("top").ok();
    let rows: Vec<Vec<&str>> = top
        .lines()
        .map(|l| l.split_whitespace().collect())
        .collect();
    assert_eq!(rows[0][..4], ["SERVICE", "#", "UID", "PID"], "{top}");
    let named: Vec<(&str, &str)> = rows[1..].iter().map(|r| (r[0], r[1])).collect();
    assert_eq!(named, [("a", "1"), ("a", "2"), ("other", "1")], "{top}");
    let pid: i32 = rows[3][3].parse().expect("a pid");
    assert_eq!(kernel::command_line(pid), "sleep 1002");
    project
        .compose("logs --index 1")
        .fails(1)
        .says(&["--index requires one service"]);
    project.compose("down").ok();
}

fn keys_show_the_state_and_leave_everything_running(host: &Host) {
    let yaml = "services:\n  web:\n    image: busybox\n    command: sh -c 'echo here; sleep 1000'\n    stop_grace_period: 0s\n";
    let project = host.compose_file("keyed", yaml);
    let file = project.dir().join("docker-compose.yml");
    let up = format!("compose -f {} up", file.display());
    let mut on = host.on_a_terminal(&up).start();
    on.says("Attaching to web-1");
    on.says("Detach");
    on.write(b"v");
    on.says("running");
    on.write(b"o");
    on.says("image: busybox");
    on.write(b"d");
    let (code, said) = on.end();
    assert_eq!(code, 0, "{said}");
    assert!(kernel::lives(host.pid("keyed-web-1")));

    // Without the menu a key is a key.
    let mut on = host.on_a_terminal(&format!("{up} --menu=false")).start();
    on.says("Attaching to web-1");
    on.write(b"d");
    on.write(b"\x03");
    let (code, said) = on.end();
    assert_eq!(code, 130, "{said}");
    assert!(!said.contains("Detach"), "{said}");
    assert_eq!(host.inspect("keyed-web-1", "{{.State.Status}}"), "exited");
    project.compose("down").ok();
}

fn the_second_interrupt_kills(host: &Host) {
    let yaml = "services:\n  deaf:\n    image: busybox\n    command: sh -c 'trap \"\" TERM; echo up; while true; do sleep 0.1; done'\n    stop_grace_period: 10m\n";
    let project = host.compose_file("deaf", yaml);
    let up = project.compose("up").start();
    up.says("up");
    up.says("Attaching to deaf-1");
    let pid = host.pid("deaf-deaf-1");
    up.signal(rustix::process::Signal::INT);
    up.says("Gracefully Stopping... press Ctrl+C again to force");
    assert!(kernel::lives(pid));
    up.signal(rustix::process::Signal::INT);
    let (code, said) = up.end();
    assert_eq!(code, 130, "{said}");
    assert!(said.contains("Killing"), "{said}");
    eventually("it is dead", || (!kernel::lives(pid)).then_some(()));
    project.compose("down").ok();
}

fn an_attached_up_ends_as_it_was_told_to(host: &Host) {
    let yaml = "services:\n  task:\n    image: busybox\n    command: sh -c 'echo from task; exit 5'\n    depends_on: [web]\n  \
                web:\n    image: busybox\n    command: sh -c 'echo from web; exec sleep 1000'\n    stop_grace_period: 0s\n  \
                well:\n    image: busybox\n    command: 'true'\n";
    let project = host.compose_file("told", yaml);
    let failure = project
        .compose("up --abort-on-container-failure --no-attach web")
        .fails(5);
    failure.says(&["from task"]);
    assert!(!failure.all().contains("from web"), "{failure}");
    assert_eq!(
        host.inspect("told-web-1", "{{.State.Status}}"),
        "exited",
        "all were stopped"
    );
    // The end of another one stops everything, the code is that of the one asked for.
    project.compose("up --exit-code-from web").fails(137);
    // Only what is named is shown, unless what it needs is asked for, too.
    let only = project
        .compose("up --abort-on-container-exit task")
        .fails(5);
    assert!(!only.all().contains("from web"), "{only}");
    // What it needs runs on, as it was brought up for it and not named.
    assert_eq!(
        host.inspect("told-web-1", "{{.State.Status}}"),
        "running",
        "only what was named is stopped"
    );
    project.compose("stop").ok();
    let both = project
        .compose("up --abort-on-container-exit --attach-dependencies task")
        .fails(5);
    both.says(&["from task", "from web"]);
    project
        .compose("up -d --exit-code-from web")
        .fails(1)
        .says(&["--detach cannot be combined"]);
    project.compose("down").ok();
}

fn restart_waits_for_health_as_up_does(host: &Host) {
    let yaml = "services:\n  web:\n    image: busybox\n    command: sh -c 'test -e /shared/ok && echo in order || echo too early; exec sleep 1000'\n    \
                volumes: ['shared:/shared']\n    stop_grace_period: 0s\n    depends_on:\n      db: {condition: service_healthy}\n  \
                db:\n    image: busybox\n    volumes: ['shared:/shared']\n    stop_grace_period: 0s\n    \
                command: sh -c 'rm -f /shared/ok; sleep 1; touch /shared/ok; exec sleep 1000'\n    \
                healthcheck: {test: 'test -e /shared/ok', interval: 200ms, retries: 100}\nvolumes: {shared: {}}\n";
    let project = host.compose_file("again", yaml);
    project.compose("up -d").ok();
    project.compose("restart").ok();
    let log = project.compose("logs --no-log-prefix web").ok();
    assert_eq!(log.lines().collect::<Vec<_>>(), ["in order", "in order"]);
    let graph = project.compose("alpha viz").ok();
    assert!(graph.contains("\"web\" -> \"db\";"), "{graph}");
    project.compose("down -v").ok();
}
