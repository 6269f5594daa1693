//! The registry's own calls: manifests, blobs, uploads, tags. Authentication is answered here once for all
//! of them: a 401 brings the challenge, the challenge a token, and the request is sent again.

use super::auth::{self, Challenge, Token};
use super::credentials::{Credential, DockerConfig};
use super::http::{self, Http, Trust, header};
use super::{Error, RegistryOptions};
use crate::content::DOCUMENT_MAX;
use oci::{Descriptor, Digest, MediaType, media_type};
use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use ureq::http::{Request, Response};
use ureq::{Body, SendBody};

/// Tries of one request whose failure may pass.
const ATTEMPTS: u32 = 5;

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
    fn base(&self) -> Result<&str, Error> {
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
    fn send(
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
    fn insist(
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

    /// A manifest or index by tag or digest: its bytes and what they are. Not yet parsed.
    pub(crate) fn manifest(
        &self,
        repository: &str,
        wanted: &str,
    ) -> Result<(Vec<u8>, Descriptor), Error> {
        let path = format!("/v2/{repository}/manifests/{wanted}");
        let accept = [("Accept", media_type::ACCEPT_MANIFESTS.join(", "))];
        let response = self.insist(
            "GET",
            &path,
            &accept,
            &Payload::Nothing,
            &pull_scope(repository),
        )?;
        let response = self.expect(response, &[200], repository, wanted, &path)?;
        let kind = header(response.headers(), "content-type").unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim().to_owned();
        let body = response
            .into_body()
            .into_with_config()
            .limit(DOCUMENT_MAX + 1)
            .read_to_vec();
        let bytes = body.map_err(|source| Error::Connect {
            url: path.clone(),
            source: Box::new(source),
        })?;
        let algorithm = wanted.parse::<Digest>().ok().map(|d| d.algorithm());
        let mut hasher = algorithm.unwrap_or(oci::digest::Algorithm::Sha256).hasher();
        hasher.update(&bytes);
        let digest = hasher.finish();
        let descriptor = Descriptor::new(&kind_of(&bytes, &kind), digest, bytes.len() as u64);
        Ok((bytes, descriptor))
    }

    /// Whether a manifest is there.
    pub(crate) fn has_manifest(&self, repository: &str, wanted: &Digest) -> Result<bool, Error> {
        let path = format!("/v2/{repository}/manifests/{wanted}");
        let accept = [("Accept", media_type::ACCEPT_MANIFESTS.join(", "))];
        let response = self.insist(
            "HEAD",
            &path,
            &accept,
            &Payload::Nothing,
            &push_scope(repository),
        )?;
        Ok(response.status().as_u16() == 200)
    }

    /// A blob's bytes from `offset` on.
    pub(crate) fn blob(
        &self,
        repository: &str,
        digest: &Digest,
        offset: u64,
    ) -> Result<Box<dyn Read + Send>, Error> {
        let path = format!("/v2/{repository}/blobs/{digest}");
        let range = [("Range", format!("bytes={offset}-"))];
        let headers: &[_] = if offset > 0 { &range } else { &[] };
        let response = self.send(
            "GET",
            &path,
            headers,
            &Payload::Nothing,
            &pull_scope(repository),
        )?;
        let response = self.expect(
            response,
            &[200, 206],
            repository,
            &digest.to_string(),
            &path,
        )?;
        let partial = response.status().as_u16() == 206;
        let starts_at = header(response.headers(), "content-range")
            .and_then(range_start)
            .unwrap_or(offset);
        let mut reader = response.into_body().into_reader();
        // A server that knows no ranges sends all, one that rounds sends more: what we have is skipped.
        let skip = if partial {
            offset.saturating_sub(starts_at)
        } else {
            offset
        };
        if partial && starts_at > offset {
            return Err(Error::Incomplete {
                url: path,
                what: "the range asked for",
            });
        }
        if skip > 0 {
            io::copy(&mut reader.by_ref().take(skip), &mut io::sink()).map_err(|e| {
                Error::Connect {
                    url: path,
                    source: Box::new(ureq::Error::Io(e)),
                }
            })?;
        }
        Ok(Box::new(reader))
    }

    pub(crate) fn has_blob(&self, repository: &str, digest: &Digest) -> Result<bool, Error> {
        let path = format!("/v2/{repository}/blobs/{digest}");
        let response = self.insist(
            "HEAD",
            &path,
            &[],
            &Payload::Nothing,
            &push_scope(repository),
        )?;
        match response.status().as_u16() {
            200 => Ok(true),
            404 => Ok(false),
            _ => self
                .expect(response, &[200], repository, &digest.to_string(), &path)
                .map(|_| true),
        }
    }

    /// Starts an upload, perhaps mounting the blob from another repository: `None` when that was enough.
    pub(crate) fn start_upload(
        &self,
        repository: &str,
        digest: &Digest,
        from: Option<&str>,
    ) -> Result<Option<String>, Error> {
        let mount = from
            .map(|from| format!("?mount={digest}&from={from}"))
            .unwrap_or_default();
        let path = format!("/v2/{repository}/blobs/uploads/{mount}");
        let mut scope = push_scope(repository);
        if let Some(from) = from {
            scope = format!("{scope} {}", pull_scope(from));
        }
        let response = self.insist("POST", &path, &[], &Payload::Nothing, &scope)?;
        let response = self.expect(
            response,
            &[201, 202],
            repository,
            &digest.to_string(),
            &path,
        )?;
        if response.status().as_u16() == 201 {
            return Ok(None);
        }
        let location = header(response.headers(), "location").ok_or(Error::Incomplete {
            url: path,
            what: "a location",
        })?;
        let location = if location.contains("://") {
            location.to_owned()
        } else {
            format!("{}{location}", self.base()?)
        };
        Ok(Some(location))
    }

    /// Sends a blob in one piece.
    pub(crate) fn upload(
        &self,
        repository: &str,
        digest: &Digest,
        location: &str,
        payload: &Payload<'_>,
    ) -> Result<(), Error> {
        let separator = if location.contains('?') { '&' } else { '?' };
        let url = format!(
            "{location}{separator}digest={}",
            digest.to_string().replace(':', "%3A")
        );
        let response = self.send("PUT", &url, &[], payload, &push_scope(repository))?;
        self.expect(response, &[201, 204], repository, &digest.to_string(), &url)
            .map(|_| ())
    }

    pub(crate) fn put_manifest(
        &self,
        repository: &str,
        wanted: &str,
        bytes: &[u8],
        media_type: &str,
    ) -> Result<(), Error> {
        let path = format!("/v2/{repository}/manifests/{wanted}");
        let payload = Payload::Bytes(bytes, media_type);
        let response = self.insist("PUT", &path, &[], &payload, &push_scope(repository))?;
        let response = self.expect(response, &[200, 201, 202], repository, wanted, &path)?;
        let sent = Digest::sha256(bytes).to_string();
        match header(response.headers(), "docker-content-digest") {
            Some(stored) if stored != sent && stored.starts_with("sha256:") => {
                Err(Error::PushDigest {
                    registry: self.name.clone(),
                    stored: stored.into(),
                    sent,
                })
            }
            _ => Ok(()),
        }
    }

    /// Whether the registry takes our credential (`login`).
    pub(crate) fn check_login(&self) -> Result<(), Error> {
        let response = self.send("GET", "/v2/", &[], &Payload::Nothing, "")?;
        match response.status().as_u16() {
            200 => Ok(()),
            401 | 403 => Err(Error::Unauthorized {
                registry: self.name.clone(),
            }),
            _ => Err(status_error(response, &format!("{}/v2/", self.base()?))),
        }
    }

    /// A JSON answer of any path.
    pub(crate) fn json<T: serde::de::DeserializeOwned>(
        &self,
        path: &str,
        scope: &str,
    ) -> Result<T, Error> {
        let response = self.insist("GET", path, &[], &Payload::Nothing, scope)?;
        let response = self.expect(response, &[200], path, path, path)?;
        let bytes = http::text(response, path)?;
        serde_json::from_slice(&bytes).map_err(|source| Error::Answer {
            url: path.into(),
            source,
        })
    }

    fn expect(
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

/// How long to wait before the next of [`ATTEMPTS`]; `None`: give up.
pub(crate) fn pause(error: &Error, attempt: u32) -> Option<Duration> {
    if attempt >= ATTEMPTS || !error.is_passing() {
        return None;
    }
    let backoff = Duration::from_millis(250 << attempt.min(6));
    Some(
        error
            .retry_after()
            .unwrap_or(backoff)
            .min(Duration::from_secs(60)),
    )
}

/// An unexpected status in the registry's words.
pub(crate) fn status_error(response: Response<Body>, url: &str) -> Error {
    let status = response.status().as_u16();
    let seconds =
        header(response.headers(), "retry-after").and_then(|v| v.trim().parse::<u64>().ok());
    let bytes = http::text(response, url).unwrap_or_default();
    let message = error_text(&bytes);
    Error::Status {
        url: url.into(),
        status,
        message,
        retry_after: seconds.map(Duration::from_secs),
    }
}

/// `{"errors":[{"code":"DENIED","message":"…"}]}` → `denied: …`
fn error_text(bytes: &[u8]) -> String {
    let Ok(body) = serde_json::from_slice::<serde_json::Value>(bytes) else {
        return String::new();
    };
    let errors = body
        .get("errors")
        .and_then(|e| e.as_array())
        .cloned()
        .unwrap_or_default();
    let text = |error: &serde_json::Value| {
        let field = |name: &str| {
            error
                .get(name)
                .and_then(|v| v.as_str())
                .unwrap_or_default()
                .to_owned()
        };
        let (code, message) = (
            field("code").to_lowercase().replace('_', " "),
            field("message"),
        );
        if message.is_empty() {
            code
        } else {
            format!("{code}: {message}")
        }
    };
    let details = body
        .get("details")
        .or_else(|| body.get("message"))
        .and_then(|d| d.as_str());
    match errors.is_empty() {
        true => details.unwrap_or_default().to_owned(),
        false => errors.iter().map(text).collect::<Vec<_>>().join("; "),
    }
}

/// `bytes 100-199/200` → 100
fn range_start(value: &str) -> Option<u64> {
    value
        .strip_prefix("bytes ")?
        .split('-')
        .next()?
        .trim()
        .parse()
        .ok()
}

/// What a document is: by its own `mediaType`, else by the header, else by its shape.
fn kind_of(bytes: &[u8], header: &str) -> String {
    let own = serde_json::from_slice::<serde_json::Value>(bytes).ok();
    let own = own
        .as_ref()
        .and_then(|v| v.get("mediaType"))
        .and_then(|v| v.as_str())
        .unwrap_or_default();
    if !own.is_empty() {
        return own.into();
    }
    if MediaType::of(header) != MediaType::Other {
        return header.into();
    }
    match oci::Document::parse(bytes) {
        Ok(oci::Document::Index(_)) => media_type::OCI_INDEX.into(),
        _ => media_type::OCI_MANIFEST.into(),
    }
}

fn pull_scope(repository: &str) -> String {
    format!("repository:{repository}:pull")
}

fn push_scope(repository: &str) -> String {
    format!("repository:{repository}:pull,push")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_in_the_registrys_words() {
        let body = br#"{"errors":[{"code":"NAME_UNKNOWN","message":"repository name not known"},{"code":"DENIED"}]}"#;
        assert_eq!(
            error_text(body),
            "name unknown: repository name not known; denied"
        );
        assert_eq!(error_text(br#"{"details":"too fast"}"#), "too fast");
        assert_eq!(error_text(b"<html>"), "");
    }

    #[test]
    fn only_failures_that_pass_are_tried_again() {
        let status = |status, retry_after| Error::Status {
            url: "u".into(),
            status,
            message: String::new(),
            retry_after,
        };
        assert_eq!(
            pause(&status(429, Some(Duration::from_secs(7))), 1),
            Some(Duration::from_secs(7))
        );
        assert!(pause(&status(503, None), 1) < pause(&status(503, None), 3));
        assert_eq!(pause(&status(404, None), 1), None);
        assert_eq!(pause(&status(503, None), ATTEMPTS), None);
        assert_eq!(
            pause(&status(503, Some(Duration::from_secs(9999))), 1),
            Some(Duration::from_secs(60))
        );
    }

    #[test]
    fn ranges_are_read() {
        assert_eq!(range_start("bytes 100-199/200"), Some(100));
        assert_eq!(range_start("items 1-2/3"), None);
    }
}
