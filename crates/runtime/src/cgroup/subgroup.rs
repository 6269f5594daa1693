//! Groups that the container has made below its own, for `exec --cgroup`.
//!
//! `foo/bar` is below the container's group in every hierarchy that has it there; in the others the process joins the container's
//! own. `memory,pids:foo` names the v1 controllers it is meant for.
//! Source: the options of runc and crun.

use super::{Cgroup, Error, V1Group, V2Group};
use std::path::{Component, Path, PathBuf};
use sys::cgroupfs;

impl Cgroup {
    /// The groups a process joins that is to run in a sub-group of the container.
    pub fn subgroup(&self, wanted: &str) -> Result<Self, Error> {
        let missing = || Error::Subgroup {
            path: wanted.to_owned(),
        };
        let (controllers, path) = match wanted.split_once(':') {
            Some((controllers, path)) => (Some(controllers), path),
            None => (None, wanted),
        };
        let below = plain(path).ok_or_else(|| Error::SubgroupDots {
            path: wanted.to_owned(),
        })?;
        let mut found = false;
        let v1 = self.v1.iter().map(|group| {
            let meant = controllers.is_none_or(|list| list.split(',').any(|c| group.has(c)));
            let path = group.path.join(&below);
            let directory = meant.then(|| cgroupfs::open(&path).ok()).flatten();
            found |= directory.is_some();
            match directory {
                Some(directory) => Ok(V1Group {
                    controllers: group.controllers.clone(),
                    path,
                    directory,
                }),
                None => V1Group::again(group),
            }
        });
        let v1 = v1.collect::<Result<Vec<_>, Error>>()?;
        let v2 = self.v2.as_ref().map(|group| {
            let path = group.path.join(&below);
            let directory = controllers.is_none().then(|| cgroupfs::open(&path).ok());
            match directory.flatten() {
                Some(directory) => {
                    found = true;
                    Ok(V2Group { path, directory })
                }
                None => V2Group::again(group),
            }
        });
        let v2 = v2.transpose()?;
        let shared = self.v1_shared.iter().map(|fd| fd.try_clone());
        found.then_some(()).ok_or_else(missing)?;
        Ok(Self {
            hierarchies: self.hierarchies.clone(),
            place: self.place.clone(),
            v2,
            v1,
            anchor: std::cell::RefCell::new(None),
            v1_shared: shared.collect::<Result<_, _>>().map_err(Error::Detect)?,
        })
    }
}

impl V1Group {
    fn again(group: &Self) -> Result<Self, Error> {
        Ok(Self {
            controllers: group.controllers.clone(),
            path: group.path.clone(),
            directory: group.directory.try_clone().map_err(Error::Detect)?,
        })
    }
}

impl V2Group {
    fn again(group: &Self) -> Result<Self, Error> {
        Ok(Self {
            path: group.path.clone(),
            directory: group.directory.try_clone().map_err(Error::Detect)?,
        })
    }
}

/// Without a way up; `/` is the container's own group.
fn plain(path: &str) -> Option<PathBuf> {
    let mut out = PathBuf::new();
    for component in Path::new(path).components() {
        match component {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(name) => out.push(name),
            Component::ParentDir | Component::Prefix(_) => return None,
        }
    }
    Some(out)
}
