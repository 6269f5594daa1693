//! What comes out of a build besides an image: its root file system as files of a directory, or as one archive.
//!
//! Source: Docker docs, "Local and tar exporters". As there, files in a directory belong to whoever builds.

use crate::error::{Cause, Error};
use crate::files::select::Parents;
use crate::files::{Attributes, Copier, Owners, Source, select};
use crate::ignore::Ignore;
use crate::inputs::open_directory;
use crate::overlay;
use crate::workspace::Workspace;
use engine::Context;
use image::Image;
use image::layer::Manner;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Writes the image's files as a plain tar.
pub fn write_archive(ctx: &Context, image: &Image, out: impl Write) -> Result<(), Error> {
    let root = Root::open(ctx, image)?;
    let written = image::archive::write(root.merged.as_fd(), Manner::STILL, out);
    written.map(drop).map_err(|source| {
        let source = std::io::Error::other(source);
        Cause::io("write the archive of", image.id.to_string())(source).into()
    })
}

/// Copies the image's files into a directory, over what is there; made where it is missing.
pub fn write_directory(ctx: &Context, image: &Image, directory: &Path) -> Result<(), Error> {
    let root = Root::open(ctx, image)?;
    std::fs::create_dir_all(directory).map_err(Cause::io("make", directory))?;
    let target = open_directory(directory)?;
    let source = Source {
        root: root.merged,
        ignore: Ignore::default(),
        owners: Owners::Root,
        place: format!("image {}", image.id),
    };
    let mut copier = Copier::new(target.as_fd(), Attributes::default());
    for selected in select(&source, "/", Parents::Dropped).map_err(Cause::from)? {
        let copied = copier.copy(&source, &selected, &Ignore::default(), "/");
        copied.map_err(Cause::from)?;
    }
    Ok(())
}

/// The merged layers, as long as nothing collects them.
struct Root {
    merged: OwnedFd,
    _workspace: Workspace,
    _hold: image::Hold,
}

impl Root {
    fn open(ctx: &Context, image: &Image) -> Result<Self, Error> {
        let store = ctx
            .images()
            .map_err(|error| Cause::OpenStore(Box::new(error)))?;
        let hold = store.hold().map_err(Cause::from)?;
        let dirs = store.layer_dirs(image).map_err(Cause::from)?;
        let workspace = Workspace::new(&ctx.layout)?;
        Ok(Self {
            merged: overlay::mount(&workspace, &dirs, None)?,
            _workspace: workspace,
            _hold: hold,
        })
    }
}
