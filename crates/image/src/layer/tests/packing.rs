//! From a directory back to its archive.

use super::*;

/// What was unpacked is packed and unpacked again: the same archive, whatever is in it.
#[test]
fn packing_is_the_way_back() {
    let place = Place::new();
    let mut owned = plain("d/sub/", Kind::Directory, 0o750, 0);
    (owned.uid, owned.mtime) = (1000, (1_700_000_000, 5));
    let entries = [
        dir("d/"),
        (owned, &b""[..]),
        file("d/sub/f", "content"),
        link(Kind::HardLink, "d/z", "d/sub/f"),
        link(Kind::Symlink, "s", "/nowhere"),
        file("d/.wh.gone", ""),
        dir("o/"),
        file("o/.wh..wh..opq", ""),
        (plain("p", Kind::Fifo, 0o600, 0), &b""[..]),
    ];
    place.apply(&entries).unwrap();
    symlink("x", place.layer().join(format!("long-{}", "n".repeat(200)))).unwrap();
    fs::set_permissions(place.layer(), fs::Permissions::from_mode(0o755)).unwrap();
    let packed = |place: &Place| {
        let root = crate::layer::store::open_dir(&place.layer()).unwrap();
        let mut bytes = Vec::new();
        pack(root.as_fd(), Manner::STILL, &mut bytes).unwrap();
        bytes
    };
    let first = packed(&place);
    assert_eq!(first, packed(&place), "one tree has one archive");
    let second = Place::new();
    second.apply_bytes(&first).unwrap();
    assert_eq!(packed(&second), first);
    assert!(whiteout_at(&second, "d", "gone") && opaque_at(&second, "o"));
}

#[test]
fn a_directory_that_depends_on_lower_layers_is_not_packed() {
    let place = Place::new();
    place.apply(&[dir("d/")]).unwrap();
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::lsetxattr(
        place.layer().join("d"),
        "trusted.overlay.redirect",
        b"/e",
        flags,
    )
    .unwrap();
    let root = crate::layer::store::open_dir(&place.layer()).unwrap();
    assert!(
        pack(root.as_fd(), Manner::STILL, Vec::new())
            .unwrap_err()
            .to_string()
            .contains("redirect_dir=off")
    );
}
