//! A request as the kernel hears it: what it is called in an error, its flags, its message.

use super::Request;
use super::interface;
use super::routing;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::RouteNetlinkMessage;
use std::net::IpAddr;

fn route_text(destination: Option<(IpAddr, u8)>, gateway: Option<IpAddr>) -> String {
    let to = destination.map_or("default".into(), |(address, prefix)| {
        format!("{address}/{prefix}")
    });
    gateway.map_or(to.clone(), |gateway| format!("{to} via {gateway}"))
}

/// What the request does, as an error says it: "cannot …".
pub(super) fn label(request: &Request<'_>) -> String {
    match *request {
        Request::CreateBridge { name, .. } => format!("create the bridge {name}"),
        Request::CreateVeth { name, peer, .. } => {
            format!("create the interface {peer} of a container (host end {name})")
        }
        Request::CreateStub { name, .. } => format!("create the interface {name}"),
        Request::CreateVlan { name, id, .. } => format!("create the interface {name} of VLAN {id}"),
        Request::CreateMacvlan { name, .. } => {
            format!("create the macvlan interface {name} of a container")
        }
        Request::CreateIpvlan { name, .. } => {
            format!("create the ipvlan interface {name} of a container")
        }
        Request::BridgePort { name, .. } | Request::Hairpin { name } => {
            format!("set up the bridge port {name}")
        }
        Request::Up { index } | Request::UpAnnounced { index } => {
            format!("bring interface {index} up")
        }
        Request::Rename { name, .. } => format!("name an interface {name}"),
        Request::Move { name, .. } => {
            format!("move an interface into the container as {name}")
        }
        Request::AddAddress {
            index,
            address,
            prefix,
        } => format!("give interface {index} the address {address}/{prefix}"),
        Request::DeleteAddress {
            index,
            address,
            prefix,
        } => format!("take the address {address}/{prefix} from interface {index}"),
        Request::AddRoute {
            destination,
            gateway,
            ..
        } => format!("add the route {}", route_text(destination, gateway)),
        Request::DeleteRoute {
            destination,
            gateway,
            ..
        } => format!("delete the route {}", route_text(destination, gateway)),
        Request::AddLocalRoute { address, .. } => format!("add the local route {address}"),
        Request::DeleteLink { name } => format!("delete the interface {name}"),
    }
}

/// Interfaces must be new; an address or a route that is there already is as good.
pub(super) fn flags(request: &Request<'_>) -> u16 {
    match request {
        Request::CreateBridge { .. }
        | Request::CreateVeth { .. }
        | Request::CreateStub { .. }
        | Request::CreateVlan { .. }
        | Request::CreateMacvlan { .. }
        | Request::CreateIpvlan { .. } => NLM_F_CREATE | NLM_F_EXCL,
        Request::AddAddress { .. } | Request::AddRoute { .. } | Request::AddLocalRoute { .. } => {
            NLM_F_CREATE | NLM_F_REPLACE
        }
        _ => 0,
    }
}

pub(super) fn payload(request: &Request<'_>) -> RouteNetlinkMessage {
    use RouteNetlinkMessage as M;
    match *request {
        Request::AddAddress {
            index,
            address,
            prefix,
        } => M::NewAddress(routing::interface_address(index, address, prefix)),
        Request::DeleteAddress {
            index,
            address,
            prefix,
        } => M::DelAddress(routing::interface_address(index, address, prefix)),
        Request::AddRoute {
            destination,
            gateway,
            index,
        } => M::NewRoute(routing::route(destination, gateway, index)),
        Request::DeleteRoute {
            destination,
            gateway,
            index,
        } => M::DelRoute(routing::route(destination, gateway, index)),
        Request::AddLocalRoute { address, index } => {
            M::NewRoute(routing::local_route(address, index))
        }
        Request::DeleteLink { name } => M::DelLink(interface::named(name)),
        ref change => M::NewLink(interface::message(change)),
    }
}
