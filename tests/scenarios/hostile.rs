//! Layers that mean harm: whatever they name, nothing outside their own directory is touched, and nothing half-made stays.

use std::fs;
use testkit::layout::{Entry, layer, write};
use testkit::{Host, kernel, scenarios};

scenarios!(
    no_entry_reaches_outside_its_layer,
    a_blob_that_is_not_what_its_digest_says,
    a_layer_that_ends_too_early,
    top_runs_nothing_of_the_container_cve_2022_1227
);

fn no_entry_reaches_outside_its_layer(host: &Host) {
    // A short path: a ustar name holds a hundred bytes. /run is the scenario's own.
    let victim = std::path::PathBuf::from("/run/victim");
    fs::create_dir(&victim).expect("a folder");
    fs::write(victim.join("file"), "untouched").expect("a file");
    let up = "../../../../../../../../../../../../../../../../..";
    let outside = format!("{up}{}/planted", victim.display());
    let direct = format!("{}/planted", victim.display());
    let existing = format!("{}/file", victim.display());
    let link_to = format!("{up}{}", victim.display());
    let attacks: &[(&str, Vec<Vec<u8>>)] = &[
        ("dotdot", vec![layer(&[Entry::File(&outside, "x")])]),
        ("absolute", vec![layer(&[Entry::File(&direct, "x")])]),
        (
            "symlink-absolute",
            vec![layer(&[
                Entry::Symlink("a", victim.to_str().expect("text")),
                Entry::File("a/planted", "x"),
            ])],
        ),
        (
            "symlink-dotdot",
            vec![layer(&[
                Entry::Symlink("a", &link_to),
                Entry::File("a/planted", "x"),
            ])],
        ),
        (
            "symlink-below",
            vec![
                layer(&[Entry::Symlink("a", &link_to)]),
                layer(&[Entry::File("a/planted", "x")]),
            ],
        ),
        (
            "hardlink",
            vec![layer(&[
                Entry::Hardlink("a", &existing),
                Entry::File("a", "overwritten"),
            ])],
        ),
        (
            "hardlink-dotdot",
            vec![layer(&[
                Entry::Hardlink("a", &format!("{up}{existing}")),
                Entry::File("a", "overwritten"),
            ])],
        ),
        (
            "whiteout",
            vec![
                layer(&[Entry::Symlink("a", &link_to)]),
                layer(&[Entry::File("a/.wh.file", "")]),
            ],
        ),
        (
            "whiteout-dotdot",
            vec![layer(&[Entry::File(
                &format!("{up}{}/.wh.file", victim.display()),
                "",
            )])],
        ),
        (
            "whiteout-of-all",
            vec![
                layer(&[Entry::File("x", "x")]),
                layer(&[Entry::File(".wh...", ""), Entry::File(".wh..", "")]),
            ],
        ),
        (
            "opaque",
            vec![
                layer(&[Entry::Symlink("a", &link_to)]),
                layer(&[Entry::File("a/.wh..wh..opq", "")]),
            ],
        ),
        (
            "directory-over-link",
            vec![layer(&[
                Entry::Symlink("a", &link_to),
                Entry::Directory("a"),
                Entry::File("a/planted", "x"),
            ])],
        ),
    ];
    for (name, layers) in attacks {
        let dir = host.folder(&format!("attack-{name}"));
        let full = format!("localhost/attack:{name}");
        write(&dir, &full, layers);
        let output = host
            .docker(&format!("pull {full}"))
            .env("DOCKLESS_IMAGE_DIR", &dir)
            .run();
        if output.code == 0 {
            // Taken in as harmless: then its use is, too.
            host.docker(&format!("create --name c-{name} {full}")).run();
            host.docker(&format!("start c-{name}")).run();
            host.docker(&format!("rm -f c-{name}")).run();
        }
        assert_eq!(
            kernel::files_below(&victim).into_iter().collect::<Vec<_>>(),
            ["file"],
            "{name}: {output}"
        );
        assert_eq!(
            fs::read_to_string(victim.join("file")).expect("still there"),
            "untouched",
            "{name}"
        );
    }
    // A device of the host in a layer is of no use inside: the device controller or nodev stops it.
    let dir = host.folder("attack-device");
    let busybox = fs::read("/bin/busybox").expect("busybox-static");
    write(
        &dir,
        "localhost/attack:device",
        &[layer(&[Entry::Device("disk", 254, 0)]), program(&busybox)],
    );
    let output = host
        .docker("run --rm localhost/attack:device /busybox dd if=/disk of=/dev/null count=1")
        .env("DOCKLESS_IMAGE_DIR", &dir)
        .run();
    assert_ne!(output.code, 0, "{output}");
}

