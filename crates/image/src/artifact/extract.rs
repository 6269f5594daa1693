//! An artifact's files, written into a directory under the names its maker gave them, and what refers to an image at its registry. The
//! files come as an image's layers do: from mirrors too, taken up where a connection broke, verified before they get a name.
//! Source: OCI image-spec `annotations.md` (`org.opencontainers.image.title`); oras.land "Artifacts".

use crate::content;
use crate::error::Error;
use crate::progress::Progress;
use crate::pull::parse;
use crate::registry::Registry;
use crate::registry::memory::Memory;
use crate::remote::Remote;
use crate::signature::Demands;
use crate::store::{Store, choose};
use oci::{Descriptor, Digest, Document, Manifest, Platform, Reference};
use rustix::fs::{AtFlags, Mode, OFlags};
use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;

const TITLE: &str = "org.opencontainers.image.title";

/// A file that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extracted {
    pub name: String,
    pub digest: Digest,
    pub size: u64,
}

impl Store {
    /// Writes the files of an artifact (of an index: that for `platform`, else our own) into a directory, over those of the same name.
    pub fn extract(
        &self,
        reference: &Reference,
        platform: Option<&Platform>,
        directory: &Path,
        progress: &dyn Progress,
    ) -> Result<Vec<Extracted>, Error> {
        let reference = reference.clone().or_latest();
        let own = self.platform();
        let demands = Demands::of(&self.options.registries, &reference)?;
        let hold = self.hold()?;
        let memory = Memory::new(Some(self.paths.run_registries()));
        let remote = Remote::open(&self.options.registries, &reference, memory)?;
        let mut nowhere = crate::NotFound {
            reference: reference.familiar(),
            places: Vec::new(),
        };
        let mut fetched = Vec::new();
        let platform = platform.unwrap_or(&own);
        for at in remote.resolving() {
            match self.extract_from(&remote, at, &demands, platform, progress, &mut fetched) {
                Err(error) if remote.goes_on(at, &error) => {
                    nowhere.places.push(remote.place(at, &error));
                }
                Err(error) => return Err(error),
                Ok(files) => {
                    let written = self.write_files(&files, directory);
                    drop(hold);
                    self.drop_unreached(&fetched)?;
                    return written;
                }
            }
        }
        Err(Error::NotFound(nowhere))
    }

    /// Fetches the files, their names checked before the first of them.
    fn extract_from(
        &self,
        remote: &Remote,
        at: usize,
        demands: &Demands,
        platform: &Platform,
        progress: &dyn Progress,
        fetched: &mut Vec<Digest>,
    ) -> Result<Vec<(String, Descriptor)>, Error> {
        let registry = remote.registry(at);
        let (digests, manifest) = manifest_of(registry, demands.image(), platform)?;
        demands.check(registry, &digests.iter().collect::<Vec<_>>())?;
        let files = names(demands.image(), &manifest)?;
        let source = remote.blobs(at);
        let fetcher = self.fetcher(&source, progress);
        for (_, layer) in &files {
            if !self.content.layout().has(&layer.digest) {
                fetched.push(layer.digest.clone());
            }
            fetcher.blob(layer, &mut |_| {})?;
        }
        Ok(files)
    }

    fn write_files(
        &self,
        files: &[(String, Descriptor)],
        directory: &Path,
    ) -> Result<Vec<Extracted>, Error> {
        let failed = |name: &str| {
            let path = directory.join(name);
            move |source| {
                Error::from(content::Error::Io {
                    step: "write",
                    path,
                    source,
                })
            }
        };
        std::fs::create_dir_all(directory).map_err(failed(""))?;
        let into = File::open(directory).map_err(failed(""))?;
        let mut written = Vec::with_capacity(files.len());
        for (name, layer) in files {
            let mut from = self.content.layout().open(&layer.digest)?;
            copy(&mut from, &into, name).map_err(failed(name))?;
            written.push(Extracted {
                name: name.clone(),
                digest: layer.digest.clone(),
                size: layer.size,
            });
        }
        Ok(written)
    }
}

/// Whole or not at all, and never through a link that stands there.
fn copy(from: &mut File, directory: &File, name: &str) -> std::io::Result<()> {
    let part = format!(".{name}.part");
    let _ = rustix::fs::unlinkat(directory, part.as_str(), AtFlags::empty());
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(directory, part.as_str(), flags, Mode::from_raw_mode(0o644))?;
    let mut file = File::from(file);
    let copied = std::io::copy(from, &mut file).and_then(|_| {
        Ok(rustix::fs::renameat(
            directory,
            part.as_str(),
            directory.as_fd(),
            name,
        )?)
    });
    if copied.is_err() {
        let _ = rustix::fs::unlinkat(directory, part.as_str(), AtFlags::empty());
    }
    copied
}

