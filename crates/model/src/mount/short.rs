//! The short forms of mounts: `-v src:dst:opts` and `--tmpfs /run:size=64m`.
//!
//! Source: Docker CLI reference (`--volume`, `--tmpfs`), Compose Specification `volumes` short syntax.

use super::{Mount, MountKind, Recursion};
use crate::{ParseError, size};
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

const PROPAGATION: [&str; 6] = [
    "private", "rprivate", "shared", "rshared", "slave", "rslave",
];

/// Reads `[SOURCE:]TARGET[:OPTIONS]`. A source with a leading `/`, `.` or `~` is a path; `base_dir` is where
/// relative ones start. `~` stays as it is: only the caller knows the home directory.
pub fn parse_volume(text: &str, base_dir: &Path) -> Result<Mount, ParseError> {
    let fail = |cause: String| ParseError::new("volume specification", text, cause);
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, options) = match parts[..] {
        [target] => (None, target, ""),
        [target, options]
            if target.starts_with('/') && !options.starts_with('/') && is_options(options) =>
        {
            (None, target, options)
        }
        [source, target] => (Some(source), target, ""),
        [source, target, options] => (Some(source), target, options),
        _ => {
            return Err(fail(
                "too many colons; write it as [source:]target[:options]".into(),
            ));
        }
    };
    if source == Some("") || target.is_empty() {
        return Err(fail("empty section between colons".into()));
    }
    if !target.starts_with('/') {
        return Err(fail(format!(
            "invalid mount path: '{target}' mount path must be absolute"
        )));
    }
    let target = clean(target);
    if target == "/" {
        return Err(fail("destination can't be '/'".into()));
    }
    let mut mount = match source {
        Some(path) if path.starts_with(['/', '.', '~']) => bind(&resolve(path, base_dir), target),
        Some(name) => volume(Some(volume_name(name).map_err(fail)?), target),
        None => volume(None, target),
    };
    if options.is_empty() && text.ends_with(':') {
        return Err(fail("empty section between colons".into()));
    }
    apply_options(&mut mount, options).map_err(fail)?;
    Ok(mount)
}

fn bind(source: &str, target: String) -> Mount {
    let kind = MountKind::Bind {
        source: source.to_owned(),
        create_source: true,
        propagation: None,
        recursion: Recursion::Enabled,
    };
    Mount {
        kind,
        target,
        read_only: false,
    }
}

fn volume(name: Option<String>, target: String) -> Mount {
    let kind = MountKind::Volume {
        name,
        no_copy: false,
        subpath: None,
        driver: None,
        driver_opts: BTreeMap::new(),
        labels: BTreeMap::new(),
    };
    Mount {
        kind,
        target,
        read_only: false,
    }
}

fn is_options(text: &str) -> bool {
    !text.is_empty() && text.split(',').all(is_option)
}

fn is_option(word: &str) -> bool {
    let known = [
        "ro",
        "rw",
        "readonly",
        "z",
        "Z",
        "nocopy",
        "volume-nocopy",
        "cached",
        "delegated",
        "consistent",
        "default",
    ];
    known.contains(&word) || PROPAGATION.contains(&word) || word == "bind-nonrecursive"
}

fn apply_options(mount: &mut Mount, options: &str) -> Result<(), String> {
    for word in options.split(',').filter(|word| !word.is_empty()) {
        match (word, &mut mount.kind) {
            ("ro" | "readonly", _) => mount.read_only = true,
            ("rw", _) => mount.read_only = false,
            // SELinux relabelling and Docker Desktop's cache hints: nothing to do here.
            ("z" | "Z" | "cached" | "delegated" | "consistent" | "default", _) => {}
            ("nocopy" | "volume-nocopy", MountKind::Volume { no_copy, .. }) => *no_copy = true,
            ("bind-nonrecursive", MountKind::Bind { recursion, .. }) => {
                *recursion = Recursion::Disabled;
            }
            (word, MountKind::Bind { propagation, .. }) if PROPAGATION.contains(&word) => {
                *propagation = Some(word.to_owned());
            }
            (word, _) => return Err(format!("invalid mode: {word}")),
        }
    }
    Ok(())
}

/// Checks a volume's name: `[a-zA-Z0-9][a-zA-Z0-9_.-]*`.
pub fn volume_name(name: &str) -> Result<String, String> {
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    let rest_well = name
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
    if starts_well && rest_well {
        return Ok(name.to_owned());
    }
    Err(format!(
        "\"{name}\" includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. \
         If you intended to pass a host directory, use absolute path"
    ))
}

/// `path` seen from `base_dir`, with `.` and `..` taken out by text alone.
pub(crate) fn resolve(path: &str, base_dir: &Path) -> String {
    if path.starts_with('~') {
        return path.to_owned();
    }
    let mut resolved = PathBuf::new();
    for part in base_dir.join(path).components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                resolved.pop();
            }
            other => resolved.push(other),
        }
    }
    resolved.to_string_lossy().into_owned()
}

/// An absolute path without `.`, `..`, doubled or trailing slashes.
pub(crate) fn clean(path: &str) -> String {
    resolve(path, Path::new("/"))
}

