//! The API's socket of a container that mounts it where no daemon of the host's answers.
//!
//! It lies in the container's run directory, is mounted in place of the host's, and goes with the container. The monitor holds it
//! listening and starts a server, another role of this program, when somebody connects: nothing runs until somebody asks, and a
//! server that died is started again by whoever asks next. Source: Docker CLI reference (`--use-api-socket`), docker/compose
//! `pkg/compose/apiSocket.go`.

use super::record::ContainerRecord;
use crate::channel;
use crate::context::Context;
use crate::error::{Error, Result};
use model::mount::{Mount, MountKind, Recursion};
use rustix::fs::{Mode, OFlags};
use std::borrow::Cow;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use sys::process::flags;

/// Where clients look for it, on a host and in a container.
pub const PATH: &str = "/var/run/docker.sock";
/// The name in the container's run directory.
const NAME: &str = "docker.sock";
/// The server's role: `dockless api-server <data root> <run root>`, the listening socket as descriptor 3.
pub const ROLE: &str = "api-server";
pub const LISTENER: i32 = 3;
/// Where credentials for registries lie in a container that was given some.
pub const CONFIG_DIRECTORY: &str = "/run/secrets/docker";

/// Whether the source of a bind mount is the API's socket.
pub fn is_source(source: &str) -> bool {
    matches!(
        source.trim_end_matches('/'),
        "/var/run/docker.sock" | "/run/docker.sock"
    )
}

/// The mount of `--use-api-socket`.
pub fn mount() -> Mount {
    Mount {
        kind: MountKind::Bind {
            source: PATH.to_owned(),
            create_source: false,
            propagation: None,
            recursion: Recursion::Enabled,
        },
        target: PATH.to_owned(),
        read_only: false,
    }
}

/// Whether somebody answers at a path.
pub fn is_answered(path: &Path) -> bool {
    sys::socket::connect(path, sys::socket::Type::STREAM).is_ok()
}

fn place(ctx: &Context, id: &str) -> PathBuf {
    ctx.layout.run_container(id).join(NAME)
}

fn source(mount: &Mount) -> Option<&str> {
    match &mount.kind {
        MountKind::Bind { source, .. } if is_source(source) => Some(source),
        _ => None,
    }
}

/// The listening socket of a container that wants one; `None` when it mounts none, or a daemon of the host's answers there.
pub fn listen(ctx: &Context, container: &ContainerRecord) -> Result<Option<OwnedFd>> {
    let mut sources = container.mounts.iter().filter_map(|m| source(&m.mount));
    if !sources.any(|path| !is_answered(Path::new(path))) {
        return Ok(None);
    }
    listen_again(ctx, container).map(Some)
}

/// Whether a run of the container, which may go on without its monitor, has one.
pub fn exists(ctx: &Context, container: &ContainerRecord) -> bool {
    place(ctx, container.id.as_str()).symlink_metadata().is_ok()
}

/// The same for one that had it before.
pub fn listen_again(ctx: &Context, container: &ContainerRecord) -> Result<OwnedFd> {
    let dir = ctx.layout.run_container(container.id.as_str());
    let failed = || Error::file("listen at", dir.join(NAME));
    if exists(ctx, container) {
        // Not removed: it may be mounted in the container, and nothing can be mounted over what has no name any more.
        let aside = dir.join(format!("{NAME}.{}", std::process::id()));
        std::fs::rename(dir.join(NAME), aside).map_err(failed())?;
    }
    let socket = channel::listen_as(&dir, NAME, sys::socket::Type::STREAM).map_err(failed())?;
    let path = dir.join(NAME);
    // The directory is root's alone: on the host nobody else gets here. In the container the socket is its root's and the group's
    // that the host's would have; where its process is told to be another user, everybody's there.
    let is_root = matches!(
        container.process.user.split(':').next(),
        None | Some("" | "0" | "root")
    );
    let mode = if is_root { 0o660 } else { 0o666 };
    let owner = container.userns.and_then(|ids| ids.outside(0, 0));
    let (uid, gid) = match owner {
        Some((uid, gid)) => (Some(uid), Some(gid)),
        None => (None, docker_group()),
    };
    std::os::unix::fs::chown(&path, uid, gid).map_err(failed())?;
    rustix::fs::chmod(&path, Mode::from_raw_mode(mode)).map_err(|e| failed()(e.into()))?;
    Ok(socket)
}

/// The host's group `docker`, whose members may use the API.
pub fn docker_group() -> Option<u32> {
    let groups = std::fs::read_to_string("/etc/group").ok()?;
    let line = groups.lines().find_map(|l| l.strip_prefix("docker:"))?;
    line.split(':').nth(1)?.parse().ok()
}

