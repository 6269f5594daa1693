//! Hooks of a birth: where they run, in which order, what they are told, and what their failure does.

use crate::world::{Wish, World, chain};
use oci_spec::runtime::{Hook, HookBuilder, Hooks, Spec, StateBuilder};
use runtime::hooks::{HookKind, State};
use runtime::{Error, InitError};

crate::cases![
    all_kinds_in_order_and_place,
    a_failure_stops_the_container,
    time_limits,
    start_hooks_have_the_rights_of_the_command,
    without_a_state_none_runs,
    the_barrier_may_open_before_the_hooks_have_run,
];

fn sh(script: &str) -> Hook {
    HookBuilder::default()
        .path("/bin/sh")
        .args(["sh", "-c", script].map(str::to_owned))
        .build()
        .unwrap()
}

fn probe(words: &[&str]) -> Hook {
    let args: Vec<String> = ["probe"]
        .iter()
        .chain(words)
        .map(|word| (*word).to_owned())
        .collect();
    HookBuilder::default()
        .path("/bin/probe")
        .args(args)
        .build()
        .unwrap()
}

#[allow(deprecated)]
fn set(spec: &mut Spec, kind: HookKind, list: Vec<Hook>) {
    let mut hooks = spec.hooks().clone().unwrap_or_default();
    match kind {
        HookKind::Prestart => hooks.set_prestart(Some(list)),
        HookKind::CreateRuntime => hooks.set_create_runtime(Some(list)),
        HookKind::CreateContainer => hooks.set_create_container(Some(list)),
        HookKind::StartContainer => hooks.set_start_container(Some(list)),
        HookKind::Poststart => hooks.set_poststart(Some(list)),
        HookKind::Poststop => hooks.set_poststop(Some(list)),
    };
    spec.set_hooks(Some(hooks));
}

fn state(world: &World) -> State {
    StateBuilder::default()
        .version("1.2.0")
        .id("hooked")
        .bundle(&world.dir)
        .build()
        .unwrap()
}

/// Notes the kind, the pid it was told, and its own namespaces.
fn note(world: &World, kind: &str) -> Hook {
    let log = world.path("log");
    sh(&format!(
        "set -- {kind} $(sed 's/.*\"status\":\"\\([a-z]*\\)\".*\"pid\":\\([0-9]*\\).*/\\1 \\2/'); \
         echo $* $(readlink /proc/self/ns/uts) $(pwd) >> {}",
        log.display()
    ))
}

fn all_kinds_in_order_and_place() {
    let world = World::new();
    let wish = Wish {
        state: Some(state(&world)),
        edit: Box::new(|spec| {
            set(spec, HookKind::CreateContainer, vec![note(&world, "c")]);
            set(
                spec,
                HookKind::CreateRuntime,
                vec![note(&world, "r1"), note(&world, "r2")],
            );
            set(spec, HookKind::Prestart, vec![note(&world, "p")]);
            set(
                spec,
                HookKind::StartContainer,
                vec![probe(&["write", "/tmp/started", "yes"])],
            );
        }),
        ..Wish::probe(&["cat", "/tmp/started"])
    };
    let mut running = world.start(&wish).unwrap();
    let pid = running.started.pid;
    let mut out = String::new();
    std::io::Read::read_to_string(&mut running.out, &mut out).unwrap();
    assert_eq!(out.trim(), "yes");
    let log = std::fs::read_to_string(world.path("log")).unwrap();
    let lines: Vec<Vec<&str>> = log
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    let kinds: Vec<&str> = lines.iter().map(|line| line[0]).collect();
    assert_eq!(kinds, ["p", "r1", "r2", "c"], "{log}");
    let ours = std::fs::read_link("/proc/self/ns/uts").unwrap();
    let bundle = world.dir.to_string_lossy().into_owned();
    for line in &lines[..3] {
        assert_eq!(line[1..3], ["creating", &pid.to_string()], "{log}");
        assert_eq!(line[3], ours.to_string_lossy());
        assert_eq!(line[4], bundle);
    }
    // In the container's namespaces the process is the first.
    assert_eq!(lines[3][1..3], ["creating", "1"], "{log}");
    assert_ne!(lines[3][3], ours.to_string_lossy());
}

fn a_failure_stops_the_container() {
    for kind in [
        HookKind::Prestart,
        HookKind::CreateRuntime,
        HookKind::CreateContainer,
    ] {
        let world = World::new();
        let wish = Wish {
            state: Some(state(&world)),
            edit: Box::new(|spec| set(spec, kind, vec![sh("echo no luck >&2; exit 5")])),
            ..Wish::default()
        };
        let error = world.refused(&wish);
        assert_eq!(
            chain(&error),
            format!(
                "the {} hook failed with exit code 5: /bin/sh: no luck",
                kind.name()
            )
        );
    }
    let world = World::new();
    let wish = Wish {
        state: Some(state(&world)),
        edit: Box::new(|spec| {
            set(spec, HookKind::StartContainer, vec![probe(&["exit", "6"])]);
        }),
        ..Wish::default()
    };
    assert!(matches!(
        world.refused(&wish),
        Error::Init(InitError::Hook(runtime::hooks::Error::Failed {
            kind: HookKind::StartContainer,
            code: 6,
            ..
        }))
    ));
}

fn time_limits() {
    let world = World::new();
    let wish = Wish {
        state: Some(state(&world)),
        edit: Box::new(|spec| {
            let mut slow = sh("sleep 1000");
            slow.set_timeout(Some(1));
            set(spec, HookKind::CreateContainer, vec![slow]);
        }),
        ..Wish::default()
    };
    assert!(matches!(
        world.refused(&wish),
        Error::Init(InitError::Hook(runtime::hooks::Error::TimedOut { .. }))
    ));
}

/// They are programs of the image: neither capabilities nor calls that the command does not have.
fn start_hooks_have_the_rights_of_the_command() {
    let world = World::new();
    let hooks = |file: &'static str| {
        move |spec: &mut Spec| {
            set(
                spec,
                HookKind::StartContainer,
                vec![probe(&["copy", "/proc/self/status", file])],
            );
        }
    };
    for no_new_privs in [false, true] {
        let wish = Wish {
            no_new_privs,
            capabilities: Vec::new(),
            state: Some(state(&world)),
            edit: Box::new(hooks("/tmp/status")),
            ..Wish::probe(&["cat", "/tmp/status"])
        };
        let status = world.ask(&wish);
        for line in [
            "CapEff:\t0000000000000000",
            "CapBnd:\t0000000000000000",
            "Seccomp:\t2",
        ] {
            assert!(status.contains(line), "{line} in {status}");
        }
    }
}

fn without_a_state_none_runs() {
    let world = World::new();
    let wish = Wish {
        edit: Box::new(|spec| {
            for kind in HookKind::ALL {
                set(spec, kind, vec![sh("exit 1")]);
            }
            let hooks: Option<Hooks> = spec.hooks().clone();
            assert!(hooks.is_some());
        }),
        ..Wish::default()
    };
    assert_eq!(world.run(&wish).unwrap().status.code(), 0);
}

/// `start` sends its word before it reads init's question.
fn the_barrier_may_open_before_the_hooks_have_run() {
    let world = World::new();
    for _ in 0..3 {
        let wish = Wish {
            state: Some(state(&world)),
            edit: Box::new(|spec| set(spec, HookKind::CreateRuntime, vec![sh("exit 0")])),
            ..Wish::default()
        };
        assert_eq!(world.run(&wish).unwrap().status.code(), 0);
    }
}
