//! Images and volumes that try to reach the host: nothing of it is touched.

use crate::world::{Wish, World, chain, text};
use oci_spec::runtime::MountBuilder;
use runtime::CopyUp;
use runtime::defaults::bind;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

crate::cases![
    links_in_place_of_mount_points,
    dev_as_a_link_without_a_mount,
    volume_target_through_a_link,
    passwd_that_leads_out,
    proc_through_a_link_cve_2019_19921_cve_2023_28642,
    mount_point_that_leads_into_proc_cve_2023_27561_cve_2019_19921,
    mount_points_beneath_a_swapped_directory_cve_2021_30465_cve_2024_45310,
    volume_over_proc_cve_2019_16884,
    host_directory_as_command_cve_2024_21626,
    terminal_in_a_directory_of_lies_cve_2025_52565,
    control_groups_are_read_only_cve_2023_25809,
    setting_that_climbs_out_cve_2025_52881,
    working_directory_of_ours_cve_2024_21626,
    own_executable_cve_2019_5736,
    copy_up_from_a_link_cve_2022_23648,
    copy_up_into_a_link_cve_2022_23648,
    null_device_of_the_image_cve_2025_31133,
    hostile_pipe_for_passwd,
];

/// A victim on the host, and a layer whose links lead to it.
fn layer_with(world: &World, link: &str, to: &str) -> PathBuf {
    let lower = world.folder("lower");
    let path = lower.join(link);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    symlink(to, &path).unwrap();
    lower
}

fn entries(path: impl AsRef<std::path::Path>) -> usize {
    std::fs::read_dir(path).map(Iterator::count).unwrap_or(0)
}

/// The overlay hides the base's directory of the same name only if it is not one: a link of an upper layer does.
fn links_in_place_of_mount_points() {
    let world = World::new();
    let victim = world.folder("victim");
    let victim_text = victim.display().to_string();
    for link in ["dev", "etc", "srv"] {
        layer_with(&world, link, &victim_text);
    }
    let source = world.folder("volume");
    let mounts = vec![bind(&source, "/srv/x", &[]), bind(&source, "/etc/y", &[])];
    // Everything goes to the place of that name inside the root.
    let listed = world.ask(&Wish {
        mounts,
        ..Wish::probe(&["ls", "/dev"])
    });
    assert!(listed.contains("null"), "{listed}");
    assert_eq!(entries(&victim), 0);
    assert!(
        world
            .path("upper")
            .join(victim.strip_prefix("/").unwrap())
            .is_dir()
    );
}

fn dev_as_a_link_without_a_mount() {
    let world = World::new();
    let victim = world.folder("victim");
    layer_with(&world, "dev", &victim.display().to_string());
    let error = world.refused(&Wish {
        edit: Box::new(|spec: &mut oci_spec::runtime::Spec| {
            let mut mounts = spec.mounts().clone().unwrap();
            mounts.retain(|mount| !mount.destination().starts_with("/dev"));
            spec.set_mounts(Some(mounts));
        }),
        ..Wish::default()
    });
    assert!(
        chain(&error).contains("/dev of the root file system is a link"),
        "{}",
        chain(&error)
    );
    assert_eq!(entries(&victim), 0);
}

fn volume_target_through_a_link() {
    let world = World::new();
    let victim = world.folder("victim");
    layer_with(
        &world,
        "out",
        &format!("../../../../../..{}", victim.display()),
    );
    let source = world.folder("volume");
    std::fs::write(source.join("a"), "x").unwrap();
    let mounts = vec![
        bind(&source, "/out/x", &[]),
        bind(&source.join("a"), "/out/file", &[]),
    ];
    assert_eq!(
        world.ask(&Wish {
            mounts,
            ..Wish::probe(&["cat", "/out/x/a"])
        }),
        "x"
    );
    assert_eq!(entries(&victim), 0);
}

