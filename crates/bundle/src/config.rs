//! A bundle: a directory with `config.json` and, as a rule, the root file system.
//!
//! Source: runtime-spec `bundle.md`, `config.md` "Root", "Mounts".

use crate::error::{Error, Result};
use crate::groups;
use oci_spec::runtime::Spec;
use std::path::{Path, PathBuf};

#[derive(Debug)]
pub struct Bundle {
    pub directory: PathBuf,
    /// Paths of the host in it are absolute.
    pub spec: Spec,
    pub rootfs: PathBuf,
    /// What is wrong with it and no reason to refuse it.
    pub warnings: Vec<String>,
    /// The specification as it is on disk.
    pub(crate) text: Vec<u8>,
}

impl Bundle {
    /// Reads the bundle; the specification is `config.json` in it unless another file is named.
    pub fn load(directory: &Path, config: Option<&Path>) -> Result<Self> {
        let directory =
            std::path::absolute(directory).map_err(Error::file("find the bundle", directory))?;
        let path = config.map_or_else(|| directory.join("config.json"), Path::to_owned);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::NoConfig(path));
            }
            Err(e) => return Err(Error::file("read", path)(e)),
        };
        let parsed = oci::spec::parse(&text).map_err(|source| Error::Config {
            path: path.clone(),
            source,
        })?;
        let (spec, mut warnings) = (parsed.value, parsed.warnings);
        runtime::validate(&spec)?;
        warnings.extend(runtime::validate::warnings(&spec));
        let (mut spec, rootfs) = settle(spec, &directory, &path)?;
        groups::keep(&mut spec);
        if !rootfs.is_dir() {
            return Err(Error::NoRoot(rootfs));
        }
        Ok(Self {
            directory,
            spec,
            rootfs,
            warnings,
            text,
        })
    }
}

/// Host paths that are relative are so to the bundle.
fn settle(mut spec: Spec, directory: &Path, config: &Path) -> Result<(Spec, PathBuf)> {
    let missing = |what| Error::Missing {
        path: config.to_owned(),
        what,
    };
    let root = spec.root().as_ref().ok_or_else(|| missing("root"))?;
    let rootfs = directory.join(root.path());
    if spec.process().is_none() {
        return Err(missing("process"));
    }
    if let Some(mounts) = spec.mounts_mut() {
        for mount in mounts {
            let options = mount.options().as_deref().unwrap_or_default();
            let bind = mount.typ().as_deref() == Some("bind")
                || options.iter().any(|o| o == "bind" || o == "rbind");
            let source = mount.source().clone();
            if let Some(source) = source.filter(|source| bind && source.is_relative()) {
                mount.set_source(Some(directory.join(source)));
            }
        }
    }
    Ok((spec, rootfs))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(config: &str) -> Result<(tempfile::TempDir, Bundle)> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("rootfs")).unwrap();
        std::fs::write(dir.path().join("config.json"), config).unwrap();
        Bundle::load(dir.path(), None).map(|bundle| (dir, bundle))
    }

    #[test]
    fn relative_paths_are_the_bundles() {
        let (dir, bundle) = load(
            r#"{"ociVersion":"1.2.0","root":{"path":"rootfs"},"process":{"cwd":"/","user":{"uid":0,"gid":0}},
            "mounts":[{"destination":"/a","source":"data","type":"bind"},{"destination":"/b","source":"tmpfs","type":"tmpfs"}]}"#,
        )
        .unwrap();
        assert_eq!(bundle.rootfs, dir.path().join("rootfs"));
        let mounts = bundle.spec.mounts().as_ref().unwrap();
        assert_eq!(
            mounts[0].source().as_ref().unwrap(),
            &dir.path().join("data")
        );
        assert_eq!(mounts[1].source().as_ref().unwrap(), Path::new("tmpfs"));
    }

    #[test]
    fn what_is_missing_is_named() {
        let no_root = load(r#"{"ociVersion":"1.2.0"}"#).unwrap_err();
        assert!(
            no_root.to_string().starts_with("root: missing"),
            "{no_root}"
        );
        let no_process = load(r#"{"ociVersion":"1.2.0","root":{"path":"rootfs"}}"#).unwrap_err();
        assert!(
            no_process.to_string().ends_with("has no process"),
            "{no_process}"
        );
        let nowhere = load(
            r#"{"ociVersion":"1.2.0","root":{"path":"r"},"process":{"cwd":"/","user":{"uid":0,"gid":0}}}"#,
        );
        assert!(matches!(nowhere, Err(Error::NoRoot(_))));
        assert!(matches!(load("{"), Err(Error::Config { .. })));
        assert!(matches!(
            Bundle::load(Path::new("/no/such"), None),
            Err(Error::NoConfig(_))
        ));
    }
}
