//! Volumes that are file systems of their own: memory that containers share, and what a server has.
//!
//! Such a file system is mounted for a container when it starts, attached nowhere on the host. Memory is the same for all containers
//! that run at one time, and goes with the last of them, as with Docker: whoever starts takes part in the mount of one that runs.
//! What a server has the kernel mounts anew for each, and keeps one cache of it.
//!
//! | option | is |
//! |---|---|
//! | `type` | tmpfs, nfs, nfs4, cifs, smb3 |
//! | `device` | for nfs `:/path` or `host:/path`, for cifs `//host/share` |
//! | `o` | options of the file system, and flags of the mount (`ro`, `noexec`, …); a name in `addr=` is looked up here, as the kernel cannot |
//!
//! Source: Docker's local driver (`volume/local/local_unix.go`), tmpfs(5), nfs(5), mount.cifs(8), fsconfig(2).

use super::FLAGS;
use crate::error::{Error, Result};
use image::registry::resolver::{self, ResolverFiles};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use sys::mount::{Flags, FsContext};

const KNOWN: [&str; 5] = ["tmpfs", "nfs", "nfs4", "cifs", "smb3"];

/// Words of `o` that are mount(8)'s, and say what is the case anyway.
const IDLE: [&str; 9] = [
    "rw", "defaults", "exec", "suid", "dev", "relatime", "_netdev", "auto", "nofail",
];

