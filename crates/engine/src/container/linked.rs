//! What `--link` on the default bridge tells a container about another: variables with its address, ports and environment.
//!
//! On networks of users' own links are names alone. Source: moby `daemon/links/links.go`, Docker docs "Legacy container links".

use super::names;
use super::record::ContainerRecord;
use super::state::State;
use crate::context::Context;
use crate::error::{Error, Result};
use model::network::NetworkMode;
use model::port::ContainerPort;
use std::net::IpAddr;

/// The network whose members see nothing of each other but by links.
const DEFAULT_BRIDGE: &str = "bridge";

/// A container that another is linked to, as that one sees it.
struct Linked<'a> {
    /// Who is linked.
    from: &'a str,
    alias: &'a str,
    address: IpAddr,
    ports: Vec<ContainerPort>,
    env: &'a [String],
}

/// The variables of all links of a container; one that does not run tells nothing.
pub(crate) fn environment(ctx: &Context, container: &ContainerRecord) -> Vec<String> {
    let spec = &container.spec;
    let on_bridge = match spec.network_mode {
        NetworkMode::Default => true,
        NetworkMode::Networks => spec.networks.iter().any(|n| n.network == DEFAULT_BRIDGE),
        _ => false,
    };
    if !on_bridge {
        return Vec::new();
    }
    let each = spec.links.iter().filter_map(|link| {
        let (target, alias) = link.split_once(':').unwrap_or((link, link));
        let other = names::resolve(ctx, target).ok()?;
        let state = State::load(ctx, other.id.as_str()).ok()?;
        let attached = state.run()?.network.as_ref()?;
        let mut endpoints = attached.endpoints.iter();
        let endpoint = endpoints.find(|e| e.network == DEFAULT_BRIDGE)?;
        let linked = Linked {
            from: &container.name,
            alias: alias.trim_start_matches('/'),
            address: endpoint.ipv4?.address,
            ports: other.exposed.clone(),
            env: &other.process.env,
        };
        Some(linked.variables())
    });
    each.flatten().collect()
}

/// Takes a link away. A container that runs keeps the variables and names it was started with.
pub fn unlink(ctx: &Context, container: &ContainerRecord, alias: &str) -> Result<()> {
    let id = container.id.as_str();
    let _lock = ContainerRecord::lock(ctx, id)?;
    let mut record = ContainerRecord::load(ctx, id)?
        .ok_or_else(|| Error::NoSuchContainer(container.name.clone()))?;
    let before = record.spec.links.len();
    let other = |link: &String| link.rsplit(':').next() != Some(alias);
    record.spec.links.retain(other);
    if record.spec.links.len() == before {
        return Err(Error::invalid(
            format!("cannot get link /{}/{alias}", container.name),
            "the container has no such link",
        ));
    }
    record.save(ctx)
}

