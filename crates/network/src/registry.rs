//! Listing, finding and removing networks. `create` makes them.
//!
//! Nothing here touches an interface, except that removal takes away what was made for the network. Subnets are chosen and
//! checked under one lock, so two creations never get the same.
//!
//! Source: Docker Engine API `/networks`, whose error texts scripts match.

use crate::pool::{self, PoolError};
use crate::record::{Driver, NetworkRecord};
use crate::{bridge, endpoint, firewall, interface, parent};
use model::Id;
use state::lookup::{self, Found};
use state::{Durability, Layout, record};
use std::collections::BTreeMap;
use std::io;
use sys::lock::FileLock;

/// Why a network could not be made, found or removed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("invalid network name {name:?}: only [a-zA-Z0-9][a-zA-Z0-9_. -] are allowed")]
    Name { name: String },
    #[error("operation is not permitted on predefined {name} network")]
    Predefined { name: String },
    #[error("network with name {name} already exists")]
    Exists { name: String },
    #[error("network {wanted} not found")]
    NotFound { wanted: String },
    #[error("multiple networks found with prefix {wanted}; give more of the id")]
    Ambiguous { wanted: String },
    #[error(
        "could not find plugin {driver} in v1 plugin registry: plugin not found (drivers here: bridge, macvlan, ipvlan, host, none)"
    )]
    Driver { driver: String },
    #[error("only one instance of {driver:?} network is allowed: use the network {name}")]
    Single {
        driver: &'static str,
        name: &'static str,
    },
    #[error("could not find IPAM driver {driver}: only \"default\" is known")]
    IpamDriver { driver: String },
    #[error("cannot create network {name}: IPv4 or IPv6 must be enabled")]
    NoFamily { name: String },
    #[error("cannot create network {name}: option {key} is {value:?}, expected {expected}")]
    Option {
        name: String,
        key: String,
        value: String,
        expected: &'static str,
    },
    #[error("cannot create network {name}: interface {bridge} belongs to network {other}")]
    BridgeTaken {
        name: String,
        bridge: String,
        other: String,
    },
    #[error("cannot create network {name}: loopback interface is not a valid {driver} parent link")]
    Loopback { name: String, driver: &'static str },
    #[error(
        "cannot create network {name}: network {other} is already using parent interface {parent} as {driver}; one interface carries networks of one driver and mode, and of passthru one alone"
    )]
    ParentTaken {
        name: String,
        parent: String,
        other: String,
        driver: &'static str,
    },
    #[error("cannot create network {name}: IPv6 is off on this host (ipv6.disable=1)")]
    NoIpv6 { name: String },
    #[error("cannot create network {name}: there is no configuration network {from}")]
    NoConfig { name: String, from: String },
    #[error(
        "cannot create network {name}: {key} cannot be set beside --config-from, the network has the configuration of {from}"
    )]
    ConfigConflict {
        name: String,
        key: &'static str,
        from: String,
    },
    #[error("configuration network {name} is in use by network {user}")]
    ConfigInUse { name: String, user: String },
    #[error("cannot create network {name}: {source}")]
    Pool { name: String, source: PoolError },
    #[error("error while removing network: network {name} has active endpoints: {endpoints}")]
    Active { name: String, endpoints: String },
    #[error("cannot lock the networks")]
    Lock { source: io::Error },
    #[error("cannot draw a random id")]
    Random { source: io::Error },
    #[error("cannot list the networks")]
    List { source: io::Error },
    #[error(transparent)]
    Record(#[from] record::Error),
    #[error("cannot set up network {name}")]
    Parent { name: String, source: bridge::Error },
    #[error("cannot take down network {name}")]
    Bridge { name: String, source: bridge::Error },
    #[error("cannot take network {name} out of the packet filter")]
    Firewall {
        name: String,
        source: firewall::Error,
    },
}

impl Error {
    /// No subnet is left for one more network.
    pub fn is_exhausted(&self) -> bool {
        let Self::Pool { source, .. } = self else {
            return false;
        };
        matches!(source, PoolError::Exhausted)
    }
}

