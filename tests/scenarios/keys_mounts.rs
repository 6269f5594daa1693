//! Mounts: what lies below a bind mount's source, parts of images, volumes that are something else, hardware addresses.

use std::os::unix::fs::MetadataExt;
use testkit::{Host, kernel, scenarios};

scenarios!(
    what_is_mounted_below_a_source_is_as_it_is_asked_for,
    volumes_are_made_of_what_their_driver_is_told,
    a_service_has_the_hardware_address_it_names
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
    // Not in memory, and told: a directory that the containers of a volume share, with the mode it is given.
    said.says(&["volumes.memory.driver_opts.type", "directory on disk"]);
    let memory = std::fs::metadata(format!("/proc/{pid}/root/memory")).expect("there");
    assert_eq!((memory.mode() & 0o7777, memory.uid()), (0o750, 7));
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
    refused.says(&["far", "nfs"]);
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
