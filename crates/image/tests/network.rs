//! A registry that breaks, lies, hurries or asks for tokens.
#![allow(clippy::disallowed_methods)] // the common module starts programs

mod common;

use base64::Engine as _;
use common::{
    Answer, Asked, FakeServer, Fixture, Recorder, Root, noise, read_file, serve_image, small,
    tar_of,
};
use image::{Error, RegistryOptions, Silent, StoreOptions};
use oci::{Digest, Reference};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

fn named(server: &FakeServer) -> Reference {
    format!("{}/app", server.host()).parse().unwrap()
}

/// One layer large enough to be broken off in the middle.
fn large() -> Fixture {
    Fixture::new(&[tar_of(&[("data", &noise(1 << 20, 7))])])
}

fn is_layer(asked: &Asked, layer: &Digest) -> bool {
    asked.path.ends_with(layer.hex())
}

#[test]
fn a_broken_download_goes_on_where_it_broke() {
    let fixture = large();
    let layer = fixture.layers[0].digest.clone();
    let size = fixture.layers[0].size as usize;
    let watched = layer.clone();
    let server = serve_image(fixture, move |asked, _, answer| {
        let first_half = is_layer(asked, &watched) && asked.offset() < size / 2;
        if first_half {
            answer.cut(size / 3)
        } else {
            answer
        }
    });
    let root = Root::new();
    let progress = Recorder::default();
    let pulled = root.store().pull(&named(&server), None, &progress).unwrap();
    assert!(progress.saw("Retrying in 1 second") && progress.saw("Download complete"));
    let offsets: Vec<usize> = server
        .asked
        .lock()
        .unwrap()
        .iter()
        .filter(|a| is_layer(a, &layer))
        .map(Asked::offset)
        .collect();
    assert_eq!(offsets.len(), 3, "{offsets:?}");
    assert!(offsets[1] > 0 && offsets[2] > offsets[1], "{offsets:?}");
    assert_eq!(
        root.store()
            .check(image::Depth::Contents, &image::Silent)
            .unwrap()
            .faults,
        []
    );
    assert_eq!(pulled.image.chain.len(), 1);
}

#[test]
fn a_pull_that_gave_up_is_taken_up_by_the_next_one() {
    let fixture = large();
    let layer = fixture.layers[0].clone();
    let broken = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let (watched, flag) = (layer.digest.clone(), broken.clone());
    let server = serve_image(fixture, move |asked, _, answer| {
        match is_layer(asked, &watched) && flag.load(Ordering::SeqCst) {
            true if asked.offset() == 0 => answer.cut(1 << 18),
            true => Answer::new(404, ""),
            false => answer,
        }
    });
    let root = Root::new();
    root.store()
        .pull(&named(&server), None, &Silent)
        .unwrap_err();
    let store = root.store();
    assert_eq!(
        store
            .unreferenced(image::Keep::default())
            .unwrap()
            .partials
            .len(),
        1,
        "the part is kept"
    );
    assert!(store.list().unwrap().is_empty());
    broken.store(false, Ordering::SeqCst);
    store.pull(&named(&server), None, &Silent).unwrap();
    let last = server
        .asked
        .lock()
        .unwrap()
        .iter()
        .rfind(|a| is_layer(a, &layer.digest))
        .map(Asked::offset);
    assert!(last.is_some_and(|offset| offset > 0), "{last:?}");
    assert_eq!(common::faults(&store), []);
}

#[test]
fn a_bad_part_left_behind_is_thrown_away_and_fetched_anew() {
    let fixture = large();
    let layer = fixture.layers[0].digest.clone();
    let server = serve_image(fixture, |_, _, answer| answer);
    let root = Root::new();
    let store = root.store();
    let partial = root
        .path("data/images/ingest")
        .join(format!("sha256-{}", layer.hex()));
    std::fs::write(&partial, vec![0u8; 100_000]).unwrap();
    store.pull(&named(&server), None, &Silent).unwrap();
    assert_eq!(common::faults(&store), []);
    assert!(!partial.exists());
}

