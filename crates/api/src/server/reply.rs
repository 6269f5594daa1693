//! An answer as it is given by a thread that may wait, and its way to the connection.

use super::activity::Busy;
use super::body::{Download, Outgoing};
use super::hijack::{self, Taken};
use super::request::Version;
use hyper::body::Bytes;
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, UPGRADE};
use hyper::{Response, StatusCode};
use serde::Serialize;
use std::io;

/// Writes an answer that comes piece by piece.
pub(crate) type Writer = Box<dyn FnOnce(&mut Download) -> io::Result<()> + Send>;
/// Talks on a connection that is no longer HTTP's.
pub(crate) type Talker = Box<dyn FnOnce(Taken) + Send>;

pub(crate) enum Body {
    Empty,
    Whole(Bytes),
    Stream(Writer),
    /// One that somebody writes already.
    Coming(Outgoing),
    /// What is said on the connection once it was taken over. Where the client did not ask for that, the output alone is streamed.
    Hijack(Talker, &'static str),
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Empty => "Empty",
            Self::Whole(_) => "Whole",
            Self::Stream(_) | Self::Coming(_) => "Stream",
            Self::Hijack(..) => "Hijack",
        })
    }
}

impl Body {
    pub(crate) fn json(value: &impl Serialize) -> Self {
        let mut bytes = serde_json::to_vec(value).unwrap_or_default();
        bytes.push(b'\n');
        Self::Whole(bytes.into())
    }
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) kind: &'static str,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Body,
    pub(crate) version: Version,
}

impl Reply {
    pub(crate) fn new(body: Body) -> Self {
        Self {
            status: StatusCode::OK,
            kind: "application/json",
            headers: Vec::new(),
            body,
            version: Version::NEWEST,
        }
    }

    pub(crate) fn json(value: &impl Serialize) -> Self {
        Self::new(Body::json(value))
    }

    pub(crate) fn created(value: &impl Serialize) -> Self {
        Self {
            status: StatusCode::CREATED,
            ..Self::json(value)
        }
    }

    pub(crate) fn text(text: &str) -> Self {
        Self {
            kind: "text/plain; charset=utf-8",
            ..Self::new(Body::Whole(text.to_owned().into()))
        }
    }

    /// Without a body.
    pub(crate) fn empty(status: StatusCode) -> Self {
        Self {
            status,
            ..Self::new(Body::Empty)
        }
    }

    pub(crate) fn no_content() -> Self {
        Self::empty(StatusCode::NO_CONTENT)
    }

    pub(crate) fn stream(
        kind: &'static str,
        write: impl FnOnce(&mut Download) -> io::Result<()> + Send + 'static,
    ) -> Self {
        Self {
            kind,
            ..Self::new(Body::Stream(Box::new(write)))
        }
    }

    /// Makes the answer, and begins what is to be said afterwards. `busy` is held until all is said.
    pub(crate) fn send(
        self,
        upgrade: hyper::upgrade::OnUpgrade,
        wants_upgrade: bool,
        busy: Busy,
    ) -> Response<Outgoing> {
        let Self {
            mut status,
            mut kind,
            headers,
            body,
            version,
        } = self;
        let mut upgraded = false;
        let body = match body {
            Body::Empty => Outgoing::Whole(None),
            Body::Whole(bytes) => Outgoing::Whole(Some(bytes)),
            Body::Stream(write) => stream(write, busy),
            Body::Coming(outgoing) => outgoing,
            Body::Hijack(talk, of_kind) => {
                kind = of_kind;
                if wants_upgrade {
                    status = StatusCode::SWITCHING_PROTOCOLS;
                    upgraded = true;
                    tokio::spawn(hijack::take_over(upgrade, talk, busy));
                    Outgoing::Whole(None)
                } else {
                    let (taken, output) = Taken::output_alone();
                    tokio::task::spawn_blocking(move || {
                        talk(taken);
                        drop(busy);
                    });
                    output
                }
            }
        };
        let has_body = !matches!(body, Outgoing::Whole(None));
        let mut response = Response::new(body);
        *response.status_mut() = status;
        let all = response.headers_mut();
        for (name, value) in [
            ("api-version", Version::NEWEST.to_string()),
            ("docker-experimental", "false".into()),
            ("ostype", "linux".into()),
            (
                "server",
                format!("Docker/{} (linux)", crate::wire::DOCKER_VERSION),
            ),
        ] {
            put(all, name, &value);
        }
        if has_body || upgraded {
            all.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        if upgraded {
            all.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
            all.insert(UPGRADE, HeaderValue::from_static("tcp"));
        }
        for (name, value) in &headers {
            put(all, name, value);
        }
        let _ = version;
        response
    }
}

/// A value that cannot stand in a header is left out.
fn put(headers: &mut hyper::HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

fn stream(write: Writer, busy: Busy) -> Outgoing {
    let (mut download, outgoing) = Download::new();
    tokio::task::spawn_blocking(move || {
        use std::io::Write;
        match write(&mut download).and_then(|()| download.flush()) {
            Ok(()) => {}
            Err(error) => download.fail(error),
        }
        drop(busy);
    });
    outgoing
}
