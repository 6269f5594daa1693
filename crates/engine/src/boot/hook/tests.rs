//! Every init in a root of its own: what is there afterwards, to the letter, and nothing of it after `disable`.

use super::*;
use std::collections::BTreeMap;

const EXE: &str = "/usr/local/bin/dockless";

/// A host with these directories (those that end in `/`) and files.
fn host(paths: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for path in paths {
        let (path, text) = path.split_once('=').unwrap_or((path, ""));
        let at = dir.path().join(path);
        match path.ends_with('/') {
            true => std::fs::create_dir_all(at).unwrap(),
            false => {
                std::fs::create_dir_all(at.parent().unwrap()).unwrap();
                std::fs::write(at, text).unwrap();
            }
        }
    }
    dir
}

fn hook_of(root: &Path, init: Init) -> Hook {
    hook(init, Path::new(EXE), &|path| {
        below(root, path).symlink_metadata().is_ok()
    })
}

/// Path → text with mode, or target of a link.
fn tree(root: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut todo = vec![root.to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in std::fs::read_dir(dir).unwrap().flatten() {
            let path = entry.path();
            let shown = path.strip_prefix(root).unwrap().display().to_string();
            let kind = entry.file_type().unwrap();
            if kind.is_symlink() {
                let target = std::fs::read_link(&path).unwrap();
                found.insert(shown, format!("-> {}", target.display()));
            } else if kind.is_dir() {
                todo.push(path);
            } else {
                let text = std::fs::read_to_string(&path).unwrap();
                found.insert(shown, format!("{:o} {text}", mode_of(&path)));
            }
        }
    }
    found
}

/// Installs twice, compares with what is to be there, removes, and compares with what was there before.
fn check(init: Init, paths: &[&str], wanted: &[(&str, &str)]) {
    let dir = host(paths);
    let root = dir.path();
    assert_eq!(detect(root, None), Some(init), "found by its files");
    let before = tree(root);
    let hook = hook_of(root, init);
    assert_eq!(hook.presence(root).unwrap(), Presence::Absent);
    hook.install(root).unwrap();
    let once = tree(root);
    let mut expected: BTreeMap<String, String> = before.clone();
    expected.extend(
        wanted
            .iter()
            .map(|(p, t)| ((*p).to_owned(), (*t).to_owned())),
    );
    assert_eq!(once, expected, "{}", init.name());
    hook.install(root).unwrap();
    assert_eq!(tree(root), once, "a second time changes nothing");
    assert_eq!(hook.presence(root).unwrap(), Presence::Present);
    let moved = super::hook(init, Path::new("/opt/dockless"), &|path| {
        below(root, path).symlink_metadata().is_ok()
    });
    assert_eq!(moved.presence(root).unwrap(), Presence::Outdated);
    assert!(hook.remove(root).unwrap());
    assert_eq!(tree(root), before);
    assert!(!hook.remove(root).unwrap());
}

#[test]
fn systemd() {
    check(
        Init::Systemd,
        &["run/systemd/system/", "etc/systemd/system/"],
        &[
            (
                "etc/systemd/system/dockless.service",
                "644 # Written by `dockless boot enable`; `dockless boot disable` removes it.\n\
                 [Unit]\nDescription=Containers and projects, by their restart policies\n\
                 After=network-online.target local-fs.target\nWants=network-online.target\n\n\
                 [Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/usr/local/bin/dockless boot\n\
                 # Containers and their monitors outlive this unit.\nKillMode=none\nDelegate=yes\n\n\
                 [Install]\nWantedBy=multi-user.target\n",
            ),
            (
                "etc/systemd/system/multi-user.target.wants/dockless.service",
                "-> /etc/systemd/system/dockless.service",
            ),
        ],
    );
}

#[test]
fn openrc() {
    check(
        Init::OpenRc,
        &[
            "etc/runlevels/default/",
            "etc/inittab=::sysinit:/sbin/openrc sysinit\n",
        ],
        &[
            (
                "etc/init.d/dockless",
                "755 #!/sbin/openrc-run\n\
                 # Written by `dockless boot enable`; `dockless boot disable` removes it.\n\n\
                 description=\"Containers and projects, by their restart policies\"\n\n\
                 depend() {\n\tneed localmount\n\tuse net dns\n\tafter bootmisc firewall\n}\n\n\
                 start() {\n\tebegin \"Starting containers\"\n\
                 \t/usr/local/bin/dockless boot >/var/log/dockless-boot.log 2>&1 </dev/null &\n\teend 0\n}\n\n\
                 stop() {\n\t# Containers need nobody who stays with them.\n\treturn 0\n}\n",
            ),
            ("etc/runlevels/default/dockless", "-> /etc/init.d/dockless"),
        ],
    );
}

