//! Docker's JSON shapes, field by field, with Docker's nulls and empty lists.
//!
//! Source: Docker Engine API v1.47, `api/swagger.yaml`; field order as `docker inspect` prints it.

pub mod container;
pub mod container_config;
pub mod endpoint;
pub mod host_config;
pub mod image;
pub mod network;
pub mod state;
pub mod status;
pub mod system;
pub mod volume;

use serde::Serialize;
use std::collections::BTreeMap;

/// The API version we speak as: what clients compare.
pub const API_VERSION: &str = "1.47";

/// The Docker release whose command line and API this is made to match: what tools compare versions with.
pub const DOCKER_VERSION: &str = "28.3.0";

/// `{}`: a member of a set written as a map.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Present {}

/// A set as Docker writes it: `{"80/tcp": {}}`.
pub type Set = BTreeMap<String, Present>;

/// A list that Docker writes as `null` when it is empty.
fn nullable(list: &[String]) -> Option<Vec<String>> {
    (!list.is_empty()).then(|| list.to_vec())
}

#[cfg(test)]
mod tests;
