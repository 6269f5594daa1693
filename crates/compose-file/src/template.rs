//! `$VAR`, `${VAR:-default}` and the other forms of Compose's interpolation, on one text.
//!
//! Source: Compose Specification `12-interpolation.md`; compose-go `template.go` for the `+` forms.

use std::collections::BTreeSet;

/// Where values come from; `None`: not set.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Operands may hold further variables, this deep.
const MAX_NESTING: usize = 40;
/// One text may become this long.
const MAX_OUTPUT: usize = 4 << 20;

/// Why a text could not be interpolated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    #[error("invalid interpolation format: {excerpt:?}")]
    Malformed { excerpt: String },
    #[error("required variable {name} is missing a value{}", .message.as_ref().map(|m| format!(": {m}")).unwrap_or_default())]
    Required {
        name: String,
        message: Option<String>,
    },
    #[error("variables are nested deeper than {MAX_NESTING} levels")]
    TooDeep,
    #[error("variables make the text longer than {} MiB", MAX_OUTPUT >> 20)]
    TooLong,
}

/// One use of a variable, for `config --variables`.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Variable {
    pub name: String,
    pub required: bool,
    pub default: Option<String>,
    pub alternate: Option<String>,
}

/// An interpolated text, and what it used.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Substituted {
    pub text: String,
    /// Variables without value and without default.
    pub unset: BTreeSet<String>,
    pub variables: BTreeSet<Variable>,
}

/// Docker's words for a variable that has no value.
pub fn unset_message(name: &str) -> String {
    format!("The \"{name}\" variable is not set. Defaulting to a blank string.")
}

/// Replaces every variable in `text`.
pub fn substitute(text: &str, lookup: Lookup<'_>) -> Result<Substituted, TemplateError> {
    let mut seen = Substituted::default();
    substitute_noting(text, lookup, &mut seen)?;
    Ok(seen)
}

/// As [`substitute`]; what was used is noted even when there is an error.
pub fn substitute_noting(
    text: &str,
    lookup: Lookup<'_>,
    seen: &mut Substituted,
) -> Result<(), TemplateError> {
    let mut output = String::with_capacity(text.len());
    expand(text, lookup, &mut output, seen, 0)?;
    seen.text = output;
    Ok(())
}

fn expand(
    text: &str,
    lookup: Lookup<'_>,
    output: &mut String,
    seen: &mut Substituted,
    depth: usize,
) -> Result<(), TemplateError> {
    if depth > MAX_NESTING {
        return Err(TemplateError::TooDeep);
    }
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        if output.len() > MAX_OUTPUT.max(text.len()) {
            return Err(TemplateError::TooLong);
        }
        output.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        rest = match after.bytes().next() {
            Some(b'$') => {
                output.push('$');
                &after[1..]
            }
            Some(b'{') => {
                let end = closing_brace(after).ok_or_else(|| malformed(&rest[at..]))?;
                let inner = &after[1..end];
                braced(inner, lookup, output, seen, depth).map_err(|error| match error {
                    TemplateError::Malformed { excerpt } if excerpt.is_empty() => {
                        malformed(&rest[at..at + end + 2])
                    }
                    other => other,
                })?;
                &after[end + 1..]
            }
            _ => match name_length(after) {
                0 => {
                    output.push('$');
                    after
                }
                length => {
                    plain(&after[..length], lookup, output, seen);
                    &after[length..]
                }
            },
        };
    }
    output.push_str(rest);
    Ok(())
}

fn malformed(excerpt: &str) -> TemplateError {
    TemplateError::Malformed {
        excerpt: excerpt.chars().take(60).collect(),
    }
}

