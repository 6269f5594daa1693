//! The registry's own calls: manifests, blobs, uploads, tags. Source: OCI distribution-spec 1.1.

use super::Error;
use super::answer::{Quota, status_error};
use super::connection::{Payload, Registry};
use super::endpoint::Role;
use super::http::{self, header};
use super::referrers;
use crate::content::DOCUMENT_MAX;
use oci::{Descriptor, Digest, MediaType, media_type};
use std::io::{self, Read};
use ureq::Body;
use ureq::http::Response;

/// A piece of a blob that is not taken in one.
const CHUNK: u64 = 8 << 20;

/// What is read from a connection, and that it has fallen silent in words.
struct Stream(ureq::BodyReader<'static>);

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(|e| {
            let cause = e.get_ref().and_then(|e| e.downcast_ref::<ureq::Error>());
            match cause {
                Some(ureq::Error::Timeout(_)) => io::Error::new(
                    io::ErrorKind::TimedOut,
                    "no byte came for too long, the connection is taken for dead",
                ),
                _ => e,
            }
        })
    }
}

/// What a registry says of a tag.
#[derive(Debug, Default)]
pub(crate) struct Head {
    pub(crate) digest: Option<Digest>,
    pub(crate) quota: Option<Quota>,
}

impl Registry {
    /// A manifest or index by tag or digest: its bytes and what they are. Not yet parsed.
    pub(crate) fn manifest(
        &self,
        repository: &str,
        wanted: &str,
    ) -> Result<(Vec<u8>, Descriptor), Error> {
        let path = format!("/v2/{repository}/manifests/{wanted}");
        let accept = [("Accept", media_type::ACCEPT_MANIFESTS.join(", "))];
        let mut attempt = 1;
        let (kind, bytes) = loop {
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
            match self.document(response, &path) {
                Ok(bytes) => break (kind, bytes),
                Err(error) if self.waits(&error, attempt) => {}
                Err(error) => return Err(error),
            }
            attempt += 1;
        };
        // Said before the digest is looked at: that of such a manifest is without the signatures in it.
        if let Err(oci::manifest::Error::Schema(1)) = oci::Document::parse(&bytes) {
            return Err(Error::Schema1(self.full_name(repository, wanted)));
        }
        let algorithm = wanted.parse::<Digest>().ok().map(|d| d.algorithm());
        let mut hasher = algorithm.unwrap_or(oci::digest::Algorithm::Sha256).hasher();
        hasher.update(&bytes);
        let digest = hasher.finish();
        let descriptor = Descriptor::new(&kind_of(&bytes, &kind), digest, bytes.len() as u64);
        Ok((bytes, descriptor))
    }

    /// A document's bytes, no more of them than a document may have.
    fn document(&self, response: Response<Body>, path: &str) -> Result<Vec<u8>, Error> {
        let url = self.url(path)?;
        let mut bytes = Vec::new();
        let body = response.into_body().into_reader();
        let read = body.take(DOCUMENT_MAX + 1).read_to_end(&mut bytes);
        match read {
            Ok(_) if bytes.len() as u64 > DOCUMENT_MAX => Err(Error::TooLarge { url }),
            Ok(_) => Ok(bytes),
            Err(e) => Err(Error::Connect {
                url,
                source: Box::new(ureq::Error::Io(e)),
            }),
        }
    }

    /// What a tag stands for, without the manifest; nothing where a registry does not tell. Asked once: what is wrong, GET is told
    /// with words, and tries again; not before the registry wants to be asked.
    pub(crate) fn head(&self, repository: &str, tag: &str) -> Result<Head, Error> {
        let path = format!("/v2/{repository}/manifests/{tag}");
        let accept = [("Accept", media_type::ACCEPT_MANIFESTS.join(", "))];
        let scope = pull_scope(repository);
        let response = match self.send("HEAD", &path, &accept, &Payload::Nothing, &scope) {
            Ok(response) if response.status().as_u16() == 200 => response,
            Ok(response) => {
                self.leaves_alone(&status_error(response, &self.url(&path)?));
                return Ok(Head::default());
            }
            Err(error) if !error.is_passing() => return Err(error),
            Err(error) => {
                self.leaves_alone(&error);
                return Ok(Head::default());
            }
        };
        let digest = header(response.headers(), "docker-content-digest");
        Ok(Head {
            digest: digest.and_then(|d| d.parse().ok()),
            quota: Quota::of(response.headers()),
        })
    }

