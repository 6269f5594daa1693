//! Any bytes are a configuration whose wishes can be judged before anything is made, or an error.
#![no_main]

use oci_spec::runtime::Spec;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(parsed) = oci::spec::parse(data) else { return };
    let spec: Spec = parsed.value;
    let text = serde_json::to_vec(&spec).expect("a configuration is text");
    assert!(serde_json::from_slice::<Spec>(&text).is_ok());
    if let Err(error) = runtime::validate::validate(&spec) {
        assert!(!error.to_string().is_empty());
    }
    if let Some(profile) = spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref()) {
        let _ = runtime::seccomp::compile(profile);
    }
});
