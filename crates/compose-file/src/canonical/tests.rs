use super::*;
use crate::testing::{parse, show};

fn lifted(text: &str) -> (Node, Vec<String>) {
    let (mut node, sources) = parse(text);
    let mut canonical = Canonical {
        base_dir: Path::new("/proj"),
        home: Some("/home/me"),
        resolve_paths: true,
        interpolated: true,
        form: Form::Long,
        sources: &sources,
        diagnostics: Vec::new(),
    };
    canonical.document(&mut node);
    let diagnostics = canonical
        .diagnostics
        .iter()
        .map(Diagnostic::render)
        .collect();
    (node, diagnostics)
}

/// The canonical form of one key of a service, as text.
fn key(key: &str, value: &str) -> String {
    let (node, diagnostics) = lifted(&format!("services: {{s: {{{key}: {value}}}}}"));
    assert_eq!(diagnostics, Vec::<String>::new());
    show(
        node.get("services")
            .unwrap()
            .get("s")
            .unwrap()
            .as_map()
            .unwrap()
            .get(key)
            .unwrap(),
    )
}

fn errors(key: &str, value: &str) -> String {
    lifted(&format!("services: {{s: {{{key}: {value}}}}}"))
        .1
        .join("\n")
}

/// A key, its short form, its canonical form.
type Lift = (&'static str, &'static str, &'static str);

#[track_caller]
fn are_lifted(lifts: &[Lift]) {
    for (name, short, long) in lifts {
        assert_eq!(&key(name, short), long, "{name}: {short}");
    }
}

#[test]
fn builds_become_mappings() {
    are_lifted(&[
        ("build", "./app", r#"{context: "/proj/app"}"#),
        (
            "build",
            "https://x/y.git",
            r#"{context: "https://x/y.git"}"#,
        ),
        (
            "build",
            "{context: .., args: [A=1, B]}",
            r#"{context: "/", args: {A: "1", B: null}}"#,
        ),
        (
            "build",
            "{additional_contexts: {a: ./a, b: 'docker-image://x', c: 'service:d'}}",
            r#"{additional_contexts: {a: "/proj/a", b: "docker-image://x", c: "service:d"}}"#,
        ),
        (
            "build",
            "{ssh: [default, k=~/.ssh/k]}",
            r#"{ssh: {default: null, k: "/home/me/.ssh/k"}}"#,
        ),
    ]);
}

#[test]
fn commands_become_words() {
    are_lifted(&[
        ("command", "echo 'a b' c", r#"["echo", "a b", "c"]"#),
        ("command", "''", "[]"),
        ("command", "[a, b c]", r#"["a", "b c"]"#),
        ("command", "null", "null"),
        (
            "healthcheck",
            "{test: curl x}",
            r#"{test: ["CMD-SHELL", "curl x"]}"#,
        ),
        ("healthcheck", "{test: [CMD, x]}", r#"{test: ["CMD", "x"]}"#),
        (
            "post_start",
            "[{command: a b}]",
            r#"[{command: ["a", "b"]}]"#,
        ),
    ]);
}

#[test]
fn pairs_become_mappings() {
    are_lifted(&[
        (
            "environment",
            "[A=1, B, C==, A=2]",
            r#"{A: "2", B: null, C: "="}"#,
        ),
        ("environment", "{A: 1, B: }", "{A: 1, B: null}"),
        ("labels", "[a.b=c]", r#"{a.b: "c"}"#),
    ]);
}

#[test]
fn names_become_mappings() {
    are_lifted(&[
        (
            "depends_on",
            "[db]",
            r#"{db: {condition: "service_started", required: true}}"#,
        ),
        (
            "depends_on",
            "{db: {condition: service_healthy}}",
            r#"{db: {condition: "service_healthy", required: true}}"#,
        ),
        ("networks", "[a, b]", "{a: null, b: null}"),
        ("configs", "[c]", r#"[{source: "c"}]"#),
        ("extends", "base", r#"{service: "base"}"#),
        (
            "extends",
            "{file: c.yaml, service: b}",
            r#"{file: "/proj/c.yaml", service: "b"}"#,
        ),
    ]);
}

#[test]
fn files_become_lists_of_absolute_paths() {
    are_lifted(&[
        ("env_file", "a.env", r#"[{path: "/proj/a.env"}]"#),
        (
            "env_file",
            "[a.env, {path: ~/b, required: false}]",
            r#"[{path: "/proj/a.env"}, {path: "/home/me/b", required: false}]"#,
        ),
        ("label_file", "l", r#"["/proj/l"]"#),
        (
            "develop",
            "{watch: [{path: src, action: sync, ignore: a}]}",
            r#"{watch: [{path: "/proj/src", action: "sync", ignore: ["a"]}]}"#,
        ),
    ]);
}

#[test]
fn words_become_lists() {
    are_lifted(&[
        ("dns", "1.1.1.1", r#"["1.1.1.1"]"#),
        ("tmpfs", "/run", r#"["/run"]"#),
        (
            "extra_hosts",
            "['a:1.2.3.4', 'b=[::1]']",
            r#"["a=1.2.3.4", "b=[::1]"]"#,
        ),
        (
            "extra_hosts",
            "{a: 1.2.3.4, b: [1.1.1.1, 2.2.2.2]}",
            r#"["a=1.2.3.4", "b=1.1.1.1", "b=2.2.2.2"]"#,
        ),
    ]);
}

#[test]
fn ports_become_mappings() {
    are_lifted(&[
        (
            "ports",
            "[80]",
            r#"[{mode: "ingress", target: 80, protocol: "tcp"}]"#,
        ),
        (
            "ports",
            "['127.0.0.1:8080:80/udp']",
            r#"[{mode: "ingress", host_ip: "127.0.0.1", target: 80, published: "8080", protocol: "udp"}]"#,
        ),
        (
            "ports",
            "['8000-8010:80']",
            r#"[{mode: "ingress", target: 80, published: "8000-8010", protocol: "tcp"}]"#,
        ),
    ]);
}

#[test]
fn devices_become_mappings() {
    are_lifted(&[
        (
            "devices",
            "['/dev/a:/dev/b:r', 'v.com/c=d']",
            r#"[{source: "/dev/a", target: "/dev/b", permissions: "r"}, {source: "v.com/c=d"}]"#,
        ),
        ("gpus", "all", r#"[{count: "all"}]"#),
    ]);
}

#[test]
fn volumes_become_long() {
    for (short, long) in [
        (
            "db:/var/lib/x",
            r#"{type: "volume", source: "db", target: "/var/lib/x", volume: {}}"#,
        ),
        ("/data", r#"{type: "volume", target: "/data", volume: {}}"#),
        (
            "db:/x:nocopy",
            r#"{type: "volume", source: "db", target: "/x", volume: {nocopy: true}}"#,
        ),
        (
            "./src:/app:ro",
            r#"{type: "bind", source: "/proj/src", target: "/app", bind: {create_host_path: true}, read_only: true}"#,
        ),
        (
            "~/x:/app:z",
            r#"{type: "bind", source: "/home/me/x", target: "/app", bind: {create_host_path: true, selinux: "z"}}"#,
        ),
        (
            "/a:/b:rslave,cached",
            r#"{type: "bind", source: "/a", target: "/b", bind: {create_host_path: true, propagation: "rslave"}, consistency: "cached"}"#,
        ),
    ] {
        assert_eq!(
            key("volumes", &format!("['{short}']")),
            format!("[{long}]"),
            "{short}"
        );
    }
    assert_eq!(
        key("volumes", "[{type: bind, source: ../x, target: /y}]"),
        r#"[{type: "bind", source: "/x", target: "/y"}]"#
    );
    assert_eq!(
        key("volumes", "[{type: volume, source: x, target: /y}]"),
        r#"[{type: "volume", source: "x", target: "/y"}]"#
    );
}

#[test]
fn a_volume_entry_without_target_says_so() {
    for text in ["data", "./src", "data:", "./src:"] {
        let error = errors("volumes", &format!("['{text}']"));
        assert!(
            error.contains(&format!(
                "services.s.volumes[0]: the volume entry \"{text}\" names no target"
            )),
            "{error}"
        );
        assert!(error.contains(":/path/in/the/container"), "{error}");
    }
}

#[test]
fn bad_short_forms_name_their_place() {
    assert!(
        errors("ports", "[80, 'a:80']").contains(
            "c.yaml:1:28: services.s.ports[1]: invalid port \"a:80\": invalid hostPort: a"
        )
    );
    assert!(errors("volumes", "['/a:/b:xx']").contains("invalid mode: xx"));
    assert!(errors("devices", "['snd']").contains("services.s.devices[0]"));
    assert!(errors("command", "\"echo 'x\"").contains("a quote is opened and never closed"));
}

#[test]
fn older_keys_are_read_as_the_newer_ones() {
    let (node, warnings) = lifted(
        "services: {s: {build: ., dockerfile: D, net: host, log_driver: none, log_opt: {a: b}, volume_driver: x}}",
    );
    assert_eq!(
        show(node.get("services").unwrap().get("s").unwrap()),
        r#"{build: {context: "/proj", dockerfile: "D"}, network_mode: "host", logging: {driver: "none", options: {a: "b"}}}"#
    );
    assert_eq!(warnings.len(), 4);
    let (node, warnings) = lifted("networks: {n: {external: {name: x}}}");
    assert_eq!(
        show(&node),
        r#"{networks: {n: {external: true, name: "x"}}}"#
    );
    assert!(warnings[0].contains("external.name is deprecated"));
}

#[test]
fn version_one_files_get_a_services_section() {
    let lift = |text: &str| {
        let (mut node, _) = parse(text);
        lift_version_one(&mut node).then(|| show(&node))
    };
    assert_eq!(
        lift("web: {build: ., links: [db]}\ndb: {image: x}").unwrap(),
        r#"{services: {web: {build: ".", links: ["db"]}, db: {image: "x"}}}"#
    );
    assert_eq!(lift("services: {a: {image: x}}"), None);
    assert_eq!(lift("version: '3'\nweb: {image: x}"), None);
    assert_eq!(lift("web: {image: x}\nsrvices: 1"), None);
    assert_eq!(lift("x-a: {image: x}"), None);
}

#[test]
fn paths_of_resources() {
    let (node, _) = lifted(
        "configs: {c: {file: ./c}}\nvolumes: {v: {driver_opts: {o: 'bind,ro', device: ./d}}}",
    );
    assert_eq!(
        show(&node),
        r#"{configs: {c: {file: "/proj/c"}}, volumes: {v: {driver_opts: {o: "bind,ro", device: "/proj/d"}}}}"#
    );
}

#[test]
fn merge_tags_survive() {
    assert_eq!(
        key("environment", "!override [A=1]"),
        r#"!override {A: "1"}"#
    );
    assert_eq!(
        key("ports", "!override [80]"),
        r#"!override [{mode: "ingress", target: 80, protocol: "tcp"}]"#
    );
    assert_eq!(
        key("build", "!override ."),
        r#"!override {context: "/proj"}"#
    );
    assert_eq!(key("ports", "!reset []"), "!reset null");
}
