//! Which way a stream is compressed, told by its first bytes, and the reader that undoes it.
//! Source: RFC 1952 (gzip), RFC 8878 (zstd, skippable frames too).

use std::io::{self, BufRead, BufReader, Read, Write};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gzip,
    Zstd,
    /// Known, and not supported: said so instead of "not a tar archive".
    Xz,
    Bzip2,
}

impl Compression {
    pub(crate) fn of(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, 0x08, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            [0xfd, b'7', b'z', b'X', b'Z', ..] => Self::Xz,
            [b'B', b'Z', b'h', ..] => Self::Bzip2,
            _ => Self::None,
        }
    }
}

/// How an archive is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Packing {
    /// As it is: most of it is compressed layers.
    #[default]
    Plain,
    Gzip,
    Zstd,
}

impl Packing {
    /// Lets `make` write through the compression, whose end is written when it succeeded.
    pub fn write<E: From<io::Error>>(
        self,
        out: &mut dyn Write,
        make: impl FnOnce(&mut dyn Write) -> Result<(), E>,
    ) -> Result<(), E> {
        match self {
            Self::Plain => make(out),
            Self::Gzip => {
                let level = flate2::Compression::new(4);
                let mut encoder = flate2::write::GzEncoder::new(out, level);
                make(&mut encoder)?;
                encoder.finish()?;
                Ok(())
            }
            Self::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(out, 3)?;
                make(&mut encoder)?;
                encoder.finish()?;
                Ok(())
            }
        }
    }
}

/// Reads the plain bytes of a possibly compressed stream.
pub(crate) fn decompress<'a>(
    stream: impl Read + Send + 'a,
) -> io::Result<Box<dyn BufRead + Send + 'a>> {
    let plain = decompress_buffered(BufReader::with_capacity(128 << 10, stream))?;
    Ok(Box::new(BufReader::with_capacity(128 << 10, plain)))
}

/// The same without buffers of its own: of a stream that hands out large pieces, for a reader that asks for such.
pub(crate) fn decompress_buffered<'a>(
    mut stream: impl BufRead + Send + 'a,
) -> io::Result<Box<dyn Read + Send + 'a>> {
    let mut start = Vec::new();
    // A pipe may hand over less than the six bytes of the longest mark at first.
    while start.len() < 6 {
        let buffer = stream.fill_buf()?;
        if buffer.is_empty() {
            break;
        }
        let take = buffer.len().min(6 - start.len());
        start.extend_from_slice(&buffer[..take]);
        stream.consume(take);
    }
    let kind = Compression::of(&start);
    let stream = io::Cursor::new(start).chain(stream);
    let unsupported = |name| {
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            format!("{name} compression is not supported: use gzip or zstd"),
        ))
    };
    match kind {
        Compression::None => Ok(Box::new(stream)),
        Compression::Gzip => Ok(Box::new(flate2::bufread::MultiGzDecoder::new(stream))),
        Compression::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(stream)?;
            decoder.window_log_max(27)?; // 128 MiB: what zstd's own tool allows without --long
            Ok(Box::new(decoder))
        }
        Compression::Xz => unsupported("xz"),
        Compression::Bzip2 => unsupported("bzip2"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// Hands over one byte at a time, as a slow pipe does.
    struct Dribble<'a>(&'a [u8]);

    impl Read for Dribble<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let take = self.0.len().min(1).min(buffer.len());
            buffer[..take].copy_from_slice(&self.0[..take]);
            self.0 = &self.0[take..];
            Ok(take)
        }
    }

    fn plain(stream: &[u8]) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        decompress(Dribble(stream))?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn the_first_bytes_decide() {
        assert_eq!(plain(b"").unwrap(), b"");
        assert_eq!(plain(b"hi").unwrap(), b"hi");
        assert_eq!(plain(&gzip(b"hello")).unwrap(), b"hello");
        assert_eq!(
            plain(&zstd::encode_all(&b"hello"[..], 1).unwrap()).unwrap(),
            b"hello"
        );
        assert!(plain(b"\xfd7zXZ\0").unwrap_err().to_string().contains("xz"));
    }

    #[test]
    fn what_is_packed_is_unpacked_by_its_first_bytes() {
        for packing in [Packing::Plain, Packing::Gzip, Packing::Zstd] {
            let mut out = Vec::new();
            let written: io::Result<()> = packing.write(&mut out, |out| out.write_all(b"hello"));
            written.unwrap();
            assert_eq!(plain(&out).unwrap(), b"hello", "{packing:?}");
        }
    }

    #[test]
    fn gzip_members_one_after_the_other_are_one_stream() {
        let two = [gzip(b"one "), gzip(b"two")].concat();
        assert_eq!(plain(&two).unwrap(), b"one two");
        assert!(
            plain(&two[..two.len() - 4]).is_err(),
            "a cut stream is an error"
        );
    }
}
