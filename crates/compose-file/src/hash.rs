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

/// The hash that docker compose gives a service (`config --hash`). It decides nothing here: contents of configs and
/// secrets are not in it, and keys are that concern Compose alone.
pub fn config_hash(service: &Service) -> String {
    hex(&Sha256::digest(emit::hashed(service)))
}

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

    /// What docker compose 2.40.3 prints for the same file.
    #[test]
    fn the_hash_of_config_is_docker_composes() {
        let text = "services:\n  web:\n    image: nginx<1>&\n    command: [a, b]\n    environment: {A: '1', B: }\n    ports: ['8080:80', 53/udp]\n    volumes: ['data:/d', '/x:/y:ro']\n    depends_on: [db]\n    deploy: {replicas: 2, resources: {limits: {cpus: '0.5', memory: 50M}}}\n    healthcheck: {test: [CMD, x], interval: 10s}\n    labels: {a: b}\n    ulimits: {nofile: 5, nproc: {soft: 1, hard: 2}}\n    tmpfs: /run\n    x-foo: {b: 1}\n  db: {image: pg}\nvolumes: {data: {}}";
        let project = load_text(text).unwrap().project;
        let of = |name: &str| config_hash(project.service(name).unwrap());
        assert_eq!(
            of("db"),
            "42056163be685aa6d7c1cedf1a6e25d69dfecedd33429247ab170050696e6312"
        );
        assert_eq!(
            of("web"),
            "7f94e4233b1f36bdf8a65c3055c9f4014bd12ddda787269e41d98cfe48ea0fc6"
        );
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
