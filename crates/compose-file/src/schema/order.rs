//! Mappings whose keys are the user's, in the order of Go's JSON: byte by byte. Those with known keys are left as they are.

use super::shapes::{PROJECT, Record, SERVICE, Shape};
use serde_json::Value;

/// A whole project's.
pub(crate) fn sort_project(json: &mut Value) {
    record(json, &PROJECT);
}

/// One service's.
pub(crate) fn sort_service(json: &mut Value) {
    record(json, &SERVICE);
}

fn record(json: &mut Value, known: &Record) {
    let Some(map) = json.as_object_mut() else {
        return;
    };
    for (key, value) in map {
        if let Some(shape) = known.shape(key) {
            walk(value, shape);
        }
    }
}

fn walk(json: &mut Value, shape: &Shape) {
    match shape {
        Shape::OneOf(alternatives) => {
            if let Some(shape) = alternatives.iter().find(|shape| is_for(shape, json)) {
                walk(json, shape);
            }
        }
        Shape::List(inner) => {
            let list = json.as_array_mut().into_iter().flatten();
            list.for_each(|item| walk(item, inner));
        }
        Shape::Record(known) => record(json, known),
        Shape::Table(inner) => {
            if let Some(map) = json.as_object_mut() {
                map.values_mut().for_each(|value| walk(value, inner));
                map.sort_keys();
            }
        }
        Shape::Pairs => {
            if let Some(map) = json.as_object_mut() {
                map.sort_keys();
            }
        }
        _ => {}
    }
}

fn is_for(shape: &Shape, json: &Value) -> bool {
    match shape {
        Shape::List(_) => json.is_array(),
        Shape::Table(_) | Shape::Record(_) => json.is_object(),
        Shape::Pairs => json.is_array() || json.is_object(),
        _ => false,
    }
}
