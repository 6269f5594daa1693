//! `GET /containers/json`.

use crate::server::Server;
use crate::server::reply::Reply;
use crate::server::request::Asked;
use crate::server::route::Answer;
use crate::wire::container::{MountPoint, Sizes, sizes};
use crate::wire::endpoint::{self, NetworkSettings};
use crate::wire::host_config::HostConfig;
use crate::wire::status;
use engine::Context;
use engine::container::list::{FILTERS, Listed, list as listed};
use serde_json::{Value, json};

pub(super) fn list(server: &Server, asked: &Asked) -> Answer {
    let ctx = &server.ctx;
    let filters = asked.query.filters(FILTERS)?;
    let limit = asked.query.number::<i64>("limit")?;
    let last = limit
        .and_then(|n| usize::try_from(n).ok())
        .filter(|n| *n > 0);
    let mut found = listed(ctx, asked.query.flag("all") || last.is_some(), &filters)?;
    if let Some(last) = last {
        found.truncate(last);
    }
    let with_sizes = asked.query.flag("size");
    Ok(Reply::json(&summaries(ctx, &found, with_sizes)))
}

pub(crate) fn summaries(ctx: &Context, found: &[Listed], with_sizes: bool) -> Vec<Value> {
    let each = found.iter().map(|container| {
        let sizes = with_sizes.then(|| sizes(ctx, &container.record));
        summary(ctx, container, sizes)
    });
    each.collect()
}

fn summary(ctx: &Context, container: &Listed, sizes: Option<Sizes>) -> Value {
    let Listed { record, state } = container;
    let joined = endpoint::joined(ctx, record, state);
    let published = endpoint::published(state);
    let settings = NetworkSettings::new(record, &joined, &published, state.is_active());
    let mounts = record.mounts.iter();
    let mounts: Vec<MountPoint> = mounts.map(|m| MountPoint::new(ctx, m)).collect();
    let mut value = json!({
        "Id": record.id,
        "Names": [format!("/{}", record.name)],
        "Image": record.spec.image,
        "ImageID": record.image.id,
        "Command": record.process.args().join(" "),
        "Created": record.created.seconds(),
        "Ports": ports(&settings),
        "Labels": record.labels,
        "State": state.status(),
        "Status": status::text(container),
        "HostConfig": { "NetworkMode": HostConfig::from(record).network_mode },
        "NetworkSettings": { "Networks": settings.networks },
        "Mounts": mounts,
    });
    if let (Some(sizes), Some(map)) = (sizes, value.as_object_mut()) {
        map.insert("SizeRw".into(), sizes.own.into());
        map.insert("SizeRootFs".into(), sizes.whole.into());
    }
    value
}

/// One entry for each side of each port; one that is only exposed has no host's side.
fn ports(settings: &NetworkSettings) -> Vec<Value> {
    let mut all = Vec::new();
    for (port, bindings) in &settings.ports {
        let (number, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
        let number: u16 = number.parse().unwrap_or(0);
        let Some(bindings) = bindings else {
            all.push(json!({ "PrivatePort": number, "Type": protocol }));
            continue;
        };
        for binding in bindings {
            let public: u16 = binding.host_port.parse().unwrap_or(0);
            all.push(json!({
                "IP": binding.host_ip,
                "PrivatePort": number,
                "PublicPort": public,
                "Type": protocol,
            }));
        }
    }
    all
}
