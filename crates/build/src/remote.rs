//! What a build fetches: contexts by git or from a URL, and what ADD names by either.
//!
//! Source: Dockerfile reference "ADD"; BuildKit `source/http`, `source/git` (secrets `GIT_AUTH_TOKEN`, `GIT_AUTH_HEADER`).

use crate::error::Cause;
use crate::options::{BadOption, Secret};
use crate::workspace::Workspace;
use git::{GitDir, Location};
use image::archive::{self, Content};
use image::web::{self, Ask};
use oci::Digest;
use rustix::fs::{OFlags, Timespec, Timestamps};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A Dockerfile by its URL is not larger.
const TEXT_MAX: u64 = 16 << 20;

/// Something that is not here yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remote {
    Git(Box<Location>),
    /// Of an archive or a Dockerfile.
    Url(String),
}

/// What a context turned out to be.
#[derive(Debug)]
pub(crate) enum Fetched {
    Directory(PathBuf),
    /// The URL's content was a Dockerfile.
    Dockerfile(String),
}

/// How what is fetched is asked for.
pub(crate) struct Fetcher<'a> {
    pub(crate) network: image::RegistryOptions,
    pub(crate) secrets: &'a [Secret],
    pub(crate) workspace: &'a Workspace,
    /// Whether what the Dockerfile names may be reached by the caller's ssh, as BuildKit has it: where the build was given an agent
    /// or keys.
    pub(crate) ssh: git::SshUse,
}

impl Remote {
    /// Reads an address; `None`: it is a path of this host.
    pub fn parse(text: &str) -> Option<Result<Self, BadOption>> {
        match Location::parse(text) {
            Some(Ok(location)) => Some(Ok(Self::Git(Box::new(location)))),
            Some(Err(error)) => Some(Err(BadOption {
                what: "git address",
                input: error.url,
                cause: error.cause.into(),
            })),
            None if is_url(text) => Some(Ok(Self::Url(text.to_owned()))),
            None => None,
        }
    }

    /// For people and cache keys: without user and password.
    pub fn shown(&self) -> String {
        match self {
            Self::Git(location) => location.shown(),
            Self::Url(url) => web::shown(url),
        }
    }
}

/// Whether a word of ADD is an address, of whatever kind.
pub(crate) fn is_url(text: &str) -> bool {
    text.starts_with("http://") || text.starts_with("https://")
}

