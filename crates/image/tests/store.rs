//! The store without a network: names, removal, layers, archives, garbage.
#![allow(clippy::disallowed_methods)] // the common module starts programs

mod common;

use common::{Fixture, Recorder, Root, read_file, small, tar_of};
use image::{
    Depth, Error, Fault, How, Image, InUse, Keep, Mended, PullPolicy, RemoveOptions, Removed,
    Silent, Store, StoreOptions,
};
use oci::{Digest, Reference};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};

fn reference(text: &str) -> Reference {
    text.parse().unwrap()
}

/// A store whose image directory holds `fixture` as `small:1`, and that image pulled.
fn pulled(root: &Root, fixture: &Fixture) -> (Store, Image) {
    fixture.write_layout(&root.path("images"), "docker.io/library/small:1");
    let store = root.store_with(StoreOptions {
        image_dirs: vec![root.path("images")],
        ..Default::default()
    });
    let image = store
        .ensure("small:1", PullPolicy::Missing, None, &Silent)
        .unwrap();
    (store, image)
}

fn in_use(image: &Image, running: bool) -> [InUse; 1] {
    [InUse {
        image: image.id.clone(),
        layers: image.chain.clone(),
        user: image::remove::User::Container {
            id: "0123456789ab".into(),
            running,
        },
    }]
}

fn entries(root: &Root, dir: &str) -> usize {
    std::fs::read_dir(root.path(dir)).unwrap().count()
}

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
    let offline = StoreOptions {
        image_dirs: vec![root.path("images")],
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
        text.contains("no such name") && text.contains("offline"),
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
    assert_eq!(
        store
            .check(image::Depth::Contents, &image::Silent)
            .unwrap()
            .faults,
        []
    );
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
    let mended = store.repair(&checked, &[], &Silent).unwrap();
    let restored = Mended {
        fault,
        how: How::Restored,
    };
    assert_eq!(mended, [restored], "from the image directory");
    assert_eq!(
        store
            .check(image::Depth::Contents, &image::Silent)
            .unwrap()
            .faults,
        []
    );
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
    let held = store.repair(&checked, &[user(true)], &Silent).unwrap();
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
    let mended = store.repair(&checked, &[user(false)], &Silent).unwrap();
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
    assert_eq!(store.check(Depth::Contents, &Silent).unwrap().faults, []);
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
    assert_eq!(store.check(Depth::Contents, &Silent).unwrap().faults, []);
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
        common::gzip(&archive),
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
