//! Writing tar streams whose bytes depend only on what is written: ustar headers, PAX records where a
//! field does not fit. Source: POSIX pax(1).

use super::{Entry, Kind};
use std::io::{self, Write};

/// Writes entries; [`Writer::finish`] ends the archive.
#[derive(Debug)]
pub(crate) struct Writer<W> {
    inner: W,
}

/// The largest value of an eight-byte octal field.
const SMALL: u64 = 0o7_777_777;
/// The largest value of a twelve-byte octal field.
const LARGE: u64 = 0o77_777_777_777;

impl<W: Write> Writer<W> {
    pub(crate) fn new(inner: W) -> Self {
        Self { inner }
    }

    /// Writes an entry's headers; of a file, `entry.size` bytes of data follow by [`Writer::data`] and
    /// then [`Writer::pad`].
    pub(crate) fn entry(&mut self, entry: &Entry) -> io::Result<()> {
        let mut records = Vec::new();
        let mut header = tar::Header::new_ustar();
        if header.set_path_bytes(&entry.path).is_none() {
            record(&mut records, b"path", &entry.path);
        }
        if header.set_link_bytes(&entry.link).is_none() {
            record(&mut records, b"linkpath", &entry.link);
        }
        let mut fit = |key: &[u8], value: u64, largest: u64| {
            if value > largest {
                record(&mut records, key, value.to_string().as_bytes());
                return 0;
            }
            value
        };
        header.set_size(fit(b"size", entry.size, LARGE));
        header.set_uid(fit(b"uid", entry.uid.into(), SMALL));
        header.set_gid(fit(b"gid", entry.gid.into(), SMALL));
        let (seconds, nanos) = entry.mtime;
        let whole = u64::try_from(seconds).ok().filter(|s| *s <= LARGE);
        if nanos != 0 || whole.is_none() {
            record(&mut records, b"mtime", pax_time(seconds, nanos).as_bytes());
        }
        header.set_mtime(whole.unwrap_or(0));
        header.set_mode(entry.mode & 0o7777);
        header.set_entry_type(type_of(entry.kind));
        header.set_device_major(entry.device.0)?;
        header.set_device_minor(entry.device.1)?;
        for (name, value) in &entry.xattrs {
            record(
                &mut records,
                &[b"SCHILY.xattr.", name.as_slice()].concat(),
                value,
            );
        }
        if !records.is_empty() {
            self.pax(&records)?;
        }
        header.set_cksum();
        self.inner.write_all(header.as_bytes())
    }

    fn pax(&mut self, records: &[u8]) -> io::Result<()> {
        let mut header = tar::Header::new_ustar();
        header.set_path_bytes(b"PaxHeaders/entry");
        header.set_size(records.len() as u64);
        header.set_mode(0o644);
        header.set_entry_type(tar::EntryType::XHeader);
        header.set_cksum();
        self.inner.write_all(header.as_bytes())?;
        self.inner.write_all(records)?;
        self.pad(records.len() as u64)
    }

    pub(crate) fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.inner.write_all(bytes)
    }

    /// Fills up to the next block after `size` bytes of data.
    pub(crate) fn pad(&mut self, size: u64) -> io::Result<()> {
        let rest = usize::try_from(size % 512).unwrap_or(0);
        if rest == 0 {
            return Ok(());
        }
        self.inner.write_all(&[0u8; 512][rest..])
    }

    /// A whole regular file.
    pub(crate) fn file(&mut self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.entry(&plain(path, Kind::File, 0o644, bytes.len() as u64))?;
        self.data(bytes)?;
        self.pad(bytes.len() as u64)
    }

    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.inner.write_all(&[0u8; 1024])?;
        Ok(self.inner)
    }
}

/// Where an image layout has a blob.
pub(crate) fn blob_path(digest: &oci::Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().as_str(), digest.hex())
}

/// An entry of root's, at the beginning of time.
pub(crate) fn plain(path: &str, kind: Kind, mode: u32, size: u64) -> Entry {
    Entry {
        path: path.as_bytes().to_vec(),
        link: Vec::new(),
        kind,
        mode,
        uid: 0,
        gid: 0,
        mtime: (0, 0),
        device: (0, 0),
        size,
        sparse: None,
        xattrs: Vec::new(),
    }
}

