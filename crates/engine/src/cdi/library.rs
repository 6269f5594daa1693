//! The CDI specifications of this host: files in a list of directories, a later directory over an earlier one.
//!
//! Two files of one directory that define the same device make it unusable: nobody could say which was meant. A file that
//! cannot be used hides only itself, and is named where a device is not found.
//! Source: CDI specification "CDI directories"; `pkg/cdi/cache.go`.

use super::document::{Broken, Document, MAX_BYTES};
use super::edits::Edits;
use crate::error::{Error, Result};
use model::device::CdiName;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Where specifications lie when the configuration (`cdi-spec-dirs`) does not say otherwise.
pub const SPEC_DIRS: [&str; 2] = ["/etc/cdi", "/var/run/cdi"];

#[derive(Debug)]
pub(super) struct Library {
    dirs: Vec<PathBuf>,
    documents: Vec<(PathBuf, Document)>,
    /// Device by its full name.
    devices: BTreeMap<String, Found>,
    broken: Vec<(PathBuf, Broken)>,
}

/// Where a device is defined.
#[derive(Debug, Clone)]
struct Found {
    /// Which directory.
    priority: usize,
    document: usize,
    device: usize,
    /// Another file of the same directory that defines it too.
    rival: Option<usize>,
}

impl Library {
    pub(super) fn read(dirs: &[PathBuf]) -> Self {
        let mut library = Self {
            dirs: dirs.to_vec(),
            documents: Vec::new(),
            devices: BTreeMap::new(),
            broken: Vec::new(),
        };
        for (priority, dir) in dirs.iter().enumerate() {
            for path in files(dir) {
                match read(&path) {
                    Ok(document) => library.add(priority, path, document),
                    Err(broken) => library.broken.push((path, broken)),
                }
            }
        }
        library
    }

    fn add(&mut self, priority: usize, path: PathBuf, document: Document) {
        let number = self.documents.len();
        let (vendor, class) = document.kind();
        for (index, device) in document.devices.iter().enumerate() {
            let name = format!("{vendor}/{class}={}", device.name);
            match self.devices.get_mut(&name) {
                Some(known) if known.priority == priority => known.rival = Some(number),
                _ => {
                    let found = Found {
                        priority,
                        document: number,
                        device: index,
                        rival: None,
                    };
                    self.devices.insert(name, found);
                }
            }
        }
        self.documents.push((path, document));
    }

    pub(super) fn has_kind(&self, vendor: &str, class: &str) -> bool {
        let mut all = self.documents.iter();
        all.any(|(_, document)| document.kind() == (vendor, class))
    }

    /// The names of the devices of a kind.
    pub(super) fn devices_of(&self, vendor: &str, class: &str) -> Vec<String> {
        let kind = format!("{vendor}/{class}=");
        let names = self.devices.keys();
        names
            .filter_map(|name| name.strip_prefix(&kind).map(str::to_owned))
            .collect()
    }

    /// All devices by their full names.
    pub(super) fn names(&self) -> Vec<String> {
        self.devices.keys().cloned().collect()
    }

    /// What all these devices need together; what a file says for all its devices, once.
    pub(super) fn edits(&self, names: &[String]) -> Result<Edits> {
        let mut edits = Edits::default();
        let mut used = Vec::new();
        for name in names {
            let found = self.find(name)?;
            let (path, document) = &self.documents[found.document];
            if !used.contains(&found.document) {
                used.push(found.document);
                edits.add(path, &document.container_edits)?;
            }
            edits.add(path, &document.devices[found.device].container_edits)?;
        }
        Ok(edits)
    }

    fn find(&self, name: &str) -> Result<&Found> {
        let unresolvable =
            |cause: String| Error::invalid(format!("unresolvable CDI device {name}"), cause);
        let Some(parsed) = CdiName::parse(name) else {
            return Err(unresolvable(
                "a CDI name is vendor.com/class=name".to_owned(),
            ));
        };
        let Some(found) = self.devices.get(name) else {
            let known = self.devices_of(parsed.vendor, parsed.class);
            return Err(unresolvable(match known.is_empty() {
                true => format!(
                    "no specification of {}/{} in {}{}",
                    parsed.vendor,
                    parsed.class,
                    self.places(),
                    self.failures()
                ),
                false => format!("known are {}{}", known.join(", "), self.failures()),
            }));
        };
        match found.rival {
            None => Ok(found),
            Some(rival) => Err(unresolvable(format!(
                "it is defined in both {} and {}",
                self.documents[found.document].0.display(),
                self.documents[rival].0.display()
            ))),
        }
    }

    /// The directories, for messages.
    pub(super) fn places(&self) -> String {
        let places: Vec<String> = self.dirs.iter().map(|d| d.display().to_string()).collect();
        places.join(", ")
    }

    /// The files that are not used and why, for messages; empty when all are.
    pub(super) fn failures(&self) -> String {
        let each = self
            .broken
            .iter()
            .map(|(path, why)| format!("; {} is not used: {why}", path.display()));
        each.collect()
    }
}

/// The specification files of a directory in the order of their names. One that is not there holds none.
fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let is_spec = |path: &PathBuf| {
        matches!(
            path.extension().and_then(|e| e.to_str()),
            Some("json" | "yaml")
        ) && path.is_file()
    };
    let mut files: Vec<PathBuf> = entries.map(|e| e.path()).filter(is_spec).collect();
    files.sort();
    files
}

fn read(path: &Path) -> Result<Document, Broken> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Broken::TooLarge);
    }
    Document::parse(path, &bytes)
}
