//! `Mounts`, the long form. `Binds`, `Tmpfs` and `Volumes` are short forms, which `model` reads.

use super::{Error, or_default, said};
use model::mount::{Mount, MountKind, Recursion};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct MountBody {
    #[serde(rename = "Type")]
    kind: String,
    source: Option<String>,
    target: String,
    read_only: Option<bool>,
    bind_options: Option<BindOptions>,
    volume_options: Option<VolumeOptions>,
    tmpfs_options: Option<TmpfsOptions>,
    image_options: Option<ImageOptions>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct BindOptions {
    propagation: Option<String>,
    non_recursive: Option<bool>,
    create_mountpoint: Option<bool>,
    read_only_non_recursive: Option<bool>,
    read_only_force_recursive: Option<bool>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct VolumeOptions {
    no_copy: Option<bool>,
    subpath: Option<String>,
    #[serde(deserialize_with = "or_default")]
    labels: BTreeMap<String, String>,
    driver_config: Option<DriverConfig>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct DriverConfig {
    name: Option<String>,
    #[serde(deserialize_with = "or_default")]
    options: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct TmpfsOptions {
    size_bytes: Option<u64>,
    mode: Option<u32>,
    #[serde(deserialize_with = "or_default")]
    options: Vec<Vec<String>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct ImageOptions {
    subpath: Option<String>,
}

impl MountBody {
    pub(super) fn read(self) -> Result<Mount, Error> {
        let read_only = self.read_only.unwrap_or(false);
        let source = self.source.unwrap_or_default();
        let kind = match self.kind.as_str() {
            "bind" => bind(source, self.bind_options.unwrap_or_default(), read_only)?,
            "volume" => volume(source, self.volume_options.unwrap_or_default())?,
            "tmpfs" => tmpfs(self.tmpfs_options.unwrap_or_default()),
            "image" => MountKind::Image {
                reference: source,
                subpath: said(self.image_options.unwrap_or_default().subpath),
            },
            other => {
                return Err(Error::value(
                    "mount type",
                    other,
                    "known are bind, volume, tmpfs and image",
                ));
            }
        };
        Ok(Mount {
            read_only: read_only || matches!(kind, MountKind::Image { .. }),
            kind,
            target: self.target,
        })
    }
}

fn bind(source: String, options: BindOptions, read_only: bool) -> Result<MountKind, Error> {
    if !source.starts_with('/') {
        return Err(Error::value(
            "mount path",
            source,
            "mount path must be absolute",
        ));
    }
    let yes = |flag: Option<bool>| flag.unwrap_or(false);
    let recursion = if yes(options.non_recursive) {
        Recursion::Disabled
    } else if yes(options.read_only_non_recursive) {
        Recursion::Writable
    } else if yes(options.read_only_force_recursive) {
        Recursion::Readonly
    } else {
        Recursion::Enabled
    };
    let propagation = said(options.propagation);
    recursion
        .check(read_only, propagation.as_deref())
        .map_err(|cause| Error::value("bind options of", source.clone(), cause))?;
    Ok(MountKind::Bind {
        source,
        create_source: yes(options.create_mountpoint),
        propagation,
        recursion,
    })
}

fn volume(source: String, options: VolumeOptions) -> Result<MountKind, Error> {
    let driver = options.driver_config.unwrap_or_default();
    let name = said(Some(source));
    let name = name.map(|name| {
        model::mount::volume_name(&name).map_err(|cause| Error::value("volume", &*name, cause))
    });
    Ok(MountKind::Volume {
        name: name.transpose()?,
        no_copy: options.no_copy.unwrap_or(false),
        subpath: said(options.subpath),
        driver: said(driver.name),
        driver_opts: driver.options,
        labels: options.labels,
    })
}

fn tmpfs(options: TmpfsOptions) -> MountKind {
    MountKind::Tmpfs {
        size: options.size_bytes.filter(|n| *n > 0),
        mode: options.mode.filter(|n| *n > 0).map(|mode| mode & 0o7777),
        options: options
            .options
            .into_iter()
            .map(|pair| pair.join("="))
            .collect(),
    }
}
