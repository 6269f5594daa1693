//! Ways to a registry that users of private ones have: behind a proxy at a path or without TLS of its own, by an IPv6 address, with its
//! blobs on another host.

use crate::registries::{OUTSIDE, certificates};
use std::fs;
use std::path::Path;
use testkit::{Crane, Front, Host, Registry, Verdict, kernel, requires, scenarios};

scenarios!(
    a_registry_at_a_path,
    a_registry_that_gives_relative_locations,
    a_registry_that_does_not_know_of_the_tls_before_it,
    a_registry_by_an_ipv6_address,
    blobs_on_another_host_by_a_signed_address,
    a_manifest_of_schema_1_is_refused_with_a_way_out,
);

/// Up, away, back, and it runs.
fn there_and_back(host: &Host, name: &str, more: &[(&str, &Path)]) {
    let docker = |words: &str| {
        let call = host.docker(words).env("DOCKLESS_IMAGE_DIR", "");
        more.iter()
            .fold(call, |call, (key, value)| call.env(key, value))
    };
    host.docker("pull busybox").ok();
    let id = host.inspect("busybox", "{{.Id}}");
    host.docker(&format!("tag busybox {name}")).ok();
    let pushed = docker(&format!("push {name}")).run();
    assert_eq!(pushed.code, 0, "{pushed}");
    host.docker(&format!("rmi {name} busybox")).ok();
    let pulled = docker(&format!("pull {name}")).run();
    assert_eq!(pulled.code, 0, "{pulled}");
    assert_eq!(host.inspect(name, "{{.Id}}"), id);
    assert_eq!(host.docker(&format!("run --rm {name} echo ok")).ok(), "ok");
    host.docker(&format!("rmi {name}")).ok();
}

fn a_registry_at_a_path(host: &Host) {
    requires!(Registry::installed(), "docker-registry");
    let registry = Registry::set_up(host, "127.0.0.1:5095", "  prefix: /hub/\n", "");
    let front = Front::of(&registry.address, |_| Verdict::Pass);
    let conf = host.folder("etc").join("registries.conf");
    let text = format!(
        "[[registry]]\nprefix = \"reg.example\"\nlocation = \"{}/hub/v2\"\ninsecure = true\n",
        front.address
    );
    fs::write(&conf, text).expect("a configuration");
    there_and_back(
        host,
        "reg.example/team/box:1",
        &[("CONTAINERS_REGISTRIES_CONF", &conf)],
    );
    let asked = front.asked();
    let below = |line: &String| line.contains(" /hub/v2/");
    assert!(asked.iter().all(below), "all below the path: {asked:?}");
    let sent = |line: &String| line.starts_with("PUT /hub/v2/team/box/blobs/uploads/");
    assert!(asked.iter().any(sent), "{asked:?}");
}

fn a_registry_that_gives_relative_locations(host: &Host) {
    requires!(Registry::installed(), "docker-registry");
    let registry = Registry::set_up(host, "127.0.0.1:5115", "  relativeurls: true\n", "");
    // By a port that the registry knows nothing of.
    let front = Front::of(&registry.address, |_| Verdict::Pass);
    let begun = Crane::of(&front.address).ask("POST", "/v2/any/blobs/uploads/", &[], b"");
    let location = begun.header("Location").expect("a location");
    assert!(location.starts_with("/v2/any/"), "{location}");
    there_and_back(host, &format!("{}/team/box:1", front.address), &[]);
}

fn a_registry_that_does_not_know_of_the_tls_before_it(host: &Host) {
    requires!(Registry::installed(), "docker-registry");
    requires!(Path::new("/usr/bin/openssl").exists(), "openssl");
    kernel::tool_ok(&format!("ip addr add {OUTSIDE}/32 dev lo"));
    let [ca, certificate, key, ..] = certificates(&host.folder("certificates"));
    let at = format!("{OUTSIDE}:5096");
    // The addresses it gives for uploads are those of a server without TLS.
    let http = format!(
        "  host: http://{at}\n  tls:\n    certificate: {}\n    key: {}\n",
        certificate.display(),
        key.display()
    );
    let _registry = Registry::set_up(host, &at, &http, "");
    let config = host.folder("home");
    let dir = config.join(format!("containers/certs.d/{at}"));
    fs::create_dir_all(&dir).expect("a directory");
    fs::copy(&ca, dir.join("ca.crt")).expect("a copy");
    there_and_back(
        host,
        &format!("{at}/team/box:1"),
        &[("XDG_CONFIG_HOME", &config)],
    );
}

