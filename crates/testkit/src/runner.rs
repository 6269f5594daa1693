//! Runs scenarios: each in a process of its own (this binary again, with `--body NAME`) below one that is the init of its private
//! host (`--one NAME`), several beside each other, with a limit on its time. Prints libtest's lines, and counts what was skipped:
//!
//! ```text
//! test counter::counts_visits ... ok (12.3 s)
//! test result: ok. 41 passed; 0 failed; 1 skipped
//! ```
//!
//! Arguments: parts of names to run; `--list`; `--exact`; `--nocapture`; `--test-threads N`.

use crate::wait::patient;
use crate::{Host, Skipped};
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// One intent, and the steps that prove it.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    pub module: &'static str,
    pub name: &'static str,
    pub run: fn(&Host),
}

/// A scenario that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(600);
/// Exit code of a skipped scenario's process, as automake has it.
const SKIP: u8 = 77;

#[derive(Debug)]
enum Verdict {
    Passed,
    Failed(String),
    Skipped(String),
}

#[derive(Debug, Default)]
struct Options {
    filters: Vec<String>,
    exact: bool,
    list: bool,
    capture_off: bool,
    threads: Option<usize>,
    one: Option<String>,
    body: Option<String>,
}

/// The test binary's `main`.
pub fn main(groups: &[&'static [Scenario]]) -> ExitCode {
    let all: Vec<Scenario> = groups
        .iter()
        .flat_map(|group| group.iter().copied())
        .collect();
    let options = options();
    let by_name = |name: &String| {
        all.iter()
            .find(|s| &s.full_name() == name)
            .expect("a scenario's full name")
    };
    if let Some(name) = &options.one {
        return be_init(by_name(name));
    }
    if let Some(name) = &options.body {
        return run_here(by_name(name));
    }
    let chosen: Vec<Scenario> = all
        .into_iter()
        .filter(|s| options.wants(&s.full_name()))
        .collect();
    if options.list {
        for scenario in &chosen {
            say(&format!("{}: test\n", scenario.full_name()));
        }
        return ExitCode::SUCCESS;
    }
    if !rustix::process::geteuid().is_root() {
        say("scenarios make mounts and namespaces: run them as root\n");
        return ExitCode::FAILURE;
    }
    report(&run_all(&chosen, &options))
}

impl Scenario {
    /// `module::name`, without the name of the binary.
    pub fn full_name(&self) -> String {
        let module = self
            .module
            .split_once("::")
            .map_or(self.module, |(_, rest)| rest);
        format!("{module}::{}", self.name)
    }
}

impl Options {
    fn wants(&self, name: &str) -> bool {
        self.filters.is_empty()
            || self.filters.iter().any(|f| {
                if self.exact {
                    name == f
                } else {
                    name.contains(f.as_str())
                }
            })
    }
}

fn options() -> Options {
    let mut options = Options::default();
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--list" => options.list = true,
            "--exact" => options.exact = true,
            "--nocapture" | "--no-capture" => options.capture_off = true,
            "--test-threads" => options.threads = args.next().and_then(|n| n.parse().ok()),
            "--one" => options.one = args.next(),
            "--body" => options.body = args.next(),
            other if other.starts_with('-') => {} // libtest's, without a meaning here (--quiet, --format ...)
            filter => options.filters.push(filter.to_owned()),
        }
    }
    options
}

/// In the child: a fresh host, the scenario on it, and the end of all it left.
#[allow(
    clippy::zombie_processes,
    reason = "look_after waits for it, among the orphans it reaps"
)]
fn be_init(scenario: &Scenario) -> ExitCode {
    Host::prepare(scenario.name);
    let mut command = Command::new(std::env::current_exe().expect("the path of this binary"));
    command
        .args(["--body", &scenario.full_name()])
        .stdin(Stdio::null());
    let body = command.spawn().expect("this binary once more");
    let code = Host::look_after(scenario.name, i32::try_from(body.id()).expect("a pid"));
    ExitCode::from(code.and_then(|c| u8::try_from(c).ok()).unwrap_or(1))
}

