//! A service's files: volumes, tmpfs, configs, secrets.

use super::{Cursor, Decoder, mode};
use crate::project::{FileReference, Service, ServiceVolume};
use model::mount::{Mount, MountKind};

impl Decoder<'_> {
    pub(super) fn service_files(&mut self, at: &Cursor<'_>, service: &mut Service) {
        service.volumes = self.list(at, "volumes", Self::service_volume);
        service.tmpfs = self.parsed_list(at, "tmpfs", model::mount::parse_tmpfs);
        service.configs = self.list(at, "configs", |decoder, item| {
            decoder.file_reference(item, Some("/"))
        });
        service.secrets = self.list(at, "secrets", |decoder, item| {
            decoder.file_reference(item, Some("/run/secrets/"))
        });
        service.read_only = self.flag(at, "read_only").unwrap_or_default();
        service.shm_size = self.size(at, "shm_size");
        service.storage_opt = self.table(at, "storage_opt");
        service.use_api_socket = self.flag(at, "use_api_socket").unwrap_or_default();
    }

    fn service_volume(&mut self, at: &Cursor<'_>) -> Option<ServiceVolume> {
        let source = self.filled(at, "source");
        let Some(target) = self.filled(at, "target") else {
            let named = source
                .map(|source| format!(" (source \"{source}\")"))
                .unwrap_or_default();
            self.error_with_hint(
                at,
                format!("the volume entry{named} names no target"),
                "add \"target: /path/in/the/container\"",
            );
            return None;
        };
        if !target.starts_with('/') || target.trim_end_matches('/').is_empty() {
            self.error(
                at,
                format!("invalid mount path: '{target}' mount path must be absolute and not '/'"),
            );
            return None;
        }
        let is_path = source
            .as_deref()
            .is_some_and(|source| source.starts_with(['/', '.', '~']));
        let kind = self.filled(at, "type").unwrap_or_else(|| {
            if is_path {
                "bind".into()
            } else {
                "volume".into()
            }
        });
        let kind = self.mount_kind(at, &kind, source, is_path)?;
        let bind = at.child("bind");
        let read_only = self.flag(at, "read_only").unwrap_or_default()
            || matches!(kind, MountKind::Image { .. });
        let target = crate::paths::clean(std::path::Path::new(&target))
            .to_string_lossy()
            .into_owned();
        let words = [
            ("enabled", "enabled"),
            ("disabled", "disabled"),
            ("writable", "writable"),
            ("readonly", "readonly"),
        ];
        Some(ServiceVolume {
            mount: Mount {
                kind,
                target,
                read_only,
            },
            consistency: self.filled(at, "consistency"),
            selinux: bind
                .as_ref()
                .and_then(|bind| self.word(bind, "selinux", &[("z", "z"), ("Z", "Z")]))
                .map(str::to_owned),
            recursive: bind
                .as_ref()
                .and_then(|bind| self.word(bind, "recursive", &words))
                .map(str::to_owned),
        })
    }

    fn mount_kind(
        &mut self,
        at: &Cursor<'_>,
        kind: &str,
        source: Option<String>,
        is_path: bool,
    ) -> Option<MountKind> {
        let needs_source = |decoder: &mut Self, what: &str| {
            decoder.error_with_hint(
                at,
                format!("a mount of type {kind} needs a source"),
                format!("add \"source: {what}\""),
            );
        };
        Some(match kind {
            "bind" => {
                let Some(source) = source else {
                    needs_source(self, "/path/on/the/host");
                    return None;
                };
                let bind = at.child("bind");
                let words: Vec<_> = [
                    "private", "rprivate", "shared", "rshared", "slave", "rslave",
                ]
                .map(|w| (w, w))
                .into();
                MountKind::Bind {
                    source,
                    create_source: bind
                        .as_ref()
                        .and_then(|bind| self.flag(bind, "create_host_path"))
                        .unwrap_or(true),
                    propagation: bind
                        .as_ref()
                        .and_then(|bind| self.word(bind, "propagation", &words))
                        .map(str::to_owned),
                    non_recursive: bind
                        .as_ref()
                        .and_then(|bind| self.text(bind, "recursive"))
                        .as_deref()
                        == Some("disabled"),
                }
            }
            "volume" if is_path => {
                self.error_with_hint(
                    at,
                    "the source of a mount of type volume is a path",
                    "write \"type: bind\"",
                );
                return None;
            }
            "volume" => {
                let volume = at.child("volume");
                MountKind::Volume {
                    name: source,
                    no_copy: volume
                        .as_ref()
                        .and_then(|volume| self.flag(volume, "nocopy"))
                        .unwrap_or_default(),
                    subpath: volume
                        .as_ref()
                        .and_then(|volume| self.filled(volume, "subpath")),
                    driver: None,
                    driver_opts: Default::default(),
                    labels: volume
                        .as_ref()
                        .map(|volume| self.table(volume, "labels"))
                        .unwrap_or_default(),
                }
            }
            "tmpfs" => {
                let tmpfs = at.child("tmpfs");
                MountKind::Tmpfs {
                    size: tmpfs.as_ref().and_then(|tmpfs| self.size(tmpfs, "size")),
                    mode: tmpfs.as_ref().and_then(|tmpfs| self.mode(tmpfs)),
                    options: Vec::new(),
                }
            }
            "image" => {
                let Some(reference) = source else {
                    needs_source(self, "IMAGE");
                    return None;
                };
                MountKind::Image {
                    reference,
                    subpath: at
                        .child("image")
                        .and_then(|image| self.filled(&image, "subpath")),
                }
            }
            _ => {
                self.error_with_hint(
                    at,
                    format!("unknown mount type {kind:?}"),
                    "use bind, volume, tmpfs or image",
                );
                return None;
            }
        })
    }

    /// `default_dir`: where a relative target begins; `None` keeps it as it is (builds).
    pub(super) fn file_reference(
        &mut self,
        at: &Cursor<'_>,
        default_dir: Option<&str>,
    ) -> Option<FileReference> {
        let Some(source) = self.filled(at, "source") else {
            self.error_with_hint(at, "names no source", "add \"source: NAME\"");
            return None;
        };
        let target = match default_dir {
            Some(dir) => crate::merge::file_target(at.node, dir),
            None => self.filled(at, "target").unwrap_or_else(|| source.clone()),
        };
        Some(FileReference {
            source,
            target,
            uid: self.filled(at, "uid"),
            gid: self.filled(at, "gid"),
            mode: self.mode(at),
        })
    }

    fn mode(&mut self, at: &Cursor<'_>) -> Option<u32> {
        let child = at.child("mode")?;
        let bits = mode(child.node);
        if bits.is_none() {
            self.error_with_hint(&child, "is no file mode", "write it in octal: 0440");
        }
        bits
    }
}
