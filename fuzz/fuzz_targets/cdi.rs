//! Any file in a CDI directory describes devices, or is told as what is wrong with it.
#![no_main]

use model::device::{CDI_DRIVER, DeviceRequest};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(dir) = tempfile::tempdir_in("/dev/shm") else { return };
    let name = if data.first() == Some(&b'{') { "a.json" } else { "a.yaml" };
    if std::fs::write(dir.path().join(name), data).is_err() {
        return;
    }
    let request = DeviceRequest {
        driver: CDI_DRIVER.to_owned(),
        device_ids: vec!["vendor.com/class=dev".to_owned(), "vendor.com/class=all".to_owned()],
        ..DeviceRequest::default()
    };
    let _ = engine::cdi::resolve(&[dir.path().to_owned()], &[request]);
});
