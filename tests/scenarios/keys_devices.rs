//! Devices by the Container Device Interface: `gpus`, names in `devices`, reservations. The descriptions are made up, the devices are
//! those that every kernel has.

use testkit::{Host, Project, kernel, requires, scenarios};

scenarios!(
    devices_are_found_by_their_names_and_kinds,
    another_runtime_starts_the_container
);

const NVIDIA: &str = r#"{"cdiVersion": "0.6.0", "kind": "nvidia.com/gpu", "devices": [
 {"name": "0", "containerEdits": {"env": ["GPU_0=zero"], "deviceNodes": [{"path": "/dev/gpu0", "hostPath": "/dev/null", "type": "c"}]}},
 {"name": "1", "containerEdits": {"env": ["GPU_1=one"], "deviceNodes": [{"path": "/dev/gpu1", "hostPath": "/dev/zero", "type": "c"}]}}]}"#;

const OWN: &str = "cdiVersion: 0.6.0\nkind: example.com/radio\ndevices:\n- name: left\n  containerEdits:\n    env: [RADIO=left]\n    \
                   deviceNodes: [{path: /dev/radio, hostPath: /dev/full, type: c}]\n    mounts: [{hostPath: /etc/hostname, containerPath: /radio.conf, options: [ro, bind]}]\n";

const YAML: &str = "\
x-base: &base
  image: busybox
  command: sleep 1000
  stop_grace_period: 0s
  network_mode: none
services:
  everything: {<<: *base, gpus: all}
  counted: {<<: *base, gpus: [{count: 1, capabilities: [gpu]}]}
  chosen:
    <<: *base
    gpus: [{driver: nvidia, device_ids: ['1'], capabilities: [gpu], options: {any: thing}}]
  named: {<<: *base, devices: [example.com/radio=left]}
  reserved:
    <<: *base
    deploy: {resources: {reservations: {devices: [{driver: nvidia, device_ids: ['0'], capabilities: [gpu]}]}}}
";

fn devices_are_found_by_their_names_and_kinds(host: &Host) {
    // `/run` is the scenario's own.
    std::fs::create_dir_all("/var/run/cdi").expect("a folder");
    std::fs::write("/var/run/cdi/nvidia.json", NVIDIA).expect("a description");
    std::fs::write("/var/run/cdi/own.yaml", OWN).expect("a description");
    let project = host.compose_file("cdi", YAML);
    project.compose("up -d").ok();
    let of = |service: &str| {
        let pid = host.pid(&format!("cdi-{service}-1"));
        let env = kernel::environment(pid);
        ["GPU_0", "GPU_1", "RADIO"].map(|key| env.contains_key(key))
    };
    assert_eq!(of("everything"), [true, true, false]);
    assert_eq!(of("counted"), [true, false, false]);
    assert_eq!(of("chosen"), [false, true, false]);
    assert_eq!(of("named"), [false, false, true]);
    assert_eq!(of("reserved"), [true, false, false]);
    let works = |service: &str, script: &str| {
        let call = format!("exec cdi-{service}-1 sh -c");
        host.docker(&call).arg(script).run().code == 0
    };
    assert!(works("everything", "test -c /dev/gpu0 -a -c /dev/gpu1"));
    assert!(works("chosen", "test -c /dev/gpu1 && test ! -e /dev/gpu0"));
    // The control group lets it through, too.
    assert!(works("chosen", "test $(head -c 4 /dev/gpu1 | wc -c) = 4"));
    assert!(works("named", "test -c /dev/radio -a -s /radio.conf"));
    project.compose("down").ok();
    refused(host);
}

fn refused(host: &Host) {
    let service = "services:\n  app:\n    image: busybox\n    command: sleep 1000\n";
    for (number, (keys, said)) in [
        (
            "gpus: [{device_ids: ['7'], capabilities: [gpu]}]",
            "nvidia.com/gpu=7",
        ),
        (
            "devices: [example.com/radio=right]",
            "example.com/radio=right",
        ),
        (
            "gpus: [{driver: quantum, count: 1, capabilities: [gpu]}]",
            "quantum",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let yaml = format!("{service}    {keys}\n");
        let project = host.compose_file(&format!("nocdi{number}"), &yaml);
        let output = project.compose("up -d").run();
        assert_ne!(output.code, 0, "{keys}: {output}");
        output.says(&[said]);
        assert_eq!(host.docker("ps -q").ok(), "", "{keys}");
        project.compose("down").ok();
    }
}

fn starts_with(host: &Host, project: &Project<'_>, runtime: &str) {
    project.compose("up -d").env("RUNTIME", runtime).ok();
    assert_eq!(
        host.inspect("other-app-1", "{{.HostConfig.Runtime}}"),
        runtime
    );
    let pid = host.pid("other-app-1");
    assert_eq!(kernel::environment(pid)["WORD"], "reached");
    let said = host.docker("exec other-app-1 cat /proc/1/comm").ok();
    assert_eq!(said, "sleep");
    project.compose("down").env("RUNTIME", runtime).ok();
    assert!(!kernel::lives(pid), "{runtime}");
}

fn another_runtime_starts_the_container(host: &Host) {
    let there: Vec<&str> = ["/usr/bin/crun", "/usr/sbin/runc"]
        .into_iter()
        .filter(|path| std::path::Path::new(path).exists())
        // crun leaves hosts alone that have both versions of control groups.
        .filter(|path| !path.ends_with("crun") || !kernel::has_both_cgroups())
        .collect();
    requires!(!there.is_empty(), "Debian's crun or runc");
    let yaml = "services:\n  app:\n    image: busybox\n    command: sleep 1000\n    runtime: ${RUNTIME}\n    \
                stop_grace_period: 0s\n    environment: {WORD: reached}\n";
    let project = host.compose_file("other", yaml);
    there
        .iter()
        .for_each(|runtime| starts_with(host, &project, runtime));
    let missing = project
        .compose("up -d")
        .env("RUNTIME", "no-such-runtime")
        .run();
    assert_ne!(missing.code, 0);
    missing.says(&["no-such-runtime"]);
}
