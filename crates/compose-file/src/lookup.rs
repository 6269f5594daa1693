//! Which Compose files a command means, where the project is, what it is called, which profiles are active.
//! Source: Compose Specification `03-compose-file.md`, `04-version-and-name.md`; docker compose `-f`, `-p`.

use crate::diagnostic::{Diagnostic, Severity};
use crate::files::Files;
use crate::options::Options;
use crate::paths;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const NAMES: [&str; 4] = [
    "compose.yaml",
    "compose.yml",
    "docker-compose.yml",
    "docker-compose.yaml",
];
const OVERRIDES: [&str; 4] = [
    "compose.override.yml",
    "compose.override.yaml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
];

/// Standard input as a file name.
pub(crate) const STDIN: &str = "-";

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// Absolute, or [`STDIN`].
    pub(crate) files: Vec<PathBuf>,
    pub(crate) project_dir: PathBuf,
    /// Its last part is the project's name where nothing else is said.
    pub(crate) named_after: PathBuf,
    pub(crate) warnings: Vec<Diagnostic>,
}

/// The Compose files of `options`: `-f`, else `COMPOSE_FILE`, else looked up from the current directory upwards.
pub(crate) fn find(
    options: &Options,
    environment: &BTreeMap<String, String>,
    files: &dyn Files,
) -> Result<Found, Box<Diagnostic>> {
    let mut warnings = Vec::new();
    let absolute = |path: &str| paths::resolve(&options.current_dir, path, None);
    let named = named_files(options, environment);
    let mut fetched_name = None;
    let found = if named.is_empty() {
        let start = options
            .project_directory
            .as_ref()
            .map(|dir| options.current_dir.join(dir));
        let start = paths::clean(start.as_deref().unwrap_or(&options.current_dir));
        look_up(&start, files, &mut warnings)?
    } else {
        let mut found = Vec::with_capacity(named.len());
        for name in &named {
            found.push(match name.as_str() {
                STDIN => PathBuf::from(STDIN),
                name if paths::is_remote(name) => {
                    let fetched = files.fetch(name).map_err(|cause| unfetched(name, &cause))?;
                    fetched_name.get_or_insert(fetched.name);
                    fetched.file
                }
                name => absolute(name),
            });
        }
        found
    };
    let project_dir = match &options.project_directory {
        Some(dir) => paths::clean(&options.current_dir.join(dir)),
        None => match found
            .first()
            .filter(|file| file.as_os_str() != STDIN)
            .and_then(|file| file.parent())
        {
            Some(parent) => parent.to_owned(),
            None => options.current_dir.clone(),
        },
    };
    let named_after = match fetched_name.filter(|_| options.project_directory.is_none()) {
        Some(name) if named.first().is_some_and(|name| paths::is_remote(name)) => name.into(),
        _ => project_dir.clone(),
    };
    Ok(Found {
        files: found,
        project_dir,
        named_after,
        warnings,
    })
}

/// What to say of a file that is elsewhere and stays there.
pub(crate) fn unfetched(address: &str, cause: &str) -> Box<Diagnostic> {
    let message = format!("cannot fetch the Compose file {}", shown(address));
    Diagnostic::new(Severity::Error, message)
        .with_cause(cause.to_owned())
        .into()
}

/// An address without user and password.
pub(crate) fn shown(address: &str) -> String {
    match address.split_once("://") {
        Some((scheme, rest)) => {
            let end = rest.find('/').unwrap_or(rest.len());
            let host = rest[..end].rsplit('@').next().unwrap_or_default();
            format!("{scheme}://{host}{}", &rest[end..])
        }
        None => address.to_owned(),
    }
}

