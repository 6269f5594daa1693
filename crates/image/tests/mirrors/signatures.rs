//! Images that are taken only with a signature, and hostile signatures.

use crate::common::signer::{Signer, bundle, enveloped, payload, statement};
use crate::common::{Answer, FakeServer, Fixture, Root, serve_image, small};
use crate::setup::{FAR, app, faults, mirrored, store};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::registry::config::{HostFiles, PolicyFile};
use image::{Error, RegistryOptions, Silent, Store, signature};
use oci::{Descriptor, Digest, Manifest};
use std::fs;

const PAYLOAD: &str = "application/vnd.dev.cosign.simplesigning.v1+json";

/// A signature as it lies in a registry.
struct Attached {
    payload: Vec<u8>,
    text: Option<String>,
}

impl Attached {
    fn of(signer: &Signer, payload: &str) -> Self {
        Self {
            payload: payload.as_bytes().to_vec(),
            text: Some(STANDARD.encode(signer.sign(payload.as_bytes()))),
        }
    }
}

/// A server with the small image and what is attached to it.
fn serve_signed(attached: Vec<Attached>) -> FakeServer {
    serve_at(small(), Digest::sha256(&small().manifest), attached)
}

fn serve_at(fixture: Fixture, digest: Digest, attached: Vec<Attached>) -> FakeServer {
    let layer = |one: &Attached| {
        let mut layer = Descriptor::of(PAYLOAD, &one.payload);
        let key = "dev.cosignproject.cosign/signature".to_owned();
        layer.annotations.extend(one.text.clone().map(|t| (key, t)));
        layer
    };
    let layers = attached.iter().map(layer).collect();
    let config = Descriptor::of(oci::media_type::OCI_CONFIG, b"{}");
    let manifest = serde_json::to_vec(&Manifest::new(config, layers)).unwrap();
    let tag = format!("/manifests/sha256-{}.sig", digest.hex());
    serve_image(fixture, move |asked, _, answer| {
        let of = |one: &&Attached| asked.path.ends_with(Digest::sha256(&one.payload).hex());
        if asked.path.ends_with(&tag) && !attached.is_empty() {
            Answer::new(200, manifest.clone())
        } else if asked.path.ends_with(".sig") {
            Answer::new(404, "")
        } else {
            match attached.iter().find(of) {
                Some(one) => Answer::new(200, one.payload.clone()),
                None => answer,
            }
        }
    })
}

/// A store whose policy asks for `requirement` of the images of all registries.
fn store_with(root: &Root, requirement: &str, options: RegistryOptions) -> Store {
    let policy = root.path("policy.json");
    let text = format!(
        r#"{{"default":[{{"type":"reject"}}],"transports":{{"docker":{{"":[{requirement}]}}}}}}"#
    );
    fs::write(&policy, text).unwrap();
    let files = HostFiles {
        policy: PolicyFile::IfThere(policy),
        ..options.files
    };
    store(root, RegistryOptions { files, ..options })
}

fn by_key(root: &Root, signer: &Signer) -> String {
    let key = root.path("key.pub");
    fs::write(&key, signer.public_pem()).unwrap();
    format!(
        r#"{{"type":"sigstoreSigned","keyPath":"{}","signedIdentity":{{"type":"matchRepository"}}}}"#,
        key.display()
    )
}

fn refused(store: &Store, server: &FakeServer) -> String {
    let error = store.pull(&app(server), None, &Silent).unwrap_err();
    assert!(matches!(error, Error::Signature(_)), "{error}");
    assert!(store.list().unwrap().is_empty());
    let blobs = server.count(|a| {
        let is_blob = a.path.contains("/blobs/");
        let image = small();
        is_blob && image.blobs.keys().any(|d| a.path.ends_with(d.hex()))
    });
    assert_eq!(blobs, 0, "nothing of the image is fetched");
    error.to_string()
}

