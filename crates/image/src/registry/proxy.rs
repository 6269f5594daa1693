//! Which proxy stands between here and a host: HTTPS_PROXY, HTTP_PROXY and NO_PROXY as dockerd reads them, or `proxies` of dockless'
//! own configuration or of `daemon.json` in their place. Loopback addresses are never behind one.

use super::http::{host_name, in_network};
use serde::Deserialize;
use std::net::IpAddr;

#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Proxies {
    pub http_proxy: Option<String>,
    pub https_proxy: Option<String>,
    /// For what the others leave open.
    #[serde(skip)]
    pub all_proxy: Option<String>,
    /// Hosts that are spoken to directly: names with all below them, addresses, networks, `*`; with `:port` for one port.
    pub no_proxy: Option<String>,
    /// Said by dockless' own configuration: no other file's count.
    #[serde(skip)]
    own: bool,
}

// A proxy's address may have a password in it.
impl std::fmt::Debug for Proxies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proxies")
            .field("no_proxy", &self.no_proxy)
            .finish_non_exhaustive()
    }
}

impl Proxies {
    /// From environment variables, in capitals or not.
    pub fn from_env(env: impl Fn(&str) -> Option<String>) -> Self {
        let get = |name: &str| {
            let set = |n: &str| env(n).filter(|v| !v.is_empty());
            set(&name.to_uppercase()).or_else(|| set(name))
        };
        Self {
            http_proxy: get("http_proxy"),
            https_proxy: get("https_proxy"),
            all_proxy: get("all_proxy"),
            no_proxy: get("no_proxy"),
            own: false,
        }
    }

    /// These, whatever other files say.
    pub fn own(self) -> Self {
        Self { own: true, ..self }
    }

    /// These, or dockerd's where it has some and nothing stands against them.
    pub(crate) fn or(&self, daemon: Option<Self>) -> Self {
        match daemon {
            Some(theirs) if !self.own && !theirs.is_empty() => theirs,
            _ => self.clone(),
        }
    }

    fn is_empty(&self) -> bool {
        self.http_proxy.is_none() && self.https_proxy.is_none() && self.all_proxy.is_none()
    }

    /// The proxy for `host[:port]`.
    pub(crate) fn choose(&self, secure: bool, host: &str) -> Option<&str> {
        if self.is_direct(host) {
            return None;
        }
        let own = if secure {
            &self.https_proxy
        } else {
            &self.http_proxy
        };
        own.as_deref().or(self.all_proxy.as_deref())
    }

    fn is_direct(&self, host: &str) -> bool {
        let name = host_name(host);
        let address: Option<IpAddr> = name.parse().ok();
        if name == "localhost" || address.is_some_and(|a| a.is_loopback()) {
            return true;
        }
        let list = self.no_proxy.as_deref().unwrap_or_default();
        list.split([',', ' '])
            .map(str::trim)
            .any(|entry| fits(entry, host, name, address))
    }
}

fn fits(entry: &str, host: &str, name: &str, address: Option<IpAddr>) -> bool {
    if entry.is_empty() {
        return false;
    }
    if entry == "*" || entry.eq_ignore_ascii_case(host) {
        return true;
    }
    if let Some((network, bits)) = entry.split_once('/') {
        let network = network.parse::<IpAddr>().ok().zip(bits.parse().ok());
        return network
            .zip(address)
            .is_some_and(|((n, bits), a)| in_network(a, n, bits));
    }
    if let Ok(wanted) = entry.parse::<IpAddr>() {
        return address == Some(wanted);
    }
    let (domain, port) = match entry.rsplit_once(':') {
        Some((domain, port)) => (domain, Some(port)),
        None => (entry, None),
    };
    if port.is_some_and(|port| !host.ends_with(&format!(":{port}"))) {
        return false;
    }
    let domain = domain
        .trim_start_matches('*')
        .trim_start_matches('.')
        .to_ascii_lowercase();
    let name = name.to_ascii_lowercase();
    name == domain
        || name
            .strip_suffix(&domain)
            .is_some_and(|rest| rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_count_before_dockerd_s_and_those_before_the_environment_s() {
        let of = |proxy: &str| Proxies {
            https_proxy: Some(proxy.into()),
            ..Proxies::default()
        };
        let (env, daemon, ours) = (of("env"), of("daemon"), of("ours").own());
        let chosen = |a: &Proxies, b| a.or(b).choose(true, "quay.io").map(str::to_owned);
        assert_eq!(
            chosen(&env, Some(daemon.clone())).as_deref(),
            Some("daemon")
        );
        assert_eq!(
            chosen(&env, Some(Proxies::default())).as_deref(),
            Some("env")
        );
        assert_eq!(chosen(&env, None).as_deref(), Some("env"));
        assert_eq!(chosen(&ours, Some(daemon.clone())).as_deref(), Some("ours"));
        let none = Proxies::default().own();
        assert_eq!(chosen(&none, Some(daemon)), None);
        let typo = r#"{"https_proxy":"http://a"}"#;
        assert!(serde_json::from_str::<Proxies>(typo).is_err());
    }

    #[test]
    fn the_scheme_decides_and_exceptions_are_direct() {
        let env = [
            ("HTTPS_PROXY", "http://secure:3128"),
            ("http_proxy", "http://plain:3128"),
            (
                "NO_PROXY",
                "local.example, .corp, 10.0.0.0/8,reg.example:5000",
            ),
        ];
        let proxies = Proxies::from_env(|name| {
            env.iter()
                .find(|(n, _)| *n == name)
                .map(|(_, v)| (*v).to_owned())
        });
        let secure = |host| proxies.choose(true, host);
        assert_eq!(secure("ghcr.io"), Some("http://secure:3128"));
        assert_eq!(proxies.choose(false, "ghcr.io"), Some("http://plain:3128"));
        for direct in [
            "local.example",
            "a.local.example:5000",
            "x.corp",
            "10.1.2.3:5000",
            "reg.example:5000",
            "127.0.0.1:5000",
            "localhost:1",
            "[::1]:5000",
        ] {
            assert_eq!(secure(direct), None, "{direct}");
        }
        for proxied in [
            "notlocal.example",
            "reg.example",
            "11.1.2.3",
            "corp.example",
        ] {
            assert!(secure(proxied).is_some(), "{proxied}");
        }
        assert!(!format!("{proxies:?}").contains("3128"));
    }
}
