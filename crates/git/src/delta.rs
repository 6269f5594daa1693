//! Deltas: one object as pieces of another and new bytes.
//! Source: `gitformat-pack` ("Deltified representation").

use crate::error::Error;

/// A delta's result is held in memory.
pub(crate) const MAX: u64 = 512 << 20;

/// The object that `delta` makes of `base`.
pub(crate) fn apply(base: &[u8], mut delta: &[u8]) -> Result<Vec<u8>, Error> {
    const BAD: Error = Error::Pack("a delta reaches beyond its base");
    if size(&mut delta)? != base.len() as u64 {
        return Err(Error::Pack("a delta is of another base"));
    }
    let expected = size(&mut delta)?;
    if expected > MAX {
        return Err(Error::TooLarge("a delta makes more than 512 MiB"));
    }
    let mut out = Vec::with_capacity(expected.min(1 << 20) as usize);
    while let Some((op, rest)) = delta.split_first() {
        delta = rest;
        let piece = if op & 0x80 != 0 {
            let offset = number(&mut delta, *op, 0, 4)?;
            let length = match number(&mut delta, *op, 4, 3)? {
                0 => 0x10000,
                length => length,
            };
            let end = offset.checked_add(length).ok_or(BAD)?;
            base.get(offset..end).ok_or(BAD)?
        } else {
            if *op == 0 {
                return Err(Error::Pack("a delta has an unknown instruction"));
            }
            let (new, rest) = delta.split_at_checked(usize::from(*op)).ok_or(CUT)?;
            delta = rest;
            new
        };
        if (out.len() + piece.len()) as u64 > expected {
            return Err(Error::Pack("a delta makes more than it says"));
        }
        out.extend_from_slice(piece);
    }
    match out.len() as u64 == expected {
        true => Ok(out),
        false => Err(CUT),
    }
}

const CUT: Error = Error::Pack("a delta ends too early");

/// The bytes of a number that the bits of `op` from `first` on say are there, the lowest first.
fn number(delta: &mut &[u8], op: u8, first: u8, count: u8) -> Result<usize, Error> {
    let mut value = 0;
    for at in 0..count {
        if op & (1 << (first + at)) != 0 {
            let (byte, rest) = delta.split_first().ok_or(CUT)?;
            value |= usize::from(*byte) << (8 * at);
            *delta = rest;
        }
    }
    Ok(value)
}

/// Seven bits in each byte, the lowest first.
fn size(delta: &mut &[u8]) -> Result<u64, Error> {
    let mut value = 0u64;
    for shift in (0..63).step_by(7) {
        let (byte, rest) = delta.split_first().ok_or(CUT)?;
        *delta = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(Error::Pack("a delta's size is no number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_the_base_and_new_bytes() {
        // Six bytes of a base of ten: three from offset four, then three new ones.
        let delta = [10, 6, 0x80 | 0x01 | 0x10, 4, 3, 3, b'x', b'y', b'z'];
        assert_eq!(apply(b"0123456789", &delta).unwrap(), b"456xyz");
    }

    #[test]
    fn hostile_deltas_are_refused() {
        let base = b"0123456789";
        let bad: [&[u8]; 8] = [
            &[9, 1, 1, b'x'],
            &[10, 3, 0x91, 8, 3],
            &[10, 3, 0],
            &[10, 1, 2, b'x', b'y'],
            &[10, 3, 1, b'x'],
            &[10, 1, 0x91, 1],
            &[10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
            &[10, 0x80, 0x80, 0x80, 0x80, 0x10, 1, b'x'],
        ];
        for delta in bad {
            assert!(apply(base, delta).is_err(), "{delta:?}");
        }
    }
}
