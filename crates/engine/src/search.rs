//! `search`: images at a registry, by words and by what they are.

use crate::error::Result;
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
        Ok(Self {
            official: filters.flag("is-official")?,
            automated: filters.flag("is-automated")?,
            stars: stars.and_then(|text| text.parse().ok()).unwrap_or(0),
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
    }
}
