//! The build cache between data roots: what one left in a directory, in a registry or in an image, another finds, and runs nothing.

use std::path::{Path, PathBuf};
use testkit::{Host, Output, Project, Registry, kernel, requires, scenarios};

scenarios!(
    a_cache_in_a_directory_serves_an_empty_data_root,
    a_cache_that_is_broken_or_missing_is_a_warning,
    caches_in_a_registry_and_in_an_image,
    compose_leaves_and_takes_a_cache,
    what_a_command_may_do_is_part_of_its_key,
);

/// What only a run makes: another one makes something else.
const RANDOM: &str = "head -c 16 /dev/urandom | od";

fn context<'a>(host: &'a Host, name: &str) -> Project<'a> {
    let project = host.compose_file(name, "");
    let text = format!(
        "FROM busybox AS maker\nRUN {RANDOM} > /made\nFROM busybox\nCOPY --from=maker /made /made\nRUN {RANDOM} > /own\nWORKDIR /new/place\n"
    );
    project.write("Dockerfile", &text);
    project
}

/// A build on a data root of its own: `on` names it.
fn build(host: &Host, project: &Project<'_>, on: &str, words: &str) -> Output {
    let output = call(host, on, &format!("build {words} ."))
        .dir(project.dir())
        .run();
    assert_eq!(output.code, 0, "{output}");
    output
}

fn call(host: &Host, on: &str, words: &str) -> testkit::Call {
    let call = host.docker(words);
    call.env("DOCKLESS_ROOT", host.folder(&format!("{on}/data")))
        .env("DOCKLESS_RUN_ROOT", host.folder(&format!("{on}/run")))
}

fn id(host: &Host, on: &str, image: &str) -> String {
    call(host, on, &format!("image inspect -f '{{{{.Id}}}}' {image}")).ok()
}

/// Steps that were taken from a cache.
fn cached(output: &Output) -> usize {
    output.all().matches("CACHED").count()
}

/// The one manifest of an image layout.
fn manifest(dir: &Path) -> serde_json::Value {
    let read = |path: PathBuf| -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(path).expect("a document")).expect("JSON")
    };
    let index = read(dir.join("index.json"));
    let digest = index["manifests"][0]["digest"].as_str().expect("a digest");
    read(dir.join("blobs/sha256").join(&digest[7..]))
}

fn a_cache_in_a_directory_serves_an_empty_data_root(host: &Host) {
    let project = context(host, "directory");
    let first = build(
        host,
        &project,
        "one",
        "-t app --cache-to type=local,dest=max,mode=max --cache-to type=local,dest=min,compression=uncompressed",
    );
    assert_eq!(cached(&first), 0, "{first}");
    let layers = |name: &str| {
        manifest(&project.dir().join(name))["layers"]
            .as_array()
            .expect("layers")
            .clone()
    };
    assert_eq!((layers("max").len(), layers("min").len()), (4, 3));
    assert_eq!(
        layers("max")[0]["mediaType"],
        "application/vnd.oci.image.layer.v1.tar+gzip"
    );
    assert_eq!(
        layers("min")[0]["mediaType"],
        "application/vnd.oci.image.layer.v1.tar"
    );
    let again = build(
        host,
        &project,
        "two",
        "-t app --cache-from type=local,src=max",
    );
    assert_eq!(cached(&again), 4, "{again}");
    assert_eq!(
        id(host, "one", "app"),
        id(host, "two", "app"),
        "no command was run"
    );
    let third = build(host, &project, "two", "-t app");
    assert_eq!(
        cached(&third),
        4,
        "what was taken is this data root's own: {third}"
    );
    let anew = build(
        host,
        &project,
        "three",
        "-t app --no-cache --cache-from type=local,src=max",
    );
    assert_eq!(cached(&anew), 0, "{anew}");
    build(
        host,
        &project,
        "two",
        "-t app --cache-to type=local,dest=max,mode=max",
    );
    assert_eq!(
        layers("max").len(),
        4,
        "a cache that was taken is left again"
    );
}

