//! The role `sandbox`: one thread, one container, one answer.

use super::mounts::Scratch;
use super::{ANSWER_FD, Answer, REQUEST_FD, Sandbox, SandboxNetwork, names};
use crate::container::birth::default_parent;
use crate::container::record::{ContainerRecord, ImageRecord, MountRecord, ProcessRecord};
use crate::context::{Context, Options};
use crate::error::{Error, Result, chain};
use crate::spec::{self, Facts, Source};
use crate::timestamp::Timestamp;
use model::container::ContainerSpec;
use model::network::EndpointSettings;
use network::Attached;
use oci_spec::runtime::LinuxResources;
use runtime::{Cgroup, Netns, Overlay, Reaper, Request, Rootfs, Started, Stdio, UserSpec};
use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use sys::lock::FileLock;
use sys::poll::{PollFd, PollFlags};

/// The whole life of the role: `dockless sandbox <data root> <run root>`.
pub fn role_main(arguments: &[OsString]) -> u8 {
    sys::signal::started_with_defaults();
    let (Ok(request), Ok(answer)) = (
        sys::inherited::take(REQUEST_FD),
        sys::inherited::take(ANSWER_FD),
    ) else {
        return 125;
    };
    let outcome = context(arguments).and_then(|ctx| live(&ctx, request, &answer));
    let message = match outcome {
        Ok(Some(code)) => Answer::Exited { code },
        Ok(None) => return 125, // the caller has gone
        Err(error) => Answer::Failed {
            message: chain(&error),
            code: error.exit_code(),
        },
    };
    let bytes = serde_json::to_vec(&message).unwrap_or_default();
    match std::fs::File::from(answer).write_all(&bytes) {
        Ok(()) => 0,
        Err(_) => 125,
    }
}

fn context(arguments: &[OsString]) -> Result<Context> {
    let mut arguments = arguments.iter().skip(1).map(PathBuf::from);
    Context::open(&Options {
        data_root: arguments.next(),
        run_root: arguments.next(),
        ..Options::default()
    })
}

/// What the sandbox holds besides the process; given back when it goes.
struct Held<'a> {
    ctx: &'a Context,
    id: String,
    cgroup: Option<Cgroup>,
    attached: Option<Attached>,
    _alive: FileLock,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if let Some(attached) = &self.attached {
            let _ = network::detach(&self.ctx.layout, attached);
        }
        if let Some(cgroup) = &self.cgroup {
            let _ = cgroup.kill_all();
            let _ = cgroup.remove();
            runtime::cgroup::remove_parent(&parent(self.ctx));
        }
        let _ = std::fs::remove_file(super::lock_dir(self.ctx).join(&self.id));
    }
}

/// Runs the command; `None` when the caller went away before it ended.
fn live(ctx: &Context, request: OwnedFd, answer: &OwnedFd) -> Result<Option<i32>> {
    let sandbox = read_request(request)?;
    let scratch = Scratch::new(&sandbox.scratch)?;
    let id = crate::random_id();
    let mut held = Held {
        ctx,
        id: id.to_string(),
        cgroup: None,
        attached: None,
        _alive: alive(ctx, id.as_str())?,
    };
    let record = record(&sandbox, &scratch, id)?;
    let started = start(&mut held, &sandbox, &record, &scratch)?;
    let mut fds = [
        PollFd::new(&started.pidfd, PollFlags::IN),
        PollFd::new(answer, PollFlags::empty()),
    ];
    loop {
        sys::poll::wait(&mut fds, None).map_err(Error::system("wait for the command"))?;
        if !fds[0].revents().is_empty() {
            let status = sys::process::wait(&started.pidfd)
                .map_err(Error::system("wait for the command"))?;
            return Ok(Some(status.code()));
        }
        if !fds[1].revents().is_empty() {
            // Nobody reads the answer: the build was killed.
            let _ = sys::process::pidfd_send_signal(&started.pidfd, 9);
            let _ = sys::process::wait(&started.pidfd);
            return Ok(None);
        }
    }
}

