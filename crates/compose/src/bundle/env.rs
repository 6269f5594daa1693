//! The `.env` of a bundle: the env files there were, one after the other, and behind them what the shell and the command line said.

use compose_file::Options;
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

/// What every host has of its own.
const OF_THE_HOST: [&str; 10] = [
    "PWD", "OLDPWD", "HOME", "USER", "LOGNAME", "HOSTNAME", "PATH", "SHELL", "TERM", "TMPDIR",
];

pub(super) fn is_of_the_host(name: &str) -> bool {
    OF_THE_HOST.contains(&name)
}

/// What `compose` on another host is not told by flags.
pub(super) fn settings(
    options: &Options,
    name: &str,
    files: &[PathBuf],
    directory: &Path,
) -> BTreeMap<String, String> {
    let mut settings = BTreeMap::from([("COMPOSE_PROJECT_NAME".to_owned(), name.to_owned())]);
    let said = |key: &str| options.environment.contains_key(key);
    if !options.files.is_empty() || said("COMPOSE_FILE") {
        let paths = files.iter().map(|file| relative(directory, file));
        let joined: Vec<String> = paths.map(|path| path.display().to_string()).collect();
        settings.insert("COMPOSE_FILE".to_owned(), joined.join(":"));
        settings.insert("COMPOSE_PATH_SEPARATOR".to_owned(), ":".to_owned());
    }
    let profiles = match options.environment.get("COMPOSE_PROFILES") {
        Some(profiles) if options.profiles.is_empty() => profiles.clone(),
        _ => options.profiles.join(","),
    };
    if !profiles.is_empty() {
        settings.insert("COMPOSE_PROFILES".to_owned(), profiles);
    }
    settings
}

/// From a directory to a file; both are absolute and clean.
pub(super) fn relative(directory: &Path, file: &Path) -> PathBuf {
    let (from, to): (Vec<Component<'_>>, Vec<Component<'_>>) = (
        directory.components().collect(),
        file.components().collect(),
    );
    let same = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let up = std::iter::repeat_n(Component::ParentDir, from.len() - same);
    up.chain(to[same..].iter().copied()).collect()
}

/// Appends assignments to what the env files have.
pub(super) fn text(files: &[&[u8]], assignments: &BTreeMap<String, String>) -> Vec<u8> {
    let mut text = Vec::new();
    for file in files {
        text.extend_from_slice(file);
        if !file.is_empty() && !file.ends_with(b"\n") {
            text.push(b'\n');
        }
    }
    if !assignments.is_empty() {
        text.extend_from_slice(b"# Written down by `compose bundle save`\n");
    }
    for (name, value) in assignments {
        text.extend_from_slice(format!("{name}=\"{}\"\n", quoted(value)).as_bytes());
    }
    text
}

fn quoted(value: &str) -> String {
    let mut quoted = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '"' | '\\' | '$' => quoted.extend(['\\', c]),
            c => quoted.push(c),
        }
    }
    quoted
}
