//! The options before the command: where the data lies, and the ones Docker's command line has.
//!
//! `-H`, `--context` and `--tls*` choose a daemon to talk to; there is none here, so the local ones are accepted and
//! a remote one is refused rather than ignored.

use crate::argv::nearest;
use crate::failure::Failure;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// How much is said about what happens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Verbosity {
    #[default]
    Normal,
    Debug,
}

/// What was said before the command, completed by the environment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Globals {
    pub(crate) data_root: Option<PathBuf>,
    pub(crate) run_root: Option<PathBuf>,
    pub(crate) image_dirs: Vec<PathBuf>,
    /// The engine's configuration file.
    pub(crate) engine_config: Option<PathBuf>,
    /// The directory of Docker's `config.json`, for registry credentials.
    pub(crate) docker_config: Option<PathBuf>,
    pub(crate) verbosity: Verbosity,
}

/// What the words before the command came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// Options, then a command and its words (none: help is shown).
    Command(Globals, Vec<OsString>),
    Help,
    Version,
}

const VALUED: [(&str, Option<char>); 13] = [
    ("root", None),
    ("data-root", None),
    ("run-root", None),
    ("image-dir", None),
    ("engine-config", None),
    ("config", None),
    ("context", Some('c')),
    ("host", Some('H')),
    ("log-level", Some('l')),
    ("tlscacert", None),
    ("tlscert", None),
    ("tlskey", None),
    ("orchestrator", None),
];

const SWITCHES: [&str; 5] = ["debug", "tls", "tlsverify", "help", "version"];

/// Reads the options at the head of `args`. `env` answers for environment variables.
pub(crate) fn read(
    args: &[OsString],
    env: impl Fn(&str) -> Option<OsString>,
) -> Result<Start, Failure> {
    let mut globals = Globals {
        data_root: env("DOCKLESS_ROOT").map(PathBuf::from),
        run_root: env("DOCKLESS_RUN_ROOT").map(PathBuf::from),
        engine_config: env("DOCKLESS_CONFIG").map(PathBuf::from),
        docker_config: env("DOCKER_CONFIG")
            .filter(|dir| !dir.is_empty())
            .map(PathBuf::from),
        ..Default::default()
    };
    let mut words = args.iter();
    let rest = loop {
        let Some(word) = words.next() else {
            break Vec::new();
        };
        let Some(text) = word
            .to_str()
            .filter(|text| text.starts_with('-') && *text != "-")
        else {
            break std::iter::once(word).chain(words).cloned().collect();
        };
        let (name, attached) = cut(text);
        let name = name?;
        if SWITCHES.contains(&name.as_str()) {
            match name.as_str() {
                "help" => return Ok(Start::Help),
                "version" => return Ok(Start::Version),
                "debug" if attached != Some("false") => globals.verbosity = Verbosity::Debug,
                _ => {}
            }
            continue;
        }
        let value = match attached {
            Some(value) => OsString::from(value),
            None => words
                .next()
                .cloned()
                .ok_or_else(|| Failure::usage(format!("flag needs an argument: {text}")))?,
        };
        set(&mut globals, &name, value)?;
    };
    if let Some(host) = env("DOCKER_HOST") {
        check_host(&host).map_err(|failure| {
            failure.hint("unset DOCKER_HOST, or run the command on that machine")
        })?;
    }
    if globals.image_dirs.is_empty() {
        let dirs = env("DOCKLESS_IMAGE_DIR").unwrap_or_default();
        globals.image_dirs = std::env::split_paths(&dirs)
            .filter(|dir| !dir.as_os_str().is_empty())
            .collect();
    }
    Ok(Start::Command(globals, rest))
}

/// The long name of a flag, and the value attached to it.
fn cut(text: &str) -> (Result<String, Failure>, Option<&str>) {
    if let Some(long) = text.strip_prefix("--") {
        let (name, value) = match long.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (long, None),
        };
        let known = || VALUED.iter().map(|(name, _)| *name).chain(SWITCHES);
        if known().any(|known| known == name) {
            return (Ok(name.to_owned()), value);
        }
        let near = nearest(name, known())
            .map(|near| format!(" (did you mean --{near}?)"))
            .unwrap_or_default();
        return (
            Err(Failure::usage(format!("unknown flag: --{name}{near}"))),
            None,
        );
    }
    let mut letters = text[1..].chars();
    let letter = letters.next().unwrap_or('-');
    let rest = letters.as_str();
    match letter {
        'D' => (Ok("debug".into()), None),
        'v' if rest.is_empty() => (Ok("version".into()), None),
        'h' if rest.is_empty() => (Ok("help".into()), None),
        _ => match VALUED.iter().find(|(_, short)| *short == Some(letter)) {
            Some((name, _)) => {
                let value = rest.strip_prefix('=').unwrap_or(rest);
                (Ok((*name).to_owned()), (!value.is_empty()).then_some(value))
            }
            None => (
                Err(Failure::usage(format!(
                    "unknown shorthand flag: {letter:?} in {text}"
                ))),
                None,
            ),
        },
    }
}

