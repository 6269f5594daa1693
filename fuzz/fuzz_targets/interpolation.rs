//! Any text is interpolated or refused: what is escaped stays as it was, unset variables are among those
//! used, and a value is never looked at again.
#![no_main]

use compose_file::template::substitute;

fn environment(name: &str) -> Option<String> {
    match name.len() {
        1 => Some("$VALUE ${".to_owned()),
        2 => Some(String::new()),
        _ => None,
    }
}

libfuzzer_sys::fuzz_target!(|text: &str| {
    let escaped = text.replace('$', "$$");
    let plain = substitute(&escaped, &environment).expect("an escaped text has no variables");
    assert_eq!(plain.text, text);
    assert!(plain.variables.is_empty() && plain.unset.is_empty());

    match substitute(text, &environment) {
        Ok(result) => {
            let used = |name: &String| result.variables.iter().any(|one| one.name == *name);
            assert!(result.unset.iter().all(used));
            if result.variables.is_empty() {
                assert!(result.text.len() <= text.len());
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    // Without values nothing is longer than what stood there.
    if let Ok(result) = substitute(text, &|_| None) {
        assert!(result.text.len() <= text.len());
    }
});
