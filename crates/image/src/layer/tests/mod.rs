//! Layers as attackers and odd tools write them, unpacked as root into a real directory.

mod agreement;
mod archives;
mod attributes;
mod outside;
mod packing;
mod whiteouts;

use super::attributes::Ground;
use super::pack::{Manner, pack};
use super::root::{OPAQUE, is_opaque, is_whiteout};
use super::unpack::{Error, Unpacked, unpack};
use crate::tarball::writer::plain;
use crate::tarball::{Entry, Kind, Limits, Writer};
use proptest::prelude::*;
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

/// A directory with a canary beside the layer: whatever a layer does, the canary stays.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("layer")).unwrap();
        fs::create_dir(dir.path().join("outside")).unwrap();
        fs::write(dir.path().join("outside/canary"), "alive").unwrap();
        Self { dir }
    }

    fn layer(&self) -> std::path::PathBuf {
        self.dir.path().join("layer")
    }

    fn apply(&self, entries: &[(Entry, &[u8])]) -> Result<Unpacked, Error> {
        self.apply_bytes(&archive(entries))
    }

    fn apply_bytes(&self, bytes: &[u8]) -> Result<Unpacked, Error> {
        let root = super::store::open_dir(&self.layer()).unwrap();
        let limits = Limits {
            entries: 1000,
            bytes: 1 << 20,
            ..Limits::default()
        };
        let fresh = fs::read_dir(self.layer()).unwrap().next().is_none();
        let result = unpack(bytes, root.as_fd(), Ground::of(root.as_fd()), limits);
        let outside: Vec<_> = fs::read_dir(self.dir.path())
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        assert_eq!(
            outside.len(),
            2,
            "something was made beside the layer: {outside:?}"
        );
        assert_eq!(
            fs::read_to_string(self.dir.path().join("outside/canary")).unwrap(),
            "alive"
        );
        assert_eq!(
            fs::read_dir(self.dir.path().join("outside"))
                .unwrap()
                .count(),
            1
        );
        if fresh {
            agreement::check(bytes, limits, &self.layer(), &result);
        }
        result
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.layer().join(path)).unwrap()
    }
}

fn archive(entries: &[(Entry, &[u8])]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (entry, data) in entries {
        writer.entry(entry).unwrap();
        writer.data(data).unwrap();
        writer.pad(data.len() as u64).unwrap();
    }
    writer.finish().unwrap()
}

fn file(path: &str, data: &'static str) -> (Entry, &'static [u8]) {
    (
        plain(path, Kind::File, 0o644, data.len() as u64),
        data.as_bytes(),
    )
}

fn dir(path: &str) -> (Entry, &'static [u8]) {
    (plain(path, Kind::Directory, 0o755, 0), b"")
}

fn link(kind: Kind, path: &str, target: &str) -> (Entry, &'static [u8]) {
    let mut entry = plain(path, kind, 0o777, 0);
    entry.link = target.as_bytes().to_vec();
    (entry, b"")
}

fn whiteout_at(place: &Place, dir: &str, name: &str) -> bool {
    let fd = super::store::open_dir(&place.layer().join(dir)).unwrap();
    is_whiteout(fd.as_fd(), name.as_bytes()).unwrap_or(false)
}

fn opaque_at(place: &Place, dir: &str) -> bool {
    let fd = super::store::open_dir(&place.layer()).unwrap();
    is_opaque(fd.as_fd(), dir.as_bytes())
}
