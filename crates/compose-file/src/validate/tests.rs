use crate::testing::{load_text, messages};

/// The one error of a project, rendered.
fn error(text: &str) -> String {
    match load_text(text) {
        Ok(loaded) => panic!("{text}: loaded with {:?}", loaded.warnings),
        Err(error) => {
            assert_eq!(error.diagnostics.len(), 1, "{error}");
            error.to_string()
        }
    }
}

#[test]
fn container_name_with_replicas() {
    assert_eq!(
        error(
            "services:\n  web:\n    image: nginx\n    container_name: one\n    deploy:\n      replicas: 2\n"
        ),
        "/p/compose.yaml:4:21: services.web.container_name: container_name \"one\" cannot be given to 2 replicas, because each container needs a name of its own\n  4 |     container_name: one\n    |                     ^\n  Hint: remove container_name, or run one replica"
    );
    assert!(
        error("services: {web: {image: x, container_name: one, scale: 2}}").contains("2 replicas")
    );
}

#[test]
fn network_mode_with_networks() {
    assert_eq!(
        error(
            "services:\n  web:\n    image: nginx\n    network_mode: host\n    networks:\n      - front\nnetworks:\n  front:\n"
        ),
        "/p/compose.yaml:4:19: services.web.network_mode: service web declares mutually exclusive `network_mode` and `networks`\n  4 |     network_mode: host\n    |                   ^\n  Hint: remove one of the two: a service with a network_mode joins no networks"
    );
}

#[test]
fn undefined_things_are_named_with_the_nearest_right_one() {
    assert_eq!(
        error(
            "services:\n  web:\n    image: nginx\n    networks:\n      - fornt\nnetworks:\n  front:\n"
        ),
        "/p/compose.yaml:5:9: services.web.networks.fornt: service \"web\" refers to undefined network fornt\n  5 |       - fornt\n    |         ^\n  Hint: did you mean \"front\"?"
    );
    for (text, words) in [
        (
            "services: {a: {image: x, volumes: ['db:/x']}}",
            "refers to undefined volume db",
        ),
        (
            "services: {a: {image: x, volumes: ['db:/x']}}",
            "define it at the top level: \"volumes:\", and below it \"db:\"",
        ),
        (
            "services: {a: {image: x, configs: [c]}}",
            "refers to undefined config c",
        ),
        (
            "services: {a: {image: x, secrets: [s]}}",
            "refers to undefined secret s",
        ),
        (
            "services: {a: {build: {context: ., secrets: [s]}}}",
            "refers to undefined secret s",
        ),
        (
            "services: {a: {image: x, models: [m]}}",
            "refers to undefined model m",
        ),
        (
            "services: {a: {image: x, depends_on: [b]}}",
            "service \"a\" depends on undefined service \"b\"",
        ),
        (
            "services: {a: {image: x, links: ['b:c']}}",
            "refers to undefined service \"b\"",
        ),
        (
            "services: {a: {image: x, network_mode: 'service:b'}}",
            "refers to undefined service \"b\"",
        ),
        (
            "services: {a: {image: x, pid: 'service:b'}}",
            "refers to undefined service \"b\"",
        ),
        (
            "services: {a: {image: x, volumes_from: [b]}}",
            "refers to undefined service \"b\"",
        ),
        (
            "services: {a: {build: {context: ., additional_contexts: {x: 'service:b'}}}}",
            "refers to undefined service \"b\"",
        ),
    ] {
        let error = error(text);
        assert!(error.contains(words), "{text}: {error}");
    }
}

#[test]
fn a_dependency_cycle_names_its_path() {
    assert_eq!(
        error(
            "services:\n  a:\n    image: x\n    depends_on: [b]\n  b:\n    image: x\n    depends_on:\n      - c\n  c:\n    image: x\n    links:\n      - a\n"
        ),
        "/p/compose.yaml:4:18: services.a.depends_on.b: dependency cycle detected: a -> b -> c -> a\n  4 |     depends_on: [b]\n    |                  ^\n  Hint: remove one of these dependencies; the services can still reach each other by name"
    );
    assert!(
        error("services: {a: {image: x, depends_on: [a]}}")
            .contains("dependency cycle detected: a -> a")
    );
}

