//! Configs and secrets of a service, from every source, as the container finds them.

use std::os::unix::fs::MetadataExt;
use testkit::{Host, kernel, scenarios};

scenarios!(
    a_replaced_secret_reaches_only_who_is_recreated,
    contents_of_every_source_have_their_owner_and_mode_on_a_tmpfs,
    a_changed_content_recreates_its_services_and_no_others,
    secrets_and_configs_are_kept_by_name,
    what_is_not_kept_is_told_before_anything_is_made
);

const EVERY_SOURCE: &str = "\
services:
  web:
    image: busybox
    init: true
    command: sleep 1000
    read_only: true
    user: '1000:1000'
    configs:
      - source: text
        target: /etc/app/text
        uid: '1000'
        gid: '1000'
        mode: 0400
      - plain
    secrets:
      - source: variable
        target: token
        uid: '1000'
        mode: 0440
      - kept
      - source: owned
        mode: 0444
  mapped:
    image: busybox
    command: sleep 1000
    userns_mode: auto
    secrets:
      - source: variable
        uid: '1000'
        gid: '7'
        mode: 0400
configs:
  text:
    content: |
      name = ${NAME}
  plain:
    file: ./plain.conf
secrets:
  variable:
    environment: TOKEN
  owned:
    file: ./owned
  kept:
    external: true
    name: db_password
";

fn seen(pid: i32, path: &str) -> (u32, u32, u32) {
    let meta = std::fs::metadata(format!("/proc/{pid}/root{path}")).expect(path);
    (meta.uid(), meta.gid(), meta.mode() & 0o7777)
}

fn contents_of_every_source_have_their_owner_and_mode_on_a_tmpfs(host: &Host) {
    host.docker("secret create db_password -")
        .stdin("kept by name")
        .ok();
    let project = host.compose_file("sources", EVERY_SOURCE);
    project.write("plain.conf", "plain\n");
    project.write("owned", "owned\n");
    let up = project.compose("up -d").env("TOKEN", "hunter2");
    up.env("NAME", "shop").ok();
    let pid = host.pid("sources-web-1");
    for (path, content, owner) in [
        ("/etc/app/text", "name = shop\n", (1000, 1000, 0o400)),
        ("/run/secrets/token", "hunter2", (1000, 0, 0o440)),
        ("/run/secrets/kept", "kept by name", (0, 0, 0o444)),
        ("/run/secrets/owned", "owned\n", (0, 0, 0o444)),
    ] {
        assert_eq!(kernel::file_in(pid, path), content);
        assert_eq!(seen(pid, path), owner, "{path}");
        let mounts = kernel::mounts_of(pid);
        let mount = mounts.iter().find(|m| m.target == path).expect(path);
        assert_eq!(mount.kind, "tmpfs", "{path}");
        assert!(mount.has("ro"), "{path}");
    }
    assert_eq!(kernel::file_in(pid, "/plain"), "plain\n");
    // The container's own user reads what is its own, and nothing writes it.
    let read = "exec sources-web-1 cat /etc/app/text /run/secrets/token";
    assert_eq!(host.docker(read).ok(), "name = shop\nhunter2");
    let write = "exec -u 0 sources-web-1 sh -c 'echo x > /run/secrets/token'";
    assert_ne!(host.docker(write).run().code, 0);

    let listed = host.docker("exec sources-mapped-1 stat -c '%u %g %a' /run/secrets/variable");
    assert_eq!(listed.ok(), "1000 7 400");
    for shown in [
        host.docker("inspect sources-web-1").ok(),
        project
            .compose("config")
            .env("TOKEN", "hunter2")
            .env("NAME", "x")
            .ok(),
    ] {
        assert!(!shown.contains("hunter2"), "{shown}");
    }
    project
        .compose("down")
        .env("TOKEN", "")
        .env("NAME", "")
        .ok();
    let left = kernel::files_below(&host.data_root().join("compose"));
    assert!(left.is_empty(), "{left:?}");
}

