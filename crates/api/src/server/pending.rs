//! Who waits at a container that does not run yet, to take part in its streams from the first byte on.
//!
//! `docker run` attaches before it starts. The start hands the streams over; where somebody else starts the container, whoever
//! waits sees that it runs, and attaches then.

use engine::container::attach::Attached;
use engine::protocol::Streams;
use std::collections::HashMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};

#[derive(Debug, Default)]
pub(crate) struct Pending(Mutex<HashMap<String, Vec<Waiting>>>);

#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) streams: Streams,
    hand: Sender<Attached>,
}

impl Waiting {
    /// Gives the streams to who waits; one who has gone lets go of them.
    pub(crate) fn give(self, attached: Attached) {
        let _ = self.hand.send(attached);
    }
}

impl Pending {
    fn all(&self) -> MutexGuard<'_, HashMap<String, Vec<Waiting>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn wait(&self, container: &str, streams: Streams) -> Receiver<Attached> {
        let (hand, receive) = channel();
        let waiting = Waiting { streams, hand };
        let mut all = self.all();
        all.entry(container.to_owned()).or_default().push(waiting);
        receive
    }

    pub(crate) fn take(&self, container: &str) -> Vec<Waiting> {
        self.all().remove(container).unwrap_or_default()
    }
}