    /// Waits for as long as a registry asks for; a mirror is left for the next place instead.
    fn leaves_alone(&self, error: &Error) {
        if error.retry_after().is_some() && self.endpoint().role != Role::Mirror {
            self.waits(error, 1);
        }
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
        self.bytes(path, repository, digest, offset)
    }

    /// The same from where a manifest says that a layer lies which no registry has: at another host without our account, and not where a
    /// redirect may not lead.
    pub(crate) fn foreign(
        &self,
        url: &str,
        digest: &Digest,
        offset: u64,
    ) -> Result<Box<dyn Read + Send>, Error> {
        self.bytes(url.to_owned(), &self.endpoint().repository, digest, offset)
    }

    fn bytes(
        &self,
        path: String,
        repository: &str,
        digest: &Digest,
        offset: u64,
    ) -> Result<Box<dyn Read + Send>, Error> {
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
        let mut reader = Stream(response.into_body().into_reader());
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
        let location = header(response.headers(), "location").ok_or_else(|| Error::Incomplete {
            url: path.clone(),
            what: "a location",
        })?;
        Ok(Some(upload_location(&self.url(&path)?, location)))
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

    /// Sends a blob in pieces, for who does not take it in one.
    pub(crate) fn upload_chunks(
        &self,
        repository: &str,
        digest: &Digest,
        location: &str,
        stream: &mut dyn Read,
    ) -> Result<(), Error> {
        let mut location = location.to_owned();
        let (mut sent, mut buffer) = (0u64, Vec::new());
        loop {
            buffer.clear();
            stream
                .take(CHUNK)
                .read_to_end(&mut buffer)
                .map_err(|e| Error::Connect {
                    url: location.clone(),
                    source: Box::new(ureq::Error::Io(e)),
                })?;
            if buffer.is_empty() {
                return self.upload(repository, digest, &location, &Payload::Nothing);
            }
            let end = sent + buffer.len() as u64;
            let range = [("Content-Range", format!("{sent}-{}", end - 1))];
            let payload = Payload::Bytes(&buffer, "application/octet-stream");
            let response = self.send(
                "PATCH",
                &location,
                &range,
                &payload,
                &push_scope(repository),
            )?;
            let response =
                self.expect(response, &[202], repository, &digest.to_string(), &location)?;
            if let Some(next) = header(response.headers(), "location") {
                location = upload_location(&location, next);
            }
            sent = end;
        }
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
                return Err(Error::PushDigest {
                    registry: self.name().to_owned(),
                    stored: stored.into(),
                    sent,
                });
            }
            _ => {}
        }
        match referrers::entry(bytes, media_type) {
            Some((subject, entry)) if header(response.headers(), "oci-subject").is_none() => {
                self.list_referrer(repository, &subject, entry)
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
                registry: self.name().to_owned(),
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
}

/// What a document is: by its own `mediaType`, else by the header, else by its shape.
pub(crate) fn kind_of(bytes: &[u8], header: &str) -> String {
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

pub(super) fn pull_scope(repository: &str) -> String {
    format!("repository:{repository}:pull")
}

fn push_scope(repository: &str) -> String {
    format!("repository:{repository}:pull,push")
}

/// Where an upload goes on. A registry behind a proxy that ends TLS may not know of it, and write `http://` with its own name: what
/// is sent stays encrypted.
fn upload_location(base: &str, location: &str) -> String {
    let next = http::join(base, location);
    let (ours, theirs) = (http::origin(base), http::origin(&next));
    match (
        ours.strip_prefix("https://"),
        theirs.strip_prefix("http://"),
    ) {
        (Some(here), Some(there)) if here == there => format!("{ours}{}", &next[theirs.len()..]),
        _ => next,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        assert_eq!(range_start("bytes 100-199/200"), Some(100));
        assert_eq!(range_start("items 1-2/3"), None);
    }

    #[test]
    fn an_upload_that_began_encrypted_stays_so() {
        let next = |location| upload_location("https://a:1/v2/x/blobs/uploads/", location);
        assert_eq!(next("http://a:1/u?s=1"), "https://a:1/u?s=1");
        assert_eq!(next("/u?s=1"), "https://a:1/u?s=1");
        assert_eq!(
            next("http://a/u"),
            "http://a/u",
            "another port is another server"
        );
        assert_eq!(next("https://b/u"), "https://b/u");
        assert_eq!(upload_location("http://a/v2/", "http://a/u"), "http://a/u");
    }
}
