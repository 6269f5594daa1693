//! COPY, ADD and WORKDIR: selecting, digesting, copying through the merged view of the layers.

use super::Solver;
use super::stage::{Done, Finished, LayerStep};
use crate::dockerfile::{CopyVerb, Instruction, Lines, Mistake, Placed};
use crate::error::Cause;
use crate::files::chmod::Chmod;
use crate::files::select::Parents;
use crate::files::{self, Attributes, Copier, Owners, Selected, Source, owner, select, walk};
use crate::graph::Origin;
use crate::ignore::Ignore;
use crate::inputs::open_directory;
use crate::options::NamedContext;
use crate::overlay;
use crate::progress::Step;
use crate::remote::Remote;
use crate::stage::{CopyStep, WorkdirStep};
use crate::workspace::Upper;
use git::GitDir;
use image::archive::{self, Content};
use rustix::fs::OFlags;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// The root a COPY or a mount reads from.
pub(super) enum From<'a> {
    Context(&'a Source),
    /// Something mounted or opened for this one use.
    Own(Box<Source>),
}

impl From<'_> {
    pub(super) fn source(&self) -> &Source {
        match self {
            Self::Context(source) => source,
            Self::Own(source) => source,
        }
    }
}

/// What one COPY works on.
struct Selection<'s> {
    selected: Vec<Chosen<'s>>,
    exclude: Ignore,
}

struct Chosen<'s> {
    source: &'s Source,
    selected: Selected,
    handling: Handling,
}

/// What was fetched for one ADD, and what of it is meant.
struct Fetched {
    source: Source,
    path: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Handling {
    Copied,
    Unpacked,
}

impl Solver<'_> {
    pub(super) fn copy(
        &self,
        work: &mut Finished,
        step: &Step,
        copy: &CopyStep,
        placed: &Placed<Instruction>,
        done: &Done,
    ) -> Result<(), Cause> {
        let from = self.from(copy.from.as_deref(), placed.lines, done)?;
        let source = from.source();
        let fetched = self.fetched(copy)?;
        let selection = selection(source, &fetched, copy)?;
        let digests = selection.selected.iter().map(|chosen| {
            let selected = std::slice::from_ref(&chosen.selected);
            walk::digest(chosen.source, selected, &selection.exclude).map_err(Cause::Select)
        });
        let inputs = digests.collect::<Result<Vec<_>, _>>()?;
        let chmod = copy.chmod.as_deref().map(Chmod::parse).transpose()?;
        let layer_step = LayerStep {
            step,
            parts: copy,
            inputs: &inputs,
        };
        self.layer(work, &layer_step, |work, upper| {
            let root = overlay::mount(&self.workspace, &work.dirs, Some(upper))?;
            let owner = copy
                .chown
                .as_deref()
                .map(|text| owner::resolve(root.as_fd(), text))
                .transpose()?;
            let mut copier = Copier::new(
                root.as_fd(),
                Attributes {
                    owner,
                    chmod: chmod.clone(),
                },
            );
            for chosen in &selection.selected {
                let (source, selected) = (chosen.source, &chosen.selected);
                match chosen.handling {
                    Handling::Copied => {
                        copier.copy(source, selected, &selection.exclude, &copy.destination)?
                    }
                    Handling::Unpacked => unpack(&copier, source, selected, &copy.destination)?,
                }
            }
            for (name, content) in &copy.files {
                copier.write(name, content, &copy.destination)?;
            }
            Ok(())
        })
    }

    /// Fetches what ADD names by an address.
    fn fetched(&self, copy: &CopyStep) -> Result<Vec<Fetched>, Cause> {
        let source = |path: &Path, remote: &Remote| -> Result<Source, Cause> {
            Ok(Source {
                root: open_directory(path)?,
                ignore: Ignore::default(),
                owners: Owners::Root,
                place: remote.shown(),
            })
        };
        let fetch = |remote: &Remote| match remote {
            Remote::Git(location) => {
                let keep = match copy.keep_git_dir {
                    true => GitDir::Kept,
                    false => GitDir::Dropped,
                };
                let path = self.fetcher().repository(location, keep)?;
                Ok(Fetched {
                    source: source(&path, remote)?,
                    path: PathBuf::new(),
                })
            }
            Remote::Url(url) => {
                let (path, name) = self.fetcher().download(url, copy.checksum.as_ref())?;
                Ok(Fetched {
                    source: source(&path, remote)?,
                    path: name.into(),
                })
            }
        };
        copy.remotes.iter().map(fetch).collect()
    }

    pub(super) fn make_workdir(
        &self,
        work: &Finished,
        upper: &Upper,
        workdir: &WorkdirStep,
    ) -> Result<(), Cause> {
        let root = overlay::mount(&self.workspace, &work.dirs, Some(upper))?;
        let owner = owner::resolve(root.as_fd(), &workdir.user)?;
        Ok(Copier::new(root.as_fd(), Attributes::default())
            .make_directories(Path::new(&workdir.path), owner)?)
    }

