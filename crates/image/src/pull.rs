//! `pull`, and finding an image wherever it is: the store, the image directories, the registries.

use crate::announce::{announce, announce_digest, warn_of_platform};
use crate::archives;
use crate::content::{self, ImageLayout};
use crate::documents::Documents;
use crate::error::{Error, NotFound, Place};
use crate::fetch::{Brought, Fetcher};
use crate::progress::Progress;
use crate::registry::memory::Memory;
use crate::registry::{self, Quota, Registry};
use crate::remote::Remote;
use crate::remove::Reachable;
use crate::signature::{self, Demands};
use crate::store::{self, Image, Store};
use crate::table::set_name;
use oci::{Descriptor, Digest, Document, Index, Manifest, Platform, Reference};

/// When to look beyond the store (`--pull`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PullPolicy {
    Always,
    #[default]
    Missing,
    Never,
}

/// What is fetched, and who hears of it.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    reference: &'a Reference,
    platform: &'a Platform,
    progress: &'a dyn Progress,
    brought: &'a Brought,
}

/// An image that was pulled.
#[derive(Debug, Clone)]
pub struct Pulled {
    pub image: Image,
    /// False: the store had exactly this before.
    pub newer: bool,
}

impl Store {
    /// The image by name, fetched according to `policy`. An id is only looked up.
    pub fn ensure(
        &self,
        wanted: &str,
        policy: PullPolicy,
        platform: Option<&Platform>,
        progress: &dyn Progress,
    ) -> Result<Image, Error> {
        if policy != PullPolicy::Always {
            match self.find_as(wanted, platform) {
                Err(Error::NoSuchImage(_)) if policy == PullPolicy::Missing => {}
                // The name is here, for another platform.
                Err(Error::NoPlatform { .. } | Error::Content(content::Error::Missing { .. }))
                    if policy == PullPolicy::Missing => {}
                other => return other,
            }
        }
        let reference = wanted.parse::<Reference>()?.or_latest();
        if policy == PullPolicy::Missing {
            progress.line(&format!(
                "Unable to find image '{}' locally",
                reference.familiar()
            ));
        }
        Ok(self.pull_named(wanted, platform, progress)?.1.image)
    }

    /// Fetches an image: from the first image directory that has the name, else from its registry.
    pub fn pull(
        &self,
        reference: &Reference,
        platform: Option<&Platform>,
        progress: &dyn Progress,
    ) -> Result<Pulled, Error> {
        let reference = reference.clone().or_latest();
        let brought = Brought::default();
        // What `FROM scratch` stands for is nowhere to be had.
        if reference.repository() == "docker.io/library/scratch" {
            return Err(Error::Reserved);
        }
        let hold = self.hold()?;
        // Nothing is fetched that could not get its name.
        self.content.index()?;
        let fetched = self.fetch(&reference, platform, progress, &brought);
        let pulled = fetched.and_then(|(target, image)| {
            announce_digest(&target, progress);
            if let Some(asked) = platform {
                warn_of_platform(&reference, &image, asked, progress);
            }
            self.record(&target, &reference, &image, progress)
        });
        drop(hold);
        if let (Ok(pulled), true) = (&pulled, self.options.drop_blobs) {
            self.drop_archives(&pulled.image)?;
        }
        if pulled.as_ref().is_err_and(Error::is_full_disk) {
            self.give_back(&brought.take())?;
        }
        pulled
    }

    /// Brings in what is not here of an image that may be anywhere, without giving it a name.
    pub(crate) fn fetch(
        &self,
        reference: &Reference,
        platform: Option<&Platform>,
        progress: &dyn Progress,
        brought: &Brought,
    ) -> Result<(Descriptor, Image), Error> {
        let own = self.platform();
        let wanted = Wanted {
            reference,
            platform: platform.unwrap_or(&own),
            progress,
            brought,
        };
        let mut places = Vec::new();
        for dir in &self.options.image_dirs {
            let layout = ImageLayout::new(dir);
            let name = format!("image directory {}", dir.display());
            match self.find_allowed(&layout, reference, wanted.platform) {
                Ok(Some(target)) => return self.pull_from_layout(&layout, target, wanted),
                _ if dir.is_file() => places.push(Place {
                    name,
                    answer: "is a file: mount it, and name the directory it is mounted on".into(),
                }),
                Ok(None) if !dir.join("index.json").exists() => {
                    places.push(Place {
                        name,
                        answer: "no image layout (index.json is missing)".into(),
                    });
                }
                Ok(None) => places.push(Place {
                    name,
                    answer: "no such name".into(),
                }),
                Err(error) => places.push(Place {
                    name,
                    answer: error.to_string(),
                }),
            }
        }
        let demands = Demands::of(&self.options.registries, reference)?;
        let memory = Memory::new(Some(self.paths.run_registries()));
        let remote = Remote::open(&self.options.registries, reference, memory)?;
        for at in remote.resolving() {
            match self.pull_from_registry(&remote, at, &demands, wanted) {
                Err(error) if remote.goes_on(at, &error) => {
                    if let Error::Registry(error) = &error {
                        remote.remember(at, Err(error));
                    }
                    places.push(remote.place(at, &error));
                }
                other => return other,
            }
        }
        Err(Error::NotFound(NotFound {
            reference: reference.familiar(),
            places,
        }))
    }

