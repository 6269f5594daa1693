//! Starting a container: executes the monitor and waits for its one answer.

use super::record::ContainerRecord;
use super::state::State;
use super::state::{Phase, RunState};
use crate::channel::Channel;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::protocol::{Reply, Request, Streams};
use crate::watch::{self, Watch};
use model::id::Id;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// The role's name: `dockless monitor <data root> <run root> <id> [adopt]`, with the socket as descriptor 3.
pub const ROLE: &str = "monitor";
/// The descriptor of the command's socket in the monitor.
pub const MONITOR_FD: i32 = 3;

/// The ends of the container's streams that an attached command hands to the monitor.
#[derive(Debug, Default)]
pub struct ClientEnds {
    pub stdin: Option<OwnedFd>,
    pub stdout: Option<OwnedFd>,
    pub stderr: Option<OwnedFd>,
}

impl ClientEnds {
    pub fn streams(&self) -> Streams {
        Streams {
            stdin: self.stdin.is_some(),
            stdout: self.stdout.is_some(),
            stderr: self.stderr.is_some(),
        }
    }

    pub(crate) fn fds(&self) -> Vec<BorrowedFd<'_>> {
        [&self.stdin, &self.stdout, &self.stderr]
            .into_iter()
            .flatten()
            .map(AsFd::as_fd)
            .collect()
    }
}

/// A monitor for a container that is still being made. It gets ready meanwhile, and ends when it is dropped before the
/// launch.
#[derive(Debug)]
pub struct Ahead {
    id: Id,
    channel: Channel,
}

impl Ahead {
    /// Executes the monitor of a container with a new id.
    pub fn execute(ctx: &Context) -> Result<Self> {
        let id = crate::random_id();
        let channel = execute(ctx, id.as_str(), &[])?;
        Ok(Self { id, channel })
    }

    /// The id the container has to be made with.
    pub fn id(&self) -> &Id {
        &self.id
    }
}

/// Lets the container's monitor start it: the one that waits, or a new one. The channel stays open while the client is
/// attached.
pub(crate) fn launch(
    ctx: &Context,
    container: &ContainerRecord,
    ends: &ClientEnds,
    size: Option<(u16, u16)>,
    ahead: Option<Ahead>,
) -> Result<Channel> {
    let channel = match ahead.filter(|ahead| ahead.id == container.id) {
        Some(ahead) => ahead.channel,
        None => execute(ctx, container.id.as_str(), &[])?,
    };
    let request = Request::Launch {
        streams: ends.streams(),
        size,
    };
    channel
        .send(&request, &ends.fds())
        .map_err(Error::system("speak to the container's monitor"))?;
    match expect_reply(&channel)? {
        Reply::Started { .. } => Ok(channel),
        Reply::Failed { message, code } => Err(Error::Start { message, code }),
        other => Err(Error::Refused(format!(
            "the monitor answered {other:?} to a start"
        ))),
    }
}

/// Starts a monitor for a container whose own was killed.
pub fn adopt(ctx: &Context, container: &ContainerRecord) -> Result<()> {
    let channel = execute(ctx, container.id.as_str(), &["adopt"])?;
    match expect_reply(&channel)? {
        Reply::Done => Ok(()),
        Reply::Failed { message, .. } | Reply::Refused { message } => Err(Error::Refused(message)),
        other => Err(Error::Refused(format!(
            "the monitor answered {other:?} to an adoption"
        ))),
    }
}

/// Starts a monitor for a container that runs without one. A failure is not the caller's: it is met again by
/// whoever needs the monitor.
pub fn ensure_monitor(ctx: &Context, container: &ContainerRecord) {
    let id = container.id.as_str();
    let Ok(Some(run)) = RunState::load(ctx, id) else {
        return;
    };
    if run.monitor.is_alive() {
        return;
    }
    if let Phase::Running { process } | Phase::Paused { process } = run.phase
        && process.is_alive()
    {
        let _ = adopt(ctx, container);
    }
}

