//! The patterns of `${v#p}`, `${v%p}` and `${v/p/r}`: shell globs over a variable's value.
//!
//! Unlike a path pattern, `*` crosses `/` here. Source: POSIX shell, "Parameter Expansion"; BuildKit `shell/lex.go`.

/// `${v#p}` and relatives.
pub(super) fn strip(value: &str, pattern: &str, prefix: bool, greedy: bool) -> String {
    let glob = Glob::new(pattern);
    let mut cuts: Vec<usize> = value
        .char_indices()
        .map(|(at, _)| at)
        .chain([value.len()])
        .collect();
    // The shortest piece is found first from the near end, the longest from the far end.
    if prefix == greedy {
        cuts.reverse();
    }
    for cut in cuts {
        let (head, tail) = value.split_at(cut);
        let (piece, kept) = if prefix { (head, tail) } else { (tail, head) };
        if glob.matches(piece) {
            return kept.to_owned();
        }
    }
    value.to_owned()
}

/// `${v/p/r}` and `${v//p/r}`: the longest match at the first place.
pub(super) fn replace(value: &str, pattern: &str, replacement: &str, all: bool) -> String {
    let glob = Glob::new(pattern);
    let (mut out, mut rest) = (String::new(), value);
    while let Some(c) = rest.chars().next() {
        let mut ends = rest
            .char_indices()
            .map(|(at, c)| at + c.len_utf8())
            .collect::<Vec<_>>();
        ends.reverse();
        match ends.into_iter().find(|end| glob.matches(&rest[..*end])) {
            Some(end) => {
                out.push_str(replacement);
                rest = &rest[end..];
                if !all {
                    break;
                }
            }
            None => {
                out.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    out + rest
}

/// A shell pattern of `*`, `?` and escaped characters, in which `*` also crosses `/`.
struct Glob(Vec<Token>);

enum Token {
    Any,
    One,
    Char(char),
}

impl Glob {
    fn new(pattern: &str) -> Self {
        let (mut tokens, mut chars) = (Vec::new(), pattern.chars());
        while let Some(c) = chars.next() {
            tokens.push(match c {
                '*' => Token::Any,
                '?' => Token::One,
                '\\' => Token::Char(chars.next().unwrap_or('\\')),
                c => Token::Char(c),
            });
        }
        Self(tokens)
    }

    /// One pass over the text with the one last `*` as the place to go back to.
    fn matches(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        let (mut token, mut at, mut back) = (0, 0, None);
        loop {
            match self.0.get(token) {
                None if at == text.len() => return true,
                Some(Token::Any) => {
                    back = Some((token, at));
                    token += 1;
                    continue;
                }
                Some(Token::One) if at < text.len() => {
                    (token, at) = (token + 1, at + 1);
                    continue;
                }
                Some(Token::Char(c)) if text.get(at) == Some(c) => {
                    (token, at) = (token + 1, at + 1);
                    continue;
                }
                _ => {}
            }
            match back {
                Some((star, from)) if from < text.len() => {
                    back = Some((star, from + 1));
                    (token, at) = (star + 1, from + 1);
                }
                _ => return false,
            }
        }
    }
}
