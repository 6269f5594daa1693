//! `publish`: the files of a project as an artifact that `oci://` loads again, and what in them one may not want others to see.
//!
//! Source: docker compose `pkg/compose/publish.go`. What is looked for is told before anything leaves the host.

use crate::remote::{ENV_FILE, ENV_FILE_NAME, EXTENDED, FILE, FILE_NAME};
use compose_file::project::{FileSource, ServiceVolume};
use compose_file::publish::{Publishable, Reference, ReferenceKind, publishable};
use compose_file::{Diagnostic, Project, Service};
use image::artifact::File;
use model::mount::MountKind;
use oci::Digest;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

/// What is published, and what is to be asked about before.
#[derive(Debug, Default)]
pub struct Publication {
    pub files: Vec<File>,
    pub findings: Findings,
}

/// One line for each thing found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Findings {
    pub bind_mounts: Vec<String>,
    pub sensitive: Vec<String>,
    /// Of `env_file` and `environment`; `--with-env` says that they are meant.
    pub environment: Vec<String>,
    pub contents: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("your Compose stack cannot be published as it only contains a build section for service(s):\n{}", list(.0))]
    OnlyBuild(Vec<String>),
    #[error("cannot publish compose file with local includes: {}", .0.join(", "))]
    Includes(Vec<String>),
    #[error(
        "cannot publish what was read from standard input: write it to a file, and give that with -f"
    )]
    StandardInput,
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{0}")]
    File(Box<Diagnostic>),
}

fn list(names: &[String]) -> String {
    let lines = names.iter().map(|name| format!("- {name:?}"));
    lines.collect::<Vec<_>>().join("\n")
}

/// Reads everything that is published; nothing is sent yet.
pub fn collect(project: &Project, with_env: bool) -> Result<Publication, Error> {
    let services = || project.services.iter().chain(&project.disabled_services);
    let only_build = services().filter(|s| s.image.is_none() && s.build.is_some());
    let only_build: Vec<String> = only_build.map(|s| s.name.clone()).collect();
    if !only_build.is_empty() {
        return Err(Error::OnlyBuild(only_build));
    }
    let mut publication = Publication::default();
    let findings = &mut publication.findings;
    findings.bind_mounts = services().flat_map(bind_mounts).collect();
    let mut env_files: BTreeMap<PathBuf, String> = BTreeMap::new();
    let mut todo: Vec<(PathBuf, Option<String>)> = project
        .files
        .iter()
        .map(|file| (file.clone(), None))
        .collect();
    let mut seen: BTreeSet<PathBuf> = BTreeSet::new();
    let mut at = 0;
    while let Some((path, extended)) = todo.get(at).cloned() {
        at += 1;
        if path.as_os_str() == "-" {
            return Err(Error::StandardInput);
        }
        if !seen.insert(path.clone()) {
            continue;
        }
        // The paths of an extended file begin where it is, those of the others where the project is.
        let base = match (&extended, path.parent()) {
            (Some(_), Some(parent)) => parent,
            _ => &project.working_dir,
        };
        let bytes = read(&path)?;
        let file = publishable(&path, &bytes, base, &project.environment).map_err(Error::File)?;
        if !file.local_includes.is_empty() {
            return Err(Error::Includes(file.local_includes));
        }
        look_into(&file, findings);
        sensitive(&path, file.text(), findings);
        for reference in &file.references {
            let name = placeholder(reference);
            match reference.kind {
                ReferenceKind::EnvFile => drop(env_files.insert(reference.path.clone(), name)),
                ReferenceKind::Extends => todo.push((reference.path.clone(), Some(name))),
            }
        }
        let text = file.renamed(|reference| Some(placeholder(reference)));
        let text = text.map_err(Error::File)?;
        publication.files.push(compose_layer(&path, extended, text));
    }
    for (path, name) in env_files {
        let content = match std::fs::read(&path) {
            // One that was required would have been missed when the project was loaded.
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            other => other.map_err(|source| Error::Read {
                path: path.clone(),
                source,
            })?,
        };
        sensitive(&path, &String::from_utf8_lossy(&content), findings);
        if with_env {
            publication
                .files
                .push(layer(ENV_FILE, ENV_FILE_NAME, name, content));
        }
    }
    let sources = project.configs.values().chain(project.secrets.values());
    for source in sources {
        if let FileSource::File(path) = &source.source {
            sensitive(path, &String::from_utf8_lossy(&read(path)?), findings);
        }
    }
    Ok(publication)
}

/// A file over the others that names images by their digests.
pub fn digests(yaml: String) -> File {
    layer(
        FILE,
        FILE_NAME,
        "image-digests.yaml".to_owned(),
        yaml.into_bytes(),
    )
}

fn compose_layer(path: &Path, extended: Option<String>, text: String) -> File {
    let own = || {
        path.file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    };
    let is_extended = extended.is_some();
    let name = extended.unwrap_or_else(own);
    let mut file = layer(FILE, FILE_NAME, name, text.into_bytes());
    if is_extended {
        file.annotations
            .insert(EXTENDED.to_owned(), "true".to_owned());
    }
    file
}

