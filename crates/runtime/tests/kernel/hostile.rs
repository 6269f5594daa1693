//! Images and volumes that try to reach the host: nothing of it is touched.

use crate::world::{Wish, World, chain, text};
use runtime::CopyUp;
use runtime::defaults::bind;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

crate::cases![
    links_in_place_of_mount_points,
    volume_target_through_a_link,
    passwd_that_leads_out,
    proc_through_a_link,
    working_directory_of_ours_cve_2024_21626,
    own_executable_cve_2019_5736,
    copy_up_from_a_link,
    copy_up_into_a_link,
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

fn proc_through_a_link() {
    let world = World::new();
    layer_with(&world, "proc", "/tmp");
    let error = world.refused(&Wish::default());
    assert!(
        chain(&error).starts_with("cannot make the mount point /proc"),
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

fn copy_up_from_a_link() {
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

fn copy_up_into_a_link() {
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
