//! Any text is a `registries.conf`, a `hosts.toml` and a `WWW-Authenticate`, or an error.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    let _ = image::registry::config::check_registries_conf(text);
    let _ = image::registry::config::check_hosts_toml(text);
    let _ = image::registry::is_challenge(text);
});
