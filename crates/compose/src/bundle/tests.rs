use super::place::PlaceError;
use super::*;
use compose_file::Options;
use oci::{Descriptor, Manifest};
use std::collections::BTreeMap;
use std::path::Path;

const YAML: &str = "services:\n  web:\n    image: nginx:${TAG}\n    env_file: [web.env]\n    environment: [TOKEN]\n    volumes: ['./html:/html']\n    \
                    configs: [motd]\n    secrets: [key]\nconfigs:\n  motd: { file: ./motd.txt }\nsecrets:\n  key: { file: ./key.txt }\n";

fn options(dir: &Path, shell: &[(&str, &str)]) -> Options {
    let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Options {
        current_dir: dir.to_owned(),
        profiles: vec!["*".to_owned()],
        environment: shell.iter().map(pair).collect(),
        ..Options::default()
    }
}

fn collected(options: &Options, wanted: Wanted) -> Result<Bundle, Error> {
    let recorded = Recorded::new(&crate::files::HostFiles);
    let loaded = compose_file::load(options, &recorded).unwrap();
    let used = compose_file::variables(options, &crate::files::HostFiles).unwrap();
    let used: Vec<String> = used.into_iter().map(|variable| variable.name).collect();
    // `*` is how it is loaded here, not what was asked for.
    let asked = Options {
        profiles: Vec::new(),
        ..options.clone()
    };
    collect(&loaded.project, recorded.seen(), &asked, &used, wanted)
}

fn shop() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let shop = dir.path().join("shop");
    std::fs::create_dir_all(shop.join("html")).unwrap();
    for (name, text) in [
        ("compose.yaml", YAML),
        ("web.env", "A=1\n"),
        (".env", "TAG=1.0"),
        ("motd.txt", "hello"),
        ("key.txt", "s3cret"),
        ("html/index.html", "<p>"),
    ] {
        std::fs::write(shop.join(name), text).unwrap();
    }
    dir
}

fn by_title(bundle: &Bundle) -> BTreeMap<&str, String> {
    let text = |file: &image::artifact::File| String::from_utf8(file.content.clone()).unwrap();
    let files = bundle.files.iter();
    files
        .map(|file| (file.annotations[TITLE].as_str(), text(file)))
        .collect()
}

#[test]
fn a_project_is_carried_with_what_it_needs() {
    let dir = shop();
    let options = options(
        &dir.path().join("shop"),
        &[("TOKEN", "a\"$b"), ("OTHER", "x")],
    );
    let bundle = collected(&options, Wanted::default()).unwrap();
    let files = by_title(&bundle);
    let names: Vec<&str> = files.keys().copied().collect();
    assert_eq!(names, [".env", "compose.yaml", "motd.txt", "web.env"]);
    assert!(files[".env"].starts_with("TAG=1.0\n"), "{}", files[".env"]);
    assert!(
        files[".env"].contains("TOKEN=\"a\\\"\\$b\""),
        "{}",
        files[".env"]
    );
    assert!(!files[".env"].contains("OTHER"));
    let images: Vec<&str> = bundle
        .images
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(images, ["nginx:1.0"]);
    assert_eq!(bundle.annotations[PROJECT], "shop");
    let notes = bundle.notes.join("\n");
    assert!(
        notes.contains("\"key\" is left out") && notes.contains("./html"),
        "{notes}"
    );
    assert!(!notes.contains("s3cret"));
}

#[test]
fn secrets_and_bind_mounts_go_along_when_they_are_asked_for() {
    let dir = shop();
    let wanted = Wanted {
        secrets: true,
        bind_mounts: true,
    };
    let bundle = collected(&options(&dir.path().join("shop"), &[]), wanted).unwrap();
    let files = by_title(&bundle);
    assert_eq!(files["key.txt"], "s3cret");
    assert_eq!(files["html/index.html"], "<p>");
    assert!(bundle.notes.join("\n").contains("in the clear (key)"));
    std::os::unix::fs::symlink("/etc/passwd", dir.path().join("shop/html/link")).unwrap();
    let refused = collected(&options(&dir.path().join("shop"), &[]), wanted);
    assert!(matches!(refused, Err(Error::Special(path)) if path.ends_with("html/link")));
}

