//! Whole small files in as few system calls as there can be.
//!
//! The standard library asks for a file's size, reads it, and reads again to be told the end; from files that tell no size
//! it starts with 32 bytes. A regular file needs none of that: a read that comes back short has met the end. Files of
//! procfs and cgroupfs come in pieces, so they are read until nothing more comes.
//! Source: read(2), kernel `Documentation/filesystems/seq_file.rst`.

use rustix::fs::{Mode, OFlags};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;

/// Most records, documents and settings are smaller.
const USUAL: usize = 8 << 10;

/// A regular file by its path, links followed.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    read_regular(&file)
}

/// What an open regular file holds from where it stands.
pub fn read_regular(file: impl AsFd) -> io::Result<Vec<u8>> {
    read_until(file, usize::MAX, End::Short)
}

/// The same, no more than `limit` bytes of it.
pub fn read_regular_up_to(file: impl AsFd, limit: usize) -> io::Result<Vec<u8>> {
    read_until(file, limit, End::Short)
}

/// A file that the kernel makes up as it is read.
pub fn read_made_up(file: impl AsFd) -> io::Result<String> {
    let bytes = read_until(file, usize::MAX, End::Nothing)?;
    String::from_utf8(bytes).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))
}

/// The same by its path.
pub fn read_made_up_at(path: &str) -> io::Result<String> {
    let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    read_made_up(&file)
}

/// Lets the kernel begin to write a part of a file to its disk, and does not wait: a later fsync(2) has less left to do.
/// Source: sync_file_range(2).
pub fn start_writing(file: impl AsFd, offset: u64, length: u64) {
    let number = |value: u64| libc::off64_t::try_from(value).unwrap_or(libc::off64_t::MAX);
    let fd = file.as_fd().as_raw_fd();
    // SAFETY: the descriptor is borrowed and open; the call takes numbers alone and touches no memory of ours.
    let _ = unsafe {
        libc::sync_file_range(
            fd,
            number(offset),
            number(length),
            libc::SYNC_FILE_RANGE_WRITE,
        )
    };
}

/// What says that there is no more.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Short,
    Nothing,
}

fn read_until(file: impl AsFd, limit: usize, end: End) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut buffer = [0u8; USUAL];
    loop {
        let room = buffer.len().min(limit - bytes.len());
        let length = match rustix::io::read(&file, &mut buffer[..room]) {
            Ok(length) => length,
            Err(rustix::io::Errno::INTR) => continue,
            Err(e) => return Err(e.into()),
        };
        bytes.extend_from_slice(&buffer[..length]);
        if length == 0 || (end == End::Short && length < room) {
            return Ok(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_every_size_are_read_whole() {
        let path = std::env::temp_dir().join(format!("file-test-{}", std::process::id()));
        for size in [0, 1, USUAL - 1, USUAL, USUAL + 1, 5 * USUAL] {
            let content: Vec<u8> = (0..size).map(|n| n as u8).collect();
            std::fs::write(&path, &content).unwrap();
            assert_eq!(read(&path).unwrap(), content);
            let file = std::fs::File::open(&path).unwrap();
            let part = read_regular_up_to(&file, 7).unwrap();
            assert_eq!(part, content[..size.min(7)]);
        }
        std::fs::remove_file(&path).unwrap();
        assert_eq!(read(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn what_the_kernel_makes_up_is_read_whole() {
        let path = "/proc/self/mountinfo";
        assert_eq!(
            read_made_up_at(path).unwrap(),
            std::fs::read_to_string(path).unwrap()
        );
    }
}
