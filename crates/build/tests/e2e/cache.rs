//! What the cache finds again, and what it must not.

use crate::Test;
use crate::site::Site;
use std::fs;
use std::time::{Duration, SystemTime};

pub(crate) const TESTS: &[Test] = &[
    (
        "an_unchanged_build_is_the_same_image",
        an_unchanged_build_is_the_same_image,
    ),
    (
        "content_counts_and_times_do_not",
        content_counts_and_times_do_not,
    ),
    (
        "arguments_count_where_they_are_declared",
        arguments_count_where_they_are_declared,
    ),
    (
        "a_collected_layer_is_made_again",
        a_collected_layer_is_made_again,
    ),
    ("prune_forgets_everything", prune_forgets_everything),
];

const FILE: &str = "FROM busybox\nCOPY a /a\nRUN echo run >> /b\nENV x=1\nWORKDIR /w\n";

fn an_unchanged_build_is_the_same_image() {
    let site = Site::new();
    site.write("a", "1");
    let (first, told) = site.build(FILE);
    assert_eq!(told.count("cached"), 0);
    let (second, told) = site.build(FILE);
    assert_eq!(told.count("cached"), 3, "{:#?}", told.lines());
    assert_eq!(first.built.image.id, second.built.image.id);
    let mut options = site.options(FILE);
    options.no_cache = true;
    assert_eq!(site.build_with(options).1.count("cached"), 0);
}

fn content_counts_and_times_do_not() {
    let site = Site::new();
    site.write("a", "1");
    site.build(FILE);
    let file = fs::File::options()
        .write(true)
        .open(site.context_dir().join("a"))
        .unwrap();
    file.set_modified(SystemTime::now() + Duration::from_secs(1000))
        .unwrap();
    assert_eq!(site.build(FILE).1.count("cached"), 3);
    site.write("a", "2");
    let (image, told) = site.build(FILE);
    assert_eq!(told.count("cached"), 0, "{:#?}", told.lines());
    assert_eq!(image.read("/a"), "2");
    fs::set_permissions(
        site.context_dir().join("a"),
        std::os::unix::fs::PermissionsExt::from_mode(0o600),
    )
    .unwrap();
    assert_eq!(site.build(FILE).1.count("cached"), 0, "the mode counts");
}

fn arguments_count_where_they_are_declared() {
    let site = Site::new();
    let file = "FROM busybox\nRUN echo before > /b\nARG v\nRUN echo $v > /v\n";
    let build = |value: &str| {
        let mut options = site.options(file);
        options.build_args.insert("v".into(), value.into());
        options
            .build_args
            .insert("HTTP_PROXY".into(), format!("http://{value}"));
        site.build_with(options)
    };
    assert_eq!(build("1").0.read("/v"), "1\n");
    let (image, told) = build("2");
    assert_eq!(
        (image.read("/v").as_str(), told.count("cached")),
        ("2\n", 1)
    );
    let mut options = site.options(file);
    options.build_args.insert("vv".into(), "x".into());
    assert!(site.build_with(options).1.says("[vv] were not consumed"));
}

fn a_collected_layer_is_made_again() {
    let site = Site::new();
    site.write("a", "1");
    let (image, _) = site.build(FILE);
    fs::remove_dir_all(image.dirs.last().unwrap().parent().unwrap()).unwrap();
    let (image, told) = site.build(FILE);
    assert_eq!(told.count("cached"), 2);
    assert!(image.path("/w").is_some());
}

fn prune_forgets_everything() {
    let site = Site::new();
    site.write("a", "1");
    site.build(FILE);
    let (layers, blobs) = build::cache::roots(&site.ctx.layout).unwrap();
    assert_eq!((layers.len(), blobs.len()), (3, 3));
    let pruned = build::cache::prune(&site.ctx.layout, None).unwrap();
    assert_eq!(pruned.removed.len(), 3);
    assert!(build::cache::list(&site.ctx.layout).unwrap().is_empty());
    assert_eq!(site.build(FILE).1.count("cached"), 0);
}
