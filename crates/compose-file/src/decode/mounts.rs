//! A service's files: volumes, tmpfs, configs, secrets.

use super::{Cursor, Decoder, mode};
use crate::project::{FileReference, Service, ServiceVolume};
use model::mount::{Mount, MountKind, Recursion};

impl Decoder<'_> {
    pub(super) fn service_files(&mut self, at: &Cursor<'_>, service: &mut Service) {
        service.volumes = self.service_volumes(at);
        service.tmpfs = self.parsed_list(at, "tmpfs", model::mount::parse_tmpfs);
        service.written.tmpfs = self.texts(at, "tmpfs");
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

    /// Of two entries with one target the later counts, as in docker compose, and that is told.
    fn service_volumes(&mut self, at: &Cursor<'_>) -> Vec<ServiceVolume> {
        let mut volumes: Vec<ServiceVolume> = Vec::new();
        let items = at.child("volumes").into_iter();
        for item in items.flat_map(|volumes| volumes.items().collect::<Vec<_>>()) {
            let Some(volume) = self.service_volume(&item) else {
                continue;
            };
            let target = &volume.mount.target;
            match volumes
                .iter_mut()
                .find(|earlier| earlier.mount.target == *target)
            {
                Some(earlier) => {
                    let message = format!(
                        "target {target} is named by an earlier entry of volumes; this one takes its place"
                    );
                    let hint = "give one of the two another target, or remove it";
                    self.warn_with_hint(&item, message, hint);
                    *earlier = volume;
                }
                None => volumes.push(volume),
            }
        }
        volumes
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
            has_volume: at.has("volume"),
            create_host_path: bind
                .as_ref()
                .and_then(|bind| self.flag(bind, "create_host_path")),
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
        match kind {
            "bind" => self.bind(at, source),
            "volume" if is_path => {
                let message = "the source of a mount of type volume is a path";
                self.error_with_hint(at, message, "write \"type: bind\"");
                None
            }
            "volume" => Some(self.named_volume(at, source)),
            "tmpfs" => {
                let tmpfs = at.child("tmpfs");
                Some(MountKind::Tmpfs {
                    size: tmpfs.as_ref().and_then(|tmpfs| self.size(tmpfs, "size")),
                    mode: tmpfs.as_ref().and_then(|tmpfs| self.mode(tmpfs)),
                    options: Vec::new(),
                })
            }
            "image" => {
                let reference = self.required_source(at, kind, source, "IMAGE")?;
                let subpath = at
                    .child("image")
                    .and_then(|image| self.filled(&image, "subpath"));
                Some(MountKind::Image { reference, subpath })
            }
            _ => {
                let message = format!("unknown mount type {kind:?}");
                let at = at.child("type").unwrap_or_else(|| at.clone());
                let known = ["bind", "volume", "tmpfs", "image"];
                let hint = match crate::schema::nearest(kind, known) {
                    Some(nearest) => format!("did you mean \"{nearest}\"?"),
                    None => "use bind, volume, tmpfs or image".to_owned(),
                };
                self.error_with_hint(&at, message, hint);
                None
            }
        }
    }

    fn required_source(
        &mut self,
        at: &Cursor<'_>,
        kind: &str,
        source: Option<String>,
        what: &str,
    ) -> Option<String> {
        if source.is_none() {
            let message = format!("a mount of type {kind} needs a source");
            self.error_with_hint(at, message, format!("add \"source: {what}\""));
        }
        source
    }

    fn bind(&mut self, at: &Cursor<'_>, source: Option<String>) -> Option<MountKind> {
        let source = self.required_source(at, "bind", source, "/path/on/the/host")?;
        let words = [
            "private", "rprivate", "shared", "rshared", "slave", "rslave",
        ]
        .map(|w| (w, w));
        let mut kind = MountKind::Bind {
            source,
            create_source: true,
            propagation: None,
            recursion: Recursion::Enabled,
        };
        if let (
            Some(bind),
            MountKind::Bind {
                create_source,
                propagation,
                recursion,
                ..
            },
        ) = (at.child("bind"), &mut kind)
        {
            *create_source = self.flag(&bind, "create_host_path").unwrap_or(true);
            *propagation = self.word(&bind, "propagation", &words).map(str::to_owned);
            // A word that is none of these is told where the volume as a whole is read.
            *recursion = self
                .text(&bind, "recursive")
                .and_then(|word| Recursion::parse(&word).ok())
                .unwrap_or_default();
        }
        Some(kind)
    }

    fn named_volume(&mut self, at: &Cursor<'_>, name: Option<String>) -> MountKind {
        let volume = at.child("volume");
        let volume = volume.as_ref();
        MountKind::Volume {
            name,
            no_copy: volume
                .and_then(|volume| self.flag(volume, "nocopy"))
                .unwrap_or_default(),
            subpath: volume.and_then(|volume| self.filled(volume, "subpath")),
            driver: None,
            driver_opts: Default::default(),
            labels: volume
                .map(|volume| self.table(volume, "labels"))
                .unwrap_or_default(),
        }
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
            written: self
                .filled(at, "target")
                .filter(|_| default_dir.is_none_or(|dir| target != format!("{dir}{source}"))),
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
