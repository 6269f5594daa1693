//! Init's part in the hooks: asking the caller for his, and running those of the container's namespaces.
//!
//! Source: runtime-spec `config.md` "POSIX-platform Hooks": which namespaces each kind sees, and when.

use super::Context;
use crate::error::{InitError, OrInit};
use crate::hooks::{self, HookKind, State, Surroundings};
use crate::protocol::{self, ToInit};
use crate::request::Request;
use oci_spec::runtime::Hooks;
use std::ffi::CString;

/// The spec's hooks of one of these kinds, if there are any and they are to run.
fn wanted<'a>(request: &Request<'a>, kinds: &[HookKind]) -> Option<(&'a Hooks, &'a State)> {
    let hooks = request.spec.hooks().as_ref()?;
    let state = request.launch.state?;
    kinds
        .iter()
        .any(|kind| !kind.of(hooks).is_empty())
        .then_some((hooks, state))
}

/// Those the caller runs while init waits.
pub(crate) fn for_caller<'a>(request: &Request<'a>) -> Option<(&'a Hooks, &'a State)> {
    wanted(request, &[HookKind::Prestart, HookKind::CreateRuntime])
}

/// Those that precede the command.
pub(super) fn for_start<'a>(request: &Request<'a>) -> Option<(&'a Hooks, &'a State)> {
    wanted(request, &[HookKind::StartContainer])
}

/// The caller's hooks, then those that run here with the host's tree still in sight.
pub(super) fn before_pivot(context: &Context<'_>) -> Result<(), InitError> {
    if for_caller(context.request).is_some() {
        protocol::send_mounted(context.socket).because(|cause| InitError::Prepare { cause })?;
        await_hooked(context)?;
    }
    let Some((hooks, state)) = wanted(context.request, &[HookKind::CreateContainer]) else {
        return Ok(());
    };
    let state = seen_from_inside(state);
    let surroundings = Surroundings::caller(&state);
    Ok(hooks::run_in(
        HookKind::CreateContainer,
        hooks,
        &state,
        &surroundings,
    )?)
}

/// A caller that opened the barrier before he saw our question answers it after that.
fn await_hooked(context: &Context<'_>) -> Result<(), InitError> {
    loop {
        let message = protocol::receive_in_init(context.socket)
            .because(|cause| InitError::Prepare { cause })?;
        match message {
            Some(ToInit::Hooked) => return Ok(()),
            Some(ToInit::Start) => context.started.set(true),
            _ => return Err(InitError::Abandoned),
        }
    }
}

/// With the command's environment: the runtime's is none of the container's business.
pub(super) fn before_command(
    wanted: Option<(&Hooks, &State)>,
    env: &[String],
) -> Result<(), InitError> {
    let Some((hooks, state)) = wanted else {
        return Ok(());
    };
    // What a hook leaves running must not look into this process, which is the runtime's still (CVE-2016-9962); execve gives
    // the command its own flag.
    sys::process::set_dumpable(false).because(|cause| InitError::Prepare { cause })?;
    let state = seen_from_inside(state);
    let surroundings = Surroundings {
        env: env
            .iter()
            .filter_map(|variable| CString::new(variable.as_str()).ok())
            .collect(),
        directory: None,
        stdout: None,
        stderr: None,
    };
    Ok(hooks::run_in(
        HookKind::StartContainer,
        hooks,
        &state,
        &surroundings,
    )?)
}

fn seen_from_inside(state: &State) -> State {
    let mut state = state.clone();
    state.set_pid(Some(rustix::process::getpid().as_raw_nonzero().get()));
    state
}
