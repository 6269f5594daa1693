//! `tag` and `image exists`.

use crate::failure::{Failure, Outcome};
use crate::session::Session;
use crate::verb::{Run, Verb, verb};
use clap::Args;
use oci::Reference;

pub(crate) const TAG: Verb = verb::<Tag>(
    &["tag", "image tag"],
    "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
    "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE",
)
.exactly(2)
.examples("tag app registry.example.com/team/app:1.2");

pub(crate) const EXISTS: Verb = verb::<Exists>(
    &["image exists"],
    "IMAGE",
    "Exit with 0 if the image is in the store, with 1 if not",
)
.exactly(1)
.examples("image exists redis:7 || dockless pull redis:7");

#[derive(Debug, Args)]
struct Tag {
    #[arg(required = true)]
    source: String,
    #[arg(required = true)]
    target: String,
}

impl Run for Tag {
    fn run(self, session: &Session) -> Outcome {
        let ctx = session.engine()?;
        let store = ctx.images()?;
        let target: Reference = reference(&self.target)?;
        store
            .tag(&self.source, &target)
            .map_err(engine::Error::from)?;
        let id = store
            .find(&self.source)
            .map(|image| image.id.to_string())
            .unwrap_or_default();
        engine::images::emit(ctx, "tag", &id, &target.clone().or_latest().familiar());
        Ok(0)
    }
}

/// Reads an image name, in Docker's words when it is none.
pub(crate) fn reference(text: &str) -> Result<Reference, Failure> {
    text.parse::<Reference>()
        .map_err(|error| Failure::said(error.to_string()))
}

#[derive(Debug, Args)]
struct Exists {
    #[arg(required = true)]
    image: String,
}

impl Run for Exists {
    fn run(self, session: &Session) -> Outcome {
        match session.engine()?.images()?.find(&self.image) {
            Ok(_) => Ok(0),
            Err(image::Error::NoSuchImage(_)) => Ok(1),
            Err(error) => Err(engine::Error::from(error).into()),
        }
    }
}