pub(super) fn is_known(kind: &str) -> bool {
    KNOWN.contains(&kind)
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Filesystem {
    kind: String,
    device: String,
    options: Vec<(String, Option<String>)>,
}

impl Filesystem {
    /// `None`: the volume is a directory.
    pub(crate) fn of(options: &BTreeMap<String, String>) -> Result<Option<Self>> {
        let Some(kind) = options.get("type").filter(|kind| is_known(kind)) else {
            return Ok(None);
        };
        let words = options.get("o").map_or("", String::as_str).split(',');
        let meant = words
            .map(str::trim)
            .filter(|word| !word.is_empty() && !FLAGS.contains(word) && !IDLE.contains(word));
        let pair = |word: &str| match word.split_once('=') {
            Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
            None => (word.to_owned(), None),
        };
        let device = options.get("device").cloned().unwrap_or_default();
        let filesystem = Self {
            kind: kind.clone(),
            device,
            options: meant.map(pair).collect(),
        };
        if filesystem.is_remote() && filesystem.host()?.is_empty() {
            return Err(Error::invalid(
                format!("volume device {:?}", filesystem.device),
                "no server is named: put addr=HOST into o",
            ));
        }
        Ok(Some(filesystem))
    }

    /// Whether all containers that run have to see one.
    pub(crate) fn is_memory(&self) -> bool {
        self.kind == "tmpfs"
    }

    fn is_remote(&self) -> bool {
        !self.is_memory()
    }

    /// What can be known before a container is there: that the kernel has such a file system, and takes the options of memory.
    pub(super) fn check(&self) -> Result<()> {
        match self.is_memory() {
            true => self.mount().map(drop),
            false => self.open().map(drop),
        }
    }

    /// Mounts it, attached nowhere.
    pub(crate) fn mount(&self) -> Result<OwnedFd> {
        let context = self.open()?;
        for (key, value) in self.parameters()? {
            let set = match &value {
                Some(value) => context.set(&key, value.as_str()),
                None => context.set_flag(&key),
            };
            set.map_err(|e| {
                let option = value.map_or_else(|| key.clone(), |value| format!("{key}={value}"));
                Error::invalid(format!("volume option {option}"), said(&context, &e))
            })?;
        }
        context.create(Flags::empty()).map_err(|e| {
            let what = format!("cannot mount {} {}", self.kind, self.device);
            let why = said(&context, &e);
            // Clients of servers tell the kernel's log what a caller gets no word of.
            let more = "; the kernel's log (`dmesg`) may say why";
            let more = if self.is_remote() { more } else { "" };
            Error::invalid(what, format!("{why}{more}"))
        })
    }

    fn open(&self) -> Result<FsContext> {
        FsContext::open(&self.kind).map_err(|e| match e.raw_os_error() {
            Some(ENODEV) => Error::invalid(
                format!("volume type {:?}", self.kind),
                format!(
                    "this kernel has no such file system: load its module (`modprobe {}`), or mount the share on the host and bind it",
                    self.kind
                ),
            ),
            _ => Error::system(format!("mount a file system of type {}", self.kind))(e),
        })
    }

    /// What the kernel is told, addresses as numbers.
    fn parameters(&self) -> Result<Vec<(String, Option<String>)>> {
        let mut all = self.options.clone();
        if self.is_memory() {
            // As Docker's: everybody may write unless a mode says otherwise.
            if !all.iter().any(|(key, _)| key == "mode") {
                all.push(("mode".into(), Some("1777".into())));
            }
            all.push(("source".into(), Some("tmpfs".into())));
            return Ok(all);
        }
        let host = self.host()?;
        let address = look_up(&host)?;
        all.retain(|(key, _)| key != "addr");
        all.push(("addr".into(), Some(address.to_string())));
        let source = match self.device.strip_prefix(':') {
            Some(path) if address.is_ipv6() => format!("[{address}]:{path}"),
            Some(path) => format!("{address}:{path}"),
            None => self.device.clone(),
        };
        // Before the others, which some file systems read with its help.
        all.insert(0, ("source".into(), Some(source)));
        Ok(all)
    }

    /// Whose share it is: what `addr` says, else the device.
    fn host(&self) -> Result<String> {
        let said = self.options.iter().find(|(key, _)| key == "addr");
        if let Some((_, Some(host))) = said {
            return Ok(host.clone());
        }
        let device = self.device.as_str();
        let malformed = || {
            Error::invalid(
                format!("volume device {device:?}"),
                "write it as :/path for nfs, as //host/share for cifs",
            )
        };
        let host = match device.strip_prefix("//") {
            Some(rest) => rest.split('/').next().unwrap_or_default(),
            None => match device.strip_prefix('[') {
                Some(rest) => rest.split_once("]:/").ok_or_else(malformed)?.0,
                None => device.split_once(":/").ok_or_else(malformed)?.0,
            },
        };
        Ok(host.to_owned())
    }
}

/// No such device: what the kernel answers to a type it does not have.
const ENODEV: i32 = 19;

fn look_up(host: &str) -> Result<IpAddr> {
    let found = resolver::resolve(host, &ResolverFiles::default());
    let found = found.map_err(Error::system(format!("find the server {host} of a volume")))?;
    found
        .first()
        .copied()
        .ok_or_else(|| Error::invalid(format!("server {host:?} of a volume"), "it has no address"))
}

/// Why the kernel refuses: in its own words, where it has some.
fn said(context: &FsContext, error: &std::io::Error) -> String {
    let words = context.messages();
    match words.is_empty() {
        true => error.to_string(),
        false => words.join("; "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: &str, device: &str, o: &str) -> Result<Option<Filesystem>> {
        let options = [("type", kind), ("device", device), ("o", o)];
        let options = options
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Filesystem::of(&options.collect())
    }

    fn told(kind: &str, device: &str, o: &str) -> String {
        let filesystem = of(kind, device, o).unwrap().unwrap();
        let parameters = filesystem.parameters().unwrap().into_iter();
        let words = parameters.map(|(key, value)| match value {
            Some(value) => format!("{key}={value}"),
            None => key,
        });
        words.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_the_kernel_is_told() {
        assert_eq!(
            told("tmpfs", "tmpfs", "size=3m,mode=750,uid=7,ro,noexec"),
            "size=3m mode=750 uid=7 source=tmpfs"
        );
        assert_eq!(told("tmpfs", "", ""), "mode=1777 source=tmpfs");
        assert_eq!(
            told("nfs", ":/export", "addr=192.0.2.1,rw,nolock,soft,nfsvers=3"),
            "source=192.0.2.1:/export nolock soft nfsvers=3 addr=192.0.2.1"
        );
        assert_eq!(
            told("nfs4", ":/export", "addr=2001:db8::1"),
            "source=[2001:db8::1]:/export addr=2001:db8::1"
        );
        assert_eq!(
            told("nfs4", "192.0.2.1:/export", "vers=4.2"),
            "source=192.0.2.1:/export vers=4.2 addr=192.0.2.1"
        );
        assert_eq!(
            told("cifs", "//192.0.2.1/share/below", "username=u,password=p"),
            "source=//192.0.2.1/share/below username=u password=p addr=192.0.2.1"
        );
    }

    #[test]
    fn a_volume_of_another_kind_is_a_directory_and_a_server_must_be_named() {
        assert_eq!(of("none", "/srv", "bind").unwrap(), None);
        for device in ["", ":/export", "export", "///share"] {
            assert!(of("nfs", device, "rw").is_err(), "{device}");
        }
    }
}
