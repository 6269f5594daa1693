//! `RUN --mount`: what is mounted, and what of it goes into the step's key.
//!
//! The content of bind mounts counts, that of caches and secrets does not, nor whose agent signs: a changed secret must
//! not run the step again, as Docker has it.

use super::Solver;
use super::stage::Done;
use crate::cache::{self, CacheDirectory, Use};
use crate::dockerfile::{CacheMount, Lines, RunMountKind, SecretMount, Sharing, SshMount};
use crate::error::Cause;
use crate::files::select::Parents;
use crate::files::{Attributes, Copier, Source, select, walk};
use crate::graph::Origin;
use crate::ignore::{Ignore, Verdict};
use crate::inputs::open_directory;
use crate::options::NamedContext;
use crate::scope::Variables;
use crate::ssh::{self, Owner, Served};
use crate::stage::RunStep;
use engine::sandbox::{Access, MountSource, SandboxMount};
use oci::Digest;
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// The mounts of one RUN. Until it is dropped caches stay locked, and agents are forwarded to.
#[derive(Debug, Default)]
pub(super) struct Mounted {
    pub(super) mounts: Vec<SandboxMount>,
    /// Secrets that come as variables, and where the first agent is.
    pub(super) env: Variables,
    caches: Vec<CacheDirectory>,
    agents: Vec<Served>,
}

