//! The canonical form of one service.

use super::{Canonical, Form, child, pairs_to_map, single, to_list};
use crate::paths;
use crate::tree::{Map, Node, Value, join};

impl Canonical<'_> {
    pub(super) fn service(&mut self, service: &mut Node, path: &str) {
        self.legacy_keys(service, path);
        self.build(service);
        for key in ["dns", "label_file"] {
            to_list(service, key);
        }
        if self.form == Form::Long {
            self.written_shortly(service, path);
        }
        self.depends_on(service);
        names_to_map(service, "networks");
        names_to_map(service, "models");
        self.env_files(service);
        self.label_files(service);
        self.ports(service, path);
        self.volumes(service, path);
        for key in ["configs", "secrets"] {
            sources(service, key);
        }
        self.devices(service, path);
        self.gpus(service);
        self.watch(service, path);
        self.extends(service);
    }

    /// What a file without interpolation keeps as it is written.
    fn written_shortly(&mut self, service: &mut Node, path: &str) {
        for key in ["environment", "labels", "annotations", "sysctls"] {
            pairs_to_map(service, key);
        }
        if let Some(deploy) = child(service, "deploy") {
            pairs_to_map(deploy, "labels");
        }
        for key in ["dns_opt", "dns_search", "tmpfs"] {
            to_list(service, key);
        }
        for key in ["command", "entrypoint"] {
            self.words(service, key, path);
        }
        self.health_test(service);
        extra_hosts(service);
        for key in ["post_start", "pre_stop", "pre_start"] {
            self.hooks(service, key, path);
        }
    }

    fn build(&mut self, service: &mut Node) {
        let Some(build) = child(service, "build") else {
            return;
        };
        if let Some(text) = build.scalar_text() {
            build.value = single("context", Node::string(text, build.place));
        }
        // A word without a value may still become a pair.
        let pair = |item: &Node| item.as_str().is_some_and(|text| text.contains('='));
        let contexts = build.get("additional_contexts").and_then(Node::as_list);
        if self.form == Form::Long || contexts.is_some_and(|list| list.iter().all(pair)) {
            pairs_to_map(build, "additional_contexts");
        }
        to_list(build, "ssh");
        pairs_to_map(build, "ssh");
        sources(build, "secrets");
        match self.form {
            Form::Long => {
                pairs_to_map(build, "args");
                pairs_to_map(build, "labels");
                to_list(build, "no_cache_filter");
                extra_hosts(build);
            }
            Form::AsWritten => {
                for key in ["provenance", "sbom"] {
                    to_text(build, key);
                }
            }
        }
        if let Some(context) = build
            .get("context")
            .and_then(Node::scalar_text)
            .filter(|text| !paths::is_remote(text))
        {
            let context = self.resolve(&context);
            if let Some(node) = child(build, "context") {
                node.value = Value::String(context);
            }
        }
        if let Some(contexts) = child(build, "additional_contexts").and_then(Node::as_map_mut) {
            for (_, node) in contexts.values_mut() {
                if let Some(text) = node.scalar_text().filter(|text| is_context_path(text)) {
                    node.value = Value::String(self.resolve(&text));
                }
            }
        }
        if let Some(keys) = child(build, "ssh").and_then(Node::as_map_mut) {
            for (_, node) in keys.values_mut() {
                if let Some(text) = node.as_str().filter(|text| !text.is_empty()) {
                    node.value = Value::String(self.resolve(text));
                }
            }
        }
    }

    /// A command line becomes words, without a shell.
    fn words(&mut self, node: &mut Node, key: &str, path: &str) {
        let Some(child) = child(node, key) else {
            return;
        };
        let Some(text) = child.scalar_text() else {
            return;
        };
        match shell_words::split(&text) {
            Ok(words) => {
                let place = child.place;
                child.value = Value::List(
                    words
                        .into_iter()
                        .map(|word| Node::string(word, place))
                        .collect(),
                );
            }
            Err(_) if !self.interpolated => {}
            Err(_) => {
                let place = child.place;
                let hint = "close the quote, or write the command as a list";
                self.error(
                    place,
                    &join(path, key),
                    "a quote is opened and never closed",
                    hint,
                );
            }
        }
    }

    /// `test: curl …` is run by the container's shell.
    fn health_test(&mut self, service: &mut Node) {
        let Some(test) = child(service, "healthcheck").and_then(|check| child(check, "test"))
        else {
            return;
        };
        if let Some(text) = test.scalar_text() {
            let place = test.place;
            test.value = Value::List(vec![
                Node::string("CMD-SHELL", place),
                Node::string(text, place),
            ]);
        }
    }

    fn depends_on(&mut self, service: &mut Node) {
        names_to_map(service, "depends_on");
        let Some(map) = child(service, "depends_on").and_then(Node::as_map_mut) else {
            return;
        };
        for (_, node) in map.values_mut() {
            if node.is_null() {
                node.value = Value::Map(Map::new());
            }
            let place = node.place;
            let Some(dependency) = node.as_map_mut() else {
                continue;
            };
            let usual = [
                ("condition", Value::String("service_started".into())),
                ("required", Value::Bool(true)),
            ];
            for (key, value) in usual {
                if !dependency.contains(key) {
                    dependency.insert(key, place, Node::new(value, place));
                }
            }
        }
    }

    fn env_files(&mut self, service: &mut Node) {
        to_list(service, "env_file");
        let Some(Value::List(list)) = child(service, "env_file").map(|node| &mut node.value) else {
            return;
        };
        for item in list {
            if let Some(text) = item.scalar_text() {
                item.value = single("path", Node::string(text, item.place));
            }
            self.absolute(item, "path");
            let place = item.place;
            if let Some(map) = item.as_map_mut()
                && self.form == Form::AsWritten
                && !map.contains("required")
            {
                map.insert("required", place, Node::new(Value::Bool(true), place));
            }
        }
    }

    fn label_files(&mut self, service: &mut Node) {
        let Some(Value::List(list)) = child(service, "label_file").map(|node| &mut node.value)
        else {
            return;
        };
        for item in list {
            if let Some(text) = item.scalar_text() {
                item.value = Value::String(self.resolve(&text));
            }
        }
    }

    fn ports(&mut self, service: &mut Node, path: &str) {
        let Some(Value::List(list)) = child(service, "ports").map(|node| &mut node.value) else {
            return;
        };
        // As in docker compose the list is lifted or not.
        let readable = |text: String| model::port::parse(&text).is_ok();
        let whole = list.iter().filter_map(Node::scalar_text).all(readable);
        if self.form == Form::AsWritten && !whole {
            return;
        }
        let mut lifted = Vec::with_capacity(list.len());
        for (number, item) in std::mem::take(list).into_iter().enumerate() {
            let Some(text) = item.scalar_text() else {
                lifted.push(item);
                continue;
            };
            match model::port::parse(&text) {
                Ok(bindings) => {
                    lifted.extend(bindings.iter().map(|binding| port_node(binding, &item)))
                }
                Err(_) if !self.interpolated => lifted.push(item),
                Err(error) => {
                    let hint = "write it as [ip:][host:]container[/protocol], as in \"8080:80\"";
                    self.error(
                        item.place,
                        &format!("{path}.ports[{number}]"),
                        error.to_string(),
                        hint,
                    );
                }
            }
        }
        if let Some(ports) = child(service, "ports") {
            ports.value = Value::List(lifted);
        }
    }

    fn devices(&mut self, service: &mut Node, path: &str) {
        let Some(Value::List(list)) = child(service, "devices").map(|node| &mut node.value) else {
            return;
        };
        for (number, item) in list.iter_mut().enumerate() {
            let Some(text) = item.scalar_text() else {
                continue;
            };
            if model::device::is_cdi_name(&text) {
                let device = [text.clone(), text, "rwm".into()];
                item.value = match self.form {
                    Form::AsWritten => device_map(device, item),
                    Form::Long => {
                        let [name, ..] = device;
                        single("source", Node::string(name, item.place))
                    }
                };
                continue;
            }
            match text.parse::<model::device::DeviceMapping>() {
                Ok(device) => {
                    let device = [device.host, device.container, device.permissions];
                    item.value = device_map(device, item);
                }
                Err(_) if !self.interpolated => {}
                Err(error) => self.error(
                    item.place,
                    &format!("{path}.devices[{number}]"),
                    error.to_string(),
                    "",
                ),
            }
        }
    }

    fn hooks(&mut self, service: &mut Node, key: &str, path: &str) {
        let Some(Value::List(list)) = child(service, key).map(|node| &mut node.value) else {
            return;
        };
        for (number, hook) in list.iter_mut().enumerate() {
            pairs_to_map(hook, "environment");
            self.words(hook, "command", &format!("{path}.{key}[{number}]"));
        }
    }

    fn watch(&mut self, service: &mut Node, path: &str) {
        let watch = child(service, "develop").and_then(|develop| child(develop, "watch"));
        let Some(Value::List(list)) = watch.map(|node| &mut node.value) else {
            return;
        };
        for (number, rule) in list.iter_mut().enumerate() {
            self.absolute(rule, "path");
            to_list(rule, "ignore");
            to_list(rule, "include");
            if let Some(exec) = child(rule, "exec")
                && self.form == Form::Long
            {
                pairs_to_map(exec, "environment");
                self.words(
                    exec,
                    "command",
                    &format!("{path}.develop.watch[{number}].exec"),
                );
            }
        }
    }

    /// `gpus: all` asks for one request of all.
    fn gpus(&self, service: &mut Node) {
        let Some(gpus) = child(service, "gpus") else {
            return;
        };
        if let Some(text) = gpus.scalar_text() {
            let request = single("count", Node::string(text, gpus.place));
            gpus.value = Value::List(vec![Node::new(request, gpus.place)]);
        }
        let Value::List(list) = &mut gpus.value else {
            return;
        };
        for item in list {
            self.pairs(item, "options");
        }
    }

    fn extends(&mut self, service: &mut Node) {
        let Some(extends) = child(service, "extends") else {
            return;
        };
        if let Some(text) = extends.scalar_text() {
            extends.value = single("service", Node::string(text, extends.place));
        }
        if extends
            .get("file")
            .and_then(Node::as_str)
            .is_some_and(|file| !paths::is_remote(file))
        {
            self.absolute(extends, "file");
        }
    }
}

