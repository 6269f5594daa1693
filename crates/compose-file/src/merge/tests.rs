use super::*;
use crate::canonical::Canonical;
use crate::testing::{parse, show};

fn canonical(text: &str) -> Node {
    let (mut node, sources) = parse(text);
    let mut canonical = Canonical {
        base_dir: std::path::Path::new("/p"),
        home: None,
        resolve_paths: true,
        interpolated: true,
        sources: &sources,
        diagnostics: Vec::new(),
    };
    canonical.document(&mut node);
    assert!(
        canonical.diagnostics.is_empty(),
        "{:?}",
        canonical.diagnostics
    );
    node
}

/// Merges the second service text over the first and shows the result.
fn service(base: &str, over: &str) -> String {
    let wrap = |text: &str| canonical(&format!("services: {{s: {{{text}}}}}"));
    let mut merged = merge(wrap(base), wrap(over), &[]);
    finish(&mut merged);
    drop_duplicates(
        merged
            .as_map_mut()
            .unwrap()
            .get_mut("services")
            .unwrap()
            .as_map_mut()
            .unwrap(),
    );
    show(merged.get("services").unwrap().get("s").unwrap())
}

#[test]
fn the_rules_by_path() {
    for (base, over, expected) in [
        // scalars
        ("image: a", "image: b", r#"{image: "b"}"#),
        ("image: a", "image: ", r#"{image: "a"}"#),
        (
            "tty: true",
            "stdin_open: true",
            "{tty: true, stdin_open: true}",
        ),
        // replaced whole
        ("command: a b", "command: c", r#"{command: ["c"]}"#),
        ("command: a b", "command: null", "{command: null}"),
        (
            "entrypoint: [a]",
            "entrypoint: [b, c]",
            r#"{entrypoint: ["b", "c"]}"#,
        ),
        (
            "healthcheck: {test: a, retries: 1}",
            "healthcheck: {test: [CMD, b]}",
            r#"{healthcheck: {test: ["CMD", "b"], retries: 1}}"#,
        ),
        (
            "ulimits: {nofile: {soft: 1, hard: 2}}",
            "ulimits: {nofile: {soft: 5}}",
            "{ulimits: {nofile: {soft: 5}}}",
        ),
        // list or map
        (
            "environment: [A=1, B=2]",
            "environment: {B: 3, C: }",
            r#"{environment: {A: "1", B: 3, C: null}}"#,
        ),
        (
            "environment: {A: 1}",
            "environment: [A]",
            "{environment: {A: null}}",
        ),
        (
            "labels: {a: 1}",
            "labels: [b=2]",
            r#"{labels: {a: 1, b: "2"}}"#,
        ),
        (
            "build: .",
            "build: {args: [X=1]}",
            r#"{build: {context: "/p", args: {X: "1"}}}"#,
        ),
        // lists with a key
        (
            "ports: ['80:80']",
            "ports: ['80:80', '81:80']",
            r#"{ports: [{mode: "ingress", target: 80, published: "80", protocol: "tcp"}, {mode: "ingress", target: 80, published: "81", protocol: "tcp"}]}"#,
        ),
        (
            "volumes: ['a:/x', 'b:/y']",
            "volumes: ['c:/x']",
            r#"{volumes: [{type: "volume", source: "c", target: "/x", volume: {}}, {type: "volume", source: "b", target: "/y", volume: {}}]}"#,
        ),
        (
            "devices: ['/dev/a:/dev/x']",
            "devices: ['/dev/b:/dev/x']",
            r#"{devices: [{source: "/dev/b", target: "/dev/x", permissions: "rwm"}]}"#,
        ),
        (
            "configs: [a]",
            "configs: [{source: b, target: /a}]",
            r#"{configs: [{source: "b", target: "/a"}]}"#,
        ),
        (
            "secrets: [a]",
            "secrets: [{source: b, target: a}, c]",
            r#"{secrets: [{source: "b", target: "a"}, {source: "c"}]}"#,
        ),
        (
            "env_file: a",
            "env_file: [b, a]",
            r#"{env_file: [{path: "/p/a"}, {path: "/p/b"}]}"#,
        ),
        // lists by value
        (
            "dns: 1.1.1.1",
            "dns: [2.2.2.2, 1.1.1.1]",
            r#"{dns: ["1.1.1.1", "2.2.2.2"]}"#,
        ),
        (
            "expose: ['80', '80']",
            "expose: ['81']",
            r#"{expose: ["80", "81"]}"#,
        ),
        (
            "extra_hosts: ['a:1.1.1.1']",
            "extra_hosts: ['a:2.2.2.2', 'a=1.1.1.1']",
            r#"{extra_hosts: ["a=1.1.1.1", "a=2.2.2.2"]}"#,
        ),
        (
            "post_start: [{command: a}]",
            "post_start: [{command: a}]",
            r#"{post_start: [{command: ["a"]}, {command: ["a"]}]}"#,
        ),
        // short forms meet long ones
        (
            "depends_on: [a]",
            "depends_on: {a: {condition: service_healthy}, b: {condition: service_started}}",
            r#"{depends_on: {a: {condition: "service_healthy", required: true}, b: {condition: "service_started", required: true}}}"#,
        ),
        (
            "networks: [a, b]",
            "networks: {b: {aliases: [x]}}",
            r#"{networks: {a: null, b: {aliases: ["x"]}}}"#,
        ),
        (
            "networks: {b: {aliases: [x]}}",
            "networks: [b]",
            r#"{networks: {b: {aliases: ["x"]}}}"#,
        ),
        // logging
        (
            "logging: {driver: a, options: {x: 1}}",
            "logging: {driver: b, options: {y: 1}}",
            r#"{logging: {driver: "b", options: {y: 1}}}"#,
        ),
        (
            "logging: {driver: a, options: {x: 1}}",
            "logging: {options: {y: 1}}",
            r#"{logging: {driver: "a", options: {x: 1, y: 1}}}"#,
        ),
        (
            "logging: {driver: a, options: {x: 1}}",
            "logging: {driver: a, options: {x: 2}}",
            r#"{logging: {driver: "a", options: {x: 2}}}"#,
        ),
    ] {
        assert_eq!(service(base, over), expected, "{base}  <-  {over}");
    }
}

#[test]
fn reset_and_override() {
    for (base, over, expected) in [
        (
            "image: a, ports: [80]",
            "ports: !reset []",
            r#"{image: "a"}"#,
        ),
        (
            "image: a, ports: [80]",
            "ports: !reset null",
            r#"{image: "a"}"#,
        ),
        (
            "ports: [80]",
            "ports: !override ['81']",
            r#"{ports: [{mode: "ingress", target: 81, protocol: "tcp"}]}"#,
        ),
        (
            "environment: {A: 1, B: 2}",
            "environment: {A: !reset null}",
            "{environment: {B: 2}}",
        ),
        (
            "environment: {A: 1}",
            "environment: !override {B: 2}",
            "{environment: {B: 2}}",
        ),
        (
            "build: {args: {A: 1, B: 2}}",
            "build: {args: !override {C: 3}}",
            "{build: {args: {C: 3}}}",
        ),
        ("image: a", "image: !reset ''", "{}"),
        (
            "image: a, tty: !reset true",
            "stdin_open: true",
            r#"{image: "a", stdin_open: true}"#,
        ),
        ("dns: [a]", "dns: [!reset a, b]", r#"{dns: ["b"]}"#),
    ] {
        assert_eq!(service(base, over), expected, "{base}  <-  {over}");
    }
}

#[test]
fn a_whole_service_can_be_reset() {
    let mut merged = merge(
        canonical("services: {a: {image: x}, b: {image: y}}"),
        canonical("services: {a: !reset null}"),
        &[],
    );
    finish(&mut merged);
    assert_eq!(show(&merged), r#"{services: {b: {image: "y"}}}"#);
}

#[test]
fn ipam_configs_merge_by_subnet() {
    let base =
        canonical("networks: {n: {ipam: {config: [{subnet: 10.0.0.0/24, gateway: 10.0.0.1}]}}}");
    let over = canonical(
        "networks: {n: {ipam: {config: [{subnet: 10.0.0.0/24, ip_range: 10.0.0.0/25}, {subnet: 10.1.0.0/24}]}}}",
    );
    assert_eq!(
        show(&merge(base, over, &[])),
        r#"{networks: {n: {ipam: {config: [{subnet: "10.0.0.0/24", gateway: "10.0.0.1", ip_range: "10.0.0.0/25"}, {subnet: "10.1.0.0/24"}]}}}}"#
    );
}

#[test]
fn merging_nothing_changes_nothing() {
    let text = "services: {a: {image: x, ports: [80], environment: [A=1]}}\nnetworks: {n: }";
    assert_eq!(
        show(&merge(canonical(text), canonical("services: {}"), &[])),
        show(&canonical(text))
    );
    assert_eq!(
        show(&merge(canonical(text), canonical(text), &[])),
        show(&canonical(text))
    );
}
