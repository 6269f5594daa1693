//! The options before Compose's command: which project, how it is told. Those of version 1 are taken too.

use super::verb::usage;
use crate::argv::nearest;
use crate::failure::Failure;
use compose::names::Separator;
use std::ffi::OsString;
use std::path::PathBuf;

pub(crate) const HELP: &str = "\
Options:
      --all-resources              Include all resources, even those not used by services
      --ansi string                Control when to print ANSI control characters (\"never\"|\"always\"|\"auto\")
      --compatibility              Name containers as version 1 did (project_service_1)
      --dry-run                    Show what would be done, and do nothing
      --env-file stringArray       Specify an alternate environment file
  -f, --file stringArray           Compose configuration files (\"-\" is standard input)
      --parallel int               Control max parallelism, -1 for unlimited
      --profile stringArray        Specify a profile to enable (\"*\" is all)
      --progress string            Set type of progress output (auto, tty, plain, json, quiet)
      --project-directory string   Specify an alternate working directory
  -p, --project-name string        Project name
  -v, --version                    Show the Docker Compose version information
";

/// How progress is told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum ProgressMode {
    #[default]
    Auto,
    Tty,
    Plain,
    Json,
    Quiet,
}

/// What was said before the command, completed by the environment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Globals {
    pub(crate) files: Vec<String>,
    pub(crate) project_name: Option<String>,
    pub(crate) project_directory: Option<PathBuf>,
    pub(crate) profiles: Vec<String>,
    pub(crate) env_files: Vec<PathBuf>,
    pub(crate) parallel: Option<usize>,
    pub(crate) progress: ProgressMode,
    /// `--ansi`; `None`: as the terminal is.
    pub(crate) colour: Option<bool>,
    pub(crate) separator: Separator,
    pub(crate) dry_run: bool,
    /// `--all-resources`: also what no service uses.
    pub(crate) all_resources: bool,
}

/// What the words before the command came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Start {
    Command(Globals, Vec<OsString>),
    Version,
    Help,
}

const VALUED: [(&str, Option<char>); 16] = [
    ("file", Some('f')),
    ("project-name", Some('p')),
    ("project-directory", None),
    ("workdir", None),
    ("profile", None),
    ("env-file", None),
    ("parallel", None),
    ("progress", None),
    ("ansi", None),
    ("log-level", Some('l')),
    ("host", Some('H')),
    ("context", Some('c')),
    ("tlscacert", None),
    ("tlscert", None),
    ("tlskey", None),
    ("config", None),
];

const SWITCHES: [&str; 12] = [
    "all-resources",
    "compatibility",
    "dry-run",
    "verbose",
    "no-ansi",
    "debug",
    "version",
    "help",
    "tls",
    "tlsverify",
    "skip-hostname-check",
    "insecure-registry",
];

/// Reads the options at the head of `args`. `env` answers for environment variables.
pub(crate) fn read(
    args: &[OsString],
    env: impl Fn(&str) -> Option<OsString>,
) -> Result<Start, Failure> {
    let mut globals = from_environment(&env)?;
    let mut words = args.iter();
    while let Some(word) = words.next() {
        let Some(text) = word
            .to_str()
            .filter(|text| text.starts_with('-') && *text != "-")
        else {
            let rest = std::iter::once(word).chain(words).cloned().collect();
            return Ok(Start::Command(globals, rest));
        };
        let (name, attached) = cut(text)?;
        if SWITCHES.contains(&name) {
            if attached == Some("false") {
                continue;
            }
            match name {
                "version" => return Ok(Start::Version),
                "help" => return Ok(Start::Help),
                "compatibility" => globals.separator = Separator::Underscore,
                "no-ansi" => globals.colour = Some(false),
                "dry-run" => globals.dry_run = true,
                "all-resources" => globals.all_resources = true,
                _ => {}
            }
            continue;
        }
        let value = match attached {
            Some(value) => value.to_owned(),
            None => words
                .next()
                .map(|value| value.to_string_lossy().into_owned())
                .ok_or_else(|| usage(format!("flag needs an argument: {text}")))?,
        };
        set(&mut globals, name, value)?;
    }
    Ok(Start::Command(globals, Vec::new()))
}

fn from_environment(env: &impl Fn(&str) -> Option<OsString>) -> Result<Globals, Failure> {
    let text = |name: &str| {
        env(name)
            .and_then(|value| value.into_string().ok())
            .filter(|value| !value.is_empty())
    };
    let mut globals = Globals::default();
    if let Some(value) = text("COMPOSE_ANSI") {
        set(&mut globals, "ansi", value)?;
    }
    if let Some(value) = text("COMPOSE_PROGRESS") {
        set(&mut globals, "progress", value)?;
    }
    if let Some(value) = text("COMPOSE_PARALLEL_LIMIT") {
        set(&mut globals, "parallel", value)?;
    }
    if text("COMPOSE_COMPATIBILITY").is_some_and(|value| is_true(&value)) {
        globals.separator = Separator::Underscore;
    }
    Ok(globals)
}

/// Go's `strconv.ParseBool`, and `yes`.
pub(crate) fn is_true(text: &str) -> bool {
    matches!(
        text.to_ascii_lowercase().as_str(),
        "1" | "t" | "true" | "y" | "yes"
    )
}