fn read_request(request: OwnedFd) -> Result<Sandbox> {
    let mut bytes = Vec::new();
    std::fs::File::from(request)
        .read_to_end(&mut bytes)
        .map_err(Error::system("read the request"))?;
    serde_json::from_slice(&bytes).map_err(|e| Error::invalid("sandbox request", e.to_string()))
}

/// Makes and locks the file that says this sandbox lives.
fn alive(ctx: &Context, id: &str) -> Result<FileLock> {
    let dir = super::lock_dir(ctx);
    std::fs::create_dir_all(&dir).map_err(Error::file("make", &dir))?;
    let path = dir.join(id);
    loop {
        let lock = FileLock::exclusive(&path).map_err(Error::file("lock", &path))?;
        // A sweep may have taken the new file for a dead one's, before it was locked.
        if path.exists() {
            return Ok(lock);
        }
    }
}

/// The sandbox as a container that is never written down.
fn record(sandbox: &Sandbox, scratch: &Scratch, id: model::Id) -> Result<ContainerRecord> {
    let mounts = sandbox.mounts.iter().enumerate().map(|(number, mount)| {
        let mount = scratch.prepare(number, mount)?;
        Ok(MountRecord::of(mount))
    });
    let mounts = mounts.collect::<Result<Vec<_>>>()?;
    let spec = ContainerSpec {
        shm_size: sandbox.shm_size,
        ulimits: sandbox.ulimits.clone(),
        resources: sandbox.resources.clone(),
        privileged: sandbox.privileged,
        ..ContainerSpec::default()
    };
    Ok(ContainerRecord {
        name: format!("build-{}", id.short()),
        id,
        created: Timestamp::now(),
        spec,
        image: ImageRecord {
            layers: sandbox.layers.clone(),
            ..ImageRecord::default()
        },
        process: ProcessRecord {
            entrypoint: Vec::new(),
            command: sandbox.argv.clone(),
            env: sandbox.env.clone(),
            working_dir: sandbox.cwd.clone(),
            user: sandbox.user.clone(),
        },
        mounts,
        hostname: sandbox.hostname.clone(),
        labels: Default::default(),
        stop_signal: "SIGTERM".to_owned(),
        healthcheck: None,
        exposed: Vec::new(),
        runtime: None,
        userns: None,
        quota: None,
    })
}

fn start(
    held: &mut Held<'_>,
    sandbox: &Sandbox,
    record: &ContainerRecord,
    scratch: &Scratch,
) -> Result<Started> {
    let ctx = held.ctx;
    let own = sandbox.network != SandboxNetwork::Host;
    let facts = Facts {
        hostname_file: scratch.write(
            "hostname",
            format!("{}\n", sandbox.hostname).as_bytes(),
            0o644,
        )?,
        hosts_file: scratch.write("hosts", b"", 0o644)?,
        resolv_file: scratch.write("resolv.conf", b"", 0o644)?,
        network: if own { Source::New } else { Source::Host },
        ..Facts::default()
    };
    let built = spec::build(record, &facts)?;
    let resources = built
        .linux()
        .as_ref()
        .and_then(|linux| linux.resources().as_ref());
    held.cgroup = Some(make_group(ctx, &held.id, resources)?);
    let (out, err) = (std::io::stdout(), std::io::stderr());
    let null = std::fs::File::open("/dev/null").map_err(Error::file("open", "/dev/null"))?;
    let pending = runtime::spawn(&Request {
        spec: &built,
        rootfs: Rootfs::Overlay(Overlay {
            lower: sandbox.layers.clone(),
            upper: Some((sandbox.upper.clone(), sandbox.work.clone())),
            volatile: true,
            idmap: None,
        }),
        stdio: Stdio::Fds {
            stdin: null.as_fd(),
            stdout: out.as_fd(),
            stderr: err.as_fd(),
        },
        cgroup: held.cgroup.as_ref(),
        netns: Netns::Spec,
        user: Some(UserSpec {
            user: sandbox.user.clone(),
            add_groups: Vec::new(),
        }),
        copy_up: Vec::new(),
        reaper: Reaper::None,
        seccomp: runtime::Seccomp::Default,
        launch: runtime::Launch::default(),
    })?;
    if own {
        let netns = pending
            .netns()
            .map_err(Error::system("open the sandbox's network namespace"))?;
        held.attached = Some(attach(ctx, sandbox, record, &netns)?);
    }
    let (addresses, gateway) = held.attached.as_ref().map(place).unwrap_or_default();
    let hosts = names::hosts(&sandbox.hostname, &addresses, &sandbox.extra_hosts, gateway);
    scratch.write("hosts", hosts.as_bytes(), 0o644)?;
    let resolv = names::resolv(own, &|path| std::fs::read_to_string(path).ok());
    scratch.write("resolv.conf", resolv.as_bytes(), 0o644)?;
    Ok(pending.start()?)
}

