//! The project's environment: the process's, over `--env-file` or `.env`.
//! Source: Compose Specification `12-interpolation.md`; docker compose "Environment variables precedence".

use crate::diagnostic::{Diagnostic, Severity, Sources};
use crate::env_file;
use crate::files::Files;
use crate::options::Options;
use crate::paths;
use crate::template;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// Names and values.
pub(crate) type Environment = BTreeMap<String, String>;

/// The env files to read: `--env-file`, else `COMPOSE_ENV_FILES`, else `.env` in the project directory and in the
/// current one, as far as these exist.
pub(crate) fn env_files(
    options: &Options,
    project_dir: Option<&Path>,
    files: &dyn Files,
) -> Vec<PathBuf> {
    let named: Vec<PathBuf> = match options.env_files.is_empty() {
        false => options.env_files.clone(),
        true => {
            let list = options
                .environment
                .get("COMPOSE_ENV_FILES")
                .map_or("", String::as_str);
            list.split(',')
                .filter(|name| !name.is_empty())
                .map(PathBuf::from)
                .collect()
        }
    };
    if !named.is_empty() {
        let absolute = |path: PathBuf| paths::clean(&options.current_dir.join(path));
        return named.into_iter().map(absolute).collect();
    }
    let disabled = options
        .environment
        .get("COMPOSE_DISABLE_ENV_FILE")
        .map(String::as_str);
    if matches!(disabled, Some("1" | "true" | "TRUE" | "True")) {
        return Vec::new();
    }
    // Later files win, and the project's directory wins over the current one.
    let mut found = Vec::new();
    for dir in [Some(options.current_dir.as_path()), project_dir]
        .into_iter()
        .flatten()
    {
        let path = dir.join(".env");
        if files.is_file(&path) && !found.contains(&path) {
            found.push(path);
        }
    }
    found
}

/// Reads env files in order over which `outer` wins.
pub(crate) fn load(
    paths: &[PathBuf],
    outer: &Environment,
    files: &dyn Files,
    sources: &mut Sources,
    warnings: &mut Vec<Diagnostic>,
) -> Result<Environment, Box<Diagnostic>> {
    let mut merged = Environment::new();
    for path in paths {
        let text = read_text(path, files, "env file")?;
        let lookup = |name: &str| outer.get(name).or_else(|| merged.get(name)).cloned();
        let parsed = env_file::parse(&text, &lookup)
            .map_err(|error| syntax(path, &text, &error, sources))?;
        for name in parsed.unset {
            let message = template::unset_message(&name);
            let mut warning = Diagnostic::new(Severity::Warning, message);
            warning.file = Some(path.clone());
            warnings.push(warning);
        }
        for (key, value) in parsed.assignments {
            // A bare KEY takes the outer value, which wins anyway.
            if let Some(value) = value {
                merged.insert(key, value);
            }
        }
    }
    merged.extend(
        outer
            .iter()
            .map(|(key, value)| (key.clone(), value.clone())),
    );
    Ok(merged)
}

/// A text file that must be there.
pub(crate) fn read_text(
    path: &Path,
    files: &dyn Files,
    what: &str,
) -> Result<String, Box<Diagnostic>> {
    let bytes = files
        .read(path)
        .map_err(|error| unreadable(path, what, &error))?;
    String::from_utf8(bytes).map_err(|_| {
        Diagnostic::new(
            Severity::Error,
            format!("{what} {} is not valid UTF-8", path.display()),
        )
        .with_hint("save the file as UTF-8")
        .into()
    })
}

pub(crate) fn unreadable(path: &Path, what: &str, error: &io::Error) -> Diagnostic {
    let shown = path.display();
    match error.kind() {
        io::ErrorKind::NotFound => {
            Diagnostic::new(Severity::Error, format!("{what} {shown} not found")).with_hint(
                "check the path; relative paths begin at the directory of the first Compose file",
            )
        }
        io::ErrorKind::IsADirectory => Diagnostic::new(
            Severity::Error,
            format!("{what} {shown} is a directory, not a file"),
        ),
        _ => Diagnostic::new(
            Severity::Error,
            format!("cannot read {what} {shown}: {error}"),
        ),
    }
}

/// An error of an env file's grammar, shown in its line.
pub(crate) fn syntax(
    path: &Path,
    text: &str,
    error: &env_file::EnvFileError,
    sources: &mut Sources,
) -> Diagnostic {
    let file = sources.add(path, text);
    let place = crate::diagnostic::Place {
        file,
        line: error.line,
        column: 1,
    };
    let diagnostic = sources.diagnostic(Severity::Error, place, "", error.to_string());
    let hint = match &error.cause {
        env_file::Cause::Unterminated(_) => {
            "close the quote, or put the value between quotes of the other kind"
        }
        env_file::Cause::BadKey(..) | env_file::Cause::NoKey => {
            "write NAME=value; a name has letters, digits, \"_\", \".\" and \"-\""
        }
        env_file::Cause::AfterQuote(_) => {
            "leave it out, or put all of the value between the quotes"
        }
        _ => return diagnostic,
    };
    diagnostic.with_hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::MemoryFiles;

    fn loaded(
        files: &[(&str, &str)],
        names: &[&str],
        outer: &[(&str, &str)],
    ) -> Result<Environment, String> {
        let files = MemoryFiles::new(files.iter().copied());
        let outer = outer
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        let names: Vec<_> = names.iter().map(PathBuf::from).collect();
        load(
            &names,
            &outer,
            &files,
            &mut Sources::default(),
            &mut Vec::new(),
        )
        .map_err(|error| error.render())
    }

    #[test]
    fn later_files_win_and_the_process_wins_over_all() {
        let files = [("/a", "X=1\nY=1\nZ=1"), ("/b", "Y=2\nZ=2\nW=$X")];
        let all = loaded(&files, &["/a", "/b"], &[("Z", "3")]).unwrap();
        assert_eq!(
            (
                all["X"].as_str(),
                all["Y"].as_str(),
                all["Z"].as_str(),
                all["W"].as_str()
            ),
            ("1", "2", "3", "1")
        );
    }

    #[test]
    fn errors_name_file_and_line() {
        assert_eq!(
            loaded(&[("/a", "A=1\nB=\"x")], &["/a"], &[]).unwrap_err(),
            "/a:2:1: unterminated quoted value \"x\n  2 | B=\"x\n    | ^\n  Hint: close the quote, or put the value between quotes of the other kind"
        );
        assert!(
            loaded(&[], &["/none"], &[])
                .unwrap_err()
                .starts_with("env file /none not found")
        );
    }

    #[test]
    fn which_files_are_read() {
        let files = MemoryFiles::new([("/p/.env", ""), ("/w/.env", "")]);
        let mut options = Options {
            current_dir: "/w".into(),
            ..Options::default()
        };
        let show = |options: &Options| {
            let found = env_files(options, Some(Path::new("/p")), &files);
            found
                .iter()
                .map(|p| p.display().to_string())
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(show(&options), "/w/.env /p/.env");
        options
            .environment
            .insert("COMPOSE_DISABLE_ENV_FILE".into(), "1".into());
        assert_eq!(show(&options), "");
        options
            .environment
            .insert("COMPOSE_ENV_FILES".into(), "x,y".into());
        assert_eq!(show(&options), "/w/x /w/y");
        options.env_files = vec!["../e".into()];
        assert_eq!(show(&options), "/e");
    }
}
