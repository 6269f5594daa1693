//! Packet lines: four hexadecimal digits that count themselves and what follows.
//! Source: `gitprotocol-common`, `gitprotocol-v2` (delimiter and end packets).

use std::io::{self, Read};

/// The largest payload.
const MAX: usize = 65_516;

pub(crate) const FLUSH: &[u8] = b"0000";
pub(crate) const DELIMITER: &[u8] = b"0001";

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Packet {
    Line(Vec<u8>),
    Flush,
    Delimiter,
    End,
}

/// Appends one line, ended by a line feed.
pub(crate) fn write(out: &mut Vec<u8>, line: &str) {
    out.extend_from_slice(format!("{:04x}{line}\n", line.len() + 5).as_bytes());
}

/// Reads one packet.
pub(crate) fn read(stream: &mut dyn Read) -> io::Result<Packet> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let bad = || {
        io::Error::new(
            io::ErrorKind::InvalidData,
            "what came is no packet of git's protocol",
        )
    };
    let digits = std::str::from_utf8(&length).map_err(|_| bad())?;
    if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(bad());
    }
    match usize::from_str_radix(digits, 16).map_err(|_| bad())? {
        0 => Ok(Packet::Flush),
        1 => Ok(Packet::Delimiter),
        2 => Ok(Packet::End),
        length if (4..=MAX + 4).contains(&length) => {
            let mut line = vec![0; length - 4];
            stream.read_exact(&mut line)?;
            Ok(Packet::Line(line))
        }
        _ => Err(bad()),
    }
}

/// A line's text without its line feed.
pub(crate) fn text(line: &[u8]) -> String {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    String::from_utf8_lossy(line).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_marks() {
        let mut out = Vec::new();
        write(&mut out, "peel");
        out.extend_from_slice(DELIMITER);
        out.extend_from_slice(FLUSH);
        assert_eq!(out, b"0009peel\n00010000");
        let mut stream = &out[..];
        assert_eq!(read(&mut stream).unwrap(), Packet::Line(b"peel\n".to_vec()));
        assert_eq!(read(&mut stream).unwrap(), Packet::Delimiter);
        assert_eq!(read(&mut stream).unwrap(), Packet::Flush);
        for bad in [&b"0003"[..], b"+00a", b"<htm", b"ffffx", b"0009pe", b"00"] {
            assert!(read(&mut { bad }).is_err(), "{bad:?}");
        }
    }
}
