//! Images in and out: folders, a real registry, archives; names, corners of the format, removal.

use std::fs;
use testkit::{Host, Registry, eventually, kernel, requires, scenarios};

scenarios!(
    push_and_pull_by_a_real_registry,
    a_registry_that_asks_for_a_password,
    save_and_load_carry_an_image,
    tags_and_removal,
    what_an_image_took_is_given_back_without_a_prune,
    the_corners_of_the_format,
    the_store_is_a_layout_that_others_read,
);

fn push_and_pull_by_a_real_registry(host: &Host) {
    requires!(Registry::installed(), "docker-registry");
    let registry = Registry::start(host, 5055);
    let at = &registry.address;
    for image in [
        "busybox:latest",
        "busybox:zstd",
        "busybox:schema2",
        "redis:alpine",
    ] {
        let remote = format!("{at}/some/{}", image.replace(':', "/") + ":v1");
        host.docker(&format!("pull {image}")).ok();
        host.docker(&format!("tag {image} {remote}")).ok();
        host.docker(&format!("push {remote}")).ok();
        let id = host.inspect(image, "{{.Id}}");
        host.docker(&format!("rmi {remote} {image}")).ok();
        host.docker(&format!("pull {remote}"))
            .env("DOCKLESS_IMAGE_DIR", "")
            .ok();
        assert_eq!(
            host.inspect(&remote, "{{.Id}}"),
            id,
            "{image} came back as it was"
        );
        let digest = host.inspect(&remote, "{{index .RepoDigests 0}}");
        assert!(
            digest.starts_with(at.as_str()) && digest.contains("@sha256:"),
            "{digest}"
        );
        host.docker(&format!("rmi {remote}")).ok();
        host.docker(&format!("pull {digest}"))
            .env("DOCKLESS_IMAGE_DIR", "")
            .ok();
        host.docker("run --rm").arg(&digest).arg("true").ok();
    }
    let output = host.docker(&format!("pull {at}/some/thing:else")).fails(1);
    output.says(&["some/thing", "else"]);
    let output = host.docker("pull 127.0.0.1:1/x").fails(1);
    output.says(&["127.0.0.1:1"]);
}

fn a_registry_that_asks_for_a_password(host: &Host) {
    requires!(Registry::installed(), "docker-registry");
    let registry = Registry::with_password(host, 5056, "ann", "s3cret");
    let at = &registry.address;
    let config = host.folder("docker-config");
    let docker = |words: &str| host.docker(words).env("DOCKER_CONFIG", &config);
    let remote = format!("{at}/private/busybox:1");
    docker("pull busybox").ok();
    docker(&format!("tag busybox {remote}")).ok();
    docker(&format!("push {remote}")).fails(1);
    docker(&format!("login -u ann --password-stdin {at}"))
        .stdin("wrong\n")
        .fails(1);
    assert!(
        !config.join("config.json").exists()
            || !fs::read_to_string(config.join("config.json"))
                .unwrap_or_default()
                .contains(at.as_str())
    );
    docker(&format!("login -u ann --password-stdin {at}"))
        .stdin("s3cret\n")
        .ok();
    let text = fs::read_to_string(config.join("config.json")).expect("Docker's config.json");
    assert!(
        text.contains(at.as_str()) && !text.contains("s3cret"),
        "{text}"
    );
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &fs::metadata(config.join("config.json"))
            .expect("a file")
            .permissions(),
    );
    assert_eq!(mode & 0o077, 0, "readable by its owner alone");
    docker(&format!("push {remote}")).ok();
    docker(&format!("rmi {remote} busybox")).ok();
    docker(&format!("pull {remote}"))
        .env("DOCKLESS_IMAGE_DIR", "")
        .ok();
    docker(&format!("rmi {remote}")).ok();
    docker(&format!("logout {at}")).ok();
    docker(&format!("pull {remote}"))
        .env("DOCKLESS_IMAGE_DIR", "")
        .fails(1);
}

