//! What a join has done so far; dropped before the end, it is taken back.

use crate::{endpoint, endpoint_rules, lease, ports};
use state::Layout;
use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use sys::netlink::{Request, RouteSocket};

/// Disarmed by [`keep`](Self::keep).
#[derive(Debug)]
pub(super) struct Undo<'a> {
    layout: &'a Layout,
    netns: BorrowedFd<'a>,
    container: String,
    leases: Vec<(String, IpAddr)>,
    names: Vec<(String, String)>,
    /// On the host, and those in the namespace that have no end there.
    links: Vec<String>,
    inside: Vec<String>,
    published: bool,
}

impl<'a> Undo<'a> {
    pub(super) fn new(layout: &'a Layout, netns: BorrowedFd<'a>, container: &str) -> Self {
        let container = container.into();
        Self {
            layout,
            netns,
            container,
            leases: Vec::new(),
            names: Vec::new(),
            links: Vec::new(),
            inside: Vec::new(),
            published: false,
        }
    }

    pub(super) fn leased(&mut self, network: &str, address: IpAddr) {
        self.leases.push((network.into(), address));
    }

    pub(super) fn registered(&mut self, network: &str, endpoint_id: &str) {
        self.names.push((network.into(), endpoint_id.into()));
    }

    pub(super) fn linked(&mut self, host_interface: &str) {
        self.links.push(host_interface.into());
    }

    pub(super) fn linked_inside(&mut self, interface: &str) {
        self.inside.push(interface.into());
    }

    pub(super) fn published(&mut self, any: bool) {
        self.published = any;
    }

    pub(super) fn keep(mut self) {
        self.leases.clear();
        self.names.clear();
        self.links.clear();
        self.inside.clear();
        self.published = false;
    }
}

impl Drop for Undo<'_> {
    /// Backwards. What fails here the next sweep finds, since the container will not be alive.
    fn drop(&mut self) {
        if !self.links.is_empty()
            && let Ok(socket) = RouteSocket::open()
        {
            for name in &self.links {
                let _ = socket.apply(&[Request::DeleteLink { name }]);
            }
        }
        if !self.inside.is_empty()
            && let Ok(socket) = RouteSocket::open_in(self.netns)
        {
            for name in &self.inside {
                let _ = socket.apply(&[Request::DeleteLink { name }]);
            }
        }
        for (network, endpoint_id) in &self.names {
            let _ = endpoint::unregister(self.layout, network, endpoint_id);
            let _ = endpoint_rules::leave(self.layout, network, &self.container);
        }
        if self.published {
            let _ = ports::unpublish(self.layout, |id| id == self.container);
        }
        for (network, address) in &self.leases {
            let _ = lease::release(self.layout, network, *address, &self.container);
        }
    }
}
