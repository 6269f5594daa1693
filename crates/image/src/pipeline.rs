//! From compressed bytes to files, on four threads: the feeder (the caller's: network or disk, and the
//! digest of what it reads), inflate, the digest of the plain archive, and the files.

use crate::chunk::{self, Broken, Chunk, Pool, Stream};
use crate::error::Error;
use crate::layer::form::{Taken, Target};
use crate::tarball::{Limits, compression};
use oci::Digest;
use oci::digest::Algorithm;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};

/// Chunks on the way between two threads: enough to even out, little enough for a small machine.
const DEPTH: usize = 8;

/// Where the feeder puts what it reads.
pub(crate) type Sink<'a> = dyn FnMut(&[u8]) + 'a;

type Piece = Result<Arc<Chunk>, Broken>;

/// Runs `feed` and takes what it delivers to `target`. The caller's `feed` verifies the compressed
/// digest; the plain archive's digest is returned.
pub(crate) fn run(
    layer: &Digest,
    target: Target,
    limits: Limits,
    feed: impl FnOnce(&mut Sink<'_>) -> Result<(), Error>,
) -> Result<(Taken, Digest), Error> {
    std::thread::scope(|scope| {
        let (raw_in, raw_out) = sync_channel::<Piece>(DEPTH);
        let (hash_in, hash_out) = sync_channel::<Arc<Chunk>>(DEPTH);
        let (file_in, file_out) = sync_channel::<Piece>(DEPTH);
        let inflate = scope.spawn(move || inflate(Stream::new(raw_out), &hash_in, &file_in));
        let hash = scope.spawn(move || {
            let mut hasher = Algorithm::Sha256.hasher();
            hash_out
                .iter()
                .for_each(|chunk| hasher.update(chunk.bytes()));
            hasher.finish()
        });
        let files = scope.spawn(move || {
            let mut stream = Stream::new(file_out);
            let taken = target.take(&mut stream, limits);
            if taken.is_ok() {
                stream.drain();
            }
            taken
        });

        let pool = Pool::default();
        let mut open = true;
        let fed = feed(&mut |bytes| {
            // A reader that is gone has failed and says so itself; the feeder goes on, so that what it
            // downloads is not lost.
            for piece in bytes.chunks(chunk::SIZE) {
                open = open && raw_in.send(Ok(Arc::new(pool.copy(piece)))).is_ok();
            }
        });
        if fed.is_err() {
            let _ = raw_in.send(Err(Broken::new(
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
    raw: Stream,
    hash: &SyncSender<Arc<Chunk>>,
    files: &SyncSender<Piece>,
) -> io::Result<()> {
    let told = |e: io::Error| {
        let _ = files.send(Err(Broken::new(e.kind(), &e.to_string())));
        e
    };
    let mut plain = compression::decompress_buffered(raw).map_err(told)?;
    let pool = Pool::default();
    loop {
        let chunk = pool.fill(|buffer| plain.read(buffer)).map_err(told)?;
        if chunk.bytes().is_empty() {
            return Ok(());
        }
        let chunk = Arc::new(chunk);
        // Whoever hung up has its own error to tell.
        if hash.send(chunk.clone()).is_err() || files.send(Ok(chunk)).is_err() {
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