/// All networks, by name; `bridge`, `host` and `none` among them.
pub fn list(layout: &Layout) -> Result<Vec<NetworkRecord>, Error> {
    let found = read_all(layout)?;
    if ["bridge", "host", "none"]
        .iter()
        .all(|name| found.iter().any(|record| record.name == *name))
    {
        return Ok(found);
    }
    let _lock = lock(layout)?;
    list_locked(layout)
}

/// One network by name, id or unique id prefix.
pub fn find(layout: &Layout, wanted: &str) -> Result<NetworkRecord, Error> {
    let wanted = if wanted == "default" {
        "bridge"
    } else {
        wanted
    };
    if is_name(wanted)
        && let Some(record) = record::read(&layout.networks().join(format!("{wanted}.json")))?
    {
        return Ok(record);
    }
    let all = list(layout)?;
    let named = all
        .into_iter()
        .map(|record| (record.id.as_str().to_owned(), record.name.clone(), record));
    let named: Vec<_> = named.collect();
    let found = lookup::find(
        wanted,
        named
            .iter()
            .map(|(id, name, record)| (id.as_str(), name.as_str(), record)),
    );
    match found {
        Found::One(record) => Ok(record.clone()),
        Found::None => Err(Error::NotFound {
            wanted: wanted.into(),
        }),
        Found::Ambiguous => Err(Error::Ambiguous {
            wanted: wanted.into(),
        }),
    }
}

/// Removes a network nobody is on: its bridge, its leases, its record.
pub fn remove(layout: &Layout, wanted: &str) -> Result<NetworkRecord, Error> {
    let network = find(layout, wanted)?;
    let name = network.name.clone();
    if network.is_builtin() {
        return Err(Error::Predefined { name });
    }
    let _lock = lock(layout)?;
    let _own = FileLock::exclusive(&layout.lock("network", &name))
        .map_err(|source| Error::Lock { source })?;
    let active = endpoint::names(layout, &name);
    if !active.is_empty() {
        let mut endpoints: Vec<String> = active
            .into_iter()
            .map(|entry| entry.container_name)
            .collect();
        endpoints.sort();
        return Err(Error::Active {
            name,
            endpoints: endpoints.join(", "),
        });
    }
    let others = read_all(layout)?;
    if let Some(user) = others.iter().find(|other| other.config_from == name) {
        return Err(Error::ConfigInUse {
            name,
            user: user.name.clone(),
        });
    }
    let shares = |other: &&NetworkRecord| other.name != name && other.parent == network.parent;
    if !network.parent.is_empty()
        && let Some(heir) = others.iter().find(shares)
    {
        parent::bequeath(layout, &network, heir).map_err(|source| Error::Bridge {
            name: name.clone(),
            source,
        })?;
    }
    // The record goes first: what is not reachable from a record is garbage, which sweeping finds.
    record::remove(&path(layout, &name))?;
    if !network.bridge.is_empty() {
        firewall::forget(layout, &network).map_err(|source| Error::Firewall {
            name: name.clone(),
            source,
        })?;
    }
    interface::remove(layout, &name).map_err(|source| Error::Bridge { name, source })?;
    Ok(network)
}

/// Letters, digits, `_.-` and, as Docker allows, blanks, the first no sign: safe as a file name too.
pub fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphanumeric())
        && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-' | b' '))
        && !name.ends_with(' ')
        && name.len() <= 200
}

pub(crate) fn path(layout: &Layout, name: &str) -> std::path::PathBuf {
    layout.networks().join(format!("{name}.json"))
}

pub(crate) fn lock(layout: &Layout) -> Result<FileLock, Error> {
    FileLock::exclusive(&layout.lock("network", ".pools")).map_err(|source| Error::Lock { source })
}

pub(crate) fn write(layout: &Layout, network: &NetworkRecord) -> Result<(), Error> {
    Ok(record::write(
        &path(layout, &network.name),
        network,
        Durability::Durable,
    )?)
}

