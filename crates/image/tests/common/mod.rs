//! What the tests of this crate share: stores on roots of their own, small images, and the two other ends
//! of a connection: Debian's docker-registry, and a server that misbehaves as told.

#![allow(dead_code, unreachable_pub)] // every test binary uses a part

pub mod signer;

use image::{LayerEvent, Progress, Store, StoreOptions};
use oci::{Descriptor, Digest, ImageConfig, Index, Manifest, Reference, media_type};
use state::Layout;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A data root and a run root that go with the test.
pub struct Root {
    pub dir: tempfile::TempDir,
}

impl Root {
    pub fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    pub fn layout(&self) -> Layout {
        let layout = Layout::new(self.dir.path().join("data"), self.dir.path().join("run"));
        layout.prepare().unwrap();
        layout
    }

    pub fn store(&self) -> Store {
        self.store_with(StoreOptions::default())
    }

    /// Layers are directories, so that their files can be looked at.
    pub fn store_with(&self, options: StoreOptions) -> Store {
        let options = StoreOptions {
            layer_form: image::Form::Directories,
            ..options
        };
        Store::open(&self.layout(), options).unwrap()
    }

    pub fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }
}

/// Keeps what it is told.
#[derive(Default)]
pub struct Recorder {
    pub lines: Mutex<Vec<String>>,
    pub states: Mutex<Vec<(String, String)>>,
}

impl Recorder {
    pub fn saw(&self, status: &str) -> bool {
        self.states
            .lock()
            .unwrap()
            .iter()
            .any(|(_, s)| s.starts_with(status))
    }

    pub fn all_lines(&self) -> String {
        self.lines.lock().unwrap().join("\n")
    }
}

impl Progress for Recorder {
    fn layer(&self, event: LayerEvent<'_>) {
        self.states
            .lock()
            .unwrap()
            .push((event.id.to_owned(), event.status.text()));
    }

    fn line(&self, text: &str) {
        self.lines.lock().unwrap().push(text.to_owned());
    }
}

