//! Where a container's control groups are: `linux.cgroupsPath` read as runc and crun read it.
//!
//! An absolute path counts from the root of the hierarchy, a relative one from our own parent group. With `--systemd-cgroup` the path
//! is `slice:prefix:name`; the group lies where systemd would put that scope, and systemd is not asked: it leaves alone what
//! it did not make.
//! Source: runtime-spec `config-linux.md` "Cgroups Path"; systemd.slice(5) for `a-b.slice` lying in `a.slice`.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::{Component, Path};

/// The group above those of containers that name none.
const DEFAULT_PARENT: &str = "dockless-oci";

/// Who keeps the control groups.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Manager {
    #[default]
    Cgroupfs,
    Systemd,
}

/// A group by its parent and its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) parent: String,
    pub(crate) name: String,
}

impl Place {
    pub(crate) fn of(path: Option<&Path>, id: &str, manager: Manager) -> Result<Self> {
        let path = path.filter(|path| !path.as_os_str().is_empty());
        match (path, manager) {
            (None, Manager::Cgroupfs) => Ok(Self::below(DEFAULT_PARENT, id)),
            (None, Manager::Systemd) => {
                Ok(Self::below("system.slice", &format!("dockless-{id}.scope")))
            }
            (Some(path), Manager::Cgroupfs) => Ok(Self::from_path(path, id)),
            (Some(path), Manager::Systemd) => Self::from_unit(path),
        }
    }

    fn below(parent: &str, name: &str) -> Self {
        Self {
            parent: parent.to_owned(),
            name: name.to_owned(),
        }
    }

    fn from_path(path: &Path, id: &str) -> Self {
        let mut words: Vec<String> = Vec::new();
        for component in path.components() {
            match component {
                Component::Normal(word) => words.push(word.to_string_lossy().into_owned()),
                Component::ParentDir => drop(words.pop()),
                _ => {}
            }
        }
        if path.is_relative() || words.len() < 2 {
            words.insert(0, DEFAULT_PARENT.to_owned());
        }
        let name = words.pop().filter(|_| !words.is_empty());
        match name {
            Some(name) => Self::below(&words.join("/"), &name),
            None => Self::below(DEFAULT_PARENT, id),
        }
    }

    fn from_unit(path: &Path) -> Result<Self> {
        let wrong = || Error::SystemdPath(path.to_owned());
        let text = path.to_str().ok_or_else(wrong)?;
        let words: Vec<&str> = text.split(':').collect();
        let [slice, prefix, name] = words.as_slice() else {
            return Err(wrong());
        };
        let slice = if slice.is_empty() {
            "system.slice"
        } else {
            slice
        };
        let unit = match (prefix.is_empty(), name.ends_with(".slice")) {
            (_, true) => (*name).to_owned(),
            (true, false) => format!("{name}.scope"),
            (false, false) => format!("{prefix}-{name}.scope"),
        };
        Ok(Self::below(&expand(slice).ok_or_else(wrong)?, &unit))
    }

    pub(crate) fn open(&self) -> Result<runtime::Cgroup> {
        Ok(runtime::Cgroup::open(&self.parent, &self.name)?)
    }
}

/// `a-b.slice` is `a.slice/a-b.slice`.
fn expand(slice: &str) -> Option<String> {
    let stem = slice.strip_suffix(".slice")?;
    if stem == "-" {
        return Some(slice.to_owned());
    }
    let words: Vec<&str> = stem.split('-').collect();
    if words
        .iter()
        .any(|word| word.is_empty() || word.contains('/'))
    {
        return None;
    }
    let path: Vec<String> = (1..=words.len())
        .map(|count| format!("{}.slice", words[..count].join("-")))
        .collect();
    Some(path.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(path: &str, manager: Manager) -> (String, String) {
        let place = Place::of(Some(Path::new(path)), "id", manager).unwrap();
        (place.parent, place.name)
    }

    #[test]
    fn paths() {
        let pair = |parent: &str, name: &str| (parent.to_owned(), name.to_owned());
        assert_eq!(place("", Manager::Cgroupfs), pair("dockless-oci", "id"));
        assert_eq!(place("/a/b/c", Manager::Cgroupfs), pair("a/b", "c"));
        assert_eq!(place("a/b", Manager::Cgroupfs), pair("dockless-oci/a", "b"));
        assert_eq!(place("/a/../../b/c/.", Manager::Cgroupfs), pair("b", "c"));
    }

    #[test]
    fn systemd_units() {
        let pair = |parent: &str, name: &str| (parent.to_owned(), name.to_owned());
        assert_eq!(
            place("machine.slice:libpod:12", Manager::Systemd),
            pair("machine.slice", "libpod-12.scope")
        );
        assert_eq!(
            place("a-b.slice:docker:x", Manager::Systemd),
            pair("a.slice/a-b.slice", "docker-x.scope")
        );
        assert!(Place::of(Some(Path::new("/a/b")), "id", Manager::Systemd).is_err());
        assert!(Place::of(Some(Path::new("a/b.slice:a:b")), "id", Manager::Systemd).is_err());
    }
}
