//! Owners, modes, times and extended attributes.

use super::*;

#[test]
fn devices_fifos_owners_modes_times_and_attributes_are_kept() {
    let place = Place::new();
    let mut device = plain("null", Kind::CharDevice, 0o620, 0);
    (device.device, device.uid) = ((1, 3), 7);
    let mut program = plain("su", Kind::File, 0o4755, 2);
    (program.uid, program.gid, program.mtime) = (3_000_000_000, 5, (1_000_000_000, 123_456_789));
    program.xattrs = vec![
        (b"user.note".to_vec(), b"hi".to_vec()),
        (
            b"security.capability".to_vec(),
            vec![1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        ),
    ];
    let mut folder = plain("d/", Kind::Directory, 0o1777, 0);
    folder.mtime = (5, 0);
    let fifo = plain("pipe", Kind::Fifo, 0o600, 0);
    place
        .apply(&[
            (device, b""),
            (folder, b""),
            (program, b"#!"),
            (fifo, b""),
            file("d/x", ""),
        ])
        .unwrap();
    let stat = |n: &str| fs::symlink_metadata(place.layer().join(n)).unwrap();
    assert_eq!(
        (
            stat("null").rdev(),
            stat("null").uid(),
            stat("null").mode() & 0o7777
        ),
        (0x103, 7, 0o620)
    );
    assert_eq!(
        (
            stat("su").uid(),
            stat("su").gid(),
            stat("su").mode() & 0o7777
        ),
        (3_000_000_000, 5, 0o4755)
    );
    assert_eq!(
        (stat("su").mtime(), stat("su").mtime_nsec()),
        (1_000_000_000, 123_456_789)
    );
    assert_eq!(
        (stat("d").mode() & 0o7777, stat("d").mtime()),
        (0o1777, 5),
        "filling it did not change it"
    );
    let mut value = [0u8; 64];
    let size = rustix::fs::lgetxattr(
        place.layer().join("su"),
        "security.capability",
        &mut value[..],
    )
    .unwrap();
    assert_eq!(size, 20);
}

#[test]
fn what_a_directory_hands_on_does_not_reach_what_its_archive_puts_into_it() {
    let place = Place::new();
    let mut folder = plain("d/", Kind::Directory, 0o2775, 0);
    folder.gid = 50;
    // user::rwx user:1000:rwx group::rwx mask::rwx other::---
    let acl: [(u16, u16, u32); 5] = [
        (1, 7, u32::MAX),
        (2, 7, 1000),
        (4, 7, u32::MAX),
        (0x10, 7, u32::MAX),
        (0x20, 0, u32::MAX),
    ];
    let mut value = 2u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in acl {
        value.extend_from_slice(&tag.to_le_bytes());
        value.extend_from_slice(&permissions.to_le_bytes());
        value.extend_from_slice(&id.to_le_bytes());
    }
    let name = b"system.posix_acl_default".to_vec();
    folder.xattrs = vec![(name, value)];
    place
        .apply(&[(folder, b""), file("d/in", "x"), dir("d/below/")])
        .unwrap();
    let stat = |n: &str| fs::symlink_metadata(place.layer().join(n)).unwrap();
    assert_eq!((stat("d").gid(), stat("d").mode() & 0o7777), (50, 0o2775));
    assert_eq!(
        (stat("d/in").gid(), stat("d/in").mode() & 0o7777),
        (0, 0o644)
    );
    assert_eq!(
        (stat("d/below").gid(), stat("d/below").mode() & 0o7777),
        (0, 0o755)
    );
}

#[test]
fn a_directory_that_a_later_entry_replaces_is_forgotten() {
    let place = Place::new();
    let mut other = plain("other/", Kind::Directory, 0o2700, 0);
    other.mtime = (9, 0);
    let mut first = plain("first/", Kind::Directory, 0o2777, 0);
    first.mtime = (5, 0);
    let unpacked = place
        .apply(&[
            (other, b""),
            (first, b""),
            link(Kind::Symlink, "first", "other"),
            file("implied/in", "x"),
            file("implied", "a file now"),
        ])
        .unwrap();
    assert!(unpacked.implied.is_empty(), "{:?}", unpacked.implied);
    let stat = fs::symlink_metadata(place.layer().join("other")).unwrap();
    assert_eq!((stat.mode() & 0o7777, stat.mtime()), (0o2700, 9));
}

#[test]
fn attributes_that_steer_overlayfs_are_not_taken() {
    let place = Place::new();
    let mut folder = plain("d/", Kind::Directory, 0o755, 0);
    for name in [
        OPAQUE,
        "trusted.overlay.redirect",
        "user.overlay.opaque",
        "trusted.x",
    ] {
        folder
            .xattrs
            .push((name.as_bytes().to_vec(), b"y".to_vec()));
    }
    place.apply(&[(folder, b"")]).unwrap();
    let mut names = [0u8; 256];
    let length = rustix::fs::llistxattr(place.layer().join("d"), &mut names[..]).unwrap();
    assert_eq!(length, 0, "{:?}", String::from_utf8_lossy(&names[..length]));
}
