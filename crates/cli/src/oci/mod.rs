//! The command line of an OCI runtime: `dockless oci VERB`, or the binary called as `runc` or `crun`.
//!
//! Verbs, flags, JSON shapes and exit codes are runc's; where crun has more, it is taken too. No parser is built and nothing of the
//! engine is opened: what a verb does is in `bundle`.
//! Source: runc(8), crun(1), runtime-spec `runtime.md`, the OCI runtime command line interface of runtime-tools.

mod argv;
mod attend;
mod display;
mod events;
mod exec;
mod lifecycle;
mod log;
mod spec;
mod update;

use crate::failure::{Failure, Outcome};
use crate::{VERSION, output};
use argv::{Flag, Given, switch, value};
use bundle::{Container, Manager, Root};
use log::{Format, Log};
use std::ffi::OsString;

/// Names by which the binary is this command line.
pub(crate) const NAMES: [&str; 3] = ["runc", "crun", "dockless-oci"];

/// Where containers are remembered unless `--root` says otherwise; the same under every name.
const DEFAULT_ROOT: &str = "/run/dockless-oci";

/// What this program was built with, in the words of crun, whose callers look for them.
const ABILITIES: &str = "+SYSTEMD +SELINUX +APPARMOR +CAP +SECCOMP +EBPF";

const GLOBALS: &[Flag] = &[
    value("root"),
    value("log"),
    value("log-format"),
    value("log-level"),
    switch("debug"),
    switch("systemd-cgroup"),
    value("cgroup-manager"),
    value("rootless"),
    value("criu"),
    switch("version").or('v'),
    switch("help").or('h'),
];

const HELP: &[Flag] = &[switch("help").or('h')];

/// One verb: its names are one, its flags a constant.
struct Verb {
    name: &'static str,
    usage: &'static str,
    flags: &'static [Flag],
    /// After so many words flags are somebody else's.
    words: usize,
    run: fn(&Call<'_>, &Given) -> Outcome,
}

const VERBS: &[Verb] = &[
    lifecycle::CREATE,
    lifecycle::START,
    lifecycle::RUN,
    lifecycle::KILL,
    lifecycle::DELETE,
    display::STATE,
    display::LIST,
    display::PS,
    exec::EXEC,
    lifecycle::PAUSE,
    lifecycle::RESUME,
    update::UPDATE,
    events::EVENTS,
    spec::SPEC,
    spec::FEATURES,
];

/// One call: the options before the verb.
#[derive(Debug)]
struct Call<'a> {
    root: Root,
    manager: Manager,
    log: &'a Log,
}

impl Call<'_> {
    /// The container whose id is the first word.
    fn container(&self, given: &Given) -> Result<Container, Failure> {
        Ok(self.root.find(id(given)?)?)
    }
}

/// The id of a verb that takes one.
fn id(given: &Given) -> Result<&str, Failure> {
    let word = given
        .words
        .first()
        .ok_or_else(|| usage("a container id is needed"))?;
    word.to_str()
        .ok_or_else(|| usage(format!("the container id {word:?} is not text")))
}

/// Nothing may follow the words a verb takes.
fn at_most(given: &Given, words: usize) -> Result<(), Failure> {
    match given.words.get(words) {
        Some(extra) => Err(usage(format!("unexpected argument {extra:?}"))),
        None => Ok(()),
    }
}

fn usage(message: impl Into<String>) -> Failure {
    Failure::Usage {
        message: message.into(),
        code: 1,
    }
}

/// `program` is the name to be told.
pub(crate) fn main(program: &str, args: &[OsString]) -> u8 {
    let mut log = Log::default();
    match command(program, args, &mut log) {
        Ok(code) => code,
        Err(failure) => {
            log.failure(&failure);
            failure.exit_code()
        }
    }
}

fn command(program: &str, args: &[OsString], log: &mut Log) -> Outcome {
    let globals = argv::read(args, &[GLOBALS], 1).map_err(usage)?;
    *log = open_log(&globals)?;
    if globals.is_on("version") {
        return version(program);
    }
    let name = globals.words.first().and_then(|word| word.to_str());
    let rest = globals.words.get(1..).unwrap_or_default();
    match name {
        None | Some("help") => return help(program),
        Some(_) if globals.is_on("help") => return help(program),
        Some("version") => return version(program),
        Some(_) => {}
    }
    let name = name.unwrap_or_default();
    let verb = VERBS
        .iter()
        .find(|verb| verb.name == name)
        .ok_or_else(|| usage(format!("unknown command {name:?}; see '{program} --help'")))?;
    let given = argv::read(rest, &[verb.flags, HELP], verb.words)
        .map_err(|message| usage(format!("{message}; see '{program} {name} --help'")))?;
    if given.is_on("help") {
        return verb_help(program, verb);
    }
    let call = Call {
        root: Root::new(globals.path("root").unwrap_or_else(|| DEFAULT_ROOT.into())),
        manager: manager(&globals)?,
        log,
    };
    (verb.run)(&call, &given)
}

fn open_log(globals: &Given) -> Result<Log, Failure> {
    let format = match globals.text("log-format") {
        None | Some("text") => Format::Text,
        Some("json") => Format::Json,
        Some(other) => return Err(usage(format!("invalid log-format {other:?}: text or json"))),
    };
    let path = globals.path("log").map(|path| match path.to_str() {
        // crun's way to say that it is a file.
        Some(text) => text.strip_prefix("file:").unwrap_or(text).into(),
        None => path,
    });
    Log::open(path.as_deref(), format, globals.is_on("debug"))
}

fn manager(globals: &Given) -> Result<Manager, Failure> {
    match globals.text("cgroup-manager") {
        Some("systemd") => Ok(Manager::Systemd),
        Some("cgroupfs" | "disabled") => Ok(Manager::Cgroupfs),
        Some(other) => Err(usage(format!(
            "unknown cgroup-manager {other:?}: cgroupfs or systemd"
        ))),
        None if globals.is_on("systemd-cgroup") => Ok(Manager::Systemd),
        None => Ok(Manager::Cgroupfs),
    }
}

fn version(program: &str) -> Outcome {
    let mut lines = vec![
        format!("{program} version {VERSION}"),
        format!("commit: dockless-{VERSION}"),
        format!("spec: {}", bundle::SPEC_VERSION),
    ];
    if program == "crun" {
        lines.insert(2, format!("rundir: {DEFAULT_ROOT}"));
        lines.push(ABILITIES.to_owned());
    }
    output::line(lines.join("\n"))?;
    Ok(0)
}

fn help(program: &str) -> Outcome {
    let mut text = format!(
        "Usage: {program} [OPTION...] COMMAND [ARG...]\n\nRun containers from OCI bundles.\n\nCommands:\n"
    );
    for verb in VERBS {
        text += &format!("  {:<9} {}\n", verb.name, verb.usage);
    }
    text += &options(GLOBALS);
    output::text(&text)?;
    Ok(0)
}

fn verb_help(program: &str, verb: &Verb) -> Outcome {
    output::text(&format!(
        "Usage: {program} [OPTION...] {} {}\n{}",
        verb.name,
        verb.usage,
        options(verb.flags)
    ))?;
    Ok(0)
}

fn options(flags: &[Flag]) -> String {
    let lines: String = flags
        .iter()
        .map(|flag| format!("  {}\n", flag.usage()))
        .collect();
    if lines.is_empty() {
        lines
    } else {
        format!("\nOptions:\n{lines}")
    }
}
