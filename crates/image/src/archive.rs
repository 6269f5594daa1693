//! Archives that are no layers: what ADD unpacks, a build context that comes as a stream, a container's files as one.
//!
//! The same hostile-proof unpacking as for layers, whiteouts included; what a layer may leave to the layers below
//! (hard links to files it does not bring) is an error here.

use crate::layer::attributes::Ground;
use crate::layer::{Manner, PackError, UnpackError, pack, unpack};
use crate::tarball::Limits;
use crate::tarball::compression::{Compression, decompress};
use std::io::{self, Read};
use std::os::fd::BorrowedFd;
use std::path::PathBuf;

/// Why an archive could not be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot decompress the archive")]
    Decompress(#[source] io::Error),
    #[error(transparent)]
    Unpack(#[from] UnpackError),
    #[error("hard link {} of the archive points at {}, which the archive does not have", path.display(), target.display())]
    DanglingLink { path: PathBuf, target: PathBuf },
}

/// What a file is, by its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// A tar archive, plain or compressed in a way we can undo.
    Archive,
    /// Compressed in a way we cannot undo; perhaps an archive.
    Unsupported(&'static str),
    Other,
}

/// Writes a whole tree as a plain tar, names sorted; returns the bytes of file content.
pub fn write(
    root: BorrowedFd<'_>,
    manner: Manner<'_>,
    out: impl io::Write,
) -> Result<u64, PackError> {
    pack::pack(root, manner, out)
}

/// Looks at the first bytes. Truncated or damaged content is not an archive.
pub fn detect(mut stream: impl Read + Send) -> io::Result<Content> {
    let mut start = [0; 6];
    let got = read_up_to(&mut stream, &mut start)?;
    let kind = Compression::of(&start[..got]);
    match kind {
        Compression::Xz => return Ok(Content::Unsupported("xz")),
        Compression::Bzip2 => return Ok(Content::Unsupported("bzip2")),
        Compression::None | Compression::Gzip | Compression::Zstd => {}
    }
    let whole = start[..got].chain(stream);
    let mut block = [0; 512];
    let header = decompress(whole).and_then(|mut plain| read_up_to(&mut plain, &mut block));
    match header {
        Ok(512) if has_checksum(&block) => Ok(Content::Archive),
        _ => Ok(Content::Other),
    }
}

/// Unpacks a tar stream, plain or compressed, into a directory; returns the bytes of file content.
pub fn extract(stream: impl Read + Send, target: BorrowedFd<'_>) -> Result<u64, Error> {
    let plain = decompress(stream).map_err(Error::Decompress)?;
    let unpacked = unpack::unpack(plain, target, Ground::FOREIGN, Limits::default())?;
    match unpacked.links.into_iter().next() {
        None => Ok(unpacked.size),
        Some((path, target)) => Err(Error::DanglingLink {
            path: crate::layer::root::as_path(&path).into(),
            target: crate::layer::root::as_path(&target).into(),
        }),
    }
}

/// A tar header's checksum is the sum of its bytes with the checksum's own field as blanks.
fn has_checksum(block: &[u8; 512]) -> bool {
    let field = String::from_utf8_lossy(&block[148..156]);
    let written = u32::from_str_radix(field.trim_matches(['\0', ' ']), 8);
    let counted: u32 = block
        .iter()
        .enumerate()
        .map(|(at, byte)| {
            if (148..156).contains(&at) {
                32
            } else {
                u32::from(*byte)
            }
        })
        .sum();
    written == Ok(counted) && block[0] != 0
}

/// Fills the buffer as far as the stream goes.
pub(crate) fn read_up_to(stream: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match stream.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(got) => filled += got,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn tar() -> Vec<u8> {
        let mut header = tar::Header::new_ustar();
        header.set_path("a").unwrap();
        header.set_size(1);
        header.set_mode(0o644);
        header.set_cksum();
        let mut builder = tar::Builder::new(Vec::new());
        builder.append(&header, &b"x"[..]).unwrap();
        builder.into_inner().unwrap()
    }

    #[test]
    fn content_decides_what_is_an_archive() {
        assert_eq!(detect(&tar()[..]).unwrap(), Content::Archive);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&tar()).unwrap();
        assert_eq!(
            detect(&gzip.finish().unwrap()[..]).unwrap(),
            Content::Archive
        );
        assert_eq!(
            detect(&b"\x1f\x8b\x08 damaged"[..]).unwrap(),
            Content::Other
        );
        assert_eq!(
            detect(&b"\xfd7zXZ\0..."[..]).unwrap(),
            Content::Unsupported("xz")
        );
        assert_eq!(detect(&b"hello"[..]).unwrap(), Content::Other);
        assert_eq!(detect(&[0u8; 1024][..]).unwrap(), Content::Other);
        assert_eq!(detect(&b""[..]).unwrap(), Content::Other);
    }
}
