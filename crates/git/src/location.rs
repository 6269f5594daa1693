//! What users write for a repository: `https://host/repo.git#ref:directory` and its relatives.
//! Source: BuildKit `gitutil` and `dfgitutil` (which addresses are git's, fragments, queries).

use crate::error::Error;
use crate::object::Id;
use percent_encoding::percent_decode_str;
use std::fmt;

/// One repository, and what of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    pub(crate) scheme: Scheme,
    /// `user[:password]`, decoded.
    pub(crate) user: Option<User>,
    /// `host[:port]`.
    pub(crate) host: String,
    /// Of a URL with its leading slash.
    pub(crate) path: String,
    /// A branch, a tag, a full name below `refs/`, or a whole commit; `None`: the default branch.
    pub reference: Option<String>,
    /// The commit (or annotated tag) it must be.
    pub checksum: Option<String>,
    /// Relative, without `..`; empty: the whole.
    pub directory: String,
    pub keep_git_dir: Option<bool>,
    pub submodules: Option<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    Http,
    Https,
    Git,
    /// By the user's own ssh.
    Ssh,
}

#[derive(Clone, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) password: Option<String>,
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// An address that is git's and cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid git address {url}: {cause}")]
pub struct BadLocation {
    /// Without user and password.
    pub url: String,
    pub cause: String,
}

impl Location {
    /// Reads an address; `None`: it is none of git's.
    pub fn parse(text: &str) -> Option<Result<Self, BadLocation>> {
        let (address, fragment) = match text.split_once('#') {
            Some((address, fragment)) => (address, Some(fragment)),
            None => (text, None),
        };
        let (address, query) = match address.split_once('?') {
            Some((address, query)) => (address, Some(query)),
            None => (address, None),
        };
        let mut location = address_of(address)?;
        let result = location
            .apply(fragment, query)
            .map_err(|cause| BadLocation {
                url: location.url(),
                cause,
            });
        Some(result.map(|()| location))
    }

    /// The repository's address without user, password, and what of it is meant. By ssh the user is part of it.
    pub fn url(&self) -> String {
        match self.scheme {
            Scheme::Ssh => {
                let user = self.user.iter().map(|user| format!("{}@", user.name));
                let host = user.chain([self.host.clone()]).collect::<String>();
                match self.path.starts_with('/') {
                    true => format!("ssh://{host}{}", self.path),
                    false => format!("{host}:{}", self.path),
                }
            }
            scheme => format!("{}://{}{}", scheme.name(), self.host, self.path),
        }
    }

    /// As [`url`](Self::url), with what of it is meant.
    pub fn shown(&self) -> String {
        let reference = self.reference.as_deref().unwrap_or_default();
        match (reference, self.directory.as_str()) {
            ("", "") => self.url(),
            (reference, "") => format!("{}#{reference}", self.url()),
            (reference, directory) => format!("{}#{reference}:{directory}", self.url()),
        }
    }

    /// `host[:port]`.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The repository's own name, without `.git`.
    pub fn name(&self) -> &str {
        let last = self.path.rsplit('/').next().unwrap_or_default();
        last.strip_suffix(".git").unwrap_or(last)
    }

    /// Whether a commit is named: what it stands for never changes.
    pub fn is_fixed(&self) -> bool {
        self.reference.as_deref().is_some_and(is_whole_id)
    }

    /// The address of another repository, as a submodule names it: absolute, or relative to this one.
    pub(crate) fn join(&self, url: &str) -> Option<Self> {
        let bare = Self {
            reference: None,
            checksum: None,
            directory: String::new(),
            keep_git_dir: None,
            ..self.clone()
        };
        if !url.starts_with("./") && !url.starts_with("../") {
            let other = address_of_repository(url)?;
            // Credentials are for the host they were given for.
            let same = (other.scheme, &other.host) == (self.scheme, &self.host);
            let user = other.user.clone().or(self.user.clone().filter(|_| same));
            return Some(Self { user, ..other });
        }
        let mut parts: Vec<&str> = self.path.split('/').filter(|p| !p.is_empty()).collect();
        for part in url.split('/') {
            match part {
                "" | "." => {}
                ".." => drop(parts.pop()?),
                part => parts.push(part),
            }
        }
        let root = if self.path.starts_with('/') { "/" } else { "" };
        Some(Self {
            path: format!("{root}{}", parts.join("/")),
            ..bare
        })
    }

    pub(crate) fn verify(&self, commit: &Id, object: &Id) -> Result<(), Error> {
        let Some(wanted) = &self.checksum else {
            return Ok(());
        };
        let matches = |id: &Id| id.to_string().starts_with(wanted.as_str());
        if matches(commit) || matches(object) {
            return Ok(());
        }
        Err(Error::Checksum {
            url: self.shown(),
            found: commit.to_string(),
            wanted: wanted.clone(),
        })
    }

