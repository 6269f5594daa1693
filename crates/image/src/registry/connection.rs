//! One registry: its scheme, its challenge, its tokens, each found out once; and sending a request to it.
//! A 401 brings the challenge, the challenge a token, and the request is sent again.

use super::answer::{pause, status_error};
use super::auth::{self, Challenge, Token};
use super::credentials::{Credential, DockerConfig};
use super::http::{self, Http, Trust};
use super::{Error, RegistryOptions};
use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Instant;
use ureq::http::{Request, Response};
use ureq::{Body, SendBody};

/// What is sent along.
pub(crate) enum Payload<'a> {
    Nothing,
    Bytes(&'a [u8], &'a str),
    /// Opened once per attempt.
    Stream {
        open: &'a dyn Fn() -> io::Result<Box<dyn Read>>,
        size: u64,
    },
}

/// One registry, its scheme and tokens found out once.
#[derive(Debug)]
pub(crate) struct Registry {
    http: Http,
    options: RegistryOptions,
    /// As users call it (`docker.io`).
    name: String,
    base: OnceLock<String>,
    challenge: Mutex<Option<Challenge>>,
    credential: OnceLock<Option<Credential>>,
    tokens: Mutex<HashMap<String, Token>>,
}

impl Registry {
    pub(crate) fn new(name: &str, options: &RegistryOptions) -> Self {
        let host = if name == oci::reference::DOCKER_HUB {
            "registry-1.docker.io"
        } else {
            name
        };
        Self::at(name, host, None, options)
    }

    /// A mirror of Docker Hub, given by its URL.
    pub(crate) fn mirror(url: &str, options: &RegistryOptions) -> Self {
        let url = url.trim_end_matches('/');
        let base = if url.contains("://") {
            url.to_owned()
        } else {
            format!("https://{url}")
        };
        let host = base.split('/').nth(2).unwrap_or_default().to_owned();
        Self::at(&host, &host, Some(base), options)
    }

    fn at(name: &str, host: &str, base: Option<String>, options: &RegistryOptions) -> Self {
        let cell = OnceLock::new();
        if let Some(base) = base {
            let _ = cell.set(base);
        }
        Self {
            http: Http::new(host, options),
            options: options.clone(),
            name: name.to_owned(),
            base: cell,
            challenge: Mutex::new(None),
            credential: OnceLock::new(),
            tokens: Mutex::new(HashMap::new()),
        }
    }

