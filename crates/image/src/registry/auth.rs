//! `WWW-Authenticate`: what a registry asks for, and the tokens its authorization service gives.
//! Source: Docker `registry/spec/auth/token.md`, `oauth.md`; RFC 9110 section 11.

use super::credentials::Credential;
use super::http::{self, Http, Trust};
use super::{Error, RegistryOptions};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use std::time::{Duration, Instant};
use ureq::http::Request;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Challenge {
    Basic,
    Bearer {
        realm: String,
        service: Option<String>,
    },
}

/// A token and when to stop using it.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    pub(crate) value: String,
    pub(crate) until: Instant,
}

#[derive(Deserialize)]
struct TokenAnswer {
    #[serde(default)]
    token: String,
    #[serde(default)]
    access_token: String,
    #[serde(default)]
    expires_in: Option<u64>,
}

/// Reads one `WWW-Authenticate` value.
pub(crate) fn parse_challenge(value: &str) -> Option<Challenge> {
    let (scheme, rest) = value.trim().split_once(' ').unwrap_or((value.trim(), ""));
    if scheme.eq_ignore_ascii_case("basic") {
        return Some(Challenge::Basic);
    }
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let (mut realm, mut service) = (None, None);
    for (key, value) in parameters(rest) {
        match key.to_ascii_lowercase().as_str() {
            "realm" => realm = Some(value),
            "service" => service = Some(value),
            _ => {}
        }
    }
    Some(Challenge::Bearer {
        realm: realm?,
        service,
    })
}

/// `key="value, with comma",key2=value2`
fn parameters(mut text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    while let Some((key, rest)) = text.split_once('=') {
        let key = key.trim_start_matches([',', ' ', '\t']).trim().to_owned();
        let rest = rest.trim_start();
        let (value, after) = match rest.strip_prefix('"') {
            Some(quoted) => match quoted.split_once('"') {
                Some((value, after)) => (value, after),
                None => (quoted, ""),
            },
            None => rest.split_once(',').unwrap_or((rest, "")),
        };
        found.push((key, value.trim().to_owned()));
        text = after;
    }
    found
}

pub(crate) fn basic_header(credential: &Credential) -> Option<String> {
    match credential {
        Credential::Password { username, password } => Some(format!(
            "Basic {}",
            STANDARD.encode(format!("{username}:{password}"))
        )),
        Credential::IdentityToken(_) => None,
    }
}

/// Gets a token for `scopes` (separated by spaces).
pub(crate) fn fetch_token(
    registry: &Http,
    options: &RegistryOptions,
    (realm, service): (&str, Option<&str>),
    scopes: &str,
    credential: Option<&Credential>,
) -> Result<Token, Error> {
    let host = realm.split('/').nth(2).unwrap_or_default();
    let other;
    let http = if host == registry.host() {
        registry
    } else {
        other = Http::new(host, options);
        &other
    };
    if credential.is_some() && !realm.starts_with("https://") && http.trust() != Trust::Anything {
        return Err(Error::PlainRealm {
            registry: registry.host().into(),
            realm: realm.into(),
        });
    }
    let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let mut query = String::new();
    if let Some(service) = service {
        query.push_str(&format!("&service={}", encode(service)));
    }
    let bad = |e| Error::Request(realm.to_owned(), e);
    let response = if let Some(Credential::IdentityToken(token)) = credential {
        let form = format!(
            "grant_type=refresh_token&client_id=dockless&refresh_token={}&scope={}{query}",
            encode(token),
            encode(scopes)
        );
        let request = Request::post(realm)
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(form.as_bytes())
            .map_err(bad)?;
        http.run(request)?
    } else {
        for scope in scopes.split(' ').filter(|s| !s.is_empty()) {
            query.push_str(&format!("&scope={}", encode(scope)));
        }
        if let Some(Credential::Password { username, .. }) = credential {
            query.push_str(&format!("&account={}", encode(username)));
        }
        let separator = if realm.contains('?') { '&' } else { '?' };
        let url = format!("{realm}{separator}{}", query.trim_start_matches('&'));
        let mut request = Request::get(&url);
        if let Some(header) = credential.and_then(basic_header) {
            request = request.header("Authorization", header);
        }
        http.run(request.body(http::empty()).map_err(bad)?)?
    };
    read_token(response, realm, registry.host(), credential.is_some())
}

fn read_token(
    response: ureq::http::Response<ureq::Body>,
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
    let value = if answer.token.is_empty() {
        answer.access_token
    } else {
        answer.token
    };
    if value.is_empty() {
        return Err(Error::Incomplete {
            url: realm.into(),
            what: "a token",
        });
    }
    // A minute is what the specification promises where nothing is said; some seconds are for the way.
    let life = answer.expires_in.unwrap_or(60).max(20) - 10;
    Ok(Token {
        value,
        until: Instant::now() + Duration::from_secs(life.min(3600)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read() {
        assert_eq!(parse_challenge("Basic realm=\"x\""), Some(Challenge::Basic));
        let hub = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#;
        let wanted = Challenge::Bearer {
            realm: "https://auth.docker.io/token".into(),
            service: Some("registry.docker.io".into()),
        };
        assert_eq!(parse_challenge(hub), Some(wanted));
        assert_eq!(
            parse_challenge("bearer service=a, realm=http://b/c"),
            Some(Challenge::Bearer {
                realm: "http://b/c".into(),
                service: Some("a".into())
            })
        );
        assert_eq!(parse_challenge("Bearer service=\"a\""), None);
        assert_eq!(parse_challenge("Negotiate"), None);
        assert_eq!(parse_challenge(""), None);
    }

    proptest::proptest! {
        #[test]
        fn any_challenge_is_read_or_refused(text in "\\PC{0,100}") {
            let _ = parse_challenge(&text);
            let _ = parse_challenge(&format!("Bearer {text}"));
        }
    }
}
