//! Keys of a service that the kernel enforces, a few containers with many keys each: control groups, namespaces, mounts,
//! capabilities, limits, devices.

use testkit::{Host, kernel, scenarios};

scenarios!(
    limits_reach_the_control_groups,
    process_keys_reach_the_process,
    namespaces_and_mounts_are_as_they_are_asked_for,
    names_reach_the_files_of_the_container,
    who_joins_another_service_joins_it_again
);

const LIMITS: &str = "\
services:
  limited:
    image: busybox
    command: sleep 1000
    init: true
    cpus: 0.5
    cpu_shares: 512
    cpuset: '0'
    mem_limit: 64m
    mem_reservation: 32m
    pids_limit: 50
    oom_score_adj: 300
  quota:
    image: busybox
    command: sleep 1000
    init: true
    cpu_period: 50000
    cpu_quota: 20000
    cgroup_parent: /keys-parent
  deployed:
    image: busybox
    command: sleep 1000
    init: true
    deploy:
      replicas: 2
      resources:
        limits: {cpus: '0.25', memory: 48M, pids: 40}
        reservations: {memory: 16M}
";

fn limits_reach_the_control_groups(host: &Host) {
    let project = host.compose_file("limits", LIMITS);
    project.compose("up -d").ok();
    // By its names in version 1 and 2; what version 2 counts otherwise has both values.
    let value = |container: &str, controller: &str, names: [&str; 2]| {
        kernel::cgroup_file(host.pid(container), controller, names)
            .unwrap_or_else(|| panic!("no {names:?} of {container}"))
    };
    let memory = ["memory.limit_in_bytes", "memory.max"];
    let reserved = ["memory.soft_limit_in_bytes", "memory.low"];
    let quota = ["cpu.cfs_quota_us", "cpu.max"];
    let limited = "limits-limited-1";
    assert_eq!(value(limited, "memory", memory), (64 << 20).to_string());
    assert_eq!(value(limited, "memory", reserved), (32 << 20).to_string());
    assert_eq!(value(limited, "pids", ["pids.max", "pids.max"]), "50");
    assert_eq!(
        value(limited, "cpuset", ["cpuset.cpus", "cpuset.cpus"]),
        "0"
    );
    let cpus = value(limited, "cpu", quota);
    assert!(["50000", "50000 100000"].contains(&cpus.as_str()), "{cpus}");
    let shares = value(limited, "cpu", ["cpu.shares", "cpu.weight"]);
    assert!(["512", "59"].contains(&shares.as_str()), "{shares}");
    let pid = host.pid(limited);
    let adjusted = std::fs::read_to_string(format!("/proc/{pid}/oom_score_adj"));
    assert_eq!(adjusted.expect("a score").trim(), "300");
    let cpus = value("limits-quota-1", "cpu", quota);
    assert!(["20000", "20000 50000"].contains(&cpus.as_str()), "{cpus}");
    let group = host.pid("limits-quota-1");
    let path = std::fs::read_to_string(format!("/proc/{group}/cgroup")).expect("a group");
    assert!(path.contains("keys-parent"), "{path}");
    for number in [1, 2] {
        let name = &format!("limits-deployed-{number}");
        assert_eq!(value(name, "memory", memory), (48 << 20).to_string());
        assert_eq!(value(name, "memory", reserved), (16 << 20).to_string());
        assert_eq!(value(name, "pids", ["pids.max", "pids.max"]), "40");
        let cpus = value(name, "cpu", quota);
        assert!(["25000", "25000 100000"].contains(&cpus.as_str()), "{cpus}");
    }
}

const PROCESS: &str = "\
services:
  app:
    image: busybox
    entrypoint: ['sleep']
    command: '1000'
    user: '1000:1000'
    group_add: ['7', '8']
    working_dir: /var/tmp
    init: true
    read_only: true
    cap_drop: [ALL]
    cap_add: [NET_BIND_SERVICE]
    security_opt: ['no-new-privileges:true']
    ulimits: {nofile: {soft: 111, hard: 222}, nproc: 333}
    sysctls: {net.ipv4.ip_unprivileged_port_start: '0'}
    annotations: {of.mine: noted}
    labels: {mine: '1'}
    label_file: ./labels
    env_file: [{path: ./env, format: raw}, {path: ./missing, required: false}]
    stop_signal: USR1
    stop_grace_period: 3s
    stdin_open: true
    tty: true
    shm_size: 8m
    tmpfs: ['/scratch:size=1m,mode=1700']
    storage_opt: {}
    restart: on-failure:2
    logging: {driver: json-file, options: {max-size: 1m}}
    healthcheck: {test: [CMD, 'true'], interval: 1h, start_period: 1s, retries: 2, timeout: 4s}
    devices: ['/dev/null:/dev/nothing:r']
    device_cgroup_rules: ['c 1:5 r']
    container_name: the-app
    expose: ['8080']
    platform: linux/amd64
  strong:
    image: busybox
    command: sleep 1000
    init: true
    privileged: true
    pull_policy: if_not_present
";

