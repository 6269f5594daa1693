//! What `--cap-add`, `--cap-drop` and `--privileged` come to.
//!
//! Source: capabilities(7), moby `oci/caps/utils.go`.

use crate::error::{Error, Result};
use model::container::ContainerSpec;
use oci_spec::runtime::{Capabilities, Capability, LinuxCapabilities, LinuxCapabilitiesBuilder};
use runtime::defaults;
use std::collections::BTreeSet;
use std::str::FromStr;

/// The sets for the container's process: all alike, none ambient.
pub(super) fn sets(spec: &ContainerSpec) -> Result<LinuxCapabilities> {
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
pub(super) fn held(spec: &ContainerSpec) -> Result<Vec<Capability>> {
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
