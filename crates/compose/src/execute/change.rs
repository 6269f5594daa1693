//! The steps that change a container which stays.

use super::{Cause, Run};
use crate::plan::LiveChange;
use engine::container::{names, update};
use engine::networks;

pub(super) fn carry_out(run: Run<'_>, change: &LiveChange) -> Result<(), Cause> {
    let ctx = run.ctx;
    let name = change.container();
    names::resolve(ctx, name)
        .and_then(|container| match change {
            LiveChange::Update { changes, .. } => update::update(ctx, &container, changes),
            LiveChange::Connect { endpoint, .. } => {
                networks::connect(ctx, &endpoint.network, &container, (**endpoint).clone())
            }
            LiveChange::Disconnect { network, .. } => {
                networks::disconnect(ctx, network, &container)
            }
        })
        .map_err(super::worker::cause("change", "container", name))
}
