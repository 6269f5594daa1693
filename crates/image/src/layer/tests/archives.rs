//! Order and duplicates, sizes and forms of archives, bombs, and any bytes at all.

use super::*;

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
