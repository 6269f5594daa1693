//! What a killed process left behind: found by comparing records with the kernel, and given back.
//!
//! After `kill -9` of everything there remain empty cgroups, leases, nft elements, run directories, staged
//! directories in the trash, names without a container. None of it is in anybody's way; this removes it.

use crate::container::birth;
use crate::container::names;
use crate::container::record::{self, ContainerRecord, Lifecycle};
use crate::container::state::{RunState, State};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::{trash, volume};
use std::collections::BTreeSet;

/// What was found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    pub runs: usize,
    pub names: usize,
    pub bytes: u64,
}

/// Sweeps the whole data root. Goes on where one thing cannot be removed.
pub fn sweep(ctx: &Context) -> Result<Swept> {
    let mut swept = Swept::default();
    remove_autoremoved(ctx)?;
    crate::sandbox::sweep(ctx)?;
    for id in run_directories(ctx)? {
        swept.runs += usize::from(sweep_run(ctx, &id)?);
    }
    swept.names = sweep_names(ctx)?;
    let active = active_ids(ctx)?;
    give_back_endpoints(ctx, &active);
    sweep_cgroups(ctx, &active);
    sweep_locks(ctx);
    for root in [ctx.layout.data_root(), ctx.layout.run_root()] {
        state::temporary::sweep(root);
    }
    swept.bytes = trash::empty(ctx)?;
    Ok(swept)
}

/// Leases, names and ports of containers that do not run.
pub(crate) fn sweep_endpoints(ctx: &Context) -> Result<()> {
    give_back_endpoints(ctx, &active_ids(ctx)?);
    Ok(())
}

fn give_back_endpoints(ctx: &Context, active: &BTreeSet<String>) {
    // What cannot be given back now is found again by the next sweep.
    let _ = network::sweep(&ctx.layout, &|id| {
        active.contains(id) || crate::sandbox::is_alive(ctx, id)
    });
}

/// A container's last run, if nothing of it lives any more. What it held is given back.
pub fn sweep_run(ctx: &Context, id: &str) -> Result<bool> {
    let path = ctx.layout.lock("container", id);
    match sys::lock::FileLock::try_exclusive(&path).map_err(Error::file("lock", path))? {
        Some(lock) => sweep_held_run(ctx, id, &lock),
        // Somebody is starting or removing it.
        None => Ok(false),
    }
}

/// The same for who holds the container's lock.
pub fn sweep_held_run(ctx: &Context, id: &str, _held: &sys::lock::FileLock) -> Result<bool> {
    let dir = ctx.layout.run_container(id);
    let run = RunState::load(ctx, id)?;
    let alive = run.as_ref().is_some_and(|r| r.monitor.is_alive());
    if !dir.exists() || alive || State::load(ctx, id)?.is_active() {
        return Ok(false);
    }
    match &run {
        Some(run) => {
            if let Some(attached) = &run.network {
                let _ = crate::networks::detach(ctx, attached);
            }
        }
        // Killed before it wrote down what it had taken: all that has this id.
        None => drop(network::sweep(&ctx.layout, &|other| other != id)),
    }
    // Without a state a monitor was killed in the middle of a start: whatever is in the group, nobody knows it.
    let parent = match run {
        Some(run) => Some(run.cgroup_parent),
        None => ContainerRecord::load(ctx, id)?.map(|c| birth::cgroup_parent(ctx, &c)),
    };
    if let Some(parent) = parent
        && let Ok(cgroup) = runtime::Cgroup::open(&parent, id)
    {
        let _ = cgroup.kill_all();
        let _ = cgroup.remove();
    }
    // Nobody saw it end: say so in the record that stays.
    if let (Some(last), Some(container)) =
        (Lifecycle::load(ctx, id)?, ContainerRecord::load(ctx, id)?)
        && last.running
    {
        let ended = Lifecycle {
            exit_code: 255,
            ..last
        };
        ended.save(ctx, id, container.durability())?;
    }
    trash::discard(ctx, &dir)?;
    Ok(true)
}

/// Containers with `--rm` whose monitor was killed before it could remove them.
fn remove_autoremoved(ctx: &Context) -> Result<()> {
    for container in ContainerRecord::list(ctx)? {
        let id = container.id.as_str();
        if !container.spec.auto_remove || !matches!(State::load(ctx, id)?, State::Exited(_)) {
            continue;
        }
        if RunState::load(ctx, id)?.is_some_and(|r| r.monitor.is_alive()) {
            continue;
        }
        let lock = ContainerRecord::lock(ctx, id)?;
        sweep_held_run(ctx, id, &lock)?;
        // Started meanwhile, or removed.
        let ended = matches!(State::load(ctx, id)?, State::Exited(_));
        if let Some(container) = ContainerRecord::load(ctx, id)?.filter(|_| ended) {
            crate::container::remove::take_apart(
                ctx,
                &container,
                true,
                &mut trash::Leftovers::default(),
            )?;
        }
    }
    Ok(())
}

