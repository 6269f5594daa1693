//! A case's surroundings: layers, a spec by a few wishes, and what came out of the container.

use oci_spec::runtime::{
    Capability, LinuxBuilder, LinuxCapabilitiesBuilder, LinuxNamespace, LinuxNamespaceType,
    LinuxResources, Mount, PosixRlimit, ProcessBuilder, RootBuilder, Spec, SpecBuilder,
    UserBuilder,
};
use runtime::cgroup::Place;
use runtime::hooks::State;
use runtime::{
    Cgroup, CopyUp, Error, ExitStatus, Netns, Overlay, Pending, Reaper, Request, Rootfs, Seccomp,
    Started, Stdio, UserSpec,
};
use std::collections::HashMap;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The lower layer all cases share: the probe and the files of a small system.
pub(crate) fn make_base() -> PathBuf {
    let base = std::env::temp_dir().join(format!("dockless-runtime-base-{}", std::process::id()));
    for directory in [
        "bin", "etc", "proc", "sys", "dev", "tmp", "root", "data", "private",
    ] {
        std::fs::create_dir_all(base.join(directory)).expect("a directory");
    }
    std::fs::copy("/proc/self/exe", base.join("bin/probe")).expect("the probe");
    let write = |path: &str, text: &str, mode: u32| {
        std::fs::write(base.join(path), text).expect("a file");
        std::fs::set_permissions(base.join(path), std::fs::Permissions::from_mode(mode))
            .expect("a mode");
    };
    write(
        "etc/passwd",
        "root:x:0:0::/root:/bin/sh\nredis:x:999:1000::/data:/bin/sh\n",
        0o644,
    );
    write(
        "etc/group",
        "root:x:0:\nredis:x:1000:\nstaff:x:50:redis\n",
        0o644,
    );
    write("bin/plain", "not a program", 0o644);
    write("bin/garbage", "\x7fELF, but no", 0o755);
    write("bin/orphaned-script", "#!/no/such/interpreter\n", 0o755);
    write("data/greeting", "hello\n", 0o640);
    chown(base.join("data"), Some(999), Some(1000)).expect("an owner");
    chown(base.join("data/greeting"), Some(999), Some(1000)).expect("an owner");
    std::os::unix::fs::symlink("greeting", base.join("data/link")).expect("a link");
    std::fs::set_permissions(base.join("private"), std::fs::Permissions::from_mode(0o700))
        .expect("a mode");
    std::fs::set_permissions(base.join("tmp"), std::fs::Permissions::from_mode(0o1777))
        .expect("a mode");
    base
}

/// A case's directory and control group, both gone when it ends.
pub(crate) struct World {
    pub(crate) dir: PathBuf,
    pub(crate) parent: String,
}

/// What the container is to be; everything else is Docker's default.
pub(crate) struct Wish<'a> {
    pub(crate) args: Vec<&'a str>,
    pub(crate) env: Vec<&'a str>,
    pub(crate) cwd: &'a str,
    pub(crate) user: Option<&'a str>,
    pub(crate) mounts: Vec<Mount>,
    pub(crate) read_only: bool,
    pub(crate) capabilities: Vec<Capability>,
    pub(crate) no_new_privs: bool,
    pub(crate) rlimits: Vec<PosixRlimit>,
    pub(crate) sysctl: HashMap<String, String>,
    pub(crate) resources: Option<LinuxResources>,
    pub(crate) namespaces: Vec<LinuxNamespace>,
    pub(crate) terminal: bool,
    pub(crate) reaper: Reaper,
    pub(crate) seccomp: Seccomp<'a>,
    pub(crate) rootfs: Option<Rootfs>,
    pub(crate) copy_up: Vec<CopyUp>,
    pub(crate) privileged: bool,
    pub(crate) cgroup: bool,
    pub(crate) hierarchies: Option<sys::cgroupfs::Hierarchies>,
    pub(crate) state: Option<State>,
    pub(crate) limits: runtime::Limits,
    pub(crate) gate: runtime::Gate<'a>,
    pub(crate) entry: runtime::Entry,
    pub(crate) keyring: runtime::Keyring,
    /// The last word about the spec.
    pub(crate) edit: Box<dyn Fn(&mut Spec) + 'a>,
}

