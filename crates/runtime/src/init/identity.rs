//! Who the command is: limits, scheduling, labels, user, capabilities.
//!
//! Source: runtime-spec `config.md` "POSIX process", credentials(7), capabilities(7).

use crate::error::{InitError, OrInit};
use crate::users::Identity;
use oci_spec::runtime::{Capabilities, LinuxSchedulerPolicy, Process};
use sys::capability::CapabilitySet;
use sys::rlimit::Limit;

/// Raising a hard limit needs CAP_SYS_RESOURCE, which a nested or confined runtime may lack: then what we have is kept. A value
/// within the limits always works.
pub(super) fn set_limits(process: &Process) -> Result<(), InitError> {
    for limit in process.rlimits().iter().flatten() {
        let name = limit.typ().to_string();
        let error = |cause| InitError::Limit {
            name: name.clone(),
            cause,
        };
        let Some(resource) = sys::rlimit::number(&name) else {
            return Err(error(crate::Errno(22)));
        };
        let wanted = Limit {
            soft: limit.soft(),
            hard: limit.hard(),
        };
        match sys::rlimit::set(resource, wanted) {
            Err(e) if e.raw_os_error() == Some(1) => {
                let now = sys::rlimit::get(resource).because(error)?;
                let hard = wanted.hard.min(now.hard);
                sys::rlimit::set(
                    resource,
                    Limit {
                        soft: wanted.soft.min(hard),
                        hard,
                    },
                )
                .because(error)?;
            }
            other => other.because(error)?,
        }
    }
    Ok(())
}

/// Through a procfs of our own; lowering needs CAP_SYS_RESOURCE and is forgone without it, as limits are.
pub(super) fn set_oom_score(process: &Process) -> Result<(), InitError> {
    let Some(score) = process.oom_score_adj() else {
        return Ok(());
    };
    let error = |cause| InitError::Limit {
        name: format!("oom_score_adj={score}"),
        cause,
    };
    match write_own("oom_score_adj", score.to_string().as_bytes()) {
        Err(e) if matches!(e.raw_os_error(), Some(1 | 13)) => Ok(()),
        other => other.because(error),
    }
}

/// Writes `/proc/self/<file>` of a fresh procfs, never of the one the container shows.
fn write_own(file: &str, value: &[u8]) -> std::io::Result<()> {
    use std::os::fd::AsFd;
    let proc = sys::mount::new_filesystem("proc", &[], sys::mount::Flags::empty())?;
    let path = format!("{}/{file}", rustix::process::getpid().as_raw_nonzero());
    sys::path::write_proc(proc.as_fd(), std::path::Path::new(&path), value)
}

pub(super) fn set_scheduling(process: &Process) -> Result<(), InitError> {
    if let Some(scheduler) = process.scheduler()
        && matches!(
            scheduler.policy(),
            LinuxSchedulerPolicy::SchedOther | LinuxSchedulerPolicy::SchedBatch
        )
        && let Some(nice) = scheduler.nice()
    {
        let error = |cause| InitError::Limit {
            name: format!("nice={nice}"),
            cause,
        };
        rustix::process::setpriority_process(None, *nice).because(error)?;
    }
    Ok(())
}

/// The profile takes effect at execve.
pub(super) fn write_labels(process: &Process) -> Result<(), InitError> {
    if let Some(profile) = process
        .apparmor_profile()
        .as_ref()
        .filter(|p| !p.is_empty() && *p != "unconfined")
    {
        let error = |cause| InitError::Label {
            module: "AppArmor".to_owned(),
            profile: profile.clone(),
            cause,
        };
        write_own("attr/apparmor/exec", format!("exec {profile}").as_bytes()).because(error)?;
    }
    if let Some(label) = process
        .selinux_label()
        .as_ref()
        .filter(|label| !label.is_empty())
    {
        let error = |cause| InitError::Label {
            module: "SELinux".to_owned(),
            profile: label.clone(),
            cause,
        };
        write_own("attr/exec", label.as_bytes()).because(error)?;
    }
    Ok(())
}

#[derive(Debug, Default)]
pub(super) struct CapabilitySets {
    pub(super) bounding: CapabilitySet,
    effective: CapabilitySet,
    permitted: CapabilitySet,
    inheritable: CapabilitySet,
    ambient: CapabilitySet,
}

impl CapabilitySets {
    /// Those this kernel lacks, or we lack ourselves, are left out: nobody can give what he does not have.
    pub(super) fn of(process: &Process) -> Result<Self, InitError> {
        let Some(wanted) = process.capabilities() else {
            return Ok(Self::default());
        };
        let ours =
            sys::capability::permitted().because(|cause| InitError::Capabilities { cause })?;
        let set = |list: &Option<Capabilities>| -> Result<CapabilitySet, InitError> {
            let mut set = CapabilitySet::EMPTY;
            for capability in list.iter().flatten() {
                let name = capability.to_string();
                match sys::capability::number(&name) {
                    Some(bit) if ours.contains(bit) => set.insert(bit),
                    Some(_) => {}
                    None => return Err(InitError::UnknownCapability { name }),
                }
            }
            Ok(set)
        };
        let (permitted, inheritable) = (set(wanted.permitted())?, set(wanted.inheritable())?);
        Ok(Self {
            bounding: set(wanted.bounding())?,
            effective: set(wanted.effective())?,
            permitted,
            inheritable,
            // capabilities(7): no capability can be ambient that is not both. Builders of images ask for such sets all the same.
            ambient: CapabilitySet(set(wanted.ambient())?.0 & permitted.0 & inheritable.0),
        })
    }
}

/// Groups, group, user, then the capabilities: each step takes away what the one before needed.
pub(super) fn become_user(identity: &Identity, sets: &CapabilitySets) -> Result<(), InitError> {
    let refused = |cause| InitError::Capabilities { cause };
    // Else the change of user would take all of them at once, those to be kept too.
    sys::capability::keep_over_setuid(true).because(refused)?;
    let (uid, gid) = (identity.uid, identity.gid);
    sys::capability::set_identity(uid, gid, &identity.groups)
        .because(|cause| InitError::Identity { uid, gid, cause })?;
    sys::capability::keep_over_setuid(false).because(refused)?;
    // What execve would leave a user other than root: only the ambient ones. Taken now, so that entering the working directory
    // and finding the command are judged by the user's rights and not by capabilities he is about to lose.
    let kept = |set: CapabilitySet| {
        if uid == 0 {
            set
        } else {
            CapabilitySet(set.0 & sets.ambient.0)
        }
    };
    sys::capability::set(kept(sets.effective), kept(sets.permitted), sets.inheritable)
        .because(refused)?;
    sys::capability::set_ambient(sets.ambient).because(refused)
}
