//! Any text is published or exposed ports, or an error; each prints as what is read as the same, on the command
//! line and in a project.
#![no_main]

mod project;

use model::port::{ContainerPort, parse, parse_expose};

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(bindings) = parse(text) {
        assert!(!bindings.is_empty());
        for binding in &bindings {
            assert!(binding.container_port > 0);
        }
        // A range has thousands; its ends stand for the others.
        for binding in [bindings.first(), bindings.last()].into_iter().flatten() {
            assert_eq!(parse(&binding.to_string()).as_deref(), Ok(&[*binding][..]));
        }
    }
    if let Ok((bindings, access)) = model::access::parse_published(text) {
        assert!(access.is_empty() || access.len() == bindings.len());
        for one in access.first() {
            for network in &one.allow {
                assert_eq!(network.to_string().parse().as_ref(), Ok(network));
            }
        }
    }
    if let Ok(ports) = parse_expose(text) {
        for port in [ports.first(), ports.last()].into_iter().flatten() {
            assert_eq!(port.to_string().parse::<ContainerPort>().as_ref(), Ok(port));
        }
    }
    // A project takes long to load: only what may be a port.
    if text.len() < 100 && (parse(text).is_ok() || parse_expose(text).is_ok()) {
        let service = serde_json::json!({"image": "x", "ports": [text], "expose": [text]});
        let yaml = compose_file::yaml(&serde_json::json!({"services": {"a": service}}));
        if let Some(loaded) = project::load(yaml.expect("text").as_bytes(), b"") {
            project::assert_canonical(&loaded);
        }
    }
});