fn save_and_load_carry_an_image(host: &Host) {
    host.docker("pull busybox").ok();
    host.docker("pull hello-world").ok();
    let id = host.inspect("busybox", "{{.Id}}");
    let archive = host.folder("archives").join("two.tar");
    host.docker("save -o")
        .arg(&archive)
        .arg("busybox")
        .arg("hello-world")
        .ok();
    let names = kernel::tool_ok(&format!("tar tf {}", archive.display()));
    assert!(
        names.contains("manifest.json") && names.contains("index.json"),
        "both formats' indexes: {names}"
    );
    host.docker("rmi busybox hello-world").ok();
    assert_eq!(host.docker("images -q").ok(), "");
    let said = host.docker("load -i").arg(&archive).ok();
    assert!(said.contains("Loaded image: busybox:latest"), "{said}");
    assert_eq!(host.inspect("busybox", "{{.Id}}"), id);
    host.docker("run --rm --pull never busybox true").ok();
    let bytes = fs::read(&archive).expect("the archive");
    host.docker("rmi busybox").ok();
    host.docker("load").stdin(bytes).ok();
    host.docker("run --rm --pull never hello-world").ok();
    host.docker("load").stdin("this is no archive").fails(1);
}

fn tags_and_removal(host: &Host) {
    host.docker("pull -q busybox").ok();
    host.docker("tag busybox mine:1").ok();
    host.docker("tag busybox example.com:5000/team/mine").ok();
    let listed = host
        .docker("images --format '{{.Repository}}:{{.Tag}}'")
        .ok();
    for name in [
        "busybox:latest",
        "mine:1",
        "example.com:5000/team/mine:latest",
    ] {
        assert!(listed.lines().any(|l| l == name), "{name}: {listed}");
    }
    host.docker("tag busybox UPPER").fails(1);
    host.docker("rmi mine:1").run().says(&["Untagged: mine:1"]);
    host.docker("run -d --name user busybox sleep 1000").ok();
    host.docker("rmi busybox example.com:5000/team/mine")
        .fails(1)
        .says(&["is using"]);
    host.docker("rm -f user").ok();
    let id = host.inspect("example.com:5000/team/mine", "{{.Id}}");
    host.docker("rmi -f").arg(&id).ok();
    assert_eq!(host.docker("images -q").ok(), "");
    assert_eq!(
        kernel::files_below(&host.data_root().join("layers")).len(),
        0,
        "layers go with their last image"
    );
    host.docker("rmi nothing")
        .fails(1)
        .says(&["No such image: nothing"]);
    host.docker("run --rm --pull never busybox true")
        .fails(125)
        .says(&["busybox"]);
}

fn the_corners_of_the_format(host: &Host) {
    let seen = host
        .docker("run --rm localhost/odd:layers /check/run")
        .run();
    assert!(seen.code == 0 && seen.stdout.contains("ALL OK"), "{seen}");
    let user = host.docker("run --rm localhost/odd:user").run();
    assert_eq!(user.code, 0, "{user}");
    host.docker("run --rm localhost/odd:multi").ok();
    host.docker("run --rm localhost/odd:entrypoint").ok();
    for tag in ["zstd", "schema2", "uncompressed"] {
        host.docker(&format!("run --rm busybox:{tag} true")).ok();
    }
    host.docker("run --rm hello-world").run().says(&["Hello"]);
    host.docker("run --rm --platform linux/s390x hello-world")
        .run()
        .says(&["s390x"]);
}

fn the_store_is_a_layout_that_others_read(host: &Host) {
    requires!(std::path::Path::new("/usr/bin/skopeo").exists(), "skopeo");
    host.docker("pull busybox").ok();
    let images = host.data_root().join("images");
    let index: serde_json::Value =
        serde_json::from_slice(&fs::read(images.join("index.json")).expect("index.json"))
            .expect("JSON");
    let name = index["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"]
        .as_str()
        .expect("a name")
        .to_owned();
    let out = host.folder("copied");
    kernel::tool_ok(&format!(
        "skopeo copy --quiet oci:{}:{name} dir:{}",
        images.display(),
        out.display()
    ));
    assert!(out.join("manifest.json").exists());
}

fn what_an_image_took_is_given_back_without_a_prune(host: &Host) {
    host.docker("pull -q busybox").ok();
    assert!(!kernel::files_below(&host.data_root().join("layers")).is_empty());
    host.docker("rmi busybox").ok();
    // Who removed it has answered before its files are gone.
    for part in ["layers", "trash", "images/blobs/sha256"] {
        eventually(&format!("nothing in {part}"), || {
            let left = kernel::files_below(&host.data_root().join(part));
            left.is_empty().then_some(())
        });
    }
}
