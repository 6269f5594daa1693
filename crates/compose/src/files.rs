//! The host's files: what the loader reads, and what configs and secrets are written to.
//!
//! ```text
//! <data>/compose/<project>/<hash>    one config or secret; root's alone, named after its content, never changed
//! ```

use crate::spec::{Content, Material};
use std::collections::BTreeSet;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Read access for the loader.
#[derive(Debug, Clone, Copy, Default)]
pub struct HostFiles;

impl compose_file::Files for HostFiles {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        std::fs::read(path)
    }

    fn is_file(&self, path: &Path) -> bool {
        path.is_file()
    }

    fn is_dir(&self, path: &Path) -> bool {
        path.is_dir()
    }

    fn read_stdin(&self) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        io::stdin().lock().read_to_end(&mut text)?;
        Ok(text)
    }
}

/// Where the files of all projects lie.
pub fn root(layout: &state::Layout) -> PathBuf {
    layout.compose()
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot {step} {}", path.display())]
    File {
        step: &'static str,
        path: PathBuf,
        source: io::Error,
    },
}

fn failed(step: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File { step, path, source }
}

/// Writes a file, unless it is there: what has this name has this content. One from the host is read each time.
pub fn write(file: &Material) -> Result<(), Error> {
    let dir = file.path.parent().unwrap_or(Path::new("/"));
    if let Some(root) = dir.parent() {
        // Nobody but root may look in from the host; a container sees only what is mounted.
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(root)
            .map_err(failed("create", root))?;
    }
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(failed("create", dir))?;
    let bytes = match &file.content {
        Content::Bytes(_) if file.path.exists() => return Ok(()),
        Content::Bytes(bytes) => bytes.clone(),
        Content::File(source) => std::fs::read(source).map_err(failed("read", source))?,
    };
    let name = file.path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = dir.join(format!(
        ".{name}.{}.{:?}",
        std::process::id(),
        std::thread::current().id()
    ));
    let written = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut out| out.write_all(&bytes))
        .and_then(|()| std::fs::rename(&temporary, &file.path));
    if written.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    written.map_err(failed("write", &file.path))
}

/// Removes the files of a project that no container mounts any more.
pub(crate) fn sweep(layout: &state::Layout, project: &str, used: &BTreeSet<PathBuf>) {
    let dir = root(layout).join(project);
    let Ok(entries) = std::fs::read_dir(&dir) else {
        return;
    };
    for entry in entries.flatten() {
        if !used.contains(&entry.path()) {
            // One that cannot be removed now is found again by the next sweep.
            let _ = std::fs::remove_file(entry.path());
        }
    }
    let _ = std::fs::remove_dir(&dir);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn a_secret_is_roots_alone_and_nothing_half_written_stays() {
        let dir = tempfile::tempdir().unwrap();
        let layout = state::Layout::new(dir.path(), dir.path().join("run"));
        let path = root(&layout).join("shop/abc");
        let file = Material {
            path: path.clone(),
            content: Content::Bytes(b"s".to_vec()),
        };
        write(&file).unwrap();
        write(&file).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"s");
        assert_eq!(path.metadata().unwrap().mode() & 0o7777, 0o600);
        assert_eq!(
            path.parent().unwrap().metadata().unwrap().mode() & 0o777,
            0o700
        );
        assert_eq!(
            std::fs::read_dir(path.parent().unwrap()).unwrap().count(),
            1
        );
        sweep(&layout, "shop", &BTreeSet::from([path.clone()]));
        assert!(path.exists());
        sweep(&layout, "shop", &BTreeSet::new());
        assert!(!path.parent().unwrap().exists());
    }
}
