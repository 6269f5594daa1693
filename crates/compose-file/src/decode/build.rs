//! `build`.

use super::{Cursor, Decoder, extensions_of};
use crate::project::{Build, SshKey};
use std::collections::BTreeMap;

impl Decoder<'_> {
    pub(super) fn build(&mut self, at: &Cursor<'_>) -> Build {
        Build {
            context: self.filled(at, "context").unwrap_or_default(),
            dockerfile: self.filled(at, "dockerfile"),
            dockerfile_inline: self.filled(at, "dockerfile_inline"),
            args: self.pairs(at, "args"),
            target: self.filled(at, "target"),
            labels: self.table(at, "labels"),
            additional_contexts: self.contexts(at),
            cache_from: self.texts(at, "cache_from"),
            cache_to: self.texts(at, "cache_to"),
            no_cache: self.flag(at, "no_cache").unwrap_or_default(),
            no_cache_filter: self.texts(at, "no_cache_filter"),
            pull: self.flag(at, "pull").unwrap_or_default(),
            network: self.filled(at, "network"),
            extra_hosts: self.parsed_list(at, "extra_hosts", str::parse),
            ssh: self.ssh(at),
            secrets: self.list(at, "secrets", |decoder, item| {
                decoder.file_reference(item, None)
            }),
            shm_size: self.size(at, "shm_size"),
            ulimits: self.ulimits(at),
            ulimit_pairs: self.ulimit_pairs(at),
            tags: self.texts(at, "tags"),
            platforms: self.texts(at, "platforms"),
            privileged: self.flag(at, "privileged").unwrap_or_default(),
            entitlements: self.texts(at, "entitlements"),
            isolation: self.filled(at, "isolation"),
            provenance: self.filled(at, "provenance"),
            sbom: self.filled(at, "sbom"),
            extensions: extensions_of(at.node),
        }
    }

    fn contexts(&mut self, at: &Cursor<'_>) -> BTreeMap<String, String> {
        for (name, context) in self.entries(at, "additional_contexts") {
            if context
                .node
                .scalar_text()
                .is_none_or(|text| text.is_empty())
            {
                let message = format!("the additional context \"{name}\" names nothing");
                let hint = format!(
                    "give it a directory, an image or a service: {name}=docker-image://alpine"
                );
                self.error_with_hint(&context, message, hint);
            }
        }
        self.table(at, "additional_contexts")
    }

    fn ssh(&mut self, at: &Cursor<'_>) -> Vec<SshKey> {
        let keys = self.pairs(at, "ssh");
        keys.into_iter()
            .map(|(id, path)| SshKey {
                id,
                path: path.filter(|path| !path.is_empty()),
            })
            .collect()
    }
}
