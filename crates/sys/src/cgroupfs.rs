//! The cgroup file systems: which hierarchies are mounted where, and reading and writing their files.
//!
//! No policy: which group, which limit and what it means is the caller's.
//! Source: cgroups(7), kernel `cgroup-v1/`, `cgroup-v2.rst`, proc_pid_cgroup(5), proc_pid_mountinfo(5).

use crate::path::{Magic, path_is_on};
use rustix::fs::{AtFlags, Mode, OFlags};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where distributions mount cgroups.
const USUAL: &str = "/sys/fs/cgroup";

/// One v1 hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct V1 {
    pub mount: PathBuf,
    /// `["cpu", "cpuacct"]`, or `["name=systemd"]` for one without controllers.
    pub controllers: Vec<String>,
}

/// What is mounted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hierarchies {
    pub v2: Option<PathBuf>,
    pub v1: Vec<V1>,
}

impl Hierarchies {
    pub fn is_empty(&self) -> bool {
        self.v2.is_none() && self.v1.is_empty()
    }

    /// The v1 hierarchy that has this controller.
    pub fn v1_with(&self, controller: &str) -> Option<&V1> {
        self.v1
            .iter()
            .find(|hierarchy| hierarchy.controllers.iter().any(|c| c == controller))
    }
}

/// Finds the mounted hierarchies: by the usual places first (mountinfo costs time for every mount of the host), else by mountinfo.
pub fn detect() -> io::Result<Hierarchies> {
    if path_is_on(Path::new(USUAL), Magic::Cgroup2) {
        return Ok(Hierarchies {
            v2: Some(PathBuf::from(USUAL)),
            v1: Vec::new(),
        });
    }
    if path_is_on(Path::new(USUAL), Magic::Tmpfs)
        && let Some(found) = at_usual_places(&crate::file::read_made_up_at("/proc/self/cgroup")?)
    {
        return Ok(found);
    }
    Ok(parse_mountinfo(&std::fs::read_to_string(
        "/proc/self/mountinfo",
    )?))
}

fn at_usual_places(own_groups: &str) -> Option<Hierarchies> {
    let mut found = Hierarchies::default();
    for line in own_groups.lines() {
        let mut fields = line.splitn(3, ':');
        let (number, controllers) = (fields.next()?, fields.next()?);
        if number == "0" {
            found.v2 = [USUAL, "/sys/fs/cgroup/unified"]
                .map(PathBuf::from)
                .into_iter()
                .find(|p| path_is_on(p, Magic::Cgroup2));
            continue;
        }
        let directory = controllers.strip_prefix("name=").unwrap_or(controllers);
        let mount = Path::new(USUAL).join(directory);
        if !path_is_on(&mount, Magic::Cgroup1) {
            return None;
        }
        found.v1.push(V1 {
            mount,
            controllers: controllers.split(',').map(str::to_owned).collect(),
        });
    }
    Some(found)
}

/// Options of a v1 superblock that are not controllers.
const NOT_CONTROLLERS: [&str; 8] = [
    "rw",
    "ro",
    "xattr",
    "noprefix",
    "clone_children",
    "none",
    "nsdelegate",
    "cpuset_v2_mode",
];

fn parse_mountinfo(text: &str) -> Hierarchies {
    let mut found = Hierarchies::default();
    for line in text.lines() {
        let Some((before, after)) = line.split_once(" - ") else {
            continue;
        };
        let (Some(root), Some(mount)) = (before.split(' ').nth(3), before.split(' ').nth(4)) else {
            continue;
        };
        // A mount of a subtree is a container's view, not the hierarchy.
        if root != "/" {
            continue;
        }
        let mut fields = after.split(' ');
        let (kind, options) = (fields.next().unwrap_or(""), fields.nth(1).unwrap_or(""));
        let mount = PathBuf::from(unescape(mount));
        match kind {
            "cgroup2" if found.v2.is_none() => found.v2 = Some(mount),
            "cgroup" => {
                let wanted = |option: &&str| {
                    !NOT_CONTROLLERS.contains(option) && !option.starts_with("release_agent=")
                };
                let controllers: Vec<String> = options
                    .split(',')
                    .filter(wanted)
                    .map(str::to_owned)
                    .collect();
                if !found
                    .v1
                    .iter()
                    .any(|known| known.controllers == controllers)
                {
                    found.v1.push(V1 { mount, controllers });
                }
            }
            _ => {}
        }
    }
    found
}

/// mountinfo writes space, tab, newline and backslash as three octal digits.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        match after
            .get(..3)
            .and_then(|digits| u8::from_str_radix(digits, 8).ok())
        {
            Some(byte) => {
                out.push(byte as char);
                rest = &after[3..];
            }
            None => {
                out.push('\\');
                rest = after;
            }
        }
    }
    out + rest
}

/// The controllers of this kernel, whichever hierarchy they are bound to.
pub fn kernel_controllers() -> io::Result<Vec<String>> {
    let text = std::fs::read_to_string("/proc/cgroups")?;
    Ok(text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split('\t').next().map(str::to_owned))
        .collect())
}

/// Opens a group's directory.
pub fn open(path: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(
        path,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW,
        Mode::empty(),
    )?)
}

