//! A layer as one file: the archive as it came, with an EROFS image's superblock before it and its metadata behind. Nothing is created
//! per file, and the archive can be had back, bit for bit.
//!
//! ```text
//! 0       superblock, written last: a file without it is no image
//! 4096    the archive, to its last byte
//! end     what the archive does not have as it is needed: pieces of sparse files, files that layers below have
//! at      the metadata
//! ```

use crate::layer::index::{self, Index, Pieces};
use crate::layer::inherit::{Incomplete, Model};
use crate::layer::root::{OPAQUE, components};
use crate::layer::unpack::{Error, Unpacked};
use crate::tarball::Limits;
use erofs::{Attributes, BLOCK, Body, Chunks, Content, HEAD, Node, Tree};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, BufRead, Read};
use std::os::unix::fs::FileExt;

/// Sparse files have at most so many pieces, so many for each that the archive has, and none smaller than a page: else a few bytes of
/// an archive could ask for any amount of memory.
const PIECES: u64 = 65_536;
const PIECES_EACH: u64 = 8;
const PIECE_DOUBLINGS: u8 = 3;
const CHUNK: usize = 256 << 10;
/// The disk is to work while the rest still comes.
const WRITE_BEHIND: u64 = 8 << 20;

/// A layer's file in the making: the archive is in it, the metadata is not.
#[derive(Debug)]
pub(crate) struct Wrapped {
    file: File,
    pub(crate) tree: Tree,
    pub(crate) unpacked: Unpacked,
    /// Where the next thing may be written.
    end: u64,
    is_finished: bool,
}

/// Takes the whole stream into `file`, which is empty.
pub(crate) fn wrap(stream: impl BufRead, file: File, limits: Limits) -> Result<Wrapped, Error> {
    let mut copy = Copied {
        stream,
        file: &file,
        end: HEAD as u64,
        ready: 0,
        begun: 0,
        failed: None,
    };
    let indexed = index::index(&mut copy, HEAD as u64, limits);
    // What follows the archive's end belongs to its digest.
    let rest = indexed
        .as_ref()
        .map(|_| io::copy(&mut copy, &mut io::sink()));
    if let Some(source) = copy.failed.take() {
        return Err(Error::Image {
            step: "write",
            source,
        });
    }
    if let Ok(Err(source)) = rest {
        return Err(crate::tarball::reader::Error::Read(source).into());
    }
    let Index {
        tree,
        sparse,
        unpacked,
    } = indexed?;
    let end = copy.end.next_multiple_of(BLOCK);
    let mut wrapped = Wrapped {
        file,
        tree,
        unpacked,
        end,
        is_finished: false,
    };
    for pieces in &sparse {
        let write = |source| Error::Image {
            step: "write a sparse file to",
            source,
        };
        wrapped.spread(pieces).map_err(write)?;
    }
    Ok(wrapped)
}

impl Wrapped {
    /// Appends a file's content that is not in the archive.
    fn append(&mut self, content: &mut impl Read) -> io::Result<Content> {
        let (offset, mut size) = (self.end, 0);
        let mut buffer = vec![0; CHUNK];
        loop {
            match content.read(&mut buffer)? {
                0 => break,
                got => {
                    self.file.write_all_at(&buffer[..got], offset + size)?;
                    size += got as u64;
                }
            }
        }
        self.end = (offset + size).next_multiple_of(BLOCK);
        Ok(Content::Flat { offset, size })
    }

    /// Gives the pieces of a sparse file, which lie close to each other in the archive, places of equal size.
    fn spread(&mut self, pieces: &Pieces) -> io::Result<()> {
        let mut doublings = PIECE_DOUBLINGS;
        let most = PIECES.min(PIECES_EACH * (pieces.map.len() as u64 + 1));
        while pieces.size > most * (BLOCK << doublings) {
            doublings += 1;
        }
        let piece = BLOCK << doublings;
        let count = usize::try_from(pieces.size.div_ceil(piece)).unwrap_or(usize::MAX);
        let mut offsets: Vec<Option<u64>> = vec![None; count];
        let mut from = pieces.start;
        for (to, length) in &pieces.map {
            let (mut to, mut left) = (*to, *length);
            while left > 0 {
                let within = to % piece;
                let here = left.min(piece - within);
                let place = match &mut offsets[(to / piece) as usize] {
                    Some(place) => *place,
                    none => {
                        let place = self.end;
                        self.end += piece;
                        *none.insert(place)
                    }
                };
                self.copy(from, place + within, here)?;
                (from, to, left) = (from + here, to + here, left - here);
            }
        }
        self.tree.node_mut(pieces.node).body = Body::File(Content::Sparse {
            size: pieces.size,
            chunks: Chunks { doublings, offsets },
        });
        Ok(())
    }

