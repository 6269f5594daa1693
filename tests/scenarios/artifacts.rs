//! What lies in a registry beside images and under their names: all tags, artifacts, what refers to an image, signatures.

use crate::clients::{has, our_digest, tool};
use serde_json::Value;
use std::fs;
use std::path::Path;
use testkit::{Call, Host, Registry, kernel, requires, scenarios};

scenarios!(
    all_tags_of_a_repository,
    artifacts_and_what_refers_to_an_image,
    signatures_by_the_host_s_policy,
);

fn all_tags_of_a_repository(host: &Host) {
    requires!(Registry::installed(), "docker-registry");
    let registry = Registry::start(host, 5073);
    let at = &registry.address;
    host.docker("pull busybox").ok();
    for tag in ["1", "2", "three"] {
        host.docker(&format!("tag busybox {at}/box:{tag}")).ok();
    }
    host.docker(&format!("push -a {at}/box")).ok();
    host.docker(&format!("rmi {at}/box:1 {at}/box:2 {at}/box:three busybox"))
        .ok();
    host.docker(&format!("pull -a {at}/box"))
        .env("DOCKLESS_IMAGE_DIR", "")
        .ok();
    for tag in ["1", "2", "three"] {
        host.docker(&format!("image inspect {at}/box:{tag}")).ok();
    }
    host.docker(&format!("pull -a {at}/box:1"))
        .fails(1)
        .says(&["tag can't be used with --all-tags/-a"]);
    host.docker(&format!("pull -a {at}/nothing")).fails(1);
}

/// One more blob of a layout that is being made: its descriptor.
fn put(dir: &Path, layout: &mut Vec<(String, Vec<u8>)>, bytes: &[u8]) -> Value {
    let file = dir.join("blob");
    fs::write(&file, bytes).expect("a file");
    let sum = kernel::tool_ok(&format!("sha256sum {}", file.display()));
    let hex = sum.split(' ').next().unwrap_or_default().to_owned();
    layout.push((hex.clone(), bytes.to_vec()));
    serde_json::json!({"digest": format!("sha256:{hex}"), "size": bytes.len()})
}

/// Writes a layout of one manifest, and copies it to a registry.
fn publish(host: &Host, name: &str, manifest: &Value, mut blobs: Vec<(String, Vec<u8>)>) -> Value {
    let dir = host.folder("artifact");
    let layout = dir.join(name.replace(['/', ':'], "-"));
    fs::create_dir_all(layout.join("blobs/sha256")).expect("a directory");
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let mut entry = put(&dir, &mut blobs, manifest.to_string().as_bytes());
    entry["mediaType"] = kind.into();
    for (hex, bytes) in blobs {
        fs::write(layout.join("blobs/sha256").join(hex), bytes).expect("a blob");
    }
    let index = serde_json::json!({"schemaVersion": 2, "manifests": [entry]});
    fs::write(layout.join("index.json"), index.to_string()).expect("index.json");
    fs::write(
        layout.join("oci-layout"),
        r#"{"imageLayoutVersion":"1.0.0"}"#,
    )
    .expect("oci-layout");
    tool(
        host,
        &format!(
            "skopeo copy -q --dest-tls-verify=false oci:{} docker://{name}",
            layout.display()
        ),
    );
    entry
}

