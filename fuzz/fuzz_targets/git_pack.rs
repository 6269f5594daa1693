//! Any pack of a git server is checked out beneath its directory, or is an error. The input says which objects there are and what
//! they name; that they are compressed and summed up as a pack wants is done here, or nothing would come past the sums.
//! Run it as root: it makes files.
#![no_main]

use flate2::{Compression, write::ZlibEncoder};
use sha1::{Digest, Sha1};
use std::io::Write;
use std::os::fd::AsFd;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(dir) = tempfile::tempdir() else { return };
    let Ok(mut pack) = tempfile::tempfile() else { return };
    if pack.write_all(&Pack::from_input(data).finish()).is_err() {
        return;
    }
    let into = dir.path().join("into");
    if std::fs::create_dir(&into).is_err() {
        return;
    }
    let Ok(handle) = std::fs::File::open(&into) else { return };
    let _ = git::unpack(pack, handle.as_fd());
    let beside = std::fs::read_dir(dir.path()).map(Iterator::count).unwrap_or(1);
    assert_eq!(beside, 1, "something was made beside the directory");
});

#[derive(Default)]
struct Pack {
    entries: Vec<u8>,
    names: Vec<[u8; 20]>,
}

impl Pack {
    /// Objects one after the other: a byte for the kind, one for the length, the content.
    fn from_input(mut input: &[u8]) -> Self {
        let mut pack = Self::default();
        while let [kind, length, rest @ ..] = input {
            let (content, rest) = rest.split_at(usize::from(*length).min(rest.len()));
            input = rest;
            match kind % 6 {
                0 => pack.commit(content),
                1 => pack.tree(content),
                2 => pack.whole(3, "blob", content),
                3 => pack.entry(6, content.get(..1).unwrap_or(&[1]), content.get(1..).unwrap_or_default()),
                4 => pack.reference(content),
                _ => pack.entry(kind >> 5, &[], content),
            }
        }
        pack
    }

    /// The name of an object that is there, or of none.
    fn name(&self, byte: u8) -> [u8; 20] {
        let number = usize::from(byte) % (self.names.len() + 1);
        self.names.get(number).copied().unwrap_or([byte; 20])
    }

    fn commit(&mut self, content: &[u8]) {
        let tree = self.name(content.first().copied().unwrap_or_default());
        let hex: String = tree.iter().map(|byte| format!("{byte:02x}")).collect();
        let rest = content.get(1..).unwrap_or_default();
        self.whole(1, "commit", &[format!("tree {hex}\n").as_bytes(), rest].concat());
    }

    /// A byte for the mode, one for the object, one for the length of the name, the name.
    fn tree(&mut self, mut content: &[u8]) {
        const MODES: [&str; 8] = ["40000", "100644", "100755", "120000", "160000", "0", "40000 ", "1777777"];
        let mut tree = Vec::new();
        while let [mode, object, length, rest @ ..] = content {
            let (name, rest) = rest.split_at(usize::from(*length).min(rest.len()));
            content = rest;
            let mode = MODES[usize::from(*mode) % MODES.len()];
            tree.extend([mode.as_bytes(), b" ", name, b"\0", &self.name(*object)].concat());
        }
        self.whole(2, "tree", &tree);
    }

    /// A delta of an object by its name.
    fn reference(&mut self, content: &[u8]) {
        let base = self.name(content.first().copied().unwrap_or_default());
        self.entry(7, &base, content.get(1..).unwrap_or_default());
    }

    fn whole(&mut self, kind: u8, word: &str, content: &[u8]) {
        let header = format!("{word} {}\0", content.len());
        self.entry(kind, &[], content);
        let name = Sha1::digest([header.as_bytes(), content].concat());
        *self.names.last_mut().expect("just made") = name.into();
    }

    fn entry(&mut self, kind: u8, base: &[u8], content: &[u8]) {
        let size = content.len();
        self.entries.push(((kind & 7) << 4) | 0x80 | (size & 15) as u8);
        self.entries.push(0x80 | ((size >> 4) & 0x7f) as u8);
        self.entries.push(((size >> 11) & 0x7f) as u8);
        self.entries.extend_from_slice(base);
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(content).expect("a vector takes all");
        self.entries.extend(encoder.finish().expect("a vector takes all"));
        self.names.push([0xff; 20]);
    }

    fn finish(self) -> Vec<u8> {
        let count = self.names.len() as u32;
        let mut all = [&b"PACK\0\0\0\x02"[..], &count.to_be_bytes(), &self.entries].concat();
        let sum = Sha1::digest(&all);
        all.extend_from_slice(&sum);
        all
    }
}
