//! The servers to ask: given, or those of the host's `resolv.conf`, read again when it changed.
//!
//! The host's own loopback servers (systemd-resolved) serve as well, since we ask from the host's namespace.
//!
//! Source: resolv.conf(5).

use crate::resolv;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::SystemTime;

#[derive(Debug)]
pub(super) struct Servers {
    given: Vec<IpAddr>,
    found: Vec<IpAddr>,
    changed: Option<SystemTime>,
}

impl Servers {
    pub(super) fn new(given: Vec<IpAddr>) -> Self {
        Self {
            given,
            found: Vec::new(),
            changed: None,
        }
    }

    pub(super) fn current(&mut self) -> &[IpAddr] {
        if !self.given.is_empty() {
            return &self.given;
        }
        let path = Path::new(resolv::HOST_FILE);
        let changed = std::fs::metadata(path)
            .and_then(|file| file.modified())
            .ok();
        if changed.is_none() || changed != self.changed {
            self.changed = changed;
            self.found = resolv::servers(&std::fs::read_to_string(path).unwrap_or_default());
            if self.found.is_empty() {
                self.found.push(Ipv4Addr::LOCALHOST.into()); // what the C library does
            }
        }
        &self.found
    }
}
