//! Who is asked for an image, in which order, and what an error tells of all of them.

use crate::common::{Answer, Asked, Recorder, Root, serve_image, small};
use crate::setup::{FAR, app, closed, faults, mirrored, name, store};
use image::registry::config::{HostFiles, Rule};
use image::{RegistryOptions, Silent};
use oci::Digest;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Between the pieces of an answer, so that pulls meet.
const PAUSE: Duration = Duration::from_millis(10);

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
    let store = store(&root, mirrored(FAR, &[first.url(), server.url()]));
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
        .pull(&app(&server), None, &Silent)
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
fn a_quota_that_runs_out_is_told() {
    let server = serve_image(small(), |_, _, answer| {
        answer
            .header("ratelimit-limit", "100;w=21600")
            .header("ratelimit-remaining", "3;w=21600")
    });
    let root = Root::new();
    let told = Recorder::default();
    let named = app(&server);
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

#[test]
fn pulls_side_by_side_ask_for_each_blob_once() {
    let server = serve_image(small(), |_, _, answer| answer.slowly(PAUSE));
    let root = Root::new();
    // Each with handles of its own, as processes would have: the locks are between open files.
    let stores: Vec<_> = (0..4)
        .map(|_| store(&root, RegistryOptions::default()))
        .collect();
    let name = app(&server);
    std::thread::scope(|scope| {
        for store in &stores {
            scope.spawn(|| store.pull(&name, None, &Silent).unwrap());
        }
    });
    for digest in small().blobs.keys() {
        let asked = |a: &Asked| a.path.ends_with(&format!("/blobs/{digest}"));
        let is_manifest = *digest == Digest::sha256(&small().manifest);
        assert_eq!(server.count(asked), usize::from(!is_manifest), "{digest}");
    }
    assert_eq!(faults(&stores[0]), []);
}
