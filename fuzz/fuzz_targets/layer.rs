//! Any bytes are a layer that stays in its directory, or an error. Run it as root in a mount namespace of its own.
#![no_main]

use std::os::fd::AsFd;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(dir) = tempfile::tempdir() else { return };
    let layer = dir.path().join("layer");
    if std::fs::create_dir(&layer).is_err() {
        return;
    }
    let Ok(handle) = std::fs::File::open(&layer) else { return };
    let _ = image::archive::extract(data, handle.as_fd());
    let beside = std::fs::read_dir(dir.path()).map(Iterator::count).unwrap_or(1);
    assert_eq!(beside, 1, "something was made beside the layer");
});