#[test]
fn a_signature_by_the_key_over_the_name_and_digest_is_what_counts() {
    let (signer, other) = (Signer::new(), Signer::new());
    let digest = Digest::sha256(&small().manifest);
    let elsewhere = Digest::sha256(b"another image");
    let here = "127.0.0.1/app"; // the port is the server's, put in below
    let good = payload(&digest, here);
    let with = |text: Option<&str>, payload: &str| Attached {
        payload: payload.as_bytes().to_vec(),
        text: text.map(str::to_owned),
    };
    let cases: Vec<(&str, Attached)> = vec![
        ("not by the policy's key", Attached::of(&other, &good)),
        (
            "other content",
            Attached::of(&signer, &payload(&elsewhere, here)),
        ),
        (
            "of the name \"127.0.0.1/else\"",
            Attached::of(&signer, &payload(&digest, "127.0.0.1/else")),
        ),
        ("cannot be read", Attached::of(&signer, "{\"critical\":")),
        (
            "another type",
            Attached::of(&signer, &good.replace("cosign", "other")),
        ),
        ("not base64", with(Some("&&&"), &good)),
        ("no signature among", with(None, &good)),
        ("not by the policy's key", with(Some("MEUCIQ=="), &good)),
        ("not by the policy's key", with(Some(""), &good)),
        (
            "not by the policy's key",
            with(Some(&STANDARD.encode([0x30, 0x84, 0xff, 0xff])), &good),
        ),
    ];
    for (said, attached) in cases {
        let server = serve_signed(vec![attached]);
        let root = Root::new();
        let text = refused(
            &store_with(&root, &by_key(&root, &signer), RegistryOptions::default()),
            &server,
        );
        assert!(text.contains(said), "{said}: {text}");
    }
    let server = serve_signed(Vec::new());
    let root = Root::new();
    let store = store_with(&root, &by_key(&root, &signer), RegistryOptions::default());
    let text = refused(&store, &server);
    assert!(text.contains("has none") && text.contains(".sig"), "{text}");
}

/// A server whose image is signed under the server's own name, with `signer`.
fn signed_by(signer: &Signer) -> FakeServer {
    // The name has the port in it, which is known only once the server is there: any name will do for exactRepository.
    let digest = Digest::sha256(&small().manifest);
    let stray = Attached::of(&Signer::new(), &payload(&digest, "signed.example/app"));
    let right = Attached::of(signer, &payload(&digest, "signed.example/app"));
    serve_signed(vec![stray, right])
}

fn as_signed(requirement: &str) -> String {
    requirement.replace(
        r#"{"type":"matchRepository"}"#,
        r#"{"type":"exactRepository","dockerRepository":"signed.example/app"}"#,
    )
}

