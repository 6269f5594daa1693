//! Layers that are EROFS images: containers, builds and images on them behave as on directories.

use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use testkit::{Call, Host, requires, scenarios};

scenarios!(
    everything_works_on_layers_that_are_files,
    a_layer_is_mounted_once_for_all_containers,
    a_store_is_converted_to_and_fro_under_running_containers,
    a_conversion_that_is_killed_leaves_a_good_store,
    files_keep_their_device_and_their_numbers,
);

/// A data root on disk: a file in a tmpfs, where a scenario's own lies, cannot be mounted.
pub(crate) struct OnDisk<'h> {
    host: &'h Host,
    root: PathBuf,
    form: &'static str,
}

impl<'h> OnDisk<'h> {
    pub(crate) fn new(host: &'h Host, form: &'static str) -> Self {
        let name = format!("dockless-layers-{}-{form}", std::process::id());
        let root = Path::new("/var/tmp").join(name);
        fs::create_dir_all(&root).expect("a directory");
        let config = format!(r#"{{"layer-store": "{form}"}}"#);
        fs::write(root.join("config.json"), config).expect("a file");
        let new = Self { host, root, form };
        let info: Value =
            serde_json::from_str(&new.docker("info --format '{{json .}}'").ok()).expect("JSON");
        let status = info["DriverStatus"].to_string();
        requires!(
            form != "erofs" || status.contains("EROFS images"),
            "this kernel takes no file as a layer (Linux 6.12)"
        );
        new
    }

    pub(crate) fn docker(&self, words: &str) -> Call {
        let call = self.host.docker(words);
        call.env("DOCKLESS_ROOT", self.root.join("data"))
            .env("DOCKLESS_RUN_ROOT", self.host.run_root().join(self.form))
            .env("DOCKLESS_CONFIG", self.root.join("config.json"))
    }

    pub(crate) fn data_root(&self) -> PathBuf {
        self.root.join("data")
    }

    /// The names of what the layers are.
    pub(crate) fn forms(&self) -> Vec<String> {
        let mut forms = Vec::new();
        for layer in fs::read_dir(self.root.join("data/layers"))
            .expect("layers")
            .flatten()
        {
            for entry in fs::read_dir(layer.path()).expect("a layer").flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                if name != "layer.json" {
                    forms.push(name);
                }
            }
        }
        forms.sort();
        forms.dedup();
        forms
    }
}

impl Drop for OnDisk<'_> {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root);
    }
}

