//! The tables laid flat: every place of a Compose file and the kinds of value it takes, in JSON Schema's words.
//! Tests hold it against the schema that the Compose Specification publishes.

use super::shapes::{PROJECT, Record, Shape};
use std::collections::{BTreeMap, BTreeSet};

/// Kinds of value by place: `services.*.ports[].target`, where `*` is a key of the user's and `[]` any entry.
pub type Outline = BTreeMap<String, BTreeSet<&'static str>>;

/// Every place there is. Null, which is allowed wherever a key may be left out, is not listed.
pub fn outline() -> Outline {
    let mut outline = Outline::new();
    record(&PROJECT, "", &mut outline);
    outline
}

fn record(record: &Record, path: &str, outline: &mut Outline) {
    for (key, shape) in record.keys {
        place(shape, crate::tree::join(path, key), outline);
    }
}

fn place(shape: &Shape, path: String, outline: &mut Outline) {
    let kinds: &[&str] = match shape {
        Shape::Text => &["string", "integer", "boolean"],
        Shape::Scalar => &["string", "integer", "number", "boolean"],
        Shape::Bool => &["boolean", "string"],
        Shape::Integer | Shape::Number | Shape::Size => &["integer", "number", "string"],
        Shape::Duration => &["string"],
        Shape::List(_) => &["array"],
        Shape::Table(_) | Shape::Record(_) => &["object"],
        Shape::Pairs => &["array", "object"],
        Shape::OneOf(_) => &[],
    };
    outline.entry(path.clone()).or_default().extend(kinds);
    match shape {
        Shape::List(inner) => place(inner, format!("{path}[]"), outline),
        Shape::Table(inner) => place(inner, format!("{path}.*"), outline),
        Shape::Pairs => {
            place(&Shape::Scalar, format!("{path}[]"), outline);
            place(&Shape::Scalar, format!("{path}.*"), outline);
        }
        Shape::Record(inner) => record(inner, &path, outline),
        Shape::OneOf(alternatives) => {
            for alternative in *alternatives {
                place(alternative, path.clone(), outline);
            }
        }
        _ => {}
    }
}