#[test]
fn one_good_signature_among_others_is_enough_and_all_demands_must_be_met() {
    let (signer, other) = (Signer::new(), Signer::new());
    let server = signed_by(&signer);
    let root = Root::new();
    let one = as_signed(&by_key(&root, &signer));
    let store = store_with(&root, &one, RegistryOptions::default());
    store.pull(&app(&server), None, &Silent).unwrap();
    assert_eq!(faults(&store), []);
    let data = STANDARD.encode(other.public_pem());
    let by_data = |data: &str| format!(r#"{{"type":"sigstoreSigned","keyData":"{data}"}}"#);
    let server = signed_by(&signer);
    let root = Root::new();
    let both = format!("{},{}", as_signed(&by_key(&root, &signer)), by_data(&data));
    refused(
        &store_with(&root, &both, RegistryOptions::default()),
        &server,
    );
    let server = signed_by(&signer);
    let text = store_with(&root, &by_data("bm8ga2V5"), RegistryOptions::default())
        .pull(&app(&server), None, &Silent)
        .unwrap_err();
    assert!(text.to_string().contains("keyData"), "{text}");
    assert_eq!(
        server.count(|_| true),
        0,
        "a bad key is told before anybody is asked"
    );
}

#[test]
fn what_is_rejected_or_not_known_is_refused_before_anybody_is_asked() {
    for (requirement, said) in [
        (r#"{"type":"reject"}"#, "rejects it"),
        (
            r#"{"type":"signedBy","keyType":"GPGKeys","keyPath":"/k"}"#,
            "signedBy",
        ),
        (
            r#"{"type":"sigstoreSigned","fulcio":{"caPath":"/c"}}"#,
            "fulcio",
        ),
        (
            r#"{"type":"sigstoreSigned","keyPath":"/nonexistent"}"#,
            "/nonexistent",
        ),
        (r#"{"type":"sigstoreSigned"}"#, "policy.json"),
    ] {
        let server = signed_by(&Signer::new());
        let root = Root::new();
        let store = store_with(&root, requirement, RegistryOptions::default());
        let text = refused(&store, &server);
        assert!(text.contains(said), "{requirement}: {text}");
        assert_eq!(server.count(|_| true), 0);
    }
    let server = signed_by(&Signer::new());
    let root = Root::new();
    let named = |policy| RegistryOptions {
        files: HostFiles {
            policy,
            ..HostFiles::default()
        },
        ..RegistryOptions::default()
    };
    let nowhere = root.path("nowhere.json");
    let text = refused(
        &store(&root, named(PolicyFile::Named(nowhere.clone()))),
        &server,
    );
    assert!(text.contains("nowhere.json"), "{text}");
    store(&root, named(PolicyFile::IfThere(nowhere)))
        .pull(&app(&server), None, &Silent)
        .expect("without a policy everything is taken");
}

#[test]
fn a_mirror_without_the_signature_is_passed_over() {
    let signer = Signer::new();
    let (without, with) = (serve_signed(Vec::new()), signed_by(&signer));
    let root = Root::new();
    let options = mirrored(FAR, &[without.url(), with.url()]);
    let store = store_with(&root, &as_signed(&by_key(&root, &signer)), options);
    let name = format!("{FAR}/team/app").parse().unwrap();
    store.pull(&name, None, &Silent).unwrap();
    assert!(without.count(|a| a.path.ends_with(".sig")) > 0);
    assert_eq!(without.count(|a| a.path.contains("/blobs/")), 0);
}

#[test]
fn a_signed_index_vouches_for_the_manifest_it_names() {
    let signer = Signer::new();
    let mut child = small().descriptor();
    child.platform = Some(oci::Platform::host());
    let index = oci::Index {
        manifests: vec![child],
        ..oci::Index::default()
    };
    let index = serde_json::to_vec(&index).unwrap();
    let digest = Digest::sha256(&index);
    let one = Attached::of(&signer, &payload(&digest, "signed.example/app"));
    let inner = serve_at(small(), digest.clone(), vec![one]);
    let to = inner.port;
    // The same server, but the tag is the index.
    let server = serve_index(to, index, digest);
    let root = Root::new();
    let store = store_with(
        &root,
        &as_signed(&by_key(&root, &signer)),
        RegistryOptions::default(),
    );
    store.pull(&app(&server), None, &Silent).unwrap();
}

/// Answers for the index, and sends on to `port` for the rest.
fn serve_index(port: u16, index: Vec<u8>, digest: Digest) -> FakeServer {
    FakeServer::start(move |asked| {
        let is_index =
            asked.path.ends_with("/manifests/latest") || asked.path.ends_with(digest.hex());
        match is_index {
            true => Answer::new(200, index.clone())
                .header("Content-Type", oci::media_type::OCI_INDEX)
                .header("Docker-Content-Digest", digest.to_string()),
            false => Answer::new(307, "")
                .header("Location", format!("http://127.0.0.1:{port}{}", asked.path)),
        }
    })
}

#[test]
fn images_of_directories_and_archives_are_taken_where_the_policy_says_so() {
    let root = Root::new();
    small().write_layout(&root.path("images"), "docker.io/library/small:1");
    let name = "small:1".parse().unwrap();
    for (scopes, taken) in [
        (
            r#""oci":{"":[{"type":"insecureAcceptAnything"}]}"#.to_owned(),
            true,
        ),
        (
            format!(
                r#""oci":{{"{}":[{{"type":"insecureAcceptAnything"}}]}}"#,
                root.dir.path().display()
            ),
            true,
        ),
        (
            r#""oci":{"/elsewhere":[{"type":"insecureAcceptAnything"}]}"#.to_owned(),
            false,
        ),
        (
            r#""oci":{"":[{"type":"sigstoreSigned","keyPath":"/k"}]}"#.to_owned(),
            false,
        ),
    ] {
        let here = Root::new();
        let policy = here.path("policy.json");
        let text = format!(r#"{{"default":[{{"type":"reject"}}],"transports":{{{scopes}}}}}"#);
        fs::write(&policy, text).unwrap();
        let registries = RegistryOptions {
            offline: true,
            files: HostFiles {
                policy: PolicyFile::IfThere(policy),
                ..HostFiles::default()
            },
            ..RegistryOptions::default()
        };
        let store = here.store_with(image::StoreOptions {
            image_dirs: vec![root.path("images")],
            registries,
            ..Default::default()
        });
        assert_eq!(store.pull(&name, None, &Silent).is_ok(), taken, "{scopes}");
        if !taken {
            continue;
        }
        // What is saved here is an archive like any other.
        let mut archive = Vec::new();
        store.save(&["small:1"], &mut archive).unwrap();
        let error = store.load(&archive[..], None, &Silent).unwrap_err();
        assert!(error.to_string().contains("docker-archive"), "{error}");
    }
}

#[test]
fn rubbish_is_no_policy_payload_or_key() {
    for text in ["", "{}", "[]", "null", "{\"default\":{}}"] {
        assert!(signature::check_policy(text).is_err(), "{text}");
        assert!(signature::check_payload(text.as_bytes()).is_err(), "{text}");
        assert!(signature::check_key(text.as_bytes()).is_err(), "{text}");
    }
}

const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// A server with the small image and bundles that refer to it, as a registry lists them.
fn serve_bundles(bundles: Vec<String>) -> FakeServer {
    let subject = Digest::sha256(&small().manifest);
    let config = Descriptor::of("application/vnd.oci.empty.v1+json", b"{}");
    let mut list = oci::Index::default();
    let mut files = Vec::new();
    for bundle in bundles {
        let layer = Descriptor::of(BUNDLE, bundle.as_bytes());
        let manifest = serde_json::to_vec(&Manifest::new(config.clone(), vec![layer])).unwrap();
        let mut entry = Descriptor::of(oci::media_type::OCI_MANIFEST, &manifest);
        entry.other.insert("artifactType".into(), BUNDLE.into());
        list.manifests.push(entry);
        files.push((Digest::sha256(bundle.as_bytes()), bundle.into_bytes()));
        files.push((Digest::sha256(&manifest), manifest));
    }
    let listed = serde_json::to_vec(&list).unwrap();
    serve_image(small(), move |asked, _, answer| {
        let of = |(digest, _): &&(Digest, Vec<u8>)| asked.path.ends_with(digest.hex());
        if asked.path.ends_with(&format!("/referrers/{subject}")) {
            Answer::new(200, listed.clone())
        } else if asked.path.ends_with(".sig") {
            Answer::new(404, "")
        } else {
            match files.iter().find(of) {
                Some((_, bytes)) => Answer::new(200, bytes.clone()),
                None => answer,
            }
        }
    })
}

#[test]
fn a_bundle_by_the_key_counts_for_the_digest_that_was_asked_for() {
    let (signer, other) = (Signer::new(), Signer::new());
    let digest = Digest::sha256(&small().manifest);
    let by = |signer: &Signer, text: &str| bundle(text, &signer.sign(enveloped(text).as_bytes()));
    let good = statement(&digest);
    let pull = |bundles: Vec<String>, by_digest: bool| {
        let server = serve_bundles(bundles);
        let root = Root::new();
        let store = store_with(&root, &by_key(&root, &signer), RegistryOptions::default());
        let name = match by_digest {
            true => app(&server).with_digest(digest.clone()),
            false => app(&server),
        };
        let pulled = store.pull(&name, None, &Silent);
        pulled.map(drop).map_err(|e| e.to_string())
    };
    let stray = by(&other, &good);
    assert_eq!(pull(vec![stray.clone(), by(&signer, &good)], true), Ok(()));
    let said = pull(vec![by(&signer, &good)], false).unwrap_err();
    assert!(said.contains("by digest"), "{said}");
    let elsewhere = statement(&Digest::sha256(b"another image"));
    let provenance = good.replace("sigstore.dev/cosign/sign/v1", "slsa.dev/provenance/v1");
    let plain = bundle(&good, &signer.sign(good.as_bytes()));
    for (said, bad) in [
        ("not by the policy's key", stray),
        ("not by the policy's key", plain),
        ("other content", by(&signer, &elsewhere)),
        ("it is no signature", by(&signer, &provenance)),
        ("cannot be read", "{".to_owned()),
    ] {
        let text = pull(vec![bad], true).unwrap_err();
        assert!(text.contains(said), "{said}: {text}");
    }
    assert!(pull(Vec::new(), true).unwrap_err().contains("no bundle"));
}

#[test]
fn attachments_that_the_host_switched_off_do_not_count() {
    let signer = Signer::new();
    let server = signed_by(&signer);
    let root = Root::new();
    let files = root.path("registries.d");
    fs::create_dir(&files).unwrap();
    let text = "default-docker:\n  use-sigstore-attachments: false\n";
    fs::write(files.join("default.yaml"), text).unwrap();
    let options = RegistryOptions {
        files: HostFiles {
            registries_d: Some(files.clone()),
            ..HostFiles::default()
        },
        ..RegistryOptions::default()
    };
    let store = store_with(&root, &as_signed(&by_key(&root, &signer)), options);
    let said = refused(&store, &server);
    assert!(said.contains("default.yaml"), "{said}");
    fs::write(files.join("default.yaml"), text.replace("false", "true")).unwrap();
    store.pull(&app(&server), None, &Silent).unwrap();
}