fn process_keys_reach_the_process(host: &Host) {
    let project = host.compose_file("process", PROCESS);
    project.write("labels", "from.file=yes\nmine=0\n");
    project.write("env", "RAW='as it $stands'\n");
    project.compose("up -d").ok();
    let init = host.pid("the-app");
    let pid = kernel::descendants(init).first().copied().unwrap_or(init);
    assert_eq!(kernel::command_line(pid), "sleep 1000");
    assert_eq!(
        kernel::status_field(pid, "Uid").split_whitespace().next(),
        Some("1000")
    );
    let groups = kernel::status_field(pid, "Groups");
    assert!(groups.contains('7') && groups.contains('8'), "{groups}");
    let cwd = std::fs::read_link(format!("/proc/{pid}/cwd")).expect("a directory");
    assert!(cwd.ends_with("var/tmp"), "{cwd:?}");
    assert_eq!(kernel::status_field(pid, "NoNewPrivs"), "1");
    assert_eq!(
        kernel::status_field(pid, "CapBnd"),
        format!("{:016x}", 1 << 10)
    );
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).expect("limits");
    let limit = |name: &str| {
        let line = limits.lines().find(|line| line.starts_with(name));
        line.unwrap_or_default()
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert!(limit("Max open files").contains("111 222"), "{limits}");
    assert!(limit("Max processes").contains("333 333"), "{limits}");
    let sysctl = "exec the-app cat /proc/sys/net/ipv4/ip_unprivileged_port_start";
    assert_eq!(host.docker(sysctl).ok(), "0");
    assert_eq!(
        kernel::environment(pid).get("RAW").map(String::as_str),
        Some("'as it $stands'")
    );
    let mounts = kernel::mounts_of(pid);
    let at = |target: &str| mounts.iter().find(|m| m.target == target).expect(target);
    assert!(at("/").has("ro"));
    assert!(at("/dev/shm").has("size=8192k"), "{:?}", at("/dev/shm"));
    assert!(at("/scratch").has("size=1024k") && at("/scratch").has("mode=1700"));
    host.docker("exec the-app test -c /dev/nothing").ok();
    let shown = |template: &str| host.inspect("the-app", template);
    assert_eq!(
        shown("{{.Config.Labels.mine}} {{index .Config.Labels \"from.file\"}}"),
        "1 yes"
    );
    assert_eq!(
        shown("{{.Config.StopSignal}} {{.Config.StopTimeout}}"),
        "USR1 3"
    );
    assert_eq!(shown("{{.Config.Tty}} {{.Config.OpenStdin}}"), "true true");
    assert_eq!(
        shown("{{.HostConfig.RestartPolicy.Name}} {{.HostConfig.RestartPolicy.MaximumRetryCount}}"),
        "on-failure 2"
    );
    assert_eq!(shown("{{.HostConfig.LogConfig.Type}}"), "json-file");
    assert_eq!(shown("{{.Config.Healthcheck.Retries}}"), "2");
    assert_eq!(
        shown("{{index .HostConfig.Annotations \"of.mine\"}}"),
        "noted"
    );
    assert!(shown("{{json .Config.ExposedPorts}}").contains("8080/tcp"));
    let own = kernel::status_field(std::process::id() as i32, "CapBnd");
    assert_eq!(
        kernel::status_field(host.pid("process-strong-1"), "CapBnd"),
        own
    );
}

const JOINED: &str = "\
services:
  base:
    image: busybox
    command: sleep 1000
    init: true
    ipc: shareable
    volumes: ['data:/data', './bound:/bound']
    environment: {AGAIN: '${AGAIN:-0}'}
  side:
    image: busybox
    command: sleep 1000
    init: true
    network_mode: service:base
    ipc: service:base
    pid: service:base
    volumes_from: ['base:ro']
  outside:
    image: busybox
    command: sleep 1000
    init: true
    pid: container:helper
    volumes_from: ['container:helper']
volumes: {data: }
";

fn who_joins_another_service_joins_it_again(host: &Host) {
    host.docker("run -d --init --name helper -v kept:/kept busybox sleep 1000")
        .ok();
    let project = host.compose_file("joined", JOINED);
    project.write("bound/file", "of the host");
    let up = |again: &str| project.compose("up -d").env("AGAIN", again).ok();
    let same = |a: &str, b: &str, kind: &str| {
        kernel::namespaces(&[host.pid(a), host.pid(b)], kind).len() == 1
    };
    let joined = || {
        ["net", "ipc", "pid"]
            .iter()
            .all(|kind| same("joined-base-1", "joined-side-1", kind))
    };
    up("0");
    assert!(joined());
    assert!(same("joined-outside-1", "helper", "pid"));
    let side = host.pid("joined-side-1");
    assert_eq!(kernel::file_in(side, "/bound/file"), "of the host");
    let mounts = kernel::mounts_of(side);
    assert!(mounts.iter().any(|m| m.target == "/data" && m.has("ro")));
    let kept = kernel::mounts_of(host.pid("joined-outside-1"));
    assert!(kept.iter().any(|m| m.target == "/kept" && m.has("rw")));
    let before = host.inspect("joined-side-1", "{{.Id}}");
    up("1");
    assert_ne!(
        host.inspect("joined-side-1", "{{.Id}}"),
        before,
        "recreated with its donor"
    );
    assert!(joined());
    project.compose("restart base").env("AGAIN", "1").ok();
    up("1");
    assert!(joined(), "and after a restart of its donor");
}

