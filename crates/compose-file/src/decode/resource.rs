//! The top-level networks, volumes, configs, secrets and models.

use super::{Cursor, Decoder, extensions_of};
use crate::project::{AiModel, FileObject, FileSource, Network, Volume};
use model::network::{IpamConfig, NetworkSpec};

impl Decoder<'_> {
    pub(super) fn network(&mut self, at: &Cursor<'_>) -> Option<Network> {
        let external = self.external(at, "network");
        let ipam = at.child("ipam");
        let mut pools = Vec::new();
        if let Some(ipam) = &ipam {
            pools = self.list(ipam, "config", |decoder, item| {
                Some(IpamConfig {
                    subnet: decoder.filled(item, "subnet"),
                    ip_range: decoder.filled(item, "ip_range"),
                    gateway: decoder.filled(item, "gateway"),
                    aux_addresses: decoder.table(item, "aux_addresses"),
                })
            });
        }
        let spec = NetworkSpec {
            name: self.filled(at, "name").unwrap_or_default(),
            driver: self.filled(at, "driver").unwrap_or_default(),
            driver_opts: self.table(at, "driver_opts"),
            ipam: pools,
            ipam_driver: ipam.as_ref().and_then(|ipam| self.filled(ipam, "driver")),
            ipam_options: ipam
                .as_ref()
                .map(|ipam| self.table(ipam, "options"))
                .unwrap_or_default(),
            internal: self.flag(at, "internal").unwrap_or_default(),
            attachable: self.flag(at, "attachable").unwrap_or_default(),
            ipv4: self.flag(at, "enable_ipv4"),
            ipv6: self.flag(at, "enable_ipv6"),
            labels: self.table(at, "labels"),
            ..NetworkSpec::default()
        };
        Some(Network {
            external,
            spec,
            extensions: extensions_of(at.node),
        })
    }

    pub(super) fn volume(&mut self, at: &Cursor<'_>) -> Option<Volume> {
        Some(Volume {
            external: self.external(at, "volume"),
            name: self.filled(at, "name").unwrap_or_default(),
            driver: self.filled(at, "driver"),
            driver_opts: self.table(at, "driver_opts"),
            labels: self.table(at, "labels"),
            extensions: extensions_of(at.node),
        })
    }

    pub(super) fn file_object(&mut self, at: &Cursor<'_>) -> Option<FileObject> {
        let external = self.external(at, "config or secret");
        let mut sources = Vec::new();
        if let Some(file) = self.filled(at, "file") {
            sources.push(FileSource::File(file.into()));
        }
        if let Some(variable) = self.filled(at, "environment") {
            sources.push(FileSource::Environment {
                variable,
                value: None,
            });
        }
        // An empty content is a content.
        if let Some(content) = self.text(at, "content") {
            sources.push(FileSource::Content(content));
        }
        if external {
            sources.push(FileSource::External);
        }
        let source = match (sources.pop(), sources.is_empty()) {
            (Some(source), true) => source,
            (None, _) if at.child("driver").is_some() => FileSource::External,
            (None, _) => {
                self.error_with_hint(
                    at,
                    "one of file, environment, content or external must be set",
                    "add \"file: PATH\"",
                );
                return None;
            }
            (Some(_), false) => {
                self.error_with_hint(
                    at,
                    "file, environment, content and external attributes are mutually exclusive",
                    "keep one of them",
                );
                return None;
            }
        };
        Some(FileObject {
            name: self.filled(at, "name").unwrap_or_default(),
            source,
            labels: self.table(at, "labels"),
            driver: self.filled(at, "driver"),
            driver_opts: self.table(at, "driver_opts"),
            template_driver: self.filled(at, "template_driver"),
            extensions: extensions_of(at.node),
        })
    }

    pub(super) fn ai_model(&mut self, at: &Cursor<'_>) -> Option<AiModel> {
        let Some(model) = self.filled(at, "model") else {
            self.error_with_hint(at, "a model names no model", "add \"model: NAME\"");
            return None;
        };
        let ours = self.ours(at, &["endpoint"]);
        let endpoint = ours.and_then(|ours| self.parsed(&ours, "endpoint", endpoint));
        Some(AiModel {
            endpoint,
            name: self.filled(at, "name"),
            model,
            context_size: self.integer(at, "context_size"),
            runtime_flags: self.texts(at, "runtime_flags"),
            extensions: extensions_of(at.node),
        })
    }

    /// `external: true`, beside which only a name makes sense.
    fn external(&mut self, at: &Cursor<'_>, what: &str) -> bool {
        let external = self.flag(at, "external").unwrap_or_default();
        if external {
            let extra = [
                "driver",
                "driver_opts",
                "labels",
                "ipam",
                "internal",
                "attachable",
                "enable_ipv6",
            ];
            if let Some(key) = extra.iter().find(|key| at.has(key)) {
                let message = format!(
                    "conflicting parameters \"external\" and \"{key}\" specified for {what}"
                );
                let hint = "an external one is only named here; take one of the two keys away";
                match what {
                    "network" => self.warn_with_hint(at, message, hint),
                    _ => self.error_with_hint(at, message, hint),
                }
            }
        }
        external
    }
}

/// Where a server speaks HTTP.
fn endpoint(text: &str) -> Result<String, String> {
    let rest = text
        .strip_prefix("http://")
        .or_else(|| text.strip_prefix("https://"));
    match rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/')) {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "{text:?} is no address of a server: write it as http://HOST:PORT/PATH"
        )),
    }
}
