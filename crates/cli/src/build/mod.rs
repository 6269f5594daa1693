//! `build`, and `builder prune`.

mod flags;
mod outputs;
mod progress;
mod prune;

use crate::args::parse_all;
use crate::failure::{Failure, Outcome};
use crate::output;
use crate::session::{Program, Session};
use crate::verb::{Run, Verb, verb};
use clap::Args;
use flags::BuildFlags;
pub(crate) use flags::ssh;
use outputs::Output;
pub(crate) use progress::{Style, Teller};
use std::io::Write;
use std::path::PathBuf;

/// Every verb that builds.
pub(crate) const VERBS: &[Verb] = &[
    verb::<Build>(
        &["build", "image build", "builder build", "buildx build"],
        "[OPTIONS] PATH | -",
        "Build an image from a Dockerfile",
    )
    .exactly(1)
    .examples("build -t app .\nbuild -f docker/Dockerfile --target test --build-arg VERSION=2 .\nbuild --secret id=token,src=token.txt -t app .\nbuild --ssh default -t app ."),
    prune::VERB,
];

#[derive(Debug, Args)]
struct Build {
    #[command(flatten)]
    flags: BuildFlags,
    /// Check the Dockerfile and build nothing
    #[arg(long)]
    check: bool,
    /// Set method for evaluating build ("build", "check")
    #[arg(long, value_name = "string")]
    call: Option<String>,
    /// Write the image ID to a file
    #[arg(long, value_name = "string")]
    iidfile: Option<PathBuf>,
    /// Write build result metadata to a file
    #[arg(long, value_name = "string")]
    metadata_file: Option<PathBuf>,
    /// Output destination (format: "type=local,dest=path")
    #[arg(short, long, value_name = "stringArray")]
    output: Vec<String>,
    /// Set type of progress output ("auto", "plain", "tty", "quiet")
    #[arg(long, value_name = "string", default_value = "auto")]
    progress: String,
    /// Shorthand for pushing the result
    #[arg(long)]
    push: bool,
    /// Suppress the build output and print image ID on success
    #[arg(short, long)]
    quiet: bool,
    #[arg(required = true)]
    path: String,
}

impl Run for Build {
    fn run(self, session: &Session) -> Outcome {
        let style = if self.quiet {
            Style::Quiet
        } else {
            Style::parse(&self.progress)?
        };
        let mut options = self.flags.options(&self.path)?;
        let ctx = session.engine()?;
        if self.is_check()? {
            return check(ctx, options);
        }
        let outputs = parse_all("output", &self.output, Output::parse)?;
        let mut push = self.push;
        for output in &outputs {
            if let Output::Image { names, push: too } = output {
                options.tags.extend(names.iter().cloned());
                push |= too;
            }
        }
        let teller = Teller::new(style);
        let built = match build::build(ctx, options, &teller) {
            Ok(built) => built,
            Err(error) => {
                teller.failed(&error);
                // BuildKit's opening word, where scripts look for it.
                let opening = if session.program == Program::Docker {
                    "ERROR: "
                } else {
                    ""
                };
                return Err(Failure::of(&error).opened(opening));
            }
        };
        let names: Vec<String> = built.names.iter().map(ToString::to_string).collect();
        teller.done(&built.image.id.to_string(), &names);
        self.write_files(&built)?;
        for output in &outputs {
            output.write(ctx, &built)?;
        }
        for name in &built.names {
            engine::images::emit(ctx, "tag", &built.image.id.to_string(), &name.familiar());
        }
        if self.quiet {
            output::line(&built.image.id)?;
        }
        if push {
            let progress = output::progress::PullProgress::on_stderr(self.quiet);
            for name in &built.names {
                ctx.images()?
                    .push(name, &progress)
                    .map_err(engine::Error::from)?;
            }
            progress.finish();
        }
        Ok(0)
    }
}

/// `--check`: 1 where there is something to be looked at, as in buildx.
fn check(ctx: &engine::Context, options: build::Options) -> Outcome {
    let found = build::check(ctx, options).map_err(|error| Failure::of(&error))?;
    for excerpt in &found {
        output::line(format_args!("WARNING: {excerpt}"))?;
    }
    match found.len() {
        0 => output::line("Check complete, no warnings found.")?,
        1 => output::line("Check complete, 1 warning has been found!")?,
        many => output::line(format_args!(
            "Check complete, {many} warnings have been found!"
        ))?,
    }
    Ok(u8::from(!found.is_empty()))
}

impl Build {
    fn is_check(&self) -> Result<bool, Failure> {
        match self.call.as_deref() {
            None | Some("build") => Ok(self.check),
            Some("check" | "lint") => Ok(true),
            Some(other) => Err(Failure::said(format!("--call {other} is not supported"))
                .hint("use build or check")),
        }
    }

    fn write_files(&self, built: &build::Built) -> Result<(), Failure> {
        let write = |path: &PathBuf, text: String| {
            std::fs::File::create(path)
                .and_then(|mut file| file.write_all(text.as_bytes()))
                .map_err(Failure::system(format!("write {}", path.display())))
        };
        if let Some(path) = &self.iidfile {
            write(path, built.image.id.to_string())?;
        }
        if let Some(path) = &self.metadata_file {
            let names: Vec<String> = built.names.iter().map(ToString::to_string).collect();
            let metadata = serde_json::json!({
                "containerimage.config.digest": built.image.id.to_string(),
                "containerimage.digest": built.image.manifest_digest.to_string(),
                "image.name": names.join(","),
            });
            write(path, format!("{metadata:#}\n"))?;
        }
        Ok(())
    }
}
