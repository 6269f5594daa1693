use crate::project::{
    Condition, Device, NamespaceRef, NetworkModeRef, Project, PullPolicy, Service,
    VolumesFromSource, WatchAction,
};
use crate::testing::load_text;
use model::container::NamespaceMode;
use model::health::HealthTest;
use model::mount::MountKind;
use model::restart::RestartCondition;
use std::time::Duration;

/// A project of one service with these keys, and whatever else.
fn project(keys: &str, rest: &str) -> Project {
    let text = format!("services: {{s: {{image: x, {keys}}}, t: {{image: y}}}}\n{rest}");
    load_text(&text)
        .unwrap_or_else(|error| panic!("{text}: {error}"))
        .project
}

fn service(keys: &str) -> Service {
    project(keys, "").service("s").unwrap().clone()
}

fn error(keys: &str) -> String {
    let text = format!("services: {{s: {{image: x, {keys}}}, t: {{image: y}}}}\n");
    match load_text(&text) {
        Ok(_) => panic!("{text}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn words_and_flags() {
    let s = service(
        "command: a 'b c', entrypoint: [], tty: true, stdin_open: 'yes', init: false, privileged: 'true', user: 1000, hostname: h, working_dir: /w, stop_signal: SIGINT, stop_grace_period: 1m30s, read_only: on",
    );
    assert_eq!(s.command.unwrap(), ["a", "b c"]);
    assert_eq!(s.entrypoint, Some(vec![]));
    assert!(s.tty && s.stdin_open && s.privileged && s.read_only);
    assert_eq!(
        (s.init, s.user.as_deref(), s.stop_signal.as_deref()),
        (Some(false), Some("1000"), Some("SIGINT"))
    );
    assert_eq!(s.stop_grace_period, Some(Duration::from_secs(90)));
    let plain = service("");
    assert_eq!(
        (plain.command, plain.entrypoint, plain.init),
        (None, None, None)
    );
}

#[test]
fn limits_in_all_units() {
    let s = service(
        "mem_limit: 512m, mem_reservation: 1073741824, memswap_limit: -1, cpus: 1.5, cpu_shares: 512, cpu_period: 10ms, cpu_quota: 5000, cpuset: 0-1, pids_limit: 100, shm_size: 64k, oom_score_adj: -500, mem_swappiness: 10, blkio_config: {weight: 300, weight_device: [{path: /dev/sda, weight: 400}], device_read_bps: [{path: /dev/sda, rate: 12mb}]}",
    );
    assert_eq!(
        (
            s.limits.memory,
            s.limits.memory_reservation,
            s.limits.memory_swap
        ),
        (Some(512 << 20), Some(1 << 30), Some(-1))
    );
    assert_eq!(
        (s.limits.nano_cpus, s.limits.cpu_period, s.limits.cpu_quota),
        (Some(1_500_000_000), Some(10_000), Some(5_000))
    );
    assert_eq!(
        (s.limits.pids_limit, s.shm_size, s.oom_score_adj),
        (Some(100), Some(65536), Some(-500))
    );
    assert_eq!(
        (s.limits.blkio_weight, s.limits.device_read_bps[0].value),
        (Some(300), 12 << 20)
    );
}

#[test]
fn deploy_as_swarm_files_write_it() {
    let s = service(
        "deploy: {mode: replicated, replicas: 2, labels: [APP=VOTING], placement: {constraints: [node.role == manager], preferences: [{spread: node.labels.zone}], max_replicas_per_node: 2}, update_config: {parallelism: 2, delay: 10s, order: start-first, failure_action: rollback}, restart_policy: {condition: on-failure, delay: 10s, max_attempts: 3, window: 120s}, resources: {limits: {cpus: '0.50', memory: 50M, pids: 5}, reservations: {memory: 20M, devices: [{capabilities: [gpu], count: 2}], generic_resources: [{discrete_resource_spec: {kind: gpu, value: 2}}]}}, endpoint_mode: dnsrr}",
    );
    let deploy = s.deploy.clone().unwrap();
    assert_eq!((deploy.replicas, s.replicas()), (Some(2), 2));
    assert_eq!(deploy.labels["APP"], "VOTING");
    assert_eq!(deploy.placement.constraints, ["node.role == manager"]);
    let policy = s.restart_policy();
    assert_eq!(
        (policy.condition, policy.max_attempts),
        (RestartCondition::OnFailure, Some(3))
    );
    assert_eq!(
        (policy.delay, policy.window),
        (
            Some(Duration::from_secs(10)),
            Some(Duration::from_secs(120))
        )
    );
    let resources = s.resources();
    assert_eq!(
        (resources.nano_cpus, resources.memory, resources.pids_limit),
        (Some(500_000_000), Some(50 << 20), Some(5))
    );
    assert_eq!(resources.memory_reservation, Some(20 << 20));
    assert_eq!(s.device_requests()[0].count, 2);
    assert_eq!(deploy.update_config.unwrap().parallelism, Some(2));
}

#[test]
fn dependencies() {
    let s =
        service("depends_on: {t: {condition: service_healthy, restart: true, required: false}}");
    let t = &s.depends_on["t"];
    assert_eq!(
        (t.condition, t.restart, t.required),
        (Condition::Healthy, true, false)
    );
    assert!(service("depends_on: [t]").depends_on["t"].required);
    assert!(
        error("depends_on: {t: {condition: service_helthy}}")
            .contains("did you mean \"service_healthy\"?")
    );
}

#[test]
fn namespaces_and_network_modes() {
    let s = service(
        "pid: host, ipc: 'service:t', uts: host, cgroup: private, userns_mode: host, network_mode: 'service:t'",
    );
    assert_eq!(s.pid, NamespaceRef::Mode(NamespaceMode::Host));
    assert_eq!(s.ipc, NamespaceRef::Service("t".into()));
    assert_eq!(s.network_mode, Some(NetworkModeRef::Service("t".into())));
    assert!(s.depends_on["t"].restart);
    assert!(s.networks.is_empty());
    assert_eq!(
        service("network_mode: 'container:c'").network_mode,
        Some(NetworkModeRef::Container("c".into()))
    );
    assert_eq!(
        service("network_mode: other").network_mode,
        Some(NetworkModeRef::Named("other".into()))
    );
    assert!(error("pid: hots").contains("unknown pid mode \"hots\""));
    assert!(error("network_mode: 'service:'").contains("names nothing"));
}

#[test]
fn networks_with_addresses() {
    let text = "networks: {back: {aliases: [db], ipv4_address: 172.16.238.10, mac_address: '02:42:ac:11:00:02', priority: 5, gw_priority: 1, driver_opts: {a: b}}, front: }";
    let p = project(
        text,
        "networks: {back: {ipam: {config: [{subnet: 172.16.238.0/24, gateway: 172.16.238.1}]}}, front: {internal: true}}",
    );
    let s = p.service("s").unwrap();
    let names: Vec<_> = s.networks.iter().map(|n| n.network.as_str()).collect();
    assert_eq!(names, ["back", "front"]);
    assert_eq!(
        s.networks[0].ipv4_address.unwrap().to_string(),
        "172.16.238.10"
    );
    assert_eq!(
        p.networks["back"].spec.ipam[0].gateway.as_deref(),
        Some("172.16.238.1")
    );
    assert_eq!(p.networks["back"].spec.name, "p_back");
    assert!(p.networks["front"].spec.internal);
    assert!(
        error("networks: {default: {ipv4_address: 1.2.3}}")
            .contains("services.s.networks.default.ipv4_address: invalid IP address: 1.2.3")
    );
}

#[test]
fn ports_short_and_long() {
    let s = service(
        "ports: ['5000:80', '6379', {target: 80, published: 8000-8010, host_ip: '::1', protocol: udp, mode: host, name: web, app_protocol: http}], expose: ['3000', '4000-4002/udp']",
    );
    let shown: Vec<_> = s
        .ports
        .iter()
        .map(|port| port.binding.to_string())
        .collect();
    assert_eq!(shown, ["5000:80/tcp", "6379/tcp", "[::1]:8000-8010:80/udp"]);
    assert_eq!(
        (s.ports[2].name.as_deref(), s.ports[2].mode.as_deref()),
        (Some("web"), Some("host"))
    );
    let exposed: Vec<usize> = s.expose.iter().map(|entry| entry.ports.len()).collect();
    assert_eq!(exposed, [1, 3]);
    assert!(error("ports: [{published: 80}]").contains("a port names no target"));
    assert!(error("ports: [{target: 0}]").contains("is no port"));
    assert!(error("ports: [{target: 80, published: 9-8}]").contains("invalid port range"));
}

#[test]
fn mounts_of_every_type() {
    let s = project("volumes: ['v:/v', './b:/b:ro', /a, {type: bind, source: ./c, target: /c, bind: {create_host_path: false, propagation: rshared, recursive: disabled}}, {type: tmpfs, target: /t, tmpfs: {size: 1m, mode: 01777}}, {type: image, source: alpine, target: /i, image: {subpath: etc}}, {type: volume, source: v, target: /w, volume: {nocopy: true, subpath: sub, labels: [a=b]}}], tmpfs: ['/run:size=1m']", "volumes: {v: }").service("s").unwrap().clone();
    let kinds: Vec<_> = s.volumes.iter().map(|v| v.mount.target.as_str()).collect();
    assert_eq!(kinds, ["/v", "/b", "/a", "/c", "/t", "/i", "/w"]);
    assert!(s.volumes[1].mount.read_only && s.volumes[5].mount.read_only);
    assert!(
        matches!(&s.volumes[1].mount.kind, MountKind::Bind { source, create_source: true, .. } if source == "/p/b")
    );
    assert!(
        matches!(&s.volumes[3].mount.kind, MountKind::Bind { create_source: false, recursion: model::mount::Recursion::Disabled, propagation: Some(p), .. } if p == "rshared")
    );
    assert!(matches!(
        &s.volumes[4].mount.kind,
        MountKind::Tmpfs {
            size: Some(1048576),
            mode: Some(0o1777),
            ..
        }
    ));
    assert!(
        matches!(&s.volumes[6].mount.kind, MountKind::Volume { no_copy: true, subpath: Some(_), labels, .. } if labels["a"] == "b")
    );
    assert_eq!(s.tmpfs.len(), 1);
}

#[test]
fn mounts_that_cannot_be() {
    for (text, words) in [
        (
            "volumes: [{type: bind, source: ./x}]",
            "the volume entry (source \"/p/x\") names no target",
        ),
        (
            "volumes: [{type: bind, target: /x}]",
            "a mount of type bind needs a source",
        ),
        (
            "volumes: [{type: npipe, source: x, target: /x}]",
            "unknown mount type \"npipe\"",
        ),
        (
            "volumes: [{type: volume, source: ./x, target: /x}]",
            "write \"type: bind\"",
        ),
        ("volumes: [{target: x}]", "mount path must be absolute"),
        (
            "volumes: [{type: bind, source: /a, target: /b, bind: {propagation: rsharde}}]",
            "did you mean \"rshared\"?",
        ),
        ("tmpfs: run", "mount path must be absolute"),
    ] {
        let error = error(text);
        assert!(error.contains(words), "{text}: {error}");
    }
}

#[test]
fn configs_and_secrets() {
    let p = project(
        "configs: [c, {source: d, target: /etc/d, uid: '1', gid: '2', mode: 0440}], secrets: [k, {source: l, target: deep/l, mode: '0400'}]",
        "configs: {c: {file: ./c.txt}, d: {content: 'hi $$x'}}\nsecrets: {k: {environment: KEY}, l: {external: true, name: real}}",
    );
    let s = p.service("s").unwrap();
    let targets: Vec<_> = s
        .configs
        .iter()
        .chain(&s.secrets)
        .map(|f| f.target.as_str())
        .collect();
    assert_eq!(
        targets,
        ["/c", "/etc/d", "/run/secrets/k", "/run/secrets/deep/l"]
    );
    assert_eq!(
        (s.configs[1].mode, s.secrets[1].mode),
        (Some(0o440), Some(0o400))
    );
    assert_eq!(p.secrets["l"].name, "real");
    assert!(format!("{:?}", p.configs["d"].source).contains("hi $x"));
    let wrong = |text: &str| load_text(text).unwrap_err().to_string();
    assert!(
        wrong("services: {a: {image: x}}\nconfigs: {c: {file: a, content: b}}")
            .contains("mutually exclusive")
    );
    assert!(
        wrong("services: {a: {image: x}}\nsecrets: {c: {}}")
            .contains("one of file, environment, content or external")
    );
}

#[test]
fn health_checks() {
    let test = |text: &str| {
        service(&format!("healthcheck: {text}"))
            .healthcheck
            .unwrap()
    };
    assert_eq!(test("{test: curl -f x, interval: 1m30s, timeout: 10s, retries: 3, start_period: 40s, start_interval: 5s}").test, HealthTest::Shell("curl -f x".into()));
    assert_eq!(
        test("{test: [CMD, a, b]}").test,
        HealthTest::Cmd(vec!["a".into(), "b".into()])
    );
    assert_eq!(test("{test: [NONE]}").test, HealthTest::None);
    assert_eq!(test("{disable: true, test: x}").test, HealthTest::None);
    assert_eq!(test("{interval: 5s}").test, HealthTest::Inherit);
    assert!(
        error("healthcheck: {test: [curl, x]}")
            .contains("healthcheck.test must start either by \"CMD\", \"CMD-SHELL\" or \"NONE\"")
    );
    assert!(
        error("healthcheck: {interval: often}")
            .contains("services.s.healthcheck.interval: invalid duration \"often\"")
    );
}

#[test]
fn devices_and_gpus() {
    let s = service(
        "devices: ['/dev/snd', '/dev/a:/dev/b:r', 'nvidia.com/gpu=0'], device_cgroup_rules: ['c 1:3 mr'], gpus: all",
    );
    assert!(
        matches!(&s.devices[1], Device::Path(d) if d.container == "/dev/b" && d.permissions == "r")
    );
    assert_eq!(s.devices[2], Device::Cdi("nvidia.com/gpu=0".into()));
    assert_eq!(
        (s.gpus[0].count, s.gpus[0].capabilities[0][0].as_str()),
        (-1, "gpu")
    );
    assert!(error("gpus: [{count: 1, device_ids: [a]}]").contains("exclusive"));
    assert!(error("device_cgroup_rules: ['c 1 mr']").contains("invalid device cgroup rule"));
}

#[test]
fn the_remaining_keys() {
    let s = project("pull_policy: every_12h, restart: on-failure:3, logging: {driver: json-file, options: {max-size: 10m, max-file: 3}}, ulimits: {nofile: {soft: 1, hard: 2}, nproc: 65535}, sysctls: [net.core.somaxconn=1024], extra_hosts: {a: 1.2.3.4}, volumes_from: ['t:ro', 'container:c'], links: ['t:alias'], dns: [8.8.8.8], storage_opt: {size: 1G}, cap_add: [ALL], group_add: [1, wheel], annotations: [a=b], provider: {type: model, options: {a: 1, b: [x, y]}}, develop: {watch: [{path: ./src, action: sync+restart, target: /app, ignore: [a]}]}, post_start: [{command: echo hi, user: root}], pre_start: [{command: [a], per_replica: false}], use_api_socket: true, attach: false, models: {m: {endpoint_var: U}}, x-foo: {bar: [1]}", "models: {m: {model: ai/x, context_size: 4096}}").service("s").unwrap().clone();
    assert_eq!(
        s.pull_policy,
        Some(PullPolicy::Every(Duration::from_secs(12 * 3600)))
    );
    assert_eq!(s.restart_policy().max_attempts, Some(3));
    assert_eq!(s.logging.unwrap().options["max-file"], "3");
    assert_eq!((s.ulimits[0].hard, s.ulimits[1].soft), (2, 65535));
    assert_eq!(s.sysctls["net.core.somaxconn"], "1024");
    assert_eq!(
        s.volumes_from[1].source,
        VolumesFromSource::Container("c".into())
    );
    assert!(s.volumes_from[0].read_only && s.depends_on.contains_key("t"));
    assert_eq!(s.provider.unwrap().options["b"], ["x", "y"]);
    assert_eq!(s.develop.unwrap().watch[0].action, WatchAction::SyncRestart);
    assert_eq!(s.pre_start[0].image.as_deref(), Some("x"));
    assert_eq!(s.extensions["x-foo"]["bar"][0], 1);
    assert_eq!(s.models["m"].endpoint_var.as_deref(), Some("U"));
}

#[test]
fn values_out_of_range_say_what_is_right() {
    for (text, words) in [
        (
            "scale: -1",
            "\"-1\" is not a whole number between 0 and 4294967295",
        ),
        ("scale: many", "\"many\" is not a whole number"),
        ("oom_score_adj: 5000", "between -1000 and 1000"),
        (
            "mem_limit: lots",
            "services.s.mem_limit: invalid size \"lots\"",
        ),
        ("cpus: -1", "invalid number of CPUs \"-1\""),
        ("tty: perhaps", "must be true or false, but is \"perhaps\""),
        (
            "restart: sometimes",
            "use one of 'no', 'always', 'on-failure', or 'unless-stopped'",
        ),
        ("pull_policy: hourly", "every_<duration>"),
        ("container_name: a", "Invalid container name (a)"),
        ("dns: [localhost]", "is no IP address of a name server"),
        ("ulimits: {files: 5}", "invalid ulimit type: files"),
        (
            "ulimits: {nofile: {soft: 5}}",
            "a ulimit needs soft and hard",
        ),
        ("extra_hosts: [a]", "bad format for add-host"),
        ("mac_address: abc", "invalid MAC address"),
        ("deploy: {mode: replicatd}", "did you mean \"replicated\"?"),
        (
            "deploy: {update_config: {order: any}}",
            "use one of stop-first, start-first",
        ),
        (
            "develop: {watch: [{path: a, action: sync}]}",
            "names no target",
        ),
        ("develop: {watch: [{path: a}]}", "needs path and action"),
        ("post_start: [{user: a}]", "a hook has no command"),
        ("volumes_from: ['t:rx']", "invalid mode \"rx\""),
        ("profiles: ['a b']", "is no profile name"),
        ("env_file: [{required: false}]", "an env file names no path"),
        ("secrets: [{target: x}]", "names no source"),
        ("configs: [{source: c, mode: 99999}]", "is no file mode"),
    ] {
        let error = error(text);
        assert!(error.contains(words), "{text}: {error}");
    }
}

#[test]
fn external_resources_take_nothing_else() {
    let error =
        load_text("services: {a: {image: x}}\nvolumes: {v: {external: true, driver: local}}")
            .unwrap_err()
            .to_string();
    assert!(
        error.contains("conflicting parameters \"external\" and \"driver\" specified for volume"),
        "{error}"
    );
}

#[test]
fn a_refreshing_pull_policy_takes_its_period_from_another_key() {
    let period = |keys: &str| service(keys).pull_policy;
    assert_eq!(
        period("pull_policy: refresh, pull_refresh_after: 2h"),
        Some(PullPolicy::Every(Duration::from_secs(7200)))
    );
    assert_eq!(period("pull_policy: refresh"), period("pull_policy: daily"));
}