const NAMED: &str = "\
services:
  app:
    image: busybox
    command: sleep 1000
    init: true
    hostname: box
    domainname: example.org
    dns: [192.0.2.53]
    dns_search: [corp.example]
    dns_opt: ['timeout:3']
    extra_hosts:
      here: host-gateway
      two: [192.0.2.1, '2001:db8::1']
    links: ['db:database']
    external_links: ['helper:friend']
    networks: {default: {aliases: [other]}}
  db:
    image: busybox
    command: sleep 1000
    init: true
networks: {default: {name: shared}}
";

fn names_reach_the_files_of_the_container(host: &Host) {
    host.docker("network create shared").ok();
    host.docker("run -d --init --name helper --network shared busybox sleep 1000")
        .ok();
    let project = host.compose_file(
        "named",
        &NAMED.replace("name: shared", "name: shared, external: true"),
    );
    project.compose("up -d").ok();
    let pid = host.pid("named-app-1");
    let hosts = kernel::file_in(pid, "/etc/hosts");
    let line = |name: &str| {
        let found = hosts
            .lines()
            .filter(|l| l.split_whitespace().skip(1).any(|w| w == name));
        found
            .filter_map(|l| l.split_whitespace().next())
            .collect::<Vec<_>>()
    };
    assert_eq!(line("two"), ["192.0.2.1", "2001:db8::1"]);
    assert_eq!(line("here").len(), 1, "{hosts}");
    assert!(line("here")[0].ends_with(".1"), "the bridge: {hosts}");
    assert!(hosts.contains("box.example.org"), "{hosts}");
    let resolv = kernel::file_in(pid, "/etc/resolv.conf");
    assert!(
        resolv.contains("corp.example") && resolv.contains("timeout:3"),
        "{resolv}"
    );
    let found = |name: &str| {
        host.docker(&format!("exec named-app-1 nslookup {name}."))
            .run()
    };
    found("database").says(&[&host.address("named-db-1")]);
    found("friend").says(&[&host.address("helper")]);
    let other = host.docker("exec named-db-1 nslookup other").run();
    other.says(&[&host.address("named-app-1")]);
    assert_eq!(host.docker("exec named-app-1 hostname").ok(), "box");
}

const SPACES: &str = "\
services:
  hosts:
    image: busybox
    command: sleep 1000
    init: true
    network_mode: host
    pid: host
    ipc: host
    uts: host
    cgroup: host
  own:
    image: busybox
    command: sleep 1000
    init: true
    network_mode: none
    ipc: private
    userns_mode: auto
    volumes:
      - ./file:/in/file:ro
      - type: bind
        source: ./made
        target: /made
        bind: {create_host_path: true, propagation: rslave}
      - type: volume
        source: data
        target: /part
        volume: {subpath: part}
      - type: tmpfs
        target: /mem
        tmpfs: {size: 2097152, mode: 0700}
      - type: image
        source: busybox
        target: /image
      - /anonymous
  fill:
    image: busybox
    command: sh -c 'mkdir -p /data/part && echo found > /data/part/it'
    volumes: ['data:/data']
volumes:
  data: {labels: {of: me}}
";

fn namespaces_and_mounts_are_as_they_are_asked_for(host: &Host) {
    let project = host.compose_file("spaces", SPACES);
    project.write("file", "of the host");
    project.compose("run --rm fill").ok();
    project.compose("up -d hosts own").ok();
    let (hosts, own) = (host.pid("spaces-hosts-1"), host.pid("spaces-own-1"));
    let me = std::process::id() as i32;
    for kind in ["net", "pid", "ipc", "uts", "cgroup"] {
        assert_eq!(kernel::namespaces(&[hosts, me], kind).len(), 1, "{kind}");
        assert_eq!(kernel::namespaces(&[own, me], kind).len(), 2, "{kind}");
    }
    assert_eq!(kernel::namespaces(&[own, me], "user").len(), 2);
    assert!(kernel::addresses_in(own).is_empty());
    assert_eq!(kernel::file_in(own, "/in/file"), "of the host");
    assert_eq!(kernel::file_in(own, "/part/it"), "found\n");
    assert!(project.dir().join("made").is_dir());
    let mounts = kernel::mounts_of(own);
    let at = |target: &str| mounts.iter().find(|m| m.target == target).expect(target);
    assert!(at("/in/file").has("ro"));
    assert!(at("/mem").has("size=2048k") && at("/mem").kind == "tmpfs");
    assert!(at("/image").has("ro"));
    assert!(at("/anonymous").root.contains("volumes/"));
    host.docker("exec spaces-own-1 test -x /image/bin/busybox")
        .ok();
    assert_eq!(
        host.docker("volume inspect -f '{{.Labels.of}}' spaces_data")
            .ok(),
        "me"
    );
}
