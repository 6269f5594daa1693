//! containers' `registries.conf` and its drop-ins (`*.conf`, by name): a later file replaces what an earlier one says of a prefix, of an
//! alias, or of the search list. The first format (`[registries.search]`) is understood where it stands alone.
//! Source: containers-registries.conf(5), containers-registries.conf.d(5).

use super::{Error, HostFiles, Rule, text, toml_text};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// What all the files come to.
#[derive(Debug, Default)]
pub(super) struct Containers {
    pub(super) rules: Vec<Rule>,
    pub(super) search: Vec<String>,
    pub(super) aliases: Vec<(String, String)>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct Document {
    unqualified_search_registries: Option<Vec<String>>,
    registry: Vec<Rule>,
    aliases: toml::map::Map<String, toml::Value>,
    registries: First,
}

/// The first format.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct First {
    search: List,
    insecure: List,
    block: List,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct List {
    registries: Vec<String>,
}

pub(super) fn read(files: &HostFiles) -> Result<Containers, Error> {
    let mut all = Containers::default();
    for path in paths(files)? {
        let Some(text) = text(&path)? else { continue };
        let document: Document = toml_text(&path, &text)?;
        all.add(document).map_err(|message| Error::Invalid {
            path: path.clone(),
            message,
        })?;
    }
    Ok(all)
}

/// The file itself, then the drop-ins: those of one directory by name, a name again in a later directory in place of the earlier.
fn paths(files: &HostFiles) -> Result<Vec<PathBuf>, Error> {
    let mut dropins: Vec<PathBuf> = Vec::new();
    for dir in &files.registries_conf_dirs {
        let entries = match std::fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(e) if super::is_absent(&e) => continue,
            Err(source) => {
                return Err(Error::Read {
                    path: dir.clone(),
                    source,
                });
            }
        };
        let conf = |p: &PathBuf| p.extension().is_some_and(|e| e == "conf");
        for path in entries.flatten().map(|e| e.path()).filter(conf) {
            dropins.retain(|known| known.file_name() != path.file_name());
            dropins.push(path);
        }
    }
    dropins.sort_by(|a, b| a.file_name().cmp(&b.file_name()));
    Ok(files
        .registries_conf
        .iter()
        .cloned()
        .chain(dropins)
        .collect())
}

impl Containers {
    fn add(&mut self, document: Document) -> Result<(), String> {
        let first = document.registries;
        let old = |name: String, blocked: bool| Rule {
            prefix: name,
            insecure: !blocked,
            blocked,
            ..Rule::default()
        };
        let insecure = first.insecure.registries.into_iter().map(|n| old(n, false));
        let blocked = first.block.registries.into_iter().map(|n| old(n, true));
        for rule in document.registry.into_iter().chain(insecure).chain(blocked) {
            rule.check()?;
            self.rules.retain(|known| known.prefix() != rule.prefix());
            self.rules.push(rule);
        }
        match document.unqualified_search_registries {
            Some(search) => self.search = search,
            None if !first.search.registries.is_empty() => self.search = first.search.registries,
            None => {}
        }
        for (name, full) in document.aliases {
            let Some(full) = full.as_str() else {
                return Err(format!("the alias {name:?} is no text"));
            };
            self.aliases.retain(|(known, _)| *known != name);
            // An empty one takes an earlier file's away.
            if !full.is_empty() {
                self.aliases.push((name, full.to_owned()));
            }
        }
        Ok(())
    }
}

/// Whether a text is a `registries.conf`.
pub(super) fn check(text: &str) -> Result<(), Error> {
    let path = Path::new("registries.conf");
    let document = toml_text(path, text)?;
    Containers::default()
        .add(document)
        .map_err(|message| Error::Invalid {
            path: path.into(),
            message,
        })
}

#[cfg(test)]
mod tests {
    use super::super::{Mirror, PullFrom};
    use super::*;

    fn files(dir: &Path, texts: &[(&str, &str)]) -> HostFiles {
        std::fs::create_dir_all(dir.join("d")).unwrap();
        std::fs::create_dir_all(dir.join("e")).unwrap();
        for (name, text) in texts {
            std::fs::write(dir.join(name), text).unwrap();
        }
        HostFiles {
            registries_conf: Some(dir.join("main")),
            registries_conf_dirs: vec![dir.join("d"), dir.join("e")],
            ..HostFiles::default()
        }
    }

    #[test]
    fn later_files_replace_what_earlier_ones_say() {
        let dir = tempfile::tempdir().unwrap();
        let main = r#"
            unqualified-search-registries = ["a", "b"]
            short-name-mode = "enforcing"
            [[registry]]
            location = "ghcr.io"
            [[registry.mirror]]
            location = "one.local/ghcr"
            insecure = true
            [[registry.mirror]]
            location = "two.local"
            pull-from-mirror = "digest-only"
            [aliases]
            "fedora" = "registry.fedoraproject.org/fedora"
            "gone" = "x.example/gone"
        "#;
        let files = files(
            dir.path(),
            &[
                ("main", main),
                ("d/10.conf", "[aliases]\n\"gone\" = \"\""),
                ("d/20.conf", "unqualified-search-registries = [\"never\"]"),
                (
                    "e/20.conf",
                    "unqualified-search-registries = [\"c\"]\n[[registry]]\nprefix = \"quay.io\"\nblocked = true",
                ),
                ("d/ignored", "{"),
            ],
        );
        let all = read(&files).unwrap();
        assert_eq!(all.search, ["c"]);
        assert_eq!(
            all.aliases,
            [("fedora".into(), "registry.fedoraproject.org/fedora".into())]
        );
        assert_eq!(all.rules[0].prefix(), "ghcr.io");
        let mirror = |location: &str, insecure, pull_from_mirror| Mirror {
            location: location.into(),
            insecure,
            pull_from_mirror,
        };
        assert_eq!(
            all.rules[0].mirrors,
            [
                mirror("one.local/ghcr", true, None),
                mirror("two.local", false, Some(PullFrom::DigestOnly))
            ]
        );
        assert!(all.rules[1].blocked);
    }

    #[test]
    fn the_first_format_is_understood() {
        let dir = tempfile::tempdir().unwrap();
        let text = "[registries.search]\nregistries = ['a']\n[registries.insecure]\nregistries = ['b']\n[registries.block]\nregistries = ['c']";
        let all = read(&files(dir.path(), &[("main", text)])).unwrap();
        assert_eq!(all.search, ["a"]);
        assert!(all.rules[0].insecure && all.rules[1].blocked);
    }

    #[test]
    fn mistakes_are_told_with_file_and_line() {
        let dir = tempfile::tempdir().unwrap();
        for (text, said) in [
            ("\n[[registry]]\nlocation = 1", "line 3"),
            ("[[registry]\n", "line 1"),
            ("[[registry]]\nprefix = \"https://x\"", "scheme"),
        ] {
            let error = read(&files(dir.path(), &[("main", text)]))
                .unwrap_err()
                .to_string();
            assert!(error.contains("main") && error.contains(said), "{error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,200}") {
            let _ = check(&text);
        }
    }
}