/// A name that is no link in the plan, but one in the image: the volume would hide what the masks are to cover.
fn mount_point_that_leads_into_proc_cve_2023_27561_cve_2019_19921() {
    let world = World::new();
    layer_with(&world, "data", "/proc");
    layer_with(&world, "deep", "/proc/sys/kernel");
    let volume = world.folder("volume");
    for target in ["/data", "/deep", "/data/sys"] {
        let wish = Wish {
            mounts: vec![bind(&volume, target, &[])],
            ..Wish::probe(&["ls", "/proc"])
        };
        let text = chain(&world.refused(&wish));
        assert!(text.contains("inside /proc"), "{target}: {text}");
    }
    // What is bound from elsewhere is not the container's own.
    let wish = Wish {
        mounts: vec![
            bind("/proc".as_ref(), "/host-proc", &[]),
            bind(&volume, "/host-proc/sys", &[]),
        ],
        ..Wish::probe(&["ls", "/host-proc/sys"])
    };
    assert_eq!(world.ask(&wish), "");
}

/// The volume is another container's too, which swaps a directory for a link that leads out while mount points are made below
/// it. Wherever the race ends, nothing appears on the host.
fn mount_points_beneath_a_swapped_directory_cve_2021_30465_cve_2024_45310() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let world = World::new();
    let (volume, source) = (world.folder("volume"), world.folder("source"));
    let victim = world.folder("victim");
    let up = format!("../../../../../../../../../..{}", victim.display());
    symlink(&up, volume.join("link")).unwrap();
    std::fs::create_dir(volume.join("spare")).unwrap();
    let over = AtomicBool::new(false);
    let exchange = || {
        let dir = std::fs::File::open(&volume).unwrap();
        let flags = rustix::fs::RenameFlags::EXCHANGE;
        while !over.load(Ordering::Relaxed) {
            rustix::fs::renameat_with(&dir, "link", &dir, "spare", flags).unwrap();
        }
    };
    // Init is cloned by a process without threads: the attacker is one of its own.
    match sys::process::clone_single_threaded(0, None).unwrap() {
        sys::process::Cloned::Child(_) => {
            exchange();
            sys::process::exit_now(0)
        }
        sys::process::Cloned::Parent(attacker) => {
            let rounds = (0..60).map(|round| {
                let (directory, file) =
                    (format!("/v/spare/d{round}"), format!("/v/spare/f{round}"));
                std::fs::write(source.join("file"), "x").unwrap();
                let wish = Wish {
                    mounts: vec![
                        bind(&volume, "/v", &[]),
                        bind(&source, &directory, &[]),
                        bind(&source.join("file"), &file, &[]),
                    ],
                    ..Wish::default()
                };
                world.run(&wish).is_ok()
            });
            let went = rounds.filter(|ok| *ok).count();
            sys::process::pidfd_send_signal(&attacker.pidfd, 9).unwrap();
            sys::process::wait(&attacker.pidfd).unwrap();
            assert!(went > 0, "some get through");
        }
    }
    assert_eq!(entries(&victim), 0);
}

fn passwd_that_leads_out() {
    let world = World::new();
    std::fs::write(world.path("passwd"), "intruder:x:4321:4321::/:\n").unwrap();
    layer_with(&world, "etc/passwd", world.path("passwd").to_str().unwrap());
    let error = world.refused(&Wish {
        user: Some("intruder"),
        ..Wish::default()
    });
    assert!(
        chain(&error).contains("unable to find user intruder"),
        "{}",
        chain(&error)
    );
}

fn proc_through_a_link_cve_2019_19921_cve_2023_28642() {
    let world = World::new();
    layer_with(&world, "proc", "/tmp");
    let error = world.refused(&Wish::default());
    assert!(
        chain(&error)
            .starts_with("cannot mount proc at /proc: it must be mounted on ordinary directory"),
        "{}",
        chain(&error)
    );
}

