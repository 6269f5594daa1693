//! Making images here: a directory becomes a layer, layers and a configuration become an image.
//!
//! Layers made here are kept as plain tars (`application/vnd.oci.image.layer.v1.tar`): their digest is the
//! diff id that has to be computed anyway, and a build does not pay for compression nobody may need.
//! `push` and `save --compress`-like consumers compress them then, once ([`Store::compress`]): the image id
//! does not change by it, the manifest does.

use crate::content;
use crate::error::Error;
use crate::layer::form::Taken;
use crate::layer::staging::Staging;
use crate::layer::store::open_dir;
use crate::layer::unpack::Unpacked;
use crate::layer::{Manner, Record, StoreError, pack};
use crate::room::Watched;
use crate::store::{Image, Store};
use crate::table::{leave_dangling, set_name};
use oci::digest::{Algorithm, Hasher};
use oci::media_type::{OCI_CONFIG, OCI_LAYER, OCI_LAYER_GZIP, OCI_MANIFEST};
use oci::{Descriptor, Digest, ImageConfig, Manifest, Reference};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// One layer of an image: what a manifest, a configuration and the layer store call it.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    pub blob: Descriptor,
    pub diff_id: Digest,
    pub chain_id: Digest,
}

impl Image {
    /// The layers, lowest first.
    pub fn layers(&self) -> Vec<Layer> {
        let parts = self
            .manifest
            .layers
            .iter()
            .zip(&self.config.rootfs.diff_ids)
            .zip(&self.chain);
        parts
            .map(|((blob, diff_id), chain_id)| Layer {
                blob: blob.clone(),
                diff_id: diff_id.clone(),
                chain_id: chain_id.clone(),
            })
            .collect()
    }
}

impl Store {
    /// Makes the layer above `parent` (its chain id) of an overlay's upper directory. The directory is
    /// renamed into the store, nothing is copied; afterwards it is gone from where it was. It must lie on
    /// the data root's filesystem, and no overlay may be mounted over it any more.
    pub fn commit_layer_from_upper(
        &self,
        upper: &Path,
        parent: Option<&Digest>,
    ) -> Result<Layer, Error> {
        let _hold = self.hold()?;
        let (blob, size) = self.archive(upper, Manner::STILL)?;
        let diff_id = blob.digest.clone();
        let chain_id = chain(parent, &diff_id);
        let layer = Layer {
            blob,
            diff_id,
            chain_id,
        };
        let _lock = self.layers.lock(&layer.chain_id)?;
        if self.layers.exists(&layer.chain_id) {
            self.layers.discard_path(upper)?;
            return Ok(layer);
        }
        let staging = self.layers.stage_bare()?;
        rename(upper, &staging)?;
        let record = Record {
            chain_id: layer.chain_id.clone(),
            diff_id: layer.diff_id.clone(),
            parent: parent.cloned(),
            blob: Some(layer.blob.digest.clone()),
            size,
        };
        self.layers
            .commit(staging, &record, Taken::Directory(Unpacked::default()), &[])?;
        self.brought.layer(&layer.chain_id);
        Ok(layer)
    }

    /// Makes the layer above `parent` of a copy of an upper directory, which stays as it is (`docker
    /// commit` of a container that goes on).
    pub fn commit_layer_from_copy(
        &self,
        upper: &Path,
        parent: Option<&Digest>,
        manner: Manner<'_>,
    ) -> Result<Layer, Error> {
        let (_hold, (blob, _)) = (self.hold()?, self.archive(upper, manner)?);
        let file = self.content.layout().open(&blob.digest)?;
        let layer = self.import_layer(file, parent)?;
        Ok(Layer { blob, ..layer })
    }

    /// Writes a directory as a plain tar into the content store: its descriptor, and the bytes of files.
    fn archive(&self, dir: &Path, manner: Manner<'_>) -> Result<(Descriptor, u64), Error> {
        let root = open_dir(dir)?;
        let mut ingest = Ingest::new(self)?;
        let packed = pack::pack(root.as_fd(), manner, &mut ingest);
        let size = packed.map_err(|source| Error::Pack {
            dir: dir.into(),
            source,
        })?;
        Ok((ingest.publish(self, OCI_LAYER)?, size))
    }

    /// Enters an image: `config` with `rootfs` filled in here, over `layers`, under `names` (none: dangling).
    pub fn put_image(
        &self,
        config: &ImageConfig,
        layers: &[Layer],
        names: &[Reference],
    ) -> Result<Image, Error> {
        self.put_image_from(config, layers, names, None)
    }

    /// The same of one that was made from another here, which is noted.
    pub fn put_image_from(
        &self,
        config: &ImageConfig,
        layers: &[Layer],
        names: &[Reference],
        parent: Option<&Digest>,
    ) -> Result<Image, Error> {
        let _hold = self.hold()?;
        let mut config = config.clone();
        config.rootfs = oci::RootFs {
            diff_ids: layers.iter().map(|l| l.diff_id.clone()).collect(),
            ..Default::default()
        };
        let config_bytes = json(&config)?;
        self.put(&config_bytes)?;
        let blobs = layers
            .iter()
            .map(|l| Descriptor {
                annotations: Default::default(),
                ..l.blob.clone()
            })
            .collect();
        let manifest = Manifest::new(Descriptor::of(OCI_CONFIG, &config_bytes), blobs);
        let bytes = json(&manifest)?;
        self.put(&bytes)?;
        let mut target = Descriptor::of(OCI_MANIFEST, &bytes);
        target.platform = Some(config.platform());
        if let Some(parent) = parent {
            crate::archives::note_parent(&mut target, parent);
        }
        self.content.update_index(|index| {
            for name in names {
                set_name(index, &name.clone().or_latest(), target.clone());
            }
            if names.is_empty() {
                leave_dangling(index, target.clone());
            }
        })?;
        self.read(&target, &|| config.platform(), target.digest.hex())
    }