fn artifacts_and_what_refers_to_an_image(host: &Host) {
    requires!(has("skopeo"), "skopeo");
    requires!(Registry::installed(), "docker-registry");
    let registry = Registry::start(host, 5074);
    let at = &registry.address;
    let dir = host.folder("artifact");
    let artifact = |title: &str| {
        let mut blobs = Vec::new();
        let mut config = put(&dir, &mut blobs, b"{}");
        config["mediaType"] = "application/vnd.example.config.v1+json".into();
        let mut file = put(&dir, &mut blobs, b"some content");
        file["mediaType"] = "text/plain".into();
        file["annotations"] = serde_json::json!({"org.opencontainers.image.title": title});
        let manifest = serde_json::json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": config, "layers": [file]});
        (manifest, blobs)
    };
    let (manifest, blobs) = artifact("notes.txt");
    publish(host, &format!("{at}/notes:1"), &manifest, blobs);
    let out = host.folder("out");
    host.dockless(&format!("artifact pull -o {} {at}/notes:1", out.display()))
        .ok();
    assert_eq!(
        fs::read_to_string(out.join("notes.txt")).expect("the file"),
        "some content"
    );
    assert_eq!(host.docker("images -q").ok(), "");
    let kept = kernel::files_below(&host.data_root().join("images/blobs/sha256"));
    assert!(kept.is_empty(), "{kept:?}");
    let (manifest, blobs) = artifact("../escaped");
    publish(host, &format!("{at}/bad:1"), &manifest, blobs);
    host.dockless(&format!("artifact pull -o {} {at}/bad:1", out.display()))
        .fails(1)
        .says(&["escaped", "no plain file name"]);
    assert!(!out.parent().expect("a directory").join("escaped").exists());
    host.docker("pull busybox").ok();
    host.docker(&format!("tag busybox {at}/box:1")).ok();
    host.docker(&format!("push {at}/box:1")).ok();
    let none = host.dockless(&format!("artifact discover {at}/box:1")).ok();
    assert!(!none.contains("sha256:"), "{none}");
    refer_to(host, at);
}

/// This registry keeps no list: it lies under a tag, as who pushes has put it.
fn refer_to(host: &Host, at: &str) {
    let subject = our_digest(host, &format!("{at}/box:1"));
    let referrer = format!("sha256:{}", "5".repeat(64));
    let list = serde_json::json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [{"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": referrer, "size": 7,
            "artifactType": "application/spdx+json"}]});
    let file = host.folder("artifact").join("list.json");
    fs::write(&file, list.to_string()).expect("a file");
    // The list alone is what is asked for: it is put where the registry keeps its tags.
    let digest = subject.replace(':', "-");
    let storage = host
        .folder(&format!("registry-{}", at.replace(':', "-")))
        .join("storage/docker/registry/v2");
    let sum = kernel::tool_ok(&format!("sha256sum {}", file.display()));
    let hex = sum.split(' ').next().unwrap_or_default().to_owned();
    let blob = storage.join(format!("blobs/sha256/{}/{hex}", &hex[..2]));
    let manifests = storage.join("repositories/box/_manifests");
    let links = [
        manifests.join(format!("revisions/sha256/{hex}")),
        manifests.join(format!("tags/{digest}/current")),
    ];
    fs::create_dir_all(&blob).expect("a directory");
    fs::copy(&file, blob.join("data")).expect("a copy");
    for link in links {
        fs::create_dir_all(&link).expect("a directory");
        fs::write(link.join("link"), format!("sha256:{hex}")).expect("a link");
    }
    let found = host.dockless(&format!("artifact discover {at}/box:1")).ok();
    assert!(
        found.contains(&referrer) && found.contains("application/spdx+json"),
        "{found}"
    );
    let other = host
        .dockless(&format!(
            "artifact discover --artifact-type text/plain {at}/box:1"
        ))
        .ok();
    assert!(!other.contains(&referrer), "{other}");
}

/// `{"critical":…}` over a digest, signed by openssl, laid where cosign lays it.
fn sign(host: &Host, key: &Path, name: &str, repository: &str, digest: &str) {
    let dir = host.folder("artifact");
    let payload = format!(
        r#"{{"critical":{{"identity":{{"docker-reference":"{name}"}},"image":{{"docker-manifest-digest":"{digest}"}},"type":"cosign container image signature"}},"optional":null}}"#
    );
    let file = dir.join("payload");
    fs::write(&file, &payload).expect("a file");
    let signature = kernel::tool_ok(&format!(
        "sh -c 'openssl dgst -sha256 -sign {} {} | base64 -w0'",
        key.display(),
        file.display()
    ));
    let mut blobs = Vec::new();
    let mut config = put(&dir, &mut blobs, b"{}");
    config["mediaType"] = "application/vnd.oci.image.config.v1+json".into();
    let mut layer = put(&dir, &mut blobs, payload.as_bytes());
    layer["mediaType"] = "application/vnd.dev.cosign.simplesigning.v1+json".into();
    layer["annotations"] = serde_json::json!({"dev.cosignproject.cosign/signature": signature});
    let manifest = serde_json::json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config, "layers": [layer]});
    let tag = format!("{repository}:{}.sig", digest.replace(':', "-"));
    publish(host, &tag, &manifest, blobs);
}

