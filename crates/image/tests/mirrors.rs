//! Mirrors of any registry, from the files other engines are configured by: who is asked in which order, and what happens when one is
//! down, lacks something, lies or breaks off.
#![allow(clippy::disallowed_methods)] // the common module starts programs

mod common;

use common::{
    Answer, FakeServer, Fixture, Recorder, Root, noise, read_file, serve_image, small, tar_of,
};
use image::registry::config::{HostFiles, Mirror, Rule};
use image::{Error, RegistryOptions, Silent, Store, StoreOptions};
use oci::Digest;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// A registry nobody answers for: whoever is asked for its images is asked through a file.
const FAR: &str = "registry.invalid";

fn store(root: &Root, registries: RegistryOptions) -> Store {
    // No name server: names that are not in the files are unknown at once.
    let hosts = root.path("hosts");
    fs::write(&hosts, "127.0.0.1 localhost\n192.0.2.1 registry.invalid\n").unwrap();
    let registries = RegistryOptions {
        resolver: image::registry::resolver::ResolverFiles {
            hosts,
            resolv_conf: "/nonexistent".into(),
        },
        ..registries
    };
    root.store_with(StoreOptions {
        registries,
        ..Default::default()
    })
}

fn mirrored(prefix: &str, locations: &[String]) -> RegistryOptions {
    let mirror = |location: &String| Mirror {
        location: location.clone(),
        ..Mirror::default()
    };
    RegistryOptions {
        rules: vec![Rule {
            prefix: prefix.into(),
            mirrors: locations.iter().map(mirror).collect(),
            ..Rule::default()
        }],
        ..RegistryOptions::default()
    }
}

fn name(tag: &str) -> oci::Reference {
    format!("{FAR}/team/app:{tag}").parse().unwrap()
}

fn large() -> Fixture {
    Fixture::new(&[tar_of(&[("data", &noise(1 << 20, 7))])])
}

/// A port nobody listens on.
fn closed() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

#[test]
fn registries_conf_and_hosts_toml_lead_to_mirrors_of_any_registry() {
    let server = serve_image(small(), |_, _, answer| answer);
    let root = Root::new();
    let conf = root.path("registries.conf");
    fs::write(
        &conf,
        format!(
            "[[registry]]\nprefix = \"{FAR}\"\n[[registry.mirror]]\nlocation = \"{}/project\"\n",
            server.host()
        ),
    )
    .unwrap();
    let hosts_dir = root.path("certs.d");
    fs::create_dir_all(hosts_dir.join("other.invalid")).unwrap();
    fs::write(
        hosts_dir.join("other.invalid/hosts.toml"),
        format!(
            "server = \"https://other.invalid\"\n[host.\"http://{}/v2/nexus\"]\ncapabilities = [\"pull\", \"resolve\"]\n\
             override_path = true\n[host.\"http://{}/v2/nexus\".header]\nx-key = \"k\"\n",
            server.host(),
            server.host()
        ),
    )
    .unwrap();
    let store = store(
        &root,
        RegistryOptions {
            files: HostFiles {
                registries_conf: Some(conf),
                hosts_dirs: vec![hosts_dir],
                ..HostFiles::default()
            },
            ..RegistryOptions::default()
        },
    );
    let image = store.pull(&name("latest"), None, &Silent).unwrap().image;
    assert_eq!(
        image.repo_tags(),
        [format!("{FAR}/team/app:latest")],
        "the name stays the user's"
    );
    assert!(server.count(|a| a.path.starts_with("/v2/project/team/app/blobs/")) >= 3);
    let other = "other.invalid/x/y".parse().unwrap();
    let hub = server.count(|_| true);
    assert_eq!(
        store.pull(&other, None, &Silent).unwrap().image.id,
        image.id
    );
    let asked = server.asked.lock().unwrap().split_off(hub);
    assert!(
        asked
            .iter()
            .any(|a| a.path == "/v2/nexus/x/y/manifests/latest?ns=other%2Einvalid"),
        "{asked:?}"
    );
    assert!(
        asked
            .iter()
            .all(|a| a.headers.get("x-key").is_some_and(|v| v == "k"))
    );
}

