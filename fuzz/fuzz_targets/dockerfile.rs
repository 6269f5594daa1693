//! Any text is a Dockerfile or an error, `.dockerignore` rules or an error, a word or an error: never a panic.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let _ = build::dockerfile::parse(&text);
    let _ = build::dockerfile::parse_trigger(&text);
    let _ = build::expand::word(&text, '\\', &|name| Some(name.to_owned()));
    if let Ok(ignore) = build::ignore::Ignore::parse(".dockerignore", &text) {
        ignore.excludes("a/b/c");
    }
});
