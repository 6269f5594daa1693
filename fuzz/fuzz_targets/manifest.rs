//! Any bytes are a manifest, an index or a configuration that can be written again, or an error.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    match oci::Document::parse(data) {
        Ok(oci::Document::Index(index)) => {
            let _ = index.choose(&oci::Platform::host());
            assert!(serde_json::to_vec(&index).is_ok());
        }
        Ok(oci::Document::Manifest(manifest)) => assert!(serde_json::to_vec(&manifest).is_ok()),
        Err(_) => {}
    }
    if let Ok(config) = serde_json::from_slice::<oci::ImageConfig>(data) {
        let text = serde_json::to_vec(&config).unwrap_or_default();
        assert_eq!(serde_json::from_slice::<oci::ImageConfig>(&text).ok().as_ref(), Some(&config));
    }
});