    /// Takes away what came in, as far as nothing reaches it; left for who called this in the middle of more, or for the next prune,
    /// while others bring something in.
    pub(crate) fn give_back(&self, brought: &Reachable) -> Result<(), Error> {
        let Some(_alone) = self.alone()? else {
            self.brought.add(brought);
            return Ok(());
        };
        let mut reached = Reachable::default();
        for entry in &self.content.index()?.manifests {
            self.reach(entry, &mut reached);
        }
        for chain_id in brought.layers.difference(&reached.layers) {
            self.layers.discard(chain_id)?;
        }
        for digest in brought.blobs.difference(&reached.blobs) {
            self.remove_blob(digest)?;
        }
        Ok(self.layers.empty_trash()?)
    }

    fn pull_from_registry(
        &self,
        remote: &Remote,
        at: usize,
        demands: &Demands,
        wanted: Wanted<'_>,
    ) -> Result<(Descriptor, Image), Error> {
        let Wanted {
            reference,
            platform,
            progress,
            brought,
        } = wanted;
        let registry = remote.registry(at);
        let (bytes, mut target) = self.resolve(registry, reference, progress)?;
        if self.options.drop_blobs {
            archives::note_source(&mut target, reference);
        }
        check_asked(reference, &target)?;
        remote.remember(at, Ok(()));
        announce(reference, progress);
        let document = parse(&bytes, &target.digest)?;
        // A signed index vouches for what it lists, as that is named by digest. Nothing is kept of what is not vouched for.
        let mut documents = Documents::default();
        let (manifest_digest, manifest) = match document {
            Document::Manifest(manifest) => {
                demands.check(registry, &[&target.digest])?;
                (target.digest.clone(), *manifest)
            }
            Document::Index(index) => {
                let chosen = store::choose(&index, platform, &reference.familiar())?;
                demands.check(registry, &[&chosen.digest, &target.digest])?;
                self.pull_child(registry, chosen, reference, &mut documents)?
            }
        };
        documents.add(&target.digest, bytes);
        let source = remote.blobs(at);
        let mut fetcher = Fetcher {
            brought: brought.clone(),
            ..self.fetcher(&source, progress)
        };
        let (config, lock) = fetcher.document(&manifest.config)?;
        let image = store::assemble(target.clone(), manifest_digest, manifest, &config)?;
        fetcher.progress = self.progress_of(&image, progress);
        documents.push(&image.id, config, Some(lock));
        let jobs = store::jobs(&image)?;
        self.keep_beside(documents, brought, || fetcher.layers(&jobs))?;
        Ok((target, image))
    }

    /// What the name stands for. Registries count the manifests they give, not the questions what a tag is: that is asked first, and
    /// one that is here is not fetched again.
    fn resolve(
        &self,
        registry: &Registry,
        reference: &Reference,
        progress: &dyn Progress,
    ) -> Result<(Vec<u8>, Descriptor), Error> {
        let repository = &registry.endpoint().repository;
        let mut wanted = reference.tag_or_digest();
        if reference.digest().is_none() {
            let head = registry.head(repository, &wanted)?;
            if let Some(quota) = head.quota.filter(Quota::is_low) {
                progress.line(&format!("{}: {quota}", registry.name()));
            }
            if let Some(digest) = head.digest {
                if let Ok(bytes) = self.content.layout().document(&digest) {
                    let kind = registry::api::kind_of(&bytes, "");
                    let target = Descriptor::new(&kind, digest, bytes.len() as u64);
                    return Ok((bytes, target));
                }
                wanted = digest.to_string();
            }
        }
        let (bytes, target) = registry.manifest(repository, &wanted)?;
        match wanted.parse::<Digest>() {
            Ok(asked) if asked != target.digest => Err(content::Error::Digest {
                expected: asked,
                actual: target.digest,
            }
            .into()),
            _ => Ok((bytes, target)),
        }
    }

    /// The manifest that was chosen from an index.
    fn pull_child(
        &self,
        registry: &Registry,
        chosen: &Descriptor,
        reference: &Reference,
        documents: &mut Documents,
    ) -> Result<(Digest, Manifest), Error> {
        let bytes = match self.content.layout().document(&chosen.digest) {
            Ok(bytes) => bytes,
            Err(_) => {
                let repository = &registry.endpoint().repository;
                registry.manifest(repository, &chosen.digest.to_string())?.0
            }
        };
        content::check_document(&chosen.digest, &bytes)?;
        let parsed = parse(&bytes, &chosen.digest)?;
        documents.add(&chosen.digest, bytes);
        match parsed {
            Document::Manifest(manifest) => Ok((chosen.digest.clone(), *manifest)),
            Document::Index(_) => Err(Error::NotAnImage(
                reference.familiar(),
                "an index within an index".into(),
            )),
        }
    }

