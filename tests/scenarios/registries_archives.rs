//! `keep-blobs: false`: whatever needs the archive of a layer has it again, or is refused before anything is sent or written.

use std::fs;
use std::path::PathBuf;
use testkit::{Call, Crane, Host, Output, Registry, kernel, requires, scenarios};

scenarios!(
    a_build_cache_of_layers_whose_archives_were_not_kept,
    a_push_without_an_archive_sends_nothing,
    archives_and_bundles_have_what_was_not_kept_or_are_not_made,
    copies_between_registries_need_no_archive_here,
);

/// Layers so large that no document is taken for one.
const LARGE: u64 = 100_000;

/// A host that keeps no archives, and no image but those it pulls.
struct Lean<'h> {
    host: &'h Host,
    config: PathBuf,
}

impl<'h> Lean<'h> {
    fn new(host: &'h Host) -> Self {
        let config = host.folder("etc").join("config.json");
        fs::write(&config, r#"{"keep-blobs": false}"#).expect("a configuration");
        Self { host, config }
    }

    fn call(&self, call: Call) -> Call {
        call.env("DOCKLESS_IMAGE_DIR", "")
            .env("DOCKLESS_CONFIG", &self.config)
    }

    fn docker(&self, words: &str) -> Call {
        self.call(self.host.docker(words))
    }

    /// An image of busybox at a name, pulled from there: its archive is gone.
    fn pulled(&self, name: &str) {
        self.host.docker("pull busybox").ok();
        self.host.docker(&format!("tag busybox {name}")).ok();
        self.host.docker(&format!("push {name}")).ok();
        self.host.docker(&format!("rmi {name} busybox")).ok();
        self.docker(&format!("pull {name}")).ok();
        assert_eq!(self.archives(), 0, "the documents alone are here");
    }

    /// How many archives are here.
    fn archives(&self) -> usize {
        let blobs = self.host.data_root().join("images/blobs/sha256");
        let all = fs::read_dir(blobs).expect("blobs").flatten();
        all.filter(|blob| blob.metadata().is_ok_and(|m| m.len() > LARGE))
            .count()
    }

    /// A build of a context whose Dockerfile is this.
    fn build(&self, text: &str, words: &str) -> Output {
        let context = self.host.folder("context");
        fs::write(context.join("Dockerfile"), text).expect("a Dockerfile");
        // What no compression makes smaller.
        let mut seed = 88_172_645_463_325_252u64;
        let mut next = || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed.to_le_bytes()
        };
        let noise: Vec<u8> = (0..25_000).flat_map(|_| next()).collect();
        fs::write(context.join("noise"), noise).expect("a file");
        let built = self.docker(&format!("build {words} .")).dir(&context).run();
        assert_eq!(built.code, 0, "{built}");
        built
    }
}

/// Without the layers of another image: what is here is the step's own.
const STEPS: &str = "FROM scratch\nCOPY noise /noise\n";

fn a_build_cache_of_layers_whose_archives_were_not_kept(host: &Host) {
    requires!(Registry::installed(), "docker-registry");
    let registry = Registry::start(host, 5101);
    let at = &registry.address.clone();
    let lean = Lean::new(host);
    let name = format!("{at}/team/app:1");
    let remote = format!("type=registry,ref={at}/cache:1,mode=max");
    // What a step made, taken from a cache, pushed, and pulled again: its archive is that of the registry, and goes.
    let gone = || {
        lean.docker(&format!("pull {name}")).ok();
        assert_eq!(lean.archives(), 0, "the archive is gone");
    };
    lean.build(STEPS, &format!("--cache-to {remote}"));
    lean.docker("builder prune -af").ok();
    lean.docker("image prune -af").ok();
    let taken = format!("-t {name} --push --cache-from type=registry,ref={at}/cache:1");
    let cached = |output: &Output| assert!(output.all().contains("CACHED"), "{output}");
    cached(&lean.build(STEPS, &taken));
    lean.docker(&format!("rmi {name}")).ok();
    gone();
    // Whoever leaves a cache then makes the step again, or has its archive again.
    lean.build(STEPS, "--cache-to type=local,dest=kept,mode=max");
    let kept = host.folder("context").join("kept/blobs/sha256");
    let sizes = fs::read_dir(&kept).expect("blobs").flatten();
    let large = sizes.filter(|b| b.metadata().is_ok_and(|m| m.len() > LARGE));
    assert_eq!(large.count(), 1, "the layer lies in the cache");
    let crane = Crane::of(at);
    let again = format!("type=registry,ref={at}/again:1,mode=max");
    let inline = format!("-t {at}/team/inline:1 --cache-to type=inline --push");
    for (words, made) in [
        (format!("--cache-to {again}"), "again"),
        (inline, "team/inline"),
    ] {
        lean.docker("builder prune -af").ok();
        cached(&lean.build(STEPS, &taken));
        lean.docker(&format!("rmi {name}")).ok();
        lean.docker("image prune -af").ok();
        gone();
        lean.build(STEPS, &words);
        assert_eq!(crane.validate(made, "1").len(), 2, "{made}");
    }
    // A registry that is not there gets none, and that is told.
    let failed = lean
        .docker(&format!(
            "build --cache-to type=registry,ref={NOBODY}/cache:1 ."
        ))
        .dir(host.folder("context"))
        .run();
    assert_ne!(failed.code, 0, "{failed}");
    failed.says(&["failed to leave the build cache", NOBODY]);
}

