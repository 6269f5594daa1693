//! A Compose application in a registry: its files and its images, all that another host needs of it.

use serde_json::Value;
use testkit::{Host, Registry, requires, scenarios};

scenarios!(an_application_is_published_with_its_images);

/// What a registry has under a name, and its digest.
fn at(host: &Host, name: &str) -> (Value, String) {
    let text = host.docker(&format!("manifest inspect -v {name}")).ok();
    let shown: Value = serde_json::from_str(&text).expect("JSON");
    let digest = shown["Descriptor"]["digest"].as_str().map(str::to_owned);
    (shown, digest.expect("a digest"))
}

fn an_application_is_published_with_its_images(host: &Host) {
    requires!(Registry::installed(), "docker-registry");
    let (theirs, ours) = (Registry::start(host, 5091), Registry::start(host, 5092));
    let source = |name: &str| format!("{}/{name}", theirs.address);
    // One image, and one of two platforms.
    for name in ["tools/box:1", "tools/other:1"] {
        host.docker("pull busybox").ok();
        host.docker(&format!("tag busybox {}", source(name))).ok();
        host.docker(&format!("push {}", source(name))).ok();
    }
    let (one, list) = (source("tools/box:1"), source("tools/all:1"));
    host.docker(&format!("manifest create {list} {one}")).ok();
    host.docker(&format!("manifest push --purge {list}")).ok();
    let project = host.compose_file(
        "shop",
        &format!(
            "services:\n  web: {{image: '{one}'}}\n  db: {{image: '{list}'}}\n  again: {{image: '{one}', profiles: [x]}}\n"
        ),
    );
    let shop = format!("{}/apps/shop:1", ours.address);
    project
        .compose(&format!("--dry-run publish --app -y {shop}"))
        .ok();
    host.docker(&format!("compose -f oci://{shop} config"))
        .fails(1);
    project.compose(&format!("publish --app -y {shop}")).ok();

    // The services name their images by digest.
    let config = host.docker(&format!("compose -f oci://{shop} config")).ok();
    let (_, digest) = at(host, &one);
    let (_, of_list) = at(host, &list);
    for (name, digest) in [(&one, &digest), (&list, &of_list)] {
        assert!(config.contains(&format!("{name}@{digest}")), "{config}");
    }
    // An index that belongs to the artifact names them too: where a registry keeps no referrers, a tag leads to it.
    let (_, artifact) = at(host, &shop);
    let referrers = format!("{}/apps/shop:{}", ours.address, artifact.replace(':', "-"));
    let referring: Value =
        serde_json::from_str(&host.docker(&format!("manifest inspect {referrers}")).ok())
            .expect("JSON");
    let index = referring["manifests"][0]["digest"]
        .as_str()
        .expect("an index");
    let index: Value = serde_json::from_str(
        &host
            .docker(&format!(
                "manifest inspect {}/apps/shop@{index}",
                ours.address
            ))
            .ok(),
    )
    .expect("JSON");
    assert_eq!(index["subject"]["digest"], artifact.as_str());
    let mut images: Vec<&str> = index["manifests"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|m| m["digest"].as_str())
        .collect();
    images.sort_unstable();
    let mut expected = [digest.as_str(), of_list.as_str()];
    expected.sort_unstable();
    assert_eq!(images, expected);

    // Where they came from is not needed any more.
    drop(theirs);
    for digest in [&digest, &of_list] {
        let copy = format!("{}/apps/shop@{digest}", ours.address);
        assert_eq!(
            host.docker(&format!("run --rm {copy} echo here")).ok(),
            "here"
        );
    }
}
