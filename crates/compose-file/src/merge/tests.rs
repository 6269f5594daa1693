use super::*;
use crate::canonical::Canonical;
use crate::testing::{parse, show};

fn canonical(text: &str) -> Node {
    lifted(text, Form::Long)
}

fn lifted(text: &str, form: Form) -> Node {
    let (mut node, sources) = parse(text);
    let mut canonical = Canonical {
        base_dir: std::path::Path::new("/p"),
        home: None,
        resolve_paths: true,
        interpolated: form == Form::Long,
        form,
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
fn service(form: Form, base: &str, over: &str) -> String {
    let wrap = |text: &str| lifted(&format!("services: {{s: {{{text}}}}}"), form);
    let mut merged = merge(form, wrap(base), wrap(over), &[]);
    finish(&mut merged);
    if form == Form::AsWritten {
        unique(&mut merged);
    }
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

/// What the second text of a service makes of the first.
type Rule = (&'static str, &'static str, &'static str);

#[track_caller]
fn holds(form: Form, rules: &[Rule]) {
    for (base, over, expected) in rules {
        assert_eq!(&service(form, base, over), expected, "{base}  <-  {over}");
    }
}

#[test]
fn scalars_are_replaced() {
    holds(
        Form::Long,
        &[
            ("image: a", "image: b", r#"{image: "b"}"#),
            ("image: a", "image: ", r#"{image: "a"}"#),
            (
                "tty: true",
                "stdin_open: true",
                "{tty: true, stdin_open: true}",
            ),
        ],
    );
}

#[test]
fn commands_and_limits_are_replaced_whole() {
    holds(
        Form::Long,
        &[
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
        ],
    );
}

#[test]
fn lists_of_pairs_are_merged_as_mappings() {
    holds(
        Form::Long,
        &[
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
        ],
    );
}

#[test]
fn an_entry_of_a_list_replaces_the_one_with_its_key() {
    holds(
        Form::Long,
        &[
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
        ],
    );
}

#[test]
fn lists_of_words_say_each_word_once() {
    holds(
        Form::Long,
        &[
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
        ],
    );
}

#[test]
fn names_are_merged_with_mappings() {
    holds(
        Form::Long,
        &[
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
        ],
    );
}

#[test]
fn options_of_a_log_belong_to_its_driver() {
    holds(
        Form::Long,
        &[
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
        ],
    );
}

#[test]
fn without_types_pairs_of_both_forms_become_one_list() {
    holds(
        Form::AsWritten,
        &[
            (
                "environment: {B: 1, A: }",
                "tty: true",
                "{environment: {B: 1, A: null}, tty: true}",
            ),
            (
                "environment: {B: 1, A: }",
                "environment: [A=2, C]",
                r#"{environment: ["A=2", "B=1", "C"]}"#,
            ),
            (
                "environment: [A=1, A=2]",
                "image: x",
                r#"{environment: ["A=2"], image: "x"}"#,
            ),
            (
                "environment: {A: 1}",
                "environment: ",
                r#"{environment: ["A=1"]}"#,
            ),
            (
                "labels: [a=1, b=2]",
                "labels: {b: '${B}'}",
                r#"{labels: ["a=1", "b=${B}"]}"#,
            ),
            ("tmpfs: /a", "tmpfs: [/b, /a]", r#"{tmpfs: ["/a", "/b"]}"#),
            (
                "extra_hosts: {a: [1.1.1.1, 1.1.1.2]}",
                "extra_hosts: ['a=1.1.1.2']",
                r#"{extra_hosts: ["a=1.1.1.1", "a=1.1.1.2"]}"#,
            ),
            (
                "build: .",
                "build: {args: [A=1]}",
                r#"{build: {context: "/p", args: ["A=1"]}}"#,
            ),
            (
                "build: {args: {A: 1, B: 2}}",
                "build: {args: {A: !reset null}}",
                r#"{build: {args: ["B=2"]}}"#,
            ),
        ],
    );
}

#[test]
fn without_types_commands_stay_as_they_are_written() {
    holds(
        Form::AsWritten,
        &[
            (
                "command: a b",
                "tty: true",
                r#"{command: "a b", tty: true}"#,
            ),
            (
                "command: a b",
                "command: [a, a]",
                r#"{command: ["a", "a"]}"#,
            ),
            (
                "healthcheck: {test: a}",
                "healthcheck: {retries: 1}",
                r#"{healthcheck: {test: "a", retries: 1}}"#,
            ),
            (
                "post_start: [{command: a b}]",
                "image: x",
                r#"{post_start: [{command: "a b"}], image: "x"}"#,
            ),
        ],
    );
}

#[test]
fn without_types_what_holds_a_variable_is_not_read() {
    holds(
        Form::AsWritten,
        &[
            (
                "ports: ['80:80', '${P}:81']",
                "ports: ['80:80']",
                r#"{ports: ["80:80", "${P}:81", {mode: "ingress", target: 80, published: "80", protocol: "tcp"}]}"#,
            ),
            (
                "volumes: ['a:/x', 'b:/x']",
                "volumes: ['${V}:/y']",
                r#"{volumes: [{type: "volume", source: "b", target: "/x", volume: {}}, "${V}:/y"]}"#,
            ),
            (
                "env_file: a",
                "env_file: [{path: a, required: false}]",
                r#"{env_file: [{path: "/p/a", required: false}]}"#,
            ),
            (
                "secrets: [a]",
                "secrets: [{source: b, target: a}]",
                r#"{secrets: [{source: "b", target: "a"}]}"#,
            ),
        ],
    );
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
        assert_eq!(
            service(Form::Long, base, over),
            expected,
            "{base}  <-  {over}"
        );
    }
}

#[test]
fn a_whole_service_can_be_reset() {
    let mut merged = merge(
        Form::Long,
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
        show(&merge(Form::Long, base, over, &[])),
        r#"{networks: {n: {ipam: {config: [{subnet: "10.0.0.0/24", gateway: "10.0.0.1", ip_range: "10.0.0.0/25"}, {subnet: "10.1.0.0/24"}]}}}}"#
    );
}

#[test]
fn merging_nothing_changes_nothing() {
    let text = "services: {a: {image: x, ports: [80], environment: [A=1]}}\nnetworks: {n: }";
    assert_eq!(
        show(&merge(
            Form::Long,
            canonical(text),
            canonical("services: {}"),
            &[]
        )),
        show(&canonical(text))
    );
    assert_eq!(
        show(&merge(Form::Long, canonical(text), canonical(text), &[])),
        show(&canonical(text))
    );
}
