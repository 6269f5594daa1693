//! Sparse files: where their data goes. GNU's old headers, and PAX formats 0.0, 0.1 and 1.0.
//! Source: GNU tar manual "Storing Sparse Files".

use super::SparseMap;
use super::reader::{BLOCK, Entry, Error, Reader};
use std::io::{self, BufRead};

const MAP: &str = "sparse map";

/// What the PAX records said about a sparse file.
#[derive(Debug)]
pub(crate) struct PaxSparse {
    pub(crate) map: Option<SparseMap>,
    pub(crate) major: u64,
    pub(crate) real: Option<u64>,
}

impl<R: BufRead> Reader<R> {
    /// Puts the map of a sparse file into its entry; other entries stay as they are.
    pub(super) fn apply_sparse(
        &mut self,
        header: &tar::Header,
        kind_byte: u8,
        pax: PaxSparse,
        entry: &mut Entry,
    ) -> Result<(), Error> {
        let PaxSparse { map, major, real } = pax;
        let map = if kind_byte == b'S' {
            let gnu = header.as_gnu().ok_or_else(|| self.bad("sparse header"))?;
            entry.size = gnu.real_size().map_err(|_| self.bad("sparse size"))?;
            self.gnu_map(gnu)?
        } else if major == 1 && real.is_some() {
            entry.size = real.unwrap_or(0);
            self.map_in_data()?
        } else if let Some(map) = map {
            entry.size = real.unwrap_or(entry.size);
            map
        } else {
            return Ok(());
        };
        let mut end = 0u64;
        let mut total = 0u64;
        for (offset, length) in &map {
            if *offset < end {
                return Err(self.bad(MAP));
            }
            end = offset.checked_add(*length).ok_or_else(|| self.bad(MAP))?;
            total += length;
        }
        if end > entry.size || total > self.data_left {
            return Err(self.bad(MAP));
        }
        entry.sparse = Some(map);
        Ok(())
    }

    /// GNU's old format: four pieces in the header, 21 in every extension block.
    fn gnu_map(&mut self, header: &tar::GnuHeader) -> Result<SparseMap, Error> {
        let mut map = Vec::new();
        let mut add = |piece: &tar::GnuSparseHeader| -> io::Result<()> {
            if !piece.is_empty() {
                map.push((piece.offset()?, piece.length()?));
            }
            Ok(())
        };
        let bad = Error::Field {
            what: MAP,
            at: self.position,
        };
        if header.sparse.iter().try_for_each(&mut add).is_err() {
            return Err(bad);
        }
        let mut more = header.is_extended();
        let mut read = 0;
        while more {
            let mut block = tar::GnuExtSparseHeader::new();
            let bytes = block.as_mut_bytes();
            let mut filled = 0;
            while filled < BLOCK {
                match self.read_some(&mut bytes[filled..])? {
                    0 => return Err(Error::Truncated),
                    got => filled += got,
                }
            }
            read += BLOCK as u64;
            self.check_extension(read)?;
            if block.sparse().iter().try_for_each(&mut add).is_err() {
                return Err(bad);
            }
            more = block.is_extended();
        }
        Ok(map)
    }

    /// PAX format 1.0: the map stands in decimal lines before the data, padded to a block. The first line
    /// is the number of pairs.
    fn map_in_data(&mut self) -> Result<SparseMap, Error> {
        let mut lines: Vec<u64> = Vec::new();
        let mut current: Option<u64> = None;
        let mut read = 0u64;
        loop {
            let block = self.data_block()?;
            read += BLOCK as u64;
            self.check_extension(read)?;
            for byte in block {
                if byte == b'\n' {
                    lines.push(current.take().ok_or_else(|| self.bad(MAP))?);
                } else {
                    let digit = char::from(byte).to_digit(10).map(u64::from);
                    let so_far = current.unwrap_or(0).checked_mul(10);
                    let next = so_far
                        .zip(digit)
                        .and_then(|(value, digit)| value.checked_add(digit));
                    current = Some(next.ok_or_else(|| self.bad(MAP))?);
                }
                let Some((pairs, numbers)) = lines.split_first() else {
                    continue;
                };
                if byte == b'\n' && numbers.len() as u64 == pairs.saturating_mul(2) {
                    return Ok(numbers
                        .chunks_exact(2)
                        .map(|pair| (pair[0], pair[1]))
                        .collect());
                }
            }
        }
    }

    fn data_block(&mut self) -> Result<[u8; BLOCK], Error> {
        let mut block = [0u8; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            match self.read_data(&mut block[filled..])? {
                0 => return Err(self.bad(MAP)),
                got => filled += got,
            }
        }
        Ok(block)
    }

    fn check_extension(&self, read: u64) -> Result<(), Error> {
        let limit = self.limits.extension;
        if read > limit {
            return Err(Error::Limit {
                what: "bytes in one extension header",
                limit,
            });
        }
        Ok(())
    }
}
