//! A registry's client that asks as `crane` does: a look at a manifest by HEAD with crane's list of types, blobs mounted or streamed in
//! one PATCH, images changed without a pull, indexes, lists page by page. Every digest that passes is checked.
//! Source: go-containerregistry `pkg/v1/remote`, `pkg/v1/mutate`, `cmd/crane`; OCI distribution-spec 1.1.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::io::{Read, Write};
use std::net::TcpStream;

pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
pub const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";

/// crane's `Accept`, in its order.
const ACCEPT: &str = "application/vnd.docker.distribution.manifest.v1+json,\
application/vnd.docker.distribution.manifest.v1+prettyjws,\
application/vnd.docker.distribution.manifest.v2+json,\
application/vnd.oci.image.manifest.v1+json,\
application/vnd.oci.image.index.v1+json,\
application/vnd.docker.distribution.manifest.list.v2+json";

/// How a blob is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upload {
    /// In the closing PUT.
    Whole,
    /// In one PATCH without a range, as crane streams.
    Streamed,
    /// In PATCHes of so many bytes, each with its range.
    Pieces(usize),
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    head: String,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    fn expect(self, status: u16, what: &str) -> Self {
        let said = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status, status, "{what}: {} {said}", self.head);
        self
    }
}

/// A client of one registry without accounts.
#[derive(Debug)]
pub struct Crane {
    address: String,
}

pub fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    format!("sha256:{hex}")
}

fn descriptor(kind: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": kind, "size": bytes.len(), "digest": digest(bytes)})
}

impl Crane {
    pub fn of(address: &str) -> Self {
        Self {
            address: address.to_owned(),
        }
    }

