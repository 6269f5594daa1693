//! Layers as attackers and odd tools write them, unpacked as root into a real directory.

mod agreement;

use super::attributes::Ground;
use super::pack::{Manner, pack};
use super::root::{OPAQUE, is_opaque, is_whiteout};
use super::unpack::{Error, Unpacked, unpack};
use crate::tarball::writer::plain;
use crate::tarball::{Entry, Kind, Limits, Writer};
use proptest::prelude::*;
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

/// A directory with a canary beside the layer: whatever a layer does, the canary stays.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("layer")).unwrap();
        fs::create_dir(dir.path().join("outside")).unwrap();
        fs::write(dir.path().join("outside/canary"), "alive").unwrap();
        Self { dir }
    }

    fn layer(&self) -> std::path::PathBuf {
        self.dir.path().join("layer")
    }

    fn apply(&self, entries: &[(Entry, &[u8])]) -> Result<Unpacked, Error> {
        self.apply_bytes(&archive(entries))
    }

    fn apply_bytes(&self, bytes: &[u8]) -> Result<Unpacked, Error> {
        let root = super::store::open_dir(&self.layer()).unwrap();
        let limits = Limits {
            entries: 1000,
            bytes: 1 << 20,
            ..Limits::default()
        };
        let fresh = fs::read_dir(self.layer()).unwrap().next().is_none();
        let result = unpack(bytes, root.as_fd(), Ground::of(root.as_fd()), limits);
        let outside: Vec<_> = fs::read_dir(self.dir.path())
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        assert_eq!(
            outside.len(),
            2,
            "something was made beside the layer: {outside:?}"
        );
        assert_eq!(
            fs::read_to_string(self.dir.path().join("outside/canary")).unwrap(),
            "alive"
        );
        assert_eq!(
            fs::read_dir(self.dir.path().join("outside"))
                .unwrap()
                .count(),
            1
        );
        if fresh {
            agreement::check(bytes, limits, &self.layer(), &result);
        }
        result
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.layer().join(path)).unwrap()
    }
}

fn archive(entries: &[(Entry, &[u8])]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (entry, data) in entries {
        writer.entry(entry).unwrap();
        writer.data(data).unwrap();
        writer.pad(data.len() as u64).unwrap();
    }
    writer.finish().unwrap()
}

fn file(path: &str, data: &'static str) -> (Entry, &'static [u8]) {
    (
        plain(path, Kind::File, 0o644, data.len() as u64),
        data.as_bytes(),
    )
}

fn dir(path: &str) -> (Entry, &'static [u8]) {
    (plain(path, Kind::Directory, 0o755, 0), b"")
}

fn link(kind: Kind, path: &str, target: &str) -> (Entry, &'static [u8]) {
    let mut entry = plain(path, kind, 0o777, 0);
    entry.link = target.as_bytes().to_vec();
    (entry, b"")
}

fn whiteout_at(place: &Place, dir: &str, name: &str) -> bool {
    let fd = super::store::open_dir(&place.layer().join(dir)).unwrap();
    is_whiteout(fd.as_fd(), name.as_bytes()).unwrap_or(false)
}

fn opaque_at(place: &Place, dir: &str) -> bool {
    let fd = super::store::open_dir(&place.layer()).unwrap();
    is_opaque(fd.as_fd(), dir.as_bytes())
}

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

#[test]
fn a_later_entry_replaces_an_earlier_one_of_any_kind() {
    let place = Place::new();
    let entries = [
        dir("a/"),
        file("a/b/c", "deep"),
        file("a", "file now"),
        file("b", "file"),
        dir("b/"),
        file("b/x", "x"),
        link(Kind::Symlink, "b/y", "x"),
        dir("b/"),
    ];
    place.apply(&entries).unwrap();
    assert_eq!(place.read("a"), "file now");
    assert_eq!(place.read("b/x"), "x");
}

#[test]
fn missing_parents_are_made_and_told() {
    let place = Place::new();
    let unpacked = place.apply(&[file("usr/bin/x", "x"), dir("usr/")]).unwrap();
    assert_eq!(unpacked.implied, [b"usr/bin".to_vec()]);
}

#[test]
fn bombs_are_refused() {
    let many: Vec<_> = (0..1100)
        .map(|n| (plain(&format!("f{n}"), Kind::File, 0o644, 0), &b""[..]))
        .collect();
    assert!(
        Place::new()
            .apply(&many)
            .unwrap_err()
            .to_string()
            .contains("1000 entries")
    );
    let mut bytes = archive(&[(plain("big", Kind::File, 0o644, 2 << 20), b"")]);
    assert!(
        Place::new()
            .apply_bytes(&bytes)
            .unwrap_err()
            .to_string()
            .contains("bytes")
    );
    // An extension header that claims gigabytes.
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::XHeader);
    header.set_size(1 << 33);
    header.set_cksum();
    bytes.splice(0..0, header.as_bytes().iter().copied());
    assert!(
        Place::new()
            .apply_bytes(&bytes)
            .unwrap_err()
            .to_string()
            .contains("extension header")
    );
    let long = "d/".repeat(3000);
    assert!(
        Place::new()
            .apply(&[dir(&long)])
            .unwrap_err()
            .to_string()
            .contains("path")
    );
}

