//! `build`.

use super::{Object, mounts};
use crate::project::Build;
use serde_json::Value;

pub(super) fn value(build: &Build) -> Object {
    let mut object = Object::new();
    if !build.context.is_empty() {
        object.set("context", build.context.as_str());
    }
    object.table("additional_contexts", &build.additional_contexts);
    object.text("dockerfile", &build.dockerfile);
    object.text("dockerfile_inline", &build.dockerfile_inline);
    object.texts("entitlements", &build.entitlements);
    object.pairs("args", &build.args);
    if !build.ssh.is_empty() {
        let path = |path: &Option<String>| path.as_deref().map_or(Value::Null, Value::from);
        let keys = build
            .ssh
            .iter()
            .map(|key| (key.id.clone(), path(&key.path)));
        object.set("ssh", keys.collect::<serde_json::Map<_, _>>());
    }
    object.table("labels", &build.labels);
    object.texts("cache_from", &build.cache_from);
    object.texts("cache_to", &build.cache_to);
    object.flag("no_cache", build.no_cache);
    object.texts("no_cache_filter", &build.no_cache_filter);
    object.flag("pull", build.pull);
    object.list(
        "extra_hosts",
        &build.extra_hosts,
        super::service::extra_host,
    );
    object.text("isolation", &build.isolation);
    object.text("network", &build.network);
    object.text("target", &build.target);
    object.list("secrets", &build.secrets, mounts::file_reference);
    object.size("shm_size", build.shm_size);
    object.texts("tags", &build.tags);
    object.object("ulimits", super::service::ulimits(&build.ulimits));
    object.texts("platforms", &build.platforms);
    object.flag("privileged", build.privileged);
    object.text("provenance", &build.provenance);
    object.text("sbom", &build.sbom);
    object.extensions(&build.extensions);
    object
}
