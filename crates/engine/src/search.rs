//! `search`: images at a registry, by words and by what they are.

use crate::error::{Error, Result};
use image::{RegistryOptions, SearchResult};
use model::filter::Filters;

pub const FILTERS: &[&str] = &["is-official", "is-automated", "stars"];

pub fn search(
    options: &RegistryOptions,
    term: &str,
    limit: usize,
    filters: &Filters,
) -> Result<Vec<SearchResult>> {
    let wanted = Wanted::read(filters)?;
    // None given, as a client of the API says it.
    let limit = if limit == 0 { 25 } else { limit };
    if !(1..=100).contains(&limit) {
        return Err(Error::invalid(
            format!("invalid limit {limit}"),
            "a search gives from 1 to 100 results",
        ));
    }
    let mut found = image::search(options, term, limit)?;
    found.retain(|result| wanted.fits(result));
    Ok(found)
}

struct Wanted {
    official: Option<bool>,
    automated: Option<bool>,
    stars: u64,
}

impl Wanted {
    fn read(filters: &Filters) -> Result<Self> {
        let stars = filters.get("stars").first();
        let number = |text: &String| {
            let bad = |_| Error::invalid(format!("invalid filter 'stars={text}'"), "use a number");
            text.parse().map_err(bad)
        };
        Ok(Self {
            official: filters.flag("is-official")?,
            automated: filters.flag("is-automated")?,
            stars: stars.map(number).transpose()?.unwrap_or(0),
        })
    }

    fn fits(&self, result: &SearchResult) -> bool {
        self.official
            .is_none_or(|wanted| wanted == result.is_official)
            && self
                .automated
                .is_none_or(|wanted| wanted == result.is_automated)
            && result.star_count >= self.stars
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_found_is_what_the_filters_say() {
        let of = |list: &[&str]| Wanted::read(&Filters::parse(list, FILTERS).unwrap()).unwrap();
        let result = SearchResult {
            star_count: 5,
            is_official: true,
            ..Default::default()
        };
        assert!(of(&[]).fits(&result));
        assert!(of(&["is-official=true", "stars=5"]).fits(&result));
        assert!(!of(&["is-automated=true"]).fits(&result));
        assert!(!of(&["stars=6"]).fits(&result));
        let bad = Filters::parse(&["stars=many"], FILTERS).unwrap();
        assert!(Wanted::read(&bad).is_err());
        let (options, none) = (RegistryOptions::default(), Filters::default());
        let error = search(&options, "x", 101, &none).unwrap_err();
        assert!(error.to_string().contains("101"), "{error}");
    }
}