#[test]
fn a_server_without_ranges_is_read_from_the_start() {
    let fixture = large();
    let layer = fixture.layers[0].digest.clone();
    let bytes = fixture.blobs[&layer].clone();
    let tries = AtomicUsize::new(0);
    let server = serve_image(fixture, move |asked, _, answer| {
        if !is_layer(asked, &layer) {
            return answer;
        }
        let whole = Answer::new(200, bytes.clone());
        if tries.fetch_add(1, Ordering::SeqCst) == 0 {
            whole.cut(1 << 18)
        } else {
            whole
        }
    });
    let root = Root::new();
    root.store().pull(&named(&server), None, &Silent).unwrap();
    assert_eq!(
        root.store()
            .check(image::Depth::Contents, &image::Silent)
            .unwrap()
            .faults,
        []
    );
}

#[test]
fn content_with_another_digest_never_gets_a_name() {
    let fixture = small();
    let layer = fixture.layers[0].digest.clone();
    let watched = layer.clone();
    let server = serve_image(fixture, move |asked, _, mut answer| {
        if is_layer(asked, &watched)
            && let Some(byte) = answer.body.last_mut()
        {
            *byte ^= 1;
        }
        answer
    });
    let root = Root::new();
    let store = root.store();
    let text = store
        .pull(&named(&server), None, &Silent)
        .unwrap_err()
        .to_string();
    assert!(
        text.contains("expected sha256:") || text.contains("decompress"),
        "{text}"
    );
    assert!(
        !root
            .path("data/images/blobs/sha256")
            .join(layer.hex())
            .exists()
    );
    assert!(store.list().unwrap().is_empty());
    assert!(store.find("app").is_err());
    let left = std::fs::read_dir(root.path("data/layers"))
        .unwrap()
        .filter(|e| {
            e.as_ref()
                .unwrap()
                .file_name()
                .to_string_lossy()
                .starts_with(".tmp-")
        });
    assert_eq!(left.count(), 0, "nothing half-made is left");
}

#[test]
fn a_manifest_asked_for_by_digest_must_have_it() {
    let fixture = small();
    let server = serve_image(fixture, |_, _, answer| answer);
    let wrong = named(&server).with_digest(Digest::sha256(b"something else"));
    let error = Root::new().store().pull(&wrong, None, &Silent).unwrap_err();
    assert!(
        error.to_string().contains("does not have the digest"),
        "{error}"
    );
}

#[test]
fn a_layer_that_unpacks_to_something_else_than_the_image_says_is_refused() {
    let mut fixture = small();
    // The configuration promises other diff ids.
    let old = fixture.config.clone();
    let mut config: oci::ImageConfig = serde_json::from_slice(&fixture.blobs[&old.digest]).unwrap();
    config.rootfs.diff_ids[1] = Digest::sha256(b"a lie");
    let bytes = serde_json::to_vec(&config).unwrap();
    let config = oci::Descriptor::of(oci::media_type::OCI_CONFIG, &bytes);
    fixture.blobs.insert(config.digest.clone(), bytes);
    fixture.manifest =
        serde_json::to_vec(&oci::Manifest::new(config, fixture.layers.clone())).unwrap();
    let server = serve_image(fixture, |_, _, answer| answer);
    let error = Root::new()
        .store()
        .pull(&named(&server), None, &Silent)
        .unwrap_err();
    assert!(matches!(error, Error::DiffId { .. }), "{error}");
}