#[test]
fn a_mirror_that_is_down_is_passed_over_and_asked_last_for_a_while() {
    let server = serve_image(small(), |_, _, answer| answer);
    let down = Arc::new(AtomicBool::new(true));
    let flag = down.clone();
    let first = serve_image(small(), move |_, _, answer| {
        match flag.load(Ordering::SeqCst) {
            true => Answer::new(503, "").header("Retry-After", "0"),
            false => answer,
        }
    });
    let root = Root::new();
    let options = mirrored(
        FAR,
        &[
            format!("http://{}", first.host()),
            format!("http://{}", server.host()),
        ],
    );
    let store = store(&root, options);
    store.pull(&name("latest"), None, &Silent).unwrap();
    let tried = first.count(|_| true);
    assert!(tried > 0 && server.count(|_| true) > 0);
    down.store(false, Ordering::SeqCst);
    store.pull(&name("latest"), None, &Silent).unwrap();
    assert_eq!(first.count(|_| true), tried, "remembered as down");
    // The memory is a file per host in the run root: what it says is over, or it goes.
    fs::remove_dir_all(root.path("run/registries")).unwrap();
    let second = server.count(|_| true);
    store.pull(&name("latest"), None, &Silent).unwrap();
    assert_eq!(server.count(|_| true), second);
    assert!(first.count(|_| true) > tried);
}

