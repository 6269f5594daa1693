//! Removal of whole directory trees, by handles and in few system calls: most directories that go are empty.
//!
//! Source: unlinkat(2), getdents64(2).

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir};
use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Removes what the path names, and all below it. Links are removed, never followed.
pub fn remove(path: &Path) -> io::Result<()> {
    let name = CString::new(path.as_os_str().as_bytes())?;
    let found = rustix::fs::statat(CWD, name.as_c_str(), AtFlags::SYMLINK_NOFOLLOW)?;
    if FileType::from_raw_mode(found.st_mode) == FileType::Directory {
        remove_directory(CWD, &name)
    } else {
        Ok(rustix::fs::unlinkat(
            CWD,
            name.as_c_str(),
            AtFlags::empty(),
        )?)
    }
}

/// Empties it batch by batch until it can be removed.
fn remove_directory(parent: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    let mut directory = None;
    loop {
        match rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR) {
            Err(rustix::io::Errno::NOTEMPTY) => {}
            other => return Ok(other?),
        }
        let handle = match directory.take() {
            Some(handle) => handle,
            None => rustix::fs::openat(
                parent,
                name,
                OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
                Mode::empty(),
            )?,
        };
        let batch = list(handle.as_fd())?;
        if batch.is_empty() {
            // Read to its end, and yet something is in it: from the start again.
            rustix::fs::seek(&handle, rustix::fs::SeekFrom::Start(0))?;
            if list(handle.as_fd())?.is_empty() {
                return Err(io::ErrorKind::DirectoryNotEmpty.into());
            }
            rustix::fs::seek(&handle, rustix::fs::SeekFrom::Start(0))?;
        }
        for (name, kind) in batch {
            remove_entry(handle.as_fd(), &name, kind)?;
        }
        directory = Some(handle);
    }
}

fn remove_entry(parent: BorrowedFd<'_>, name: &CStr, kind: FileType) -> io::Result<()> {
    if kind == FileType::Directory {
        return remove_directory(parent, name);
    }
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        // A file system that does not tell the kind of an entry.
        Err(rustix::io::Errno::ISDIR) => remove_directory(parent, name),
        Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

/// The entries one call gives.
fn list(directory: BorrowedFd<'_>) -> io::Result<Vec<(CString, FileType)>> {
    let mut buffer = [MaybeUninit::<u8>::uninit(); 8 << 10];
    let mut entries = RawDir::new(directory, &mut buffer);
    let mut batch = Vec::new();
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name != "." && name != ".." {
            batch.push((entry.file_name().to_owned(), entry.file_type()));
        }
        if entries.is_buffer_empty() && !batch.is_empty() {
            break;
        }
    }
    Ok(batch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trees_go_whole_and_what_links_lead_to_stays() {
        let base = std::env::temp_dir().join(format!("tree-test-{}", std::process::id()));
        let kept = base.join("kept");
        std::fs::create_dir_all(&kept).unwrap();
        std::fs::write(kept.join("file"), "x").unwrap();
        let tree = base.join("tree");
        std::fs::create_dir_all(tree.join("a/b/c/d")).unwrap();
        std::fs::create_dir(tree.join("empty")).unwrap();
        std::os::unix::fs::symlink(&kept, tree.join("a/link")).unwrap();
        // More than one batch.
        for n in 0..2000 {
            std::fs::write(tree.join(format!("a/b/file with a longer name {n}")), "").unwrap();
        }
        remove(&tree).unwrap();
        assert!(!tree.exists() && kept.join("file").exists());
        let link = base.join("link");
        std::os::unix::fs::symlink(&kept, &link).unwrap();
        remove(&link).unwrap();
        assert!(!link.is_symlink() && kept.exists());
        let missing = remove(&base.join("nothing")).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        remove(&base).unwrap();
        assert!(!base.exists());
    }
}
