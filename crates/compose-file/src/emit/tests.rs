use crate::testing::{load_text, load_with, options};
use crate::{Options, Project, to_json, to_yaml, yaml};

const EVERYTHING: &str = r#"
name: all
services:
  web:
    image: nginx
    build: {context: ., dockerfile: D, args: [A=1, B], target: t, labels: [x=y], cache_from: [c], ssh: [default, k=/k], secrets: [s, {source: s, target: other, mode: 0400}], shm_size: 1m, tags: [a], platforms: [linux/amd64], extra_hosts: ['a:1.2.3.4'], ulimits: {nofile: 5}, no_cache: true, pull: true, network: host, additional_contexts: [a=./x], provenance: true, entitlements: [n]}
    command: ["sh", "-c", "echo $$HOME && sleep 1"]
    entrypoint: []
    environment: {A: "1", EMPTY: "", NUM: 007, YES: "yes", PRICE: "5$$", NONE: }
    labels: [a=b]
    ports: ["127.0.0.1:8080:80/udp", "6379", "8000-8010:80", {target: 1, published: "2", mode: host, name: n, app_protocol: http}]
    expose: ["3000", 4000-4001/udp]
    networks: {front: {aliases: [w], ipv4_address: 10.0.0.2, ipv6_address: "fd00::2", priority: 3, gw_priority: 1, driver_opts: {a: b}, mac_address: "02:42:ac:11:00:02", interface_name: eth7, link_local_ips: [169.254.1.1]}, zone: }
    dns: [1.1.1.1]
    dns_opt: [use-vc]
    dns_search: [x.y]
    extra_hosts: {g: host-gateway, h: "::1"}
    hostname: h
    domainname: d
    links: [db]
    external_links: ["o:p"]
    volumes: ["data:/data:nocopy", "./src:/src:ro,z", /anon, {type: tmpfs, target: /t, tmpfs: {size: 5m, mode: 01777}}, {type: image, source: alpine, target: /i}, {type: bind, source: /a, target: /b, bind: {create_host_path: false, propagation: rslave, recursive: disabled}}]
    tmpfs: ["/run:size=1m,mode=700,noexec", /tmp]
    volumes_from: ["db:ro", "container:z"]
    configs: [c, {source: c, target: /etc/c, uid: "5", gid: "6", mode: 0440}]
    secrets: [s]
    read_only: true
    shm_size: 64m
    storage_opt: {size: 1G}
    user: "0:0"
    group_add: [audio, 5]
    working_dir: /w
    tty: true
    stdin_open: true
    init: true
    privileged: true
    cap_add: [ALL]
    cap_drop: [NET_RAW]
    security_opt: ["no-new-privileges:true"]
    sysctls: {net.core.somaxconn: 1024}
    ulimits: {nofile: {soft: 1, hard: 2}, nproc: 3}
    devices: ["/dev/a:/dev/b:r", "v.com/c=d"]
    device_cgroup_rules: ["c 1:3 mr"]
    gpus: [{driver: nvidia, count: 2, options: {a: b}}]
    pid: host
    ipc: shareable
    uts: host
    cgroup: host
    userns_mode: host
    cgroup_parent: cp
    oom_score_adj: 100
    runtime: runc
    platform: linux/amd64
    mem_limit: 512m
    mem_reservation: 256m
    memswap_limit: -1
    mem_swappiness: 5
    oom_kill_disable: true
    cpus: 0.5
    cpu_shares: 5
    cpu_period: 10ms
    cpu_quota: 500
    cpu_rt_period: 1ms
    cpu_rt_runtime: 500us
    cpuset: 0,1
    pids_limit: 50
    blkio_config: {weight: 300, weight_device: [{path: /dev/sda, weight: 400}], device_write_iops: [{path: /dev/sda, rate: 30}]}
    restart: on-failure:3
    healthcheck: {test: curl -f http://x, interval: 1m30s, timeout: 10s, retries: 3, start_period: 40s, start_interval: 500ms}
    logging: {driver: json-file, options: {max-size: 10m}}
    stop_signal: SIGINT
    stop_grace_period: 1m30s
    attach: false
    pull_policy: daily
    pre_start: [{command: [a], image: i, per_replica: true}]
    post_start: [{command: [b], user: root, privileged: true, working_dir: /, environment: [A=1]}]
    pre_stop: [{command: [c]}]
    annotations: {a: b}
    depends_on: {db: {condition: service_healthy, restart: true, required: false}}
    deploy:
      mode: replicated
      replicas: 2
      labels: {l: m}
      endpoint_mode: vip
      placement: {constraints: [node.role == manager], preferences: [{spread: a}], max_replicas_per_node: 3}
      resources: {limits: {cpus: "0.5", memory: 512m, pids: 50}, reservations: {cpus: "0.25", memory: 256m, devices: [{capabilities: [gpu], device_ids: [a]}], generic_resources: [{discrete_resource_spec: {kind: g, value: 2}}]}}
      restart_policy: {condition: any, delay: 5s, max_attempts: 3, window: 2m}
      update_config: {parallelism: 0, delay: 10s, failure_action: rollback, monitor: 5s, max_failure_ratio: 0.3, order: start-first}
      rollback_config: {parallelism: 1, order: stop-first}
    develop: {watch: [{path: ./src, action: sync+exec, target: /app, ignore: [a], include: [b], exec: {command: x y}, initial_sync: true}]}
    x-own: {deep: [1, 2.5, "three", ~, true]}
  db: {image: "postgres:9.4", healthcheck: {disable: true}, network_mode: none, scale: 2}
  ext: {provider: {type: p, options: {a: 1, b: [x, y]}}}
networks:
  front: {driver: bridge, driver_opts: {x: y}, ipam: {driver: default, config: [{subnet: 10.0.0.0/24, gateway: 10.0.0.1, ip_range: 10.0.0.128/25, aux_addresses: {h: 10.0.0.9}}], options: {o: p}}, internal: true, attachable: true, enable_ipv6: true, labels: [n=1]}
  zone: {external: true, name: outside}
volumes: {data: {driver: local, driver_opts: {type: none, o: bind, device: ./d}, labels: {v: 1}}}
configs: {c: {content: "cost: 5$$\nline\n"}}
secrets: {s: {file: ./s}}
models: {m: {model: ai/x, context_size: 5, runtime_flags: [--a]}}
x-top: [1]
"#;

fn load(text: &str) -> Project {
    load_text(text)
        .unwrap_or_else(|error| panic!("{error}\n{text}"))
        .project
}

/// Everything but what differs by nature: the files and the environment.
fn comparable(mut project: Project) -> Project {
    project.files.clear();
    project.services.sort_by(|a, b| a.name.cmp(&b.name));
    project
}

#[test]
fn what_is_printed_means_the_same() {
    let first = load(EVERYTHING);
    let yaml = to_yaml(&first).unwrap();
    let again = load(&yaml);
    let (one, two) = (
        format!("{:#?}", comparable(first.clone())),
        format!("{:#?}", comparable(again.clone())),
    );
    let different = one.lines().zip(two.lines()).find(|(one, two)| one != two);
    assert_eq!(different, None);
    assert_eq!(comparable(again.clone()), comparable(first.clone()));
    assert_eq!(to_yaml(&again).unwrap(), yaml);
    assert_eq!(
        comparable(load(&to_json(&first).unwrap())),
        comparable(first)
    );
}

#[test]
fn the_canonical_form() {
    let project = load(
        "services:\n  web:\n    build: .\n    ports: ['5000:5000']\n    depends_on: [redis]\n    environment: [A=1]\n  redis:\n    image: redis:3.0.7\n    volumes: ['data:/data']\nvolumes: {data: }\n",
    );
    assert_eq!(
        to_yaml(&project).unwrap(),
        "name: p
services:
  redis:
    image: redis:3.0.7
    networks:
      default: null
    volumes:
      - type: volume
        source: data
        target: /data
        volume: {}
  web:
    build:
      context: /p
      dockerfile: Dockerfile
    depends_on:
      redis:
        condition: service_started
        required: true
    environment:
      A: \"1\"
    networks:
      default: null
    ports:
      - mode: ingress
        target: 5000
        published: \"5000\"
        protocol: tcp
networks:
  default:
    name: p_default
volumes:
  data:
    name: p_data
"
    );
}

#[test]
fn env_files_are_printed_only_while_they_are_unread() {
    let files = [
        ("/p/compose.yaml", "services: {a: {image: x, env_file: e}}"),
        ("/p/e", "A=$$1\n"),
    ];
    let read = load_with(&options(), &files).unwrap().project;
    assert!(!to_yaml(&read).unwrap().contains("env_file"));
    let unread = load_with(
        &Options {
            resolve_environment: false,
            ..options()
        },
        &files,
    )
    .unwrap()
    .project;
    assert!(to_yaml(&unread).unwrap().contains("path: /p/e"));
}

#[test]
fn strings_that_look_like_something_else_stay_strings() {
    let project = load("services: {a: {image: x, environment: {A: 'yes', B: '0755', C: '~', D: '1e3', E: 'null', F: \"a: b\\n# c\", G: ' x ', H: '', I: '-', J: \"\\t\", K: 'é', L: '${X', M: '12:30', N: '!tag', O: '*a', P: '@x', Q: \"\\x01\"}}}".replace("${X", "$${X").as_str());
    let again = load(&to_yaml(&project).unwrap());
    assert_eq!(
        again.services[0].environment,
        project.services[0].environment
    );
}

proptest::proptest! {
    #[test]
    fn any_text_survives_printing(text in "[ -~\\n\\té€#:{}\\[\\]'\"$&*!|>%@`-]{0,60}") {
        let mut project = load("services: {a: {image: x, environment: {A: 1}}}");
        project.services[0].environment.insert("A".into(), Some(text.clone()));
        let again = load(&to_yaml(&project).unwrap());
        proptest::prop_assert_eq!(again.services[0].environment["A"].as_deref(), Some(text.as_str()));
    }
}

#[test]
fn a_long_key_is_read_again() {
    let long = "k".repeat(2000);
    let value = serde_json::json!({&long: {"a": [1]}, "b": {&long: "x"}});
    let text = yaml(&value).unwrap();
    assert!(text.starts_with("? kkk"), "{text}");
    let again = crate::document::read(std::path::Path::new("x"), text.as_bytes()).unwrap();
    assert_eq!(again, value);
}
