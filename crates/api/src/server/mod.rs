//! The HTTP server: Docker's Engine API on a unix socket, HTTP/1.1.
//!
//! One thread takes connections and moves bytes (`hyper` on `tokio`); what the engine does blocks, and is done on threads of its own,
//! one for each request that is being answered. Nothing is kept here that could not be lost: everything an answer says is read from
//! the store. What lives with the server are streams alone: who waits at a container that is not started yet, and terminals of
//! processes it began. No container's process is born here: the monitor and `exec-session` are roles, executed.
//!
//! Source: Docker Engine API v1.47, `api/swagger.yaml`.

mod activity;
mod body;
mod containers;
mod distribution;
mod error;
mod exec;
mod frames;
mod hijack;
mod host;
mod images;
pub mod listen;
mod networks;
mod pending;
mod query;
mod reply;
mod request;
mod route;
mod volumes;

use crate::server::activity::Activity;
use crate::server::pending::Pending;
use crate::server::request::Asked;
use engine::Context;
use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Notify;

/// What lies above this crate and is asked for by some answers.
#[derive(Debug, Clone, Copy)]
pub struct Above {
    /// What our own version is.
    pub version: &'static str,
    /// Images that may not be removed: projects keep some.
    pub images_in_use: fn(&Context) -> Result<Vec<image::InUse>, String>,
}

/// How the server is to run.
#[derive(Debug)]
pub struct Settings {
    pub ctx: Context,
    pub above: Above,
    /// It listens already.
    pub listener: OwnedFd,
    /// Ends by itself when nothing was asked for so long.
    pub idle_timeout: Option<Duration>,
    /// Becomes readable when the server is to end.
    pub stop: OwnedFd,
}

/// How long answers are waited for at the end.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What the answers share.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) ctx: Context,
    pub(crate) above: Above,
    pub(crate) pending: Pending,
    /// Masters of the terminals of processes that were begun here, by the session's id.
    pub(crate) terminals: Mutex<HashMap<String, Arc<OwnedFd>>>,
    pub(crate) activity: Arc<Activity>,
}

/// Answers until it is told to end, or nothing was asked for long enough.
pub fn serve(settings: Settings) -> io::Result<()> {
    // Monitors and the like are our children, and nobody waits for them.
    sys::reaper::start()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        // Followers of logs and events, and waiters, each hold one.
        .max_blocking_threads(2048)
        .thread_keep_alive(Duration::from_secs(2))
        .build()?;
    let done = runtime.block_on(run(settings));
    // Whoever is still followed hears the end from the socket.
    runtime.shutdown_background();
    done
}

async fn run(settings: Settings) -> io::Result<()> {
    let listener = std::os::unix::net::UnixListener::from(settings.listener);
    listener.set_nonblocking(true)?;
    let listener = UnixListener::from_std(listener)?;
    let told = until_readable(settings.stop);
    let server = Arc::new(Server {
        ctx: settings.ctx,
        above: settings.above,
        pending: Pending::default(),
        terminals: Mutex::default(),
        activity: Arc::default(),
    });
    let idle = server.activity.clone();
    let mut accepting = std::pin::pin!(accept(&listener, &server));
    let mut stopping = std::pin::pin!(told.notified());
    let mut idling = std::pin::pin!(idle.idle_for(settings.idle_timeout));
    // The first of them to be ready; none of them is polled again afterwards.
    std::future::poll_fn(|cx| {
        use std::future::Future;
        use std::task::Poll;
        if let Poll::Ready(failed) = accepting.as_mut().poll(cx) {
            return Poll::Ready(Err(failed));
        }
        if stopping.as_mut().poll(cx).is_ready() || idling.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        Poll::Pending
    })
    .await?;
    // What is being answered is answered; who follows something is not waited for.
    let rest = server.activity.idle_for(Some(Duration::from_millis(20)));
    let _ = tokio::time::timeout(LAST_WORDS, rest).await;
    Ok(())
}

/// Told by a thread that waits for nothing else.
fn until_readable(stop: OwnedFd) -> Arc<Notify> {
    const LONG: Duration = Duration::from_secs(3600);
    let told = Arc::new(Notify::new());
    let tell = told.clone();
    std::thread::spawn(move || {
        while let Ok(false) = sys::poll::readable(stop.as_fd(), LONG) {}
        tell.notify_one();
    });
    told
}

/// Takes connections until that fails for good.
async fn accept(listener: &UnixListener, server: &Arc<Server>) -> io::Error {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(converse(stream, server.clone()));
            }
            // Out of descriptors or memory: those who hold some let go in time.
            Err(e) if matches!(e.raw_os_error(), Some(12 | 23 | 24 | 103)) => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(e) => return e,
        }
    }
}

/// One connection, request after request.
async fn converse(stream: UnixStream, server: Arc<Server>) {
    let service = hyper::service::service_fn(move |request| {
        let server = server.clone();
        async move { Ok::<_, Infallible>(answer(server, request).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .max_buf_size(256 * 1024)
        .serve_connection(hyper_util::rt::TokioIo::new(stream), service)
        .with_upgrades();
    // A client that breaks off, or does not speak HTTP, is answered by hyper.
    let _ = connection.await;
}

async fn answer(
    server: Arc<Server>,
    mut request: hyper::Request<hyper::body::Incoming>,
) -> hyper::Response<body::Outgoing> {
    let busy = server.activity.begin();
    let upgrade = hyper::upgrade::on(&mut request);
    let wants_upgrade = request.headers().contains_key(hyper::header::UPGRADE);
    let (asked, version) = Asked::new(request);
    let shared = server.clone();
    let reply = tokio::task::spawn_blocking(move || route::dispatch(&shared, asked)).await;
    let reply =
        reply.unwrap_or_else(|_| Err(error::ApiError::server("the request could not be answered")));
    let reply = reply.unwrap_or_else(|error| error.into_reply(version));
    reply.send(upgrade, wants_upgrade, busy)
}
