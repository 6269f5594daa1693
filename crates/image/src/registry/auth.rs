//! `WWW-Authenticate`: what a registry asks for, and the tokens its authorization service gives.
//! Source: Docker `registry/spec/auth/token.md`, `oauth.md`; RFC 9110 section 11.

use super::Error;
use super::credentials::Credential;
use super::http::{self, Http, Trust};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use std::time::{Duration, Instant};
use ureq::Body;
use ureq::http::{Request, Response};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Challenge {
    Basic,
    Bearer {
        realm: String,
        service: Option<String>,
    },
}

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Work,
    /// One that lasts is wanted beside it, to be kept in place of the password.
    Login,
}

/// A token and when to stop using it.
#[derive(Clone)]
pub(crate) struct Token {
    pub(crate) value: String,
    pub(crate) until: Instant,
    /// To get further ones with.
    pub(crate) refresh: Option<String>,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token")
            .field("until", &self.until)
            .finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<i64>,
    refresh_token: Option<String>,
}

/// The best of what `WWW-Authenticate` values offer: a token before a password.
pub(crate) fn parse_challenge(values: &[&str]) -> Option<Challenge> {
    let offered: Vec<Offer> = values.iter().flat_map(|value| offers(value)).collect();
    let bearer = offered
        .iter()
        .filter(|o| o.scheme.eq_ignore_ascii_case("bearer"))
        .find_map(|o| {
            Some(Challenge::Bearer {
                realm: o.get("realm")?,
                service: o.get("service"),
            })
        });
    let basic = || {
        let found = offered
            .iter()
            .any(|o| o.scheme.eq_ignore_ascii_case("basic"));
        found.then_some(Challenge::Basic)
    };
    bearer.or_else(basic)
}

/// One scheme and its parameters.
#[derive(Debug)]
struct Offer {
    scheme: String,
    parameters: Vec<(String, String)>,
}

impl Offer {
    fn get(&self, key: &str) -> Option<String> {
        let mut found = self
            .parameters
            .iter()
            .filter(|(k, _)| k.eq_ignore_ascii_case(key));
        found.next().map(|(_, value)| value.clone())
    }
}

/// `Basic realm="a", Bearer realm="b, c",service=d`: a word without `=` begins a scheme.
fn offers(value: &str) -> Vec<Offer> {
    let separators = [' ', '\t', ','];
    let mut found: Vec<Offer> = Vec::new();
    let mut rest = value.trim_start_matches(separators);
    while !rest.is_empty() {
        let end = rest.find([' ', '\t', ',', '=']).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        rest = match (after.trim_start().strip_prefix('='), found.last_mut()) {
            (Some(text), Some(offer)) => {
                let (value, after) = parameter(text.trim_start());
                offer.parameters.push((word.to_owned(), value));
                after
            }
            (Some(text), None) => text,
            (None, _) => {
                found.push(Offer {
                    scheme: word.to_owned(),
                    parameters: Vec::new(),
                });
                after
            }
        }
        .trim_start_matches(separators);
    }
    found
}

