//! What went wrong, in Docker's status codes.

use super::reply::{Body, Reply};
use super::request::Version;
use hyper::StatusCode;
use serde_json::json;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    pub(crate) message: String,
    /// How a command ended whose failure this is; told in streams.
    pub(crate) code: Option<i32>,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            code: None,
        }
    }

    pub(crate) fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(crate) fn server(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    }

    pub(crate) fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, message)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    pub(crate) fn no_such_page() -> Self {
        Self::not_found("page not found")
    }

    /// What a swarm would answer.
    pub(crate) fn no_swarm() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to swarm and try again.",
        )
    }

    pub(crate) fn into_reply(self, version: Version) -> Reply {
        let body = Body::json(&json!({ "message": self.message }));
        Reply {
            status: self.status,
            version,
            ..Reply::new(body)
        }
    }
}

impl From<engine::Error> for ApiError {
    fn from(error: engine::Error) -> Self {
        Self::new(status(&error), engine::error::chain(&error))
    }
}

impl From<image::Error> for ApiError {
    fn from(error: image::Error) -> Self {
        engine::Error::from(error).into()
    }
}

impl From<network::Error> for ApiError {
    fn from(error: network::Error) -> Self {
        engine::Error::from(error).into()
    }
}

impl From<model::ParseError> for ApiError {
    fn from(error: model::ParseError) -> Self {
        Self::bad(error.to_string())
    }
}

impl From<model::filter::FilterError> for ApiError {
    fn from(error: model::filter::FilterError) -> Self {
        Self::bad(error.to_string())
    }
}

impl From<oci::reference::Error> for ApiError {
    fn from(error: oci::reference::Error) -> Self {
        Self::bad(error.to_string())
    }
}

fn status(error: &engine::Error) -> StatusCode {
    use engine::Error as E;
    match error {
        E::NoSuchContainer(_)
        | E::NoSuchVolume(_)
        | E::NoSuchExec(_)
        | E::NoSuchJob(_)
        | E::NoSuchStored { .. } => StatusCode::NOT_FOUND,
        E::NameInUse { .. }
        | E::NotRunning(_)
        | E::AlreadyPaused(_)
        | E::Paused(_)
        | E::NotPaused(_)
        | E::StillRunning { .. }
        | E::VolumeInUse { .. }
        | E::NotAttachable { .. }
        | E::Refused(_) => StatusCode::CONFLICT,
        E::Ambiguous { .. }
        | E::BadName(_)
        | E::NoCommand
        | E::Invalid { .. }
        | E::Parse(_)
        | E::Filter(_) => StatusCode::BAD_REQUEST,
        E::Start { code, .. } if *code == 126 || *code == 127 => StatusCode::BAD_REQUEST,
        E::Image(error) => of_image(error),
        E::Network(error) => of_network(error),
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn of_image(error: &image::Error) -> StatusCode {
    use image::Error as E;
    match error {
        E::NoSuchImage(_) | E::NotFound(_) | E::NoLocalImage(_) | E::NoPlatform { .. } => {
            StatusCode::NOT_FOUND
        }
        E::Conflict(_) => StatusCode::CONFLICT,
        E::Reference(_) | E::Ambiguous(_) | E::TagWithDigest(_) | E::Reserved => {
            StatusCode::BAD_REQUEST
        }
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn of_network(error: &network::Error) -> StatusCode {
    use network::Error as E;
    match error {
        E::NotFound { .. } => StatusCode::NOT_FOUND,
        E::Exists { .. } => StatusCode::CONFLICT,
        E::Predefined { .. } => StatusCode::FORBIDDEN,
        E::Ambiguous { .. } | E::Name { .. } | E::Option { .. } | E::NoFamily { .. } => {
            StatusCode::BAD_REQUEST
        }
        error if error.to_string().contains("active endpoints") => StatusCode::FORBIDDEN,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_dockers_codes_and_words() {
        for (error, code, words) in [
            (
                engine::Error::NoSuchContainer("x".into()),
                404,
                "No such container: x",
            ),
            (
                image::Error::NoSuchImage("x".into()).into(),
                404,
                "No such image: x",
            ),
            (
                engine::Error::NotRunning("x".into()),
                409,
                "container x is not running",
            ),
            (engine::Error::invalid("a", "b"), 400, "a: b"),
        ] {
            let error = ApiError::from(error);
            assert_eq!(
                (error.status.as_u16(), error.message.as_str()),
                (code, words)
            );
        }
    }
}