impl Solver<'_> {
    /// Digests of what the bind mounts show.
    pub(super) fn mount_inputs(
        &self,
        run: &RunStep,
        lines: Lines,
        done: &Done,
    ) -> Result<Vec<Digest>, Cause> {
        let mut inputs = Vec::new();
        for mount in &run.mounts {
            let RunMountKind::Bind {
                source: path, from, ..
            } = &mount.kind
            else {
                continue;
            };
            let from = self.from(from.as_deref(), lines, done)?;
            let selected =
                select(from.source(), &literal(path), Parents::Dropped).map_err(Cause::Select)?;
            inputs.push(
                walk::digest(from.source(), &selected, &Ignore::default())
                    .map_err(Cause::Select)?,
            );
        }
        Ok(inputs)
    }

    pub(super) fn mounts(
        &self,
        run: &RunStep,
        lines: Lines,
        done: &Done,
    ) -> Result<Mounted, Cause> {
        let mut mounted = Mounted::default();
        let mut agents = 0..;
        for mount in &run.mounts {
            let mut target = in_directory(&run.cwd, &mount.target);
            let source = match &mount.kind {
                RunMountKind::Bind {
                    source,
                    from,
                    writable,
                } => {
                    let access = if *writable {
                        Access::Discarded
                    } else {
                        Access::ReadOnly
                    };
                    self.bind(source, from.as_deref(), access, lines, done)?
                }
                RunMountKind::Cache(cache) => self.cache_mount(cache, lines, done, &mut mounted)?,
                RunMountKind::Tmpfs { size } => MountSource::Tmpfs { size: *size },
                RunMountKind::Secret(secret) => match self.secret(secret, &mut mounted.env)? {
                    Some(source) => source,
                    None => continue,
                },
                RunMountKind::Ssh(wanted) => {
                    // Numbered whether it is there or not.
                    let number = agents.next().unwrap_or(0);
                    let Some(source) = self.agent(wanted, &mut mounted)? else {
                        continue;
                    };
                    if mount.target.is_empty() {
                        target = format!("/run/buildkit/ssh_agent.{number}");
                    }
                    name_agent(&run.env, &target, &mut mounted.env);
                    source
                }
            };
            mounted.mounts.push(SandboxMount { target, source });
        }
        if let Some((name, content)) = &run.script {
            let source = MountSource::File {
                content: content.clone().into_bytes(),
                uid: 0,
                gid: 0,
                mode: 0o755,
            };
            mounted.mounts.push(SandboxMount {
                target: format!("/dev/pipes/{name}"),
                source,
            });
        }
        Ok(mounted)
    }

    fn bind(
        &self,
        path: &str,
        from: Option<&str>,
        access: Access,
        lines: Lines,
        done: &Done,
    ) -> Result<MountSource, Cause> {
        let path = PathBuf::from(path);
        let Some(name) = from else {
            return self.context_mount(&self.context, &self.context_path, path, access);
        };
        let layers = match self.resolver().from(name, lines)? {
            Origin::Stage(index) => done.get(&index).ok_or(Cause::Canceled)?.dirs.clone(),
            Origin::Scratch => Vec::new(),
            Origin::Image(image) => self.base(&image, None)?.dirs.clone(),
            Origin::Context(context) => match self.named_context(&context) {
                Some(NamedContext::Image(image)) => self.base(image, None)?.dirs.clone(),
                Some(NamedContext::Directory(directory)) => {
                    let from = self.from(Some(name), lines, done)?;
                    return self.context_mount(from.source(), directory, path, access);
                }
                Some(NamedContext::Remote(remote)) => {
                    let from = self.from(Some(name), lines, done)?;
                    let directory = self.fetched_context(&context, remote)?;
                    return self.context_mount(from.source(), &directory, path, access);
                }
                None => Vec::new(),
            },
        };
        let layers = if layers.is_empty() {
            vec![self.workspace.empty()]
        } else {
            layers
        };
        Ok(MountSource::Layers {
            layers,
            path,
            access,
        })
    }

    /// A context shows without what its ignore file hides: whiteouts in a layer over it.
    fn context_mount(
        &self,
        source: &Source,
        root: &Path,
        path: PathBuf,
        access: Access,
    ) -> Result<MountSource, Cause> {
        let root = std::path::absolute(root).map_err(Cause::io("find", root))?;
        if source.ignore.is_empty() {
            return Ok(MountSource::Directory { root, path, access });
        }
        let whiteouts = self.workspace.directory("hidden")?;
        hide(source, &root, &whiteouts, Path::new(""))?;
        Ok(MountSource::Layers {
            layers: vec![root, whiteouts],
            path,
            access,
        })
    }

    fn cache_mount(
        &self,
        cache: &CacheMount,
        lines: Lines,
        done: &Done,
        mounted: &mut Mounted,
    ) -> Result<MountSource, Cause> {
        let wanted = match cache.sharing {
            Sharing::Shared => Use::Shared,
            Sharing::Private => Use::Private,
            Sharing::Locked => Use::Locked,
        };
        let mut directory = cache::directory(&self.ctx.layout, &cache.id, wanted)?;
        if let Some(fresh) = directory.fresh() {
            self.made.mount(directory.path());
            let data = open_directory(fresh)?;
            if cache.from.is_some() {
                let from = self.from(cache.from.as_deref(), lines, done)?;
                let mut copier = Copier::new(data.as_fd(), Attributes::default());
                for selected in select(from.source(), &literal(&cache.source), Parents::Dropped)? {
                    copier.copy(from.source(), &selected, &Ignore::default(), "/")?;
                }
            }
            let failed =
                |errno: rustix::io::Errno| Cause::io("set the owner of", fresh)(errno.into());
            let (uid, gid) = (Uid::from_raw(cache.uid), Gid::from_raw(cache.gid));
            rustix::fs::fchown(&data, Some(uid), Some(gid)).map_err(failed)?;
            rustix::fs::fchmod(&data, Mode::from_raw_mode(cache.mode)).map_err(failed)?;
            directory.settle()?;
        }
        let access = if cache.read_only {
            Access::ReadOnly
        } else {
            Access::Writable
        };
        let root = directory.data();
        mounted.caches.push(directory);
        Ok(MountSource::Directory {
            root,
            path: PathBuf::from("/"),
            access,
        })
    }

    /// A socket of this one step's; nothing when no agent was handed over and none need be there.
    fn agent(
        &self,
        wanted: &SshMount,
        mounted: &mut Mounted,
    ) -> Result<Option<MountSource>, Cause> {
        let all = &self.options.ssh;
        let Some(given) = all.iter().find(|given| given.id == wanted.id) else {
            return match wanted.required {
                true => Err(Cause::NoSsh(wanted.id.clone())),
                false => Ok(None),
            };
        };
        let directory = self.workspace.directory("ssh")?;
        let owner = Owner {
            uid: wanted.uid,
            gid: wanted.gid,
            mode: wanted.mode,
        };
        let served = Served::start(&directory, owner, given.signer.clone())?;
        mounted.agents.push(served);
        Ok(Some(MountSource::Directory {
            root: directory,
            path: ssh::path(),
            access: Access::ReadOnly,
        }))
    }

    /// A secret as a file, as a variable, or both; nothing when it is missing and need not be there.
    fn secret(
        &self,
        wanted: &SecretMount,
        env: &mut Variables,
    ) -> Result<Option<MountSource>, Cause> {
        let Some(secret) = self
            .options
            .secrets
            .iter()
            .find(|secret| secret.id == wanted.id)
        else {
            return if wanted.required {
                Err(Cause::NoSecret(wanted.id.clone()))
            } else {
                Ok(None)
            };
        };
        let content = secret.content()?;
        if let Some(name) = &wanted.env {
            env.push((name.clone(), String::from_utf8_lossy(&content).into_owned()));
        }
        let file = MountSource::File {
            content,
            uid: given(wanted.uid, secret.uid),
            gid: given(wanted.gid, secret.gid),
            mode: wanted.mode.or(secret.mode).unwrap_or(0o400),
        };
        Ok(wanted.file.then_some(file))
    }
}

