//! The corpus: every folder below `tests/corpus` is one project and what the loader makes of it.
//!
//! A case is `AREA/NAME/` with the project's files as a user would have them, and beside them
//! - `expected.yaml`: the canonical form that `config` prints; absent when the project is refused;
//! - `messages.txt`: every warning and error as it is shown; absent when there is none;
//! - `options` (optional): one `key=value` a line, see [`option`].
//!
//! The project lies in `/project`. `CORPUS_UPDATE=1` writes what is expected anew: read the difference before
//! it is committed, the rules are the Compose Specification's and not this program's.

use compose_file::{MemoryFiles, Options};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const EXPECTED: &str = "expected.yaml";
const MESSAGES: &str = "messages.txt";
const OPTIONS: &str = "options";

#[test]
fn every_case_means_what_the_specification_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let update = std::env::var_os("CORPUS_UPDATE").is_some();
    let cases = cases(&root);
    assert!(cases.len() >= 200, "only {} cases", cases.len());
    let failures: Vec<String> = cases
        .iter()
        .filter_map(|case| {
            let said = run(case);
            if update {
                write(&case.join(EXPECTED), &said.form);
                write(&case.join(MESSAGES), &said.messages);
            }
            let differs = [(EXPECTED, &said.form), (MESSAGES, &said.messages)]
                .into_iter()
                .filter_map(|(name, text)| difference(&case.join(name), text))
                .collect::<String>();
            let name = case.strip_prefix(&root).unwrap_or(case).display();
            (!differs.is_empty()).then(|| format!("== {name}\n{differs}"))
        })
        .collect();
    assert!(
        failures.is_empty(),
        "{} of {} cases differ\n{}",
        failures.len(),
        cases.len(),
        failures.join("\n")
    );
}

/// What a user sees of a case.
struct Said {
    form: String,
    messages: String,
}

fn cases(root: &Path) -> Vec<PathBuf> {
    let mut cases: Vec<PathBuf> = folders(root)
        .iter()
        .flat_map(|area| folders(area))
        .collect();
    cases.sort();
    cases
}

fn folders(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.is_dir()).collect()
}

fn run(case: &Path) -> Said {
    let mut files = BTreeMap::new();
    read_all(case, case, &mut files);
    let mut options = Options {
        current_dir: "/project".into(),
        ..Options::default()
    };
    let text = fs::read_to_string(case.join(OPTIONS)).unwrap_or_default();
    text.lines().for_each(|line| option(&mut options, line));
    let files = MemoryFiles {
        files,
        stdin: fs::read(case.join("stdin")).unwrap_or_default(),
    };
    if !options.interpolate {
        return match compose_file::load_tree(&options, &files) {
            Ok((tree, warnings)) => said(compose_file::yaml(&tree).unwrap(), &warnings),
            Err(error) => said(String::new(), &error.diagnostics),
        };
    }
    match compose_file::load(&options, &files) {
        Ok(mut loaded) => {
            loaded.project.drop_unused();
            said(
                compose_file::to_yaml(&loaded.project).unwrap(),
                &loaded.warnings,
            )
        }
        Err(error) => said(String::new(), &error.diagnostics),
    }
}

fn said(form: String, diagnostics: &[compose_file::Diagnostic]) -> Said {
    let shown = diagnostics
        .iter()
        .map(|diagnostic| format!("{:?}: {}\n", diagnostic.severity, diagnostic.render()));
    Said {
        form,
        messages: shown.collect(),
    }
}

/// `file`, `profile`, `service`, `env-file`, `env` (`NAME=value`) may repeat; the others stand once.
fn option(options: &mut Options, line: &str) {
    let (key, value) = line.split_once('=').unwrap_or((line, ""));
    match key {
        "" => {}
        "file" => options.files.push(value.into()),
        "profile" => options.profiles.push(value.into()),
        "service" => options.services.push(value.into()),
        "env-file" => options.env_files.push(value.into()),
        "env" => {
            let (name, value) = value.split_once('=').unwrap();
            options.environment.insert(name.into(), value.into());
        }
        "project-name" => options.project_name = Some(value.into()),
        "project-directory" => options.project_directory = Some(value.into()),
        "current-dir" => options.current_dir = value.into(),
        "no-interpolate" => options.interpolate = false,
        "no-normalize" => options.normalize = false,
        "no-consistency" => options.check_consistency = false,
        "no-path-resolution" => options.resolve_paths = false,
        "no-env-resolution" => options.resolve_environment = false,
        _ => panic!("unknown option {line:?}"),
    }
}

fn read_all(case: &Path, dir: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(case).unwrap();
        match path.is_dir() {
            true => read_all(case, &path, files),
            false
                if [EXPECTED, MESSAGES, OPTIONS]
                    .iter()
                    .any(|own| Path::new(own) == name) => {}
            false => drop(files.insert(Path::new("/project").join(name), fs::read(&path).unwrap())),
        }
    }
}

fn write(path: &Path, text: &str) {
    match text.is_empty() {
        true => drop(fs::remove_file(path)),
        false => fs::write(path, text).unwrap(),
    }
}

fn difference(path: &Path, text: &str) -> Option<String> {
    let expected = fs::read_to_string(path).unwrap_or_default();
    (expected != text).then(|| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        format!("-- {name} expected:\n{expected}-- but it is:\n{text}")
    })
}