/// Whether an additional context is a directory here, and not an image, a service or a URL.
fn is_context_path(text: &str) -> bool {
    let marked = ["service:", "target:", "docker-image:", "oci-layout:"];
    !text.contains("://")
        && !paths::is_remote(text)
        && !marked.iter().any(|mark| text.starts_with(mark))
}

fn device_map(device: [String; 3], item: &Node) -> Value {
    let mut map = Map::new();
    for (key, value) in ["source", "target", "permissions"].into_iter().zip(device) {
        map.insert(key, item.place, Node::string(value, item.place));
    }
    Value::Map(map)
}

fn port_node(binding: &model::port::PortBinding, item: &Node) -> Node {
    let text = |value: String| Node::string(value, item.place);
    let mut map = Map::new();
    map.insert("mode", item.place, text("ingress".into()));
    if let Some(ip) = binding.host_ip {
        map.insert("host_ip", item.place, text(ip.to_string()));
    }
    map.insert(
        "target",
        item.place,
        Node::new(Value::Int(binding.container_port.into()), item.place),
    );
    let published = binding.host_port.to_string();
    if !published.is_empty() {
        map.insert("published", item.place, text(published));
    }
    map.insert("protocol", item.place, text(binding.protocol.to_string()));
    Node::new(Value::Map(map), item.place)
}

