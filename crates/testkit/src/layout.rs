//! Hand-made images: an OCI image layout with one image whose layers are any bytes a scenario cares to write, hostile ones too.

use serde_json::json;
use sha2::{Digest, Sha256};
use std::fs;
use std::path::Path;

/// One entry of a layer, taken as it is: no check that it makes sense.
#[derive(Debug, Clone)]
pub enum Entry<'a> {
    File(&'a str, &'a str),
    Directory(&'a str),
    Symlink(&'a str, &'a str),
    Hardlink(&'a str, &'a str),
    Device(&'a str, u32, u32),
}

/// A layer's bytes.
pub fn layer(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for entry in entries {
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o755);
        header.set_uid(0);
        header.set_gid(0);
        let (name, data) = match entry {
            Entry::File(name, text) => {
                header.set_entry_type(tar::EntryType::Regular);
                (*name, text.as_bytes())
            }
            Entry::Directory(name) => {
                header.set_entry_type(tar::EntryType::Directory);
                (*name, &b""[..])
            }
            Entry::Symlink(name, target) => {
                header.set_entry_type(tar::EntryType::Symlink);
                raw(&mut header.as_old_mut().linkname, target);
                (*name, &b""[..])
            }
            Entry::Hardlink(name, target) => {
                header.set_entry_type(tar::EntryType::Link);
                raw(&mut header.as_old_mut().linkname, target);
                (*name, &b""[..])
            }
            Entry::Device(name, major, minor) => {
                header.set_entry_type(tar::EntryType::Block);
                header.set_device_major(*major).expect("a ustar header");
                header.set_device_minor(*minor).expect("a ustar header");
                (*name, &b""[..])
            }
        };
        // Written into the header by hand: the crate's own way refuses `..`, and so would hide what is tested.
        raw(&mut header.as_old_mut().name, name);
        header.set_size(data.len() as u64);
        header.set_cksum();
        builder.append(&header, data).expect("memory");
    }
    builder.into_inner().expect("memory")
}

fn raw(field: &mut [u8], text: &str) {
    field.fill(0);
    field[..text.len()].copy_from_slice(text.as_bytes());
}

/// Writes a layout with one image of these layers (plain tars), under this full name.
pub fn write(dir: &Path, name: &str, layers: &[Vec<u8>]) {
    let blobs = dir.join("blobs/sha256");
    fs::create_dir_all(&blobs).expect("a folder");
    let put = |bytes: &[u8]| {
        let digest: String = Sha256::digest(bytes)
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        fs::write(blobs.join(&digest), bytes).expect("a blob");
        format!("sha256:{digest}")
    };
    let digests: Vec<String> = layers.iter().map(|l| put(l)).collect();
    let config = json!({
        "architecture": architecture(), "os": "linux", "config": { "Cmd": ["/bin/true"] },
        "rootfs": { "type": "layers", "diff_ids": digests },
    });
    let config = config.to_string();
    let descriptors: Vec<_> = layers.iter().zip(&digests).map(|(bytes, digest)| {
        json!({ "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest, "size": bytes.len() })
    }).collect();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": put(config.as_bytes()), "size": config.len() },
        "layers": descriptors,
    });
    let manifest = manifest.to_string();
    let index = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [{
            "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": put(manifest.as_bytes()), "size": manifest.len(),
            "platform": { "architecture": architecture(), "os": "linux" },
            "annotations": { "org.opencontainers.image.ref.name": name },
        }],
    });
    fs::write(dir.join("index.json"), index.to_string()).expect("an index");
    fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("a layout");
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
