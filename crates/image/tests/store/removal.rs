//! What goes with an image, what stays, and what a prune finds.

use crate::common::{Fixture, Recorder, Root, read_file, small, tar_of};
use crate::setup::{entries, in_use, pulled, reference};
use image::{Error, InUse, Keep, RemoveOptions, Removed, Silent, StoreOptions};

#[test]
fn removing_the_last_name_removes_what_only_it_had() {
    let root = Root::new();
    let (store, image) = pulled(&root, &small());
    store.tag("small:1", &reference("other:2")).unwrap();
    assert_eq!(
        store.remove("other:2", RemoveOptions::default()).unwrap(),
        [Removed::Untagged("other:2".into())]
    );
    let removed = store.remove("small:1", RemoveOptions::default()).unwrap();
    assert_eq!(removed[0], Removed::Untagged("small:1".into()));
    assert!(removed.contains(&Removed::Deleted(image.id.to_string())));
    assert_eq!(
        (
            entries(&root, "data/images/blobs/sha256"),
            entries(&root, "data/layers")
        ),
        (0, 0)
    );
    store.empty_trash().unwrap();
    assert_eq!(entries(&root, "data/trash"), 0);
    assert!(matches!(
        store.remove("small:1", RemoveOptions::default()),
        Err(Error::NoSuchImage(_))
    ));
}

#[test]
fn layers_that_others_share_stay() {
    let root = Root::new();
    let base = tar_of(&[("base", b"base")]);
    Fixture::new(&[base.clone(), tar_of(&[("a", b"a")])]).write_layout(&root.path("images"), "a:1");
    Fixture::new(&[base, tar_of(&[("b", b"b")])]).write_layout(&root.path("images"), "b:1");
    let store = root.store_with(StoreOptions {
        image_dirs: vec![root.path("images")],
        ..Default::default()
    });
    store.pull(&reference("a:1"), None, &Silent).unwrap();
    let recorder = Recorder::default();
    let b = store
        .pull(&reference("b:1"), None, &recorder)
        .unwrap()
        .image;
    assert!(recorder.saw("Already exists"));
    assert_eq!(entries(&root, "data/layers"), 3);
    store.remove("a:1", RemoveOptions::default()).unwrap();
    assert_eq!(entries(&root, "data/layers"), 2);
    assert_eq!(
        read_file(&store.layer_dirs(&b).unwrap(), "base").as_deref(),
        Some("base")
    );
    assert_eq!(crate::common::faults(&store), []);
}

#[test]
fn used_images_are_protected_in_dockers_words() {
    let root = Root::new();
    let (store, image) = pulled(&root, &small());
    let id = image.id.short().to_owned();
    let (running, stopped) = (in_use(&image, true), in_use(&image, false));
    let refuse = |wanted: &str, force: bool, in_use: &[InUse]| {
        store
            .remove(wanted, RemoveOptions { force, in_use })
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        refuse("small:1", false, &stopped),
        format!(
            "conflict: unable to remove repository reference \"small:1\" (must force) - container 0123456789ab is using its referenced image {id}"
        )
    );
    assert_eq!(
        refuse(&id, true, &running),
        format!(
            "conflict: unable to delete {id} (cannot be forced) - image is being used by running container 0123456789ab"
        )
    );
    assert_eq!(
        refuse(&id, false, &stopped),
        format!(
            "conflict: unable to delete {id} (must be forced) - image is being used by stopped container 0123456789ab"
        )
    );
    store.tag("small:1", &reference("elsewhere:1")).unwrap();
    assert_eq!(
        refuse(&id, false, &[]),
        format!(
            "conflict: unable to delete {id} (must be forced) - image is referenced in multiple repositories"
        )
    );
    // Forced: the container keeps its layers.
    store
        .remove("elsewhere:1", RemoveOptions::default())
        .unwrap();
    store
        .remove(
            "small:1",
            RemoveOptions {
                force: true,
                in_use: &running,
            },
        )
        .unwrap();
    assert_eq!(store.find(&id).unwrap().names, []);
    store
        .remove(
            &id,
            RemoveOptions {
                force: true,
                in_use: &stopped,
            },
        )
        .unwrap();
    assert_eq!(entries(&root, "data/layers"), 2);
    assert!(store.list().unwrap().is_empty());
}

