//! `logs`: lines in order over rotated files, and on as they come.

use super::{Settings, Stream, frame, json};
use crate::container::record::ContainerRecord;
use crate::container::state::State;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::timestamp::Timestamp;
use crate::watch::drain_after_poll;
use model::log::LogDriver;
use rustix::fs::inotify;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Which lines are wanted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Query {
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
    /// Only the last lines of what is there now.
    pub tail: Option<usize>,
    /// Go on with what comes, until the container has stopped.
    pub follow: bool,
}

/// One line of output; its end of line is part of it, unless the container never wrote one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub stream: Stream,
    pub time: Timestamp,
    pub bytes: Vec<u8>,
}

/// Reads a container's log.
#[derive(Debug)]
pub struct Reader {
    ctx: Context,
    id: String,
    driver: LogDriver,
    dir: PathBuf,
    query: Query,
    file: Option<BufReader<File>>,
    /// What is newer, held open so that no rotation takes it away.
    later: VecDeque<File>,
    /// Pieces read since it was last looked for newer files.
    unlooked: u32,
    /// Files that were rotated away before they were opened.
    lost: u64,
    ready: VecDeque<Line>,
    partial: [Option<Line>; 2],
    watch: Option<OwnedFd>,
    ended: bool,
}

impl Reader {
    pub fn open(ctx: &Context, container: &ContainerRecord, query: Query) -> Result<Self> {
        let settings = Settings::parse(&container.spec.log)?;
        if settings.driver == LogDriver::None {
            return Err(Error::invalid(
                format!("logs of container {}", container.name),
                "configured logging driver does not support reading (its log driver is \"none\")",
            ));
        }
        let dir = super::directory(ctx, container);
        let mut reader = Self {
            ctx: ctx.clone(),
            id: container.id.to_string(),
            driver: settings.driver,
            file: None,
            later: VecDeque::new(),
            unlooked: 0,
            lost: 0,
            ready: VecDeque::new(),
            partial: [None, None],
            watch: None,
            ended: false,
            query,
            dir,
        };
        if query.follow {
            // Its first line is to be seen at once, so it has to be there before.
            let _ = super::make_directory(&reader.dir);
            reader.watch = Some(watch(&reader.dir, &ctx.layout.run_container(&reader.id))?);
        }
        reader.file = oldest(&reader.dir)?;
        if let Some(tail) = query.tail {
            reader.keep_last(tail)?;
        }
        Ok(reader)
    }

    /// Reads all there is, keeping the last lines.
    fn keep_last(&mut self, tail: usize) -> Result<()> {
        let mut last = VecDeque::new();
        while let Some(line) = self.next_available()? {
            last.push_back(line);
            if last.len() > tail {
                last.pop_front();
            }
        }
        // A follower waits for the rest of an unfinished line; for everybody else it is the last one.
        if !self.query.follow {
            last.extend(std::iter::from_fn(|| self.take_partial()));
            last.drain(..last.len().saturating_sub(tail));
        }
        self.ready = last;
        Ok(())
    }

