//! A project as one file: saved on one host, loaded and started on another that has no line; hostile files refused.

use std::fs;
use std::path::{Path, PathBuf};
use testkit::{Call, Host, eventually, kernel, scenarios};

scenarios!(
    a_bundle_starts_on_a_host_with_no_line,
    a_bundle_is_an_archive_that_others_read,
    hostile_bundles_leave_no_trace,
);

const YAML: &str = "services:\n  web:\n    image: busybox:${TAG}\n    command: sh -c 'cat /motd /run/secrets/key /page/index.html > /tmp/index.html; exec httpd -f -p 80 -h /tmp'\n    \
                    configs: [{source: motd, target: /motd}]\n    secrets: [key]\n    env_file: [web.env]\n    volumes: ['./page:/page:ro']\n  \
                    ask:\n    image: busybox:${TAG}\n    command: sleep 1000\n    stop_grace_period: 0s\n    depends_on: [web]\n  \
                    made:\n    build: .\n    command: sleep 1000\n    stop_grace_period: 0s\n\
                    configs:\n  motd: { file: ./motd.txt }\nsecrets:\n  key: { file: ./key.txt }\n";

/// Another data root, and no image but those it has.
struct Elsewhere<'h> {
    host: &'h Host,
    dir: PathBuf,
}

impl<'h> Elsewhere<'h> {
    fn new(host: &'h Host) -> Self {
        let dir = host.folder("elsewhere");
        Self { host, dir }
    }

    fn docker(&self, words: &str) -> Call {
        self.host
            .docker(words)
            .env("DOCKLESS_ROOT", self.dir.join("data"))
            .env("DOCKLESS_RUN_ROOT", self.dir.join("run"))
            .env("DOCKLESS_IMAGE_DIR", "")
            .dir(&self.dir)
    }
}

impl Drop for Elsewhere<'_> {
    fn drop(&mut self) {
        let all = self.docker("ps -aq").run().stdout.replace('\n', " ");
        if !all.trim().is_empty() {
            self.docker(&format!("rm -f {all}")).run();
        }
        self.docker("system prune -af").run();
    }
}

fn shop(host: &Host) -> testkit::Project<'_> {
    let project = host.compose_file("shop", YAML);
    project.write(".env", "TAG=latest\n");
    project.write("web.env", "A=1\n");
    project.write("motd.txt", "welcome\n");
    project.write("key.txt", "s3cret\n");
    project.write("page/index.html", "page\n");
    project.write("Dockerfile", "FROM busybox\nRUN echo made > /made\n");
    project
}

fn a_bundle_starts_on_a_host_with_no_line(host: &Host) {
    let project = shop(host);
    let file = host.folder("files").join("shop.bundle");
    let save = |words: &str| {
        project
            .compose(&format!("bundle save {words} -o"))
            .arg(&file)
    };
    save("").fails(1).says(&["shop-made", "build"]);
    assert!(!file.exists(), "nothing half-made");
    project.compose("build -q").ok();
    save("").run().says(&["\"key\" is left out", "./page"]);
    let plain = fs::metadata(&file).expect("a bundle").len();
    let saved = save("--with-secrets --with-bind-mounts --compression zstd").run();
    assert_eq!(saved.code, 0, "{saved}");
    saved.says(&["in the clear (key)"]);
    assert!(fs::metadata(&file).expect("a bundle").len() < plain);
    let there = Elsewhere::new(host);
    assert_eq!(kernel::tool("ip route show default"), "", "no line");
    let loaded = there.docker("compose bundle load --up -i").arg(&file).run();
    assert_eq!(loaded.code, 0, "{loaded}");
    let place = there.dir.join("shop");
    assert_eq!(
        fs::read_to_string(place.join("motd.txt")).expect("a file"),
        "welcome\n"
    );
    let mode = |path: PathBuf| {
        let meta = fs::metadata(path).expect("a file");
        std::os::unix::fs::PermissionsExt::mode(&meta.permissions())
    };
    assert_eq!(
        mode(place.join("key.txt")),
        mode(project.dir().join("key.txt"))
    );
    eventually("it serves", || {
        let asked = there.docker("exec shop-ask-1 wget -qO- http://web/").run();
        (asked.stdout == "welcome\ns3cret\npage\n").then_some(())
    });
    let made = there.docker("exec shop-made-1 cat /made").ok();
    assert_eq!(made, "made");
    for name in ["busybox:latest", "shop-made"] {
        let id = |call: Call| call.arg("{{.Id}}").arg(name).ok();
        let (here, there) = (
            id(host.docker("inspect --format")),
            id(there.docker("inspect --format")),
        );
        assert_eq!(here, there, "{name} is the same image");
    }
    there.docker("system check").ok();
    let plan = there.docker("compose up --plan").dir(&place).run();
    assert_eq!(plan.code, 0, "without flags it is the same project: {plan}");
    let twice = there.docker("compose bundle load -i").arg(&file).fails(1);
    twice.says(&["is there already"]);
    there.docker("compose down -t 0").dir(&place).ok();
}