#[test]
fn an_error_tells_every_place_and_what_it_said() {
    let without = serve_image(small(), |_, _, _| {
        Answer::new(404, r#"{"errors":[{"code":"MANIFEST_UNKNOWN"}]}"#)
    });
    let shut = serve_image(small(), |_, _, _| Answer::new(403, ""));
    let nobody = closed();
    let root = Root::new();
    let locations = [&without.host(), &shut.host(), &nobody].map(|host| format!("http://{host}"));
    let text = store(
        &root,
        RegistryOptions {
            offline: false,
            ..mirrored("127.0.0.1:1", &locations)
        },
    )
    .pull(&"127.0.0.1:1/x".parse().unwrap(), None, &Silent)
    .unwrap_err()
    .to_string();
    for said in [
        &format!("mirror http://{}: manifest for", without.host()),
        &format!("mirror http://{}: pull access denied", shut.host()),
        &format!("mirror http://{nobody}: dial tcp {nobody}: connect: connection refused"),
        "registry 127.0.0.1:1: dial tcp",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
}

#[test]
fn what_a_mirror_lacks_or_breaks_off_comes_from_the_next_one() {
    let fixture = large();
    let layer = fixture.layers[0].digest.clone();
    let watched = layer.clone();
    // It has the manifest and the first half of the layer, and dies.
    let broken = serve_image(large(), move |asked, _, answer| {
        match asked.path.contains(watched.hex()) && asked.path.contains("/blobs/") {
            true if asked.offset() == 0 => answer.cut(1 << 19),
            true => Answer::new(500, "").header("Retry-After", "0"),
            false => answer,
        }
    });
    let whole = serve_image(fixture, |_, _, answer| answer);
    let root = Root::new();
    let options = mirrored(
        FAR,
        &[
            format!("http://{}", broken.host()),
            format!("http://{}", whole.host()),
        ],
    );
    let store = store(&root, options);
    store.pull(&name("latest"), None, &Silent).unwrap();
    let offsets: Vec<usize> = whole
        .asked
        .lock()
        .unwrap()
        .iter()
        .filter(|a| a.path.contains(layer.hex()))
        .map(|a| a.offset())
        .collect();
    assert_eq!(offsets.len(), 1, "{offsets:?}");
    assert!(offsets[0] > 0, "the first half came from the mirror");
    assert_eq!(
        store
            .check(image::Depth::Contents, &image::Silent)
            .unwrap()
            .faults,
        []
    );
}

#[test]
fn a_connection_cut_anywhere_is_taken_up_there_in_this_pull_or_the_next() {
    let fixture = large();
    let (layer, size) = (
        fixture.layers[0].digest.clone(),
        fixture.layers[0].size as usize,
    );
    let cuts = Arc::new(AtomicUsize::new(0));
    let (watched, counter) = (layer.clone(), cuts.clone());
    let server = serve_image(fixture, move |asked, _, answer| {
        if !asked.path.contains(watched.hex()) || !asked.path.contains("/blobs/") {
            return answer;
        }
        // Anywhere, the same every time.
        let number = counter.fetch_add(1, Ordering::SeqCst);
        let left = size - asked.offset();
        match number {
            0..=8 => answer.cut((number * 7919 + 1) * 65_537 % left.max(1)),
            _ => answer,
        }
    });
    let root = Root::new();
    let named: oci::Reference = format!("{}/app", server.host()).parse().unwrap();
    // A pull that gives up leaves the part for the next one.
    for _ in 0..9 {
        if store(&root, RegistryOptions::default())
            .pull(&named, None, &Silent)
            .is_ok()
        {
            break;
        }
    }
    let store = store(&root, RegistryOptions::default());
    assert!(store.find(&named.to_string()).is_ok());
    assert!(cuts.load(Ordering::SeqCst) > 9);
    let offsets: Vec<usize> = server
        .asked
        .lock()
        .unwrap()
        .iter()
        .filter(|a| a.path.contains("/blobs/") && a.path.contains(layer.hex()))
        .map(|a| a.offset())
        .collect();
    assert!(offsets.is_sorted(), "nothing is fetched twice: {offsets:?}");
    assert_eq!(
        store
            .check(image::Depth::Contents, &image::Silent)
            .unwrap()
            .faults,
        []
    );
}

#[test]
fn a_mirror_that_lies_is_not_believed_and_the_next_one_is_asked() {
    let fixture = small();
    let (layer, config) = (
        fixture.layers[0].digest.clone(),
        fixture.config.digest.clone(),
    );
    let liar = serve_image(small(), move |asked, _, mut answer| {
        let lies = [&layer, &config]
            .iter()
            .any(|d| asked.path.ends_with(d.hex()))
            && asked.path.contains("/blobs/");
        if lies && let Some(byte) = answer.body.last_mut() {
            *byte ^= 1;
        }
        answer
    });
    let honest = serve_image(fixture, |_, _, answer| answer);
    let root = Root::new();
    let options = mirrored(
        FAR,
        &[
            format!("http://{}", liar.host()),
            format!("http://{}", honest.host()),
        ],
    );
    let store = store(&root, options);
    let image = store.pull(&name("latest"), None, &Silent).unwrap().image;
    assert_eq!(
        read_file(&store.layer_dirs(&image).unwrap(), "bin/sh").as_deref(),
        Some("shell")
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
fn manifests_that_are_cut_oversized_or_another_are_not_taken_from_a_mirror() {
    let fixture = small();
    let manifest = fixture.manifest.clone();
    for (kind, body) in [
        ("cut", manifest[..manifest.len() / 2].to_vec()),
        ("oversized", vec![b' '; (4 << 20) + 1]),
        ("another", manifest.iter().copied().chain([b'\n']).collect()),
    ] {
        let digest = Digest::sha256(&manifest).to_string();
        let wrong = serve_image(small(), move |asked, _, answer| {
            if asked.path.contains("/manifests/") {
                Answer::new(200, body.clone()).header("Docker-Content-Digest", digest.clone())
            } else {
                answer
            }
        });
        let right = serve_image(small(), |_, _, answer| answer);
        let root = Root::new();
        let alone = store(&root, mirrored(FAR, &[format!("http://{}", wrong.host())]));
        let text = alone
            .pull(
                &format!("{}/app", wrong.host()).parse().unwrap(),
                None,
                &Silent,
            )
            .unwrap_err()
            .to_string();
        assert!(
            text.contains("digest") || text.contains("more than 4 MB"),
            "{kind}: {text}"
        );
        assert!(alone.list().unwrap().is_empty());
        let locations = [
            format!("http://{}", wrong.host()),
            format!("http://{}", right.host()),
        ];
        let both = store(&root, mirrored(FAR, &locations));
        both.pull(&name("latest"), None, &Silent).unwrap();
        assert_eq!(
            both.check(image::Depth::Contents, &image::Silent)
                .unwrap()
                .faults,
            [],
            "{kind}"
        );
    }
}

#[test]
fn a_blocked_registry_is_asked_for_nothing() {
    let server = serve_image(small(), |_, _, answer| answer);
    let root = Root::new();
    let rule = Rule {
        prefix: server.host(),
        blocked: true,
        ..Rule::default()
    };
    let options = RegistryOptions {
        rules: vec![rule],
        ..RegistryOptions::default()
    };
    let text = store(&root, options)
        .pull(
            &format!("{}/app", server.host()).parse().unwrap(),
            None,
            &Silent,
        )
        .unwrap_err()
        .to_string();
    assert!(
        text.contains("blocked") && text.contains(&server.host()),
        "{text}"
    );
    assert_eq!(server.count(|_| true), 0);
}

#[test]
fn names_without_a_registry_follow_aliases_and_the_search_list() {
    let server = serve_image(small(), |asked, _, answer| {
        if asked.path.contains("/tool/") {
            answer
        } else {
            Answer::new(404, "")
        }
    });
    let empty = serve_image(small(), |_, _, _| Answer::new(404, ""));
    let root = Root::new();
    let conf = root.path("registries.conf");
    let text = format!(
        "unqualified-search-registries = [\"{}\", \"{}\"]\n[aliases]\nshort = \"{}/team/tool\"\n",
        empty.host(),
        server.host(),
        server.host()
    );
    fs::write(&conf, text).unwrap();
    let store = store(
        &root,
        RegistryOptions {
            files: HostFiles {
                registries_conf: Some(conf),
                ..HostFiles::default()
            },
            ..RegistryOptions::default()
        },
    );
    let (name, pulled) = store.pull_named("tool", None, &Silent).unwrap();
    assert_eq!(name.to_string(), format!("{}/tool:latest", server.host()));
    assert!(empty.count(|_| true) > 0);
    assert_eq!(
        store.find("tool").unwrap().id,
        pulled.image.id,
        "found again as it was typed"
    );
    let (name, _) = store.pull_named("short", None, &Silent).unwrap();
    assert_eq!(
        name.to_string(),
        format!("{}/team/tool:latest", server.host())
    );
}

#[test]
fn credentials_do_not_follow_a_redirect_to_another_host() {
    let fixture = small();
    let blobs = fixture.blobs.clone();
    let storage = FakeServer::start(move |asked| {
        let digest = asked
            .path
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .parse::<Digest>();
        match digest.ok().and_then(|d| blobs.get(&d).cloned()) {
            Some(blob) => Answer::new(200, blob),
            None => Answer::new(404, ""),
        }
    });
    let away = storage.host();
    let server = serve_image(fixture, move |asked, _, answer| {
        let known = asked
            .headers
            .get("authorization")
            .is_some_and(|a| a.starts_with("Basic "));
        match asked.path.rsplit_once("/blobs/") {
            _ if !known => Answer::new(401, "").header("WWW-Authenticate", "Basic realm=\"x\""),
            Some((_, digest)) => {
                Answer::new(307, "").header("Location", format!("http://{away}/store/{digest}"))
            }
            None => answer,
        }
    });
    let root = Root::new();
    let hosts_dir = root.path("certs.d");
    let dir = hosts_dir.join(server.host());
    fs::create_dir_all(&dir).unwrap();
    fs::write(
        dir.join("hosts.toml"),
        format!(
            "server = \"http://{}\"\n[header]\nx-secret = \"s\"\n",
            server.host()
        ),
    )
    .unwrap();
    let options = RegistryOptions {
        auth_text: Some(image::registry::credentials::AuthText(format!(
            r#"{{"auths":{{"{}/team":{{"username":"me","password":"secret"}}}}}}"#,
            server.host()
        ))),
        files: HostFiles {
            hosts_dirs: vec![hosts_dir],
            ..HostFiles::default()
        },
        ..RegistryOptions::default()
    };
    let store = store(&root, options);
    store
        .pull(
            &format!("{}/team/app", server.host()).parse().unwrap(),
            None,
            &Silent,
        )
        .unwrap();
    assert!(storage.count(|_| true) >= 3);
    assert_eq!(
        storage.count(
            |a| a.headers.contains_key("authorization") || a.headers.contains_key("x-secret")
        ),
        0
    );
    assert!(server.count(|a| a.headers.contains_key("x-secret")) > 0);
    let other = format!("{}/other/app", server.host()).parse().unwrap();
    let text = store.pull(&other, None, &Silent).unwrap_err().to_string();
    assert!(
        text.contains("no basic auth credentials") && !text.contains("secret"),
        "{text}"
    );
}

#[test]
fn redirects_that_lead_nowhere_good_are_refused() {
    for (target, said) in [
        ("ftp://127.0.0.1/x", "neither http nor https"),
        ("http://me:you@127.0.0.1/x", "a name in the address"),
        ("/v2/app/manifests/latest", "on and on"),
    ] {
        let server = serve_image(small(), move |asked, _, answer| {
            match asked.path.contains("/manifests/") {
                true => Answer::new(302, "").header("Location", target),
                false => answer,
            }
        });
        let root = Root::new();
        let text = store(&root, RegistryOptions::default())
            .pull(
                &format!("{}/app", server.host()).parse().unwrap(),
                None,
                &Silent,
            )
            .unwrap_err()
            .to_string();
        assert!(text.contains(said), "{target}: {text}");
        assert!(server.count(|_| true) < 20);
    }
}

#[test]
fn a_challenge_that_asks_for_the_password_elsewhere_is_refused() {
    for challenge in [
        "Bearer realm=\"ftp://127.0.0.1/token\"",
        "Bearer realm=\"http://a@127.0.0.1/token\"",
        "Bearer realm=\"/token\"",
        "Digest realm=\"x\"",
        "Bearer",
        "\"\"=,,",
    ] {
        let server =
            FakeServer::start(move |_| Answer::new(401, "").header("WWW-Authenticate", challenge));
        let root = Root::new();
        let options = RegistryOptions {
            auth_text: Some(image::registry::credentials::AuthText(format!(
                r#"{{"auths":{{"{}":{{"username":"me","password":"hunter2"}}}}}}"#,
                server.host()
            ))),
            ..RegistryOptions::default()
        };
        let error = store(&root, options)
            .pull(
                &format!("{}/app", server.host()).parse().unwrap(),
                None,
                &Silent,
            )
            .unwrap_err();
        assert!(matches!(error, Error::NotFound(_)), "{error}");
        assert!(!error.to_string().contains("hunter2"));
        assert_eq!(
            server.count(|a| a.headers.contains_key("authorization")),
            0,
            "{challenge}"
        );
    }
}

#[test]
fn a_quota_that_runs_out_is_told() {
    let server = serve_image(small(), |_, _, answer| {
        answer
            .header("ratelimit-limit", "100;w=21600")
            .header("ratelimit-remaining", "3;w=21600")
    });
    let root = Root::new();
    let told = Recorder::default();
    let named = format!("{}/app", server.host()).parse().unwrap();
    let store = store(&root, RegistryOptions::default());
    store.pull(&named, None, &told).unwrap();
    assert!(
        told.all_lines().contains("3 of 100 pulls left in 6 h"),
        "{}",
        told.all_lines()
    );
    // The second time only the question what the tag is: registries count manifests.
    store.pull(&named, None, &Silent).unwrap();
    assert_eq!(
        server.count(|a| a.method == "GET" && a.path.contains("/manifests/")),
        1
    );
}

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
