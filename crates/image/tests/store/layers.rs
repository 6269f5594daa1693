//! Layers and their order, and what is told of an image.

use crate::common::{Fixture, Root, read_file, small, tar_of};
use crate::setup::{pulled, reference};
use image::{Silent, StoreOptions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};

#[test]
fn an_upper_directory_becomes_a_layer_without_copying() {
    let root = Root::new();
    let (store, base) = pulled(&root, &small());
    let make = |name: &str| {
        let upper = root.path("data/containers").join(name);
        std::fs::create_dir_all(upper.join("etc")).unwrap();
        std::fs::write(upper.join("etc/built"), "built").unwrap();
        let file = std::fs::File::options()
            .write(true)
            .open(upper.join("etc/built"))
            .unwrap();
        file.set_modified(std::time::UNIX_EPOCH).unwrap();
        for dir in ["etc", ""] {
            std::fs::File::open(upper.join(dir))
                .unwrap()
                .set_modified(std::time::UNIX_EPOCH)
                .unwrap();
        }
        upper
    };
    let upper = make("one");
    let inode = std::fs::metadata(upper.join("etc/built")).unwrap().ino();
    let layer = store
        .commit_layer_from_upper(&upper, base.chain.last())
        .unwrap();
    let mut layers = base.layers();
    layers.push(layer.clone());
    let image = store
        .put_image(&base.config, &layers, &[reference("built")])
        .unwrap();
    let dirs = store.layer_dirs(&image).unwrap();
    assert_eq!(
        (dirs.len(), read_file(&dirs, "etc/built").as_deref()),
        (3, Some("built"))
    );
    assert_eq!(
        std::fs::metadata(dirs[2].join("etc/built")).unwrap().ino(),
        inode
    );
    assert_eq!(image.repo_tags(), ["built:latest"]);
    // The same content again is the same layer.
    let same = store
        .commit_layer_from_upper(&make("two"), base.chain.last())
        .unwrap();
    assert_eq!(same, layer);
    // The archive unpacks to what the directory holds.
    std::fs::remove_dir_all(root.path("data/layers").join(layer.chain_id.hex())).unwrap();
    assert_eq!(
        read_file(&store.layer_dirs(&image).unwrap(), "etc/built").as_deref(),
        Some("built")
    );
    // A copy leaves the directory alone.
    let kept = make("three");
    assert_eq!(
        store
            .commit_layer_from_copy(&kept, base.chain.last(), image::layer::Manner::STILL)
            .unwrap(),
        layer
    );
    assert!(kept.join("etc/built").exists());
}

#[test]
fn what_a_layer_leaves_out_comes_from_the_layers_below() {
    let root = Root::new();
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::Directory);
    header.set_size(0);
    header.set_mode(0o700);
    header.set_uid(33);
    builder.append_data(&mut header, "srv/", &b""[..]).unwrap();
    let mut header = tar::Header::new_ustar();
    header.set_size(3);
    header.set_mode(0o4755);
    builder
        .append_data(&mut header, "srv/tool", &b"bin"[..])
        .unwrap();
    let lower = builder.into_inner().unwrap();
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(1);
    builder
        .append_data(&mut header, "srv/new", &b"n"[..])
        .unwrap();
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::Link);
    header.set_size(0);
    builder
        .append_link(&mut header, "srv/same", "srv/tool")
        .unwrap();
    let (store, image) = pulled(
        &root,
        &Fixture::new(&[lower, builder.into_inner().unwrap()]),
    );
    let top = &store.layer_dirs(&image).unwrap()[1];
    let srv = std::fs::metadata(top.join("srv")).unwrap();
    assert_eq!(
        (srv.uid(), srv.permissions().mode() & 0o7777),
        (33, 0o700),
        "not root's 0755"
    );
    assert_eq!(std::fs::read(top.join("srv/same")).unwrap(), b"bin");
    assert_eq!(
        std::fs::metadata(top.join("srv/same")).unwrap().mode() & 0o7777,
        0o4755
    );
}

#[test]
fn more_layers_than_docker_allows_are_kept_in_order() {
    let root = Root::new();
    let archives: Vec<_> = (0..150)
        .map(|n| tar_of(&[("n", n.to_string().as_bytes())]))
        .collect();
    let (store, image) = pulled(&root, &Fixture::new(&archives));
    let dirs = store.layer_dirs(&image).unwrap();
    assert_eq!(
        (dirs.len(), read_file(&dirs, "n").as_deref()),
        (150, Some("149"))
    );
    assert_eq!(std::fs::read_to_string(dirs[0].join("n")).unwrap(), "0");
}

#[test]
fn history_and_size_are_told() {
    let root = Root::new();
    let (store, base) = pulled(&root, &small());
    let mut config = base.config.clone();
    let step = |by: &str, empty| oci::History {
        created_by: by.into(),
        empty_layer: empty,
        ..Default::default()
    };
    config.history = vec![
        step("ADD base", false),
        step("COPY x", false),
        step("CMD sh", true),
    ];
    let image = store
        .put_image(&config, &base.layers(), &[reference("h:1")])
        .unwrap();
    let lines = store.history(&image);
    assert_eq!(
        lines
            .iter()
            .map(|l| l.created_by.as_str())
            .collect::<Vec<_>>(),
        ["CMD sh", "COPY x", "ADD base"]
    );
    assert_eq!(lines.iter().map(|l| l.size).collect::<Vec<_>>(), [0, 3, 10]);
    assert_eq!(
        (lines[0].tags.clone(), lines[1].id.clone()),
        (vec!["h:1".to_owned()], None)
    );
    assert_eq!(store.size(&image), 13);
}

#[test]
fn the_store_is_an_image_layout_others_can_read() {
    let root = Root::new();
    pulled(&root, &small());
    let other = Root::new();
    let dir = root.path("data/images");
    let store = other.store_with(StoreOptions {
        image_dirs: vec![dir],
        ..Default::default()
    });
    store.pull(&reference("small:1"), None, &Silent).unwrap();
}