/// The manifest a name stands for, and the digests that vouch for it: its own, and that of an index around it.
fn manifest_of(
    registry: &Registry,
    reference: &Reference,
    platform: &Platform,
) -> Result<(Vec<Digest>, Manifest), Error> {
    let repository = registry.endpoint().repository.as_str();
    let asked = |wanted: &str| -> Result<(Digest, Document), Error> {
        let (bytes, found) = registry.manifest(repository, wanted)?;
        match wanted.parse::<Digest>() {
            Ok(expected) if expected != found.digest => Err(content::Error::Digest {
                expected,
                actual: found.digest,
            }
            .into()),
            _ => Ok((found.digest.clone(), parse(&bytes, &found.digest)?)),
        }
    };
    let (digest, document) = asked(&reference.tag_or_digest())?;
    let index = match document {
        Document::Manifest(manifest) => return Ok((vec![digest], *manifest)),
        Document::Index(index) => index,
    };
    let chosen = choose(&index, platform, &reference.familiar())?;
    match asked(&chosen.digest.to_string())? {
        (child, Document::Manifest(manifest)) => Ok((vec![child, digest], *manifest)),
        (_, Document::Index(_)) => Err(Error::NotAnImage(
            reference.familiar(),
            "an index within an index".into(),
        )),
    }
}

/// What each file is called: by its title, else by its digest.
fn names(reference: &Reference, manifest: &Manifest) -> Result<Vec<(String, Descriptor)>, Error> {
    let mut files: Vec<(String, Descriptor)> = Vec::new();
    for layer in &manifest.layers {
        let name = match layer.annotations.get(TITLE) {
            Some(title) => title.clone(),
            None => layer.digest.hex().to_owned(),
        };
        let is_plain = !name.is_empty()
            && !name.contains(['/', '\0'])
            && name != "."
            && name != ".."
            && name.len() <= 240;
        let why = match files.iter().any(|(known, _)| *known == name) {
            _ if !is_plain => "is no plain file name",
            true => "is that of two files",
            false => {
                files.push((name, layer.clone()));
                continue;
            }
        };
        return Err(Error::ArtifactFile {
            artifact: reference.familiar(),
            name,
            why,
        });
    }
    Ok(files)
}

/// What refers to an image at its registry: signatures, lists of contents, of one type or of any.
pub fn referrers(
    options: &crate::RegistryOptions,
    reference: &Reference,
    artifact_type: Option<&str>,
) -> Result<Vec<Descriptor>, Error> {
    super::from_any(options, reference, |registry, repository| {
        let wanted = reference.tag_or_digest();
        let subject = match wanted.parse::<Digest>() {
            Ok(digest) => digest,
            Err(_) => registry.manifest(repository, &wanted)?.1.digest,
        };
        Ok(registry.referrers(repository, &subject, artifact_type)?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(titles: &[Option<&str>]) -> Result<Vec<String>, String> {
        let layer = |(number, title): (usize, &Option<&str>)| {
            let mut layer = Descriptor::of("x", &[number as u8]);
            let key = TITLE.to_owned();
            layer.annotations.extend(title.map(|t| (key, t.to_owned())));
            layer
        };
        let config = Descriptor::of("c", b"{}");
        let layers = titles.iter().enumerate().map(layer).collect();
        let found = names(&"x/y".parse().unwrap(), &Manifest::new(config, layers));
        let found = found.map_err(|e| e.to_string())?;
        Ok(found.into_iter().map(|(name, _)| name).collect())
    }

    #[test]
    fn files_are_called_by_their_titles_and_lead_nowhere_else() {
        let digest = Digest::sha256(&[1]);
        let plain = named(&[Some("a.txt"), None]).unwrap();
        assert_eq!(plain, ["a.txt", digest.hex()]);
        for bad in ["", ".", "..", "../a", "/a", "a/b", "a\0", &"a".repeat(300)] {
            let said = named(&[Some(bad)]).unwrap_err();
            assert!(said.contains("no plain file name"), "{said}");
        }
        let twice = named(&[Some("a"), Some("a")]).unwrap_err();
        assert!(twice.contains("two files"), "{twice}");
    }

    #[test]
    fn a_file_is_written_beside_what_a_link_points_to() {
        let dir = tempfile::tempdir().unwrap();
        let (victim, into) = (dir.path().join("victim"), dir.path().join("into"));
        std::fs::write(&victim, "kept").unwrap();
        std::fs::create_dir(&into).unwrap();
        for name in ["a", ".a.part"] {
            std::os::unix::fs::symlink(&victim, into.join(name)).unwrap();
        }
        std::fs::write(dir.path().join("blob"), "new").unwrap();
        let mut from = File::open(dir.path().join("blob")).unwrap();
        copy(&mut from, &File::open(&into).unwrap(), "a").unwrap();
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "kept");
        assert_eq!(std::fs::read_to_string(into.join("a")).unwrap(), "new");
        assert!(into.join("a").symlink_metadata().unwrap().is_file());
        assert_eq!(std::fs::read_dir(&into).unwrap().count(), 1);
    }
}
