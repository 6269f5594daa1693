//! One endpoint as data, then all of them made in two datagrams.

use super::undo::Undo;
use super::way_out::WayOut;
use super::{Assigned, Endpoint, Error, Subnet, Wish, netlink_error, stacked, sysctl};
use crate::bridge::mac_for;
use crate::lease;
use crate::parent::{self, Kind};
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

/// What an endpoint's interface hangs on, by its index on the host.
#[derive(Debug, Clone, Copy)]
pub(super) enum Lower {
    Bridge(u32),
    Parent(u32, Kind),
}

impl Lower {
    /// Whether the interface has the hardware address of what it hangs on.
    fn shares_mac(self) -> bool {
        matches!(self, Self::Parent(_, kind) if parent::shares_address(kind))
    }
}

/// An endpoint and what the kernel needs to know to make it.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) endpoint: Endpoint,
    pub(super) lower: Lower,
    /// The host's interface below, for messages.
    pub(super) parent: String,
    mac: [u8; 6],
    mtu: Option<u32>,
    /// Whether neighbours on the bridge are out of reach.
    isolated: bool,
    link_local: Vec<IpAddr>,
    sysctls: Vec<sysctl::Setting>,
}

/// Chooses names and takes the addresses of one endpoint.
pub(super) fn endpoint(
    layout: &Layout,
    network: &NetworkRecord,
    settings: &EndpointSettings,
    asker: &Asker<'_>,
    lower: Lower,
    used: &[String],
    undo: &mut Undo<'_>,
) -> Result<Planned, Error> {
    let interface = interface_name(network, settings, used)?;
    let asked_mac = asked_mac(network, settings, asker, lower)?;
    let sysctls = sysctl::parse(&settings.driver_opts, &interface)
        .map_err(|(option, cause)| option_error(network, asker, &option, cause))?;
    let (v4, v6) = (
        settings.ipv4_address.map(IpAddr::V4),
        settings.ipv6_address.map(IpAddr::V6),
    );
    let ipv4 = address(layout, network, true, v4, asker, undo)?;
    let ipv6 = address(layout, network, false, v6, asker, undo)?;
    let mac = asked_mac
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
            host_interface: match lower {
                Lower::Bridge(_) => format!("dlv{}", crate::random::hex(&tag)),
                Lower::Parent(..) => String::new(),
            },
            mac: match lower.shares_mac() {
                true => String::new(),
                false => mac.map(|byte| format!("{byte:02x}")).join(":"),
            },
            ipv4,
            ipv6,
            aliases: settings.aliases.clone(),
            dns_names: dns_names(settings, asker),
            gw_priority: settings.gw_priority,
            internal: network.internal,
            on_link: network.routes_on_link(),
        },
        lower,
        parent: network.parent.clone(),
        mac,
        mtu: network.mtu(),
        isolated: !network.inter_container(),
        link_local: settings.link_local_ips.clone(),
        sysctls,
    })
}

/// The hardware address that is asked for, where the endpoint can have one of its own.
fn asked_mac(
    network: &NetworkRecord,
    settings: &EndpointSettings,
    asker: &Asker<'_>,
    lower: Lower,
) -> Result<Option<[u8; 6]>, Error> {
    let asked = settings.mac_address.as_deref();
    let Some(asked) = asked.filter(|mac| !mac.is_empty()) else {
        return Ok(None);
    };
    let mac = parse_mac(network, asked)?;
    if lower.shares_mac() {
        return Err(option_error(
            network,
            asker,
            "mac-address",
            "on an ipvlan, and a macvlan in passthru mode, it has the address of the parent",
        ));
    }
    Ok(Some(mac))
}

fn option_error(
    network: &NetworkRecord,
    asker: &Asker<'_>,
    option: &str,
    cause: &'static str,
) -> Error {
    Error::EndpointOption {
        container: asker.container_name.into(),
        network: network.name.clone(),
        option: option.into(),
        cause,
    }
}

/// The name an endpoint's interface is to have, if it is to have a certain one.
pub(super) fn asked_name(settings: &EndpointSettings) -> Option<&str> {
    const OPTION: &str = "com.docker.network.endpoint.ifname";
    let asked = settings.interface_name.as_deref();
    let asked = asked.or_else(|| settings.driver_opts.get(OPTION).map(String::as_str));
    asked.filter(|name| !name.is_empty())
}

