//! dockerd's `daemon.json`: the keys that say how registries are reached. The others are dockerd's business.

use super::{Error, text};
use crate::registry::proxy::Proxies;
use serde::Deserialize;
use std::path::Path;

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub(super) struct Daemon {
    pub(super) registry_mirrors: Vec<String>,
    pub(super) insecure_registries: Vec<String>,
    pub(super) proxies: Option<Proxies>,
}

pub(super) fn read(path: &Path) -> Result<Daemon, Error> {
    match text(path)?.as_deref().map(str::trim) {
        None | Some("") => Ok(Daemon::default()),
        Some(text) => serde_json::from_str(text).map_err(|e| Error::Invalid {
            path: path.into(),
            message: e.to_string(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_keys_of_registries_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("daemon.json");
        std::fs::write(
            &path,
            r#"{"debug":true,"registry-mirrors":["https://m"],"dns":["1.1.1.1"]}"#,
        )
        .unwrap();
        assert_eq!(read(&path).unwrap().registry_mirrors, ["https://m"]);
        std::fs::write(&path, r#"{"registry-mirrors":"https://m"}"#).unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert!(
            error.contains("daemon.json") && error.contains("line 1"),
            "{error}"
        );
        assert!(
            read(&dir.path().join("none"))
                .unwrap()
                .registry_mirrors
                .is_empty()
        );
    }
}