    /// Compresses the layers that are kept as plain tars. The image's names move to the new manifest; its
    /// id stays. Images that have no such layer are returned as they are.
    pub fn compress(&self, image: &Image) -> Result<Image, Error> {
        let is_plain = |l: &Descriptor| {
            matches!(
                l.media_type.as_str(),
                OCI_LAYER | oci::media_type::DOCKER_LAYER
            )
        };
        if image.target.digest != image.manifest_digest
            || !image.manifest.layers.iter().any(is_plain)
        {
            return Ok(image.clone());
        }
        let _hold = self.hold()?;
        let mut manifest = image.manifest.clone();
        for layer in manifest.layers.iter_mut().filter(|l| is_plain(l)) {
            *layer = self.compress_blob(layer)?;
        }
        let bytes = json(&manifest)?;
        self.put(&bytes)?;
        let mut target = Descriptor::of(&image.target.media_type, &bytes);
        target.platform = image.target.platform.clone();
        self.content.update_index(|index| {
            for entry in index
                .manifests
                .iter_mut()
                .filter(|d| d.digest == image.target.digest)
            {
                (entry.digest, entry.size) = (target.digest.clone(), target.size);
            }
        })?;
        self.read(&target, &|| image.config.platform(), image.id.hex())
    }
}

impl Store {
    /// A plain tar of the store, compressed.
    pub(crate) fn compress_blob(&self, layer: &Descriptor) -> Result<Descriptor, Error> {
        let media_type = if layer.media_type == OCI_LAYER {
            OCI_LAYER_GZIP
        } else {
            oci::media_type::DOCKER_LAYER_GZIP
        };
        let mut plain = self.content.layout().open(&layer.digest)?;
        let path = self.content.layout().blob(&layer.digest);
        let ingest = Ingest::new(self)?;
        let mut encoder = flate2::write::GzEncoder::new(ingest, flate2::Compression::new(4));
        let failed = |source| content::Error::Io {
            step: "compress",
            path: path.clone(),
            source,
        };
        io::copy(&mut plain, &mut encoder).map_err(failed)?;
        encoder.finish().map_err(failed)?.publish(self, media_type)
    }
}

/// What a layer is called above `parent`.
pub(crate) fn chain(parent: Option<&Digest>, diff_id: &Digest) -> Digest {
    match parent {
        None => diff_id.clone(),
        Some(parent) => Digest::sha256(format!("{parent} {diff_id}").as_bytes()),
    }
}

fn rename(upper: &Path, staging: &Staging) -> Result<(), Error> {
    let target = staging.diff();
    rustix::fs::rename(upper, &target).map_err(|e| {
        StoreError::Io {
            step: "move into the layer store",
            path: upper.into(),
            source: e.into(),
        }
        .into()
    })
}

pub(crate) fn json<T: serde::Serialize>(value: &T) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(value).map_err(Error::Encode)
}

/// Content whose digest is not known before its end.
#[derive(Debug)]
pub(crate) struct Ingest {
    path: PathBuf,
    file: BufWriter<File>,
    hasher: Hasher,
    size: u64,
    watched: Watched,
}

impl Ingest {
    pub(crate) fn new(store: &Store) -> Result<Self, Error> {
        static SERIAL: AtomicU32 = AtomicU32::new(0);
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let path = store
            .paths
            .images()
            .join("ingest")
            .join(format!(".tmp-{}-{serial}", std::process::id()));
        let failed = |source| content::Error::Io {
            step: "write",
            path: path.clone(),
            source,
        };
        let file = content::create(&path).map_err(failed)?;
        file.set_len(0).map_err(failed)?;
        let file = BufWriter::with_capacity(256 << 10, file);
        Ok(Self {
            path,
            file,
            hasher: Algorithm::Sha256.hasher(),
            size: 0,
            watched: Watched::new(store.room()),
        })
    }

    /// Takes a part of the content; what fails is the store, not who gave it.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.write_all(bytes).map_err(|source| {
            let path = self.path.clone();
            let step = "write";
            content::Error::Io { step, path, source }.into()
        })
    }

    /// As [`Ingest::publish`], remembering the digest where the content was not known before.
    pub(crate) fn publish_new(
        self,
        store: &Store,
        media_type: &str,
        new: &mut Vec<Digest>,
    ) -> Result<Descriptor, Error> {
        let known = self.hasher.clone().finish();
        if !store.content.layout().has(&known) {
            new.push(known);
        }
        self.publish(store, media_type)
    }

    /// Gives the content its name.
    pub(crate) fn publish(mut self, store: &Store, media_type: &str) -> Result<Descriptor, Error> {
        let failed = |source| content::Error::Io {
            step: "write",
            path: self.path.clone(),
            source,
        };
        self.file.flush().map_err(failed)?;
        let digest = std::mem::replace(&mut self.hasher, Algorithm::Sha256.hasher()).finish();
        if store.content.layout().has(&digest) {
            return Ok(Descriptor::new(media_type, digest, self.size));
        }
        store
            .content
            .publish(&digest, self.file.get_ref(), &self.path)?;
        store.brought.blob(&digest);
        Ok(Descriptor::new(media_type, digest, self.size))
    }
}

impl Write for Ingest {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.size += written as u64;
        self.watched.wrote(written)?;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Ingest {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path); // published: the name is gone already
    }
}
