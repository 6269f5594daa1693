//! Somebody flushed the packet filter (`nft flush ruleset`, `systemctl restart nftables`, a firewall's reload): whoever
//! watches makes our table again.
//!
//! Every container's monitor does. Their number does no harm: the first to get the table's lock rebuilds it, and the others
//! see by the generation that it is good.

use super::{Error, ensure};
use state::Layout;
use std::os::fd::{AsFd, BorrowedFd};

/// Readable when our table may be gone.
#[derive(Debug)]
pub struct Watch {
    removals: sys::nft::Watch,
}

impl Watch {
    /// In the network namespace of the calling thread.
    pub fn open() -> Result<Self, Error> {
        let removals = sys::nft::Watch::open().map_err(|source| Error::Netlink { source })?;
        Ok(Self { removals })
    }

    /// Makes sure of the table, after something was taken from the packet filter.
    pub fn heal(&self, layout: &Layout) -> Result<(), Error> {
        self.removals.drain();
        ensure(layout)
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.removals.as_fd()
    }
}
