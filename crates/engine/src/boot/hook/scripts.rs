//! What each init is given. Containers and their monitors need nobody who stays with them, so it is one call per boot.
//!
//! Where an init waits for its scripts the call goes to the background: a project may wait for its health checks, and the login
//! must not wait for those. What it says then goes to a log file of its own, which begins anew with each boot.
//! Source: systemd.service(5), openrc-run(8), LSB "Init Script Actions", runsv(8), s6-rc "source definition directories",
//! dinit-service(5), OpenWrt "procd init scripts", BusyBox `examples/inittab`.

use super::{File, Hook, Init};
use std::path::Path;

const LOG: &str = "/var/log/dockless-boot.log";
const MARK: &str = "# Written by `dockless boot enable`; `dockless boot disable` removes it.";

/// The hook for an init. `exe` is the program to call; `has` tells whether a path is there on the host.
pub fn hook(init: Init, exe: &Path, has: &dyn Fn(&str) -> bool) -> Hook {
    let exe = exe.display().to_string();
    match init {
        Init::Systemd => systemd(&exe),
        Init::OpenRc => openrc(&exe),
        Init::Sysvinit => sysvinit(&exe, has),
        Init::Runit => runit(&exe, has),
        Init::S6 => s6(&exe, has),
        Init::Dinit => dinit(&exe, has),
        Init::Procd => procd(&exe),
        Init::Busybox => Hook {
            lines: Some((
                "/etc/inittab".into(),
                format!("{MARK}\n::once:{exe} boot >{LOG} 2>&1\n"),
            )),
            ..Hook::default()
        },
    }
}

fn file(path: impl Into<String>, mode: u32, text: String) -> File {
    File {
        path: path.into(),
        text,
        mode,
    }
}

/// The first of the directories that is there, or the first.
fn first<'a>(has: &dyn Fn(&str) -> bool, directories: &[&'a str]) -> &'a str {
    let found = directories.iter().find(|path| has(path));
    found.copied().unwrap_or(directories[0])
}

fn systemd(exe: &str) -> Hook {
    let text = format!(
        "{MARK}\n\
         [Unit]\n\
         Description=Containers and projects, by their restart policies\n\
         After=network-online.target local-fs.target\n\
         Wants=network-online.target\n\n\
         [Service]\n\
         Type=oneshot\n\
         RemainAfterExit=yes\n\
         ExecStart={exe} boot\n\
         # Containers and their monitors outlive this unit.\n\
         KillMode=none\n\
         Delegate=yes\n\n\
         [Install]\n\
         WantedBy=multi-user.target\n"
    );
    let unit = "/etc/systemd/system/dockless.service";
    Hook {
        files: vec![file(unit, 0o644, text)],
        links: vec![(
            "/etc/systemd/system/multi-user.target.wants/dockless.service".into(),
            unit.into(),
        )],
        ..Hook::default()
    }
}

fn openrc(exe: &str) -> Hook {
    let text = format!(
        "#!/sbin/openrc-run\n\
         {MARK}\n\n\
         description=\"Containers and projects, by their restart policies\"\n\n\
         depend() {{\n\
         \tneed localmount\n\
         \tuse net dns\n\
         \tafter bootmisc firewall\n\
         }}\n\n\
         start() {{\n\
         \tebegin \"Starting containers\"\n\
         \t{exe} boot >{LOG} 2>&1 </dev/null &\n\
         \teend 0\n\
         }}\n\n\
         stop() {{\n\
         \t# Containers need nobody who stays with them.\n\
         \treturn 0\n\
         }}\n"
    );
    Hook {
        files: vec![file("/etc/init.d/dockless", 0o755, text)],
        links: vec![(
            "/etc/runlevels/default/dockless".into(),
            "/etc/init.d/dockless".into(),
        )],
        ..Hook::default()
    }
}

fn sysvinit(exe: &str, has: &dyn Fn(&str) -> bool) -> Hook {
    let text = format!(
        "#!/bin/sh\n\
         ### BEGIN INIT INFO\n\
         # Provides:          dockless\n\
         # Required-Start:    $local_fs $remote_fs\n\
         # Required-Stop:     $local_fs $remote_fs\n\
         # Should-Start:      $network $named $syslog $time\n\
         # Default-Start:     2 3 4 5\n\
         # Default-Stop:      0 1 6\n\
         # Short-Description: Containers and projects, by their restart policies\n\
         ### END INIT INFO\n\
         {MARK}\n\n\
         case \"$1\" in\n\
         start)\n\
         \t{exe} boot >{LOG} 2>&1 </dev/null &\n\
         \t;;\n\
         stop | restart | reload | force-reload)\n\
         \t# Containers need nobody who stays with them.\n\
         \t;;\n\
         status)\n\
         \texec {exe} ps\n\
         \t;;\n\
         *)\n\
         \techo \"Usage: $0 {{start|stop|restart|force-reload|status}}\" >&2\n\
         \texit 2\n\
         \t;;\n\
         esac\n"
    );
    // Red Hat and Slackware have the directories of the levels below rc.d.
    let (levels, script) = match has("/etc/rc2.d") || !has("/etc/rc.d/rc3.d") {
        true => ("/etc/rc", "../init.d/dockless"),
        false => ("/etc/rc.d/rc", "../../init.d/dockless"),
    };
    let start = "2345".chars().map(|level| (level, "S99"));
    let stop = "016".chars().map(|level| (level, "K01"));
    let link = |(level, order)| {
        (
            format!("{levels}{level}.d/{order}dockless"),
            script.to_owned(),
        )
    };
    Hook {
        files: vec![file("/etc/init.d/dockless", 0o755, text)],
        links: start.chain(stop).map(link).collect(),
        ..Hook::default()
    }
}

