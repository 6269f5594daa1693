//! A container that one process makes and another one starts.

use crate::world::{Wish, World, chain};
use runtime::{Error, ExitStatus, Gate, Launch, Netns, Pending, Request, Started, Stdio, gate};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

crate::cases![
    waits_for_its_starter,
    tells_the_starter_what_went_wrong,
    a_missing_command_is_the_creators_error,
    ends_with_its_creator,
    outlives_starters_without_a_word,
    a_dead_container_is_told_from_a_waiting_one,
];

/// A directory's handle, its path longer than a socket's address may be.
fn directory(world: &World) -> OwnedFd {
    let path = world.folder(&"long".repeat(40));
    sys::mount::open_root(&path).unwrap()
}

fn create(world: &World, directory: &OwnedFd, wish: &Wish<'_>) -> Pending {
    let listener = gate::listen(directory.as_fd()).unwrap();
    let spec = crate::world::spec(wish);
    let null = std::fs::File::open("/dev/null").unwrap();
    let stdio = Stdio::Fds {
        stdin: null.as_fd(),
        stdout: null.as_fd(),
        stderr: null.as_fd(),
    };
    runtime::spawn(&Request {
        spec: &spec,
        rootfs: world.overlay(),
        stdio,
        cgroup: None,
        netns: Netns::Spec,
        user: None,
        copy_up: Vec::new(),
        reaper: wish.reaper,
        seccomp: wish.seccomp,
        launch: Launch {
            gate: Gate::Listener(listener.as_fd()),
            ..Launch::default()
        },
    })
    .unwrap()
}

fn end(started: &Started) -> ExitStatus {
    sys::process::wait(&started.pidfd).unwrap()
}

fn waits_for_its_starter() {
    let world = World::new();
    let directory = directory(&world);
    let pending = create(&world, &directory, &Wish::probe(&["exit", "42"]));
    let waiting = pending.leave().unwrap();
    assert!(gate::is_shut(directory.as_fd()));
    assert_eq!(sys::process::try_wait(&waiting.pidfd).unwrap(), None);
    gate::open(directory.as_fd()).unwrap();
    assert!(!gate::is_shut(directory.as_fd()));
    assert_eq!(end(&waiting), ExitStatus::Code(42));
}

fn tells_the_starter_what_went_wrong() {
    let world = World::new();
    let directory = directory(&world);
    let wish = Wish {
        args: vec!["garbage"],
        ..Wish::default()
    };
    let waiting = create(&world, &directory, &wish).leave().unwrap();
    let error = gate::open(directory.as_fd()).unwrap_err();
    assert_eq!(chain(&error), "exec /bin/garbage: exec format error");
    assert_eq!(end(&waiting), ExitStatus::Code(126));
    assert!(!gate::is_shut(directory.as_fd()));
}

fn a_missing_command_is_the_creators_error() {
    let world = World::new();
    let directory = directory(&world);
    let wish = Wish {
        args: vec!["no-such-program"],
        ..Wish::default()
    };
    let error = create(&world, &directory, &wish).built().unwrap_err();
    assert_eq!(
        chain(&error),
        "exec: \"no-such-program\": executable file not found in $PATH"
    );
}

fn ends_with_its_creator() {
    let world = World::new();
    let directory = directory(&world);
    let mut pending = create(&world, &directory, &Wish::default());
    pending.built().unwrap();
    let pid = pending.pid();
    drop(pending);
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
}

fn outlives_starters_without_a_word() {
    let world = World::new();
    let directory = directory(&world);
    let waiting = create(&world, &directory, &Wish::probe(&["exit", "3"]))
        .leave()
        .unwrap();
    let path = world.path(&"long".repeat(40));
    let short = world.path("short");
    std::os::unix::fs::symlink(path, &short).unwrap();
    drop(sys::socket::connect(&short.join("start"), sys::socket::Type::SEQPACKET).unwrap());
    gate::open(directory.as_fd()).unwrap();
    assert_eq!(end(&waiting), ExitStatus::Code(3));
}

fn a_dead_container_is_told_from_a_waiting_one() {
    let world = World::new();
    let directory = directory(&world);
    let waiting = create(&world, &directory, &Wish::default())
        .leave()
        .unwrap();
    sys::process::pidfd_send_signal(&waiting.pidfd, 9).unwrap();
    assert_eq!(end(&waiting), ExitStatus::Signal(9));
    assert!(matches!(gate::open(directory.as_fd()), Err(Error::Gone(_))));
    assert!(!gate::is_shut(directory.as_fd()));
}
