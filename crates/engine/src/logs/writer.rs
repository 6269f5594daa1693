//! The monitor's side of a log: one `writev(2)` per chunk of output, rotation by rename.

use super::{Settings, Stream, frame, json};
use crate::error::{Error, Result};
use crate::timestamp::Timestamp;
use model::log::LogDriver;
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, IoSlice, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Docker cuts longer lines into parts of this size.
const JSON_LINE_MAX: usize = 16 * 1024;

/// Appends output to a container's log.
#[derive(Debug)]
pub struct Writer {
    settings: Settings,
    path: PathBuf,
    /// `None` with the driver `none`, and with `local` until there is something to write: many containers say nothing.
    file: Option<File>,
    written: u64,
    /// Unfinished lines, by stream (only `json-file` keeps lines whole).
    partial: [Vec<u8>; 2],
}

impl Writer {
    pub fn open(dir: &Path, settings: Settings) -> Result<Self> {
        let path = dir.join("current.log");
        let mut writer = Self {
            settings,
            path,
            file: None,
            written: 0,
            partial: Default::default(),
        };
        let at_once = match settings.driver {
            LogDriver::None => false,
            // Log shippers look for it by its path.
            LogDriver::JsonFile => true,
            LogDriver::Local => writer.path.exists(),
        };
        if at_once {
            writer.begin().map_err(Error::file("open", &writer.path))?;
        }
        Ok(writer)
    }

    fn begin(&mut self) -> io::Result<()> {
        super::make_directory(self.path.parent().unwrap_or(Path::new("/")))?;
        self.reopen()
    }

    fn reopen(&mut self) -> io::Result<()> {
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&self.path)?;
        self.written = file.metadata()?.len();
        // A rotation counts on from the file before; without one it is the first.
        let number = self.file.as_ref().map_or(Some(0), |before| {
            super::number(before).map(|number| number + 1)
        });
        if let Some(number) =
            number.filter(|_| self.written == 0 && self.settings.max_size.is_some())
        {
            super::set_number(&file, number);
        }
        self.file = Some(file);
        Ok(())
    }

    /// Cuts off what a writer before us left unfinished when it was killed: behind half a frame nothing could be read.
    pub fn repair(&mut self) -> io::Result<()> {
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        if self.settings.driver == LogDriver::JsonFile {
            // Half a line is passed over by readers, if it is a line of its own.
            if self.written > 0 && !ends_a_line(&self.path, self.written)? {
                file.write_all(b"\n")?;
                self.written += 1;
            }
            return Ok(());
        }
        let whole = frame::whole(&mut BufReader::new(File::open(&self.path)?))?;
        file.set_len(whole)?;
        self.written = whole;
        Ok(())
    }

    /// Takes what one `read` gave. An error (a full disk) loses these bytes, never the container.
    pub fn write(&mut self, stream: Stream, bytes: &[u8]) -> io::Result<()> {
        match self.settings.driver {
            LogDriver::None => Ok(()),
            LogDriver::Local => {
                if self.file.is_none() {
                    self.begin()?;
                }
                self.write_frame(stream, bytes)
            }
            LogDriver::JsonFile => self.write_json(stream, bytes),
        }
    }

    fn write_frame(&mut self, stream: Stream, bytes: &[u8]) -> io::Result<()> {
        self.rotate_if_full(bytes.len())?;
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        let len = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        let header = frame::header(stream, Timestamp::now().0, len);
        let total = header.len() + bytes.len();
        let put = (|| {
            let done = file.write_vectored(&[IoSlice::new(&header), IoSlice::new(bytes)])?;
            if done < total {
                // Rare (a signal, a nearly full disk); the rest follows in order since we are the only writer.
                let rest = [&header[..], bytes].concat();
                file.write_all(&rest[done..])?;
            }
            Ok(())
        })();
        match put {
            Ok(()) => self.written += total as u64,
            // A full disk: the frame is lost whole.
            Err(_) => file.set_len(self.written)?,
        }
        put
    }

    fn write_json(&mut self, stream: Stream, bytes: &[u8]) -> io::Result<()> {
        let index = usize::from(stream == Stream::Stderr);
        let mut pending = std::mem::take(&mut self.partial[index]);
        pending.extend_from_slice(bytes);
        let now = Timestamp::now();
        let mut out = Vec::with_capacity(pending.len() + 128);
        let mut rest = &pending[..];
        loop {
            let newline = rest.iter().take(JSON_LINE_MAX).position(|b| *b == b'\n');
            let end = match newline {
                Some(at) => at + 1,
                None if rest.len() >= JSON_LINE_MAX => JSON_LINE_MAX,
                None => break,
            };
            json::encode(stream, now, &rest[..end], &mut out);
            rest = &rest[end..];
            // In pieces, so that no file passes its size by the length of a whole read.
            if out.len() >= JSON_LINE_MAX {
                self.write_lines(&out)?;
                out.clear();
            }
        }
        self.partial[index] = rest.to_vec();
        self.write_lines(&out)
    }

    fn write_lines(&mut self, lines: &[u8]) -> io::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        self.rotate_if_full(lines.len())?;
        if let Some(file) = &mut self.file {
            file.write_all(lines)?;
            self.written += lines.len() as u64;
        }
        Ok(())
    }

    /// Writes lines that never got their end; called when the container has exited.
    pub fn finish(&mut self) -> io::Result<()> {
        let mut out = Vec::new();
        for (index, stream) in [Stream::Stdout, Stream::Stderr].into_iter().enumerate() {
            let rest = std::mem::take(&mut self.partial[index]);
            if !rest.is_empty() {
                json::encode(stream, Timestamp::now(), &rest, &mut out);
            }
        }
        self.write_lines(&out)
    }

    fn rotate_if_full(&mut self, coming: usize) -> io::Result<()> {
        let Some(max) = self.settings.max_size else {
            return Ok(());
        };
        if self.written == 0 || self.written + coming as u64 <= max {
            return Ok(());
        }
        let older = |n: u32| PathBuf::from(format!("{}.{n}", self.path.display()));
        if self.settings.max_file > 1 {
            // Not by a rename over it: ext4 would first write out the file that takes its place (auto_da_alloc).
            let _ = std::fs::remove_file(older(self.settings.max_file - 1));
            for n in (1..self.settings.max_file - 1).rev() {
                let _ = std::fs::rename(older(n), older(n + 1));
            }
            std::fs::rename(&self.path, older(1))?;
        } else {
            std::fs::remove_file(&self.path)?;
        }
        self.reopen()
    }
}

fn ends_a_line(path: &Path, length: u64) -> io::Result<bool> {
    let mut last = [0];
    File::open(path)?.read_exact_at(&mut last, length.saturating_sub(1))?;
    Ok(last == *b"\n")
}
