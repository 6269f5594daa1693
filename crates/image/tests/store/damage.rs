//! What is damaged, and how it is mended; a disk without room.

use crate::common::{Root, read_file, small};
use crate::setup::{pulled, reference};
use image::{Depth, Fault, How, InUse, Mended, Silent, StoreOptions};

#[test]
fn damage_is_found_and_mended() {
    let root = Root::new();
    let fixture = small();
    let (store, image) = pulled(&root, &fixture);
    // A layer lost its directory: unpacked again when it is needed.
    std::fs::remove_dir_all(root.path("data/layers").join(image.chain[1].hex())).unwrap();
    assert!(matches!(
        &store.check(Depth::Records, &Silent).unwrap().faults[..],
        [Fault::MissingLayer { .. }]
    ));
    assert_eq!(
        read_file(&store.layer_dirs(&image).unwrap(), "etc/new").as_deref(),
        Some("new")
    );
    // A blob rotted (the image directory's copy must not: it may be the same file).
    let digest = &fixture.layers[0].digest;
    let blob = root.path("data/images/blobs/sha256").join(digest.hex());
    std::fs::remove_file(&blob).unwrap();
    std::fs::write(&blob, b"rotten").unwrap();
    let records = store.check(Depth::Records, &Silent).unwrap();
    assert_eq!(records.faults, []);
    let checked = store.check(Depth::Contents, &Silent).unwrap();
    let fault = Fault::DamagedBlob {
        digest: digest.clone(),
    };
    assert_eq!(checked.faults, std::slice::from_ref(&fault));
    assert_eq!(checked.dependents(&fault), ["small:1"]);
    let mended = store.repair(&checked, &[], &[], &Silent).unwrap();
    let restored = Mended {
        fault,
        how: How::Restored,
    };
    assert_eq!(mended, [restored], "from the image directory");
    assert_eq!(crate::common::faults(&store), []);
}

#[test]
fn a_layer_whose_files_changed_is_made_anew_unless_a_container_runs_on_it() {
    let root = Root::new();
    let (store, image) = pulled(&root, &small());
    let file = store.layer_dirs(&image).unwrap()[1].join("etc/new");
    let before = std::fs::metadata(&file).unwrap().modified().unwrap();
    std::fs::write(&file, "NEW").unwrap();
    let written = std::fs::File::options().write(true).open(&file).unwrap();
    written.set_modified(before).unwrap();
    let checked = store.check(Depth::Contents, &Silent).unwrap();
    let [Fault::DamagedLayer { chain_id, what }] = &checked.faults[..] else {
        panic!("{:?}", checked.faults);
    };
    assert_eq!(
        (chain_id, what.contains("etc/new")),
        (&image.chain[1], true),
        "{what}"
    );
    let user = |running| InUse {
        image: image.id.clone(),
        layers: image.chain.clone(),
        user: image::remove::User::Container {
            id: "abc".into(),
            running,
        },
    };
    let held = store.repair(&checked, &[user(true)], &[], &Silent).unwrap();
    assert!(
        matches!(
            &held[..],
            [Mended {
                how: How::Held { .. },
                ..
            }]
        ),
        "{held:?}"
    );
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "NEW");
    let mended = store
        .repair(&checked, &[user(false)], &[], &Silent)
        .unwrap();
    assert!(
        matches!(
            &mended[..],
            [Mended {
                how: How::Restored,
                ..
            }]
        ),
        "{mended:?}"
    );
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "new");
    assert_eq!(crate::common::faults(&store), []);
}

#[test]
fn a_disk_with_too_little_room_takes_nothing() {
    let root = Root::new();
    small().write_layout(&root.path("images"), "docker.io/library/small:1");
    let options = StoreOptions {
        image_dirs: vec![root.path("images")],
        min_free: Some(u64::MAX / 4),
        ..Default::default()
    };
    let store = root.store_with(options);
    let error = store
        .pull(&reference("small:1"), None, &Silent)
        .unwrap_err();
    assert!(
        error.is_full_disk() && error.to_string().contains("min-free-space"),
        "{error}"
    );
    let blobs = std::fs::read_dir(root.path("data/images/blobs/sha256")).unwrap();
    assert_eq!(blobs.count(), 0, "not even a manifest stays");
}

/// What an import cannot finish is not left to the next prune; nor is anything else taken along.
#[test]
fn what_fails_in_the_middle_leaves_nothing_of_itself() {
    let root = Root::new();
    let (store, image) = pulled(&root, &small());
    let blobs = root.path("data/images/blobs/sha256");
    let count = |dir: &std::path::Path| std::fs::read_dir(dir).unwrap().count();
    let layers = root.path("data/layers");
    let before = (count(&blobs), count(&layers));
    let failed: Result<(), image::Error> = store.wholly(|store| {
        let tar = crate::common::tar_of(&[("x", b"x")]);
        let layer = store.import_layer(&tar[..], None)?;
        assert_eq!(
            (count(&blobs), count(&layers)),
            (before.0 + 1, before.1 + 1)
        );
        // The image's own layer is no news.
        store.put_image(&image.config, &image.layers(), &[])?;
        Err(image::Error::NoSuchImage(layer.chain_id.to_string()))
    });
    assert!(matches!(failed, Err(image::Error::NoSuchImage(_))));
    assert_eq!(count(&layers), before.1);
    assert!(store.layer_dirs(&image).is_ok());
    assert_eq!(crate::common::faults(&store), []);
}

#[test]
fn a_store_that_lost_its_table_does_not_begin_anew() {
    let root = Root::new();
    let (store, image) = pulled(&root, &small());
    let images = root.path("data/images");
    for gone in ["index.json", "index.json.copy", "oci-layout"] {
        std::fs::remove_file(images.join(gone)).unwrap();
    }
    drop(store);
    let store = root.store();
    let lost = store.list().unwrap_err();
    assert!(state::record::Damage::is_in(&lost), "{lost}");
    assert!(!images.join("index.json").exists());
    let checked = store.check(Depth::Records, &Silent).unwrap();
    assert!(matches!(&checked.faults[..], [Fault::Names { .. }]));
    let remembered = [
        (image.id.clone(), reference("small:1")),
        (image.id.clone(), reference("twice:1")),
        // Two images by one name: nobody knows which.
        (image.chain[0].clone(), reference("twice:1")),
    ];
    let mended = store.repair(&checked, &[], &remembered, &Silent).unwrap();
    let names = image::Names {
        copied: 0,
        remembered: 1,
        nameless: 0,
    };
    assert_eq!(mended.len(), 1);
    assert_eq!(mended[0].how, How::Renamed(names));
    assert_eq!(store.find("small:1").unwrap().id, image.id);
    assert!(store.find("twice:1").is_err());
    assert_eq!(crate::common::faults(&store), []);
}
