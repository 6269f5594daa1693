//! `docker network …`.

mod create;
mod reload;

pub(crate) use reload::warn_of_blocks;

use crate::args::{self, key_value, parse_some};
use crate::failure::Outcome;
use crate::output::listing::{self, Field, Format, field, join_labels};
use crate::output::{self, units};
use crate::session::Session;
use crate::system::prune::{self, PruneFlags};
use crate::verb::{Run, Verb, verb};
use clap::Args;
use engine::networks;
use model::filter::Filters;
use model::network::{EndpointSettings, mac_address};
use network::NetworkRecord;
use serde_json::{Map, Value};
use std::net::IpAddr;

/// Every verb of this noun.
pub(crate) const VERBS: &[Verb] = &[
    verb::<create::Create>(&["network create"], "[OPTIONS] NETWORK", "Create a network")
        .exactly(1)
        .examples("network create back\nnetwork create --subnet 172.30.0.0/16 --gateway 172.30.0.1 --internal db"),
    verb::<List>(&["network ls", "network list"], "[OPTIONS]", "List networks").examples("network ls --filter driver=bridge"),
    verb::<Remove>(&["network rm", "network remove"], "NETWORK [NETWORK...]", "Remove one or more networks")
        .at_least(1)
        .examples("network rm back"),
    verb::<Connect>(&["network connect"], "[OPTIONS] NETWORK CONTAINER", "Connect a container to a network")
        .exactly(2)
        .examples("network connect --alias db back postgres"),
    verb::<Disconnect>(&["network disconnect"], "[OPTIONS] NETWORK CONTAINER", "Disconnect a container from a network")
        .exactly(2)
        .examples("network disconnect back postgres"),
    verb::<Prune>(&["network prune"], "[OPTIONS]", "Remove all unused networks").examples("network prune -f"),
    reload::VERB,
    verb::<Exists>(&["network exists"], "NETWORK", "Exit with 0 if the network exists, with 1 if not").exactly(1),
];

#[derive(Debug, Args)]
struct List {
    /// Provide filter values (e.g. "driver=bridge")
    #[arg(short, long, value_name = "filter")]
    filter: Vec<String>,
    /// Format output using a custom template: 'table', 'table TEMPLATE', 'json' or TEMPLATE
    #[arg(long, value_name = "string")]
    format: Option<String>,
    /// Do not truncate the output
    #[arg(long)]
    no_trunc: bool,
    /// Only display network IDs
    #[arg(short, long)]
    quiet: bool,
}

const FIELDS: [Field; 8] = [
    field("ID", "NETWORK ID"),
    field("Name", "NAME"),
    field("Driver", "DRIVER"),
    field("Scope", "SCOPE"),
    field("IPv6", "IPV6"),
    field("Internal", "INTERNAL"),
    field("Labels", "LABELS"),
    field("CreatedAt", "CREATED AT"),
];

impl Run for List {
    fn run(self, session: &Session) -> Outcome {
        let ctx = session.engine()?;
        let filters = Filters::parse(&self.filter, networks::FILTERS)?;
        let format = Format::parse(self.format.as_deref())?;
        let shown = networks::list(ctx, &filters)?;
        if self.quiet {
            for record in &shown {
                output::line(self.id(record))?;
            }
            return Ok(0);
        }
        let rows: Vec<_> = shown.iter().map(|record| self.row(record)).collect();
        listing::print(&format, &FIELDS, &["ID", "Name", "Driver", "Scope"], &rows)?;
        Ok(0)
    }
}

impl List {
    fn id<'a>(&self, record: &'a NetworkRecord) -> &'a str {
        if self.no_trunc {
            record.id.as_str()
        } else {
            record.id.short()
        }
    }

    fn row(&self, record: &NetworkRecord) -> Map<String, Value> {
        let created = engine::Timestamp::parse(&record.created)
            .map(units::created_at)
            .unwrap_or_default();
        let pairs: [(&str, Value); 9] = [
            ("CreatedAt", created.into()),
            ("Driver", record.driver.as_str().into()),
            ("ID", self.id(record).into()),
            ("IPv4", record.has_ipv4().to_string().into()),
            ("IPv6", record.ipv6.to_string().into()),
            ("Internal", record.internal.to_string().into()),
            ("Labels", join_labels(&record.labels).into()),
            ("Name", record.name.clone().into()),
            ("Scope", "local".into()),
        ];
        pairs
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }
}

