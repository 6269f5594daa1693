//! Which process listens on a port of the host: from the kernel's socket tables to the process that has the inode open.
//!
//! Looked at when a port turned out to be taken, to name the holder, and for the table of all open ports.
//!
//! Source: proc(5), `/proc/pid/fd`.

use super::projection;
use model::port::Protocol;
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use sys::sockdiag::{self, Listener};

/// `process 812 (nginx)`, or `None` when nobody can be found (a socket of another pid namespace).
pub(crate) fn of(address: IpAddr, port: u16, protocol: Protocol) -> Option<String> {
    let listeners = sockdiag::listeners(projection::protocol_number(protocol)).ok()?;
    let in_the_way = |l: &&Listener| l.port == port && meets(l.address, address);
    let inodes: Vec<u64> = listeners
        .iter()
        .filter(in_the_way)
        .map(|l| l.inode)
        .collect();
    let found = processes(&inodes);
    found.values().next().map(ToString::to_string)
}

fn meets(listening: IpAddr, wanted: IpAddr) -> bool {
    listening.is_unspecified() || wanted.is_unspecified() || listening == wanted
}

/// A process of the host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    pub pid: u32,
    pub command: String,
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} ({})", self.pid, self.command)
    }
}

/// Which process has which of the sockets, by inode; of several the one with the lowest pid.
pub(super) fn processes(inodes: &[u64]) -> BTreeMap<u64, Process> {
    let mut found: BTreeMap<u64, Process> = BTreeMap::new();
    if inodes.is_empty() {
        return found;
    }
    let entries = std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(Result::ok);
    let mut pids: Vec<u32> = entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    pids.sort_unstable();
    for pid in pids {
        let fds = std::fs::read_dir(format!("/proc/{pid}/fd"))
            .into_iter()
            .flatten()
            .filter_map(Result::ok);
        for inode in fds.filter_map(|fd| socket_inode(&std::fs::read_link(fd.path()).ok()?)) {
            if inodes.contains(&inode) {
                found.entry(inode).or_insert_with(|| {
                    let command =
                        std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
                    Process {
                        pid,
                        command: command.trim_end().to_owned(),
                    }
                });
            }
        }
        if found.len() == inodes.len() {
            break;
        }
    }
    found
}

/// `socket:[4711]`.
fn socket_inode(link: &Path) -> Option<u64> {
    link.to_str()?
        .strip_prefix("socket:[")?
        .strip_suffix(']')?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn a_listener_of_our_own_is_found_by_name() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let holder = of(Ipv4Addr::UNSPECIFIED.into(), port, Protocol::Tcp).unwrap();
        assert!(
            holder.starts_with(&format!("process {} (", std::process::id())),
            "{holder}"
        );
    }

    #[test]
    fn links_of_other_kinds_are_no_sockets() {
        assert_eq!(socket_inode(Path::new("socket:[12]")), Some(12));
        for other in ["pipe:[12]", "/dev/null", "socket:[x]", "socket:[12"] {
            assert_eq!(socket_inode(Path::new(other)), None, "{other}");
        }
    }
}
