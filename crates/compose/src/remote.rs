//! Compose files that are elsewhere: in git repositories (`https://host/repo.git#ref:directory`) and as artifacts of registries
//! (`oci://registry/app:tag`). They are brought here once by commit or digest, and read from there.
//!
//! ```text
//! <data>/remote/git/<commit>    a whole checkout, root's alone
//! <data>/remote/oci/<digest>    the files of an artifact
//! ```
//! Source: Docker Compose `pkg/remote` (media types, annotations, names of files).

mod unused;

pub use unused::{Checkout, checkouts, prune};

use crate::files::HostFiles;
use compose_file::{Fetched, Files};
use engine::Context;
use git::{GitDir, Location};
use image::artifact::{self, File, Kind};
use oci::Reference;
use rustix::fs::{Mode, OFlags};
use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// A project as an artifact.
pub const PROJECT: Kind<'static> = Kind {
    artifact_type: "application/vnd.docker.compose.project",
    config_type: "application/vnd.docker.compose.config.empty.v1+json",
};
pub const FILE: &str = "application/vnd.docker.compose.file+yaml";
pub const ENV_FILE: &str = "application/vnd.docker.compose.envfile";
pub const FILE_NAME: &str = "com.docker.compose.file";
pub const ENV_FILE_NAME: &str = "com.docker.compose.envfile";
/// Of a file that services of the others extend.
pub const EXTENDED: &str = "com.docker.compose.extends";

const OCI: &str = "oci://";
const NAMES: [&str; 4] = [
    "compose.yaml",
    "compose.yml",
    "docker-compose.yml",
    "docker-compose.yaml",
];

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(
        "only git repositories (https://HOST/REPOSITORY.git#REF:DIRECTORY) and artifacts (oci://REGISTRY/NAME:TAG) can be Compose files"
    )]
    Unknown,
    #[error("{what} are switched off by {variable}")]
    Off {
        what: &'static str,
        variable: &'static str,
    },
    #[error("{0} is true or false, not {1:?}")]
    Switch(&'static str, String),
    #[error(transparent)]
    Address(#[from] git::BadLocation),
    #[error(transparent)]
    Git(#[from] git::Error),
    #[error(transparent)]
    Reference(#[from] oci::reference::Error),
    #[error(transparent)]
    Image(#[from] image::Error),
    #[error("the repository has no file {0}")]
    NoFile(String),
    #[error("the repository has none of {names} in {0}", names = NAMES.join(", "))]
    NoComposeFile(String),
    #[error("the artifact has a file without a usable name: {0:?}")]
    Name(String),
    #[error("the artifact has no Compose file")]
    Empty,
    #[error("{0}")]
    Engine(String),
    #[error("cannot {step} {}", path.display())]
    File {
        step: &'static str,
        path: PathBuf,
        source: io::Error,
    },
}

impl Error {
    fn file(step: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { step, path, source }
    }
}

/// The host's files, and those elsewhere. The engine is opened only for these.
pub struct ProjectFiles<'a> {
    pub engine: &'a dyn Fn() -> Result<&'a Context, String>,
    /// The process's environment.
    pub environment: &'a BTreeMap<String, String>,
}

impl std::fmt::Debug for ProjectFiles<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProjectFiles").finish_non_exhaustive()
    }
}

impl Files for ProjectFiles<'_> {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        HostFiles.read(path)
    }

    fn is_file(&self, path: &Path) -> bool {
        HostFiles.is_file(path)
    }

    fn is_dir(&self, path: &Path) -> bool {
        HostFiles.is_dir(path)
    }

    fn read_stdin(&self) -> io::Result<Vec<u8>> {
        HostFiles.read_stdin()
    }

    fn fetch(&self, address: &str) -> Result<Fetched, String> {
        self.fetched(address).map_err(|error| crate::chain(&error))
    }
}

impl ProjectFiles<'_> {
    fn fetched(&self, address: &str) -> Result<Fetched, Error> {
        if let Some(name) = address.strip_prefix(OCI) {
            self.allowed("artifacts", "COMPOSE_EXPERIMENTAL_OCI_REMOTE")?;
            let reference: Reference = name.parse()?;
            let ctx = (self.engine)().map_err(Error::Engine)?;
            return of_registry(ctx, &reference.or_latest());
        }
        let location = location(address).ok_or(Error::Unknown)??;
        self.allowed("git repositories", "COMPOSE_EXPERIMENTAL_GIT_REMOTE")?;
        let ctx = (self.engine)().map_err(Error::Engine)?;
        of_git(ctx, location)
    }

    fn allowed(&self, what: &'static str, variable: &'static str) -> Result<(), Error> {
        let value = self.environment.get(variable).map_or("", String::as_str);
        match value {
            "" | "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(()),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Err(Error::Off { what, variable }),
            other => Err(Error::Switch(variable, other.to_owned())),
        }
    }
}

