//! `.git` for one commit: its objects as loose files, the names that lead to it, and an index, so that `git status` finds nothing
//! changed and `git describe` and `git rev-parse` say where it is.
//! Source: `gitrepository-layout`, `gitformat-index` (version 2).

use crate::checkout::{Written, directory_at};
use crate::error::Error;
use crate::location::Location;
use crate::object::{Hash, Id, Kind, Mode};
use crate::pack::Pack;
use crate::remote::Found;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use rustix::fs::OFlags;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

pub(crate) fn write(
    pack: &Pack,
    location: &Location,
    found: &Found,
    commit: &Id,
    written: &Written,
    into: BorrowedFd<'_>,
) -> Result<(), Error> {
    let git = Directory::make(into, ".git")?;
    let objects = git.directory("objects")?;
    objects.directory("info")?;
    objects.directory("pack")?;
    let mut fans: BTreeMap<String, Directory> = BTreeMap::new();
    for (id, kind) in pack.ids() {
        let name = id.to_string();
        let (fan, rest) = name.split_at(2);
        if !fans.contains_key(fan) {
            fans.insert(fan.to_owned(), objects.directory(fan)?);
        }
        if let Some(directory) = fans.get(fan) {
            loose(pack, id, kind, directory, rest)?;
        }
    }
    let refs = git.directory("refs")?;
    refs.directory("heads")?;
    refs.directory("tags")?;
    git.file("HEAD", format!("{commit}\n").as_bytes())?;
    git.file("shallow", format!("{commit}\n").as_bytes())?;
    git.file("config", config(location, pack.hash()).as_bytes())?;
    // Names with their slashes go into one file, and so make no directories.
    if let Some(name) = found.name.as_deref().and_then(tracking) {
        let mut packed = format!(
            "# pack-refs with: peeled fully-peeled sorted \n{} {name}\n",
            found.id
        );
        if found.id != *commit {
            packed += &format!("^{commit}\n");
        }
        git.file("packed-refs", packed.as_bytes())?;
    }
    git.file("index", &index(written, pack.hash()))
}

/// Where a fetch keeps a name.
fn tracking(name: &str) -> Option<String> {
    if name.starts_with("refs/tags/") {
        return Some(name.to_owned());
    }
    let branch = name.strip_prefix("refs/heads/")?;
    Some(format!("refs/remotes/origin/{branch}"))
}

fn config(location: &Location, hash: Hash) -> String {
    let (version, extensions) = match hash {
        Hash::Sha1 => (0, ""),
        Hash::Sha256 => (1, "[extensions]\n\tobjectformat = sha256\n"),
    };
    // Without user and password: the directory may end in an image.
    let url = location.url().replace('\\', "\\\\").replace('"', "\\\"");
    format!(
        "[core]\n\trepositoryformatversion = {version}\n\tfilemode = true\n\tbare = false\n{extensions}[remote \"origin\"]\n\t\
         url = \"{url}\"\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n"
    )
}

fn loose(pack: &Pack, id: &Id, kind: Kind, directory: &Directory, name: &str) -> Result<(), Error> {
    let failed = || Error::file("write", format!(".git/objects/…/{name}"));
    let content = pack.read(id, kind)?;
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder
        .write_all(kind.header(content.len() as u64).as_bytes())
        .and_then(|()| encoder.write_all(&content))
        .map_err(failed())?;
    directory.file(name, &encoder.finish().map_err(failed())?)
}

/// Without what `stat` says of the files: git looks at their content then, once.
fn index(written: &Written, hash: Hash) -> Vec<u8> {
    let mut entries: BTreeMap<&[u8], (u32, &Id, u64)> = BTreeMap::new();
    for (path, mode, id, size) in &written.files {
        let mode = match mode {
            Mode::Executable => 0o100_755,
            Mode::Link => 0o120_000,
            _ => 0o100_644,
        };
        entries.insert(path.as_os_str().as_bytes(), (mode, id, *size));
    }
    for (path, id) in &written.submodules {
        entries.insert(path.as_os_str().as_bytes(), (0o160_000, id, 0));
    }
    let mut out = [
        &b"DIRC\0\0\0\x02"[..],
        &(entries.len() as u32).to_be_bytes(),
    ]
    .concat();
    for (path, (mode, id, size)) in entries {
        let start = out.len();
        out.extend_from_slice(&[0; 24]);
        out.extend_from_slice(&mode.to_be_bytes());
        out.extend_from_slice(&[0; 8]);
        out.extend_from_slice(&(size as u32).to_be_bytes());
        out.extend_from_slice(id.bytes());
        out.extend_from_slice(&(path.len().min(0xfff) as u16).to_be_bytes());
        out.extend_from_slice(path);
        // At least one, up to a multiple of eight.
        let padding = 8 - (out.len() - start) % 8;
        out.resize(out.len() + padding, 0);
    }
    let mut hasher = hash.hasher();
    hasher.update(&out);
    out.extend_from_slice(hasher.finish().bytes());
    out
}

struct Directory(OwnedFd);

impl Directory {
    fn make(parent: BorrowedFd<'_>, name: &str) -> Result<Self, Error> {
        directory_at(parent, OsStr::new(name), Path::new(name)).map(Self)
    }

    fn directory(&self, name: &str) -> Result<Self, Error> {
        Self::make(self.0.as_fd(), name)
    }

    fn file(&self, name: &str, content: &[u8]) -> Result<(), Error> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let file = rustix::fs::openat(&self.0, name, flags | OFlags::CLOEXEC, 0o644.into());
        let file = file.map_err(|errno| Error::file("make", name)(errno.into()))?;
        File::from(file)
            .write_all(content)
            .map_err(Error::file("write", name))
    }
}
