//! `linux.intelRdt`: a container's share of cache and memory bandwidth, in the kernel's resctrl file system.
//!
//! A class of service is a directory; what it gets are the lines of its `schemata`, who is in it stands in `tasks`. A class that the
//! spec names is shared and stays; one by the container's id is ours and goes with it. Nothing is mounted: a host without resctrl
//! gets an error.
//! Source: runtime-spec `config-linux.md` "IntelRdt"; kernel `filesystems/resctrl.rst`.

use oci_spec::runtime::LinuxIntelRdt;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error as ThisError;

#[derive(Debug, ThisError)]
pub enum Error {
    #[error(
        "intelRdt: this host has no resctrl file system mounted (it needs a CPU with RDT, and mount -t resctrl resctrl /sys/fs/resctrl)"
    )]
    NotMounted,
    #[error("intelRdt: {name:?} is not the name of a class of service")]
    Name { name: String },
    #[error("intelRdt: {line:?} is not a line of schemata")]
    Schema { line: String },
    #[error("intelRdt: the class {name:?} does not exist, and without schemata it is not made")]
    NoClass { name: String },
    #[error("intelRdt: the class {name:?} exists and has not {line:?}")]
    Mismatch { name: String, line: String },
    #[error("intelRdt: cannot make {path}")]
    Make {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("intelRdt: cannot write {value:?} to {path}: {told}")]
    Write {
        path: PathBuf,
        value: String,
        /// What the kernel says in `info/last_cmd_status`.
        told: String,
        #[source]
        source: io::Error,
    },
    #[error("intelRdt: cannot read {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("intelRdt: cannot remove {path}")]
    Remove {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// A container's class of service.
#[derive(Debug)]
pub struct Rdt {
    root: PathBuf,
    class: PathBuf,
    monitor: Option<PathBuf>,
    /// Whether the class goes with the container.
    own: bool,
}

impl Rdt {
    /// Makes the class and the monitoring group as the spec wishes. What was made is removed again if anything fails.
    pub fn make(wanted: &LinuxIntelRdt, id: &str) -> Result<Self, Error> {
        Self::make_in(&mounted()?, wanted, id)
    }

    fn make_in(root: &Path, wanted: &LinuxIntelRdt, id: &str) -> Result<Self, Error> {
        let lines = lines(wanted)?;
        let rdt = Self::at(root, wanted, id)?;
        let existed = rdt.class.exists();
        if rdt.own || !lines.is_empty() {
            make_directory(&rdt.class)?;
        } else if !existed {
            return Err(Error::NoClass { name: rdt.name() });
        }
        let done = rdt.fill(&lines, existed);
        if done.is_err() && !existed {
            // Just made, and nobody is in it.
            let _ = std::fs::remove_dir(&rdt.class);
        }
        done.map(|()| rdt)
    }

    /// The class of a container made before.
    pub fn open(wanted: &LinuxIntelRdt, id: &str) -> Result<Self, Error> {
        Self::at(&mounted()?, wanted, id)
    }

    fn at(root: &Path, wanted: &LinuxIntelRdt, id: &str) -> Result<Self, Error> {
        let class = match wanted.clos_id().as_deref() {
            Some("/") => root.to_owned(),
            Some(name) => root.join(check(name)?),
            None => root.join(check(id)?),
        };
        let monitored = *wanted.enable_monitoring() == Some(true);
        Ok(Self {
            root: root.to_owned(),
            monitor: match monitored {
                true => Some(class.join("mon_groups").join(check(id)?)),
                false => None,
            },
            class,
            own: wanted.clos_id().is_none(),
        })
    }

    fn name(&self) -> String {
        let name = self.class.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    fn fill(&self, lines: &[String], existed: bool) -> Result<(), Error> {
        if existed && !self.own {
            self.compare(lines)?;
        } else if !lines.is_empty() {
            self.write(
                &self.class.join("schemata"),
                &format!("{}\n", lines.join("\n")),
            )?;
        }
        self.monitor.as_deref().map_or(Ok(()), make_directory)
    }

    /// A shared class is never changed: it must have what the spec asks for.
    fn compare(&self, lines: &[String]) -> Result<(), Error> {
        let path = self.class.join("schemata");
        let found =
            std::fs::read_to_string(&path).map_err(|source| Error::Read { path, source })?;
        let missing = |line: &&String| !has(&found, line);
        match lines.iter().find(missing) {
            Some(line) => Err(Error::Mismatch {
                name: self.name(),
                line: line.clone(),
            }),
            None => Ok(()),
        }
    }

    /// Puts a process into it, before it executes; its children follow.
    pub fn add(&self, pid: i32) -> Result<(), Error> {
        let directories = [Some(&self.class), self.monitor.as_ref()];
        directories
            .into_iter()
            .flatten()
            .try_for_each(|directory| self.write(&directory.join("tasks"), &pid.to_string()))
    }

    /// Changes the lines of the container's class.
    pub fn update(&self, wanted: &LinuxIntelRdt) -> Result<(), Error> {
        let lines = lines(wanted)?;
        match lines.is_empty() {
            true => Ok(()),
            false => self.write(
                &self.class.join("schemata"),
                &format!("{}\n", lines.join("\n")),
            ),
        }
    }

    /// Removes what was made for the container alone; what is gone already is fine.
    pub fn remove(&self) -> Result<(), Error> {
        let gone = match (self.own, &self.monitor) {
            (true, _) => &self.class,
            (false, Some(monitor)) => monitor,
            (false, None) => return Ok(()),
        };
        match std::fs::remove_dir(gone) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::Remove {
                path: gone.clone(),
                source: e,
            }),
            _ => Ok(()),
        }
    }

    fn write(&self, path: &Path, value: &str) -> Result<(), Error> {
        std::fs::OpenOptions::new()
            .write(true)
            .open(path)
            .and_then(|mut file| io::Write::write_all(&mut file, value.as_bytes()))
            .map_err(|source| {
                let told = std::fs::read_to_string(self.root.join("info/last_cmd_status"));
                Error::Write {
                    path: path.to_owned(),
                    value: value.to_owned(),
                    told: told.unwrap_or_default().trim().to_owned(),
                    source,
                }
            })
    }

    /// What the class has, and what its monitoring group counted.
    pub fn report(&self) -> Report {
        let schemata = |directory: &Path| -> Vec<String> {
            let text = std::fs::read_to_string(directory.join("schemata")).unwrap_or_default();
            text.lines().map(|line| line.trim().to_owned()).collect()
        };
        let line = |lines: &[String], kind: &str| {
            lines.iter().find(|line| line.starts_with(kind)).cloned()
        };
        let (all, own) = (schemata(&self.root), schemata(&self.class));
        let (mbm_stats, cmt_stats) = match &self.monitor {
            Some(monitor) => counted(&monitor.join("mon_data")),
            None => (None, None),
        };
        Report {
            l3_cache_schema_root: line(&all, "L3:"),
            l3_cache_schema: line(&own, "L3:"),
            mem_bw_schema_root: line(&all, "MB:"),
            mem_bw_schema: line(&own, "MB:"),
            schemata: own,
            mbm_stats,
            cmt_stats,
        }
    }
}