/// The container with its own socket for the source of what is mounted.
pub(crate) fn redirected<'a>(
    ctx: &Context,
    container: &'a ContainerRecord,
) -> Cow<'a, ContainerRecord> {
    let wants = container.mounts.iter().any(|m| source(&m.mount).is_some());
    if !wants || !exists(ctx, container) {
        return Cow::Borrowed(container);
    }
    let mut own = container.clone();
    for mount in &mut own.mounts {
        if let MountKind::Bind { source, .. } = &mut mount.mount.kind
            && is_source(source)
        {
            *source = place(ctx, container.id.as_str()).display().to_string();
        }
    }
    Cow::Owned(own)
}

/// Mounts a socket that took the place of a dead one over that, in the mount namespace of a running container. The monitor, which
/// has one thread, enters it and comes back; the container's links lead nowhere out of its root.
pub fn mount_again(ctx: &Context, container: &ContainerRecord, pid: i32) -> Result<()> {
    let socket = place(ctx, container.id.as_str());
    for mount in &container.mounts {
        if source(&mount.mount).is_some() {
            mount_over(&socket, pid, Path::new(&mount.mount.target))
                .map_err(Error::file("mount again", &socket))?;
        }
    }
    Ok(())
}

fn mount_over(socket: &Path, pid: i32, target: &Path) -> std::io::Result<()> {
    let tree = sys::mount::clone_path(socket, sys::mount::Recursion::None)?;
    let own = sys::namespace::open_own("mnt")?;
    let theirs = sys::namespace::open(pid, "mnt")?;
    sys::namespace::enter(theirs, flags::NEWNS)?;
    let mounted = sys::mount::open_root(Path::new("/")).and_then(|root| {
        let relative = target.strip_prefix("/").unwrap_or(target);
        let found = sys::path::open_in_root(root.as_fd(), relative, OFlags::PATH)?;
        sys::mount::attach(tree.as_fd(), found.as_fd())
    });
    if sys::namespace::enter(own, flags::NEWNS).is_err() {
        // Everything after would act on the container's files.
        std::process::abort();
    }
    mounted
}

/// Writes accounts at registries into a container, root's alone, as `docker run --use-api-socket` does.
pub fn hand_accounts(ctx: &Context, container: &ContainerRecord, accounts: &str) -> Result<()> {
    let failed = || Error::system("write the accounts for the container");
    let mut archive = tar::Builder::new(Vec::new());
    let mut entry = |path: &str, kind, mode, bytes: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(bytes.len() as u64);
        archive.append_data(&mut header, path, bytes)
    };
    let directory = CONFIG_DIRECTORY.trim_start_matches('/');
    let mut path = String::new();
    for part in directory.split('/') {
        path = format!("{path}{part}/");
        entry(&path, tar::EntryType::Directory, 0o755, b"").map_err(failed())?;
    }
    let file = format!("{directory}/config.json");
    entry(&file, tar::EntryType::Regular, 0o600, accounts.as_bytes()).map_err(failed())?;
    let bytes = archive.into_inner().map_err(failed())?;
    let view = crate::copy::View::container(ctx, container)?;
    let owner = crate::copy::Owner::Root;
    crate::copy::unpack(&view, Path::new("/"), owner, &mut bytes.as_slice())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{container, context};
    use model::container::ContainerSpec;

    fn wanting() -> ContainerSpec {
        ContainerSpec {
            mounts: vec![mount()],
            ..Default::default()
        }
    }

    #[test]
    fn only_the_api_s_own_paths_are_its_socket() {
        assert!(is_source(PATH) && is_source("/run/docker.sock"));
        for other in ["/run/docker.sock.old", "/srv/docker.sock", "/var/run", ""] {
            assert!(!is_source(other), "{other}");
        }
    }

    #[test]
    fn a_container_that_does_not_ask_gets_none() {
        let (_dir, ctx) = context();
        let web = container(&ctx, "web", ContainerSpec::default());
        assert!(listen(&ctx, &web).unwrap().is_none());
        assert!(matches!(redirected(&ctx, &web), Cow::Borrowed(_)));
    }

    #[test]
    fn the_socket_is_the_container_s_own_and_comes_again() {
        let (_dir, ctx) = context();
        let web = container(&ctx, "web", wanting());
        let dir = ctx.layout.run_container(web.id.as_str());
        std::fs::create_dir(&dir).unwrap();
        let first = listen_again(&ctx, &web).unwrap();
        assert!(is_answered(&dir.join(NAME)));
        drop(first);
        assert!(exists(&ctx, &web) && !is_answered(&dir.join(NAME)));
        let _second = listen_again(&ctx, &web).unwrap();
        assert!(is_answered(&dir.join(NAME)));
        let own = redirected(&ctx, &web);
        let shown = format!("{:?}", own.mounts);
        assert!(
            shown.contains(&dir.join(NAME).display().to_string()),
            "{shown}"
        );
    }
}
