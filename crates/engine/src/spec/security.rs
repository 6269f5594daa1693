//! Capabilities, seccomp, masked paths: what `--cap-add`, `--security-opt` and `--privileged` come to.

use crate::error::{Error, Result};
use model::container::ContainerSpec;
use oci_spec::runtime::{
    Capabilities, Capability, LinuxCapabilities, LinuxCapabilitiesBuilder, LinuxSeccomp,
};
use runtime::defaults;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::str::FromStr;

/// `--security-opt`, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Security {
    pub no_new_privileges: bool,
    pub seccomp: Seccomp,
    pub apparmor: Option<String>,
    /// `systempaths=unconfined`, and with `--privileged`: nothing in /proc and /sys is hidden.
    pub system_paths_open: bool,
    /// cgroups may be written: with `--privileged` or `writable-cgroups=true`.
    pub writable_cgroups: bool,
    pub privileged: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seccomp {
    /// Docker's default profile.
    Default,
    Unconfined,
    File(PathBuf),
}

impl Security {
    pub fn parse(spec: &ContainerSpec) -> Result<Self> {
        let mut security = Self {
            no_new_privileges: false,
            seccomp: if spec.privileged {
                Seccomp::Unconfined
            } else {
                Seccomp::Default
            },
            apparmor: None,
            system_paths_open: spec.privileged,
            writable_cgroups: spec.privileged,
            privileged: spec.privileged,
        };
        for option in &spec.security_opt {
            security.take(option)?;
        }
        Ok(security)
    }

    fn take(&mut self, option: &str) -> Result<()> {
        let invalid =
            |cause: &str| Error::invalid(format!("invalid --security-opt: {option:?}"), cause);
        let (key, value) = option.split_once(['=', ':']).unwrap_or((option, ""));
        match (key, value) {
            ("no-new-privileges", "" | "true") => self.no_new_privileges = true,
            ("no-new-privileges", "false") => self.no_new_privileges = false,
            ("seccomp", "unconfined") => self.seccomp = Seccomp::Unconfined,
            ("seccomp", "builtin") => self.seccomp = Seccomp::Default,
            ("seccomp", file) if !file.is_empty() => self.seccomp = Seccomp::File(file.into()),
            ("apparmor", "unconfined") => self.apparmor = None,
            ("apparmor", profile) if !profile.is_empty() => {
                self.apparmor = Some(profile.to_owned())
            }
            ("systempaths", "unconfined") => self.system_paths_open = true,
            ("writable-cgroups", "" | "true") => self.writable_cgroups = true,
            ("writable-cgroups", "false") => self.writable_cgroups = false,
            // This host has no SELinux policy for containers to be confined by.
            ("label", _) => {}
            _ => {
                return Err(invalid(
                    "known are no-new-privileges, seccomp=, apparmor=, label=, systempaths=unconfined",
                ));
            }
        }
        Ok(())
    }

    pub(super) fn masked_paths(&self) -> Vec<String> {
        if self.system_paths_open {
            Vec::new()
        } else {
            defaults::MASKED_PATHS.map(str::to_owned).to_vec()
        }
    }

    pub(super) fn readonly_paths(&self) -> Vec<String> {
        if self.system_paths_open {
            Vec::new()
        } else {
            defaults::READONLY_PATHS.map(str::to_owned).to_vec()
        }
    }

    /// The user's own profile; Docker's default one is the runtime's.
    pub(super) fn seccomp_file(&self, spec: &ContainerSpec) -> Result<Option<LinuxSeccomp>> {
        let Seccomp::File(path) = &self.seccomp else {
            return Ok(None);
        };
        let text =
            std::fs::read_to_string(path).map_err(Error::file("read the seccomp profile", path))?;
        let held: Vec<String> = held(spec)?.iter().map(ToString::to_string).collect();
        runtime::seccomp::parse_docker_profile(text.as_bytes(), &held)
            .map(Some)
            .map_err(|e| {
                Error::invalid(format!("seccomp profile {}", path.display()), e.to_string())
            })
    }
}

/// The sets for the container's process: all alike, none ambient.
pub(super) fn capabilities(spec: &ContainerSpec) -> Result<LinuxCapabilities> {
    let held: Capabilities = held(spec)?.into_iter().collect();
    LinuxCapabilitiesBuilder::default()
        .bounding(held.clone())
        .effective(held.clone())
        .permitted(held)
        .inheritable(Capabilities::new())
        .ambient(Capabilities::new())
        .build()
        .map_err(super::spec_error)
}

/// What is held after `--cap-add` and `--cap-drop`. Source: moby `oci/caps/utils.go`.
fn held(spec: &ContainerSpec) -> Result<Vec<Capability>> {
    let add = parse_all("CapAdd", &spec.cap_add)?;
    let drop = parse_all("CapDrop", &spec.cap_drop)?;
    let all = available;
    let base: Vec<Capability> = match (&add, &drop) {
        _ if spec.privileged => return Ok(all()),
        (Wish::All, _) => all(),
        (_, Wish::All) => Vec::new(),
        _ => defaults::CAPABILITIES.to_vec(),
    };
    let dropped = |c: &Capability| matches!(&drop, Wish::Some(list) if list.contains(c));
    let mut held: Vec<Capability> = base.into_iter().filter(|c| !dropped(c)).collect();
    if let Wish::Some(list) = add {
        for capability in list {
            if !held.contains(&capability) {
                held.push(capability);
            }
        }
    }
    Ok(held)
}

/// All that this process has itself: nobody can hand on more.
fn available() -> Vec<Capability> {
    let own = sys::capability::effective();
    let held = (0..=sys::capability::last_capability()).filter(|bit| own.contains(*bit));
    held.filter_map(|bit| parse(&sys::capability::name(bit)?))
        .collect()
}

/// Reads `CAP_CHOWN` and `CHOWN`.
fn parse(name: &str) -> Option<Capability> {
    Capability::from_str(name.strip_prefix("CAP_").unwrap_or(name)).ok()
}

enum Wish {
    All,
    Some(Vec<Capability>),
}

fn parse_all(what: &str, names: &[String]) -> Result<Wish> {
    let mut list = Vec::new();
    let mut seen = BTreeSet::new();
    for name in names {
        let upper = name.to_ascii_uppercase();
        let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
        if bare == "ALL" {
            return Ok(Wish::All);
        }
        let capability = parse(bare).ok_or_else(|| {
            let what = format!("invalid {what}: unknown capability: \"CAP_{bare}\"");
            Error::invalid(what, "see capabilities(7)")
        })?;
        if seen.insert(bare.to_owned()) {
            list.push(capability);
        }
    }
    Ok(Wish::Some(list))
}
