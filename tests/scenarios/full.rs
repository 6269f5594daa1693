//! A disk without room: whatever is brought in or made then leaves the store as it was, without a prune, and the error gives the way out.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use testkit::{Call, Host, Output, Registry, kernel, requires, scenarios};

scenarios!(
    a_full_disk_leaves_the_store_as_it_was,
    a_build_that_fills_the_disk_leaves_nothing,
    an_import_and_a_commit_that_fill_the_disk_leave_nothing,
    a_bundle_that_fills_the_disk_leaves_nothing,
    the_guard_says_no_before_the_disk_is_full,
);

/// Nothing is kept free: the disk itself says no, somewhere in the middle.
const TO_THE_BRIM: &str = r#"{"min-free-space": "0"}"#;

/// A data root on a small file system of its own.
struct Small<'h> {
    host: &'h Host,
    root: PathBuf,
    config: PathBuf,
}

impl<'h> Small<'h> {
    fn new(host: &'h Host, megabytes: u32, config: &str) -> Self {
        let root = host.folder("small");
        kernel::tool_ok(&format!(
            "mount -t tmpfs -o size={megabytes}m,mode=755 small {}",
            root.display()
        ));
        let path = host.folder("etc").join("small.json");
        fs::write(&path, config).expect("a configuration");
        Self {
            host,
            root,
            config: path,
        }
    }

    fn there(&self, call: Call) -> Call {
        call.env("DOCKLESS_ROOT", self.root.join("data"))
            .env("DOCKLESS_RUN_ROOT", self.host.run_root().join("small"))
            .env("DOCKLESS_CONFIG", &self.config)
    }

    fn docker(&self, words: &str) -> Call {
        self.there(self.host.docker(words))
    }

    fn files(&self) -> BTreeSet<String> {
        let mut all = BTreeSet::new();
        for part in ["images", "layers", "trash", "build"] {
            for name in kernel::files_below(&self.root.join("data").join(part)) {
                all.insert(format!("{part}/{name}"));
            }
        }
        // Of cache mounts only the place that all have.
        all.remove("build/mounts");
        all
    }

    /// Refused for want of room, and nothing is left of it.
    fn refuses(&self, call: Call) -> Output {
        let before = self.files();
        let full = call.run();
        assert_ne!(full.code, 0, "{full}");
        full.says(&["system prune", "min-free-space"]);
        let said = full.all();
        assert!(
            said.contains("No space left") || said.contains("not enough room"),
            "{said}"
        );
        let after = self.files();
        let more: Vec<_> = after.symmetric_difference(&before).collect();
        assert!(more.is_empty(), "{full}\nleft or lost: {more:?}");
        full
    }
}

/// An image that is larger than the disk, as an archive and by its name.
fn large(host: &Host) -> (PathBuf, String) {
    let project = host.compose_file("large", "");
    project.write(
        "Dockerfile",
        "FROM busybox\nRUN dd if=/dev/urandom of=/a bs=1M count=4 && dd if=/dev/zero of=/b bs=1M count=60\n",
    );
    host.docker("build -q --network none -t large:1 .")
        .dir(project.dir())
        .ok();
    let archive = host.folder("archives").join("large.tar");
    host.docker("pull hello-world").ok();
    // One that would fit comes first.
    host.docker("save hello-world large:1 -o")
        .arg(&archive)
        .ok();
    (archive, "large:1".to_owned())
}

fn a_full_disk_leaves_the_store_as_it_was(host: &Host) {
    requires!(Registry::installed(), "docker-registry");
    let (archive, name) = large(host);
    let registry = Registry::start(host, 5073);
    let remote = format!("{}/{name}", registry.address);
    host.docker(&format!("tag {name} {remote}")).ok();
    host.docker(&format!("push {remote}")).ok();
    let small = Small::new(host, 40, TO_THE_BRIM);
    small.docker("pull busybox").ok();
    small.refuses(small.docker("load -i").arg(&archive));
    assert_eq!(
        small.docker("images --format '{{.Repository}}'").ok(),
        "busybox"
    );
    let before = small.files();
    let pull = small
        .docker(&format!("pull {remote}"))
        .env("DOCKLESS_IMAGE_DIR", "");
    pull.fails(1).says(&["system prune"]);
    assert_eq!(small.files(), before, "after a pull");
    small.docker("system check").ok();
    small
        .docker("run --rm --network none --pull never busybox true")
        .ok();
}

