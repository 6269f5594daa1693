//! `build --output`: where a result goes besides the store. Source: Docker CLI reference, `buildx build --output`.

use crate::failure::Failure;
use build::Built;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// One `--output`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Output {
    /// The store, under more names perhaps; and from there to a registry.
    Image {
        names: Vec<String>,
        push: bool,
    },
    /// An archive that `load` reads: an OCI layout with Docker's manifest beside it.
    Bundle(Place),
    /// The root file system.
    Tar(Place),
    Directory(PathBuf),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Stdout,
    File(PathBuf),
}

impl Place {
    fn of(dest: &str) -> Self {
        match dest {
            "-" => Self::Stdout,
            path => Self::File(path.into()),
        }
    }
}

impl Output {
    /// Reads `DIR`, `-`, or `type=…[,dest=…][,name=…][,push=true]`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if !text.contains('=') {
            return Ok(match Place::of(text) {
                Place::Stdout => Self::Tar(Place::Stdout),
                Place::File(path) => Self::Directory(path),
            });
        }
        let (mut kind, mut dest, mut names, mut push) = (String::new(), None, Vec::new(), false);
        for field in model::csv::fields(text)? {
            match field.split_once('=').unwrap_or((&field, "")) {
                ("type", value) => kind = value.to_owned(),
                ("dest" | "destination", value) => dest = Some(value.to_owned()),
                ("name", value) => names.extend(value.split(',').map(str::to_owned)),
                ("push", value) => push = value != "false",
                // Of the forms these choose between, ours is one.
                ("oci-mediatypes" | "load" | "unpack" | "store", _) => {}
                (key, _) => {
                    return Err(format!(
                        "{key:?} is not known: the keys are type, dest, name and push"
                    ));
                }
            }
        }
        let needed = |dest: Option<String>| {
            dest.ok_or_else(|| format!("type={kind} needs a place: dest=PATH"))
        };
        Ok(match (kind.as_str(), dest) {
            ("image", _) | ("docker", None) => Self::Image { names, push },
            ("registry", _) => Self::Image { names, push: true },
            ("docker", Some(dest)) => Self::Bundle(Place::of(&dest)),
            ("oci", dest) => Self::Bundle(Place::of(&needed(dest)?)),
            ("tar", dest) => Self::Tar(Place::of(&needed(dest)?)),
            ("local", dest) => Self::Directory(needed(dest)?.into()),
            (other, _) => {
                return Err(format!(
                    "type {other:?} is not supported: use docker, image, registry, oci, local or tar"
                ));
            }
        })
    }

    /// Writes what was built; what goes to a registry is the caller's business.
    pub(super) fn write(&self, ctx: &engine::Context, built: &Built) -> Result<(), Failure> {
        match self {
            Self::Image { .. } => Ok(()),
            Self::Directory(path) => {
                build::output::write_directory(ctx, &built.image, path).map_err(failed)
            }
            Self::Tar(place) => place
                .write(|out| build::output::write_archive(ctx, &built.image, out).map_err(failed)),
            Self::Bundle(place) => place.write(|out| {
                let id = built.image.id.to_string();
                let named: Vec<String> = built.names.iter().map(ToString::to_string).collect();
                let mut wanted: Vec<&str> = named.iter().map(String::as_str).collect();
                if wanted.is_empty() {
                    wanted.push(&id);
                }
                let saved = ctx.images()?.save(&wanted, out);
                Ok(saved.map_err(engine::Error::from)?)
            }),
        }
    }
}

fn failed(error: build::Error) -> Failure {
    Failure::of(&error)
}

impl Place {
    /// A file that was not written whole does not stay.
    fn write(
        &self,
        write: impl FnOnce(&mut dyn Write) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let Self::File(path) = self else {
            return write(&mut std::io::stdout().lock());
        };
        let written = create(path).and_then(|mut file| write(&mut file));
        if written.is_err() {
            let _ = std::fs::remove_file(path);
        }
        written
    }
}

fn create(path: &Path) -> Result<File, Failure> {
    File::create(path).map_err(Failure::system(format!("write {}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_in_short_form() {
        let file = |path: &str| Place::File(path.into());
        let names = |push, names: &[&str]| Output::Image {
            names: names.iter().map(ToString::to_string).collect(),
            push,
        };
        for (text, output) in [
            ("out", Output::Directory("out".into())),
            ("-", Output::Tar(Place::Stdout)),
            ("type=local,dest=out", Output::Directory("out".into())),
            ("type=tar,dest=o.tar", Output::Tar(file("o.tar"))),
            ("type=oci,dest=-", Output::Bundle(Place::Stdout)),
            ("type=docker", names(false, &[])),
            ("type=docker,dest=d.tar", Output::Bundle(file("d.tar"))),
            (
                "type=image,\"name=a,b\",push=true",
                names(true, &["a", "b"]),
            ),
            ("type=registry", names(true, &[])),
        ] {
            assert_eq!(Output::parse(text).as_ref(), Ok(&output), "{text}");
        }
        assert!(Output::parse("type=oci").unwrap_err().contains("dest=PATH"));
        assert!(
            Output::parse("type=cacheonly")
                .unwrap_err()
                .contains("cacheonly")
        );
        assert!(
            Output::parse("type=local,what=x")
                .unwrap_err()
                .contains("what")
        );
    }
}
