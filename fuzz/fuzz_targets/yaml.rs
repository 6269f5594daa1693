//! Any bytes are one YAML document or an error with a place; any value that is printed as YAML is read as itself.
#![no_main]

use serde_json::Value;
use std::path::Path;

const NAME: &str = "x.yaml";

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    match compose_file::document::read(Path::new(NAME), data) {
        Ok(value) => assert_same(&value),
        Err(error) => assert!(error.render().starts_with(NAME), "{}", error.render()),
    }
    // Texts of every kind, as a value, in a list, and as a key.
    let text = String::from_utf8_lossy(data).into_owned();
    assert_same(&serde_json::json!({"a": &text, "b": [&text, {"c": &text}], &text: 1}));
});

fn assert_same(value: &Value) {
    let text = compose_file::yaml(value).expect("a value is text");
    let again = compose_file::document::read(Path::new(NAME), text.as_bytes());
    let again = again.unwrap_or_else(|error| panic!("{}\n{text}", error.render()));
    assert_eq!(whole(&again), whole(value), "{text}");
}

/// A whole number is printed without a point, as Docker prints it, and then read as an integer.
fn whole(value: &Value) -> Value {
    match value {
        Value::Number(number) => match number.as_f64() {
            Some(float) if float.fract() == 0.0 && float.abs() < 9e15 => Value::from(float as i64),
            _ => value.clone(),
        },
        Value::Array(list) => list.iter().map(whole).collect(),
        Value::Object(map) => Value::Object(map.iter().map(|(key, value)| (key.clone(), whole(value))).collect()),
        _ => value.clone(),
    }
}
