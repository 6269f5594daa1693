//! `.dockerignore`: which paths of the context exist for the build.
//!
//! Source: Docker docs "Build context, .dockerignore files"; moby/patternmatcher. A pattern fits a path when it
//! fits the path or one of its parents; `!` takes back; the last pattern that fits decides.

use crate::pattern::{BadPattern, Pattern, clean};

/// The rules of one file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ignore {
    rules: Vec<Rule>,
    /// The file's name, for messages.
    pub file: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    pattern: Pattern,
    text: String,
    includes: bool,
    line: usize,
}

/// A line that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {cause}")]
pub struct Error {
    pub file: String,
    pub line: usize,
    pub cause: BadPattern,
}

/// Whether a path is left out, and by which line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict<'a> {
    Kept,
    Excluded { pattern: &'a str, line: usize },
}

impl Ignore {
    pub fn parse(file: &str, text: &str) -> Result<Self, Error> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut rules = Vec::new();
        for (index, line) in text.lines().enumerate() {
            if line.starts_with('#') {
                continue;
            }
            let line = line.trim();
            let (includes, body) = match line.strip_prefix('!') {
                Some(rest) => (true, rest.trim()),
                None => (false, line),
            };
            let cleaned = clean(body);
            if cleaned.is_empty() {
                continue;
            }
            let bad = |cause| Error {
                file: file.to_owned(),
                line: index + 1,
                cause,
            };
            let pattern = Pattern::new(&cleaned).map_err(bad)?;
            rules.push(Rule {
                pattern,
                text: line.to_owned(),
                includes,
                line: index + 1,
            });
        }
        Ok(Self {
            rules,
            file: file.to_owned(),
        })
    }

    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// What the rules say about a path, given relative to the context.
    pub fn verdict(&self, path: &str) -> Verdict<'_> {
        let mut verdict = Verdict::Kept;
        for rule in &self.rules {
            let excluded = verdict != Verdict::Kept;
            // A rule that would change nothing need not be tried.
            if rule.includes != excluded || !rule.fits(path) {
                continue;
            }
            verdict = match rule.includes {
                true => Verdict::Kept,
                false => Verdict::Excluded {
                    pattern: &rule.text,
                    line: rule.line,
                },
            };
        }
        verdict
    }

    pub fn excludes(&self, path: &str) -> bool {
        self.verdict(path) != Verdict::Kept
    }

    /// Whether something below an excluded directory may be kept, so that it must be walked.
    pub fn may_keep_below(&self, directory: &str) -> bool {
        self.rules
            .iter()
            .any(|rule| rule.includes && rule.pattern.may_match_below(directory))
    }
}

impl Rule {
    fn fits(&self, path: &str) -> bool {
        let parents = path.match_indices('/').map(|(at, _)| &path[..at]);
        self.pattern.matches(path)
            || parents
                .into_iter()
                .any(|parent| self.pattern.matches(parent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excluded(rules: &str, path: &str) -> bool {
        Ignore::parse(".dockerignore", rules)
            .unwrap()
            .excludes(path)
    }

    #[test]
    fn the_last_rule_that_fits_decides() {
        let rules = "# note\n*.md\n!README.md\n\nREADME-secret.md\n";
        assert!(excluded(rules, "a.md"));
        assert!(!excluded(rules, "README.md"));
        assert!(excluded(rules, "README-secret.md"));
        assert!(
            !excluded(rules, "docs/a.md"),
            "a star does not cross directories"
        );
        assert!(!excluded("!x\n", "x"));
    }

    #[test]
    fn a_directory_takes_its_content_along() {
        assert!(excluded("node_modules", "node_modules/a/b.js"));
        assert!(excluded("/node_modules/", "node_modules/a"));
        assert!(excluded("**/node_modules", "a/b/node_modules/c"));
        assert!(!excluded("dir\n!dir/keep", "dir/keep/x"));
        assert!(excluded("dir\n!dir/keep", "dir/other"));
        assert!(!excluded("*\n!src", "src/a"));
        assert!(excluded("*\n!src", "a"));
        assert!(!excluded("./", "a"));
    }

    #[test]
    fn the_deciding_line_is_told() {
        let ignore = Ignore::parse(".dockerignore", "a\n\nsecret*\n").unwrap();
        assert_eq!(
            ignore.verdict("secret.txt"),
            Verdict::Excluded {
                pattern: "secret*",
                line: 3
            }
        );
        let error = Ignore::parse(".dockerignore", "a\n[\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            ".dockerignore:2: syntax error in pattern \"[\""
        );
    }
}