/// An address of git's, its branch or tag also as `@ref` after `.git`.
fn location(address: &str) -> Option<Result<Location, git::BadLocation>> {
    match address.split_once(".git@") {
        // Not where `.git` ends a user's name.
        Some((repository, reference))
            if !reference.contains('#') && repository.splitn(4, '/').count() == 4 =>
        {
            Location::parse(&format!("{repository}.git#{reference}"))
        }
        _ => Location::parse(address),
    }
}

fn of_git(ctx: &Context, mut location: Location) -> Result<Fetched, Error> {
    let access = git::Access {
        network: ctx.registries(),
        ssh: git::SshUse::Allowed,
        ..git::Access::default()
    };
    if !location.is_fixed() {
        location.reference = Some(git::resolve(&location, &access)?.to_string());
    }
    let mut key = location.reference.clone().unwrap_or_default();
    for (asked, suffix) in [
        (location.submodules == Some(false), "-alone"),
        (location.keep_git_dir == Some(true), "-git"),
    ] {
        key += if asked { suffix } else { "" };
    }
    let place = ctx.layout.remote().join("git").join(key);
    let root = kept(ctx, &place, |root| {
        git::fetch(&location, &access, root.as_fd(), GitDir::Dropped)?;
        Ok(())
    })?;
    Ok(Fetched {
        file: compose_file_in(&root, &location.directory)?,
        name: location.name().to_owned(),
    })
}

/// What the directory of an address means: a file, or a directory with one. Links are followed within the checkout.
fn compose_file_in(root: &OwnedFd, inside: &str) -> Result<PathBuf, Error> {
    let open = |path: &Path| sys::path::open_in_root(root.as_fd(), path, OFlags::PATH).ok();
    let real = |fd: &OwnedFd| {
        let link = format!("/proc/self/fd/{}", fd.as_raw_fd());
        std::fs::read_link(&link).map_err(Error::file("resolve", link))
    };
    let is_file = |fd: &OwnedFd| {
        rustix::fs::fstat(fd).is_ok_and(|stat| {
            rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::RegularFile
        })
    };
    let inside = Path::new(inside);
    let shown = inside.display().to_string();
    let found = open(inside).ok_or_else(|| Error::NoFile(shown.clone()))?;
    if is_file(&found) {
        return real(&found);
    }
    let named = NAMES.iter().filter_map(|name| open(&inside.join(name)));
    let file = named.into_iter().find(is_file);
    file.as_ref().map_or_else(
        || {
            let place = if shown.is_empty() { "its root" } else { &shown };
            Err(Error::NoComposeFile(place.to_owned()))
        },
        real,
    )
}

fn of_registry(ctx: &Context, reference: &Reference) -> Result<Fetched, Error> {
    let network = ctx.registries();
    let digest = artifact::resolve(&network, reference)?;
    let place = ctx.layout.remote().join("oci").join(digest.hex());
    kept(ctx, &place, |root| {
        let files = artifact::pull(&network, &reference.with_digest(digest.clone()), PROJECT)?;
        write_artifact(root, &files)
    })?;
    let name = reference.path().rsplit('/').next().unwrap_or_default();
    Ok(Fetched {
        file: place.join(NAMES[0]),
        name: name.to_owned(),
    })
}

fn write_artifact(root: &OwnedFd, files: &[File]) -> Result<(), Error> {
    let mut written: BTreeMap<&str, Vec<u8>> = BTreeMap::new();
    let annotated = |file: &'_ File, key: &str| file.annotations.get(key).cloned();
    let mut names = Vec::new();
    for file in files {
        let name = match file.media_type.as_str() {
            FILE if annotated(file, EXTENDED).is_some() => {
                own_name(annotated(file, FILE_NAME), &names)?
            }
            FILE => NAMES[0].to_owned(),
            ENV_FILE => own_name(annotated(file, ENV_FILE_NAME), &names)?,
            _ => continue,
        };
        names.push((name, file));
    }
    for (name, file) in &names {
        let content = written.entry(name).or_default();
        if !content.is_empty() {
            // Files that are given together are documents of one, in their order.
            content.extend_from_slice(b"\n---\n");
        }
        content.extend_from_slice(&file.content);
    }
    if !written.contains_key(NAMES[0]) {
        return Err(Error::Empty);
    }
    for (name, content) in written {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let made = rustix::fs::openat(root, name, flags, Mode::from_raw_mode(0o600));
        let mut out: std::fs::File = made
            .map_err(|errno| Error::file("make", name)(errno.into()))?
            .into();
        io::Write::write_all(&mut out, &content).map_err(Error::file("write", name))?;
    }
    Ok(())
}