fn interface_name(
    network: &NetworkRecord,
    settings: &EndpointSettings,
    used: &[String],
) -> Result<String, Error> {
    let is_used = |name: &str| used.iter().any(|known| known == name);
    match asked_name(settings) {
        Some(name) if is_interface_name(name) && name != "lo" && !is_used(name) => Ok(name.into()),
        Some(name) => Err(Error::InterfaceName {
            network: network.name.clone(),
            name: name.into(),
        }),
        None => {
            let prefix = network.interface_prefix();
            let mut free = (0..)
                .map(|n| format!("{prefix}{n}"))
                .filter(|name| !is_used(name));
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
    let mut pools = network
        .pools
        .iter()
        .filter(|pool| pool.subnet.is_ipv4() == v4);
    let Some(first) = pools.next() else {
        return match asked {
            None => Ok(None),
            Some(_) => Err(Error::NoSubnet {
                network: network.name.clone(),
                family: if v4 { "IPv4" } else { "IPv6" },
            }),
        };
    };
    if let Some(address) = asked {
        lease::take_static(layout, network, address, asker.container_id).map_err(lease_error)?;
        undo.leased(&network.name, address);
        let pool = std::iter::once(first)
            .chain(pools)
            .find(|pool| pool.subnet.contains(address));
        return Ok(Some(assigned(pool.unwrap_or(first), address)));
    }
    let of_network = |list: &[(String, IpAddr)]| -> Vec<IpAddr> {
        let here = list.iter().filter(|(name, _)| *name == network.name);
        here.map(|(_, address)| *address).collect()
    };
    let reserved = of_network(asker.reserved);
    let had = of_network(asker.previous);
    let wish = Wish {
        previous: had.into_iter().find(|address| address.is_ipv4() == v4),
        reserved: &reserved,
    };
    let mut pool = first;
    let address = loop {
        let taken = lease::take_dynamic(layout, network, pool, wish, asker.container_id);
        match (taken, pools.next()) {
            (Err(lease::Error::Exhausted { .. }), Some(next)) => pool = next,
            (taken, _) => break taken.map_err(lease_error)?,
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
    let mut pairs = Vec::with_capacity(planned.len());
    for plan in planned.iter().filter(|plan| plan.endpoint.has_host_end()) {
        pairs.push(create(plan, netns));
        if plan.isolated || hairpin {
            pairs.push(Request::BridgePort {
                name: &plan.endpoint.host_interface,
                isolated: plan.isolated,
                hairpin,
            });
        }
        undo.linked(&plan.endpoint.host_interface);
    }
    host.apply(&pairs)
        .map_err(|source| netlink_error(container, source))?;
    // One by one: where a predecessor is in the way, only this one is tried again.
    for plan in planned.iter().filter(|plan| !plan.endpoint.has_host_end()) {
        let one = std::slice::from_ref(plan);
        stacked::apply(host, &[create(plan, netns)], container, one)?;
        undo.linked_inside(&plan.endpoint.interface);
    }
    Ok(())
}

fn create<'a>(plan: &'a Planned, netns: BorrowedFd<'a>) -> Request<'a> {
    let (name, mtu) = (plan.endpoint.interface.as_str(), plan.mtu);
    match plan.lower {
        Lower::Bridge(master) => Request::CreateVeth {
            name: &plan.endpoint.host_interface,
            master,
            mtu,
            peer: name,
            peer_mac: plan.mac,
            netns,
        },
        Lower::Parent(parent, Kind::Macvlan(mode)) => Request::CreateMacvlan {
            name,
            parent,
            mode,
            mac: plan.mac,
            mtu,
            netns,
        },
        Lower::Parent(parent, Kind::Ipvlan(mode, flag)) => Request::CreateIpvlan {
            name,
            parent,
            mode,
            flag,
            mtu,
            netns,
        },
    }
}

/// What was asked of the interfaces by sysctl, before they are up and have addresses.
pub(super) fn set_sysctls(
    netns: BorrowedFd<'_>,
    container: &str,
    planned: &[Planned],
) -> Result<(), Error> {
    let settings: Vec<&sysctl::Setting> = planned.iter().flat_map(|plan| &plan.sysctls).collect();
    if settings.is_empty() {
        return Ok(());
    }
    sysctl::write(netns, &settings).map_err(|(option, source)| Error::EndpointSysctl {
        container: container.into(),
        option,
        source,
    })
}

/// Configures a namespace that nobody configured before: loopback, addresses, routes, in one datagram.
pub(super) fn configure_fresh(
    netns: BorrowedFd<'_>,
    container: &str,
    planned: &[Planned],
    ways_out: &[WayOut],
) -> Result<(), Error> {
    set_sysctls(netns, container, planned)?;
    let inside = RouteSocket::open_in(netns).map_err(|source| netlink_error(container, source))?;
    let mut requests = vec![Request::Up { index: LOOPBACK }];
    for plan in planned {
        requests.extend(addresses(&inside, container, plan)?);
    }
    for way in ways_out {
        let index = index_of(&inside, container, &way.interface)?;
        requests.push(way.route(index));
    }
    stacked::apply(&inside, &requests, container, planned)
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
