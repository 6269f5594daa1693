//! Who the command is: limits, labels, user, capabilities.
//!
//! Source: runtime-spec `config.md` "POSIX process", credentials(7), capabilities(7).

use crate::error::{InitError, OrInit};
use crate::request::Limits;
use crate::users::Identity;
use oci_spec::runtime::{Capabilities, Process};
use std::os::fd::BorrowedFd;
use sys::capability::CapabilitySet;
use sys::rlimit::Limit;

/// Raising a hard limit needs CAP_SYS_RESOURCE. Whether one that we may not raise is an error, the caller knows; a value within
/// the limits always works.
pub(super) fn set_limits(process: &Process, strictness: Limits) -> Result<(), InitError> {
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
            Err(e) if e.raw_os_error() == Some(1) && strictness == Limits::WithinOurs => {
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

/// Whether [`write_settings`] has anything to write.
pub(crate) fn has_settings(process: &Process) -> bool {
    let named = |label: &Option<String>| label.as_ref().is_some_and(|label| !label.is_empty());
    process.oom_score_adj().is_some()
        || named(process.apparmor_profile())
        || named(process.selinux_label())
}

/// What a process says about itself in procfs; `proc` must be one that shows it, and no tree of the container's making.
pub(crate) fn write_settings(
    process: &Process,
    proc: BorrowedFd<'_>,
    strictness: Limits,
) -> Result<(), InitError> {
    set_oom_score(process, proc, strictness)?;
    write_labels(process, proc)
}

/// Lowering it needs CAP_SYS_RESOURCE, as raising a limit does.
fn set_oom_score(
    process: &Process,
    proc: BorrowedFd<'_>,
    strictness: Limits,
) -> Result<(), InitError> {
    let Some(score) = process.oom_score_adj() else {
        return Ok(());
    };
    match write_own(proc, "oom_score_adj", score.to_string().as_bytes()) {
        Err(e) if matches!(e.raw_os_error(), Some(1 | 13)) && strictness == Limits::WithinOurs => {
            Ok(())
        }
        other => other.because(|cause| InitError::Limit {
            name: format!("oom_score_adj={score}"),
            cause,
        }),
    }
}

fn write_own(proc: BorrowedFd<'_>, file: &str, value: &[u8]) -> std::io::Result<()> {
    let path = format!("self/{file}");
    sys::path::write_proc(proc, std::path::Path::new(&path), value)
}

/// The profile takes effect at execve.
fn write_labels(process: &Process, proc: BorrowedFd<'_>) -> Result<(), InitError> {
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
        let text = format!("exec {profile}");
        match write_own(proc, "attr/apparmor/exec", text.as_bytes()) {
            // Before Linux 5.8 the modules had no directories of their own.
            Err(e) if e.raw_os_error() == Some(2) => write_own(proc, "attr/exec", text.as_bytes()),
            other => other,
        }
        .because(error)?;
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
        write_own(proc, "attr/exec", label.as_bytes()).because(error)?;
    }
    Ok(())
}

#[derive(Debug, Default)]
pub(super) struct CapabilitySets {
    bounding: CapabilitySet,
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
        let both = |wish: CapabilitySet, limit: u64| CapabilitySet(wish.0 & limit);
        Ok(Self {
            bounding: set(wanted.bounding())?,
            // The kernel's rules: nothing is effective that is not permitted, nothing ambient that is not inheritable too.
            effective: both(set(wanted.effective())?, permitted.0),
            ambient: both(set(wanted.ambient())?, permitted.0 & inheritable.0),
            permitted,
            inheritable,
        })
    }
}

impl CapabilitySets {
    /// Drops from the bounding set what is not wished. What is to be inheritable without being bounded must be so before.
    pub(super) fn limit_bounding(&self) -> Result<(), InitError> {
        let refused = |cause| InitError::Capabilities { cause };
        if self.inheritable.0 & !self.bounding.0 != 0 {
            let (effective, permitted) = (
                sys::capability::effective(),
                sys::capability::permitted().because(refused)?,
            );
            sys::capability::set(effective, permitted, self.inheritable).because(refused)?;
        }
        sys::capability::limit_bounding(self.bounding).because(refused)
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