fn run_directories(ctx: &Context) -> Result<Vec<String>> {
    let dir = ctx.layout.run_containers();
    let entries = std::fs::read_dir(&dir).map_err(Error::file("list", &dir))?;
    Ok(entries
        .flatten()
        .filter_map(|e| e.file_name().into_string().ok())
        .collect())
}

fn active_ids(ctx: &Context) -> Result<BTreeSet<String>> {
    let mut active = BTreeSet::new();
    for id in record::ids(ctx)? {
        let monitored = RunState::load(ctx, &id)?.is_some_and(|r| r.monitor.is_alive());
        if monitored || State::load(ctx, &id)?.is_active() {
            active.insert(id);
        }
    }
    Ok(active)
}

fn sweep_names(ctx: &Context) -> Result<usize> {
    let dir = ctx.layout.names();
    let mut removed = 0;
    for entry in std::fs::read_dir(&dir)
        .map_err(Error::file("list", &dir))?
        .flatten()
    {
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let Some(id) = names::holder(ctx, &name) else {
            continue;
        };
        let released = match ContainerRecord::load(ctx, &id)? {
            Some(container) if container.name == name => false,
            // A rename that was killed halfway left two names; the record knows which is right.
            Some(_) => release_other(ctx, &name, &id)?,
            None => names::release_dead(ctx, &name, &id)?,
        };
        removed += usize::from(released);
    }
    Ok(removed)
}

/// A second name of a container, unless it is being renamed at this moment.
fn release_other(ctx: &Context, name: &str, id: &str) -> Result<bool> {
    let _lock = ContainerRecord::lock(ctx, id)?;
    let named_so = ContainerRecord::load(ctx, id)?.is_some_and(|c| c.name == name);
    if !named_so {
        names::release(ctx, name, id);
    }
    Ok(!named_so)
}

/// Empty groups of containers that are gone.
fn sweep_cgroups(ctx: &Context, active: &BTreeSet<String>) {
    let parent = crate::container::birth::default_parent(ctx);
    for name in runtime::cgroup::children(&parent) {
        if name.len() == 64
            && !active.contains(&name)
            && let Ok(cgroup) = runtime::Cgroup::open(&parent, &name)
            && cgroup.pids().is_ok_and(|p| p.is_empty())
        {
            let _ = cgroup.remove();
        }
    }
    if active.is_empty() && !crate::sandbox::any_alive(ctx) {
        // Nothing runs: the bridges and the table come back with the next container.
        let _ = network::tear_down(&ctx.layout);
        runtime::cgroup::remove_parent(&parent);
        runtime::cgroup::remove_parent(&crate::sandbox::cgroup_parent(ctx));
    }
}