/// All records, the built-in ones made when they are not there yet.
pub(crate) fn list_locked(layout: &Layout) -> Result<Vec<NetworkRecord>, Error> {
    let mut found = read_all(layout)?;
    for (name, driver) in [
        ("bridge", Driver::Bridge),
        ("host", Driver::Host),
        ("none", Driver::Null),
    ] {
        if found.iter().any(|record| record.name == name) {
            continue;
        }
        let record = builtin(layout, name, driver, &found)?;
        write(layout, &record)?;
        found.push(record);
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

fn builtin(
    layout: &Layout,
    name: &str,
    driver: Driver,
    others: &[NetworkRecord],
) -> Result<NetworkRecord, Error> {
    let pools = if driver == Driver::Bridge {
        vec![
            pool::for_default_bridge(others).map_err(|source| Error::Pool {
                name: name.into(),
                source,
            })?,
        ]
    } else {
        Vec::new()
    };
    let bridge = match (driver, layout.instance()) {
        (Driver::Bridge, instance) if instance.is_empty() => "dockless0".into(),
        (Driver::Bridge, instance) => format!("dl0-{instance}"),
        _ => String::new(),
    };
    Ok(NetworkRecord {
        id: random_id()?,
        name: name.into(),
        driver,
        pools,
        ipam_driver: "default".into(),
        ipam_options: BTreeMap::new(),
        internal: false,
        attachable: false,
        ipv6: false,
        options: BTreeMap::new(),
        labels: BTreeMap::new(),
        created: jiff::Timestamp::now().to_string(),
        bridge,
        parent: String::new(),
        config: None,
        config_from: String::new(),
    })
}

pub(crate) fn read_all(layout: &Layout) -> Result<Vec<NetworkRecord>, Error> {
    let entries = match std::fs::read_dir(layout.networks()) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(Error::List { source }),
    };
    let mut found: Vec<NetworkRecord> = Vec::new();
    for entry in entries {
        let path = entry.map_err(|source| Error::List { source })?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // A leading dot is a record half written.
        if !name.starts_with('.') && name.ends_with(".json") {
            found.extend(record::read(&path)?);
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

pub(crate) fn random_id() -> Result<Id, Error> {
    crate::random::bytes()
        .map(Id::from_random)
        .map_err(|source| Error::Random { source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::create;
    use crate::testing::{layout, spec};
    use model::network::NetworkSpec;

    #[test]
    fn names_are_file_names_of_one_line_with_blanks_inside_at_most() {
        for good in ["a", "test 01", "a.b_c-d"] {
            assert!(is_name(good), "{good}");
        }
        for bad in [
            "",
            " a",
            "a ",
            "a/b",
            "..",
            "a\nb",
            "a\tb",
            &"x".repeat(201),
        ] {
            assert!(!is_name(bad), "{bad:?}");
        }
    }

    #[test]
    fn the_built_in_networks_are_always_there_and_stay() {
        let (_dir, layout) = layout();
        let names: Vec<String> = list(&layout).unwrap().into_iter().map(|n| n.name).collect();
        assert_eq!(names, ["bridge", "host", "none"]);
        let bridge = find(&layout, "bridge").unwrap();
        assert_eq!(find(&layout, "default").unwrap(), bridge);
        assert_eq!(find(&layout, bridge.id.short()).unwrap(), bridge);
        assert!(bridge.bridge.starts_with("dl0-"), "an instance of its own");
        assert_eq!(
            remove(&layout, "host").unwrap_err().to_string(),
            "operation is not permitted on predefined host network"
        );
        assert!(matches!(
            create(&layout, &spec("none")),
            Err(Error::Predefined { .. })
        ));
    }

    #[test]
    fn a_created_network_is_found_again_as_it_was() {
        let (_dir, layout) = layout();
        let wanted = NetworkSpec {
            labels: [("a".to_owned(), "b".to_owned())].into(),
            internal: true,
            ipv6: Some(true),
            ..spec("app")
        };
        let made = create(&layout, &wanted).unwrap();
        assert_eq!(find(&layout, made.id.as_str()).unwrap(), made);
        assert!(made.ipv6 && made.internal && !made.masquerades());
        assert_eq!(made.pools.len(), 2);
        assert!(made.pool_v6().unwrap().subnet.to_string().starts_with("fd"));
        assert_eq!(remove(&layout, "app").unwrap(), made);
    }
}
