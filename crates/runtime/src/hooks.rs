//! Hooks: programs that run at the turns of a container's life, with its state on their standard input.
//!
//! Three kinds belong to a container's birth and are run by [`crate::spawn`] and init (see `protocol`): those in the runtime's
//! namespaces by the caller, the others by init. `Poststart` and `Poststop` belong to whoever starts and deletes: [`run`].
//! Source: runtime-spec `config.md` "POSIX-platform Hooks", `runtime.md` "Lifecycle" and "State".

use crate::annotations;
use crate::error::Errno;
use oci_spec::runtime::{ContainerState, Hook, Hooks};
use serde::{Deserialize, Serialize};
use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;
use sys::command::{Command, End};
use sys::process::ExitStatus;
use thiserror::Error;

/// The container's state as the specification words it; [`run`] fills in the status that belongs to the kind.
pub use oci_spec::runtime::State;

/// When a hook runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum HookKind {
    Prestart,
    CreateRuntime,
    CreateContainer,
    StartContainer,
    Poststart,
    Poststop,
}

impl HookKind {
    pub const ALL: [Self; 6] = [
        Self::Prestart,
        Self::CreateRuntime,
        Self::CreateContainer,
        Self::StartContainer,
        Self::Poststart,
        Self::Poststop,
    ];

    /// The name of the property of `hooks`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Prestart => "prestart",
            Self::CreateRuntime => "createRuntime",
            Self::CreateContainer => "createContainer",
            Self::StartContainer => "startContainer",
            Self::Poststart => "poststart",
            Self::Poststop => "poststop",
        }
    }

    /// The hooks of this kind, in their order.
    pub fn of(self, hooks: &Hooks) -> &[Hook] {
        #[allow(deprecated, reason = "prestart hooks are old, and still asked for")]
        let list = match self {
            Self::Prestart => hooks.prestart(),
            Self::CreateRuntime => hooks.create_runtime(),
            Self::CreateContainer => hooks.create_container(),
            Self::StartContainer => hooks.start_container(),
            Self::Poststart => hooks.poststart(),
            Self::Poststop => hooks.poststop(),
        };
        list.as_deref().unwrap_or_default()
    }

    /// The turn of life the container is at.
    fn status(self) -> ContainerState {
        match self {
            Self::Prestart | Self::CreateRuntime | Self::CreateContainer => {
                ContainerState::Creating
            }
            Self::StartContainer => ContainerState::Created,
            Self::Poststart => ContainerState::Running,
            Self::Poststop => ContainerState::Stopped,
        }
    }
}

impl std::fmt::Display for HookKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Error, Serialize, Deserialize)]
pub enum Error {
    #[error("cannot execute the {kind} hook {}", path.display())]
    Execute {
        kind: HookKind,
        path: PathBuf,
        #[source]
        cause: Errno,
    },
    #[error("the {kind} hook failed with exit code {code}: {}{}", path.display(), quote(said))]
    Failed {
        kind: HookKind,
        path: PathBuf,
        code: i32,
        said: String,
    },
    #[error("the {kind} hook {} was killed by {}{}", path.display(), sys::signal::name(*signal), quote(said))]
    Killed {
        kind: HookKind,
        path: PathBuf,
        signal: i32,
        said: String,
    },
    #[error("the {kind} hook {} did not end within {seconds} s and was killed{}", path.display(), quote(said))]
    TimedOut {
        kind: HookKind,
        path: PathBuf,
        seconds: i64,
        said: String,
    },
    #[error("cannot open {} for what the {kind} hooks write, which an annotation asks for", path.display())]
    Output {
        kind: HookKind,
        path: PathBuf,
        #[source]
        cause: Errno,
    },
    #[error("a string of the {kind} hook {} holds a zero byte", path.display())]
    ZeroByte { kind: HookKind, path: PathBuf },
    #[error("the container's state for its {kind} hooks is no JSON: {message}")]
    State { kind: HookKind, message: String },
}

fn quote(said: &str) -> String {
    if said.is_empty() {
        String::new()
    } else {
        format!(": {said}")
    }
}

/// Runs the hooks of one kind in their order, in the bundle; the first that fails ends it.
pub fn run(kind: HookKind, hooks: &Hooks, state: &State) -> Result<(), Error> {
    if kind.of(hooks).is_empty() {
        return Ok(());
    }
    let surroundings = Surroundings::caller(state).with_outputs(kind, state)?;
    run_in(kind, hooks, state, &surroundings)
}

/// The same for those whose failure stops nothing (`Poststop`): all run, and all that failed is told.
pub fn run_all(kind: HookKind, hooks: &Hooks, state: &State) -> Vec<Error> {
    let prepared = Surroundings::caller(state)
        .with_outputs(kind, state)
        .and_then(|surroundings| Ok((surroundings, describe(kind, state)?)));
    let (surroundings, text) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => return vec![error],
    };
    kind.of(hooks)
        .iter()
        .filter_map(|hook| run_one(kind, hook, &text, &surroundings).err())
        .collect()
}

