//! Docker's `json-file` lines: `{"log":"text\n","stream":"stdout","time":"…"}`.

use super::Stream;
use crate::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

#[derive(Serialize, Deserialize)]
struct Entry<'a> {
    log: Cow<'a, str>,
    stream: Cow<'a, str>,
    time: Timestamp,
}

/// One line of the log file for one line of output. Bytes that are not UTF-8 become U+FFFD, as in Docker.
pub(super) fn encode(stream: Stream, time: Timestamp, line: &[u8], out: &mut Vec<u8>) {
    let stream = match stream {
        Stream::Stdout => "stdout",
        Stream::Stderr => "stderr",
    };
    let entry = Entry {
        log: String::from_utf8_lossy(line),
        stream: stream.into(),
        time,
    };
    if serde_json::to_writer(&mut *out, &entry).is_ok() {
        out.push(b'\n');
    }
}

/// `None` for a line that is not Docker's.
pub(super) fn decode(line: &[u8]) -> Option<(Stream, Timestamp, Vec<u8>)> {
    let entry: Entry<'_> = serde_json::from_slice(line).ok()?;
    let stream = if entry.stream == "stderr" {
        Stream::Stderr
    } else {
        Stream::Stdout
    };
    Some((stream, entry.time, entry.log.into_owned().into_bytes()))
}