fn set(globals: &mut Globals, name: &str, value: OsString) -> Result<(), Failure> {
    let path = |value: OsString| Some(PathBuf::from(value));
    match name {
        "root" | "data-root" => globals.data_root = path(value),
        "run-root" => globals.run_root = path(value),
        "image-dir" => globals.image_dirs.push(value.into()),
        "engine-config" => globals.engine_config = path(value),
        "config" => globals.docker_config = path(value),
        "host" => check_host(&value)?,
        "context" => check_context(&value)?,
        "log-level" => match value.to_str() {
            Some("debug" | "trace") => globals.verbosity = Verbosity::Debug,
            Some("info" | "warn" | "warning" | "error" | "fatal" | "panic") => {}
            _ => {
                let value = value.to_string_lossy();
                return Err(Failure::usage(format!(
                    "unable to parse logging level: {value}"
                )));
            }
        },
        _ => {}
    }
    Ok(())
}

fn check_host(value: &OsStr) -> Result<(), Failure> {
    let text = value.to_string_lossy();
    if text.is_empty() || text.starts_with("unix://") || text.starts_with('/') {
        return Ok(());
    }
    Err(Failure::said(format!(
        "cannot use the host {text}: dockless works on this machine only, without a daemon"
    ))
    .hint("run the command on that machine, for example through ssh"))
}

fn check_context(value: &OsStr) -> Result<(), Failure> {
    match value.to_str() {
        Some("" | "default") => Ok(()),
        _ => Err(Failure::said(format!(
            "context {:?}: context not found",
            value.to_string_lossy()
        ))
        .hint("the only context is \"default\": this machine")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(words: &[&str], env: &[(&str, &str)]) -> Result<Start, Failure> {
        let args: Vec<OsString> = words.iter().map(OsString::from).collect();
        read(&args, |name| {
            env.iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value.into())
        })
    }

    fn command(words: &[&str], env: &[(&str, &str)]) -> (Globals, Vec<OsString>) {
        match started(words, env).unwrap() {
            Start::Command(globals, rest) => (globals, rest),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn options_end_at_the_command() {
        let (globals, rest) = command(
            &[
                "--root",
                "/a",
                "--image-dir=/i",
                "--image-dir",
                "/j",
                "-D",
                "run",
                "--root",
                "x",
            ],
            &[],
        );
        assert_eq!(globals.data_root.as_deref(), Some("/a".as_ref()));
        assert_eq!(globals.image_dirs, [PathBuf::from("/i"), "/j".into()]);
        assert_eq!(globals.verbosity, Verbosity::Debug);
        assert_eq!(rest, ["run", "--root", "x"]);
    }

    #[test]
    fn the_environment_fills_what_was_not_said() {
        let env = [
            ("DOCKLESS_ROOT", "/e"),
            ("DOCKLESS_RUN_ROOT", "/r"),
            ("DOCKLESS_IMAGE_DIR", "/x:/y"),
            ("DOCKER_CONFIG", ""),
        ];
        let (globals, _) = command(&["--root=/a", "ps"], &env);
        assert_eq!(globals.data_root.as_deref(), Some("/a".as_ref()));
        assert_eq!(globals.run_root.as_deref(), Some("/r".as_ref()));
        assert_eq!(globals.image_dirs, [PathBuf::from("/x"), "/y".into()]);
        assert_eq!(globals.docker_config, None);
    }

    #[test]
    fn dockers_options_are_taken_and_remote_ones_refused() {
        let words = [
            "-H",
            "unix:///var/run/docker.sock",
            "-lerror",
            "--tls",
            "-c",
            "default",
            "--config",
            "/c",
            "ps",
        ];
        assert_eq!(command(&words, &[]).1, ["ps"]);
        assert!(
            started(&["-H", "tcp://1.2.3.4:2375", "ps"], &[])
                .unwrap_err()
                .chain()
                .contains("this machine only")
        );
        assert!(
            started(&["--context", "prod", "ps"], &[])
                .unwrap_err()
                .chain()
                .contains("context not found")
        );
        assert!(
            started(&["--rot", "/a", "ps"], &[])
                .unwrap_err()
                .chain()
                .contains("did you mean --root?")
        );
        assert!(
            started(&["--root"], &[])
                .unwrap_err()
                .chain()
                .contains("flag needs an argument")
        );
        assert!(
            started(&["ps"], &[("DOCKER_HOST", "ssh://h")])
                .unwrap_err()
                .way_out()
                .unwrap()
                .contains("DOCKER_HOST")
        );
        assert_eq!(
            command(&["ps"], &[("DOCKER_HOST", "unix:///run/x.sock")]).1,
            ["ps"]
        );
        assert_eq!(started(&["-v"], &[]).unwrap(), Start::Version);
        assert_eq!(started(&["--help"], &[]).unwrap(), Start::Help);
    }
}
