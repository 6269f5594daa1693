//! Many datagrams by one system call, over IPv4.
//!
//! Source: recvmmsg(2), sendmmsg(2).

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, AsRawFd};
use std::ptr;

/// Takes what is there without waiting, each datagram into its own `each` bytes of `space`: how long it is, and who sent it.
pub fn receive_many(
    socket: impl AsFd,
    space: &mut [u8],
    each: usize,
) -> io::Result<Vec<(usize, SocketAddrV4)>> {
    let mut pieces: Vec<libc::iovec> = space
        .chunks_exact_mut(each)
        .map(|piece| libc::iovec {
            iov_base: piece.as_mut_ptr().cast(),
            iov_len: piece.len(),
        })
        .collect();
    let mut names = vec![sockaddr(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0)); pieces.len()];
    let mut headers = headers(&mut pieces, &mut names);
    // SAFETY: every header points to one name and one piece of `space`, distinct ones that outlive the call, with their true
    // lengths; nothing else reads or writes them meanwhile.
    let count = unsafe {
        libc::recvmmsg(
            socket.as_fd().as_raw_fd(),
            headers.as_mut_ptr(),
            headers.len() as libc::c_uint,
            libc::MSG_DONTWAIT as _,
            ptr::null_mut(),
        )
    };
    let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
    let lengths = headers
        .iter()
        .take(count)
        .map(|header| header.msg_len as usize);
    Ok(lengths.zip(names.iter().map(address)).collect())
}

/// Sends each to its receiver, without waiting. One that cannot be sent is lost, as a datagram may be.
pub fn send_many(socket: impl AsFd, datagrams: &[(Vec<u8>, SocketAddrV4)]) {
    let mut pieces: Vec<libc::iovec> = datagrams
        .iter()
        .map(|(bytes, _)| libc::iovec {
            iov_base: bytes.as_ptr().cast_mut().cast(),
            iov_len: bytes.len(),
        })
        .collect();
    let mut names: Vec<libc::sockaddr_in> = datagrams.iter().map(|(_, to)| sockaddr(*to)).collect();
    let mut headers = headers(&mut pieces, &mut names);
    let mut left = headers.as_mut_slice();
    while !left.is_empty() {
        // SAFETY: as above; `sendmmsg` only reads what the pieces point to.
        let sent = unsafe {
            libc::sendmmsg(
                socket.as_fd().as_raw_fd(),
                left.as_mut_ptr(),
                left.len() as libc::c_uint,
                libc::MSG_DONTWAIT as _,
            )
        };
        // It stops before one that fails, and fails itself where that is the first.
        let done = usize::try_from(sent).unwrap_or(0).max(1).min(left.len());
        left = &mut left[done..];
    }
}

/// A header for each piece, with the name of the same number.
fn headers(pieces: &mut [libc::iovec], names: &mut [libc::sockaddr_in]) -> Vec<libc::mmsghdr> {
    let each = pieces.iter_mut().zip(names.iter_mut());
    each.map(|(piece, name)| {
        // SAFETY: a header of zeros is one without a name, pieces or control data.
        let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
        header.msg_hdr.msg_name = ptr::from_mut(name).cast();
        header.msg_hdr.msg_namelen = size_of::<libc::sockaddr_in>() as libc::socklen_t;
        header.msg_hdr.msg_iov = piece;
        header.msg_hdr.msg_iovlen = 1;
        header
    })
    .collect()
}

fn sockaddr(address: SocketAddrV4) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr {
            s_addr: u32::from(*address.ip()).to_be(),
        },
        sin_zero: [0; 8],
    }
}

fn address(name: &libc::sockaddr_in) -> SocketAddrV4 {
    let ip = Ipv4Addr::from(u32::from_be(name.sin_addr.s_addr));
    SocketAddrV4::new(ip, u16::from_be(name.sin_port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{SocketAddr, UdpSocket};

    fn socket() -> (UdpSocket, SocketAddrV4) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let SocketAddr::V4(address) = socket.local_addr().unwrap() else {
            panic!("asked for IPv4")
        };
        (socket, address)
    }

    #[test]
    fn what_is_sent_together_arrives_in_order_with_its_sender() {
        let ((a, from), (b, to)) = (socket(), socket());
        let datagrams: Vec<_> = (0..5u8)
            .map(|n| (vec![n; usize::from(n) + 1], to))
            .collect();
        send_many(&a, &datagrams);
        let mut space = [0; 4 * 16];
        let first = receive_many(&b, &mut space, 16).unwrap();
        let lengths: Vec<_> = (1..=4).map(|length| (length, from)).collect();
        assert_eq!(first, lengths, "as many as there is room for");
        assert_eq!(space[3 * 16..][..4], [3; 4]);
        assert_eq!(receive_many(&b, &mut space, 16).unwrap(), [(5, from)]);
        let empty = receive_many(&b, &mut space, 16).unwrap_err();
        assert_eq!(empty.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn one_that_cannot_be_sent_keeps_none_back() {
        let ((a, _), (b, to)) = (socket(), socket());
        let nobody = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);
        send_many(
            &a,
            &[
                (vec![1], nobody),
                (vec![2], to),
                (vec![3; 70_000], to),
                (vec![4], to),
            ],
        );
        let mut space = [0; 4 * 16];
        assert_eq!(receive_many(&b, &mut space, 16).unwrap().len(), 2);
        assert_eq!((space[0], space[16]), (2, 4));
    }
}