impl Fetcher<'_> {
    /// Fetches a context.
    pub(crate) fn context(&self, remote: &Remote, keep: GitDir) -> Result<Fetched, Cause> {
        match remote {
            Remote::Git(location) => {
                let fetched = self.fetch(location, keep, git::SshUse::Allowed);
                fetched.map(Fetched::Directory)
            }
            Remote::Url(url) => self.archive(url),
        }
    }

    /// What an address in a Dockerfile means.
    pub(crate) fn repository(&self, location: &Location, keep: GitDir) -> Result<PathBuf, Cause> {
        self.fetch(location, keep, self.ssh)
    }

    /// The directory that an address of git's means, without links on the way.
    fn fetch(&self, location: &Location, keep: GitDir, ssh: git::SshUse) -> Result<PathBuf, Cause> {
        let failed = |source| Cause::Git {
            address: location.shown(),
            source: Box::new(source),
        };
        let path = self.workspace.directory("git")?;
        let root = crate::inputs::open_directory(&path)?;
        let access = git::Access {
            ssh,
            ..self.access(location)?
        };
        git::fetch(location, &access, root.as_fd(), keep).map_err(failed)?;
        if location.directory.is_empty() {
            return Ok(path);
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let inside = sys::path::open_in_root(root.as_fd(), Path::new(&location.directory), flags)
            .map_err(|source| Cause::NoDirectory {
            address: location.url(),
            directory: location.directory.clone(),
            source,
        })?;
        let link = format!("/proc/self/fd/{}", inside.as_raw_fd());
        std::fs::read_link(&link).map_err(Cause::io("resolve", link))
    }

    fn access(&self, location: &Location) -> Result<git::Access, Cause> {
        let secret = |name: &str| -> Result<Option<String>, Cause> {
            let own = format!("{name}.{}", location.host());
            let by = |id: &str| self.secrets.iter().find(|secret| secret.id == id);
            let Some(secret) = by(&own).or_else(|| by(name)) else {
                return Ok(None);
            };
            let content = secret.content()?;
            Ok(Some(String::from_utf8_lossy(&content).trim().to_owned()))
        };
        Ok(git::Access {
            network: self.network.clone(),
            token: secret("GIT_AUTH_TOKEN")?,
            header: secret("GIT_AUTH_HEADER")?,
            ssh: git::SshUse::Refused,
        })
    }

    /// An archive is unpacked; anything else is a Dockerfile.
    fn archive(&self, url: &str) -> Result<Fetched, Cause> {
        let unpack = |source| Cause::UnpackContext {
            source: Box::new(source),
        };
        let (directory, file) = self.download(url, None)?;
        let downloaded = directory.join(&file);
        let open = || File::open(&downloaded).map_err(Cause::io("open", &downloaded));
        match archive::detect(open()?).map_err(Cause::io("read", &downloaded))? {
            Content::Archive => {
                let path = self.workspace.directory("context")?;
                let root = crate::inputs::open_directory(&path)?;
                archive::extract(open()?, root.as_fd()).map_err(unpack)?;
                Ok(Fetched::Directory(path))
            }
            Content::Unsupported(kind) => Err(Cause::UrlContext {
                url: web::shown(url),
                why: format!(
                    "it is compressed with {kind}: use gzip or zstd, or do not compress it"
                ),
            }),
            Content::Other => {
                let mut text = String::new();
                let mut from = open()?.take(TEXT_MAX + 1);
                let read = from.read_to_string(&mut text);
                if read.is_err() || text.len() as u64 > TEXT_MAX {
                    return Err(Cause::UrlContext {
                        url: web::shown(url),
                        why: "it is neither an archive nor a Dockerfile".to_owned(),
                    });
                }
                Ok(Fetched::Dockerfile(text))
            }
        }
    }

    /// Downloads a file into a directory of its own; the directory, and the name it has there.
    pub(crate) fn download(
        &self,
        url: &str,
        checksum: Option<&Digest>,
    ) -> Result<(PathBuf, String), Cause> {
        let ask = Ask {
            url,
            body: None,
            headers: &[],
            authorization: None,
        };
        let failed = |source| Cause::Download {
            url: web::shown(url),
            source: Box::new(source),
        };
        let mut answer = web::ask(&self.network, ask).map_err(failed)?;
        if answer.status != 200 {
            return Err(Cause::DownloadStatus {
                url: web::shown(url),
                status: answer.status,
            });
        }
        let directory = self.workspace.directory("download")?;
        let name = file_name(url);
        let path = directory.join(&name);
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(Cause::io("make", &path))?;
        let mut hasher = checksum.map(|digest| digest.algorithm().hasher());
        let mut buffer = vec![0; 256 << 10];
        loop {
            let got = answer.body.read(&mut buffer);
            let got = got.map_err(|source| Cause::DownloadBroken {
                url: web::shown(url),
                source,
            })?;
            if got == 0 {
                break;
            }
            file.write_all(&buffer[..got])
                .map_err(Cause::io("write", &path))?;
            if let Some(hasher) = &mut hasher {
                hasher.update(&buffer[..got]);
            }
        }
        if let (Some(expected), Some(hasher)) = (checksum, hasher) {
            let found = hasher.finish();
            if found != *expected {
                return Err(Cause::DownloadDigest {
                    url: web::shown(url),
                    expected: expected.clone(),
                    found,
                });
            }
        }
        // As the server says, else always the same: a copy's time must not depend on when it was made.
        let modified = answer.last_modified.as_deref();
        let modified = modified.and_then(engine::Timestamp::parse_http);
        let time = Timespec {
            tv_sec: modified.map_or(0, engine::Timestamp::seconds),
            tv_nsec: 0,
        };
        let times = Timestamps {
            last_access: time,
            last_modification: time,
        };
        rustix::fs::futimens(&file, &times)
            .map_err(|errno| Cause::io("set the time of", &path)(errno.into()))?;
        Ok((directory, name))
    }
}

/// The last part of a URL's path.
fn file_name(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = rest.split(['?', '#']).next().unwrap_or_default();
    let last = path
        .split('/')
        .skip(1)
        .filter(|part| !part.is_empty())
        .last();
    let name = last.unwrap_or_default();
    match name {
        "" | "." | ".." => "__unnamed__".to_owned(),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_called_as_their_url_ends() {
        assert_eq!(file_name("https://h/a/b.tar.gz?x=/y"), "b.tar.gz");
        assert_eq!(file_name("https://h/a/"), "a");
        for nameless in [
            "https://h",
            "https://h/",
            "https://h/a/..",
            "https://h/?x/y",
        ] {
            assert_eq!(file_name(nameless), "__unnamed__", "{nameless}");
        }
    }

    #[test]
    fn addresses_and_paths() {
        let shown = |text: &str| Remote::parse(text).map(|parsed| parsed.map(|r| r.shown()));
        assert_eq!(shown("./x.git"), None);
        assert_eq!(
            shown("https://u:p@h/c.tgz"),
            Some(Ok("https://h/c.tgz".into()))
        );
        assert_eq!(
            shown("https://u:p@h/c.git#x"),
            Some(Ok("https://h/c.git#x".into()))
        );
        assert!(shown("https://h/c.git#..").unwrap().is_err());
    }
}