trait RawNames {
    /// Sets the name where it fits into its field.
    fn set_path_bytes(&mut self, path: &[u8]) -> Option<()>;
    fn set_link_bytes(&mut self, link: &[u8]) -> Option<()>;
}

impl RawNames for tar::Header {
    fn set_path_bytes(&mut self, path: &[u8]) -> Option<()> {
        self.as_ustar_mut()?
            .name
            .get_mut(..path.len())?
            .copy_from_slice(path);
        Some(())
    }

    fn set_link_bytes(&mut self, link: &[u8]) -> Option<()> {
        self.as_ustar_mut()?
            .linkname
            .get_mut(..link.len())?
            .copy_from_slice(link);
        Some(())
    }
}

fn type_of(kind: Kind) -> tar::EntryType {
    match kind {
        Kind::File => tar::EntryType::Regular,
        Kind::Directory => tar::EntryType::Directory,
        Kind::Symlink => tar::EntryType::Symlink,
        Kind::HardLink => tar::EntryType::Link,
        Kind::CharDevice => tar::EntryType::Char,
        Kind::BlockDevice => tar::EntryType::Block,
        Kind::Fifo => tar::EntryType::Fifo,
    }
}

/// Before 1970 the fraction counts the other way.
fn pax_time(seconds: i64, nanos: u32) -> String {
    let text = match (seconds, nanos) {
        (s, 0) => return s.to_string(),
        (s, n) if s < 0 => {
            let whole = s + 1;
            let sign = if whole == 0 { "-" } else { "" };
            format!("{sign}{whole}.{:09}", 1_000_000_000 - n)
        }
        (s, n) => format!("{s}.{n:09}"),
    };
    text.trim_end_matches('0').to_owned()
}

/// `LENGTH KEY=VALUE\n`, where the length counts itself.
fn record(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let body = key.len() + value.len() + 3;
    let mut length = body;
    while length != body + length.to_string().len() {
        length = body + length.to_string().len();
    }
    records.extend_from_slice(length.to_string().as_bytes());
    records.push(b' ');
    records.extend_from_slice(key);
    records.push(b'=');
    records.extend_from_slice(value);
    records.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tarball::{Limits, Reader};
    use proptest::prelude::*;

    fn round_trip(entry: &Entry, data: &[u8]) -> Entry {
        let mut writer = Writer::new(Vec::new());
        writer.entry(entry).unwrap();
        writer.data(data).unwrap();
        writer.pad(data.len() as u64).unwrap();
        let bytes = writer.finish().unwrap();
        assert_eq!(bytes.len() % 512, 0);
        let mut reader = Reader::new(&bytes[..], Limits::default());
        let read = reader.next().unwrap().unwrap();
        let mut back = vec![0; data.len()];
        let mut filled = 0;
        while filled < back.len() {
            filled += reader.read_data(&mut back[filled..]).unwrap();
        }
        assert_eq!(back, data);
        assert!(reader.next().unwrap().is_none());
        read
    }

    #[test]
    fn what_does_not_fit_a_header_goes_into_records() {
        let mut entry = plain(&"d/".repeat(100), Kind::Symlink, 0o777, 0);
        entry.link = b"x".repeat(300);
        entry.uid = 4_000_000_000;
        entry.mtime = (-2, 250_000_000);
        entry.xattrs = vec![(b"user.a".to_vec(), b"1\n2=3\0".to_vec())];
        let read = round_trip(&entry, b"");
        assert_eq!(
            (read.path, read.link, read.uid),
            (entry.path, entry.link, entry.uid)
        );
        assert_eq!((read.mtime, read.xattrs), (entry.mtime, entry.xattrs));
    }

    proptest! {
        #[test]
        fn entries_come_back(
            path in "[a-z/]{1,200}[a-z]", uid in 0..u32::MAX, seconds in -3_000_000_000i64..99_999_999_999,
            nanos in 0u32..1_000_000_000, data in proptest::collection::vec(any::<u8>(), 0..2000),
        ) {
            let mut entry = plain(&path, Kind::File, 0o644, data.len() as u64);
            (entry.uid, entry.mtime) = (uid, (seconds, nanos));
            let read = round_trip(&entry, &data);
            prop_assert_eq!((read.path, read.uid, read.mtime, read.size), (entry.path, uid, entry.mtime, entry.size));
        }
    }
}
