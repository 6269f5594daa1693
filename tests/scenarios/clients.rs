//! Other programs at the same images: what they make is read here and what is made here is read by them, digest for digest, through a
//! registry, through archives and through the store itself.

use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use testkit::{Call, Host, Registry, eventually, kernel, requires, scenarios};

scenarios!(
    skopeo_reads_the_store_and_every_archive_and_back,
    umoci_unpacks_what_is_saved_and_what_it_packs_is_loaded,
    podman_and_buildah_through_a_registry_and_archives,
    dockerd_through_a_registry_and_archives,
);

pub(crate) fn has(name: &str) -> bool {
    ["/usr/bin", "/usr/sbin"]
        .iter()
        .any(|dir| Path::new(dir).join(name).exists())
}

/// A tool of the host, which takes any image: the host's own policy is none of ours.
pub(crate) fn tool(host: &Host, words: &str) -> String {
    let policy = host.folder("etc").join("anything.json");
    fs::write(
        &policy,
        r#"{"default":[{"type":"insecureAcceptAnything"}]}"#,
    )
    .expect("a policy");
    kernel::tool_ok(&words.replace("skopeo ", &format!("skopeo --policy {} ", policy.display())))
}

pub(crate) fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

/// The digest of the manifest at an address of skopeo's.
fn digest(host: &Host, address: &str) -> String {
    let raw = tool(
        host,
        &format!("skopeo inspect --raw --tls-verify=false {address}"),
    );
    let shown = json(&raw);
    assert!(shown["schemaVersion"] == 2, "{raw}");
    tool(
        host,
        &format!("skopeo inspect --tls-verify=false --format {{{{.Digest}}}} {address}"),
    )
}

/// The digests of what the image unpacks to: those no compression changes.
fn layers(host: &Host, address: &str) -> Vec<String> {
    let config = json(&tool(
        host,
        &format!("skopeo inspect --config --tls-verify=false {address}"),
    ));
    let found = config["rootfs"]["diff_ids"].as_array().expect("layers");
    let text = |id: &Value| id.as_str().expect("a digest").to_owned();
    found.iter().map(text).collect()
}

fn our_layers(host: &Host, image: &str) -> Vec<String> {
    json(&host.inspect(image, "{{json .RootFS.Layers}}"))
        .as_array()
        .expect("layers")
        .iter()
        .map(|id| id.as_str().expect("a digest").to_owned())
        .collect()
}

pub(crate) fn our_digest(host: &Host, image: &str) -> String {
    let all = json(&host.inspect(image, "{{json .RepoDigests}}"));
    let first = all[0].as_str().expect("a digest");
    first.split_once('@').expect("a digest").1.to_owned()
}

fn save(host: &Host, image: &str, name: &str) -> PathBuf {
    let file = host.folder("archives").join(name);
    host.docker(&format!("save {image} -o {}", file.display()))
        .ok();
    file
}

fn skopeo_reads_the_store_and_every_archive_and_back(host: &Host) {
    requires!(has("skopeo"), "skopeo");
    let store = host.data_root().join("images");
    for image in [
        "busybox:latest",
        "busybox:zstd",
        "busybox:schema2",
        "localhost/odd:multi",
    ] {
        host.docker(&format!("pull {image}")).ok();
        let full = match image.starts_with("localhost/") {
            true => image.to_owned(),
            false => format!("docker.io/library/{image}"),
        };
        let file = save(host, image, "saved.tar");
        // It sees no manifests of Docker's form in a layout: those it is given as an archive.
        let here = match image {
            "busybox:schema2" => format!("docker-archive:{}", file.display()),
            _ => format!("oci:{}:{full}", store.display()),
        };
        let out = host.folder("copied").join(image.replace(['/', ':'], "-"));
        tool(
            host,
            &format!("skopeo copy -q {here} dir:{}", out.display()),
        );
        for address in [&here, &format!("dir:{}", out.display())] {
            assert_eq!(layers(host, address), our_layers(host, image), "{image}");
        }
        let archive = format!("docker-archive:{}", file.display());
        assert_eq!(layers(host, &archive), our_layers(host, image), "{image}");
        if image != "busybox:schema2" {
            let oci = format!("oci-archive:{}", file.display());
            assert_eq!(layers(host, &oci), our_layers(host, image), "{image}");
        }
        for form in ["docker-archive", "oci-archive"] {
            // There are no layers in zstd in Docker's form: it does not write it.
            if image != "busybox:zstd" || form == "oci-archive" {
                back(host, image, &here, form);
            }
        }
    }
    a_directory_of_skopeo_s_is_an_image_dir(host);
}

