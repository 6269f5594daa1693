//! How much room a directory takes on disk (`system df`, `ps -s`, what a prune frees).

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Bytes allocated below a path; a hard-linked file counts once, links are not followed.
pub fn disk_usage(path: &Path) -> u64 {
    let mut seen = HashSet::new();
    let mut total = 0;
    let mut todo = vec![path.to_owned()];
    while let Some(next) = todo.pop() {
        let Ok(meta) = next.symlink_metadata() else {
            continue;
        };
        if meta.nlink() > 1 && !meta.is_dir() && !seen.insert((meta.dev(), meta.ino())) {
            continue;
        }
        total += meta.blocks() * 512;
        if meta.is_dir()
            && let Ok(entries) = std::fs::read_dir(&next)
        {
            todo.extend(entries.flatten().map(|e| e.path()));
        }
    }
    total
}

/// Bytes of the regular files below a path, as Docker counts a container's `SizeRw`; a hard-linked file counts once.
pub fn apparent_size(path: &Path) -> u64 {
    let mut seen = HashSet::new();
    let mut total = 0;
    let mut todo = vec![path.to_owned()];
    while let Some(next) = todo.pop() {
        let Ok(meta) = next.symlink_metadata() else {
            continue;
        };
        if meta.is_file() {
            let is_new = meta.nlink() < 2 || seen.insert((meta.dev(), meta.ino()));
            total += if is_new { meta.len() } else { 0 };
        } else if meta.is_dir()
            && let Ok(entries) = std::fs::read_dir(&next)
        {
            todo.extend(entries.flatten().map(|e| e.path()));
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_many_names_counts_once() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("a"), [1; 5000]).unwrap();
        std::fs::create_dir(at("sub")).unwrap();
        for name in ["b", "sub/c"] {
            std::fs::hard_link(at("a"), at(name)).unwrap();
        }
        std::fs::write(at("other"), [1; 70]).unwrap();
        std::os::unix::fs::symlink("a", at("link")).unwrap();
        assert_eq!(apparent_size(dir.path()), 5070);
        let one = at("a").metadata().unwrap().blocks() * 512;
        assert!(disk_usage(&at("sub")) >= one);
        assert!(disk_usage(dir.path()) < disk_usage(&at("sub")) + 2 * one + 5 * 4096);
    }
}