    fn copy(&self, mut from: u64, mut to: u64, mut left: u64) -> io::Result<()> {
        let mut buffer = vec![0; CHUNK.min(left as usize)];
        while left > 0 {
            let here = buffer.len().min(left as usize);
            self.file.read_exact_at(&mut buffer[..here], from)?;
            self.file.write_all_at(&buffer[..here], to)?;
            (from, to, left) = (from + here as u64, to + here as u64, left - here as u64);
        }
        Ok(())
    }

    /// Writes what makes the file an image, told from others by `uuid`, if that was not done yet.
    pub(crate) fn finish(&mut self, uuid: [u8; 16]) -> Result<&File, Error> {
        if self.is_finished {
            return Ok(&self.file);
        }
        let write = |source| Error::Image {
            step: "write",
            source,
        };
        let image = erofs::encode(&self.tree, self.end, uuid)?;
        self.file.set_len(self.end).map_err(write)?; // the last piece may end in a hole
        self.file
            .write_all_at(&image.metadata, self.end)
            .map_err(write)?;
        self.file.write_all_at(&*image.head, 0).map_err(write)?;
        self.is_finished = true;
        Ok(&self.file)
    }

    pub(crate) fn into_file(self) -> File {
        self.file
    }
}

impl Incomplete for Wrapped {
    fn unpacked(&self) -> &Unpacked {
        &self.unpacked
    }

    fn take_after(&mut self, path: &[u8], model: &Model) -> Result<(), Errno> {
        let id = self.tree.directory(path).map_err(|_| Errno::NOENT)?;
        let opaque = self
            .tree
            .node_mut(id)
            .attributes
            .xattrs
            .remove(OPAQUE.as_bytes());
        let mut attributes = described(model);
        attributes
            .xattrs
            .extend(opaque.map(|value| (OPAQUE.into(), value)));
        self.tree.node_mut(id).attributes = attributes;
        Ok(())
    }

    fn copy_in(&mut self, path: &[u8], model: &Model, content: &mut File) -> Result<(), Errno> {
        let parts = components(path).unwrap_or_default();
        let (name, parents) = parts.split_last().ok_or(Errno::INVAL)?;
        let directory = self
            .tree
            .directory(&parents.join(&b'/'))
            .map_err(|_| Errno::NOENT)?;
        if self.tree.child(directory, name).is_some() {
            return Err(Errno::EXIST);
        }
        let content = self
            .append(content)
            .map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))?;
        let node = Node {
            attributes: described(model),
            body: Body::File(content),
        };
        self.tree.insert(directory, name, node);
        Ok(())
    }
}

fn described(model: &Model) -> Attributes {
    let stat = &model.stat;
    Attributes {
        mode: (stat.st_mode & 0o7777) as u16,
        uid: stat.st_uid,
        gid: stat.st_gid,
        mtime: (stat.st_mtime, stat.st_mtime_nsec as u32),
        xattrs: model.xattrs.iter().cloned().collect(),
    }
}

/// A stream that is written to a file as it is read, in the pieces in which it comes.
struct Copied<'a, R> {
    stream: R,
    file: &'a File,
    end: u64,
    /// Bytes of the stream's current piece that are in the file and were not read yet.
    ready: usize,
    /// How far it is on its way to the disk.
    begun: u64,
    /// Why the file could not be written: the reader of this stream would call it an unreadable archive.
    failed: Option<io::Error>,
}

impl<R: BufRead> BufRead for Copied<'_, R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let piece = self.stream.fill_buf()?;
        if self.ready == 0 {
            if let Err(e) = self.file.write_all_at(piece, self.end) {
                let told = io::Error::from(e.kind());
                self.failed = Some(e);
                return Err(told);
            }
            self.end += piece.len() as u64;
            self.ready = piece.len();
            if self.end - self.begun >= WRITE_BEHIND {
                sys::file::start_writing(self.file, self.begun, self.end - self.begun);
                self.begun = self.end;
            }
        }
        Ok(&piece[..self.ready])
    }

    fn consume(&mut self, count: usize) {
        self.ready -= count;
        self.stream.consume(count);
    }
}

impl<R: BufRead> Read for Copied<'_, R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let got = self.fill_buf()?.read(out)?;
        self.consume(got);
        Ok(got)
    }
}
