//! Power cuts: a command is killed before the n-th of its system calls that change a file system. Whatever n is, no later command sees
//! half a thing, the same command succeeds, and `system prune` leaves nothing that nothing reaches.
//!
//! Some n of each command are tried, others in every run; all of them with `DOCKLESS_TEST_EVERY_CUT=1`, and every N-th from the K-th
//! on with `DOCKLESS_TEST_EVERY_CUT=K/N`: the runs from 1/N to N/N are all.

use crate::layers::OnDisk;
use std::io::Write;
use std::path::PathBuf;
use testkit::cut::{Ended, cut_at};
use testkit::{Call, Host, Registry, cut, eventually, kernel, requires, scenarios};

scenarios!(
    cut_while_pulling_from_a_folder,
    cut_while_pulling_from_a_registry,
    cut_while_pulling_without_keeping_archives,
    cut_while_loading,
    cut_while_loading_a_bundle,
    cut_while_importing,
    cut_while_committing,
    cut_while_tagging,
    cut_while_migrating,
    cut_while_repairing,
    cut_while_removing,
    cut_while_building,
);

/// So many n of each command.
const SOME: u64 = 9;

/// Which n of `all` are tried: spread over the whole, not always the same.
fn moments(all: u64) -> Vec<u64> {
    if let Some(wanted) = std::env::var_os("DOCKLESS_TEST_EVERY_CUT") {
        let (first, step) = slice(&wanted.to_string_lossy());
        return (first..=all).step_by(step).collect();
    }
    let step = (all / SOME).max(1);
    let shift = u64::from(std::process::id()) % step;
    (0..SOME)
        .map(|k| 1 + k * step + shift)
        .filter(|n| *n <= all)
        .collect()
}

/// `K/N` → the first n, and how many further the next is.
fn slice(wanted: &str) -> (u64, usize) {
    let Some((k, n)) = wanted.split_once('/') else {
        return (1, 1);
    };
    match (k.parse(), n.parse()) {
        (Ok(k), Ok(n)) if k > 0 && k <= n as u64 => (k, n),
        _ => panic!("DOCKLESS_TEST_EVERY_CUT={wanted}: neither 1 nor K/N with K from 1 to N"),
    }
}

/// A command that is cut, and how the store is looked at after.
struct Cuts<'h> {
    docker: Box<dyn Fn(&str) -> Call + 'h>,
    data: PathBuf,
    /// What it brings in.
    image: &'h str,
}

impl<'h> Cuts<'h> {
    fn new(host: &'h Host, image: &'h str) -> Self {
        Self {
            docker: Box::new(|words| host.docker(words)),
            data: host.data_root(),
            image,
        }
    }

    fn docker(&self, words: &str) -> Call {
        (self.docker)(words)
    }

    /// Cuts `command` at many moments; before each it is undone, after each the store is looked at, and the command succeeds.
    fn everywhere(&self, command: impl Fn() -> Call, undo: impl Fn()) {
        self.each(&command, &undo, |scene| {
            self.nothing_is_half_there(scene);
            let again = command().run();
            assert_eq!(again.code, 0, "{scene}: {again}");
            self.nothing_is_half_there(scene);
        });
        self.nothing_is_left(undo);
    }

    /// The same with something else to look at.
    fn each(&self, command: &impl Fn() -> Call, undo: &impl Fn(), look: impl Fn(&str)) {
        undo();
        let Ended::ByItself { calls, code: 0 } = cut_at(command(), u64::MAX) else {
            panic!("it does not succeed when it is let: {}", command().run());
        };
        assert!(calls > 5, "only {calls} calls change something");
        let moments = moments(calls);
        let _ = writeln!(
            std::io::stderr(),
            "{}: {} of {calls} calls",
            self.image,
            moments.len()
        );
        for n in moments {
            undo();
            // Some calls are made in another order, or not at all, each time.
            let ended = cut_at(command(), n);
            look(&format!("cut at call {n} of {calls}: {ended:?}"));
        }
    }

    fn nothing_is_half_there(&self, scene: &str) {
        let listed = self.docker(&format!("images -q {}", self.image)).run();
        assert_eq!(listed.code, 0, "{scene}: {listed}");
        let checked = self.docker("system check").run();
        assert_eq!(checked.code, 0, "{scene}: {checked}");
        if !listed.stdout.trim().is_empty() {
            let words = format!("run --rm --pull never --network none {} true", self.image);
            let run = self.docker(&words).env("DOCKLESS_IMAGE_DIR", "").run();
            assert_eq!(run.code, 0, "{scene}: {run}");
        }
    }

