//! The process: who it is, where it starts, and what it may use.
//!
//! Source: runtime-spec `config.md` "Process"; sched(7), ioprio_set(2), proc_pid_oom_score_adj(5).

use super::{Error, absolute};
use oci_spec::runtime::{LinuxSchedulerPolicy, PosixRlimitType, Process, Scheduler};
use sys::cpuset::Mask;

/// The first thing that is wrong with a process, a container's first or a further one.
pub fn process(process: &Process) -> Result<(), Error> {
    if process.cwd().as_os_str().is_empty() {
        return Err(Error::Empty {
            property: "process.cwd".to_owned(),
        });
    }
    absolute(process.cwd(), || "process.cwd".to_owned())?;
    strings(process)?;
    numbers(process)?;
    rlimits(process)?;
    if let Some(scheduler) = process.scheduler() {
        check_scheduler(scheduler)?;
    }
    if let Some(affinity) = process.exec_cpu_affinity() {
        list("process.execCPUAffinity.initial", affinity.initial())?;
        list(
            "process.execCPUAffinity.final",
            affinity.cpu_affinity_final(),
        )?;
    }
    labels(process)
}

fn strings(process: &Process) -> Result<(), Error> {
    let lists = [
        ("process.args", process.args()),
        ("process.env", process.env()),
    ];
    for (property, list) in lists {
        for (index, text) in list.iter().flatten().enumerate() {
            if text.contains('\0') {
                return Err(Error::ZeroByte {
                    property: format!("{property}[{index}]"),
                });
            }
        }
    }
    Ok(())
}

fn numbers(process: &Process) -> Result<(), Error> {
    let out_of = |property, value: String, range| Error::Range {
        property,
        value,
        range,
    };
    if let Some(umask) = process.user().umask().filter(|umask| *umask > 0o777) {
        return Err(out_of(
            "process.user.umask",
            format!("{umask:#o}"),
            "0 to 0777",
        ));
    }
    if let Some(score) = process
        .oom_score_adj()
        .filter(|score| !(-1000..=1000).contains(score))
    {
        return Err(out_of(
            "process.oomScoreAdj",
            score.to_string(),
            "-1000 to 1000",
        ));
    }
    if let Some(io) = process.io_priority()
        && !(0..=7).contains(&io.priority())
    {
        return Err(out_of(
            "process.ioPriority.priority",
            io.priority().to_string(),
            "0 to 7",
        ));
    }
    if let Some(size) = process.console_size()
        && size.height().max(size.width()) > u64::from(u16::MAX)
    {
        return Err(out_of(
            "process.consoleSize",
            format!("{}x{}", size.height(), size.width()),
            "0 to 65535",
        ));
    }
    Ok(())
}

fn rlimits(process: &Process) -> Result<(), Error> {
    let limits = process.rlimits().as_deref().unwrap_or_default();
    for (at, limit) in limits.iter().enumerate() {
        let name = || limit.typ().to_string();
        if limits[..at].iter().any(|other| other.typ() == limit.typ()) {
            return Err(Error::TwoLimits(name()));
        }
        if limit.soft() > limit.hard() {
            return Err(Error::SoftLimit {
                name: name(),
                soft: limit.soft(),
                hard: limit.hard(),
            });
        }
        if limit.typ() == PosixRlimitType::RlimitNofile {
            open_files(limit.hard())?;
        }
    }
    Ok(())
}

/// No right lifts a limit above `fs.nr_open` (getrlimit(2)), so this one is not for the start to find out.
fn open_files(hard: u64) -> Result<(), Error> {
    let most = std::fs::read_to_string("/proc/sys/fs/nr_open")
        .ok()
        .and_then(|text| text.trim().parse().ok());
    match most {
        Some(most) if hard > most => Err(Error::OpenFiles { hard, most }),
        _ => Ok(()),
    }
}

fn list(property: &'static str, value: &Option<String>) -> Result<(), Error> {
    match value.as_deref() {
        Some(text) if !text.is_empty() && Mask::parse(text).is_none() => Err(Error::List {
            property,
            value: text.to_owned(),
        }),
        _ => Ok(()),
    }
}

