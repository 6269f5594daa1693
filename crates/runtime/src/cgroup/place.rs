//! Where the groups of a container are: the same path in every hierarchy, and who chose it.
//!
//! The engine says parent and name. An OCI spec says `linux.cgroupsPath`: from the root of the hierarchies, whether it begins with a
//! slash or not, or nothing, which is a group of the container's id. With systemd's manager the same field reads
//! `slice:prefix:name` and becomes a scope, whose path follows from the names of the slices: `a-b.slice` lies in `a.slice`.
//! Source: runtime-spec `config-linux.md` "Cgroups Path"; systemd.slice(5); the three-part form is the one container engines pass.

use super::Error;
use serde::{Deserialize, Serialize};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Component, Path, PathBuf};
use sys::cgroupfs;

/// The parent of OCI containers whose spec names no path.
const SPEC_PARENT: &str = "dockless-oci";

/// The slice of scopes whose spec names none.
const DEFAULT_SLICE: &str = "system.slice";

/// The first part of a scope's name when the spec gives none.
const DEFAULT_PREFIX: &str = "dockless";

/// A path below the root of every hierarchy. Callers keep it in their records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    path: PathBuf,
    origin: Origin,
}

/// Who chose the path: it decides what the group shares with others and how its parents are treated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Origin {
    /// The parent is the engine's own: its containers share the default device rules, and it goes when the last has gone.
    Engine,
    /// The group may be anywhere: it must not be another's, and parents made for it are marked so that they go with it.
    Spec,
    /// systemd makes the group and everything above it.
    Systemd(Scope),
}

/// A transient unit of systemd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Scope {
    /// `machine.slice`
    pub(super) slice: String,
    /// `dockless-ID.scope`
    pub(super) unit: String,
}

impl Place {
    /// `parent/name`, for the engine.
    pub fn below(parent: &str, name: &str) -> Result<Self, Error> {
        Ok(Self {
            path: plain(Path::new(parent))?.join(check_name(name)?),
            origin: Origin::Engine,
        })
    }

    /// As `linux.cgroupsPath` of the spec says, or by the container's id.
    pub fn of_spec(cgroups_path: Option<&Path>, id: &str) -> Result<Self, Error> {
        let path = match cgroups_path.filter(|path| !path.as_os_str().is_empty()) {
            Some(path) => plain(path)?,
            None => Path::new(SPEC_PARENT).join(check_name(id)?),
        };
        Ok(Self {
            path,
            origin: Origin::Spec,
        })
    }

    /// The same for systemd: `slice:prefix:name`, `slice:name`, or nothing.
    pub fn of_systemd(cgroups_path: Option<&Path>, id: &str) -> Result<Self, Error> {
        let text = cgroups_path.map(|path| path.to_string_lossy().into_owned());
        let scope = match text.as_deref().filter(|text| !text.is_empty()) {
            Some(text) => Scope::parse(text)?,
            None => Scope::named(DEFAULT_SLICE, DEFAULT_PREFIX, check_name(id)?),
        };
        let path = slice_path(&scope.slice)?.join(check_name(&scope.unit)?);
        Ok(Self {
            path,
            origin: Origin::Systemd(scope),
        })
    }

    /// Relative: what comes after a hierarchy's root.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The unit, where systemd manages the group.
    pub fn unit(&self) -> Option<&str> {
        self.scope().map(|scope| scope.unit.as_str())
    }

    pub(super) fn scope(&self) -> Option<&Scope> {
        match &self.origin {
            Origin::Systemd(scope) => Some(scope),
            Origin::Engine | Origin::Spec => None,
        }
    }

    pub(super) fn parent(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }

    pub(super) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Whether the group may not have processes yet. A scope has one from its beginning.
    pub(super) fn must_be_unused(&self) -> bool {
        self.origin == Origin::Spec
    }

    /// Whether it came from an OCI configuration, with either manager.
    pub(super) fn is_of_spec(&self) -> bool {
        self.origin != Origin::Engine
    }
}

impl Scope {
    pub(super) fn failed(&self) -> impl FnOnce(super::systemd::Error) -> Error {
        let unit = self.unit.clone();
        |source| Error::Systemd { unit, source }
    }

    fn parse(text: &str) -> Result<Self, Error> {
        let parts: Vec<&str> = text.split(':').collect();
        let (slice, prefix, name) = match parts[..] {
            [slice, prefix, name] => (slice, prefix, name),
            [slice, name] => (slice, "", name),
            _ => {
                return Err(Error::Scope {
                    text: text.to_owned(),
                });
            }
        };
        // A slice holds units, no processes.
        if name.is_empty() || name.ends_with(".slice") {
            return Err(Error::Scope {
                text: text.to_owned(),
            });
        }
        let slice = if slice.is_empty() {
            DEFAULT_SLICE
        } else {
            slice
        };
        Ok(Self::named(slice, prefix, name))
    }

