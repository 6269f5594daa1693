//! `docker volume inspect`.

use engine::Context;
use engine::volume::VolumeRecord;
use serde::Serialize;
use std::collections::BTreeMap;

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Volume {
    pub created_at: String,
    pub driver: &'static str,
    pub labels: Option<BTreeMap<String, String>>,
    pub mountpoint: String,
    pub name: String,
    pub options: Option<BTreeMap<String, String>>,
    pub scope: &'static str,
}

impl Volume {
    pub fn new(ctx: &Context, volume: &VolumeRecord) -> Self {
        let some = |map: &BTreeMap<String, String>| (!map.is_empty()).then(|| map.clone());
        let whole_seconds = engine::Timestamp(volume.created.seconds() * 1_000_000_000).to_string();
        Self {
            created_at: whole_seconds.replace(".000000000Z", "Z"),
            driver: "local",
            labels: some(&volume.labels),
            mountpoint: volume.mountpoint(ctx).display().to_string(),
            name: volume.name.clone(),
            options: some(&volume.options),
            scope: "local",
        }
    }
}
