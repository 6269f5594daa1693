//! Any text is a `policy.json`, what a signature is made over and a public key, or an error.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    let _ = image::signature::check_policy(text);
    let _ = image::signature::check_payload(text.as_bytes());
    let _ = image::signature::check_key(text.as_bytes());
});
