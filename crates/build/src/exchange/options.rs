//! `--cache-from` and `--cache-to`, read. Source: Docker docs, "Cache storage backends".

use crate::options::BadOption;
use image::Depot;
use std::borrow::Cow;
use std::path::PathBuf;

/// Where steps may be found that were made elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheFrom {
    /// For people: as it was typed.
    pub shown: String,
    pub depot: Depot,
}

/// Where the steps of this build are left for others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheTo {
    pub shown: String,
    pub place: CachePlace,
    pub mode: CacheMode,
    /// Whether layers are sent compressed.
    pub compressed: bool,
    /// A failure is a warning.
    pub ignore_error: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CachePlace {
    /// In the image's own configuration: its layers are the cache.
    Inline,
    Depot(Depot),
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CacheMode {
    /// The layers of the image that comes out.
    #[default]
    Min,
    /// Those of every stage.
    Max,
}

/// What the backends of buildx that need a service of their own are called.
const SERVICES: [&str; 3] = ["gha", "s3", "azblob"];
const WAYS: &str = "use type=local (a directory), type=registry (an image reference) or type=inline (the image itself)";

/// The fields that both directions have.
#[derive(Default)]
struct Fields {
    kind: Option<String>,
    reference: Option<String>,
    dir: Option<String>,
    digest: Option<String>,
    tag: Option<String>,
    mode: CacheMode,
    plain: bool,
    ignore_error: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    From,
    To,
}

impl CacheFrom {
    /// Reads `type=local,src=DIR[,tag=TAG|,digest=DIGEST]`, `type=registry,ref=NAME`, or a name alone.
    pub fn parse(text: &str) -> Result<Self, BadOption> {
        let bad = |cause: Cow<'static, str>| bad("cache source", text, cause);
        let fields = fields(text, Direction::From).map_err(bad)?;
        let depot = match fields.kind.as_deref() {
            Some("inline") => {
                Err("an image with a cache in it is named: type=registry,ref=NAME".into())
            }
            kind => depot(&fields, kind, "src"),
        };
        Ok(Self {
            shown: text.to_owned(),
            depot: depot.map_err(bad)?,
        })
    }
}

impl CacheTo {
    /// Reads `type=local,dest=DIR`, `type=registry,ref=NAME`, `type=inline`, or a name alone; `mode=min|max`.
    pub fn parse(text: &str) -> Result<Self, BadOption> {
        let bad = |cause: Cow<'static, str>| bad("cache destination", text, cause);
        let fields = fields(text, Direction::To).map_err(bad)?;
        let place = match fields.kind.as_deref() {
            Some("inline") if fields.mode == CacheMode::Max => {
                Err("mode=max needs a place of its own: an image has its own layers alone".into())
            }
            Some("inline") => Ok(CachePlace::Inline),
            kind => depot(&fields, kind, "dest").map(CachePlace::Depot),
        };
        Ok(Self {
            shown: text.to_owned(),
            place: place.map_err(bad)?,
            mode: fields.mode,
            compressed: !fields.plain,
            ignore_error: fields.ignore_error,
        })
    }
}

impl CacheTo {
    /// Where it is left beside the image.
    pub(crate) fn depot(&self) -> Option<&Depot> {
        match &self.place {
            CachePlace::Inline => None,
            CachePlace::Depot(depot) => Some(depot),
        }
    }
}

fn bad(what: &'static str, text: &str, cause: Cow<'static, str>) -> BadOption {
    BadOption {
        what,
        input: text.to_owned(),
        cause,
    }
}

fn fields(text: &str, direction: Direction) -> Result<Fields, Cow<'static, str>> {
    let all = model::csv::fields(text)?;
    if let [name] = all.as_slice()
        && !name.contains('=')
    {
        return Ok(Fields {
            kind: Some("registry".to_owned()),
            reference: Some(name.clone()),
            ..Fields::default()
        });
    }
    let mut fields = Fields::default();
    for field in &all {
        let (key, value) = field
            .split_once('=')
            .ok_or_else(|| format!("{field:?} is no KEY=VALUE: {WAYS}"))?;
        set(&mut fields, direction, key, value)?;
    }
    Ok(fields)
}