    fn named(slice: &str, prefix: &str, name: &str) -> Self {
        let unit = match (prefix, name.ends_with(".scope")) {
            (_, true) => name.to_owned(),
            ("", false) => format!("{name}.scope"),
            (prefix, false) => format!("{prefix}-{name}.scope"),
        };
        Self {
            slice: slice.to_owned(),
            unit,
        }
    }
}

/// `a-b.slice` is `a.slice/a-b.slice`, and `-.slice` the root.
fn slice_path(slice: &str) -> Result<PathBuf, Error> {
    let wrong = || Error::Slice {
        slice: slice.to_owned(),
    };
    let name = slice.strip_suffix(".slice").ok_or_else(wrong)?;
    if name == "-" {
        return Ok(PathBuf::new());
    }
    let mut path = PathBuf::new();
    let mut so_far = String::new();
    for part in name.split('-') {
        if part.is_empty() || part.contains('/') {
            return Err(wrong());
        }
        if !so_far.is_empty() {
            so_far.push('-');
        }
        so_far.push_str(part);
        path.push(format!("{so_far}.slice"));
    }
    Ok(path)
}

/// A path that stays below the hierarchy's root and names something in it.
fn plain(path: &Path) -> Result<PathBuf, Error> {
    let wrong = || Error::Name {
        name: path.display().to_string(),
    };
    let mut out = PathBuf::new();
    for component in path.components() {
        match component {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(name) => out.push(name),
            Component::ParentDir | Component::Prefix(_) => return Err(wrong()),
        }
    }
    if out.as_os_str().is_empty() {
        return Err(wrong());
    }
    Ok(out)
}

fn check_name(name: &str) -> Result<&str, Error> {
    let bad = name.is_empty() || name.contains('/') || name == "." || name == "..";
    if bad {
        Err(Error::Name {
            name: name.to_owned(),
        })
    } else {
        Ok(name)
    }
}

/// A spec's group must not be another's: limits, freezing and killing would hit both.
pub(super) fn require_empty(path: &Path, directory: BorrowedFd<'_>) -> Result<(), Error> {
    let pids = |directory: BorrowedFd<'_>| cgroupfs::pids(directory).unwrap_or_default().len();
    let below = || super::hierarchy::child_groups(path).into_iter();
    let count = pids(directory)
        + below()
            .filter_map(|child| cgroupfs::open(&child).ok())
            .map(|child| pids(child.as_fd()))
            .sum::<usize>();
    if count == 0 {
        return Ok(());
    }
    Err(Error::Occupied {
        path: path.to_owned(),
        count,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_specs() {
        let path = |text: &str| Place::of_spec(Some(Path::new(text)), "id").map(|p| p.path);
        assert_eq!(path("/a/b/").unwrap(), Path::new("a/b"));
        assert_eq!(path("a/./b").unwrap(), Path::new("a/b"));
        assert_eq!(path("").unwrap(), Path::new("dockless-oci/id"));
        for wrong in ["/", ".", "/a/../../b", ".."] {
            assert!(matches!(path(wrong), Err(Error::Name { .. })), "{wrong}");
        }
        assert!(Place::of_spec(None, "../x").is_err());
    }

    #[test]
    fn scopes_of_specs() {
        let place = |text: &str| Place::of_systemd(Some(Path::new(text)), "id");
        let told = |text: &str| {
            let place = place(text).unwrap();
            (
                place.path().display().to_string(),
                place.unit().unwrap().to_owned(),
            )
        };
        let both = |path: &str, unit: &str| (path.to_owned(), unit.to_owned());
        assert_eq!(
            told("machine.slice:libpod:abc"),
            both("machine.slice/libpod-abc.scope", "libpod-abc.scope")
        );
        assert_eq!(
            told("user-a-b.slice:x"),
            both("user.slice/user-a.slice/user-a-b.slice/x.scope", "x.scope")
        );
        assert_eq!(told("::x"), both("system.slice/x.scope", "x.scope"));
        assert_eq!(told("-.slice:p:n"), both("p-n.scope", "p-n.scope"));
        assert_eq!(
            told(""),
            both("system.slice/dockless-id.scope", "dockless-id.scope")
        );
        for wrong in [
            "/plain/path",
            "a:b:c:d",
            "no-suffix:a:b",
            "a--b.slice::x",
            ".slice::x",
            "a/b.slice::x",
            "s.slice:p:",
            "s.slice:a/b:c",
            "s.slice:p:n.slice",
        ] {
            assert!(place(wrong).is_err(), "{wrong}");
        }
    }
}