/// A layer's archive of files.
pub fn tar_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, data) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(data.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(1_700_000_000);
        header.set_uid(0);
        header.set_gid(0);
        if path.ends_with('/') {
            header.set_entry_type(tar::EntryType::Directory);
            header.set_mode(0o755);
        }
        builder.append_data(&mut header, path, *data).unwrap();
    }
    builder.into_inner().unwrap()
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Bytes that do not compress, the same every time.
pub fn noise(length: usize, mut seed: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        bytes.extend_from_slice(&seed.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// An image as the blobs a registry or a layout holds.
pub struct Fixture {
    pub manifest: Vec<u8>,
    pub blobs: BTreeMap<Digest, Vec<u8>>,
    pub layers: Vec<Descriptor>,
    pub config: Descriptor,
}

impl Fixture {
    /// Layers by their plain archives; kept gzip-compressed, every third one as zstd.
    pub fn new(archives: &[Vec<u8>]) -> Self {
        let mut blobs = BTreeMap::new();
        let mut layers = Vec::new();
        let mut config = ImageConfig {
            os: "linux".into(),
            ..ImageConfig::default()
        };
        config.architecture = oci::Platform::host().architecture;
        config.config.cmd = Some(vec!["/bin/true".into()]);
        for (number, plain) in archives.iter().enumerate() {
            config.rootfs.diff_ids.push(Digest::sha256(plain));
            let (bytes, kind) = match number % 3 {
                2 => (
                    zstd::encode_all(&plain[..], 1).unwrap(),
                    media_type::OCI_LAYER_ZSTD,
                ),
                _ => (gzip(plain), media_type::OCI_LAYER_GZIP),
            };
            layers.push(Descriptor::of(kind, &bytes));
            blobs.insert(Digest::sha256(&bytes), bytes);
        }
        let config_bytes = serde_json::to_vec(&config).unwrap();
        let config = Descriptor::of(media_type::OCI_CONFIG, &config_bytes);
        blobs.insert(config.digest.clone(), config_bytes);
        let manifest = serde_json::to_vec(&Manifest::new(config.clone(), layers.clone())).unwrap();
        blobs.insert(Digest::sha256(&manifest), manifest.clone());
        Self {
            manifest,
            blobs,
            layers,
            config,
        }
    }

    pub fn descriptor(&self) -> Descriptor {
        Descriptor::of(media_type::OCI_MANIFEST, &self.manifest)
    }

    /// Writes it into an image layout under a name.
    pub fn write_layout(&self, dir: &Path, name: &str) {
        std::fs::create_dir_all(dir.join("blobs/sha256")).unwrap();
        for (digest, bytes) in &self.blobs {
            std::fs::write(dir.join("blobs/sha256").join(digest.hex()), bytes).unwrap();
        }
        let path = dir.join("index.json");
        let mut index: Index = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap(),
            Err(_) => Index::default(),
        };
        let mut entry = self.descriptor();
        entry.annotations.insert(
            oci::manifest::REF_NAME.into(),
            name.parse::<Reference>().unwrap().to_string(),
        );
        index.manifests.push(entry);
        std::fs::write(&path, serde_json::to_vec(&index).unwrap()).unwrap();
        std::fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    }
}

/// A two-layer image with a whiteout.
pub fn small() -> Fixture {
    Fixture::new(&[
        tar_of(&[
            ("bin/", b""),
            ("bin/sh", b"shell"),
            ("etc/", b""),
            ("etc/motd", b"hello"),
        ]),
        tar_of(&[("etc/", b""), ("etc/.wh.motd", b""), ("etc/new", b"new")]),
    ])
}

/// What the layers come to, looked up from the top.
pub fn read_file(dirs: &[PathBuf], path: &str) -> Option<String> {
    dirs.iter()
        .rev()
        .find_map(|d| std::fs::read_to_string(d.join(path)).ok())
}

/// Debian's docker-registry on a free port; ends with the test.
pub struct DockerRegistry {
    child: Child,
    pub port: u16,
    _dir: tempfile::TempDir,
}

impl DockerRegistry {
    /// With `user` and `password`, by htpasswd, or open to all.
    pub fn start(account: Option<(&str, &str)>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let mut config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage:\n  filesystem: {{rootdirectory: {}/data}}\n  delete: {{enabled: true}}\nhttp: {{addr: '127.0.0.1:{port}', secret: x}}\n",
            dir.path().display()
        );
        if let Some((user, password)) = account {
            let output = Command::new("htpasswd")
                .args(["-Bbn", user, password])
                .output();
            let output = output.expect("htpasswd is missing: apt-get install apache2-utils");
            std::fs::write(dir.path().join("htpasswd"), output.stdout).unwrap();
            config.push_str(&format!(
                "auth:\n  htpasswd: {{realm: test, path: {}/htpasswd}}\n",
                dir.path().display()
            ));
        }
        std::fs::write(dir.path().join("config.yml"), config).unwrap();
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(dir.path().join("config.yml"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("docker-registry is missing: apt-get install docker-registry");
        let registry = Self {
            child,
            port,
            _dir: dir,
        };
        eventually("the registry answers", || {
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        registry
    }

    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

impl Drop for DockerRegistry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// One request as the misbehaving server sees it.
#[derive(Debug, Clone)]
pub struct Asked {
    pub method: String,
    pub path: String,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Asked {
    /// Where a `Range` request wants to begin.
    pub fn offset(&self) -> usize {
        let range = self
            .headers
            .get("range")
            .and_then(|r| r.strip_prefix("bytes="));
        range
            .and_then(|r| r.trim_end_matches('-').parse().ok())
            .unwrap_or(0)
    }
}

/// What it answers.
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Say the full length, send only this much, and hang up.
    pub cut: Option<usize>,
    /// Send the body in sixteen pieces, so long after one another.
    pub pause: Option<Duration>,
}

impl Answer {
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.into(),
            cut: None,
            pause: None,
        }
    }

    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub fn cut(mut self, at: usize) -> Self {
        self.cut = Some(at);
        self
    }

    pub fn slowly(mut self, pause: Duration) -> Self {
        self.pause = Some(pause);
        self
    }
}

type Handler = dyn Fn(&Asked) -> Answer + Send + Sync;

/// A plain HTTP server on the loopback that answers as the test says.
pub struct FakeServer {
    pub port: u16,
    pub asked: Arc<Mutex<Vec<Asked>>>,
}

impl FakeServer {
    /// Threads end with the process; the listener is never closed, as a test is short.
    pub fn start(handler: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let handler: Arc<Handler> = Arc::new(handler);
        let log = asked.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (handler, log) = (handler.clone(), log.clone());
                std::thread::spawn(move || serve(stream, &*handler, &log));
            }
        });
        Self { port, asked }
    }

    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.host())
    }

    pub fn count(&self, wanted: impl Fn(&Asked) -> bool) -> usize {
        self.asked
            .lock()
            .unwrap()
            .iter()
            .filter(|a| wanted(a))
            .count()
    }
}

