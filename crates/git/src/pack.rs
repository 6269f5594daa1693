//! A pack: many objects in one file, most of them whole, some as deltas of others. Every object's name is counted from its content,
//! so that what a name gives is what it stands for, whatever the server says.
//! Source: `gitformat-pack`.

use crate::delta;
use crate::error::Error;
use crate::object::{self, Hash, Hasher, Id, Kind};
use flate2::bufread::ZlibDecoder;
use std::cell::Cell;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::FileExt;
use std::rc::Rc;

const MAX_OBJECTS: u32 = 20_000_000;
const MAX_OBJECT: u64 = 8 << 30;
/// All objects together, unpacked.
const MAX_TOTAL: u64 = 128 << 30;
/// Bytes of bases held while deltas are resolved.
const MAX_HELD: u64 = 1 << 30;
/// Tags may be of tags this deep.
const MAX_TAGS: usize = 16;

#[derive(Debug)]
pub(crate) struct Pack {
    file: File,
    hash: Hash,
    entries: Vec<Entry>,
    by_id: HashMap<Id, usize>,
}

#[derive(Debug)]
struct Entry {
    /// Where the compressed bytes are.
    data: u64,
    /// Unpacked: of the object, or of the delta.
    size: u64,
    stored: Stored,
    /// Known of a whole one at once, of a delta when its base is known.
    is: Option<(Id, Kind)>,
}

#[derive(Debug)]
enum Stored {
    Whole,
    /// Of the entry at this offset; after resolving, of the entry with this number.
    Offset(u64),
    Reference(Id),
    Base(usize),
}

impl Pack {
    /// Reads the whole pack once: finds the objects, checks its sum, resolves deltas.
    pub(crate) fn open(file: File, hash: Hash) -> Result<Self, Error> {
        let mut pack = Self {
            file,
            hash,
            entries: Vec::new(),
            by_id: HashMap::new(),
        };
        let offsets = pack.scan()?;
        pack.resolve(&offsets)?;
        for (number, entry) in pack.entries.iter().enumerate() {
            match &entry.is {
                Some((id, _)) => drop(pack.by_id.insert(id.clone(), number)),
                None => return Err(Error::Pack("a delta is of an object that did not come")),
            }
        }
        Ok(pack)
    }

    /// The commit an object is, or is a tag of.
    pub(crate) fn peel(&self, id: &Id) -> Result<Id, Error> {
        let mut id = id.clone();
        for _ in 0..MAX_TAGS {
            match self.kind(&id)? {
                Kind::Commit => return Ok(id),
                Kind::Tag => id = object::tag(&self.read(&id, Kind::Tag)?)?,
                Kind::Tree | Kind::Blob => break,
            }
        }
        Err(Error::Object {
            id: id.to_string(),
            what: "it is no commit, and no tag of one",
        })
    }

