//! Against a real registry server (Debian's docker-registry), with and without accounts.
#![allow(clippy::disallowed_methods)] // the server is a program

mod common;

use common::{DockerRegistry, Recorder, Root, read_file, small};
use image::{Error, PullPolicy, RegistryOptions, RemoveOptions, Silent, StoreOptions};
use oci::Reference;

fn reference(text: &str) -> Reference {
    text.parse().unwrap()
}

/// A store that has the small image under `name`.
fn store_with_small(root: &Root, name: &str, options: StoreOptions) -> image::Store {
    small().write_layout(&root.path("images"), "docker.io/library/small:1");
    let store = root.store_with(StoreOptions {
        image_dirs: vec![root.path("images")],
        ..options
    });
    store.pull(&reference("small:1"), None, &Silent).unwrap();
    store.tag("small:1", &reference(name)).unwrap();
    store
}

#[test]
fn what_is_pushed_is_pulled_by_tag_and_by_digest() {
    let registry = DockerRegistry::start(None);
    let (here, there) = (Root::new(), Root::new());
    let name = format!("{}/team/small:1", registry.host());
    let store = store_with_small(&here, &name, StoreOptions::default());
    let progress = Recorder::default();
    let pushed = store.push(&reference(&name), &progress).unwrap();
    assert!(
        progress.saw("Pushed"),
        "{:?}",
        progress.states.lock().unwrap()
    );
    assert!(
        progress
            .all_lines()
            .contains(&format!("1: digest: {}", pushed.digest))
    );

    let other = there.store();
    let progress = Recorder::default();
    let pulled = other.pull(&reference(&name), None, &progress).unwrap();
    assert!(pulled.newer);
    assert_eq!(pulled.image.id, store.find("small:1").unwrap().id);
    assert!(
        progress
            .all_lines()
            .contains("Status: Downloaded newer image for")
    );
    let dirs = other.layer_dirs(&pulled.image).unwrap();
    assert_eq!(read_file(&dirs, "etc/new").as_deref(), Some("new"));

    let again = other.pull(&reference(&name), None, &progress).unwrap();
    assert!(!again.newer);
    assert!(
        progress
            .all_lines()
            .contains("Status: Image is up to date for")
    );
    let by_digest = format!("{}/team/small@{}", registry.host(), pushed.digest);
    let image = other
        .ensure(&by_digest, PullPolicy::Always, None, &Silent)
        .unwrap();
    assert_eq!(image.repo_digests(), [by_digest]);
}

#[test]
fn a_second_push_uploads_nothing_and_another_repository_mounts() {
    let registry = DockerRegistry::start(None);
    let root = Root::new();
    let name = format!("{}/a:1", registry.host());
    let store = store_with_small(&root, &name, StoreOptions::default());
    store.push(&reference(&name), &Silent).unwrap();
    let progress = Recorder::default();
    store.push(&reference(&name), &progress).unwrap();
    assert!(progress.saw("Layer already exists") && !progress.saw("Pushed"));
    let other = format!("{}/b:1", registry.host());
    store.tag(&name, &reference(&other)).unwrap();
    let progress = Recorder::default();
    store.push(&reference(&other), &progress).unwrap();
    assert!(
        progress.saw("Mounted"),
        "{:?}",
        progress.states.lock().unwrap()
    );
}

#[test]
fn an_image_made_here_is_compressed_on_its_way_and_keeps_its_id() {
    let registry = DockerRegistry::start(None);
    let (root, there) = (Root::new(), Root::new());
    let store = root.store();
    let upper = root.path("data/containers/upper");
    std::fs::create_dir_all(upper.join("app")).unwrap();
    std::fs::write(upper.join("app/file"), vec![b'x'; 100_000]).unwrap();
    let layer = store.commit_layer_from_upper(&upper, None).unwrap();
    assert!(!upper.exists(), "it was moved");
    let name = reference(&format!("{}/made:1", registry.host()));
    let config = oci::ImageConfig {
        os: "linux".into(),
        architecture: "amd64".into(),
        ..Default::default()
    };
    let image = store
        .put_image(&config, &[layer], std::slice::from_ref(&name))
        .unwrap();
    store.push(&name, &Silent).unwrap();
    let after = store.find(&name.to_string()).unwrap();
    assert_eq!(after.id, image.id);
    assert!(
        after.blob_size() < 10_000,
        "compressed: {}",
        after.blob_size()
    );
    let other = there.store();
    let pulled = other.pull(&name, None, &Silent).unwrap().image;
    assert_eq!(pulled.id, image.id);
    assert_eq!(
        read_file(&other.layer_dirs(&pulled).unwrap(), "app/file")
            .unwrap()
            .len(),
        100_000
    );
}

