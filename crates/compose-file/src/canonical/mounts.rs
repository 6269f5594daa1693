//! `volumes` of a service: `[source:]target[:options]` to the long form.

use super::{Canonical, child};
use crate::diagnostic::Place;
use crate::paths;
use crate::tree::{Map, Node, Value};
use model::mount::{MountKind, Recursion};

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
            self.pairs(volume, "labels");
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
        let options = options_of(text);
        let is = |words: &'static [&'static str]| {
            options
                .iter()
                .find(|word| words.contains(*word))
                .map(|word| text_value(word))
        };
        let yes = |flag: bool| flag.then_some(Value::Bool(true));
        let (kind, source, details) = match &mount.kind {
            MountKind::Bind {
                propagation,
                recursion,
                ..
            } => {
                let details = [
                    ("create_host_path", yes(true)),
                    ("propagation", propagation.as_deref().map(text_value)),
                    (
                        "recursive",
                        (*recursion == Recursion::Disabled).then(|| text_value("disabled")),
                    ),
                    ("selinux", is(&["z", "Z"])),
                ];
                let source = text.split(':').next().unwrap_or_default();
                (
                    "bind",
                    Some(Value::String(self.resolve(source))),
                    mapping(item.place, details),
                )
            }
            MountKind::Volume { name, no_copy, .. } => {
                let details = mapping(item.place, [("nocopy", yes(*no_copy))]);
                ("volume", name.as_deref().map(text_value), details)
            }
            MountKind::Tmpfs { .. } | MountKind::Image { .. } => return None,
        };
        let selinux = is(&["z", "Z"]).filter(|_| kind == "volume");
        let bind = selinux.map(|word| Value::Map(mapping(item.place, [("selinux", Some(word))])));
        Some(mapping(
            item.place,
            [
                ("type", Some(text_value(kind))),
                ("source", source),
                ("target", Some(Value::String(mount.target))),
                ("bind", bind),
                (kind, Some(Value::Map(details))),
                ("read_only", yes(mount.read_only)),
                ("consistency", is(&["cached", "delegated", "consistent"])),
            ],
        ))
    }
}

fn text_value(text: &str) -> Value {
    Value::String(text.to_owned())
}

/// A mapping of what there is, all of it from one place.
fn mapping<const N: usize>(place: Place, entries: [(&str, Option<Value>); N]) -> Map {
    let mut map = Map::new();
    for (key, value) in entries {
        if let Some(value) = value {
            map.insert(key, place, Node::new(value, place));
        }
    }
    map
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
