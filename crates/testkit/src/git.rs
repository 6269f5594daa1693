//! Git repositories of a scenario: made by Debian's git, served over HTTP on loopback by its own `git http-backend`.

use crate::Host;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

const BACKEND: &str = "/usr/lib/git-core/git-http-backend";

/// All repositories of one host; each is `<address>/<name>.git`.
#[derive(Debug)]
pub struct GitServer {
    dir: PathBuf,
    /// `127.0.0.1:PORT`
    pub address: String,
    seen: Arc<Mutex<Vec<String>>>,
}

impl GitServer {
    pub fn installed() -> bool {
        Path::new(BACKEND).exists()
    }

    /// Serves until the scenario ends; with a password only who has that (as `x-access-token`) is let in.
    pub fn start(host: &Host, token: Option<&str>) -> Self {
        let dir = host.folder("git");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (root, asked, token) = (dir.clone(), seen.clone(), token.map(str::to_owned));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (root, asked, token) = (root.clone(), asked.clone(), token.clone());
                std::thread::spawn(move || answer(stream, &root, &asked, token.as_deref()));
            }
        });
        Self { dir, address, seen }
    }

    /// Makes a repository with one commit of these files; returns its address.
    pub fn repository(&self, name: &str, files: &[(&str, &str)]) -> String {
        let path = self.path(name);
        fs::create_dir_all(&path).expect("a directory");
        self.git(name, &["init", "-q", "-b", "main"]);
        self.git(name, &["config", "uploadpack.allowAnySHA1InWant", "true"]);
        self.commit(name, files);
        format!("http://{}/{name}.git", self.address)
    }

    /// Writes files and commits all; returns the commit.
    pub fn commit(&self, name: &str, files: &[(&str, &str)]) -> String {
        for (file, text) in files {
            let file = self.path(name).join(file);
            fs::create_dir_all(file.parent().expect("a parent")).expect("a directory");
            fs::write(file, text).expect("a file");
        }
        self.git(name, &["add", "-A"]);
        self.git(name, &["commit", "-q", "--allow-empty", "-m", "scenario"]);
        self.git(name, &["rev-parse", "HEAD"])
    }

    /// Runs git in a repository.
    pub fn git(&self, name: &str, words: &[&str]) -> String {
        git(&self.path(name), words)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.git"))
    }

    /// A folder whose files are at `/files/NAME`.
    pub fn files(&self) -> PathBuf {
        let dir = self.dir.join("files");
        fs::create_dir_all(&dir).expect("a directory");
        dir
    }

    /// The requests so far, as `METHOD PATH`.
    pub fn seen(&self) -> Vec<String> {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Runs git in a directory; it must succeed.
pub fn git(dir: &Path, words: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=s", "-c", "user.email=s@example.com"])
        .args(["-c", "safe.directory=*", "-c", "protocol.file.allow=always"])
        .args(words)
        .current_dir(dir)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("HOME", "/nonexistent")
        .output()
        .expect("git");
    assert!(output.status.success(), "git {words:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// What a client asks for.
struct Asked {
    from: BufReader<TcpStream>,
    method: String,
    target: String,
    length: usize,
    kind: String,
    protocol: String,
    authorization: String,
}

impl Asked {
    fn read(stream: &TcpStream) -> Option<Self> {
        let mut from = BufReader::new(stream.try_clone().ok()?);
        let mut line = String::new();
        from.read_line(&mut line).ok()?;
        let mut words = line.split(' ');
        let mut asked = Self {
            method: words.next()?.to_owned(),
            target: words.next()?.to_owned(),
            from,
            length: 0,
            kind: String::new(),
            protocol: String::new(),
            authorization: String::new(),
        };
        loop {
            let mut line = String::new();
            asked.from.read_line(&mut line).ok()?;
            let Some((key, value)) = line.trim().split_once(':') else {
                return Some(asked);
            };
            let value = value.trim().to_owned();
            match key.to_lowercase().as_str() {
                "content-length" => asked.length = value.parse().ok()?,
                "content-type" => asked.kind = value,
                "git-protocol" => asked.protocol = value,
                "authorization" => asked.authorization = value,
                _ => {}
            }
        }
    }
}

/// One request: redirects and files are ours, everything else goes through the backend as a CGI program.
fn answer(
    stream: TcpStream,
    root: &Path,
    seen: &Mutex<Vec<String>>,
    token: Option<&str>,
) -> Option<()> {
    let asked = Asked::read(&stream)?;
    let mut to = stream;
    let target = asked.target.as_str();
    seen.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(format!("{} {target}", asked.method));
    if let Some(to_where) = target.strip_prefix("/moved/") {
        let head = "HTTP/1.0 301 Moved\r\nContent-Length: 0\r\nConnection: close\r\nLocation: /";
        return write!(to, "{head}{to_where}\r\n\r\n").ok();
    }
    if target.starts_with("/loop/") {
        let head = "HTTP/1.0 302 Found\r\nContent-Length: 0\r\nConnection: close\r\nLocation: ";
        return write!(to, "{head}{target}\r\n\r\n").ok();
    }
    if let Some(name) = target.strip_prefix("/files/") {
        return give_file(&root.join("files").join(name), &mut to);
    }
    // `x-access-token:sesame`
    if token.is_some_and(|token| asked.authorization != token) {
        let head = "HTTP/1.0 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        return to.write_all(head.as_bytes()).ok();
    }
    ask_backend(asked, root, to)
}

fn give_file(path: &Path, to: &mut TcpStream) -> Option<()> {
    let (status, body) = match fs::read(path) {
        Ok(body) => ("200 OK", body),
        Err(_) => ("404 Not Found", Vec::new()),
    };
    let head = format!("HTTP/1.0 {status}\r\nContent-Length: {}", body.len());
    write!(to, "{head}\r\nConnection: close\r\n\r\n").ok()?;
    to.write_all(&body).ok()
}

fn ask_backend(asked: Asked, root: &Path, mut to: TcpStream) -> Option<()> {
    let Asked {
        mut from,
        method,
        target,
        length,
        kind,
        protocol,
        ..
    } = asked;
    let mut body = vec![0; length];
    from.read_exact(&mut body).ok()?;
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let mut child = Command::new(BACKEND)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("GIT_CONFIG_COUNT", "1")
        .env("GIT_CONFIG_KEY_0", "safe.directory")
        .env("GIT_CONFIG_VALUE_0", "*")
        .env("GIT_PROTOCOL", protocol)
        .env("REQUEST_METHOD", &method)
        .env("PATH_INFO", path)
        .env("QUERY_STRING", query)
        .env("CONTENT_TYPE", kind)
        .env("CONTENT_LENGTH", length.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .ok()?;
    child.stdin.take()?.write_all(&body).ok()?;
    let output = child.wait_with_output().ok()?;
    let text = output.stdout;
    let end = text.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&text[..end]).into_owned();
    let status = head
        .lines()
        .find_map(|line| line.strip_prefix("Status: "))
        .unwrap_or("200 OK")
        .to_owned();
    let body = &text[end + 4..];
    let head: Vec<&str> = head
        .lines()
        .filter(|line| !line.starts_with("Status:"))
        .collect();
    write!(
        to,
        "HTTP/1.0 {status}\r\nConnection: close\r\nContent-Length: {}\r\n{}\r\n\r\n",
        body.len(),
        head.join("\r\n")
    )
    .ok()?;
    to.write_all(body).ok()
}