fn execute(ctx: &Context, id: &str, more: &[&str]) -> Result<Channel> {
    let (ours, theirs) = Channel::pair().map_err(Error::system("make a socket"))?;
    let argv = ctx.role_arguments(ROLE, &[&[id], more].concat())?;
    let role = sys::role::Role {
        argv,
        // Nothing of the caller's environment: it may hold secrets, and a monitor lives for months. glibc's malloc caches what
        // is freed, which keeps whole pages from being given back while the monitor rests.
        env: vec![c"GLIBC_TUNABLES=glibc.malloc.tcache_count=0".into()],
        fds: vec![(theirs.as_fd(), MONITOR_FD)],
        session: sys::role::Session::Own,
    };
    let monitor =
        sys::role::spawn(&role).map_err(Error::system("start the container's monitor"))?;
    sys::reaper::leave(monitor);
    Ok(ours)
}

pub(crate) fn expect_reply(channel: &Channel) -> Result<Reply> {
    let reply = channel
        .receive()
        .map_err(Error::system("hear from the container's monitor"))?;
    reply.map(|(reply, _)| reply).ok_or_else(|| Error::Start {
        message: "the container's monitor ended without an answer (killed, or out of memory)"
            .to_owned(),
        code: 125,
    })
}

/// Asks a running monitor; one that was killed is replaced first.
pub(crate) fn ask(ctx: &Context, container: &ContainerRecord, request: &Request) -> Result<Reply> {
    match converse(ctx, container, request) {
        Ok(Reply::Refused { message }) => Err(Error::Refused(message)),
        Ok(reply) => Ok(reply),
        // The container may have ended by itself, and its monitor with it, since the caller looked.
        Err(error) => match ends(ctx, container.id.as_str()) {
            Ok(true) => Err(Error::NotRunning(container.id.to_string())),
            _ => Err(error),
        },
    }
}

/// How long a monitor that answers nobody any more is given to write down how the container ended.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Whether the container has ended, or is just ending: its monitor takes no more requests from then on.
fn ends(ctx: &Context, id: &str) -> Result<bool> {
    let seen = Watch::containers(ctx, [id])?;
    let over = watch::until(&seen, Some(LAST_WORDS), || {
        Ok((!State::load(ctx, id)?.is_active()).then_some(()))
    })?;
    Ok(over.is_some())
}

/// Asks the monitor if it is there; `None` when it is not, or went before it answered.
pub(crate) fn ask_if_there(
    ctx: &Context,
    container: &ContainerRecord,
    request: &Request,
) -> Result<Option<Reply>> {
    let dir = ctx.layout.run_container(container.id.as_str());
    let Ok(channel) = Channel::connect(&dir) else {
        return Ok(None);
    };
    match say(&channel, request) {
        Ok(Reply::Refused { message }) => Err(Error::Refused(message)),
        other => Ok(other.ok()),
    }
}

fn converse(ctx: &Context, container: &ContainerRecord, request: &Request) -> Result<Reply> {
    say(&connect(ctx, container)?, request)
}

fn say(channel: &Channel, request: &Request) -> Result<Reply> {
    channel
        .send(request, &[])
        .map_err(Error::system("speak to the container's monitor"))?;
    expect_reply(channel)
}