fn a_build_that_fills_the_disk_leaves_nothing(host: &Host) {
    let small = Small::new(host, 40, TO_THE_BRIM);
    let project = host.compose_file("filling", "");
    small.docker("pull busybox").ok();
    // What another build has made stays.
    project.write("Dockerfile", "FROM busybox\nRUN echo kept > /kept\n");
    let build = || {
        small
            .docker("build -q --network none -t made .")
            .dir(project.dir())
    };
    build().ok();
    // A layer that is whole, a cache of its own, and a command that is told by the kernel.
    project.write(
        "Dockerfile",
        "FROM busybox\nRUN echo kept > /kept\nRUN echo more > /more\nRUN --mount=type=cache,target=/c dd if=/dev/zero of=/c/x bs=1M count=5 && \
         dd if=/dev/zero of=/b bs=1M count=60\n",
    );
    small.refuses(build());
    // What is copied, and a layer whose archive has no room any more.
    let file = fs::File::create(project.dir().join("big")).expect("a file");
    file.set_len(60 << 20).expect("a size");
    project.write(
        "Dockerfile",
        "FROM busybox\nRUN echo more > /more\nCOPY big /\n",
    );
    small.refuses(build());
    file.set_len(25 << 20).expect("a size");
    small.refuses(build());
    // Room is made, and it goes on as if nothing had been.
    file.set_len(1 << 20).expect("a size");
    build().ok();
    small.docker("system check").ok();
    // A command that fails for another reason keeps the steps before it.
    project.write(
        "Dockerfile",
        "FROM busybox\nRUN echo stays > /stays\nRUN false\n",
    );
    let before = small.files();
    build().fails(1);
    assert!(small.files().len() > before.len());
}

/// An archive of one file.
fn archive_of(host: &Host, megabytes: u64) -> PathBuf {
    let dir = host.folder("root");
    let file = fs::File::create(dir.join("big")).expect("a file");
    file.set_len(megabytes << 20).expect("a size");
    let archive = host.folder("archives").join("big.tar");
    kernel::tool_ok(&format!(
        "tar cf {} -C {} .",
        archive.display(),
        dir.display()
    ));
    archive
}

fn an_import_and_a_commit_that_fill_the_disk_leave_nothing(host: &Host) {
    let archive = archive_of(host, 25);
    let small = Small::new(host, 40, TO_THE_BRIM);
    small.docker("pull busybox").ok();
    small.refuses(small.docker("import").arg(&archive).arg("big:1"));
    small.refuses(
        small
            .docker("import - big:1")
            .stdin(fs::read(&archive).expect("an archive")),
    );
    small
        .docker("run --name big --network none busybox dd if=/dev/zero of=/b bs=1M count=14")
        .ok();
    small.refuses(small.docker("commit big big:1"));
    small.docker("rm big").ok();
    assert_eq!(
        small.docker("images --format '{{.Repository}}'").ok(),
        "busybox"
    );
    small.docker("system check").ok();
}

fn a_bundle_that_fills_the_disk_leaves_nothing(host: &Host) {
    let (_, name) = large(host);
    let yaml = format!("services:\n  web:\n    image: {name}\n  small:\n    image: hello-world\n");
    let project = host.compose_file("shop", &yaml);
    let file = host.folder("files").join("shop.bundle");
    project.compose("bundle save -o").arg(&file).ok();
    let small = Small::new(host, 40, TO_THE_BRIM);
    small.docker("pull busybox").ok();
    let there = host.folder("there");
    let load = |to: &Path| {
        let call = host.dockless("compose bundle load -i").arg(&file);
        small.there(call.arg("--directory").arg(to))
    };
    small.refuses(load(&there.join("shop")));
    let left = fs::read_dir(&there).expect("a folder").count();
    assert_eq!(left, 0, "nothing of the project either");
    small.docker("system check").ok();
}

fn the_guard_says_no_before_the_disk_is_full(host: &Host) {
    let (archive, _) = large(host);
    let small = Small::new(host, 200, r#"{"min-free-space": "180m"}"#);
    small.docker("pull hello-world").ok();
    let before = small.files();
    let refused = small.docker("load -i").arg(&archive).fails(1);
    refused.says(&["not enough room", "min-free-space", "system prune"]);
    assert_eq!(small.files(), before);
    let free = rustix::fs::statvfs(&small.root).expect("a file system");
    assert!(free.f_bavail * free.f_frsize > 150 << 20);
    fs::write(&small.config, r#"{"min-free-space": "lots"}"#).expect("a configuration");
    small.docker("images").fails(1).says(&["min-free-space"]);
}
