//! Paths by text alone: this crate opens no file.

use std::path::{Component, Path, PathBuf};

/// `path` seen from `base`, with `.` and `..` taken out by text alone; `~` is `home`.
pub(crate) fn resolve(base: &Path, path: &str, home: Option<&str>) -> PathBuf {
    if let (Some(home), Some(rest)) = (home, path.strip_prefix('~'))
        && (rest.is_empty() || rest.starts_with('/'))
    {
        return clean(&Path::new(home).join(rest.trim_start_matches('/')));
    }
    clean(&base.join(path))
}

/// A path from the root, of this system or of Windows (`C:\\data`, `\\\\host\\share`).
pub(crate) fn is_absolute(path: &str) -> bool {
    let drive =
        matches!(path.as_bytes(), [letter, b':', b'\\' | b'/', ..] if letter.is_ascii_alphabetic());
    drive || path.starts_with('/') || path.starts_with(r"\\")
}

/// Without `.`, `..`, doubled or trailing slashes.
pub(crate) fn clean(path: &Path) -> PathBuf {
    let mut cleaned = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => match cleaned.components().next_back() {
                Some(Component::Normal(_)) => drop(cleaned.pop()),
                Some(Component::RootDir) => {}
                _ => cleaned.push(".."),
            },
            other => cleaned.push(other),
        }
    }
    cleaned
}

/// A build context or file that is fetched: a URL, or git's `user@host:path`.
pub(crate) fn is_remote(text: &str) -> bool {
    const SCHEMES: [&str; 7] = [
        "https://",
        "http://",
        "git://",
        "ssh://",
        "github.com/",
        "git@",
        "oci://",
    ];
    SCHEMES.iter().any(|scheme| text.starts_with(scheme))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolves_by_text() {
        let from = |path| {
            resolve(Path::new("/a/b"), path, Some("/root"))
                .display()
                .to_string()
        };
        assert_eq!(from("."), "/a/b");
        assert_eq!(from("../x/./y/"), "/a/x/y");
        assert_eq!(from("/abs//z"), "/abs/z");
        assert_eq!(from("../../../.."), "/");
        assert_eq!(from("~/x"), "/root/x");
        assert_eq!(from("~user"), "/a/b/~user");
        assert_eq!(clean(Path::new("../x/..")).display().to_string(), "..");
    }

    #[test]
    fn absolute_on_either_system() {
        assert!(is_absolute("/a/"));
        assert!(is_absolute(r"C:\data") && is_absolute("c:/data") && is_absolute(r"\\host\share"));
        assert!(!is_absolute("C:") && !is_absolute("a:b") && !is_absolute(r"a\b"));
    }

    #[test]
    fn remotes() {
        assert!(is_remote("https://github.com/x/y.git#main:dir"));
        assert!(is_remote("git@github.com:x/y.git"));
        assert!(!is_remote("./git"));
    }
}
