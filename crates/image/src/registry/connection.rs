//! One endpoint: its scheme, its challenge, its tokens, each found out once; and sending a request to it.
//! A 401 brings the challenge, the challenge a token, and the request is sent again.

use super::answer::{pause, status_error};
use super::auth::{self, Challenge, Kind, Token};
use super::credentials::{self, Credential};
use super::endpoint::{self, Endpoint, Role, Scheme};
use super::http::{self, Http, Trust};
use super::{Error, RegistryOptions};
use oci::Reference;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
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

/// So much of a challenge that is not understood is told.
const CHALLENGE_SHOWN: usize = 200;

/// One endpoint, its scheme and tokens found out once.
#[derive(Debug)]
pub(crate) struct Registry {
    endpoint: Endpoint,
    /// Made when first used: its host's name is looked up then.
    http: OnceLock<Http>,
    options: RegistryOptions,
    base: OnceLock<String>,
    challenge: Mutex<Option<Challenge>>,
    credential: OnceLock<Option<Credential>>,
    /// Headers the user wants sent.
    meta: OnceLock<Vec<(String, String)>>,
    tokens: Mutex<HashMap<String, Token>>,
    /// Tokens are asked for to be kept (`login`).
    kind: Kind,
}

impl Registry {
    /// Any address of a web service (`https://index.docker.io`).
    pub(crate) fn mirror(url: &str, options: &RegistryOptions) -> Self {
        let mut endpoint = Endpoint::located(url.trim_end_matches('/'), "");
        endpoint.scheme.get_or_insert(Scheme::Https);
        Self::open(endpoint, options)
    }

    /// Everyone who may have an image, in order.
    pub(crate) fn all(
        options: &RegistryOptions,
        reference: &Reference,
    ) -> Result<Vec<Self>, Error> {
        let (endpoints, options) = endpoint::of(options, reference)?;
        Ok(endpoints
            .into_iter()
            .map(|e| Self::open(e, &options))
            .collect())
    }

    /// Who takes what is pushed under a name.
    pub(crate) fn for_push(
        options: &RegistryOptions,
        reference: &Reference,
    ) -> Result<Self, Error> {
        let (endpoints, options) = endpoint::of(options, reference)?;
        let taking = endpoints.into_iter().find(|e| e.push);
        let endpoint = taking.ok_or_else(|| Error::NoPush(reference.familiar()))?;
        Ok(Self::open(endpoint, &options))
    }

    pub(crate) fn open(endpoint: Endpoint, options: &RegistryOptions) -> Self {
        let base = OnceLock::new();
        if let Some(scheme) = endpoint.scheme {
            let scheme = match scheme {
                Scheme::Http => "http",
                Scheme::Https => "https",
            };
            let _ = base.set(format!("{scheme}://{}", endpoint.host));
        }
        Self {
            http: OnceLock::new(),
            options: options.clone(),
            base,
            challenge: Mutex::new(None),
            credential: OnceLock::new(),
            meta: OnceLock::new(),
            tokens: Mutex::new(HashMap::new()),
            kind: Kind::Work,
            endpoint,
        }
    }

    /// With this credential instead of the configured one (`login`).
    pub(crate) fn with_credential(mut self, credential: Credential) -> Self {
        let _ = self.credential.set(Some(credential));
        self.kind = Kind::Login;
        self
    }

    fn http(&self) -> &Http {
        let endpoint = &self.endpoint;
        self.http
            .get_or_init(|| Http::with(&endpoint.host, &endpoint.transport, &self.options))
    }

    /// A token that was given to be kept in place of the password.
    pub(crate) fn lasting_token(&self) -> Option<String> {
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.values().find_map(|t| t.refresh.clone())
    }