/// What skopeo writes of an image of ours is that image.
fn back(host: &Host, image: &str, here: &str, form: &str) {
    let file = host.folder("archives").join(form);
    let (name, loaded) = match form {
        "docker-archive" => (":back.example/it:1", "back.example/it:1"),
        _ => ("", ""),
    };
    tool(
        host,
        &format!("skopeo copy -q {here} {form}:{}{name}", file.display()),
    );
    let said = host.docker(&format!("load -i {}", file.display())).ok();
    let loaded = match loaded {
        "" => said.trim().rsplit(' ').next().unwrap_or_default(),
        name => name,
    };
    assert_eq!(our_layers(host, loaded), our_layers(host, image), "{form}");
    if form == "oci-archive" && image == "busybox:latest" {
        let id = host.inspect(image, "{{.Id}}");
        assert_eq!(host.inspect(loaded, "{{.Id}}"), id, "bit for bit");
    }
    fs::remove_file(&file).expect("the archive");
}

fn a_directory_of_skopeo_s_is_an_image_dir(host: &Host) {
    let layout = host.folder("layout");
    let store = host.data_root().join("images");
    tool(
        host,
        &format!(
            "skopeo copy -q oci:{}:docker.io/library/busybox:zstd oci:{}:there.example/box:1",
            store.display(),
            layout.display()
        ),
    );
    host.docker("pull there.example/box:1")
        .env("DOCKLESS_IMAGE_DIR", &layout)
        .ok();
    assert_eq!(
        host.inspect("there.example/box:1", "{{.Id}}"),
        host.inspect("busybox:zstd", "{{.Id}}")
    );
}

fn umoci_unpacks_what_is_saved_and_what_it_packs_is_loaded(host: &Host) {
    requires!(has("umoci"), "umoci");
    requires!(has("skopeo"), "skopeo");
    host.docker("pull busybox").ok();
    let file = save(host, "busybox", "saved.tar");
    let dir = host.folder("umoci");
    let layout = dir.join("layout");
    fs::create_dir_all(&layout).expect("a directory");
    kernel::tool_ok(&format!(
        "tar -xf {} -C {}",
        file.display(),
        layout.display()
    ));
    // umoci's names are tags alone.
    let index = layout.join("index.json");
    let mut table = json(&fs::read_to_string(&index).expect("index.json"));
    table["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"] = "one".into();
    fs::write(&index, table.to_string()).expect("index.json");
    let bundle = dir.join("bundle");
    let image = format!("--image {}:one", layout.display());
    kernel::tool_ok(&format!("umoci unpack {image} {}", bundle.display()));
    let listing =
        |root: &str| kernel::tool_ok(&format!("sh -c 'cd {root} && find . | sort | sha256sum'"));
    let root = bundle.join("rootfs").display().to_string();
    let exported = dir.join("exported");
    fs::create_dir_all(&exported).expect("a directory");
    host.docker("create --name box busybox").ok();
    let tar = dir.join("box.tar");
    host.docker(&format!("export box -o {}", tar.display()))
        .ok();
    kernel::tool_ok(&format!(
        "tar -xf {} -C {}",
        tar.display(),
        exported.display()
    ));
    for made in [
        "dev",
        "proc",
        "sys",
        "etc/hosts",
        "etc/hostname",
        "etc/resolv.conf",
        "etc/mtab",
        ".dockerenv",
    ] {
        for tree in [&root, &exported.display().to_string()] {
            kernel::tool_ok(&format!("rm -rf {tree}/{made}"));
        }
    }
    assert_eq!(listing(&root), listing(&exported.display().to_string()));
    fs::write(bundle.join("rootfs/added"), "by umoci").expect("a file");
    kernel::tool_ok(&format!("umoci repack {image} {}", bundle.display()));
    let archive = dir.join("repacked.tar");
    tool(
        host,
        &format!(
            "skopeo copy -q oci:{}:one oci-archive:{}:re.example/packed:1",
            layout.display(),
            archive.display()
        ),
    );
    host.docker(&format!("load -i {}", archive.display())).ok();
    let seen = host.docker("run --rm re.example/packed:1 cat /added").ok();
    assert_eq!(seen.trim(), "by umoci");
    assert_eq!(
        our_layers(host, "re.example/packed:1"),
        layers(host, &format!("oci:{}:one", layout.display()))
    );
}

