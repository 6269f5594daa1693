//! `--filter KEY=VALUE` as all list commands take it.
//!
//! Values of one key are alternatives, keys are conditions that all must hold; only `label` values must all
//! hold. Source: Docker CLI reference ("Filtering"), moby `api/types/filters`.

use regex_lite::Regex;
use std::collections::BTreeMap;

/// What went wrong with `--filter`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    #[error(
        "invalid argument \"{0}\" for \"-f, --filter\" flag: bad format of filter (expected name=value)"
    )]
    BadFormat(String),
    #[error("invalid filter '{key}' (known: {known})")]
    UnknownKey { key: String, known: String },
    #[error("invalid filter '{key}={value}': {cause}")]
    BadValue {
        key: String,
        value: String,
        cause: String,
    },
    #[error("invalid filters: {0}")]
    BadJson(String),
}

/// The filters of one command, by key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filters {
    values: BTreeMap<String, Vec<String>>,
}

impl Filters {
    /// Reads `KEY=VALUE` arguments; a key that is not in `known` is an error.
    pub fn parse<S: AsRef<str>>(arguments: &[S], known: &[&str]) -> Result<Self, FilterError> {
        let mut filters = Self::default();
        for argument in arguments {
            let argument = argument.as_ref();
            let (key, value) = argument
                .split_once('=')
                .ok_or_else(|| FilterError::BadFormat(argument.to_owned()))?;
            filters.add(
                key.trim().to_ascii_lowercase(),
                value.trim().to_owned(),
                known,
            )?;
        }
        Ok(filters)
    }

    /// Reads the API's form: `{"status":["running"]}` or `{"status":{"running":true}}`.
    pub fn parse_json(text: &str, known: &[&str]) -> Result<Self, FilterError> {
        let mut filters = Self::default();
        if text.is_empty() {
            return Ok(filters);
        }
        let bad = |cause: &str| FilterError::BadJson(format!("{text}: {cause}"));
        let parsed: BTreeMap<String, serde_json::Value> =
            serde_json::from_str(text).map_err(|e| bad(&e.to_string()))?;
        for (key, values) in parsed {
            let values: Vec<String> = match values {
                serde_json::Value::Array(list) => list
                    .iter()
                    .map(|v| v.as_str().map(str::to_owned))
                    .collect::<Option<_>>(),
                serde_json::Value::Object(map) => Some(map.keys().cloned().collect()),
                _ => None,
            }
            .ok_or_else(|| bad("each value must be a list of strings"))?;
            for value in values {
                filters.add(key.clone(), value, known)?;
            }
        }
        Ok(filters)
    }

    fn add(&mut self, key: String, value: String, known: &[&str]) -> Result<(), FilterError> {
        if !known.contains(&key.as_str()) {
            return Err(FilterError::UnknownKey {
                key,
                known: known.join(", "),
            });
        }
        self.values.entry(key).or_default().push(value);
        Ok(())
    }

    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The values given for `key`; empty when it was not given.
    pub fn get(&self, key: &str) -> &[String] {
        self.values.get(key).map_or(&[], Vec::as_slice)
    }

    pub fn contains(&self, key: &str) -> bool {
        self.values.contains_key(key)
    }

    /// True when `key` was not given or one of its values satisfies `test`.
    pub fn any(&self, key: &str, test: impl Fn(&str) -> bool) -> bool {
        self.values
            .get(key)
            .is_none_or(|values| values.iter().any(|value| test(value)))
    }

    /// True when `key` was not given or one of its values is `actual`.
    pub fn matches_exact(&self, key: &str, actual: &str) -> bool {
        self.any(key, |value| value == actual)
    }

    /// True when `key` was not given or `actual` begins with one of its values (ids).
    pub fn matches_prefix(&self, key: &str, actual: &str) -> bool {
        self.any(key, |value| actual.starts_with(value))
    }

    /// True when `key` was not given or one of its values, as a regular expression, is found in `actual`. Docker
    /// matches container names with and without their leading slash, so `^/web$` and `^web$` both work. What is
    /// no regular expression is looked for as it stands.
    pub fn matches_name(&self, key: &str, actual: &str) -> bool {
        let bare = actual.strip_prefix('/').unwrap_or(actual);
        self.any(key, |value| match Regex::new(value) {
            Ok(regex) => regex.is_match(bare) || regex.is_match(&format!("/{bare}")),
            Err(_) => bare.contains(value),
        })
    }

    /// True when every `label` value (`KEY` or `KEY=VALUE`) holds for `labels`.
    pub fn matches_labels(&self, labels: &BTreeMap<String, String>) -> bool {
        self.get("label")
            .iter()
            .all(|filter| label_holds(filter, labels))
    }

    /// True when no `label!` value holds for `labels` (prune commands).
    pub fn matches_absent_labels(&self, labels: &BTreeMap<String, String>) -> bool {
        !self
            .get("label!")
            .iter()
            .any(|filter| label_holds(filter, labels))
    }

