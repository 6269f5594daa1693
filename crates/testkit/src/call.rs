//! One call of the binary: its arguments, environment and input, and what came of it.

use crate::wait::patient;
use std::fmt;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A call longer than this hangs.
const LIMIT: Duration = Duration::from_secs(240);
/// Once a command has ended, what it started must not hold its output open.
const LET_GO: Duration = Duration::from_secs(5);

/// A command about to be run.
#[derive(Debug)]
pub struct Call {
    command: Command,
    stdin: Vec<u8>,
    limit: Duration,
    shown: String,
}

/// What a command came to.
#[derive(Debug, Clone)]
pub struct Output {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
    shown: String,
}

/// A command that runs beside the scenario; killed when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    seen: Arc<Mutex<Vec<u8>>>,
    ends: Vec<Receiver<()>>,
    shown: String,
}

impl Call {
    pub(crate) fn new(program: &Path, words: &str) -> Self {
        let mut command = Command::new(program);
        let args = shell_words::split(words)
            .unwrap_or_else(|e| panic!("unbalanced quotes in {words}: {e}"));
        command.args(&args).env_clear().env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        );
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        Self {
            command,
            stdin: Vec::new(),
            limit: patient(LIMIT),
            shown: format!("{name} {words}"),
        }
    }

    /// A program of the host.
    pub fn tool(program: &Path, words: &str) -> Self {
        Self::new(program, words)
    }

    /// One more argument, taken as it is.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<std::ffi::OsStr>) -> Self {
        self.shown
            .push_str(&format!(" {}", arg.as_ref().to_string_lossy()));
        self.command.arg(arg);
        self
    }

    #[must_use]
    pub fn env(mut self, key: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    /// Takes a variable away that calls are given by themselves.
    #[must_use]
    pub fn without(mut self, key: &str) -> Self {
        self.command.env_remove(key);
        self
    }

    #[must_use]
    pub fn dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.command.current_dir(dir);
        self
    }

    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// The same command, which begins when it can read a line from its standard input.
    pub(crate) fn held(self) -> Command {
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", "read -r line; exec \"$@\"", "sh"])
            .arg(self.command.get_program())
            .args(self.command.get_args())
            .env_clear();
        let set = |(key, value): (&std::ffi::OsStr, Option<&std::ffi::OsStr>)| {
            value.map(|value| (key.to_owned(), value.to_owned()))
        };
        command.envs(self.command.get_envs().filter_map(set));
        if let Some(dir) = self.command.get_current_dir() {
            command.current_dir(dir);
        }
        command
    }

    /// Runs it to its end.
    ///
    /// # Panics
    /// When it hangs, or when it ended and something it started holds its output open.
    #[track_caller]
    pub fn run(mut self) -> Output {
        self.command.stdin(if self.stdin.is_empty() {
            Stdio::null()
        } else {
            Stdio::piped()
        });
        let mut child = self
            .command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect(&self.shown);
        if let Some(mut pipe) = child.stdin.take() {
            let bytes = std::mem::take(&mut self.stdin);
            std::thread::spawn(move || pipe.write_all(&bytes));
        }
        let (stdout, out_end) = collect(child.stdout.take(), Arc::default());
        let (stderr, err_end) = collect(child.stderr.take(), Arc::default());
        let code = wait(&mut child, self.limit).unwrap_or_else(|| {
            let _ = child.kill();
            panic!(
                "hangs: {}\nso far: {}{}",
                self.shown,
                text(&stdout),
                text(&stderr)
            )
        });
        for end in [out_end, err_end] {
            assert!(
                end.recv_timeout(patient(LET_GO)).is_ok(),
                "left its output open after it ended: {}",
                self.shown
            );
        }
        Output {
            code,
            stdout: text(&stdout),
            stderr: text(&stderr),
            shown: self.shown,
        }
    }

    /// Runs it, expects success, and gives its trimmed standard output.
    ///
    /// # Panics
    /// When it fails.
    #[track_caller]
    pub fn ok(self) -> String {
        let output = self.run();
        assert_eq!(output.code, 0, "{output}");
        output.stdout.trim().to_owned()
    }

    /// Runs it and expects this exit code.
    ///
    /// # Panics
    /// When it ends otherwise.
    #[track_caller]
    pub fn fails(self, code: i32) -> Output {
        let output = self.run();
        assert_eq!(output.code, code, "{output}");
        output
    }

    /// Starts it and lets it run; both outputs are collected together.
    pub fn start(mut self) -> Running {
        let child = self
            .command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = child.expect(&self.shown);
        let seen = Arc::<Mutex<Vec<u8>>>::default();
        let (_, out_end) = collect(child.stdout.take(), Arc::clone(&seen));
        let (_, err_end) = collect(child.stderr.take(), Arc::clone(&seen));
        Running {
            child,
            seen,
            ends: vec![out_end, err_end],
            shown: self.shown,
        }
    }
}

