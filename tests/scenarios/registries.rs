//! Registries as the host is configured for them: mirrors of any registry, caches, private CAs, connections that break, and manifests
//! of several platforms.

use std::fs;
use std::path::{Path, PathBuf};
use testkit::{BrokenWay, Host, Registry, TokenService, kernel, requires, scenarios};

scenarios!(
    a_mirror_of_any_registry_that_goes_down_and_comes_back,
    accounts_for_a_part_of_a_registry,
    a_private_ca_and_a_certificate_of_ours,
    tokens_for_what_is_done_and_one_that_lasts,
    a_download_over_connections_that_break,
    manifests_of_several_platforms,
    archives_that_are_not_kept_are_had_again,
);

/// An address of this host that is no loopback: trust is not given for nothing there.
pub(crate) const OUTSIDE: &str = "10.99.7.1";

/// A registry's name that leads nowhere.
const NOWHERE: &str = "127.0.0.1:9";

fn put(host: &Host, image: &str, remote: &str) -> String {
    host.docker(&format!("pull {image}")).ok();
    let id = host.inspect(image, "{{.Id}}");
    host.docker(&format!("tag {image} {remote}")).ok();
    host.docker(&format!("push {remote}")).ok();
    host.docker(&format!("rmi {remote} {image}")).ok();
    id
}

fn a_mirror_of_any_registry_that_goes_down_and_comes_back(host: &Host) {
    requires!(Registry::installed(), "docker-registry");
    let origin = Registry::start(host, 5061);
    let id = put(
        host,
        "busybox:latest",
        &format!("{}/team/box:1", origin.address),
    );
    let cache = Registry::cache_of(host, 5062, &origin);
    let conf = host.folder("etc").join("registries.conf");
    let text = format!(
        "unqualified-search-registries = [\"{NOWHERE}\"]\n[[registry]]\nprefix = \"{NOWHERE}/project\"\nlocation = \"{}/team\"\n\
         [[registry.mirror]]\nlocation = \"{}/team\"\n[aliases]\nbox = \"{NOWHERE}/project/box\"\n",
        origin.address, cache.address
    );
    fs::write(&conf, text).expect("a configuration");
    let pull = |name: &str| {
        host.docker(&format!("pull {name}"))
            .env("DOCKLESS_IMAGE_DIR", "")
            .env("CONTAINERS_REGISTRIES_CONF", &conf)
    };
    let name = format!("{NOWHERE}/project/box:1");
    pull(&name).ok();
    assert_eq!(host.inspect(&name, "{{.Id}}"), id);
    let kept = host
        .folder("registry-127.0.0.1-5062")
        .join("storage/docker/registry/v2/repositories/team/box");
    assert!(kept.exists(), "it came through the cache");
    host.docker(&format!("rmi {name}")).ok();
    drop(cache);
    pull("box:1").ok();
    assert_eq!(
        host.inspect(&name, "{{.Id}}"),
        id,
        "the origin, while the mirror is down, by an alias"
    );
    let remembered = kernel::files_below(&host.run_root().join("registries"));
    assert_eq!(remembered.len(), 1, "{remembered:?}");
    host.docker(&format!("rmi {name}")).ok();
    let again = Registry::cache_of(host, 5062, &origin);
    drop(origin);
    pull(&name).ok();
    assert_eq!(
        host.inspect(&name, "{{.Id}}"),
        id,
        "the mirror, while the origin is down"
    );
    drop(again);
    host.docker(&format!("rmi {name}")).ok();
    let failed = pull(&name).fails(1);
    failed.says(&[
        "mirror 127.0.0.1:5062",
        "registry 127.0.0.1:5061",
        "connection refused",
    ]);
    pull("other").fails(1).says(&[NOWHERE]);
}

fn accounts_for_a_part_of_a_registry(host: &Host) {
    requires!(Registry::installed(), "docker-registry");
    let registry = Registry::with_password(host, 5063, "ann", "s3cret");
    let at = &registry.address;
    let auth = host.folder("etc").join("auth.json");
    // base64 of ann:s3cret, for one part of the registry.
    fs::write(
        &auth,
        format!("{{\"auths\":{{\"{at}/team\":{{\"auth\":\"YW5uOnMzY3JldA==\"}}}}}}"),
    )
    .expect("an account");
    let docker = |words: &str| host.docker(words).env("REGISTRY_AUTH_FILE", &auth);
    host.docker("pull busybox").ok();
    for name in ["team/box", "other/box"] {
        host.docker(&format!("tag busybox {at}/{name}")).ok();
    }
    docker(&format!("push {at}/team/box")).ok();
    let refused = docker(&format!("push {at}/other/box")).fails(1);
    refused.says(&["no basic auth credentials", at]);
    host.docker(&format!("push {at}/other/box"))
        .env(
            "DOCKER_AUTH_CONFIG",
            format!("{{\"auths\":{{\"{at}\":{{\"username\":\"ann\",\"password\":\"s3cret\"}}}}}}"),
        )
        .ok();
    let wrong =
        format!("{{\"auths\":{{\"{at}\":{{\"username\":\"ann\",\"password\":\"hunter2\"}}}}}}");
    let said = host
        .docker(&format!("push {at}/third/box"))
        .env("DOCKER_AUTH_CONFIG", wrong)
        .run();
    assert!(
        said.code != 0 && !format!("{said}").contains("hunter2"),
        "{said}"
    );
}