    /// Opens what `--from` names; the build context when it names nothing.
    pub(super) fn from(
        &self,
        name: Option<&str>,
        lines: Lines,
        done: &Done,
    ) -> Result<From<'_>, Cause> {
        let Some(name) = name else {
            return Ok(From::Context(&self.context));
        };
        let merged = |dirs: &[PathBuf], place: String| -> Result<From<'_>, Cause> {
            let root = overlay::mount(&self.workspace, dirs, None)?;
            let source = Source {
                root,
                ignore: Ignore::default(),
                owners: Owners::Kept,
                place,
            };
            Ok(From::Own(Box::new(source)))
        };
        match self.resolver().from(name, lines)? {
            Origin::Stage(index) => {
                let stage = done.get(&index).ok_or(Cause::Refused {
                    what: format!("--from={name}"),
                    cause: "the stage is not built before this one",
                })?;
                merged(&stage.dirs, format!("stage {name}"))
            }
            Origin::Scratch => merged(&[], "scratch, which is empty".to_owned()),
            Origin::Image(image) => {
                merged(&self.base(&image, None)?.dirs, format!("image {image}"))
            }
            Origin::Context(context) => match self.named_context(&context) {
                Some(NamedContext::Image(image)) => {
                    merged(&self.base(image, None)?.dirs, format!("image {image}"))
                }
                Some(NamedContext::Directory(path)) => self.directory_context(&context, path),
                Some(NamedContext::Remote(remote)) => {
                    self.directory_context(&context, &self.fetched_context(&context, remote)?)
                }
                None => Err(Cause::Refused {
                    what: format!("--from={name}"),
                    cause: "there is no such build context",
                }),
            },
        }
    }

    fn directory_context(&self, name: &str, path: &Path) -> Result<From<'_>, Cause> {
        let root = open_directory(path)?;
        let rules = sys::path::read_file(root.as_fd(), Path::new(".dockerignore"), 16 << 20)
            .unwrap_or_default();
        let file = format!("{}/.dockerignore", path.display());
        let ignore = Ignore::parse(&file, &String::from_utf8_lossy(&rules))?;
        let place = format!("build context {name} ({})", path.display());
        Ok(From::Own(Box::new(Source {
            root,
            ignore,
            owners: Owners::Root,
            place,
        })))
    }
}

fn selection<'s>(
    source: &'s Source,
    fetched: &'s [Fetched],
    copy: &CopyStep,
) -> Result<Selection<'s>, Cause> {
    let parents = if copy.parents {
        Parents::Kept
    } else {
        Parents::Dropped
    };
    let mut selected = Vec::new();
    for word in &copy.sources {
        for one in select(source, word, parents).map_err(Cause::Select)? {
            let handling = handling(source, copy, &one)?;
            selected.push(Chosen {
                source,
                selected: one,
                handling,
            });
        }
    }
    for Fetched { source, path } in fetched {
        let one = files::select::exactly(source, path).map_err(Cause::Select)?;
        // What came over the network is unpacked only where that is asked for.
        let handling = match copy.unpack {
            Some(true) => handling(source, copy, &one)?,
            _ => Handling::Copied,
        };
        selected.push(Chosen {
            source,
            selected: one,
            handling,
        });
    }
    if selected.len() > 1 && !copy.destination.ends_with('/') {
        return Err(Cause::Instruction(Mistake::DestinationNotDirectory(
            copy.verb.name(),
        )));
    }
    let exclude = walk::excludes(&copy.exclude).map_err(Cause::Select)?;
    Ok(Selection { selected, exclude })
}

/// ADD unpacks a file that is an archive by its content.
fn handling(source: &Source, copy: &CopyStep, selected: &Selected) -> Result<Handling, Cause> {
    if copy.verb != CopyVerb::Add || copy.unpack == Some(false) || selected.is_directory {
        return Ok(Handling::Copied);
    }
    let name = selected.named.to_string_lossy().to_lowercase();
    match archive::detect(open_file(source, selected)?)
        .map_err(files::Error::io("read", &selected.named))?
    {
        Content::Archive => Ok(Handling::Unpacked),
        Content::Unsupported(_)
            if [".tar.", ".txz", ".tbz"]
                .iter()
                .any(|ending| name.contains(ending)) =>
        {
            let cause = "archives compressed with xz or bzip2 cannot be unpacked yet: compress it with gzip or zstd, or \
                         give --unpack=false";
            Err(Cause::Refused {
                what: format!("ADD {}", selected.named.display()),
                cause,
            })
        }
        Content::Unsupported(_) | Content::Other if copy.unpack == Some(true) => {
            let what = format!("ADD --unpack {}", selected.named.display());
            Err(Cause::Refused {
                what,
                cause: "it is no tar archive",
            })
        }
        Content::Unsupported(_) | Content::Other => Ok(Handling::Copied),
    }
}

fn open_file(source: &Source, selected: &Selected) -> Result<std::fs::File, Cause> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK;
    let fd = sys::path::open_without_links(source.root.as_fd(), &selected.real, flags);
    Ok(fd
        .map_err(files::Error::io("open", &selected.named))?
        .into())
}

fn unpack(
    copier: &Copier<'_>,
    source: &Source,
    selected: &Selected,
    destination: &str,
) -> Result<(), Cause> {
    let path = Path::new(destination);
    copier.make_directories(path, copier.attributes.owner.unwrap_or_default())?;
    let inside = path.strip_prefix("/").unwrap_or(path);
    let target = sys::path::open_in_root(copier.root, inside, OFlags::RDONLY | OFlags::DIRECTORY);
    let target = target.map_err(files::Error::io("open", path))?;
    let file = open_file(source, selected)?;
    let unpacked = archive::extract(file, target.as_fd());
    unpacked.map(drop).map_err(|source| Cause::Unpack {
        archive: selected.named.display().to_string(),
        source: Box::new(source),
    })
}
