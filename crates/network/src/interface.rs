//! What is remembered of an interface of the host that was set up for a network: `networks/<name>/bridge` or
//! `networks/<name>/parent` under the run root.
//!
//! While the name still leads to the index there is nothing to do; one that we made we take away.

use crate::bridge::Error;
use serde::{Deserialize, Serialize};
use state::{Durability, Layout, record};
use std::io;
use std::path::PathBuf;
use sys::netlink::{Request, RouteSocket};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Marker {
    #[serde(rename = "bridge")]
    pub(crate) interface: String,
    pub(crate) index: u32,
    /// We made the interface, so we take it away.
    pub(crate) made: bool,
}

/// What the interface is to its network; the file's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Bridge,
    Parent,
}

impl Role {
    pub(crate) fn path(self, layout: &Layout, network: &str) -> PathBuf {
        layout.run_network(network).join(match self {
            Self::Bridge => "bridge",
            Self::Parent => "parent",
        })
    }

    /// One that cannot be read is as none: the set-up is repeated.
    pub(crate) fn read(self, layout: &Layout, network: &str) -> Option<Marker> {
        record::read(&self.path(layout, network)).unwrap_or_default()
    }

    pub(crate) fn write(
        self,
        layout: &Layout,
        network: &str,
        marker: &Marker,
    ) -> Result<(), Error> {
        let path = self.path(layout, network);
        Ok(record::write(&path, marker, Durability::Volatile)?)
    }
}

pub(crate) fn index_of(socket: &RouteSocket, interface: &str) -> Result<Option<u32>, Error> {
    socket.index_of(interface).map_err(|source| Error::Lookup {
        interface: interface.into(),
        source,
    })
}

/// Takes the interfaces of a network away that we made, and its run-time files. Called when nobody is on it;
/// needs no record, so what a removal that was killed left behind goes too.
pub(crate) fn remove(layout: &Layout, network: &str) -> Result<(), Error> {
    for role in [Role::Bridge, Role::Parent] {
        if let Some(marker) = role.read(layout, network).filter(|marker| marker.made) {
            delete(network, &marker)?;
        }
    }
    let dir = layout.run_network(network);
    match std::fs::remove_dir_all(&dir) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::Directory {
            path: dir,
            source: e,
        }),
        _ => Ok(()),
    }
}

fn delete(network: &str, marker: &Marker) -> Result<(), Error> {
    let netlink = |source| Error::Netlink {
        network: network.into(),
        source,
    };
    let socket = RouteSocket::open().map_err(netlink)?;
    if index_of(&socket, &marker.interface)? != Some(marker.index) {
        return Ok(()); // gone, or somebody else's by now
    }
    match socket.apply(&[Request::DeleteLink {
        name: &marker.interface,
    }]) {
        Err(e) if !e.is_missing() => Err(netlink(e)),
        _ => Ok(()),
    }
}
