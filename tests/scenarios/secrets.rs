//! What must stay between its owner and the container: nobody else on the host reads it in a command line, a record, a log or a
//! socket, whatever umask the caller has.

use rustix::process::Signal;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use testkit::{Host, Registry, eventually, kernel, scenarios};

scenarios!(
    no_secret_is_seen_by_others,
    nothing_private_is_open_to_others_whatever_the_umask_cve_2021_41091,
    no_abstract_socket_is_offered_cve_2020_15257,
    who_executes_in_a_container_runs_from_a_sealed_file_cve_2019_5736,
    the_binary_loads_nothing_cve_2019_14271
);

/// One word for everything that is secret here.
const SECRET: &str = "hunter2-correct-horse";

/// Whether somebody who is not root can open the file: by its own mode, and by those of the directories above up to `top`.
fn open_to_others(path: &Path, top: &Path) -> bool {
    let mode = |path: &Path| path.symlink_metadata().map_or(0, |meta| meta.mode());
    let mut above = path
        .ancestors()
        .skip(1)
        .take_while(|dir| dir.starts_with(top));
    mode(path) & 0o006 != 0 && above.all(|dir| mode(dir) & 0o001 != 0)
}

fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        found.push(path.clone());
        if path.is_dir() && !path.is_symlink() {
            walk(&path, found);
        }
    }
}

fn files_of(host: &Host) -> Vec<(PathBuf, PathBuf)> {
    let mut all = Vec::new();
    for top in [host.data_root(), host.run_root()] {
        let mut found = Vec::new();
        walk(&top, &mut found);
        all.extend(found.into_iter().map(|path| (top.clone(), path)));
    }
    all
}

/// No process that is the engine's own has the secret where `ps` shows it.
fn nobody_tells(host: &Host) {
    for pid in host.processes() {
        let words = kernel::command_line(pid);
        if words.contains("dockless") || words.contains("docker") {
            assert!(!words.contains(SECRET), "{words}");
        }
    }
}

/// A container with a secret in its variables, its health check and its input; a project with a secret file, a variable and a
/// hook; a registry account; a secret of a build.
fn no_secret_is_seen_by_others(host: &Host) {
    let health = "--health-cmd 'test -n \"$PASSWORD\"' --health-interval 200ms";
    host.docker(&format!(
        "run -d --name db -e PASSWORD {health} busybox sleep 1000"
    ))
    .env("PASSWORD", SECRET)
    .ok();
    let shown = host
        .docker("exec -e TOKEN db sh -c 'echo $TOKEN; cat /proc/1/environ'")
        .env("TOKEN", SECRET)
        .ok();
    assert_eq!(shown.matches(SECRET).count(), 2, "it does arrive");
    let project = host.compose_file(
        "shop",
        "services:\n  web:\n    image: busybox\n    command: sleep 1000\n    init: true\n    environment:\n      - KEY\n\
         \x20   secrets: [key]\n    post_start:\n      - command: sh -c 'test -n \"$$HOOK\" && echo $$HOOK > /hooked; sleep 1'\n\
         \x20       environment:\n          - HOOK=${KEY}\n\
         secrets:\n  key:\n    environment: KEY\n",
    );
    let up = project.compose("up -d").env("KEY", SECRET).start();
    eventually("the hook runs", || {
        nobody_tells(host);
        host.docker("exec shop-web-1 cat /hooked")
            .run()
            .stdout
            .contains(SECRET)
            .then_some(())
    });
    assert_eq!(up.end().0, 0);
    if Registry::installed() {
        let registry = Registry::with_password(host, 5061, "ann", SECRET);
        let config = host.folder("docker-config");
        let at = &registry.address;
        let docker = |words: &str| host.docker(words).env("DOCKER_CONFIG", &config);
        docker(&format!("login -u ann --password-stdin {at}"))
            .stdin(format!("{SECRET}\n"))
            .ok();
        docker(&format!("tag busybox {at}/private:1")).ok();
        let said = docker(&format!("-D push {at}/private:1")).run();
        assert_eq!(said.code, 0, "{said}");
        assert!(!said.all().contains(SECRET), "debug output tells nothing");
        let file = config.join("config.json").metadata().expect("config.json");
        assert_eq!(file.mode() & 0o077, 0);
    }
    let build = host.folder("build");
    fs::write(build.join("key"), SECRET).expect("a file");
    fs::write(
        build.join("Dockerfile"),
        "FROM busybox\nRUN --mount=type=secret,id=key,env=KEY test -n \"$KEY\" && test -s /run/secrets/key || test -n \"$KEY\"\n",
    )
    .expect("a file");
    host.docker("build -t built --secret id=key,src=key .")
        .dir(&build)
        .ok();
    nobody_tells(host);
    let history = host.docker("history --no-trunc built").ok();
    assert!(!history.contains(SECRET), "{history}");

    let events = fs::read_to_string(host.run_root().join("events")).unwrap_or_default();
    assert!(
        events.contains("exec_create") && !events.contains(SECRET),
        "{events}"
    );
    let mut told = Vec::new();
    for top in [host.data_root(), host.run_root()] {
        let holding = kernel::tool(&format!(
            "grep --recursive --files-with-matches --text --fixed-strings --devices=skip {SECRET} {}",
            top.display()
        ));
        assert!(
            top != host.data_root() || !holding.is_empty(),
            "records hold it"
        );
        let paths = holding.lines().map(PathBuf::from);
        told.extend(paths.filter(|path| open_to_others(path, &top)));
    }
    assert!(told.is_empty(), "others can read the secret in {told:?}");
}

