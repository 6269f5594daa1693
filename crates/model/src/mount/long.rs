//! The long form of a mount: `--mount type=bind,source=/srv,target=/data,readonly`.
//!
//! Source: Docker CLI reference (`--mount`), docker/cli `opts/mount.go`.

use super::short::{clean, parse_mode, resolve};
use super::{Mount, MountKind, Recursion};
use crate::{ParseError, csv, size};
use std::collections::BTreeMap;
use std::path::Path;

/// The fields as given, before the type says which of them belong together.
#[derive(Debug, Default)]
struct Fields {
    kind: Option<String>,
    source: Option<String>,
    target: Option<String>,
    read_only: bool,
    propagation: Option<String>,
    recursion: Recursion,
    create_source: bool,
    no_copy: bool,
    subpath: Option<String>,
    driver: Option<String>,
    driver_opts: BTreeMap<String, String>,
    labels: BTreeMap<String, String>,
    size: Option<u64>,
    mode: Option<u32>,
    tmpfs_options: Vec<String>,
    /// The first key given that only one type knows, with that type.
    special: Option<(&'static str, String)>,
}

/// Reads one `--mount` value; `base_dir` is where a relative bind source starts.
pub fn parse_mount(text: &str, base_dir: &Path) -> Result<Mount, ParseError> {
    let fail = |cause: String| ParseError::new("argument for --mount", text, cause);
    let mut fields = Fields::default();
    for field in csv::fields(text).map_err(|cause| fail(cause.into()))? {
        fields.set(&field).map_err(fail)?;
    }
    fields.into_mount(base_dir).map_err(fail)
}

impl Fields {
    fn set(&mut self, field: &str) -> Result<(), String> {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key.to_ascii_lowercase(), Some(value)),
            None => (field.to_ascii_lowercase(), None),
        };
        let flag = || match value {
            None | Some("true" | "1") => Ok(true),
            Some("false" | "0") => Ok(false),
            Some(other) => Err(format!("invalid value for {key}: {other}")),
        };
        let text = || {
            value
                .filter(|v| !v.is_empty())
                .map(str::to_owned)
                .ok_or(format!("invalid field '{field}' must be a key=value pair"))
        };
        match key.split_once('-').map_or(key.as_str(), |(kind, _)| kind) {
            "bind" if key != "bind" => self.special = Some(("bind", key.clone())),
            "volume" if key != "volume" => self.special = Some(("volume", key.clone())),
            "tmpfs" if key != "tmpfs" => self.special = Some(("tmpfs", key.clone())),
            "image" if key != "image" => self.special = Some(("image", key.clone())),
            _ => {}
        }
        match key.as_str() {
            "type" => self.kind = Some(text()?.to_ascii_lowercase()),
            "source" | "src" => self.source = Some(text()?),
            "target" | "dst" | "destination" => self.target = Some(text()?),
            "readonly" | "ro" => self.read_only = flag()?,
            "consistency" => {}
            "bind-propagation" => self.propagation = Some(propagation(text()?)?),
            "bind-nonrecursive" if flag()? => self.recursion = Recursion::Disabled,
            "bind-nonrecursive" => {}
            "bind-recursive" => self.recursion = Recursion::parse(&text()?)?,
            "bind-create-src" => self.create_source = flag()?,
            "volume-nocopy" => self.no_copy = flag()?,
            "volume-subpath" | "image-subpath" => self.subpath = Some(text()?),
            "volume-driver" => self.driver = Some(text()?),
            "volume-opt" => drop(self.driver_opts.insert(pair(&text()?).0, pair(&text()?).1)),
            "volume-label" => drop(self.labels.insert(pair(&text()?).0, pair(&text()?).1)),
            "tmpfs-size" => self.size = Some(size::parse(&text()?).map_err(|e| e.to_string())?),
            "tmpfs-mode" => {
                self.mode = Some(
                    parse_mode(&text()?).ok_or(format!("invalid value for {key}: not octal"))?,
                )
            }
            "tmpfs-options" => self.tmpfs_options = text()?.split(',').map(str::to_owned).collect(),
            _ => return Err(format!("unexpected key '{key}' in '{field}'")),
        }
        Ok(())
    }

    fn into_mount(self, base_dir: &Path) -> Result<Mount, String> {
        let name = self.kind.clone().unwrap_or_else(|| "volume".to_owned());
        let target = self
            .target
            .as_deref()
            .ok_or("target is required; add target=/path/in/container")?;
        if !target.starts_with('/') || clean(target) == "/" {
            return Err(format!(
                "invalid mount path: '{target}' mount path must be absolute and not '/'"
            ));
        }
        if let Some((owner, key)) = &self.special
            && *owner != name
        {
            return Err(format!("cannot mix '{key}' with mount type '{name}'"));
        }
        let target = clean(target);
        let read_only = self.read_only || name == "image";
        Ok(Mount {
            kind: self.into_kind(&name, base_dir)?,
            target,
            read_only,
        })
    }

    fn into_kind(self, name: &str, base_dir: &Path) -> Result<MountKind, String> {
        let needs = |what: &str| format!("source is required for type={name}; add source={what}");
        Ok(match name {
            "bind" => {
                let source = self.source.ok_or_else(|| needs("/path/on/host"))?;
                if !source.starts_with(['/', '.', '~']) {
                    return Err(format!(
                        "invalid mount path: '{source}' mount path must be absolute"
                    ));
                }
                self.recursion
                    .check(self.read_only, self.propagation.as_deref())?;
                MountKind::Bind {
                    source: resolve(&source, base_dir),
                    create_source: self.create_source,
                    propagation: self.propagation,
                    recursion: self.recursion,
                }
            }
            "volume" => MountKind::Volume {
                name: self
                    .source
                    .map(|name| super::volume_name(&name))
                    .transpose()?,
                no_copy: self.no_copy,
                subpath: self.subpath,
                driver: self.driver,
                driver_opts: self.driver_opts,
                labels: self.labels,
            },
            "tmpfs" if self.source.is_some() => return Err("type=tmpfs takes no source".into()),
            "tmpfs" => MountKind::Tmpfs {
                size: self.size,
                mode: self.mode,
                options: self.tmpfs_options,
            },
            "image" => MountKind::Image {
                reference: self.source.ok_or_else(|| needs("IMAGE"))?,
                subpath: self.subpath,
            },
            _ => {
                return Err(format!(
                    "mount type unknown: '{name}'; use bind, volume, tmpfs or image"
                ));
            }
        })
    }
}

