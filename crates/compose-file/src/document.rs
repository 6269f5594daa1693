//! One YAML document as plain JSON values, for files that are not Compose's: the same parser with the same limits.

use crate::decode::to_json;
use crate::diagnostic::{Diagnostic, Sources};
use crate::parse::parse;
use serde_json::Value;
use std::path::Path;

/// Reads the only document of a file; an empty file is `null`.
pub fn read(name: &Path, bytes: &[u8]) -> Result<Value, Box<Diagnostic>> {
    let documents = parse(name, bytes, &mut Sources::default())?;
    Ok(documents.first().map_or(Value::Null, to_json))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_read_with_anchors_and_octal_numbers() {
        let text = b"a: &x [1, 0666, '0666']\nb: *x\nc: {d: true, e: ~}\n";
        let value = read(Path::new("x.yaml"), text).unwrap();
        assert_eq!(
            value,
            serde_json::json!({"a": [1, 438, "0666"], "b": [1, 438, "0666"], "c": {"d": true, "e": null}})
        );
        assert_eq!(read(Path::new("x"), b"").unwrap(), Value::Null);
    }

    #[test]
    fn an_alias_bomb_is_refused() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let last = level - 1;
            let list = vec![format!("*a{last}"); 9].join(", ");
            text += &format!("a{level}: &a{level} [{list}]\n");
        }
        assert!(read(Path::new("x"), text.as_bytes()).is_err());
        let deep = "[".repeat(100_000);
        assert!(read(Path::new("x"), deep.as_bytes()).is_err());
    }
}