fn working_directory_of_ours_cve_2024_21626() {
    let world = World::new();
    for fd in 3..12 {
        let cwd = format!("/proc/self/fd/{fd}");
        let wish = Wish {
            cwd: &cwd,
            ..Wish::probe(&["ls", "."])
        };
        // Refused by openat2; a number that is not open is simply not there.
        let text = chain(&world.refused(&wish));
        assert!(text.contains("working directory"), "{text}");
    }
}

/// Descriptors of the caller that lead to the host are not there any more when the command's path is looked up, nor when the
/// kernel looks up the interpreter it names.
fn host_directory_as_command_cve_2024_21626() {
    let world = World::new();
    // As a caller has them: directories of the host, close-on-exec.
    let held: Vec<_> = (0..8)
        .map(|_| std::fs::File::open(crate::base()).unwrap())
        .collect();
    let bin = world.folder("lower/bin");
    for fd in 3..24 {
        let path = format!("/proc/self/fd/{fd}/bin/probe");
        let script = bin.join("script");
        std::fs::write(&script, format!("#!{path} exit\n")).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&script, mode).unwrap();
        for command in [path.as_str(), "/bin/script"] {
            let wish = Wish {
                args: vec![command, "exit", "0"],
                ..Wish::default()
            };
            let error = world.refused(&wish);
            assert!([126, 127].contains(&error.exit_code()), "{}", chain(&error));
        }
    }
    drop(held);
}

/// A /dev that is somebody else's: its `pts` is no devpts, its `console` a link that leads out.
fn terminal_in_a_directory_of_lies_cve_2025_52565() {
    let world = World::new();
    let (dev, victim) = (world.folder("dev"), world.folder("victim"));
    std::fs::create_dir(dev.join("pts")).unwrap();
    std::fs::write(dev.join("pts/ptmx"), "").unwrap();
    symlink(victim.join("made"), dev.join("console")).unwrap();
    let wish = |mounts| Wish {
        mounts,
        terminal: true,
        ..Wish::probe(&["tty"])
    };
    let error = world.refused(&wish(vec![bind(&dev, "/dev", &[])]));
    assert!(chain(&error).contains("terminal"), "{}", chain(&error));
    // The same with a devpts that is one.
    let pts = MountBuilder::default()
        .destination("/dev/pts")
        .typ("devpts")
        .source("devpts")
        .options(["newinstance", "ptmxmode=0666"].map(str::to_owned))
        .build()
        .unwrap();
    let error = world.refused(&wish(vec![bind(&dev, "/dev", &[]), pts]));
    assert!(chain(&error).contains("terminal"), "{}", chain(&error));
    assert_eq!(entries(&victim), 0);
}

fn control_groups_are_read_only_cve_2023_25809() {
    let world = World::new();
    let listed = world.ask(&Wish::probe(&["ls", "/sys/fs/cgroup"]));
    for name in listed.split(' ').chain(["."]) {
        for file in ["release_agent", "notify_on_release", "cgroup.procs"] {
            let path = format!("/sys/fs/cgroup/{name}/{file}");
            let answer = world.ask(&Wish::probe(&["open", &path]));
            assert!(
                ["errno 30", "errno 2", "errno 20"].contains(&answer.as_str()),
                "{path}: {answer}"
            );
        }
        let made = world.ask(&Wish::probe(&[
            "mkdir",
            &format!("/sys/fs/cgroup/{name}/x"),
        ]));
        assert!(
            ["errno 30", "errno 20"].contains(&made.as_str()),
            "{name}: {made}"
        );
    }
}

/// Dots and slashes are each other's stand-ins in the names of settings, so that `//` is `..`.
fn setting_that_climbs_out_cve_2025_52881() {
    let world = World::new();
    let before = text("/proc/sys/kernel/core_pattern");
    for key in [
        "net.//.kernel.core_pattern",
        "net/../kernel/core_pattern",
        "net.//.//.sysrq-trigger",
    ] {
        let wish = Wish {
            sysctl: [(key.to_owned(), "h".to_owned())].into(),
            ..Wish::default()
        };
        let text = chain(&world.refused(&wish));
        assert!(text.contains(key), "{text}");
    }
    assert_eq!(text("/proc/sys/kernel/core_pattern"), before);
}

