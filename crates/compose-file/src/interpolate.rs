//! Interpolation of a whole document: values only, never keys.
//! Source: Compose Specification `12-interpolation.md`.

use crate::diagnostic::{Diagnostic, Severity, Sources};
use crate::template::{self, Lookup, Substituted, TemplateError, Variable};
use crate::tree::{Node, Value, join};
use std::collections::BTreeSet;

/// What interpolating several documents brought to light.
#[derive(Debug, Default)]
pub(crate) struct Interpolation {
    pub(crate) diagnostics: Vec<Diagnostic>,
    pub(crate) variables: BTreeSet<Variable>,
    warned: BTreeSet<String>,
    /// Text made so far.
    made: usize,
}

/// All texts of a project may become this long together.
const MAX_MADE: usize = 64 << 20;

/// What one text had to say: severity, message, hint.
type Found = (Severity, String, Option<String>);

impl Interpolation {
    /// Replaces the variables in every string value below `node`. An unset variable is warned of once.
    pub(crate) fn document(
        &mut self,
        node: &mut Node,
        path: &str,
        lookup: Lookup<'_>,
        sources: &Sources,
    ) {
        match &mut node.value {
            Value::String(text) if text.contains('$') => {
                let found = self.text(text, lookup);
                self.diagnostics
                    .extend(found.into_iter().map(|(severity, message, hint)| {
                        let mut diagnostic =
                            sources.diagnostic(severity, node.place, path, message);
                        diagnostic.hint = hint;
                        diagnostic
                    }));
            }
            Value::List(list) => {
                for (number, child) in list.iter_mut().enumerate() {
                    self.document(child, &format!("{path}[{number}]"), lookup, sources);
                }
            }
            Value::Map(map) => {
                for (key, child) in map.values_mut() {
                    self.document(child, &join(path, key), lookup, sources);
                }
            }
            _ => {}
        }
    }

    /// Replaces the variables in one text.
    fn text(&mut self, text: &mut String, lookup: Lookup<'_>) -> Vec<Found> {
        let mut seen = Substituted::default();
        let result = template::substitute_noting(text, lookup, &mut seen);
        self.variables.extend(seen.variables);
        if let Err(error) = result {
            return vec![(Severity::Error, error.to_string(), Some(hint(&error)))];
        }
        self.made = self.made.saturating_add(seen.text.len());
        if self.made > MAX_MADE {
            // Once is enough.
            self.made = 0;
            let message = format!(
                "variables make the project longer than {} MiB",
                MAX_MADE >> 20
            );
            return vec![(Severity::Error, message, None)];
        }
        *text = seen.text;
        let unset = seen
            .unset
            .into_iter()
            .filter(|name| self.warned.insert(name.clone()));
        let message = |name: String| template::unset_message(&name);
        unset
            .map(|name| (Severity::Warning, message(name), None))
            .collect()
    }
}

fn hint(error: &TemplateError) -> String {
    match error {
        TemplateError::Malformed { .. } => {
            "You may need to escape any $ with another $. A variable is written ${NAME}.".into()
        }
        TemplateError::Required { name, .. } => {
            format!("set it in the environment or in the .env file: {name}=…")
        }
        TemplateError::TooLong => "use the variable less often, or give it a shorter value".into(),
        TemplateError::TooDeep => "give inner variables their own line in the .env file".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn run(text: &str) -> (Node, Interpolation) {
        let mut sources = Sources::default();
        let mut node = crate::parse::parse(Path::new("c.yaml"), text.as_bytes(), &mut sources)
            .unwrap()
            .remove(0);
        let mut interpolation = Interpolation::default();
        let lookup = |name: &str| (name == "TAG").then(|| "7".to_owned());
        interpolation.document(&mut node, "", &lookup, &sources);
        (node, interpolation)
    }

    #[test]
    fn values_change_and_keys_do_not() {
        let (node, found) = run("services: {$TAG: {image: 'redis:$TAG', x: [a, '${TAG}']}}");
        let service = node.get("services").unwrap().get("$TAG").unwrap();
        assert_eq!(service.get("image").unwrap().as_str(), Some("redis:7"));
        assert_eq!(
            service.get("x").unwrap().as_list().unwrap()[1].as_str(),
            Some("7")
        );
        assert!(found.diagnostics.is_empty());
    }

    #[test]
    fn an_unset_variable_is_warned_of_once_with_its_place() {
        let (_, found) = run("a: x$NO\nb: $NO\n");
        let shown: Vec<_> = found.diagnostics.iter().map(Diagnostic::render).collect();
        assert_eq!(
            shown,
            [
                "c.yaml:1:4: a: The \"NO\" variable is not set. Defaulting to a blank string.\n  1 | a: x$NO\n    |    ^"
            ]
        );
    }

    #[test]
    fn errors_name_the_path_and_the_way_out() {
        let (_, found) = run(
            "services:\n  web:\n    image: \"${REPO:?who built it?}/x\"\n    command: \"echo ${\"\n",
        );
        let shown: Vec<_> = found.diagnostics.iter().map(Diagnostic::render).collect();
        assert_eq!(
            shown,
            [
                "c.yaml:3:12: services.web.image: required variable REPO is missing a value: who built it?\n  3 |     image: \"${REPO:?who built it?}/x\"\n    |            ^\n  Hint: set it in the environment or in the .env file: REPO=…",
                "c.yaml:4:14: services.web.command: invalid interpolation format: \"${\"\n  4 |     command: \"echo ${\"\n    |              ^\n  Hint: You may need to escape any $ with another $. A variable is written ${NAME}.",
            ]
        );
    }
}
