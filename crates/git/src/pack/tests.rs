use super::*;
use flate2::Compression;
use flate2::write::ZlibEncoder;

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// An entry of the kind with this number; `base` stands between head and content.
fn entry(kind: u8, size: usize, base: &[u8], content: &[u8]) -> Vec<u8> {
    let mut head = vec![kind << 4 | (size & 15) as u8];
    let mut rest = size >> 4;
    while rest > 0 {
        *head.last_mut().unwrap() |= 0x80;
        head.push((rest & 0x7f) as u8);
        rest >>= 7;
    }
    [&head[..], base, &zlib(content)].concat()
}

fn pack(count: u32, entries: &[Vec<u8>]) -> Vec<u8> {
    let mut all = [&b"PACK\0\0\0\x02"[..], &count.to_be_bytes()].concat();
    all.extend(entries.concat());
    let mut hasher = Hash::Sha1.hasher();
    hasher.update(&all);
    all.extend_from_slice(hasher.finish().bytes());
    all
}

fn open(bytes: &[u8]) -> Result<Pack, Error> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    Pack::open(file, Hash::Sha1)
}

#[test]
fn whole_objects_and_deltas_by_offset_and_by_name() {
    let base = entry(3, 10, b"", b"0123456789");
    let delta = [10, 3, 0x90, 3];
    let by_offset = entry(6, 4, &[base.len() as u8], &delta);
    // `printf 0123456789 | git hash-object --stdin`
    let name = Id::parse("ad471007bd7f5983d273b9584e5629230150fd54", Hash::Sha1).unwrap();
    let appended = [10, 4, 0x91, 1, 3, 1, b'x'];
    let by_name = entry(7, appended.len(), name.bytes(), &appended);
    let pack = open(&pack(3, &[base, by_offset, by_name])).unwrap();
    let mut all: Vec<Vec<u8>> = pack
        .ids()
        .map(|(id, _)| pack.read(id, Kind::Blob).unwrap())
        .collect();
    all.sort();
    assert_eq!(
        all,
        [b"012".to_vec(), b"0123456789".to_vec(), b"123x".to_vec()]
    );
    let mut copied = Vec::new();
    assert_eq!(pack.copy(&name, &mut copied).unwrap(), 10);
    assert_eq!(copied, b"0123456789");
    assert!(matches!(
        pack.read(&name, Kind::Tree),
        Err(Error::Object { .. })
    ));
}

#[test]
fn damaged_packs_are_refused_at_every_length() {
    let whole = pack(1, &[entry(3, 3, b"", b"abc")]);
    assert!(open(&whole).is_ok());
    for cut in 0..whole.len() {
        assert!(open(&whole[..cut]).is_err(), "{cut}");
    }
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        assert!(open(&flipped).is_err(), "{at}");
    }
}

#[test]
fn hostile_packs_are_refused() {
    let say = |bytes: Vec<u8>| open(&bytes).unwrap_err().to_string();
    let blob = || entry(3, 3, b"", b"abc");
    assert!(say(pack(2, &[blob()])).contains("damaged"));
    assert!(say(pack(1, &[blob(), blob()])).contains("more or less than it says"));
    assert!(say(pack(u32::MAX, &[])).contains("20 million"));
    assert!(say(pack(1, &[entry(3, 2, b"", b"abc")])).contains("larger than it says"));
    assert!(say(pack(1, &[entry(3, 4, b"", b"abc")])).contains("smaller than it says"));
    assert!(say(pack(1, &[entry(3, 1 << 40, b"", b"abc")])).contains("larger than any file"));
    assert!(say(pack(1, &[entry(5, 3, b"", b"abc")])).contains("no known kind"));
    assert!(say(pack(1, &[entry(6, 4, &[0], &[1, 1, 1, 1])])).contains("outside of it"));
    assert!(say(pack(1, &[entry(6, 4, &[5], &[1, 1, 1, 1])])).contains("has no base"));
    // Two deltas, each of the other: neither has a content.
    let one = entry(7, 4, &[1; 20], &[1, 1, 1, 1]);
    assert!(say(pack(2, &[one.clone(), one])).contains("did not come"));
    // A base of itself by offset.
    assert!(say(pack(1, &[entry(6, 4, &[12], &[1, 1, 1, 1])])).contains("has no base"));
}
