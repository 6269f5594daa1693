//! Requests about interfaces on a parent, which may have to wait for those of a container that just ended.
//!
//! A namespace that died is cleaned up by the kernel a little later (`cleanup_net`), and until then its interfaces keep their
//! addresses on the parent, or all of it in passthru mode. So does the namespace of a container that restarts.
//!
//! Source: kernel `drivers/net/macvlan.c` (`macvlan_open`, `macvlan_common_newlink`), `drivers/net/ipvlan/ipvlan_main.c`
//! (`ipvlan_add_addr4`).

use super::plan::{Lower, Planned};
use super::{Error, netlink_error};
use crate::parent::Kind;
use std::time::Duration;
use sys::netlink::{self, MacvlanMode, Request, RouteSocket};

const ROUNDS: u32 = 100;
const PAUSE: Duration = Duration::from_millis(10);

/// Carries requests that may be carried again; after a second what is in the way is no predecessor.
pub(super) fn apply(
    socket: &RouteSocket,
    requests: &[Request<'_>],
    container: &str,
    planned: &[Planned],
) -> Result<(), Error> {
    let mut round = 0;
    loop {
        let Err(source) = socket.apply(requests) else {
            return Ok(());
        };
        let Some((plan, cause)) = in_the_way(planned, &source) else {
            return Err(netlink_error(container, source));
        };
        round += 1;
        if round == ROUNDS {
            return Err(Error::Parent {
                container: container.into(),
                network: plan.endpoint.network.clone(),
                parent: plan.parent.clone(),
                cause,
            });
        }
        std::thread::sleep(PAUSE);
    }
}

/// Whose parent is occupied, and how.
fn in_the_way<'p>(
    planned: &'p [Planned],
    source: &netlink::Error,
) -> Option<(&'p Planned, &'static str)> {
    const INVALID: i32 = rustix::io::Errno::INVAL.raw_os_error();
    const IN_USE: i32 = rustix::io::Errno::ADDRINUSE.raw_os_error();
    let passthru = Kind::Macvlan(MacvlanMode::Passthru);
    planned
        .iter()
        .find_map(|plan| match (plan.lower, source.errno()?) {
            (Lower::Parent(..), IN_USE) => Some((
                plan,
                "another interface there has the same MAC or IP address",
            )),
            (Lower::Parent(_, kind), INVALID) if kind == passthru => Some((
                plan,
                "in passthru mode it has room for one container, and that is there",
            )),
            _ => None,
        })
}