    pub(crate) fn hash(&self) -> Hash {
        self.hash
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = (&Id, Kind)> {
        let all = self.entries.iter();
        all.filter_map(|entry| entry.is.as_ref().map(|(id, kind)| (id, *kind)))
    }

    fn kind(&self, id: &Id) -> Result<Kind, Error> {
        Ok(self.get(id)?.1)
    }

    fn get(&self, id: &Id) -> Result<(usize, Kind), Error> {
        let missing = || Error::MissingObject { id: id.to_string() };
        let number = *self.by_id.get(id).ok_or_else(missing)?;
        let is = self.entries[number].is.as_ref();
        is.map(|(_, kind)| (number, *kind)).ok_or_else(missing)
    }

    /// An object's content.
    pub(crate) fn read(&self, id: &Id, kind: Kind) -> Result<Vec<u8>, Error> {
        let (number, found) = self.get(id)?;
        if found != kind {
            return Err(Error::Object {
                id: id.to_string(),
                what: "it is of another kind than what names it says",
            });
        }
        self.content(number)
    }

    /// Copies a file's content; returns its size.
    pub(crate) fn copy(&self, id: &Id, out: &mut dyn Write) -> Result<u64, Error> {
        let (number, kind) = self.get(id)?;
        if kind != Kind::Blob || !matches!(self.entries[number].stored, Stored::Whole) {
            let content = self.read(id, Kind::Blob)?;
            out.write_all(&content)
                .map_err(Error::file("write", "a file"))?;
            return Ok(content.len() as u64);
        }
        let entry = &self.entries[number];
        let mut from = BufReader::with_capacity(64 << 10, At::new(&self.file, entry.data));
        inflate(&mut from, entry.size, &mut |bytes| {
            out.write_all(bytes).map_err(Error::file("write", "a file"))
        })?;
        Ok(entry.size)
    }

    fn content(&self, number: usize) -> Result<Vec<u8>, Error> {
        let mut deltas = Vec::new();
        let mut at = number;
        while let Stored::Base(base) = self.entries[at].stored {
            deltas.push(at);
            at = base;
        }
        let mut content = self.unpacked(at)?;
        for at in deltas.into_iter().rev() {
            content = delta::apply(&content, &self.unpacked(at)?)?;
        }
        Ok(content)
    }

    /// What one entry's bytes unpack to, in memory.
    fn unpacked(&self, number: usize) -> Result<Vec<u8>, Error> {
        let entry = &self.entries[number];
        if entry.size > delta::MAX {
            return Err(Error::TooLarge(
                "an object other than a file has more than 512 MiB",
            ));
        }
        let mut from = BufReader::new(At::new(&self.file, entry.data));
        let mut all = Vec::with_capacity(entry.size.min(1 << 20) as usize);
        inflate(&mut from, entry.size, &mut |bytes| {
            all.extend_from_slice(bytes);
            Ok(())
        })?;
        Ok(all)
    }

    /// Finds all entries; their numbers by offset.
    fn scan(&mut self) -> Result<HashMap<u64, usize>, Error> {
        let length = self.file.metadata().map_err(unreadable)?.len();
        let trailer = self.hash.len() as u64;
        let body = length.checked_sub(trailer).filter(|body| *body >= 12);
        let body = body.ok_or(Error::Pack("it is cut off"))?;
        self.check_sum(body)?;
        let mut stream = Stream {
            from: BufReader::with_capacity(256 << 10, At::new(&self.file, 0)),
            position: 0,
        };
        let mut head = [0; 12];
        stream.exact(&mut head)?;
        let word =
            |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        if &head[..4] != b"PACK" || !matches!(word(4), 2 | 3) {
            return Err(Error::Pack("it does not begin as a pack does"));
        }
        let count = word(8);
        if count > MAX_OBJECTS {
            return Err(Error::TooLarge("it has more than 20 million objects"));
        }
        let mut offsets = HashMap::new();
        let mut entries = Vec::new();
        let mut total = 0u64;
        for _ in 0..count {
            let offset = stream.position;
            let entry = stream.entry(offset, self.hash)?;
            total = total.saturating_add(entry.size);
            if total > MAX_TOTAL {
                return Err(Error::TooLarge("its objects have more than 128 GiB"));
            }
            offsets.insert(offset, entries.len());
            entries.push(entry);
        }
        if stream.position != body {
            return Err(Error::Pack("it has more or less than it says"));
        }
        self.entries = entries;
        Ok(offsets)
    }

    /// The last bytes are the sum of all before them.
    fn check_sum(&self, body: u64) -> Result<(), Error> {
        let mut from = At::new(&self.file, 0).take(body);
        let mut hasher = self.hash.hasher();
        let mut buffer = vec![0; 256 << 10];
        loop {
            match from.read(&mut buffer).map_err(unreadable)? {
                0 => break,
                got => hasher.update(&buffer[..got]),
            }
        }
        let mut written = vec![0; self.hash.len()];
        self.file
            .read_exact_at(&mut written, body)
            .map_err(unreadable)?;
        match hasher.finish().bytes() == written {
            true => Ok(()),
            false => Err(Error::Pack("its sum is not what it says")),
        }
    }

    /// Makes every delta's object once, from the whole ones outwards, to learn its name.
    fn resolve(&mut self, offsets: &HashMap<u64, usize>) -> Result<(), Error> {
        let mut children: HashMap<usize, Vec<usize>> = HashMap::new();
        let mut by_name: HashMap<Id, Vec<usize>> = HashMap::new();
        for (number, entry) in self.entries.iter().enumerate() {
            match &entry.stored {
                Stored::Offset(offset) => {
                    let base = offsets
                        .get(offset)
                        .ok_or(Error::Pack("a delta has no base"))?;
                    children.entry(*base).or_default().push(number);
                }
                Stored::Reference(id) => by_name.entry(id.clone()).or_default().push(number),
                Stored::Whole | Stored::Base(_) => {}
            }
        }
        let held = Rc::new(Cell::new(0));
        let mut made = 0u64;
        for root in 0..self.entries.len() {
            let Some((id, kind)) = self.entries[root].is.clone() else {
                continue;
            };
            if !matches!(self.entries[root].stored, Stored::Whole) {
                continue; // resolved on the way from its base, as were those on it
            }
            let on = dependents(root, &id, &mut children, &mut by_name);
            if on.is_empty() {
                continue;
            }
            let base = Held::new(self.unpacked(root)?, root, &held)?;
            let mut stack: Vec<_> = on.into_iter().map(|child| (child, base.clone())).collect();
            drop(base);
            while let Some((number, base)) = stack.pop() {
                let content = delta::apply(&base.content, &self.unpacked(number)?)?;
                made = made.saturating_add(content.len() as u64);
                if made > MAX_TOTAL {
                    return Err(Error::TooLarge("its deltas make more than 128 GiB"));
                }
                let mut hasher = Hasher::of(self.hash, kind, content.len() as u64);
                hasher.update(&content);
                let id = hasher.finish();
                let entry = &mut self.entries[number];
                entry.stored = Stored::Base(base.number);
                entry.is = Some((id.clone(), kind));
                drop(base);
                let on = dependents(number, &id, &mut children, &mut by_name);
                if !on.is_empty() {
                    let base = Held::new(content, number, &held)?;
                    stack.extend(on.into_iter().map(|child| (child, base.clone())));
                }
            }
        }
        Ok(())
    }
}

fn dependents(
    number: usize,
    id: &Id,
    children: &mut HashMap<usize, Vec<usize>>,
    by_name: &mut HashMap<Id, Vec<usize>>,
) -> Vec<usize> {
    let mut on = children.remove(&number).unwrap_or_default();
    on.extend(by_name.remove(id).unwrap_or_default());
    on
}

/// A base that deltas wait for; all of them together have a limit.
struct Held {
    content: Vec<u8>,
    number: usize,
    all: Rc<Cell<u64>>,
}

impl Held {
    fn new(content: Vec<u8>, number: usize, all: &Rc<Cell<u64>>) -> Result<Rc<Self>, Error> {
        all.set(all.get() + content.len() as u64);
        let held = Rc::new(Self {
            content,
            number,
            all: all.clone(),
        });
        match all.get() > MAX_HELD {
            true => Err(Error::TooLarge("its deltas need more than 1 GiB of memory")),
            false => Ok(held),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.all.set(self.all.get() - self.content.len() as u64);
    }
}

/// The pack from its beginning.
struct Stream<'f> {
    from: BufReader<At<'f>>,
    position: u64,
}

impl Stream<'_> {
    fn exact(&mut self, buffer: &mut [u8]) -> Result<(), Error> {
        self.from.read_exact(buffer).map_err(unreadable)?;
        self.position += buffer.len() as u64;
        Ok(())
    }