    /// One request; `path` may be an address the registry gave.
    pub fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let path = path
            .strip_prefix(&format!("http://{}", self.address))
            .unwrap_or(path);
        let mut head = format!(
            "{method} {path} HTTP/1.0\r\nHost: {}\r\nUser-Agent: crane/v0.20.2 go-containerregistry/v0.20.2\r\nContent-Length: {}\r\n",
            self.address,
            body.len()
        );
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        let mut stream = TcpStream::connect(&self.address).expect("the registry listens");
        stream.write_all(head.as_bytes()).expect("a request");
        stream.write_all(body).expect("a request's body");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an answer");
        let end = answer
            .windows(4)
            .position(|w| w == b"\r\n\r\n")
            .expect("a head");
        let head = String::from_utf8_lossy(&answer[..end]).into_owned();
        let status = head.split(' ').nth(1).and_then(|s| s.parse().ok());
        Reply {
            status: status.expect("a status"),
            head,
            body: answer.split_off(end + 4),
        }
    }

    /// `crane digest`: what a tag is, by HEAD alone: type and digest.
    pub fn head(&self, repository: &str, wanted: &str) -> (String, String) {
        let path = format!("/v2/{repository}/manifests/{wanted}");
        let reply = self
            .ask("HEAD", &path, &[("Accept", ACCEPT)], b"")
            .expect(200, &path);
        let header = |name| reply.header(name).expect("a header").to_owned();
        assert!(header("Content-Length").parse::<u64>().is_ok_and(|n| n > 0));
        (header("Content-Type"), header("Docker-Content-Digest"))
    }

    /// `crane manifest`: its type, its bytes, which are those of the digest that HEAD told.
    pub fn manifest(&self, repository: &str, wanted: &str) -> (String, Vec<u8>) {
        let (kind, told) = self.head(repository, wanted);
        let path = format!("/v2/{repository}/manifests/{wanted}");
        let reply = self
            .ask("GET", &path, &[("Accept", ACCEPT)], b"")
            .expect(200, &path);
        assert_eq!(digest(&reply.body), told);
        (kind, reply.body)
    }

    /// `crane blob`
    pub fn blob(&self, repository: &str, wanted: &str) -> Vec<u8> {
        let path = format!("/v2/{repository}/blobs/{wanted}");
        let reply = self.ask("GET", &path, &[], b"").expect(200, &path);
        assert_eq!(digest(&reply.body), wanted);
        reply.body
    }

    /// `crane validate`: everything that an image or index names is there and is what it is called; the blobs' digests.
    pub fn validate(&self, repository: &str, wanted: &str) -> Vec<String> {
        let (_, bytes) = self.manifest(repository, wanted);
        let document = parse(&bytes);
        if let Some(children) = document["manifests"].as_array() {
            let each = children.iter().map(|c| text(&c["digest"]));
            return each.flat_map(|d| self.validate(repository, &d)).collect();
        }
        let layers = document["layers"].as_array().expect("layers");
        let mut all = Vec::new();
        for blob in layers.iter().chain([&document["config"]]) {
            let wanted = text(&blob["digest"]);
            let bytes = self.blob(repository, &wanted);
            assert_eq!(blob["size"], bytes.len(), "{wanted}");
            all.push(wanted);
        }
        all
    }

    /// Sends a blob unless it is there.
    pub fn send(&self, repository: &str, bytes: &[u8], way: Upload) {
        let wanted = digest(bytes);
        let there = format!("/v2/{repository}/blobs/{wanted}");
        if self.ask("HEAD", &there, &[], b"").status == 200 {
            return;
        }
        let path = format!("/v2/{repository}/blobs/uploads/");
        let begun = self.ask("POST", &path, &[], b"").expect(202, &path);
        let mut location = begun.header("Location").expect("a location").to_owned();
        let whole = match way {
            Upload::Whole => bytes,
            Upload::Streamed => {
                let kind = [("Content-Type", "application/octet-stream")];
                let reply = self
                    .ask("PATCH", &location, &kind, bytes)
                    .expect(202, "PATCH");
                reply
                    .header("Location")
                    .expect("a location")
                    .clone_into(&mut location);
                b""
            }
            Upload::Pieces(size) => {
                self.send_pieces(&mut location, bytes, size);
                b""
            }
        };
        let separator = if location.contains('?') { '&' } else { '?' };
        let close = format!("{location}{separator}digest={}", wanted.replace(':', "%3A"));
        let kind = [("Content-Type", "application/octet-stream")];
        self.ask("PUT", &close, &kind, whole).expect(201, "PUT");
    }

    fn send_pieces(&self, location: &mut String, bytes: &[u8], size: usize) {
        let mut sent = 0;
        for piece in bytes.chunks(size) {
            let range = format!("{sent}-{}", sent + piece.len() - 1);
            let headers = [
                ("Content-Type", "application/octet-stream"),
                ("Content-Range", range.as_str()),
            ];
            let reply = self
                .ask("PATCH", location, &headers, piece)
                .expect(202, "PATCH");
            sent += piece.len();
            let end = reply.header("Range").and_then(|r| r.split('-').nth(1));
            assert_eq!(end, Some((sent - 1).to_string().as_str()));
            reply
                .header("Location")
                .expect("a location")
                .clone_into(location);
        }
    }

    /// A manifest or index under a tag or digest; its digest.
    pub fn put(&self, repository: &str, wanted: &str, kind: &str, bytes: &[u8]) -> String {
        let path = format!("/v2/{repository}/manifests/{wanted}");
        let reply = self
            .ask("PUT", &path, &[("Content-Type", kind)], bytes)
            .expect(201, &path);
        let own = digest(bytes);
        assert_eq!(reply.header("Docker-Content-Digest"), Some(own.as_str()));
        own
    }

    /// `crane copy` within the registry: all blobs are mounted, none is sent; how many.
    pub fn copy(&self, from: (&str, &str), to: (&str, &str)) -> usize {
        let (kind, bytes) = self.manifest(from.0, from.1);
        let document = parse(&bytes);
        if let Some(children) = document["manifests"].as_array() {
            let mut mounted = 0;
            for child in children.iter().map(|c| text(&c["digest"])) {
                mounted += self.copy((from.0, &child), (to.0, &child));
            }
            self.put(to.0, to.1, &kind, &bytes);
            return mounted;
        }
        let layers = document["layers"].as_array().expect("layers");
        let mut mounted = 0;
        for blob in layers.iter().chain([&document["config"]]) {
            let path = format!(
                "/v2/{}/blobs/uploads/?from={}&mount={}&origin={}",
                to.0,
                from.0.replace('/', "%2F"),
                text(&blob["digest"]).replace(':', "%3A"),
                self.address.replace(':', "%3A")
            );
            self.ask("POST", &path, &[], b"").expect(201, &path);
            mounted += 1;
        }
        self.put(to.0, to.1, &kind, &bytes);
        mounted
    }

    /// `crane append` and `crane mutate`: an image with one more layer and label, in the types given; unknown fields stay.
    pub fn change(&self, from: (&str, &str), to: (&str, &str), change: &Change<'_>) -> String {
        let (_, bytes) = self.manifest(from.0, from.1);
        let mut manifest = parse(&bytes);
        let mut config = parse(&self.blob(from.0, &text(&manifest["config"]["digest"])));
        for layer in manifest["layers"].as_array_mut().expect("layers") {
            self.send(
                to.0,
                &self.blob(from.0, &text(&layer["digest"])),
                change.way,
            );
            layer["mediaType"] = change.types.1.into();
        }
        if let Some((plain, packed)) = change.layer {
            self.send(to.0, packed, change.way);
            push(&mut manifest["layers"], descriptor(change.types.1, packed));
            push(&mut config["rootfs"]["diff_ids"], digest(plain).into());
            push(
                &mut config["history"],
                json!({"created_by": "crane append"}),
            );
        }
        if let Some((key, value)) = change.label {
            config["config"]["Labels"][key] = value.into();
        }
        let config = config.to_string();
        self.send(to.0, config.as_bytes(), change.way);
        manifest["config"] = descriptor(change.types.0, config.as_bytes());
        manifest["mediaType"] = change.kind.into();
        for (key, value) in &change.unknown {
            manifest[*key] = value.clone();
        }
        self.put(to.0, to.1, change.kind, manifest.to_string().as_bytes())
    }

    /// `crane index append`: images of one repository, by platform, under one name.
    pub fn index(&self, repository: &str, tag: &str, images: &[(&str, Value)]) -> String {
        let entry = |(wanted, platform): &(&str, Value)| {
            let (kind, bytes) = self.manifest(repository, wanted);
            let mut entry = descriptor(&kind, &bytes);
            entry["platform"] = platform.clone();
            entry
        };
        let manifests: Vec<Value> = images.iter().map(entry).collect();
        let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests});
        self.put(repository, tag, OCI_INDEX, index.to_string().as_bytes())
    }

    /// `crane catalog` and `crane ls`: all of a list, so many at a time, by the links to the next pages; and how many pages.
    pub fn list(&self, path: &str, key: &str, at_once: usize) -> (Vec<String>, usize) {
        let (mut all, mut pages) = (Vec::new(), 0);
        let mut next = Some(format!("{path}?n={at_once}"));
        while let Some(path) = next {
            let reply = self.ask("GET", &path, &[], b"").expect(200, &path);
            let page = parse(&reply.body);
            all.extend(page[key].as_array().into_iter().flatten().map(text));
            pages += 1;
            next = reply.header("Link").map(|link| {
                let (address, rest) = link[1..].split_once('>').expect("a link");
                assert!(rest.contains("rel=\"next\""), "{link}");
                address.to_owned()
            });
        }
        (all, pages)
    }
}

/// What [`Crane::change`] does.
#[derive(Debug)]
pub struct Change<'a> {
    /// The manifest's type.
    pub kind: &'a str,
    /// The configuration's, and the layers'.
    pub types: (&'a str, &'a str),
    pub way: Upload,
    /// A layer more: its plain archive, and the same packed.
    pub layer: Option<(&'a [u8], &'a [u8])>,
    pub label: Option<(&'a str, &'a str)>,
    /// Fields of the manifest that nobody knows.
    pub unknown: Vec<(&'a str, Value)>,
}

fn parse(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).expect("a document")
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

/// Lists may be `null` in what Go writes.
fn push(list: &mut Value, entry: Value) {
    if !list.is_array() {
        *list = json!([]);
    }
    list.as_array_mut().expect("a list").push(entry);
}