fn set(
    fields: &mut Fields,
    direction: Direction,
    key: &str,
    value: &str,
) -> Result<(), Cow<'static, str>> {
    let text = || Some(value.to_owned()).filter(|text| !text.is_empty());
    match (key, direction) {
        ("type", _) => fields.kind = text(),
        ("ref", _) => fields.reference = text(),
        ("src", Direction::From) | ("dest", Direction::To) => fields.dir = text(),
        ("digest", Direction::From) => fields.digest = text(),
        ("tag", _) => fields.tag = text(),
        ("mode", Direction::To) => {
            fields.mode = match value {
                "min" => CacheMode::Min,
                "max" => CacheMode::Max,
                _ => return Err(format!("mode is min or max, not {value:?}").into()),
            }
        }
        ("compression", Direction::To) => {
            fields.plain = match value {
                "gzip" => false,
                "uncompressed" => true,
                _ => {
                    return Err(
                        format!("compression is gzip or uncompressed, not {value:?}").into(),
                    );
                }
            }
        }
        ("ignore-error", Direction::To) => {
            fields.ignore_error = value
                .parse()
                .map_err(|_| format!("ignore-error is true or false, not {value:?}"))?;
        }
        // Of the forms these choose between, ours is one.
        (
            "oci-mediatypes" | "image-manifest" | "force-compression" | "compression-level",
            Direction::To,
        ) => {}
        _ => return Err(format!("{key:?} is no key of it: {WAYS}").into()),
    }
    Ok(())
}

fn depot(fields: &Fields, kind: Option<&str>, dir: &str) -> Result<Depot, Cow<'static, str>> {
    match kind {
        Some("registry") => {
            let name = fields.reference.as_deref();
            let name = name.ok_or("type=registry needs a name: ref=NAME")?;
            let reference: oci::Reference = name
                .parse()
                .map_err(|error| format!("{name:?} is no image reference: {error}"))?;
            Ok(Depot::Registry(reference.or_latest()))
        }
        Some("local") => {
            let path = fields.dir.as_deref();
            let path = path.ok_or_else(|| format!("type=local needs a directory: {dir}=PATH"))?;
            let name = fields.digest.clone().or_else(|| fields.tag.clone());
            Ok(Depot::Layout {
                dir: PathBuf::from(path),
                name: name.unwrap_or_else(|| "latest".to_owned()),
            })
        }
        Some(service) if SERVICES.contains(&service) => {
            Err(format!("type {service} is not supported: {WAYS}").into())
        }
        Some(other) => Err(format!("unknown type {other:?}: {WAYS}").into()),
        None => Err(format!("type is missing: {WAYS}").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_and_destinations_in_short_form() {
        let from = |text: &str| CacheFrom::parse(text).map(|cache| cache.depot);
        let layout = |dir: &str, name: &str| Depot::Layout {
            dir: dir.into(),
            name: name.into(),
        };
        let registry = |name: &str| Depot::Registry(name.parse().unwrap());
        assert_eq!(from("type=local,src=c").unwrap(), layout("c", "latest"));
        assert_eq!(from("type=local,src=c,tag=t").unwrap(), layout("c", "t"));
        assert_eq!(from("user/app").unwrap(), registry("user/app:latest"));
        assert_eq!(
            from("type=registry,ref=r.io/c:1").unwrap(),
            registry("r.io/c:1")
        );
        let to =
            CacheTo::parse("type=local,dest=c,mode=max,compression=uncompressed,ignore-error=true")
                .unwrap();
        assert_eq!(to.place, CachePlace::Depot(layout("c", "latest")));
        assert_eq!(
            (to.mode, to.compressed, to.ignore_error),
            (CacheMode::Max, false, true)
        );
        assert_eq!(
            CacheTo::parse("type=inline").unwrap().place,
            CachePlace::Inline
        );
        let to = CacheTo::parse("type=registry,ref=r.io/c,oci-mediatypes=true").unwrap();
        assert_eq!((to.mode, to.compressed), (CacheMode::Min, true));
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        for (text, said) in [
            ("type=gha", "type gha is not supported"),
            ("type=s3", "type s3"),
            ("type=azblob", "type azblob"),
            ("type=local", "=PATH"),
            ("type=registry", "ref=NAME"),
            ("type=registry,ref=UPPER", "no image reference"),
            ("type=local,what=x", "\"what\""),
            ("mode=max", "type is missing"),
            ("type=inline,mode=max", "mode=max"),
            ("type=local,dest=x,mode=mid", "min or max"),
            ("type=local,dest=x,compression=lz4", "lz4"),
        ] {
            let error = CacheTo::parse(text).unwrap_err().to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
        assert!(CacheFrom::parse("type=inline").is_err());
        assert!(CacheFrom::parse("type=local,dest=x").is_err());
    }
}
