//! `build`.

use super::{Object, mounts};
use crate::project::Build;

pub(super) fn value(build: &Build) -> Object {
    let mut object = Object::new();
    if !build.context.is_empty() {
        object.set("context", build.context.as_str());
    }
    object.text("dockerfile", &build.dockerfile);
    object.text("dockerfile_inline", &build.dockerfile_inline);
    object.texts("entitlements", &build.entitlements);
    object.pairs("args", &build.args);
    object.text("provenance", &build.provenance);
    object.text("sbom", &build.sbom);
    object.list("ssh", &build.ssh, |key| match &key.path {
        Some(path) => format!("{}={path}", key.id).into(),
        None => key.id.as_str().into(),
    });
    object.table("labels", &build.labels);
    object.texts("cache_from", &build.cache_from);
    object.texts("cache_to", &build.cache_to);
    object.flag("no_cache", build.no_cache);
    object.texts("no_cache_filter", &build.no_cache_filter);
    object.table("additional_contexts", &build.additional_contexts);
    object.flag("pull", build.pull);
    object.texts(
        "extra_hosts",
        &super::service::extra_hosts(&build.extra_hosts),
    );
    object.text("isolation", &build.isolation);
    object.text("network", &build.network);
    object.text("target", &build.target);
    object.list("secrets", &build.secrets, |file| {
        mounts::file_reference(file, None)
    });
    object.size("shm_size", build.shm_size);
    object.texts("tags", &build.tags);
    object.object(
        "ulimits",
        super::service::ulimits(&build.ulimits, &build.ulimit_pairs),
    );
    object.texts("platforms", &build.platforms);
    object.flag("privileged", build.privileged);
    object.extensions(&build.extensions);
    object
}
