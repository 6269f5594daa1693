//! `rmi`: names go first, then what only this image had. Docker's rules and words.
//!
//! Layers and blobs are taken out of sight by a rename and deleted by [`Store::empty_trash`]. While
//! somebody else pulls or creates a container, nothing is deleted: what is left over is found by `prune`.

use crate::content::{self};
use crate::error::Error;
use crate::layer::StoreError;
use crate::store::{Image, Store, names_in};
use crate::table::leave_dangling;
use oci::{Descriptor, Digest, Document, Reference};
use std::collections::BTreeSet;
use std::path::PathBuf;
use sys::lock::FileLock;

/// Somebody who uses an image.
#[derive(Debug, Clone)]
pub struct InUse {
    /// The image's id.
    pub image: Digest,
    /// The chain ids of its layers, kept whatever is removed.
    pub layers: Vec<Digest>,
    pub user: User,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum User {
    Container {
        /// As shown (twelve digits).
        id: String,
        running: bool,
    },
    /// A Compose project that may go back to a version which ran on it.
    Project { name: String, generation: u32 },
    /// Somebody who looks into it on the host (`image mount`).
    Mount { path: PathBuf },
}

/// How to remove.
#[derive(Debug, Clone, Copy, Default)]
pub struct RemoveOptions<'a> {
    /// `-f`
    pub force: bool,
    /// Every container, running or not.
    pub in_use: &'a [InUse],
}

/// What was done, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removed {
    Untagged(String),
    Deleted(String),
}

/// What is reachable: blobs by digest, layers by chain id.
#[derive(Debug, Default)]
pub(crate) struct Reachable {
    pub(crate) blobs: BTreeSet<Digest>,
    pub(crate) layers: BTreeSet<Digest>,
}

impl Store {
    /// Removes a name, or (by id) an image with all its names.
    pub fn remove(&self, wanted: &str, options: RemoveOptions<'_>) -> Result<Vec<Removed>, Error> {
        let index = self.content.index()?;
        let target = self
            .target_in(&index, wanted)?
            .ok_or_else(|| Error::NoSuchImage(wanted.into()))?;
        let names = names_in(&index, &target.digest);
        let by_name = self.called(wanted, &target, &names);
        let mut targets = vec![target];
        let mut used = false;
        if let Ok(image) = self.read_any(&targets[0]) {
            // It may have come in other forms too, each of which has names of its own.
            let forms = self.entries_of(&index, &image.id);
            let of_form = |form: &Descriptor| names_in(&index, &form.digest);
            let all: Vec<Reference> = forms.iter().flat_map(of_form).collect();
            check(&image, &all, by_name.as_ref(), wanted, options)?;
            let is_used = options.in_use.iter().any(|u| u.image == image.id);
            used = is_used && forms.len() == 1;
        }
        if by_name.is_none() {
            let of_id = self.by_id(&index, wanted)?;
            targets = if of_id.is_empty() { targets } else { of_id };
        }
        let mut removed = Vec::new();
        for target in &targets {
            let names = names_in(&index, &target.digest);
            let going: Vec<Reference> = match &by_name {
                Some(name) if name.digest().is_some() => {
                    let same = |n: &Reference| n.repository() == name.repository();
                    names.into_iter().filter(same).collect()
                }
                Some(name) => vec![name.clone()],
                None => names,
            };
            // Containers keep the image itself; only its names go then.
            let keep = used && by_name.is_some();
            removed.extend(self.remove_names(target, &going, keep, options.in_use)?);
        }
        Ok(removed)
    }

    /// The name of `target` that was typed; `None`: it was an id.
    fn called(&self, wanted: &str, target: &Descriptor, names: &[Reference]) -> Option<Reference> {
        let typed = wanted.parse::<Reference>().ok().map(Reference::or_latest);
        let meant = self.names_for(wanted).unwrap_or_default();
        typed
            .into_iter()
            .chain(meant)
            .find(|name| names.contains(name) || name.digest().is_some_and(|d| *d == target.digest))
    }

