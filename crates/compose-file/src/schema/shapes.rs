//! Which keys there are and what may stand under them: the Compose Specification's schema as tables.
//! Source: compose-spec.json, the specification's chapters, compose-go's legacy keys.

/// What a node may be. Null is allowed wherever a key may be left out.
#[derive(Debug)]
pub(crate) enum Shape {
    /// A string; whole numbers and booleans are taken as their text.
    Text,
    /// A string, a number or a boolean.
    Scalar,
    Bool,
    Integer,
    Number,
    /// Bytes: `512m` or a number.
    Size,
    Duration,
    List(&'static Shape),
    /// Keys are the user's.
    Table(&'static Shape),
    /// `KEY=value` entries or a mapping of scalars.
    Pairs,
    Record(&'static Record),
    /// The first alternative that fits the node's kind is checked.
    OneOf(&'static [&'static Shape]),
}

/// A mapping with known keys; `x-` keys are free.
#[derive(Debug)]
pub(crate) struct Record {
    /// What it is, with an article, for messages.
    pub(crate) name: &'static str,
    pub(crate) keys: &'static [(&'static str, &'static Shape)],
}

impl Record {
    pub(crate) fn shape(&self, key: &str) -> Option<&'static Shape> {
        self.keys
            .iter()
            .find(|(known, _)| *known == key)
            .map(|(_, shape)| *shape)
    }
}

mod build;
mod deploy;
mod job;
mod parts;
mod resource;
mod service;

pub(crate) use build::BUILD;
pub(crate) use deploy::DEPLOY;
pub(crate) use job::JOB;
pub(crate) use service::SERVICE;

use Shape::{Integer, List, OneOf, Scalar, Table, Text};
use parts::{DEVICE_REQUEST, FILE_REFERENCE, ULIMIT};
use resource::{CONFIG, MODEL, NETWORK, SECRET, VOLUME};

const TEXTS: Shape = List(&Text);
const TEXT_OR_LIST: Shape = OneOf(&[&Text, &TEXTS]);
const SCALARS: Shape = List(&Scalar);
const FILE_REFERENCES: Shape = List(&OneOf(&[&Text, &Shape::Record(&FILE_REFERENCE)]));
const HOSTS: Shape = OneOf(&[&TEXTS, &Table(&TEXT_OR_LIST)]);
const ULIMITS: Shape = Table(&OneOf(&[&Integer, &Shape::Record(&ULIMIT)]));
const DEVICE_REQUESTS: Shape = List(&Shape::Record(&DEVICE_REQUEST));

pub(crate) static PROJECT: Record = Record {
    name: "the Compose file",
    keys: &[
        ("version", &Scalar),
        ("name", &Text),
        ("include", &List(&OneOf(&[&Text, &Shape::Record(&INCLUDE)]))),
        ("services", &Table(&Shape::Record(&SERVICE))),
        ("jobs", &Table(&Shape::Record(&JOB))),
        ("networks", &Table(&Shape::Record(&NETWORK))),
        ("volumes", &Table(&Shape::Record(&VOLUME))),
        ("configs", &Table(&Shape::Record(&CONFIG))),
        ("secrets", &Table(&Shape::Record(&SECRET))),
        ("models", &Table(&Shape::Record(&MODEL))),
    ],
};

pub(crate) static INCLUDE: Record = Record {
    name: "an include",
    keys: &[
        ("path", &TEXT_OR_LIST),
        ("env_file", &TEXT_OR_LIST),
        ("project_directory", &Text),
    ],
};
