//! What a process that waits for a long time gives back to the kernel.
//!
//! Nothing of it is lost: free heap, stack nobody stands on, and pages of the program's own file, which are in the page cache
//! and come back by a fault when they are run or read again.
//! Source: madvise(2) MADV_DONTNEED, malloc_trim(3), dl_iterate_phdr(3).

use crate::poll::{self, PollFd};
use std::io;
use std::ops::Range;
use std::time::Duration;

/// How far below the current frame the stack is given back. The kernel maps nothing else within 128 MiB below the first stack's
/// top (`mmap_base`), of which `STACK_DEPTH` may be above the frame.
const STACK_REACH: usize = 1 << 20;
const STACK_DEPTH: usize = 8 << 20;
/// What the call that gives back itself needs of the stack: two small frames and on some processors the red zone.
const CALL: usize = 1024;

/// Gives back what is not needed while nothing happens, and waits as [`poll::wait`] does. For a process with one thread.
pub fn wait(fds: &mut [PollFd<'_>], timeout: Option<Duration>) -> io::Result<usize> {
    trim_heap();
    discard_stack_below();
    let segments = read_only_segments();
    // Nothing between this and the wait, and no call that is not inlined: whatever runs is read anew, the pages around it too.
    for range in &segments {
        discard(range);
    }
    poll::wait(fds, timeout)
}

#[cfg(target_env = "gnu")]
fn trim_heap() {
    // SAFETY: takes an integer; malloc keeps its own lock, and nothing that is allocated moves.
    unsafe { libc::malloc_trim(0) };
}

/// Other allocators have no such call (musl's returns free pages by itself).
#[cfg(not(target_env = "gnu"))]
fn trim_heap() {}

/// The deepest calls are in the past: what they left on the stack's pages is of no use to anybody.
#[inline(never)]
fn discard_stack_below() {
    let frame = 0u8;
    let here = std::ptr::from_ref(std::hint::black_box(&frame)) as usize;
    let end = (here - CALL) & !(page_size() - 1);
    if is_on_first_stack(here) {
        discard(&(end.saturating_sub(STACK_REACH)..end));
    }
}

/// Only the first stack has nothing else close below it: at its top lie the random bytes of AT_RANDOM.
fn is_on_first_stack(address: usize) -> bool {
    // SAFETY: takes an integer and reads what the kernel wrote at the start.
    let top = unsafe { libc::getauxval(libc::AT_RANDOM) } as usize;
    address < top && top - address < STACK_DEPTH
}

/// Drops the pages of a range, parts of which may not be mapped.
#[inline(always)]
fn discard(range: &Range<usize>) {
    // SAFETY: both callers name memory whose contents nobody misses. Segments of the executable that are mapped without the right
    // to write have only pages of its file, which the next access maps again with the same bytes (the relocated parts, which are
    // read-only too by now, lie in a segment that was mapped writable). Below the current frame, on the first stack, there are as far
    // as `STACK_REACH` only finished frames, to which no reference leads, and unmapped memory. A refusal (locked memory) or a hole
    // in the range (ENOMEM, the rest is done) leaves pages as they are.
    unsafe {
        let start = std::ptr::with_exposed_provenance_mut(range.start);
        let _ = rustix::mm::madvise(start, range.len(), rustix::mm::Advice::LinuxDontNeed);
    }
}

/// Whole pages of the executable's segments that nobody writes to: its code and its constants.
fn read_only_segments() -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    // SAFETY: the callback gets the pointer to `found`, which outlives the call, and is not called by anybody else.
    unsafe { libc::dl_iterate_phdr(Some(segments_of), (&raw mut found).cast()) };
    found
}

/// Called for each object that is loaded, the executable first; says by 1 that it needs no others.
unsafe extern "C" fn segments_of(
    object: *mut libc::dl_phdr_info,
    _size: libc::size_t,
    found: *mut libc::c_void,
) -> libc::c_int {
    // SAFETY: the loader passes a valid description of an object whose program headers stay mapped as long as it does, and
    // `found` is what `read_only_segments` passed, which is borrowed by nobody else meanwhile.
    let (base, headers, found) = unsafe {
        let object = &*object;
        let headers = std::slice::from_raw_parts(object.dlpi_phdr, object.dlpi_phnum.into());
        (
            object.dlpi_addr as usize,
            headers,
            &mut *found.cast::<Vec<Range<usize>>>(),
        )
    };
    let page = page_size();
    for header in headers {
        if header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_W == 0 {
            let start = base + header.p_vaddr as usize;
            // By the file: behind its end there may be zeroes of our own.
            let end = start + header.p_filesz as usize;
            found.push(start.next_multiple_of(page)..end & !(page - 1));
        }
    }
    1
}

fn page_size() -> usize {
    crate::proc_stat::page_size() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    static CONSTANTS: [u8; 1 << 20] = [7; 1 << 20];

    fn give_back() {
        wait(&mut [], Some(Duration::ZERO)).unwrap();
    }

    /// How many pages of the range are mapped into this process: the `present` bit of /proc/self/pagemap.
    fn resident(range: Range<usize>) -> usize {
        use std::os::unix::fs::FileExt;
        let pagemap = std::fs::File::open("/proc/self/pagemap").unwrap();
        let pages = range.step_by(page_size()).map(|address| {
            let mut entry = [0; 8];
            let at = address / page_size() * 8;
            pagemap.read_exact_at(&mut entry, at as u64).unwrap();
            u64::from_le_bytes(entry) >> 63
        });
        pages.sum::<u64>() as usize
    }

    /// Those that are not mapped because something beside them is read, a window of 64 kB at a time.
    fn constants() -> Range<usize> {
        let start = CONSTANTS.as_ptr() as usize;
        let first = (start + CONSTANTS.len() / 4).next_multiple_of(page_size());
        first..first + CONSTANTS.len() / 2
    }

    #[test]
    fn code_and_constants_go_and_come_back_as_they_were() {
        let segments = read_only_segments();
        let code = segments_of as *const () as usize;
        assert!(segments.iter().any(|s| s.contains(&code)), "{segments:?}");
        assert!(segments.iter().any(|s| s.contains(&constants().start)));
        let sum = |bytes: &[u8]| bytes.iter().map(|b| usize::from(*b)).sum::<usize>();
        assert_eq!(sum(std::hint::black_box(&CONSTANTS)), 7 * CONSTANTS.len());
        assert_eq!(resident(constants()), constants().len() / page_size());
        give_back();
        assert_eq!(resident(constants()), 0);
        assert_eq!(sum(std::hint::black_box(&CONSTANTS)), 7 * CONSTANTS.len());
    }

    #[test]
    fn what_can_be_written_stays() {
        static WRITTEN: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(5);
        WRITTEN.store(6, std::sync::atomic::Ordering::Relaxed);
        let address = (&raw const WRITTEN) as usize;
        assert!(!read_only_segments().iter().any(|s| s.contains(&address)));
        give_back();
        assert_eq!(WRITTEN.load(std::sync::atomic::Ordering::Relaxed), 6);
    }

    #[test]
    fn another_threads_stack_is_left_alone() {
        // Test functions run in threads of their own: what lies below their stacks is not known.
        let below = [3u8; 256 * 1024];
        assert!(!is_on_first_stack((&raw const below) as usize));
        std::hint::black_box(&below);
        give_back();
        assert!(std::hint::black_box(&below).iter().all(|b| *b == 3));
    }
}
