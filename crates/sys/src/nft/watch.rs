//! Hearing of tables, chains and rules that somebody takes away.
//!
//! A filter in the kernel keeps everything else out, so that who listens sleeps while others publish ports and add rules.
//! Notifications of one transaction are laid together and the filter sees the first: a table goes rules first.
//!
//! Source: kernel `net/netfilter/nf_tables_api.c` (`nft_flush_table`, `nft_commit_notify`), `Documentation/networking/filter.rst`.

use super::{MSG_DELRULE, MSG_DELTABLE};
use crate::netlink::{Channel, Error, NETFILTER};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

/// `NFNLGRP_NFTABLES`.
const GROUP: u32 = 7;
const NFNL_SUBSYS_NFTABLES: u16 = 10;
const MSG_DELCHAIN: u8 = 5;

/// A socket that is readable when something was taken from the packet filter of its namespace.
#[derive(Debug)]
pub struct Watch {
    channel: Channel,
}

impl Watch {
    pub fn open() -> Result<Self, Error> {
        let mut channel = Channel::open(NETFILTER)?;
        filter(channel.fd()).map_err(|source| Error::Open { source })?;
        channel.join(GROUP)?;
        Ok(Self { channel })
    }

    /// Takes what came; what it was does not matter. More than fits the socket's buffer is as good.
    pub fn drain(&self) {
        let mut buffer = [0; 4096];
        let flags = rustix::net::RecvFlags::DONTWAIT;
        loop {
            match rustix::net::recv(self.channel.fd(), &mut buffer, flags) {
                Ok(_) | Err(rustix::io::Errno::INTR | rustix::io::Errno::NOBUFS) => {}
                Err(_) => return,
            }
        }
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.channel.fd()
    }
}

/// Lets pass what begins with the removal of a table, a chain or a rule.
fn filter(socket: BorrowedFd<'_>) -> io::Result<()> {
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let wanted = [MSG_DELTABLE, MSG_DELCHAIN, MSG_DELRULE];
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    // `nlmsg_type`, which is in the host's byte order and loaded as if it were in the network's.
    let load = (libc::BPF_LD | libc::BPF_H | libc::BPF_ABS) as u16;
    let mut program = vec![step(load, 0, 0, 4)];
    for (at, kind) in wanted.iter().enumerate() {
        let jump = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
        let kind = NFNL_SUBSYS_NFTABLES << 8 | u16::from(*kind);
        let loaded = u32::from(u16::from_be_bytes(kind.to_ne_bytes()));
        // To the last step, over the later comparisons and the refusal.
        let accept = (wanted.len() - at) as u8;
        program.push(step(jump, accept, 0, loaded));
    }
    program.push(step(RETURN, 0, 0, 0));
    program.push(step(RETURN, 0, 0, u32::MAX));
    let attached = libc::sock_fprog {
        len: program.len() as u16,
        filter: program.as_mut_ptr(),
    };
    // SAFETY: `attached` and the program it points to live until the call returns; the kernel copies and checks it.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            std::ptr::from_ref(&attached).cast(),
            size_of::<libc::sock_fprog>() as libc::socklen_t,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
