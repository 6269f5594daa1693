//! Any bytes are a Compose file or errors, an env file or an error; what loads can be printed and loaded again.
#![no_main]

use compose_file::{MemoryFiles, Options};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let (yaml, env) = data.split_at(
        data.iter()
            .position(|byte| *byte == 0)
            .unwrap_or(data.len()),
    );
    let mut files = MemoryFiles::default();
    files.files.insert("/p/compose.yaml".into(), yaml.to_vec());
    files
        .files
        .insert("/p/.env".into(), env.get(1..).unwrap_or_default().to_vec());
    let options = Options {
        current_dir: "/p".into(),
        ..Options::default()
    };
    match compose_file::load(&options, &files) {
        Ok(loaded) => {
            let Ok(text) = compose_file::to_yaml(&loaded.project) else {
                return;
            };
            let again = MemoryFiles::new([("/p/compose.yaml", text.as_str())]);
            assert!(compose_file::load(&options, &again).is_ok(), "{text}");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
