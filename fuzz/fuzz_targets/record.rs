//! Any bytes are a record of the data or run root that means the same when it is written again, or an error.
#![no_main]

use engine::container::record::{ContainerRecord, Lifecycle};
use engine::container::state::{HealthState, RunState};
use engine::volume::VolumeRecord;
use network::NetworkRecord;
use serde::Serialize;
use serde::de::DeserializeOwned;

fn again<T: DeserializeOwned + Serialize>(data: &[u8]) {
    let Ok(record) = serde_json::from_slice::<T>(data) else { return };
    let text = serde_json::to_vec(&record).expect("a record is text");
    let second = serde_json::from_slice::<T>(&text).expect("what we write we read");
    assert_eq!(serde_json::to_vec(&second).ok().as_deref(), Some(text.as_slice()));
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    again::<ContainerRecord>(data);
    again::<Lifecycle>(data);
    again::<RunState>(data);
    again::<HealthState>(data);
    again::<VolumeRecord>(data);
    again::<NetworkRecord>(data);
});
