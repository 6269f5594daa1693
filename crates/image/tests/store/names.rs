//! Finding images, and what names mean.

use crate::common::{Recorder, Root, read_file, small, tar_of};
use crate::setup::{entries, in_use, pulled, reference};
use image::{Error, PullPolicy, Removed, Silent, StoreOptions};
use oci::Digest;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

#[test]
fn an_image_directory_comes_before_any_registry() {
    let root = Root::new();
    let (store, image) = pulled(&root, &small());
    assert_eq!(image.repo_tags(), ["small:1"]);
    let dirs = store.layer_dirs(&image).unwrap();
    assert_eq!(read_file(&dirs, "bin/sh").as_deref(), Some("shell"));
    let whiteout = std::fs::symlink_metadata(dirs[1].join("etc/motd")).unwrap();
    assert!(whiteout.file_type().is_char_device() && whiteout.rdev() == 0);
    assert!(matches!(
        store.ensure("nosuch", PullPolicy::Never, None, &Silent),
        Err(Error::NoSuchImage(_))
    ));
    let recorder = Recorder::default();
    let squashed = root.path("images.sqfs");
    std::fs::write(&squashed, "hsqs").unwrap();
    let offline = StoreOptions {
        image_dirs: vec![root.path("images"), squashed],
        ..Default::default()
    };
    let mut offline = offline;
    offline.registries.offline = true;
    let store = root.store_with(offline);
    let text = store
        .ensure("nosuch", PullPolicy::Missing, None, &recorder)
        .unwrap_err()
        .to_string();
    assert!(
        text.contains("no such name")
            && text.contains("images.sqfs: is a file: mount it")
            && text.contains("offline"),
        "{text}"
    );
    assert_eq!(
        recorder.all_lines(),
        "Unable to find image 'nosuch:latest' locally"
    );
}

#[test]
fn a_damaged_image_directory_is_noticed() {
    let root = Root::new();
    let fixture = small();
    fixture.write_layout(&root.path("images"), "small:1");
    let blob = root
        .path("images/blobs/sha256")
        .join(fixture.layers[0].digest.hex());
    let mut bytes = std::fs::read(&blob).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&blob, bytes).unwrap();
    let store = root.store_with(StoreOptions {
        image_dirs: vec![root.path("images")],
        ..Default::default()
    });
    store
        .pull(&reference("small:1"), None, &Silent)
        .unwrap_err();
    assert!(store.list().unwrap().is_empty());
    assert_eq!(entries(&root, "data/images/ingest"), 0);
}

#[test]
fn images_are_found_by_name_id_and_prefix() {
    let root = Root::new();
    let (store, image) = pulled(&root, &small());
    let id = image.id.hex();
    for wanted in [
        "small:1",
        "docker.io/library/small:1",
        id,
        &id[..12],
        &format!("sha256:{id}"),
        &format!("sha256:{}", &id[..6]),
    ] {
        assert_eq!(store.find(wanted).unwrap().id, image.id, "{wanted}");
    }
    let by_digest = format!("small@{}", image.target.digest);
    assert_eq!(store.find(&by_digest).unwrap().id, image.id);
    for wanted in ["small", "small:2", "zzz", "", "../small:1", "SMALL:1"] {
        assert!(
            matches!(store.find(wanted), Err(Error::NoSuchImage(_))),
            "{wanted}"
        );
    }
}

#[test]
fn a_moved_tag_leaves_the_old_image_dangling() {
    let root = Root::new();
    let (store, old) = pulled(&root, &small());
    let layer = store
        .import_layer(&tar_of(&[("x", b"x")])[..], None)
        .unwrap();
    let config = oci::ImageConfig {
        os: "linux".into(),
        architecture: "amd64".into(),
        ..Default::default()
    };
    let new = store
        .put_image(&config, &[layer], &[reference("small:1")])
        .unwrap();
    assert_eq!(store.find("small:1").unwrap().id, new.id);
    let dangling = store.dangling(&[]).unwrap();
    assert_eq!(
        dangling.iter().map(|i| &i.id).collect::<Vec<_>>(),
        [&old.id]
    );
    assert!(store.dangling(&in_use(&old, false)).unwrap().is_empty());
    let removed = store.prune_images(false, &[], &|_| true).unwrap();
    assert!(removed.contains(&Removed::Deleted(old.id.to_string())));
    assert_eq!(store.list().unwrap().len(), 1);
}

#[test]
fn a_name_with_tag_and_digest_is_kept_by_its_digest() {
    let root = Root::new();
    let fixture = small();
    fixture.write_layout(&root.path("images"), "small:1");
    let store = root.store_with(StoreOptions {
        image_dirs: vec![root.path("images")],
        ..Default::default()
    });
    let both = format!("small:1@{}", fixture.descriptor().digest);
    let image = store
        .ensure(&both, PullPolicy::Missing, None, &Silent)
        .unwrap();
    assert_eq!(image.repo_tags(), Vec::<String>::new());
    assert_eq!(
        image.repo_digests(),
        [format!("small@{}", fixture.descriptor().digest)]
    );
    assert_eq!(store.find(&both).unwrap().id, image.id);
    let wrong = format!("small:1@{}", Digest::sha256(b"other"));
    assert!(store.find(&wrong).is_err());
}
