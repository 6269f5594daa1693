//! How Compose names what it makes. Source: docker/compose `pkg/compose/convergence.go`, SURFACE of v1 for `--compatibility`.

use compose_file::Service;

/// What stands between project, service and number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Separator {
    #[default]
    Hyphen,
    /// `--compatibility`, as version 1 named.
    Underscore,
}

impl Separator {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hyphen => "-",
            Self::Underscore => "_",
        }
    }
}

/// The name of a service's container of that number.
pub fn container(project: &str, service: &Service, number: u32, separator: Separator) -> String {
    match &service.container_name {
        Some(name) => name.clone(),
        None => numbered(project, &service.name, number, separator),
    }
}

/// `<project>-<service>-<number>`.
pub fn numbered(project: &str, service: &str, number: u32, separator: Separator) -> String {
    let by = separator.as_str();
    format!("{project}{by}{service}{by}{number}")
}

/// The name of a `run` container.
pub fn oneoff(project: &str, service: &str, slug: &str, separator: Separator) -> String {
    let by = separator.as_str();
    format!("{project}{by}{service}{by}run{by}{slug}")
}

/// The name a container has until the one it replaces is gone.
pub(crate) fn temporary(old_id: &str, name: &str) -> String {
    format!("{}_{name}", old_id.get(..12).unwrap_or(old_id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_dockers() {
        let mut web = Service {
            name: "web".into(),
            ..Default::default()
        };
        assert_eq!(container("shop", &web, 2, Separator::Hyphen), "shop-web-2");
        assert_eq!(
            container("shop", &web, 2, Separator::Underscore),
            "shop_web_2"
        );
        assert_eq!(
            oneoff("shop", "web", "1a2b", Separator::Hyphen),
            "shop-web-run-1a2b"
        );
        web.container_name = Some("mine".into());
        assert_eq!(container("shop", &web, 1, Separator::Hyphen), "mine");
        assert_eq!(
            temporary("0123456789abcdef", "shop-web-1"),
            "0123456789ab_shop-web-1"
        );
    }
}
