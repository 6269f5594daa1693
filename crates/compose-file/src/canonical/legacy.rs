//! Files of versions 1 to 3: services at the top level, and keys that have newer names.
//! Source: the legacy Compose file references; compose-go's `types.ServiceConfig`.

use super::{Canonical, child};
use crate::diagnostic::Place;
use crate::schema;
use crate::tree::{Map, Node, Value, join};

/// A version 1 file has its services at the top level: wraps them in `services`. True when it did.
pub(crate) fn lift_version_one(document: &mut Node) -> bool {
    let place = document.place;
    let Some(root) = document.as_map_mut() else {
        return false;
    };
    let known = [
        "services", "jobs", "include", "version", "name", "networks", "configs", "secrets",
        "models",
    ];
    if root.is_empty() || known.iter().any(|key| root.contains(key)) {
        return false;
    }
    let others = || root.iter().filter(|entry| !entry.key.starts_with("x-"));
    if others().count() == 0 || !others().all(|entry| schema::looks_like_service(&entry.node)) {
        return false;
    }
    let mut services = Map::new();
    let mut rest = Map::new();
    for entry in std::mem::take(root) {
        let target = if entry.key.starts_with("x-") {
            &mut rest
        } else {
            &mut services
        };
        target.insert(entry.key, entry.place, entry.node);
    }
    rest.insert("services", place, Node::new(Value::Map(services), place));
    *root = rest;
    true
}

impl Canonical<'_> {
    /// `net`, `log_driver`, `log_opt`, `dockerfile`, `volume_driver` of older files.
    pub(super) fn legacy_keys(&mut self, service: &mut Node, path: &str) {
        let Some(map) = service.as_map_mut() else {
            return;
        };
        if let Some(net) = map.remove("net") {
            self.renamed(net.place, path, "net", "network_mode");
            if !map.contains("network_mode") {
                map.insert("network_mode", net.place, net.node);
            }
        }
        let (driver, options) = (map.remove("log_driver"), map.remove("log_opt"));
        if let Some(place) = driver
            .as_ref()
            .or(options.as_ref())
            .map(|entry| entry.place)
        {
            self.renamed(place, path, "log_driver", "logging");
            let mut logging = Map::new();
            for (key, entry) in [("driver", driver), ("options", options)] {
                if let Some(entry) = entry {
                    logging.insert(key, entry.place, entry.node);
                }
            }
            if !map.contains("logging") {
                map.insert("logging", place, Node::new(Value::Map(logging), place));
            }
        }
        if let Some(driver) = map.remove("volume_driver") {
            self.warn(driver.place, &join(path, "volume_driver"), "volume_driver is ignored; give the volume a driver under the top-level \"volumes\"");
        }
        if let Some(dockerfile) = map.remove("dockerfile") {
            self.renamed(dockerfile.place, path, "dockerfile", "build.dockerfile");
            self.dockerfile(service, dockerfile.node);
        }
    }

    fn dockerfile(&mut self, service: &mut Node, dockerfile: Node) {
        let Some(build) = child(service, "build") else {
            return;
        };
        let place = dockerfile.place;
        if let Some(context) = build.scalar_text() {
            build.value = super::single("context", Node::string(context, build.place));
        }
        if let Some(map) = build.as_map_mut() {
            map.insert("dockerfile", place, dockerfile);
        }
    }

    fn renamed(&mut self, place: Place, path: &str, old: &str, new: &str) {
        self.warn(
            place,
            &join(path, old),
            format!("\"{old}\" is obsolete and read as \"{new}\""),
        );
    }
}
