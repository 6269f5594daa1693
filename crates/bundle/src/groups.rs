//! The groups of whoever starts a container, for one whose configuration keeps them (`runtime::annotations`).
//!
//! They become further groups of the process, as far as its user namespace has a name for them.

use oci_spec::runtime::{LinuxIdMapping, LinuxNamespaceType, Spec};

pub(crate) fn keep(spec: &mut Spec) {
    if !runtime::annotations::keeps_groups(spec) {
        return;
    }
    let ours = rustix::process::getgroups().unwrap_or_default();
    let ours = ours.into_iter().map(rustix::process::Gid::as_raw);
    let seen: Vec<u32> = ours.filter_map(|gid| inside(spec, gid)).collect();
    let Some(process) = spec.process_mut() else {
        return;
    };
    let mut user = process.user().clone();
    let mut groups = user.additional_gids().clone().unwrap_or_default();
    for gid in seen {
        if !groups.contains(&gid) {
            groups.push(gid);
        }
    }
    user.set_additional_gids(Some(groups));
    process.set_user(user);
}

/// What a group of the host is called in the container, if anything.
fn inside(spec: &Spec, gid: u32) -> Option<u32> {
    let linux = spec.linux().as_ref()?;
    let namespaces = linux.namespaces().as_deref().unwrap_or_default();
    let has_users =
        |namespace: &oci_spec::runtime::LinuxNamespace| namespace.typ() == LinuxNamespaceType::User;
    if !namespaces.iter().any(has_users) {
        return Some(gid);
    }
    let mappings = linux.gid_mappings().as_deref().unwrap_or_default();
    mappings.iter().find_map(|mapping| mapped(mapping, gid))
}

fn mapped(mapping: &LinuxIdMapping, gid: u32) -> Option<u32> {
    let above = gid.checked_sub(mapping.host_id())?;
    (above < mapping.size()).then(|| mapping.container_id() + above)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(linux: &str) -> Spec {
        serde_json::from_str(&format!(
            r#"{{"ociVersion":"1.2.0","linux":{{"namespaces":[{linux}}}}}"#
        ))
        .unwrap()
    }

    #[test]
    fn groups_have_the_containers_numbers() {
        assert_eq!(inside(&spec(r#"{"type":"mount"}]"#), 7), Some(7));
        let mapped =
            spec(r#"{"type":"user"}],"gidMappings":[{"containerID":10,"hostID":100,"size":5}]"#);
        assert_eq!(inside(&mapped, 104), Some(14));
        assert_eq!((inside(&mapped, 105), inside(&mapped, 99)), (None, None));
    }
}