#[test]
fn a_server_that_is_busy_is_asked_again_when_it_says() {
    let fixture = small();
    let refusals = AtomicUsize::new(0);
    let server = serve_image(fixture, move |asked, _, answer| {
        let busy =
            asked.path.contains("/manifests/") && refusals.fetch_add(1, Ordering::SeqCst) < 2;
        if busy {
            Answer::new(429, r#"{"errors":[{"code":"TOOMANYREQUESTS"}]}"#)
                .header("Retry-After", "0")
        } else {
            answer
        }
    });
    Root::new()
        .store()
        .pull(&named(&server), None, &Silent)
        .unwrap();
    assert_eq!(server.count(|a| a.path.contains("/manifests/")), 3);
}

#[test]
fn who_is_waited_for_is_told() {
    static TOLD: std::sync::Mutex<Vec<String>> = std::sync::Mutex::new(Vec::new());
    let refusals = AtomicUsize::new(0);
    let server = serve_image(small(), move |asked, _, answer| {
        let busy =
            asked.path.contains("/manifests/") && refusals.fetch_add(1, Ordering::SeqCst) < 2;
        match busy {
            true => Answer::new(429, "").header("Retry-After", "1"),
            false => answer,
        }
    });
    let hears = |text: &str| TOLD.lock().unwrap().push(text.to_owned());
    let registries = RegistryOptions {
        waiting: image::registry::Waiting(Some(hears)),
        ..Default::default()
    };
    let root = Root::new();
    let store = root.store_with(StoreOptions {
        registries,
        ..Default::default()
    });
    store.pull(&named(&server), None, &Silent).unwrap();
    let told = TOLD.lock().unwrap().join("\n");
    assert!(
        told.contains("waiting 1") && told.contains(&server.host()),
        "{told}"
    );
    assert!(told.contains("429"), "{told}");
}

/// Says when a layer is waited for, and then lets go of it.
struct LetsGo(std::sync::Mutex<Option<sys::lock::FileLock>>, AtomicUsize);

impl image::Progress for LetsGo {
    fn layer(&self, event: image::LayerEvent<'_>) {
        if event.status == image::Status::WaitingForAnother {
            self.1.fetch_add(1, Ordering::SeqCst);
            *self.0.lock().unwrap() = None;
        }
    }

    fn line(&self, _: &str) {}
}

#[test]
fn a_layer_that_another_process_brings_in_is_waited_for_and_that_is_told() {
    let fixture = small();
    let config: oci::ImageConfig = {
        let manifest: oci::Manifest = serde_json::from_slice(&fixture.manifest).unwrap();
        serde_json::from_slice(&fixture.blobs[&manifest.config.digest]).unwrap()
    };
    let chain = oci::chain_ids(&config.rootfs.diff_ids);
    let server = serve_image(fixture, |_, _, answer| answer);
    let root = Root::new();
    let lock = root.layout().lock("layer", chain[0].hex());
    let lock = sys::lock::FileLock::exclusive(&lock).unwrap();
    let progress = LetsGo(std::sync::Mutex::new(Some(lock)), AtomicUsize::new(0));
    root.store().pull(&named(&server), None, &progress).unwrap();
    assert_eq!(progress.1.load(Ordering::SeqCst), 1);
}

#[test]
fn a_server_that_stays_busy_is_given_up_on_with_its_words() {
    let server = serve_image(small(), |asked, _, answer| {
        let body = r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"pull rate limit"}]}"#;
        if asked.path.contains("/manifests/") {
            Answer::new(429, body).header("Retry-After", "0")
        } else {
            answer
        }
    });
    let text = Root::new()
        .store()
        .pull(&named(&server), None, &Silent)
        .unwrap_err()
        .to_string();
    assert!(
        text.contains("429") && text.contains("pull rate limit"),
        "{text}"
    );
}

#[test]
fn a_server_that_falls_silent_is_a_stall_and_not_a_hang() {
    let fixture = small();
    let layer = fixture.layers[0].digest.clone();
    let first = AtomicUsize::new(0);
    let server = serve_image(fixture, move |asked, _, answer| {
        if is_layer(asked, &layer) && first.fetch_add(1, Ordering::SeqCst) == 0 {
            std::thread::sleep(Duration::from_millis(1500));
        }
        answer
    });
    let root = Root::new();
    let registries = RegistryOptions {
        stall_timeout: Some(Duration::from_millis(300)),
        ..Default::default()
    };
    let store = root.store_with(StoreOptions {
        registries,
        ..Default::default()
    });
    store.pull(&named(&server), None, &Silent).unwrap();
    assert_eq!(common::faults(&store), []);
}