    /// The value of a yes-or-no filter such as `dangling`.
    pub fn flag(&self, key: &str) -> Result<Option<bool>, FilterError> {
        let mut answer = None;
        for value in self.get(key) {
            let this = match value.to_ascii_lowercase().as_str() {
                "1" | "true" => true,
                "0" | "false" => false,
                _ => return Err(self.bad_value(key, value, "use true or false")),
            };
            if answer.is_some_and(|before| before != this) {
                return Err(self.bad_value(key, value, "given as true and as false"));
            }
            answer = Some(this);
        }
        Ok(answer)
    }

    /// Checks that the values of `key` are among `allowed` (`status=…`).
    pub fn check_values(&self, key: &str, allowed: &[&str]) -> Result<(), FilterError> {
        match self
            .get(key)
            .iter()
            .find(|value| !allowed.contains(&value.as_str()))
        {
            Some(value) => {
                Err(self.bad_value(key, value, &format!("use one of {}", allowed.join(", "))))
            }
            None => Ok(()),
        }
    }

    fn bad_value(&self, key: &str, value: &str, cause: &str) -> FilterError {
        FilterError::BadValue {
            key: key.to_owned(),
            value: value.to_owned(),
            cause: cause.to_owned(),
        }
    }
}

fn label_holds(filter: &str, labels: &BTreeMap<String, String>) -> bool {
    match filter.split_once('=') {
        Some((key, value)) => labels.get(key).is_some_and(|actual| actual == value),
        None => labels.contains_key(filter),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 6] = ["id", "name", "label", "label!", "status", "dangling"];

    fn filters(arguments: &[&str]) -> Filters {
        Filters::parse(arguments, &KNOWN).unwrap()
    }

    #[test]
    fn unknown_keys_and_bad_forms_are_docker_s_errors() {
        let error = Filters::parse(&["colour=red"], &KNOWN)
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("invalid filter 'colour'"), "{error}");
        let error = Filters::parse(&["name"], &KNOWN).unwrap_err().to_string();
        assert!(
            error.ends_with("bad format of filter (expected name=value)"),
            "{error}"
        );
    }

    #[test]
    fn values_of_a_key_are_alternatives() {
        let two = filters(&["status=running", "status=paused"]);
        assert!(two.matches_exact("status", "paused"));
        assert!(!two.matches_exact("status", "exited"));
        assert!(two.matches_exact("id", "anything"));
        assert!(filters(&["id=abc"]).matches_prefix("id", "abcdef"));
    }

    #[test]
    fn names_match_as_regular_expressions() {
        assert!(filters(&["name=eb"]).matches_name("name", "web-1"));
        assert!(filters(&["name=^web-1$"]).matches_name("name", "web-1"));
        assert!(filters(&["name=^/web-1$"]).matches_name("name", "web-1"));
        assert!(!filters(&["name=^eb"]).matches_name("name", "web-1"));
        assert!(filters(&["name=["]).matches_name("name", "a[b"));
    }

    #[test]
    fn labels_must_all_hold() {
        let labels = BTreeMap::from([
            ("a".to_owned(), "1".to_owned()),
            ("b".to_owned(), String::new()),
        ]);
        assert!(filters(&["label=a", "label=a=1", "label=b="]).matches_labels(&labels));
        assert!(!filters(&["label=a", "label=a=2"]).matches_labels(&labels));
        assert!(
            !filters(&["label!=a"]).matches_absent_labels(&labels)
                || filters(&["label!=a"]).get("label!").is_empty()
        );
        assert!(filters(&[]).matches_labels(&labels));
    }

    #[test]
    fn a_negated_label_keeps_its_key() {
        assert_eq!(filters(&["label!=a=1"]).get("label!"), ["a=1"]);
    }

    #[test]
    fn flags_and_allowed_values() {
        assert_eq!(filters(&["dangling=true"]).flag("dangling"), Ok(Some(true)));
        assert_eq!(filters(&[]).flag("dangling"), Ok(None));
        assert!(filters(&["dangling=perhaps"]).flag("dangling").is_err());
        assert!(
            filters(&["dangling=1", "dangling=0"])
                .flag("dangling")
                .is_err()
        );
        assert!(
            filters(&["status=happy"])
                .check_values("status", &["running"])
                .is_err()
        );
    }

    #[test]
    fn the_api_s_two_forms() {
        let list = Filters::parse_json(r#"{"label":["a","b=1"]}"#, &KNOWN).unwrap();
        assert_eq!(list.get("label"), ["a", "b=1"]);
        let map = Filters::parse_json(r#"{"status":{"running":true}}"#, &KNOWN).unwrap();
        assert_eq!(map.get("status"), ["running"]);
        assert!(Filters::parse_json("", &KNOWN).unwrap().is_empty());
        assert!(Filters::parse_json("[]", &KNOWN).is_err());
        assert!(Filters::parse_json(r#"{"x":["a"]}"#, &KNOWN).is_err());
    }
}
