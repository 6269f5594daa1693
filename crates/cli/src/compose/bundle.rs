//! `bundle save|load`: a project with its images as one file, for a host with no line.

use super::globals::Globals;
use super::images::platform_of;
use super::verb::{Run, Verb, usage, verb};
use super::{Call, failed};
use crate::failure::{Failure, Outcome};
use crate::output::{self, progress::PullProgress, sink};
use clap::Args;
use compose::bundle::{Bundle, KIND, Recorded, Wanted, collect, place};
use compose_file::Project;
use image::tarball::Packing;
use image::{Along, PullPolicy};
use std::ffi::OsString;
use std::fs::File;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

pub(crate) const VERBS: &[Verb] = &[verb::<Either>(
    &["bundle"],
    "save|load [OPTIONS]",
    "Carry a project with all its images as one file",
)
.flags_first()
.examples(
    "bundle save -o shop.bundle\nbundle save --compression zstd | ssh host docker compose bundle load --up\nbundle load -i shop.bundle --directory /srv/shop --up",
)];

const SAVE: Verb = verb::<Save>(
    &["bundle save"],
    "[OPTIONS]",
    "Write the project's files and images into one file (to STDOUT by default)",
)
.examples(
    "bundle save -o shop.bundle\nbundle save --platform linux/arm64 --with-secrets -o shop.bundle",
);

const LOAD: Verb = verb::<Load>(
    &["bundle load"],
    "[OPTIONS]",
    "Bring a bundle's images into the store and its project into a directory; no network is needed",
)
.examples("bundle load -i shop.bundle\nbundle load --up < shop.bundle");

#[derive(Debug, Args)]
struct Either {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<OsString>,
}

impl Run for Either {
    fn run(self, call: &Call<'_>) -> Outcome {
        let (word, rest) = match self.words.split_first() {
            Some((word, rest)) => (word.to_str().unwrap_or_default(), rest),
            None => ("", &[][..]),
        };
        match word {
            "save" => SAVE.execute(call, rest),
            "load" => LOAD.execute(call, rest),
            "" => Err(usage("bundle requires `save` or `load`")),
            other => Err(usage(format!(
                "unknown bundle command: {other:?}: use save or load"
            ))),
        }
    }
}

#[derive(Debug, Args)]
struct Save {
    /// Write to a file, instead of STDOUT
    #[arg(short, long, value_name = "string")]
    output: Option<PathBuf>,
    /// Compress the file: "none" (layers are compressed already), "gzip" or "zstd"
    #[arg(long, value_name = "string", default_value = "none")]
    compression: String,
    /// Take the images for this platform, as in linux/arm64 (this host's by default)
    #[arg(long, value_name = "string")]
    platform: Option<String>,
    /// Carry secrets too: whoever can read the file has them
    #[arg(long)]
    with_secrets: bool,
    /// Carry what bind mounts below the project directory show
    #[arg(long)]
    with_bind_mounts: bool,
    /// Suppress progress and notes
    #[arg(short, long)]
    quiet: bool,
}

impl Run for Save {
    fn run(self, call: &Call<'_>) -> Outcome {
        let packing = match self.compression.as_str() {
            "none" => Packing::Plain,
            "gzip" => Packing::Gzip,
            "zstd" => Packing::Zstd,
            other => {
                return Err(usage(format!(
                    "invalid --compression value {other:?}: use none, gzip or zstd"
                )));
            }
        };
        let store = call.ctx()?.images()?;
        let platform = match &self.platform {
            Some(text) => platform_of(text)?,
            None => store.platform(),
        };
        let (project, bundle) = self.collect(call)?;
        if !self.quiet {
            bundle.notes.iter().for_each(|note| call.warn(note));
        }
        let names = self.fetch(&store, &project, &bundle, &platform)?;
        if call.globals.dry_run {
            output::note(format_args!(
                "would save project {} with {} files and {} images",
                project.name,
                bundle.files.len(),
                names.len()
            ));
            return Ok(0);
        }
        let created = engine::Timestamp::now().to_string();
        let along = Along {
            kind: KIND,
            files: &bundle.files,
            annotations: &bundle.annotations,
            created: &created,
        };
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        sink::write(self.output.as_deref(), "save a bundle", |out| {
            packing.write(out, |out| {
                let saved = store.save_with(&names, &platform, Some(along), out);
                Ok(saved.map_err(engine::Error::from)?)
            })
        })?;
        if let Some(path) = self.output.as_deref().filter(|_| !self.quiet) {
            output::note(format_args!(
                "Saved project {} with {} files and {} images to {}",
                project.name,
                bundle.files.len(),
                names.len(),
                path.display()
            ));
        }
        Ok(0)
    }
}

impl Save {
    fn collect(&self, call: &Call<'_>) -> Result<(Project, Bundle), Failure> {
        let asked = call.options(&[])?;
        let mut options = asked.clone();
        options.profiles = vec!["*".to_owned()];
        call.with_files(&options, |files| {
            let recorded = Recorded::new(files);
            let loaded = compose_file::load(&options, &recorded)
                .map_err(|error| call.refused(error.diagnostics))?;
            call.tell(&loaded.warnings);
            let used = compose_file::variables(&options, files)
                .map_err(|error| call.refused(error.diagnostics))?;
            let used: Vec<String> = used.into_iter().map(|variable| variable.name).collect();
            let wanted = Wanted {
                secrets: self.with_secrets,
                bind_mounts: self.with_bind_mounts,
            };
            let bundle =
                collect(&loaded.project, recorded.seen(), &asked, &used, wanted).map_err(failed)?;
            Ok((loaded.project, bundle))
        })
    }

