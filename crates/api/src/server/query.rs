//! The query of a request, read as Docker reads it.

use super::error::ApiError;
use engine::Timestamp;
use model::filter::Filters;
use percent_encoding::percent_decode_str;

#[derive(Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    pub(crate) fn parse(text: &str) -> Self {
        let decode = |part: &str| {
            let spaced = part.replace('+', " ");
            percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
        };
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        let each = pairs.map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(key), decode(value))
        });
        Self(each.collect())
    }

    /// The first value that is not empty.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        let mut found = self.0.iter().filter(|(k, v)| k == key && !v.is_empty());
        found.next().map(|(_, value)| value.as_str())
    }

    pub(crate) fn all(&self, key: &str) -> Vec<String> {
        let found = self.0.iter().filter(|(k, v)| k == key && !v.is_empty());
        found.map(|(_, value)| value.clone()).collect()
    }

    pub(crate) fn contains(&self, key: &str) -> bool {
        self.0.iter().any(|(k, _)| k == key)
    }

    /// Docker's rule: everything but these words is true.
    pub(crate) fn flag(&self, key: &str) -> bool {
        let value = self.get(key).map(|v| v.trim().to_ascii_lowercase());
        !matches!(
            value.as_deref(),
            None | Some("" | "0" | "no" | "false" | "none")
        )
    }

    pub(crate) fn flag_or(&self, key: &str, default: bool) -> bool {
        match self.contains(key) {
            true => self.flag(key),
            false => default,
        }
    }

    pub(crate) fn number<T: std::str::FromStr>(&self, key: &str) -> Result<Option<T>, ApiError> {
        let bad = |text: &str| ApiError::bad(format!("invalid value {text:?} for {key}"));
        let parsed = self
            .get(key)
            .map(|text| text.parse().map_err(|_| bad(text)));
        parsed.transpose()
    }

    pub(crate) fn need(&self, key: &str) -> Result<&str, ApiError> {
        let missing = || ApiError::bad(format!("missing parameter: {key}"));
        self.get(key).ok_or_else(missing)
    }

    pub(crate) fn filters(&self, known: &[&str]) -> Result<Filters, ApiError> {
        let text = self.get("filters").unwrap_or_default();
        Filters::parse_json(text, known).map_err(|e| ApiError::bad(e.to_string()))
    }

    /// Unix seconds with a fraction, a date, or so long ago. `0` is not said.
    pub(crate) fn time(&self, key: &str) -> Result<Option<Timestamp>, ApiError> {
        match self.get(key) {
            None | Some("0") => Ok(None),
            Some(text) => Ok(Some(engine::prune::moment(text)?)),
        }
    }

    /// Rows and columns (`h`, `w`).
    pub(crate) fn size(&self) -> Result<(u16, u16), ApiError> {
        let side = |key| self.number::<u16>(key);
        let missing = || ApiError::bad("invalid size: h and w are numbers");
        Ok((
            side("h")?.ok_or_else(missing)?,
            side("w")?.ok_or_else(missing)?,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_decoded_and_words_are_true_or_false() {
        let query = Query::parse("all=1&name=a%26b+c&no=False&none&two=x&two=y&bad=%zz");
        assert!(query.flag("all") && !query.flag("no") && !query.flag("none"));
        assert_eq!(query.get("name"), Some("a&b c"));
        assert_eq!(query.all("two"), ["x", "y"]);
        assert_eq!(query.get("bad"), Some("%zz"));
        assert!(query.number::<u16>("name").is_err());
        assert!(query.flag_or("missing", true) && !query.flag_or("no", true));
    }

    #[test]
    fn hostile_filters_are_errors() {
        let known = &["label"];
        let deep = format!("filters={}", "%5B".repeat(100_000));
        for text in [
            deep.as_str(),
            "filters=[]",
            "filters={\"label\":7}",
            "filters={\"label\":[1]}",
            "filters={\"other\":[\"x\"]}",
            "filters=%00",
        ] {
            assert!(Query::parse(text).filters(known).is_err());
        }
        let old = Query::parse("filters=%7B%22label%22%3A%7B%22a%22%3Atrue%7D%7D");
        assert_eq!(old.filters(known).unwrap().get("label"), ["a"]);
    }
}
