//! Mounts: what lies below a bind mount's source, parts of images, volumes that are something else, hardware addresses.

use std::os::unix::fs::MetadataExt;
use testkit::{Host, kernel, scenarios};

scenarios!(
    what_is_mounted_below_a_source_is_as_it_is_asked_for,
    volumes_are_made_of_what_their_driver_is_told,
    a_service_has_the_hardware_address_it_names,
    a_mounted_image_that_is_built_anew_replaces_its_consumers,
    an_external_volume_is_found_by_its_name
);

const BELOW: &str = "\
services:
  app:
    image: busybox
    command: sleep 1000
    init: true
    volumes:
      - ./src:/short:ro
      - {type: bind, source: ./src, target: /enabled, read_only: true, bind: {recursive: enabled}}
      - {type: bind, source: ./src, target: /disabled, read_only: true, bind: {recursive: disabled}}
      - {type: bind, source: ./src, target: /writable, read_only: true, bind: {recursive: writable}}
      - {type: bind, source: ./src, target: /readonly, read_only: true, bind: {recursive: readonly}}
      - {type: bind, source: ./src, target: /open}
      - {type: image, source: busybox, target: /part, image: {subpath: bin}}
  mapped:
    image: busybox
    command: sleep 1000
    init: true
    userns_mode: auto
    volumes: ['./src:/short:ro']
";

