//! The servers to ask: given, or those of the host's `resolv.conf`, read again when it changed.
//!
//! The host's own loopback servers (systemd-resolved) serve as well, since we ask from the host's namespace, and first: they
//! know which server to ask about which domain. Those behind them stand in while they are silent.
//!
//! Source: resolv.conf(5), systemd-resolved.service(8).

use crate::resolv;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// Tells one version of a file from the next; `None` where there is none.
type Version = Option<(u64, i64, i64, u64)>;

#[derive(Debug)]
pub(super) struct Servers {
    given: Vec<IpAddr>,
    found: Vec<IpAddr>,
    files: [PathBuf; 2],
    read: Option<[Version; 2]>,
}

impl Servers {
    pub(super) fn new(given: Vec<IpAddr>) -> Self {
        Self {
            given,
            found: Vec::new(),
            files: [resolv::HOST_FILE.into(), resolv::RESOLVED_FILE.into()],
            read: None,
        }
    }

    pub(super) fn current(&mut self) -> &[IpAddr] {
        if !self.given.is_empty() {
            return &self.given;
        }
        let now = Some(self.files.each_ref().map(version));
        if now != self.read {
            self.read = now;
            self.found = self.listed();
        }
        &self.found
    }

    fn listed(&self) -> Vec<IpAddr> {
        let [own, behind] = self
            .files
            .each_ref()
            .map(|path| resolv::servers(&std::fs::read_to_string(path).unwrap_or_default()));
        let mut found = own;
        if found.is_empty() {
            found.push(Ipv4Addr::LOCALHOST.into()); // what the C library does
        }
        if found.iter().all(IpAddr::is_loopback) {
            found.extend(behind);
        }
        found
    }
}

fn version(path: &PathBuf) -> Version {
    let file = std::fs::metadata(path).ok()?;
    Some((file.ino(), file.mtime(), file.mtime_nsec(), file.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_file_is_noticed_and_resolved_stands_behind_its_stub() {
        let dir = tempfile::tempdir().unwrap();
        let files = ["own", "resolved"].map(|name| dir.path().join(name));
        let mut servers = Servers {
            files: files.clone(),
            ..Servers::new(Vec::new())
        };
        let mut says = |own: &str, behind: &str| {
            std::fs::write(&files[0], own).unwrap();
            std::fs::write(&files[1], behind).unwrap();
            let found = servers.current().iter().map(ToString::to_string);
            found.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            says("nameserver 10.0.0.1\n", "nameserver 9.9.9.9\n"),
            "10.0.0.1"
        );
        assert_eq!(
            says("nameserver 127.0.0.53\n", "nameserver 9.9.9.9\n"),
            "127.0.0.53 9.9.9.9"
        );
        assert_eq!(says("", ""), "127.0.0.1");
        std::fs::remove_file(&files[0]).unwrap();
        assert_eq!(servers.current(), [IpAddr::from(Ipv4Addr::LOCALHOST)]);
    }
}