fn a_cache_that_is_broken_or_missing_is_a_warning(host: &Host) {
    let project = context(host, "broken");
    build(
        host,
        &project,
        "one",
        "-t app --cache-to type=local,dest=cache,mode=max",
    );
    let missing = build(
        host,
        &project,
        "two",
        "-t app --cache-from type=local,src=nowhere --cache-from 127.0.0.1:9/cache",
    );
    missing.says(&[
        "no cache is taken from type=local,src=nowhere",
        "no cache is taken from 127.0.0.1:9/cache",
    ]);
    assert_eq!(cached(&missing), 0, "{missing}");
    let cache = project.dir().join("cache");
    for layer in manifest(&cache)["layers"].as_array().expect("layers") {
        let digest = layer["digest"].as_str().expect("a digest");
        let path = cache.join("blobs/sha256").join(&digest[7..]);
        let size = std::fs::metadata(&path).expect("a blob").len();
        std::fs::remove_file(&path).expect("a blob");
        std::fs::write(&path, vec![0; size as usize]).expect("a file");
    }
    let damaged = build(
        host,
        &project,
        "three",
        "-t app --cache-from type=local,src=cache",
    );
    damaged.says(&["no more cache is taken from type=local,src=cache", "digest"]);
    assert_eq!(cached(&damaged), 0, "{damaged}");
    call(host, "three", "run --rm app test -s /made -a -s /own").ok();
    let refused = call(host, "one", "build --cache-to type=local,dest=/proc/none .")
        .dir(project.dir())
        .run();
    assert_ne!(refused.code, 0);
    refused.says(&["failed to leave the build cache", "/proc/none"]);
    let ignored = build(
        host,
        &project,
        "one",
        "--cache-to type=local,dest=/proc/none,ignore-error=true",
    );
    ignored.says(&["/proc/none"]);
    let gha = call(host, "one", "build --cache-from type=gha .")
        .dir(project.dir())
        .run();
    assert_ne!(gha.code, 0);
    gha.says(&["gha", "type=registry"]);
}

fn caches_in_a_registry_and_in_an_image(host: &Host) {
    requires!(Registry::installed(), "docker-registry");
    let registry = Registry::start(host, 5071);
    let at = &registry.address;
    let project = context(host, "registry");
    let cache = format!("type=registry,ref={at}/cache:1");
    build(
        host,
        &project,
        "one",
        &format!("-t app --cache-to {cache},mode=max"),
    );
    let again = build(
        host,
        &project,
        "two",
        &format!("-t app --cache-from {cache}"),
    );
    assert_eq!(cached(&again), 4, "{again}");
    assert_eq!(id(host, "one", "app"), id(host, "two", "app"));
    project.write(
        "Dockerfile",
        &format!("FROM busybox\nRUN {RANDOM} > /own\n"),
    );
    build(
        host,
        &project,
        "one",
        &format!("-t {at}/app:1 --cache-to type=inline --push"),
    );
    let inline = build(
        host,
        &project,
        "three",
        &format!("-t {at}/app:1 --cache-from {at}/app:1 --cache-to type=inline"),
    );
    assert_eq!(cached(&inline), 1, "{inline}");
    assert_eq!(
        id(host, "one", &format!("{at}/app:1")),
        id(host, "three", &format!("{at}/app:1"))
    );
    project.write("Dockerfile", &format!("FROM {at}/app:1\n"));
    build(host, &project, "one", &format!("-t {at}/plain:1 --push"));
    let none = build(
        host,
        &project,
        "four",
        &format!("--cache-from {at}/plain:1"),
    );
    none.says(&["has no build cache of ours"]);
}

fn compose_leaves_and_takes_a_cache(host: &Host) {
    let yaml = format!(
        "services:\n  app:\n    image: app\n    build:\n      context: ./context\n      dockerfile_inline: |\n        FROM busybox\n        RUN {RANDOM} > /own\n\
         \x20     cache_from: ['type=local,src=kept']\n      cache_to: ['type=local,dest=kept']\n"
    );
    let project = host.compose_file("composed", &yaml);
    project.write("context/file", "x");
    project.compose("build").run().says(&["no cache is taken"]);
    assert!(
        project.dir().join("kept/index.json").exists(),
        "beside the file"
    );
    let again = project.compose("build");
    let again = again
        .env("DOCKLESS_ROOT", host.folder("other/data"))
        .env("DOCKLESS_RUN_ROOT", host.folder("other/run"))
        .run();
    assert_eq!((again.code, cached(&again)), (0, 1), "{again}");
    assert_eq!(host.inspect("app", "{{.Id}}"), id(host, "other", "app"));
}

fn what_a_command_may_do_is_part_of_its_key(host: &Host) {
    let project = host.compose_file("keyed", "");
    project.write(
        "Dockerfile",
        &format!("FROM busybox\nRUN {RANDOM} > /own\n"),
    );
    let seen = |words: &str| {
        let output = host
            .docker(&format!("build -t keyed {words} ."))
            .dir(project.dir())
            .run();
        assert_eq!(output.code, 0, "{words}: {output}");
        host.docker("run --rm keyed cat /own").ok()
    };
    let plain = seen("");
    for words in [
        "--network none",
        "--network host",
        "--add-host somewhere:192.0.2.7",
        "--shm-size 1m",
        "--ulimit nofile=77",
    ] {
        let other = seen(words);
        assert_ne!(other, plain, "{words}");
        assert_eq!(seen(words), other, "{words}, once more");
    }
    assert_eq!(seen("--network default"), plain);
    assert!(
        kernel::files_below(&host.data_root().join("build"))
            .iter()
            .all(|path| !path.contains("work-"))
    );
}
