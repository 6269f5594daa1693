//! The steps that change a container without replacing it.

use engine::container::update::Changes;
use model::network::EndpointSettings;
use serde_json::{Value, json};

#[derive(Debug, Clone, PartialEq)]
pub enum LiveChange {
    /// Limits, restart policy, published ports, labels.
    Update {
        container: String,
        changes: Box<Changes>,
    },
    Connect {
        container: String,
        endpoint: Box<EndpointSettings>,
    },
    Disconnect {
        container: String,
        network: String,
    },
}

impl LiveChange {
    pub fn container(&self) -> &str {
        match self {
            Self::Update { container, .. }
            | Self::Connect { container, .. }
            | Self::Disconnect { container, .. } => container,
        }
    }

    /// The operation's name in a printed plan.
    pub fn operation(&self) -> &'static str {
        match self {
            Self::Update { .. } => "UpdateContainer",
            Self::Connect { .. } => "ConnectNetwork",
            Self::Disconnect { .. } => "DisconnectNetwork",
        }
    }

    /// What stands behind the operation in a printed plan.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Update { container, .. } => container.clone(),
            Self::Connect {
                container,
                endpoint,
            } => format!("{container} to {}", endpoint.network),
            Self::Disconnect { container, network } => format!("{container} from {network}"),
        }
    }

    pub(crate) fn json(&self) -> Value {
        match self {
            Self::Update { container, .. } => json!({"container": container}),
            Self::Connect {
                container,
                endpoint,
            } => json!({"container": container, "network": endpoint.network}),
            Self::Disconnect { container, network } => {
                json!({"container": container, "network": network})
            }
        }
    }
}