/// The sandbox that ended last takes the parent group along, perhaps just before ours is made in it.
fn make_group(ctx: &Context, id: &str, resources: Option<&LinuxResources>) -> Result<Cgroup> {
    let mut attempts = 0;
    loop {
        attempts += 1;
        match Cgroup::create(&parent(ctx), id, resources) {
            Err(_) if attempts < 5 => {}
            other => return other.map_err(group_error("make the cgroup of the sandbox")),
        }
    }
}

fn group_error(action: &'static str) -> impl FnOnce(runtime::cgroup::Error) -> Error {
    move |error| Error::system(action)(std::io::Error::other(error))
}

/// The group of all sandboxes of this data root: not that of the containers, whose members have records.
pub(super) fn parent(ctx: &Context) -> String {
    format!("{}-build", default_parent(ctx))
}

fn attach(
    ctx: &Context,
    sandbox: &Sandbox,
    record: &ContainerRecord,
    netns: &OwnedFd,
) -> Result<Attached> {
    let endpoints = match sandbox.network {
        SandboxNetwork::Bridge => {
            let bridge = network::find(&ctx.layout, "bridge")?;
            vec![(
                bridge,
                EndpointSettings {
                    network: "bridge".to_owned(),
                    ..EndpointSettings::default()
                },
            )]
        }
        SandboxNetwork::None | SandboxNetwork::Host => Vec::new(),
    };
    let request = network::AttachRequest {
        container_id: record.id.as_str(),
        container_name: &record.name,
        hostname: &sandbox.hostname,
        endpoints,
        ..network::AttachRequest::default()
    };
    Ok(network::attach(&ctx.layout, netns.as_fd(), &request)?)
}

/// Its own addresses, and the host's on the same network.
fn place(attached: &Attached) -> (Vec<IpAddr>, Option<IpAddr>) {
    let assigned = || {
        attached
            .endpoints
            .iter()
            .flat_map(|endpoint| [endpoint.ipv4, endpoint.ipv6])
            .flatten()
    };
    (
        assigned().map(|a| a.address).collect(),
        assigned().map(|a| a.gateway).next(),
    )
}

/// Kills and removes what a sandbox left whose role was killed.
pub(super) fn give_back(ctx: &Context, id: &str) -> Result<()> {
    if let Ok(cgroup) = Cgroup::open(&parent(ctx), id)
        && cgroup.exists()
    {
        cgroup
            .kill_all()
            .map_err(group_error("end a sandbox whose build was killed"))?;
        cgroup
            .remove()
            .map_err(group_error("remove the cgroup of a dead sandbox"))?;
        runtime::cgroup::remove_parent(&parent(ctx));
    }
    let swept = network::sweep(&ctx.layout, &|holder| holder != id);
    swept.map(drop).map_err(|mut errors| {
        Error::system("give back the network of a dead sandbox")(std::io::Error::other(
            errors.remove(0),
        ))
    })
}
