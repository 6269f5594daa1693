//! Another name for a container that runs: who asks for the new one finds it, and nobody by the old one.

use super::{Attached, Error};
use crate::{endpoint, ports};
use state::Layout;

/// Gives the container its new name in all its networks, and on its ports; `attached` is brought up to date.
pub fn rename(layout: &Layout, attached: &mut Attached, name: &str) -> Result<(), Error> {
    let failed = |source| Error::Names {
        container: name.into(),
        source,
    };
    let _lock = endpoint::lock(layout).map_err(failed)?;
    let old = std::mem::replace(&mut attached.container_name, name.into());
    for endpoint in &mut attached.endpoints {
        for known in endpoint.dns_names.iter_mut().filter(|known| **known == old) {
            name.clone_into(known);
        }
        let assigned = [endpoint.ipv4, endpoint.ipv6].into_iter().flatten();
        let known = endpoint::names(layout, &endpoint.network);
        let known = known
            .into_iter()
            .find(|entry| entry.container == attached.container_id);
        let entry = endpoint::NameEntry {
            standing: known
                .as_ref()
                .map(|entry| entry.standing)
                .unwrap_or_default(),
            service: known.and_then(|entry| entry.service),
            container: attached.container_id.clone(),
            container_name: name.into(),
            names: endpoint.dns_names.clone(),
            addresses: assigned.map(|assigned| assigned.address).collect(),
        };
        endpoint::register(layout, &endpoint.network, &endpoint.endpoint_id, &entry)
            .map_err(failed)?;
    }
    ports::rename(layout, &attached.container_id, name).map_err(|source| Error::Ports {
        container: name.into(),
        source,
    })
}