/// A plain name, and no other file's.
fn own_name(name: Option<String>, taken: &[(String, &File)]) -> Result<String, Error> {
    let name = name.unwrap_or_default();
    let plain = !matches!(name.as_str(), "" | "." | "..")
        && !name.contains(['/', '\\', '\0'])
        && name.len() <= 255;
    if !plain || name == NAMES[0] || taken.iter().any(|(other, _)| *other == name) {
        return Err(Error::Name(name));
    }
    Ok(name)
}

/// The directory at `place`, made whole at once if it is not there.
fn kept(
    ctx: &Context,
    place: &Path,
    fill: impl FnOnce(&OwnedFd) -> Result<(), Error>,
) -> Result<OwnedFd, Error> {
    if place.is_dir() {
        return open(place);
    }
    let parent = place.parent().unwrap_or(place);
    make(parent, true)?;
    let aside = Aside(engine::trash::fresh(ctx, "remote"));
    make(&aside.0, false)?;
    fill(&open(&aside.0)?)?;
    match std::fs::rename(&aside.0, place) {
        // Another command was as quick: what has this name has this content.
        Err(_) if place.is_dir() => {}
        other => other.map_err(Error::file("make", place))?,
    }
    open(place)
}

/// What is being made; removed unless it was renamed.
struct Aside(PathBuf);

impl Drop for Aside {
    fn drop(&mut self) {
        // What cannot be removed now is in the trash, and swept.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn make(path: &Path, recursive: bool) -> Result<(), Error> {
    DirBuilder::new()
        .recursive(recursive)
        .mode(0o700)
        .create(path)
        .map_err(Error::file("make", path))
}

fn open(path: &Path) -> Result<OwnedFd, Error> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
        .map_err(|errno| Error::file("open", path)(errno.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(media_type: &str, annotations: &[(&str, &str)], content: &str) -> File {
        let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        File {
            media_type: media_type.to_owned(),
            annotations: annotations.iter().map(pair).collect(),
            content: content.as_bytes().to_vec(),
        }
    }

    fn written(files: &[File]) -> Result<BTreeMap<String, String>, Error> {
        let dir = tempfile::tempdir().unwrap();
        write_artifact(&open(dir.path())?, files)?;
        let entries = std::fs::read_dir(dir.path()).unwrap().flatten();
        let read = |entry: std::fs::DirEntry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            (name, std::fs::read_to_string(entry.path()).unwrap())
        };
        Ok(entries.map(read).collect())
    }

    #[test]
    fn an_artifacts_files() {
        let files = [
            file(FILE, &[(FILE_NAME, "compose.yaml")], "a: 1"),
            file(FILE, &[(FILE_NAME, "over.yaml")], "a: 2"),
            file(FILE, &[(FILE_NAME, "ab.yaml"), (EXTENDED, "true")], "b: 1"),
            file(ENV_FILE, &[(ENV_FILE_NAME, "cd.env")], "C=1"),
            file("text/plain", &[], "?"),
        ];
        let all = written(&files).unwrap();
        assert_eq!(all.len(), 3);
        assert_eq!(all["compose.yaml"], "a: 1\n---\na: 2");
        assert_eq!(all["ab.yaml"], "b: 1");
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for name in ["../x", "/etc/x", "", "..", "a/b", "compose.yaml"] {
            let files = [
                file(FILE, &[], "a: 1"),
                file(ENV_FILE, &[(ENV_FILE_NAME, name)], "C=1"),
            ];
            assert!(matches!(written(&files), Err(Error::Name(_))), "{name}");
        }
        let twice = file(ENV_FILE, &[(ENV_FILE_NAME, "x")], "C=1");
        assert!(written(&[file(FILE, &[], "a: 1"), twice.clone(), twice]).is_err());
        assert!(matches!(written(&[]), Err(Error::Empty)));
    }

    #[test]
    fn a_reference_behind_an_at_sign() {
        let shown = |text: &str| location(text).map(|l| l.unwrap().shown());
        assert_eq!(shown("https://h/x.git@v1").unwrap(), "https://h/x.git#v1");
        assert_eq!(
            shown("https://h/x.git@v1:d").unwrap(),
            "https://h/x.git#v1:d"
        );
        assert_eq!(
            shown("https://u@h/x.git#v1:d").unwrap(),
            "https://h/x.git#v1:d"
        );
        assert_eq!(
            shown("https://h/x.git@v1:d/f.yml").unwrap(),
            "https://h/x.git#v1:d/f.yml"
        );
        assert_eq!(shown("https://me.git@h/x.git").unwrap(), "https://h/x.git");
        assert_eq!(shown("https://h/x.yaml"), None);
    }
}
