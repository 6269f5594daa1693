//! Registries that want the account sent elsewhere, or never come to an end.

use crate::common::{Answer, FakeServer, Root, serve_image, small};
use crate::setup::{app, faults, store};
use image::registry::config::HostFiles;
use image::{Error, RegistryOptions, Silent};
use oci::Digest;
use std::fs;

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
            .pull(&app(&server), None, &Silent)
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
            .pull(&app(&server), None, &Silent)
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
fn challenges_without_end_are_given_up_on() {
    let giant = "Bearer ".repeat(2000);
    let many = "Negotiate a=\"b\", ".repeat(2000);
    // A realm on the server itself gives a token, and the server asks for another, on and on.
    for challenge in ["Bearer realm=\"SELF/token\"", &giant, &many] {
        let challenge = challenge.to_owned();
        let server = FakeServer::start(move |asked| {
            let host = asked.headers.get("host").cloned().unwrap_or_default();
            match asked.path.starts_with("/token") {
                true => Answer::new(200, "{\"token\":\"t\"}"),
                false => Answer::new(401, "").header(
                    "WWW-Authenticate",
                    challenge.replace("SELF", &format!("http://{host}")),
                ),
            }
        });
        let root = Root::new();
        let error = store(&root, RegistryOptions::default())
            .pull(&app(&server), None, &Silent)
            .unwrap_err();
        assert!(matches!(error, Error::NotFound(_)), "{error}");
        assert!(error.to_string().len() < 3000, "{error}");
        assert!(server.count(|_| true) < 20);
    }
}

#[test]
fn a_token_service_without_end_is_given_up_on() {
    let heads = [
        ("Location", "/token"),
        ("Location", "/token?again"),
        ("Content-Type", "application/json"),
    ];
    for (number, (name, value)) in heads.into_iter().enumerate() {
        let server = FakeServer::start(move |asked| {
            let host = asked.headers.get("host").cloned().unwrap_or_default();
            let realm = format!("Bearer realm=\"http://{host}/token\"");
            match (asked.path.starts_with("/token"), number) {
                (false, _) => Answer::new(401, "").header("WWW-Authenticate", realm),
                (true, 2) => Answer::new(200, vec![b' '; 5 << 20]).header(name, value),
                (true, _) => Answer::new(302, "").header(name, value),
            }
        });
        let root = Root::new();
        let error = store(&root, RegistryOptions::default())
            .pull(&app(&server), None, &Silent)
            .unwrap_err();
        assert!(matches!(error, Error::NotFound(_)), "{error}");
        assert!(server.count(|_| true) < 20);
    }
}

#[test]
fn a_foreign_layer_is_fetched_without_the_account_and_not_from_this_host() {
    let mut fixture = small();
    let layer = fixture.layers[0].clone();
    let content = fixture.blobs.remove(&layer.digest).unwrap();
    let away = FakeServer::start(move |_| Answer::new(200, content.clone()));
    let mut manifest: oci::Manifest = serde_json::from_slice(&fixture.manifest).unwrap();
    manifest.layers[0].urls = vec![
        "file:///etc/passwd".to_owned(),
        "relative".to_owned(),
        format!("http://me:you@{}/layer", away.host()),
        format!("{}/layer", away.url()),
    ];
    fixture.manifest = serde_json::to_vec(&manifest).unwrap();
    let bytes = fixture.manifest.clone();
    fixture.blobs.insert(Digest::sha256(&bytes), bytes);
    let server = serve_image(fixture, |asked, _, answer| {
        match asked.headers.contains_key("authorization") {
            true => answer,
            false => Answer::new(401, "").header("WWW-Authenticate", "Basic realm=\"x\""),
        }
    });
    let root = Root::new();
    let options = RegistryOptions {
        auth_text: Some(image::registry::credentials::AuthText(format!(
            r#"{{"auths":{{"{}":{{"username":"me","password":"secret"}}}}}}"#,
            server.host()
        ))),
        ..RegistryOptions::default()
    };
    let store = store(&root, options);
    store.pull(&app(&server), None, &Silent).unwrap();
    assert_eq!(faults(&store), []);
    assert_eq!(away.count(|_| true), 1);
    assert_eq!(away.count(|a| a.headers.contains_key("authorization")), 0);
}
