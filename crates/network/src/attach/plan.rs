//! One endpoint as data, then all of them made in two datagrams.

use super::undo::Undo;
use super::{Assigned, Endpoint, Error, Subnet, Wish, netlink_error};
use crate::bridge::mac_for;
use crate::lease;
use crate::record::{NetworkRecord, Pool, is_interface_name};
use model::network::EndpointSettings;
use state::Layout;
use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use sys::netlink::{Request, RouteSocket};

/// `lo` is the first interface of every namespace (`LOOPBACK_IFINDEX`).
const LOOPBACK: u32 = 1;

/// Who joins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asker<'a> {
    pub(super) container_id: &'a str,
    pub(super) container_name: &'a str,
    pub(super) hostname: &'a str,
    pub(super) reserved: &'a [(String, IpAddr)],
    pub(super) previous: &'a [(String, IpAddr)],
}

/// An endpoint and what the kernel needs to know to make it.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) endpoint: Endpoint,
    master: u32,
    mac: [u8; 6],
    mtu: Option<u32>,
    /// Whether neighbours on the bridge are out of reach.
    isolated: bool,
    link_local: Vec<IpAddr>,
}

/// Chooses names and takes the addresses of one endpoint.
pub(super) fn endpoint(
    layout: &Layout,
    network: &NetworkRecord,
    settings: &EndpointSettings,
    asker: &Asker<'_>,
    master: u32,
    used: &[&str],
    undo: &mut Undo<'_>,
) -> Result<Planned, Error> {
    let interface = interface_name(network, settings, used)?;
    let given_mac = settings
        .mac_address
        .as_deref()
        .filter(|mac| !mac.is_empty());
    let given_mac = given_mac.map(|mac| parse_mac(network, mac)).transpose()?;
    let ipv4 = address(
        layout,
        network,
        true,
        settings.ipv4_address.map(IpAddr::V4),
        asker,
        undo,
    )?;
    let ipv6 = address(
        layout,
        network,
        false,
        settings.ipv6_address.map(IpAddr::V6),
        asker,
        undo,
    )?;
    let mac = given_mac
        .or_else(|| ipv4.or(ipv6).map(|a| mac_for(a.address)))
        .unwrap_or([2, 0x42, 0, 0, 0, 1]);
    let random = |source| Error::Random { source };
    let tag: [u8; 6] = crate::random::bytes().map_err(random)?;
    let id: [u8; 32] = crate::random::bytes().map_err(random)?;
    Ok(Planned {
        endpoint: Endpoint {
            network: network.name.clone(),
            network_id: network.id.to_string(),
            endpoint_id: crate::random::hex(&id),
            interface,
            host_interface: format!("dlv{}", crate::random::hex(&tag)),
            mac: mac.map(|byte| format!("{byte:02x}")).join(":"),
            ipv4,
            ipv6,
            aliases: settings.aliases.clone(),
            dns_names: dns_names(settings, asker),
            gw_priority: settings.gw_priority,
            internal: network.internal,
        },
        master,
        mac,
        mtu: network.mtu(),
        isolated: !network.inter_container(),
        link_local: settings.link_local_ips.clone(),
    })
}

fn interface_name(
    network: &NetworkRecord,
    settings: &EndpointSettings,
    used: &[&str],
) -> Result<String, Error> {
    let asked = settings
        .interface_name
        .as_deref()
        .filter(|name| !name.is_empty());
    let asked = asked.or_else(|| {
        settings
            .driver_opts
            .get("com.docker.network.endpoint.ifname")
            .map(String::as_str)
    });
    match asked {
        Some(name) if is_interface_name(name) && name != "lo" && !used.contains(&name) => {
            Ok(name.into())
        }
        Some(name) => Err(Error::InterfaceName {
            network: network.name.clone(),
            name: name.into(),
        }),
        None => {
            let mut free = (0..)
                .map(|n| format!("eth{n}"))
                .filter(|name| !used.contains(&name.as_str()));
            Ok(free.next().unwrap_or_default())
        }
    }
}

