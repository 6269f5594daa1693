//! One repository elsewhere: what it can do, which object a name stands for, and the pack of one commit.
//! Source: `gitprotocol-v2`.

use crate::error::Error;
use crate::location::{Location, is_whole_id};
use crate::object::{Hash, Id};
use crate::pack::Pack;
use crate::packet::{self, Packet};
use crate::transport::Transport;
use crate::{Access, checkout};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::BorrowedFd;

/// Names a server may send in one answer. Only those asked for come, unless it is broken.
const MAX_NAMES: usize = 1_000_000;
/// Bytes of a pack.
const MAX_PACK: u64 = 16 << 30;

pub(crate) struct Remote<'a> {
    transport: Transport<'a>,
    url: String,
    hash: Hash,
    names_format: bool,
    shallow: bool,
}

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) id: Id,
    /// The commit of an annotated tag.
    pub(crate) peeled: Option<Id>,
    /// `refs/…`; `None`: a commit was named.
    pub(crate) name: Option<String>,
}

impl<'a> Remote<'a> {
    pub(crate) fn open(location: &Location, access: &'a Access) -> Result<Self, Error> {
        let (transport, mut stream) = Transport::open(location, access)?;
        let mut remote = Self {
            transport,
            url: location.url(),
            hash: Hash::Sha1,
            names_format: false,
            shallow: false,
        };
        let lines = remote.lines(&mut *stream)?;
        if lines.first().map(String::as_str) != Some("version 2") {
            return Err(Error::OldProtocol { url: remote.url });
        }
        for line in &lines[1..] {
            match line.split_once('=') {
                Some(("object-format", format)) => {
                    remote.hash = match format {
                        "sha1" => Hash::Sha1,
                        "sha256" => Hash::Sha256,
                        other => {
                            let what = format!("that its objects are named by {other}");
                            let url = remote.url;
                            return Err(Error::NoRepository { url, what });
                        }
                    };
                    remote.names_format = true;
                }
                Some(("fetch", features)) => {
                    remote.shallow = features.split(' ').any(|feature| feature == "shallow");
                }
                _ => {}
            }
        }
        Ok(remote)
    }

    /// The object a branch, tag or commit stands for; `None`: the default branch.
    pub(crate) fn find(&mut self, reference: Option<&str>) -> Result<Found, Error> {
        let reference = reference.unwrap_or("HEAD");
        if is_whole_id(reference) {
            let id = self.id(reference)?;
            return Ok(Found {
                id,
                peeled: None,
                name: None,
            });
        }
        // The order in which git itself looks.
        let candidates =
            ["", "refs/", "refs/tags/", "refs/heads/"].map(|prefix| format!("{prefix}{reference}"));
        let mut body = self.head("ls-refs");
        packet::write(&mut body, "peel");
        for candidate in &candidates {
            packet::write(&mut body, &format!("ref-prefix {candidate}"));
        }
        body.extend_from_slice(packet::FLUSH);
        let mut answer = self.transport.command(&self.url, &body)?;
        let lines = self.lines(&mut *answer)?;
        for candidate in &candidates {
            for line in &lines {
                let mut words = line.split(' ');
                let (Some(id), Some(name)) = (words.next(), words.next()) else {
                    continue;
                };
                if name != candidate || id == "unborn" {
                    continue;
                }
                let peeled = words.find_map(|word| word.strip_prefix("peeled:"));
                return Ok(Found {
                    id: self.id(id)?,
                    peeled: peeled.map(|id| self.id(id)).transpose()?,
                    name: Some(name.to_owned()),
                });
            }
        }
        Err(Error::NoReference {
            url: self.url.clone(),
            reference: reference.to_owned(),
        })
    }

