//! Hooks that devices asked for by name bring along, and what they are told.
//!
//! A hook reads its container's state from its standard input and finds the configuration in the bundle that names. Only a
//! container with hooks has a bundle; it lies in the run directory and goes with it.
//! Source: runtime-spec `config.md` "POSIX-platform Hooks", `runtime.md` "State".

use super::record::ContainerRecord;
use crate::context::Context;
use crate::error::{Error, Result};
use oci_spec::runtime::{Hooks, Root, Spec, State, StateBuilder};
use runtime::hooks::HookKind;
use std::path::PathBuf;

/// What is run after the container's birth.
#[derive(Debug)]
pub struct Hooked {
    hooks: Hooks,
    pub(super) state: State,
}

fn bundle(ctx: &Context, id: &str) -> PathBuf {
    ctx.layout.run_container(id).join("bundle")
}

/// Prepares a container that has hooks; `None` for all others.
pub(super) fn prepare(
    ctx: &Context,
    container: &ContainerRecord,
    built: &Spec,
) -> Result<Option<Hooked>> {
    let Some(hooks) = built.hooks().clone() else {
        return Ok(None);
    };
    let id = container.id.as_str();
    let dir = bundle(ctx, id);
    std::fs::create_dir_all(&dir).map_err(Error::file("create", &dir))?;
    let mut written = built.clone();
    let mut root = Root::default();
    // Where init has it while the hooks run that look at it.
    root.set_path(ctx.layout.container(id).join("upper"))
        .set_readonly(Some(container.spec.read_only));
    written.set_root(Some(root));
    super::external::write_json(&dir.join("config.json"), &written)?;
    Ok(Some(Hooked {
        hooks,
        state: state(id, dir)?,
    }))
}

fn state(id: &str, bundle: PathBuf) -> Result<State> {
    let state = StateBuilder::default()
        .version("1.2.0")
        .id(id)
        .bundle(bundle)
        .build();
    state.map_err(crate::spec::spec_error)
}

impl Hooked {
    /// That of a run another monitor began.
    pub fn taken_over(ctx: &Context, container: &ContainerRecord) -> Option<Self> {
        if container.spec.device_requests.is_empty() {
            return None;
        }
        let dir = bundle(ctx, container.id.as_str());
        let spec = Spec::load(dir.join("config.json")).ok()?;
        let hooks = spec.hooks().clone()?;
        let state = state(container.id.as_str(), dir).ok()?;
        Some(Self { hooks, state })
    }

    /// The command executes.
    pub(super) fn started(&mut self, pid: i32) -> Result<()> {
        self.state.set_pid(Some(pid));
        runtime::hooks::run(HookKind::Poststart, &self.hooks, &self.state)
            .map_err(|e| Error::invalid("the container's hooks", e.to_string()))
    }

    /// The container has ended. There is nobody left whom an error could stop.
    pub fn ended(mut self) {
        self.state.set_pid(None);
        let _ = runtime::hooks::run_all(HookKind::Poststop, &self.hooks, &self.state);
    }
}