#[test]
fn files_beside_the_project_and_those_that_were_named_are_found_again() {
    let dir = shop();
    let shop = dir.path().join("shop");
    std::fs::write(dir.path().join("common.env"), "B=2").unwrap();
    std::fs::write(
        shop.join("over.yaml"),
        "services: {web: {env_file: [../common.env]}}",
    )
    .unwrap();
    let options = Options {
        files: vec!["compose.yaml".into(), "over.yaml".into()],
        ..options(&shop, &[])
    };
    let bundle = collected(&options, Wanted::default()).unwrap();
    let files = by_title(&bundle);
    assert!(files.contains_key("common.env") && files.contains_key("shop/over.yaml"));
    assert_eq!(bundle.annotations[DIRECTORY], "shop");
    assert!(files["shop/.env"].contains("COMPOSE_FILE=\"compose.yaml:over.yaml\""));
}

#[test]
fn what_another_host_would_not_have_is_refused_by_name() {
    let dir = shop();
    let shop = dir.path().join("shop");
    let absolute = dir.path().join("outside.txt");
    std::fs::write(&absolute, "x").unwrap();
    let yaml = format!(
        "services: {{a: {{image: x, configs: [c]}}}}\nconfigs: {{c: {{file: {}}}}}\n",
        absolute.display()
    );
    std::fs::write(shop.join("compose.yaml"), yaml).unwrap();
    let refused = collected(&options(&shop, &[]), Wanted::default()).unwrap_err();
    assert!(
        matches!(&refused, Error::Absolute(path) if *path == absolute),
        "{refused}"
    );
}

/// What `place` says to a manifest with these files.
fn told(files: &[(&str, u64, &str)]) -> String {
    let layer = |(title, size, mode): &(&str, u64, &str)| {
        let mut layer = Descriptor::of(FILE, title.as_bytes());
        layer.size = *size;
        layer
            .annotations
            .insert(TITLE.to_owned(), (*title).to_owned());
        layer
            .annotations
            .insert(MODE.to_owned(), (*mode).to_owned());
        layer
    };
    let layers = files.iter().map(layer).collect();
    let mut manifest = Manifest::new(Descriptor::of("", b"{}"), layers);
    manifest
        .annotations
        .insert(PROJECT.to_owned(), "shop".to_owned());
    match super::place::checked(&manifest) {
        Ok(()) => String::new(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn hostile_files_are_refused_by_name() {
    for path in [
        "../x",
        "/etc/passwd",
        "a/../../x",
        "",
        "a//b",
        "./a",
        "a/",
        "a\0b",
        "a\\b",
    ] {
        assert!(
            told(&[(path, 1, "644")]).contains("leads outside"),
            "{path:?}"
        );
    }
    let twice = told(&[("a", 1, "644"), ("a", 1, "644")]);
    assert!(twice.contains("two things"), "{twice}");
    let both = told(&[("a", 1, "644"), ("a/b", 1, "644")]);
    assert!(both.contains("two things"), "{both}");
    assert!(told(&[("a", u64::MAX, "644")]).contains("too large"));
    let many: Vec<(String, u64, &str)> = (0..2000).map(|n| (n.to_string(), 1, "644")).collect();
    let many: Vec<(&str, u64, &str)> = many.iter().map(|(n, s, m)| (n.as_str(), *s, *m)).collect();
    assert!(told(&many).contains("too large"));
    for mode in ["4755", "x", "-1"] {
        assert!(told(&[("a", 1, mode)]).contains("mode"), "{mode}");
    }
    assert_eq!(told(&[("a/b", 1, "644"), ("a/c", 1, "755")]), "");
}

#[test]
fn the_name_of_a_project_is_no_path() {
    let mut manifest = Manifest::new(Descriptor::of("", b"{}"), Vec::new());
    for name in ["", "../x", "A", "-x", "a b"] {
        manifest
            .annotations
            .insert(PROJECT.to_owned(), name.to_owned());
        let checked = super::place::checked(&manifest);
        assert!(matches!(checked, Err(PlaceError::Project(_))), "{name}");
    }
}
