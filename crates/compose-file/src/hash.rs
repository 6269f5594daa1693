//! What decides whether a container is recreated: one hash over everything that shapes it.
//!
//! Source: docker compose `ServiceHash`. Beyond it, the contents of configs and secrets count, and what only
//! concerns Compose itself (watch rules, rollout, placement) does not.

use crate::emit;
use crate::files::Files;
use crate::project::{FileObject, FileSource, Project, Service};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Keys of a service that change nothing in its containers.
const IGNORED: [&str; 9] = [
    "triggers",
    "build",
    "pull_policy",
    "pull_refresh_after",
    "scale",
    "depends_on",
    "profiles",
    "develop",
    "attach",
];
/// Keys that a container can be changed in while it runs.
const LIVE: [&str; 17] = [
    "ports",
    "labels",
    "networks",
    "restart",
    "stop_grace_period",
    "cpus",
    "cpu_shares",
    "cpu_period",
    "cpu_quota",
    "cpu_rt_period",
    "cpu_rt_runtime",
    "cpuset",
    "mem_limit",
    "mem_reservation",
    "memswap_limit",
    "mem_swappiness",
    "pids_limit",
];
/// Keys of `deploy` that do.
const DEPLOYED: [&str; 3] = ["endpoint_mode", "resources", "restart_policy"];

/// 64 hexadecimal digits, the same for the same containers. `files` gives the contents of configs and secrets;
/// one that cannot be read counts by its path.
pub fn hash(project: &Project, service: &Service, files: &dyn Files) -> String {
    hash_of(project, service, files, |_| {})
}

/// As [`hash`], of everything that cannot be changed while a container runs.
pub fn fixed_hash(project: &Project, service: &Service, files: &dyn Files) -> String {
    hash_of(project, service, files, |map| {
        map.retain(|key, _| !LIVE.contains(&key.as_str()));
        // Of what is deployed, only devices and the service's address are there from the beginning.
        let fixed = map.get("deploy").map(|deploy| {
            let devices = deploy.pointer("/resources/reservations/devices");
            serde_json::json!([devices, deploy.get("endpoint_mode")])
        });
        map.shift_remove("deploy");
        map.extend(fixed.map(|fixed| ("deploy".to_owned(), fixed)));
    })
}

fn hash_of(
    project: &Project,
    service: &Service,
    files: &dyn Files,
    reduce: impl Fn(&mut serde_json::Map<String, serde_json::Value>),
) -> String {
    let mut value = emit::service_value(service, false);
    if let Some(map) = value.as_object_mut() {
        map.retain(|key, _| !IGNORED.contains(&key.as_str()));
        if let Some(deploy) = map
            .get_mut("deploy")
            .and_then(|deploy| deploy.as_object_mut())
        {
            deploy.retain(|key, _| DEPLOYED.contains(&key.as_str()));
            if deploy.is_empty() {
                map.shift_remove("deploy");
            }
        }
        reduce(map);
    }
    let mut hasher = Sha256::new();
    hasher.update(value.to_string());
    let contents =
        |objects: &BTreeMap<String, FileObject>, names: Vec<&str>, hasher: &mut Sha256| {
            for object in names.iter().filter_map(|name| objects.get(*name)) {
                hasher.update(content_digest(object, files));
            }
        };
    contents(
        &project.configs,
        service
            .configs
            .iter()
            .map(|file| file.source.as_str())
            .collect(),
        &mut hasher,
    );
    contents(
        &project.secrets,
        service
            .secrets
            .iter()
            .map(|file| file.source.as_str())
            .collect(),
        &mut hasher,
    );
    hex(&hasher.finalize())
}

fn content_digest(object: &FileObject, files: &dyn Files) -> Vec<u8> {
    let content = match &object.source {
        FileSource::Content(text) => text.clone().into_bytes(),
        FileSource::Environment { value, .. } => value.clone().unwrap_or_default().into_bytes(),
        FileSource::File(path) => files
            .read(path)
            .unwrap_or_else(|_| path.to_string_lossy().into_owned().into_bytes()),
        FileSource::External => object.name.clone().into_bytes(),
    };
    Sha256::digest(&content).to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::MemoryFiles;
    use crate::testing::load_text;

    fn hash_of(service: &str, rest: &str, files: &[(&str, &str)]) -> String {
        let text = format!("services: {{s: {{image: x, {service}}}, t: {{image: y}}}}\n{rest}");
        let project = load_text(&text).unwrap().project;
        hash(
            &project,
            project.service("s").unwrap(),
            &MemoryFiles::new(files.iter().copied()),
        )
    }

    #[test]
    fn what_shapes_a_container_changes_the_hash() {
        let base = hash_of("", "", &[]);
        assert_eq!(base.len(), 64);
        for change in [
            "environment: [A=1]",
            "ports: [80]",
            "labels: [a=b]",
            "command: c",
            "deploy: {resources: {limits: {memory: 1g}}}",
            "restart: always",
            "networks: [default], hostname: h",
        ] {
            assert_ne!(hash_of(change, "", &[]), base, "{change}");
        }
    }

    #[test]
    fn what_does_not_leaves_it() {
        let base = hash_of("", "", &[]);
        for same in [
            "build: .",
            "pull_policy: always",
            "scale: 3",
            "deploy: {replicas: 3}",
            "depends_on: [t]",
            "deploy: {update_config: {delay: 1s}, placement: {constraints: [a]}}",
            "develop: {watch: [{path: a, action: rebuild}]}",
            "attach: false",
        ] {
            assert_eq!(hash_of(same, "", &[]), base, "{same}");
        }
        assert_eq!(
            hash_of("environment: {B: 2, A: 1}", "", &[]),
            hash_of("environment: [A=1, B=2]", "", &[])
        );
    }

    #[test]
    fn contents_of_configs_and_secrets_count() {
        let inline = |text: &str| {
            hash_of(
                "configs: [c]",
                &format!("configs: {{c: {{content: {text}}}}}"),
                &[],
            )
        };
        assert_ne!(inline("a"), inline("b"));
        let file = |text: &str| {
            hash_of(
                "secrets: [c]",
                "secrets: {c: {file: ./f}}",
                &[("/p/f", text)],
            )
        };
        assert_ne!(file("a"), file("b"));
        assert_eq!(file("a"), file("a"));
    }
}
