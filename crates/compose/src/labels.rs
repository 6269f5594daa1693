//! The labels that say what belongs to a project: the only state Compose keeps.
//!
//! They are Docker's own, so that what one of the two made the other understands. Source: docker/compose
//! `pkg/api/labels.go`.

use compose_file::project::Condition;
use std::collections::BTreeMap;

/// Everything Compose writes begins so.
pub const PREFIX: &str = "com.docker.compose.";

pub const PROJECT: &str = "com.docker.compose.project";
pub const SERVICE: &str = "com.docker.compose.service";
pub const NUMBER: &str = "com.docker.compose.container-number";
/// `True` on what `run` made.
pub const ONEOFF: &str = "com.docker.compose.oneoff";
/// On the container of a job's run: the job.
pub const JOB: &str = "com.docker.compose.job";
pub const SLUG: &str = "com.docker.compose.slug";
pub const CONFIG_HASH: &str = "com.docker.compose.config-hash";
/// Of what cannot be changed in a container that runs; ours alone.
pub const FIXED_HASH: &str = "com.docker.compose.fixed-hash";
/// The id of the image.
pub const IMAGE: &str = "com.docker.compose.image";
/// `db:service_healthy:false,cache:service_started:true`: service, condition, restart.
pub const DEPENDS_ON: &str = "com.docker.compose.depends_on";
pub const WORKING_DIR: &str = "com.docker.compose.project.working_dir";
pub const CONFIG_FILES: &str = "com.docker.compose.project.config_files";
pub const ENVIRONMENT_FILE: &str = "com.docker.compose.project.environment_file";
pub const VERSION: &str = "com.docker.compose.version";
/// On a network: its key in the file.
pub const NETWORK: &str = "com.docker.compose.network";
/// On a volume: its key in the file.
pub const VOLUME: &str = "com.docker.compose.volume";
/// On a container made to take another's place: that one's name.
pub const REPLACE: &str = "com.docker.compose.replace";

/// On a container that runs for another one: which of its hooks it is.
pub const HOOK: &str = "com.docker.compose.hook";

/// What the version label says.
pub const OUR_VERSION: &str = env!("CARGO_PKG_VERSION");

/// Labels without those of Compose: what the user wrote.
pub(crate) fn own(labels: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    labels
        .iter()
        .filter(|(key, _)| !key.starts_with(PREFIX))
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect()
}

/// The services a container was said to need, from its label.
pub(crate) fn dependencies(labels: &BTreeMap<String, String>) -> Vec<(String, bool)> {
    let text = labels.get(DEPENDS_ON).map_or("", String::as_str);
    let entries = text.split(',').filter(|entry| !entry.is_empty());
    entries
        .map(|entry| {
            let mut parts = entry.split(':');
            let service = parts.next().unwrap_or_default().to_owned();
            (service, parts.nth(1) == Some("true"))
        })
        .collect()
}

/// How a container wants the services it needs, from the same label.
pub(crate) fn condition(labels: &BTreeMap<String, String>, service: &str) -> Condition {
    let text = labels.get(DEPENDS_ON).map_or("", String::as_str);
    let entry = text.split(',').find_map(|entry| {
        let (name, rest) = entry.split_once(':')?;
        (name == service).then(|| rest.split(':').next().unwrap_or_default())
    });
    match entry {
        Some("service_healthy") => Condition::Healthy,
        Some("service_completed_successfully") => Condition::CompletedSuccessfully,
        _ => Condition::Started,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dependency_label_is_read_as_docker_writes_it() {
        let labels = BTreeMap::from([(
            DEPENDS_ON.to_owned(),
            "db:service_healthy:true,cache:service_started:false".into(),
        )]);
        assert_eq!(
            dependencies(&labels),
            [("db".to_owned(), true), ("cache".to_owned(), false)]
        );
        assert_eq!(condition(&labels, "db"), Condition::Healthy);
        assert_eq!(condition(&labels, "cache"), Condition::Started);
        assert_eq!(condition(&labels, "web"), Condition::Started);
        assert!(dependencies(&BTreeMap::new()).is_empty());
    }
}