fn everything_works_on_layers_that_are_files(host: &Host) {
    let on_disk = OnDisk::new(host, "erofs");
    let docker = |words: &str| on_disk.docker(words).ok();
    docker("pull -q busybox");
    docker("pull -q localhost/odd:layers");
    assert_eq!(on_disk.forms(), ["layer.erofs"]);

    // What a container sees, does and leaves.
    let listed = docker("run --rm busybox ls /bin/busybox /etc/passwd");
    assert_eq!(listed, "/bin/busybox\n/etc/passwd");
    docker(
        "run --name changed busybox sh -c 'rm /etc/group; echo new > /etc/passwd; mv /bin /bin2'",
    );
    let diff = docker("diff changed");
    for line in ["D /etc/group", "C /etc/passwd", "D /bin", "A /bin2"] {
        assert!(diff.lines().any(|l| l == line), "{line}: {diff}");
    }
    docker("commit changed after");
    assert_eq!(
        docker("run --rm --entrypoint /bin2/cat after /etc/passwd"),
        "new"
    );
    assert_eq!(
        docker("run --rm --userns=auto busybox stat -c %u /bin/busybox"),
        "0"
    );
    let mounted = docker(
        "run --rm --mount type=image,source=after,target=/image busybox ls /image/bin2/busybox",
    );
    assert_eq!(mounted, "/image/bin2/busybox");
    let part = docker(
        "run --rm --mount type=image,source=busybox,target=/x,image-subpath=bin busybox ls /x/busybox",
    );
    assert_eq!(part, "/x/busybox");
    let out = host.folder("out");
    docker(&format!("cp changed:/etc/passwd {}", out.display()));
    assert_eq!(fs::read(out.join("passwd")).expect("a copy"), b"new\n");
    docker(&format!("export -o {}/all.tar changed", out.display()));
    let exported = fs::read(out.join("all.tar")).expect("an archive");
    let name = b"bin2/busybox";
    assert!(exported.windows(name.len()).any(|part| part == name));
    // The same as a bundle, whose root another program is shown.
    let runtime = host.program("runc");
    let run = format!(
        "run --rm --runtime {} busybox ls /bin/busybox",
        runtime.display()
    );
    assert_eq!(docker(&run), "/bin/busybox");

    // The same files as in directories, layer over layer, whiteouts and all.
    let tree = |call: Call| call.ok();
    let list = "run --rm localhost/odd:layers find / -xdev ( -path /proc -o -path /sys -o -path /dev ) -prune -o -type f -print";
    let list = list.replace('(', "'('").replace(')', "')'");
    let here = tree(on_disk.docker(&list));
    let there = tree(host.docker(&list).env("DOCKLESS_CONFIG", "/nonexistent"));
    let sorted = |text: &str| {
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&here), sorted(&there));

    // A build makes directories above them; both lie in one image, which is saved and loaded by its digests.
    let context = host.folder("context");
    fs::write(
        context.join("Dockerfile"),
        "FROM busybox\nRUN rm /etc/group && echo built > /built\nCOPY --from=busybox /etc/passwd /copied\n",
    )
    .expect("a file");
    docker(&format!("build -q -t built {}", context.display()));
    assert_eq!(docker("run --rm built cat /built"), "built");
    assert_eq!(on_disk.forms(), ["diff", "layer.erofs"]);
    let id = docker("image inspect --format '{{.Id}}' built");
    let saved = host.folder("saved").join("built.tar");
    docker(&format!("save -o {} built", saved.display()));
    docker("rm -f changed");
    docker("rmi -f built after");
    docker(&format!("load -q -i {}", saved.display()));
    assert_eq!(docker("image inspect --format '{{.Id}}' built"), id);
    assert_eq!(docker("run --rm built cat /built"), "built");
    docker("rmi -f built busybox localhost/odd:layers");
    docker("system prune -af");
    assert!(on_disk.forms().is_empty(), "{:?}", on_disk.forms());
}

fn a_layer_is_mounted_once_for_all_containers(host: &Host) {
    let on_disk = OnDisk::new(host, "erofs");
    let docker = |words: &str| on_disk.docker(words).ok();
    docker("pull -q busybox");
    let holders = |name: &str| -> Vec<String> {
        let pid = docker(&format!("inspect --format '{{{{.State.Pid}}}}' {name}"));
        let monitor =
            testkit::kernel::parent(pid.trim().parse().expect("a pid")).expect("a monitor");
        let fds = fs::read_dir(format!("/proc/{monitor}/fd")).expect("descriptors");
        let devices = fds.flatten().filter_map(|fd| {
            let stat = rustix::fs::stat(fd.path()).ok()?;
            let kind = rustix::fs::statfs(fd.path()).ok()?.f_type;
            (kind as u64 == 0xE0F5_E1E2).then(|| stat.st_dev.to_string())
        });
        devices.collect()
    };
    docker("run -d --name one busybox sleep 1000");
    docker("run -d --name two busybox sleep 1000");
    let (one, two) = (holders("one"), holders("two"));
    assert_eq!(one.len(), 1);
    assert_eq!(one, two, "one file system, held by both monitors");
    docker("rm -f one");
    docker("run -d --name three busybox sleep 1000");
    assert_eq!(holders("three").len(), 1);
    assert_eq!(
        docker("exec two cat /etc/passwd"),
        docker("exec three cat /etc/passwd")
    );
    // Of mapped layers too.
    docker("run -d --name four --userns=auto busybox sleep 1000");
    assert_eq!(holders("four"), holders("three"));
    docker("rm -f two three four");
}

