//! A scenario's own host: private mount and network namespaces, its own data root in memory, and everything it leaves running
//! killed at its end. A process above the scenario's is to it what init is to a real host: orphans become its children and are
//! collected, so whatever dies between, nothing is ever looked for by name.

use crate::Call;
use crate::kernel::{self, kill_tree, tool_ok};
use crate::wait::eventually;
use nix::sched::{CloneFlags, unshare};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The private host of one scenario.
#[derive(Debug)]
pub struct Host {
    dir: PathBuf,
    bin: PathBuf,
    images: PathBuf,
}

/// A project's folder on the host, and the `docker-compose` calls made in it.
#[derive(Debug)]
pub struct Project<'a> {
    host: &'a Host,
    dir: PathBuf,
}

/// The repository.
fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .expect("the repository")
}

/// The binary under test: `DOCKLESS_BIN`, else the newest that was built.
fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("DOCKLESS_BIN") {
        return path.into();
    }
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| top().join("target"), PathBuf::from);
    let folders = fs::read_dir(&target)
        .map(|d| d.flatten().map(|e| e.path()).collect::<Vec<_>>())
        .unwrap_or_default();
    let built = folders
        .iter()
        .flat_map(|f| ["release", "quick", "debug"].map(|p| f.join(p).join("dockless")));
    let newest = built
        .filter_map(|p| Some((p.metadata().ok()?.modified().ok()?, p)))
        .max();
    newest
        .expect("a built dockless: cargo build -p cli, or scripts/build")
        .1
}

