//! Our one table in the host's packet filter, `inet dockless` (with the instance's word behind it for other data
//! roots): made once, recognised by the kernel's generation number, rebuilt whole from the run root when somebody
//! flushed it. Nobody else's table is touched.
//!
//! [`rules`] is the table as data; `ports` fills its maps. What foreign tables block is named by [`crate::diagnose`].
//!
//! `networks/.firewall` under the run root: `{"schema":1, "version":N, "generation":G}`, the state last known good.
//!
//! Source: nft(8), kernel `Documentation/networking/nf_conntrack-sysctl.rst`; moby's `FORWARD` rules for what is
//! allowed between networks.

pub(crate) mod rules;
mod watch;

pub use watch::Watch;

use crate::ports::{self, projection::Projection};
use crate::record::NetworkRecord;
use crate::{bridge, endpoint_rules, registry};
use serde::{Deserialize, Serialize};
use state::{Durability, Layout, record};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use sys::lock::FileLock;
use sys::namespace;
use sys::netlink;
use sys::nft::{Change, Element, INET, NftSocket, Table};

/// Why the packet filter is not as it should be.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot change the packet filter (nf_tables)")]
    Netlink { source: netlink::Error },
    #[error("cannot tell the network namespace")]
    Namespace { source: io::Error },
    #[error("cannot lock the packet filter")]
    Lock { source: io::Error },
    #[error("cannot read the networks")]
    Networks { source: Box<registry::Error> },
    #[error("cannot read the published ports")]
    Ports { source: Box<ports::Error> },
    #[error(transparent)]
    Record(#[from] record::Error),
}

fn netlink(source: netlink::Error) -> Error {
    Error::Netlink { source }
}

thread_local! {
    static OPEN: RefCell<Option<(u64, Rc<NftSocket>)>> = const { RefCell::new(None) };
}

/// The thread's netfilter socket in the namespace it is in. Kept open: closing one after a deletion waits for an RCU grace
/// period, 8 to 16 ms (`nft_rcv_nl_event` flushes what is to be destroyed).
fn socket() -> Result<Rc<NftSocket>, Error> {
    let here = || namespace::inode(namespace::open_own("net")?);
    let here = here().map_err(|source| Error::Namespace { source })?;
    OPEN.with_borrow_mut(|open| match open {
        Some((netns, socket)) if *netns == here => Ok(Rc::clone(socket)),
        _ => {
            let socket = Rc::new(NftSocket::open().map_err(netlink)?);
            *open = Some((here, Rc::clone(&socket)));
            Ok(socket)
        }
    })
}

/// The state of the table last known good.
#[derive(Debug, Serialize, Deserialize)]
struct Marker {
    version: u32,
    generation: u32,
    /// Whether bridged IPv6 frames pass the packet filter: then an answer to ::1 is lost.
    #[serde(default)]
    filtered: bool,
}

/// Our table, held by the lock that all who change it take.
#[derive(Debug)]
pub(crate) struct Firewall<'a> {
    layout: &'a Layout,
    socket: Rc<NftSocket>,
    table: String,
    _lock: FileLock,
}

/// Makes sure that the table is there and whole. Cheap when nothing happened: one question to the kernel.
pub(crate) fn ensure(layout: &Layout) -> Result<(), Error> {
    if is_current(layout, &*socket()?)? {
        return Ok(());
    }
    Firewall::open(layout).map(drop)
}

fn is_current(layout: &Layout, socket: &NftSocket) -> Result<bool, Error> {
    let marker: Option<Marker> = record::read(&marker_path(layout)).unwrap_or_default();
    let Some(marker) = marker.filter(Marker::fits) else {
        return Ok(false);
    };
    Ok(socket.generation().map_err(netlink)? == marker.generation)
}

/// The network's bridge joins the rules.
pub(crate) fn remember(layout: &Layout, network: &NetworkRecord) -> Result<(), Error> {
    let firewall = Firewall::open(layout)?;
    firewall.apply(add(rules::membership(network)))
}

/// The network's bridge leaves the rules.
pub(crate) fn forget(layout: &Layout, network: &NetworkRecord) -> Result<(), Error> {
    if !marker_path(layout).exists() {
        return Ok(());
    }
    let firewall = Firewall::open(layout)?;
    for (set, elements) in rules::membership(network) {
        // One by one: what is not there is gone already.
        match firewall.apply(vec![Change::DeleteElements { set, elements }]) {
            Err(Error::Netlink { source }) if source.is_missing() => {}
            other => other?,
        }
    }
    Ok(())
}

/// Makes the table anew, whatever state it is in (`network reload`).
pub fn reload(layout: &Layout) -> Result<(), Error> {
    Firewall::open(layout)?.rebuild()
}

/// Takes the whole table of this instance away, with nothing of anybody else's.
pub(crate) fn remove_table(layout: &Layout) -> Result<(), Error> {
    let _lock = lock(layout)?;
    let socket = socket()?;
    let name = table_name(layout);
    let deleted = socket.apply(
        Table {
            family: INET,
            name: &name,
        },
        &[Change::DeleteTable],
    );
    record::remove(&marker_path(layout))?;
    match deleted {
        Err(e) if !e.is_missing() => Err(netlink(e)),
        _ => Ok(()),
    }
}