    /// The entry for a name in an image directory, where the host's policy takes images from there.
    fn find_allowed(
        &self,
        layout: &ImageLayout,
        reference: &Reference,
        platform: &Platform,
    ) -> Result<Option<Descriptor>, Error> {
        let found = find_in(layout, reference, platform)?;
        if found.is_some() {
            let (options, name) = (&self.options.registries, reference.familiar());
            signature::check_local(options, "oci", Some(layout.root()), &name)?;
        }
        Ok(found)
    }

    fn pull_from_layout(
        &self,
        layout: &ImageLayout,
        mut target: Descriptor,
        wanted: Wanted<'_>,
    ) -> Result<(Descriptor, Image), Error> {
        archives::forget_sources(&mut target);
        announce(wanted.reference, wanted.progress);
        let familiar = wanted.reference.familiar();
        let platform = || wanted.platform.clone();
        let image = store::read_image(layout, &target, &platform, &familiar)?;
        let mut documents = Documents::default();
        for digest in [&target.digest, &image.manifest_digest, &image.id] {
            documents.add(digest, layout.document(digest)?);
        }
        let fetcher = Fetcher {
            brought: wanted.brought.clone(),
            ..self.fetcher(layout, self.progress_of(&image, wanted.progress))
        };
        let jobs = store::jobs(&image)?;
        self.keep_beside(documents, wanted.brought, || fetcher.layers(&jobs))?;
        Ok((target, image))
    }

    /// Layers that are all here are no news, as with Docker.
    fn progress_of<'a>(&self, image: &Image, progress: &'a dyn Progress) -> &'a dyn Progress {
        let unpacked = image.chain.iter().all(|layer| self.layers.exists(layer));
        match unpacked && self.is_complete(&image.manifest) {
            true => &crate::Silent,
            false => progress,
        }
    }

    /// Enters a complete image into the table of names.
    pub(crate) fn record(
        &self,
        target: &Descriptor,
        reference: &Reference,
        image: &Image,
        progress: &dyn Progress,
    ) -> Result<Pulled, Error> {
        // With tag and digest, the digest is what was asked for; the tag may mean something else by now.
        let name = match reference.digest() {
            Some(digest) => reference.with_digest(digest.clone()),
            None => reference.clone(),
        };
        let mut entry = Descriptor::new(&target.media_type, target.digest.clone(), target.size);
        entry.platform = target.platform.clone();
        let noted = archives::noted(target);
        entry.annotations.extend(noted.clone());
        let newer = self.content.update_index(|index| {
            let newer = set_name(index, &name, entry);
            let mut all = index.manifests.iter_mut();
            if let Some(known) = all.find(|d| content::name_of(d).as_ref() == Some(&name)) {
                known.annotations.extend(noted);
            }
            newer
        })?;
        let what = if newer {
            "Downloaded newer image for"
        } else {
            "Image is up to date for"
        };
        progress.line(&format!("Status: {what} {}", reference.familiar()));
        let mut image = image.clone();
        image.names = self.names_of(&target.digest)?;
        Ok(Pulled { image, newer })
    }
}

pub(crate) fn parse(bytes: &[u8], digest: &Digest) -> Result<Document, Error> {
    Document::parse(bytes).map_err(|source| Error::Manifest {
        digest: digest.clone(),
        source,
    })
}

/// Asked by digest, the answer must have it: a registry (or who sits between) is not believed.
pub(crate) fn check_asked(reference: &Reference, target: &Descriptor) -> Result<(), Error> {
    match reference.digest() {
        Some(asked) if *asked != target.digest => Err(content::Error::Digest {
            expected: asked.clone(),
            actual: target.digest.clone(),
        }
        .into()),
        _ => Ok(()),
    }
}

/// The entry of a foreign layout for a name; of several (one per platform) the one that runs here.
fn find_in(
    layout: &ImageLayout,
    wanted: &Reference,
    platform: &Platform,
) -> Result<Option<Descriptor>, Error> {
    let index = layout.index()?;
    let mut found: Vec<Descriptor> = index
        .manifests
        .into_iter()
        .filter(|entry| store::names(entry, wanted))
        .collect();
    if found.len() > 1 {
        let several = Index {
            manifests: found.clone(),
            ..Index::default()
        };
        if let Some(best) = several.choose(platform) {
            return Ok(Some(best.clone()));
        }
    }
    if found.is_empty() {
        return Ok(None);
    }
    Ok(Some(found.swap_remove(0)))
}