/// Lock files of containers, volumes and networks that are gone and that nobody holds.
fn sweep_locks(ctx: &Context) {
    let Ok(entries) = std::fs::read_dir(ctx.layout.locks()) else {
        return;
    };
    for entry in entries.flatten() {
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let gone = match name.split_once('-') {
            Some(("container", id)) => !ctx.layout.container(id).exists(),
            Some(("volume", volume)) => volume::load(ctx, volume).is_ok_and(|v| v.is_none()),
            // `.pools` is no network's: all networks are made under it.
            Some(("network", network)) if !network.starts_with('.') => {
                network::find(&ctx.layout, network).is_err()
            }
            _ => false,
        };
        if gone && let Ok(Some(_held)) = sys::lock::FileLock::try_exclusive(&entry.path()) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::state::{Phase, ProcessRef};
    use crate::fixture::{container, context};
    use model::container::ContainerSpec;
    use std::net::{IpAddr, Ipv4Addr};

    fn ours() -> ProcessRef {
        ProcessRef::current().unwrap()
    }

    fn dead() -> ProcessRef {
        let ours = ours();
        ProcessRef {
            start_time: ours.start_time + 1,
            ..ours
        }
    }

    /// A run as its monitor wrote it down.
    fn ran(ctx: &Context, name: &str, spec: ContainerSpec, who: ProcessRef) -> ContainerRecord {
        let web = container(ctx, name, spec);
        let id = web.id.as_str();
        std::fs::create_dir_all(ctx.layout.run_container(id)).unwrap();
        let run = RunState {
            monitor: who,
            phase: Phase::Running { process: who },
            started_at: crate::Timestamp::now(),
            restart_count: 0,
            cgroup_parent: "dockless-none".into(),
            network: None,
        };
        run.save(ctx, id).unwrap();
        let lifecycle = Lifecycle {
            running: true,
            addresses: vec![("bridge".into(), IpAddr::V4(Ipv4Addr::LOCALHOST))],
            ..Default::default()
        };
        lifecycle
            .save(ctx, id, ::state::Durability::Volatile)
            .unwrap();
        web
    }

    #[test]
    fn a_dead_run_is_swept_and_a_living_one_is_not() {
        let (_dir, ctx) = context();
        let lives = ran(&ctx, "lives", ContainerSpec::default(), ours());
        let died = ran(&ctx, "died", ContainerSpec::default(), dead());
        let stray = "c".repeat(64);
        std::fs::create_dir(ctx.layout.run_container(&stray)).unwrap();
        let swept = sweep(&ctx).unwrap();
        assert_eq!(swept.runs, 2, "the dead one's and the one without a record");
        assert!(ctx.layout.run_container(lives.id.as_str()).exists());
        assert!(!ctx.layout.run_container(died.id.as_str()).exists());
        assert!(!ctx.layout.run_container(&stray).exists());
        let last = Lifecycle::load(&ctx, died.id.as_str()).unwrap().unwrap();
        assert_eq!(last.exit_code, 255);
        assert_eq!(last.addresses.len(), 1, "the next run asks for them again");
        assert!(!sweep_run(&ctx, lives.id.as_str()).unwrap());
    }

    #[test]
    fn a_start_in_progress_is_left_alone() {
        let (_dir, ctx) = context();
        let web = container(&ctx, "web", ContainerSpec::default());
        let id = web.id.as_str();
        std::fs::create_dir(ctx.layout.run_container(id)).unwrap();
        let starting = ContainerRecord::lock(&ctx, id).unwrap();
        assert!(!sweep_run(&ctx, id).unwrap());
        drop(starting);
        assert!(
            sweep_run(&ctx, id).unwrap(),
            "a monitor killed in the middle of it"
        );
    }

    #[test]
    fn what_was_to_remove_itself_is_removed_when_its_monitor_could_not() {
        let (_dir, ctx) = context();
        let removes_itself = || ContainerSpec {
            auto_remove: true,
            ..Default::default()
        };
        let died = ran(&ctx, "died", removes_itself(), dead());
        let lives = ran(&ctx, "lives", removes_itself(), ours());
        let made = container(&ctx, "made", removes_itself());
        sweep(&ctx).unwrap();
        let left = record::ids(&ctx).unwrap();
        assert!(!left.contains(&died.id.to_string()));
        assert!(left.contains(&lives.id.to_string()) && left.contains(&made.id.to_string()));
        assert!(names::holder(&ctx, "died").is_none());
    }

    #[test]
    fn of_two_names_the_records_stays() {
        let (_dir, ctx) = context();
        let web = container(&ctx, "web", ContainerSpec::default());
        names::reserve(&ctx, "half-renamed", &web.id)
            .unwrap()
            .keep();
        assert_eq!(sweep(&ctx).unwrap().names, 1);
        assert!(names::holder(&ctx, "web").is_some());
        assert!(names::holder(&ctx, "half-renamed").is_none());
    }

    #[test]
    fn lock_files_of_what_is_gone_go_unless_held() {
        let (_dir, ctx) = context();
        let web = container(&ctx, "web", ContainerSpec::default());
        let locks = || std::fs::read_dir(ctx.layout.locks()).unwrap().count();
        let gone = ctx.layout.lock("container", &"d".repeat(64));
        std::fs::write(ctx.layout.lock("network", "gone"), "").unwrap();
        std::fs::write(ctx.layout.lock("network", ".pools"), "").unwrap();
        let held = ctx.layout.lock("container", &"e".repeat(64));
        std::fs::write(&gone, "").unwrap();
        let _held = sys::lock::FileLock::exclusive(&held).unwrap();
        let before = locks();
        sweep_locks(&ctx);
        assert_eq!(locks(), before - 2);
        assert!(held.exists());
        assert!(ctx.layout.lock("container", web.id.as_str()).exists());
    }
}