/// In the words of runc's `intel_rdt`.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub l3_cache_schema_root: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub l3_cache_schema: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mem_bw_schema_root: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mem_bw_schema: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub schemata: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mbm_stats: Option<Vec<BTreeMap<&'static str, u64>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cmt_stats: Option<Vec<BTreeMap<&'static str, u64>>>,
}

type Counts = Option<Vec<BTreeMap<&'static str, u64>>>;

/// `mon_data/mon_L3_00/…`, a directory for each cache.
fn counted(data: &Path) -> (Counts, Counts) {
    let mut nodes: Vec<PathBuf> = std::fs::read_dir(data)
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    nodes.sort();
    let read = |files: &'static [&'static str]| -> Counts {
        let numbers = |node: &PathBuf| -> Option<BTreeMap<&'static str, u64>> {
            let number = |file: &&'static str| {
                let text = std::fs::read_to_string(node.join(file)).ok()?;
                Some((*file, text.trim().parse().ok()?))
            };
            files.iter().map(number).collect()
        };
        let found: Vec<_> = nodes.iter().filter_map(numbers).collect();
        (!found.is_empty()).then_some(found)
    };
    (
        read(&["mbm_total_bytes", "mbm_local_bytes"]),
        read(&["llc_occupancy"]),
    )
}

/// Where resctrl is mounted in this mount namespace.
fn mounted() -> Result<PathBuf, Error> {
    let path = PathBuf::from("/proc/self/mountinfo");
    let text = std::fs::read_to_string(&path).map_err(|source| Error::Read { path, source })?;
    let place = text.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        after
            .starts_with("resctrl ")
            .then(|| before.split(' ').nth(4))?
    });
    place.map(PathBuf::from).ok_or(Error::NotMounted)
}

/// A class is a directory right below the root.
fn check(name: &str) -> Result<&str, Error> {
    // The names of resctrl's own directories are no classes.
    let taken = ["info", "mon_groups", "mon_data", ".", "..", ""];
    if taken.contains(&name) || name.contains('/') {
        return Err(Error::Name {
            name: name.to_owned(),
        });
    }
    Ok(name)
}