fn volume_over_proc_cve_2019_16884() {
    let world = World::new();
    let volume = world.folder("volume");
    for target in ["/proc", "/proc/self", "/x/../proc/sys", "//proc/./irq"] {
        let wish = Wish {
            mounts: vec![bind(&volume, target, &[])],
            ..Wish::default()
        };
        let text = chain(&world.refused(&wish));
        assert!(text.contains("inside /proc"), "{target}: {text}");
    }
}

fn own_executable_cve_2019_5736() {
    let world = World::new();
    layer_with(&world, "bin/evil", "/proc/self/exe");
    let error = world.refused(&Wish {
        args: vec!["evil"],
        ..Wish::default()
    });
    assert_eq!(
        (
            chain(&error).contains("refusing to execute the runtime itself"),
            error.exit_code()
        ),
        (true, 126)
    );
    // As interpreter it cannot be refused before it runs: then it runs from a read-only mount, which the runner of these cases
    // made for this process as it does for every role.
    let exe = rustix::fs::open(
        "/proc/self/exe",
        rustix::fs::OFlags::PATH,
        rustix::fs::Mode::empty(),
    )
    .unwrap();
    assert!(
        rustix::fs::fstatvfs(exe)
            .unwrap()
            .f_flag
            .contains(rustix::fs::StatVfsMountFlags::RDONLY)
    );
    assert!(
        std::fs::OpenOptions::new()
            .write(true)
            .open("/proc/self/exe")
            .is_err()
    );
}

fn copy_up_from_a_link_cve_2022_23648() {
    let world = World::new();
    let secret = world.folder("secret");
    std::fs::write(secret.join("key"), "x").unwrap();
    layer_with(&world, "var/lib/x", secret.to_str().unwrap());
    let volume = world.folder("volume");
    let copy_up = vec![CopyUp {
        target: "/var/lib/x".into(),
        volume: volume.clone(),
    }];
    world.ask(&Wish {
        copy_up,
        ..Wish::default()
    });
    assert_eq!(entries(&volume), 0);
}

fn copy_up_into_a_link_cve_2022_23648() {
    let world = World::new();
    let victim = world.folder("victim");
    symlink(&victim, world.path("volume")).unwrap();
    let copy_up = vec![CopyUp {
        target: "/data".into(),
        volume: world.path("volume"),
    }];
    let error = world.refused(&Wish {
        copy_up,
        ..Wish::default()
    });
    assert!(
        chain(&error).contains("cannot copy the image's content of /data"),
        "{}",
        chain(&error)
    );
    assert_eq!(entries(&victim), 0);
}

fn null_device_of_the_image_cve_2025_31133() {
    let world = World::new();
    layer_with(&world, "dev/null", "/proc/sys/kernel/core_pattern");
    assert_eq!(world.ask(&Wish::probe(&["cat", "/proc/keys"])), "");
    let before = text("/proc/sys/kernel/core_pattern");
    assert_eq!(world.ask(&Wish::probe(&["write", "/proc/keys", "x"])), "ok");
    assert_eq!(text("/proc/sys/kernel/core_pattern"), before);
}

fn hostile_pipe_for_passwd() {
    let world = World::new();
    let etc = world.folder("lower/etc");
    sys::pipe::make_fifo(&etc.join("passwd"), 0o644).unwrap();
    let error = world.refused(&Wish {
        user: Some("redis"),
        ..Wish::default()
    });
    assert!(chain(&error).contains("unable to find user redis"));
    assert_eq!(
        world.ask(&Wish {
            user: Some("5"),
            ..Wish::probe(&["id"])
        }),
        "5 0 0"
    );
}