/// Stopped containers find their layers in the other form, running ones keep the files they have.
fn a_store_is_converted_to_and_fro_under_running_containers(host: &Host) {
    let on_disk = OnDisk::new(host, "erofs");
    let docker = |words: &str| on_disk.docker(words).ok();
    docker("pull -q busybox");
    docker("pull -q localhost/odd:layers");
    docker("run -d --name up busybox sleep 1000");
    docker("run --name down busybox sh -c 'echo mine > /mine'");

    let said = docker("system migrate --to directories");
    assert!(said.contains("converted to directories"), "{said}");
    assert_eq!(on_disk.forms(), ["diff"]);
    assert_eq!(
        docker("exec up cat /etc/group"),
        docker("run --rm busybox cat /etc/group")
    );
    assert_eq!(docker("diff down"), "A /mine");
    docker("start -a down");
    docker("rm -f up");

    docker("run -d --name up busybox sleep 1000");
    let said = docker("system migrate --to erofs");
    assert!(said.contains("1 of them keep"), "{said}");
    assert_eq!(on_disk.forms(), ["diff", "layer.erofs"]);
    assert_eq!(
        docker("exec up ls /bin/busybox /etc/group"),
        "/bin/busybox\n/etc/group"
    );
    docker("start -a down");
    docker("rm -f up");
    let said = docker("system migrate");
    assert!(
        said.starts_with("0 layers converted to EROFS images"),
        "{said}"
    );
    assert_eq!(on_disk.forms(), ["layer.erofs"]);
    docker("start -a down");
    let list = "run --rm localhost/odd:layers ls /bin/busybox";
    assert_eq!(docker(list), "/bin/busybox");
    docker("rm -f down");
    docker("system prune -af");
    assert!(on_disk.forms().is_empty(), "{:?}", on_disk.forms());
}

fn a_conversion_that_is_killed_leaves_a_good_store(host: &Host) {
    drop(OnDisk::new(host, "erofs")); // says what this kernel lacks
    let on_disk = OnDisk::new(host, "directories");
    let docker = |words: &str| on_disk.docker(words).ok();
    docker("pull -q localhost/odd:layers");
    let list = "run --rm localhost/odd:layers find /bin /etc /usr -xdev";
    let sorted = |text: String| {
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let before = sorted(docker(list));
    for round in 0..10 {
        for to in ["erofs", "directories"] {
            let running = on_disk.docker(&format!("system migrate --to {to}")).start();
            std::thread::sleep(std::time::Duration::from_millis(3 * round));
            running.kill_9();
            assert_eq!(sorted(docker(list)), before);
        }
    }
    docker("system migrate --to erofs");
    docker("system prune -f"); // what was half-made when it was killed
    assert_eq!(on_disk.forms(), ["layer.erofs"]);
    assert_eq!(sorted(docker(list)), before);
    docker("system check");
}

/// What programs tell files apart by: all files of a container are of one device, with numbers that stay and that links share.
fn files_keep_their_device_and_their_numbers(host: &Host) {
    let identities = |form: &'static str| {
        let store = OnDisk::new(host, form);
        let docker = |words: &str| store.docker(words).ok();
        docker("run -d --name one busybox sleep 1000");
        docker("exec one sh -c 'echo new > /new'");
        let stat = |name: &str, format: &str| docker(&format!("exec one stat -c {format} {name}"));
        let devices: std::collections::BTreeSet<String> =
            ["/", "/bin", "/bin/busybox", "/etc/group", "/new"]
                .map(|name| stat(name, "%d"))
                .into();
        let numbers = |names: &[&str]| {
            names
                .iter()
                .map(|name| stat(name, "%i"))
                .collect::<Vec<_>>()
        };
        let names = ["/bin/busybox", "/etc/group", "/new"];
        let first = numbers(&names);
        // A copy up keeps the number, so does a new start.
        docker("exec one sh -c 'echo more >> /etc/group'");
        assert_eq!(numbers(&names), first, "{form}");
        docker("restart -t 0 one");
        assert_eq!(numbers(&names), first, "{form}");
        docker("rm -f one");
        devices.len()
    };
    assert_eq!(identities("erofs"), identities("directories"));
}