#[test]
fn contradictions() {
    for (text, words) in [
        (
            "services: {a: {command: x}}",
            "service \"a\" has neither an image nor a build context specified",
        ),
        (
            "services: {a: {build: {context: ., dockerfile: D, dockerfile_inline: FROM x}}}",
            "mutually exclusive dockerfile and dockerfile_inline",
        ),
        (
            "services: {a: {image: x, scale: 2, deploy: {replicas: 3}}}",
            "can't set distinct values on 'scale' (2) and 'deploy.replicas' (3)",
        ),
        (
            "services: {a: {image: x, cpus: 1, deploy: {resources: {limits: {cpus: '2'}}}}}",
            "can't set distinct values on 'cpus' and 'deploy.resources.limits.cpus'",
        ),
        (
            "services: {a: {image: x, mem_limit: 1g, deploy: {resources: {limits: {memory: 2g}}}}}",
            "'mem_limit'",
        ),
        (
            "services: {a: {image: x, mem_reservation: 1g, deploy: {resources: {reservations: {memory: 2g}}}}}",
            "'mem_reservation'",
        ),
        (
            "services: {a: {image: x, pids_limit: 1, deploy: {resources: {limits: {pids: 2}}}}}",
            "'pids_limit'",
        ),
        (
            "services: {a: {image: x, volumes: ['/a:/x'], tmpfs: /x}}",
            "target /x is already mounted by volumes[0]",
        ),
        (
            "services: {a: {image: x, platform: linux/arm64, build: {context: ., platforms: [linux/amd64]}}}",
            "build.platforms must include the platform",
        ),
    ] {
        let error = error(text);
        assert!(error.contains(words), "{text}: {error}");
    }
}

#[test]
fn agreeing_values_and_repeated_entries_are_fine() {
    for text in [
        "services: {a: {image: x, scale: 2, deploy: {replicas: 2}}}",
        "services: {a: {image: x, cpus: 0.5, deploy: {resources: {limits: {cpus: '0.50'}}}}}",
        "services: {a: {image: x, volumes: ['/a:/x', '/a:/x']}}",
        "services: {a: {image: x, depends_on: {b: {condition: service_started, required: false}}}}",
        "services: {a: {build: .}}",
        "services: {a: {provider: {type: x}}}",
    ] {
        assert!(load_text(text).is_ok(), "{text}");
    }
}

#[test]
fn ports_that_lead_nowhere_or_clash_are_warned_of() {
    let warnings = |text: &str| messages(&load_text(text).unwrap().warnings);
    assert_eq!(
        warnings("services: {a: {image: x, network_mode: host, ports: ['80']}}"),
        ["Published ports are discarded when using host network mode"]
    );
    assert_eq!(
        warnings("services: {a: {image: x, ports: ['80:80']}, b: {image: x, ports: ['80:81']}}"),
        ["host port 80/tcp is also published by service \"a\""]
    );
    assert!(warnings("services: {a: {image: x, ports: ['80:80']}, b: {image: x, ports: ['80:81/udp', '127.0.0.1:80:80']}}").is_empty());
}

#[test]
fn several_errors_are_told_at_once() {
    let error =
        load_text("services: {a: {image: x, networks: [n], volumes: ['v:/v']}, b: {command: x}}")
            .unwrap_err();
    assert_eq!(error.diagnostics.len(), 3);
}

#[test]
fn many_services_in_a_chain_are_no_trouble() {
    let mut text = String::from("services:\n  s0: {image: x}\n");
    for n in 1..3000 {
        text.push_str(&format!("  s{n}: {{image: x, depends_on: [s{}]}}\n", n - 1));
    }
    assert!(load_text(&text).is_ok());
}
