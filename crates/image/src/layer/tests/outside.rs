//! Paths and links that lead out of the layer, or only seem to.

use super::*;

#[test]
fn a_path_that_climbs_out_is_refused() {
    for path in [
        "../outside/canary",
        "a/../../outside/canary",
        "..",
        "a/../..",
    ] {
        let result = Place::new().apply(&[file(path, "dead")]);
        assert!(
            matches!(result, Err(Error::Breakout { .. })),
            "{path}: {result:?}"
        );
    }
}

#[test]
fn an_absolute_path_lands_inside() {
    let place = Place::new();
    place
        .apply(&[file("/etc/passwd", "inside"), file("//a//./b", "x")])
        .unwrap();
    assert_eq!(place.read("etc/passwd"), "inside");
    assert_eq!(place.read("a/b"), "x");
}

#[test]
fn a_symlinked_parent_leads_nowhere_but_inside() {
    let place = Place::new();
    let outside = place.dir.path().join("outside");
    let absolute = outside.to_str().unwrap();
    place
        .apply(&[
            link(Kind::Symlink, "abs", absolute),
            file("abs/canary", "dead"),
        ])
        .unwrap_or_default();
    place
        .apply(&[
            link(Kind::Symlink, "rel", "../outside"),
            file("rel/canary", "dead"),
        ])
        .unwrap_or_default();
    place
        .apply(&[
            dir("d/"),
            link(Kind::Symlink, "d/up", "../../outside"),
            file("d/up/canary", "dead"),
        ])
        .unwrap_or_default();
    place
        .apply(&[
            link(Kind::Symlink, "proc", "/proc/self/root"),
            file("proc/tmp/x-dockless", "dead"),
        ])
        .unwrap_or_default();
    assert!(!Path::new("/tmp/x-dockless").exists());
}

#[test]
fn a_link_within_the_layer_is_followed_as_in_the_container() {
    let place = Place::new();
    place
        .apply(&[
            dir("usr/"),
            dir("usr/lib/"),
            link(Kind::Symlink, "lib", "/usr/lib"),
            file("lib/a.so", "so"),
        ])
        .unwrap();
    assert_eq!(place.read("usr/lib/a.so"), "so");
    assert!(
        fs::symlink_metadata(place.layer().join("lib"))
            .unwrap()
            .is_symlink()
    );
}

#[test]
fn a_file_replaces_a_link_instead_of_writing_through_it() {
    let place = Place::new();
    let target = place.dir.path().join("outside/canary");
    place
        .apply(&[
            link(Kind::Symlink, "f", target.to_str().unwrap()),
            file("f", "new"),
        ])
        .unwrap();
    assert_eq!(place.read("f"), "new");
    assert!(
        fs::symlink_metadata(place.layer().join("f"))
            .unwrap()
            .is_file()
    );
}

#[test]
fn a_link_loop_is_an_error_and_no_hang() {
    let place = Place::new();
    let loops = [
        link(Kind::Symlink, "a", "b"),
        link(Kind::Symlink, "b", "a"),
        file("a/x", "x"),
    ];
    assert!(matches!(place.apply(&loops), Err(Error::Breakout { .. })));
}

#[test]
fn a_hard_link_cannot_name_anything_outside() {
    for target in [
        "../outside/canary",
        "/../outside/canary",
        "x/../../outside/canary",
    ] {
        let result = Place::new().apply(&[link(Kind::HardLink, "h", target)]);
        assert!(
            matches!(result, Err(Error::Breakout { .. })),
            "{target}: {result:?}"
        );
    }
    let place = Place::new();
    let outside = place.dir.path().join("outside");
    let through = [
        link(Kind::Symlink, "s", outside.to_str().unwrap()),
        link(Kind::HardLink, "h", "s/canary"),
    ];
    let unpacked = place.apply(&through).unwrap();
    assert_eq!(
        unpacked.links.len(),
        1,
        "the target is looked for in the layer, where it is not"
    );
    assert!(!place.layer().join("h").exists());
    assert_eq!(fs::metadata(outside.join("canary")).unwrap().nlink(), 1);
}

#[test]
fn hard_links_share_an_inode_and_links_to_links_are_links() {
    let place = Place::new();
    let entries = [
        file("a", "x"),
        link(Kind::HardLink, "b", "a"),
        link(Kind::Symlink, "s", "a"),
        link(Kind::HardLink, "t", "s"),
        link(Kind::HardLink, "a", "a"),
    ];
    place.apply(&entries).unwrap();
    let inode = |n: &str| fs::symlink_metadata(place.layer().join(n)).unwrap().ino();
    assert_eq!(inode("a"), inode("b"));
    assert_eq!(inode("s"), inode("t"));
    assert!(
        fs::symlink_metadata(place.layer().join("t"))
            .unwrap()
            .is_symlink()
    );
}
