//! PAX extended headers: what they say about the entry that follows. Source: POSIX pax(1) "pax Extended
//! Header"; star's `SCHILY.xattr.`; GNU tar manual "Storing Sparse Files" for `GNU.sparse.`.

use super::{SparseMap, Xattr};

/// What a PAX header says about the entry that follows it.
#[derive(Debug, Default)]
pub(crate) struct Pax {
    pub(crate) path: Option<Vec<u8>>,
    pub(crate) link: Option<Vec<u8>>,
    pub(crate) size: Option<u64>,
    pub(crate) uid: Option<u64>,
    pub(crate) gid: Option<u64>,
    pub(crate) mtime: Option<(i64, u32)>,
    pub(crate) xattrs: Vec<Xattr>,
    pub(crate) sparse_name: Option<Vec<u8>>,
    pub(crate) sparse_size: Option<u64>,
    pub(crate) sparse_map: Option<SparseMap>,
    pub(crate) sparse_major: u64,
    pub(crate) sparse_offset: Option<u64>,
}

impl Pax {
    /// Takes in the records of one header; on failure, what was wrong.
    pub(crate) fn read(&mut self, records: &[u8]) -> Result<(), &'static str> {
        for record in Records(records) {
            let (key, value) = record.ok_or("PAX record")?;
            let number = || decimal(value).ok_or("PAX number");
            match key {
                b"path" => self.path = Some(value.to_vec()),
                b"linkpath" => self.link = Some(value.to_vec()),
                b"size" => self.size = Some(number()?),
                b"uid" => self.uid = Some(number()?),
                b"gid" => self.gid = Some(number()?),
                b"mtime" => self.mtime = Some(timestamp(value).ok_or("PAX time")?),
                b"GNU.sparse.name" => self.sparse_name = Some(value.to_vec()),
                b"GNU.sparse.realsize" | b"GNU.sparse.size" => self.sparse_size = Some(number()?),
                b"GNU.sparse.major" => self.sparse_major = number()?,
                b"GNU.sparse.map" => self.sparse_map = Some(comma_map(value).ok_or("sparse map")?),
                b"GNU.sparse.offset" => self.sparse_offset = Some(number()?),
                b"GNU.sparse.numbytes" => {
                    let offset = self.sparse_offset.take().ok_or("sparse map")?;
                    self.sparse_map
                        .get_or_insert_default()
                        .push((offset, number()?));
                }
                _ => {
                    if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                        self.xattrs.push((name.to_vec(), value.to_vec()));
                    }
                }
            }
        }
        Ok(())
    }
}

fn decimal(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// `seconds[.fraction]`, possibly negative.
fn timestamp(text: &[u8]) -> Option<(i64, u32)> {
    let text = std::str::from_utf8(text).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut seconds: i64 = whole.parse().ok()?;
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let digits: String = fraction
        .chars()
        .chain(std::iter::repeat('0'))
        .take(9)
        .collect();
    let mut nanos: u32 = digits.parse().ok()?;
    if text.starts_with('-') && nanos > 0 {
        seconds -= 1;
        nanos = 1_000_000_000 - nanos;
    }
    Some((seconds, nanos))
}

fn comma_map(text: &[u8]) -> Option<SparseMap> {
    let numbers: Option<Vec<u64>> = text.split(|b| *b == b',').map(decimal).collect();
    let numbers = numbers.filter(|n| n.len() % 2 == 0)?;
    Some(
        numbers
            .chunks_exact(2)
            .map(|pair| (pair[0], pair[1]))
            .collect(),
    )
}

/// `LENGTH KEY=VALUE\n` records; the value may hold any byte. `None` for a broken one.
struct Records<'a>(&'a [u8]);

impl<'a> Iterator for Records<'a> {
    type Item = Option<(&'a [u8], &'a [u8])>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.iter().all(|b| *b == 0) {
            return None;
        }
        let record = self.record();
        if record.is_none() {
            self.0 = &[];
        }
        Some(record)
    }
}

impl<'a> Records<'a> {
    fn record(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        let space = self.0.iter().take(20).position(|b| *b == b' ')?;
        let length = usize::try_from(decimal(&self.0[..space])?).ok()?;
        let body = self.0.get(space + 1..length)?.strip_suffix(b"\n")?;
        self.0 = &self.0[length..];
        let equals = body.iter().position(|b| *b == b'=')?;
        Some((&body[..equals], &body[equals + 1..]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_may_hold_any_byte_and_times_any_sign() {
        let mut pax = Pax::default();
        pax.read(b"18 path=a\nb=c\0\xff\xfed\n23 mtime=-1.5000000000\n")
            .unwrap();
        assert_eq!(pax.path.as_deref(), Some(&b"a\nb=c\0\xff\xfed"[..]));
        assert_eq!(pax.mtime, Some((-2, 500_000_000)));
    }

    #[test]
    fn broken_records_are_told() {
        for bad in [
            &b"5 a\n"[..],
            b"99 path=x\n",
            b"x path=x\n",
            b"8 size=\n",
            b"11 path=abc",
        ] {
            assert!(Pax::default().read(bad).is_err(), "{bad:?}");
        }
    }
}
