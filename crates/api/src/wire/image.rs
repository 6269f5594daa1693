//! `docker image inspect`.

use image::Image as Stored;
use oci::{ContainerConfig, Digest};
use serde::Serialize;
use serde_json::Value;

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Image {
    pub id: String,
    pub repo_tags: Vec<String>,
    pub repo_digests: Vec<String>,
    pub parent: String,
    pub comment: String,
    pub created: String,
    pub docker_version: String,
    pub author: String,
    pub config: Value,
    pub architecture: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    pub os: String,
    pub size: u64,
    pub graph_driver: super::container::GraphDriver,
    #[serde(rename = "RootFS")]
    pub root_fs: RootFs,
    pub metadata: Metadata,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct RootFs {
    #[serde(rename = "Type")]
    pub kind: &'static str,
    pub layers: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Metadata {
    pub last_tag_time: &'static str,
}

impl Image {
    /// `size`: bytes of the unpacked layers.
    pub fn new(image: &Stored, size: u64) -> Self {
        let config = &image.config;
        Self {
            id: image.id.to_string(),
            repo_tags: image.repo_tags(),
            repo_digests: image.repo_digests(),
            parent: image.parent().map(|id| id.to_string()).unwrap_or_default(),
            comment: config
                .history
                .last()
                .map(|step| step.comment.clone())
                .unwrap_or_default(),
            created: config.created.clone().unwrap_or_default(),
            docker_version: String::new(),
            author: config.author.clone().unwrap_or_default(),
            config: complete(&config.config),
            architecture: config.architecture.clone(),
            variant: config.variant.clone(),
            os: config.os.clone(),
            size,
            graph_driver: super::container::GraphDriver {
                data: [].into(),
                name: "overlay2",
            },
            root_fs: RootFs {
                kind: "layers",
                layers: config
                    .rootfs
                    .diff_ids
                    .iter()
                    .map(Digest::to_string)
                    .collect(),
            },
            metadata: Metadata {
                last_tag_time: engine::Timestamp::ZERO_TEXT,
            },
        }
    }
}

/// The configuration with the fields Docker always prints, so that templates find them.
fn complete(config: &ContainerConfig) -> Value {
    let mut value = serde_json::to_value(config).unwrap_or_default();
    if let Value::Object(map) = &mut value {
        for (key, empty) in [
            ("User", Value::from("")),
            ("Env", Value::Null),
            ("Cmd", Value::Null),
            ("Entrypoint", Value::Null),
            ("Volumes", Value::Null),
            ("WorkingDir", Value::from("")),
            ("OnBuild", Value::Null),
            ("Labels", Value::Null),
        ] {
            map.entry(key).or_insert(empty);
        }
    }
    value
}
