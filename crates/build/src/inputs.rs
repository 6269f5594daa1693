//! What a build reads from outside: the context as a directory handle, the Dockerfile, the ignore file.

use crate::error::Cause;
use crate::files::{Owners, Source};
use crate::ignore::Ignore;
use crate::options::{ContextSource, DockerfileSource};
use crate::remote::{Fetched, Fetcher};
use git::GitDir;
use rustix::fs::{Mode, OFlags};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

const IGNORE: &str = ".dockerignore";
/// A Dockerfile larger than this is no Dockerfile.
const LIMIT: u64 = 16 << 20;

/// The Dockerfile's text and what to call it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Text {
    pub(crate) name: String,
    pub(crate) text: String,
    /// The ignore file that belongs to this Dockerfile alone.
    own_ignore: Option<(String, String)>,
}

/// The context's root.
#[derive(Debug)]
pub(crate) struct ContextRoot {
    pub(crate) root: OwnedFd,
    pub(crate) path: PathBuf,
    pub(crate) place: String,
    /// A URL's whole content, when that is a Dockerfile.
    dockerfile: Option<String>,
}

impl ContextRoot {
    pub(crate) fn open(
        source: ContextSource,
        fetcher: &Fetcher<'_>,
        keep: GitDir,
    ) -> Result<Self, Cause> {
        let workspace = fetcher.workspace;
        match source {
            ContextSource::Remote(remote) => {
                let (path, dockerfile) = match fetcher.context(&remote, keep)? {
                    Fetched::Directory(path) => (path, None),
                    Fetched::Dockerfile(text) => (workspace.directory("context")?, Some(text)),
                };
                Ok(Self {
                    root: open_directory(&path)?,
                    place: format!("the build context {}", remote.shown()),
                    path,
                    dockerfile,
                })
            }
            ContextSource::Directory(path) => {
                let root = open_directory(&path)?;
                let shown = std::path::absolute(&path).unwrap_or_else(|_| path.clone());
                Ok(Self {
                    root,
                    place: format!("the build context {}", shown.display()),
                    path: shown,
                    dockerfile: None,
                })
            }
            ContextSource::Tar(stream) => {
                let path = workspace.directory("context")?;
                let root = open_directory(&path)?;
                image::archive::extract(stream, root.as_fd()).map_err(|source| {
                    Cause::UnpackContext {
                        source: Box::new(source),
                    }
                })?;
                Ok(Self {
                    root,
                    path,
                    place: "the build context on standard input".to_owned(),
                    dockerfile: None,
                })
            }
            ContextSource::Empty => {
                let path = workspace.directory("context")?;
                let root = open_directory(&path)?;
                Ok(Self {
                    root,
                    path,
                    place: "the build context, which is empty".to_owned(),
                    dockerfile: None,
                })
            }
        }
    }

    /// As a source to copy from, the ignore file's rules applied.
    pub(crate) fn into_source(self, text: &Text) -> Result<Source, Cause> {
        let (file, rules) = match &text.own_ignore {
            Some((file, rules)) => (file.clone(), rules.clone()),
            None => (
                IGNORE.to_owned(),
                self.read(Path::new(IGNORE))?.unwrap_or_default(),
            ),
        };
        let ignore = Ignore::parse(&file, &rules)?;
        Ok(Source {
            root: self.root,
            ignore,
            owners: Owners::Root,
            place: self.place,
        })
    }

    fn read(&self, path: &Path) -> Result<Option<String>, Cause> {
        match sys::path::read_file(self.root.as_fd(), path, LIMIT) {
            Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Cause::io("read", self.path.join(path))(e)),
        }
    }
}

impl Text {
    pub(crate) fn read(
        source: &DockerfileSource,
        context: &ContextRoot,
        host_paths: bool,
    ) -> Result<Self, Cause> {
        match source {
            DockerfileSource::Text(text) => Ok(Self {
                name: "Dockerfile".to_owned(),
                text: text.clone(),
                own_ignore: None,
            }),
            DockerfileSource::Path(path) if host_paths => Self::on_host(path),
            DockerfileSource::Path(path) => {
                Self::in_context(context, path)?.ok_or_else(|| missing(path))
            }
            DockerfileSource::InContext if context.dockerfile.is_some() => Ok(Self {
                name: "Dockerfile".to_owned(),
                text: context.dockerfile.clone().unwrap_or_default(),
                own_ignore: None,
            }),
            DockerfileSource::InContext => {
                for name in ["Dockerfile", "dockerfile", "Containerfile"] {
                    if let Some(found) = Self::in_context(context, Path::new(name))? {
                        return Ok(found);
                    }
                }
                Err(missing(&context.path.join("Dockerfile")))
            }
        }
    }

    fn in_context(context: &ContextRoot, path: &Path) -> Result<Option<Self>, Cause> {
        let whole = context.path.join(path);
        let bytes = match sys::path::read_file(context.root.as_fd(), path, LIMIT) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => {
                return Err(Cause::ReadDockerfile {
                    path: whole,
                    source,
                });
            }
            Ok(bytes) => bytes,
        };
        let name = beside(path);
        let own_ignore = context
            .read(&name)?
            .map(|rules| (name.display().to_string(), rules));
        Self::of(path.display().to_string(), bytes, own_ignore).map(Some)
    }

    fn on_host(path: &Path) -> Result<Self, Cause> {
        let bytes = std::fs::read(path).map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => missing(path),
            _ => Cause::ReadDockerfile {
                path: path.to_owned(),
                source,
            },
        })?;
        let name = beside(path);
        let own_ignore = std::fs::read_to_string(&name)
            .ok()
            .map(|rules| (name.display().to_string(), rules));
        let shown = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        Self::of(shown, bytes, own_ignore)
    }

    fn of(
        name: String,
        bytes: Vec<u8>,
        own_ignore: Option<(String, String)>,
    ) -> Result<Self, Cause> {
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Self {
                name,
                text,
                own_ignore,
            }),
            Err(_) => Err(Cause::NotText { path: name.into() }),
        }
    }
}

fn missing(path: &Path) -> Cause {
    Cause::NoDockerfile {
        path: path.to_owned(),
    }
}

/// `<Dockerfile>.dockerignore`.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(IGNORE);
    PathBuf::from(name)
}

/// A directory of the host to read from.
pub(crate) fn open_directory(path: &Path) -> Result<OwnedFd, Cause> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| match errno {
        rustix::io::Errno::NOENT => Cause::NoContext {
            path: path.to_owned(),
        },
        errno => Cause::OpenContext {
            path: path.to_owned(),
            source: errno.into(),
        },
    })
}
