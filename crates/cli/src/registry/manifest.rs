//! `manifest`: images of several platforms under one name, put together at the registry.

use crate::failure::{Failure, Outcome};
use crate::image::reference;
use crate::output;
use crate::session::Session;
use crate::verb::{Run, Verb, verb};
use clap::Args;
use image::Store;
use image::manifest_list::{Annotation, RemoteManifest};
use oci::Reference;
use serde_json::{Value, json};

pub(crate) const VERBS: [Verb; 5] = [
    verb::<Create>(
        &["manifest create"],
        "MANIFEST_LIST MANIFEST [MANIFEST...]",
        "Create a local manifest list for annotating and pushing to a registry",
    )
    .at_least(2)
    .examples("manifest create registry.example.com/app:1 registry.example.com/app:1-amd64 registry.example.com/app:1-arm64"),
    verb::<Annotate>(
        &["manifest annotate"],
        "[OPTIONS] MANIFEST_LIST MANIFEST",
        "Add additional information to a local image manifest",
    )
    .exactly(2)
    .examples("manifest annotate --arch arm64 registry.example.com/app:1 registry.example.com/app:1-arm64"),
    verb::<Inspect>(
        &["manifest inspect"],
        "[OPTIONS] [MANIFEST_LIST] MANIFEST",
        "Display an image manifest, or manifest list",
    )
    .between(1, 2)
    .examples("manifest inspect redis:7"),
    verb::<Push>(
        &["manifest push"],
        "[OPTIONS] MANIFEST_LIST",
        "Push a manifest list to a repository",
    )
    .exactly(1)
    .examples("manifest push --purge registry.example.com/app:1"),
    verb::<Remove>(
        &["manifest rm"],
        "MANIFEST_LIST [MANIFEST_LIST...]",
        "Delete one or more manifest lists from local storage",
    )
    .at_least(1)
    .examples("manifest rm registry.example.com/app:1"),
];

#[derive(Debug, Args)]
struct Create {
    /// Amend an existing manifest list
    #[arg(short, long)]
    amend: bool,
    /// Allow communication with an insecure registry
    #[arg(long)]
    insecure: bool,
    #[arg(required = true)]
    names: Vec<String>,
}

impl Run for Create {
    fn run(self, session: &Session) -> Outcome {
        let names = references(&self.names)?;
        let [list, images @ ..] = &names[..] else {
            return Err(Failure::usage(
                "manifest create needs a list and its images",
            ));
        };
        let store = store(session, self.insecure, list)?;
        let made = store
            .create_manifest_list(list, images, self.amend)
            .map_err(engine::Error::from)?;
        output::line(format_args!("Created manifest list {}", made.name))?;
        Ok(0)
    }
}

#[derive(Debug, Args)]
struct Annotate {
    /// Set architecture
    #[arg(long, value_name = "string")]
    arch: Option<String>,
    /// Set operating system
    #[arg(long, value_name = "string")]
    os: Option<String>,
    /// Set operating system feature
    #[arg(long, value_name = "strings", value_delimiter = ',')]
    os_features: Vec<String>,
    /// Set operating system version
    #[arg(long, value_name = "string")]
    os_version: Option<String>,
    /// Set architecture variant
    #[arg(long, value_name = "string")]
    variant: Option<String>,
    #[arg(required = true)]
    list: String,
    #[arg(required = true)]
    image: String,
}

impl Run for Annotate {
    fn run(self, session: &Session) -> Outcome {
        let (list, image) = (reference(&self.list)?, reference(&self.image)?);
        let annotation = Annotation {
            os: self.os,
            architecture: self.arch,
            variant: self.variant,
            os_version: self.os_version,
            os_features: self.os_features,
        };
        let store = session.engine()?.images()?;
        store
            .annotate_manifest_list(&list, &image, &annotation)
            .map_err(engine::Error::from)?;
        Ok(0)
    }
}