/// A layer with one program, `/busybox`.
fn program(bytes: &[u8]) -> Vec<u8> {
    let dir = std::env::temp_dir().join(format!("program-{}", std::process::id()));
    fs::create_dir_all(&dir).expect("a folder");
    fs::write(dir.join("busybox"), bytes).expect("a file");
    kernel::tool_ok(&format!("chmod 755 {}/busybox", dir.display()));
    kernel::tool_ok(&format!(
        "tar -C {} -cf {}/layer.tar busybox",
        dir.display(),
        dir.display()
    ));
    let layer = fs::read(dir.join("layer.tar")).expect("a layer");
    fs::remove_dir_all(&dir).expect("a folder");
    layer
}

fn a_blob_that_is_not_what_its_digest_says(host: &Host) {
    let dir = host.folder("forged");
    write(
        &dir,
        "localhost/forged:1",
        &[layer(&[Entry::File("a", "honest")])],
    );
    let largest = fs::read_dir(dir.join("blobs/sha256"))
        .expect("blobs")
        .flatten()
        .max_by_key(|e| e.metadata().map_or(0, |m| m.len()));
    let path = largest.expect("a blob").path();
    let mut bytes = fs::read(&path).expect("a blob");
    let at = bytes
        .windows(6)
        .position(|w| w == b"honest")
        .expect("its text");
    bytes[at..at + 6].copy_from_slice(b"forged");
    fs::write(&path, bytes).expect("a blob");
    let output = host
        .docker("pull localhost/forged:1")
        .env("DOCKLESS_IMAGE_DIR", &dir)
        .fails(1);
    output.says(&["sha256:"]);
    assert_eq!(host.docker("images -q").ok(), "");
    assert_eq!(
        kernel::files_below(&host.data_root().join("layers")).len(),
        0,
        "nothing half-made"
    );
}

fn a_layer_that_ends_too_early(host: &Host) {
    let dir = host.folder("short");
    let whole = layer(&[Entry::File("a", &"x".repeat(4000)), Entry::File("b", "y")]);
    write(&dir, "localhost/short:1", &[whole[..1536].to_vec()]);
    host.docker("pull localhost/short:1")
        .env("DOCKLESS_IMAGE_DIR", &dir)
        .fails(1);
    assert_eq!(
        kernel::files_below(&host.data_root().join("layers")).len(),
        0,
        "nothing half-made"
    );
}

/// `top`, `stats` and `inspect` look at processes from the host; what the container has of that name is not run.
fn top_runs_nothing_of_the_container_cve_2022_1227(host: &Host) {
    host.docker("run -d --name cc busybox sleep 1000").ok();
    let script = "for p in ps top nsenter sh; do rm -f /bin/$p; printf '#!/bin/busybox touch\n' > /bin/$p.new; \
                  /bin/busybox chmod 755 /bin/$p.new; /bin/busybox mv /bin/$p.new /bin/$p; done";
    host.docker("exec cc busybox sh -c").arg(script).ok();
    let marks = host.docker("exec cc busybox stat -c %Y /bin/ps").ok();
    assert!(host.docker("top cc").ok().contains("sleep 1000"));
    host.docker("stats --no-stream cc").ok();
    host.inspect("cc", "{{.State.Pid}}");
    assert_eq!(
        host.docker("exec cc busybox stat -c %Y /bin/ps").ok(),
        marks
    );
    let names = host
        .docker("exec cc busybox sh -c 'busybox cat /proc/[0-9]*/comm'")
        .ok();
    assert!(!names.contains("touch"), "{names}");
}
