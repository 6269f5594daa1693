//! Cutting an instruction's text into words, flags and JSON arrays; quotes and escapes stay in the words.
//!
//! Source: BuildKit `line_parsers.go` (`parseWords`, `extractBuilderFlags`, `parseJSON`).

use super::error::Mistake;

/// The first word and what follows it, blanks between dropped.
pub(crate) fn first(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    match text.find(char::is_whitespace) {
        Some(end) => (&text[..end], text[end..].trim_start()),
        None => (text, ""),
    }
}

/// Splits at blanks outside quotes. An escape character takes the next character with it.
pub(crate) fn raw(text: &str, escape: char) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match quote {
            None if c.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                continue;
            }
            None if c == '"' || c == '\'' => quote = Some(c),
            Some(open) if c == open => quote = None,
            _ => {}
        }
        word.push(c);
        if c == escape && quote != Some('\'') {
            word.extend(chars.next());
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// One `--name[=value]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Flag {
    pub(crate) name: String,
    pub(crate) value: Option<String>,
}

/// The leading `--flags` of an instruction and the rest of its text.
pub(crate) fn flags(text: &str, escape: char) -> (Vec<Flag>, &str) {
    let (mut flags, mut rest) = (Vec::new(), text.trim_start());
    while let Some(body) = rest.strip_prefix("--") {
        let (word, after) = flag_word(body, escape);
        rest = after.trim_start();
        if word.is_empty() {
            break;
        }
        let flag = match word.split_once('=') {
            Some((name, value)) => Flag {
                name: name.to_owned(),
                value: Some(value.to_owned()),
            },
            None => Flag {
                name: word,
                value: None,
            },
        };
        flags.push(flag);
    }
    (flags, rest)
}

pub(crate) fn after_flags(text: &str, escape: char) -> &str {
    flags(text, escape).1
}

/// One flag's text, unquoted, up to a blank outside quotes; and what follows.
fn flag_word(text: &str, escape: char) -> (String, &str) {
    let (mut word, mut quote) = (String::new(), None);
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match quote {
            None if c.is_whitespace() => return (word, &text[at..]),
            None if c == '"' || c == '\'' => quote = Some(c),
            Some(open) if c == open => quote = None,
            _ if c == escape && quote != Some('\'') => match chars.next() {
                // An escaped `$` must reach the substitution as it was written.
                Some((_, '$')) => word.extend([c, '$']),
                Some((_, next)) => word.push(next),
                None => word.push(c),
            },
            _ => word.push(c),
        }
    }
    (word, "")
}

/// The JSON array of strings the text is; `None` when it is no JSON array at all.
pub(crate) fn json(text: &str) -> Result<Option<Vec<String>>, Mistake> {
    let text = text.trim();
    if !text.starts_with('[') {
        return Ok(None);
    }
    let Ok(values) = serde_json::from_str::<Vec<serde_json::Value>>(text) else {
        return Ok(None);
    };
    let strings = values.into_iter().map(|value| match value {
        serde_json::Value::String(text) => Ok(text),
        _ => Err(Mistake::JsonNotStrings),
    });
    strings.collect::<Result<_, _>>().map(Some)
}

/// `k=v …` pairs, or the old form `k rest of the line`.
pub(crate) fn pairs(
    text: &str,
    escape: char,
    instruction: &'static str,
) -> Result<Vec<(String, String)>, Mistake> {
    let words = raw(text, escape);
    let Some(head) = words.first() else {
        return Err(Mistake::Arguments {
            instruction,
            need: "at least one argument",
        });
    };
    let pairs = if head.contains('=') {
        let split = |word: &String| match word.split_once('=') {
            Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
            None => Err(Mistake::NoEquals { word: word.clone() }),
        };
        words.iter().map(split).collect::<Result<Vec<_>, _>>()?
    } else {
        let (key, value) = first(text);
        if value.is_empty() {
            return Err(Mistake::Arguments {
                instruction,
                need: "two arguments: name=value",
            });
        }
        vec![(key.to_owned(), value.to_owned())]
    };
    if pairs.iter().any(|(key, _)| key.is_empty()) {
        return Err(Mistake::BlankName(instruction));
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_keep_their_quotes_and_escapes() {
        assert_eq!(
            raw(r#"a="x y" b='p"q' c=\ d e"#, '\\'),
            ["a=\"x y\"", "b='p\"q'", "c=\\ d", "e"]
        );
        assert_eq!(raw("'open", '\\'), ["'open"]);
    }

    #[test]
    fn flags_end_at_the_first_other_word() {
        let (found, rest) = flags(r#"--from=a --link --exclude="x y" src --not /d"#, '\\');
        let names: Vec<_> = found
            .iter()
            .map(|f| (f.name.as_str(), f.value.as_deref()))
            .collect();
        assert_eq!(
            names,
            [
                ("from", Some("a")),
                ("link", None),
                ("exclude", Some("x y"))
            ]
        );
        assert_eq!(rest, "src --not /d");
        assert_eq!(flags("-- --x", '\\').1, "--x");
    }

    #[test]
    fn json_must_be_strings() {
        assert_eq!(
            json(r#" ["a", "b c"] "#),
            Ok(Some(vec!["a".into(), "b c".into()]))
        );
        assert_eq!(json("[ -f x ]"), Ok(None));
        assert_eq!(json("['a']"), Ok(None));
        assert_eq!(json("[1]"), Err(Mistake::JsonNotStrings));
    }

    #[test]
    fn pairs_in_both_forms() {
        assert_eq!(
            pairs("a b  c", '\\', "ENV").unwrap(),
            [("a".into(), "b  c".into())]
        );
        assert_eq!(pairs("a=1 b=\"2 3\"", '\\', "ENV").unwrap().len(), 2);
        assert!(matches!(
            pairs("a=1 b", '\\', "ENV"),
            Err(Mistake::NoEquals { .. })
        ));
        assert!(pairs("a", '\\', "ENV").is_err());
        assert_eq!(pairs("=1", '\\', "ENV"), Err(Mistake::BlankName("ENV")));
    }
}
