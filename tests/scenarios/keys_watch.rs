//! `develop.watch`: real changes of files, and what containers see of them.

use rustix::process::Signal;
use testkit::{Host, eventually, kernel, scenarios};

scenarios!(
    every_action_of_watch_does_what_it_says,
    up_with_watch_stays_over_a_restart,
);

const WATCHED: &str = "\
services:
  web:
    build:
      context: .
      dockerfile_inline: |
        FROM busybox
        COPY built /built
        CMD [\"sleep\", \"1000\"]
    init: true
    develop:
      watch:
        - path: ./src
          action: sync
          target: /app/src
          ignore: [skipped/, '*.log']
          initial_sync: true
        - path: ./only
          action: sync
          target: /app/only
          include: ['*.js']
        - path: ./conf
          action: sync+restart
          target: /app/conf
        - path: ./exec
          action: sync+exec
          target: /app/exec
          exec:
            command: sh -c 'cat /app/exec/* > /ran; echo $$WORD >> /ran'
            environment: {WORD: done}
        - path: ./again
          action: restart
        - path: ./built
          action: rebuild
";

fn every_action_of_watch_does_what_it_says(host: &Host) {
    let project = host.compose_file("watched", WATCHED);
    for file in [
        "src/first",
        "src/skipped/x",
        "only/x.css",
        "conf/x",
        "exec/x",
        "again/x",
    ] {
        project.write(file, "0");
    }
    project.write("built", "one");
    let watch = project.compose("watch").start();
    watch.says("Watch enabled");
    let seen = |path: &str| kernel::file_in(host.pid("watched-web-1"), path);
    let there = |path: &str| {
        let root = format!("/proc/{}/root{path}", host.pid("watched-web-1"));
        std::path::Path::new(&root).symlink_metadata().is_ok()
    };
    assert_eq!(seen("/app/src/first"), "0", "initial_sync");
    assert!(!there("/app/src/skipped"));

    project.write("src/deep/er/file", "1");
    eventually("a new file in new directories", || {
        (there("/app/src/deep/er/file") && seen("/app/src/deep/er/file") == "1").then_some(())
    });
    project.write("src/x.log", "1");
    project.write("src/skipped/y", "1");
    project.write("only/x.css", "1");
    project.write("only/x.js", "1");
    std::fs::remove_dir_all(project.dir().join("src/deep")).expect("a directory");
    eventually("what is gone is gone there", || {
        (!there("/app/src/deep") && there("/app/only/x.js")).then_some(())
    });
    for ignored in ["/app/src/x.log", "/app/src/skipped", "/app/only/x.css"] {
        assert!(!there(ignored), "{ignored}");
    }

    project.write("exec/x", "2\n");
    eventually("the command has run", || {
        (there("/ran") && seen("/ran") == "2\ndone\n").then_some(())
    });
    for (file, content) in [("conf/x", "3"), ("again/x", "4")] {
        let before = host.pid("watched-web-1");
        project.write(file, content);
        eventually("it is restarted", || {
            let running = host.inspect("watched-web-1", "{{.State.Pid}}");
            (running != "0" && running != before.to_string()).then_some(())
        });
    }
    assert_eq!(seen("/app/conf/x"), "3");

    let before = host.inspect("watched-web-1", "{{.Id}}");
    project.write("built", "two");
    eventually("it is built and replaced", || {
        let now = host
            .docker("inspect -f '{{.Id}} {{.State.Running}}' watched-web-1")
            .run();
        let new = now.code == 0 && !now.stdout.contains(&before) && now.stdout.contains("true");
        (new && seen("/built") == "two").then_some(())
    });
    watch.signal(Signal::INT);
    assert_eq!(watch.end().0, 0);
    assert_eq!(host.inspect("watched-web-1", "{{.State.Running}}"), "true");
    let nothing = host.compose_file("plain", "services:\n  a:\n    image: busybox\n");
    nothing.compose("watch").fails(1).says(&["develop.watch"]);
}

fn up_with_watch_stays_over_a_restart(host: &Host) {
    let yaml = "\
services:
  app:
    image: busybox
    command: sh -c 'cat /conf/x; exec sleep 1000'
    init: true
    develop:
      watch: [{path: ./conf, action: sync+restart, target: /conf}]
";
    let project = host.compose_file("stays", yaml);
    project.write("conf/x", "zero\n");
    let up = project.compose("up --watch").start();
    up.says("Watch enabled");
    for word in ["one", "two"] {
        project.write("conf/x", &format!("{word}\n"));
        up.says(&format!("| {word}")); // the restarted container reads it
    }
    up.signal(Signal::INT);
    up.end();
    assert_eq!(host.docker("ps -q").ok(), "");
}