    /// The pack of one commit without its history, in a file without a name.
    pub(crate) fn pack(&mut self, id: &Id, beside: BorrowedFd<'_>) -> Result<Pack, Error> {
        let mut body = self.head("fetch");
        packet::write(&mut body, "ofs-delta");
        packet::write(&mut body, "no-progress");
        if self.shallow {
            packet::write(&mut body, "deepen 1");
        }
        packet::write(&mut body, &format!("want {id}"));
        packet::write(&mut body, "done");
        body.extend_from_slice(packet::FLUSH);
        let mut answer = self.transport.command(&self.url, &body)?;
        self.seek_packfile(&mut *answer)?;
        let mut file = checkout::scratch(beside)?;
        self.demultiplex(&mut *answer, &mut file)?;
        Pack::open(file, self.hash)
    }

    /// Reads up to the section with the pack.
    fn seek_packfile(&self, stream: &mut dyn Read) -> Result<(), Error> {
        for _ in 0..MAX_NAMES {
            match packet::read(stream).map_err(self.broken())? {
                Packet::Line(line) => match packet::text(&line).as_str() {
                    "packfile" => return Ok(()),
                    text => self.refused(text)?,
                },
                Packet::Delimiter => {}
                Packet::Flush | Packet::End => break,
            }
        }
        Err(self.refusal("it sent no pack"))
    }

    /// Writes what belongs to the pack into the file.
    fn demultiplex(&self, stream: &mut dyn Read, file: &mut File) -> Result<(), Error> {
        let mut size = 0u64;
        loop {
            let Packet::Line(line) = packet::read(stream).map_err(self.broken())? else {
                return Ok(());
            };
            match line.split_first() {
                Some((1, data)) => {
                    size += data.len() as u64;
                    if size > MAX_PACK {
                        return Err(Error::TooLarge("its pack has more than 16 GiB"));
                    }
                    file.write_all(data)
                        .map_err(Error::file("write", "the pack"))?;
                }
                Some((2, _)) => {}
                Some((3, message)) => {
                    return Err(self.refusal(packet::text(message).trim()));
                }
                _ => {
                    self.refused(&packet::text(&line))?;
                    return Err(self.refusal("what it sent is no pack"));
                }
            }
        }
    }

    /// The lines up to the next flush.
    fn lines(&self, stream: &mut dyn Read) -> Result<Vec<String>, Error> {
        let mut lines = Vec::new();
        while let Packet::Line(line) = packet::read(stream).map_err(self.broken())? {
            let text = packet::text(&line);
            self.refused(&text)?;
            lines.push(text);
            if lines.len() > MAX_NAMES {
                return Err(Error::TooLarge("it has more than a million names"));
            }
        }
        Ok(lines)
    }

    fn refused(&self, line: &str) -> Result<(), Error> {
        match line.strip_prefix("ERR ") {
            Some(message) => Err(self.refusal(message.trim())),
            None => Ok(()),
        }
    }

    fn refusal(&self, message: &str) -> Error {
        let plain = |c: &char| !c.is_control();
        Error::Refused {
            url: self.url.clone(),
            message: message.chars().filter(plain).take(500).collect(),
        }
    }

    fn broken(&self) -> impl Fn(io::Error) -> Error {
        let url = self.url.clone();
        move |source| Error::Broken {
            url: url.clone(),
            source,
        }
    }

    fn id(&self, text: &str) -> Result<Id, Error> {
        Id::parse(text, self.hash)
            .ok_or_else(|| self.refusal(&format!("{text:?} names no object there")))
    }

    /// A command up to its arguments.
    fn head(&self, command: &str) -> Vec<u8> {
        let mut body = Vec::new();
        packet::write(&mut body, &format!("command={command}"));
        packet::write(
            &mut body,
            &format!("agent=dockless/{}", env!("CARGO_PKG_VERSION")),
        );
        if self.names_format {
            let format = match self.hash {
                Hash::Sha1 => "sha1",
                Hash::Sha256 => "sha256",
            };
            packet::write(&mut body, &format!("object-format={format}"));
        }
        body.extend_from_slice(packet::DELIMITER);
        body
    }
}
