//! The groups above a container's own: made when missing, removed when they were made for it and are empty again.
//!
//! A group that an OCI path made us make carries the mark `trusted.dockless.made`; only marked groups are removed, because an empty
//! group above may be somebody's (a pod's, a user's). Whoever leaves last removes it, whoever made it.
//! Source: xattr(7); kernfs keeps `trusted.` attributes on both versions.

use super::place::Origin;
use super::{Error, Place};
use std::os::fd::OwnedFd;
use std::path::Path;
use sys::cgroupfs::{self, Made};

const MARK: &str = "trusted.dockless.made";

/// What the engine made for its containers: it stays while there may be more of them, and has no other purpose.
const ENGINES_MARK: &str = "trusted.dockless.engine";

/// Makes the group itself; what is missing above it too, when it turns out to be the first there.
pub(super) fn make_group(
    mount: &Path,
    place: &Place,
    mut step: impl FnMut(&Path, Made) -> Result<(), Error>,
) -> Result<(OwnedFd, Made), Error> {
    let path = mount.join(place.path());
    let mut rounds = 0;
    loop {
        rounds += 1;
        match cgroupfs::make(&path) {
            Ok(made) => return Ok(made),
            // Again and again only if the last container of this parent removes it at the same moment.
            Err(e) if e.raw_os_error() == Some(2) && rounds < 10 => make(mount, place, &mut step)?,
            Err(source) => {
                remove(mount, &path);
                return Err(Error::Make { path, source });
            }
        }
    }
}

/// Makes what is missing between the hierarchy's root and the group; `step` sees each directory, from the top.
pub(super) fn make(
    mount: &Path,
    place: &Place,
    mut step: impl FnMut(&Path, Made) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut path = mount.to_owned();
    for component in place.parent().components() {
        path.push(component);
        let made = make_one(&path, place).and_then(|made| step(&path, made));
        if let Err(error) = made {
            remove(mount, &path.join("-"));
            return Err(error);
        }
    }
    Ok(())
}

fn make_one(path: &Path, place: &Place) -> Result<Made, Error> {
    let (directory, made) = cgroupfs::make(path).map_err(|source| Error::Make {
        path: path.to_owned(),
        source,
    })?;
    let mark = match place.origin() {
        Origin::Engine => Some(ENGINES_MARK),
        Origin::Spec => Some(MARK),
        Origin::Systemd(_) => None,
    };
    if let (Made::New, Some(mark)) = (made, mark) {
        // Where the kernel keeps no such attribute the group stays behind, empty.
        let _ = cgroupfs::mark(&directory, mark);
    }
    Ok(made)
}

/// Whether it was made for containers and nobody else.
pub(super) fn is_ours(directory: &Path) -> bool {
    goes_with_the_last(directory) || cgroupfs::is_marked(directory, ENGINES_MARK)
}

fn goes_with_the_last(directory: &Path) -> bool {
    cgroupfs::is_marked(directory, MARK)
}

/// Removes the marked groups above one that has gone, as far as they are empty.
pub(super) fn remove(mount: &Path, group: &Path) {
    for directory in group.ancestors().skip(1) {
        if directory == mount || !goes_with_the_last(directory) {
            return;
        }
        // EBUSY: another container is in it.
        if std::fs::remove_dir(directory).is_err() {
            return;
        }
    }
}
