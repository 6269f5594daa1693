//! The hook that has the host's init call `dockless boot`: which init it is ([`detect`]), what that one needs ([`scripts`]),
//! and putting it there, taking it away or looking for it. What is to be there is data ([`Hook`]); nothing is executed.

mod detect;
mod scripts;
#[cfg(test)]
mod tests;

pub use detect::{Running, detect};
pub use scripts::hook;

use crate::error::{Error, Result};
use ::state::Durability;
use ::state::record::write_bytes;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The inits that are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Init {
    Systemd,
    OpenRc,
    Sysvinit,
    Runit,
    S6,
    Dinit,
    Procd,
    /// BusyBox's own, with `/etc/inittab`.
    Busybox,
}

impl Init {
    pub const ALL: [Self; 8] = [
        Self::Systemd,
        Self::OpenRc,
        Self::Sysvinit,
        Self::Runit,
        Self::S6,
        Self::Dinit,
        Self::Procd,
        Self::Busybox,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Systemd => "systemd",
            Self::OpenRc => "openrc",
            Self::Sysvinit => "sysvinit",
            Self::Runit => "runit",
            Self::S6 => "s6",
            Self::Dinit => "dinit",
            Self::Procd => "procd",
            Self::Busybox => "busybox",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|init| init.name().eq_ignore_ascii_case(name))
    }
}

/// What makes an init call us, by paths from the root of the host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hook {
    pub files: Vec<File>,
    /// Place and target of symbolic links.
    pub links: Vec<(String, String)>,
    /// A file of the host's that gets lines of ours at its end.
    pub lines: Option<(String, String)>,
    /// What is left to the user.
    pub then: Option<&'static str>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    pub path: String,
    pub text: String,
    pub mode: u32,
}

/// How much of a hook is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    Absent,
    /// Some of it, or with other texts: of another version, or of a binary that lay elsewhere.
    Outdated,
    Present,
}

impl Hook {
    /// Puts it there, files before the links that make them count. Done again it changes nothing. Gives the paths.
    pub fn install(&self, root: &Path) -> Result<Vec<PathBuf>> {
        let mut placed = Vec::new();
        for file in &self.files {
            let path = below(root, &file.path);
            make_parent(&path)?;
            write(&path, file.text.as_bytes(), file.mode)?;
            placed.push(path);
        }
        for (place, target) in &self.links {
            let path = below(root, place);
            make_parent(&path)?;
            if !points_at(&path, target) {
                remove(&path)?;
                std::os::unix::fs::symlink(target, &path).map_err(Error::file("create", &path))?;
            }
            placed.push(path);
        }
        if let Some((file, lines)) = &self.lines {
            let path = below(root, file);
            let text = read(&path)?.unwrap_or_default();
            let wanted = format!("{}{lines}", ended(&without(&text, lines)));
            if text != wanted {
                write(&path, wanted.as_bytes(), mode_of(&path))?;
            }
            placed.push(path);
        }
        Ok(placed)
    }

    /// Takes it away, links first; `false` when nothing of it was there. The host's own directories stay.
    pub fn remove(&self, root: &Path) -> Result<bool> {
        let mut found = false;
        for (place, _) in &self.links {
            found |= remove(&below(root, place))?;
        }
        for file in self.files.iter().rev() {
            found |= remove(&below(root, &file.path))?;
            // A directory that was made for the file alone goes with it.
            if file.path.contains("/dockless/")
                && let Some(parent) = below(root, &file.path).parent()
            {
                let _ = std::fs::remove_dir(parent);
            }
        }
        if let Some((file, lines)) = &self.lines {
            let path = below(root, file);
            let text = read(&path)?.unwrap_or_default();
            let rest = without(&text, lines);
            if rest != text {
                write(&path, rest.as_bytes(), mode_of(&path))?;
                found = true;
            }
        }
        Ok(found)
    }

    pub fn presence(&self, root: &Path) -> Result<Presence> {
        let (mut there, mut right) = (false, true);
        for file in &self.files {
            let text = read(&below(root, &file.path))?;
            there |= text.is_some();
            right &= text.is_some_and(|text| text == file.text);
        }
        for (place, target) in &self.links {
            let path = below(root, place);
            there |= path.symlink_metadata().is_ok();
            right &= points_at(&path, target);
        }
        if let Some((file, lines)) = &self.lines {
            let text = read(&below(root, file))?.unwrap_or_default();
            there |= without(&text, lines) != text;
            right &= text.contains(lines.as_str());
        }
        Ok(match (there, right) {
            (false, _) => Presence::Absent,
            (true, true) => Presence::Present,
            (true, false) => Presence::Outdated,
        })
    }
}

fn below(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

fn points_at(path: &Path, target: &str) -> bool {
    std::fs::read_link(path).is_ok_and(|found| found == Path::new(target))
}

fn make_parent(path: &Path) -> Result<()> {
    match path.parent() {
        Some(dir) => std::fs::create_dir_all(dir).map_err(Error::file("create", dir)),
        None => Ok(()),
    }
}

/// The new text has the name in one step: a power cut leaves the old one or the new one.
fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let failed = || Error::file("write", path);
    if std::fs::read(path).is_ok_and(|have| have == bytes) && mode_of(path) == mode {
        return Ok(());
    }
    write_bytes(path, bytes, Durability::Durable).map_err(failed())?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map_err(failed())
}

fn mode_of(path: &Path) -> u32 {
    path.metadata()
        .map_or(0o644, |meta| meta.permissions().mode() & 0o7777)
}

fn read(path: &Path) -> Result<Option<String>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(e) => Err(Error::file("read", path)(e)),
    }
}

fn remove(path: &Path) -> Result<bool> {
    match std::fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(false),
        Err(e) => Err(Error::file("remove", path)(e)),
    }
}

/// A text without the lines of ours: the comment that opens them, which is always the same, and the one below it.
fn without(text: &str, lines: &str) -> String {
    let mark = lines.lines().next().unwrap_or_default();
    let mut rest = String::with_capacity(text.len());
    let mut skip = 0;
    for line in text.split_inclusive('\n') {
        if line.trim_end() == mark {
            skip = lines.lines().count();
        }
        match skip {
            0 => rest.push_str(line),
            _ => skip -= 1,
        }
    }
    rest
}

/// Whether or not the last line was ended.
fn ended(text: &str) -> String {
    match text.is_empty() || text.ends_with('\n') {
        true => text.to_owned(),
        false => format!("{text}\n"),
    }
}
