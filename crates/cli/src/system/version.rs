//! `version`.

use crate::VERSION;
use crate::failure::{Failure, Outcome};
use crate::output;
use crate::session::Session;
use crate::verb::{Run, Verb, verb};
use api::wire::system::Version as Shape;
use clap::Args;
use template::Template;

pub(crate) const VERB: Verb =
    verb::<Version>(&["version"], "[OPTIONS]", "Show the version information")
        .examples("version --format '{{.Server.Version}}'");

#[derive(Debug, Args)]
struct Version {
    /// Format output using a custom template: 'json' or TEMPLATE
    #[arg(short, long, value_name = "string")]
    format: Option<String>,
}

impl Run for Version {
    fn run(self, _: &Session) -> Outcome {
        let shape = api::describe::version(VERSION);
        let text = match self.format.as_deref() {
            None | Some("") => plain(&shape),
            Some("json") => serde_json::to_string(&shape).unwrap_or_default(),
            Some(text) => {
                let value = serde_json::to_value(&shape).unwrap_or_default();
                Template::parse(text)?
                    .execute(&value)
                    .map_err(|error| Failure::said(format!("template parsing error: {error}")))?
            }
        };
        output::line(text)?;
        Ok(0)
    }
}

fn plain(shape: &Shape) -> String {
    let Shape { client, server } = shape;
    format!(
        "Client: dockless {VERSION}\n Version:           {}\n API version:       {}\n Git commit:        {}\n OS/Arch:           {}/{}\n Context:           {}\n\nServer: dockless {VERSION} (no daemon: this very program)\n Engine:\n  Version:          {}\n  API version:      {} (minimum version {})\n  Git commit:       {}\n  OS/Arch:          {}/{}\n  Kernel:           {}",
        client.version,
        client.api_version,
        client.git_commit,
        client.os,
        client.arch,
        client.context,
        server.version,
        server.api_version,
        server.min_api_version,
        server.git_commit,
        server.os,
        server.arch,
        server.kernel_version,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::wire::{API_VERSION, DOCKER_VERSION};

    #[test]
    fn what_tools_ask_for_is_there() {
        let value = serde_json::to_value(api::describe::version(VERSION)).unwrap();
        for (template, wanted) in [
            ("{{.Server.Version}}", DOCKER_VERSION),
            ("{{.Client.Version}}", DOCKER_VERSION),
            ("{{.Server.APIVersion}}", API_VERSION),
            ("{{.Client.APIVersion}}", API_VERSION),
            ("{{.Server.Os}}", "linux"),
        ] {
            assert_eq!(
                Template::parse(template).unwrap().execute(&value).unwrap(),
                wanted,
                "{template}"
            );
        }
    }
}