#[test]
fn nothing_is_collected_while_somebody_holds_the_store() {
    let root = Root::new();
    let (store, _) = pulled(&root, &small());
    let hold = root.store().hold().unwrap();
    store.remove("small:1", RemoveOptions::default()).unwrap();
    assert_eq!(
        entries(&root, "data/layers"),
        2,
        "a container being created may be about to use them"
    );
    assert!(store.prune(Keep::default()).unwrap().is_none());
    drop(hold);
    let pruned = store.prune(Keep::default()).unwrap().unwrap();
    assert_eq!((pruned.layers.len(), entries(&root, "data/layers")), (2, 0));
    assert_eq!(entries(&root, "data/images/blobs/sha256"), 0);
}

#[test]
fn prune_keeps_what_it_is_told_to_keep() {
    let root = Root::new();
    let store = root.store();
    let layer = store
        .import_layer(&tar_of(&[("x", b"x")])[..], None)
        .unwrap();
    let keep = Keep {
        layers: std::slice::from_ref(&layer.chain_id),
        blobs: std::slice::from_ref(&layer.blob.digest),
        in_use: &[],
    };
    assert!(store.prune(keep).unwrap().unwrap().is_empty());
    let pruned = store.prune(Keep::default()).unwrap().unwrap();
    assert_eq!((pruned.layers.len(), pruned.blobs.len()), (1, 1));
    let locks = std::fs::read_dir(root.path("run/locks")).unwrap();
    let left = locks.filter(|l| {
        !l.as_ref()
            .unwrap()
            .file_name()
            .to_string_lossy()
            .starts_with("image-")
    });
    assert_eq!(left.count(), 0, "no lock file of a layer or blob stays");
}

#[test]
fn documents_that_a_killed_process_was_writing_are_garbage() {
    let root = Root::new();
    let (store, _) = pulled(&root, &small());
    let blobs = root.path("data/images/blobs/sha256");
    let (dead, living) = (i32::MAX, std::process::id());
    let left = [
        blobs.join(format!(".{}.{dead}.0.tmp", "a".repeat(64))),
        root.path("data/images")
            .join(format!(".index.json.{dead}.3.tmp")),
    ];
    let busy = blobs.join(format!(".{}.{living}.0.tmp", "b".repeat(64)));
    for path in left.iter().chain([&busy]) {
        std::fs::write(path, "half").unwrap();
    }
    let pruned = store.prune(Keep::default()).unwrap().unwrap();
    assert_eq!(pruned.partials.len(), 2);
    assert!(left.iter().all(|path| !path.exists()) && busy.exists());
    assert_eq!(crate::common::faults(&store), []);
}

#[test]
fn an_image_in_two_forms_answers_to_its_one_id() {
    let root = Root::new();
    let (store, image) = pulled(&root, &small());
    // The same configuration and layers, as another registry's manifest lists them.
    let mut other = small();
    other.manifest.push(b'\n');
    let digest = oci::Digest::sha256(&other.manifest);
    other.blobs.insert(digest, other.manifest.clone());
    other.write_layout(&root.path("images"), "mirror.example/small:1");
    store
        .pull(&reference("mirror.example/small:1"), None, &Silent)
        .unwrap();
    let id = image.id.short().to_owned();
    assert_eq!(store.find(&id).unwrap().id, image.id);
    store.tag(&id, &reference("by-id:1")).unwrap();
    let remove = |wanted: &str, force: bool, in_use: &[InUse]| {
        store.remove(wanted, RemoveOptions { force, in_use })
    };
    remove("by-id:1", false, &[]).unwrap();
    // A container has the image: the other name is enough for it.
    let gone = remove("small:1", false, &in_use(&image, true)).unwrap();
    assert_eq!(gone, [Removed::Untagged("small:1".into())]);
    store.pull(&reference("small:1"), None, &Silent).unwrap();
    let text = remove(&id, false, &[]).unwrap_err().to_string();
    assert!(text.contains("multiple repositories"), "{text}");
    let gone = remove(&id, true, &[]).unwrap();
    for name in ["small:1", "mirror.example/small:1"] {
        assert!(gone.contains(&Removed::Untagged(name.into())), "{gone:?}");
    }
    let deleted = Removed::Deleted(image.id.to_string());
    assert_eq!(gone.iter().filter(|step| **step == deleted).count(), 1);
    assert!(store.list().unwrap().is_empty());
    assert_eq!(entries(&root, "data/layers"), 0);
}
