//! Any bytes are what a client of the API may ask for, or an error: containers, limits, networks, filters.
#![no_main]

use api::ask::network::{EndpointBody, NetworkBody};
use api::ask::{ContainerBody, LimitsBody};
use model::filter::Filters;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(body) = serde_json::from_slice::<ContainerBody>(data)
        && let Ok(spec) = body.read()
    {
        let record = serde_json::to_vec(&spec).expect("a wish is text");
        let again = serde_json::from_slice::<model::ContainerSpec>(&record);
        assert_eq!(again.expect("what we write we read"), spec);
    }
    if let Ok(body) = serde_json::from_slice::<LimitsBody>(data) {
        let _ = (body.resources(), body.restart());
    }
    if let Ok(body) = serde_json::from_slice::<NetworkBody>(data) {
        let _ = body.read();
    }
    if let Ok(body) = serde_json::from_slice::<EndpointBody>(data) {
        let _ = body.read("net");
    }
    let text = String::from_utf8_lossy(data);
    let _ = Filters::parse_json(&text, engine::container::list::FILTERS);
});
