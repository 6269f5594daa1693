//! What hides files of the layers below, and what only looks like it.

use super::*;

#[test]
fn a_whiteout_becomes_a_device_and_an_opaque_directory_an_attribute() {
    let place = Place::new();
    place
        .apply(&[
            dir("d/"),
            file("d/.wh.gone", ""),
            dir("o/"),
            file("o/.wh..wh..opq", ""),
            file("o/new", "n"),
        ])
        .unwrap();
    assert!(whiteout_at(&place, "d", "gone"));
    assert!(opaque_at(&place, "o"));
    assert_eq!(place.read("o/new"), "n");
    assert!(!place.layer().join("d/.wh.gone").exists());
}

#[test]
fn a_whiteout_cannot_reach_outside() {
    for name in [".wh...", ".wh..", ".wh.", "d/.wh...", "d/.wh."] {
        let result = Place::new().apply(&[dir("d/"), file(name, "")]);
        assert!(
            matches!(result, Err(Error::Whiteout { .. })),
            "{name}: {result:?}"
        );
    }
    assert!(matches!(
        Place::new().apply(&[file("../outside/.wh.canary", "")]),
        Err(Error::Breakout { .. })
    ));
    let place = Place::new();
    let outside = place.dir.path().join("outside");
    let through = [
        link(Kind::Symlink, "s", outside.to_str().unwrap()),
        file("s/.wh.canary", ""),
        file("s/.wh..wh..opq", ""),
    ];
    let _ = place.apply(&through);
}

#[test]
fn a_whiteout_hides_only_what_lies_below() {
    let place = Place::new();
    place
        .apply(&[
            file("f", "mine"),
            file(".wh.f", ""),
            dir("d/"),
            file("d/x", "mine"),
            file(".wh.d", ""),
        ])
        .unwrap();
    assert_eq!(place.read("f"), "mine");
    assert_eq!(place.read("d/x"), "mine");
    assert!(
        opaque_at(&place, "d"),
        "the lower directory must not shine through"
    );
    let place = Place::new();
    place
        .apply(&[
            file(".wh.d", ""),
            dir("d/"),
            file("d/x", "mine"),
            file(".wh.e", ""),
            file("e/y", "mine"),
        ])
        .unwrap();
    assert!(opaque_at(&place, "d") && opaque_at(&place, "e"));
    assert_eq!(place.read("e/y"), "mine");
}

#[test]
fn a_device_named_as_a_whiteout_is_a_whiteout_and_aufs_leftovers_are_nothing() {
    let place = Place::new();
    let mut device = plain(".wh.x", Kind::CharDevice, 0o666, 0);
    device.device = (1, 3);
    place
        .apply(&[
            (device, b""),
            file(".wh..wh.aufs", ""),
            dir(".wh..wh.plnk/"),
            file(".wh..wh.plnk/1.2", ""),
        ])
        .unwrap();
    assert!(whiteout_at(&place, "", "x"));
    assert_eq!(fs::read_dir(place.layer()).unwrap().count(), 1);
}