#[test]
fn an_account_is_asked_for_and_kept() {
    let registry = DockerRegistry::start(Some(("me", "secret")));
    let root = Root::new();
    let registries = RegistryOptions {
        docker_config: Some(root.path("config.json")),
        ..Default::default()
    };
    let options = StoreOptions {
        registries: registries.clone(),
        ..Default::default()
    };
    let name = format!("{}/private:1", registry.host());
    let store = store_with_small(&root, &name, options);
    let refused = store
        .push(&reference(&name), &Silent)
        .unwrap_err()
        .to_string();
    assert!(refused.contains("no basic auth credentials"), "{refused}");

    let wrong = image::login(&registries, &registry.host(), "me", "wrong")
        .unwrap_err()
        .to_string();
    assert!(
        wrong.contains("unauthorized: incorrect username or password"),
        "{wrong}"
    );
    assert!(
        !root.path("config.json").exists(),
        "a refused password is not kept"
    );
    image::login(&registries, &registry.host(), "me", "secret").unwrap();
    store.push(&reference(&name), &Silent).unwrap();
    store.remove(&name, RemoveOptions::default()).unwrap();
    store.pull(&reference(&name), None, &Silent).unwrap();

    assert!(image::logout(&registries, &registry.host()).unwrap());
    assert!(!image::logout(&registries, &registry.host()).unwrap());
    let refused = store
        .push(&reference(&name), &Silent)
        .unwrap_err()
        .to_string();
    assert!(refused.contains("no basic auth credentials"), "{refused}");
}

#[test]
fn a_registry_is_searched_by_its_catalogue() {
    let registry = DockerRegistry::start(None);
    let root = Root::new();
    let name = format!("{}/team/findme:1", registry.host());
    let store = store_with_small(&root, &name, StoreOptions::default());
    store.push(&reference(&name), &Silent).unwrap();
    let found = image::search(
        &RegistryOptions::default(),
        &format!("{}/find", registry.host()),
        25,
    )
    .unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].name, format!("{}/team/findme", registry.host()));
}

#[test]
fn what_is_nowhere_is_told_with_every_place_asked() {
    let registry = DockerRegistry::start(None);
    let root = Root::new();
    small().write_layout(&root.path("images"), "docker.io/library/small:1");
    let store = root.store_with(StoreOptions {
        image_dirs: vec![root.path("images")],
        ..Default::default()
    });
    let name = format!("{}/nosuch:1", registry.host());
    let error = store.pull(&reference(&name), None, &Silent).unwrap_err();
    assert!(matches!(error, Error::NotFound(_)));
    let text = error.to_string();
    for part in [
        "nosuch:1 was found nowhere",
        "image directory",
        "manifest unknown",
        &registry.host(),
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let text = store
        .pull(&reference(&format!("127.0.0.1:{free}/x")), None, &Silent)
        .unwrap_err()
        .to_string();
    assert!(text.contains("connection refused"), "{text}");
}

#[test]
fn two_pulls_at_once_share_the_work() {
    let registry = DockerRegistry::start(None);
    let (here, there) = (Root::new(), Root::new());
    let name = format!("{}/shared:1", registry.host());
    let store = store_with_small(&here, &name, StoreOptions::default());
    store.push(&reference(&name), &Silent).unwrap();
    let layout = there.layout();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                // Each with handles of its own, as processes would have.
                let store = image::Store::open(&layout, StoreOptions::default()).unwrap();
                let image = store.pull(&reference(&name), None, &Silent).unwrap().image;
                assert_eq!(store.layer_dirs(&image).unwrap().len(), 2);
            });
        }
    });
    let store = there.store();
    assert_eq!(common::faults(&store), []);
    assert!(
        store
            .unreferenced(image::Keep::default())
            .unwrap()
            .is_empty()
    );
}