/// Reads `TARGET[:OPTIONS]` of `--tmpfs`: `size` and `mode` by value, tmpfs(5) options as they are.
pub fn parse_tmpfs(text: &str) -> Result<Mount, ParseError> {
    let fail = |cause: String| ParseError::new("tmpfs mount", text, cause);
    let (target, options) = text.split_once(':').unwrap_or((text, ""));
    if !target.starts_with('/') || clean(target) == "/" {
        return Err(fail(format!(
            "invalid mount path: '{target}' mount path must be absolute and not '/'"
        )));
    }
    let (mut bytes, mut mode, mut read_only, mut rest) = (None, None, false, Vec::new());
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option.split_once('=').unwrap_or((option, "")) {
            // A share of memory (`50%`) is the kernel's to read.
            ("size", value) if !value.ends_with('%') => {
                bytes = Some(size::parse(value).map_err(|e| fail(e.to_string()))?);
            }
            ("mode", value) => {
                mode = Some(
                    parse_mode(value)
                        .ok_or_else(|| fail(format!("mode {value:?} is not octal")))?,
                )
            }
            ("ro", "") => read_only = true,
            ("rw", "") => read_only = false,
            (key, _) if is_tmpfs_option(key) => rest.push(option.to_owned()),
            (key, _) => return Err(fail(format!("invalid tmpfs option {key:?}"))),
        }
    }
    let kind = MountKind::Tmpfs {
        size: bytes,
        mode,
        options: rest,
    };
    Ok(Mount {
        kind,
        target: clean(target),
        read_only,
    })
}

/// Octal permission bits, with or without leading zeros.
pub(crate) fn parse_mode(text: &str) -> Option<u32> {
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|mode| *mode <= 0o7777 && !text.starts_with('+'))
}

fn is_tmpfs_option(key: &str) -> bool {
    const KNOWN: [&str; 33] = [
        "size",
        "nr_inodes",
        "nr_blocks",
        "uid",
        "gid",
        "huge",
        "mpol",
        "defaults",
        "suid",
        "nosuid",
        "dev",
        "nodev",
        "exec",
        "noexec",
        "sync",
        "async",
        "dirsync",
        "remount",
        "mand",
        "nomand",
        "atime",
        "noatime",
        "diratime",
        "nodiratime",
        "bind",
        "rbind",
        "private",
        "rprivate",
        "shared",
        "rshared",
        "slave",
        "rslave",
        "strictatime",
    ];
    KNOWN.contains(&key)
        || matches!(
            key,
            "relatime" | "norelatime" | "nostrictatime" | "unbindable" | "runbindable"
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Mount {
        parse_volume(text, Path::new("/proj/app")).unwrap_or_else(|e| panic!("{e}"))
    }

    fn source(mount: &Mount) -> &str {
        match &mount.kind {
            MountKind::Bind { source, .. } => source,
            MountKind::Volume { name, .. } => name.as_deref().unwrap_or(""),
            _ => panic!("{mount:?}"),
        }
    }

    #[test]
    fn binds_and_volumes() {
        for (text, from, to, ro) in [
            ("/srv:/data", "/srv", "/data", false),
            ("./src:/app:ro", "/proj/app/src", "/app", true),
            ("../x/./y:/app/", "/proj/x/y", "/app", false),
            (".:/app", "/proj/app", "/app", false),
            ("~/x:/app", "~/x", "/app", false),
            ("db:/var/lib/mysql", "db", "/var/lib/mysql", false),
            (
                "db:/var//lib/../lib/mysql:rw",
                "db",
                "/var/lib/mysql",
                false,
            ),
            ("/data", "", "/data", false),
            ("/data:ro", "", "/data", true),
            ("/../../x:/y", "/x", "/y", false),
        ] {
            let mount = read(text);
            assert_eq!(
                (source(&mount), mount.target.as_str(), mount.read_only),
                (from, to, ro),
                "{text}"
            );
        }
    }

    #[test]
    fn options() {
        assert!(matches!(
            read("db:/x:nocopy").kind,
            MountKind::Volume { no_copy: true, .. }
        ));
        let shared = read("/a:/b:ro,rshared,z");
        assert!(
            matches!(shared.kind, MountKind::Bind { propagation: Some(ref p), create_source: true, .. } if p == "rshared")
        );
        assert!(shared.read_only);
        read("/a:/b:cached");
    }

    #[test]
    fn errors() {
        for (text, cause) in [
            ("", "empty section"),
            (":/x", "empty section between colons"),
            ("/x:", "empty section between colons"),
            ("a:/x:", "empty section"),
            (
                "db:data",
                "invalid mount path: 'data' mount path must be absolute",
            ),
            ("data", "mount path must be absolute"),
            ("/a:/", "destination can't be '/'"),
            ("/a:/b/..", "destination can't be '/'"),
            ("/a:/b:rx", "invalid mode: rx"),
            ("/a:/b:nocopy", "invalid mode: nocopy"),
            ("db:/b:shared", "invalid mode: shared"),
            (
                "a/b:/x",
                "includes invalid characters for a local volume name",
            ),
            ("a:/b:ro:x", "too many colons"),
        ] {
            let error = parse_volume(text, Path::new("/p")).unwrap_err().to_string();
            assert!(error.contains(cause), "{text}: {error}");
        }
    }

    #[test]
    fn tmpfs() {
        let mount = parse_tmpfs("/run:size=64m,mode=1777,noexec,uid=5").unwrap();
        let MountKind::Tmpfs {
            size,
            mode,
            options,
        } = mount.kind
        else {
            panic!()
        };
        assert_eq!((size, mode), (Some(64 << 20), Some(0o1777)));
        assert_eq!(options, ["noexec", "uid=5"]);
        assert_eq!(parse_tmpfs("/run").unwrap().target, "/run");
        assert!(parse_tmpfs("/run:ro").unwrap().read_only);
        assert!(
            matches!(parse_tmpfs("/run:size=50%").unwrap().kind, MountKind::Tmpfs { size: None, options, .. } if options == ["size=50%"])
        );
        for text in ["run", "/", "/run:size=x", "/run:mode=9", "/run:frobnicate"] {
            assert!(parse_tmpfs(text).is_err(), "{text}");
        }
    }
}
