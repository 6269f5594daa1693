//! Which process listens on a port of the host: from the kernel's socket tables to the process that has the inode open.
//!
//! Only looked at when a port turned out to be taken, to name the holder.
//!
//! Source: proc(5), `/proc/pid/net/tcp` and `/proc/pid/fd`.

use model::port::Protocol;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// `process 812 (nginx)`, or `None` when nobody can be found (a socket of another pid namespace).
pub(crate) fn of(address: IpAddr, port: u16, protocol: Protocol) -> Option<String> {
    let tables: &[&str] = match protocol {
        Protocol::Tcp => &["tcp", "tcp6"],
        Protocol::Udp => &["udp", "udp6"],
        Protocol::Sctp => return None,
    };
    let mut inodes = Vec::new();
    for table in tables {
        let text =
            std::fs::read_to_string(format!("/proc/thread-self/net/{table}")).unwrap_or_default();
        inodes.extend(
            text.lines()
                .skip(1)
                .filter_map(|line| listener(line, address, port, protocol)),
        );
    }
    // A process that cannot be found is still said to be one: the port is taken.
    inodes.iter().find_map(|inode| process_with(*inode))
}

/// The inode of the table's line, when that socket stands in the way.
fn listener(line: &str, address: IpAddr, port: u16, protocol: Protocol) -> Option<u64> {
    const TCP_LISTEN: &str = "0A";
    let words: Vec<&str> = line.split_whitespace().collect();
    let (local, state, inode) = (words.get(1)?, words.get(3)?, words.get(9)?);
    let (local, local_port) = local.split_once(':')?;
    let matches = u16::from_str_radix(local_port, 16).ok()? == port
        && (protocol != Protocol::Tcp || *state == TCP_LISTEN)
        && meets(parse_address(local)?, address);
    matches.then(|| inode.parse().ok()).flatten()
}

fn meets(listening: IpAddr, wanted: IpAddr) -> bool {
    listening.is_unspecified() || wanted.is_unspecified() || listening == wanted
}

/// Hexadecimal words in the host's byte order.
fn parse_address(text: &str) -> Option<IpAddr> {
    let word = |at: usize| {
        u32::from_str_radix(text.get(at * 8..at * 8 + 8)?, 16)
            .ok()
            .map(u32::to_ne_bytes)
    };
    match text.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let mut bytes = [0; 16];
            for (at, chunk) in bytes.chunks_exact_mut(4).enumerate() {
                chunk.copy_from_slice(&word(at)?);
            }
            let v6 = Ipv6Addr::from(bytes);
            Some(v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4))
        }
        _ => None,
    }
}

fn process_with(inode: u64) -> Option<String> {
    let wanted = format!("socket:[{inode}]");
    let processes = std::fs::read_dir("/proc").ok()?.filter_map(Result::ok);
    for process in processes {
        let name = process.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let Ok(fds) = std::fs::read_dir(process.path().join("fd")) else {
            continue;
        };
        let has = fds.filter_map(Result::ok).any(|fd| {
            std::fs::read_link(fd.path()).is_ok_and(|target| target.as_os_str() == wanted.as_str())
        });
        if has {
            let command = std::fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(format!("process {pid} ({})", command.trim_end()));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn socket_tables_are_read_as_the_kernel_writes_them() {
        let line = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0";
        let local = Ipv4Addr::LOCALHOST.into();
        assert_eq!(listener(line, local, 8080, Protocol::Tcp), Some(4711));
        assert_eq!(
            listener(line, Ipv4Addr::UNSPECIFIED.into(), 8080, Protocol::Tcp),
            Some(4711)
        );
        assert_eq!(
            listener(line, Ipv4Addr::new(10, 0, 0, 1).into(), 8080, Protocol::Tcp),
            None
        );
        assert_eq!(listener(line, local, 81, Protocol::Tcp), None);
        assert_eq!(
            listener(&line.replace(" 0A ", " 01 "), local, 8080, Protocol::Tcp),
            None
        );
        assert_eq!(listener("", local, 1, Protocol::Tcp), None);
        assert_eq!(
            parse_address("00000000000000000000000001000000"),
            Some(Ipv6Addr::LOCALHOST.into())
        );
        assert_eq!(parse_address("zz"), None);
    }

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
}
