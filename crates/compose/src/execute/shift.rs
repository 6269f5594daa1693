//! The steps of a rolling update: waiting, watching, and who gets new connections.

use super::{Cause, Run};
use crate::condition::{self, Goal};
use crate::plan::Shift;
use engine::container::record::ContainerRecord;
use engine::logs::{Query, Reader};
use engine::{container::names, networks};
use std::fmt::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How often connections are counted. Twice nobody in a row is nobody: the kernel enters a connection a moment after it has
/// decided where it leads.
const LOOK: Duration = Duration::from_millis(50);

/// How long a container that nobody checks is given to listen.
const LISTENING: Duration = Duration::from_secs(10);

/// So many lines of its log are told of a container that does not come up.
const WORDS: usize = 5;

pub(super) fn carry_out(run: Run<'_>, shift: &Shift) -> Result<(), Cause> {
    match shift {
        Shift::Ready { container, listens } => {
            ready(run, container, Goal::Ready, None)?;
            listening(run, container, listens)
        }
        Shift::Watch { container, period } => ready(run, container, Goal::Lasting, Some(*period)),
        Shift::Withdraw { container } => with(run, container, networks::withdraw),
        Shift::Readmit { container } => with(run, container, networks::readmit),
        Shift::Drain { container, at_most } => drain(run, container, *at_most),
        Shift::Delay { period } => delay(run, *period),
    }
}

/// What goes on, and what is said when it is done.
pub(super) fn words(shift: &Shift) -> (&'static str, &'static str) {
    match shift {
        Shift::Ready { .. } => ("Waiting", "Ready"),
        Shift::Watch { .. } => ("Watching", "Stable"),
        Shift::Drain { .. } => ("Draining", "Drained"),
        Shift::Withdraw { .. } => ("Draining", "Draining"),
        Shift::Readmit { .. } => ("Readmitting", "Running"),
        Shift::Delay { .. } => ("Waiting", "Waiting"),
    }
}

fn ready(run: Run<'_>, name: &str, goal: Goal, period: Option<Duration>) -> Result<(), Cause> {
    match condition::wait(run.ctx, name, goal, period, run.interrupted) {
        Ok(()) => Ok(()),
        // It has lasted as long as it was to be watched.
        Err(condition::Error::TimedOut { .. }) if goal == Goal::Lasting => Ok(()),
        Err(condition::Error::Interrupted) => Err(Cause::Interrupted),
        Err(error) => Err(Cause::NotReady {
            error: Box::new(error),
            last_words: last_words(run, name),
        }),
    }
}

/// Waits until something answers on the ports, or it is clear that nothing does soon.
fn listening(run: Run<'_>, name: &str, ports: &[u16]) -> Result<(), Cause> {
    let failed = super::worker::cause("find the address of", "container", name);
    let addresses = names::resolve(run.ctx, name)
        .and_then(|container| networks::addresses(run.ctx, &container))
        .map_err(failed)?;
    let begin = Instant::now();
    let open = |port: u16| {
        let mut targets = addresses.iter().map(|ip| SocketAddr::from((*ip, port)));
        targets.any(|to| TcpStream::connect_timeout(&to, LOOK).is_ok())
    };
    for port in ports {
        while !addresses.is_empty() && !open(*port) && begin.elapsed() < LISTENING {
            interrupted(run)?;
            // One that has ended meanwhile will never listen.
            ready(run, name, Goal::Ready, None)?;
            std::thread::sleep(LOOK);
        }
    }
    Ok(())
}

/// The container may be gone before anybody can ask for its logs.
fn last_words(run: Run<'_>, name: &str) -> String {
    let query = Query {
        tail: Some(WORDS),
        ..Query::default()
    };
    let reader = names::resolve(run.ctx, name).and_then(|c| Reader::open(run.ctx, &c, query));
    let Ok(mut reader) = reader else {
        return String::new();
    };
    let mut text = String::new();
    while let Ok(Some(line)) = reader.next_line() {
        let _ = write!(
            text,
            "\n    | {}",
            String::from_utf8_lossy(&line.bytes).trim_end()
        );
    }
    text
}

fn with(
    run: Run<'_>,
    name: &str,
    act: fn(&engine::Context, &ContainerRecord) -> engine::Result<()>,
) -> Result<(), Cause> {
    let done = names::resolve(run.ctx, name).and_then(|container| act(run.ctx, &container));
    done.map_err(super::worker::cause(
        "direct the traffic of",
        "container",
        name,
    ))
}

fn drain(run: Run<'_>, name: &str, at_most: Duration) -> Result<(), Cause> {
    let failed = || super::worker::cause("count the connections of", "container", name);
    let container = names::resolve(run.ctx, name).map_err(failed())?;
    let begin = Instant::now();
    let mut quiet = 0;
    while quiet < 2 && begin.elapsed() < at_most {
        interrupted(run)?;
        match networks::open_connections(run.ctx, &container).map_err(failed())? {
            0 => quiet += 1,
            _ => quiet = 0,
        }
        std::thread::sleep(LOOK);
    }
    Ok(())
}

fn delay(run: Run<'_>, period: Duration) -> Result<(), Cause> {
    let begin = Instant::now();
    while let Some(left) = period.checked_sub(begin.elapsed()) {
        interrupted(run)?;
        std::thread::sleep(left.min(Duration::from_millis(200)));
    }
    Ok(())
}

fn interrupted(run: Run<'_>) -> Result<(), Cause> {
    match run.interrupted.load(Ordering::Relaxed) {
        true => Err(Cause::Interrupted),
        false => Ok(()),
    }
}
