//! A reader of untrusted tar streams: ustar, GNU (long names, sparse, base-256 numbers) and PAX
//! (times, ids, xattrs, sparse 0.0, 0.1 and 1.0).
//!
//! The `tar` crate decodes single headers; the framing is ours because `tar::Archive` reads extension
//! headers of any size into memory, and knows no PAX sparse files. Source: POSIX pax(1) "ustar
//! Interchange Format", "pax Extended Header"; GNU tar manual "Sparse Formats".

use super::pax::Pax;
use super::sparse::PaxSparse;
use super::{SparseMap, Xattr};
use std::ffi::OsString;
use std::io::{self, BufRead};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

pub(super) const BLOCK: usize = 512;

/// How much one layer may ask for before it is taken for an attack.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Entries in one layer.
    pub entries: u64,
    /// Bytes of file content in one layer, holes included.
    pub bytes: u64,
    /// Bytes of one extension header (long name, PAX records, sparse map).
    pub extension: u64,
    /// Bytes of one path.
    pub path: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 10_000_000,
            bytes: 1 << 40,
            extension: 1 << 20,
            path: 4096,
        }
    }
}

/// Why a tar stream could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the archive cannot be read")]
    Read(#[source] io::Error),
    #[error("the archive ends in the middle of an entry")]
    Truncated,
    #[error("not a tar archive: bad header checksum at byte {0}")]
    Checksum(u64),
    #[error("the archive has a bad {what} at byte {at}")]
    Field { what: &'static str, at: u64 },
    #[error("the archive's entry {path:?} has a bad {what}")]
    Entry { path: PathBuf, what: &'static str },
    #[error("the archive's entry {path:?} has a path or a target of more than {limit} bytes")]
    Path { path: PathBuf, limit: usize },
    #[error("the archive holds more than {limit} {what}: refused as a decompression bomb")]
    Limit { what: &'static str, limit: u64 },
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Directory,
    Symlink,
    HardLink,
    CharDevice,
    BlockDevice,
    Fifo,
}

/// One entry, its extension headers applied.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) path: Vec<u8>,
    pub(crate) link: Vec<u8>,
    pub(crate) kind: Kind,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Seconds and nanoseconds.
    pub(crate) mtime: (i64, u32),
    pub(crate) device: (u32, u32),
    /// Bytes of the file as unpacked.
    pub(crate) size: u64,
    /// Where the data of a sparse file goes: offset and length, in order.
    pub(crate) sparse: Option<SparseMap>,
    pub(crate) xattrs: Vec<Xattr>,
}

/// Yields the entries of a stream; between two calls of [`Reader::next`] the entry's data can be read.
#[derive(Debug)]
pub(crate) struct Reader<R> {
    inner: R,
    pub(super) limits: Limits,
    /// Bytes of data of the current entry that are still in the stream.
    pub(super) data_left: u64,
    padding: u64,
    pub(super) position: u64,
    entries: u64,
    bytes: u64,
}

impl<R: BufRead> Reader<R> {
    pub(crate) fn new(inner: R, limits: Limits) -> Self {
        Self {
            inner,
            limits,
            data_left: 0,
            padding: 0,
            position: 0,
            entries: 0,
            bytes: 0,
        }
    }

    /// How many bytes of the stream were read: after [`Reader::next`], where the entry's data begins.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// The next entry, or `None` at the end of the archive.
    pub(crate) fn next(&mut self) -> Result<Option<Entry>, Error> {
        let (mut long_name, mut long_link, mut pax) = (None, None, Pax::default());
        loop {
            self.skip_data()?;
            let Some(header) = self.read_header()? else {
                return Ok(None);
            };
            let size = self.number("size", header.entry_size(), &header.as_old().size)?;
            self.data_left = size;
            self.padding = (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64;
            match header.entry_type().as_byte() {
                b'L' => long_name = Some(self.extension(trim_nul)?),
                b'K' => long_link = Some(self.extension(trim_nul)?),
                b'x' | b'X' => {
                    let records = self.extension(|bytes| bytes)?;
                    pax.read(&records).map_err(|what| self.bad(what))?;
                }
                // Global headers carry comments (git archive); volume labels and the like are no files.
                b'g' | b'V' | b'M' | b'N' | b'D' => {}
                _ => return self.entry(&header, long_name, long_link, pax).map(Some),
            }
            self.count_entry()?;
        }
    }

    /// Reads data of the current entry; 0 at its end.
    pub(crate) fn read_data(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        let want = buffer
            .len()
            .min(usize::try_from(self.data_left).unwrap_or(usize::MAX));
        if want == 0 {
            return Ok(0);
        }
        let got = self.read_some(&mut buffer[..want])?;
        if got == 0 {
            return Err(Error::Truncated);
        }
        self.data_left -= got as u64;
        Ok(got)
    }

    /// Data of the current entry where it lies, at most `most` bytes; nothing at its end. [`Reader::take_data`] goes on behind it.
    pub(crate) fn data(&mut self, most: u64) -> Result<&[u8], Error> {
        let most = usize::try_from(most.min(self.data_left)).unwrap_or(usize::MAX);
        if most == 0 {
            return Ok(&[]);
        }
        // Asked twice, for the borrow checker's sake: the second answer costs nothing.
        while let Err(e) = self.inner.fill_buf() {
            if e.kind() != io::ErrorKind::Interrupted {
                return Err(Error::Read(e));
            }
        }
        let ready = self.inner.fill_buf().map_err(Error::Read)?;
        match ready.len() {
            0 => Err(Error::Truncated),
            length => Ok(&ready[..length.min(most)]),
        }
    }

    pub(crate) fn take_data(&mut self, count: usize) {
        self.inner.consume(count);
        self.position += count as u64;
        self.data_left -= count as u64;
    }

    pub(super) fn read_some(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        loop {
            match self.inner.read(buffer) {
                Ok(got) => {
                    self.position += got as u64;
                    return Ok(got);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(Error::Read(e)),
            }
        }
    }

    fn skip_data(&mut self) -> Result<(), Error> {
        if self.skip(self.data_left)? > 0 {
            return Err(Error::Truncated);
        }
        // A last entry without its padding is accepted, as GNU tar does.
        self.data_left = 0;
        let padding = std::mem::take(&mut self.padding);
        self.skip(padding).map(drop)
    }

    /// Passes so many bytes over, where they lie; how many the stream did not have.
    fn skip(&mut self, mut left: u64) -> Result<u64, Error> {
        while left > 0 {
            let here = match self.inner.fill_buf() {
                Ok([]) => break,
                Ok(ready) => ready.len().min(usize::try_from(left).unwrap_or(usize::MAX)),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(Error::Read(e)),
            };
            self.inner.consume(here);
            self.position += here as u64;
            left -= here as u64;
        }
        Ok(left)
    }

    /// One header block, checked; `None` at the end: a zero block, or the end of the stream.
    fn read_header(&mut self) -> Result<Option<tar::Header>, Error> {
        let mut block = [0u8; BLOCK];
        let at = self.position;
        let mut filled = 0;
        while filled < BLOCK {
            match self.read_some(&mut block[filled..])? {
                0 if filled == 0 => return Ok(None),
                0 => return Err(Error::Truncated),
                got => filled += got,
            }
        }
        if block == [0u8; BLOCK] {
            return Ok(None);
        }
        // The checksum's own field counts as blanks.
        let sum_of = |bytes: &[u8]| bytes.iter().map(|b| u32::from(*b)).sum::<u32>();
        let sum = sum_of(&block[..148]) + 8 * 32 + sum_of(&block[156..]);
        let header = tar::Header::from_byte_slice(&block).clone();
        if header.cksum().ok() != Some(sum) {
            return Err(Error::Checksum(at));
        }
        Ok(Some(header))
    }

    fn count_entry(&mut self) -> Result<(), Error> {
        self.entries += 1;
        if self.entries > self.limits.entries {
            return Err(Error::Limit {
                what: "entries",
                limit: self.limits.entries,
            });
        }
        Ok(())
    }

    /// All data of the current entry, which is known to be small.
    pub(crate) fn whole(&mut self) -> Result<Vec<u8>, Error> {
        let mut bytes = vec![0u8; usize::try_from(self.data_left).unwrap_or(0)];
        let mut filled = 0;
        while filled < bytes.len() {
            filled += self.read_data(&mut bytes[filled..])?;
        }
        Ok(bytes)
    }

    fn extension(&mut self, finish: impl Fn(Vec<u8>) -> Vec<u8>) -> Result<Vec<u8>, Error> {
        if self.data_left > self.limits.extension {
            return Err(Error::Limit {
                what: "bytes in one extension header",
                limit: self.limits.extension,
            });
        }
        self.whole().map(finish)
    }

    /// A numeric field; one of blanks only is 0 (the tar crate refuses it, every other reader does not).
    fn number<T: Default>(
        &self,
        what: &'static str,
        value: io::Result<T>,
        field: &[u8],
    ) -> Result<T, Error> {
        match value {
            Ok(value) => Ok(value),
            Err(_) if field.iter().all(|b| matches!(b, 0 | b' ')) => Ok(T::default()),
            Err(_) => Err(self.bad(what)),
        }
    }

    pub(super) fn bad(&self, what: &'static str) -> Error {
        Error::Field {
            what,
            at: self.position,
        }
    }

    fn entry(
        &mut self,
        header: &tar::Header,
        long_name: Option<Vec<u8>>,
        long_link: Option<Vec<u8>>,
        mut pax: Pax,
    ) -> Result<Entry, Error> {
        self.count_entry()?;
        let path = pax
            .path
            .take()
            .or(long_name)
            .unwrap_or_else(|| header.path_bytes().into_owned());
        let known = pax.sparse_name.clone().unwrap_or_else(|| path.clone());
        self.named_entry(header, path, long_link, pax)
            .map_err(|error| match error {
                Error::Field { what, .. } => Error::Entry {
                    path: OsString::from_vec(known).into(),
                    what,
                },
                other => other,
            })
    }

    fn named_entry(
        &mut self,
        header: &tar::Header,
        path: Vec<u8>,
        long_link: Option<Vec<u8>>,
        pax: Pax,
    ) -> Result<Entry, Error> {
        let kind_byte = header.entry_type().as_byte();
        if let Some(size) = pax.size {
            self.data_left = size;
            self.padding = (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64;
        }
        let link = pax
            .link
            .or(long_link)
            .or_else(|| header.link_name_bytes().map(|l| l.into_owned()));
        let (uid, gid) = (
            self.number("uid", header.uid(), &header.as_old().uid)?,
            self.number("gid", header.gid(), &header.as_old().gid)?,
        );
        let id = |v: u64| u32::try_from(v).ok().filter(|v| *v != u32::MAX);
        let mut entry = Entry {
            kind: kind_of(kind_byte, &path).ok_or_else(|| self.bad("entry type"))?,
            path: pax.sparse_name.unwrap_or(path),
            link: link.unwrap_or_default(),
            mode: self.number("mode", header.mode(), &header.as_old().mode)? & 0o7777,
            uid: id(pax.uid.unwrap_or(uid)).ok_or_else(|| self.bad("uid"))?,
            gid: id(pax.gid.unwrap_or(gid)).ok_or_else(|| self.bad("gid"))?,
            mtime: match pax.mtime {
                Some(time) => time,
                None => (
                    i64::try_from(self.number("time", header.mtime(), &header.as_old().mtime)?)
                        .unwrap_or(0),
                    0,
                ),
            },
            device: (0, 0),
            size: self.data_left,
            sparse: None,
            xattrs: pax.xattrs,
        };
        if matches!(entry.kind, Kind::CharDevice | Kind::BlockDevice) {
            let number = |v: io::Result<Option<u32>>| {
                v.ok().flatten().ok_or_else(|| self.bad("device number"))
            };
            entry.device = (
                number(header.device_major())?,
                number(header.device_minor())?,
            );
        }
        if entry.path.len() > self.limits.path || entry.link.len() > self.limits.path {
            return Err(Error::Path {
                path: OsString::from_vec(entry.path).into(),
                limit: self.limits.path,
            });
        }
        if entry.path.contains(&0) || entry.link.contains(&0) {
            return Err(self.bad("path (it holds a zero byte)"));
        }
        let sparse = PaxSparse {
            map: pax.sparse_map,
            major: pax.sparse_major,
            real: pax.sparse_size,
        };
        self.apply_sparse(header, kind_byte, sparse, &mut entry)?;
        if entry.kind != Kind::File {
            entry.size = 0; // a hard link may repeat its target's size; its data, if any, is skipped
        }
        self.bytes = self.bytes.saturating_add(entry.size);
        if self.bytes > self.limits.bytes {
            return Err(Error::Limit {
                what: "bytes",
                limit: self.limits.bytes,
            });
        }
        Ok(entry)
    }
}

fn kind_of(byte: u8, path: &[u8]) -> Option<Kind> {
    Some(match byte {
        // Old archives mark a directory by the slash at the end of its name.
        0 | b'0' if path.ends_with(b"/") => Kind::Directory,
        0 | b'0' | b'7' | b'S' => Kind::File,
        b'1' => Kind::HardLink,
        b'2' => Kind::Symlink,
        b'3' => Kind::CharDevice,
        b'4' => Kind::BlockDevice,
        b'5' => Kind::Directory,
        b'6' => Kind::Fifo,
        _ => return None,
    })
}

fn trim_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    if let Some(end) = bytes.iter().position(|b| *b == 0) {
        bytes.truncate(end);
    }
    bytes
}
