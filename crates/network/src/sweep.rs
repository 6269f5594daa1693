//! Giving back what containers left that ended without anybody watching: leases, names, published ports.
//!
//! After `kill -9` of everything, or between two commands. What belongs to a living container is never touched.

use crate::record::NetworkRecord;
use crate::{bridge, endpoint, endpoint_rules, firewall, interface, lease, ports, registry};
use state::{Layout, record};

/// Why something could not be given back.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Registry(#[from] registry::Error),
    #[error(transparent)]
    Lease(#[from] lease::Error),
    #[error("cannot remove the names of a dead container")]
    Names { source: record::Error },
    #[error("cannot take the rules of a dead container from the packet filter")]
    Rules { source: endpoint_rules::Error },
    #[error("cannot free the ports of dead containers")]
    Ports { source: ports::Error },
    #[error("cannot remove the packet filter's table")]
    Firewall { source: firewall::Error },
    #[error("cannot remove a bridge")]
    Bridge { source: bridge::Error },
}

/// How much was given back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    pub leases: usize,
    pub names: usize,
    /// Runs of consecutive ports.
    pub ports: usize,
    /// Bridges of networks whose removal was broken off.
    pub bridges: usize,
}

/// Frees everything held by containers for which `alive` is false. Goes on after an error and returns all of them.
pub fn sweep(layout: &Layout, alive: &dyn Fn(&str) -> bool) -> Result<Swept, Vec<Error>> {
    let mut swept = Swept::default();
    let mut errors = Vec::new();
    for network in networks_seen(layout) {
        for (endpoint_id, entry) in endpoint::entries(layout, &network) {
            if !alive(&entry.container) {
                match endpoint::unregister(layout, &network, &endpoint_id) {
                    Ok(()) => swept.names += 1,
                    Err(source) => errors.push(Error::Names { source }),
                }
            }
        }
        if let Err(source) = endpoint_rules::sweep(layout, &network, &|id| !alive(id)) {
            errors.push(Error::Rules { source });
        }
        match lease::list(layout, &network) {
            Ok(leases) => sweep_leases(layout, &network, leases, alive, &mut swept, &mut errors),
            Err(error) => errors.push(error.into()),
        }
    }
    match ports::unpublish(layout, |id| !alive(id)) {
        Ok(count) => swept.ports = count,
        Err(source) => errors.push(Error::Ports { source }),
    }
    match sweep_bridges(layout) {
        Ok(count) => swept.bridges = count,
        Err(error) => errors.push(error),
    }
    if errors.is_empty() {
        Ok(swept)
    } else {
        Err(errors)
    }
}

/// Run-time files without a record: the network was removed, not all of it.
fn sweep_bridges(layout: &Layout) -> Result<usize, Error> {
    let orphan = |name: &String| {
        !registry::path(layout, name).exists() && endpoint::names(layout, name).is_empty()
    };
    let orphans: Vec<String> = networks_seen(layout).into_iter().filter(orphan).collect();
    for network in &orphans {
        interface::remove(layout, network).map_err(|source| Error::Bridge { source })?;
    }
    if !orphans.is_empty() {
        // Their names are in the table's sets still.
        firewall::reload(layout).map_err(|source| Error::Firewall { source })?;
    }
    Ok(orphans.len())
}

fn sweep_leases(
    layout: &Layout,
    network: &str,
    leases: Vec<lease::Lease>,
    alive: &dyn Fn(&str) -> bool,
    swept: &mut Swept,
    errors: &mut Vec<Error>,
) {
    let is_dead = |lease: &lease::Lease| {
        !alive(&lease.holder) && !endpoint_rules::keeps_lease(layout, network, &lease.holder)
    };
    for lease in leases.into_iter().filter(is_dead) {
        match lease::release(layout, network, lease.address, &lease.holder) {
            Ok(()) => swept.leases += 1,
            Err(error) => errors.push(error.into()),
        }
    }
}

/// Networks with something under the run root, whether or not their record is still there.
fn networks_seen(layout: &Layout) -> Vec<String> {
    let entries = std::fs::read_dir(layout.run_networks())
        .into_iter()
        .flatten()
        .filter_map(Result::ok);
    entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|n| registry::is_name(n))
        .collect()
}

/// Takes everything of this data root away from the host: bridges, table, run-time files. Records stay. For when no
/// container runs any more and none is to.
pub fn tear_down(layout: &Layout) -> Result<(), Vec<Error>> {
    let mut errors = Vec::new();
    match registry::read_all(layout) {
        Ok(networks) => {
            let has_interface = |network: &&NetworkRecord| {
                !(network.bridge.is_empty() && network.parent.is_empty())
            };
            for network in networks.iter().filter(has_interface) {
                if let Err(source) = interface::remove(layout, &network.name) {
                    errors.push(Error::Bridge { source });
                }
            }
        }
        Err(error) => errors.push(error.into()),
    }
    if let Err(source) = firewall::remove_table(layout) {
        errors.push(Error::Firewall { source });
    }
    if let Err(source) = ports::forget_all(layout) {
        errors.push(Error::Ports { source });
    }
    if errors.is_empty() {
        Ok(())
    } else {
        Err(errors)
    }
}