#[derive(Debug, Args)]
struct Inspect {
    /// Allow communication with an insecure registry
    #[arg(long)]
    insecure: bool,
    /// Output additional info including layers and platform
    #[arg(short, long)]
    verbose: bool,
    #[arg(required = true)]
    names: Vec<String>,
}

impl Run for Inspect {
    fn run(self, session: &Session) -> Outcome {
        let names = references(&self.names)?;
        let store = store(session, self.insecure, &names[0])?;
        let image = match &names[..] {
            [list, image] => {
                let list = store.manifest_list(list).map_err(engine::Error::from)?;
                let image = image.clone().or_latest();
                let member = list.members.iter().find(|m| m.name == image);
                let member = member.ok_or_else(|| {
                    Failure::said(format!(
                        "No such manifest: {} in {}",
                        image.familiar(),
                        list.name.familiar()
                    ))
                })?;
                member.name.with_digest(member.descriptor.digest.clone())
            }
            [name] => {
                // One that is being put together here comes before the registry's.
                if let Ok(list) = store.manifest_list(name) {
                    return print(&json(&list.index())?);
                }
                name.clone()
            }
            _ => return Err(Failure::usage("manifest inspect needs an image")),
        };
        let found = store.remote_manifest(&image).map_err(engine::Error::from)?;
        let document: Value =
            serde_json::from_slice(&found.bytes).map_err(|e| Failure::said(e.to_string()))?;
        match self.verbose {
            true => print(&verbose(&found, document)?),
            false => print(&document),
        }
    }
}

fn verbose(found: &RemoteManifest, document: Value) -> Result<Value, Failure> {
    let key = match &found.document {
        oci::Document::Index(_) => "OCIIndex",
        oci::Document::Manifest(_)
            if found.descriptor.media_type == oci::media_type::DOCKER_MANIFEST =>
        {
            "SchemaV2Manifest"
        }
        oci::Document::Manifest(_) => "OCIManifest",
    };
    Ok(json!({
        "Ref": found.reference.to_string(),
        "Descriptor": json(&found.descriptor)?,
        key: document,
    }))
}

fn json(value: &impl serde::Serialize) -> Result<Value, Failure> {
    serde_json::to_value(value).map_err(|e| Failure::said(e.to_string()))
}

fn print(value: &Value) -> Outcome {
    output::line(format_args!("{value:#}"))?;
    Ok(0)
}

#[derive(Debug, Args)]
struct Push {
    /// Allow push to an insecure registry
    #[arg(long)]
    insecure: bool,
    /// Remove the local manifest list after push
    #[arg(short, long)]
    purge: bool,
    #[arg(required = true)]
    list: String,
}

impl Run for Push {
    fn run(self, session: &Session) -> Outcome {
        let list = reference(&self.list)?;
        let store = store(session, self.insecure, &list)?;
        let digest = store
            .push_manifest_list(&list)
            .map_err(engine::Error::from)?;
        if self.purge {
            store
                .remove_manifest_list(&list)
                .map_err(engine::Error::from)?;
        }
        output::line(digest)?;
        Ok(0)
    }
}

#[derive(Debug, Args)]
struct Remove {
    #[arg(required = true)]
    lists: Vec<String>,
}

impl Run for Remove {
    fn run(self, session: &Session) -> Outcome {
        let store = session.engine()?.images()?;
        session.each(&self.lists, |name| {
            store
                .remove_manifest_list(&reference(name)?)
                .map_err(engine::Error::from)?;
            Ok(())
        })
    }
}

fn references(names: &[String]) -> Result<Vec<Reference>, Failure> {
    names.iter().map(|name| reference(name)).collect()
}

/// The store, to which with `--insecure` the registry of `name` may show any certificate or none, for this one call.
fn store(session: &Session, insecure: bool, name: &Reference) -> Result<Store, Failure> {
    let store = session.engine()?.images()?;
    Ok(match insecure {
        true => store.trusting(name.domain()),
        false => store,
    })
}
