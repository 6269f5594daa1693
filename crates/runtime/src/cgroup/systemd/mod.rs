//! Containers in transient scopes of systemd.
//!
//! A scope is made around processes that exist, and a container's init is born into its group: so the scope begins with a child
//! that only waits, and that ends when init is there. `Delegate=yes` leaves everything below the scope to us.
//! Source: systemd.scope(5), org.freedesktop.systemd1(5), systemd's "Control Group APIs and Delegation".

mod bus;
mod properties;
mod wire;

use super::devices::List;
use super::place::Scope;
use bus::Bus;
use oci_spec::runtime::LinuxResources;
use properties::Property;
use std::io;
use std::path::{Path, PathBuf};
use sys::process::{Child, Cloned};
use thiserror::Error as ThisError;
use wire::Value;

#[derive(Debug, ThisError)]
pub enum Error {
    #[error(
        "systemd does not run this host (there is no /run/systemd/system): use the cgroupfs manager"
    )]
    Absent,
    #[error("cannot talk to systemd over {path}")]
    Connect {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("what comes over {path} is not D-Bus")]
    Protocol { path: PathBuf },
    #[error("systemd refuses {method}: {text} ({name})")]
    Refused {
        method: String,
        name: String,
        text: String,
    },
    #[error("the job for {unit} ended as {result:?}")]
    Job { unit: String, result: String },
    #[error("cannot clone the process to begin {unit} with")]
    Anchor {
        unit: String,
        #[source]
        source: io::Error,
    },
}

/// The process a scope begins with. It ends with this.
#[derive(Debug)]
pub(crate) struct Anchor(Child);

impl Anchor {
    fn new(unit: &str) -> Result<Self, Error> {
        let parent = rustix::process::getpid();
        let cloned = sys::process::clone_single_threaded(0, None);
        match cloned.map_err(|source| Error::Anchor {
            unit: unit.to_owned(),
            source,
        })? {
            Cloned::Parent(child) => Ok(Self(child)),
            Cloned::Child(_) => wait_for_the_end(parent),
        }
    }
}

impl Drop for Anchor {
    fn drop(&mut self) {
        // It is our child, not reaped yet: the handle is its own.
        let _ = sys::process::pidfd_send_signal(&self.0.pidfd, 9);
        let _ = sys::process::wait(&self.0.pidfd);
    }
}

fn wait_for_the_end(parent: rustix::process::Pid) -> ! {
    // Ours alone may end it, and whoever made us may die first.
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    while rustix::process::getppid() == Some(parent) {
        let _ = sys::poll::wait(&mut [], None);
    }
    sys::process::exit_now(0)
}

/// Makes the scope. Its group exists when this returns.
pub(super) fn start(
    scope: &Scope,
    resources: &LinuxResources,
    devices: Option<&List>,
) -> Result<Anchor, Error> {
    if !Path::new("/run/systemd/system").is_dir() {
        return Err(Error::Absent);
    }
    start_on(&mut Bus::connect()?, scope, resources, devices)
}

/// Over a connection that is there.
fn start_on(
    bus: &mut Bus,
    scope: &Scope,
    resources: &LinuxResources,
    devices: Option<&List>,
) -> Result<Anchor, Error> {
    let anchor = Anchor::new(&scope.unit)?;
    let mut wanted = of_scope(scope, anchor.0.pid as u32);
    wanted.extend(properties::of_limits(resources));
    wanted.extend(devices.map(properties::of_devices).unwrap_or_default());
    let call = bus::start_transient(&scope.unit, &wanted);
    match bus.run(&call, &scope.unit) {
        // What failed under this name lies there until somebody says that it was seen.
        Err(Error::Refused { name, .. }) if name.ends_with(".UnitExists") => {
            let _ = bus.call(&bus::reset_failed(&scope.unit));
            bus.run(&call, &scope.unit)?;
        }
        other => other?,
    }
    Ok(anchor)
}

fn of_scope(scope: &Scope, pid: u32) -> Vec<Property> {
    let on = |name| (name, Value::Bool(true));
    vec![
        (
            "Description",
            Value::Text(format!("dockless container {}", scope.unit)),
        ),
        ("Slice", Value::Text(scope.slice.clone())),
        on("Delegate"),
        ("PIDs", Value::Pids(vec![pid])),
        on("MemoryAccounting"),
        on("CPUAccounting"),
        on("IOAccounting"),
        on("TasksAccounting"),
        // A container outlives what its starter belongs to.
        ("DefaultDependencies", Value::Bool(false)),
    ]
}

/// Tells systemd of limits that were changed.
pub(super) fn update(
    scope: &Scope,
    resources: &LinuxResources,
    devices: Option<&List>,
) -> Result<(), Error> {
    let mut wanted = properties::of_limits(resources);
    wanted.extend(devices.map(properties::of_devices).unwrap_or_default());
    if wanted.is_empty() {
        return Ok(());
    }
    let call = bus::set_properties(&scope.unit, &wanted);
    Bus::connect()?.call(&call).map(drop)
}

/// Ends what is left of the scope; one that is gone is fine.
pub(super) fn stop(scope: &Scope) -> Result<(), Error> {
    stop_on(&mut Bus::connect()?, scope)
}

fn stop_on(bus: &mut Bus, scope: &Scope) -> Result<(), Error> {
    let gone = |result: Result<(), Error>| match result {
        Err(Error::Refused { name, .. }) if name.ends_with(".NoSuchUnit") => Ok(()),
        other => other,
    };
    gone(bus.run(&bus::stop(&scope.unit), &scope.unit))?;
    gone(bus.call(&bus::reset_failed(&scope.unit)).map(drop))
}

#[cfg(test)]
mod tests;