/// What a hook finds when it has no wish of its own.
#[derive(Debug)]
pub(crate) struct Surroundings {
    pub(crate) env: Vec<CString>,
    pub(crate) directory: Option<PathBuf>,
    pub(crate) stdout: Option<OwnedFd>,
    pub(crate) stderr: Option<OwnedFd>,
}

impl Surroundings {
    /// The caller's environment, and the bundle.
    pub(crate) fn caller(state: &State) -> Self {
        let bundle = state.bundle();
        Self {
            env: sys::role::inherited_env(),
            directory: bundle.is_absolute().then(|| bundle.clone()),
            stdout: None,
            stderr: None,
        }
    }

    /// With the files that annotations name for the output. Only for hooks of the runtime's own namespaces: in the container's the
    /// names would be others, and an open file of the host's a way out.
    fn with_outputs(mut self, kind: HookKind, state: &State) -> Result<Self, Error> {
        let open = |name: &str| {
            let path = annotations::text(state.annotations(), name).map(PathBuf::from);
            path.map(|path| open_output(kind, path)).transpose()
        };
        self.stdout = open(annotations::HOOKS_STDOUT)?;
        self.stderr = open(annotations::HOOKS_STDERR)?;
        Ok(self)
    }
}

fn open_output(kind: HookKind, path: PathBuf) -> Result<OwnedFd, Error> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::APPEND | OFlags::CLOEXEC;
    match rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR) {
        Ok(file) => Ok(file),
        Err(e) => Err(Error::Output {
            kind,
            path,
            cause: e.into(),
        }),
    }
}

pub(crate) fn run_in(
    kind: HookKind,
    hooks: &Hooks,
    state: &State,
    surroundings: &Surroundings,
) -> Result<(), Error> {
    let list = kind.of(hooks);
    if list.is_empty() {
        return Ok(());
    }
    let text = describe(kind, state)?;
    list.iter()
        .try_for_each(|hook| run_one(kind, hook, &text, surroundings))
}

fn describe(kind: HookKind, state: &State) -> Result<Vec<u8>, Error> {
    let mut state = state.clone();
    state.set_status(kind.status());
    serde_json::to_vec(&state).map_err(|e| Error::State {
        kind,
        message: e.to_string(),
    })
}

fn run_one(
    kind: HookKind,
    hook: &Hook,
    state: &[u8],
    surroundings: &Surroundings,
) -> Result<(), Error> {
    let path = || hook.path().clone();
    let string =
        |bytes: &[u8]| CString::new(bytes).map_err(|_| Error::ZeroByte { kind, path: path() });
    let strings = |list: &[String]| {
        list.iter()
            .map(|text| string(text.as_bytes()))
            .collect::<Result<Vec<_>, _>>()
    };
    let program = string(hook.path().as_os_str().as_bytes())?;
    // As given, the name of the program included; without any the path stands for it, as execvp's callers do.
    let argv = match hook.args().as_deref() {
        None | Some([]) => vec![program.clone()],
        Some(args) => strings(args)?,
    };
    let own_env = hook.env().as_deref().map(strings).transpose()?;
    let directory = match &surroundings.directory {
        Some(directory) => Some(string(directory.as_os_str().as_bytes())?),
        None => None,
    };
    let ended = sys::command::run(&Command {
        path: &program,
        argv: &argv,
        env: own_env.as_deref().unwrap_or(&surroundings.env),
        directory: directory.as_deref(),
        input: state,
        timeout: limit(hook),
        stdout: surroundings.stdout.as_ref().map(AsFd::as_fd),
        stderr: surroundings.stderr.as_ref().map(AsFd::as_fd),
    })
    .map_err(|e| Error::Execute {
        kind,
        path: path(),
        cause: e.into(),
    })?;
    let said = last_lines(&ended.said);
    match ended.end {
        End::Exited(ExitStatus::Code(0)) => Ok(()),
        End::Exited(ExitStatus::Code(code)) => Err(Error::Failed {
            kind,
            path: path(),
            code,
            said,
        }),
        End::Exited(ExitStatus::Signal(signal)) => Err(Error::Killed {
            kind,
            path: path(),
            signal,
            said,
        }),
        End::TimedOut => Err(Error::TimedOut {
            kind,
            path: path(),
            seconds: hook.timeout().unwrap_or_default(),
            said,
        }),
    }
}

/// Zero and less are refused by `validate`; to whoever did not ask it they are no limit.
fn limit(hook: &Hook) -> Option<Duration> {
    let seconds = u64::try_from(hook.timeout()?).ok()?;
    (seconds > 0).then(|| Duration::from_secs(seconds))
}