fn runit(exe: &str, has: &dyn Fn(&str) -> bool) -> Hook {
    let text = format!(
        "#!/bin/sh\n\
         {MARK}\n\
         exec 2>&1\n\
         {exe} boot\n\
         # Once per boot: containers need nobody who stays with them.\n\
         exec sv down .\n"
    );
    let definitions = first(has, &["/etc/sv", "/etc/runit/sv"]);
    // What is in /var/service on Void is a link to the first, by a directory that dies with the boot.
    let enabled = first(
        has,
        &[
            "/etc/runit/runsvdir/default",
            "/etc/service",
            "/var/service",
            "/service",
        ],
    );
    let directory = format!("{definitions}/dockless");
    Hook {
        files: vec![file(format!("{directory}/run"), 0o755, text)],
        links: vec![(format!("{enabled}/dockless"), directory)],
        ..Hook::default()
    }
}

fn s6(exe: &str, has: &dyn Fn(&str) -> bool) -> Hook {
    // With s6-rc a oneshot in a source directory and in the bundle that is started at boot.
    let sources = [
        ("/etc/s6-overlay/s6-rc.d", "user", None),
        (
            "/etc/s6/adminsv",
            "default",
            Some("compile the services anew: s6-db-reload"),
        ),
        (
            "/etc/s6/sv",
            "default",
            Some("compile the services anew: s6-db-reload"),
        ),
        (
            "/etc/s6-rc/source",
            "default",
            Some(
                "compile the services anew with s6-rc-compile, and make them current with s6-rc-update",
            ),
        ),
    ];
    if let Some((source, bundle, then)) = sources.into_iter().find(|(path, ..)| has(path)) {
        return Hook {
            files: vec![
                file(
                    format!("{source}/dockless/type"),
                    0o644,
                    "oneshot\n".to_owned(),
                ),
                file(
                    format!("{source}/dockless/up"),
                    0o644,
                    format!("{MARK}\n{exe} boot\n"),
                ),
                file(
                    format!("{source}/{bundle}/contents.d/dockless"),
                    0o644,
                    String::new(),
                ),
            ],
            then,
            ..Hook::default()
        };
    }
    // Without it a service that runs once: its finish script says that it is not to be started again.
    let scanned = first(
        has,
        &[
            "/etc/s6-linux-init/current/run-image/service",
            "/etc/service",
            "/var/service",
            "/service",
        ],
    );
    Hook {
        files: vec![
            file(
                format!("{scanned}/dockless/run"),
                0o755,
                format!("#!/bin/sh\n{MARK}\nexec 2>&1\nexec {exe} boot\n"),
            ),
            file(
                format!("{scanned}/dockless/finish"),
                0o755,
                "#!/bin/sh\n# Once per boot: 125 is \"do not start it again\".\nexit 125\n"
                    .to_owned(),
            ),
        ],
        ..Hook::default()
    }
}

fn dinit(exe: &str, has: &dyn Fn(&str) -> bool) -> Hook {
    // A service that waits for one that is not there is not loaded: only what the host has is named.
    let before: String = ["local.target", "network.target", "network"]
        .into_iter()
        .filter(|name| {
            has(&format!("/etc/dinit.d/{name}")) || has(&format!("/usr/lib/dinit.d/{name}"))
        })
        .map(|name| format!("waits-for = {name}\n"))
        .collect();
    let text = format!(
        "{MARK}\n\
         type = scripted\n\
         command = {exe} boot\n\
         start-timeout = 0\n\
         restart = false\n\
         logfile = {LOG}\n\
         {before}"
    );
    Hook {
        files: vec![file("/etc/dinit.d/dockless", 0o644, text)],
        links: vec![("/etc/dinit.d/boot.d/dockless".into(), "../dockless".into())],
        ..Hook::default()
    }
}

fn procd(exe: &str) -> Hook {
    let text = format!(
        "#!/bin/sh /etc/rc.common\n\
         {MARK}\n\n\
         START=99\n\
         USE_PROCD=1\n\n\
         start_service() {{\n\
         \tprocd_open_instance\n\
         \tprocd_set_param command {exe} boot\n\
         \tprocd_set_param stdout 1\n\
         \tprocd_set_param stderr 1\n\
         \tprocd_close_instance\n\
         }}\n"
    );
    Hook {
        files: vec![file("/etc/init.d/dockless", 0o755, text)],
        links: vec![("/etc/rc.d/S99dockless".into(), "../init.d/dockless".into())],
        ..Hook::default()
    }
}
