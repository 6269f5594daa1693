//! The registry's own calls: manifests, blobs, uploads, tags. Source: OCI distribution-spec 1.1.

use super::Error;
use super::answer::status_error;
use super::connection::{Payload, Registry};
use super::http::{self, header};
use crate::content::DOCUMENT_MAX;
use oci::{Descriptor, Digest, MediaType, media_type};
use std::io::{self, Read};

impl Registry {
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
                    registry: self.name().to_owned(),
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
}