fn a_registry_by_an_ipv6_address(host: &Host) {
    requires!(Registry::installed(), "docker-registry");
    requires!(
        fs::read_to_string("/proc/net/if_inet6").is_ok_and(|all| all.contains(" lo")),
        "IPv6"
    );
    let registry = Registry::with_password_at(host, "[::1]:5097", "ann", "s3cret");
    let at = &registry.address;
    let config = host.folder("docker-config");
    host.docker(&format!("login -u ann --password-stdin {at}"))
        .env("DOCKER_CONFIG", &config)
        .stdin("s3cret\n")
        .ok();
    there_and_back(
        host,
        &format!("{at}/team/box:1"),
        &[("DOCKER_CONFIG", &config)],
    );
    let refused = host.docker(&format!("pull {at}/team/box:1")).fails(1);
    refused.says(&["no basic auth credentials", at]);
}

fn blobs_on_another_host_by_a_signed_address(host: &Host) {
    requires!(Registry::installed(), "docker-registry");
    let registry = Registry::with_password(host, 5098, "ann", "s3cret");
    // The storage: it takes its own signature, and like S3 refuses a request that shows something else as well.
    let basic = "Basic YW5uOnMzY3JldA==";
    let behind = Front::of(&registry.address, |_| Verdict::Pass);
    let plain = Registry::start(host, 5099);
    let storage = Front::of(&plain.address, |passing| {
        let (path, query) = passing.path.split_once('?').unwrap_or((&passing.path, ""));
        if passing.header("authorization").is_some() {
            let said =
                "<Code>InvalidArgument</Code><Message>Only one auth mechanism allowed</Message>";
            return Verdict::Answer(400, Vec::new(), said.to_owned());
        }
        match query.contains("X-Amz-Signature=abc%2Bdef") {
            true => Verdict::PassAs(path.replace("/bucket/", "/v2/team/box/blobs/")),
            false => Verdict::Answer(403, Vec::new(), "<Code>AccessDenied</Code>".to_owned()),
        }
    });
    let to = storage.address.clone();
    let front = Front::of(&behind.address, move |passing| {
        let known = passing.header("authorization") == Some(basic);
        let blob = passing.path.rsplit_once("/blobs/sha256:");
        match blob.filter(|_| known && passing.method == "GET") {
            Some((_, hex)) => {
                let signed = format!(
                    "http://{to}/bucket/sha256:{hex}?X-Amz-Expires=1200&X-Amz-Signature=abc%2Bdef"
                );
                Verdict::Answer(307, vec![("Location", signed)], String::new())
            }
            None => Verdict::Pass,
        }
    });
    let name = format!("{}/team/box:1", front.address);
    let config = host.folder("docker-config");
    host.docker(&format!("login -u ann --password-stdin {}", front.address))
        .env("DOCKER_CONFIG", &config)
        .stdin("s3cret\n")
        .ok();
    host.docker("pull busybox").ok();
    let same = format!("{}/team/box:1", plain.address);
    host.docker(&format!("tag busybox {same}")).ok();
    host.docker(&format!("push {same}")).ok();
    host.docker(&format!("rmi {same}")).ok();
    there_and_back(host, &name, &[("DOCKER_CONFIG", &config)]);
    assert_eq!(
        storage.count("GET /bucket/sha256:"),
        2,
        "{:?}",
        storage.asked()
    );
}

fn a_manifest_of_schema_1_is_refused_with_a_way_out(host: &Host) {
    requires!(Registry::installed(), "docker-registry");
    let registry = Registry::start(host, 5100);
    let old = r#"{"schemaVersion":1,"name":"team/old","tag":"1","architecture":"amd64","fsLayers":[],"history":[],"signatures":[]}"#;
    let front = Front::of(&registry.address, move |passing| {
        let is_old = passing.path.contains("/v2/team/old/manifests/");
        let headers = vec![
            (
                "Content-Type",
                "application/vnd.docker.distribution.manifest.v1+prettyjws".to_owned(),
            ),
            // That of what is signed, not of what is sent.
            (
                "Docker-Content-Digest",
                testkit::crane::digest(b"the payload"),
            ),
        ];
        match is_old {
            true => Verdict::Answer(200, headers, old.to_owned()),
            false => Verdict::Pass,
        }
    });
    let name = format!("{}/team/old:1", front.address);
    let failed = host
        .docker(&format!("pull {name}"))
        .env("DOCKLESS_IMAGE_DIR", "")
        .fails(1);
    let way_out = format!(
        "skopeo copy --format v2s2 docker://{}/team/old",
        front.address
    );
    failed.says(&["schema 1", &way_out]);
    assert_eq!(
        Crane::of(&registry.address)
            .list("/v2/_catalog", "repositories", 10)
            .0
            .len(),
        0
    );
}
