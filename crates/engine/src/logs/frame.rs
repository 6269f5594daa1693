//! Frames of the driver `local`; the layout is drawn in `logs`.

use super::Stream;
use std::io::{self, Read};

pub(super) const HEADER: usize = 16;
/// No writer makes a longer frame; a longer one is damage.
const MAX_PAYLOAD: u32 = 16 << 20;

pub(super) fn header(stream: Stream, nanos: i64, len: u32) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..4].copy_from_slice(&len.to_le_bytes());
    header[4] = match stream {
        Stream::Stdout => 1,
        Stream::Stderr => 2,
    };
    header[8..].copy_from_slice(&nanos.to_le_bytes());
    header
}

pub(super) struct Frame {
    pub(super) stream: Stream,
    pub(super) nanos: i64,
    pub(super) payload: Vec<u8>,
}

/// Reads one frame; `None` at the end of the file, also when the last frame is not whole yet (the caller seeks
/// back and tries again when there is more).
pub(super) fn read(source: &mut impl Read) -> io::Result<Option<Frame>> {
    let mut header = [0; HEADER];
    if !fill(source, &mut header)? {
        return Ok(None);
    }
    let [l0, l1, l2, l3, stream, _, _, _, nanos @ ..] = header;
    let len = u32::from_le_bytes([l0, l1, l2, l3]);
    let stream = match stream {
        1 => Stream::Stdout,
        2 => Stream::Stderr,
        other => return Err(damaged(format!("stream {other}"))),
    };
    if len > MAX_PAYLOAD {
        return Err(damaged(format!("a frame of {len} bytes")));
    }
    let mut payload = vec![0; len as usize];
    if !fill(source, &mut payload)? {
        return Ok(None);
    }
    Ok(Some(Frame {
        stream,
        nanos: i64::from_le_bytes(nanos),
        payload,
    }))
}

fn damaged(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("damaged log: {what}"))
}

/// The bytes of a log up to the first frame that is not whole.
pub(super) fn whole(source: &mut impl Read) -> io::Result<u64> {
    let mut length = 0;
    loop {
        match read(source) {
            Ok(Some(frame)) => length += (HEADER + frame.payload.len()) as u64,
            Ok(None) => return Ok(length),
            Err(e) if e.kind() == io::ErrorKind::InvalidData => return Ok(length),
            Err(e) => return Err(e),
        }
    }
}

/// `false` when the source ended first.
fn fill(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match source.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(e) => Err(e),
    }
}