/// Enough to see what went wrong, on one line.
fn last_lines(said: &[u8]) -> String {
    const LINES: usize = 5;
    let text = String::from_utf8_lossy(said);
    let mut lines: Vec<&str> = text
        .lines()
        .rev()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .take(LINES)
        .collect();
    lines.reverse();
    lines.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::runtime::{HookBuilder, HooksBuilder, StateBuilder};

    fn hook(script: &str) -> Hook {
        HookBuilder::default()
            .path("/bin/sh")
            .args(["hook", "-c", script].map(str::to_owned))
            .build()
            .unwrap()
    }

    fn hooks(list: Vec<Hook>) -> Hooks {
        HooksBuilder::default().poststart(list).build().unwrap()
    }

    fn state() -> State {
        StateBuilder::default()
            .version("1.2.0")
            .id("c1")
            .pid(42)
            .bundle("/usr")
            .build()
            .unwrap()
    }

    fn failure(hook: Hook) -> Error {
        run(HookKind::Poststart, &hooks(vec![hook]), &state()).unwrap_err()
    }

    #[test]
    fn the_state_arrives_whole() {
        let text = failure(hook("cat; pwd; echo $0; exit 7")).to_string();
        assert!(
            text.starts_with("the poststart hook failed with exit code 7: /bin/sh: {"),
            "{text}"
        );
        for part in [
            r#""ociVersion":"1.2.0""#,
            r#""id":"c1""#,
            r#""status":"running""#,
            r#""pid":42"#,
            r#""bundle":"/usr"}"#,
            "/usr; hook",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn environments_are_inherited_or_exactly_as_given() {
        let mut given = hook("test \"$(env | grep -v -e ^PWD= -e ^_= -e ^SHLVL=)\" = A=1");
        given.set_env(Some(vec!["A=1".to_owned()]));
        run(HookKind::Poststart, &hooks(vec![given]), &state()).unwrap();
        let path = std::env::var("PATH").unwrap();
        let inherited = hook(&format!("test \"$PATH\" = '{path}'"));
        run(HookKind::Poststart, &hooks(vec![inherited]), &state()).unwrap();
    }

    #[test]
    fn failures_name_the_hook() {
        let mut slow = hook("echo waiting; sleep 100");
        slow.set_timeout(Some(1));
        assert_eq!(
            failure(slow).to_string(),
            "the poststart hook /bin/sh did not end within 1 s and was killed: waiting"
        );
        assert_eq!(
            failure(hook("kill -9 $$")).to_string(),
            "the poststart hook /bin/sh was killed by SIGKILL"
        );
        let missing = HookBuilder::default().path("/no/such").build().unwrap();
        assert_eq!(
            failure(missing).to_string(),
            "cannot execute the poststart hook /no/such"
        );
    }

    #[test]
    fn annotations_say_where_the_output_goes() {
        let directory = std::env::temp_dir().join(format!("hooks-{}", std::process::id()));
        std::fs::create_dir(&directory).unwrap();
        let (out, err) = (directory.join("out"), directory.join("err"));
        let mut state = state();
        let named =
            |name: &str, path: &std::path::Path| (name.to_owned(), path.display().to_string());
        state.set_annotations(Some(
            [
                named("run.oci.hooks.stdout", &out),
                named("run.oci.hooks.stderr", &err),
            ]
            .into(),
        ));
        let list = hooks(vec![hook("echo 1; echo 2 >&2"), hook("echo 3; exit 1")]);
        let error = run(HookKind::Poststart, &list, &state).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the poststart hook failed with exit code 1: /bin/sh"
        );
        let read = |path| std::fs::read_to_string(path).unwrap();
        assert_eq!(
            (read(&out).as_str(), read(&err).as_str()),
            ("1\n3\n", "2\n")
        );
        state.set_annotations(Some([named("run.oci.hooks.stdout", &directory)].into()));
        let error = run(HookKind::Poststart, &list, &state).unwrap_err();
        assert!(matches!(error, Error::Output { .. }), "{error}");
        assert!(
            run(HookKind::Poststop, &list, &state).is_ok(),
            "no hooks, no files"
        );
        std::fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn the_first_failure_ends_it_unless_all_are_to_run() {
        let list = hooks(vec![hook("exit 1"), hook("exit 2"), hook("exit 0")]);
        let code = |error: &Error| match error {
            Error::Failed { code, .. } => *code,
            other => panic!("{other}"),
        };
        assert_eq!(
            code(&run(HookKind::Poststart, &list, &state()).unwrap_err()),
            1
        );
        let all = run_all(HookKind::Poststart, &list, &state());
        assert_eq!(all.iter().map(code).collect::<Vec<_>>(), [1, 2]);
    }
}
