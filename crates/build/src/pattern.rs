//! Path patterns: Go's `filepath.Match` (`* ? [a-z] \`), and `**` across directories.
//!
//! Source: Go `path/filepath.Match`; moby/patternmatcher for `**`. A pattern is run as a set of positions over
//! the path, so no pattern takes more than time in proportion to pattern times path.

/// A compiled pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    tokens: Vec<Token>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Char(char),
    /// `?`: one character but `/`.
    One,
    /// `*`: any characters but `/`.
    Star,
    /// `**` at the end: anything.
    Deep,
    /// `**/`: nothing, or whole directories.
    Dirs,
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

/// A pattern that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("syntax error in pattern {0:?}")]
pub struct BadPattern(pub String);

impl Pattern {
    pub fn new(pattern: &str) -> Result<Self, BadPattern> {
        let bad = || BadPattern(pattern.to_owned());
        let (mut tokens, mut chars) = (Vec::new(), pattern.chars().peekable());
        while let Some(c) = chars.next() {
            tokens.push(match c {
                '*' if chars.next_if_eq(&'*').is_some() => {
                    while chars.next_if_eq(&'*').is_some() {}
                    let slash = chars.next_if_eq(&'/').is_some();
                    if chars.peek().is_none() || !slash {
                        Token::Deep
                    } else {
                        Token::Dirs
                    }
                }
                '*' => Token::Star,
                '?' => Token::One,
                '\\' => Token::Char(chars.next().ok_or_else(bad)?),
                '[' => class(&mut chars).ok_or_else(bad)?,
                c => Token::Char(c),
            });
        }
        Ok(Self { tokens })
    }

    /// Whether the pattern fits the whole path.
    pub fn matches(&self, path: &str) -> bool {
        self.after(path)[self.tokens.len()]
    }

    /// The positions in the pattern that may be reached once the text is read.
    fn after(&self, path: &str) -> Vec<bool> {
        let mut at = vec![false; self.tokens.len() + 1];
        let mut next = at.clone();
        at[0] = true;
        self.spread(&mut at, true);
        for c in path.chars() {
            next.fill(false);
            let reached = self
                .tokens
                .iter()
                .enumerate()
                .filter(|(index, _)| at[*index]);
            for (index, token) in reached {
                match token {
                    Token::Deep | Token::Dirs => next[index] = true,
                    Token::Star if c != '/' => next[index] = true,
                    token if token.takes(c) => next[index + 1] = true,
                    _ => {}
                }
            }
            self.spread(&mut next, c == '/');
            std::mem::swap(&mut at, &mut next);
            if !at.contains(&true) {
                break;
            }
        }
        at
    }

    /// Whether the pattern may fit something below the directory.
    pub fn may_match_below(&self, directory: &str) -> bool {
        self.after(&format!("{directory}/")).contains(&true)
    }

    /// Goes over tokens that may take nothing. `boundary`: at the start of a path component.
    fn spread(&self, at: &mut [bool], boundary: bool) {
        for (index, token) in self.tokens.iter().enumerate() {
            let skips = match token {
                Token::Star | Token::Deep => true,
                Token::Dirs => boundary,
                _ => false,
            };
            if at[index] && skips {
                at[index + 1] = true;
            }
        }
    }
}

impl Token {
    fn takes(&self, c: char) -> bool {
        match self {
            Self::Char(expected) => *expected == c,
            Self::One => c != '/',
            Self::Class { negated, ranges } => {
                c != '/' && ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != *negated
            }
            Self::Star | Self::Deep | Self::Dirs => false,
        }
    }
}

/// After `[`.
fn class(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<Token> {
    let negated = chars.next_if_eq(&'^').is_some() || chars.next_if_eq(&'!').is_some();
    let mut ranges = Vec::new();
    loop {
        let low = match chars.next()? {
            ']' if !ranges.is_empty() => return Some(Token::Class { negated, ranges }),
            ']' | '-' => return None,
            '\\' => chars.next()?,
            c => c,
        };
        let high = match chars.next_if_eq(&'-') {
            None => low,
            Some(_) => match chars.next()? {
                ']' | '-' => return None,
                '\\' => chars.next()?,
                c => c,
            },
        };
        ranges.push((low, high));
    }
}

/// Whether a text means more than itself.
pub fn is_wild(text: &str) -> bool {
    text.contains(['*', '?', '[', '\\'])
}

/// `filepath.Clean` for a path that is relative to a root: no empty, `.` or `..` components remain.
pub fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fits(pattern: &str, path: &str) -> bool {
        Pattern::new(pattern).unwrap().matches(path)
    }

    #[test]
    fn filepath_match_and_double_stars() {
        for (pattern, path, expected) in [
            ("*.go", "a.go", true),
            ("*.go", "d/a.go", false),
            ("**/*.go", "d/e/a.go", true),
            ("**/*.go", "a.go", true),
            ("**/x", "ax", false),
            ("a/**", "a/b/c", true),
            ("a/**/c", "a/c", true),
            ("a/**/c", "a/b/b/c", true),
            ("a/**/c", "a/bc", false),
            ("**", "a/b", true),
            ("a?c", "abc", true),
            ("a?c", "a/c", false),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("[\\]]", "]", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("a*b*c", "aXbXbc", true),
            ("", "", true),
        ] {
            assert_eq!(fits(pattern, path), expected, "{pattern} {path}");
        }
        for bad in ["[", "[]", "[a-]", "a\\", "[-x]"] {
            assert!(Pattern::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn directories_that_cannot_lead_to_a_match_are_known() {
        let below = |pattern: &str, directory: &str| {
            Pattern::new(pattern).unwrap().may_match_below(directory)
        };
        assert!(
            below("docs/a/*.md", "docs") && below("docs/a/*.md", "docs/a") && below("**/x", "any")
        );
        assert!(
            !below("docs/a", "node_modules") && !below("docs", "docs") && !below("*.md", "docs")
        );
    }

    #[test]
    fn many_stars_take_no_longer() {
        let pattern = "*a".repeat(2000);
        assert!(!fits(&pattern, &"a".repeat(1500)));
    }

    #[test]
    fn paths_are_cleaned_within_their_root() {
        assert_eq!(clean("/a/./b/../c//"), "a/c");
        assert_eq!(clean("../../etc/passwd"), "etc/passwd");
        assert_eq!(clean("./"), "");
    }

    proptest! {
        #[test]
        fn nothing_panics(pattern in "[ab/*?\\[\\]^\\\\-]{0,20}", path in "[ab/]{0,20}") {
            if let Ok(pattern) = Pattern::new(&pattern) {
                pattern.matches(&path);
            }
        }
    }
}
