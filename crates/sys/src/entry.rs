//! The program's entry, called by the C library without the standard library's set-up in between.
//!
//! What of that set-up matters here is done: descriptors 0 to 2 are open, and writing to a pipe that nobody reads is an error
//! instead of the end. What is left out reads /proc/self/maps and makes an alternative stack to tell an overflow of the stack by
//! name; every command, and every monitor, would pay for it with 17 system calls.
//! Source: `std::rt` of the standard library, environ(7).

use std::ffi::{CStr, OsString, c_char, c_int};
use std::io::Write;
use std::os::unix::ffi::OsStringExt;
use std::sync::OnceLock;

static ARGUMENTS: OnceLock<Vec<OsString>> = OnceLock::new();

/// All of argv. Not every C library tells the standard library of it where that was not asked to start the program.
pub fn arguments() -> Vec<OsString> {
    let given = ARGUMENTS.get().cloned();
    given.unwrap_or_else(|| std::env::args_os().collect())
}

/// Makes a `fn(Vec<OsString>) -> u8`, given all of argv, the program: its result is the exit code. In the root of a binary crate
/// with `#![no_main]`.
#[macro_export]
macro_rules! entry {
    ($main:path) => {
        #[allow(
            unsafe_code,
            reason = "the one name the C library looks for; nothing else in this program has it"
        )]
        // SAFETY: the signature is that of C's main, and `run` gets what the C library passes.
        #[unsafe(no_mangle)]
        extern "C" fn main(
            count: std::ffi::c_int,
            words: *const *const std::ffi::c_char,
        ) -> std::ffi::c_int {
            // SAFETY: called by the C library alone, which passes argv as execve(2) describes it.
            unsafe { $crate::entry::run(count, words, $main) }
        }
    };
}

/// The body of [`entry!`].
///
/// # Safety
/// `words` points to `count` strings, as the C library passes them to `main`.
pub unsafe fn run(
    count: c_int,
    words: *const *const c_char,
    main: fn(Vec<OsString>) -> u8,
) -> c_int {
    if open_standard_streams().is_err() {
        return 125;
    }
    let count = usize::try_from(count).unwrap_or(0);
    let argv: Vec<OsString> = (0..count)
        .map(|at| {
            // SAFETY: `at` is below `count`, and each pointer is to a string that ends in zero and lives as long as we do.
            let word = unsafe { CStr::from_ptr(*words.add(at)) };
            OsString::from_vec(word.to_bytes().to_vec())
        })
        .collect();
    // SAFETY: no other thread runs yet, and SIG_IGN is no handler that could run code.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
    let _ = ARGUMENTS.set(argv.clone());
    let code = main(argv);
    let _ = std::io::stdout().flush();
    c_int::from(code)
}

/// A descriptor below 3 that is closed would be given to the first file we open, and be written to as if it were a stream.
fn open_standard_streams() -> std::io::Result<()> {
    let mut streams = [0, 1, 2].map(|fd| libc::pollfd {
        fd,
        events: 0,
        revents: 0,
    });
    // SAFETY: the array lives through the call and has as many entries as are passed.
    if unsafe { libc::poll(streams.as_mut_ptr(), 3, 0) } == -1 {
        return Err(std::io::Error::last_os_error());
    }
    for stream in streams {
        if stream.revents & libc::POLLNVAL != 0 {
            // The lowest free number: this one, as those below are open by now. It stays open to the end.
            // SAFETY: the path is a literal that ends in zero.
            if unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDWR) } == -1 {
                return Err(std::io::Error::last_os_error());
            }
        }
    }
    Ok(())
}
