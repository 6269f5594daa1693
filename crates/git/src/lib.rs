//! Git without a git program: one commit of a repository, fetched over HTTP(S), `git://` or the user's ssh and written into a directory.
//!
//! [`Location`] reads what users write (`https://host/repo.git#ref:directory`), [`fetch`] brings one commit with its trees and
//! files and no history (`remote`, `packet`, `transport`), everything in it is checked (`pack`, `object`), and it is written
//! beneath a handle (`checkout`), with `.git` beside it where that is asked for (`repository`).
//! Attributes (`.gitattributes`: line ends, filters, LFS) are not applied.
//! Source: Git's `gitprotocol-v2`, `gitprotocol-http`, `gitformat-pack`, `gitformat-index`; the URLs are BuildKit's.

mod checkout;
mod delta;
mod error;
mod location;
mod object;
mod pack;
mod packet;
mod remote;
mod repository;
mod ssh;
mod submodule;
mod transport;

pub use error::Error;
pub use image::RegistryOptions;
pub use location::{BadLocation, Location};
pub use object::Id;

use object::{Hash, Kind};
use pack::Pack;
use remote::Remote;
use std::fs::File;
use std::os::fd::BorrowedFd;

/// How repositories are reached, and as whom.
#[derive(Debug, Clone, Default)]
pub struct Access {
    pub network: RegistryOptions,
    /// BuildKit's secret `GIT_AUTH_TOKEN`: a password, sent as that of `x-access-token`.
    pub token: Option<String>,
    /// BuildKit's secret `GIT_AUTH_HEADER`: a whole `Authorization`.
    pub header: Option<String>,
    pub ssh: SshUse,
}

/// Whether the user's ssh may be run, with the user's keys: not for what others have written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SshUse {
    Allowed,
    #[default]
    Refused,
}

/// What is left in the directory besides the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GitDir {
    Dropped,
    /// `.git` with the one commit, so that a git program says which it is.
    Kept,
}

/// What was fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    pub commit: Id,
}

/// The commit that `location` stands for now, without fetching it.
pub fn resolve(location: &Location, access: &Access) -> Result<Id, Error> {
    let mut remote = Remote::open(location, access)?;
    let found = remote.find(location.reference.as_deref())?;
    Ok(found.peeled.unwrap_or(found.id))
}

/// Fetches what `location` names and writes it into a directory, which is empty.
pub fn fetch(
    location: &Location,
    access: &Access,
    into: BorrowedFd<'_>,
    keep: GitDir,
) -> Result<Fetched, Error> {
    let keep = match location.keep_git_dir {
        Some(true) => GitDir::Kept,
        Some(false) => GitDir::Dropped,
        None => keep,
    };
    let mut submodules = submodule::Budget::new(location.submodules != Some(false));
    fetch_into(location, access, into, keep, &mut submodules)
}

/// Writes the files of the first commit that a pack has, as [`fetch`] does with what a server sent; how many. For the fuzz target.
pub fn unpack(pack: File, into: BorrowedFd<'_>) -> Result<usize, Error> {
    let pack = Pack::open(pack, Hash::Sha1)?;
    let mut commits = pack.ids().filter(|(_, kind)| *kind == Kind::Commit);
    let (commit, _) = commits.next().ok_or(Error::Pack("it has no commit"))?;
    let (tree, time) = object::commit(&pack.read(commit, Kind::Commit)?)?;
    Ok(checkout::write(&pack, &tree, time, into)?.files.len())
}

fn fetch_into(
    location: &Location,
    access: &Access,
    into: BorrowedFd<'_>,
    keep: GitDir,
    submodules: &mut submodule::Budget,
) -> Result<Fetched, Error> {
    let mut remote = Remote::open(location, access)?;
    let found = remote.find(location.reference.as_deref())?;
    let pack = remote.pack(&found.id, into)?;
    let commit = pack.peel(&found.id)?;
    location.verify(&commit, &found.id)?;
    let (tree, time) = object::commit(&pack.read(&commit, Kind::Commit)?)?;
    let written = checkout::write(&pack, &tree, time, into)?;
    if keep == GitDir::Kept {
        repository::write(&pack, location, &found, &commit, &written, into)?;
    }
    submodule::fetch(location, access, &written, into, submodules)?;
    Ok(Fetched { commit })
}