    fn nothing_is_left(&self, undo: impl Fn()) {
        undo();
        self.docker("builder prune -af").run();
        for part in ["layers", "trash", "images/blobs/sha256", "images/ingest"] {
            // What a monitor has taken out of sight it deletes when everybody has their answer; a prune leaves what is used meanwhile.
            eventually(&format!("nothing in {part}"), || {
                self.docker("system prune -af").ok();
                kernel::files_below(&self.data.join(part))
                    .is_empty()
                    .then_some(())
            });
        }
    }
}

fn cut_while_pulling_from_a_folder(host: &Host) {
    requires!(cut::works(), "no tracer for this machine");
    Cuts::new(host, "busybox").everywhere(
        || host.docker("pull busybox"),
        || drop(host.docker("rmi -f busybox").run()),
    );
}

/// A registry that has busybox, by the name it is pulled by.
fn registry(host: &Host, port: u16) -> (Registry, String) {
    let registry = Registry::start(host, port);
    let remote = format!("{}/box:1", registry.address);
    host.docker("pull busybox").ok();
    host.docker(&format!("tag busybox {remote}")).ok();
    host.docker(&format!("push {remote}")).ok();
    host.docker("rmi busybox").ok();
    (registry, remote)
}

fn cut_while_pulling_from_a_registry(host: &Host) {
    requires!(cut::works(), "no tracer for this machine");
    requires!(Registry::installed(), "docker-registry");
    let (_registry, remote) = registry(host, 5071);
    let pull = format!("pull {remote}");
    Cuts::new(host, &remote).everywhere(
        || host.docker(&pull).env("DOCKLESS_IMAGE_DIR", ""),
        || drop(host.docker(&format!("rmi -f {remote}")).run()),
    );
}

