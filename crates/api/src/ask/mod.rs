//! What clients ask for, from Docker's JSON into the model's words. Pure, and for hostile input: a wish that makes no sense is an
//! error that says so.
//!
//! Go's rules hold: `null` is what was not said, an unknown key is passed over. Source: Docker Engine API v1.47,
//! `api/swagger.yaml`.

pub mod container;
mod limits;
mod mounts;
pub mod network;

use serde::de::{Deserialize, Deserializer};
use std::collections::BTreeMap;

pub use container::ContainerBody;
pub use limits::LimitsBody;

/// Why something cannot be asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("invalid {what} {value:?}: {cause}")]
    Value {
        what: &'static str,
        value: String,
        cause: String,
    },
    #[error(transparent)]
    Parse(#[from] model::ParseError),
    /// In dockerd's words.
    #[error("logger: no log driver named '{0}' is registered")]
    LogDriver(String),
    #[error("{0}")]
    Network(#[from] network::NetworkError),
}

impl Error {
    fn value(what: &'static str, value: impl Into<String>, cause: impl ToString) -> Self {
        Self::Value {
            what,
            value: value.into(),
            cause: cause.to_string(),
        }
    }
}

/// `null` for what was not said.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    from: D,
) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(from)?.unwrap_or_default())
}

/// A list of words, or one word alone, as Docker takes `Cmd` and `Entrypoint`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words(pub Vec<String>);

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        #[serde(untagged)]
        enum Either {
            One(String),
            Many(Vec<String>),
        }
        Ok(match Either::deserialize(from)? {
            Either::One(word) => Self(vec![word]),
            Either::Many(words) => Self(words),
        })
    }
}

/// A set as Docker writes it: the keys of an object.
pub(crate) type Keys = BTreeMap<String, serde::de::IgnoredAny>;

/// What was said, and is not empty.
fn said(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

/// A number that is not zero; what is below zero is not said.
fn positive(number: Option<i64>) -> Option<u64> {
    number
        .filter(|n| *n > 0)
        .and_then(|n| u64::try_from(n).ok())
}