/// An authorization service: tokens for who knows the password, one per scope.
fn with_tokens(fixture: Fixture, account: Option<&'static str>) -> FakeServer {
    let port = std::sync::Arc::new(AtomicUsize::new(0));
    let own = port.clone();
    let server = serve_image(fixture, move |asked, _, answer| {
        let realm = format!("http://127.0.0.1:{}/token", own.load(Ordering::SeqCst));
        if asked.path.starts_with("/token") {
            let basic = account.map(|a| {
                format!(
                    "Basic {}",
                    base64::engine::general_purpose::STANDARD.encode(a)
                )
            });
            if basic.is_some() && asked.headers.get("authorization") != basic.as_ref() {
                return Answer::new(401, "");
            }
            assert!(
                asked.path.contains("service=test%2Eservice"),
                "{}",
                asked.path
            );
            return Answer::new(200, r#"{"token":"let-me-in","expires_in":300}"#);
        }
        if asked
            .headers
            .get("authorization")
            .is_none_or(|a| a != "Bearer let-me-in")
        {
            let challenge =
                format!("Bearer realm=\"{realm}\",service=\"test.service\",scope=\"x\"");
            return Answer::new(401, "").header("WWW-Authenticate", challenge);
        }
        answer
    });
    port.store(server.port.into(), Ordering::SeqCst);
    server
}

#[test]
fn a_token_is_fetched_once_and_used_for_everything() {
    let server = with_tokens(small(), None);
    Root::new()
        .store()
        .pull(&named(&server), None, &Silent)
        .unwrap();
    let scope = "scope=repository%3Aapp%3Apull";
    assert_eq!(
        server.count(|a| a.path.starts_with("/token") && a.path.contains(scope)),
        1
    );
    assert!(server.count(|a| a.path.contains("/blobs/")) >= 3);
}

#[test]
fn the_account_of_config_json_is_shown_to_the_token_service_only() {
    let server = with_tokens(small(), Some("me:secret"));
    let root = Root::new();
    let config = root.path("config.json");
    let registries = RegistryOptions {
        docker_config: Some(config.clone()),
        ..Default::default()
    };
    let store = root.store_with(StoreOptions {
        registries: registries.clone(),
        ..Default::default()
    });
    let refused = store
        .pull(&named(&server), None, &Silent)
        .unwrap_err()
        .to_string();
    assert!(refused.contains("no basic auth credentials"), "{refused}");
    image::login(&registries, &server.host(), "me", "secret").unwrap();
    store.pull(&named(&server), None, &Silent).unwrap();
    let shown = server.count(|a| {
        !a.path.starts_with("/token")
            && a.headers
                .get("authorization")
                .is_some_and(|h| h.starts_with("Basic"))
    });
    assert_eq!(shown, 0);
}

#[test]
fn a_mirror_is_asked_first_and_the_hub_only_when_it_fails() {
    let server = serve_image(small(), |_, _, answer| answer);
    let root = Root::new();
    let registries = RegistryOptions {
        mirrors: vec![format!("http://{}", server.host())],
        ..RegistryOptions::default()
    };
    let store = root.store_with(StoreOptions {
        registries,
        ..Default::default()
    });
    let image = store
        .pull(&"small".parse().unwrap(), None, &Silent)
        .unwrap()
        .image;
    assert_eq!(image.repo_tags(), ["small:latest"]);
    assert_eq!(
        server.count(|a| a.path == "/v2/library/small/manifests/latest"),
        1
    );
    assert_eq!(server.count(|a| a.path.contains("ns=")), 0);
    assert_eq!(
        read_file(&store.layer_dirs(&image).unwrap(), "bin/sh").as_deref(),
        Some("shell")
    );
}

#[test]
fn offline_nothing_is_asked() {
    let server = serve_image(small(), |_, _, answer| answer);
    let root = Root::new();
    let registries = RegistryOptions {
        offline: true,
        ..RegistryOptions::default()
    };
    let store = root.store_with(StoreOptions {
        registries,
        ..Default::default()
    });
    let text = store
        .pull(&named(&server), None, &Silent)
        .unwrap_err()
        .to_string();
    assert!(text.contains("offline"), "{text}");
    assert_eq!(server.asked.lock().unwrap().len(), 0);
}

#[test]
fn the_platform_decides_and_attestations_are_passed_over() {
    let fixture = small();
    let mut mine = fixture.descriptor();
    mine.platform = Some("linux/arm64".parse().unwrap());
    let mut attestation = oci::Descriptor::of(oci::media_type::OCI_MANIFEST, b"attestation");
    attestation.platform = Some(oci::Platform::new("unknown", "unknown", None));
    let index = oci::Index {
        manifests: vec![attestation, mine],
        ..oci::Index::default()
    };
    let bytes = serde_json::to_vec(&index).unwrap();
    let server = serve_image(fixture, move |asked, _, answer| {
        let tag = asked.path.ends_with("/manifests/latest");
        if tag {
            Answer::new(200, bytes.clone()).header("Content-Type", oci::media_type::OCI_INDEX)
        } else {
            answer
        }
    });
    let root = Root::new();
    let store = root.store();
    let amd64 = "linux/s390x".parse().unwrap();
    let error = store
        .pull(&named(&server), Some(&amd64), &Silent)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("linux/s390x") && error.contains("it has: linux/arm64"),
        "{error}"
    );
    let arm64 = "linux/arm64".parse().unwrap();
    store.pull(&named(&server), Some(&arm64), &Silent).unwrap();
    assert_eq!(
        server.count(|a| a.path.contains(&Digest::sha256(b"attestation").to_string())),
        0
    );
}