/// A registry that is not there.
const NOBODY: &str = "127.0.0.1:9";

fn a_push_without_an_archive_sends_nothing(host: &Host) {
    requires!(Registry::installed(), "docker-registry");
    let (origin, other) = (Registry::start(host, 5102), Registry::start(host, 5103));
    let lean = Lean::new(host);
    let base = format!("{}/team/box:1", origin.address);
    lean.pulled(&base);
    let built = format!("{}/team/built:1", other.address);
    lean.build(
        &format!("FROM {base}\nCOPY noise /noise\n"),
        &format!("-t {built}"),
    );
    drop(origin);
    let failed = lean.docker(&format!("push {built}")).fails(1);
    failed.says(&[
        "was not kept",
        "keep-blobs",
        "5102",
        "make the registry reachable",
    ]);
    let crane = Crane::of(&other.address);
    assert_eq!(crane.list("/v2/_catalog", "repositories", 10).0.len(), 0);
    let stored = host
        .folder("registry-127.0.0.1-5103")
        .join("storage/docker");
    let stored = kernel::files_below(&stored);
    assert!(stored.is_empty(), "nothing was sent: {stored:?}");
    // It is back, and the push needs nothing else.
    let origin = Registry::start(host, 5102);
    let pushed = lean.docker(&format!("push {built}")).run();
    assert_eq!(pushed.code, 0, "{pushed}");
    assert_eq!(crane.validate("team/built", "1").len(), 3);
    // What was built on an image that is gone here, too, is refused with what helps.
    lean.docker(&format!("rmi {built} {base}")).ok();
    lean.docker(&format!("pull {base}")).ok();
    lean.build(
        &format!("FROM {base}\nCOPY noise /noise\n"),
        &format!("-t {built}"),
    );
    lean.docker(&format!("rmi {base}")).ok();
    let third = Registry::start(host, 5104);
    let far = format!("{}/far:1", third.address);
    lean.docker(&format!("tag {built} {far}")).ok();
    let failed = lean.docker(&format!("push {far}")).fails(1);
    failed.says(&["was not kept", "pull the image it belongs to"]);
    drop(origin);
}

fn archives_and_bundles_have_what_was_not_kept_or_are_not_made(host: &Host) {
    requires!(Registry::installed(), "docker-registry");
    let origin = Registry::start(host, 5105);
    let lean = Lean::new(host);
    let name = format!("{}/team/box:1", origin.address);
    lean.pulled(&name);
    let id = host.inspect(&name, "{{.Id}}");
    let yaml = format!("services:\n  box:\n    image: {name}\n    command: sleep 1000\n");
    let project = host.compose_file("lean", &yaml);
    let files = host.folder("files");
    let bundle = |file: &str| {
        let call = project.compose("bundle save -o").arg(files.join(file));
        lean.call(call)
    };
    let save = |file: &str| {
        lean.docker(&format!("save {name} -o"))
            .arg(files.join(file))
    };
    bundle("lean.bundle").ok();
    lean.docker(&format!("rmi {name}")).ok();
    lean.docker(&format!("pull {name}")).ok();
    save("box.tar").ok();
    lean.docker(&format!("rmi {name}")).ok();
    lean.docker(&format!("pull {name}")).ok();
    assert_eq!(lean.archives(), 0);
    drop(origin);
    for failed in [save("none.tar").fails(1), bundle("none.bundle").fails(1)] {
        failed.says(&["was not kept", "keep-blobs", "5105"]);
    }
    for none in ["none.tar", "none.bundle"] {
        assert!(!files.join(none).exists(), "{none}");
    }
    let piped = lean.docker(&format!("save {name}")).fails(1);
    assert_eq!(piped.stdout, "", "not a byte");
    lean.docker(&format!("rmi {name}")).ok();
    for (words, file) in [
        ("load -i", "box.tar"),
        ("compose bundle load -i", "lean.bundle"),
    ] {
        let dir = host.folder("loaded");
        lean.docker(words).arg(files.join(file)).dir(&dir).ok();
        assert_eq!(host.inspect(&name, "{{.Id}}"), id, "{file}");
        lean.docker(&format!("rmi {name}")).ok();
    }
}

fn copies_between_registries_need_no_archive_here(host: &Host) {
    requires!(Registry::installed(), "docker-registry");
    let (origin, other) = (Registry::start(host, 5106), Registry::start(host, 5107));
    let lean = Lean::new(host);
    let name = format!("{}/team/box:1", origin.address);
    lean.pulled(&name);
    let yaml = format!("services:\n  box:\n    image: {name}\n");
    let project = host.compose_file("copied", &yaml);
    let shop = format!("{}/shop:1", other.address);
    lean.call(project.compose(&format!("publish --app -y {shop}")))
        .ok();
    let (_, digest) = Crane::of(&origin.address).head("team/box", "1");
    let there = Crane::of(&other.address).validate("shop", &digest);
    assert_eq!(there.len(), 2);
    // A list of what is in the same registry elsewhere.
    let list = format!("{}/all:1", origin.address);
    lean.docker(&format!("manifest create {list} {name}")).ok();
    lean.docker(&format!("manifest push {list}")).ok();
    assert_eq!(Crane::of(&origin.address).validate("all", "1").len(), 2);
    assert_eq!(lean.archives(), 0, "nothing came here");
}