/// A CA, a certificate for [`OUTSIDE`], one for us, and one of a version that is too old.
pub(crate) fn certificates(dir: &Path) -> [PathBuf; 6] {
    let file = |name: &str| dir.join(name);
    let openssl = |words: String| kernel::tool_ok(&format!("openssl {words}"));
    let (ca, ca_key) = (file("ca.pem"), file("ca.key"));
    openssl(format!(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=scenarios-ca -keyout {} -out {}",
        ca_key.display(),
        ca.display()
    ));
    let make = |name: &str, extension: Option<String>| {
        let path = |end: &str| file(&format!("{name}.{end}")).display().to_string();
        openssl(format!(
            "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN={name} -keyout {} -out {}",
            path("key"),
            path("csr")
        ));
        let extended = extension.map(|text| {
            fs::write(path("ext"), text).expect("a file");
            format!("-extfile {}", path("ext"))
        });
        openssl(format!(
            "x509 -req -in {} -CA {} -CAkey {} -CAcreateserial -days 2 {} -out {}",
            path("csr"),
            ca.display(),
            ca_key.display(),
            extended.unwrap_or_default(),
            path("pem")
        ));
        file(&format!("{name}.pem"))
    };
    let server = make("server", Some(format!("subjectAltName=IP:{OUTSIDE}\n")));
    let client = make("client", Some("extendedKeyUsage=clientAuth\n".to_owned()));
    let old = make("old", None);
    [
        ca,
        server,
        file("server.key"),
        client,
        file("client.key"),
        old,
    ]
}

fn a_private_ca_and_a_certificate_of_ours(host: &Host) {
    requires!(Registry::installed(), "docker-registry");
    requires!(Path::new("/usr/bin/openssl").exists(), "openssl");
    kernel::tool_ok(&format!("ip addr add {OUTSIDE}/32 dev lo"));
    let [ca, certificate, key, client, client_key, old] =
        certificates(&host.folder("certificates"));
    let at = format!("{OUTSIDE}:5064");
    let _registry = Registry::with_tls(host, &at, &certificate, &key, &ca);
    let config = host.folder("home");
    let docker = |words: &str| host.docker(words).env("XDG_CONFIG_HOME", &config);
    host.docker("pull busybox").ok();
    host.docker(&format!("tag busybox {at}/box")).ok();
    docker(&format!("push {at}/box"))
        .fails(1)
        .says(&["tls", &at, "ca.crt"]);
    let dir = config.join(format!("containers/certs.d/{at}"));
    fs::create_dir_all(&dir).expect("a directory");
    fs::copy(&ca, dir.join("ca.crt")).expect("a copy");
    docker(&format!("push {at}/box")).fails(1);
    fs::copy(&client, dir.join("client.cert")).expect("a copy");
    docker(&format!("push {at}/box"))
        .fails(1)
        .says(&["client.key"]);
    fs::copy(&client_key, dir.join("client.key")).expect("a copy");
    fs::copy(&old, dir.join("client.cert")).expect("a copy");
    docker(&format!("push {at}/box"))
        .fails(1)
        .says(&["client.cert"]);
    fs::copy(&client, dir.join("client.cert")).expect("a copy");
    docker(&format!("push {at}/box")).ok();
    host.docker(&format!("rmi {at}/box busybox")).ok();
    docker(&format!("pull {at}/box"))
        .env("DOCKLESS_IMAGE_DIR", "")
        .ok();
    host.docker(&format!("run --rm {at}/box true")).ok();
}

