//! `pid`, `ipc`, `uts`, `cgroup`, `userns_mode`, `network_mode`: own, the host's, or somebody else's.

use super::{Cursor, Decoder};
use crate::project::{NamespaceRef, NetworkModeRef, Service};
use model::container::NamespaceMode;

impl Decoder<'_> {
    pub(super) fn service_namespaces(&mut self, at: &Cursor<'_>, service: &mut Service) {
        let shared: &[&str] = &["service:", "container:", "host", "private"];
        let ipc: &[&str] = &[
            "service:",
            "container:",
            "host",
            "private",
            "shareable",
            "none",
        ];
        service.pid = self.namespace(at, "pid", shared);
        service.ipc = self.namespace(at, "ipc", ipc);
        service.uts = self.namespace(at, "uts", &["host", "private"]);
        service.cgroup = self.namespace(at, "cgroup", &["host", "private"]);
        service.userns_mode = self
            .parsed(at, "userns_mode", |text| {
                text.parse().map_err(|e: model::ParseError| e.to_string())
            })
            .unwrap_or_default();
        service.network_mode = self.parsed(at, "network_mode", network_mode);
    }

    fn namespace(&mut self, at: &Cursor<'_>, key: &str, allowed: &[&str]) -> NamespaceRef {
        let read = |text: &str| {
            let fits = |word: &&str| match word.strip_suffix(':') {
                Some(_) => text
                    .strip_prefix(*word)
                    .is_some_and(|name| !name.is_empty()),
                None => text == *word,
            };
            if !allowed.iter().any(fits) {
                let known: Vec<_> = allowed
                    .iter()
                    .map(|w| {
                        if w.ends_with(':') {
                            format!("{w}NAME")
                        } else {
                            (*w).to_owned()
                        }
                    })
                    .collect();
                return Err(format!(
                    "unknown {key} mode {text:?}; use {}",
                    known.join(", ")
                ));
            }
            match text.strip_prefix("service:") {
                Some(name) => Ok(NamespaceRef::Service(name.to_owned())),
                None => text
                    .parse::<NamespaceMode>()
                    .map(NamespaceRef::Mode)
                    .map_err(|error| error.to_string()),
            }
        };
        self.parsed(at, key, read).unwrap_or_default()
    }
}

fn network_mode(text: &str) -> Result<NetworkModeRef, String> {
    Ok(match text {
        "none" => NetworkModeRef::None,
        "host" => NetworkModeRef::Host,
        "bridge" | "default" => NetworkModeRef::Bridge,
        _ => match text.split_once(':') {
            Some(("service" | "container", "")) => {
                return Err(format!("{text:?} names nothing after the colon"));
            }
            Some(("service", name)) => NetworkModeRef::Service(name.to_owned()),
            Some(("container", name)) => NetworkModeRef::Container(name.to_owned()),
            Some(_) => {
                return Err(format!(
                    "unknown network mode {text:?}; use none, host, bridge, service:NAME or container:NAME"
                ));
            }
            None => NetworkModeRef::Named(text.to_owned()),
        },
    })
}
