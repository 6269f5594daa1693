//! A blob's bytes, verified while they come: from a file, or from a place that may break off and is asked for the rest.

use crate::content::{self, ImageLayout};
use crate::error::Error;
use crate::fetch::{Fetcher, Source};
use crate::pipeline::Sink;
use crate::progress::Status;
use crate::room::Watched;
use oci::{Descriptor, Digest};
use std::fs::File;
use std::io::{self, Read, Write};

/// The disk is to work while the rest still comes.
const WRITE_BEHIND: u64 = 8 << 20;
/// So much is asked for at once.
const BUFFER: usize = 256 << 10;

impl Fetcher<'_> {
    /// Reads a whole file; its length and digest.
    pub(crate) fn read_through(
        &self,
        blob: &Descriptor,
        file: &mut File,
        layout: &ImageLayout,
        status: Status,
        sink: &mut Sink<'_>,
    ) -> Result<(u64, Digest), Error> {
        let mut hasher = blob.digest.algorithm().hasher();
        let mut have = 0;
        let mut buffer = vec![0u8; BUFFER];
        loop {
            let got = file
                .read(&mut buffer)
                .map_err(|e| fetch_error(&blob.digest, layout, e))?;
            if got == 0 {
                return Ok((have, hasher.finish()));
            }
            hasher.update(&buffer[..got]);
            sink(&buffer[..got]);
            have += got as u64;
            self.tell(blob, status, have);
        }
    }

    /// Downloads, taking up where an earlier attempt (perhaps of a killed process) broke off.
    pub(crate) fn download(&self, blob: &Descriptor, sink: &mut Sink<'_>) -> Result<(), Error> {
        let path = self.content.ingest(&blob.digest);
        let local = |e| {
            Error::from(content::Error::Io {
                step: "write",
                path: path.clone(),
                source: e,
            })
        };
        let mut file = content::create(&path).map_err(local)?;
        if file.metadata().map_err(local)?.len() > blob.size {
            file.set_len(0).map_err(local)?;
        }
        let mut hasher = blob.digest.algorithm().hasher();
        let mut have = 0u64;
        let mut buffer = vec![0u8; BUFFER];
        loop {
            let got = file.read(&mut buffer).map_err(local)?;
            if got == 0 {
                break;
            }
            hasher.update(&buffer[..got]);
            sink(&buffer[..got]);
            have += got as u64;
        }
        let mut watched = Watched::new(self.room.clone());
        let (mut written, mut begun) = (have, have);
        self.receive_all(blob, &mut have, &mut |bytes| {
            file.write_all(bytes).map_err(local)?;
            watched.wrote(bytes.len()).map_err(local)?;
            written += bytes.len() as u64;
            if written - begun >= WRITE_BEHIND {
                sys::file::start_writing(&file, begun, written - begun);
                begun = written;
            }
            hasher.update(bytes);
            sink(bytes);
            Ok(())
        })?;
        self.tell(blob, Status::DownloadComplete, blob.size);
        if let Err(error) = verify(blob, (have, hasher.finish())) {
            let _ = std::fs::remove_file(&path);
            return Err(error);
        }
        self.content.publish(&blob.digest, &file, &path)?;
        self.brought.blob(&blob.digest);
        Ok(())
    }

    /// Asks from `have` on until all was taken, as long as there is hope.
    pub(crate) fn receive_all(
        &self,
        blob: &Descriptor,
        have: &mut u64,
        take: &mut dyn FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut buffer = vec![0u8; BUFFER.min(usize::try_from(blob.size).unwrap_or(BUFFER))];
        let mut failures = 0;
        while *have < blob.size {
            let before = *have;
            let Err(error) = self.receive(blob, have, &mut buffer, take) else {
                break;
            };
            failures = if *have > before { 1 } else { failures + 1 };
            let Some(pause) = self.source.again(&error, failures) else {
                return Err(error);
            };
            let in_seconds = pause.as_secs().max(1);
            self.tell(blob, Status::Retrying { in_seconds }, *have);
            std::thread::sleep(pause);
        }
        Ok(())
    }

    /// One request: what arrives is taken; an error says why it ended early.
    fn receive(
        &self,
        blob: &Descriptor,
        have: &mut u64,
        buffer: &mut [u8],
        take: &mut dyn FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut body = self.source.open(blob, *have)?;
        loop {
            let got = body
                .read(buffer)
                .map_err(|e| fetch_error(&blob.digest, self.source, e))?;
            if got == 0 {
                let early =
                    io::Error::new(io::ErrorKind::UnexpectedEof, "the connection ended early");
                return if *have < blob.size {
                    Err(fetch_error(&blob.digest, self.source, early))
                } else {
                    Ok(())
                };
            }
            if *have + got as u64 > blob.size {
                let actual = *have + got as u64;
                return Err(content::Error::Size {
                    digest: blob.digest.clone(),
                    expected: blob.size,
                    actual,
                }
                .into());
            }
            take(&buffer[..got])?;
            *have += got as u64;
            self.tell(blob, Status::Downloading, *have);
        }
    }
}

pub(crate) fn fetch_error(blob: &Digest, source: &(impl Source + ?Sized), e: io::Error) -> Error {
    Error::Fetch {
        blob: blob.clone(),
        place: source.place(),
        source: e,
    }
}

pub(crate) fn verify(blob: &Descriptor, (size, actual): (u64, Digest)) -> Result<(), Error> {
    if actual != blob.digest {
        return Err(content::Error::Digest {
            expected: blob.digest.clone(),
            actual,
        }
        .into());
    }
    if size != blob.size {
        return Err(content::Error::Size {
            digest: blob.digest.clone(),
            expected: blob.size,
            actual: size,
        }
        .into());
    }
    Ok(())
}
