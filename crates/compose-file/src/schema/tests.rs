use super::*;
use std::path::Path;

/// Every error of a document, rendered.
fn errors(text: &str) -> Vec<String> {
    let mut sources = Sources::default();
    let documents =
        crate::parse::parse(Path::new("c.yaml"), text.as_bytes(), &mut sources).unwrap();
    documents
        .iter()
        .flat_map(|document| check(document, &sources))
        .map(|error| error.render())
        .collect()
}

fn error(text: &str) -> String {
    let errors = errors(text);
    assert_eq!(errors.len(), 1, "{errors:#?}");
    errors.into_iter().next().unwrap()
}

#[test]
fn an_unknown_key_names_the_nearest_right_one() {
    assert_eq!(
        error("services:\n  web:\n    imgae: nginx\n"),
        "c.yaml:3:5: services.web: unknown key \"imgae\" in a service\n  3 |     imgae: nginx\n    |     ^\n  Hint: did you mean \"image\"?"
    );
    assert!(error("service: {}").contains("did you mean \"services\"?"));
    assert!(error("services: {a: {image: x, zzzzzz: 1}}").contains("\"x-zzzzzz\""));
    assert!(
        error("services: {a: {image: x, healthcheck: {retrys: 1}}}")
            .contains("did you mean \"retries\"?")
    );
}

#[test]
fn a_service_inside_a_service_is_explained() {
    assert_eq!(
        error(
            "services:\n  web:\n    image: nginx\n    redis:\n      image: redis\n      ports: [\"6379\"]\n"
        ),
        "c.yaml:4:5: services.web: \"redis\" looks like a service, but its indentation puts it inside service \"web\"\n  4 |     redis:\n    |     ^\n  Hint: move \"redis:\" and everything below it left from column 5 to the column of \"web:\""
    );
}

#[test]
fn a_service_inside_a_mapping_of_a_service_is_explained() {
    let text = "services:\n  web:\n    image: nginx\n    environment:\n      A: 1\n      redis:\n        image: redis\n";
    let error = error(text);
    assert!(error.starts_with("c.yaml:6:7: services.web.environment.redis: \"redis\" looks like a service, but its indentation puts it inside service \"web\""), "{error}");
    let text =
        "services:\n  web:\n    build:\n      context: .\n      redis:\n        image: redis\n";
    assert!(self::error(text).contains("inside service \"web\""));
}

#[test]
fn a_service_inside_depends_on_or_networks_is_explained() {
    for key in ["depends_on", "networks"] {
        let text = format!(
            "services:\n  web:\n    image: nginx\n    {key}:\n      redis:\n        image: redis\n        ports: [80]\n"
        );
        let error = error(&text);
        let start = format!(
            "c.yaml:5:7: services.web.{key}.redis: \"redis\" looks like a service, but its indentation puts it inside service \"web\""
        );
        assert!(error.starts_with(&start), "{error}");
    }
}

#[test]
fn a_service_beside_services_is_explained() {
    let error = error("services:\n  web:\n    image: nginx\nredis:\n  image: redis\n");
    assert!(
        error.starts_with(
            "c.yaml:4:1: \"redis\" looks like a service, but stands beside \"services\""
        ),
        "{error}"
    );
}

#[test]
fn top_level_sections_below_services_are_explained() {
    let error = error("services:\n  web:\n    image: nginx\n  volumes:\n    db: {}\n");
    assert!(
        error.contains("move it to column 1 if the top-level \"volumes\" is meant"),
        "{error}"
    );
}

#[test]
fn keys_in_the_wrong_place_name_the_right_one() {
    assert!(
        error("services: {a: {image: x, replicas: 2}}")
            .contains("\"replicas\" belongs under \"deploy\"")
    );
    assert!(
        error("services: {a: {image: x, context: .}}")
            .contains("\"context\" belongs under \"build\"")
    );
    assert!(
        error("services: {a: {build: {context: ., ports: [80]}}}")
            .contains("\"ports\" is a key of the service; move it left")
    );
    assert!(error("services: {a: {image: x}}\nports: [80]").contains("is a key of a service"));
    assert!(error("services: {a: {image: x, services: {}}}").contains("top-level key"));
}