fn a_bundle_is_an_archive_that_others_read(host: &Host) {
    let project = host.compose_file("one", "services: {a: {image: busybox}}\n");
    let file = host.folder("files").join("one.bundle");
    project.compose("bundle save -o").arg(&file).ok();
    let names = kernel::tool_ok(&format!("tar tf {}", file.display()));
    assert!(
        names.contains("oci-layout") && names.contains("manifest.json"),
        "{names}"
    );
    let there = Elsewhere::new(host);
    let loaded = there.docker("load -i").arg(&file).ok();
    assert!(loaded.contains("Loaded image: busybox:latest"), "{loaded}");
    there.docker("system check").ok();
    there.docker("rmi -f busybox").ok();
    // As a stream, and to a directory of one's own.
    let bytes = fs::read(&file).expect("a bundle");
    let streamed = there
        .docker("compose bundle load --directory else/where")
        .stdin(bytes.clone());
    streamed.fails(1).says(&["else"]);
    fs::create_dir(there.dir.join("else")).expect("a directory");
    let streamed = there
        .docker("compose bundle load --directory else/where")
        .stdin(bytes);
    streamed.ok();
    assert!(there.dir.join("else/where/docker-compose.yml").exists());
    let plain = host.folder("files").join("plain.tar");
    host.docker("save busybox -o").arg(&plain).ok();
    let refused = there.docker("compose bundle load -i").arg(&plain).fails(1);
    refused.says(&["no Compose project"]);
}

/// Changes a bundle's manifest of the project, and gives it and the index the digests they then have.
fn forged(file: &Path, from: &str, to: &str) -> PathBuf {
    let script = "\
import tarfile, sys, json, hashlib, io
src, dst, a, b = sys.argv[1:]
t = tarfile.open(src)
files = {m.name: t.extractfile(m).read() for m in t if m.isfile()}
index = json.loads(files['index.json'])
entry = next(m for m in index['manifests'] if 'artifactType' in m)
name = 'blobs/sha256/' + entry['digest'].split(':')[1]
new = files.pop(name).replace(a.encode(), b.encode())
digest = hashlib.sha256(new).hexdigest()
files['blobs/sha256/' + digest] = new
entry['digest'], entry['size'] = 'sha256:' + digest, len(new)
files['index.json'] = json.dumps(index).encode()
out = tarfile.open(dst, 'w')
for n, c in files.items():
    i = tarfile.TarInfo(n); i.size = len(c); out.addfile(i, io.BytesIO(c))
out.close()
";
    let target = file.with_extension("forged");
    Call::tool(Path::new("python3"), "-c")
        .arg(script)
        .arg(file)
        .arg(&target)
        .arg(from)
        .arg(to)
        .ok();
    target
}

fn hostile_bundles_leave_no_trace(host: &Host) {
    testkit::requires!(Path::new("/usr/bin/python3").exists(), "python3");
    let project = host.compose_file("two", "services: {a: {image: busybox}}\n");
    let file = host.folder("files").join("two.bundle");
    project.compose("bundle save -o").arg(&file).ok();
    let there = Elsewhere::new(host);
    there.docker("images").ok();
    let root = there.dir.join("data");
    let empty = kernel::files_below(&root.join("images"));
    let title = "\"org.opencontainers.image.title\":\"docker-compose.yml\"";
    for (from, to, said) in [
        (
            title,
            "\"org.opencontainers.image.title\":\"../docker-compose.yml\"",
            "leads outside",
        ),
        (
            title,
            "\"org.opencontainers.image.title\":\"/etc/cron.d/x\"",
            "leads outside",
        ),
        (
            title,
            "\"org.opencontainers.image.title\":\".env/x\"",
            "two things",
        ),
        (
            "\"com.docker.compose.project\":\"two\"",
            "\"com.docker.compose.project\":\"../two\"",
            "no usable name",
        ),
        (
            "\"io.dockless.file.mode\":\"644\"",
            "\"io.dockless.file.mode\":\"4755\"",
            "mode",
        ),
    ] {
        let forged = forged(&file, from, to);
        let refused = there
            .docker("compose bundle load --up -i")
            .arg(&forged)
            .fails(1);
        refused.says(&[said]);
        assert_eq!(kernel::files_below(&root.join("images")), empty, "{said}");
        let here: Vec<_> = fs::read_dir(&there.dir)
            .expect("a directory")
            .flatten()
            .collect();
        assert_eq!(here.len(), 2, "the two roots alone: {here:?}");
    }
    // A blob that is not what its name says, and half a file.
    let bytes = fs::read(&file).expect("a bundle");
    let cut = there
        .docker("compose bundle load")
        .stdin(&bytes[..bytes.len() / 2]);
    cut.fails(1);
    assert_eq!(kernel::files_below(&root.join("images")), empty);
    assert_eq!(there.docker("images -q").ok(), "");
}