#[test]
fn a_deep_tree_is_made_and_replaced_without_exhausting_the_stack() {
    let place = Place::new();
    let deep = "d/".repeat(1500);
    let entries = [dir(&deep), file("d", "gone")];
    place.apply(&entries).unwrap();
    assert_eq!(place.read("d"), "gone");
}

#[test]
fn a_cut_archive_is_an_error() {
    let bytes = archive(&[file("a", "some content that is cut off"), file("b", "x")]);
    for cut in [100, 520, 1100] {
        assert!(
            Place::new().apply_bytes(&bytes[..cut]).is_err(),
            "cut at {cut}"
        );
    }
    assert!(
        Place::new().apply_bytes(&bytes[..1024]).is_ok(),
        "an end without its zero blocks is accepted"
    );
    assert!(
        Place::new()
            .apply_bytes(&[1u8; 1024])
            .unwrap_err()
            .to_string()
            .contains("checksum")
    );
}

/// A PAX sparse file of format 1.0 as GNU tar writes it.
#[test]
fn sparse_files_get_their_holes() {
    let mut data = b"2\n0\n3\n1000\n2\n".to_vec();
    data.resize(512, 0);
    data.extend_from_slice(b"abcde");
    let mut bytes = Vec::new();
    let records = b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n25 GNU.sparse.name=holey\n28 GNU.sparse.realsize=4096\n";
    let mut pax = tar::Header::new_ustar();
    pax.set_entry_type(tar::EntryType::XHeader);
    pax.set_size(records.len() as u64);
    pax.set_cksum();
    bytes.extend_from_slice(pax.as_bytes());
    bytes.extend_from_slice(records);
    bytes.resize(1024, 0);
    bytes.extend_from_slice(&archive(&[(
        plain(
            "GNUSparseFile.0/holey",
            Kind::File,
            0o644,
            data.len() as u64,
        ),
        &data,
    )]));
    let place = Place::new();
    place.apply_bytes(&bytes).unwrap();
    let content = fs::read(place.layer().join("holey")).unwrap();
    assert_eq!(content.len(), 4096);
    assert_eq!(
        (&content[..3], &content[1000..1002]),
        (&b"abc"[..], &b"de"[..])
    );
    assert!(content[3..1000].iter().all(|b| *b == 0));
}

#[test]
fn gnu_long_names_and_sparse_headers_as_tar_writes_them_are_read() {
    let place = Place::new();
    let long = format!("{}/name", "x".repeat(150));
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(2);
    header.set_mode(0o600);
    builder.append_data(&mut header, &long, &b"ok"[..]).unwrap();
    let bytes = builder.into_inner().unwrap();
    place.apply_bytes(&bytes).unwrap();
    assert_eq!(place.read(&long), "ok");
}

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
        let root = super::store::open_dir(&place.layer()).unwrap();
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
    let root = super::store::open_dir(&place.layer()).unwrap();
    assert!(
        pack(root.as_fd(), Manner::STILL, Vec::new())
            .unwrap_err()
            .to_string()
            .contains("redirect_dir=off")
    );
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let path = "(\\.\\./|/|\\./|\\.wh\\.|[abc]/){0,4}(\\.wh\\.)?(\\.wh\\.\\.opq|[abc]|\\.\\.|\\.)?";
    let target = "(\\.\\./|/|[abc]/){0,4}[abc]?";
    (path, target, 0..7usize, 0u32..0o10000).prop_map(|(path, target, kind, mode)| {
        let kinds = [
            Kind::File,
            Kind::Directory,
            Kind::Symlink,
            Kind::HardLink,
            Kind::CharDevice,
            Kind::BlockDevice,
            Kind::Fifo,
        ];
        let mut entry = plain(&path, kinds[kind], mode, 0);
        entry.link = target.into_bytes();
        entry
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_sequence_of_entries_reaches_outside(entries in proptest::collection::vec(any_entry(), 0..12)) {
        let list: Vec<(Entry, &[u8])> = entries.into_iter().map(|e| (e, &b""[..])).collect();
        let _ = Place::new().apply(&list); // the canary is looked at in there
    }

    #[test]
    fn any_bytes_are_unpacked_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..4096)) {
        let _ = Place::new().apply_bytes(&bytes);
    }

    #[test]
    fn a_damaged_archive_is_unpacked_or_refused(at in 0usize..3000, value in any::<u8>()) {
        let mut bytes = archive(&[dir("d/"), file("d/f", "content"), link(Kind::HardLink, "h", "d/f")]);
        let at = at % bytes.len();
        bytes[at] = value;
        // A right checksum, so that the damage gets past the first check.
        for start in (0..bytes.len()).step_by(512) {
            if bytes[start..start + 512].iter().any(|b| *b != 0) && at / 512 == start / 512 {
                let mut block = [0u8; 512];
                block.copy_from_slice(&bytes[start..start + 512]);
                let mut header = tar::Header::from_byte_slice(&block).clone();
                header.set_cksum();
                bytes[start..start + 512].copy_from_slice(header.as_bytes());
            }
        }
        let _ = Place::new().apply_bytes(&bytes);
    }
}
