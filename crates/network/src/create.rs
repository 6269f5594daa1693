//! Making a network: what is asked for is checked, subnets are chosen, the record is written.
//!
//! A bridge appears with the first container. The parent of a macvlan or ipvlan is made at once where it is not there, so that
//! what this host cannot do is said now.
//!
//! Source: Docker Engine API `/networks/create`, whose error texts scripts match; moby `libnetwork/controller.go` for networks
//! that are only a configuration.

use crate::pool::{self, AddressPools};
use crate::record::{Driver, NetworkRecord, OPTION_BRIDGE_NAME, Pool, is_builtin};
use crate::registry::{Error, is_name, list_locked, lock, path, random_id, write};
use crate::{interface, parent};
use model::network::NetworkSpec;
use state::{Layout, record};
use std::path::Path;
use sys::netlink::RouteSocket;

/// [`create_from`] the default address pools.
pub fn create(layout: &Layout, spec: &NetworkSpec) -> Result<NetworkRecord, Error> {
    create_from(layout, spec, &AddressPools::default())
}

/// Makes a network; one that asks for no subnet gets one from `pools`.
pub fn create_from(
    layout: &Layout,
    spec: &NetworkSpec,
    pools: &AddressPools,
) -> Result<NetworkRecord, Error> {
    let name = &spec.name;
    if !is_name(name) {
        return Err(Error::Name { name: name.clone() });
    }
    if is_builtin(name) {
        return Err(Error::Predefined { name: name.clone() });
    }
    let _lock = lock(layout)?;
    let others = list_locked(layout)?;
    if others.iter().any(|other| other.name == *name) {
        return Err(Error::Exists { name: name.clone() });
    }
    let spec = &configured(spec, &others)?;
    let driver = driver(spec)?;
    check_addressing(spec)?;
    let chosen = if spec.config_only {
        Vec::new()
    } else {
        pool::choose(spec, driver, &others, pools).map_err(|source| Error::Pool {
            name: name.clone(),
            source,
        })?
    };
    let record = new_record(spec, driver, chosen)?;
    check(&record, &others)?;
    write(layout, &record)?;
    if let Err(error) = set_up(layout, &record) {
        // Nothing half made stays: the record goes, and what was made of the parent.
        let _ = record::remove(&path(layout, name));
        let _ = interface::remove(layout, name);
        return Err(error);
    }
    Ok(record)
}

/// What is asked for, with what the configuration network says that it has its configuration from.
fn configured(spec: &NetworkSpec, others: &[NetworkRecord]) -> Result<NetworkSpec, Error> {
    let Some(from) = spec.config_from.as_deref().filter(|from| !from.is_empty()) else {
        return Ok(spec.clone());
    };
    let config = others
        .iter()
        .find(|other| other.name == from)
        .and_then(|other| other.config.as_deref());
    let Some(config) = config else {
        return Err(Error::NoConfig {
            name: spec.name.clone(),
            from: from.into(),
        });
    };
    let given = [
        ("--config-only", spec.config_only),
        ("a subnet, gateway, range or address", !spec.ipam.is_empty()),
        ("--opt", !spec.driver_opts.is_empty()),
        ("--ipv4 or --ipv6", spec.ipv4.or(spec.ipv6).is_some()),
        ("--ipam-opt", !spec.ipam_options.is_empty()),
    ];
    if let Some((key, _)) = given.into_iter().find(|(_, given)| *given) {
        return Err(Error::ConfigConflict {
            name: spec.name.clone(),
            key,
            from: from.into(),
        });
    }
    let mut labels = config.labels.clone();
    labels.extend(spec.labels.clone());
    Ok(NetworkSpec {
        name: spec.name.clone(),
        driver: spec.driver.clone(),
        internal: spec.internal,
        attachable: spec.attachable,
        config_only: false,
        config_from: Some(from.into()),
        labels,
        ..config.clone()
    })
}