    /// The next line: of what is there, or with `follow` of what comes. `None`: the end.
    pub fn next_line(&mut self) -> Result<Option<Line>> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return Ok(Some(line));
            }
            if let Some(line) = self.next_available()? {
                return Ok(Some(line));
            }
            if self.ended || !self.query.follow {
                return Ok(self.take_partial());
            }
            self.wait_for_more()?;
        }
    }

    /// A line that is there now, without waiting; for callers that follow several logs at once.
    pub fn try_next(&mut self) -> Result<Option<Line>> {
        match self.ready.pop_front() {
            Some(line) => Ok(Some(line)),
            None => self.next_available(),
        }
    }

    /// How many files of the log were rotated away before they could be opened since this was last asked: their lines are missing.
    pub fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
    }

    /// The descriptor that becomes readable when there may be more (only with `follow`).
    pub fn watch_fd(&self) -> Option<&OwnedFd> {
        self.watch.as_ref()
    }

    fn wait_for_more(&mut self) -> Result<()> {
        // Whoever stops being active has written all: look at the state first, then drain once more.
        if !State::load(&self.ctx, &self.id)?.is_active() {
            self.ended = true;
            return Ok(());
        }
        if let Some(watch) = &self.watch {
            drain_after_poll(watch, Some(Duration::from_millis(500)))?;
        }
        Ok(())
    }

    fn take_partial(&mut self) -> Option<Line> {
        self.partial
            .iter_mut()
            .find_map(Option::take)
            .filter(|l| self.is_wanted(l))
    }

    fn is_wanted(&self, line: &Line) -> bool {
        self.query.since.is_none_or(|t| line.time >= t)
            && self.query.until.is_none_or(|t| line.time <= t)
    }

    fn next_available(&mut self) -> Result<Option<Line>> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return Ok(Some(line));
            }
            if self.file.is_none() {
                self.file = oldest(&self.dir)?;
            }
            self.unlooked += 1;
            if self.query.follow && self.unlooked > LOOK_EVERY {
                self.look_ahead()?;
            }
            let Some(file) = &mut self.file else {
                return Ok(None);
            };
            let error = Error::file("read the log in", &self.dir);
            let more = match self.driver {
                LogDriver::JsonFile => read_json(file).map(|l| l.map(Chunk::Line)),
                _ => read_frame(file).map(|f| f.map(Chunk::Frame)),
            }
            .map_err(error)?;
            match more {
                Some(Chunk::Line(line)) => self.push(line),
                Some(Chunk::Frame(frame)) => self.split(frame),
                None if self.advance()? => {}
                None => return Ok(None),
            }
        }
    }

    fn push(&mut self, line: Line) {
        if self.is_wanted(&line) {
            self.ready.push_back(line);
        }
    }

    /// Cuts a frame into lines; what lacks its end waits for the next frame of its stream.
    fn split(&mut self, frame: frame::Frame) {
        let slot = usize::from(frame.stream == Stream::Stderr);
        for piece in frame.payload.split_inclusive(|b| *b == b'\n') {
            let mut line = self.partial[slot].take().unwrap_or_else(|| Line {
                stream: frame.stream,
                time: Timestamp(frame.nanos),
                bytes: Vec::new(),
            });
            line.bytes.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                self.push(line);
            } else {
                self.partial[slot] = Some(line);
            }
        }
    }

    /// At the end of a file: whether there is more to read. With a newer file this one is complete, so it is left when that was
    /// known before its end was seen.
    fn advance(&mut self) -> Result<bool> {
        if self.later.is_empty() {
            self.look_ahead()?;
            return Ok(!self.later.is_empty());
        }
        let Some(next) = self.later.pop_front() else {
            return Ok(false);
        };
        let last = self
            .file
            .as_ref()
            .and_then(|file| super::number(file.get_ref()));
        if let (Some(last), Some(next)) = (last, super::number(&next)) {
            self.lost += next.saturating_sub(last + 1);
        }
        self.file = Some(BufReader::with_capacity(1 << 16, next));
        Ok(true)
    }

    /// Opens the files that are newer than those that are open.
    fn look_ahead(&mut self) -> Result<()> {
        self.unlooked = 0;
        let newest = self.later.back();
        let Some(newest) = newest.or(self.file.as_ref().map(BufReader::get_ref)) else {
            return Ok(());
        };
        // As long as it is open, no other file has its number.
        let known = newest
            .metadata()
            .map_err(Error::file("read the log in", &self.dir))?
            .ino();
        let files = files(&self.dir)?;
        let is_known = |file: &File| file.metadata().is_ok_and(|m| m.ino() == known);
        let newer = files.iter().position(is_known).map_or(0, |at| at + 1);
        self.later.extend(files.into_iter().skip(newer));
        Ok(())
    }
}

/// A follower looks for newer files after so many pieces, for the writer does not wait for it.
const LOOK_EVERY: u32 = 64;

enum Chunk {
    Line(Line),
    Frame(frame::Frame),
}

/// A frame, or `None` with the position unchanged when it is not whole.
fn read_frame(file: &mut BufReader<File>) -> io::Result<Option<frame::Frame>> {
    let before = file.stream_position()?;
    let found = frame::read(file)?;
    if found.is_none() {
        file.seek(SeekFrom::Start(before))?;
    }
    Ok(found)
}

fn read_json(file: &mut BufReader<File>) -> io::Result<Option<Line>> {
    loop {
        let before = file.stream_position()?;
        let mut text = Vec::new();
        file.by_ref().take(1 << 20).read_until(b'\n', &mut text)?;
        if !text.ends_with(b"\n") {
            file.seek(SeekFrom::Start(before))?;
            return Ok(None);
        }
        if let Some((stream, time, bytes)) = json::decode(&text) {
            return Ok(Some(Line {
                stream,
                time,
                bytes,
            }));
        }
    }
}

/// The log files, oldest first. The newest is opened first: a rotation meanwhile moves it to where it is seen again, and takes nothing
/// from between.
fn files(dir: &Path) -> Result<VecDeque<File>> {
    let current = dir.join("current.log");
    let older = (1..).map(|n| PathBuf::from(format!("{}.{n}", current.display())));
    let mut files: VecDeque<File> = VecDeque::new();
    let mut known = Vec::new();
    for (at, path) in std::iter::once(current.clone()).chain(older).enumerate() {
        let file = match File::open(&path) {
            Ok(file) => file,
            // Between two files of a rotation there is no current one.
            Err(e) if e.kind() == io::ErrorKind::NotFound && at == 0 => continue,
            Err(e) if e.kind() == io::ErrorKind::NotFound => break,
            Err(e) => return Err(Error::file("read", path)(e)),
        };
        let number = file.metadata().map_err(Error::file("read", path))?.ino();
        if !known.contains(&number) {
            known.push(number);
            files.push_front(file);
        }
    }
    Ok(files)
}

fn oldest(dir: &Path) -> Result<Option<BufReader<File>>> {
    Ok(files(dir)?
        .into_iter()
        .next()
        .map(|f| BufReader::with_capacity(1 << 16, f)))
}

fn watch(logs: &Path, run: &Path) -> Result<OwnedFd> {
    let fd = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)
        .map_err(|e| Error::file("watch", logs)(e.into()))?;
    let flags = inotify::WatchFlags::MODIFY
        | inotify::WatchFlags::CREATE
        | inotify::WatchFlags::MOVED_TO
        | inotify::WatchFlags::DELETE_SELF;
    for dir in [logs, run] {
        // Not there yet: the time limit of the wait covers it.
        let _ = inotify::add_watch(&fd, dir, flags);
    }
    Ok(fd)
}
