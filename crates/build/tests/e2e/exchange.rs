//! Caches of other data roots, honest and hostile.

use crate::Test;
use crate::site::{Site, Told};
use build::{CacheFrom, CacheTo};
use oci::Digest;
use serde_json::Value;
use std::fs;
use std::path::PathBuf;

pub(crate) const TESTS: &[Test] = &[
    ("what_a_cache_says_is_checked", what_a_cache_says_is_checked),
    (
        "a_damaged_document_is_a_warning",
        a_damaged_document_is_a_warning,
    ),
    (
        "an_image_does_not_inherit_a_cache",
        an_image_does_not_inherit_a_cache,
    ),
];

const FILE: &str = "FROM busybox\nRUN echo one > /one\nRUN echo two > /two\n";

/// A cache in a directory, of which every byte can be changed.
struct Cache(PathBuf);

impl Cache {
    fn made(site: &Site) -> Self {
        let cache = Self(site.dir.join("cache"));
        let mut options = site.options(FILE);
        let to = format!("type=local,dest={},mode=max", cache.0.display());
        options.cache_to = vec![CacheTo::parse(&to).unwrap()];
        site.build_with(options);
        cache
    }

    fn blob(&self, digest: &Value) -> PathBuf {
        self.0
            .join("blobs/sha256")
            .join(&digest.as_str().unwrap()[7..])
    }

    fn read(path: PathBuf) -> Value {
        serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
    }

    fn put(&self, bytes: &[u8]) -> Value {
        let digest = Digest::sha256(bytes);
        fs::write(self.0.join("blobs/sha256").join(digest.hex()), bytes).unwrap();
        digest.to_string().into()
    }

    /// Changes the document and what leads to it: all digests are right.
    fn change(&self, change: impl FnOnce(&mut Value) -> Vec<u8>) {
        let mut index = Self::read(self.0.join("index.json"));
        let mut manifest = Self::read(self.blob(&index["manifests"][0]["digest"]));
        let mut document = Self::read(self.blob(&manifest["config"]["digest"]));
        let bytes = change(&mut document);
        manifest["config"]["digest"] = self.put(&bytes);
        manifest["config"]["size"] = bytes.len().into();
        let bytes = serde_json::to_vec(&manifest).unwrap();
        index["manifests"][0]["digest"] = self.put(&bytes);
        index["manifests"][0]["size"] = bytes.len().into();
        fs::write(self.0.join("index.json"), index.to_string()).unwrap();
    }

    /// A build on another data root that takes from it.
    fn taken(&self) -> (Site, Told) {
        let site = Site::new();
        let mut options = site.options(FILE);
        let from = format!("type=local,src={}", self.0.display());
        options.cache_from = vec![CacheFrom::parse(&from).unwrap()];
        let (image, told) = site.build_with(options);
        assert_eq!(
            (image.read("/one"), image.read("/two")),
            ("one\n".into(), "two\n".into())
        );
        (site, told)
    }
}

fn what_a_cache_says_is_checked() {
    let site = Site::new();
    let cache = Cache::made(&site);
    assert_eq!(cache.taken().1.count("cached"), 2);
    cache.change(|document| {
        let steps = document["steps"].as_array_mut().unwrap();
        let other = steps[1]["diff_id"].clone();
        steps[0]["diff_id"] = other;
        document.to_string().into_bytes()
    });
    let (_site, told) = cache.taken();
    assert!(told.says("no more cache is taken"), "{:#?}", told.lines());
    cache.change(|document| {
        for step in document["steps"].as_array_mut().unwrap() {
            step["layer"] = Digest::sha256(b"elsewhere").to_string().into();
        }
        document.to_string().into_bytes()
    });
    let (_site, told) = cache.taken();
    assert_eq!(
        told.count("cached"),
        0,
        "layers that the manifest does not have are not there"
    );
}

fn a_damaged_document_is_a_warning() {
    let site = Site::new();
    let cache = Cache::made(&site);
    for bytes in [
        "{",
        "[]",
        r#"{"schema":2,"steps":[]}"#,
        r#"{"schema":1,"steps":[{"key":"../x"}]}"#,
    ] {
        cache.change(|_| bytes.as_bytes().to_vec());
        // What is changed next must be JSON.
        let (_site, told) = cache.taken();
        assert!(
            told.says("no cache is taken"),
            "{bytes}: {:#?}",
            told.lines()
        );
        assert_eq!(told.count("cached"), 0);
        fs::remove_dir_all(&cache.0).unwrap();
        let mut options = site.options(FILE);
        let to = format!("type=local,dest={},mode=max", cache.0.display());
        options.cache_to = vec![CacheTo::parse(&to).unwrap()];
        site.build_with(options);
    }
}

fn an_image_does_not_inherit_a_cache() {
    let site = Site::new();
    let mut options = site.options(FILE);
    options.tags = vec!["base".to_owned()];
    options.cache_to = vec![CacheTo::parse("type=inline").unwrap()];
    let (base, _) = site.build_with(options);
    assert!(
        base.built
            .image
            .config
            .other
            .contains_key("dockless.buildcache.v1")
    );
    let (above, _) = site.build("FROM base\nENV x=1\n");
    assert!(above.built.image.config.other.is_empty());
}