fn podman_and_buildah_through_a_registry_and_archives(host: &Host) {
    requires!(has("podman") && has("buildah"), "podman and buildah");
    requires!(has("skopeo"), "skopeo");
    requires!(Registry::installed(), "docker-registry");
    let registry = Registry::start(host, 5071);
    let at = &registry.address;
    let root = host.folder("containers-storage");
    let where_ = format!(
        "--root {}/root --runroot /run/theirs --storage-driver vfs",
        root.display()
    );
    let podman = |words: &str| kernel::tool_ok(&format!("podman {where_} {words}"));
    let buildah = |words: &str| kernel::tool_ok(&format!("buildah {where_} {words}"));
    host.docker("pull busybox").ok();
    host.docker(&format!("tag busybox {at}/ours")).ok();
    host.docker(&format!("push {at}/ours")).ok();
    podman(&format!("pull -q --tls-verify=false {at}/ours"));
    let theirs = podman(&format!("inspect --format {{{{.Id}}}} {at}/ours"));
    let ours = host.inspect("busybox", "{{.Id}}");
    assert_eq!(format!("sha256:{theirs}"), ours);
    assert_eq!(
        podman(&format!("inspect --format {{{{.Digest}}}} {at}/ours")),
        digest(host, &format!("docker://{at}/ours"))
    );
    // buildah commits a layer over ours, and pushes it.
    let container = buildah(&format!("from --pull-never {at}/ours"));
    let file = root.join("file");
    fs::write(&file, "by buildah").expect("a file");
    buildah(&format!("copy {container} {} /added", file.display()));
    buildah(&format!("config --label who=buildah {container}"));
    buildah(&format!("commit -q {container} {at}/theirs"));
    for compression in ["gzip", "zstd"] {
        podman(&format!(
            "push -q --tls-verify=false --compression-format {compression} {at}/theirs {at}/theirs:{compression}"
        ));
        let name = format!("{at}/theirs:{compression}");
        host.docker(&format!("pull {name}"))
            .env("DOCKLESS_IMAGE_DIR", "")
            .ok();
        assert_eq!(
            our_digest(host, &name),
            digest(host, &format!("docker://{name}"))
        );
        let seen = host.docker(&format!("run --rm {name} cat /added")).ok();
        assert_eq!(seen.trim(), "by buildah");
        assert_eq!(host.inspect(&name, "{{.Config.Labels.who}}"), "buildah");
        // Up again under another name, it is the same.
        host.docker(&format!("tag {name} {at}/again:{compression}"))
            .ok();
        host.docker(&format!("push {at}/again:{compression}")).ok();
        assert_eq!(
            digest(host, &format!("docker://{at}/again:{compression}")),
            our_digest(host, &name)
        );
    }
    for form in ["docker-archive", "oci-archive"] {
        let file = root.join(form);
        podman(&format!(
            "save -q --format {form} -o {} {at}/theirs",
            file.display()
        ));
        let id = podman(&format!("inspect --format {{{{.Id}}}} {at}/theirs"));
        host.docker(&format!("rmi -f {at}/theirs:gzip {at}/theirs:zstd"))
            .ok();
        host.docker(&format!("load -i {}", file.display())).ok();
        assert_eq!(
            host.inspect(&format!("{at}/theirs"), "{{.Id}}"),
            format!("sha256:{id}")
        );
        podman(&format!("rmi -f {id}"));
        let ours = save(host, &format!("{at}/theirs"), form);
        podman(&format!("load -q -i {}", ours.display()));
        assert_eq!(
            podman(&format!("inspect --format {{{{.Id}}}} {at}/theirs")),
            id,
            "{form}"
        );
        host.docker(&format!("rmi -f {at}/theirs")).run();
    }
}

