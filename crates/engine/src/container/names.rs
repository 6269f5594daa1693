//! Names: reserved by making a symbolic link `<run>/names/<name>` → id, which only one process can.
//!
//! The links die with the boot. The first command after it makes them again from the containers' records, in a directory that is
//! seen when all are there.

use super::record::ContainerRecord;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::trash;
use model::id::Id;
use state::lookup::{Found, find};
use std::fs::DirBuilder;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use sys::lock::FileLock;

/// Docker's rule: `[a-zA-Z0-9][a-zA-Z0-9_.-]+`.
pub fn is_valid(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphanumeric())
        && name.len() > 1
        && name.len() <= 255
        && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

/// Makes the links of all containers, where nobody has done so since the boot.
pub(crate) fn restore(ctx: &Context) -> Result<()> {
    let names = ctx.layout.names();
    if names.is_dir() {
        return Ok(());
    }
    let staging = ctx.layout.run_trash().join(trash::unique("names"));
    DirBuilder::new()
        .mode(0o700)
        .create(&staging)
        .map_err(Error::file("create", &staging))?;
    for id in super::record::ids(ctx)? {
        // A damaged record is told by whoever asks for that container.
        let Ok(Some(container)) = ContainerRecord::load(ctx, &id) else {
            continue;
        };
        let path = staging.join(&container.name);
        match std::os::unix::fs::symlink(container.id.as_str(), &path) {
            Err(e) if e.kind() != ErrorKind::AlreadyExists => {
                return Err(Error::file("reserve", path)(e));
            }
            _ => {}
        }
    }
    match std::fs::rename(&staging, &names) {
        // Another command was faster.
        Err(_) if names.is_dir() => {
            let _ = std::fs::remove_dir_all(&staging);
            Ok(())
        }
        other => other.map_err(Error::file("create", names)),
    }
}

fn link(ctx: &Context, name: &str) -> PathBuf {
    ctx.layout.names().join(name)
}

/// The id that holds a name.
pub fn holder(ctx: &Context, name: &str) -> Option<String> {
    if !is_valid(name) {
        return None;
    }
    let target = std::fs::read_link(link(ctx, name)).ok()?;
    target.to_str().map(str::to_owned)
}

/// A reserved name; given back on drop unless kept.
#[derive(Debug)]
pub struct Reservation {
    path: PathBuf,
    kept: bool,
}

