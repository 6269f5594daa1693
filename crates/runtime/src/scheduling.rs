//! How the container's processes get processors, disks and memory.
//!
//! Scheduler and I/O priority need the host's rights. So init sets its own while it has them; in a user namespace the caller
//! does it (`handover`), and so does he who starts a further process, before it enters.
//! Source: runtime-spec `config.md` "Linux Process" (`scheduler`, `ioPriority`), `config-linux.md` (`personality`,
//! `memoryPolicy`); sched(7).

use crate::error::{InitError, OrInit};
use oci_spec::runtime::{
    IOPriorityClass, Linux, LinuxMemoryPolicy, LinuxPersonalityDomain, LinuxSchedulerFlag,
    LinuxSchedulerPolicy, MemoryPolicyFlagType, MemoryPolicyModeType, Process, Scheduler,
};
use sys::cpuset::Mask;
use sys::mempolicy;
use sys::sched::{self, Attributes, IoClass};

/// Scheduler and I/O priority of a process, 0 for the caller.
pub(crate) fn apply(process: &Process, pid: i32) -> Result<(), InitError> {
    let refused = |what: String| move |cause| InitError::Scheduling { what, cause };
    if let Some(scheduler) = process.scheduler() {
        sched::set(pid, &attributes(scheduler))
            .because(refused(format!("the policy {}", scheduler.policy())))?;
    }
    if let Some(priority) = process.io_priority() {
        let class = match priority.class() {
            IOPriorityClass::IoprioClassRt => IoClass::RealTime,
            IOPriorityClass::IoprioClassBe => IoClass::BestEffort,
            IOPriorityClass::IoprioClassIdle => IoClass::Idle,
        };
        let level = u32::try_from(priority.priority()).unwrap_or(u32::MAX);
        let what = format!("the I/O priority {} {level}", priority.class());
        sched::set_io_priority(pid, class, level).because(refused(what))?;
    }
    Ok(())
}

fn attributes(scheduler: &Scheduler) -> Attributes {
    use LinuxSchedulerPolicy as Policy;
    Attributes {
        policy: match scheduler.policy() {
            Policy::SchedOther => sched::policy::OTHER,
            Policy::SchedFifo => sched::policy::FIFO,
            Policy::SchedRr => sched::policy::RR,
            Policy::SchedBatch => sched::policy::BATCH,
            Policy::SchedIdle => sched::policy::IDLE,
            Policy::SchedDeadline => sched::policy::DEADLINE,
            // A number that no kernel took yet; `validate` says it better.
            Policy::SchedIso => 4,
        },
        flags: scheduler
            .flags()
            .iter()
            .flatten()
            .fold(0, |all, flag| all | flag_bit(*flag)),
        nice: scheduler.nice().unwrap_or(0),
        priority: scheduler
            .priority()
            .and_then(|priority| u32::try_from(priority).ok())
            .unwrap_or(0),
        runtime: scheduler.runtime().unwrap_or(0),
        deadline: scheduler.deadline().unwrap_or(0),
        period: scheduler.period().unwrap_or(0),
    }
}

fn flag_bit(flag: LinuxSchedulerFlag) -> u64 {
    use LinuxSchedulerFlag as Flag;
    match flag {
        Flag::SchedResetOnFork => sched::flag::RESET_ON_FORK,
        Flag::SchedFlagReclaim => sched::flag::RECLAIM,
        Flag::SchedFlagDLOverrun => sched::flag::DL_OVERRUN,
        Flag::SchedFlagKeepPolicy => sched::flag::KEEP_POLICY,
        Flag::SchedFlagKeepParams => sched::flag::KEEP_PARAMS,
        Flag::SchedFlagUtilClampMin => sched::flag::UTIL_CLAMP_MIN,
        Flag::SchedFlagUtilClampMax => sched::flag::UTIL_CLAMP_MAX,
    }
}

/// What the container's configuration says about all of its processes.
pub(crate) fn adopt(linux: &Linux) -> Result<(), InitError> {
    if let Some(personality) = linux.personality() {
        let (domain, name) = match personality.domain() {
            LinuxPersonalityDomain::PerLinux => (0, "LINUX"),
            LinuxPersonalityDomain::PerLinux32 => (8, "LINUX32"),
        };
        sys::program::set_personality(domain).because(|cause| InitError::Scheduling {
            what: format!("the personality {name}"),
            cause,
        })?;
    }
    match linux.memory_policy() {
        Some(policy) => set_memory_policy(policy),
        None => Ok(()),
    }
}

fn set_memory_policy(policy: &LinuxMemoryPolicy) -> Result<(), InitError> {
    use MemoryPolicyFlagType as Flag;
    use MemoryPolicyModeType as Mode;
    let mode = match policy.mode() {
        Mode::MpolDefault => mempolicy::mode::DEFAULT,
        Mode::MpolBind => mempolicy::mode::BIND,
        Mode::MpolInterleave => mempolicy::mode::INTERLEAVE,
        Mode::MpolWeightedInterleave => mempolicy::mode::WEIGHTED_INTERLEAVE,
        Mode::MpolPreferred => mempolicy::mode::PREFERRED,
        Mode::MpolPreferredMany => mempolicy::mode::PREFERRED_MANY,
        Mode::MpolLocal => mempolicy::mode::LOCAL,
    };
    let flags = policy.flags().iter().flatten().map(|flag| match flag {
        Flag::MpolFNumaBalancing => mempolicy::flag::NUMA_BALANCING,
        Flag::MpolFRelativeNodes => mempolicy::flag::RELATIVE_NODES,
        Flag::MpolFStaticNodes => mempolicy::flag::STATIC_NODES,
    });
    let refused = |cause| InitError::Scheduling {
        what: format!(
            "the memory policy {} on the nodes {:?}",
            policy.mode(),
            policy.nodes().as_deref().unwrap_or_default()
        ),
        cause,
    };
    let nodes = match policy.nodes().as_deref() {
        None | Some("") => Mask::default(),
        Some(list) => Mask::parse(list).ok_or_else(|| refused(crate::Errno(22)))?,
    };
    mempolicy::set(flags.fold(mode, |all, bit| all | bit), &nodes).because(refused)
}