const LSB: &str = "755 #!/bin/sh\n### BEGIN INIT INFO\n# Provides:          dockless\n\
    # Required-Start:    $local_fs $remote_fs\n# Required-Stop:     $local_fs $remote_fs\n\
    # Should-Start:      $network $named $syslog $time\n# Default-Start:     2 3 4 5\n# Default-Stop:      0 1 6\n\
    # Short-Description: Containers and projects, by their restart policies\n### END INIT INFO\n\
    # Written by `dockless boot enable`; `dockless boot disable` removes it.\n\n\
    case \"$1\" in\nstart)\n\
    \t/usr/local/bin/dockless boot >/var/log/dockless-boot.log 2>&1 </dev/null &\n\t;;\n\
    stop | restart | reload | force-reload)\n\t# Containers need nobody who stays with them.\n\t;;\n\
    status)\n\texec /usr/local/bin/dockless ps\n\t;;\n\
    *)\n\techo \"Usage: $0 {start|stop|restart|force-reload|status}\" >&2\n\texit 2\n\t;;\nesac\n";

#[test]
fn sysvinit() {
    check(
        Init::Sysvinit,
        &[
            "etc/rc2.d/",
            "etc/systemd/system/",
            "etc/inittab=id:2:initdefault:\n",
        ],
        &[
            ("etc/init.d/dockless", LSB),
            ("etc/rc0.d/K01dockless", "-> ../init.d/dockless"),
            ("etc/rc1.d/K01dockless", "-> ../init.d/dockless"),
            ("etc/rc2.d/S99dockless", "-> ../init.d/dockless"),
            ("etc/rc3.d/S99dockless", "-> ../init.d/dockless"),
            ("etc/rc4.d/S99dockless", "-> ../init.d/dockless"),
            ("etc/rc5.d/S99dockless", "-> ../init.d/dockless"),
            ("etc/rc6.d/K01dockless", "-> ../init.d/dockless"),
        ],
    );
    let old = host(&["etc/rc.d/rc3.d/"]);
    let links = hook_of(old.path(), Init::Sysvinit).links;
    let third = (
        "/etc/rc.d/rc3.d/S99dockless".to_owned(),
        "../../init.d/dockless".to_owned(),
    );
    assert!(links.contains(&third), "{links:?}");
}

#[test]
fn runit() {
    let run = "755 #!/bin/sh\n# Written by `dockless boot enable`; `dockless boot disable` removes it.\n\
               exec 2>&1\n/usr/local/bin/dockless boot\n\
               # Once per boot: containers need nobody who stays with them.\nexec sv down .\n";
    check(
        Init::Runit,
        &["etc/runit/runsvdir/default/", "etc/sv/"],
        &[
            ("etc/sv/dockless/run", run),
            ("etc/runit/runsvdir/default/dockless", "-> /etc/sv/dockless"),
        ],
    );
    check(
        Init::Runit,
        &["etc/runit/sv/", "etc/service/"],
        &[
            ("etc/runit/sv/dockless/run", run),
            ("etc/service/dockless", "-> /etc/runit/sv/dockless"),
        ],
    );
}

#[test]
fn s6() {
    check(
        Init::S6,
        &["etc/s6-rc/source/"],
        &[
            ("etc/s6-rc/source/dockless/type", "644 oneshot\n"),
            (
                "etc/s6-rc/source/dockless/up",
                "644 # Written by `dockless boot enable`; `dockless boot disable` removes it.\n/usr/local/bin/dockless boot\n",
            ),
            ("etc/s6-rc/source/default/contents.d/dockless", "644 "),
        ],
    );
    check(
        Init::S6,
        &["etc/s6-linux-init/current/run-image/service/"],
        &[
            (
                "etc/s6-linux-init/current/run-image/service/dockless/run",
                "755 #!/bin/sh\n# Written by `dockless boot enable`; `dockless boot disable` removes it.\n\
                 exec 2>&1\nexec /usr/local/bin/dockless boot\n",
            ),
            (
                "etc/s6-linux-init/current/run-image/service/dockless/finish",
                "755 #!/bin/sh\n# Once per boot: 125 is \"do not start it again\".\nexit 125\n",
            ),
        ],
    );
}

