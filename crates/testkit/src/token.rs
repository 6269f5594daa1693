//! A token service for `docker-registry`, as small as the protocol: who shows the account gets a signed token for what is asked, and
//! one that lasts when that is asked for. Source: Docker `registry/spec/auth/token.md`, `jwt.md`, `oauth.md`.

use crate::Host;
use crate::kernel::tool_ok;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// What the service is called, and who signs.
pub const SERVICE: &str = "scenarios-registry";
pub const ISSUER: &str = "scenarios-tokens";
/// The token that lasts.
const LASTING: &str = "a-token-that-lasts";

/// A running service; its thread ends with the process.
#[derive(Debug)]
pub struct TokenService {
    pub address: String,
    /// Whose signatures count.
    pub certificate: PathBuf,
    /// First lines of the requests.
    pub asked: Arc<Mutex<Vec<String>>>,
}

impl TokenService {
    /// For one account, as `Authorization: Basic …` has it.
    pub fn start(host: &Host, basic: &'static str) -> Self {
        let dir = host.folder("tokens");
        let (certificate, key) = (dir.join("token.pem"), dir.join("token.key"));
        tool_ok(&format!(
            "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=scenarios-tokens -keyout {} -out {}",
            key.display(),
            certificate.display()
        ));
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let (log, signing) = (asked.clone(), (certificate.clone(), key));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let _ = answer(stream, basic, &log, &signing);
            }
        });
        Self {
            address,
            certificate,
            asked,
        }
    }
}

fn answer(
    stream: TcpStream,
    basic: &str,
    log: &Mutex<Vec<String>>,
    (certificate, key): &(PathBuf, PathBuf),
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut first, mut account, mut length) = (String::new(), String::new(), 0);
    reader.read_line(&mut first)?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        match line.trim().split_once(':') {
            None => break,
            Some((name, value)) if name.eq_ignore_ascii_case("authorization") => {
                account = value.trim().to_owned()
            }
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse().unwrap_or(0);
            }
            Some(_) => {}
        }
    }
    let mut form = vec![0; length];
    reader.read_exact(&mut form)?;
    let form = String::from_utf8_lossy(&form).into_owned();
    if let Ok(mut log) = log.lock() {
        log.push(first.trim().to_owned());
    }
    let query = first.split(['?', ' ']).nth(2).unwrap_or_default();
    let parameters: Vec<(String, String)> = [query, &form]
        .iter()
        .flat_map(|text| text.split('&'))
        .filter_map(|p| p.split_once('='))
        .map(|(k, v)| (k.to_owned(), decode(v)))
        .collect();
    let has = |key: &str, value: &str| parameters.iter().any(|(k, v)| k == key && v == value);
    let known = account == format!("Basic {basic}") || has("refresh_token", LASTING);
    let (status, body) = match known {
        false => ("401 Unauthorized", "{}".to_owned()),
        true => {
            let scopes: Vec<&str> = parameters
                .iter()
                .filter(|(k, _)| k == "scope")
                .flat_map(|(_, v)| v.split(' '))
                .collect();
            let token = signed(&scopes, certificate, key);
            let lasting = match has("offline_token", "true") {
                true => format!(",\"refresh_token\":\"{LASTING}\""),
                false => String::new(),
            };
            (
                "200 OK",
                format!(
                    "{{\"token\":\"{token}\",\"access_token\":\"{token}\",\"expires_in\":300{lasting}}}"
                ),
            )
        }
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    (&stream).write_all(format!("{head}{body}").as_bytes())
}

/// A JSON Web Token for scopes (`repository:team/box:pull,push`).
fn signed(scopes: &[&str], certificate: &Path, key: &Path) -> String {
    let entry = |scope: &&str| {
        let parts: Vec<&str> = scope.split(':').collect();
        let [kind, name, actions] = parts[..] else {
            return None;
        };
        let actions: Vec<&str> = actions.split(',').collect();
        Some(serde_json::json!({"type": kind, "name": name, "actions": actions}))
    };
    let access: Vec<_> = scopes.iter().filter_map(entry).collect();
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |t| t.as_secs());
    let claims = serde_json::json!({
        "iss": ISSUER, "sub": "ann", "aud": SERVICE, "jti": "1",
        "iat": now, "nbf": now - 60, "exp": now + 300, "access": access,
    });
    let script = r#"
        b64() { openssl base64 -A | tr '+/' '-_' | tr -d '='; }
        der=$(openssl x509 -in "$1" -outform DER | openssl base64 -A)
        head=$(printf '{"alg":"RS256","typ":"JWT","x5c":["%s"]}' "$der" | b64)
        body=$(printf %s "$3" | b64)
        printf '%s.%s.' "$head" "$body"
        printf '%s.%s' "$head" "$body" | openssl dgst -sha256 -sign "$2" -binary | b64"#;
    let output = std::process::Command::new("sh")
        .args(["-c", script, "sh"])
        .args([certificate, key])
        .arg(claims.to_string())
        .output()
        .expect("sh and openssl");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// `%3A` → `:`
fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let hex = (*first == b'%').then(|| after.get(..2)).flatten();
        let value = hex.and_then(|h| u8::from_str_radix(std::str::from_utf8(h).ok()?, 16).ok());
        bytes.push(value.unwrap_or(*first));
        rest = if value.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
