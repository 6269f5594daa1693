//! The copying between a client and the streams of a process.
//!
//! Without a terminal, standard output and error share a connection in frames: one byte 1 or 2, three zeros, the length in four
//! bytes, big-endian, then so many bytes. A terminal's bytes come as they are. Source: Docker Engine API, `ContainerAttach`.

use super::hijack::{Input, Output, Taken};
use engine::detach_keys::Detector;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::thread::JoinHandle;
use std::time::Duration;

pub(crate) const RAW: &str = "application/vnd.docker.raw-stream";
pub(crate) const MULTIPLEXED: &str = "application/vnd.docker.multiplexed-stream";

/// A process that has closed its streams is given so long to end.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// A process as a client takes part in it.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    pub(crate) stdin: Option<OwnedFd>,
    pub(crate) stdout: Option<OwnedFd>,
    pub(crate) stderr: Option<OwnedFd>,
    /// Readable when the process has ended, where its streams may stay open longer.
    pub(crate) ended: Option<OwnedFd>,
    /// Without frames.
    pub(crate) raw: bool,
    /// The keys that end the conversation and leave the process; none: it cannot be left so.
    pub(crate) detach_keys: Vec<u8>,
}

/// The head of a frame.
pub(crate) fn head(stream: u8, length: usize) -> [u8; 8] {
    let length = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    [stream, 0, 0, 0, length[0], length[1], length[2], length[3]]
}

/// Copies until the process's output has ended, or the client has gone. Whether it left by its keys.
pub(crate) fn converse(taken: Taken, streams: Streams) -> bool {
    let Ok((input, mut output)) = taken.split() else {
        return false;
    };
    let Streams {
        stdin,
        stdout,
        stderr,
        ended,
        raw,
        detach_keys,
    } = streams;
    let listens = stdout.is_some() || stderr.is_some();
    let typing = match (input, stdin) {
        (Some(input), Some(stdin)) => {
            // Another handle would keep the process's input open past the client's end of it.
            let reader = if listens {
                None
            } else {
                stdin.try_clone().ok()
            };
            let typing = move || copy_input(input, &stdin, detach_keys);
            Some((std::thread::spawn(typing), reader))
        }
        (input, stdin) => {
            drop((input, stdin));
            None
        }
    };
    if let (false, Some((typing, reader))) = (listens, &typing) {
        wait_for_typing(typing, reader, &output);
    }
    let ended = copy_output(&mut output, [stdout, stderr], ended, raw);
    // The client asks how it ended as soon as the connection has: that is known by then.
    if let Some(ended) = ended.filter(|_| listens) {
        let _ = sys::poll::readable(ended.as_fd(), LAST_WORDS);
    }
    output.end();
    typing.is_some_and(|(typing, reader)| {
        drop(reader);
        typing.join().unwrap_or(false)
    })
}

/// Who listens to nothing types until the client has gone, has left by its keys, or nobody reads it any more.
fn wait_for_typing(typing: &JoinHandle<bool>, reader: &Option<OwnedFd>, output: &Output) {
    // The end of the typing is no event, and the process waits for it.
    let moment = rustix::event::Timespec {
        tv_sec: 0,
        tv_nsec: 50_000_000,
    };
    while !typing.is_finished() && !output.is_closed() {
        // Hang-ups are told without being asked for.
        let reader = reader.iter().map(AsFd::as_fd);
        let watched = reader.chain(output.watched());
        let mut fds: Vec<_> = watched
            .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::empty()))
            .collect();
        match poll(&mut fds, Some(&moment)) {
            Ok(0) | Err(Errno::INTR) => {}
            _ => return,
        }
    }
}

/// What is typed goes to the process; its end is the end of the process's input.
fn copy_input(mut input: Input, stdin: &OwnedFd, keys: Vec<u8>) -> bool {
    let mut detector = Detector::new(keys);
    let mut buffer = vec![0; 32 * 1024];
    loop {
        let length = match input.read(&mut buffer) {
            Ok(0) | Err(_) => return false,
            Ok(length) => length,
        };
        let (bytes, left) = detector.filter(&buffer[..length]);
        if write_all(stdin, &bytes).is_err() {
            return false;
        }
        if left {
            // The other direction ends too.
            let _ = input.stream().shutdown(std::net::Shutdown::Both);
            return true;
        }
    }
}

