//! RUN: a sandbox over the layers so far, whose upper directory becomes the layer.

use super::Solver;
use super::mounts::Mounted;
use super::stage::{Done, Finished, LayerStep};
use super::stubs::Stubs;
use crate::dockerfile::{Instruction, Placed, RunNetwork};
use crate::error::Cause;
use crate::options::Options;
use crate::progress::{Event, Step, Stream};
use crate::stage::RunStep;
use crate::workspace::Upper;
use engine::sandbox::{Output, Sandbox, SandboxNetwork};
use model::limits::Ulimit;
use model::network::ExtraHost;
use serde::Serialize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const HOSTNAME: &str = "BUILDKIT_SANDBOX_HOSTNAME";
/// A line longer than this is told in pieces.
const LINE: usize = 64 << 10;

/// What the key of a RUN is made of.
#[derive(Serialize)]
struct RunKey<'a> {
    #[serde(flatten)]
    run: &'a RunStep,
    /// Left out where nothing is given: keys are as if there were no such flags.
    #[serde(skip_serializing_if = "Given::is_nothing")]
    given: Given<'a>,
}

/// What the command line gives to every RUN: a command may find other things then. Proxies are left out, as Docker does, and
/// limits of memory and processors, under which a command makes the same, later or not at all.
#[derive(Debug, Default, PartialEq, Serialize)]
struct Given<'a> {
    network: RunNetwork,
    extra_hosts: &'a [ExtraHost],
    shm_size: Option<u64>,
    ulimits: &'a [Ulimit],
    privileged: bool,
    hostname: Option<&'a str>,
}

impl<'a> Given<'a> {
    fn of(options: &'a Options, run: &RunStep) -> Self {
        Self {
            // What the Dockerfile says goes before it.
            network: match run.network {
                RunNetwork::Default => options.network,
                RunNetwork::None | RunNetwork::Host => RunNetwork::Default,
            },
            extra_hosts: &options.extra_hosts,
            shm_size: options.shm_size,
            ulimits: &options.ulimits,
            privileged: options.privileged,
            hostname: options.build_args.get(HOSTNAME).map(String::as_str),
        }
    }

    fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

impl Solver<'_> {
    pub(super) fn run_step(
        &self,
        work: &mut Finished,
        step: &Step,
        run: &RunStep,
        placed: &Placed<Instruction>,
        done: &Done,
    ) -> Result<(), Cause> {
        if !run.security.is_sandbox() && !self.options.allow_insecure && !self.options.privileged {
            return Err(Cause::Insecure);
        }
        let inputs = self.mount_inputs(run, placed.lines, done)?;
        let key = RunKey {
            run,
            given: Given::of(self.options, run),
        };
        let layer_step = LayerStep {
            step,
            parts: &key,
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
            Ok(code) => Err(match self.store.full() {
                // What it wrote is there still.
                Some(source) => Cause::NoRoom {
                    command,
                    code,
                    source,
                },
                None => Cause::Process { command, code },
            }),
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
        let hostname = self.options.build_args.get(HOSTNAME);
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
            resources: self.options.resources.clone(),
            privileged: self.options.privileged || !run.security.is_sandbox(),
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
