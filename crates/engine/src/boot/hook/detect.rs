//! Which init a host has: by what runs as process 1, and where that says little (`init` may be anything) by directories.
//!
//! Source: the file layouts of systemd, OpenRC, sysvinit, runit (Void, Artix), s6-linux-init, dinit, procd (OpenWrt) and BusyBox.

use super::Init;
use std::path::Path;

/// What process 1 is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Running {
    /// The name of its file: `systemd`, `busybox`, `init`.
    pub exe: String,
    /// What it calls itself.
    pub comm: String,
}

impl Running {
    /// Of this host.
    pub fn read() -> Self {
        let name = |path: &Path| {
            path.file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned()
        };
        Self {
            exe: std::fs::read_link("/proc/1/exe")
                .map(|path| name(&path))
                .unwrap_or_default(),
            comm: std::fs::read_to_string("/proc/1/comm")
                .unwrap_or_default()
                .trim()
                .to_owned(),
        }
    }
}

/// The init of the host below `root`; `running` is process 1 where it is this host.
pub fn detect(root: &Path, running: Option<&Running>) -> Option<Init> {
    let has = |path: &str| super::below(root, path).symlink_metadata().is_ok();
    if let Some(running) = running
        && let Some(init) = by_process(running)
    {
        return Some(init);
    }
    // OpenRC is started by whatever init there is: it comes before the two it is found with.
    let signs: [(Init, &[&str]); 8] = [
        (Init::Systemd, &["run/systemd/system"]),
        (Init::OpenRc, &["run/openrc", "etc/runlevels/default"]),
        (Init::Procd, &["sbin/procd", "etc/rc.common"]),
        (Init::Dinit, &["etc/dinit.d"]),
        (
            Init::S6,
            &["etc/s6-linux-init", "etc/s6-rc", "etc/s6", "etc/s6-overlay"],
        ),
        (Init::Runit, &["etc/runit", "run/runit"]),
        (Init::Systemd, &["etc/systemd/system"]),
        (Init::Sysvinit, &["etc/rc2.d", "etc/rc.d/rc3.d"]),
    ];
    let by_file = signs
        .into_iter()
        .find(|(_, paths)| paths.iter().any(|path| has(path)));
    match by_file {
        // Debian keeps the directories of both; with sysvinit there is an inittab with runlevels.
        Some((Init::Systemd, _)) if !has("run/systemd/system") && has_runlevels(root) => {
            Some(Init::Sysvinit)
        }
        Some((init, _)) => Some(init),
        None if has_runlevels(root) => Some(Init::Sysvinit),
        None if has("etc/inittab") => Some(Init::Busybox),
        None => None,
    }
}

fn by_process(running: &Running) -> Option<Init> {
    [&running.exe, &running.comm]
        .into_iter()
        .find_map(|name| match name.as_str() {
            "systemd" => Some(Init::Systemd),
            "openrc-init" => Some(Init::OpenRc),
            "dinit" => Some(Init::Dinit),
            "procd" => Some(Init::Procd),
            "runit" | "runit-init" | "runsvdir" => Some(Init::Runit),
            "s6-svscan" => Some(Init::S6),
            _ => None,
        })
}

/// sysvinit's `/etc/inittab` names a runlevel to begin with; BusyBox's knows none.
fn has_runlevels(root: &Path) -> bool {
    std::fs::read_to_string(super::below(root, "etc/inittab"))
        .is_ok_and(|text| text.lines().any(|line| line.contains(":initdefault:")))
}
