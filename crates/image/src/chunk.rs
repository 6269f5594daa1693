//! Pieces of a stream on their way between threads. A piece that nobody reads any more gives its memory to the next one: fresh memory
//! would cost a page fault for every 4 KiB that pass.

use std::io::{self, BufRead, Read};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};

pub(crate) const SIZE: usize = 256 << 10;

/// Where pieces get their memory from.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pool(Arc<Mutex<Vec<Box<[u8]>>>>);

/// At most [`SIZE`] bytes.
#[derive(Debug)]
pub(crate) struct Chunk {
    memory: Box<[u8]>,
    filled: usize,
    pool: Pool,
}

/// The stream broke; what follows cannot be trusted.
#[derive(Debug)]
pub(crate) struct Broken(io::Error);

impl Broken {
    pub(crate) fn new(kind: io::ErrorKind, text: &str) -> Self {
        Self(io::Error::new(kind, text))
    }
}

impl Pool {
    fn take(&self) -> Chunk {
        let used = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Chunk {
            memory: used.unwrap_or_else(|| vec![0; SIZE].into()),
            filled: 0,
            pool: self.clone(),
        }
    }

    /// A piece with these bytes, at most [`SIZE`].
    pub(crate) fn copy(&self, bytes: &[u8]) -> Chunk {
        let mut chunk = self.take();
        chunk.filled = bytes.len();
        chunk.memory[..bytes.len()].copy_from_slice(bytes);
        chunk
    }

    /// A piece that `read` has filled, as far as the stream goes.
    pub(crate) fn fill(
        &self,
        mut read: impl FnMut(&mut [u8]) -> io::Result<usize>,
    ) -> io::Result<Chunk> {
        let mut chunk = self.take();
        while chunk.filled < SIZE {
            match read(&mut chunk.memory[chunk.filled..]) {
                Ok(0) => break,
                Ok(got) => chunk.filled += got,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(chunk)
    }
}

impl Chunk {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.memory[..self.filled]
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        let memory = std::mem::take(&mut self.memory);
        self.pool
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(memory);
    }
}

/// Reads what another thread sends.
#[derive(Debug)]
pub(crate) struct Stream {
    chunks: Receiver<Result<Arc<Chunk>, Broken>>,
    current: Option<Arc<Chunk>>,
    at: usize,
}

impl Stream {
    pub(crate) fn new(chunks: Receiver<Result<Arc<Chunk>, Broken>>) -> Self {
        Self {
            chunks,
            current: None,
            at: 0,
        }
    }

    /// Takes all that is left, so that the sender never finds its reader gone.
    pub(crate) fn drain(self) {
        while self.chunks.recv().is_ok() {}
    }

    fn left(&self) -> &[u8] {
        self.current
            .as_ref()
            .map_or(&[], |chunk| &chunk.bytes()[self.at..])
    }
}

impl BufRead for Stream {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.left().is_empty() {
            self.current = None; // its memory is for the next
            match self.chunks.recv() {
                Ok(Ok(chunk)) => (self.current, self.at) = (Some(chunk), 0),
                Ok(Err(Broken(e))) => return Err(e),
                Err(_) => break,
            }
        }
        Ok(self.left())
    }

    fn consume(&mut self, count: usize) {
        self.at += count;
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.fill_buf()?.read(buffer)?;
        self.consume(got);
        Ok(got)
    }
}
