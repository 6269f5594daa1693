//! What a killed process left where it was writing a record: `.NAME.PID.SERIAL.tmp` ([`crate::record::write_bytes`]).

use std::path::Path;

/// Below these lie no records, but what may be large.
const CONTENTS: [&str; 12] = [
    "upper",
    "work",
    "diff",
    "_data",
    "logs",
    "files",
    "layers",
    "images",
    "trash",
    "mount-points",
    "remote",
    "compose",
];
/// Records lie this deep below a root, and no deeper.
const DEPTH: usize = 4;

/// Whether a file's name is that of a record in the making whose maker is no more.
pub fn is_dead(name: &str) -> bool {
    let maker = name
        .strip_suffix(".tmp")
        .filter(|_| name.starts_with('.'))
        .and_then(|rest| rest.rsplit('.').nth(1))
        .and_then(|pid| pid.parse::<i32>().ok());
    maker.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists())
}

/// Removes all of them below a root; returns how many there were. What cannot be read or removed now is left for the next time.
pub fn sweep(root: &Path) -> usize {
    sweep_below(root, DEPTH)
}

fn sweep_below(dir: &Path, depth: usize) -> usize {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return 0;
    };
    let mut removed = 0;
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let Ok(kind) = entry.file_type() else {
            continue;
        };
        if kind.is_dir() && depth > 1 && !CONTENTS.contains(&name.as_ref()) {
            removed += sweep_below(&entry.path(), depth - 1);
        } else if kind.is_file() && is_dead(&name) {
            removed += usize::from(std::fs::remove_file(entry.path()).is_ok());
        }
    }
    removed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_in_the_making_go_with_their_makers() {
        let dir = tempfile::tempdir().unwrap();
        let dead = format!(".web.json.{}.0.tmp", i32::MAX);
        let living = format!(".web.json.{}.0.tmp", std::process::id());
        let place = |below: &str, name: &str| {
            let at = dir.path().join(below);
            std::fs::create_dir_all(&at).unwrap();
            std::fs::write(at.join(name), "{}").unwrap();
            at.join(name)
        };
        let gone = [
            place("networks", &dead),
            place("volumes/data", &dead),
            place("generations/app/1", &dead),
        ];
        let kept = [
            place("networks", &living),
            place("networks", "web.json"),
            place("networks", "web.json.1.0.tmp"),
            place("networks", ".tmp"),
            place("volumes/data/_data", &dead),
            place("containers/x/upper", &dead),
        ];
        assert_eq!(sweep(dir.path()), gone.len());
        assert!(gone.iter().all(|path| !path.exists()));
        assert!(kept.iter().all(|path| path.exists()));
        assert_eq!(sweep(Path::new("/nonexistent")), 0);
    }

    #[test]
    fn a_link_leads_nowhere() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let dead = other.path().join(format!(".x.{}.0.tmp", i32::MAX));
        std::fs::write(&dead, "").unwrap();
        std::os::unix::fs::symlink(other.path(), dir.path().join("networks")).unwrap();
        assert_eq!(sweep(dir.path()), 0);
        assert!(dead.exists());
    }
}