impl Linked<'_> {
    fn variables(mut self) -> Vec<String> {
        self.ports.sort_by_key(|p| (p.port, p.protocol));
        let prefix = self.alias.to_uppercase().replace('-', "_");
        let mut env = self.ranges(&prefix);
        if let Some(first) = self.ports.first() {
            env.push(format!("{prefix}_PORT={}", self.url(*first)));
        }
        for port in &self.ports {
            let name = self.port_name(&prefix, *port);
            env.push(format!("{name}={}", self.url(*port)));
            env.push(format!("{name}_ADDR={}", self.address));
            env.push(format!("{name}_PORT={}", port.port));
            env.push(format!("{name}_PROTO={}", port.protocol));
        }
        env.push(format!("{prefix}_NAME=/{}/{}", self.from, self.alias));
        for (key, value) in self.env.iter().filter_map(|e| e.split_once('=')) {
            // These say nothing about what runs there.
            if !matches!(key, "HOME" | "PATH") {
                env.push(format!("{prefix}_ENV_{key}={value}"));
            }
        }
        env
    }

    /// Three ports and more in a row are told as one range too.
    fn ranges(&self, prefix: &str) -> Vec<String> {
        let mut env = Vec::new();
        let mut rest = self.ports.as_slice();
        while let [first, ..] = rest {
            let in_row = |pair: &&[ContainerPort]| {
                pair[0].protocol == pair[1].protocol && pair[1].port == pair[0].port + 1
            };
            let length = 1 + rest.windows(2).take_while(in_row).count();
            if length > 2 {
                let (name, last) = (self.port_name(prefix, *first), rest[length - 1]);
                env.push(format!("{name}_START={}", self.url(*first)));
                env.push(format!("{name}_ADDR={}", self.address));
                env.push(format!("{name}_PROTO={}", first.protocol));
                env.push(format!("{name}_PORT_START={}", first.port));
                env.push(format!("{name}_END={}", self.url(last)));
                env.push(format!("{name}_PORT_END={}", last.port));
            }
            rest = &rest[length..];
        }
        env
    }

    fn url(&self, port: ContainerPort) -> String {
        format!("{}://{}:{}", port.protocol, self.address, port.port)
    }

    fn port_name(&self, prefix: &str, port: ContainerPort) -> String {
        let protocol = port.protocol.to_string().to_uppercase();
        format!("{prefix}_PORT_{}_{protocol}", port.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_taken_away_by_its_alias() {
        use model::container::ContainerSpec;
        let (_dir, ctx) = crate::fixture::context();
        let spec = ContainerSpec {
            links: vec!["db:store".into(), "cache".into()],
            ..Default::default()
        };
        let web = crate::fixture::container(&ctx, "web", spec);
        assert!(unlink(&ctx, &web, "db").is_err());
        unlink(&ctx, &web, "store").unwrap();
        unlink(&ctx, &web, "cache").unwrap();
        let now = ContainerRecord::load(&ctx, web.id.as_str()).unwrap();
        assert!(now.unwrap().spec.links.is_empty());
    }

    fn told(ports: &[&str], env: &[&str]) -> Vec<String> {
        let env: Vec<String> = env.iter().map(|e| (*e).to_owned()).collect();
        let ports = ports.iter();
        let linked = Linked {
            from: "web",
            alias: "my-db",
            address: "172.17.0.2".parse().unwrap(),
            ports: ports
                .flat_map(|p| model::port::parse_expose(p).unwrap())
                .collect(),
            env: &env,
        };
        linked.variables()
    }

    #[test]
    fn a_link_tells_address_ports_and_environment() {
        assert_eq!(
            told(&["5432"], &["PATH=/bin", "USER=me", "bare"]),
            [
                "MY_DB_PORT=tcp://172.17.0.2:5432",
                "MY_DB_PORT_5432_TCP=tcp://172.17.0.2:5432",
                "MY_DB_PORT_5432_TCP_ADDR=172.17.0.2",
                "MY_DB_PORT_5432_TCP_PORT=5432",
                "MY_DB_PORT_5432_TCP_PROTO=tcp",
                "MY_DB_NAME=/web/my-db",
                "MY_DB_ENV_USER=me",
            ]
        );
    }

    #[test]
    fn ports_in_a_row_are_a_range() {
        let all = told(&["80-82", "443", "82/udp"], &[]);
        for wanted in [
            "MY_DB_PORT_80_TCP_START=tcp://172.17.0.2:80",
            "MY_DB_PORT_80_TCP_PORT_END=82",
            "MY_DB_PORT_82_UDP_PROTO=udp",
            "MY_DB_PORT=tcp://172.17.0.2:80",
        ] {
            assert!(all.contains(&wanted.to_owned()), "{wanted}: {all:?}");
        }
        assert_eq!(all.iter().filter(|e| e.contains("_START=")).count(), 2);
        assert!(!told(&["80-81"], &[]).iter().any(|e| e.contains("START")));
        assert_eq!(told(&["65535"], &[]).len(), 6);
    }
}