/// Where the brace that opens `text` is closed again.
fn closing_brace(text: &str) -> Option<usize> {
    let mut open = 0usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => open += 1,
            b'}' => {
                open -= 1;
                if open == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

fn name_length(text: &str) -> usize {
    if !text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        return 0;
    }
    text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .unwrap_or(text.len())
}

fn plain(name: &str, lookup: Lookup<'_>, output: &mut String, seen: &mut Substituted) {
    seen.variables.insert(Variable {
        name: name.to_owned(),
        ..Variable::default()
    });
    match lookup(name) {
        Some(value) => output.push_str(&value),
        None => drop(seen.unset.insert(name.to_owned())),
    }
}

/// The inside of `${…}`. An empty excerpt in the error stands for the whole form.
fn braced(
    inner: &str,
    lookup: Lookup<'_>,
    output: &mut String,
    seen: &mut Substituted,
    depth: usize,
) -> Result<(), TemplateError> {
    let (name, rest) = inner.split_at(name_length(inner));
    if name.is_empty() {
        return Err(TemplateError::Malformed {
            excerpt: String::new(),
        });
    }
    let (colon, rest) = match rest.strip_prefix(':') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let Some(operator) = rest.chars().next() else {
        if colon {
            return Err(TemplateError::Malformed {
                excerpt: String::new(),
            });
        }
        plain(name, lookup, output, seen);
        return Ok(());
    };
    if !matches!(operator, '-' | '?' | '+') {
        return Err(TemplateError::Malformed {
            excerpt: String::new(),
        });
    }
    let operand = &rest[1..];
    let value = lookup(name);
    // With a colon an empty value counts as none.
    let is_set = value
        .as_ref()
        .is_some_and(|value| !colon || !value.is_empty());
    seen.variables.insert(Variable {
        name: name.to_owned(),
        required: operator == '?',
        default: (operator == '-').then(|| operand.to_owned()),
        alternate: (operator == '+').then(|| operand.to_owned()),
    });
    match (operator, is_set) {
        ('-' | '?', true) => output.push_str(&value.unwrap_or_default()),
        ('-', false) | ('+', true) => expand(operand, lookup, output, seen, depth + 1)?,
        ('?', false) => {
            let mut message = String::new();
            expand(operand, lookup, &mut message, seen, depth + 1)?;
            let message = (!message.is_empty()).then_some(message);
            return Err(TemplateError::Required {
                name: name.to_owned(),
                message,
            });
        }
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(name: &str) -> Option<String> {
        Some(match name {
            "FOO" => "foo".into(),
            "BAR" => "bar".into(),
            "EMPTY" => String::new(),
            "DOLLAR" => "$FOO".into(),
            _ => return None,
        })
    }

    fn done(text: &str) -> String {
        substitute(text, &environment)
            .unwrap_or_else(|e| panic!("{text}: {e}"))
            .text
    }

    #[test]
    fn every_form() {
        for (text, expected) in [
            ("no variable", "no variable"),
            ("$FOO", "foo"),
            ("${FOO}", "foo"),
            ("a${FOO}b$BAR.c", "afoobbar.c"),
            ("$$FOO", "$FOO"),
            ("$$$FOO", "$foo"),
            ("$${FOO}", "${FOO}"),
            ("$1 $ $. $-", "$1 $ $. $-"),
            ("end$", "end$"),
            ("${FOO:-x}", "foo"),
            ("${NO:-x}", "x"),
            ("${NO-x}", "x"),
            ("${EMPTY:-x}", "x"),
            ("${EMPTY-x}", ""),
            ("${NO:-}", ""),
            ("${FOO:?e}", "foo"),
            ("${EMPTY?e}", ""),
            ("${FOO:+y}", "y"),
            ("${EMPTY:+y}", ""),
            ("${EMPTY+y}", "y"),
            ("${NO+y}", ""),
            ("${NO:+y}", ""),
            ("${NO:-${BAR}}", "bar"),
            ("${NO:-$BAR-x}", "bar-x"),
            ("${NO:-${ALSO:-${FOO}-1}}", "foo-1"),
            ("${NO:-{\"a\": {}}}", "{\"a\": {}}"),
            ("${NO:-a:b-c?d}", "a:b-c?d"),
            ("${NO:-http://x:80/$$y}", "http://x:80/$y"),
            ("$DOLLAR", "$FOO"),
            ("é${FOO}é", "éfooé"),
        ] {
            assert_eq!(done(text), expected, "{text}");
        }
    }

    #[test]
    fn required_variables_give_their_message() {
        let error = |text| substitute(text, &environment).unwrap_err().to_string();
        assert_eq!(
            error("${NO:?set it}"),
            "required variable NO is missing a value: set it"
        );
        assert_eq!(
            error("${EMPTY:?set ${FOO}}"),
            "required variable EMPTY is missing a value: set foo"
        );
        assert_eq!(error("${NO?}"), "required variable NO is missing a value");
    }

    #[test]
    fn malformed_forms_show_themselves() {
        for text in [
            "${",
            "${}",
            "${FOO",
            "${1}",
            "${FOO BAR}",
            "${FOO:}",
            "${FOO:x}",
            "${-x}",
            "x${FOO!y}",
            "${NO:-${}}",
        ] {
            assert!(
                matches!(
                    substitute(text, &environment),
                    Err(TemplateError::Malformed { .. })
                ),
                "{text}"
            );
        }
        assert_eq!(
            substitute("a ${FOO!y} b", &environment)
                .unwrap_err()
                .to_string(),
            "invalid interpolation format: \"${FOO!y}\""
        );
    }

    #[test]
    fn unset_variables_are_reported_and_blank() {
        let result = substitute("a$NO${NO}${FOO}", &environment).unwrap();
        assert_eq!(
            (result.text.as_str(), result.unset),
            ("afoo", BTreeSet::from(["NO".to_owned()]))
        );
        assert!(
            substitute("${NO:-}${NO+}", &environment)
                .unwrap()
                .unset
                .is_empty()
        );
    }

    #[test]
    fn variables_are_listed_with_their_defaults() {
        let result = substitute("${A:-1}${B?}$C${D+x}", &environment);
        assert!(matches!(result, Err(TemplateError::Required { .. })));
        let found = substitute("${A:-1}${D+x}", &environment).unwrap().variables;
        let names: Vec<_> = found.iter().collect();
        assert_eq!(names[0].default.as_deref(), Some("1"));
        assert_eq!(names[1].alternate.as_deref(), Some("x"));
    }

    #[test]
    fn a_variable_repeated_a_million_times_does_not_fill_the_memory() {
        let long = |_: &str| Some("x".repeat(100_000));
        let text = "$A".repeat(1_000_000);
        assert_eq!(substitute(&text, &long), Err(TemplateError::TooLong));
        assert!(
            substitute(&text, &|_| Some(String::new()))
                .unwrap()
                .text
                .is_empty()
        );
    }

    #[test]
    fn deep_nesting_ends_in_an_error() {
        let text = format!("{}x{}", "${NO:-".repeat(10_000), "}".repeat(10_000));
        assert_eq!(substitute(&text, &environment), Err(TemplateError::TooDeep));
    }
}