fn check_scheduler(scheduler: &Scheduler) -> Result<(), Error> {
    use LinuxSchedulerPolicy::{
        SchedBatch, SchedDeadline, SchedFifo, SchedIso, SchedOther, SchedRr,
    };
    let wrong = |text: String| Err(Error::Scheduler(text));
    let policy = *scheduler.policy();
    if policy == SchedIso {
        return wrong("no kernel has the policy SCHED_ISO".to_owned());
    }
    if let Some(nice) = scheduler.nice()
        && matches!(policy, SchedOther | SchedBatch)
        && !(-20..=19).contains(nice)
    {
        return wrong(format!("nice {nice} is out of range (-20 to 19)"));
    }
    let realtime = matches!(policy, SchedFifo | SchedRr);
    match scheduler.priority().unwrap_or(0) {
        0 => {}
        priority if !realtime => {
            return wrong(format!(
                "priority {priority} belongs to SCHED_FIFO and SCHED_RR, not to {policy}"
            ));
        }
        1..=99 => {}
        priority => return wrong(format!("priority {priority} is out of range (1 to 99)")),
    }
    let times = [
        scheduler.runtime(),
        scheduler.deadline(),
        scheduler.period(),
    ];
    if policy == SchedDeadline {
        return deadline(scheduler).map_or(Ok(()), wrong);
    }
    if times.iter().any(|time| time.unwrap_or(0) != 0) {
        return wrong(format!(
            "runtime, deadline and period belong to SCHED_DEADLINE, not to {policy}"
        ));
    }
    Ok(())
}

/// What sched(7) asks of the three times, by the words that crun says it with.
fn deadline(scheduler: &Scheduler) -> Option<String> {
    const LEAST: u64 = 1024;
    const MOST: u64 = 1 << 63;
    let of = |text: String| Some(format!("sched_setattr: `SCHED_DEADLINE` {text}"));
    let Some(runtime) = *scheduler.runtime() else {
        return of("requires `runtime`".to_owned());
    };
    let Some(deadline) = *scheduler.deadline() else {
        return of("requires `deadline`".to_owned());
    };
    // Without one the kernel takes the deadline for it.
    let period = scheduler.period().unwrap_or(0);
    let times = [
        ("runtime", runtime),
        ("deadline", deadline),
        ("period", period),
    ];
    if let Some((name, _)) = times[..2].iter().find(|(_, time)| *time == 0) {
        return of(format!("{name} must be greater than 0"));
    }
    if runtime > deadline {
        return of(format!(
            "runtime ({runtime}) must be <= deadline ({deadline})"
        ));
    }
    if period != 0 && deadline > period {
        return of(format!(
            "deadline ({deadline}) must be <= period ({period})"
        ));
    }
    let (name, time) = times
        .into_iter()
        .find(|(_, time)| *time != 0 && !(LEAST..=MOST).contains(time))?;
    of(format!(
        "{name} ({time}) must be between {LEAST} and {MOST}"
    ))
}

/// A label the host cannot apply would be a protection that is only believed in.
fn labels(process: &Process) -> Result<(), Error> {
    if let Some(profile) = process.apparmor_profile()
        && !matches!(profile.as_str(), "" | "unconfined")
        && !sys::lsm::has_apparmor()
    {
        return Err(Error::NoModule {
            property: "apparmorProfile",
            value: profile.clone(),
            module: "AppArmor",
        });
    }
    if let Some(label) = process.selinux_label()
        && !label.is_empty()
        && !sys::lsm::has_selinux()
    {
        return Err(Error::NoModule {
            property: "selinuxLabel",
            value: label.clone(),
            module: "SELinux",
        });
    }
    Ok(())
}

/// "Any value which [...] cannot be granted otherwise MUST be logged as a warning"
pub(super) fn warnings(process: &Process) -> Vec<String> {
    let Some(sets) = process.capabilities() else {
        return Vec::new();
    };
    let has = |set: &Option<oci_spec::runtime::Capabilities>, name| {
        set.as_ref().is_some_and(|set| set.contains(name))
    };
    let mut out: Vec<String> = sets
        .ambient()
        .iter()
        .flatten()
        .filter(|name| !has(sets.permitted(), name) || !has(sets.inheritable(), name))
        .map(|name| {
            format!(
                "process.capabilities.ambient: CAP_{name} is left out, it is not both permitted and inheritable"
            )
        })
        .collect();
    out.sort();
    out
}
