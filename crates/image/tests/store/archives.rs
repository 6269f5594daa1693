//! Images in archives.

use crate::common::{Root, read_file, small, tar_of};
use crate::setup::{entries, pulled, reference};
use image::{Keep, Silent};
use oci::{Digest, Reference};

#[test]
fn a_saved_image_is_loaded_elsewhere_with_its_id_and_names() {
    let root = Root::new();
    let (store, image) = pulled(&root, &small());
    store
        .tag("small:1", &reference("localhost:5000/x/y:z"))
        .unwrap();
    let mut archive = Vec::new();
    store
        .save(&["small:1", "localhost:5000/x/y:z"], &mut archive)
        .unwrap();
    for bytes in [
        archive.clone(),
        crate::common::gzip(&archive),
        zstd::encode_all(&archive[..], 1).unwrap(),
    ] {
        let root = Root::new();
        let other = root.store();
        let loaded = other.load(&bytes[..], None, &Silent).unwrap();
        assert_eq!(loaded.len(), 1);
        assert_eq!(
            loaded[0]
                .names
                .iter()
                .map(Reference::familiar)
                .collect::<Vec<_>>(),
            ["small:1", "localhost:5000/x/y:z"]
        );
        let found = other.find("small:1").unwrap();
        assert_eq!(
            (&found.id, &found.target.digest),
            (&image.id, &image.target.digest)
        );
        assert_eq!(
            read_file(&other.layer_dirs(&found).unwrap(), "etc/new").as_deref(),
            Some("new")
        );
        assert!(
            other.unreferenced(Keep::default()).unwrap().is_empty(),
            "index.json and the like are not kept"
        );
    }
}

/// What `docker save` wrote before version 25: no OCI layout, layers as `<id>/layer.tar`, equal ones as links.
#[test]
fn an_old_docker_archive_is_loaded() {
    let layer = tar_of(&[("hello", b"old")]);
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux", "config": {"Cmd": ["sh"]},
        "rootfs": {"type": "layers", "diff_ids": [Digest::sha256(&layer), Digest::sha256(&layer)]},
    });
    let config = config.to_string();
    let name = format!("{}.json", Digest::sha256(config.as_bytes()).hex());
    let manifest = serde_json::json!([{"Config": name, "RepoTags": ["old:1"], "Layers": ["a/layer.tar", "b/layer.tar"]}]);
    let mut builder = tar::Builder::new(Vec::new());
    let mut link = tar::Header::new_gnu();
    link.set_entry_type(tar::EntryType::Symlink);
    link.set_size(0);
    builder
        .append_link(&mut link, "b/layer.tar", "../a/layer.tar")
        .unwrap();
    for (path, bytes) in [
        ("a/layer.tar", &layer[..]),
        (&name, config.as_bytes()),
        ("manifest.json", manifest.to_string().as_bytes()),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        builder.append_data(&mut header, path, bytes).unwrap();
    }
    let root = Root::new();
    let store = root.store();
    let loaded = store
        .load(&builder.into_inner().unwrap()[..], None, &Silent)
        .unwrap();
    assert_eq!(loaded[0].image.id, Digest::sha256(config.as_bytes()));
    let dirs = store.layer_dirs(&store.find("old:1").unwrap()).unwrap();
    assert_eq!(
        (dirs.len(), read_file(&dirs, "hello").as_deref()),
        (2, Some("old"))
    );
}

#[test]
fn what_is_no_image_archive_is_refused_and_leaves_nothing() {
    let root = Root::new();
    let store = root.store();
    let text = |bytes: &[u8]| store.load(bytes, None, &Silent).unwrap_err().to_string();
    assert!(text(&tar_of(&[("a", b"x")])).contains("no image"));
    assert!(text(b"hello, world").contains("in the middle"));
    assert!(text(&tar_of(&[("index.json", b"{"), ("x", b"y")])).contains("index.json is damaged"));
    let outside = br#"[{"Config":"../../../../etc/passwd","Layers":[]}]"#;
    assert!(text(&tar_of(&[("manifest.json", outside)])).contains("does not hold"));
    assert_eq!(entries(&root, "data/images/blobs/sha256"), 0);
    assert_eq!(entries(&root, "data/images/ingest"), 0);
}