impl Output {
    /// Both outputs, for looking something up wherever it was said.
    pub fn all(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    /// # Panics
    /// When a word is in neither output.
    #[track_caller]
    pub fn says(&self, words: &[&str]) -> &Self {
        for word in words {
            assert!(self.all().contains(word), "does not say {word:?}: {self}");
        }
        self
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}\nexit {}\nstdout: {}\nstderr: {}",
            self.shown,
            self.code,
            self.stdout.trim_end(),
            self.stderr.trim_end()
        )
    }
}

impl Running {
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap_or(0)
    }

    /// What it has written so far.
    pub fn so_far(&self) -> String {
        text(&self.seen)
    }

    /// Waits until it has written `words`.
    ///
    /// # Panics
    /// When it does not within a minute.
    #[track_caller]
    pub fn says(&self, words: &str) {
        let started = Instant::now();
        while !self.so_far().contains(words) {
            let waited = started.elapsed();
            assert!(
                waited < patient(Duration::from_secs(60)),
                "{} did not say {words:?} but: {}",
                self.shown,
                self.so_far()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Writes to its standard input.
    pub fn write(&mut self, bytes: &[u8]) {
        let pipe = self.child.stdin.as_mut().expect("standard input is open");
        pipe.write_all(bytes)
            .and_then(|()| pipe.flush())
            .expect("the command reads its input");
    }

    /// Ends its standard input.
    pub fn close_stdin(&mut self) {
        self.child.stdin.take();
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        if let Some(pid) = rustix::process::Pid::from_raw(self.pid()) {
            let _ = rustix::process::kill_process(pid, signal);
        }
    }

    /// Kills it as a power cut would, and collects it.
    pub fn kill_9(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits for its end; gives the exit code and what it wrote.
    ///
    /// # Panics
    /// When it does not end.
    #[track_caller]
    pub fn end(mut self) -> (i32, String) {
        let code = wait(&mut self.child, patient(LIMIT))
            .unwrap_or_else(|| panic!("hangs: {}\n{}", self.shown, self.so_far()));
        for end in &self.ends {
            assert!(
                end.recv_timeout(patient(LET_GO)).is_ok(),
                "left its output open after it ended: {}",
                self.shown
            );
        }
        (code, self.so_far())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Exit code within the limit; a signal counts as 128 + its number, as a shell says it.
fn wait(child: &mut Child, limit: Duration) -> Option<i32> {
    use std::os::unix::process::ExitStatusExt;
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("a child can be waited for") {
            return status.code().or_else(|| status.signal().map(|s| 128 + s));
        }
        if started.elapsed() > limit {
            return None;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn collect(
    pipe: Option<impl Read + Send + 'static>,
    into: Arc<Mutex<Vec<u8>>>,
) -> (Arc<Mutex<Vec<u8>>>, Receiver<()>) {
    let (done, end) = channel();
    let sink = Arc::clone(&into);
    if let Some(mut pipe) = pipe {
        std::thread::spawn(move || {
            let mut buffer = [0; 65536];
            while let Ok(n @ 1..) = pipe.read(&mut buffer) {
                sink.lock()
                    .expect("no writer panics")
                    .extend_from_slice(&buffer[..n]);
            }
            let _ = done.send(());
        });
    }
    (into, end)
}

fn text(bytes: &Mutex<Vec<u8>>) -> String {
    String::from_utf8_lossy(&bytes.lock().expect("no writer panics")).into_owned()
}
