//! From compressed bytes to files, on four threads: the feeder (the caller's: network or disk, and the
//! digest of what it reads), inflate, the digest of the plain archive, and the files.

use crate::error::Error;
use crate::layer::form::{Taken, Target};
use crate::tarball::{Limits, compression};
use oci::Digest;
use oci::digest::Algorithm;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

const CHUNK: usize = 256 << 10;
/// Chunks on the way between two threads: enough to even out, little enough for a small machine.
const DEPTH: usize = 8;

/// Where the feeder puts what it reads.
pub(crate) type Sink<'a> = dyn FnMut(&[u8]) + 'a;

enum Chunk {
    Data(Arc<[u8]>),
    /// The stream broke; what follows cannot be trusted.
    Broken(io::Error),
}

/// Reads what another thread sends.
struct ChannelReader {
    chunks: Receiver<Chunk>,
    current: Arc<[u8]>,
    at: usize,
}

impl ChannelReader {
    fn new(chunks: Receiver<Chunk>) -> Self {
        Self {
            chunks,
            current: Arc::from([]),
            at: 0,
        }
    }

    /// Takes all that is left, so that the sender never finds its reader gone.
    fn drain(self) {
        while self.chunks.recv().is_ok() {}
    }
}

impl Read for ChannelReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.current.len() {
            match self.chunks.recv() {
                Ok(Chunk::Data(data)) => (self.current, self.at) = (data, 0),
                Ok(Chunk::Broken(e)) => return Err(e),
                Err(_) => return Ok(0),
            }
        }
        let take = buffer.len().min(self.current.len() - self.at);
        buffer[..take].copy_from_slice(&self.current[self.at..self.at + take]);
        self.at += take;
        Ok(take)
    }
}

/// Runs `feed` and takes what it delivers to `target`. The caller's `feed` verifies the compressed
/// digest; the plain archive's digest is returned.
pub(crate) fn run(
    layer: &Digest,
    target: Target,
    limits: Limits,
    feed: impl FnOnce(&mut Sink<'_>) -> Result<(), Error>,
) -> Result<(Taken, Digest), Error> {
    std::thread::scope(|scope| {
        let (raw_in, raw_out) = sync_channel::<Chunk>(DEPTH);
        let (hash_in, hash_out) = sync_channel::<Arc<[u8]>>(DEPTH);
        let (file_in, file_out) = sync_channel::<Chunk>(DEPTH);
        let inflate = scope.spawn(move || inflate(ChannelReader::new(raw_out), &hash_in, &file_in));
        let hash = scope.spawn(move || {
            let mut hasher = Algorithm::Sha256.hasher();
            hash_out.iter().for_each(|chunk| hasher.update(&chunk));
            hasher.finish()
        });
        let files = scope.spawn(move || {
            let mut stream = ChannelReader::new(file_out);
            let taken = target.take(&mut stream, limits);
            if taken.is_ok() {
                stream.drain();
            }
            taken
        });

        let mut open = true;
        let fed = feed(&mut |bytes| {
            // A reader that is gone has failed and says so itself; the feeder goes on, so that what it
            // downloads is not lost.
            open = open && raw_in.send(Chunk::Data(Arc::from(bytes))).is_ok();
        });
        if fed.is_err() {
            let _ = raw_in.send(Chunk::Broken(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the download broke",
            )));
        }
        drop(raw_in);
        let inflated = join(inflate);
        let digest = join(hash);
        let taken = join(files);
        fed?;
        inflated.map_err(|source| Error::Decompress {
            layer: layer.clone(),
            source,
        })?;
        let taken = taken.map_err(|source| Error::Unpack {
            layer: layer.clone(),
            source,
        })?;
        Ok((taken, digest))
    })
}

fn inflate(
    raw: ChannelReader,
    hash: &SyncSender<Arc<[u8]>>,
    files: &SyncSender<Chunk>,
) -> io::Result<()> {
    let told = |e: io::Error| {
        let _ = files.send(Chunk::Broken(io::Error::new(e.kind(), e.to_string())));
        e
    };
    let mut plain = compression::decompress(raw).map_err(told)?;
    let mut buffer = vec![0u8; CHUNK];
    loop {
        let mut filled = 0;
        while filled < CHUNK {
            match plain.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(got) => filled += got,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(told(e)),
            }
        }
        if filled == 0 {
            return Ok(());
        }
        let chunk: Arc<[u8]> = Arc::from(&buffer[..filled]);
        // Whoever hung up has its own error to tell.
        if hash.send(chunk.clone()).is_err() || files.send(Chunk::Data(chunk)).is_err() {
            return Ok(());
        }
    }
}

fn join<T>(handle: std::thread::ScopedJoinHandle<'_, T>) -> T {
    match handle.join() {
        Ok(value) => value,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}