impl<'a> Wish<'a> {
    /// `probe` with these words.
    pub(crate) fn probe(words: &[&'a str]) -> Self {
        Self {
            args: ["probe"].iter().chain(words).copied().collect(),
            ..Self::default()
        }
    }
}

impl Default for Wish<'_> {
    fn default() -> Self {
        Self {
            args: vec!["probe", "exit", "0"],
            env: vec!["PATH=/sbin:/bin"],
            cwd: "/",
            user: None,
            mounts: Vec::new(),
            read_only: false,
            capabilities: runtime::defaults::CAPABILITIES.to_vec(),
            no_new_privs: false,
            rlimits: Vec::new(),
            sysctl: HashMap::new(),
            resources: None,
            namespaces: runtime::defaults::namespaces(),
            terminal: false,
            reaper: Reaper::None,
            seccomp: Seccomp::Default,
            rootfs: None,
            copy_up: Vec::new(),
            privileged: false,
            cgroup: false,
            hierarchies: None,
            state: None,
            limits: runtime::Limits::default(),
            gate: runtime::Gate::default(),
            entry: runtime::Entry::default(),
            keyring: runtime::Keyring::default(),
            edit: Box::new(|_| ()),
        }
    }
}

/// What became of a container.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) out: String,
    pub(crate) status: ExitStatus,
}

/// One that runs.
pub(crate) struct Running {
    pub(crate) started: Started,
    pub(crate) out: std::io::PipeReader,
    pub(crate) cgroup: Option<Cgroup>,
}

impl World {
    pub(crate) fn new() -> Self {
        let parent = format!("dockless-test-{}", std::process::id());
        let dir = std::env::temp_dir().join(&parent);
        std::fs::create_dir_all(&dir).expect("a directory");
        Self { dir, parent }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// A directory of this case.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(&path).expect("a directory");
        path
    }

    pub(crate) fn overlay(&self) -> Rootfs {
        Rootfs::Overlay(Overlay {
            lower: vec![crate::base(), self.folder("lower")],
            upper: Some((self.folder("upper"), self.folder("work"))),
            volatile: true,
            idmap: None,
        })
    }

    /// Clones init; the caller may look at it before it starts.
    pub(crate) fn spawn(
        &self,
        wish: &Wish<'_>,
    ) -> Result<(Pending, std::io::PipeReader, Option<Cgroup>), Error> {
        let mut spec = spec(wish);
        (wish.edit)(&mut spec);
        let wanted = wish.cgroup || wish.resources.is_some();
        let resources = wish.resources.as_ref();
        let cgroup = wanted.then(|| match &wish.hierarchies {
            Some(hierarchies) => Cgroup::place_on(
                hierarchies.clone(),
                &Place::below(&self.parent, "c").expect("a name"),
                resources,
            ),
            None => Cgroup::create(&self.parent, "c", resources),
        });
        let cgroup = cgroup.transpose().expect("a cgroup");
        let (reader, writer) = std::io::pipe().expect("a pipe");
        let null = std::fs::File::open("/dev/null").expect("/dev/null");
        let stdio = if wish.terminal {
            Stdio::Terminal {
                rows: 33,
                columns: 99,
            }
        } else {
            Stdio::Fds {
                stdin: null.as_fd(),
                stdout: writer.as_fd(),
                stderr: writer.as_fd(),
            }
        };
        let pending = runtime::spawn(&Request {
            spec: &spec,
            rootfs: wish.rootfs.clone().unwrap_or_else(|| self.overlay()),
            stdio,
            cgroup: cgroup.as_ref(),
            netns: Netns::Spec,
            user: wish.user.map(|user| UserSpec {
                user: user.to_owned(),
                add_groups: Vec::new(),
            }),
            copy_up: wish.copy_up.clone(),
            reaper: wish.reaper,
            seccomp: wish.seccomp,
            launch: runtime::Launch {
                state: wish.state.as_ref(),
                limits: wish.limits,
                gate: wish.gate,
                entry: wish.entry,
                keyring: wish.keyring,
                ..runtime::Launch::default()
            },
        })?;
        Ok((pending, reader, cgroup))
    }

    pub(crate) fn start(&self, wish: &Wish<'_>) -> Result<Running, Error> {
        let (pending, out, cgroup) = self.spawn(wish)?;
        Ok(Running {
            started: pending.start()?,
            out,
            cgroup,
        })
    }

    /// Runs to the end.
    pub(crate) fn run(&self, wish: &Wish<'_>) -> Result<Outcome, Error> {
        let mut running = self.start(wish)?;
        let mut out = String::new();
        if let Some(master) = &running.started.terminal {
            out = read_terminal(master);
        } else {
            let _ = running.out.read_to_string(&mut out);
        }
        let status = sys::process::wait(&running.started.pidfd).expect("it ends");
        Ok(Outcome { out, status })
    }