/// A daemon of its own, with nothing of the host's.
fn dockerd(host: &Host) -> (testkit::Running, String) {
    let folder = host.folder("docker");
    fs::write(folder.join("daemon.json"), "{}").expect("a file");
    let dir = folder.display();
    let words = format!(
        "--host unix://{dir}/docker.sock --data-root {dir}/data --exec-root /run/docker-beside --pidfile {dir}/pid \
         --config-file {dir}/daemon.json --storage-driver vfs --iptables=false --ip-masq=false --bridge none"
    );
    let daemon = Call::tool(Path::new("dockerd"), &words).start();
    let client = format!("/usr/bin/docker --host unix://{dir}/docker.sock");
    eventually("dockerd", || {
        let info = format!("{client} info --format '{{{{.ID}}}}'");
        (!kernel::tool(&info).is_empty()).then_some(())
    });
    (daemon, client)
}

fn dockerd_through_a_registry_and_archives(host: &Host) {
    requires!(has("dockerd"), "dockerd");
    requires!(has("skopeo"), "skopeo");
    requires!(Registry::installed(), "docker-registry");
    let registry = Registry::start(host, 5072);
    let at = &registry.address;
    let (_daemon, client) = dockerd(host);
    let docker = |words: &str| kernel::tool_ok(&format!("{client} {words}"));
    host.docker("pull busybox").ok();
    let id = host.inspect("busybox", "{{.Id}}");
    host.docker(&format!("tag busybox {at}/ours")).ok();
    host.docker(&format!("push {at}/ours")).ok();
    docker(&format!("pull -q {at}/ours"));
    assert_eq!(
        docker(&format!("inspect --format {{{{.Id}}}} {at}/ours")),
        id
    );
    assert_eq!(
        json(&docker(&format!(
            "inspect --format '{{{{json .RepoDigests}}}}' {at}/ours"
        )))[0],
        format!("{at}/ours@{}", digest(host, &format!("docker://{at}/ours")))
    );
    docker(&format!("tag {at}/ours {at}/theirs"));
    docker(&format!("push -q {at}/theirs"));
    host.docker(&format!("rmi -f {at}/ours busybox")).ok();
    host.docker(&format!("pull {at}/theirs"))
        .env("DOCKLESS_IMAGE_DIR", "")
        .ok();
    assert_eq!(host.inspect(&format!("{at}/theirs"), "{{.Id}}"), id);
    assert_eq!(
        our_digest(host, &format!("{at}/theirs")),
        digest(host, &format!("docker://{at}/theirs"))
    );
    let file = host.folder("archives").join("theirs.tar");
    docker(&format!("save -o {} {at}/theirs", file.display()));
    host.docker(&format!("rmi -f {at}/theirs")).ok();
    host.docker(&format!("load -i {}", file.display())).ok();
    assert_eq!(host.inspect(&format!("{at}/theirs"), "{{.Id}}"), id);
    docker(&format!("rmi -f {at}/ours {at}/theirs"));
    let ours = save(host, &format!("{at}/theirs"), "ours.tar");
    docker(&format!("load -q -i {}", ours.display()));
    assert_eq!(
        docker(&format!("inspect --format {{{{.Id}}}} {at}/theirs")),
        id
    );
}
