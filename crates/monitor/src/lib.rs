//! The process that stays with one container: starts it, copies its output to the log and to attached clients,
//! probes its health, applies its restart policy, answers its DNS, writes down how it ended, and gives back
//! what it used.
//!
//! Single-threaded, one `poll(2)` loop, no async runtime: init is a copy of this process, and a copy beside
//! threads may only make async-signal-safe calls. What the loop waits for:
//!
//! ```text
//! container's output ─▶ log, clients        client's input ─▶ container
//! pidfd of the first process                monitor.sock: new clients; their channels
//! DNS sockets                               the running health probe
//! the next deadline: probe, probe's time limit, SIGKILL after the grace time, restart
//! ```
//!
//! Killing this process leaves the container running; see [`adopt`].

mod adopt;
mod api;
mod clients;
mod ending;
mod health;
mod interest;
mod launch;
mod monitor;
mod output;
mod requests;
mod rest;
mod restart;
mod run;

use engine::Context;
use engine::channel::Channel;
use std::ffi::OsString;
use std::path::PathBuf;

/// The role's entry: `monitor <data root> <run root> <id> [adopt]`, the command's socket as descriptor 3.
pub fn role_main(arguments: &[OsString]) -> u8 {
    let [_role, data, run, id, rest @ ..] = arguments else {
        return 125;
    };
    let Some(id) = id.to_str() else {
        return 125;
    };
    sys::signal::started_with_defaults();
    let Ok(command) = sys::inherited::take(engine::container::launch::MONITOR_FD) else {
        return 125;
    };
    // A monitor outlives terminals and shells; only its container's end, or SIGKILL, ends it.
    if sys::signal::Set::of(&[1, 2, 3, 13, 15]).block().is_err() {
        return 125;
    }
    let ctx = match context(data.into(), run.into()) {
        Ok(ctx) => ctx,
        Err(_) => return 125,
    };
    let adopting = rest.first().is_some_and(|word| word == "adopt");
    monitor::main(&ctx, id, Channel::from(command), adopting)
}

fn context(data: PathBuf, run: PathBuf) -> engine::Result<Context> {
    Context::open(&engine::context::Options {
        data_root: Some(data),
        run_root: Some(run),
        ..Default::default()
    })
}
