//! containerd's `certs.d/<host>/hosts.toml`: who else has a registry's images, and how each is spoken to.
//! A registry with a port is looked for as `host_port_`, then `host:port`, and every one as `_default` in the end.
//! Source: containerd `docs/hosts.md`.

use super::{Error, text, toml_text};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// One `hosts.toml`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct HostsFile {
    /// Asked before the server, in the file's order.
    pub(crate) hosts: Vec<Host>,
    /// Asked last, in place of the registry itself.
    pub(crate) server: Option<Host>,
    /// It is the one for registries that have none of their own.
    pub(crate) is_default: bool,
}

/// One address and how it is spoken to. Paths are absolute.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Host {
    /// With a scheme. Empty: the registry's own.
    pub(crate) url: String,
    pub(crate) pull: bool,
    pub(crate) resolve: bool,
    pub(crate) push: bool,
    pub(crate) ca: Vec<PathBuf>,
    /// Certificate and key; without a key, both are in one file.
    pub(crate) client: Vec<(PathBuf, Option<PathBuf>)>,
    pub(crate) skip_verify: bool,
    pub(crate) override_path: bool,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) proxy: Option<String>,
    pub(crate) dial_timeout: Option<Duration>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Document {
    server: Option<String>,
    host: toml::map::Map<String, toml::Value>,
    #[serde(flatten)]
    own: Table,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Table {
    capabilities: Vec<String>,
    ca: OneOrMany,
    client: Client,
    skip_verify: bool,
    override_path: bool,
    header: toml::map::Map<String, toml::Value>,
    proxy: Option<String>,
    dial_timeout: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(PathBuf),
    Many(Vec<PathBuf>),
}

impl Default for OneOrMany {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Client {
    One(PathBuf),
    Many(Vec<Pair>),
}

impl Default for Client {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Pair {
    File(PathBuf),
    Both(Vec<PathBuf>),
}

/// The file for a registry, or the default one.
pub(super) fn find(dirs: &[PathBuf], domain: &str) -> Result<Option<HostsFile>, Error> {
    let mut names = vec![domain.to_owned(), "_default".to_owned()];
    if let Some((host, port)) = domain.rsplit_once(':') {
        names.insert(0, format!("{host}_{port}_"));
    }
    for (name, dir) in names.iter().flat_map(|n| dirs.iter().map(move |d| (n, d))) {
        let path = dir.join(name).join("hosts.toml");
        if let Some(text) = text(&path)? {
            let mut file = parse(&path, &text)?;
            file.is_default = name == "_default";
            return Ok(Some(file));
        }
    }
    Ok(None)
}

/// What one file says.
pub(crate) fn parse(path: &Path, text: &str) -> Result<HostsFile, Error> {
    let invalid = |message: String| Error::Invalid {
        path: path.into(),
        message,
    };
    let dir = path.parent().unwrap_or(Path::new("/"));
    let document: Document = toml_text(path, text)?;
    let mut hosts = Vec::new();
    for (url, value) in document.host {
        let table: Table = value
            .try_into()
            .map_err(|e: toml::de::Error| invalid(format!("host {url:?}: {}", e.message())))?;
        // Pushing is for the origin, unless a mirror is said to take it.
        let push = table.capabilities.iter().any(|c| c == "push");
        let mut host = host(&url, table, dir).map_err(&invalid)?;
        host.push = push;
        hosts.push(host);
    }
    let is_said = document.server.is_some() || document.own.says_something();
    let url = document.server.unwrap_or_default();
    let server = host(&url, document.own, dir).map_err(&invalid)?;
    Ok(HostsFile {
        hosts,
        server: is_said.then_some(server),
        is_default: false,
    })
}

impl Table {
    fn says_something(&self) -> bool {
        self.skip_verify
            || self.override_path
            || !self.header.is_empty()
            || !matches!(&self.ca, OneOrMany::Many(list) if list.is_empty())
            || !matches!(&self.client, Client::Many(list) if list.is_empty())
            || self.proxy.is_some()
            || self.dial_timeout.is_some()
            || !self.capabilities.is_empty()
    }
}

fn host(url: &str, table: Table, dir: &Path) -> Result<Host, String> {
    let url = match url.split_once("://") {
        None if url.is_empty() => String::new(),
        None => format!("https://{url}"),
        Some(("http" | "https", _)) => url.to_owned(),
        Some((scheme, _)) => return Err(format!("{url:?}: the scheme {scheme} is not known")),
    };
    let known = ["pull", "resolve", "push"];
    if let Some(other) = table
        .capabilities
        .iter()
        .find(|c| !known.contains(&c.as_str()))
    {
        return Err(format!("{url:?}: the capability {other:?} is not known"));
    }
    let able =
        |what: &str| table.capabilities.is_empty() || table.capabilities.iter().any(|c| c == what);
    let (pull, resolve, push) = (able("pull"), able("resolve"), able("push"));
    let file = |path: PathBuf| dir.join(path);
    let ca = match table.ca {
        OneOrMany::One(path) => vec![file(path)],
        OneOrMany::Many(paths) => paths.into_iter().map(file).collect(),
    };
    let client = match table.client {
        Client::One(path) => vec![(file(path), None)],
        Client::Many(pairs) => pairs
            .into_iter()
            .map(|p| pair(p, dir))
            .collect::<Result<_, _>>()?,
    };
    Ok(Host {
        headers: headers(table.header)?,
        dial_timeout: table.dial_timeout.as_deref().map(duration).transpose()?,
        url,
        pull,
        resolve,
        push,
        ca,
        client,
        skip_verify: table.skip_verify,
        override_path: table.override_path,
        proxy: table.proxy.filter(|p| !p.is_empty()),
    })
}

fn pair(pair: Pair, dir: &Path) -> Result<(PathBuf, Option<PathBuf>), String> {
    let mut files = match pair {
        Pair::File(path) => vec![path],
        Pair::Both(paths) => paths,
    };
    files.retain(|path| !path.as_os_str().is_empty());
    let mut files = files.into_iter().map(|path| dir.join(path));
    match (files.next(), files.next(), files.next()) {
        (Some(certificate), key, None) => Ok((certificate, key)),
        _ => Err("client: each entry is a file, or a certificate and its key".into()),
    }
}

fn headers(table: toml::map::Map<String, toml::Value>) -> Result<Vec<(String, String)>, String> {
    let mut headers = Vec::new();
    for (name, value) in table {
        let values = match value {
            toml::Value::Array(list) => list,
            one => vec![one],
        };
        for value in values {
            let text = value
                .as_str()
                .ok_or_else(|| format!("header {name:?} is no text"))?;
            headers.push((name.clone(), text.to_owned()));
        }
    }
    Ok(headers)
}

/// `1s`, `500ms`, `2m`
fn duration(text: &str) -> Result<Duration, String> {
    let bad = || format!("dial_timeout {text:?} is no duration (write 10s)");
    let end = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
    let number: u64 = text[..end].parse().map_err(|_| bad())?;
    match &text[end..] {
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_secs(number.saturating_mul(60))),
        _ => Err(bad()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<HostsFile, Error> {
        parse(Path::new("/c/x/hosts.toml"), text)
    }

    #[test]
    fn hosts_keep_their_order_and_what_they_can() {
        let file = read(
            r#"
            server = "https://registry-1.docker.io"
            [host."https://z.example"]
              capabilities = ["pull"]
            [host."http://a.example:5000/v2/hub"]
              capabilities = ["pull", "resolve", "push"]
              ca = ["ca.crt", "/abs.pem"]
              client = [["client.cert", "client.key"], ["both.pem", ""]]
              override_path = true
              dial_timeout = "1s"
              [host."http://a.example:5000/v2/hub".header]
                x-one = "1"
                x-two = ["2", "3"]
            [host."b.example"]
              ca = "b.pem"
              client = "b.pem"
              skip_verify = true
            "#,
        )
        .unwrap();
        let urls: Vec<_> = file.hosts.iter().map(|h| h.url.as_str()).collect();
        assert_eq!(
            urls,
            [
                "https://z.example",
                "http://a.example:5000/v2/hub",
                "https://b.example"
            ]
        );
        let [z, a, b] = &file.hosts[..] else { panic!() };
        assert!(z.pull && !z.resolve && !z.push);
        assert!(a.push && a.override_path && !b.push && b.resolve && b.skip_verify);
        assert_eq!(a.ca, [PathBuf::from("/c/x/ca.crt"), "/abs.pem".into()]);
        let pair = |c: &str, k: Option<&str>| (PathBuf::from(c), k.map(PathBuf::from));
        assert_eq!(
            a.client,
            [
                pair("/c/x/client.cert", Some("/c/x/client.key")),
                pair("/c/x/both.pem", None)
            ]
        );
        assert_eq!(b.client, [pair("/c/x/b.pem", None)]);
        assert_eq!(a.dial_timeout, Some(Duration::from_secs(1)));
        let text = |n: &str, v: &str| (n.to_owned(), v.to_owned());
        assert_eq!(
            a.headers,
            [text("x-one", "1"), text("x-two", "2"), text("x-two", "3")]
        );
        assert_eq!(file.server.unwrap().url, "https://registry-1.docker.io");
    }

    #[test]
    fn a_registry_with_a_port_is_found_by_either_name_and_others_by_the_default() {
        let dir = tempfile::tempdir().unwrap();
        for (name, url) in [
            ("r_5000_", "https://one"),
            ("r:5000", "https://two"),
            ("_default", "https://three"),
        ] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
            std::fs::write(
                dir.path().join(name).join("hosts.toml"),
                format!("server = {url:?}"),
            )
            .unwrap();
        }
        let dirs = [dir.path().to_owned()];
        let server = |domain: &str| {
            let file = find(&dirs, domain).unwrap().unwrap();
            (file.server.unwrap().url, file.is_default)
        };
        assert_eq!(server("r:5000"), ("https://one".into(), false));
        std::fs::remove_dir_all(dir.path().join("r_5000_")).unwrap();
        assert_eq!(server("r:5000"), ("https://two".into(), false));
        assert_eq!(server("other"), ("https://three".into(), true));
        assert_eq!(find(&[], "other").unwrap(), None);
    }

    #[test]
    fn mistakes_are_refused() {
        for (text, said) in [
            ("[host.\"ftp://x\"]", "scheme ftp"),
            ("[host.\"https://x\"]\ncapabilities = [\"fly\"]", "fly"),
            ("skip_verify = 1", "line 1"),
            ("dial_timeout = \"soon\"", "soon"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(
                error.contains("hosts.toml") && error.contains(said),
                "{error}"
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,200}") {
            let _ = read(&text);
        }
    }
}