impl<'a> Firewall<'a> {
    /// Takes the lock and makes the table whole.
    pub(crate) fn open(layout: &'a Layout) -> Result<Self, Error> {
        let firewall = Self {
            layout,
            socket: socket()?,
            table: table_name(layout),
            _lock: lock(layout)?,
        };
        if !is_current(layout, &firewall.socket)? && !firewall.adopt()? {
            firewall.rebuild()?;
        }
        Ok(firewall)
    }

    /// Others' transactions moved the generation: is our table still whole?
    fn adopt(&self) -> Result<bool, Error> {
        let marker: Option<Marker> = record::read(&marker_path(self.layout)).unwrap_or_default();
        if !marker.is_some_and(|marker| marker.fits()) {
            return Ok(false);
        }
        let generation = self.socket.generation().map_err(netlink)?;
        if self.socket.count_rules(self.table()).map_err(netlink)?
            != rules::count(is_bridge_filtered())
        {
            return Ok(false);
        }
        self.write_marker(generation)?;
        Ok(true)
    }

    /// The table anew, in one transaction: rules, the bridges that are set up, the ports that are claimed.
    pub(crate) fn rebuild(&self) -> Result<(), Error> {
        let networks = registry::read_all(self.layout).map_err(|source| Error::Networks {
            source: Box::new(source),
        })?;
        let claims = ports::claims(self.layout).map_err(|source| Error::Ports {
            source: Box::new(source),
        })?;
        let mut changes = rules::table(is_bridge_filtered());
        for network in networks
            .iter()
            .filter(|network| bridge::is_set_up(self.layout, network))
        {
            changes.extend(add(rules::membership(network)));
        }
        changes.extend(self.elements_of_endpoints(&networks));
        changes.extend(Projection::of(&claims).changes_from(&Projection::default()));
        self.socket
            .replace_table(self.table(), changes)
            .map_err(netlink)?;
        self.write_marker(self.socket.generation().map_err(netlink)?)
    }

    fn elements_of_endpoints(&self, networks: &[NetworkRecord]) -> Vec<Change<'static>> {
        let mut changes = Vec::new();
        for network in networks {
            let mut of_set: BTreeMap<&'static str, Vec<Element>> = BTreeMap::new();
            for (set, element) in endpoint_rules::elements(self.layout, network) {
                of_set.entry(set).or_default().push(element);
            }
            for (set, elements) in of_set {
                let parts = Element::split(elements).into_iter();
                changes.extend(parts.map(|elements| Change::AddElements { set, elements }));
            }
        }
        changes
    }

    pub(crate) fn apply(&self, changes: Vec<Change<'_>>) -> Result<(), Error> {
        if changes.is_empty() {
            return Ok(());
        }
        self.socket.apply(self.table(), &changes).map_err(netlink)?;
        // When the number is not just one further somebody else acted as well, and the next look is the thorough one.
        let generation = self.socket.generation().map_err(netlink)?;
        let marker: Option<Marker> = record::read(&marker_path(self.layout)).unwrap_or_default();
        if marker.is_some_and(|marker| marker.generation.wrapping_add(1) == generation) {
            self.write_marker(generation)?;
        }
        Ok(())
    }

    /// What a map of the table holds now.
    pub(crate) fn elements(&self, set: &str) -> Result<Vec<Element>, Error> {
        self.socket.elements(self.table(), set).map_err(netlink)
    }

    pub(crate) fn socket(&self) -> &NftSocket {
        &self.socket
    }

    fn table(&self) -> Table<'_> {
        Table {
            family: INET,
            name: &self.table,
        }
    }

    fn write_marker(&self, generation: u32) -> Result<(), Error> {
        let marker = Marker {
            version: rules::VERSION,
            generation,
            filtered: is_bridge_filtered(),
        };
        Ok(record::write(
            &marker_path(self.layout),
            &marker,
            Durability::Volatile,
        )?)
    }
}

impl Marker {
    /// Whether it speaks of rules like ours on a host like this.
    fn fits(&self) -> bool {
        self.version == rules::VERSION && self.filtered == is_bridge_filtered()
    }
}

/// Whether IPv6 frames that are bridged pass the packet filter on their way up, as Docker and Kubernetes have it.
fn is_bridge_filtered() -> bool {
    std::fs::read_to_string("/proc/sys/net/bridge/bridge-nf-call-ip6tables")
        .is_ok_and(|value| value.trim() == "1")
}

fn add(membership: Vec<(&'static str, Vec<Element>)>) -> Vec<Change<'static>> {
    membership
        .into_iter()
        .map(|(set, elements)| Change::AddElements { set, elements })
        .collect()
}

fn lock(layout: &Layout) -> Result<FileLock, Error> {
    FileLock::exclusive(&layout.lock("firewall", "table")).map_err(|source| Error::Lock { source })
}

pub(crate) fn table_name(layout: &Layout) -> String {
    match layout.instance() {
        instance if instance.is_empty() => "dockless".into(),
        instance => format!("dockless-{instance}"),
    }
}

fn marker_path(layout: &Layout) -> PathBuf {
    layout.run_networks().join(".firewall")
}