fn driver(spec: &NetworkSpec) -> Result<Driver, Error> {
    let single = |driver, name| Err(Error::Single { driver, name });
    match spec.driver.as_str() {
        _ if spec.config_only => Ok(Driver::Null),
        "" | "bridge" | "default" => Ok(Driver::Bridge),
        "macvlan" => Ok(Driver::Macvlan),
        "ipvlan" => Ok(Driver::Ipvlan),
        "host" => single("host", "host"),
        "null" | "none" => single("null", "none"),
        other => Err(Error::Driver {
            driver: other.into(),
        }),
    }
}

fn check_addressing(spec: &NetworkSpec) -> Result<(), Error> {
    let name = || spec.name.clone();
    if let Some(driver) = spec.ipam_driver.as_deref()
        && !matches!(driver, "" | "default")
    {
        return Err(Error::IpamDriver {
            driver: driver.into(),
        });
    }
    if spec.ipv4 == Some(false) && spec.ipv6 != Some(true) {
        return Err(Error::NoFamily { name: name() });
    }
    if spec.ipv6 == Some(true) && !Path::new("/proc/sys/net/ipv6").exists() {
        return Err(Error::NoIpv6 { name: name() });
    }
    Ok(())
}

fn new_record(
    spec: &NetworkSpec,
    driver: Driver,
    pools: Vec<Pool>,
) -> Result<NetworkRecord, Error> {
    let id = random_id()?;
    let own_bridge = || format!("dl-{}", id.short());
    let bridge = match (driver, spec.driver_opts.get(OPTION_BRIDGE_NAME)) {
        (Driver::Bridge, Some(name)) => name.clone(),
        (Driver::Bridge, None) => own_bridge(),
        _ => String::new(),
    };
    let asked_parent = parent::asked(&spec.driver_opts);
    let parent = match driver {
        Driver::Macvlan | Driver::Ipvlan => {
            asked_parent.map_or_else(|| parent::own_name(&id), str::to_owned)
        }
        _ => String::new(),
    };
    Ok(NetworkRecord {
        ipv6: spec.ipv6 == Some(true) || pools.iter().any(|pool| !pool.subnet.is_ipv4()),
        id,
        name: spec.name.clone(),
        driver,
        pools,
        ipam_driver: "default".into(),
        ipam_options: spec.ipam_options.clone(),
        // A parent of our own leads nowhere.
        internal: spec.internal || !parent.is_empty() && asked_parent.is_none(),
        attachable: spec.attachable,
        options: spec.driver_opts.clone(),
        labels: spec.labels.clone(),
        created: jiff::Timestamp::now().to_string(),
        bridge,
        parent,
        config: spec.config_only.then(|| Box::new(spec.clone())),
        config_from: spec.config_from.clone().unwrap_or_default(),
    })
}

fn check(record: &NetworkRecord, others: &[NetworkRecord]) -> Result<(), Error> {
    let name = record.name.clone();
    if let Some((key, value, expected)) = record.wrong_option() {
        return Err(Error::Option {
            name,
            key: key.into(),
            value: value.into(),
            expected,
        });
    }
    if record.parent == "lo" {
        let driver = record.driver.as_str();
        return Err(Error::Loopback { name, driver });
    }
    let same_bridge =
        |other: &&NetworkRecord| !record.bridge.is_empty() && other.bridge == record.bridge;
    if let Some(other) = others.iter().find(same_bridge) {
        return Err(Error::BridgeTaken {
            name,
            bridge: record.bridge.clone(),
            other: other.name.clone(),
        });
    }
    let conflicts = |other: &&NetworkRecord| {
        !record.parent.is_empty()
            && other.parent == record.parent
            && !parent::go_together(record, other)
    };
    match others.iter().find(conflicts) {
        Some(other) => Err(Error::ParentTaken {
            name,
            parent: record.parent.clone(),
            other: other.name.clone(),
            driver: other.driver.as_str(),
        }),
        None => Ok(()),
    }
}

