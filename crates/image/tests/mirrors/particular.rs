//! Registries and token services that do things in their own, permitted or usual, way; and a blob that another process brings in.

use crate::common::{Answer, Asked, FakeServer, Root, serve_image, small};
use crate::setup::{app, store};
use image::registry::credentials::AuthText;
use image::{RegistryOptions, Silent, Status};
use oci::Digest;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use sys::lock::FileLock;

/// An image for who shows the token `let-me-in`; `challenges` with `SELF` for the server's address, and what gives the token.
fn asking(
    challenges: &'static [&'static str],
    token: impl Fn(&Asked) -> Answer + Send + Sync + 'static,
) -> FakeServer {
    serve_image(small(), move |asked, _, answer| {
        if asked.path.starts_with("/token") {
            return token(asked);
        }
        let shown = asked.headers.get("authorization");
        if shown.is_some_and(|a| a == "Bearer let-me-in") {
            return answer;
        }
        let host = asked.headers.get("host").cloned().unwrap_or_default();
        let own = |c: &&str| c.replace("SELF", &format!("http://{host}"));
        challenges
            .iter()
            .map(own)
            .fold(Answer::new(401, ""), |answer, c| {
                answer.header("WWW-Authenticate", c)
            })
    })
}

const PLAIN: &[&str] = &["Bearer realm=\"SELF/token\",service=\"s\""];

#[test]
fn a_token_is_taken_by_either_name_and_with_or_without_an_end() {
    for given in [
        r#"{"token":"let-me-in"}"#,
        r#"{"access_token":"let-me-in"}"#,
        r#"{"token":"","access_token":"let-me-in","expires_in":300}"#,
        r#"{"token":"let-me-in","access_token":null,"expires_in":null,"refresh_token":null}"#,
        r#"{"token":"let-me-in","expires_in":0,"issued_at":"2026-01-01T00:00:00Z","more":[1]}"#,
        r#"{"token":"let-me-in","expires_in":-1}"#,
        r#"{"token":"let-me-in","expires_in":9223372036854775807}"#,
    ] {
        let server = asking(PLAIN, move |_| Answer::new(200, given));
        let root = Root::new();
        let pulled = store(&root, RegistryOptions::default()).pull(&app(&server), None, &Silent);
        assert!(pulled.is_ok(), "{given}: {pulled:?}");
        assert_eq!(server.count(|a| a.path.starts_with("/token")), 1, "{given}");
    }
    for bad in ["{}", "[]", "token", r#"{"token":""}"#, r#"{"token":1}"#] {
        let server = asking(PLAIN, move |_| Answer::new(200, bad));
        let root = Root::new();
        let failed = store(&root, RegistryOptions::default()).pull(&app(&server), None, &Silent);
        let text = failed.unwrap_err().to_string();
        assert!(text.contains("/token answered"), "{bad}: {text}");
    }
}

#[test]
fn of_several_challenges_the_one_for_a_token_counts() {
    let token = |_: &Asked| Answer::new(200, r#"{"token":"let-me-in"}"#);
    let cases: [&'static [&'static str]; 4] = [
        &["Basic realm=\"a, b\", Bearer realm=\"SELF/token\",service=\"s\""],
        &[
            "Negotiate",
            "Basic realm=\"x\"",
            "Bearer realm=\"SELF/token\"",
        ],
        &["bearer realm=\"SELF/token\" , service=s, Basic realm=x"],
        &[
            "Bearer realm=\"SELF/token\"",
            "Basic realm=\"Bearer realm=\\\"\"",
        ],
    ];
    for challenges in cases {
        let server = asking(challenges, token);
        let root = Root::new();
        let pulled = store(&root, RegistryOptions::default()).pull(&app(&server), None, &Silent);
        assert!(pulled.is_ok(), "{challenges:?}: {pulled:?}");
    }
}

#[test]
fn a_lasting_token_is_shown_by_get_where_post_is_not_known() {
    for refused in [404, 405] {
        let server = asking(PLAIN, move |asked| {
            // base64 of `:lasting`
            let shown = asked.headers.get("authorization");
            match asked.method.as_str() {
                "GET" if shown.is_some_and(|a| a == "Basic Omxhc3Rpbmc=") => {
                    Answer::new(200, r#"{"access_token":"let-me-in"}"#)
                }
                "GET" => Answer::new(401, ""),
                _ => Answer::new(refused, "").header("Allow", "GET"),
            }
        });
        let text = format!(
            r#"{{"auths":{{"{}":{{"identitytoken":"lasting"}}}}}}"#,
            server.host()
        );
        let options = RegistryOptions {
            auth_text: Some(AuthText(text)),
            ..RegistryOptions::default()
        };
        let root = Root::new();
        let pulled = store(&root, options).pull(&app(&server), None, &Silent);
        assert!(pulled.is_ok(), "{refused}: {pulled:?}");
        assert_eq!(
            server.count(|a| a.method == "POST" && a.path.starts_with("/token")),
            1
        );
        let beside = |a: &Asked| {
            let basic = |h: &String| h.starts_with("Basic");
            !a.path.starts_with("/token") && a.headers.get("authorization").is_some_and(basic)
        };
        assert_eq!(server.count(beside), 0, "to the token service alone");
    }
}

#[test]
fn a_manifest_of_schema_1_is_named_as_what_it_is() {
    let server = serve_image(small(), |asked, _, answer| {
        let old =
            r#"{"schemaVersion":1,"name":"app","tag":"latest","fsLayers":[],"signatures":[]}"#;
        let kind = "application/vnd.docker.distribution.manifest.v1+prettyjws";
        match asked.path.contains("/manifests/") {
            true => Answer::new(200, old).header("Content-Type", kind).header(
                "Docker-Content-Digest",
                Digest::sha256(b"payload").to_string(),
            ),
            false => answer,
        }
    });
    let root = Root::new();
    let failed = store(&root, RegistryOptions::default()).pull(&app(&server), None, &Silent);
    let text = failed.unwrap_err().to_string();
    assert!(
        text.contains("schema 1") && text.contains("skopeo copy --format v2s2"),
        "{text}"
    );
}

/// Says when a blob is waited for, and then lets go of it.
struct LetsGo(Mutex<Option<FileLock>>, AtomicUsize);

impl image::Progress for LetsGo {
    fn layer(&self, event: image::LayerEvent<'_>) {
        if event.status == Status::WaitingForAnother {
            self.1.fetch_add(1, Ordering::SeqCst);
            *self.0.lock().unwrap() = None;
        }
    }

    fn line(&self, _: &str) {}
}

#[test]
fn a_blob_that_another_process_brings_in_is_waited_for_and_that_is_told() {
    for of_layer in [true, false] {
        let fixture = small();
        let blob = match of_layer {
            true => fixture.layers[0].digest.clone(),
            false => fixture.config.digest.clone(),
        };
        let server = serve_image(fixture, |_, _, answer| answer);
        let root = Root::new();
        let lock = root.layout().lock("blob", blob.hex());
        let lock = FileLock::exclusive(&lock).unwrap();
        let progress = LetsGo(Mutex::new(Some(lock)), AtomicUsize::new(0));
        let pulled = store(&root, RegistryOptions::default()).pull(&app(&server), None, &progress);
        assert!(pulled.is_ok(), "{pulled:?}");
        assert_eq!(progress.1.load(Ordering::SeqCst), 1, "layer: {of_layer}");
    }
}
