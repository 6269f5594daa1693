//! Which of several networks leads out.
//! Source: moby `libnetwork/sandbox.go` for which gateway becomes the default.

use super::{Assigned, Attached, Endpoint};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use sys::netlink::Request;

/// The endpoint whose gateway is the default one: the highest priority, then the first by network name.
pub(super) fn primary(endpoints: &[Endpoint]) -> Option<&Endpoint> {
    let ways_out = endpoints.iter().filter(|endpoint| !endpoint.internal);
    ways_out.min_by(|a, b| (-a.gw_priority, &a.network).cmp(&(-b.gw_priority, &b.network)))
}

/// The host as the container sees it: the gateway of the way out, else of any network.
pub(crate) fn primary_gateway(attached: &Attached) -> Option<IpAddr> {
    // A macvlan's gateway is somebody else, and the host is not to be reached there.
    let bridged = || attached.endpoints.iter().filter(|e| e.has_host_end());
    let way_out = primary(&attached.endpoints).filter(|e| e.has_host_end());
    let endpoint = way_out.or_else(|| bridged().next())?;
    endpoint
        .ipv4
        .or(endpoint.ipv6)
        .map(|assigned| assigned.gateway)
}

/// A default route: the interface it leads to, by a gateway or by the interface alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WayOut {
    pub(super) interface: String,
    pub(super) gateway: IpAddr,
    pub(super) on_link: bool,
}

impl WayOut {
    pub(super) fn route(&self, index: u32) -> Request<'static> {
        let any = match self.gateway {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        Request::AddRoute {
            destination: self.on_link.then_some((any, 0)),
            gateway: Some(self.gateway).filter(|_| !self.on_link),
            index,
        }
    }
}

/// The default route of each family.
pub(super) fn ways_out(endpoints: &[Endpoint]) -> Vec<WayOut> {
    let of_family = |pick: fn(&Endpoint) -> Option<Assigned>| {
        let having: Vec<Endpoint> = endpoints
            .iter()
            .filter(|e| pick(e).is_some())
            .cloned()
            .collect();
        let endpoint = primary(&having)?;
        Some(WayOut {
            interface: endpoint.interface.clone(),
            gateway: pick(endpoint)?.gateway,
            on_link: endpoint.on_link,
        })
    };
    [of_family(|e| e.ipv4), of_family(|e| e.ipv6)]
        .into_iter()
        .flatten()
        .collect()
}