fn cut_while_pulling_without_keeping_archives(host: &Host) {
    requires!(cut::works(), "no tracer for this machine");
    requires!(Registry::installed(), "docker-registry");
    let (_registry, remote) = registry(host, 5074);
    let config = host.folder("etc").join("without.json");
    std::fs::write(&config, r#"{"keep-blobs": false}"#).expect("a configuration");
    let cuts = Cuts {
        docker: Box::new(|words| host.docker(words).env("DOCKLESS_CONFIG", &config)),
        ..Cuts::new(host, &remote)
    };
    let pull = format!("pull {remote}");
    cuts.everywhere(
        || cuts.docker(&pull).env("DOCKLESS_IMAGE_DIR", ""),
        || drop(cuts.docker(&format!("rmi -f {remote}")).run()),
    );
}

fn cut_while_loading(host: &Host) {
    requires!(cut::works(), "no tracer for this machine");
    let archive = host.folder("archives").join("box.tar");
    host.docker("pull busybox").ok();
    host.docker("save busybox -o").arg(&archive).ok();
    Cuts::new(host, "busybox").everywhere(
        || host.docker("load -i").arg(&archive),
        || drop(host.docker("rmi -f busybox").run()),
    );
}

fn cut_while_loading_a_bundle(host: &Host) {
    requires!(cut::works(), "no tracer for this machine");
    let project = host.compose_file(
        "shop",
        "services:\n  web:\n    image: busybox\n    env_file: [web.env]\n",
    );
    project.write("web.env", "A=1\n");
    let file = host.folder("files").join("shop.bundle");
    host.docker("pull busybox").ok();
    project.compose("bundle save -o").arg(&file).ok();
    let there = host.folder("there").join("shop");
    let load = || {
        host.dockless("compose bundle load -i")
            .arg(&file)
            .arg("--directory")
            .arg(&there)
    };
    let undo = || {
        host.docker("rmi -f busybox").run();
        let _ = std::fs::remove_dir_all(&there);
    };
    let cuts = Cuts::new(host, "busybox");
    cuts.each(&load, &undo, |scene| {
        cuts.nothing_is_half_there(scene);
        if there.exists() {
            // The project has its place last.
            host.docker("run --rm --pull never busybox true").ok();
            let whole = |name: &str| there.join(name).exists();
            assert!(whole("web.env") && whole("docker-compose.yml"), "{scene}");
            undo();
        }
        let again = load().run();
        assert_eq!(again.code, 0, "{scene}: {again}");
        let beside = std::fs::read_dir(there.parent().expect("a folder"));
        assert_eq!(
            beside.expect("a folder").count(),
            1,
            "{scene}: what was half made is gone"
        );
    });
    cuts.nothing_is_left(undo);
}

fn cut_while_importing(host: &Host) {
    requires!(cut::works(), "no tracer for this machine");
    let archive = host.folder("archives").join("root.tar");
    host.docker("create --name box busybox").ok();
    host.docker("export box -o").arg(&archive).ok();
    host.docker("rm box").ok();
    Cuts::new(host, "cut:1").everywhere(
        || host.docker("import").arg(&archive).arg("cut:1"),
        || drop(host.docker("rmi -f cut:1").run()),
    );
}

fn cut_while_committing(host: &Host) {
    requires!(cut::works(), "no tracer for this machine");
    host.docker("run --name box --network none busybox sh -c 'echo made > /made; rm /bin/vi'")
        .ok();
    let cuts = Cuts::new(host, "cut:1");
    let commit = || host.docker("commit box cut:1");
    let undo = || drop(host.docker("rmi -f cut:1").run());
    cuts.each(&commit, &undo, |scene| {
        cuts.nothing_is_half_there(scene);
        let again = commit().run();
        assert_eq!(again.code, 0, "{scene}: {again}");
        let made = host.docker("run --rm --network none cut:1 cat /made").run();
        assert_eq!(made.stdout, "made\n", "{scene}: {made}");
        let parent = host.inspect("cut:1", "{{.Parent}}");
        assert_eq!(parent, host.inspect("busybox", "{{.Id}}"), "{scene}");
    });
    host.docker("rm box").ok();
    cuts.nothing_is_left(undo);
}

fn cut_while_tagging(host: &Host) {
    requires!(cut::works(), "no tracer for this machine");
    host.docker("pull busybox").ok();
    let cuts = Cuts::new(host, "cut:1");
    let tag = || host.docker("tag busybox cut:1");
    let undo = || drop(host.docker("rmi cut:1").run());
    cuts.each(&tag, &undo, |scene| {
        cuts.nothing_is_half_there(scene);
        let kept = host.docker("images -q busybox").ok();
        assert_eq!(kept.lines().count(), 1, "{scene}");
        tag().ok();
        cuts.nothing_is_half_there(scene);
    });
    cuts.nothing_is_left(undo);
}

fn cut_while_migrating(host: &Host) {
    requires!(cut::works(), "no tracer for this machine");
    let on_disk = OnDisk::new(host, "erofs");
    let cuts = Cuts {
        docker: Box::new(|words| on_disk.docker(words)),
        data: on_disk.data_root(),
        image: "busybox",
    };
    cuts.docker("pull busybox").ok();
    let to = |form: &str| cuts.docker(&format!("system migrate --to {form}"));
    for (from, form) in [("erofs", "directories"), ("directories", "erofs")] {
        let undo = || drop(to(from).ok());
        cuts.each(&|| to(form), &undo, |scene| {
            cuts.nothing_is_half_there(scene);
            to(form).ok();
            cuts.nothing_is_half_there(scene);
        });
    }
    cuts.nothing_is_left(|| drop(cuts.docker("rmi -f busybox").run()));
}

/// The table of names is lost, and the names are in its copy.
fn cut_while_repairing(host: &Host) {
    requires!(cut::works(), "no tracer for this machine");
    host.docker("pull busybox").ok();
    let table = host.data_root().join("images/index.json");
    let undo = || {
        host.docker("tag busybox cut:1").ok();
        std::fs::write(&table, "").expect("a table");
    };
    let cuts = Cuts::new(host, "cut:1");
    let repair = || host.docker("system check --repair");
    cuts.each(&repair, &undo, |scene| {
        let again = repair().run();
        assert_eq!(again.code, 0, "{scene}: {again}");
        cuts.nothing_is_half_there(scene);
        let kept = host.docker("images --format '{{.Repository}}'").ok();
        assert_eq!(kept, "busybox\ncut", "{scene}: both names are back");
    });
    cuts.nothing_is_left(|| drop(host.docker("rmi -f busybox cut:1").run()));
}

fn cut_while_removing(host: &Host) {
    requires!(cut::works(), "no tracer for this machine");
    let cuts = Cuts::new(host, "busybox");
    let pull = || drop(host.docker("pull busybox").ok());
    cuts.each(&|| host.docker("rmi busybox"), &pull, |scene| {
        cuts.nothing_is_half_there(scene);
    });
    cuts.nothing_is_left(|| drop(host.docker("rmi -f busybox").run()));
}

fn cut_while_building(host: &Host) {
    requires!(cut::works(), "no tracer for this machine");
    let project = host.compose_file("cut", "");
    project.write(
        "Dockerfile",
        "FROM busybox\nCOPY Dockerfile /copied\nRUN --mount=type=cache,target=/kept echo done > /done && touch /kept/x\n",
    );
    host.docker("pull busybox").ok();
    let undo = || {
        host.docker("rmi -f cut").run();
        host.docker("builder prune -af").run();
    };
    let build = || {
        host.docker("build -q --network none -t cut .")
            .dir(project.dir())
    };
    let cuts = Cuts::new(host, "cut");
    cuts.each(&build, &undo, |scene| {
        cuts.nothing_is_half_there(scene);
        let again = build().run();
        assert_eq!(again.code, 0, "{scene}: {again}");
        let made = host
            .docker("run --rm --network none cut cat /done /copied")
            .run();
        assert!(made.stdout.starts_with("done\nFROM"), "{scene}: {made}");
    });
    host.docker("rmi -f busybox").run();
    cuts.nothing_is_left(undo);
}