impl Host {
    /// Makes this process the init of a private host. Called once, before any thread is started.
    pub(crate) fn prepare(name: &str) {
        rustix::process::set_child_subreaper(rustix::process::Pid::from_raw(1))
            .expect("a subreaper");
        unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWUTS)
            .expect("namespaces, as root");
        mount_change(
            "/",
            MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
        )
        .expect("private mounts");
        tool_ok("ip link set lo up");
        private_run();
        // A file system of its own: it goes with the namespace, also when this process is killed.
        let host = Self::at(name);
        fs::create_dir_all(&host.dir).expect("a directory in /tmp");
        mount(
            "tmpfs",
            &host.dir,
            "tmpfs",
            MountFlags::empty(),
            Some(c"mode=755,size=70%,nr_inodes=0"),
        )
        .expect("a tmpfs");
        for sub in ["bin", "work"] {
            fs::create_dir_all(host.dir.join(sub)).expect("a directory");
        }
        // Of an earlier run that was killed.
        let _ = fs::remove_dir_all(host.disk());
        let binary = binary();
        for name in ["dockless", "docker", "docker-compose", "runc", "crun"] {
            std::os::unix::fs::symlink(&binary, host.bin.join(name)).expect("a link");
        }
    }

    /// Where the data root is when layers are files, which cannot lie in a tmpfs.
    fn disk(&self) -> PathBuf {
        let name = self.dir.file_name().unwrap_or_default();
        Path::new("/var/tmp").join(name)
    }

    /// The host that the process above has prepared.
    pub(crate) fn enter(name: &str) -> Self {
        let host = Self::at(name);
        let mounts = kernel::mounts_of(my_pid());
        let dir = host.dir.to_string_lossy();
        assert!(
            mounts.iter().any(|m| m.kind == "tmpfs" && m.target == dir),
            "no private host here: this would act on the real one"
        );
        host
    }

    fn at(name: &str) -> Self {
        let dir = PathBuf::from(format!("/tmp/dockless-scenario-{name}"));
        Self {
            bin: dir.join("bin"),
            images: image_dir(),
            dir,
        }
    }

    /// In the process above: collects who ends, until the scenario's own process does; then kills and removes what is left.
    pub(crate) fn look_after(name: &str, scenario: i32) -> Option<i32> {
        use rustix::process::{WaitOptions, wait};
        let status = loop {
            match wait(WaitOptions::empty()) {
                Ok(Some((pid, status))) if pid.as_raw_nonzero().get() == scenario => break status,
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(e) => panic!("cannot wait for the scenario: {e}"),
            }
        };
        kill_tree(my_pid());
        let host = Self::at(name);
        let ids = fs::read_dir(host.data_root().join("containers"));
        for id in ids.into_iter().flatten().flatten() {
            for group in kernel::cgroups_with(&id.file_name().to_string_lossy())
                .into_iter()
                .rev()
            {
                let _ = fs::remove_dir(group);
            }
        }
        let _ = rustix::mount::unmount(&host.dir, rustix::mount::UnmountFlags::DETACH);
        let _ = fs::remove_dir(&host.dir);
        let _ = fs::remove_dir_all(host.disk());
        status.exit_status()
    }

    /// Where the engine keeps what lasts.
    pub fn data_root(&self) -> PathBuf {
        match layers() {
            Some(_) => self.disk(),
            None => self.dir.join("data"),
        }
    }

    /// Where the engine keeps what dies with the boot.
    pub fn run_root(&self) -> PathBuf {
        self.dir.join("run")
    }

    /// A folder for the scenario's own files; made when it is not there.
    pub fn folder(&self, name: &str) -> PathBuf {
        let path = self.dir.join("work").join(name);
        fs::create_dir_all(&path).expect("a folder");
        path
    }

    /// `docker WORDS`; the words are split as a shell does.
    pub fn docker(&self, words: &str) -> Call {
        self.call("docker", words)
    }

    /// `dockless WORDS`.
    pub fn dockless(&self, words: &str) -> Call {
        self.call("dockless", words)
    }

    /// The binary under one of its names.
    pub fn call(&self, name: &str, words: &str) -> Call {
        let mut call = Call::new(&self.bin.join(name), words);
        if let Some(layers) = layers() {
            let config = self.folder(".").join("layers.json");
            let text = format!(r#"{{"layer-store": "{layers}"}}"#);
            fs::write(&config, text).expect("a file");
            call = call.env("DOCKLESS_CONFIG", config);
        }
        call.env("DOCKLESS_ROOT", self.data_root())
            .env("DOCKLESS_RUN_ROOT", self.run_root())
            .env("DOCKLESS_IMAGE_DIR", &self.images)
            .dir(self.folder("."))
    }

    /// Where the binary lies under one of its names, for programs that call it.
    pub fn program(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }

    /// The same with a terminal: `script` of util-linux makes one and copies it to and fro.
    pub fn on_a_terminal(&self, words: &str) -> Call {
        let line = format!("{} {words}", self.bin.join("docker").display());
        Call::new(Path::new("script"), "-qec")
            .arg(line)
            .arg("/dev/null")
            .env("TERM", "xterm")
            .env("DOCKLESS_ROOT", self.data_root())
            .env("DOCKLESS_RUN_ROOT", self.run_root())
            .env("DOCKLESS_IMAGE_DIR", &self.images)
            .dir(self.folder("."))
    }

    /// A project of `demo/`, copied.
    pub fn project(&self, name: &str) -> Project<'_> {
        let dir = self.folder(name);
        tool_ok(&format!(
            "cp -a {}/. {}",
            top().join("demo").join(name).display(),
            dir.display()
        ));
        Project { host: self, dir }
    }

    /// A project from a text alone.
    pub fn compose_file(&self, name: &str, yaml: &str) -> Project<'_> {
        let project = Project {
            host: self,
            dir: self.folder(name),
        };
        project.write("docker-compose.yml", yaml);
        project
    }

    /// A project whose files were put there already.
    pub fn existing_project(&self, name: &str) -> Project<'_> {
        Project {
            host: self,
            dir: self.folder(name),
        }
    }

    /// The wheels that builds install where no package index can be reached; `None` when nobody made them.
    pub fn wheels(&self) -> Option<PathBuf> {
        Some(top().join("target/wheels")).filter(|p| p.join(".made-of").exists())
    }

    /// Whether the image folder has an image of this name ("redis:alpine").
    pub fn has_image(&self, name: &str) -> bool {
        let name = if name.contains('/') {
            name.to_owned()
        } else {
            format!("docker.io/library/{name}")
        };
        fs::read_to_string(self.images.join("index.json"))
            .is_ok_and(|index| index.contains(&format!("\"{name}\"")))
    }

    pub fn image_dir(&self) -> &Path {
        &self.images
    }

    /// A value of `docker inspect`.
    #[track_caller]
    pub fn inspect(&self, object: &str, template: &str) -> String {
        self.docker("inspect --format")
            .arg(template)
            .arg(object)
            .ok()
    }

    /// The pid of a running container's first process.
    #[track_caller]
    pub fn pid(&self, container: &str) -> i32 {
        let pid = self
            .inspect(container, "{{.State.Pid}}")
            .parse()
            .expect("a pid");
        assert!(
            pid > 0 && kernel::lives(pid),
            "{container} has no living process: pid {pid}"
        );
        pid
    }

    /// A container's address in its only network.
    #[track_caller]
    pub fn address(&self, container: &str) -> String {
        self.inspect(
            container,
            "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}",
        )
    }

    /// The processes on this host that are not ours: commands, monitors, containers.
    pub fn processes(&self) -> Vec<i32> {
        let init = kernel::parent(my_pid()).expect("the process above");
        kernel::descendants(init)
            .into_iter()
            .filter(|pid| *pid != my_pid())
            .collect()
    }

    /// The monitor of a running container: the parent of its first process.
    #[track_caller]
    pub fn monitor_of(&self, container: &str) -> i32 {
        let init = self.pid(container);
        let parent: i32 = kernel::status_field(init, "PPid")
            .parse()
            .expect("a parent");
        assert_ne!(
            parent,
            my_pid(),
            "{container} has no monitor: its parent is the scenario"
        );
        parent
    }

    /// Kills every process of this host at once, as a power cut would, and waits until they are gone.
    pub fn kill_everything(&self) {
        eventually("every process is gone", || {
            let left = self.processes();
            left.iter().copied().for_each(kernel::kill_9);
            left.is_empty().then_some(())
        });
    }

    /// After a failure: what a developer asks first.
    pub(crate) fn tell_the_scene(&self) {
        let mut err = std::io::stderr().lock();
        let ps = self.docker("ps -a --no-trunc").run();
        let _ = writeln!(err, "\n-- docker ps -a\n{}", ps.all());
        for id in ps
            .stdout
            .lines()
            .skip(1)
            .filter_map(|l| l.split_whitespace().next())
            .take(6)
        {
            let _ = writeln!(
                err,
                "-- docker logs --tail 15 {id}\n{}",
                self.docker("logs --tail 15").arg(id).run().all()
            );
        }
        for pid in self.processes() {
            let _ = writeln!(err, "-- process {pid}: {}", kernel::command_line(pid));
        }
    }
}