fn a_changed_content_recreates_its_services_and_no_others(host: &Host) {
    host.docker("config create app -").stdin("one").ok();
    let project = host.compose_file(
        "change",
        "services:\n  with:\n    image: busybox\n    command: sleep 1000\n    init: true\n    configs: [app]\n\
         \x20 without:\n    image: busybox\n    command: sleep 1000\n    init: true\n\
         configs:\n  app:\n    external: true\n    name: app\n",
    );
    project.compose("up -d").ok();
    let before =
        ["with", "without"].map(|name| host.inspect(&format!("change-{name}-1"), "{{.Id}}"));
    project.compose("up -d").ok();
    assert_eq!(host.inspect("change-with-1", "{{.Id}}"), before[0]);
    host.docker("config create --replace app -")
        .stdin("two")
        .ok();
    let plan = project.compose("up --plan").fails(2);
    plan.says(&["change-with-1"]);
    project.compose("up -d").ok();
    assert_ne!(host.inspect("change-with-1", "{{.Id}}"), before[0]);
    assert_eq!(host.inspect("change-without-1", "{{.Id}}"), before[1]);
    assert_eq!(kernel::file_in(host.pid("change-with-1"), "/app"), "two");
    // Removed, it takes nothing from the container, also not when that starts again.
    host.docker("config rm app").ok();
    host.docker("restart -t 0 change-with-1").ok();
    assert_eq!(kernel::file_in(host.pid("change-with-1"), "/app"), "two");
}

fn secrets_and_configs_are_kept_by_name(host: &Host) {
    let file = host.folder("s").join("file");
    std::fs::write(&file, "from a file").expect("a file");
    let id = host
        .docker(&format!("secret create --label a=b one {}", file.display()))
        .ok();
    assert_eq!(id.len(), 25, "{id}");
    host.docker("secret create one -")
        .stdin("x")
        .fails(1)
        .says(&["secret one", "already exists"]);
    host.docker("secret create --env two WORD")
        .env("WORD", "hunter2")
        .ok();
    assert_eq!(
        host.docker("secret ls --format '{{.Name}} {{.ID}}' -f label=a=b")
            .ok(),
        format!("one {id}")
    );
    let shown = host.docker("secret inspect one two").ok();
    assert!(
        shown.contains("\"Name\": \"two\"") && !shown.contains("hunter2"),
        "{shown}"
    );
    let value = "secret inspect --showsecret -f '{{.SecretData}}' two";
    assert_eq!(host.docker(value).ok(), "hunter2");
    let data = host.data_root().join("secrets/two/data");
    let mode = data.metadata().expect("the secret").mode();
    assert_eq!(mode & 0o7777, 0o600);
    host.docker("config create conf -").stdin("foob").ok();
    assert_eq!(
        host.docker("config inspect -f '{{.Spec.Data}}' conf").ok(),
        "Zm9vYg=="
    );
    host.docker("config exists conf").ok();
    assert_eq!(host.docker("secret rm one two").ok(), "one\ntwo");
    assert!(!data.exists());
    host.docker("secret rm one")
        .fails(1)
        .says(&["not found", "one"]);
}

fn what_is_not_kept_is_told_before_anything_is_made(host: &Host) {
    let project = host.compose_file(
        "missing",
        "services:\n  web:\n    image: busybox\n    secrets: [key]\nsecrets:\n  key:\n    external: true\n    name: api_key\n",
    );
    let said = project.compose("up -d").run();
    assert_ne!(said.code, 0);
    said.says(&[
        "external secret key not found",
        "docker secret create api_key",
    ]);
    assert_eq!(host.docker("ps -aq").ok(), "");
    assert!(!host.docker("network ls").ok().contains("missing_default"));
}

fn a_replaced_secret_reaches_only_who_is_recreated(host: &Host) {
    host.docker("secret create pw -").stdin("one").ok();
    let yaml = "\
services:
  a: &service
    image: busybox
    command: sleep 1000
    stop_grace_period: 0s
    secrets: [pw]
  b: *service
secrets:
  pw:
    external: true
";
    let project = host.compose_file("kept", yaml);
    project.compose("up -d").ok();
    host.docker("secret create --replace pw -")
        .stdin("two")
        .ok();
    project.compose("up -d --no-deps a").ok();
    host.docker("restart kept-b-1").ok();
    let seen = |service: &str| kernel::file_in(host.pid(service), "/run/secrets/pw");
    assert_eq!(seen("kept-a-1"), "two");
    assert_eq!(seen("kept-b-1"), "one", "it was made with this");
    project.compose("up -d").ok();
    assert_eq!(seen("kept-b-1"), "two");
}
