//! What the kernel says: processes, mounts, control groups, interfaces, nf_tables. Scenarios believe this rather than printed text.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A process's parent and state, by `/proc/PID/stat` (proc(5): the name in brackets may hold anything).
fn parent_and_state(pid: i32) -> Option<(i32, char)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut words = rest.split(' ');
    let state = words.next()?.chars().next()?;
    Some((words.next()?.parse().ok()?, state))
}

/// The parent of a process.
pub fn parent(pid: i32) -> Option<i32> {
    parent_and_state(pid).map(|(parent, _)| parent)
}

/// Whether a process is there and not a zombie.
pub fn lives(pid: i32) -> bool {
    parent_and_state(pid).is_some_and(|(_, state)| state != 'Z' && state != 'X')
}

fn all_pids() -> Vec<i32> {
    let entries = fs::read_dir("/proc")
        .map(|dir| dir.flatten().collect::<Vec<_>>())
        .unwrap_or_default();
    entries
        .iter()
        .filter_map(|e| e.file_name().to_str()?.parse().ok())
        .collect()
}

/// Every living process below `root` in the tree of parents, without `root`.
pub fn descendants(root: i32) -> Vec<i32> {
    let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for pid in all_pids() {
        if let Some((parent, _)) = parent_and_state(pid).filter(|(_, state)| *state != 'Z') {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = Vec::new();
    let mut todo = vec![root];
    while let Some(pid) = todo.pop() {
        for child in children.remove(&pid).unwrap_or_default() {
            found.push(child);
            todo.push(child);
        }
    }
    found
}

/// SIGKILL, to a pid this scenario started.
pub fn kill_9(pid: i32) {
    if let Some(pid) = rustix::process::Pid::from_raw(pid) {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}

/// Kills everything below a process, until nothing new appears.
pub fn kill_tree(root: i32) {
    for _ in 0..50 {
        let left = descendants(root);
        if left.is_empty() {
            return;
        }
        left.into_iter().for_each(kill_9);
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// A process's command line, words joined by blanks.
pub fn command_line(pid: i32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    bytes
        .split(|b| *b == 0)
        .map(String::from_utf8_lossy)
        .collect::<Vec<_>>()
        .join(" ")
        .trim()
        .to_owned()
}

/// A field of `/proc/PID/status`, trimmed.
pub fn status_field(pid: i32, field: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status
        .lines()
        .find_map(|l| l.strip_prefix(field)?.strip_prefix(':'));
    line.map(|l| l.trim().to_owned()).unwrap_or_default()
}

/// Bytes of a process's memory, by a field of smaps_rollup (`Private_Dirty`, `Pss`).
pub fn memory(pid: i32, field: &str) -> u64 {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let line = text
        .lines()
        .find(|line| line.split(':').next() == Some(field));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    let kilobytes: Option<u64> = number.and_then(|n| n.parse().ok());
    kilobytes.unwrap_or_else(|| panic!("no {field} in {path}: {text}")) * 1024
}

/// The environment a process was started with.
pub fn environment(pid: i32) -> BTreeMap<String, String> {
    let bytes = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let words = bytes
        .split(|b| *b == 0)
        .map(|w| String::from_utf8_lossy(w).into_owned());
    words
        .filter_map(|w| w.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned())))
        .collect()
}

/// A file as a process sees it.
pub fn file_in(pid: i32, path: &str) -> String {
    let path = format!("/proc/{pid}/root{path}");
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// One line of `/proc/PID/mountinfo`.
#[derive(Debug, Clone)]
pub struct Mount {
    pub root: String,
    pub target: String,
    pub options: String,
    pub kind: String,
    pub super_options: String,
}

impl Mount {
    pub fn has(&self, option: &str) -> bool {
        self.options
            .split(',')
            .chain(self.super_options.split(','))
            .any(|o| o == option)
    }
}

/// The mounts a process sees.
pub fn mounts_of(pid: i32) -> Vec<Mount> {
    let text = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
    text.lines().filter_map(mount).collect()
}

fn mount(line: &str) -> Option<Mount> {
    let (left, right) = line.split_once(" - ")?;
    let left: Vec<&str> = left.split(' ').collect();
    let right: Vec<&str> = right.split(' ').collect();
    Some(Mount {
        root: (*left.get(3)?).to_owned(),
        target: (*left.get(4)?).to_owned(),
        options: (*left.get(5)?).to_owned(),
        kind: (*right.first()?).to_owned(),
        super_options: (*right.get(2)?).to_owned(),
    })
}

/// Where the kernel's control groups are mounted, v1 hierarchies and v2 alike.
fn cgroup_mounts() -> Vec<PathBuf> {
    let me = i32::try_from(std::process::id()).unwrap_or(0);
    mounts_of(me)
        .into_iter()
        .filter(|m| m.kind.starts_with("cgroup"))
        .map(|m| PathBuf::from(m.target))
        .collect()
}

/// Every control group directory whose path holds `part`.
pub fn cgroups_with(part: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut todo = cgroup_mounts();
    while let Some(dir) = todo.pop() {
        let entries = fs::read_dir(&dir)
            .map(|d| d.flatten().collect::<Vec<_>>())
            .unwrap_or_default();
        for entry in entries
            .iter()
            .filter(|e| e.file_type().is_ok_and(|t| t.is_dir()))
        {
            if entry.path().to_string_lossy().contains(part) {
                found.push(entry.path());
            }
            todo.push(entry.path());
        }
    }
    found
}

/// A control file of the group a process is in: v1 by controller, v2 by name. `names` lists both names.
pub fn cgroup_file(pid: i32, controller: &str, names: [&str; 2]) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    for line in text.lines() {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        let fits = controllers.is_empty() || controllers.split(',').any(|c| c == controller);
        if !fits {
            continue;
        }
        for mount in cgroup_mounts() {
            for name in names {
                let is_v1 = mount
                    .file_name()
                    .is_some_and(|n| n.to_string_lossy().split(',').any(|c| c == controller));
                if controllers.is_empty() == is_v1 {
                    continue;
                }
                let file = mount.join(path.trim_start_matches('/')).join(name);
                if let Ok(value) = fs::read_to_string(file) {
                    return Some(value.trim().to_owned());
                }
            }
        }
    }
    None
}

/// Whether the host has the controllers on the unified hierarchy.
pub fn has_cgroup_v2() -> bool {
    fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").is_ok_and(|c| c.contains("memory"))
}

/// Whether the host has control groups of both versions.
pub fn has_both_cgroups() -> bool {
    let me = i32::try_from(std::process::id()).unwrap_or(0);
    let mounts = mounts_of(me);
    ["cgroup", "cgroup2"]
        .iter()
        .all(|kind| mounts.iter().any(|m| m.kind == *kind))
}

/// The identities of the namespaces of some kind that a set of processes holds.
pub fn namespaces(pids: &[i32], kind: &str) -> BTreeSet<PathBuf> {
    pids.iter()
        .filter_map(|pid| fs::read_link(format!("/proc/{pid}/ns/{kind}")).ok())
        .collect()
}

/// A tool's output; empty when it fails.
pub fn tool(words: &str) -> String {
    let args = shell_words::split(words).expect("balanced quotes");
    let (program, args) = args.split_first().expect("a program");
    let output = Command::new(program)
        .args(args)
        .output()
        .unwrap_or_else(|e| panic!("{program}: {e}"));
    String::from_utf8_lossy(&output.stdout)
        .trim_end()
        .to_owned()
}

/// [`tool`] that must succeed.
///
/// # Panics
/// When it fails, with what it said.
pub fn tool_ok(words: &str) -> String {
    let args = shell_words::split(words).expect("balanced quotes");
    let (program, args) = args.split_first().expect("a program");
    let output = Command::new(program)
        .args(args)
        .output()
        .unwrap_or_else(|e| panic!("{program}: {e}"));
    assert!(
        output.status.success(),
        "{words}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout)
        .trim_end()
        .to_owned()
}

/// The names of the interfaces in this network namespace.
pub fn links() -> BTreeSet<String> {
    let text = tool("ip -o link show");
    text.lines()
        .filter_map(|l| Some(l.split(": ").nth(1)?.split('@').next()?.to_owned()))
        .collect()
}

/// The IPv4 addresses of an interface as a process sees it ("172.17.0.2/16").
pub fn addresses_in(pid: i32) -> Vec<String> {
    let text = tool(&format!(
        "nsenter -t {pid} -n ip -o -4 addr show scope global"
    ));
    text.lines()
        .filter_map(|l| l.split_whitespace().nth(3).map(str::to_owned))
        .collect()
}

/// Every element of every nf_tables set and map in this network namespace, as JSON texts.
pub fn nft_elements() -> Vec<String> {
    let json: serde_json::Value =
        serde_json::from_str(&tool("nft -j list ruleset")).unwrap_or_default();
    let objects = json["nftables"].as_array().cloned().unwrap_or_default();
    let mut elements = Vec::new();
    for object in objects {
        for kind in ["set", "map"] {
            let name = object[kind]["name"].as_str().unwrap_or_default();
            for element in object[kind]["elem"].as_array().into_iter().flatten() {
                elements.push(format!("{name}: {element}"));
            }
        }
    }
    elements
}

/// Everything below a directory, as relative paths.
pub fn files_below(dir: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut todo = vec![dir.to_path_buf()];
    while let Some(at) = todo.pop() {
        for entry in fs::read_dir(&at)
            .map(|d| d.flatten().collect::<Vec<_>>())
            .unwrap_or_default()
        {
            let path = entry.path();
            found.insert(
                path.strip_prefix(dir)
                    .unwrap_or(&path)
                    .to_string_lossy()
                    .into_owned(),
            );
            if entry.file_type().is_ok_and(|t| t.is_dir()) {
                todo.push(path);
            }
        }
    }
    found
}
