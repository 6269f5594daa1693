//! The names of running endpoints: one file each, `networks/<network>/names/<endpoint id>` under the run root.
//!
//! Written when a container joins, removed when it leaves, read by every responder of the network (`dns::zone`).
//!
//! ```json
//! {"schema":1, "container":"<id>", "container_name":"web", "names":["web","www"], "addresses":["172.18.0.2"]}
//! ```

use crate::ports::Standing;
use serde::{Deserialize, Serialize};
use state::{Durability, Layout, record};
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use sys::lock::FileLock;

/// What one endpoint is called and where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameEntry {
    pub container: String,
    pub container_name: String,
    /// Container name, aliases, short id; looked up without regard to case.
    pub names: Vec<String>,
    pub addresses: Vec<IpAddr>,
    /// What its service is called, where that has addresses of its own.
    #[serde(default)]
    pub service: Option<ServiceNames>,
    /// Of several containers with one name, those are answered with that serve.
    #[serde(default)]
    pub(crate) standing: Standing,
}

/// The names of a service that has one address on the network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceNames {
    pub names: Vec<String>,
    pub addresses: Vec<IpAddr>,
}

pub(crate) fn directory(layout: &Layout, network: &str) -> PathBuf {
    layout.run_network(network).join("names")
}

pub(crate) fn register(
    layout: &Layout,
    network: &str,
    endpoint_id: &str,
    entry: &NameEntry,
) -> Result<(), record::Error> {
    let dir = directory(layout, network);
    let path = dir.join(endpoint_id);
    if !dir.is_dir() {
        std::fs::create_dir_all(&dir)
            .map_err(|source| record::Error::Write { path: dir, source })?;
    }
    record::write(&path, entry, Durability::Volatile)
}

pub(crate) fn unregister(
    layout: &Layout,
    network: &str,
    endpoint_id: &str,
) -> Result<(), record::Error> {
    record::remove(&directory(layout, network).join(endpoint_id))
}

/// Tells whether a file was written anew: a record is replaced, never changed in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Version {
    inode: u64,
    modified: (i64, i64),
}

/// The endpoints of a network that have names, each with the version of its entry.
pub(crate) fn versions(layout: &Layout, network: &str) -> Vec<(String, Version)> {
    let Ok(dir) = std::fs::read_dir(directory(layout, network)) else {
        return Vec::new();
    };
    let version = |entry: std::fs::DirEntry| {
        let id = entry.file_name().into_string().ok()?;
        let file = entry.metadata().ok().filter(|_| !id.starts_with('.'))?;
        let version = Version {
            inode: file.ino(),
            modified: (file.mtime(), file.mtime_nsec()),
        };
        Some((id, version))
    };
    dir.filter_map(|entry| version(entry.ok()?)).collect()
}

/// What one endpoint is called. One that cannot be read while we look is going.
pub(crate) fn entry(layout: &Layout, network: &str, endpoint_id: &str) -> Option<NameEntry> {
    record::read(&directory(layout, network).join(endpoint_id)).ok()?
}

/// All entries of a network with their endpoint ids.
pub(crate) fn entries(layout: &Layout, network: &str) -> Vec<(String, NameEntry)> {
    let Ok(dir) = std::fs::read_dir(directory(layout, network)) else {
        return Vec::new();
    };
    let read = |file: std::fs::DirEntry| {
        let id = file.file_name().into_string().ok()?;
        let found = entry(layout, network, &id).filter(|_| !id.starts_with('.'))?;
        Some((id, found))
    };
    dir.filter_map(|file| read(file.ok()?)).collect()
}

/// Held by who reads an entry to write it changed: a name and a standing may be given at the same time.
pub(crate) fn lock(layout: &Layout) -> Result<FileLock, record::Error> {
    let path = layout.lock("network", ".names");
    FileLock::exclusive(&path).map_err(|source| record::Error::Write { path, source })
}

/// Changes where a container stands beside others of the same names, on each of its networks.
pub(crate) fn turn(
    layout: &Layout,
    container: &str,
    edit: &dyn Fn(&mut Standing),
) -> Result<(), record::Error> {
    let _lock = lock(layout)?;
    for (network, endpoint_id, mut entry) in everywhere(layout) {
        let before = entry.standing;
        if entry.container == container {
            edit(&mut entry.standing);
        }
        if entry.standing != before {
            register(layout, &network, &endpoint_id, &entry)?;
        }
    }
    Ok(())
}

/// Containers that are on their way out.
pub(crate) fn leaving(layout: &Layout) -> impl Iterator<Item = String> {
    everywhere(layout)
        .filter(|(_, _, entry)| entry.standing.leaving)
        .map(|(_, _, entry)| entry.container)
}

/// All entries of all networks: network, endpoint id, entry.
fn everywhere(layout: &Layout) -> impl Iterator<Item = (String, String, NameEntry)> {
    let networks = std::fs::read_dir(layout.run_networks())
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    networks.flat_map(|network| {
        let entries = entries(layout, &network).into_iter();
        entries.map(move |(id, entry)| (network.clone(), id, entry))
    })
}

/// All endpoints of a network: who is on it now.
pub fn names(layout: &Layout, network: &str) -> Vec<NameEntry> {
    entries(layout, network)
        .into_iter()
        .map(|(_, entry)| entry)
        .collect()
}
