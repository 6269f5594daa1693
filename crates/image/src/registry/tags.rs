//! The tags of a repository, page by page. Source: OCI distribution-spec 1.1 "Listing Tags".

use super::Error;
use super::api::pull_scope;
use super::connection::{Payload, Registry};
use super::http::{self, header};
use serde::Deserialize;

/// A registry that has more pages is not believed to have an end.
const PAGES: usize = 1000;

#[derive(Deserialize)]
struct Page {
    /// `null` where there are none.
    #[serde(default)]
    tags: Option<Vec<String>>,
}

impl Registry {
    /// All tags of a repository, as the registry orders them.
    pub(crate) fn tags(&self, repository: &str) -> Result<Vec<String>, Error> {
        let mut path = format!("/v2/{repository}/tags/list");
        let mut tags: Vec<String> = Vec::new();
        for _ in 0..PAGES {
            let scope = pull_scope(repository);
            let response = self.insist("GET", &path, &[], &Payload::Nothing, &scope)?;
            let response = self.expect(response, &[200], repository, "", &path)?;
            let next = header(response.headers(), "link").and_then(next_page);
            let next = next.map(|link| Ok::<_, Error>(http::join(&self.url(&path)?, link)));
            let next = next.transpose()?;
            let bytes = http::text(response, &path)?;
            let page: Page = serde_json::from_slice(&bytes).map_err(|source| Error::Answer {
                url: path.clone(),
                source,
            })?;
            tags.extend(page.tags.unwrap_or_default());
            match next {
                // The registry's own pages alone: a list is asked for with our account.
                Some(next) if http::origin(&next) == self.base()? => path = next,
                _ => return Ok(tags),
            }
        }
        Err(Error::Incomplete {
            url: path,
            what: "an end of the list of tags",
        })
    }
}

/// `<ADDRESS>; rel="next"`
fn next_page(link: &str) -> Option<&str> {
    let (address, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
    let is_next = |p: &str| matches!(p.trim(), "rel=\"next\"" | "rel=next");
    parameters.split(';').any(is_next).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_read() {
        let link = "</v2/a/tags/list?last=b&n=2>; rel=\"next\"";
        assert_eq!(next_page(link), Some("/v2/a/tags/list?last=b&n=2"));
        for none in ["", "<>", "</a>; rel=\"prev\"", "/a; rel=\"next\"", "<a"] {
            assert_eq!(next_page(none), None, "{none}");
        }
    }
}
