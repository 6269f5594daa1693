//! The store: damage is found and mended, `system df` is what `du` says; images that are looked into
//! on the host, and folders of images that cannot be written.

use std::fs;
use std::path::{Path, PathBuf};
use testkit::{Host, Registry, kernel, requires, scenarios};

scenarios!(
    damage_is_found_and_only_it_goes,
    a_damaged_image_is_fetched_again,
    df_is_what_du_says,
    prune_by_age_label_and_generation,
    an_image_is_mounted_and_unmounted,
    image_folders_on_read_only_media,
);

fn blobs(host: &Host) -> PathBuf {
    host.data_root().join("images/blobs/sha256")
}

/// The largest blob: a layer.
fn largest(dir: &Path) -> PathBuf {
    let files = fs::read_dir(dir).expect("blobs").flatten();
    let size = |path: &PathBuf| path.metadata().map_or(0, |m| m.len());
    files.map(|e| e.path()).max_by_key(size).expect("a blob")
}

/// Flips a byte in the middle. The file is copied first: it may be the image folder's own.
fn damage(path: &Path) {
    let mut bytes = fs::read(path).expect("a file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    fs::remove_file(path).expect("a file");
    fs::write(path, bytes).expect("a file");
}

fn damage_is_found_and_only_it_goes(host: &Host) {
    host.docker("pull busybox").ok();
    host.docker("pull hello-world").ok();
    host.docker("volume create data").ok();
    host.docker("network create net").ok();
    host.docker("create --name web busybox true").ok();
    host.docker("system check")
        .run()
        .says(&["everything is whole"]);
    let layer = host.data_root().join("layers").join(
        host.inspect("busybox", "{{index .RootFS.Layers 0}}")
            .replace("sha256:", ""),
    );
    requires!(layer.join("diff").exists(), "layers that are directories");
    let program = layer.join("diff/bin/busybox");
    let program = fs::canonicalize(&program).unwrap_or(program);
    damage(&program);
    let record = host.data_root().join("volumes/data/record.json");
    fs::write(host.data_root().join("volumes/data/_data/kept"), "kept").expect("a file");
    fs::write(&record, "{").expect("a record");
    fs::write(host.data_root().join("networks/net.json"), "{").expect("a record");
    let found = host.docker("system check").fails(1);
    found.says(&[
        "volume data",
        "network net",
        "busybox",
        "is damaged",
        "3 faults",
    ]);
    let quick = host.docker("system check --quick").fails(1);
    quick.says(&["2 faults"]);
    let mended = host.docker("system check --repair").run();
    assert_eq!(mended.code, 0, "{mended}");
    mended.says(&["made anew", "restored"]);
    host.docker("system check").ok();
    host.docker("run --rm --pull never busybox true").ok();
    host.docker("run --rm --pull never hello-world").ok();
    let kept = host.docker("run --rm -v data:/d busybox cat /d/kept").ok();
    assert_eq!(kept, "kept");
    assert_eq!(
        host.docker("ps -aq --filter name=web").ok().lines().count(),
        1
    );
    let container = host.inspect("web", "{{.Id}}");
    let record = host
        .data_root()
        .join("containers")
        .join(container)
        .join("config.json");
    fs::write(record, "{").expect("a record");
    host.docker("system check --repair")
        .fails(1)
        .says(&["--force"]);
    host.docker("system check --repair --force").ok();
    assert_eq!(host.docker("ps -aq").ok(), "");
}

fn a_damaged_image_is_fetched_again(host: &Host) {
    requires!(Registry::installed(), "docker-registry");
    let registry = Registry::start(host, 5072);
    let remote = format!("{}/box:1", registry.address);
    host.docker("pull busybox").ok();
    host.docker(&format!("tag busybox {remote}")).ok();
    host.docker(&format!("push {remote}")).ok();
    host.docker(&format!("rmi busybox {remote}")).ok();
    let offline = |words: &str| host.docker(words).env("DOCKLESS_IMAGE_DIR", "");
    offline(&format!("pull {remote}")).ok();
    damage(&largest(&blobs(host)));
    offline("system check --quick").ok();
    offline("system check")
        .fails(1)
        .says(&["is damaged", &remote]);
    let mended = offline("system check --repair").run();
    assert_eq!(mended.code, 0, "{mended}");
    mended.says(&["restored"]);
    offline("system check").ok();
    // Nowhere to be had: the archive goes, the image runs on.
    damage(&largest(&blobs(host)));
    drop(registry);
    let dropped = offline("system check --repair").run();
    dropped.says(&["cannot be had again"]);
    offline(&format!(
        "run --rm --pull never --network none {remote} true"
    ))
    .ok();
}

/// `12.3MB` → bytes, to four digits.
fn bytes(text: &str) -> f64 {
    let end = text
        .find(|c: char| c.is_ascii_alphabetic())
        .unwrap_or(text.len());
    let number: f64 = text[..end].parse().expect("a number");
    let unit = match &text[end..] {
        "B" | "" => 1.0,
        "kB" => 1e3,
        "MB" => 1e6,
        "GB" => 1e9,
        other => panic!("unit {other}"),
    };
    number * unit
}

fn df_is_what_du_says(host: &Host) {
    let project = host.compose_file("df", "");
    project.write(
        "Dockerfile",
        "FROM busybox\nRUN dd if=/dev/zero of=/a bs=1M count=3\n",
    );
    host.docker("build -q --network none -t sized .")
        .dir(project.dir())
        .ok();
    host.docker("pull hello-world").ok();
    host.docker("run --name cc -v data:/data sized sh -c 'dd if=/dev/zero of=/data/x bs=1M count=2; dd if=/dev/zero of=/y bs=1M count=1'")
        .ok();
    let rows = host.docker("system df --format '{{.Type}}={{.Size}}'").ok();
    let listed: f64 = rows
        .lines()
        .map(|row| bytes(row.split_once('=').expect("a row").1))
        .sum();
    let du = kernel::tool_ok(&format!("du -s -B1 {}", host.data_root().display()));
    let du: f64 = du
        .split_whitespace()
        .next()
        .expect("a number")
        .parse()
        .expect("bytes");
    let off = (listed - du).abs() / du;
    assert!(off < 0.01, "{rows}\ndf {listed}, du {du}");
    let reclaimable = host
        .docker("system df --format '{{.Type}}={{.Reclaimable}}'")
        .ok();
    assert!(reclaimable.contains("Images="), "{reclaimable}");
}

fn prune_by_age_label_and_generation(host: &Host) {
    let project = host.compose_file("pruned", "");
    for (tag, label) in [("keep", "stay=yes"), ("go", "stay=no")] {
        project.write(
            "Dockerfile",
            &format!("FROM busybox\nLABEL {label}\nRUN echo {tag} > /tag\n"),
        );
        host.docker(&format!("build -q --network none -t {tag} ."))
            .dir(project.dir())
            .ok();
    }
    let names = || host.docker("images --format '{{.Repository}}'").ok();
    host.docker("image prune -af --filter until=240h").ok();
    assert!(names().contains("go"), "made just now");
    host.docker("image prune -af --filter label!=stay=yes --filter label=stay")
        .ok();
    assert!(
        !names().contains("go") && names().contains("keep"),
        "{}",
        names()
    );
    let versions = host.compose_file("versions", "services: {a: {image: 'busybox:latest', command: sleep 1000, stop_grace_period: 0s, labels: {v: '1'}}}\n");
    versions.compose("up -d").ok();
    for version in 2..5 {
        let (from, to) = (format!("v: '{}'", version - 1), format!("v: '{version}'"));
        versions.replace("docker-compose.yml", &from, &to);
        versions.compose("up -d").ok();
    }
    let kept = || {
        let dir = host.data_root().join("generations/versions");
        fs::read_dir(dir).map_or(0, |entries| entries.count())
    };
    assert_eq!(kept(), 4);
    host.docker("image prune -f --keep-generations 2")
        .run()
        .says(&["versions/1", "versions/2"]);
    assert_eq!(kept(), 2);
    let config = host.folder("etc").join("one.json");
    fs::write(&config, r#"{"keep-generations": 1}"#).expect("a configuration");
    versions.replace("docker-compose.yml", "v: '4'", "v: '5'");
    versions
        .compose("up -d")
        .env("DOCKLESS_CONFIG", &config)
        .ok();
    assert_eq!(kept(), 1, "as the configuration says");
}

fn an_image_is_mounted_and_unmounted(host: &Host) {
    host.docker("pull busybox").ok();
    let me = i32::try_from(std::process::id()).expect("a pid");
    let path = host.docker("image mount busybox").ok();
    assert!(Path::new(&path).join("bin").exists());
    assert!(
        fs::write(Path::new(&path).join("x"), "").is_err(),
        "read-only"
    );
    assert_eq!(host.docker("image mount busybox").ok(), path, "once");
    assert!(host.docker("image mount").ok().contains("busybox"));
    let listed = host.docker("image mount --format json").ok();
    assert!(listed.contains(&path), "{listed}");
    host.docker("rmi -f busybox")
        .fails(1)
        .says(&["is mounted at", "image unmount"]);
    host.docker("image prune -af").ok();
    assert!(Path::new(&path).join("bin").exists(), "it is in use");
    host.docker("image unmount busybox").ok();
    assert!(kernel::mounts_of(me).iter().all(|m| m.target != path));
    host.docker("image unmount busybox")
        .fails(1)
        .says(&["not mounted"]);
    host.docker("image mount -a").ok();
    host.docker("image unmount -a").ok();
    assert_eq!(host.docker("image mount").ok(), "");
    host.docker("rmi busybox").ok();
    host.docker("image mount busybox")
        .fails(1)
        .says(&["No such image"]);
}

/// A folder with one image, as skopeo or `save` would make it.
fn folder_of(host: &Host, image: &str) -> PathBuf {
    let archive = host.folder("archives").join("one.tar");
    host.docker(&format!("pull {image}")).ok();
    host.docker(&format!("tag {image} media/{image}:1")).ok();
    host.docker(&format!("save media/{image}:1 -o"))
        .arg(&archive)
        .ok();
    host.docker(&format!("rmi media/{image}:1 {image}")).ok();
    let folder = host.folder("media");
    kernel::tool_ok(&format!(
        "tar xf {} -C {}",
        archive.display(),
        folder.display()
    ));
    folder
}

fn runs_from(host: &Host, folder: &Path) {
    host.docker("run --rm --network none media/busybox:1 true")
        .env("DOCKLESS_IMAGE_DIR", folder)
        .ok();
    host.docker("system check").ok();
    host.docker("rmi media/busybox:1").ok();
}

fn image_folders_on_read_only_media(host: &Host) {
    let folder = folder_of(host, "busybox");
    let shown = host.folder("read-only");
    kernel::tool_ok(&format!(
        "mount --bind {} {}",
        folder.display(),
        shown.display()
    ));
    kernel::tool_ok(&format!("mount -o remount,bind,ro {}", shown.display()));
    assert!(fs::write(shown.join("x"), "").is_err());
    runs_from(host, &shown);
    requires!(Path::new("/usr/bin/mksquashfs").exists(), "squashfs-tools");
    let squashed = host.folder("archives").join("media.squashfs");
    kernel::tool_ok(&format!(
        "mksquashfs {} {} -quiet",
        folder.display(),
        squashed.display()
    ));
    let stick = host.folder("stick");
    let mounted = kernel::tool(&format!(
        "mount -t squashfs -o loop,ro {} {}",
        squashed.display(),
        stick.display()
    ));
    requires!(
        stick.join("index.json").exists(),
        format!("squashfs in the kernel: {mounted}")
    );
    runs_from(host, &stick);
    kernel::tool_ok(&format!("umount {}", stick.display()));
}