fn tokens_for_what_is_done_and_one_that_lasts(host: &Host) {
    requires!(Registry::installed(), "docker-registry");
    requires!(Path::new("/usr/bin/openssl").exists(), "openssl");
    // base64 of ann:s3cret
    let tokens = TokenService::start(host, "YW5uOnMzY3JldA==");
    let registry = Registry::with_tokens(host, 5067, &tokens);
    let at = &registry.address;
    let config = host.folder("docker-config");
    let docker = |words: &str| host.docker(words).env("DOCKER_CONFIG", &config);
    host.docker("pull busybox").ok();
    for name in ["team/box", "team/copy"] {
        host.docker(&format!("tag busybox {at}/{name}")).ok();
    }
    docker(&format!("push {at}/team/box"))
        .fails(1)
        .says(&["no basic auth credentials"]);
    docker(&format!("login -u ann --password-stdin {at}"))
        .stdin("wrong\n")
        .fails(1);
    docker(&format!("login -u ann --password-stdin {at}"))
        .stdin("s3cret\n")
        .ok();
    let kept = fs::read_to_string(config.join("config.json")).expect("Docker's config.json");
    assert!(
        kept.contains("identitytoken") && !kept.contains("YW5uOnMzY3JldA=="),
        "the token, not the password: {kept}"
    );
    docker(&format!("push {at}/team/box")).ok();
    let copied = docker(&format!("push {at}/team/copy")).ok();
    assert!(
        copied.contains("Mounted"),
        "with a token for both repositories: {copied}"
    );
    host.docker(&format!("rmi {at}/team/box {at}/team/copy busybox"))
        .ok();
    docker(&format!("pull {at}/team/copy"))
        .env("DOCKLESS_IMAGE_DIR", "")
        .ok();
    let asked = tokens.asked.lock().expect("the requests").join("\n");
    assert!(
        asked.contains("POST /token") && asked.contains("offline_token=true"),
        "{asked}"
    );
    docker(&format!("logout {at}")).ok();
    host.docker(&format!("rmi {at}/team/copy")).ok();
    docker(&format!("pull {at}/team/copy"))
        .env("DOCKLESS_IMAGE_DIR", "")
        .fails(1);
}

fn a_download_over_connections_that_break(host: &Host) {
    requires!(Registry::installed(), "docker-registry");
    let registry = Registry::start(host, 5065);
    let id = put(host, "redis:alpine", &format!("{}/redis", registry.address));
    // Anywhere, but the same in every run: within heads, manifests and layers.
    let cuts: Vec<u64> = (1..24u64).map(|n| n * n * n * 7919 % 3_000_000).collect();
    let way = BrokenWay::to(&registry, &cuts);
    let name = format!("{}/redis", way.address);
    let pull = || {
        host.docker(&format!("pull {name}"))
            .env("DOCKLESS_IMAGE_DIR", "")
            .run()
    };
    // A pull that gives up leaves what it has to the next.
    let tries = (1..=cuts.len()).find(|_| pull().code == 0);
    assert!(tries.is_some(), "{}", pull());
    assert_eq!(host.inspect(&name, "{{.Id}}"), id);
    let left = kernel::files_below(&host.data_root().join("images/ingest"));
    assert!(left.is_empty(), "{left:?}");
    host.docker("run --rm")
        .arg(&name)
        .arg("redis-server --version")
        .run();
}

fn manifests_of_several_platforms(host: &Host) {
    requires!(Registry::installed(), "docker-registry");
    let registry = Registry::start(host, 5066);
    let at = &registry.address;
    put(host, "busybox:latest", &format!("{at}/box:one"));
    put(host, "busybox:zstd", &format!("{at}/other/box:two"));
    let list = format!("{at}/box:all");
    let (one, two) = (format!("{at}/box:one"), format!("{at}/other/box:two"));
    let made = host
        .docker(&format!("manifest create {list} {one} {two}"))
        .ok();
    assert_eq!(made.trim(), format!("Created manifest list {list}"));
    host.docker(&format!("manifest create {list} {one}"))
        .fails(1)
        .says(&["--amend"]);
    host.docker(&format!("manifest create {list}2 redis {one}"))
        .fails(1)
        .says(&["different registry"]);
    host.docker(&format!(
        "manifest annotate --os linux --arch s390x {list} {two}"
    ))
    .ok();
    let digest = host
        .docker(&format!("manifest push --purge {list}"))
        .ok()
        .trim()
        .to_owned();
    host.docker(&format!("manifest inspect {list}2")).fails(1);
    let shown: serde_json::Value =
        serde_json::from_str(&host.docker(&format!("manifest inspect {list}")).ok()).expect("JSON");
    let platforms: Vec<_> = shown["manifests"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|m| m["platform"]["architecture"].clone())
        .collect();
    assert_eq!(platforms.len(), 2);
    assert_eq!(platforms[1], "s390x");
    let verbose: serde_json::Value =
        serde_json::from_str(&host.docker(&format!("manifest inspect -v {list}")).ok())
            .expect("JSON");
    assert_eq!(verbose["Descriptor"]["digest"], digest.as_str());
    host.docker(&format!("pull {list}"))
        .env("DOCKLESS_IMAGE_DIR", "")
        .ok();
    host.docker(&format!("run --rm {list} true")).ok();
    host.docker(&format!("pull --platform linux/s390x {list}"))
        .env("DOCKLESS_IMAGE_DIR", "")
        .ok();
    host.docker(&format!("manifest rm {list}"))
        .fails(1)
        .says(&["No such manifest"]);
    // Both platforms are here now, and go up again as the same list, or one alone.
    host.docker(&format!("tag {list} {at}/again/box")).ok();
    let pushed = host.docker(&format!("push {at}/again/box")).ok();
    assert!(pushed.contains(&digest), "{pushed}");
    host.docker(&format!("push --platform linux/s390x {at}/again/box"))
        .ok();
    let alone: serde_json::Value = serde_json::from_str(
        &host
            .docker(&format!("manifest inspect {at}/again/box"))
            .ok(),
    )
    .expect("JSON");
    assert!(alone["config"].is_object(), "{alone}");
}