fn make_directory(path: &Path) -> Result<(), Error> {
    match std::fs::create_dir(path) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(Error::Make {
            path: path.to_owned(),
            source: e,
        }),
        _ => Ok(()),
    }
}

/// The lines to write, in the order the specification demands.
fn lines(wanted: &LinuxIntelRdt) -> Result<Vec<String>, Error> {
    let named = [wanted.l3_cache_schema(), wanted.mem_bw_schema()];
    let all = named
        .into_iter()
        .flatten()
        .chain(wanted.schemata().iter().flatten());
    let mut out = Vec::new();
    for line in all.filter(|line| !line.is_empty()) {
        if line.contains('\n') || !line.contains(':') {
            return Err(Error::Schema { line: line.clone() });
        }
        out.push(line.clone());
    }
    Ok(out)
}

/// Whether a file of schemata says what the line asks for: per cache, leading zeros and spaces apart.
fn has(found: &str, line: &str) -> bool {
    let Some((kind, wanted)) = line.split_once(':') else {
        return false;
    };
    let Some((_, there)) = found
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.trim() == kind.trim())
    else {
        return false;
    };
    let (there, wanted) = (shares(there), shares(wanted));
    wanted
        .iter()
        .all(|(cache, share)| there.get(cache) == Some(share))
}

fn shares(text: &str) -> BTreeMap<&str, &str> {
    let pairs = text.split(';').filter_map(|pair| pair.split_once('='));
    pairs
        .map(|(cache, share)| (cache.trim(), share.trim().trim_start_matches('0')))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(json: serde_json::Value) -> LinuxIntelRdt {
        serde_json::from_value(json).unwrap()
    }

    /// A directory tree in place of resctrl: its files take and give text.
    fn tree(name: &str) -> PathBuf {
        let root = std::env::temp_dir().join(format!("rdt-{name}-{}", std::process::id()));
        std::fs::create_dir_all(root.join("shared")).unwrap();
        std::fs::write(
            root.join("shared/schemata"),
            "    L3:0=00ff;1=0f\n    MB:0=50\n",
        )
        .unwrap();
        std::fs::write(root.join("shared/tasks"), "").unwrap();
        root
    }

    #[test]
    fn a_shared_class_must_have_what_is_asked_for() {
        let root = tree("shared");
        let class = |line: &str| {
            let wanted = wish(serde_json::json!({"closID": "shared", "l3CacheSchema": line}));
            Rdt::make_in(&root, &wanted, "id")
        };
        let rdt = class("L3:0=ff").unwrap();
        rdt.add(42).unwrap();
        assert_eq!(
            std::fs::read_to_string(root.join("shared/tasks")).unwrap(),
            "42"
        );
        rdt.remove().unwrap();
        assert!(root.join("shared").exists());
        assert!(matches!(class("L3:0=f"), Err(Error::Mismatch { .. })));
        assert!(matches!(class("L3:2=f"), Err(Error::Mismatch { .. })));
        assert_eq!(rdt.report().mem_bw_schema.as_deref(), Some("MB:0=50"));
        let alone = wish(serde_json::json!({"closID": "other"}));
        assert!(matches!(
            Rdt::make_in(&root, &alone, "id"),
            Err(Error::NoClass { .. })
        ));
        std::fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn a_class_by_id_goes_when_it_cannot_be_filled() {
        let root = tree("own");
        // The kernel would give the new directory its files.
        let wanted = wish(serde_json::json!({"schemata": ["L3:0=f"]}));
        let made = Rdt::make_in(&root, &wanted, "id");
        assert!(matches!(made, Err(Error::Write { .. })));
        assert!(!root.join("id").exists());
        let rdt = Rdt::make_in(&root, &wish(serde_json::json!({})), "id").unwrap();
        assert!(root.join("id").exists());
        rdt.remove().unwrap();
        rdt.remove().unwrap();
        assert!(!root.join("id").exists());
        std::fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn hostile_words() {
        let root = tree("hostile");
        for name in ["../x", "info", "a/b", ""] {
            let wanted = wish(serde_json::json!({ "closID": name, "memBwSchema": "MB:0=1" }));
            assert!(matches!(
                Rdt::make_in(&root, &wanted, "id"),
                Err(Error::Name { .. })
            ));
        }
        let two = wish(serde_json::json!({"l3CacheSchema": "L3:0=f\nMB:0=1"}));
        assert!(matches!(
            Rdt::make_in(&root, &two, "id"),
            Err(Error::Schema { .. })
        ));
        std::fs::remove_dir_all(root).unwrap();
    }
}