impl Project<'_> {
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// `docker-compose WORDS` in the project's folder.
    pub fn compose(&self, words: &str) -> Call {
        self.host.call("docker-compose", words).dir(&self.dir)
    }

    /// The same in a folder below.
    pub fn compose_in(&self, below: &str, words: &str) -> Call {
        self.host
            .call("docker-compose", words)
            .dir(self.dir.join(below))
    }

    pub fn write(&self, path: &str, text: &str) {
        let path = self.dir.join(path);
        fs::create_dir_all(path.parent().unwrap_or(&self.dir)).expect("a folder");
        fs::write(&path, text).expect("a file");
    }

    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.dir.join(path)).expect("a file")
    }

    /// Changes a file's text.
    ///
    /// # Panics
    /// When the text to replace is not there.
    pub fn replace(&self, path: &str, from: &str, to: &str) {
        let text = self.read(path);
        assert!(text.contains(from), "{path} has no {from:?}");
        self.write(path, &text.replace(from, to));
    }
}

fn my_pid() -> i32 {
    i32::try_from(std::process::id()).expect("a pid")
}

fn image_dir() -> PathBuf {
    std::env::var_os("DOCKLESS_IMAGE_DIR").map_or_else(|| top().join("images-cache"), PathBuf::from)
}

/// `/run` of our own, so that no path a container binds there is made on the real host. No init is in sight there: control groups
/// are made plainly, on every host alike.
fn private_run() {
    mount(
        "tmpfs",
        "/run",
        "tmpfs",
        MountFlags::empty(),
        Some(c"mode=755"),
    )
    .expect("a tmpfs on /run");
}

/// How layers shall be kept, as the engine's configuration has it: `DOCKLESS_TEST_LAYERS=erofs` runs every scenario on the other form.
fn layers() -> Option<String> {
    std::env::var("DOCKLESS_TEST_LAYERS").ok()
}
