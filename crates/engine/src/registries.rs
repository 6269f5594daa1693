//! Where other engines keep what they know of registries on this host: dockerd, containers' tools, containerd. The files are named
//! here and read by `image` when a registry is asked.

use image::RegistryOptions;
use image::registry::config::{HostFiles, PolicyFile};
use image::registry::credentials::AuthText;
use image::registry::proxy::Proxies;
use std::path::PathBuf;

/// Directories of certificates by registry.
const CERTS_DIRS: [&str; 4] = [
    "/etc/dockless/certs.d",
    "/etc/docker/certs.d",
    "/etc/containers/certs.d",
    "/etc/containerd/certs.d",
];

/// The options that come from the host; `env` answers for environment variables.
pub(crate) fn of_host(env: impl Fn(&str) -> Option<String>) -> RegistryOptions {
    let set = |name: &str| env(name).filter(|value| !value.is_empty());
    let home = set("HOME").map(PathBuf::from);
    let config_home = set("XDG_CONFIG_HOME").map(PathBuf::from);
    let containers = config_home
        .or_else(|| home.as_ref().map(|home| home.join(".config")))
        .map(|dir| dir.join("containers"));
    let of_user = |name: &str| containers.as_ref().map(|dir| dir.join(name));
    let system = PathBuf::from("/etc/containers/registries.conf");
    let main = match set("CONTAINERS_REGISTRIES_CONF") {
        Some(path) => path.into(),
        // The user's own stands in for the host's.
        None => of_user("registries.conf")
            .filter(|p| p.exists())
            .unwrap_or(system),
    };
    let dropins = [
        Some("/etc/containers/registries.conf.d".into()),
        of_user("registries.conf.d"),
    ];
    let run = set("XDG_RUNTIME_DIR").map_or_else(
        || "/run/containers/0".into(),
        |d| PathBuf::from(d).join("containers"),
    );
    let auth_files = match set("REGISTRY_AUTH_FILE") {
        Some(path) => vec![path.into()],
        None => [
            Some(run.join("auth.json")),
            of_user("auth.json"),
            home.map(|home| home.join(".dockercfg")),
        ]
        .into_iter()
        .flatten()
        .collect(),
    };
    RegistryOptions {
        files: HostFiles {
            daemon: Some("/etc/docker/daemon.json".into()),
            registries_conf: Some(main),
            registries_conf_dirs: dropins.into_iter().flatten().collect(),
            hosts_dirs: vec![
                "/etc/containerd/certs.d".into(),
                "/etc/docker/certs.d".into(),
            ],
            policy: PolicyFile::IfThere(
                of_user("policy.json")
                    .filter(|p| p.exists())
                    .unwrap_or_else(|| "/etc/containers/policy.json".into()),
            ),
            registries_d: Some(
                of_user("registries.d")
                    .filter(|p| p.exists())
                    .unwrap_or_else(|| "/etc/containers/registries.d".into()),
            ),
        },
        auth_files,
        auth_text: set("DOCKER_AUTH_CONFIG").map(AuthText),
        certs_dirs: CERTS_DIRS
            .iter()
            .map(PathBuf::from)
            .chain(of_user("certs.d"))
            .collect(),
        proxies: Proxies::from_env(env),
        ..RegistryOptions::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_moves_the_files() {
        let of = |vars: &[(&str, &str)]| {
            of_host(|name| {
                vars.iter()
                    .find(|(n, _)| *n == name)
                    .map(|(_, v)| (*v).to_owned())
            })
        };
        let plain = of(&[("HOME", "/nonexistent")]);
        assert_eq!(
            plain.files.registries_conf,
            Some("/etc/containers/registries.conf".into())
        );
        let auth = [
            "/run/containers/0/auth.json",
            "/nonexistent/.config/containers/auth.json",
            "/nonexistent/.dockercfg",
        ];
        assert_eq!(plain.auth_files, auth.map(PathBuf::from));
        assert!(plain.auth_text.is_none());
        let moved = of(&[
            ("CONTAINERS_REGISTRIES_CONF", "/a/r.conf"),
            ("REGISTRY_AUTH_FILE", "/a/auth.json"),
            ("XDG_CONFIG_HOME", "/c"),
            ("DOCKER_AUTH_CONFIG", "{}"),
        ]);
        assert_eq!(moved.files.registries_conf, Some("/a/r.conf".into()));
        assert_eq!(moved.auth_files, [PathBuf::from("/a/auth.json")]);
        assert!(
            moved
                .files
                .registries_conf_dirs
                .contains(&"/c/containers/registries.conf.d".into())
        );
        assert!(moved.auth_text.is_some());
    }
}