/// A value, quoted or not, and what comes after it.
fn parameter(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([' ', '\t', ',']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut letters = quoted.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(letters.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    (value, "")
}

pub(crate) fn basic_header(credential: &Credential) -> Option<String> {
    match credential {
        Credential::Password { username, password } => Some(basic(username, password)),
        Credential::IdentityToken(_) | Credential::RegistryToken(_) => None,
    }
}

fn basic(username: &str, password: &str) -> String {
    let account = STANDARD.encode(format!("{username}:{password}"));
    format!("Basic {account}")
}

/// Gets a token for `scopes` (separated by spaces). `base` is how the registry itself is spoken to.
pub(crate) fn fetch_token(
    registry: &Http,
    base: &str,
    (realm, service): (&str, Option<&str>),
    scopes: &str,
    credential: Option<&Credential>,
    kind: Kind,
) -> Result<Token, Error> {
    let refused = |reason| Error::Realm {
        registry: registry.host().into(),
        realm: realm.into(),
        reason,
    };
    let peer = registry.towards(base, realm).map_err(refused)?;
    let http: &Http = peer.as_deref().unwrap_or(registry);
    if credential.is_some() && !realm.starts_with("https://") && http.trust() != Trust::Anything {
        return Err(Error::PlainRealm {
            registry: registry.host().into(),
            realm: realm.into(),
        });
    }
    let place = (realm, service);
    let response = match credential {
        Some(Credential::IdentityToken(token)) => {
            let response = post(http, place, scopes, token)?;
            match response.status().as_u16() {
                // Who knows the older way alone takes the token as a password.
                404 | 405 | 501 => get(http, place, scopes, credential, kind)?,
                _ => response,
            }
        }
        other => get(http, place, scopes, other, kind)?,
    };
    read_token(response, realm, registry.host(), credential.is_some())
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// OAuth2's way: a form.
fn post(
    http: &Http,
    (realm, service): (&str, Option<&str>),
    scopes: &str,
    token: &str,
) -> Result<Response<Body>, Error> {
    let mut form = format!(
        "grant_type=refresh_token&client_id=dockless&refresh_token={}&scope={}",
        encode(token),
        encode(scopes)
    );
    if let Some(service) = service {
        form.push_str(&format!("&service={}", encode(service)));
    }
    let request = Request::post(realm)
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body(form.as_bytes())
        .map_err(|e| Error::Request(realm.to_owned(), e))?;
    http.run(request)
}

/// Docker's way: a query, and the account beside it.
fn get(
    http: &Http,
    (realm, service): (&str, Option<&str>),
    scopes: &str,
    credential: Option<&Credential>,
    kind: Kind,
) -> Result<Response<Body>, Error> {
    let mut query = String::new();
    if let Some(service) = service {
        query.push_str(&format!("&service={}", encode(service)));
    }
    for scope in scopes.split(' ').filter(|s| !s.is_empty()) {
        query.push_str(&format!("&scope={}", encode(scope)));
    }
    if let Some(Credential::Password { username, .. }) = credential {
        query.push_str(&format!("&account={}", encode(username)));
    }
    if kind == Kind::Login {
        query.push_str("&client_id=dockless&offline_token=true");
    }
    let separator = if realm.contains('?') { '&' } else { '?' };
    let url = format!("{realm}{separator}{}", query.trim_start_matches('&'));
    let shown = match credential {
        Some(Credential::IdentityToken(token)) => Some(basic("", token)),
        other => other.and_then(basic_header),
    };
    let private: Vec<_> = shown
        .map(|value| ("Authorization".to_owned(), value))
        .into_iter()
        .collect();
    http.follow("GET", &url, &[], &private)
}

fn read_token(
    response: Response<Body>,
    realm: &str,
    registry: &str,
    had_credential: bool,
) -> Result<Token, Error> {
    let status = response.status().as_u16();
    if matches!(status, 401 | 403) {
        return Err(match had_credential {
            true => Error::Unauthorized {
                registry: registry.into(),
            },
            false => Error::NoCredentials {
                registry: registry.into(),
            },
        });
    }
    if status != 200 {
        return Err(super::answer::status_error(response, realm));
    }
    let bytes = http::text(response, realm)?;
    let answer: TokenAnswer = serde_json::from_slice(&bytes).map_err(|source| Error::Answer {
        url: realm.into(),
        source,
    })?;
    let given = answer.token.into_iter().chain(answer.access_token);
    let value = given.into_iter().find(|token| !token.is_empty());
    let value = value.ok_or_else(|| Error::Incomplete {
        url: realm.into(),
        what: "a token",
    })?;
    // A minute is what the specification promises where nothing is said; some seconds are for the way.
    let life = answer.expires_in.unwrap_or(60).clamp(20, 3600) - 10;
    Ok(Token {
        value,
        until: Instant::now() + Duration::from_secs(life.unsigned_abs()),
        refresh: answer.refresh_token.filter(|t| !t.is_empty()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read() {
        let one = |value: &str| parse_challenge(&[value]);
        assert_eq!(one("Basic realm=\"x\""), Some(Challenge::Basic));
        let bearer = |realm: &str, service: Option<&str>| {
            Some(Challenge::Bearer {
                realm: realm.into(),
                service: service.map(str::to_owned),
            })
        };
        let hub = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#;
        assert_eq!(
            one(hub),
            bearer("https://auth.docker.io/token", Some("registry.docker.io"))
        );
        assert_eq!(
            one("bearer service=a, realm=http://b/c"),
            bearer("http://b/c", Some("a"))
        );
        assert_eq!(one("Bearer service=\"a\""), None);
        assert_eq!(one("Negotiate"), None);
        assert_eq!(one("Negotiate abc=="), None);
        assert_eq!(one("= , ="), None);
        assert_eq!(one(""), None);
        assert_eq!(
            one(r#"Basic realm="a, b", Bearer realm="c\"d""#),
            bearer("c\"d", None)
        );
        assert_eq!(
            parse_challenge(&["Negotiate", "Basic"]),
            Some(Challenge::Basic)
        );
    }

    proptest::proptest! {
        #[test]
        fn any_challenge_is_read_or_refused(text in "\\PC{0,100}") {
            let _ = parse_challenge(&[&text, &format!("Bearer {text}")]);
        }
    }
}
