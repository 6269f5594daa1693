//! Several files to one tree: each document is parsed, interpolated, checked and lifted, then included files,
//! extended services and earlier files are merged under it.
//!
//! Source: Compose Specification `13-merge.md`, `14-include.md`; compose-go `loader.go`.

mod extends;
mod include;

use crate::canonical::{self, Canonical, Form};
use crate::diagnostic::{Diagnostic, Place, Severity, Sources};
use crate::environment::{self, Environment};
use crate::files::Files;
use crate::interpolate::Interpolation;
use crate::lookup::STDIN;
use crate::merge;
use crate::options::Options;
use crate::parse;
use crate::schema;
use crate::tree::Node;
use std::path::{Path, PathBuf};

/// Files read for one project, includes and extends counted each time.
const MAX_FILES: usize = 500;

/// Where relative paths begin and what variables mean, for one set of files.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scope<'s> {
    pub(crate) base_dir: &'s Path,
    pub(crate) environment: &'s Environment,
}

/// Reads documents and puts them together; collects what there is to say.
pub(crate) struct Loader<'a> {
    pub(crate) options: &'a Options,
    pub(crate) files: &'a dyn Files,
    pub(crate) sources: Sources,
    pub(crate) diagnostics: Vec<Diagnostic>,
    pub(crate) interpolation: Interpolation,
    form: Form,
    files_read: usize,
    told_version: bool,
}