    /// Takes names from an entry. Without its last one it goes, unless `keep`.
    fn remove_names(
        &self,
        target: &Descriptor,
        going: &[Reference],
        keep: bool,
        in_use: &[InUse],
    ) -> Result<Vec<Removed>, Error> {
        let image = self.read_any(target);
        let (last, left) = self.content.update_index(|index| {
            let gone = |d: &Descriptor| {
                d.digest == target.digest
                    && content::name_of(d).is_none_or(|name| going.contains(&name))
            };
            index.manifests.retain(|d| !gone(d));
            if keep {
                leave_dangling(index, target.clone());
            }
            let last = !index.manifests.iter().any(|d| d.digest == target.digest);
            (last, index.clone())
        })?;
        let untagged = going.iter().map(|n| Removed::Untagged(n.familiar()));
        let mut removed: Vec<Removed> = untagged.collect();
        if last {
            match &image {
                // Another form of it is still here.
                Ok(image) if !self.entries_of(&left, &image.id).is_empty() => {}
                Ok(image) => removed.push(Removed::Deleted(image.id.to_string())),
                Err(_) => removed.push(Removed::Deleted(target.digest.to_string())),
            }
            removed.extend(self.collect_entry(target, in_use)?);
        }
        Ok(removed)
    }

    /// Takes away what only `target` reached.
    fn collect_entry(&self, target: &Descriptor, in_use: &[InUse]) -> Result<Vec<Removed>, Error> {
        let Some(_alone) = self.alone()? else {
            return Ok(Vec::new());
        };
        let mut mine = Reachable::default();
        self.reach(target, &mut mine);
        let mut others = Reachable::default();
        for entry in &self.content.index()?.manifests {
            self.reach(entry, &mut others);
        }
        others
            .layers
            .extend(in_use.iter().flat_map(|u| u.layers.iter().cloned()));
        let mut removed = Vec::new();
        for chain_id in mine.layers.difference(&others.layers) {
            self.layers.discard(chain_id)?;
            removed.push(Removed::Deleted(chain_id.to_string()));
        }
        for digest in mine.blobs.difference(&others.blobs) {
            crate::trash::blob(&self.paths, &self.content.layout().blob(digest))?;
        }
        Ok(removed)
    }

    /// Removes those of `blobs` that no image leads to, unless somebody is bringing in or using images now.
    pub(crate) fn drop_unreached(&self, blobs: &[Digest]) -> Result<(), Error> {
        let Some(_alone) = self.alone()? else {
            return Ok(());
        };
        let mut reached = Reachable::default();
        for entry in &self.content.index()?.manifests {
            self.reach(entry, &mut reached);
        }
        let idle = blobs.iter().filter(|d| !reached.blobs.contains(*d));
        idle.into_iter().try_for_each(|d| self.remove_blob(d))
    }

