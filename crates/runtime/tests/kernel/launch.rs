//! What the caller decides about a start beside the configuration.

use crate::world::{Wish, World};
use runtime::{Entry, Keyring};

crate::cases![
    the_session_keyring_is_a_new_one_unless_it_is_kept,
    a_root_may_be_moved_over_the_hosts,
];

fn session_keyring(world: &World, keyring: Keyring) -> i32 {
    let outcome = world.run(&Wish {
        keyring,
        seccomp: runtime::Seccomp::Spec,
        ..Wish::probe(&["keyring"])
    });
    let said = outcome.unwrap().out;
    said.trim().parse().unwrap_or_else(|_| panic!("{said}"))
}

fn the_session_keyring_is_a_new_one_unless_it_is_kept() {
    sys::program::join_new_session_keyring().unwrap();
    let ours = sys::program::session_keyring().unwrap();
    let world = World::new();
    assert_eq!(session_keyring(&world, Keyring::Inherited), ours);
    let new = session_keyring(&world, Keyring::New);
    assert_ne!(new, ours);
    assert_ne!(session_keyring(&world, Keyring::New), new);
}

fn a_root_may_be_moved_over_the_hosts() {
    let world = World::new();
    let seen = |words: &[&str]| {
        let outcome = world.run(&Wish {
            entry: Entry::Move,
            ..Wish::probe(words)
        });
        outcome.unwrap().out.trim_end().to_owned()
    };
    let root = seen(&["ls", "/"]);
    assert!(root.contains("private"), "{root}");
    assert_eq!(seen(&["ls", "/../.."]), root);
    // Of the host's mounts none is in reach: what is shown begins at the container's root.
    let mounts = seen(&["cat", "/proc/self/mountinfo"]);
    let points: Vec<&str> = mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .collect();
    assert!(points.contains(&"/") && points.contains(&"/proc"));
    assert!(
        points.iter().all(|point| {
            ["/", "/proc", "/sys", "/dev"]
                .iter()
                .any(|known| point == known || point.starts_with(&format!("{known}/")))
        }),
        "{mounts}"
    );
}