    /// All images are here before the first byte is written.
    fn fetch(
        &self,
        store: &image::Store,
        project: &Project,
        bundle: &Bundle,
        platform: &oci::Platform,
    ) -> Result<Vec<String>, Failure> {
        let progress = PullProgress::on_stderr(self.quiet);
        let mut names = Vec::new();
        for (name, own) in &bundle.images {
            let own = own.as_deref().map(platform_of).transpose()?;
            if own.as_ref().is_some_and(|own| own != platform) {
                return Err(Failure::said(format!(
                    "image {name} is for another platform ({}) than the bundle ({platform})",
                    own.map(|p| p.to_string()).unwrap_or_default()
                ))
                .hint("a bundle is of one platform: say --platform"));
            }
            let mut services = project.services.iter().chain(&project.disabled_services);
            let built = services
                .find(|s| s.build.is_some() && s.image_name(&project.name) == *name)
                .map(|s| s.name.clone());
            let policy = match built {
                Some(_) => PullPolicy::Never,
                None => PullPolicy::Missing,
            };
            let found = store.ensure(name, policy, Some(platform), &progress);
            match (found, built) {
                (Ok(_), _) => names.push(name.clone()),
                (Err(image::Error::NoSuchImage(_)), Some(service)) => {
                    return Err(Failure::said(format!(
                        "the image {name} of service {service:?} is not built yet"
                    ))
                    .hint(format!("build it first: `build {service}`")));
                }
                (Err(error), _) => return Err(engine::Error::from(error).into()),
            }
        }
        progress.finish();
        Ok(names)
    }
}

#[derive(Debug, Args)]
struct Load {
    /// Read from a file, instead of STDIN
    #[arg(short, long, value_name = "string")]
    input: Option<PathBuf>,
    /// Where the project goes (a new directory of its name by default)
    #[arg(long, value_name = "string")]
    directory: Option<PathBuf>,
    /// Start the project when it is there
    #[arg(long)]
    up: bool,
    /// Suppress progress
    #[arg(short, long)]
    quiet: bool,
}

impl Run for Load {
    fn run(self, call: &Call<'_>) -> Outcome {
        if call.globals.dry_run {
            return Err(Failure::said(
                "--dry-run: bundle load cannot be shown without doing it",
            ));
        }
        let stream = self.stream()?;
        let ctx = call.ctx()?;
        let store = ctx.images()?;
        let received = store.receive(stream).map_err(engine::Error::from)?;
        let manifest = received.artifact(KIND).map_err(engine::Error::from)?;
        let manifest = manifest.ok_or_else(|| {
            Failure::said("the file holds no Compose project").hint(
                "images alone are loaded by `load`; a bundle is made by `compose bundle save`",
            )
        })?;
        // The project is checked and written before any image has a name; it gets its place last.
        let placed = place(&received, &manifest, self.directory.as_deref()).map_err(failed)?;
        let progress = PullProgress::on_stderr(self.quiet);
        let loaded = received
            .keep(None, &progress)
            .map_err(engine::Error::from)?;
        progress.finish();
        let project = placed.project.clone();
        let directory = placed.keep().map_err(failed)?;
        for one in &loaded {
            let id = one.image.id.to_string();
            engine::images::emit(ctx, "load", &id, &id);
            for name in one.names.iter().filter(|_| !self.quiet) {
                output::line(format_args!("Loaded image: {}", name.familiar()))?;
            }
        }
        output::line(format_args!(
            "Loaded project {project} into {}",
            directory.display()
        ))?;
        match self.up {
            true => up(call, &directory),
            false => Ok(0),
        }
    }
}

impl Load {
    fn stream(&self) -> Result<Box<dyn Read + Send>, Failure> {
        match &self.input {
            Some(path) => {
                let file = File::open(path);
                let file = file.map_err(Failure::system(format!("open {}", path.display())))?;
                Ok(Box::new(file))
            }
            None if std::io::stdin().is_terminal() => {
                Err(Failure::said("there is no bundle on standard input")
                    .hint("use -i FILE or redirect"))
            }
            None => Ok(Box::new(std::io::stdin())),
        }
    }
}

/// As if it were called there. Nothing is pulled or built: all images are here.
fn up(call: &Call<'_>, directory: &Path) -> Outcome {
    let here = Failure::system(format!("change to {}", directory.display()));
    std::env::set_current_dir(directory).map_err(here)?;
    let there = Call {
        session: call.session,
        globals: Globals {
            parallel: call.globals.parallel,
            progress: call.globals.progress,
            colour: call.globals.colour,
            ..Globals::default()
        },
    };
    let words = ["--detach", "--no-build", "--pull", "never"];
    there.verb("up", words.map(OsString::from).to_vec())
}
