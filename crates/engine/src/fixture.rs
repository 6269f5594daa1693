//! For tests: a data root of their own, and containers in it that nobody runs.

use crate::container::create::{BaseImage, create};
use crate::container::record::{ContainerRecord, ImageRecord};
use crate::context::{Context, Options};
use model::container::ContainerSpec;
use tempfile::TempDir;

/// A fresh data root; it goes with the directory.
pub(crate) fn context() -> (TempDir, Context) {
    let dir = tempfile::tempdir().unwrap();
    let ctx = Context::open(&Options {
        data_root: Some(dir.path().join("data")),
        run_root: Some(dir.path().join("run")),
        config: Some(dir.path().join("config.json")),
        ..Default::default()
    })
    .unwrap();
    (dir, ctx)
}

/// An image that executes `serve` and has no layers.
pub(crate) fn image(ctx: &Context) -> BaseImage {
    let store = ctx.images().unwrap();
    BaseImage {
        record: ImageRecord {
            id: format!("sha256:{}", "ab".repeat(32)),
            ..Default::default()
        },
        config: oci::ContainerConfig {
            cmd: Some(vec!["serve".into()]),
            ..Default::default()
        },
        _hold: std::sync::Arc::new(store.hold().unwrap()),
    }
}

/// A container that was created and never started.
pub(crate) fn container(ctx: &Context, name: &str, spec: ContainerSpec) -> ContainerRecord {
    create(ctx, spec, Some(name), &image(ctx)).unwrap()
}

/// What a failed verb says.
pub(crate) fn refusal<T: std::fmt::Debug>(result: crate::Result<T>) -> String {
    result.unwrap_err().to_string()
}

/// A record for functions that look at nothing else.
pub(crate) fn record(spec: ContainerSpec) -> ContainerRecord {
    ContainerRecord {
        id: crate::random_id(),
        name: "web".into(),
        created: crate::Timestamp::now(),
        image: ImageRecord::default(),
        process: crate::container::record::ProcessRecord {
            command: vec!["serve".into()],
            env: vec!["PATH=/bin".into()],
            working_dir: "/srv".into(),
            ..Default::default()
        },
        mounts: vec![],
        hostname: "box".into(),
        labels: Default::default(),
        stop_signal: "SIGTERM".into(),
        healthcheck: None,
        exposed: vec![],
        runtime: None,
        userns: None,
        quota: None,
        spec,
    }
}