fn parse_mac(network: &NetworkRecord, text: &str) -> Result<[u8; 6], Error> {
    let wrong = || Error::Mac {
        network: network.name.clone(),
        mac: text.into(),
    };
    let mut bytes = [0; 6];
    let mut parts = text.split([':', '-']);
    for byte in &mut bytes {
        let part = parts
            .next()
            .filter(|part| part.len() == 2)
            .ok_or_else(wrong)?;
        *byte = u8::from_str_radix(part, 16).map_err(|_| wrong())?;
    }
    let multicast = bytes[0] & 1 == 1;
    if parts.next().is_some() || multicast || bytes == [0; 6] {
        return Err(wrong());
    }
    Ok(bytes)
}

fn address(
    layout: &Layout,
    network: &NetworkRecord,
    v4: bool,
    asked: Option<IpAddr>,
    asker: &Asker<'_>,
    undo: &mut Undo<'_>,
) -> Result<Option<Assigned>, Error> {
    let lease_error = |source| Error::Lease {
        container: asker.container_name.into(),
        source,
    };
    let pool = if v4 {
        network.pool_v4()
    } else {
        network.pool_v6()
    };
    let Some(pool) = pool else {
        return match asked {
            None => Ok(None),
            Some(_) => Err(Error::NoSubnet {
                network: network.name.clone(),
                family: if v4 { "IPv4" } else { "IPv6" },
            }),
        };
    };
    let address = match asked {
        Some(address) => {
            lease::take_static(layout, network, address, asker.container_id)
                .map_err(lease_error)?;
            address
        }
        None => {
            let of_network = |list: &[(String, IpAddr)]| -> Vec<IpAddr> {
                list.iter()
                    .filter(|(name, _)| *name == network.name)
                    .map(|(_, address)| *address)
                    .collect()
            };
            let reserved = of_network(asker.reserved);
            let previous = of_network(asker.previous)
                .into_iter()
                .find(|address| address.is_ipv4() == v4);
            let wish = Wish {
                previous,
                reserved: &reserved,
            };
            lease::take_dynamic(layout, network, pool, wish, asker.container_id)
                .map_err(lease_error)?
        }
    };
    undo.leased(&network.name, address);
    Ok(Some(assigned(pool, address)))
}

fn assigned(pool: &Pool, address: IpAddr) -> Assigned {
    Assigned {
        address,
        prefix: pool.subnet.prefix(),
        gateway: pool.gateway,
    }
}

/// Docker's `DNSNames`: the container's name, its aliases, its short id, its host name.
fn dns_names(settings: &EndpointSettings, asker: &Asker<'_>) -> Vec<String> {
    let short = asker.container_id.get(..12).unwrap_or(asker.container_id);
    let mut names: Vec<String> = Vec::new();
    let all = [asker.container_name]
        .into_iter()
        .chain(settings.aliases.iter().map(String::as_str));
    for name in all.chain([short, asker.hostname]) {
        if !name.is_empty() && !names.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            names.push(name.into());
        }
    }
    names
}

/// Makes all pairs in one datagram. With `hairpin` a container reaches its own published port: where bridged frames pass
/// through the packet filter (`bridge-nf-call-iptables`), what it sends there is bridged back, not routed.
pub(super) fn make(
    host: &RouteSocket,
    netns: BorrowedFd<'_>,
    container: &str,
    planned: &[Planned],
    hairpin: bool,
    undo: &mut Undo<'_>,
) -> Result<(), Error> {
    let mut requests = Vec::with_capacity(planned.len());
    for plan in planned {
        requests.push(Request::CreateVeth {
            name: &plan.endpoint.host_interface,
            master: plan.master,
            mtu: plan.mtu,
            peer: &plan.endpoint.interface,
            peer_mac: plan.mac,
            netns,
        });
        if plan.isolated || hairpin {
            requests.push(Request::BridgePort {
                name: &plan.endpoint.host_interface,
                isolated: plan.isolated,
                hairpin,
            });
        }
        undo.linked(&plan.endpoint.host_interface);
    }
    host.apply(&requests)
        .map_err(|source| netlink_error(container, source))
}

