//! `KEY=VALUE` flags, and the files that hold them (`--env-file`, `--label-file`).
//!
//! Source: Docker CLI `pkg/kvfile/kvfile.go`: no quotes, no interpolation; `#` comments; a bare key takes the
//! caller's value, or is left out.

use crate::failure::Failure;
use std::collections::BTreeMap;

/// The entries of `-e`, after those of the files; a bare `KEY` takes the caller's value, or stays bare, which unsets it.
pub(crate) fn environment(files: &[String], given: &[String]) -> Result<Vec<String>, Failure> {
    environment_of(files, given, caller_value)
}

/// The same where a bare `KEY` takes its value from elsewhere than the caller.
pub(crate) fn environment_of(
    files: &[String],
    given: &[String],
    value_of: impl Fn(&str) -> Option<String>,
) -> Result<Vec<String>, Failure> {
    let mut entries = Vec::new();
    for file in files {
        entries.extend(read(file, "environment", &value_of)?);
    }
    for entry in given {
        if entry.is_empty() || entry.starts_with('=') {
            return Err(super::bad_value(
                "env",
                entry,
                "invalid environment variable",
            ));
        }
        match entry.contains('=') {
            true => entries.push(entry.clone()),
            false => entries.push(
                value_of(entry).map_or_else(|| entry.clone(), |value| format!("{entry}={value}")),
            ),
        }
    }
    Ok(entries)
}

/// The labels of the files, then those of `-l`; a bare key has an empty value.
pub(crate) fn labels(
    files: &[String],
    given: &[String],
) -> Result<BTreeMap<String, String>, Failure> {
    let mut labels = BTreeMap::new();
    for file in files {
        let lines = read(file, "label", |_| Some(String::new()))?;
        labels.extend(lines.iter().map(|line| pair(line)));
    }
    labels.extend(given.iter().map(|entry| pair(entry)));
    Ok(labels)
}

/// `KEY=VALUE` flags as a map.
pub(crate) fn map(given: &[String]) -> BTreeMap<String, String> {
    given.iter().map(|entry| pair(entry)).collect()
}

/// Like [`map`], but every entry must have its `=`.
pub(crate) fn strict_map(
    flag: &str,
    given: &[String],
) -> Result<BTreeMap<String, String>, Failure> {
    match given
        .iter()
        .find(|entry| !entry.contains('=') || entry.starts_with('='))
    {
        Some(bad) => Err(super::bad_value(flag, bad, "write it as KEY=VALUE")),
        None => Ok(map(given)),
    }
}

fn pair(entry: &str) -> (String, String) {
    let (key, value) = entry.split_once('=').unwrap_or((entry, ""));
    (key.to_owned(), value.to_owned())
}

fn caller_value(key: &str) -> Option<String> {
    std::env::var_os(key).map(|value| value.to_string_lossy().into_owned())
}

fn read(
    path: &str,
    what: &str,
    bare: impl Fn(&str) -> Option<String>,
) -> Result<Vec<String>, Failure> {
    let bytes = match path {
        "-" => {
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(&mut std::io::stdin(), &mut bytes).map(|_| bytes)
        }
        path => std::fs::read(path),
    };
    let bytes = bytes.map_err(|source| {
        Failure::said(format!("open {path}: {}", crate::failure::chain(&source))).code(125)
    })?;
    let Ok(text) = String::from_utf8(bytes) else {
        return Err(
            Failure::said(format!("invalid {what} file: {path}: not UTF-8 text")).code(125),
        );
    };
    lines(text.strip_prefix('\u{feff}').unwrap_or(&text), what, bare)
        .map_err(|cause| Failure::said(format!("invalid {what} file: {path}: {cause}")).code(125))
}

fn lines(
    text: &str,
    what: &str,
    bare: impl Fn(&str) -> Option<String>,
) -> Result<Vec<String>, String> {
    let mut entries = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let fail = |cause: String| Err(format!("line {}: {cause}", number + 1));
        let (key, value) = match line.split_once('=') {
            Some((key, value)) => (key, Some(value.to_owned())),
            None => (line.trim_end(), None),
        };
        if key.is_empty() {
            return fail(format!("no variable name on line '{line}'"));
        }
        if key.contains(char::is_whitespace) {
            return fail(format!(
                "poorly formatted {what}: variable '{key}' contains whitespaces"
            ));
        }
        if let Some(value) = value.or_else(|| bare(key)) {
            entries.push(format!("{key}={value}"));
        }
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_as_docker_reads_it() {
        let text = "# c\n\n  A=1\nB=\"q\" # no comment\nBARE\nNONE\nE=\r\n";
        let bare = |key: &str| (key == "BARE").then(|| "v".to_owned());
        assert_eq!(
            lines(text, "environment", bare).unwrap(),
            ["A=1", "B=\"q\" # no comment", "BARE=v", "E="]
        );
    }

    #[test]
    fn a_bad_line_is_named() {
        let none = |_: &str| None;
        assert_eq!(
            lines("A=1\n=x", "environment", none).unwrap_err(),
            "line 2: no variable name on line '=x'"
        );
        assert!(
            lines("a b=1", "environment", none)
                .unwrap_err()
                .contains("variable 'a b' contains whitespaces")
        );
        assert!(
            read("/nonexistent/env", "environment", none)
                .unwrap_err()
                .chain()
                .contains("open /nonexistent/env")
        );
    }

    #[test]
    fn a_bare_variable_unset_here_stays_bare() {
        let given = ["A=1".to_owned(), "DOCKLESS_TEST_UNSET".to_owned()];
        assert_eq!(
            environment(&[], &given).unwrap(),
            ["A=1", "DOCKLESS_TEST_UNSET"]
        );
        assert!(environment(&[], &["=x".to_owned()]).is_err());
        assert!(strict_map("opt", &["x".to_owned()]).is_err());
    }
}