    fn byte(&mut self) -> Result<u8, Error> {
        let mut byte = [0];
        self.exact(&mut byte)?;
        Ok(byte[0])
    }

    fn entry(&mut self, offset: u64, hash: Hash) -> Result<Entry, Error> {
        let first = self.byte()?;
        let size = self.size(first)?;
        let (kind, stored) = match (first >> 4) & 7 {
            1 => (Some(Kind::Commit), Stored::Whole),
            2 => (Some(Kind::Tree), Stored::Whole),
            3 => (Some(Kind::Blob), Stored::Whole),
            4 => (Some(Kind::Tag), Stored::Whole),
            6 => {
                let back = self.back()?;
                let base = offset.checked_sub(back).filter(|_| back > 0);
                let base = base.ok_or(Error::Pack("a delta's base is outside of it"))?;
                (None, Stored::Offset(base))
            }
            7 => {
                let mut id = vec![0; hash.len()];
                self.exact(&mut id)?;
                (None, Stored::Reference(Id::of(&id)))
            }
            _ => return Err(Error::Pack("an object is of no known kind")),
        };
        let limit = if kind == Some(Kind::Blob) {
            MAX_OBJECT
        } else {
            delta::MAX
        };
        if size > limit {
            return Err(Error::TooLarge(
                "one object is larger than any file should be",
            ));
        }
        let data = self.position;
        let mut hasher = kind.map(|kind| (Hasher::of(hash, kind, size), kind));
        let used = inflate(&mut self.from, size, &mut |bytes| {
            if let Some((hasher, _)) = &mut hasher {
                hasher.update(bytes);
            }
            Ok(())
        })?;
        self.position += used;
        Ok(Entry {
            data,
            size,
            stored,
            is: hasher.map(|(hasher, kind)| (hasher.finish(), kind)),
        })
    }