/// A connection to the container's monitor, which is started anew when it was killed.
pub(crate) fn connect(ctx: &Context, container: &ContainerRecord) -> Result<Channel> {
    let dir = ctx.layout.run_container(container.id.as_str());
    if let Ok(channel) = Channel::connect(&dir) {
        return Ok(channel);
    }
    adopt(ctx, container)?;
    Channel::connect(&dir).map_err(Error::system(format!(
        "reach the monitor of container {}",
        container.name
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel;
    use crate::container::record::Lifecycle;
    use crate::container::remove::{RemoveOptions, remove, take_apart};
    use crate::container::state::{Phase, ProcessRef, RunState};
    use crate::container::stop::{StopOptions, stop};
    use crate::fixture::{container, context};
    use crate::protocol::After;
    use crate::trash::Leftovers;
    use model::container::ContainerSpec;

    fn as_if_running(ctx: &Context, id: &str) -> OwnedFd {
        let dir = ctx.layout.run_container(id);
        std::fs::create_dir(&dir).unwrap();
        let ours = ProcessRef::current().unwrap();
        let run = RunState {
            monitor: ours,
            phase: Phase::Running { process: ours },
            started_at: crate::Timestamp::now(),
            restart_count: 0,
            cgroup_parent: "dockless-none".into(),
            network: None,
        };
        run.save(ctx, id).unwrap();
        channel::listen(&dir).unwrap()
    }

    /// A monitor that hears one request and then does as told.
    fn monitor(listener: OwnedFd, act: impl FnOnce(Channel, Request)) {
        let limit = std::time::Duration::from_secs(60);
        assert!(sys::poll::readable(listener.as_fd(), limit).unwrap());
        let socket = sys::socket::accept(&listener).unwrap().unwrap();
        let channel = Channel::from(socket);
        let (request, _) = channel.receive::<Request>().unwrap().unwrap();
        act(channel, request);
    }

    #[test]
    fn a_container_that_ends_by_itself_while_it_is_stopped_is_stopped() {
        let (_dir, ctx) = context();
        let web = container(&ctx, "web", ContainerSpec::default());
        let id = web.id.as_str();
        let listener = as_if_running(&ctx, id);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                monitor(listener, |channel, _| {
                    let ended = Lifecycle::default();
                    ended.save(&ctx, id, ::state::Durability::Volatile).unwrap();
                    std::fs::remove_dir_all(ctx.layout.run_container(id)).unwrap();
                    drop(channel);
                });
            });
            stop(&ctx, &web, &StopOptions::default()).unwrap();
        });
    }

    fn by_force() -> RemoveOptions {
        RemoveOptions {
            force: true,
            volumes: true,
        }
    }

    #[test]
    fn one_that_runs_is_removed_by_its_monitor() {
        let (_dir, ctx) = context();
        let web = container(&ctx, "web", ContainerSpec::default());
        let id = web.id.as_str();
        let listener = as_if_running(&ctx, id);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                monitor(listener, |channel, request| {
                    let Request::Stop { then, .. } = request else {
                        panic!("{request:?}");
                    };
                    assert_eq!(then, After::Remove { volumes: true });
                    let mut left = Leftovers::default();
                    take_apart(&ctx, &web, true, &mut left).unwrap();
                    channel.send(&Reply::Done, &[]).unwrap();
                });
            });
            remove(&ctx, &web, by_force()).unwrap();
        });
        let lock = ctx.layout.lock("container", id);
        assert!(!lock.exists(), "nothing is made of it again");
    }

    #[test]
    fn what_a_monitor_leaves_undone_is_done_by_the_command() {
        let (_dir, ctx) = context();
        let web = container(&ctx, "web", ContainerSpec::default());
        let id = web.id.as_str();
        let listener = as_if_running(&ctx, id);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                monitor(listener, |channel, _| {
                    // The container is dead, and the monitor killed before it could say so.
                    std::fs::remove_dir_all(ctx.layout.run_container(id)).unwrap();
                    drop(channel);
                });
            });
            remove(&ctx, &web, by_force()).unwrap();
        });
        assert!(!ctx.layout.container(id).exists());
        assert_eq!(crate::container::names::holder(&ctx, "web"), None);
    }

    #[test]
    fn a_request_that_meets_the_end_says_that_nothing_runs() {
        let (_dir, ctx) = context();
        let web = container(&ctx, "web", ContainerSpec::default());
        let id = web.id.as_str();
        let listener = as_if_running(&ctx, id);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                monitor(listener, |_, request| {
                    assert_eq!(request, Request::Pause);
                    std::fs::remove_dir_all(ctx.layout.run_container(id)).unwrap();
                });
            });
            let refused = ask(&ctx, &web, &Request::Pause);
            assert!(matches!(refused, Err(Error::NotRunning(who)) if who == id));
        });
    }

    #[test]
    fn a_refusal_is_told_in_the_monitors_words() {
        let (_dir, ctx) = context();
        let web = container(&ctx, "web", ContainerSpec::default());
        let listener = as_if_running(&ctx, web.id.as_str());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                monitor(listener, |channel, _| {
                    let message = "it will not".to_owned();
                    channel.send(&Reply::Refused { message }, &[]).unwrap();
                });
            });
            let refused = ask(&ctx, &web, &Request::Unpause).unwrap_err();
            assert_eq!(refused.to_string(), "it will not");
        });
    }
}