fn write_all(fd: &OwnedFd, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match rustix::io::write(fd, bytes) {
            Ok(done) => bytes = &bytes[done..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let mut fds = [PollFd::new(fd, PollFlags::OUT)];
                let _ = poll(&mut fds, None);
            }
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// What tells the process's end, if that was not told yet and the client is still there.
fn copy_output(
    output: &mut Output,
    mut sources: [Option<OwnedFd>; 2],
    mut ended: Option<OwnedFd>,
    raw: bool,
) -> Option<OwnedFd> {
    let mut buffer = vec![0; 32 * 1024];
    let mut over = false;
    while sources.iter().any(Option::is_some) {
        // What was written before the end is only surely seen by a look after it.
        let was_over = over;
        let ready = ready(output, &sources, ended.as_ref(), over)?;
        if ready.ended {
            (ended, over) = (None, true);
        }
        for (index, is_ready) in ready.sources.into_iter().enumerate() {
            let Some(source) = sources[index].as_ref().filter(|_| is_ready) else {
                continue;
            };
            match rustix::io::read(source, &mut buffer) {
                Ok(length) if length > 0 => {
                    let bytes = &buffer[..length];
                    if said(output, index, bytes, raw).is_err() {
                        return None;
                    }
                }
                Err(Errno::INTR | Errno::AGAIN) => {}
                // A terminal whose last process has gone says EIO.
                _ => sources[index] = None,
            }
        }
        // The process has ended and nothing is left of what it wrote: who inherited its streams is not waited for.
        if was_over && !ready.sources.contains(&true) {
            return None;
        }
    }
    ended
}

fn said(output: &mut Output, index: usize, bytes: &[u8], raw: bool) -> std::io::Result<()> {
    if raw {
        return output.say(bytes);
    }
    let stream = if index == 0 { 1 } else { 2 };
    let mut frame = Vec::with_capacity(bytes.len() + 8);
    frame.extend(head(stream, bytes.len()));
    frame.extend(bytes);
    output.say(&frame)
}

struct Ready {
    sources: [bool; 2],
    ended: bool,
}

/// Waits for output; `None`: the client has gone.
fn ready(
    output: &Output,
    sources: &[Option<OwnedFd>; 2],
    ended: Option<&OwnedFd>,
    over: bool,
) -> Option<Ready> {
    const SOURCE: [usize; 2] = [0, 1];
    const ENDED: usize = 2;
    const CLIENT: usize = 3;
    let mut fds = Vec::with_capacity(4);
    let mut who = Vec::with_capacity(4);
    for index in SOURCE {
        if let Some(fd) = &sources[index] {
            fds.push(PollFd::new(fd, PollFlags::IN));
            who.push(index);
        }
    }
    if let Some(fd) = ended {
        fds.push(PollFd::new(fd, PollFlags::IN));
        who.push(ENDED);
    }
    if let Some(fd) = output.watched() {
        fds.push(PollFd::from_borrowed_fd(fd, PollFlags::empty()));
        who.push(CLIENT);
    }
    // A client of a streamed answer is looked after now and then.
    let second = rustix::event::Timespec {
        tv_sec: i64::from(!over),
        tv_nsec: 0,
    };
    match poll(&mut fds, Some(&second)) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(_) => return None,
    }
    let mut ready = Ready {
        sources: [false; 2],
        ended: false,
    };
    for (fd, who) in fds.iter().zip(who) {
        if fd.revents().is_empty() {
            continue;
        }
        match who {
            CLIENT => return None,
            ENDED => ready.ended = true,
            source => ready.sources[source] = true,
        }
    }
    (!output.is_closed()).then_some(ready)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn output_comes_in_frames_and_ends_with_the_process() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let (out, out_writer) = sys::pipe::new().unwrap();
        let (err, err_writer) = sys::pipe::new().unwrap();
        let taken = whole(ours);
        let streams = Streams {
            stdout: Some(out),
            stderr: Some(err),
            ..Default::default()
        };
        let talking = std::thread::spawn(move || converse(taken, streams));
        rustix::io::write(&out_writer, b"out").unwrap();
        let mut frame = [0; 11];
        theirs.read_exact(&mut frame).unwrap();
        assert_eq!(&frame, b"\x01\0\0\0\0\0\0\x03out");
        rustix::io::write(&err_writer, b"e").unwrap();
        drop((out_writer, err_writer));
        let mut rest = Vec::new();
        theirs.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"\x02\0\0\0\0\0\0\x01e");
        talking.join().unwrap();
    }

    fn whole(stream: UnixStream) -> Taken {
        Taken::Whole {
            stream,
            early: Default::default(),
        }
    }

    #[test]
    fn what_was_written_before_the_end_is_told_though_somebody_keeps_the_stream() {
        for _ in 0..200 {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            let (out, out_writer) = sys::pipe::new().unwrap();
            let (end, end_writer) = sys::pipe::new().unwrap();
            let streams = Streams {
                stdout: Some(out),
                ended: Some(end),
                raw: true,
                ..Default::default()
            };
            let talking = std::thread::spawn(move || converse(whole(ours), streams));
            std::thread::yield_now();
            rustix::io::write(&out_writer, b"last words").unwrap();
            drop(end_writer);
            let mut told = String::new();
            theirs.read_to_string(&mut told).unwrap();
            assert_eq!(told, "last words");
            talking.join().unwrap();
        }
    }

    #[test]
    fn who_types_only_is_left_when_nobody_reads_it() {
        use std::io::Write;
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let (mut reader, stdin) = std::io::pipe().unwrap();
        let streams = Streams {
            stdin: Some(stdin.into()),
            ..Default::default()
        };
        let talking = std::thread::spawn(move || converse(whole(ours), streams));
        theirs.write_all(b"typed").unwrap();
        let mut typed = [0; 5];
        reader.read_exact(&mut typed).unwrap();
        assert_eq!(&typed, b"typed");
        drop(reader);
        assert_eq!(theirs.read(&mut typed).unwrap(), 0);
        assert!(!talking.join().unwrap());
    }

    #[test]
    fn the_client_s_end_of_input_is_the_process_s() {
        use std::io::Write;
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let (mut reader, stdin) = std::io::pipe().unwrap();
        let (out, out_writer) = sys::pipe::new().unwrap();
        let streams = Streams {
            stdin: Some(stdin.into()),
            stdout: Some(out),
            raw: true,
            ..Default::default()
        };
        let talking = std::thread::spawn(move || converse(whole(ours), streams));
        theirs.write_all(b"typed").unwrap();
        theirs.shutdown(std::net::Shutdown::Write).unwrap();
        let mut typed = String::new();
        reader.read_to_string(&mut typed).unwrap();
        assert_eq!(typed, "typed");
        drop(out_writer);
        talking.join().unwrap();
    }

    #[test]
    fn what_was_said_early_is_typed_first_and_keys_leave() {
        use std::io::Write;
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let (stdin_reader, stdin) = sys::pipe::new().unwrap();
        let (out, _out_writer) = sys::pipe::new().unwrap();
        let taken = Taken::Whole {
            stream: ours,
            early: b"early ".to_vec().into(),
        };
        let streams = Streams {
            stdin: Some(stdin),
            stdout: Some(out),
            raw: true,
            detach_keys: vec![16, 17],
            ..Default::default()
        };
        let talking = std::thread::spawn(move || converse(taken, streams));
        theirs.write_all(b"late\x10\x11never").unwrap();
        assert!(talking.join().unwrap());
        let mut typed = String::new();
        std::fs::File::from(stdin_reader)
            .read_to_string(&mut typed)
            .unwrap();
        assert_eq!(typed, "early late");
    }
}