#[test]
fn wrong_kinds_say_what_is_expected() {
    for (text, words) in [
        (
            "services: {a: {image: x, ports: \"80:80\"}}",
            "services.a.ports: must be a list, but is a string",
        ),
        (
            "services: {a: {image: [x]}}",
            "services.a.image: must be a string, but is a list",
        ),
        ("services: {a: {image: 3.10}}", "put it in quotes"),
        (
            "services: {a: {image: x, environment: A=1}}",
            "must be a mapping or a list of KEY=value, but is a string",
        ),
        (
            "services: {a: {image: x, environment: [A: 1]}}",
            "write it as - A=1",
        ),
        (
            "services: {a: {image: x, command: {a: b}}}",
            "must be a string or a list, but is a mapping",
        ),
        (
            "services: {a: {image: x, privileged: 1}}",
            "must be true or false, but is an integer",
        ),
        (
            "services: {a: {image: x, deploy: [replicas]}}",
            "leave out the dashes",
        ),
        (
            "services: {a: {image: x, depends_on: b}}",
            "must be a list or a mapping, but is a string",
        ),
        (
            "services: {a: {image: x, stop_grace_period: 10}}",
            "add a unit: 10s",
        ),
        (
            "services: [web]",
            "services: must be a mapping, but is a list",
        ),
        (
            "services: {a: nginx}",
            "services.a: must be a mapping, but is a string",
        ),
        (
            "services: {a: {image: x, volumes: [{type: bind, bind: true}]}}",
            "services.a.volumes[0].bind: must be a mapping",
        ),
        (
            "- a",
            "a Compose file is a mapping with the key \"services\", but this is a list",
        ),
        ("just text", "but this is a string"),
        ("services: {\"a b\": {image: x}}", "is no service name"),
        ("include: x.yaml", "must be a list"),
    ] {
        let error = error(text);
        assert!(error.contains(words), "{text}: {error}");
    }
}

#[test]
fn several_errors_are_told_at_once_but_not_thousands() {
    assert_eq!(
        errors("services: {a: {imag: x, port: [1]}, b: {image: [1]}}").len(),
        3
    );
    let many: String = (0..500).map(|n| format!("zz{n}: 1\n")).collect();
    assert_eq!(errors(&many).len(), 50);
}

#[test]
fn extensions_are_free_at_every_level() {
    let text = "x-a: &a {b: 1}\nservices:\n  web:\n    image: n\n    x-k: [1]\n    build: {context: ., x-y: 1}\nnetworks: {n: {x-z: 1}}\n";
    assert_eq!(errors(text), Vec::<String>::new());
}

#[test]
fn empty_values_count_as_left_out() {
    assert_eq!(
        errors(
            "services: {a: {image: x, ports: , environment: , deploy: }}\nnetworks: {n: }\nvolumes: {v: }\n"
        ),
        Vec::<String>::new()
    );
}

#[test]
fn every_short_and_long_form_passes() {
    let text = r#"
name: all
services:
  a:
    image: x
    build: .
    command: [a, b]
    env_file: [a.env, {path: b.env, required: false, format: raw}]
    ports: [80, "80:80", {target: 80, published: "80-90", mode: host}]
    volumes: ["v:/v", {type: tmpfs, target: /t, tmpfs: {size: 1m, mode: 01777}}]
    networks: {default: , n: {aliases: [x], ipv4_address: 10.0.0.1}}
    depends_on: {b: {condition: service_healthy, required: false}}
    ulimits: {nofile: 5, nproc: {soft: 1, hard: 2}}
    deploy: {resources: {limits: {cpus: '0.5', memory: 50M, pids: 5}, reservations: {devices: [{capabilities: [gpu], count: all}]}}}
    gpus: all
    extra_hosts: {h: 1.2.3.4, g: [1.1.1.1, 2.2.2.2]}
    configs: [c, {source: c, target: /x, mode: 0440}]
    privileged: "true"
    cpu_period: 10ms
  b: {image: y, extends: a, depends_on: [], gpus: [{count: 1}]}
configs: {c: {content: hi}}
secrets: {s: {external: {name: z}}}
volumes: {v: {external: true}}
models: {m: {model: ai/x}}
"#;
    assert_eq!(errors(text), Vec::<String>::new());
}