    fn apply(&mut self, fragment: Option<&str>, query: Option<&str>) -> Result<(), String> {
        if let Some(fragment) = fragment {
            let fragment = decoded(fragment);
            match fragment.strip_prefix('#') {
                Some(fields) => self.fields(fields)?,
                None => {
                    let (reference, directory) =
                        fragment.split_once(':').unwrap_or((&fragment, ""));
                    self.set_reference(reference)?;
                    self.set_directory(directory)?;
                }
            }
        }
        for pair in query.unwrap_or_default().split('&') {
            if !pair.is_empty() {
                let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                self.set(&decoded(key), &decoded(value))?;
            }
        }
        if self.reference.is_none() {
            self.reference.clone_from(&self.checksum);
        }
        Ok(())
    }

    /// `##ref=…,subdir=…`.
    fn fields(&mut self, fields: &str) -> Result<(), String> {
        for field in fields.split(',').filter(|field| !field.is_empty()) {
            let (key, value) = field
                .split_once('=')
                .ok_or_else(|| format!("{field:?} is no key=value pair"))?;
            self.set(&key.to_lowercase(), value)?;
        }
        Ok(())
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "submodules" => self.submodules = Some(boolean(key, value)?),
            "keep-git-dir" => self.keep_git_dir = Some(boolean(key, value)?),
            _ if value.is_empty() => return Err(format!("{key:?} has no value")),
            "ref" => self.set_reference(value)?,
            "tag" => self.set_reference(&below("refs/tags/", value))?,
            "branch" => self.set_reference(&below("refs/heads/", value))?,
            "subdir" => self.set_directory(value)?,
            "checksum" | "commit" => self.set_checksum(value)?,
            other => {
                return Err(format!(
                    "{other:?} is not known (known are ref, branch, tag, commit, subdir, keep-git-dir, submodules)"
                ));
            }
        }
        Ok(())
    }

    fn set_reference(&mut self, value: &str) -> Result<(), String> {
        if value.is_empty() {
            return Ok(());
        }
        let plain = |c: char| !c.is_control() && !" ~^:?*[\\".contains(c);
        if !value.chars().all(plain) || value.contains("..") || value.starts_with('-') {
            return Err(format!("{value:?} is no name of a branch, tag or commit"));
        }
        match &self.reference {
            Some(before) if before != value => {
                Err(format!("both {before:?} and {value:?} are asked for"))
            }
            _ => {
                self.reference = Some(value.to_owned());
                Ok(())
            }
        }
    }

    fn set_directory(&mut self, value: &str) -> Result<(), String> {
        if value.is_empty() {
            return Ok(());
        }
        if value.split('/').any(|part| part == "..") || value.contains('\0') {
            return Err(format!(
                "the directory {value:?} is outside of the repository"
            ));
        }
        let parts = value
            .split('/')
            .filter(|part| !part.is_empty() && *part != ".");
        let cleaned = parts.collect::<Vec<_>>().join("/");
        if !self.directory.is_empty() && self.directory != cleaned {
            return Err(format!(
                "both the directories {:?} and {cleaned:?} are asked for",
                self.directory
            ));
        }
        self.directory = cleaned;
        Ok(())
    }

    /// Of `ADD --checksum`, or of the address: a commit, or how it begins.
    pub fn set_checksum(&mut self, value: &str) -> Result<(), String> {
        let lower = value.to_lowercase();
        if lower.len() < 7 || lower.len() > 64 || !lower.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(format!(
                "{value:?} is no commit: it has 40 hexadecimal digits"
            ));
        }
        self.checksum = Some(lower);
        Ok(())
    }
}

impl Scheme {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Git => "git",
            Self::Ssh => "ssh",
        }
    }
}

/// Addresses that are taken for git's wherever another could stand: HTTP only with `.git` at its end.
fn address_of(text: &str) -> Option<Location> {
    if text.starts_with("github.com/") {
        return url(Scheme::Https, text);
    }
    let location = address_of_repository(text)?;
    let http = matches!(location.scheme, Scheme::Http | Scheme::Https);
    (!http || location.path.trim_end_matches('/').ends_with(".git")).then_some(location)
}

/// Addresses where only a repository can stand.
fn address_of_repository(text: &str) -> Option<Location> {
    match text.split_once("://") {
        Some((scheme, rest)) => {
            let scheme = match scheme.to_lowercase().as_str() {
                "http" => Scheme::Http,
                "https" => Scheme::Https,
                "git" => Scheme::Git,
                "ssh" => Scheme::Ssh,
                _ => return None,
            };
            url(scheme, rest)
        }
        None => scp(text),
    }
}

fn url(scheme: Scheme, rest: &str) -> Option<Location> {
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    };
    let user = user.map(|user| {
        let (name, password) = match user.split_once(':') {
            Some((name, password)) => (name, Some(decoded(password))),
            None => (user, None),
        };
        User {
            name: decoded(name),
            password,
        }
    });
    let usable = !host.is_empty()
        && !host.contains(|c: char| c.is_whitespace() || c.is_control())
        && !path.contains(|c: char| c.is_whitespace() || c.is_control());
    usable.then(|| location(scheme, user, host, path))
}