    pub(crate) fn remove_blob(&self, digest: &Digest) -> Result<(), Error> {
        let path = self.content.layout().blob(digest);
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(content::Error::Io {
                step: "remove",
                path,
                source: e,
            }
            .into()),
            _ => Ok(()),
        }
    }

    /// The exclusive side of [`Store::hold`]; `None` while anybody brings something in or uses it.
    pub(crate) fn alone(&self) -> Result<Option<FileLock>, Error> {
        let path = self.paths.lock("image", "collect");
        Ok(
            FileLock::try_exclusive(&path).map_err(|source| StoreError::Io {
                step: "lock",
                path,
                source,
            })?,
        )
    }

    /// Adds all that an entry reaches. A document that cannot be read reaches nothing.
    pub(crate) fn reach(&self, entry: &Descriptor, found: &mut Reachable) {
        found.blobs.insert(entry.digest.clone());
        let layout = self.content.layout();
        let Ok(bytes) = layout.document(&entry.digest) else {
            return;
        };
        match Document::parse(&bytes) {
            Ok(Document::Index(index)) => {
                for child in index.manifests {
                    found.blobs.insert(child.digest.clone());
                    if let Ok(bytes) = layout.document(&child.digest)
                        && let Ok(Document::Manifest(manifest)) = Document::parse(&bytes)
                    {
                        self.reach_manifest(&manifest, found);
                    }
                }
            }
            Ok(Document::Manifest(manifest)) => self.reach_manifest(&manifest, found),
            Err(_) => {}
        }
    }

    fn reach_manifest(&self, manifest: &oci::Manifest, found: &mut Reachable) {
        found.blobs.insert(manifest.config.digest.clone());
        found
            .blobs
            .extend(manifest.layers.iter().map(|l| l.digest.clone()));
        if let Ok(bytes) = self.content.layout().document(&manifest.config.digest)
            && let Ok(config) = serde_json::from_slice::<oci::ImageConfig>(&bytes)
        {
            found.layers.extend(oci::chain_ids(&config.rootfs.diff_ids));
        }
    }

    /// Deletes what removed images left in the trash. Slow for large images: done when the user has their answer.
    pub fn empty_trash(&self) -> Result<(), Error> {
        Ok(self.layers.empty_trash()?)
    }
}

/// Docker's conflicts. By name only the last name of a used image is protected, by id every use and more
/// than one repository.
fn check(
    image: &Image,
    names: &[Reference],
    by_name: Option<&Reference>,
    wanted: &str,
    options: RemoveOptions<'_>,
) -> Result<(), Error> {
    let id = image.id.short();
    let users = || options.in_use.iter().filter(|u| u.image == image.id);
    let container = |wanted: bool| {
        users().find_map(|u| match &u.user {
            User::Container { id, running } if *running == wanted => Some(id),
            _ => None,
        })
    };
    let project = || {
        users().find_map(|u| match &u.user {
            User::Project { name, generation } => Some(format!(
                "project {name} keeps it to go back to (generation {generation}); `compose -p {name} down` lets go of it"
            )),
            _ => None,
        })
    };
    let mounted = users().find_map(|u| match &u.user {
        User::Mount { path } => Some(path.display().to_string()),
        _ => None,
    });
    if let Some(path) = mounted.filter(|_| by_name.is_none() || names.len() < 2) {
        return Err(Error::Conflict(format!(
            "conflict: unable to delete {wanted} (cannot be forced) - image is mounted at {path}; `image unmount {id}` lets go of it"
        )));
    }
    if let Some(name) = by_name {
        if names.len() > 1 || options.force {
            return Ok(());
        }
        let name = name.familiar();
        if let Some(container) = container(true).or(container(false)) {
            return Err(Error::Conflict(format!(
                "conflict: unable to remove repository reference \"{name}\" (must force) - container {container} is using its referenced image {id}"
            )));
        }
        if let Some(why) = project() {
            return Err(Error::Conflict(format!(
                "conflict: unable to remove repository reference \"{name}\" (must force) - {why}"
            )));
        }
        return Ok(());
    }
    if let Some(container) = container(true) {
        return Err(Error::Conflict(format!(
            "conflict: unable to delete {wanted} (cannot be forced) - image is being used by running container {container}"
        )));
    }
    if options.force {
        return Ok(());
    }
    if let Some(container) = container(false) {
        return Err(Error::Conflict(format!(
            "conflict: unable to delete {wanted} (must be forced) - image is being used by stopped container {container}"
        )));
    }
    if let Some(why) = project() {
        return Err(Error::Conflict(format!(
            "conflict: unable to delete {wanted} (must be forced) - {why}"
        )));
    }
    let repositories: BTreeSet<String> = names.iter().map(Reference::repository).collect();
    if repositories.len() > 1 {
        return Err(Error::Conflict(format!(
            "conflict: unable to delete {wanted} (must be forced) - image is referenced in multiple repositories"
        )));
    }
    Ok(())
}
