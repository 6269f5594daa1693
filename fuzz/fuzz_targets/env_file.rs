//! Any text is an env file or an error with a line of it; what was read can be written in quotes and read again.
#![no_main]

use compose_file::env_file::{parse, parse_raw};

fn nothing(_: &str) -> Option<String> {
    None
}

libfuzzer_sys::fuzz_target!(|text: &str| {
    let lines = 1 + text.matches('\n').count() as u32;
    match parse(text, &nothing) {
        Ok(parsed) => {
            let mut written = String::new();
            for (key, value) in &parsed.assignments {
                assert!(!key.is_empty() && !key.contains(['=', ':', '\n', ' ']), "{key:?}");
                written.push_str(key);
                if let Some(value) = value {
                    let value = value.replace('\\', "\\\\").replace('"', "\\\"");
                    written.push_str(&format!("=\"{}\"", value.replace('$', "\\$")));
                }
                written.push('\n');
            }
            let again = parse(&written, &nothing).unwrap_or_else(|error| panic!("{error}\n{written}"));
            assert_eq!(again.assignments, parsed.assignments, "{written}");
            assert!(again.unset.is_empty());
        }
        Err(error) => {
            assert!((1..=lines).contains(&error.line), "{error:?}");
            assert!(!error.to_string().is_empty());
        }
    }
    for (key, value) in parse_raw(text) {
        assert!(!key.contains('=') && !value.is_some_and(|value| value.contains('\n')));
    }
});
