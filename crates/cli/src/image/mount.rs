//! `image mount` and `image unmount`: an image's files on the host, read-only. Source: podman-image-mount(1), podman-image-unmount(1).

use crate::failure::{Failure, Outcome};
use crate::output::{self, table};
use crate::session::Session;
use crate::verb::{Run, Verb, verb};
use clap::Args;
use engine::image_mount;

pub(crate) const MOUNT: Verb = verb::<Mount>(
    &["image mount"],
    "[OPTIONS] [IMAGE...]",
    "Mount images' files read-only, and print where; without an image, list those that are mounted",
)
.at_least(0)
.examples("image mount redis:7\nimage mount -a");

pub(crate) const UNMOUNT: Verb = verb::<Unmount>(
    &["image unmount", "image umount"],
    "[OPTIONS] IMAGE [IMAGE...]",
    "Unmount images that were mounted",
)
.at_least(0)
.examples("image unmount redis:7\nimage unmount -a");

#[derive(Debug, Args)]
struct Mount {
    /// Mount all images
    #[arg(short, long)]
    all: bool,
    /// Print mounted images in another format ("json")
    #[arg(long, value_name = "string")]
    format: Option<String>,
    images: Vec<String>,
}

impl Run for Mount {
    fn run(self, session: &Session) -> Outcome {
        if let Some(other) = self.format.as_deref().filter(|format| *format != "json") {
            return Err(Failure::usage(format!(
                "unknown format {other:?}: only json is known"
            )));
        }
        let ctx = session.engine()?;
        let store = ctx.images()?;
        if self.images.is_empty() && !self.all {
            return self.list(session);
        }
        let images = match self.all {
            true => store.list().map_err(engine::Error::from)?,
            false => {
                let found = self.images.iter().map(|name| store.find(name));
                found
                    .collect::<Result<_, _>>()
                    .map_err(engine::Error::from)?
            }
        };
        for image in &images {
            let path = image_mount::mount(ctx, &store, image)?;
            output::line(path.display())?;
        }
        Ok(0)
    }
}

impl Mount {
    fn list(&self, session: &Session) -> Outcome {
        let ctx = session.engine()?;
        let store = ctx.images()?;
        let mut rows = Vec::new();
        let mut entries = Vec::new();
        for mounted in image_mount::list(ctx) {
            let names = store.find(&mounted.id).map(|image| image.repo_tags());
            let names = names.unwrap_or_default();
            let path = mounted.path.display().to_string();
            entries.push(serde_json::json!({
                "id": mounted.id, "Repositories": names, "mountpoint": path,
            }));
            let name = names.into_iter().next().unwrap_or(mounted.id);
            rows.push(vec![name, path]);
        }
        match self.format {
            Some(_) => {
                output::line(serde_json::to_string_pretty(&entries).unwrap_or_default())?;
            }
            None => output::text(&table::layout(rows, &[], None))?,
        }
        Ok(0)
    }
}

#[derive(Debug, Args)]
struct Unmount {
    /// Unmount all images
    #[arg(short, long)]
    all: bool,
    /// Take the mount away although somebody uses it
    #[arg(short, long)]
    force: bool,
    images: Vec<String>,
}

impl Run for Unmount {
    fn run(self, session: &Session) -> Outcome {
        let ctx = session.engine()?;
        if self.images.is_empty() && !self.all {
            return Err(Failure::usage("name an image, or say --all"));
        }
        if self.all {
            for mounted in image_mount::list(ctx) {
                image_mount::unmount(ctx, &mounted.id, self.force)?;
                output::line(mounted.id)?;
            }
            return Ok(0);
        }
        let store = ctx.images()?;
        session.each(&self.images, |name| {
            let image = store.find(name).map_err(engine::Error::from)?;
            let id = image.id.to_string();
            if !image_mount::unmount(ctx, &id, self.force)? {
                return Err(Failure::said(format!("image {name} is not mounted")));
            }
            output::line(id)
        })
    }
}
