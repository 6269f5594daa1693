//! `volumes` of a service: `[source:]target[:options]` to the long form.

use super::{Canonical, child, pairs_to_map};
use crate::paths;
use crate::tree::{Map, Node, Value};
use model::mount::MountKind;

impl Canonical<'_> {
    pub(super) fn volumes(&mut self, service: &mut Node, path: &str) {
        let Some(Value::List(list)) = child(service, "volumes").map(|node| &mut node.value) else {
            return;
        };
        for (number, item) in list.iter_mut().enumerate() {
            match item.scalar_text() {
                Some(text) => {
                    if let Some(map) =
                        self.volume(&text, item, &format!("{path}.volumes[{number}]"))
                    {
                        item.value = Value::Map(map);
                    }
                }
                None => self.long_volume(item),
            }
        }
    }

    fn long_volume(&mut self, item: &mut Node) {
        if let Some(volume) = child(item, "volume") {
            pairs_to_map(volume, "labels");
        }
        let kind = item.get("type").and_then(Node::as_str);
        let is_path = item
            .get("source")
            .and_then(Node::as_str)
            .is_some_and(|s| s.starts_with(['.', '/', '~']));
        if kind == Some("bind") || (kind.is_none() && is_path) {
            self.absolute(item, "source");
        }
    }

    fn volume(&mut self, text: &str, item: &Node, path: &str) -> Option<Map> {
        let mount = match model::mount::parse_volume(text, self.base_dir) {
            Ok(mount) => mount,
            Err(_) if !self.interpolated => return None,
            Err(error) => {
                let (message, hint) = explain(text, error.to_string());
                self.error(item.place, path, message, &hint);
                return None;
            }
        };
        let mut map = Map::new();
        let set = |map: &mut Map, key: &str, value: Value| {
            map.insert(key, item.place, Node::new(value, item.place))
        };
        let options: Vec<&str> = options_of(text);
        match &mount.kind {
            MountKind::Bind {
                propagation,
                non_recursive,
                ..
            } => {
                set(&mut map, "type", Value::String("bind".into()));
                let source = text.split(':').next().unwrap_or_default();
                set(&mut map, "source", Value::String(self.resolve(source)));
                set(&mut map, "target", Value::String(mount.target));
                let mut bind = Map::new();
                set(&mut bind, "create_host_path", Value::Bool(true));
                if let Some(propagation) = propagation {
                    set(&mut bind, "propagation", Value::String(propagation.clone()));
                }
                if *non_recursive {
                    set(&mut bind, "recursive", Value::String("disabled".into()));
                }
                if let Some(label) = options.iter().find(|word| matches!(**word, "z" | "Z")) {
                    set(&mut bind, "selinux", Value::String((*label).to_owned()));
                }
                set(&mut map, "bind", Value::Map(bind));
            }
            MountKind::Volume { name, no_copy, .. } => {
                set(&mut map, "type", Value::String("volume".into()));
                if let Some(name) = name {
                    set(&mut map, "source", Value::String(name.clone()));
                }
                set(&mut map, "target", Value::String(mount.target));
                if *no_copy {
                    let mut volume = Map::new();
                    set(&mut volume, "nocopy", Value::Bool(true));
                    set(&mut map, "volume", Value::Map(volume));
                }
            }
            MountKind::Tmpfs { .. } | MountKind::Image { .. } => return None,
        }
        if mount.read_only {
            set(&mut map, "read_only", Value::Bool(true));
        }
        if let Some(word) = options
            .iter()
            .find(|word| matches!(**word, "cached" | "delegated" | "consistent"))
        {
            set(&mut map, "consistency", Value::String((*word).to_owned()));
        }
        Some(map)
    }
}

fn options_of(text: &str) -> Vec<&str> {
    let last = text
        .rsplit(':')
        .next()
        .filter(|last| !last.starts_with('/') && text.contains(':'));
    last.map(|options| options.split(',').collect())
        .unwrap_or_default()
}

/// A volume entry without a target is the usual slip; the rest speaks for itself.
fn explain(text: &str, error: String) -> (String, String) {
    let source = text.trim_end_matches(':');
    let names_no_target = !source.contains(':') && (text.ends_with(':') || !text.starts_with('/'));
    if names_no_target && !source.is_empty() {
        let message = format!("the volume entry \"{text}\" names no target");
        return (
            message,
            format!("write it as \"{source}:/path/in/the/container\""),
        );
    }
    let hint = match paths::is_remote(text) {
        true => "a volume is a local path or a name",
        false => "write it as [source:]/path/in/the/container[:options]",
    };
    (error, hint.to_owned())
}