fn what_is_mounted_below_a_source_is_as_it_is_asked_for(host: &Host) {
    let project = host.compose_file("below", BELOW);
    project.write("src/below/placeholder", "");
    let below = project.dir().join("src/below");
    // In the scenario's own mount namespace, whose memory goes with it.
    kernel::tool_ok(&format!(
        "mount -t tmpfs -o mode=777 none {}",
        below.display()
    ));
    std::fs::write(below.join("file"), "below").expect("a file");
    project.compose("up -d").ok();
    let mounts = kernel::mounts_of(host.pid("below-app-1"));
    let at = |target: &str| mounts.iter().find(|m| m.target == target);
    for target in ["short", "enabled", "disabled", "writable", "readonly"] {
        let top = at(&format!("/{target}")).expect(target);
        assert!(top.has("ro"), "{target}: {top:?}");
    }
    for target in ["short", "enabled", "readonly"] {
        let lower = at(&format!("/{target}/below")).expect(target);
        assert!(lower.has("ro"), "{target}: {lower:?}");
    }
    assert!(at("/writable/below").expect("seen").has("rw"));
    assert!(at("/open/below").expect("seen").has("rw"));
    assert!(at("/disabled/below").is_none());
    let write = |target: &str| {
        let call = format!("exec below-app-1 touch /{target}/below/new");
        host.docker(&call).run().code == 0
    };
    assert!(write("writable") && write("open"));
    assert!(!write("short") && !write("enabled") && !write("readonly"));
    assert!(
        std::fs::write(below.join("host"), "").is_ok(),
        "only in the container"
    );
    let mapped = kernel::mounts_of(host.pid("below-mapped-1"));
    let lower = mapped.iter().find(|m| m.target == "/short/below");
    assert!(lower.expect("seen").has("ro"));
    host.docker("exec below-app-1 test -x /part/busybox").ok();
    assert_ne!(
        host.docker("exec below-app-1 test -e /part/bin").run().code,
        0
    );
    project.compose("down -t 0").ok();

    for (number, (rest, said)) in [
        ("bind: {recursive: readonly}", "needs a read-only mount"),
        ("bind: {recursive: writable}", "read-only mounts only"),
        (
            "read_only: true, bind: {recursive: readonly, propagation: rslave}",
            "rprivate",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let yaml = format!(
            "services:\n  app:\n    image: busybox\n    volumes: [{{type: bind, source: ./src, target: /a, {rest}}}]\n"
        );
        let project = host.compose_file(&format!("contrary{number}"), &yaml);
        let output = project.compose("up -d").run();
        assert_ne!(output.code, 0, "{rest}");
        output.says(&["services.app.volumes[0].bind.recursive", said]);
        assert_eq!(host.docker("ps -aq").ok(), "");
    }
    let src = project.dir().join("src");
    let flags = |rest: &str| {
        format!(
            "run --rm --mount type=bind,src={},dst=/a,{rest} busybox touch /a/below/it",
            src.display()
        )
    };
    assert_ne!(host.docker(&flags("readonly")).run().code, 0);
    host.docker(&flags("readonly,bind-recursive=writable")).ok();
    host.docker(&flags("bind-recursive=readonly")).fails(125);
    kernel::tool_ok(&format!("umount {}", below.display()));
}

const DRIVERS: &str = "\
services:
  app:
    image: busybox
    command: sleep 1000
    init: true
    volumes: ['folder:/folder', 'plain:/plain', 'memory:/memory']
volumes:
  folder: {driver: local, driver_opts: {type: none, o: bind, device: '${PWD}/target'}}
  plain: {driver_opts: {o: 'bind,ro', device: '${PWD}/target'}, labels: [of=us]}
  memory: {driver: local, driver_opts: {type: tmpfs, o: 'size=3m,mode=750,uid=7', device: tmpfs}}
";

fn volumes_are_made_of_what_their_driver_is_told(host: &Host) {
    let project = host.compose_file("drivers", DRIVERS);
    project.write("target/file", "of the host");
    let compose = |words: &str| project.compose(words).env("PWD", project.dir());
    let said = compose("up -d").run();
    assert_eq!(said.code, 0, "{said}");
    let pid = host.pid("drivers-app-1");
    assert_eq!(kernel::file_in(pid, "/folder/file"), "of the host");
    assert_eq!(kernel::file_in(pid, "/plain/file"), "of the host");
    let mounts = kernel::mounts_of(pid);
    let at = |target: &str| mounts.iter().find(|m| m.target == target).expect(target);
    assert!(at("/folder").has("rw") && at("/plain").has("ro"));
    let memory = std::fs::metadata(format!("/proc/{pid}/root/memory")).expect("there");
    assert_eq!((memory.mode() & 0o7777, memory.uid()), (0o750, 7));
    assert_eq!(at("/memory").kind, "tmpfs");
    assert!(at("/memory").has("size=3072k") && at("/memory").has("rw"));
    // One memory for all that run at a time, each with the flags of its own mount; nothing of it is the host's.
    let exec = |name: &str, words: &str| host.docker(&format!("exec {name} {words}"));
    exec("drivers-app-1", "sh -c 'echo shared > /memory/file'").ok();
    host.docker("run -d --name late --init -v drivers_memory:/m:ro busybox sleep 1000")
        .ok();
    assert_eq!(exec("late", "cat /m/file").ok(), "shared");
    assert_ne!(exec("late", "touch /m/new").run().code, 0);
    host.docker("restart -t 0 drivers-app-1").ok();
    assert_eq!(exec("drivers-app-1", "cat /memory/file").ok(), "shared");
    exec("drivers-app-1", "touch /memory/new").ok();
    assert!(!kernel::tool_ok("mount").contains("3072k"));
    host.docker("rm -f late").ok();
    host.docker("restart -t 0 drivers-app-1").ok();
    assert_eq!(
        exec("drivers-app-1", "ls /memory").ok(),
        "",
        "the last one has gone"
    );
    let wrong = "volume create -d local -o type=tmpfs -o o=size=much wrong";
    host.docker(wrong).fails(1).says(&["size=much"]);
    host.docker(
        "run --rm --mount type=volume,src=drivers_memory,dst=/m,volume-subpath=a busybox true",
    )
    .fails(125)
    .says(&["subpath", "mounted whole"]);
    host.docker("exec drivers-app-1 touch /folder/new").ok();
    assert!(project.dir().join("target/new").exists());
    let label = "volume inspect -f '{{.Labels.of}} {{.Driver}}' drivers_plain";
    assert_eq!(host.docker(label).ok(), "us local");
    compose("down -v").ok();
    assert!(
        project.dir().join("target/new").exists(),
        "the host's own stays"
    );

    let network = "services:\n  app:\n    image: busybox\n    volumes: ['far:/far']\nvolumes:\n  far:\n    \
                   driver_opts: {type: nfs, o: 'addr=192.0.2.1,rw', device: ':/export'}\n";
    let project = host.compose_file("far", network);
    let refused = project.compose("up -d").run();
    assert_ne!(refused.code, 0);
    // Not on a kernel without it: there the type is named.
    if !std::fs::read_to_string("/proc/filesystems").is_ok_and(|all| all.contains("nfs")) {
        refused.says(&["far", "volume type \"nfs\"", "modprobe nfs"]);
    }
    assert_eq!(host.docker("ps -aq").ok(), "");
}

fn a_service_has_the_hardware_address_it_names(host: &Host) {
    let yaml = "services:\n  app:\n    image: busybox\n    command: sleep 1000\n    init: true\n    mac_address: 02:42:ac:11:00:07\n    \
                networks: {back: {}, front: {priority: 10}}\nnetworks: {back: {}, front: {}}\n";
    let project = host.compose_file("hardware", yaml);
    project.compose("up -d").ok();
    let template =
        "{{range $name, $net := .NetworkSettings.Networks}}{{$name}} {{$net.MacAddress}} {{end}}";
    let shown = host.inspect("hardware-app-1", template);
    assert!(
        shown.contains("hardware_front 02:42:ac:11:00:07"),
        "{shown}"
    );
    let pid = host.pid("hardware-app-1");
    let links = kernel::tool(&format!("nsenter -t {pid} -n ip -o link show"));
    assert_eq!(links.matches("02:42:ac:11:00:07").count(), 1, "{links}");
    project.compose("down").ok();
}

const MOUNTED: &str = "\
services:
  tools:
    build: {dockerfile_inline: \"FROM busybox\\nRUN echo '${LEVEL:-one}' > /level\\n\"}
    image: tools:mine
    command: 'true'
  app:
    image: busybox
    command: sleep 1000
    init: true
    volumes: [{type: image, source: 'tools:mine', target: /tools}]
";

fn a_mounted_image_that_is_built_anew_replaces_its_consumers(host: &Host) {
    let project = host.compose_file("mounted", MOUNTED);
    let level = || host.docker("exec mounted-app-1 cat /tools/level").ok();
    project.compose("build -q").ok();
    project.compose("up -d").ok();
    assert_eq!(level(), "one");
    let before = host.inspect("mounted-app-1", "{{.Id}}");
    project.compose("up -d app").ok();
    assert_eq!(
        host.inspect("mounted-app-1", "{{.Id}}"),
        before,
        "as it was"
    );

    // Built by itself, and by `up`.
    project.compose("build -q").env("LEVEL", "two").ok();
    let planned = project.compose("up --plan app").env("LEVEL", "two").run();
    planned.says(&[
        "mounted-app-1",
        "image tools:mine, mounted at /tools, changed",
    ]);
    project.compose("up -d app").env("LEVEL", "two").ok();
    assert_eq!(level(), "two");
    project.compose("up -d --build").env("LEVEL", "three").ok();
    assert_eq!(level(), "three");
    project.compose("down").ok();
}

fn an_external_volume_is_found_by_its_name(host: &Host) {
    let yaml = "services:\n  app:\n    image: busybox\n    command: sleep 1000\n    init: true\n    volumes: ['data:/data']\n\
                volumes:\n  data: {external: true, name: kept.elsewhere}\n";
    let project = host.compose_file("outside", yaml);
    let refused = project.compose("up -d").run();
    assert_ne!(refused.code, 0);
    refused.says(&["external volume", "kept.elsewhere"]);
    host.docker("run --rm -v kept.elsewhere:/d busybox sh -c 'echo mine > /d/file'")
        .ok();
    project.compose("up -d").ok();
    assert_eq!(
        kernel::file_in(host.pid("outside-app-1"), "/data/file").trim(),
        "mine"
    );
    project.compose("down -v").ok();
    assert_eq!(host.docker("volume ls -q").ok(), "kept.elsewhere");

    let nameless = "services:\n  app:\n    image: busybox\n    container_name: ''\n";
    let project = host.compose_file("nameless", nameless);
    let refused = project.compose("config").run();
    assert_ne!(refused.code, 0);
    refused.says(&["services.app.container_name", "is empty"]);
}