/// In the grandchild: the scenario's steps.
fn run_here(scenario: &Scenario) -> ExitCode {
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let host = Host::enter(scenario.name);
        let outcome = catch_unwind(AssertUnwindSafe(|| (scenario.run)(&host)));
        if outcome.as_ref().is_err_and(|e| !e.is::<Skipped>()) {
            host.tell_the_scene();
        }
        if let Err(payload) = outcome {
            std::panic::resume_unwind(payload);
        }
    }));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(payload) => match payload.downcast::<Skipped>() {
            Ok(skipped) => {
                say(&format!("{}\n", skipped.0));
                ExitCode::from(SKIP)
            }
            Err(_) => ExitCode::FAILURE,
        },
    }
}

fn run_all(chosen: &[Scenario], options: &Options) -> Vec<(String, Verdict)> {
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let at_once = options.threads.unwrap_or(cores.clamp(2, 6)).max(1);
    say(&format!(
        "\nrunning {} scenarios, {at_once} at once\n",
        chosen.len()
    ));
    let queue = Mutex::new(chosen.iter());
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                loop {
                    let Some(scenario) = queue.lock().expect("no worker panics").next() else {
                        return;
                    };
                    let started = Instant::now();
                    let verdict = run_apart(scenario, options.capture_off);
                    let word = match &verdict {
                        Verdict::Passed => "ok".to_owned(),
                        Verdict::Failed(_) => "FAILED".to_owned(),
                        Verdict::Skipped(why) => format!("skipped: {why}"),
                    };
                    let name = scenario.full_name();
                    let mut line = format!(
                        "test {name} ... {word} ({:.1} s)\n",
                        started.elapsed().as_secs_f32()
                    );
                    // At once: a run that is stopped has told what it found.
                    if let Verdict::Failed(said) = &verdict {
                        line.push_str(&format!("\n---- {name} ----\n{said}\n"));
                    }
                    say(&line);
                    done.lock().expect("no worker panics").push((name, verdict));
                }
            });
        }
    });
    done.into_inner().expect("no worker panics")
}

/// In the parent: a child for the scenario.
fn run_apart(scenario: &Scenario, capture_off: bool) -> Verdict {
    let name = scenario.full_name();
    let path = std::env::temp_dir().join(format!(
        "scenario-{}-{}",
        std::process::id(),
        name.replace("::", "-")
    ));
    let mut command = Command::new(std::env::current_exe().expect("the path of this binary"));
    // The place that a failure names is the scenario's own line; frames below it say nothing more.
    command
        .args(["--one", &name])
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null());
    if !capture_off {
        let file = std::fs::File::create(&path).expect("a file for the output");
        command
            .stderr(file.try_clone().expect("a second handle"))
            .stdout(file);
    }
    let mut child = command.spawn().expect("this binary once more");
    let started = Instant::now();
    let limit = patient(LIMIT);
    let status = loop {
        match child.try_wait().expect("a child can be waited for") {
            Some(status) => break Some(status),
            None if started.elapsed() > limit => {
                let pid = i32::try_from(child.id()).expect("a pid");
                crate::kernel::kill_tree(pid);
                let _ = child.kill();
                let _ = child.wait();
                break None;
            }
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    let said = std::fs::read(&path)
        .map(|b| String::from_utf8_lossy(&b).into_owned())
        .unwrap_or_default();
    let _ = std::fs::remove_file(&path);
    match status.and_then(|s| s.code()) {
        Some(0) => Verdict::Passed,
        Some(code) if code == i32::from(SKIP) => {
            let why = said.lines().last().unwrap_or_default().to_owned();
            if std::env::var_os("DOCKLESS_TEST_NO_SKIP").is_some() {
                return Verdict::Failed(format!("skipped on a host that promised all: {why}"));
            }
            Verdict::Skipped(why)
        }
        Some(_) => Verdict::Failed(said),
        None => Verdict::Failed(format!(
            "{said}\nended by the limit of {limit:?}, or by a signal"
        )),
    }
}

fn report(done: &[(String, Verdict)]) -> ExitCode {
    let count = |is: fn(&Verdict) -> bool| done.iter().filter(|(_, v)| is(v)).count();
    let failed = count(|v| matches!(v, Verdict::Failed(_)));
    if failed > 0 {
        say("\nfailed:\n");
    }
    for (name, verdict) in done {
        if matches!(verdict, Verdict::Failed(_)) {
            say(&format!("    {name}\n"));
        }
    }
    say(&format!(
        "\ntest result: {}. {} passed; {failed} failed; {} skipped\n\n",
        if failed == 0 { "ok" } else { "FAILED" },
        count(|v| matches!(v, Verdict::Passed)),
        count(|v| matches!(v, Verdict::Skipped(_))),
    ));
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