/// Layers hold set-user-id programs, volumes data, records variables: none is to be reached by other users of the host.
fn nothing_private_is_open_to_others_whatever_the_umask_cve_2021_41091(host: &Host) {
    let umask = rustix::process::umask(rustix::fs::Mode::empty());
    host.docker("run -d --name web -v data:/data -p 127.0.0.1:0:80 busybox sleep 1000")
        .ok();
    host.docker("run -d -i --name typed busybox cat").ok();
    host.docker("exec web sh -c 'echo x > /data/x; echo to the log'")
        .ok();
    rustix::process::umask(umask);
    let mut open = Vec::new();
    let mut sockets = 0;
    for (top, path) in files_of(host) {
        let meta = path.symlink_metadata().expect("a file");
        if meta.file_type().is_socket() {
            sockets += 1;
            assert_eq!(meta.mode() & 0o777, 0o600, "{}", path.display());
        }
        // Links have no mode, and what is below another owner's directory is the container's.
        if !meta.file_type().is_symlink() && open_to_others(&path, &top) {
            open.push(path);
        }
    }
    assert_eq!(sockets, 2, "a monitor's socket each");
    // The two roots themselves can be passed through, for volumes' owners; nothing in them can be listed or read.
    assert!(open.is_empty(), "open to others: {open:?}");
    for top in [host.data_root(), host.run_root()] {
        let mode = top.metadata().expect("a root").mode() & 0o777;
        assert!(
            [0o700, 0o711].contains(&mode),
            "{}: {mode:o}",
            top.display()
        );
    }
}

/// An abstract address has no mode: a container on the host's network could connect to it.
fn no_abstract_socket_is_offered_cve_2020_15257(host: &Host) {
    host.docker("run -d --name hh --network host busybox sleep 1000")
        .ok();
    let seen = host.docker("exec hh cat /proc/net/unix").ok();
    let ours: Vec<&str> = seen
        .lines()
        .filter(|line| {
            line.rsplit(' ')
                .next()
                .is_some_and(|name| name.starts_with('@'))
        })
        .filter(|line| line.contains("dockless") || line.contains("monitor"))
        .collect();
    assert!(ours.is_empty(), "{ours:?}");
}

/// The file that the kernel calls `/proc/PID/exe` of whoever starts a container's process cannot be written once it has ended.
fn who_executes_in_a_container_runs_from_a_sealed_file_cve_2019_5736(host: &Host) {
    host.docker("run -d --name cc busybox sleep 1000").ok();
    let executing = host
        .docker("exec cc sh -c 'echo there; sleep 1000'")
        .start();
    executing.says("there");
    let compose = host.compose_file(
        "p",
        "services:\n  s:\n    image: busybox\n    command: sleep 1000\n",
    );
    compose.compose("up -d").ok();
    let through = compose
        .compose("exec -T s sh -c 'echo there; sleep 1000'")
        .start();
    through.says("there");
    for pid in [executing.pid(), through.pid(), host.monitor_of("cc")] {
        let exe = PathBuf::from(format!("/proc/{pid}/exe"));
        let opened = fs::OpenOptions::new()
            .read(true)
            .custom_flags(0x20_0000) // O_PATH
            .open(&exe)
            .expect("an executable");
        let flags = rustix::fs::fstatvfs(&opened).expect("a mount").f_flag;
        assert!(
            flags.contains(rustix::fs::StatVfsMountFlags::RDONLY),
            "{}",
            kernel::command_line(pid)
        );
    }
    // An image's program that is a link to the runtime, and one whose interpreter it is, leave it as it was.
    host.docker("exec cc ln -s /proc/self/exe /bin/me").ok();
    host.docker("exec cc me").fails(126);
    host.docker("exec cc sh -c 'printf \"#!/proc/self/exe\\n\" > /bin/it; chmod 755 /bin/it'")
        .ok();
    assert_ne!(host.docker("exec cc it").run().code, 0);
    executing.signal(Signal::KILL);
    through.signal(Signal::KILL);
}

/// No library and no program of a container is ever loaded by `cp` or any other command: there is no dynamic loader.
fn the_binary_loads_nothing_cve_2019_14271(host: &Host) {
    const PT_INTERP: u32 = 3;
    let path = kernel::tool(&format!(
        "readlink -f {}",
        host.program("dockless").display()
    ));
    let bytes = fs::read(&path).expect("the binary");
    assert_eq!(&bytes[..5], b"\x7fELF\x02", "{path}");
    let number = |at: usize, size: usize| {
        let mut word = [0; 8];
        word[..size].copy_from_slice(&bytes[at..at + size]);
        u64::from_le_bytes(word) as usize
    };
    let (table, size, count) = (number(32, 8), number(54, 2), number(56, 2));
    for at in 0..count {
        assert_ne!(number(table + at * size, 4) as u32, PT_INTERP);
    }
}