fn layer(media_type: &str, key: &str, name: String, content: Vec<u8>) -> File {
    let mut annotations = version();
    annotations.insert(key.to_owned(), name);
    File {
        media_type: media_type.to_owned(),
        annotations,
        content,
    }
}

/// Which program made what is published.
pub fn version() -> BTreeMap<String, String> {
    BTreeMap::from([(
        "com.docker.compose.version".to_owned(),
        env!("CARGO_PKG_VERSION").to_owned(),
    )])
}

/// What a local path is called in the artifact: nothing of it can be read from that.
fn placeholder(reference: &Reference) -> String {
    let path = reference.path.to_string_lossy();
    let ending = match reference.kind {
        ReferenceKind::EnvFile => "env",
        ReferenceKind::Extends => "yaml",
    };
    format!("{}.{ending}", Digest::sha256(path.as_bytes()).hex())
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })
}

fn bind_mounts(service: &Service) -> Vec<String> {
    let bind = |volume: &ServiceVolume| match &volume.mount.kind {
        MountKind::Bind { source, .. } => Some(format!(
            "service {:?}: {source}:{}",
            service.name, volume.mount.target
        )),
        _ => None,
    };
    service.volumes.iter().filter_map(bind).collect()
}

fn look_into(file: &Publishable, findings: &mut Findings) {
    for reference in &file.references {
        if reference.kind == ReferenceKind::EnvFile {
            let line = format!("service {:?}: env_file declared", reference.service);
            if !findings.environment.contains(&line) {
                findings.environment.push(line);
            }
        }
    }
    for (service, key, value) in &file.variables {
        if is_sensitive_name(key) && is_literal(value) {
            let line = format!("service {service:?}: literal value for {key:?}");
            findings.environment.push(line);
        }
    }
    for (name, content) in &file.contents {
        if is_literal(content) {
            findings.contents.push(format!("config {name:?}"));
        }
    }
}

fn is_sensitive_name(name: &str) -> bool {
    const WORDS: [&str; 9] = [
        "password",
        "passwd",
        "secret",
        "token",
        "apikey",
        "privatekey",
        "accesskey",
        "credential",
        "passphrase",
    ];
    let plain: String = name
        .to_lowercase()
        .chars()
        .filter(|c| c.is_alphanumeric())
        .collect();
    WORDS.iter().any(|word| plain.contains(word))
}

/// Whether a value is not (only) a variable that whoever loads the file fills in.
fn is_literal(value: &str) -> bool {
    let value = value.replace("$$", "X");
    let value = value.trim();
    value.len() >= 3 && !value.starts_with('$') && !value.ends_with('}')
}

/// Keys and tokens that are known by their form.
fn sensitive(path: &Path, text: &str, findings: &mut Findings) {
    for (number, line) in text.lines().enumerate() {
        if let Some(what) = known_secret(line) {
            let place = format!("{}:{}", path.display(), number + 1);
            findings.sensitive.push(format!("{place}: {what}"));
        }
    }
}

fn known_secret(line: &str) -> Option<&'static str> {
    if line.contains("-----BEGIN ") && line.contains("PRIVATE KEY-----") {
        return Some("private key");
    }
    let word = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    line.split(|c| !word(c)).find_map(|token| {
        let after = |prefix: &str, least: usize| {
            token
                .strip_prefix(prefix)
                .is_some_and(|rest| rest.len() >= least)
        };
        if token.len() == 20 && after("AKIA", 16) && !token.chars().any(|c| c.is_ascii_lowercase())
        {
            return Some("AWS access key");
        }
        if ["ghp_", "gho_", "ghu_", "ghs_", "ghr_"]
            .iter()
            .any(|p| after(p, 36))
            || after("github_pat_", 22)
        {
            return Some("GitHub token");
        }
        let is_jwt = after("eyJ", 20) && token.split('.').count() == 3;
        is_jwt.then_some("JSON web token")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_stay_variables_are_no_finding() {
        for literal in ["hunter2", "a$$b", "x ${Y} z"] {
            assert!(is_literal(literal), "{literal}");
        }
        for open in ["${SECRET}", "$SECRET", "k=${SECRET}", "", "1"] {
            assert!(!is_literal(open), "{open}");
        }
        assert!(is_sensitive_name("DB_PASSWORD") && is_sensitive_name("API-KEY"));
        assert!(!is_sensitive_name("PATH"));
    }

    #[test]
    fn keys_are_known_by_their_form() {
        assert_eq!(
            known_secret("k: AKIAIOSFODNN7EXAMPLE"),
            Some("AWS access key")
        );
        assert_eq!(
            known_secret("-----BEGIN RSA PRIVATE KEY-----"),
            Some("private key")
        );
        let token = format!("t=\"ghp_{}\"", "a".repeat(36));
        assert_eq!(known_secret(&token), Some("GitHub token"));
        assert_eq!(known_secret("image: eyJust.a.name"), None);
    }
}
