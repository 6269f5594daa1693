//! Any messages on a monitor's socket, descriptors with them or not, are requests and replies that can be said again, or errors;
//! and every descriptor that came along is either handed on or closed.
#![no_main]

use engine::channel::Channel;
use engine::protocol::{Reply, Request};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::os::fd::{AsFd, OwnedFd};

fn hear<T: DeserializeOwned + Serialize + PartialEq + Debug>(message: &[u8], fds: usize) {
    let Ok((ours, theirs)) = sys::socket::seqpacket_pair() else { return };
    let pipe = sys::pipe::new();
    let Ok((read, _write)) = pipe else { return };
    let sent = vec![read.as_fd(); fds];
    if sys::socket::send(&ours, message, &sent).is_err() {
        return;
    }
    drop(ours);
    let channel = Channel::from(theirs);
    while let Ok(Some((heard, got))) = channel.try_receive::<T>() {
        let got: Vec<OwnedFd> = got;
        assert_eq!(got.len(), fds);
        let again = serde_json::to_vec(&heard).expect("it was text");
        assert_eq!(serde_json::from_slice::<T>(&again).ok().as_ref(), Some(&heard));
    }
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    for message in data.split(|byte| *byte == 0) {
        let (fds, message) = message.split_first().map_or((0, message), |(n, rest)| match n {
            b'0'..=b'8' => (usize::from(n - b'0'), rest),
            _ => (0, message),
        });
        hear::<Request>(message, fds);
        hear::<Reply>(message, fds);
    }
});
