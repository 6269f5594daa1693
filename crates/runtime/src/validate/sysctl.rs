//! Which kernel parameters belong to a namespace of the container: all others are the host's.
//!
//! Source: sysctl(8), namespaces(7), ipc_namespaces(7), proc_sys_user(5); runc's list.

use super::Error;
use super::linux::Namespaces;

const IPC: [&str; 8] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];

pub(super) fn check(key: &str, namespaces: &Namespaces<'_>) -> Result<(), Error> {
    use oci_spec::runtime::LinuxNamespaceType::{Ipc, User, Uts};
    let wrong = |problem| {
        Err(Error::Sysctl {
            key: key.to_owned(),
            problem,
        })
    };
    // Up to the parent of /proc/sys would be another file altogether.
    let path = crate::init::sysctl_path(key);
    if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return wrong("is not the name of a kernel parameter");
    }
    let (group, name) = path.split_once('/').unwrap_or((path.as_str(), ""));
    let dotted = path.replace('/', ".");
    if IPC.contains(&dotted.as_str()) || path.starts_with("fs/mqueue/") {
        return match namespaces.has(Ipc) {
            true => Ok(()),
            false => wrong("is the host's without an ipc namespace"),
        };
    }
    match (group, name) {
        ("net", _) if namespaces.is_own_network() => Ok(()),
        ("net", _) => wrong("is not allowed in the host's network namespace"),
        ("kernel", "hostname") if namespaces.has(Uts) => {
            wrong("is not allowed: the property hostname sets it")
        }
        ("kernel", "domainname") if namespaces.has(Uts) => Ok(()),
        ("kernel", "hostname" | "domainname") => wrong("is the host's without a uts namespace"),
        ("user", _) if namespaces.has(User) => Ok(()),
        ("user", _) => wrong("is the host's without a user namespace"),
        _ => wrong("belongs to no namespace: it is the host's"),
    }
}
