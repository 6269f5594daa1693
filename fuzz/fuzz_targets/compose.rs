//! Any bytes are a Compose file or errors, an env file or an error; what loads can be printed, and what is
//! printed loads to itself.
#![no_main]

mod project;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let end = data.iter().position(|byte| *byte == 0);
    let (yaml, env) = data.split_at(end.unwrap_or(data.len()));
    if let Some(loaded) = project::load(yaml, env.get(1..).unwrap_or_default()) {
        project::assert_canonical(&loaded);
    }
});