/// What the next test runs in a process of its own; by itself it does nothing.
#[test]
fn child_pulls() {
    let (Ok(root), Ok(name)) = (
        std::env::var("IMAGE_TEST_ROOT"),
        std::env::var("IMAGE_TEST_NAME"),
    ) else {
        return;
    };
    let layout = state::Layout::new(format!("{root}/data"), format!("{root}/run"));
    layout.prepare().unwrap();
    let options = StoreOptions {
        layer_form: image::Form::Directories,
        ..Default::default()
    };
    let store = image::Store::open(&layout, options).unwrap();
    store.pull(&name.parse().unwrap(), None, &Silent).unwrap();
}

#[test]
fn a_pull_killed_at_any_point_is_finished_by_the_next_one() {
    let fixture = Fixture::new(&[
        tar_of(&[("a", &noise(1 << 18, 3))]),
        tar_of(&[("b", b"small")]),
        tar_of(&[("c", &noise(1 << 18, 5))]),
    ]);
    let server = serve_image(fixture, |_, _, answer| {
        std::thread::sleep(Duration::from_millis(15));
        answer
    });
    let root = Root::new();
    for pause in [20, 60, 90, 120, 150, 200, 300] {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_pulls"])
            .env("IMAGE_TEST_ROOT", root.dir.path())
            .env("IMAGE_TEST_NAME", named(&server).to_string())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(pause));
        child.kill().unwrap();
        child.wait().unwrap();
        let store = root.store();
        // What has a name is whole; the rest is garbage or a part to go on with.
        assert_eq!(
            store
                .check(image::Depth::Contents, &image::Silent)
                .unwrap()
                .faults,
            [],
            "after {pause} ms"
        );
    }
    let store = root.store();
    let image = store.pull(&named(&server), None, &Silent).unwrap().image;
    assert_eq!(
        read_file(&store.layer_dirs(&image).unwrap(), "b").as_deref(),
        Some("small")
    );
    store
        .prune(image::Keep::default())
        .unwrap()
        .expect("nobody else is here");
    assert_eq!(common::faults(&store), []);
    assert!(
        store
            .unreferenced(image::Keep::default())
            .unwrap()
            .is_empty()
    );
    assert_eq!(
        std::fs::read_dir(root.path("data/trash")).unwrap().count(),
        0
    );
    assert_eq!(
        std::fs::read_dir(root.path("data/layers")).unwrap().count(),
        3
    );
}