    /// Runs a probe that must succeed, and gives its words.
    pub(crate) fn ask(&self, wish: &Wish<'_>) -> String {
        let outcome = self.run(wish).unwrap_or_else(|e| panic!("{}", chain(&e)));
        assert_eq!(outcome.status, ExitStatus::Code(0), "{}", outcome.out);
        outcome.out.trim_end().to_owned()
    }

    /// Why it could not start.
    pub(crate) fn refused(&self, wish: &Wish<'_>) -> Error {
        match self.start(wish) {
            Ok(_) => panic!("it started"),
            Err(error) => error,
        }
    }
}

/// The spec of a wish.
pub(crate) fn spec(wish: &Wish<'_>) -> Spec {
    let owned = |words: &[&str]| {
        words
            .iter()
            .map(|word| (*word).to_owned())
            .collect::<Vec<_>>()
    };
    let set: std::collections::HashSet<Capability> = wish.capabilities.iter().copied().collect();
    let capabilities = LinuxCapabilitiesBuilder::default()
        .bounding(set.clone())
        .effective(set.clone())
        .permitted(set)
        .inheritable(std::collections::HashSet::new())
        .ambient(std::collections::HashSet::new())
        .build()
        .expect("capabilities");
    let process = ProcessBuilder::default()
        .args(owned(&wish.args))
        .env(owned(&wish.env))
        .cwd(wish.cwd)
        .user(
            UserBuilder::default()
                .uid(0u32)
                .gid(0u32)
                .build()
                .expect("a user"),
        )
        .capabilities(capabilities)
        .rlimits(wish.rlimits.clone())
        .no_new_privileges(wish.no_new_privs)
        .build()
        .expect("a process");
    let mut mounts = runtime::defaults::mounts(64 << 20);
    let mut paths = (
        owned(&runtime::defaults::MASKED_PATHS),
        owned(&runtime::defaults::READONLY_PATHS),
    );
    if wish.privileged {
        paths = (Vec::new(), Vec::new());
        for mount in &mut mounts {
            let options = mount.options().clone().unwrap_or_default();
            mount.set_options(Some(
                options
                    .into_iter()
                    .filter(|option| option != "ro")
                    .collect(),
            ));
        }
    }
    mounts.extend(wish.mounts.iter().cloned());
    let linux = LinuxBuilder::default()
        .namespaces(wish.namespaces.clone())
        .masked_paths(paths.0)
        .readonly_paths(paths.1)
        .sysctl(wish.sysctl.clone())
        .build()
        .expect("linux");
    SpecBuilder::default()
        .process(process)
        .root(
            RootBuilder::default()
                .path("/")
                .readonly(wish.read_only)
                .build()
                .expect("a root"),
        )
        .hostname("probed")
        .mounts(mounts)
        .linux(linux)
        .build()
        .expect("a spec")
}

/// The whole error as one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text += &format!(": {error}");
        source = error.source();
    }
    text
}

/// A terminal's master says EIO when the last slave is closed.
fn read_terminal(master: &std::os::fd::OwnedFd) -> String {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = rustix::io::read(master, &mut buffer) {
        bytes.extend_from_slice(&buffer[..length]);
    }
    String::from_utf8_lossy(&bytes).replace("\r\n", "\n")
}

impl Running {
    /// Reads until the probe has said so much.
    pub(crate) fn wait_for(&mut self, words: &str) -> String {
        let mut text = String::new();
        let mut byte = [0];
        while !text.contains(words) {
            assert_eq!(
                self.out.read(&mut byte).expect("output"),
                1,
                "only {text:?}"
            );
            text.push(byte[0] as char);
        }
        text
    }

    pub(crate) fn signal(&self, number: i32) {
        sys::process::pidfd_send_signal(&self.started.pidfd, number).expect("a signal");
    }

    pub(crate) fn end(&self) -> ExitStatus {
        sys::process::wait(&self.started.pidfd).expect("it ends")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Ended already in most cases.
        let _ = sys::process::pidfd_send_signal(&self.started.pidfd, 9);
        let _ = sys::process::wait(&self.started.pidfd);
        if let Some(cgroup) = &self.cgroup {
            let _ = cgroup.kill_all();
            cgroup.remove().expect("the cgroup goes");
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        runtime::cgroup::remove_parent(&self.parent);
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Tries until it holds.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Namespaces without one of them, which is then the host's.
pub(crate) fn namespaces_without(typ: LinuxNamespaceType) -> Vec<LinuxNamespace> {
    runtime::defaults::namespaces()
        .into_iter()
        .filter(|namespace| namespace.typ() != typ)
        .collect()
}

/// A file's text, or nothing.
pub(crate) fn text(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}