fn pair(text: &str) -> (String, String) {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    (key.to_owned(), value.to_owned())
}

fn propagation(word: String) -> Result<String, String> {
    match word.as_str() {
        "private" | "rprivate" | "shared" | "rshared" | "slave" | "rslave" => Ok(word),
        _ => Err(format!(
            "invalid propagation value {word:?}; use private, rprivate, shared, rshared, slave or rslave"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Mount {
        parse_mount(text, Path::new("/here")).unwrap_or_else(|e| panic!("{e}"))
    }

    #[test]
    fn each_type() {
        let bind = read("type=bind,source=./x,target=/data,readonly,bind-propagation=rslave");
        assert!(bind.read_only);
        let MountKind::Bind {
            source,
            create_source,
            propagation,
            ..
        } = bind.kind
        else {
            panic!()
        };
        assert_eq!(
            (source.as_str(), create_source, propagation.as_deref()),
            ("/here/x", false, Some("rslave"))
        );

        let volume = read(
            "src=db,dst=/data,volume-nocopy,volume-driver=local,\"volume-opt=o=addr=1,rw\",volume-label=a=b",
        );
        let MountKind::Volume {
            name,
            no_copy,
            driver_opts,
            labels,
            ..
        } = volume.kind
        else {
            panic!()
        };
        assert_eq!((name.as_deref(), no_copy), (Some("db"), true));
        assert_eq!(
            (driver_opts["o"].as_str(), labels["a"].as_str()),
            ("addr=1,rw", "b")
        );

        let tmpfs = read("type=tmpfs,target=/run,tmpfs-size=1m,tmpfs-mode=1770");
        assert!(matches!(
            tmpfs.kind,
            MountKind::Tmpfs {
                size: Some(1048576),
                mode: Some(0o1770),
                ..
            }
        ));

        let image = read("type=image,source=alpine,target=/img,image-subpath=etc");
        assert!(image.read_only);
        assert!(matches!(
            image.kind,
            MountKind::Image {
                subpath: Some(_),
                ..
            }
        ));

        assert!(matches!(
            read("target=/x").kind,
            MountKind::Volume { name: None, .. }
        ));
        assert!(!read("type=bind,src=/a,dst=/b,ro=false").read_only);
    }

    #[test]
    fn errors() {
        for (text, cause) in [
            ("type=bind,source=/a", "target is required"),
            ("type=bind,target=/a", "source is required"),
            ("type=weird,target=/a", "mount type unknown: 'weird'"),
            (
                "type=volume,target=/a,tmpfs-size=1m",
                "cannot mix 'tmpfs-size' with mount type 'volume'",
            ),
            (
                "target=/a,color=red",
                "unexpected key 'color' in 'color=red'",
            ),
            ("type=tmpfs,source=x,target=/a", "takes no source"),
            (
                "type=bind,source=a,target=/a",
                "mount path must be absolute",
            ),
            ("target=a", "mount path must be absolute"),
            ("target=", "must be a key=value pair"),
            (
                "type=bind,source=/a,target=/b,readonly=maybe",
                "invalid value for readonly: maybe",
            ),
            ("", "target is required"),
        ] {
            let error = parse_mount(text, Path::new("/p")).unwrap_err().to_string();
            assert!(error.contains(cause), "{text}: {error}");
        }
    }
}
