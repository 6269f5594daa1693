//! `import`.

use crate::failure::{Failure, Outcome};
use crate::output;
use crate::session::Session;
use crate::verb::{Run, Verb, verb};
use clap::Args;
use image::web::{self, Ask};
use std::fs::File;
use std::io::{IsTerminal, Read};

pub(crate) const VERB: Verb = verb::<Import>(
    &["import", "image import"],
    "[OPTIONS] file|URL|- [REPOSITORY[:TAG]]",
    "Import the contents from a tarball to create a filesystem image",
)
.between(1, 2)
.examples("import rootfs.tar.gz base:1\nimport https://example.com/rootfs.tar.gz base:1\nexport web | docker import -c 'CMD [\"sh\"]' - flat");

#[derive(Debug, Args)]
struct Import {
    /// Apply Dockerfile instruction to the created image
    #[arg(short, long, value_name = "list")]
    change: Vec<String>,
    /// Set commit message for imported image
    #[arg(short, long, value_name = "string")]
    message: Option<String>,
    /// Set platform if server is multi-platform capable
    #[arg(long, value_name = "string")]
    platform: Option<String>,
    #[arg(required = true)]
    source: String,
    reference: Option<String>,
}

impl Run for Import {
    fn run(self, session: &Session) -> Outcome {
        let ctx = session.engine()?;
        let names: Vec<oci::Reference> = self
            .reference
            .as_deref()
            .map(super::reference)
            .transpose()?
            .into_iter()
            .collect();
        let store = ctx.images()?;
        let platform = match &self.platform {
            Some(text) => text
                .parse()
                .map_err(|error| Failure::said(format!("--platform {text:?}: {error}")))?,
            None => store.platform(),
        };
        let config = build::change(self.configuration(platform), &self.change)
            .map_err(|error| Failure::said(error.to_string()))?;
        let image = store
            .import(self.open(ctx)?, &config, &names)
            .map_err(engine::Error::from)?;
        let id = image.id.to_string();
        let name = names.first().map(oci::Reference::familiar);
        engine::images::emit(ctx, "import", &id, &name.unwrap_or_default());
        output::line(&id)?;
        Ok(0)
    }
}

impl Import {
    fn configuration(&self, platform: oci::Platform) -> oci::ImageConfig {
        let said = self.message.clone();
        let comment = said.unwrap_or_else(|| format!("Imported from {}", web::shown(&self.source)));
        engine::images::imported(platform, &comment)
    }

    fn open(&self, ctx: &engine::Context) -> Result<Box<dyn Read>, Failure> {
        if self.source == "-" {
            let stdin = std::io::stdin();
            if stdin.is_terminal() {
                return Err(Failure::said("cannot import from a terminal")
                    .hint("redirect an archive to the standard input, or name a file"));
            }
            return Ok(Box::new(stdin));
        }
        if ["http://", "https://"]
            .iter()
            .any(|scheme| self.source.starts_with(scheme))
        {
            return self.download(ctx);
        }
        let file =
            File::open(&self.source).map_err(Failure::system(format!("open {}", self.source)))?;
        Ok(Box::new(file))
    }

    fn download(&self, ctx: &engine::Context) -> Result<Box<dyn Read>, Failure> {
        let ask = Ask {
            url: &self.source,
            body: None,
            headers: &[],
            authorization: None,
        };
        let shown = web::shown(&self.source);
        let answer = web::ask(&ctx.registries(), ask).map_err(|error| {
            Failure::said(format!(
                "cannot fetch {shown}: {}",
                crate::failure::chain(&error)
            ))
        })?;
        if answer.status != 200 {
            return Err(Failure::said(format!(
                "cannot fetch {shown}: the server answers with status {}",
                answer.status
            )));
        }
        // Standard output is the image's id alone.
        output::note(format_args!("Downloading from {shown}"));
        Ok(Box::new(answer.body))
    }
}
