//! RUN: a sandbox over the layers so far, whose upper directory becomes the layer.

use super::Solver;
use super::mounts::Mounted;
use super::stage::{Done, Finished, LayerStep};
use super::stubs::Stubs;
use crate::dockerfile::{Instruction, Placed, RunNetwork};
use crate::error::Cause;
use crate::progress::{Event, Step, Stream};
use crate::stage::RunStep;
use crate::workspace::Upper;
use engine::sandbox::{Output, Sandbox, SandboxNetwork};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// A line longer than this is told in pieces.
const LINE: usize = 64 << 10;

impl Solver<'_> {
    pub(super) fn run_step(
        &self,
        work: &mut Finished,
        step: &Step,
        run: &RunStep,
        placed: &Placed<Instruction>,
        done: &Done,
    ) -> Result<(), Cause> {
        let inputs = self.mount_inputs(run, placed.lines, done)?;
        let layer_step = LayerStep {
            step,
            parts: run,
            inputs: &inputs,
        };
        self.layer(work, &layer_step, |work, upper| {
            let mounted = self.mounts(run, placed.lines, done)?;
            self.execute(work, upper, step, run, &mounted)
        })
    }

    fn execute(
        &self,
        work: &Finished,
        upper: &Upper,
        step: &Step,
        run: &RunStep,
        mounted: &Mounted,
    ) -> Result<(), Cause> {
        let stubs = Stubs::look(&self.workspace, &work.dirs, &mounted.mounts)?;
        let sandbox = self.sandbox(work, upper, run, mounted)?;
        let mut output = Lines::new(self.progress, step, &self.canceled);
        let code = engine::sandbox::run(self.ctx, &sandbox, &mut output);
        output.flush();
        if self.canceled.load(Ordering::Relaxed) {
            return Err(Cause::Canceled);
        }
        let command = run.argv.join(" ");
        match code {
            Ok(0) => stubs.remove(upper),
            Ok(code) => Err(Cause::Process { command, code }),
            Err(source) => Err(Cause::Sandbox {
                command,
                source: Box::new(source),
            }),
        }
    }

    fn sandbox(
        &self,
        work: &Finished,
        upper: &Upper,
        run: &RunStep,
        mounted: &Mounted,
    ) -> Result<Sandbox, Cause> {
        let network = match (run.network, self.options.network) {
            (RunNetwork::None, _) | (RunNetwork::Default, RunNetwork::None) => SandboxNetwork::None,
            (RunNetwork::Host, _) | (RunNetwork::Default, RunNetwork::Host) => SandboxNetwork::Host,
            (RunNetwork::Default, RunNetwork::Default) => SandboxNetwork::Bridge,
        };
        let mut layers = work.dirs.clone();
        if layers.is_empty() {
            layers.push(self.workspace.empty());
        }
        let pairs = run.env.iter().chain(&run.proxies).chain(&mounted.env);
        let mut env: Vec<String> = pairs.map(|(key, value)| format!("{key}={value}")).collect();
        if !env.iter().any(|entry| entry.starts_with("PATH=")) {
            env.push(DEFAULT_PATH.to_owned());
        }
        let hostname = self.options.build_args.get("BUILDKIT_SANDBOX_HOSTNAME");
        Ok(Sandbox {
            layers,
            upper: upper.upper(),
            work: upper.work(),
            scratch: self.workspace.directory("scratch")?,
            argv: run.argv.clone(),
            env,
            cwd: run.cwd.clone(),
            user: run.user.clone(),
            hostname: hostname
                .cloned()
                .unwrap_or_else(|| "buildkitsandbox".to_owned()),
            network,
            extra_hosts: self.options.extra_hosts.clone(),
            mounts: mounted.mounts.clone(),
            shm_size: self.options.shm_size,
            ulimits: self.options.ulimits.clone(),
            privileged: self.options.privileged,
        })
    }
}

/// Cuts the output into lines, each stream for itself.
struct Lines<'a> {
    progress: &'a dyn crate::progress::Progress,
    step: &'a Step,
    canceled: &'a AtomicBool,
    since: Instant,
    /// What stands after the last line end: standard output, standard error.
    pending: [Vec<u8>; 2],
}

impl<'a> Lines<'a> {
    fn new(
        progress: &'a dyn crate::progress::Progress,
        step: &'a Step,
        canceled: &'a AtomicBool,
    ) -> Self {
        Self {
            progress,
            step,
            canceled,
            since: Instant::now(),
            pending: Default::default(),
        }
    }

    fn take(&mut self, stream: Stream, bytes: &[u8]) {
        let index = if stream == Stream::Stdout { 0 } else { 1 };
        let mut pending = std::mem::take(&mut self.pending[index]);
        for byte in bytes {
            if *byte == b'\n' || pending.len() >= LINE {
                self.tell(stream, &pending);
                pending.clear();
            }
            if *byte != b'\n' {
                pending.push(*byte);
            }
        }
        self.pending[index] = pending;
    }

    fn flush(&mut self) {
        for (stream, index) in [(Stream::Stdout, 0), (Stream::Stderr, 1)] {
            let pending = std::mem::take(&mut self.pending[index]);
            if !pending.is_empty() {
                self.tell(stream, &pending);
            }
        }
    }

    fn tell(&self, stream: Stream, line: &[u8]) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        self.progress.event(Event::Output {
            step: self.step,
            stream,
            line,
            at: self.since.elapsed(),
        });
    }
}

impl Output for Lines<'_> {
    fn stdout(&mut self, bytes: &[u8]) {
        self.take(Stream::Stdout, bytes);
    }

    fn stderr(&mut self, bytes: &[u8]) {
        self.take(Stream::Stderr, bytes);
    }

    fn canceled(&mut self) -> bool {
        self.canceled.load(Ordering::Relaxed)
    }
}