#[derive(Debug, Args)]
struct Remove {
    /// Do not error if the network does not exist
    #[arg(short, long)]
    force: bool,
    #[arg(required = true)]
    networks: Vec<String>,
}

impl Run for Remove {
    fn run(self, session: &Session) -> Outcome {
        let ctx = session.engine()?;
        session.each(&self.networks, |name| match networks::remove(ctx, name) {
            Ok(_) => output::line(name),
            Err(engine::Error::Network(network::Error::NotFound { .. })) if self.force => Ok(()),
            Err(error) => Err(error.into()),
        })
    }
}

#[derive(Debug, Args)]
struct Connect {
    /// Add network-scoped alias for the container
    #[arg(long, value_name = "strings")]
    alias: Vec<String>,
    /// driver options for the network
    #[arg(long, value_name = "strings")]
    driver_opt: Vec<String>,
    /// Highest gw-priority provides the default gateway
    #[arg(long, value_name = "int", allow_hyphen_values = true)]
    gw_priority: Option<i64>,
    /// IPv4 address (e.g., "172.30.100.104")
    #[arg(long, value_name = "ip")]
    ip: Option<String>,
    /// IPv6 address (e.g., "2001:db8::33")
    #[arg(long, value_name = "ip")]
    ip6: Option<String>,
    /// Add link to another container
    #[arg(long, value_name = "list")]
    link: Vec<String>,
    /// Add a link-local address for the container
    #[arg(long, value_name = "strings")]
    link_local_ip: Vec<String>,
    /// Container MAC address
    #[arg(long, value_name = "string", hide = true)]
    mac_address: Option<String>,
    #[arg(required = true)]
    network: String,
    #[arg(required = true)]
    container: String,
}

impl Run for Connect {
    fn run(self, session: &Session) -> Outcome {
        let ctx = session.engine()?;
        let mac = parse_some("mac-address", self.mac_address.as_ref(), |text| {
            mac_address(text).ok_or("not a MAC address")
        })?;
        let endpoint = EndpointSettings {
            network: self.network.clone(),
            aliases: self.alias.clone(),
            ipv4_address: parse_some("ip", self.ip.as_ref(), str::parse)?,
            ipv6_address: parse_some("ip6", self.ip6.as_ref(), str::parse)?,
            link_local_ips: args::parse_all(
                "link-local-ip",
                &self.link_local_ip,
                str::parse::<IpAddr>,
            )?,
            mac_address: mac,
            driver_opts: key_value::strict_map("driver-opt", &self.driver_opt)?,
            gw_priority: self.gw_priority.unwrap_or(0),
            links: self.link.clone(),
            ..Default::default()
        };
        let record = crate::container::find(session, &self.container)?;
        networks::connect(ctx, &self.network, &record, endpoint)?;
        Ok(0)
    }
}

#[derive(Debug, Args)]
struct Disconnect {
    /// Force the container to disconnect from a network
    #[arg(short, long)]
    force: bool,
    #[arg(required = true)]
    network: String,
    #[arg(required = true)]
    container: String,
}

impl Run for Disconnect {
    fn run(self, session: &Session) -> Outcome {
        let ctx = session.engine()?;
        match crate::container::find(session, &self.container) {
            Ok(record) => networks::disconnect(ctx, &self.network, &record)?,
            // By force, of one that is no more: what it left on the network goes.
            Err(_) if self.force => networks::disconnect_gone(ctx, &self.network)?,
            Err(failure) => return Err(failure),
        }
        Ok(0)
    }
}

#[derive(Debug, Args)]
struct Prune {
    #[command(flatten)]
    flags: PruneFlags,
}

impl Run for Prune {
    fn run(self, session: &Session) -> Outcome {
        if !self.flags.confirmed(
            session,
            "This will remove all custom networks not used by at least one container.",
        )? {
            return Ok(0);
        }
        let removed = prune::networks(session, &self.flags)?;
        if !removed.is_empty() {
            output::line(format_args!("Deleted Networks:\n{}\n", removed.join("\n")))?;
        }
        Ok(0)
    }
}

#[derive(Debug, Args)]
struct Exists {
    #[arg(required = true)]
    network: String,
}

impl Run for Exists {
    fn run(self, session: &Session) -> Outcome {
        match network::find(&session.engine()?.layout, &self.network) {
            Ok(_) => Ok(0),
            Err(network::Error::NotFound { .. }) => Ok(1),
            Err(error) => Err(engine::Error::from(error).into()),
        }
    }
}
