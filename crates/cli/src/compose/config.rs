//! `config`: the project as it is understood.

mod explain;

use super::verb::{Run, Verb, usage, verb};
use super::{Call, failed};
use crate::failure::{Failure, Outcome};
use crate::output;
use clap::Args;
use compose_file::{Options, Project};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::PathBuf;

pub(crate) const VERBS: &[Verb] = &[verb::<Config>(
    &["config", "convert"],
    "[OPTIONS] [SERVICE...]",
    "Parse, resolve and render compose file in canonical format",
)
.examples("config\nconfig --services\nconfig -q && echo valid")];

#[derive(Debug, Args)]
struct Config {
    /// Print environment used for interpolation
    #[arg(long)]
    environment: bool,
    /// Format the output. Values: [yaml | json]
    #[arg(long, value_name = "string")]
    format: Option<String>,
    /// Print the service config hash, one per line ("*" is all)
    #[arg(long, value_name = "string")]
    hash: Option<String>,
    /// Print the image names, one per line
    #[arg(long)]
    images: bool,
    /// Produces an override file with image digests
    #[arg(long)]
    lock_image_digests: bool,
    /// Show where a variable or a key (services.web.image) has its value from
    #[arg(long, value_name = "name")]
    explain: Option<String>,
    /// Print the model names, one per line
    #[arg(long)]
    models: bool,
    /// Print the network names, one per line
    #[arg(long)]
    networks: bool,
    /// Don't check model consistency
    #[arg(long)]
    no_consistency: bool,
    /// Don't resolve service env files
    #[arg(long)]
    no_env_resolution: bool,
    /// Don't interpolate environment variables
    #[arg(long)]
    no_interpolate: bool,
    /// Don't normalize compose model
    #[arg(long)]
    no_normalize: bool,
    /// Don't resolve file paths
    #[arg(long)]
    no_path_resolution: bool,
    /// Save to file (default to stdout)
    #[arg(short, long, value_name = "string")]
    output: Option<PathBuf>,
    /// Print the profile names, one per line
    #[arg(long)]
    profiles: bool,
    /// Only validate the configuration, don't print anything
    #[arg(short, long)]
    quiet: bool,
    /// Pin image tags to digests
    #[arg(long)]
    resolve_image_digests: bool,
    /// Print the service names, one per line
    #[arg(long)]
    services: bool,
    /// Print model variables and default values
    #[arg(long)]
    variables: bool,
    /// Print the volume names, one per line
    #[arg(long)]
    volumes: bool,
    service: Vec<String>,
}

impl Run for Config {
    fn run(self, call: &Call<'_>) -> Outcome {
        let hashed = self.hash.iter().flat_map(|names| names.split(','));
        let mut services = self.service.clone();
        services.extend(hashed.filter(|name| *name != "*").map(str::to_owned));
        let options = Options {
            interpolate: !self.no_interpolate,
            normalize: !self.no_normalize,
            check_consistency: !self.no_consistency,
            resolve_paths: !self.no_path_resolution,
            resolve_environment: !self.no_env_resolution,
            ..call.options(&services)?
        };
        if self.variables {
            self.tell_unfiltered(call, "--variables");
            return self.tell_variables(call, &options);
        }
        if self.no_interpolate && !self.lists() {
            self.tell_unfiltered(call, "--no-interpolate");
            let (tree, warnings) = call
                .with_files(&options, |files| compose_file::load_tree(&options, files))
                .map_err(|error| call.refused(error.diagnostics))?;
            call.tell(&warnings);
            return self.print(&tree);
        }
        let mut project = call.load_with(&options)?;
        if let Some(name) = &self.explain {
            return explain::explain(name, &project, &options);
        }
        if !self.service.is_empty() {
            select(&mut project, &self.service)?;
        }
        if self.quiet {
            return Ok(0);
        }
        if self.resolve_image_digests || self.lock_image_digests {
            resolve_digests(call, &mut project)?;
        }
        if self.lock_image_digests {
            return self.print(&images_only(&project));
        }
        if self.lists() {
            return self.list(&project);
        }
        if !call.globals.all_resources {
            project.drop_unused();
        }
        let tree = compose_file::to_value(&project);
        match self.format() {
            "yaml" => self.write(&compose_file::to_yaml(&project).map_err(failed)?),
            "json" => self.write(&(compose_file::config_json(&project).map_err(failed)? + "\n")),
            _ => self.print(&tree),
        }
    }
}

impl Config {
    fn tell_unfiltered(&self, call: &Call<'_>, flag: &str) {
        if !self.service.is_empty() {
            call.warn(&format!(
                "service filtering is not applied when {flag} is set"
            ));
        }
    }

    fn format(&self) -> &str {
        self.format.as_deref().unwrap_or("yaml")
    }

