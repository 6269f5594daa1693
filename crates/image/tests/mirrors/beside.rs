//! What a registry says beside images: its tags, page by page, and what refers to an image.

use crate::common::{Answer, FakeServer, Root, serve_image, small};
use crate::setup::{app, store};
use image::RegistryOptions;
use oci::Digest;

#[test]
fn tags_come_page_by_page_from_the_registry_alone() {
    let stranger = FakeServer::start(|_| Answer::new(200, r#"{"tags":["theirs"]}"#));
    let away = stranger.url();
    let hex = Digest::sha256(b"").hex().to_owned();
    let server = FakeServer::start(move |asked| match asked.path.as_str() {
        "/v2/" => Answer::new(200, "{}"),
        "/v2/app/tags/list" => Answer::new(200, format!(r#"{{"tags":["a","sha256-{hex}.sig"]}}"#))
            .header("Link", "</v2/app/tags/list?last=a>; rel=\"next\""),
        "/v2/app/tags/list?last=a" => Answer::new(200, r#"{"tags":["b","sha256-no"]}"#)
            .header("Link", "<list?last=b>; rel=\"next\""),
        "/v2/app/tags/list?last=b" => Answer::new(200, r#"{"tags":null}"#)
            .header("Link", format!("<{away}/v2/app/tags/list>; rel=\"next\"")),
        _ => Answer::new(404, ""),
    });
    let root = Root::new();
    let store = store(&root, RegistryOptions::default());
    let repository = format!("{}/app", server.host());
    let tags = store.tags(&repository).unwrap();
    let tags: Vec<_> = tags.iter().filter_map(|name| name.tag()).collect();
    assert_eq!(tags, ["a", "b", "sha256-no"]);
    assert_eq!(stranger.count(|_| true), 0);
    let endless = FakeServer::start(|_| {
        let next = "</v2/app/tags/list>; rel=\"next\"";
        Answer::new(200, r#"{"tags":["a"]}"#).header("Link", next)
    });
    let error = store.tags(&format!("{}/app", endless.host())).unwrap_err();
    assert!(error.to_string().contains("an end"), "{error}");
}

#[test]
fn what_refers_to_an_image_is_read_from_the_registry_or_from_the_tag() {
    let list = |kind: &str| {
        let digest = Digest::sha256(kind.as_bytes());
        format!(
            r#"{{"schemaVersion":2,"manifests":[
                {{"mediaType":"m","digest":"{digest}","size":1,"artifactType":"{kind}"}},
                {{"mediaType":"m","digest":"{digest}","size":1,"artifactType":"other"}}]}}"#
        )
    };
    let tag = format!(
        "/manifests/sha256-{}",
        Digest::sha256(&small().manifest).hex()
    );
    for keeps_list in [true, false] {
        let (own, tagged, tag) = (list("own"), list("tagged"), tag.clone());
        let server = serve_image(small(), move |asked, _, answer| {
            match asked.path.contains("/referrers/") {
                true if keeps_list => Answer::new(200, own.clone()),
                true => Answer::new(404, ""),
                false if asked.path.ends_with(&tag) => Answer::new(200, tagged.clone()),
                false => answer,
            }
        });
        let options = RegistryOptions::default();
        let kind = if keeps_list { "own" } else { "tagged" };
        let of = |kind| image::artifact::referrers(&options, &app(&server), kind).unwrap();
        assert_eq!(of(None).len(), 2);
        let found = of(Some(kind));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].digest, Digest::sha256(kind.as_bytes()));
        assert_eq!(of(Some("third")), []);
    }
}
