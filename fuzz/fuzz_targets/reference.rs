//! Any text is a reference whose full and short forms mean the same, or an error.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(reference) = text.parse::<oci::Reference>() {
        assert_eq!(reference.to_string().parse::<oci::Reference>().as_ref(), Ok(&reference));
        assert_eq!(reference.familiar().parse::<oci::Reference>().as_ref(), Ok(&reference));
    }
    let _ = text.parse::<oci::Platform>();
    let _ = text.parse::<oci::Digest>();
});