/// `-f`, else `COMPOSE_FILE` split by `COMPOSE_PATH_SEPARATOR`.
pub(crate) fn named_files(
    options: &Options,
    environment: &BTreeMap<String, String>,
) -> Vec<String> {
    if !options.files.is_empty() {
        return options.files.clone();
    }
    let separator = environment
        .get("COMPOSE_PATH_SEPARATOR")
        .filter(|s| !s.is_empty())
        .map_or(":", String::as_str);
    let list = environment.get("COMPOSE_FILE").map_or("", String::as_str);
    list.split(separator)
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

/// The first known name in this directory or the nearest parent, with its override.
fn look_up(
    start: &Path,
    files: &dyn Files,
    warnings: &mut Vec<Diagnostic>,
) -> Result<Vec<PathBuf>, Box<Diagnostic>> {
    let in_dir = |dir: &Path, names: &[&str]| -> Vec<PathBuf> {
        names
            .iter()
            .map(|name| dir.join(name))
            .filter(|path| files.is_file(path))
            .collect()
    };
    for dir in start.ancestors() {
        let candidates = in_dir(dir, &NAMES);
        let Some(first) = candidates.first() else {
            continue;
        };
        if candidates.len() > 1 {
            warnings.push(several("Compose files", &candidates));
        }
        let mut found = vec![first.clone()];
        let overrides = in_dir(dir, &OVERRIDES);
        if overrides.len() > 1 {
            warnings.push(several("override files", &overrides));
        }
        found.extend(overrides.into_iter().next());
        return Ok(found);
    }
    Err(
        Diagnostic::new(Severity::Error, "no configuration file provided: not found")
            .with_cause(format!(
                "neither {} nor any directory above it has one of {}",
                start.display(),
                NAMES.join(", ")
            ))
            .with_hint("change to the project's directory, or name the file with -f")
            .into(),
    )
}

fn several(what: &str, found: &[PathBuf]) -> Diagnostic {
    let names: Vec<_> = found
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    Diagnostic::new(
        Severity::Warning,
        format!(
            "Found multiple {what} with supported names: {}. Using {}",
            names.join(", "),
            names[0]
        ),
    )
}

/// The project's name: `-p`, `COMPOSE_PROJECT_NAME`, `name:` of the last file that has one, the directory.
pub(crate) fn project_name(
    options: &Options,
    environment: &BTreeMap<String, String>,
    from_files: Option<&str>,
    project_dir: &Path,
) -> Result<String, Box<Diagnostic>> {
    let given = options
        .project_name
        .as_deref()
        .filter(|name| !name.is_empty());
    let given = given.or_else(|| {
        environment
            .get("COMPOSE_PROJECT_NAME")
            .map(String::as_str)
            .filter(|n| !n.is_empty())
    });
    if let Some(name) = given {
        return check_name(name);
    }
    // What a file says is made a name, as a directory's is.
    let named = from_files.map(normalize_name);
    if let Some(name) = named.filter(|name| !name.is_empty()) {
        return Ok(name);
    }
    for dir in [project_dir, options.current_dir.as_path()] {
        let base = dir
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        let name = normalize_name(&base);
        if !name.is_empty() {
            return Ok(name);
        }
    }
    Err(
        Diagnostic::new(Severity::Error, "project name must not be empty")
            .with_hint("give it one with -p NAME, or with a top-level name: in the Compose file")
            .into(),
    )
}

/// What a directory's name becomes: lower case, only letters, digits, `_` and `-`, no leading `_` or `-`.
fn normalize_name(text: &str) -> String {
    let lower = text.to_lowercase();
    let kept: String = lower
        .chars()
        .filter(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(*c))
        .collect();
    kept.trim_start_matches(['_', '-']).to_owned()
}

fn check_name(name: &str) -> Result<String, Box<Diagnostic>> {
    if normalize_name(name) == name {
        return Ok(name.to_owned());
    }
    let better = normalize_name(name);
    let error = Diagnostic::new(
        Severity::Error,
        format!(
            "invalid project name \"{name}\": must consist only of lowercase alphanumeric characters, hyphens, and underscores as well as start with a letter or number"
        ),
    );
    Err(if better.is_empty() {
        error
    } else {
        error.with_hint(format!("try \"{better}\""))
    }
    .into())
}

/// `--profile`, else `COMPOSE_PROFILES`.
pub(crate) fn profiles(options: &Options, environment: &BTreeMap<String, String>) -> Vec<String> {
    if !options.profiles.is_empty() {
        return options.profiles.clone();
    }
    let list = environment
        .get("COMPOSE_PROFILES")
        .map_or("", String::as_str);
    list.split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::MemoryFiles;

    fn found(names: &[&str], options: &Options) -> Result<Found, Box<Diagnostic>> {
        let files = MemoryFiles::new(names.iter().map(|name| (*name, "")));
        find(options, &options.environment, &files)
    }

    fn shown(result: Result<Found, Box<Diagnostic>>) -> String {
        let found = result.unwrap_or_else(|error| panic!("{error}"));
        let files: Vec<_> = found
            .files
            .iter()
            .map(|file| file.display().to_string())
            .collect();
        format!("{} in {}", files.join(" "), found.project_dir.display())
    }

    fn options(dir: &str, files: &[&str], environment: &[(&str, &str)]) -> Options {
        Options {
            current_dir: dir.into(),
            files: files.iter().map(|file| (*file).to_owned()).collect(),
            environment: environment
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect(),
            ..Options::default()
        }
    }

    #[test]
    fn names_in_order_and_upwards_with_overrides() {
        let at = |dir: &str| options(dir, &[], &[]);
        assert_eq!(
            shown(found(&["/p/docker-compose.yml"], &at("/p"))),
            "/p/docker-compose.yml in /p"
        );
        assert_eq!(
            shown(found(&["/p/compose.yml"], &at("/p/a/b"))),
            "/p/compose.yml in /p"
        );
        assert_eq!(
            shown(found(
                &["/p/compose.yml", "/p/compose.override.yaml"],
                &at("/p")
            )),
            "/p/compose.yml /p/compose.override.yaml in /p"
        );
        let two = found(&["/p/docker-compose.yml", "/p/compose.yaml"], &at("/p")).unwrap();
        assert_eq!(two.files, [PathBuf::from("/p/compose.yaml")]);
        assert!(
            two.warnings[0]
                .message
                .contains("Found multiple Compose files")
        );
        let error = found(&["/x/compose.yml"], &at("/p")).unwrap_err();
        assert_eq!(error.message, "no configuration file provided: not found");
    }

    #[test]
    fn named_files_have_no_override_and_set_the_directory() {
        let names = ["/p/compose.yml", "/p/compose.override.yml"];
        assert_eq!(
            shown(found(&names, &options("/p", &["compose.yml"], &[]))),
            "/p/compose.yml in /p"
        );
        assert_eq!(
            shown(found(&names, &options("/", &["p/a.yml", "q/b.yml"], &[]))),
            "/p/a.yml /q/b.yml in /p"
        );
        assert_eq!(shown(found(&names, &options("/w", &["-"], &[]))), "- in /w");
        assert_eq!(
            shown(found(
                &names,
                &options("/w", &[], &[("COMPOSE_FILE", "a.yml:../b.yml")])
            )),
            "/w/a.yml /b.yml in /w"
        );
        let env = [
            ("COMPOSE_FILE", "a.yml;b.yml"),
            ("COMPOSE_PATH_SEPARATOR", ";"),
        ];
        assert_eq!(
            shown(found(&names, &options("/w", &[], &env))),
            "/w/a.yml /w/b.yml in /w"
        );
        let dir = Options {
            project_directory: Some("sub".into()),
            ..options("/w", &["a.yml"], &[])
        };
        assert_eq!(shown(found(&names, &dir)), "/w/a.yml in /w/sub");
    }

    #[test]
    fn names_of_projects() {
        let name = |p: Option<&str>, env: &[(&str, &str)], file: Option<&str>, dir: &str| {
            let options = Options {
                project_name: p.map(str::to_owned),
                ..options("/cwd", &[], env)
            };
            project_name(&options, &options.environment, file, Path::new(dir))
                .map_err(|error| error.render())
        };
        let env = [("COMPOSE_PROJECT_NAME", "env")];
        assert_eq!(
            name(Some("flag"), &env, Some("file"), "/dir").unwrap(),
            "flag"
        );
        assert_eq!(name(None, &env, Some("file"), "/dir").unwrap(), "env");
        assert_eq!(name(None, &[], Some("file"), "/dir").unwrap(), "file");
        assert_eq!(name(None, &[], None, "/x/My App.v2").unwrap(), "myappv2");
        assert_eq!(name(None, &[], None, "/x/_a_-b").unwrap(), "a_-b");
        assert_eq!(name(None, &[], None, "/").unwrap(), "cwd");
        let error = name(Some("My-App"), &[], None, "/").unwrap_err();
        assert!(
            error.contains("invalid project name \"My-App\"") && error.contains("try \"my-app\""),
            "{error}"
        );
    }

    #[test]
    fn profiles_of_flag_and_environment() {
        let mut options = options("/", &[], &[("COMPOSE_PROFILES", "a, b,")]);
        assert_eq!(profiles(&options, &options.environment), ["a", "b"]);
        options.profiles = vec!["c".into()];
        assert_eq!(profiles(&options, &options.environment), ["c"]);
    }
}