/// A list of names becomes a mapping of names to nothing.
fn names_to_map(node: &mut Node, key: &str) {
    let Some(child) = child(node, key) else {
        return;
    };
    let Value::List(list) = &mut child.value else {
        return;
    };
    let mut map = Map::new();
    for item in std::mem::take(list) {
        if let Some(name) = item.scalar_text() {
            map.insert(name, item.place, Node::new(Value::Null, item.place));
        }
    }
    child.value = Value::Map(map);
}

/// `name` becomes `{source: name}` in a list.
fn sources(node: &mut Node, key: &str) {
    let Some(Value::List(list)) = child(node, key).map(|node| &mut node.value) else {
        return;
    };
    for item in list {
        if let Some(text) = item.scalar_text() {
            item.value = single("source", Node::string(text, item.place));
        }
    }
}

/// Both forms become a list of `host=address`.
fn extra_hosts(node: &mut Node) {
    let Some(child) = child(node, "extra_hosts") else {
        return;
    };
    match &mut child.value {
        Value::List(list) => {
            for item in list {
                if let Some((host, address)) = item
                    .as_str()
                    .filter(|t| !t.contains('='))
                    .and_then(|t| t.split_once(':'))
                {
                    item.value = Value::String(format!("{host}={address}"));
                }
            }
        }
        Value::Map(map) => {
            let mut list = Vec::new();
            for entry in std::mem::take(map) {
                let addresses = match entry.node.value {
                    Value::List(addresses) => addresses,
                    _ => vec![entry.node],
                };
                let line = |node: Node| {
                    let address = node.scalar_text().unwrap_or_default();
                    Node::string(format!("{}={address}", entry.key), node.place)
                };
                list.extend(addresses.into_iter().map(line));
            }
            child.value = Value::List(list);
        }
        _ => {}
    }
}

/// `true` becomes `"true"`.
fn to_text(node: &mut Node, key: &str) {
    if let Some(child) = child(node, key)
        && let Some(text) = child.scalar_text()
    {
        child.value = Value::String(text);
    }
}