fn set_up(layout: &Layout, record: &NetworkRecord) -> Result<(), Error> {
    if record.parent.is_empty() {
        return Ok(());
    }
    let failed = |source| Error::Parent {
        name: record.name.clone(),
        source,
    };
    let socket = RouteSocket::open()
        .map_err(|source| crate::bridge::Error::Netlink {
            network: record.name.clone(),
            source,
        })
        .map_err(failed)?;
    parent::ensure(layout, &socket, record)
        .map(drop)
        .map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::find;
    use crate::testing::{layout, spec};

    #[test]
    fn what_cannot_be_is_refused_with_docker_s_words() {
        let (_dir, layout) = layout();
        create(&layout, &spec("app")).unwrap();
        let refused = |spec: NetworkSpec| create(&layout, &spec).unwrap_err().to_string();
        assert_eq!(refused(spec("app")), "network with name app already exists");
        for name in ["", "-x", "a/b", "..", "ä", &"a".repeat(300)] {
            assert!(
                refused(spec(name)).starts_with("invalid network name"),
                "{name}"
            );
        }
        assert!(
            refused(NetworkSpec {
                driver: "overlay".into(),
                ..spec("x")
            })
            .contains("plugin not found")
        );
        assert!(
            refused(NetworkSpec {
                driver: "host".into(),
                ..spec("x")
            })
            .contains("only one instance of \"host\"")
        );
        assert!(
            refused(NetworkSpec {
                ipv4: Some(false),
                ..spec("x")
            })
            .contains("IPv4 or IPv6")
        );
        let with = |key: &str, value: &str| NetworkSpec {
            driver_opts: [(key.to_owned(), value.to_owned())].into(),
            ..spec("x")
        };
        assert!(
            refused(with("com.docker.network.driver.mtu", "big")).contains("expected a number")
        );
        assert!(refused(with(OPTION_BRIDGE_NAME, "a name")).contains("interface name"));
        create(
            &layout,
            &NetworkSpec {
                name: "y".into(),
                ..with(OPTION_BRIDGE_NAME, "br-y")
            },
        )
        .unwrap();
        assert!(refused(with(OPTION_BRIDGE_NAME, "br-y")).contains("belongs to network y"));
        assert_eq!(
            find(&layout, "nix").unwrap_err().to_string(),
            "network nix not found"
        );
    }

    #[test]
    fn a_configuration_network_is_what_others_are_made_from() {
        let (_dir, layout) = layout();
        let config = NetworkSpec {
            config_only: true,
            ipam: vec![model::network::IpamConfig {
                subnet: Some("10.93.0.0/24".into()),
                ..Default::default()
            }],
            driver_opts: [(
                "com.docker.network.driver.mtu".to_owned(),
                "1400".to_owned(),
            )]
            .into(),
            ..spec("conf")
        };
        let made = create(&layout, &config).unwrap();
        assert!(
            made.pools.is_empty() && made.driver == Driver::Null,
            "it takes nothing"
        );
        let from = NetworkSpec {
            config_from: Some("conf".into()),
            ..spec("net")
        };
        let net = create(&layout, &from).unwrap();
        assert_eq!(net.pools[0].subnet.to_string(), "10.93.0.0/24");
        assert_eq!((net.mtu(), net.config_from.as_str()), (Some(1400), "conf"));
        let refused = |spec: &NetworkSpec| create(&layout, spec).unwrap_err().to_string();
        let other = NetworkSpec {
            name: "other".into(),
            ..from.clone()
        };
        assert!(refused(&other).contains("overlaps"));
        let both = NetworkSpec {
            ipv6: Some(true),
            ..other.clone()
        };
        assert!(refused(&both).contains("cannot be set beside --config-from"));
        let nowhere = NetworkSpec {
            config_from: Some("net".into()),
            ..other
        };
        assert!(refused(&nowhere).contains("no configuration network net"));
        let used = crate::remove(&layout, "conf").unwrap_err().to_string();
        assert_eq!(used, "configuration network conf is in use by network net");
        crate::remove(&layout, "net").unwrap();
        crate::remove(&layout, "conf").unwrap();
    }
}
