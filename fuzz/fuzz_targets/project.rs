//! A project that lies in memory, and the law of its canonical form: it loads, and to itself.

use compose_file::{Loaded, MemoryFiles, Options};

/// Loads `/p/compose.yaml`, with `/p/.env` beside it.
pub fn load(yaml: &[u8], env: &[u8]) -> Option<Loaded> {
    let mut files = MemoryFiles::default();
    files.files.insert("/p/compose.yaml".into(), yaml.to_vec());
    files.files.insert("/p/.env".into(), env.to_vec());
    let options = Options {
        current_dir: "/p".into(),
        ..Options::default()
    };
    match compose_file::load(&options, &files) {
        Ok(loaded) => Some(loaded),
        Err(error) => {
            assert!(!error.diagnostics.is_empty(), "no error without a word");
            for diagnostic in &error.diagnostics {
                assert!(!diagnostic.render().is_empty());
            }
            None
        }
    }
}

/// Prints what was loaded, and loads and prints that.
pub fn assert_canonical(loaded: &Loaded) {
    let Ok(text) = compose_file::to_yaml(&loaded.project) else {
        return;
    };
    let again = load(text.as_bytes(), b"");
    let again = again.unwrap_or_else(|| panic!("does not load: {text}"));
    let second = compose_file::to_yaml(&again.project).expect("what was printed once");
    assert_eq!(text, second, "the canonical form is its own");
}