/// Makes a group and opens it; one that exists is opened. Says which it was.
pub fn make(path: &Path) -> io::Result<(OwnedFd, Made)> {
    match rustix::fs::mkdir(path, Mode::from_raw_mode(0o755)) {
        Ok(()) => Ok((open(path)?, Made::New)),
        Err(rustix::io::Errno::EXIST) => Ok((open(path)?, Made::Existed)),
        Err(e) => Err(e.into()),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    New,
    Existed,
}

/// Writes one value: cgroup files take each write(2) as a whole command.
pub fn write(group: impl AsFd, file: &str, value: &str) -> io::Result<()> {
    let fd = rustix::fs::openat(
        group,
        file,
        OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW,
        Mode::empty(),
    )?;
    loop {
        match rustix::io::write(&fd, value.as_bytes()) {
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => continue,
            Err(e) => return Err(e.into()),
        }
    }
}

pub fn read(group: impl AsFd, file: &str) -> io::Result<String> {
    let fd = rustix::fs::openat(
        group,
        file,
        OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW,
        Mode::empty(),
    )?;
    crate::file::read_made_up(&fd)
}

pub fn exists(group: BorrowedFd<'_>, file: &str) -> bool {
    rustix::fs::accessat(group, file, rustix::fs::Access::EXISTS, AtFlags::empty()).is_ok()
}

/// A file of one number; `max` is no limit.
pub fn read_number(group: impl AsFd, file: &str) -> io::Result<Option<u64>> {
    let text = read(group, file)?;
    match text.trim() {
        "max" => Ok(None),
        // v1 hugetlb and memory files say -1 or a page-rounded i64::MAX for no limit.
        number => number
            .parse::<i128>()
            .map(|n| u64::try_from(n).ok())
            .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e)),
    }
}

/// One field of a `key value` file.
pub fn read_field(group: impl AsFd, file: &str, key: &str) -> io::Result<Option<u64>> {
    Ok(field(&read(group, file)?, key))
}

pub fn field(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        line.strip_prefix(key)?
            .strip_prefix(' ')?
            .trim()
            .parse()
            .ok()
    })
}

/// Leaves a word on a group that later processes find.
pub fn mark(group: impl AsFd, name: &str) -> io::Result<()> {
    Ok(rustix::fs::fsetxattr(
        group,
        name,
        b"1",
        rustix::fs::XattrFlags::empty(),
    )?)
}

pub fn is_marked(path: &Path, name: &str) -> bool {
    let mut value = [0_u8; 1];
    rustix::fs::lgetxattr(path, name, &mut value).is_ok()
}

/// Removes an empty group. For a moment after the last process was reaped the kernel may still say EBUSY: tried again for `patience`.
pub fn remove(path: &Path, patience: Duration) -> io::Result<()> {
    let deadline = std::time::Instant::now() + patience;
    let mut pause = Duration::from_micros(200);
    loop {
        match rustix::fs::rmdir(path) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => return Ok(()),
            Err(rustix::io::Errno::BUSY) if std::time::Instant::now() < deadline => {
                std::thread::sleep(pause);
                pause = (pause * 2).min(Duration::from_millis(20));
            }
            Err(e) => return Err(e.into()),
        }
    }
}

/// Moves the calling process's only thread into a v1 group: a thread that moves itself skips the kernel's global lock, which a
/// write to `cgroup.procs` takes (9-12 ms on a quiet machine).
pub fn join_v1_as_single_thread(group: BorrowedFd<'_>) -> io::Result<()> {
    write(group, "tasks", "0")
}

/// Moves a process into a v2 group; for those that could not be born in it.
pub fn join_v2(group: BorrowedFd<'_>, pid: i32) -> io::Result<()> {
    write(group, "cgroup.procs", &pid.to_string())
}

/// All processes of a group, threads of others not counted.
pub fn pids(group: impl AsFd) -> io::Result<Vec<i32>> {
    Ok(read(group, "cgroup.procs")?
        .lines()
        .filter_map(|line| line.parse().ok())
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/uni\\040fied rw,relatime - cgroup2 cgroup2 rw,nsdelegate
90 31 0:29 /docker/abc /somewhere rw - cgroup cgroup rw,cpu,cpuacct
";

    #[test]
    fn mountinfo_of_a_hybrid_host() {
        let found = parse_mountinfo(HYBRID);
        assert_eq!(found.v2, Some(PathBuf::from("/sys/fs/cgroup/uni fied")));
        assert_eq!(found.v1.len(), 2);
        assert_eq!(
            found.v1_with("cpuacct").unwrap().mount,
            Path::new("/sys/fs/cgroup/cpu,cpuacct")
        );
        assert_eq!(found.v1[1].controllers, ["name=systemd"]);
    }

    #[test]
    fn nothing_mounted() {
        assert!(parse_mountinfo("22 1 8:1 / / rw - ext4 /dev/sda1 rw\n").is_empty());
    }

    #[test]
    fn both_ways_of_detection_agree() {
        let mut quick = detect().unwrap();
        let mut slow = parse_mountinfo(&std::fs::read_to_string("/proc/self/mountinfo").unwrap());
        quick.v1.sort_by(|a, b| a.mount.cmp(&b.mount));
        slow.v1.sort_by(|a, b| a.mount.cmp(&b.mount));
        assert_eq!(quick, slow);
    }

    #[test]
    fn fields_by_whole_name() {
        let text = "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n";
        assert_eq!(field(text, "oom_kill"), Some(3));
        assert_eq!(field(text, "oom"), None);
    }
}
