//! What is sent to a registry that is particular about it.

use crate::common::{Answer, FakeServer, Fixture, Root, noise, small, tar_of};
use image::{Silent, StoreOptions};
use oci::Digest;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// What a registry was given, by its path.
type Kept = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

/// A registry that takes uploads, in pieces of at most `most` bytes, and keeps what it was given.
fn taking(most: usize) -> (FakeServer, Kept) {
    let kept = Kept::default();
    let (store, part) = (kept.clone(), Mutex::new(HashMap::<String, Vec<u8>>::new()));
    let number = AtomicUsize::new(0);
    let server = FakeServer::start(move |asked| {
        let mut kept = store.lock().unwrap();
        let path = asked.path.split('?').next().unwrap_or_default().to_owned();
        match asked.method.as_str() {
            "GET" | "HEAD" if path == "/v2/" || kept.contains_key(&path) => {
                Answer::new(200, kept.get(&path).cloned().unwrap_or_default())
            }
            "POST" => {
                let upload = format!(
                    "/v2/app/blobs/uploads/{}",
                    number.fetch_add(1, Ordering::SeqCst)
                );
                Answer::new(202, "").header("Location", upload)
            }
            "PATCH" | "PUT" if asked.body.len() > most => Answer::new(413, ""),
            "PATCH" => {
                let mut part = part.lock().unwrap();
                let bytes = part.entry(path.clone()).or_default();
                let range = format!("{}-{}", bytes.len(), bytes.len() + asked.body.len() - 1);
                if asked.headers.get("content-range") != Some(&range) {
                    return Answer::new(416, "");
                }
                bytes.extend(&asked.body);
                Answer::new(202, "").header("Location", path)
            }
            "PUT" if path.contains("/manifests/") => {
                kept.insert(path, asked.body.clone());
                Answer::new(201, "")
            }
            "PUT" => {
                let mut bytes = part.lock().unwrap().remove(&path).unwrap_or_default();
                bytes.extend(&asked.body);
                let digest = Digest::sha256(&bytes);
                if !asked.path.contains(digest.hex()) {
                    return Answer::new(400, "");
                }
                kept.insert(format!("/v2/app/blobs/{digest}"), bytes);
                Answer::new(201, "")
            }
            _ => Answer::new(404, ""),
        }
    });
    (server, kept)
}

#[test]
fn what_is_too_large_in_one_piece_is_sent_in_pieces() {
    let (server, kept) = taking(8 << 20);
    let fixture = Fixture::new(&[tar_of(&[("data", &noise(20 << 20, 9))])]);
    let layer = fixture.layers[0].clone();
    let root = Root::new();
    let name = format!("{}/app:1", server.host());
    fixture.write_layout(&root.path("layout"), &name);
    let store = root.store_with(StoreOptions {
        image_dirs: vec![root.path("layout")],
        ..Default::default()
    });
    let name = name.parse().unwrap();
    store.pull(&name, None, &Silent).unwrap();
    store.push(&name, &Silent).unwrap();
    let kept = kept.lock().unwrap();
    let stored = kept
        .get(&format!("/v2/app/blobs/{}", layer.digest))
        .map(Vec::len);
    assert_eq!(stored, Some(layer.size as usize));
    assert!(kept.contains_key("/v2/app/manifests/1"));
    assert_eq!(
        server.count(|a| a.method == "PATCH"),
        (layer.size as usize).div_ceil(8 << 20)
    );
}

#[test]
fn what_refers_to_an_image_is_listed_where_the_registry_keeps_no_list() {
    let (server, kept) = taking(8 << 20);
    let mut fixture = small();
    let subject = Digest::sha256(b"the image");
    let mut manifest: oci::Manifest = serde_json::from_slice(&fixture.manifest).unwrap();
    let about = serde_json::json!({"mediaType": oci::media_type::OCI_MANIFEST, "digest": subject, "size": 9});
    manifest.other.insert("subject".into(), about);
    fixture.manifest = serde_json::to_vec(&manifest).unwrap();
    let digest = Digest::sha256(&fixture.manifest);
    fixture
        .blobs
        .insert(digest.clone(), fixture.manifest.clone());
    let root = Root::new();
    let name = format!("{}/app:1", server.host());
    fixture.write_layout(&root.path("layout"), &name);
    let store = root.store_with(StoreOptions {
        image_dirs: vec![root.path("layout")],
        ..Default::default()
    });
    let name = name.parse().unwrap();
    store.pull(&name, None, &Silent).unwrap();
    for _ in 0..2 {
        store.push(&name, &Silent).unwrap();
    }
    let kept = kept.lock().unwrap();
    let list = &kept[&format!("/v2/app/manifests/sha256-{}", subject.hex())];
    let list: oci::Index = serde_json::from_slice(list).unwrap();
    assert_eq!(list.manifests.len(), 1);
    assert_eq!(list.manifests[0].digest, digest);
}