    fn size(&mut self, mut byte: u8) -> Result<u64, Error> {
        let mut size = u64::from(byte & 15);
        let mut shift = 4;
        while byte & 0x80 != 0 {
            if shift > 56 {
                return Err(Error::Pack("an object's size is no number"));
            }
            byte = self.byte()?;
            size |= u64::from(byte & 0x7f) << shift;
            shift += 7;
        }
        Ok(size)
    }

    /// How far back the base of a delta begins.
    fn back(&mut self) -> Result<u64, Error> {
        let mut byte = self.byte()?;
        let mut value = u64::from(byte & 0x7f);
        while byte & 0x80 != 0 {
            if value >= 1 << 55 {
                return Err(Error::Pack("a delta's base is no number"));
            }
            byte = self.byte()?;
            value = ((value + 1) << 7) | u64::from(byte & 0x7f);
        }
        Ok(value)
    }
}

/// Unpacks one object of a known size; returns how many compressed bytes it took.
fn inflate(
    from: &mut impl BufRead,
    size: u64,
    sink: &mut dyn FnMut(&[u8]) -> Result<(), Error>,
) -> Result<u64, Error> {
    let mut decoder = ZlibDecoder::new(from);
    let mut buffer = [0; 16 << 10];
    let mut got = 0u64;
    loop {
        let count = decoder
            .read(&mut buffer)
            .map_err(|_| Error::Pack("an object cannot be decompressed"))?;
        got += count as u64;
        if got > size {
            return Err(Error::Pack("an object is larger than it says"));
        }
        match count {
            0 if got == size => return Ok(decoder.total_in()),
            0 => return Err(Error::Pack("an object is smaller than it says")),
            count => sink(&buffer[..count])?,
        }
    }
}

fn unreadable(source: io::Error) -> Error {
    match source.kind() {
        io::ErrorKind::UnexpectedEof => Error::Pack("it is cut off"),
        _ => Error::file("read", "the pack")(source),
    }
}

/// A file from a place on, without its own position.
struct At<'f> {
    file: &'f File,
    position: u64,
}

impl<'f> At<'f> {
    fn new(file: &'f File, position: u64) -> Self {
        Self { file, position }
    }
}

impl Read for At<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.file.read_at(buffer, self.position)?;
        self.position += got as u64;
        Ok(got)
    }
}

#[cfg(test)]
mod tests;