fn serve(mut stream: TcpStream, handler: &Handler, log: &Mutex<Vec<Asked>>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    if !path.starts_with('/') {
        return None; // a TLS hello
    }
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim().split_once(':') else {
            break;
        };
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    let length: usize = headers
        .get("content-length")
        .and_then(|l| l.parse().ok())
        .unwrap_or(0);
    let mut body = vec![0u8; length];
    reader.read_exact(&mut body).ok()?;
    let asked = Asked {
        method,
        path,
        headers,
        body,
    };
    log.lock().ok()?.push(asked.clone());
    let answer = handler(&asked);
    let mut head = format!(
        "HTTP/1.1 {} X\r\nContent-Length: {}\r\nConnection: close\r\n",
        answer.status,
        answer.body.len()
    );
    for (name, value) in &answer.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).ok()?;
    if asked.method != "HEAD" {
        let end = answer
            .cut
            .unwrap_or(answer.body.len())
            .min(answer.body.len());
        for piece in answer.body[..end].chunks(answer.body.len().div_ceil(16).max(1)) {
            if let Some(pause) = answer.pause {
                std::thread::sleep(pause);
            }
            stream.write_all(piece).ok()?;
        }
    }
    Some(())
}

/// Serves one image as a registry that knows `Range`; `spoil` may change any answer.
pub fn serve_image(
    fixture: Fixture,
    spoil: impl Fn(&Asked, usize, Answer) -> Answer + Send + Sync + 'static,
) -> FakeServer {
    let number = std::sync::atomic::AtomicUsize::new(0);
    FakeServer::start(move |asked| {
        let serial = number.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let answer = plain_answer(&fixture, asked);
        spoil(asked, serial, answer)
    })
}

fn plain_answer(fixture: &Fixture, asked: &Asked) -> Answer {
    let path = asked.path.as_str();
    if path == "/v2/" {
        return Answer::new(200, "{}");
    }
    let path = path.split('?').next().unwrap_or_default();
    let last = path.rsplit('/').next().unwrap_or_default();
    if path.contains("/manifests/") && (last == "latest" || last.starts_with("sha256:")) {
        return Answer::new(200, fixture.manifest.clone())
            .header("Content-Type", media_type::OCI_MANIFEST)
            .header(
                "Docker-Content-Digest",
                Digest::sha256(&fixture.manifest).to_string(),
            );
    }
    let blob = last
        .parse::<Digest>()
        .ok()
        .and_then(|d| fixture.blobs.get(&d));
    let Some(blob) = blob else {
        return Answer::new(404, r#"{"errors":[{"code":"BLOB_UNKNOWN"}]}"#);
    };
    match asked.offset() {
        0 => Answer::new(200, blob.clone()),
        offset => Answer::new(206, blob[offset..].to_vec()).header(
            "Content-Range",
            format!("bytes {offset}-{}/{}", blob.len() - 1, blob.len()),
        ),
    }
}

/// What a check of everything finds wrong.
pub fn faults(store: &image::Store) -> Vec<image::Fault> {
    let checked = store.check(image::Depth::Contents, &image::Silent);
    checked.unwrap().faults
}