#[test]
fn dinit() {
    check(
        Init::Dinit,
        &["etc/dinit.d/boot.d/", "etc/dinit.d/network"],
        &[
            (
                "etc/dinit.d/dockless",
                "644 # Written by `dockless boot enable`; `dockless boot disable` removes it.\n\
                 type = scripted\ncommand = /usr/local/bin/dockless boot\nstart-timeout = 0\nrestart = false\n\
                 logfile = /var/log/dockless-boot.log\nwaits-for = network\n",
            ),
            ("etc/dinit.d/boot.d/dockless", "-> ../dockless"),
        ],
    );
}

#[test]
fn procd() {
    check(
        Init::Procd,
        &[
            "sbin/procd",
            "etc/rc.common",
            "etc/inittab=::sysinit:/etc/init.d/rcS S boot\n",
        ],
        &[
            (
                "etc/init.d/dockless",
                "755 #!/bin/sh /etc/rc.common\n\
                 # Written by `dockless boot enable`; `dockless boot disable` removes it.\n\n\
                 START=99\nUSE_PROCD=1\n\nstart_service() {\n\tprocd_open_instance\n\
                 \tprocd_set_param command /usr/local/bin/dockless boot\n\tprocd_set_param stdout 1\n\
                 \tprocd_set_param stderr 1\n\tprocd_close_instance\n}\n",
            ),
            ("etc/rc.d/S99dockless", "-> ../init.d/dockless"),
        ],
    );
}

#[test]
fn busybox() {
    check(
        Init::Busybox,
        &["etc/inittab=::sysinit:/etc/rcS\n"],
        &[(
            "etc/inittab",
            "644 ::sysinit:/etc/rcS\n\
             # Written by `dockless boot enable`; `dockless boot disable` removes it.\n\
             ::once:/usr/local/bin/dockless boot >/var/log/dockless-boot.log 2>&1\n",
        )],
    );
}

#[test]
fn an_older_line_is_replaced_and_a_last_line_without_an_end_kept_apart() {
    let dir = host(&["etc/inittab=::sysinit:/etc/rcS"]);
    let old = hook(Init::Busybox, Path::new("/old/dockless"), &|_| false);
    old.install(dir.path()).unwrap();
    let new = hook_of(dir.path(), Init::Busybox);
    new.install(dir.path()).unwrap();
    let text = std::fs::read_to_string(dir.path().join("etc/inittab")).unwrap();
    assert!(text.starts_with("::sysinit:/etc/rcS\n# Written"), "{text}");
    assert_eq!(text.matches("::once:").count(), 1, "{text}");
    assert!(!text.contains("/old/"), "{text}");
}

#[test]
fn what_runs_decides_before_what_lies_there() {
    let running = |exe: &str, comm: &str| Running {
        exe: exe.into(),
        comm: comm.into(),
    };
    let alpine = host(&[
        "etc/runlevels/default/",
        "etc/inittab=::sysinit:x\n",
        "etc/systemd/system/",
    ]);
    let found = |exe, comm| detect(alpine.path(), Some(&running(exe, comm)));
    assert_eq!(found("busybox", "init"), Some(Init::OpenRc));
    assert_eq!(found("systemd", "systemd"), Some(Init::Systemd));
    assert_eq!(found("dinit", "dinit"), Some(Init::Dinit));
    assert_eq!(found("runit", "runit"), Some(Init::Runit));
    assert_eq!(found("s6-svscan", "s6-svscan"), Some(Init::S6));
    assert_eq!(found("procd", "procd"), Some(Init::Procd));
    assert_eq!(detect(host(&[]).path(), Some(&running("sh", "sh"))), None);
    assert_eq!(Init::parse("OpenRC"), Some(Init::OpenRc));
    assert_eq!(Init::parse("upstart"), None);
}
