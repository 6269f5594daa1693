//! Other published ports for a container that runs: its process notices nothing.

use super::{Attached, Error, bindings, netlink_error, publish};
use crate::ports;
use crate::record::NetworkRecord;
use model::network::EndpointSettings;
use model::port::PortBinding;
use state::Layout;
use sys::netlink::{Request, RouteSocket};

/// Publishes these ports instead of those it has; `attached` is brought up to date. On an error nothing is changed.
/// `networks`: those it is in, as at [`super::attach`].
pub fn rebind(
    layout: &Layout,
    attached: &mut Attached,
    wanted: &[PortBinding],
    networks: &[(NetworkRecord, EndpointSettings)],
) -> Result<(), Error> {
    let mut after = Attached {
        bindings: bindings(wanted, networks),
        ..attached.clone()
    };
    if after.bindings == attached.bindings {
        return Ok(());
    }
    after.ports = publish(layout, &after, true)?;
    if after.ports.is_empty() && !attached.ports.is_empty() {
        ports::unpublish(layout, |id| id == attached.container_id).map_err(|source| {
            Error::Ports {
                container: attached.container_name.clone(),
                source,
            }
        })?;
    }
    if attached.bindings.is_empty() {
        reflect(attached, networks)?;
    }
    *attached = after;
    Ok(())
}

/// The first ports: from now on the bridge must send back what the container sends to itself by them.
fn reflect(
    attached: &Attached,
    networks: &[(NetworkRecord, EndpointSettings)],
) -> Result<(), Error> {
    let failed = |source| netlink_error(&attached.container_id, source);
    let host = RouteSocket::open().map_err(failed)?;
    for endpoint in &attached.endpoints {
        let network = networks.iter().find(|(n, _)| n.name == endpoint.network);
        let request = Request::BridgePort {
            name: &endpoint.host_interface,
            isolated: network.is_some_and(|(network, _)| !network.inter_container()),
            hairpin: true,
        };
        host.apply(&[request]).map_err(failed)?;
    }
    Ok(())
}