/// The same policy for skopeo and for us: what one takes the other takes, what one refuses the other refuses.
fn signatures_by_the_host_s_policy(host: &Host) {
    requires!(has("skopeo"), "skopeo");
    requires!(has("openssl"), "openssl");
    requires!(Registry::installed(), "docker-registry");
    let registry = Registry::start(host, 5075);
    let at = &registry.address;
    let home = host.folder("home");
    let keys = host.folder("keys");
    let key = |name: &str| {
        let path = keys.join(name);
        let (private, public) = (path.with_extension("key"), path.with_extension("pub"));
        kernel::tool_ok(&format!(
            "openssl ecparam -name prime256v1 -genkey -noout -out {}",
            private.display()
        ));
        kernel::tool_ok(&format!(
            "openssl ec -in {} -pubout -out {}",
            private.display(),
            public.display()
        ));
        (private, public)
    };
    let ((mine, public), (other, _)) = (key("mine"), key("other"));
    host.docker("pull busybox").ok();
    for name in ["signed", "unsigned", "forged", "moved"] {
        host.docker(&format!("tag busybox {at}/{name}:1")).ok();
        host.docker(&format!("push {at}/{name}:1")).ok();
    }
    let manifest = our_digest(host, &format!("{at}/signed:1"));
    sign(
        host,
        &mine,
        &format!("{at}/signed:1"),
        &format!("{at}/signed"),
        &manifest,
    );
    sign(
        host,
        &other,
        &format!("{at}/forged:1"),
        &format!("{at}/forged"),
        &manifest,
    );
    sign(
        host,
        &mine,
        &format!("{at}/signed:1"),
        &format!("{at}/moved"),
        &manifest,
    );
    let policy = home.join("containers/policy.json");
    fs::create_dir_all(home.join("containers")).expect("a directory");
    let text = format!(
        r#"{{"default":[{{"type":"reject"}}],"transports":{{"docker":{{"{at}":[{{"type":"sigstoreSigned","keyPath":"{}"}}],
            "{at}/free":[{{"type":"insecureAcceptAnything"}}]}},"oci":{{"":[{{"type":"insecureAcceptAnything"}}]}}}}}}"#,
        public.display()
    );
    fs::write(&policy, text).expect("a policy");
    let attachments = host.folder("registries.d");
    fs::write(
        attachments.join("all.yaml"),
        "default-docker:\n  use-sigstore-attachments: true\n",
    )
    .expect("a file");
    for name in ["signed", "unsigned", "forged", "moved"] {
        host.docker(&format!("rmi {at}/{name}:1")).ok();
    }
    host.docker("rmi busybox").ok();
    let pull = |name: &str| {
        host.docker(&format!("pull {at}/{name}"))
            .env("DOCKLESS_IMAGE_DIR", "")
            .env("XDG_CONFIG_HOME", &home)
    };
    let theirs = |name: &str| {
        let out = host.folder("theirs").join(name.replace(['/', ':'], "-"));
        let words = format!(
            "--policy {} --registries.d {} copy -q --remove-signatures --src-tls-verify=false docker://{at}/{name} oci:{}",
            policy.display(),
            attachments.display(),
            out.display()
        );
        Call::tool(Path::new("/usr/bin/skopeo"), &words).run()
    };
    for (name, taken, said) in [
        ("signed:1", true, ""),
        ("unsigned:1", false, "has none"),
        ("forged:1", false, "not by the policy's key"),
        ("moved:1", false, "of the name"),
    ] {
        if taken {
            pull(name).ok();
        } else {
            pull(name).fails(1).says(&[said, "policy.json"]);
            let blobs = kernel::files_below(&host.data_root().join("images/ingest"));
            assert!(blobs.is_empty(), "{blobs:?}");
        }
        let theirs = theirs(name);
        // Debian builds it without.
        if !theirs.stderr.contains("sigstore disabled") {
            assert_eq!(theirs.code == 0, taken, "{theirs}");
        }
    }
    host.docker("pull busybox")
        .env("XDG_CONFIG_HOME", &home)
        .ok();
    host.docker("pull docker.io/library/other")
        .env("DOCKLESS_IMAGE_DIR", "")
        .env("XDG_CONFIG_HOME", &home)
        .fails(1)
        .says(&["rejects it", "default"]);
}
