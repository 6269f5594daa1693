//! What cannot start says why, with Docker's words and codes.

use crate::world::{Wish, World, chain};
use oci_spec::runtime::LinuxNamespaceType;
use runtime::{Errno, Error, InitError, Overlay, Rootfs};
use std::collections::HashMap;

crate::cases![
    not_in_path,
    no_such_file,
    not_executable,
    a_directory,
    wrong_format,
    missing_interpreter,
    missing_bind_source,
    missing_layer,
    wrong_mount_option,
    wrong_sysctl,
    user_namespace_without_ids,
    missing_namespace,
    empty_command,
    callers_with_threads,
];

fn check(args: &[&'static str], text: &str, code: i32) {
    let world = World::new();
    for reaper in [runtime::Reaper::None, runtime::Reaper::Init] {
        let error = world.refused(&Wish {
            args: args.to_vec(),
            reaper,
            ..Wish::default()
        });
        assert_eq!((chain(&error).as_str(), error.exit_code()), (text, code));
    }
}

fn not_in_path() {
    check(
        &["foo"],
        "exec: \"foo\": executable file not found in $PATH",
        127,
    );
}

fn no_such_file() {
    check(
        &["/bin/foo"],
        "exec: \"/bin/foo\": stat /bin/foo: no such file or directory",
        127,
    );
}

fn not_executable() {
    check(
        &["/bin/plain"],
        "exec: \"/bin/plain\": permission denied",
        126,
    );
    check(&["plain"], "exec: \"plain\": permission denied", 126);
}

fn a_directory() {
    check(
        &["/etc"],
        "exec: \"/etc\": is a directory: permission denied",
        126,
    );
}

fn wrong_format() {
    check(&["garbage"], "exec /bin/garbage: exec format error", 126);
}

fn missing_interpreter() {
    check(
        &["/bin/orphaned-script"],
        "exec /bin/orphaned-script: no such file or directory",
        127,
    );
}

fn missing_bind_source() {
    let world = World::new();
    let missing = runtime::defaults::bind(&world.path("db"), "/srv/db", &[]);
    let error = world.refused(&Wish {
        mounts: vec![missing],
        ..Wish::default()
    });
    let source = world.path("db").display().to_string();
    assert_eq!(
        chain(&error),
        format!("cannot mount {source} at /srv/db: source {source} does not exist")
    );
    assert!(matches!(
        error,
        Error::Init(InitError::SourceMissing { .. })
    ));
}

fn missing_layer() {
    let world = World::new();
    let lower = vec![crate::base(), world.path("nowhere")];
    let rootfs = Some(Rootfs::Overlay(Overlay {
        lower,
        upper: None,
        volatile: false,
        idmap: None,
    }));
    let text = chain(&world.refused(&Wish {
        rootfs,
        ..Wish::default()
    }));
    assert!(
        text.contains(&format!(
            "{}: no such file or directory",
            world.path("nowhere").display()
        )),
        "{text}"
    );
}

fn wrong_mount_option() {
    let mount = runtime::defaults::mount("/x", "tmpfs", &["size=many"]);
    let error = World::new().refused(&Wish {
        mounts: vec![mount],
        ..Wish::default()
    });
    let text = chain(&error);
    assert!(
        text.starts_with("cannot mount tmpfs at /x (") && text.contains("size"),
        "{text}"
    );
}

fn wrong_sysctl() {
    let sysctl = HashMap::from([("net.ipv4.no_such_thing".to_owned(), "1".to_owned())]);
    let error = World::new().refused(&Wish {
        sysctl,
        ..Wish::default()
    });
    assert_eq!(
        chain(&error),
        "cannot set the sysctl net.ipv4.no_such_thing=1: no such file or directory"
    );
}

fn user_namespace_without_ids() {
    let mut namespaces = runtime::defaults::namespaces();
    namespaces.push(runtime::defaults::namespace(LinuxNamespaceType::User));
    assert!(matches!(
        World::new().refused(&Wish {
            namespaces,
            ..Wish::default()
        }),
        Error::WrongMap { .. }
    ));
}

fn missing_namespace() {
    let mut namespaces = crate::world::namespaces_without(LinuxNamespaceType::Ipc);
    let mut ipc = runtime::defaults::namespace(LinuxNamespaceType::Ipc);
    ipc.set_path(Some("/proc/no/ns".into()));
    namespaces.push(ipc);
    assert!(matches!(
        World::new().refused(&Wish {
            namespaces,
            ..Wish::default()
        }),
        Error::OpenNamespace { kind: "ipc", .. }
    ));
}

fn empty_command() {
    let error = World::new().refused(&Wish {
        args: vec![],
        ..Wish::default()
    });
    assert!(
        matches!(error, Error::Init(InitError::NoCommand)),
        "{error:?}"
    );
    assert_eq!(Errno::NOENT.to_string(), "no such file or directory");
}

fn callers_with_threads() {
    let world = World::new();
    let other = std::thread::spawn(std::thread::park);
    let refused = world.refused(&Wish::default());
    other.thread().unpark();
    let _ = other.join();
    assert!(matches!(refused, Error::Threads), "{refused:?}");
}
