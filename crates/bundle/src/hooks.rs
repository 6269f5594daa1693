//! The hooks that belong to whoever starts and deletes, and what all of them are told.
//!
//! Those of a container's birth are run by `runtime::spawn`.
//! Source: runtime-spec `runtime.md` "Lifecycle", steps 9 and 13.

use crate::error::Result;
use crate::record::Record;
use oci_spec::runtime::{Hooks, Spec};
use runtime::hooks::{Error, HookKind, State, run, run_all};
use std::path::Path;

/// The state before anything of the container is there; `None` when no hook and no seccomp listener would be told.
pub(crate) fn told(spec: &Spec, id: &str, bundle: &Path) -> Option<State> {
    let profile = spec
        .linux()
        .as_ref()
        .and_then(|linux| linux.seccomp().as_ref());
    if spec.hooks().is_none() && profile.is_none_or(|profile| profile.listener_path().is_none()) {
        return None;
    }
    let mut state = State::default();
    state
        .set_version(spec.version().clone())
        .set_id(id.to_owned())
        .set_bundle(bundle.to_owned())
        .set_annotations(spec.annotations().clone());
    Some(state)
}

pub(crate) fn with_pid(record: &Record, pid: Option<i32>) -> State {
    let mut state = State::default();
    state
        .set_version(record.oci_version.clone())
        .set_id(record.id.clone())
        .set_bundle(record.bundle.clone())
        .set_annotations(Some(record.annotations.clone()).filter(|all| !all.is_empty()))
        .set_pid(pid);
    state
}

pub(crate) fn poststart(hooks: &Hooks, record: &Record) -> Result<()> {
    run(
        HookKind::Poststart,
        hooks,
        &with_pid(record, Some(record.pid)),
    )
    .map_err(|error| runtime::Error::from(error).into())
}

/// All of them run; what failed is for a warning.
pub(crate) fn poststop(hooks: &Hooks, record: &Record) -> Vec<Error> {
    run_all(HookKind::Poststop, hooks, &with_pid(record, None))
}

/// After a creation that failed.
pub(crate) fn poststop_of_failed(spec: &Spec, state: Option<&State>) {
    if let (Some(hooks), Some(state)) = (spec.hooks(), state) {
        // The failure itself is what is told.
        let _ = run_all(HookKind::Poststop, hooks, state);
    }
}
