//! Extended attributes of one inode, which stand right behind it.
//! Source: `struct erofs_xattr_ibody_header`, `struct erofs_xattr_entry`.

use crate::{Error, NAME_MAX};
use std::collections::BTreeMap;

const HEADER: usize = 12;
/// Names are stored without the part that a number stands for.
const PREFIXES: [(u8, &[u8]); 5] = [
    (1, b"user."),
    (2, b"system.posix_acl_access"),
    (3, b"system.posix_acl_default"),
    (4, b"trusted."),
    (6, b"security."),
];

/// The attributes as they stand behind the inode at `at`; nothing where there are none.
pub(crate) fn encode(xattrs: &BTreeMap<Vec<u8>, Vec<u8>>, at: u64) -> Result<Vec<u8>, Error> {
    if xattrs.is_empty() {
        return Ok(Vec::new());
    }
    let too_large = || Error::Attributes(format!("inode {at}"));
    let mut out = vec![0; HEADER];
    for (name, value) in xattrs {
        let lossy = || String::from_utf8_lossy(name).into_owned();
        let fits = |name: &&[u8]| name.len() <= NAME_MAX && !name.contains(&0);
        let known = Some(&name[..]).filter(fits).and_then(shorten);
        let (number, rest) = known.ok_or_else(|| Error::Attribute(lossy()))?;
        let length = u8::try_from(rest.len()).map_err(|_| Error::Attribute(lossy()))?;
        let size = u16::try_from(value.len()).map_err(|_| too_large())?;
        out.extend_from_slice(&[length, number]);
        out.extend_from_slice(&size.to_le_bytes());
        out.extend_from_slice(rest);
        out.extend_from_slice(value);
        out.resize(out.len().next_multiple_of(4), 0);
    }
    match count(out.len()) {
        Some(_) => Ok(out),
        None => Err(too_large()),
    }
}

/// What the inode says of their size: units of 4 bytes behind the header, and one.
pub(crate) fn count(bytes: usize) -> Option<u16> {
    match bytes {
        0 => Some(0),
        _ => u16::try_from((bytes - HEADER) / 4 + 1).ok(),
    }
}

fn shorten(name: &[u8]) -> Option<(u8, &[u8])> {
    PREFIXES.iter().find_map(|(number, prefix)| {
        let rest = name.strip_prefix(*prefix)?;
        let whole = !prefix.ends_with(b".");
        (whole == rest.is_empty()).then_some((*number, rest))
    })
}
