//! `publish` (`alpha publish`): a project's files into a registry, from where `oci://` brings them back.
//!
//! Source: docker/compose `cmd/compose/publish.go`.

use super::config::resolve_digests;
use super::images::push_built;
use super::verb::{Run, Verb, usage, verb};
use super::{Call, failed};
use crate::failure::{Failure, Outcome};
use crate::output;
use clap::Args;
use compose::publish::{Publication, collect, digests, version};
use compose::remote::PROJECT;
use compose_file::Project;
use image::artifact::{self, Form};
use oci::Reference;
use std::io::{BufRead, IsTerminal, Write};

pub(crate) const VERBS: &[Verb] = &[verb::<Publish>(
    &["publish"],
    "[OPTIONS] REPOSITORY[:TAG]",
    "Publish compose application",
)
.examples("publish registry.example.com/shop:1\n-f oci://registry.example.com/shop:1 up -d")];

#[derive(Debug, Args)]
struct Publish {
    /// Published compose application (includes referenced images)
    #[arg(long)]
    app: bool,
    /// OCI image/artifact specification version (automatically determined by default)
    #[arg(
        long,
        value_name = "string",
        default_value = "",
        hide_default_value = true
    )]
    oci_version: String,
    /// Pin image tags to digests
    #[arg(long)]
    resolve_image_digests: bool,
    /// Include environment variables in the published OCI artifact
    #[arg(long)]
    with_env: bool,
    /// Assume "yes" as answer to all prompts
    #[arg(short, long)]
    yes: bool,
    repository: String,
}

impl Run for Publish {
    fn run(self, call: &Call<'_>) -> Outcome {
        let form = match self.oci_version.as_str() {
            "" => None,
            "1.0" => Some(Form::Oci1_0),
            "1.1" => Some(Form::Oci1_1),
            other => {
                return Err(usage(format!(
                    "unsupported OCI version {other:?}: use 1.0 or 1.1"
                )));
            }
        };
        let name: Reference = self.repository.parse().map_err(failed)?;
        if name.digest().is_some() {
            return Err(
                Failure::said(format!("{name} has a digest: that is what comes out"))
                    .hint("give a name and a tag"),
            );
        }
        let name = name.or_latest();
        let mut options = call.options(&[])?;
        options.profiles = vec!["*".to_owned()];
        let mut project = call.load_with(&options)?;
        let Publication {
            mut files,
            findings,
        } = collect(&project, self.with_env).map_err(failed)?;
        self.agreed(
            "you are about to publish bind mounts declaration within your OCI artifact.\nonly the bind mount declarations will \
             be added to the OCI artifact (not content)\nplease double check that you are not mounting potential user's \
             sensitive directories or data",
            &findings.bind_mounts,
        )?;
        self.agreed(
            "you are about to publish sensitive data within your OCI artifact.\nplease double check that you are not leaking \
             sensitive data",
            &findings.sensitive,
        )?;
        if !self.with_env {
            self.agreed(
                "you are about to publish env-related declarations within your OCI artifact (--with-env says that they are meant).",
                &findings.environment,
            )?;
        }
        self.agreed(
            "you are about to publish literal inline config content within your OCI artifact.",
            &findings.contents,
        )?;
        if call.globals.dry_run {
            let images = match self.app {
                true => format!(
                    " and the images of {} services",
                    images(&mut project).count()
                ),
                false => String::new(),
            };
            let count = files.len();
            output::line(format_args!(
                "would publish {count} files{images} as {name}"
            ))?;
            return Ok(0);
        }
        push_built(call, &project)?;
        let mut pinned = Vec::new();
        if self.app {
            pinned = pin(call, &mut project)?;
        } else if self.resolve_image_digests {
            resolve_digests(call, &mut project)?;
        }
        if self.app || self.resolve_image_digests {
            let yaml = compose_file::yaml(&super::config::images_only(&project)).map_err(failed)?;
            files.push(digests(yaml));
        }
        let created = engine::Timestamp::now().to_string();
        let network = call.ctx()?.registries();
        output::note(format_args!(" {} publishing", name.familiar()));
        let pushed =
            artifact::push(&network, &name, PROJECT, &files, &created, form).map_err(failed)?;
        let digest = pushed.digest.clone();
        if self.app {
            let store = call.ctx()?.images()?;
            let count = pinned.len();
            output::note(format_args!(
                " {} {count} images publishing",
                name.familiar()
            ));
            store
                .push_application(&name, pushed, &pinned, &version())
                .map_err(failed)?;
        }
        output::note(format_args!(" {} published as {digest}", name.familiar()));
        Ok(0)
    }
}

/// The images of an application, by digests as its services name them from now on: those that the registries have.
fn pin(call: &Call<'_>, project: &mut Project) -> Result<Vec<Reference>, Failure> {
    let store = call.ctx()?.images()?;
    let mut pinned = Vec::new();
    for image in images(project) {
        let name: Reference = image.parse().map_err(failed)?;
        let found = store.remote_manifest(&name).map_err(failed)?;
        if name.digest().is_none() {
            *image = format!("{image}@{}", found.descriptor.digest);
        }
        pinned.push(found.reference.with_digest(found.descriptor.digest));
    }
    Ok(pinned)
}

fn images(project: &mut Project) -> impl Iterator<Item = &mut String> {
    let services = project.services.iter_mut();
    services.filter_map(|service| service.image.as_mut())
}

impl Publish {
    /// Asks about what was found. Where nobody can answer, nothing is published.
    fn agreed(&self, warning: &str, found: &[String]) -> Result<(), Failure> {
        if found.is_empty() || self.yes {
            return Ok(());
        }
        let mut out = std::io::stderr().lock();
        let list = found.join("\n  ");
        let _ = writeln!(out, "{warning}\n  {list}");
        if !std::io::stdin().is_terminal() {
            return Err(Failure::said(
                "nothing was published: standard input is no terminal to ask on",
            )
            .hint("look at what is listed above, and give -y if it may be published"));
        }
        let _ = write!(out, "Are you ok to publish this? [y/N] ");
        let _ = out.flush();
        let mut answer = String::new();
        std::io::stdin()
            .lock()
            .read_line(&mut answer)
            .map_err(Failure::system("read the answer"))?;
        match super::globals::is_true(answer.trim()) {
            true => Ok(()),
            false => Err(Failure::said("canceled: nothing was published")),
        }
    }
}