    /// With this credential instead of the configured one (`login`).
    pub(crate) fn with_credential(self, credential: Credential) -> Self {
        let _ = self.credential.set(Some(credential));
        self
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// `https://host`, or `http://host` where that is allowed and TLS is not spoken.
    pub(super) fn base(&self) -> Result<&str, Error> {
        if let Some(base) = self.base.get() {
            return Ok(base);
        }
        if self.options.offline {
            return Err(Error::Offline(self.name.clone()));
        }
        let secure = format!("https://{}", self.http.host());
        let found = match self.ping(&secure) {
            Ok(()) => secure,
            Err(Error::Connect { .. }) if self.http.trust() == Trust::Anything => {
                let plain = format!("http://{}", self.http.host());
                self.ping(&plain)?;
                plain
            }
            Err(error) => return Err(error),
        };
        Ok(self.base.get_or_init(|| found))
    }

    /// `GET /v2/`: whether a registry is there, and how it wants to be asked.
    fn ping(&self, base: &str) -> Result<(), Error> {
        let url = format!("{base}/v2/");
        let request = Request::get(&url)
            .body(http::empty())
            .map_err(|e| Error::Request(url.clone(), e))?;
        let response = self.http.run(request)?;
        if response.status().as_u16() == 401 {
            self.take_challenge(&response)?;
        }
        Ok(())
    }

    fn take_challenge(&self, response: &Response<Body>) -> Result<(), Error> {
        let offered: Vec<&str> = response
            .headers()
            .get_all("www-authenticate")
            .iter()
            .filter_map(|v| v.to_str().ok())
            .collect();
        let challenge = offered
            .iter()
            .find_map(|v| auth::parse_challenge(v))
            .ok_or_else(|| Error::Challenge {
                registry: self.name.clone(),
                challenge: offered.join(", "),
            })?;
        *self
            .challenge
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(challenge);
        Ok(())
    }

    fn credential(&self) -> Result<Option<&Credential>, Error> {
        if let Some(known) = self.credential.get() {
            return Ok(known.as_ref());
        }
        let found = match &self.options.docker_config {
            Some(path) => DockerConfig::read(path)?.get(&self.name)?,
            None => None,
        };
        Ok(self.credential.get_or_init(|| found).as_ref())
    }

    /// The `Authorization` header for a scope, once a challenge is known.
    fn authorization(&self, scope: &str) -> Result<Option<String>, Error> {
        let challenge = self
            .challenge
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        match challenge {
            None => Ok(None),
            Some(Challenge::Basic) => match self.credential()?.and_then(auth::basic_header) {
                Some(header) => Ok(Some(header)),
                None => Err(Error::NoCredentials {
                    registry: self.name.clone(),
                }),
            },
            Some(Challenge::Bearer { realm, service }) => {
                // Held while fetching: three layers starting at once ask for one token, not three.
                let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(token) = tokens.get(scope).filter(|t| t.until > Instant::now()) {
                    return Ok(Some(format!("Bearer {}", token.value)));
                }
                let place = (realm.as_str(), service.as_deref());
                let token =
                    auth::fetch_token(&self.http, &self.options, place, scope, self.credential()?)?;
                let header = format!("Bearer {}", token.value);
                tokens.insert(scope.to_owned(), token);
                Ok(Some(header))
            }
        }
    }

    fn forget_token(&self, scope: &str) {
        self.tokens
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(scope);
    }

    /// Sends one request; `path` is relative to the registry, or a whole URL it gave us.
    pub(super) fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, String)],
        payload: &Payload<'_>,
        scope: &str,
    ) -> Result<Response<Body>, Error> {
        let url = if path.contains("://") {
            path.to_owned()
        } else {
            format!("{}{path}", self.base()?)
        };
        // A URL of another host gets none of our credentials.
        let ours = url.starts_with(&format!("{}/", self.base()?));
        let mut second = false;
        loop {
            let authorization = if ours {
                self.authorization(scope)?
            } else {
                None
            };
            let response = self.once(method, &url, headers, payload, authorization)?;
            if response.status().as_u16() != 401 || second || !ours {
                return Ok(response);
            }
            second = true;
            self.forget_token(scope);
            self.take_challenge(&response)?;
        }
    }

    fn once(
        &self,
        method: &str,
        url: &str,
        headers: &[(&str, String)],
        payload: &Payload<'_>,
        authorization: Option<String>,
    ) -> Result<Response<Body>, Error> {
        let mut request = Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        if let Some(value) = authorization {
            request = request.header("Authorization", value);
        }
        let bad = |e| Error::Request(url.to_owned(), e);
        match payload {
            Payload::Nothing if matches!(method, "GET" | "HEAD" | "DELETE") => {
                self.http.run(request.body(http::empty()).map_err(bad)?)
            }
            Payload::Nothing => self.http.run(request.body(&[][..]).map_err(bad)?),
            Payload::Bytes(bytes, kind) => self.http.run(
                request
                    .header("Content-Type", *kind)
                    .body(*bytes)
                    .map_err(bad)?,
            ),
            Payload::Stream { open, size } => {
                let stream = open().map_err(|e| Error::Connect {
                    url: url.to_owned(),
                    source: Box::new(ureq::Error::Io(e)),
                })?;
                let request = request
                    .header("Content-Type", "application/octet-stream")
                    .header("Content-Length", size.to_string());
                self.http.run(
                    request
                        .body(SendBody::from_owned_reader(stream))
                        .map_err(bad)?,
                )
            }
        }
    }

    /// Sends, and tries again while the failure looks like one that passes.
    pub(super) fn insist(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, String)],
        payload: &Payload<'_>,
        scope: &str,
    ) -> Result<Response<Body>, Error> {
        let mut attempt = 1;
        loop {
            let result = self
                .send(method, path, headers, payload, scope)
                .and_then(|response| {
                    let status = response.status().as_u16();
                    let passing = matches!(status, 408 | 425 | 429 | 500 | 502 | 503 | 504);
                    if passing {
                        Err(status_error(response, path))
                    } else {
                        Ok(response)
                    }
                });
            let error = match result {
                Ok(response) => return Ok(response),
                Err(error) => error,
            };
            let Some(pause) = pause(&error, attempt) else {
                return Err(error);
            };
            std::thread::sleep(pause);
            attempt += 1;
        }
    }

    pub(super) fn expect(
        &self,
        response: Response<Body>,
        wanted: &[u16],
        repository: &str,
        object: &str,
        path: &str,
    ) -> Result<Response<Body>, Error> {
        let status = response.status().as_u16();
        if wanted.contains(&status) {
            return Ok(response);
        }
        let full = match self.name.as_str() {
            oci::reference::DOCKER_HUB => repository
                .strip_prefix("library/")
                .unwrap_or(repository)
                .to_owned(),
            name => format!("{name}/{repository}"),
        };
        match status {
            401 | 403 => Err(Error::Denied(full)),
            404 if path.contains("/manifests/") => {
                let separator = if object.contains(':') { '@' } else { ':' };
                Err(Error::ManifestUnknown(format!("{full}{separator}{object}")))
            }
            _ => {
                let url = if path.contains("://") {
                    path.to_owned()
                } else {
                    format!("{}{path}", self.base()?)
                };
                Err(status_error(response, &url))
            }
        }
    }
}
