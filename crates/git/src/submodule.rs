//! Repositories within a repository: `.gitmodules` says where each comes from, the tree which commit of it.
//! Source: `gitmodules(5)`; `git-config(1)` for its form.

use crate::checkout::Written;
use crate::error::Error;
use crate::location::{Location, Scheme};
use crate::{Access, GitDir, SshUse};
use rustix::fs::OFlags;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

const FILE: &str = ".gitmodules";
const MAX_FILE: u64 = 1 << 20;
/// All of one fetch, and how deep they may lie in one another.
const MAX: usize = 500;
const MAX_DEPTH: usize = 10;

/// What may still be fetched.
#[derive(Debug)]
pub(crate) struct Budget {
    wanted: bool,
    left: usize,
    depth: usize,
}

impl Budget {
    pub(crate) fn new(wanted: bool) -> Self {
        Self {
            wanted,
            left: MAX,
            depth: 0,
        }
    }
}

/// Fetches every submodule into its directory.
pub(crate) fn fetch(
    location: &Location,
    access: &Access,
    written: &Written,
    into: BorrowedFd<'_>,
    budget: &mut Budget,
) -> Result<(), Error> {
    if !budget.wanted || written.submodules.is_empty() {
        return Ok(());
    }
    let text = sys::path::open_without_links(into, Path::new(FILE), OFlags::PATH)
        .and_then(|_| sys::path::read_file(into, Path::new(FILE), MAX_FILE))
        .unwrap_or_default();
    let known = parse(&String::from_utf8_lossy(&text));
    if budget.depth >= MAX_DEPTH {
        return Err(Error::TooLarge(
            "its submodules are nested more than 10 deep",
        ));
    }
    budget.depth += 1;
    for (path, commit) in &written.submodules {
        let shown = path.display().to_string();
        let bad = |why: String| Error::BadSubmodule {
            path: shown.clone(),
            why,
        };
        budget.left = budget
            .left
            .checked_sub(1)
            .ok_or(Error::TooLarge("it has more than 500 submodules"))?;
        // As git does: a commit without an address is an empty directory.
        let Some((_, url)) = known.iter().find(|(known, _)| *known == shown) else {
            continue;
        };
        let mut other = location
            .join(url)
            .ok_or_else(|| bad(format!("its address {url:?} is none that can be fetched")))?;
        other.reference = Some(commit.to_string());
        let within = |source| Error::Submodule {
            path: shown.clone(),
            source: Box::new(source),
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let directory =
            sys::path::open_without_links(into, path, flags).map_err(Error::file("open", path))?;
        let same = other.host == location.host && other.scheme == location.scheme;
        let anonymous = Access {
            network: access.network.clone(),
            // Only from one place by ssh to another.
            ssh: match location.scheme {
                Scheme::Ssh => access.ssh,
                _ => SshUse::Refused,
            },
            ..Access::default()
        };
        let access = if same { access } else { &anonymous };
        crate::fetch_into(&other, access, directory.as_fd(), GitDir::Dropped, budget)
            .map_err(within)?;
    }
    budget.depth -= 1;
    Ok(())
}

/// Path and address of each.
fn parse(text: &str) -> Vec<(String, String)> {
    let mut all: Vec<(Option<String>, Option<String>)> = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.starts_with("[submodule") {
            all.push((None, None));
        }
        let (Some((key, value)), Some(last)) = (line.split_once('='), all.last_mut()) else {
            continue;
        };
        let value = value.trim().trim_matches('"').to_owned();
        match key.trim() {
            "path" => last.0 = Some(value),
            "url" => last.1 = Some(value),
            _ => {}
        }
    }
    all.into_iter()
        .filter_map(|(path, url)| Some((path?, url?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_by_path() {
        let text = "[submodule \"lib\"]\n\tpath = vendor/lib\n\turl = ../lib.git\n# x\n[submodule \"half\"]\n\tpath = half\n";
        assert_eq!(parse(text), [("vendor/lib".into(), "../lib.git".into())]);
        assert_eq!(parse("url = x\npath = y"), []);
    }
}
