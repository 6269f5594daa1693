//! The root: a directory with one directory for each container.

use crate::container::Container;
use crate::error::{Error, Result};
use rustix::fs::Mode;
use std::path::{Path, PathBuf};

/// The name of a container, safe as a file name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Id(String);

impl Id {
    /// By runc's rules, and none that hides among the files of a directory.
    pub fn parse(text: &str) -> Result<Self> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "_+-.".contains(c);
        let problem = match text.chars().find(|c| !allowed(*c)) {
            Some(c) => format!("invalid character {c:?}, not a letter, a digit or one of _+-."),
            None if text.is_empty() => "it is empty".to_owned(),
            None if text.len() > 1024 => "it is longer than 1024".to_owned(),
            None if text.starts_with('.') => "it begins with a dot".to_owned(),
            None => return Ok(Self(text.to_owned())),
        };
        Err(Error::Id {
            id: text.to_owned(),
            problem,
        })
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Where the containers of one `--root` are remembered.
#[derive(Debug, Clone)]
pub struct Root(PathBuf);

impl Root {
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Makes the container's directory, and with it takes the id.
    pub(crate) fn reserve(&self, id: &Id) -> Result<PathBuf> {
        let path = self.0.join(id.as_str());
        let make = || rustix::fs::mkdir(&path, Mode::from_raw_mode(0o700));
        let made = match make() {
            Err(rustix::io::Errno::NOENT) => {
                self.make()?;
                make()
            }
            other => other,
        };
        match made {
            Ok(()) => Ok(path),
            Err(rustix::io::Errno::EXIST) => Err(Error::Exists(id.as_str().to_owned())),
            Err(e) => Err(Error::file("make the directory", path)(e.into())),
        }
    }

    fn make(&self) -> Result<()> {
        use std::os::unix::fs::DirBuilderExt;
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.0)
            .map_err(Error::file("make the directory", &self.0))
    }

    /// A container to do something with.
    pub fn find(&self, id: &str) -> Result<Container> {
        let container = self.look_at(id)?;
        match container.is_being_made() {
            true => Err(Error::Creating(id.to_owned())),
            false => Ok(container),
        }
    }

    /// A container to tell the state of: one may be told of before it is made, to its hooks.
    pub fn look_at(&self, id: &str) -> Result<Container> {
        let id = Id::parse(id)?;
        Container::open(self.0.join(id.as_str()), id.as_str())
    }

    /// All containers, those still being made left out.
    pub fn list(&self) -> Result<Vec<Container>> {
        let entries = match std::fs::read_dir(&self.0) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(Error::file("read the directory", &self.0)(e)),
        };
        let mut names: Vec<String> = entries
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort_unstable();
        Ok(names
            .iter()
            .filter_map(|name| self.find(name).ok())
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_file_names() {
        for good in ["a", "web-1", "a.b+c_d", "a...", "0"] {
            assert_eq!(Id::parse(good).unwrap().as_str(), good);
        }
        for wrong in ["", ".", "..", ".a", "a/b", "/a", "a b", "a\0", "é"] {
            assert!(Id::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn an_id_is_taken_once_and_a_root_made_when_needed() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path().join("deep/root"));
        assert!(root.list().unwrap().is_empty());
        let id = Id::parse("web").unwrap();
        root.reserve(&id).unwrap();
        assert!(matches!(root.reserve(&id), Err(Error::Exists(_))));
        assert!(matches!(root.find("db"), Err(Error::Unknown(_))));
    }
}
