//! A client that asks as crane does, at what is pushed and saved here, and what it makes, pulled here: digest for digest.

use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use testkit::crane::{self, Change, Upload};
use testkit::{Archive, Crane, Host, Item, Registry, kernel, requires, scenarios};

scenarios!(
    crane_reads_what_is_pushed_and_copies_it,
    what_crane_appends_mutates_and_lists_is_pulled,
    archives_of_both_are_read_by_the_other,
    lists_of_repositories_and_tags_page_by_page,
);

/// The images here, and what is special about them.
const IMAGES: [&str; 4] = [
    "busybox:latest",
    "busybox:zstd",
    "busybox:schema2",
    "localhost/odd:multi",
];

fn push(host: &Host, image: &str, name: &str) -> String {
    host.docker(&format!("pull {image}")).ok();
    host.docker(&format!("tag {image} {name}")).ok();
    host.docker(&format!("push {name}")).ok();
    let id = host.inspect(name, "{{.Id}}");
    host.docker(&format!("rmi {name} {image}")).ok();
    id
}

fn pull(host: &Host, name: &str) {
    host.docker(&format!("pull {name}"))
        .env("DOCKLESS_IMAGE_DIR", "")
        .ok();
}

fn crane_reads_what_is_pushed_and_copies_it(host: &Host) {
    requires!(Registry::installed(), "docker-registry");
    let registry = Registry::start(host, 5111);
    let at = &registry.address;
    let crane = Crane::of(at);
    for (number, image) in IMAGES.iter().enumerate() {
        let name = format!("{at}/ours/{number}:1");
        let id = push(host, image, &name);
        let ours = format!("ours/{number}");
        let (_, digest) = crane.head(&ours, "1");
        let blobs = crane.validate(&ours, "1");
        assert!(blobs.contains(&id) || image.contains("multi"), "{image}");
        let theirs = format!("theirs/copy/{number}");
        let mounted = crane.copy((&ours, "1"), (&theirs, "1"));
        assert_eq!(mounted, blobs.len(), "{image}");
        pull(host, &format!("{at}/{theirs}:1"));
        let copied = format!("{at}/{theirs}:1");
        assert_eq!(host.inspect(&copied, "{{.Id}}"), id, "{image}");
        assert_eq!(crate::clients::our_digest(host, &copied), digest, "{image}");
        // By digest, and up again, it is the same.
        pull(host, &format!("{at}/{theirs}@{digest}"));
        host.docker(&format!("tag {copied} {at}/again/{number}:1"))
            .ok();
        host.docker(&format!("push {at}/again/{number}:1")).ok();
        assert_eq!(crane.head(&format!("again/{number}"), "1").1, digest);
        host.docker(&format!("rmi {copied} {at}/again/{number}:1"))
            .ok();
    }
}

/// A layer: its archive, and the same packed by gzip.
fn layer(host: &Host, name: &str, text: &str) -> (Vec<u8>, Vec<u8>) {
    let plain = Archive::default().with(Item::file(name, text)).bytes();
    let dir = host.folder("layers");
    let file = dir.join("layer.tar");
    fs::write(&file, &plain).expect("a file");
    kernel::tool_ok(&format!("gzip -nkf {}", file.display()));
    let packed = fs::read(dir.join("layer.tar.gz")).expect("a file");
    (plain, packed)
}

fn what_crane_appends_mutates_and_lists_is_pulled(host: &Host) {
    requires!(Registry::installed(), "docker-registry");
    let registry = Registry::start(host, 5112);
    let at = &registry.address;
    let crane = Crane::of(at);
    push(host, "busybox:latest", &format!("{at}/base:1"));
    let oci = (
        "application/vnd.oci.image.config.v1+json",
        "application/vnd.oci.image.layer.v1.tar+gzip",
    );
    let docker = (crane::DOCKER_CONFIG, crane::DOCKER_LAYER);
    let ways = [
        ("whole", Upload::Whole, crane::OCI_MANIFEST, oci),
        ("streamed", Upload::Streamed, crane::DOCKER_MANIFEST, docker),
        ("pieces", Upload::Pieces(100_000), crane::OCI_MANIFEST, oci),
    ];
    for (tag, way, kind, types) in ways {
        let (plain, packed) = layer(host, "added", tag);
        let change = Change {
            kind,
            types,
            way,
            layer: Some((&plain, &packed)),
            label: Some(("who", tag)),
            unknown: vec![
                ("x-unknown", json!({"deep": [1, null, {"a": "b"}]})),
                ("annotations", json!({"org.example.made": tag})),
            ],
        };
        let made = format!("made/{tag}");
        let digest = crane.change(("base", "1"), (&made, "1"), &change);
        let name = format!("{at}/{made}:1");
        pull(host, &name);
        assert_eq!(crate::clients::our_digest(host, &name), digest);
        assert_eq!(host.inspect(&name, "{{.Config.Labels.who}}"), tag);
        assert_eq!(
            host.docker(&format!("run --rm {name} cat /added")).ok(),
            tag
        );
        // Nothing of what is not known is lost on the way back.
        let again = format!("{at}/again:{tag}");
        host.docker(&format!("tag {name} {again}")).ok();
        host.docker(&format!("push {again}")).ok();
        let (theirs, bytes) = crane.manifest("again", tag);
        assert_eq!((theirs.as_str(), crane::digest(&bytes)), (kind, digest));
        host.docker(&format!("rmi {name} {again}")).ok();
    }
    // An index of what it made, one of another platform, one that is no image.
    for tag in ["whole", "streamed"] {
        crane.copy((&format!("made/{tag}"), "1"), ("all", tag));
    }
    let own = host.docker("version -f '{{.Server.Arch}}'").ok();
    let platforms = [
        ("streamed", json!({"os": "linux", "architecture": "s390x"})),
        (
            "whole",
            json!({"os": "linux", "architecture": own, "os.features": ["x"], "unknown": 1}),
        ),
    ];
    let digest = crane.index("all", "1", &platforms);
    let name = format!("{at}/all:1");
    pull(host, &name);
    assert_eq!(
        host.docker(&format!("run --rm {name} cat /added")).ok(),
        "whole"
    );
    assert_eq!(crate::clients::our_digest(host, &name), digest);
    pull(host, &format!("--platform linux/s390x {name}"));
    host.docker(&format!("tag {name} {at}/all:2")).ok();
    host.docker(&format!("push {at}/all:2")).ok();
    assert_eq!(
        crane.head("all", "2").1,
        digest,
        "both are here and go up as they came"
    );
}