    pub(crate) fn name(&self) -> &str {
        &self.endpoint.name
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// A path of the API (`/v2/…`) as an address of this endpoint; an address stays one.
    pub(super) fn url(&self, path: &str) -> Result<String, Error> {
        if path.contains("://") {
            return Ok(path.to_owned());
        }
        let base = self.base()?;
        let Some(rest) = path.strip_prefix("/v2").filter(|r| r.starts_with('/')) else {
            return Ok(format!("{base}{path}"));
        };
        let root = &self.endpoint.root;
        let namespace = match &self.endpoint.namespace {
            Some(ns) if rest.len() > 1 => {
                let separator = if rest.contains('?') { '&' } else { '?' };
                format!(
                    "{separator}ns={}",
                    utf8_percent_encode(ns, NON_ALPHANUMERIC)
                )
            }
            _ => String::new(),
        };
        Ok(format!("{base}{root}{rest}{namespace}"))
    }

    /// `https://host`, or `http://host` where that is allowed and TLS is not spoken.
    pub(super) fn base(&self) -> Result<&str, Error> {
        if let Some(base) = self.base.get() {
            return Ok(base);
        }
        self.check_online()?;
        let secure = format!("https://{}", self.http().host());
        let found = match self.ping(&secure) {
            Ok(()) => secure,
            Err(Error::Connect { .. }) if self.http().trust() == Trust::Anything => {
                let plain = format!("http://{}", self.http().host());
                self.ping(&plain)?;
                plain
            }
            Err(error) => return Err(error),
        };
        Ok(self.base.get_or_init(|| found))
    }

    fn check_online(&self) -> Result<(), Error> {
        match self.options.offline {
            true => Err(Error::Offline(self.endpoint.name.clone())),
            false => Ok(()),
        }
    }

    /// `GET /v2/`: whether a registry is there, and how it wants to be asked.
    fn ping(&self, base: &str) -> Result<(), Error> {
        let url = format!("{base}{}/", self.endpoint.root);
        let response = self
            .http()
            .follow("GET", &url, &[], &self.endpoint.transport.headers)?;
        let challenge = match response.status().as_u16() {
            401 => self.take_challenge(&response),
            _ => Ok(()),
        };
        http::spend(response);
        challenge
    }

    fn take_challenge(&self, response: &Response<Body>) -> Result<(), Error> {
        let offered: Vec<&str> = response
            .headers()
            .get_all("www-authenticate")
            .iter()
            .filter_map(|v| v.to_str().ok())
            .collect();
        let challenge = auth::parse_challenge(&offered).ok_or_else(|| Error::Challenge {
            registry: self.endpoint.name.clone(),
            challenge: offered.join(", ").chars().take(CHALLENGE_SHOWN).collect(),
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
        let found = credentials::find(
            &self.options,
            &self.endpoint.name,
            &self.endpoint.repository,
        )?;
        Ok(self.credential.get_or_init(|| found).as_ref())
    }

    fn meta_headers(&self) -> Result<&[(String, String)], Error> {
        if let Some(known) = self.meta.get() {
            return Ok(known);
        }
        let found = credentials::meta_headers(&self.options)?;
        Ok(self.meta.get_or_init(|| found))
    }

    /// The `Authorization` header for a scope, once a challenge is known.
    fn authorization(&self, scope: &str) -> Result<Option<String>, Error> {
        let challenge = self
            .challenge
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let credential = match challenge {
            None => return Ok(None),
            Some(_) => self.credential()?,
        };
        if let Some(Credential::RegistryToken(token)) = credential {
            return Ok(Some(format!("Bearer {token}")));
        }
        match challenge {
            None => Ok(None),
            Some(Challenge::Basic) => match credential.and_then(auth::basic_header) {
                Some(header) => Ok(Some(header)),
                None => Err(Error::NoCredentials {
                    registry: self.endpoint.name.clone(),
                }),
            },
            Some(Challenge::Bearer { realm, service }) => {
                // Held while fetching: three layers starting at once ask for one token, not three.
                let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(token) = tokens.get(scope).filter(|t| t.until > Instant::now()) {
                    return Ok(Some(format!("Bearer {}", token.value)));
                }
                let place = (realm.as_str(), service.as_deref());
                let token = auth::fetch_token(
                    self.http(),
                    self.base()?,
                    place,
                    scope,
                    credential,
                    self.kind,
                )?;
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
        self.check_online()?;
        let url = self.url(path)?;
        // An address of another host gets none of our credentials.
        let ours = http::origin(&url) == self.base()?;
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
            http::spend(response);
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
        let ours = http::origin(url) == self.base()?;
        let mut private: Vec<(String, String)> = Vec::new();
        if ours {
            private.extend(self.endpoint.transport.headers.iter().cloned());
            private.extend(self.meta_headers()?.iter().cloned());
        }
        private.extend(authorization.map(|value| ("Authorization".to_owned(), value)));
        let refused = |reason| Error::Redirect {
            url: self.endpoint.host.clone(),
            to: url.to_owned(),
            reason,
        };
        let peer = match ours {
            true => None,
            false => self.http().towards(self.base()?, url).map_err(refused)?,
        };
        let http: &Http = peer.as_deref().unwrap_or(self.http());
        if matches!(payload, Payload::Nothing) && matches!(method, "GET" | "HEAD") {
            return http.follow(method, url, headers, &private);
        }
        let mut request = Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        for (name, value) in &private {
            request = request.header(name, value);
        }
        let bad = |e| Error::Request(url.to_owned(), e);
        match payload {
            Payload::Nothing if method == "DELETE" => {
                http.run(request.body(http::empty()).map_err(bad)?)
            }
            Payload::Nothing => http.run(request.body(&[][..]).map_err(bad)?),
            Payload::Bytes(bytes, kind) => http.run(
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
                http.run(
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
                        Err(status_error(response, &self.url(path)?))
                    } else {
                        Ok(response)
                    }
                });
            let error = match result {
                Ok(response) => return Ok(response),
                Err(error) => error,
            };
            // A mirror is left for the next place sooner.
            let is_left = self.endpoint.role == Role::Mirror && attempt >= 2;
            if is_left || !self.waits(&error, attempt) {
                return Err(error);
            }
            attempt += 1;
        }
    }

    /// Waits before the next try, and tells for what; `false`: there is to be none.
    pub(crate) fn waits(&self, error: &Error, attempt: u32) -> bool {
        let Some(pause) = pause(error, attempt) else {
            return false;
        };
        self.tell_wait(error, pause);
        std::thread::sleep(pause);
        true
    }

    /// The same for who waits by himself.
    pub(crate) fn tell_wait(&self, error: &Error, pause: std::time::Duration) {
        self.options.waiting.tell(self.name(), error, pause);
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
        match status {
            401 | 403 => Err(Error::Denied(self.full_repository(repository))),
            404 if path.contains("/manifests/") => {
                Err(Error::ManifestUnknown(self.full_name(repository, object)))
            }
            _ => Err(status_error(response, &self.url(path)?)),
        }
    }

    fn full_repository(&self, repository: &str) -> String {
        match self.endpoint.name.as_str() {
            oci::reference::DOCKER_HUB => repository
                .strip_prefix("library/")
                .unwrap_or(repository)
                .to_owned(),
            name => format!("{name}/{repository}"),
        }
    }

    /// For messages: an image of this registry by tag or digest.
    pub(super) fn full_name(&self, repository: &str, wanted: &str) -> String {
        let separator = if wanted.contains(':') { '@' } else { ':' };
        format!("{}{separator}{wanted}", self.full_repository(repository))
    }
}