impl Reservation {
    pub fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if !self.kept {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Reserves a name for an id, whose lock the caller holds until the container is there. A name whose holder does
/// not exist (killed in the middle of a create or rm) is taken over.
pub fn reserve(ctx: &Context, name: &str, id: &Id) -> Result<Reservation> {
    if !is_valid(name) {
        return Err(Error::BadName(name.to_owned()));
    }
    let path = link(ctx, name);
    loop {
        match std::os::unix::fs::symlink(id.as_str(), &path) {
            Ok(()) => return Ok(Reservation { path, kept: false }),
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            Err(e) => return Err(Error::file("reserve", path)(e)),
        }
        let Some(holder) = holder(ctx, name) else {
            continue;
        };
        if !release_dead(ctx, name, &holder)? {
            return Err(Error::NameInUse {
                name: name.to_owned(),
                holder,
            });
        }
    }
}

/// Gives a name back whose holder neither exists nor is being made.
pub(crate) fn release_dead(ctx: &Context, name: &str, id: &str) -> Result<bool> {
    let path = ctx.layout.lock("container", id);
    let Some(_lock) = FileLock::try_exclusive(&path).map_err(Error::file("lock", &path))? else {
        return Ok(false);
    };
    if ctx.layout.container(id).exists() {
        return Ok(false);
    }
    // Looked up again under the lock, which everybody who takes it from this holder needs.
    release(ctx, name, id);
    let _ = std::fs::remove_file(&path);
    Ok(true)
}

pub fn release(ctx: &Context, name: &str, id: &str) {
    if holder(ctx, name).as_deref() == Some(id) {
        let _ = std::fs::remove_file(link(ctx, name));
    }
}

/// A name nobody chose: two words, as Docker's, and a number when they are taken.
pub fn reserve_generated(ctx: &Context, id: &Id) -> Result<(String, Reservation)> {
    let mut round = 0u32;
    loop {
        let [a, b, c, d] = crate::random_bytes::<4>();
        let left = LEFT[usize::from(u16::from_be_bytes([a, b])) % LEFT.len()];
        let right = RIGHT[usize::from(u16::from_be_bytes([c, d])) % RIGHT.len()];
        let name = if round == 0 {
            format!("{left}_{right}")
        } else {
            format!("{left}_{right}{round}")
        };
        match reserve(ctx, &name, id) {
            Ok(reservation) => return Ok((name, reservation)),
            Err(Error::NameInUse { .. }) => round += 1,
            Err(e) => return Err(e),
        }
    }
}

/// Finds a container by id, name, or unique prefix of an id.
/// One that runs without its monitor gets a new one.
pub fn resolve(ctx: &Context, wanted: &str) -> Result<ContainerRecord> {
    let container = look_up(ctx, wanted)?;
    super::launch::ensure_monitor(ctx, &container);
    Ok(container)
}

fn look_up(ctx: &Context, wanted: &str) -> Result<ContainerRecord> {
    let wanted = wanted.strip_prefix('/').unwrap_or(wanted);
    let missing = || Error::NoSuchContainer(wanted.to_owned());
    if wanted.is_empty() {
        return Err(missing());
    }
    if let Some(id) = holder(ctx, wanted)
        && let Some(record) = ContainerRecord::load(ctx, &id)?
    {
        return Ok(record);
    }
    if wanted.len() == 64 && wanted.parse::<Id>().is_ok() {
        return ContainerRecord::load(ctx, wanted)?.ok_or_else(missing);
    }
    let ids = super::record::ids(ctx)?;
    match find(wanted, ids.iter().map(|id| (id.as_str(), "", id))) {
        Found::One(id) => ContainerRecord::load(ctx, id)?.ok_or_else(missing),
        Found::None => Err(missing()),
        Found::Ambiguous => Err(Error::Ambiguous {
            what: "container id",
            prefix: wanted.to_owned(),
        }),
    }
}

const LEFT: [&str; 48] = [
    "able", "agile", "amber", "apt", "bold", "brave", "brisk", "calm", "clear", "clever", "cosy",
    "crisp", "deft", "eager", "early", "easy", "fair", "fast", "fine", "firm", "fond", "frank",
    "fresh", "glad", "good", "grand", "happy", "hardy", "jolly", "keen", "kind", "light", "lively",
    "lucid", "merry", "mild", "neat", "nimble", "plain", "proud", "quick", "quiet", "ready",
    "sharp", "steady", "swift", "warm", "wise",
];

const RIGHT: [&str; 48] = [
    "anning",
    "babbage",
    "banach",
    "bell",
    "bohr",
    "boole",
    "cantor",
    "carson",
    "church",
    "curie",
    "darwin",
    "dijkstra",
    "euler",
    "faraday",
    "fermi",
    "galileo",
    "gauss",
    "goodall",
    "hamilton",
    "hopper",
    "hypatia",
    "joliot",
    "kepler",
    "knuth",
    "lamarr",
    "lovelace",
    "maxwell",
    "meitner",
    "mendel",
    "mirzakhani",
    "morse",
    "newton",
    "noether",
    "pascal",
    "pasteur",
    "perlman",
    "ramanujan",
    "ride",
    "ritchie",
    "sagan",
    "shannon",
    "swartz",
    "tesla",
    "thompson",
    "torvalds",
    "turing",
    "volta",
    "wozniak",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{container, context};
    use model::container::ContainerSpec;

    #[test]
    fn names_outlive_the_run_root() {
        let (_dir, ctx) = context();
        let web = container(&ctx, "web", ContainerSpec::default());
        std::fs::remove_dir_all(ctx.layout.run_root()).unwrap();
        ctx.layout.prepare().unwrap();
        assert_eq!(holder(&ctx, "web"), None);
        restore(&ctx).unwrap();
        assert_eq!(holder(&ctx, "web").as_deref(), Some(web.id.as_str()));
        let other = reserve(&ctx, "other", &web.id).unwrap();
        restore(&ctx).unwrap();
        assert!(holder(&ctx, "other").is_some(), "made once");
        drop(other);
    }

    #[test]
    fn names_follow_dockers_rule() {
        for good in ["web", "web-1", "a.b_c", "0x"] {
            assert!(is_valid(good), "{good}");
        }
        for bad in ["", "a", "-web", ".web", "we b", "web/1", "..", "wéb"] {
            assert!(!is_valid(bad), "{bad}");
        }
    }
}