/// What `save` wrote, sent as `crane push FILE` sends it.
fn crane_push(crane: &Crane, file: &Path, repository: &str) -> String {
    let dir = file.with_extension("unpacked");
    fs::create_dir_all(&dir).expect("a directory");
    kernel::tool_ok(&format!("tar -xf {} -C {}", file.display(), dir.display()));
    let read = |name: &str| fs::read(dir.join(name)).expect("a file of the archive");
    let list = crate::clients::json(&String::from_utf8_lossy(&read("manifest.json")));
    let text = |value: &serde_json::Value| value.as_str().expect("a name").to_owned();
    let config = read(&text(&list[0]["Config"]));
    let entry = |kind: &str, bytes: &[u8]| json!({"mediaType": kind, "size": bytes.len(), "digest": crane::digest(bytes)});
    let mut layers = Vec::new();
    for name in list[0]["Layers"].as_array().expect("layers") {
        let bytes = read(&text(name));
        crane.send(repository, &bytes, Upload::Streamed);
        layers.push(entry(crane::DOCKER_LAYER, &bytes));
    }
    crane.send(repository, &config, Upload::Streamed);
    let manifest = json!({"schemaVersion": 2, "mediaType": crane::DOCKER_MANIFEST,
        "config": entry(crane::DOCKER_CONFIG, &config), "layers": layers});
    let bytes = manifest.to_string();
    crane.put(repository, "1", crane::DOCKER_MANIFEST, bytes.as_bytes())
}

/// `crane pull`: an archive whose files are named as crane names them.
fn crane_pull(host: &Host, crane: &Crane, repository: &str, name: &str) -> std::path::PathBuf {
    let (_, bytes) = crane.manifest(repository, "1");
    let manifest = crate::clients::json(&String::from_utf8_lossy(&bytes));
    let digest = |value: &serde_json::Value| value["digest"].as_str().expect("a digest").to_owned();
    let config = digest(&manifest["config"]);
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    files.insert(config.clone(), crane.blob(repository, &config));
    let mut layers = Vec::new();
    for layer in manifest["layers"].as_array().expect("layers") {
        let wanted = digest(layer);
        let file = format!("{}.tar.gz", &wanted["sha256:".len()..]);
        files.insert(file.clone(), crane.blob(repository, &wanted));
        layers.push(file);
    }
    let list = json!([{"Config": config, "RepoTags": [name], "Layers": layers}]);
    files.insert("manifest.json".to_owned(), list.to_string().into_bytes());
    let mut archive = Archive::default();
    for (file, bytes) in files {
        archive = archive.with(Item::file(file, bytes));
    }
    let file = host.folder("archives").join("theirs.tar");
    fs::write(&file, archive.bytes()).expect("an archive");
    file
}

fn archives_of_both_are_read_by_the_other(host: &Host) {
    requires!(Registry::installed(), "docker-registry");
    let registry = Registry::start(host, 5113);
    let at = &registry.address;
    let crane = Crane::of(at);
    host.docker("pull busybox").ok();
    let id = host.inspect("busybox", "{{.Id}}");
    let file = host.folder("archives").join("ours.tar");
    host.docker(&format!("save busybox -o {}", file.display()))
        .ok();
    host.docker("rmi busybox").ok();
    let digest = crane_push(&crane, &file, "pushed");
    let name = format!("{at}/pushed:1");
    pull(host, &name);
    assert_eq!(host.inspect(&name, "{{.Id}}"), id);
    assert_eq!(crate::clients::our_digest(host, &name), digest);
    host.docker(&format!("rmi {name}")).ok();
    let theirs = crane_pull(host, &crane, "pushed", "theirs.example/box:1");
    host.docker(&format!("load -i {}", theirs.display())).ok();
    assert_eq!(host.inspect("theirs.example/box:1", "{{.Id}}"), id);
    assert_eq!(
        host.docker("run --rm theirs.example/box:1 echo ok").ok(),
        "ok"
    );
}

fn lists_of_repositories_and_tags_page_by_page(host: &Host) {
    requires!(Registry::installed(), "docker-registry");
    let registry = Registry::start(host, 5114);
    let at = &registry.address;
    host.docker("pull busybox").ok();
    let names: Vec<String> = (1..=5).map(|n| format!("team/box{n}")).collect();
    for name in &names {
        for tag in ["1", "2"] {
            host.docker(&format!("tag busybox {at}/{name}:{tag}")).ok();
        }
        host.docker(&format!("push -a -q {at}/{name}")).ok();
    }
    let crane = Crane::of(at);
    assert_eq!(
        crane.list("/v2/_catalog", "repositories", 2),
        (names.clone(), 3)
    );
    let (mut tags, _) = crane.list("/v2/team/box1/tags/list", "tags", 1);
    tags.sort();
    assert_eq!(tags, ["1", "2"]);
    let found = host.docker(&format!("search {at}/box")).ok();
    for name in &names {
        assert!(found.contains(name), "{found}");
    }
}