/// The first agent is the one programs look for, unless the Dockerfile has said where one is.
fn name_agent(said: &Variables, target: &str, env: &mut Variables) {
    const NAME: &str = "SSH_AUTH_SOCK";
    if !said.iter().chain(env.iter()).any(|(key, _)| key == NAME) {
        env.push((NAME.to_owned(), target.to_owned()));
    }
}

/// What the mount says, else what the secret was handed over with.
fn given(of_mount: u32, of_secret: Option<u32>) -> u32 {
    match of_mount {
        0 => of_secret.unwrap_or(0),
        said => said,
    }
}

/// A mount's source is a path and never a pattern.
fn literal(path: &str) -> String {
    path.to_owned()
}

fn in_directory(cwd: &str, target: &str) -> String {
    let joined = if target.starts_with('/') {
        target.to_owned()
    } else {
        format!("{cwd}/{target}")
    };
    format!("/{}", crate::pattern::clean(&joined))
}

/// Makes a layer that hides what the source's ignore file hides, below `path`.
fn hide(source: &Source, root: &Path, layer: &Path, path: &Path) -> Result<(), Cause> {
    let here = root.join(path);
    let target = layer.join(path);
    let entries = std::fs::read_dir(&here).map_err(Cause::io("list", &here))?;
    for entry in entries {
        let entry = entry.map_err(Cause::io("list", &here))?;
        let below = path.join(entry.file_name());
        let directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let hidden = source.verdict(&below) != Verdict::Kept;
        if hidden && !(directory && source.enters(&below)) {
            mirror(root, layer, path)?;
            let dir = open_directory(&target)?;
            rustix::fs::mknodat(
                &dir,
                entry.file_name(),
                FileType::CharacterDevice,
                Mode::empty(),
                0,
            )
            .map_err(|errno| Cause::io("hide", &below)(errno.into()))?;
        } else if directory {
            hide(source, root, layer, &below)?;
        }
    }
    Ok(())
}

/// Makes the directories down to `path` with the attributes they have in the root: in a merged directory those of the
/// topmost layer show.
fn mirror(root: &Path, layer: &Path, path: &Path) -> Result<(), Cause> {
    let mut so_far = PathBuf::new();
    for part in std::iter::once(std::path::Component::CurDir).chain(path.components()) {
        so_far.push(part);
        let (from, to) = (root.join(&so_far), layer.join(&so_far));
        match rustix::fs::mkdir(&to, Mode::from_raw_mode(0o700)) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(errno) => return Err(Cause::io("make", to)(errno.into())),
        }
        let failed = |errno: rustix::io::Errno| Cause::io("set the owner of", &to)(errno.into());
        let stat = rustix::fs::statat(rustix::fs::CWD, &from, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(failed)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::open(&to, flags, Mode::empty()).map_err(failed)?;
        rustix::fs::fchown(
            &dir,
            Some(Uid::from_raw(stat.st_uid)),
            Some(Gid::from_raw(stat.st_gid)),
        )
        .map_err(failed)?;
        rustix::fs::fchmod(&dir, Mode::from_raw_mode(stat.st_mode & 0o7777)).map_err(failed)?;
    }
    Ok(())
}