/// The long name of a flag, and the value attached to it.
fn cut(text: &str) -> Result<(&'static str, Option<&str>), Failure> {
    let known = || VALUED.iter().map(|(name, _)| *name).chain(SWITCHES);
    if let Some(long) = text.strip_prefix("--") {
        let (name, value) = match long.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (long, None),
        };
        return match known().find(|candidate| *candidate == name) {
            Some(found) => Ok((found, value)),
            None => {
                let near = nearest(name, known())
                    .map(|near| format!(" (did you mean --{near}?)"))
                    .unwrap_or_default();
                Err(usage(format!("unknown flag: --{name}{near}")))
            }
        };
    }
    let mut letters = text[1..].chars();
    let letter = letters.next().unwrap_or('-');
    let rest = letters.as_str();
    match letter {
        'v' if rest.is_empty() => return Ok(("version", None)),
        'h' if rest.is_empty() => return Ok(("help", None)),
        'D' if rest.is_empty() => return Ok(("debug", None)),
        _ => {}
    }
    let valued = VALUED.iter().find(|(_, short)| *short == Some(letter));
    let (name, _) =
        valued.ok_or_else(|| usage(format!("unknown shorthand flag: {letter:?} in {text}")))?;
    let value = rest.strip_prefix('=').unwrap_or(rest);
    Ok((name, (!value.is_empty()).then_some(value)))
}

fn set(globals: &mut Globals, name: &str, value: String) -> Result<(), Failure> {
    match name {
        "file" => globals.files.push(value),
        "project-name" => globals.project_name = Some(value),
        "project-directory" | "workdir" => globals.project_directory = Some(value.into()),
        "profile" => globals.profiles.push(value),
        "env-file" => globals.env_files.push(value.into()),
        "parallel" => {
            let limit: i64 = value.parse().map_err(|_| {
                usage(format!(
                    "invalid value {value:?} for --parallel: not a number"
                ))
            })?;
            globals.parallel = Some(usize::try_from(limit).ok().filter(|n| *n > 0).unwrap_or(64));
        }
        "progress" => {
            globals.progress = match value.as_str() {
                "auto" => ProgressMode::Auto,
                "tty" => ProgressMode::Tty,
                "plain" => ProgressMode::Plain,
                "json" => ProgressMode::Json,
                "quiet" => ProgressMode::Quiet,
                _ => {
                    return Err(usage(format!(
                        "unsupported --progress value {value:?}: use auto, tty, plain, json or quiet"
                    )));
                }
            }
        }
        "ansi" => {
            globals.colour = match value.as_str() {
                "auto" => None,
                "never" => Some(false),
                "always" => Some(true),
                _ => {
                    return Err(usage(format!(
                        "invalid --ansi value {value:?}: use never, always or auto"
                    )));
                }
            }
        }
        _ => {}
    }
    Ok(())
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

    #[test]
    fn the_project_is_said_before_the_command() {
        let words = [
            "-f",
            "a.yml",
            "--file=b.yml",
            "-pshop",
            "--profile",
            "x",
            "--ansi",
            "never",
            "up",
            "-d",
            "-f",
        ];
        let Start::Command(globals, rest) = started(&words, &[]).unwrap() else {
            panic!()
        };
        assert_eq!(globals.files, ["a.yml", "b.yml"]);
        assert_eq!(globals.project_name.as_deref(), Some("shop"));
        assert_eq!(
            (globals.profiles, globals.colour),
            (vec!["x".to_owned()], Some(false))
        );
        assert_eq!(rest, ["up", "-d", "-f"]);
    }

    #[test]
    fn habits_of_version_1() {
        assert_eq!(started(&["-v"], &[]).unwrap(), Start::Version);
        assert_eq!(started(&["--version"], &[]).unwrap(), Start::Version);
        assert_eq!(started(&["-h"], &[]).unwrap(), Start::Help);
        let words = [
            "--verbose",
            "--no-ansi",
            "-H",
            "unix:///x",
            "--tlsverify",
            "--compatibility",
            "ps",
        ];
        let Start::Command(globals, rest) = started(&words, &[]).unwrap() else {
            panic!()
        };
        assert_eq!(
            (globals.separator, rest),
            (Separator::Underscore, vec!["ps".into()])
        );
    }

    #[test]
    fn the_environment_and_mistakes() {
        let env = [
            ("COMPOSE_PARALLEL_LIMIT", "3"),
            ("COMPOSE_COMPATIBILITY", "1"),
            ("COMPOSE_PROGRESS", "plain"),
        ];
        let Start::Command(globals, _) = started(&["ps"], &env).unwrap() else {
            panic!()
        };
        assert_eq!(
            (globals.parallel, globals.progress),
            (Some(3), ProgressMode::Plain)
        );
        assert_eq!(globals.separator, Separator::Underscore);
        assert!(
            started(&["--fil", "x"], &[])
                .unwrap_err()
                .chain()
                .contains("did you mean --file?")
        );
        assert!(
            started(&["--progress", "bar"], &[])
                .unwrap_err()
                .chain()
                .contains("auto, tty, plain")
        );
        assert!(
            started(&["-f"], &[])
                .unwrap_err()
                .chain()
                .contains("flag needs an argument")
        );
    }
}
