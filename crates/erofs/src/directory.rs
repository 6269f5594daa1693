//! Blocks of a directory: in each, the entries sorted by name, then the names.
//! Source: `struct erofs_dirent`; kernel `erofs.rst`, "Directories".

use crate::BLOCK;

const ENTRY: usize = 12;

/// One entry: name, inode number, kind of file.
pub(crate) type Entry<'a> = (&'a [u8], u64, u8);

/// How many entries go into each block, one number a block. `entries` are sorted.
fn split<'a>(names: impl Iterator<Item = &'a [u8]>) -> Vec<usize> {
    let mut blocks = Vec::new();
    let mut used = 0;
    for name in names {
        let size = ENTRY + name.len();
        match blocks.last_mut() {
            Some(count) if used + size <= BLOCK as usize => {
                *count += 1;
                used += size;
            }
            _ => {
                blocks.push(1);
                used = size;
            }
        }
    }
    blocks
}

/// Bytes of a directory with these names, sorted: whole blocks, the last as far as it is used.
pub(crate) fn size<'a>(names: impl Iterator<Item = &'a [u8]> + Clone) -> u64 {
    let blocks = split(names.clone());
    let Some((last, full)) = blocks.split_last() else {
        return 0;
    };
    let before: usize = full.iter().sum();
    let tail: usize = names
        .skip(before)
        .take(*last)
        .map(|n| ENTRY + n.len())
        .sum();
    full.len() as u64 * BLOCK + tail as u64
}

/// Appends the directory's blocks, each filled up with zeros.
pub(crate) fn encode(entries: &[Entry<'_>], out: &mut Vec<u8>) {
    let mut rest = entries;
    for count in split(entries.iter().map(|(name, ..)| *name)) {
        let (here, later) = rest.split_at(count);
        rest = later;
        let mut name_at = ENTRY * count;
        for (name, number, kind) in here {
            out.extend_from_slice(&number.to_le_bytes());
            out.extend_from_slice(&(name_at as u16).to_le_bytes());
            out.extend_from_slice(&[*kind, 0]);
            name_at += name.len();
        }
        for (name, ..) in here {
            out.extend_from_slice(name);
        }
        out.resize(out.len().next_multiple_of(BLOCK as usize), 0);
    }
}