fn archives_that_are_not_kept_are_had_again(host: &Host) {
    requires!(Registry::installed(), "docker-registry");
    let (origin, other) = (Registry::start(host, 5081), Registry::start(host, 5082));
    let name = format!("{}/team/box:1", origin.address);
    let id = put(host, "busybox:latest", &name);
    let config = host.folder("etc").join("config.json");
    fs::write(&config, r#"{"keep-blobs": false}"#).expect("a configuration");
    let docker = |words: &str| {
        let call = host.docker(words).env("DOCKLESS_IMAGE_DIR", "");
        call.env("DOCKLESS_CONFIG", &config)
    };
    let digest = |name: &str| {
        let all = docker(&format!(
            "inspect --format '{{{{json .RepoDigests}}}}' {name}"
        ))
        .ok();
        let digest = all.split('@').nth(1).expect("a digest");
        digest.trim_end_matches(['"', ']']).to_owned()
    };
    docker(&format!("pull {name}")).ok();
    let blobs = host.data_root().join("images/blobs/sha256");
    let largest = || {
        let all = fs::read_dir(&blobs).expect("blobs").flatten();
        all.map(|blob| blob.metadata().expect("a file").len()).max()
    };
    assert!(largest() < Some(100_000), "the documents alone are here");
    assert_eq!(docker(&format!("run --rm {name} echo runs")).ok(), "runs");
    docker("system check").ok();
    // Pulled again, nothing is fetched but the answer that it is the same.
    docker(&format!("pull {name}")).run().says(&["up to date"]);
    assert!(largest() < Some(100_000));
    // In its own registry another repository takes what is there; another registry gets what is fetched for it, byte by byte.
    let before = digest(&name);
    for remote in [
        format!("{}/other/box:1", origin.address),
        format!("{}/team/box:1", other.address),
    ] {
        docker(&format!("tag {name} {remote}")).ok();
        docker(&format!("push {remote}")).run().says(&[&before]);
    }
    // What is built on it is pushed and saved as ever.
    host.folder("context");
    fs::write(
        host.folder("context").join("Dockerfile"),
        format!("FROM {name}\nRUN echo made > /made\n"),
    )
    .expect("a Dockerfile");
    docker(&format!(
        "rmi {}/other/box:1 {}/team/box:1",
        origin.address, other.address
    ))
    .ok();
    docker(&format!("pull {name}")).ok();
    let built = format!("{}/team/built:1", other.address);
    docker(&format!(
        "build -t {built} {}",
        host.folder("context").display()
    ))
    .ok();
    docker(&format!("push {built}")).ok();
    let archive = host.folder("archives").join("box.tar");
    docker(&format!("save -o {} {name}", archive.display())).ok();
    docker(&format!("rmi {name} {built}")).ok();
    docker(&format!("load -i {}", archive.display())).ok();
    assert_eq!(
        docker(&format!("inspect --format '{{{{.Id}}}}' {name}")).ok(),
        id
    );
    assert!(
        largest() > Some(100_000),
        "what came from an archive is nowhere else"
    );
    // Without the registry it came from, there is nothing to push.
    docker(&format!("rmi {name}")).ok();
    docker(&format!("pull {name}")).ok();
    drop(origin);
    let third = format!("{}/team/box:2", other.address);
    docker(&format!("tag {name} {third}")).ok();
    docker(&format!("push {third}")).ok();
    let fourth = Registry::start(host, 5083);
    let far = format!("{}/far/box:1", fourth.address);
    docker(&format!("tag {name} {far}")).ok();
    docker(&format!("push {far}"))
        .fails(1)
        .says(&["was not kept", "keep-blobs", "5081"]);
}