/// Configures a namespace that nobody configured before: loopback, addresses, routes, in one datagram.
pub(super) fn configure_fresh(
    netns: BorrowedFd<'_>,
    container: &str,
    planned: &[Planned],
    gateways: Vec<(String, IpAddr)>,
) -> Result<(), Error> {
    let inside = RouteSocket::open_in(netns).map_err(|source| netlink_error(container, source))?;
    let mut requests = vec![Request::Up { index: LOOPBACK }];
    for plan in planned {
        requests.extend(addresses(&inside, container, plan)?);
    }
    for (interface, gateway) in gateways {
        let index = index_of(&inside, container, &interface)?;
        requests.push(Request::AddRoute {
            destination: None,
            gateway: Some(gateway),
            index,
        });
    }
    inside
        .apply(&requests)
        .map_err(|source| netlink_error(container, source))
}

/// The addresses before the interface comes up, so that coming up announces them.
pub(super) fn addresses(
    inside: &RouteSocket,
    container: &str,
    plan: &Planned,
) -> Result<Vec<Request<'static>>, Error> {
    let index = index_of(inside, container, &plan.endpoint.interface)?;
    let of = |address, prefix| Request::AddAddress {
        index,
        address,
        prefix,
    };
    let mut requests: Vec<Request<'static>> = Vec::new();
    requests.extend(
        [plan.endpoint.ipv4]
            .into_iter()
            .flatten()
            .map(|a| of(a.address, a.prefix)),
    );
    requests.extend(
        plan.link_local
            .iter()
            .map(|address| of(*address, link_local_prefix(*address))),
    );
    requests.push(Request::UpAnnounced { index });
    // An IPv6 address of an interface that is down would wait for duplicate address detection after all.
    requests.extend(
        [plan.endpoint.ipv6]
            .into_iter()
            .flatten()
            .map(|a| of(a.address, a.prefix)),
    );
    Ok(requests)
}

fn link_local_prefix(address: IpAddr) -> u8 {
    Subnet::around(address, if address.is_ipv4() { 16 } else { 64 }).prefix()
}

pub(super) fn index_of(
    inside: &RouteSocket,
    container: &str,
    interface: &str,
) -> Result<u32, Error> {
    let failed = |source| Error::Interface {
        container: container.into(),
        interface: interface.into(),
        source,
    };
    inside
        .index_of(interface)
        .map_err(failed)?
        .ok_or_else(|| failed(std::io::ErrorKind::NotFound.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_docker_s_and_each_only_once() {
        let asker = Asker {
            container_id: "0123456789abcdef",
            container_name: "web",
            hostname: "0123456789ab",
            reserved: &[],
            previous: &[],
        };
        let settings = EndpointSettings {
            aliases: vec!["www".into(), "WEB".into(), "www".into()],
            ..Default::default()
        };
        assert_eq!(dns_names(&settings, &asker), ["web", "www", "0123456789ab"]);
    }

    #[test]
    fn mac_addresses_are_checked() {
        let network = crate::testing::network("n", "10.0.0.0/24");
        assert_eq!(
            parse_mac(&network, "02:42:AC-11:00:02").unwrap(),
            [2, 0x42, 0xac, 0x11, 0, 2]
        );
        for wrong in [
            "",
            "02:42",
            "02:42:ac:11:00:0g",
            "01:00:5e:00:00:01",
            "00:00:00:00:00:00",
            "2:42:ac:11:00:02:1",
        ] {
            assert!(parse_mac(&network, wrong).is_err(), "{wrong}");
        }
    }
}
