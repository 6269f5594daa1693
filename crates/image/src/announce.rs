//! What a pull says besides its layers, in Docker's words.

use crate::progress::Progress;
use crate::store::Image;
use oci::{Descriptor, Platform, Reference};

pub(crate) fn announce_digest(target: &Descriptor, progress: &dyn Progress) {
    progress.line(&format!("Digest: {}", target.digest));
}

/// An image that is for one platform alone is taken whatever was asked for, as Docker does.
pub(crate) fn warn_of_platform(
    reference: &Reference,
    image: &Image,
    asked: &Platform,
    progress: &dyn Progress,
) {
    let own = image.config.platform();
    if asked.rank(&own).is_none() && !image.is_of_index() {
        progress.line(&format!(
            "WARNING: image with reference {} was found but its platform ({own}) does not match the specified platform ({asked})",
            reference.familiar()
        ));
    }
}

pub(crate) fn announce(reference: &Reference, progress: &dyn Progress) {
    progress.line(&format!(
        "{}: Pulling from {}",
        reference.tag_or_digest(),
        reference.path()
    ));
}