/// `user@host:path`, as scp writes it.
fn scp(text: &str) -> Option<Location> {
    let (user, rest) = text.split_once('@')?;
    let (host, path) = rest.split_once(':')?;
    let word = |text: &str| {
        !text.is_empty()
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    };
    let usable = word(user) && word(host) && !path.is_empty();
    let user = User {
        name: user.to_owned(),
        password: None,
    };
    usable.then(|| location(Scheme::Ssh, Some(user), host, path))
}

fn location(scheme: Scheme, user: Option<User>, host: &str, path: &str) -> Location {
    Location {
        scheme,
        user,
        host: host.to_owned(),
        path: path.trim_end_matches('/').to_owned(),
        reference: None,
        checksum: None,
        directory: String::new(),
        keep_git_dir: None,
        submodules: None,
    }
}

pub(crate) fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn below(prefix: &str, name: &str) -> String {
    match name.starts_with(prefix) {
        true => name.to_owned(),
        false => format!("{prefix}{name}"),
    }
}

fn boolean(key: &str, value: &str) -> Result<bool, String> {
    match value {
        "" | "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        other => Err(format!("{key} is true or false, not {other:?}")),
    }
}

/// All digits of an object's name.
pub(crate) fn is_whole_id(text: &str) -> bool {
    (text.len() == 40 || text.len() == 64)
        && text
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        match Location::parse(text) {
            None => "not git".to_owned(),
            Some(Ok(location)) => location.shown(),
            Some(Err(error)) => error.cause,
        }
    }

    #[test]
    fn addresses_as_buildkit_reads_them() {
        assert_eq!(shown("https://h/a/b.git"), "https://h/a/b.git");
        assert_eq!(shown("https://h/a.git#v1:d/./e/"), "https://h/a.git#v1:d/e");
        assert_eq!(shown("https://h/a.git#:d"), "https://h/a.git#:d");
        assert_eq!(
            shown("https://h/a.git##ref=v1,subdir=d"),
            "https://h/a.git#v1:d"
        );
        assert_eq!(
            shown("https://h/a.git?branch=x%2Fy&subdir=d"),
            "https://h/a.git#refs/heads/x/y:d"
        );
        assert_eq!(shown("git://h/a"), "git://h/a");
        assert_eq!(shown("github.com/x/y#main"), "https://github.com/x/y#main");
        assert_eq!(
            shown("git@github.com:x/y.git#main"),
            "git@github.com:x/y.git#main"
        );
        for other in [
            "https://h/ctx.tar.gz",
            "./x.git",
            "x",
            "/srv/x.git",
            "c:x",
            "ftp://h/x.git",
            "https:///x.git",
        ] {
            assert_eq!(shown(other), "not git", "{other}");
        }
    }

    #[test]
    fn a_password_is_used_and_never_shown() {
        let location = Location::parse("https://me:s%40cret@h:8443/a.git")
            .unwrap()
            .unwrap();
        assert_eq!(
            location.user.as_ref().unwrap().password.as_deref(),
            Some("s@cret")
        );
        assert_eq!(location.host, "h:8443");
        let all = format!("{} {} {location:?}", location.url(), location.shown());
        assert!(!all.contains("cret"), "{all}");
    }

    #[test]
    fn what_leads_outside_or_contradicts_itself_is_refused() {
        for (text, why) in [
            ("https://h/a.git#x:../y", "outside of the repository"),
            ("https://h/a.git#--upload-pack=x", "no name of a branch"),
            ("https://h/a.git#a..b", "no name of a branch"),
            ("https://h/a.git?tag=a&branch=b", "both"),
            ("https://h/a.git?subdir=x#v:y", "both the directories"),
            ("https://h/a.git?depth=1", "is not known"),
            ("https://h/a.git?ref", "has no value"),
            ("https://h/a.git?commit=xyz", "no commit"),
        ] {
            assert!(shown(text).contains(why), "{text}: {}", shown(text));
        }
    }

    #[test]
    fn submodules_relative_to_their_repository() {
        let base = Location::parse("https://me:pw@h/group/app.git#v1")
            .unwrap()
            .unwrap();
        let to = |url: &str| base.join(url).map(|l| (l.shown(), l.user.is_some()));
        assert_eq!(
            to("../lib.git"),
            Some(("https://h/group/lib.git".into(), true))
        );
        assert_eq!(
            to("./sub"),
            Some(("https://h/group/app.git/sub".into(), true))
        );
        assert_eq!(to("https://h/x"), Some(("https://h/x".into(), true)));
        assert_eq!(to("https://evil/x"), Some(("https://evil/x".into(), false)));
        assert_eq!(to("../../../../x"), None);
        assert_eq!(to("file:///etc"), None);
        assert_eq!(to("/etc"), None);
        let base = Location::parse("git@h:group/app.git").unwrap().unwrap();
        let to = |url: &str| base.join(url).map(|l| l.shown());
        assert_eq!(to("../lib.git").as_deref(), Some("git@h:group/lib.git"));
        assert_eq!(to("me@other:x").as_deref(), Some("me@other:x"));
        assert_eq!(to("ssh://h/x").as_deref(), Some("ssh://git@h/x"));
    }
}
