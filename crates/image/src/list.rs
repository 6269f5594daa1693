//! `images`, `history`, `tag`: reading the table of names, and adding to it.

use crate::content;
use crate::error::Error;
use crate::store::{Image, Store};
use crate::table::set_name;
use oci::{Digest, Reference};

/// One line of `history`, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryLine {
    /// The image's id on the newest line; elsewhere unknown (`<missing>`).
    pub id: Option<Digest>,
    pub created: Option<String>,
    pub created_by: String,
    pub comment: String,
    /// Bytes this step added.
    pub size: u64,
    pub tags: Vec<String>,
}

impl Store {
    /// All images, newest first; one per image, whatever number of names it has. Of an image of several
    /// platforms it is the one that is here.
    pub fn list(&self) -> Result<Vec<Image>, Error> {
        let index = self.content.index()?;
        let mut images: Vec<Image> = Vec::new();
        for entry in &index.manifests {
            if images.iter().any(|i| i.target.digest == entry.digest) {
                continue;
            }
            // An entry whose documents are damaged or of a kind we do not run is no image.
            let Ok(mut image) = self.read_any(entry) else {
                continue;
            };
            let same = index.manifests.iter().filter(|d| d.digest == entry.digest);
            image.names = same.filter_map(content::name_of).collect();
            images.push(image);
        }
        images.sort_by(|a, b| b.config.created.cmp(&a.config.created));
        Ok(images)
    }

    /// The entry's image for our platform, else for the first platform that is here.
    pub(crate) fn read_any(&self, entry: &oci::Descriptor) -> Result<Image, Error> {
        let layout = self.content.layout();
        let mut wanted = vec![self.platform()];
        if let Ok(bytes) = layout.document(&entry.digest)
            && let Ok(oci::Document::Index(index)) = oci::Document::parse(&bytes)
        {
            let here = index
                .manifests
                .iter()
                .filter(|d| !d.is_attestation() && layout.has(&d.digest));
            wanted.extend(here.filter_map(|d| d.platform.clone()));
        }
        let mut result = Err(Error::NoSuchImage(entry.digest.to_string()));
        for platform in wanted {
            result =
                crate::store::read_image(layout, entry, &|| platform.clone(), entry.digest.hex());
            if result.is_ok() {
                break;
            }
        }
        result
    }

    /// Bytes of the image's files, all layers; of a layer that is not unpacked, of its archive.
    pub fn size(&self, image: &Image) -> u64 {
        image
            .layers()
            .iter()
            .map(|layer| self.layer_size(&layer.chain_id).unwrap_or(layer.blob.size))
            .sum()
    }

    fn layer_size(&self, chain_id: &Digest) -> Option<u64> {
        self.layers
            .get(chain_id)
            .ok()
            .flatten()
            .map(|record| record.size)
    }

    /// How the image came about.
    pub fn history(&self, image: &Image) -> Vec<HistoryLine> {
        let mut layers = image.layers().into_iter();
        let mut lines: Vec<HistoryLine> = Vec::new();
        for step in &image.config.history {
            let layer = if step.empty_layer {
                None
            } else {
                layers.next()
            };
            let size = layer.map_or(0, |l| self.layer_size(&l.chain_id).unwrap_or(l.blob.size));
            lines.push(HistoryLine {
                id: None,
                created: step.created.clone(),
                created_by: step.created_by.clone(),
                comment: step.comment.clone(),
                size,
                tags: Vec::new(),
            });
        }
        lines.reverse();
        if let Some(newest) = lines.first_mut() {
            newest.id = Some(image.id.clone());
            newest.tags = image.repo_tags();
        }
        lines
    }

    /// Gives the image another name; what had that name before keeps existing without it.
    pub fn tag(&self, source: &str, target: &Reference) -> Result<(), Error> {
        let _hold = self.hold()?;
        if target.digest().is_some() {
            return Err(Error::TagWithDigest(target.familiar()));
        }
        let entry = self
            .find_target(source)?
            .ok_or_else(|| Error::NoSuchImage(source.into()))?;
        self.content
            .update_index(|index| set_name(index, &target.clone().or_latest(), entry))?;
        Ok(())
    }

    /// The raw configuration document (unknown fields and field order as they came).
    pub fn raw_config(&self, image: &Image) -> Result<Vec<u8>, Error> {
        Ok(self.content.layout().document(&image.id)?)
    }

    /// The raw manifest.
    pub fn raw_manifest(&self, image: &Image) -> Result<Vec<u8>, Error> {
        Ok(self.content.layout().document(&image.manifest_digest)?)
    }
}