impl<'a> Loader<'a> {
    pub(crate) fn new(options: &'a Options, files: &'a dyn Files, form: Form) -> Self {
        Self {
            options,
            files,
            sources: Sources::default(),
            diagnostics: Vec::new(),
            interpolation: Interpolation::default(),
            form,
            files_read: 0,
            told_version: false,
        }
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.diagnostics
            .iter()
            .any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    fn error(&mut self, place: Place, path: &str, message: String, hint: &str) {
        let error = self
            .sources
            .diagnostic(Severity::Error, place, path, message);
        self.diagnostics.push(if hint.is_empty() {
            error
        } else {
            error.with_hint(hint)
        });
    }

    /// Brings a file here that is elsewhere. `place` and `path` are what asked for it.
    fn fetch(&mut self, address: &str, place: Place, path: &str) -> Option<PathBuf> {
        match self.files.fetch(address) {
            Ok(fetched) => Some(fetched.file),
            Err(cause) => {
                let message = format!("cannot fetch {}", crate::lookup::shown(address));
                let error = self
                    .sources
                    .diagnostic(Severity::Error, place, path, message);
                self.diagnostics.push(error.with_cause(cause));
                None
            }
        }
    }

    /// Reads and parses one file, without looking at what it says. `named_at` is what asked for it.
    pub(crate) fn parse(
        &mut self,
        file: &Path,
        named_at: Option<(Place, &str)>,
    ) -> Option<Vec<Node>> {
        self.files_read += 1;
        let read = match (self.files_read > MAX_FILES, file.as_os_str() == STDIN) {
            (true, _) => {
                let message = format!("more than {MAX_FILES} files are included or extended");
                Err(Diagnostic::new(Severity::Error, message).into())
            }
            (_, true) => self
                .files
                .read_stdin()
                .map_err(|e| environment::unreadable(file, "standard input", &e).into()),
            (_, false) => self
                .files
                .read(file)
                .map_err(|e| environment::unreadable(file, "Compose file", &e).into()),
        };
        let parsed = read.and_then(|bytes| parse::parse(file, &bytes, &mut self.sources));
        parsed
            .map_err(|error| {
                let error = match (named_at, error.file.is_none()) {
                    (Some((place, path)), true) => {
                        let mut placed =
                            self.sources
                                .diagnostic(Severity::Error, place, path, error.message);
                        placed.hint = error.hint;
                        placed
                    }
                    _ => *error,
                };
                self.diagnostics.push(error);
            })
            .ok()
    }

    /// Interpolates, checks and lifts the documents of one file; `None` when there were errors.
    fn prepare(
        &mut self,
        file: &Path,
        documents: Vec<Node>,
        scope: Scope<'_>,
    ) -> Option<Vec<Node>> {
        let before = self.diagnostics.len();
        let mut prepared = Vec::with_capacity(documents.len());
        for mut document in documents {
            self.version(file, &mut document);
            if canonical::lift_version_one(&mut document) {
                self.note(
                    file,
                    "read as a file of version 1, because it has no \"services\"",
                    "put the services below a key \"services:\"",
                );
            }
            if self.options.interpolate {
                let lookup = |name: &str| scope.environment.get(name).cloned();
                self.interpolation
                    .document(&mut document, "", &lookup, &self.sources);
                self.diagnostics.append(&mut self.interpolation.diagnostics);
            }
            self.diagnostics
                .extend(schema::check(&document, &self.sources));
            let errors = |all: &[Diagnostic]| all.iter().any(|d| d.severity == Severity::Error);
            if errors(&self.diagnostics[before..]) {
                continue;
            }
            let home = scope
                .environment
                .get("HOME")
                .map(String::as_str)
                .filter(|home| home.starts_with('/'));
            let mut canonical = Canonical {
                base_dir: scope.base_dir,
                home,
                resolve_paths: self.options.resolve_paths,
                interpolated: self.options.interpolate,
                form: self.form,
                sources: &self.sources,
                diagnostics: Vec::new(),
            };
            canonical.document(&mut document);
            let said = canonical.diagnostics;
            self.diagnostics.extend(said);
            prepared.push(document);
        }
        let failed = self.diagnostics[before..]
            .iter()
            .any(|diagnostic| diagnostic.severity == Severity::Error);
        (!failed).then_some(prepared)
    }

    /// Takes the obsolete `version` out, whatever it says, and mentions it once.
    fn version(&mut self, file: &Path, document: &mut Node) {
        let Some(entry) = document.as_map_mut().and_then(|map| map.remove("version")) else {
            return;
        };
        if !std::mem::replace(&mut self.told_version, true) {
            let message = "the attribute `version` is obsolete, it will be ignored, please remove it to avoid potential confusion";
            let mut warning = self
                .sources
                .diagnostic(Severity::Warning, entry.place, "", message);
            warning.source_line = None;
            warning.file = Some(file.to_owned());
            self.diagnostics.push(warning);
        }
    }

    fn note(&mut self, file: &Path, message: &str, hint: &str) {
        let mut warning = Diagnostic::new(Severity::Warning, message).with_hint(hint);
        warning.file = Some(file.to_owned());
        self.diagnostics.push(warning);
    }

    /// Merges files, with everything they include and extend, into one finished document. `including` is the
    /// chain of files that led here.
    pub(crate) fn assemble(
        &mut self,
        files: Vec<(PathBuf, Vec<Node>)>,
        scope: Scope<'_>,
        including: &mut Vec<PathBuf>,
    ) -> Option<Node> {
        let mut merged: Option<Node> = None;
        let mut failed = false;
        for (file, documents) in files {
            let Some(documents) = self.prepare(&file, documents, scope) else {
                failed = true;
                continue;
            };
            including.push(file.clone());
            for mut document in documents {
                let included = self.include(&mut document, scope, including);
                failed |= included.is_err();
                if let Ok(Some(included)) = included {
                    merged = Some(match merged {
                        Some(base) => merge::merge(self.form, base, included, &[]),
                        None => included,
                    });
                }
                failed |= !self.extend(&mut document, &file, scope, merged.as_ref());
                merged = Some(match merged {
                    Some(base) => merge::merge(self.form, base, document, &[]),
                    None => document,
                });
            }
            including.pop();
        }
        let mut merged = merged.filter(|_| !failed)?;
        merge::finish(&mut merged);
        for section in ["services", "jobs"] {
            if let Some(entries) = merged
                .as_map_mut()
                .and_then(|root| root.get_mut(section))
                .and_then(Node::as_map_mut)
            {
                merge::drop_duplicates(entries);
            }
        }
        if self.form == Form::AsWritten {
            merge::unique(&mut merged);
        }
        Some(merged)
    }
}