    /// A table, unless a format was asked for; its keys are those of Compose's own type.
    fn tell_variables(&self, call: &Call<'_>, options: &Options) -> Outcome {
        let found = call
            .with_files(options, |files| compose_file::variables(options, files))
            .map_err(|error| call.refused(error.diagnostics))?;
        let keys = match self.format.as_deref() {
            None => return variables_table(found),
            Some("json") => ["Name", "DefaultValue", "PresenceValue", "Required"],
            Some(_) => ["name", "defaultvalue", "presencevalue", "required"],
        };
        let entry = |variable: compose_file::template::Variable| {
            let values = [
                Value::from(variable.name.as_str()),
                variable.default.unwrap_or_default().into(),
                variable.alternate.unwrap_or_default().into(),
                variable.required.into(),
            ];
            let fields = keys.map(str::to_owned).into_iter().zip(values).collect();
            (variable.name, Value::Object(fields))
        };
        self.print(&Value::Object(found.into_iter().map(entry).collect()))
    }

    fn lists(&self) -> bool {
        self.services
            || self.images
            || self.models
            || self.networks
            || self.profiles
            || self.volumes
            || self.environment
            || self.hash.is_some()
    }

    fn list(&self, project: &Project) -> Outcome {
        if let Some(wanted) = &self.hash {
            let names: Vec<&str> = wanted.split(',').collect();
            let mut services: Vec<_> = project.services.iter().collect();
            services.sort_by(|a, b| a.name.cmp(&b.name));
            for service in services {
                if wanted == "*" || names.contains(&service.name.as_str()) {
                    let hash = compose_file::config_hash(service);
                    output::line(format_args!("{} {hash}", service.name))?;
                }
            }
            return Ok(0);
        }
        let all = || project.services.iter().chain(&project.disabled_services);
        let lines: Vec<String> = match () {
            () if self.services => sorted(project.services.iter().map(|s| s.name.clone())),
            () if self.images => {
                sorted(project.services.iter().map(|s| s.image_name(&project.name)))
            }
            () if self.volumes => project.volumes.keys().cloned().collect(),
            () if self.networks => project.networks.keys().cloned().collect(),
            () if self.models => sorted(project.models.values().map(|m| m.model.clone())),
            () if self.profiles => sorted(all().flat_map(|s| s.profiles.iter().cloned())),
            () => project
                .environment
                .iter()
                .map(|(key, value)| format!("{key}={value}"))
                .collect(),
        };
        for line in lines {
            output::line(line)?;
        }
        Ok(0)
    }

    /// A tree that is not a typed project.
    fn print(&self, tree: &Value) -> Outcome {
        match self.format() {
            "yaml" => self.write(&compose_file::yaml(tree).map_err(failed)?),
            "json" => self.write(&(compose_file::json(tree).map_err(failed)? + "\n")),
            other => Err(usage(format!(
                "unsupported format {other:?}: use yaml or json"
            ))),
        }
    }

    fn write(&self, text: &str) -> Outcome {
        match (&self.output, self.quiet) {
            (_, true) => {}
            (Some(path), _) => {
                use std::io::Write;
                let written = std::fs::File::create(path)
                    .and_then(|mut file| file.write_all(text.as_bytes()));
                written.map_err(Failure::system(format!("write {}", path.display())))?;
            }
            (None, _) => output::text(text)?,
        }
        Ok(0)
    }
}

/// An override file that pins every image, and nothing else.
pub(super) fn images_only(project: &Project) -> Value {
    let mut services = serde_json::Map::new();
    for service in &project.services {
        let image = service.image.iter();
        let entry = image.map(|image| ("image".to_owned(), image.as_str().into()));
        services.insert(service.name.clone(), Value::Object(entry.collect()));
    }
    serde_json::json!({ "services": services })
}

fn sorted(names: impl Iterator<Item = String>) -> Vec<String> {
    names.collect::<BTreeSet<String>>().into_iter().collect()
}

/// Only the services named and what they need.
fn select(project: &mut Project, names: &[String]) -> Result<(), Failure> {
    if let Some(unknown) = names.iter().find(|name| project.service(name).is_none()) {
        return Err(super::project::no_such_service(Some(project), unknown));
    }
    let options = compose::plan::up::Options {
        services: names.to_vec(),
        ..Default::default()
    };
    let kept: BTreeSet<String> = compose::plan::up::selected(project, &options)
        .iter()
        .map(|s| s.name.clone())
        .collect();
    project
        .services
        .retain(|service| kept.contains(&service.name));
    Ok(())
}

fn variables_table(found: Vec<compose_file::template::Variable>) -> Outcome {
    let mut rows = vec![
        ["NAME", "REQUIRED", "DEFAULT VALUE", "ALTERNATE VALUE"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for variable in found {
        rows.push(vec![
            variable.name,
            variable.required.to_string(),
            variable.default.unwrap_or_default(),
            variable.alternate.unwrap_or_default(),
        ]);
    }
    output::text(&output::table::layout(rows, &[], None))?;
    Ok(0)
}

/// `redis:7` becomes `redis:7@sha256:…`, from the images that are here.
pub(super) fn resolve_digests(call: &Call<'_>, project: &mut Project) -> Result<(), Failure> {
    let store = call.ctx()?.images()?;
    for service in &mut project.services {
        let Some(name) = service.image.clone().filter(|name| !name.contains('@')) else {
            continue;
        };
        let image = store.find(&name).map_err(engine::Error::from)?;
        service.image = Some(format!("{name}@{}", image.target.digest));
    }
    Ok(())
}
