//! `--storage-opt size`: the data root on a file system with project quotas, where the kernel has them.

use std::fs;
use std::path::Path;
use testkit::{Host, kernel, requires, scenarios};

scenarios!(
    layers_are_limited_on_ext4,
    layers_are_limited_on_xfs,
    what_has_no_quota_refuses_a_size
);

/// Puts the data root on a file system of its own; whether the kernel could mount it so.
fn keep_data_on(host: &Host, make: &str, options: &str) -> bool {
    let image = host.folder("disk").join("image");
    let file = fs::File::create(&image).expect("a file");
    file.set_len(512 << 20).expect("a file with a hole");
    let root = host.data_root();
    fs::create_dir_all(&root).expect("the data root");
    kernel::tool_ok(&format!("{make} {}", image.display()));
    kernel::tool(&format!(
        "mount -o {options} {} {}",
        image.display(),
        root.display()
    ));
    let here = i32::try_from(std::process::id()).expect("a pid");
    let mounts = kernel::mounts_of(here);
    mounts.iter().any(|mount| Path::new(&mount.target) == root)
}

fn layers_are_limited_on_ext4(host: &Host) {
    let made = keep_data_on(host, "mkfs.ext4 -q -O quota,project", "loop,prjquota");
    requires!(made, "project quotas of ext4 in the kernel");
    numbers_are_given_back(host);
    limits_hold(host);
}

fn layers_are_limited_on_xfs(host: &Host) {
    requires!(Path::new("/sbin/mkfs.xfs").exists(), "xfsprogs");
    // A kernel without quotas refuses the option, or passes over it.
    let made = keep_data_on(host, "mkfs.xfs -q", "loop,pquota");
    let here = i32::try_from(std::process::id()).expect("a pid");
    let root = host.data_root();
    let mut mounts = kernel::mounts_of(here).into_iter();
    let on = mounts.any(|m| Path::new(&m.target) == root && m.has("prjquota"));
    requires!(made && on, "project quotas of XFS in the kernel");
    numbers_are_given_back(host);
    limits_hold(host);
}

/// The project of a container's directories.
fn project(host: &Host, container: &str) -> u32 {
    let dir = host
        .data_root()
        .join("containers")
        .join(host.inspect(container, "{{.Id}}"));
    let of = |part: &str| {
        let said = kernel::tool_ok(&format!("lsattr -pd {}", dir.join(part).display()));
        let number = said.split_whitespace().next().unwrap_or_default();
        number.parse().expect("a project")
    };
    let (upper, work): (u32, u32) = (of("upper"), of("work"));
    assert_eq!(upper, work);
    upper
}

fn limits_hold(host: &Host) {
    let yaml = "services:\n  small:\n    image: busybox\n    command: sleep 1000\n    init: true\n    storage_opt: {size: 20M}\n\
                \x20 free:\n    image: busybox\n    command: sleep 1000\n    init: true\n";
    host.compose_file("q", yaml).compose("up -d").ok();
    assert_eq!(
        host.inspect("q-small-1", "{{.HostConfig.StorageOpt.size}}"),
        "20M"
    );
    let write = |name: &str, size: u32| {
        let dd = "dd if=/dev/zero of=/big bs=1M count";
        host.docker(&format!("exec {name} {dd}={size}")).run()
    };
    let output = write("q-small-1", 30);
    assert_ne!(output.code, 0, "{output}");
    let said = output.all();
    assert!(
        said.contains("No space left") || said.contains("uota exceeded"),
        "{said}"
    );
    // A file of the image that is changed is copied up within the limit too.
    let over = host.docker("exec q-small-1 sh -c 'echo x >> /bin/busybox'");
    assert_ne!(over.run().code, 0);
    host.docker("exec q-small-1 rm /big").ok();
    assert_eq!(write("q-small-1", 15).code, 0);
    // Who has no limit is not disturbed by another's.
    assert_eq!(write("q-free-1", 30).code, 0);
    // A container sees what it may have.
    let size = host.docker("exec q-small-1 df -m /").ok();
    let blocks = size.lines().last().unwrap_or_default();
    assert_eq!(blocks.split_whitespace().nth(1), Some("20"), "{size}");
    // What reads the layer goes on as ever.
    host.docker("diff q-small-1").run().says(&["A /big"]);
    host.docker("ps -s --filter name=q-small-1")
        .run()
        .says(&["15.7MB"]);
    host.docker("system df").ok();
    let out = host.folder("out");
    host.docker(&format!("cp q-small-1:/big {}", out.display()))
        .ok();
    assert_eq!(
        fs::metadata(out.join("big")).expect("a file").len(),
        15 << 20
    );
    host.docker("commit q-small-1 kept").ok();
    host.docker("run --rm kept test -s /big").ok();
    host.docker("rm -f q-small-1 q-free-1").ok();
}

fn numbers_are_given_back(host: &Host) {
    let create = |name: &str| {
        let made = format!("create --name {name} --storage-opt size=10m busybox true");
        host.docker(&made).ok();
        project(host, name)
    };
    let (one, two) = (create("one"), create("two"));
    assert_ne!(one, two);
    host.docker("rm one").ok();
    // Another program has taken the number meanwhile: its files are not ours to limit.
    let foreign = host.data_root().join("foreign");
    fs::create_dir(&foreign).expect("a directory");
    kernel::tool_ok(&format!("chattr -p {one} {}", foreign.display()));
    let three = create("three");
    assert!(three != one && three != two);
    host.docker("rm three two").ok();
    fs::remove_dir(&foreign).expect("gone");
    assert_eq!(create("four"), one);
    host.docker("rm four").ok();
    assert_eq!(host.docker("ps -aq").ok(), "");
}

fn what_has_no_quota_refuses_a_size(host: &Host) {
    let made = keep_data_on(host, "mkfs.ext4 -q", "loop");
    requires!(made, "ext4 on a loop device");
    let refused = |option: &str| {
        let call = format!("create --storage-opt {option} busybox true");
        host.docker(&call).fails(1)
    };
    refused("size=1G").says(&["supported only for overlay over xfs", "tune2fs", "prjquota"]);
    refused("inodes=5").says(&["unknown option inodes"]);
    refused("size=much").says(&["invalid size"]);
    assert_eq!(host.docker("ps -aq").ok(), "");
    let containers = host.data_root().join("containers");
    assert!(kernel::files_below(&containers).is_empty());
    host.docker("run --rm --storage-opt size=0 busybox true")
        .ok();
}
