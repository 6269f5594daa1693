//! `version`.

use super::DOCKER_VERSION;
use crate::VERSION;
use crate::failure::{Failure, Outcome};
use crate::output;
use crate::session::Session;
use crate::verb::{Run, Verb, verb};
use api::wire::API_VERSION;
use api::wire::system::{Client, Component, Platform, Server, Version as Shape};
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

/// `x86_64` → `amd64`, as Go names machines.
fn architecture() -> String {
    oci::Platform::host().architecture
}

fn shape() -> Shape {
    let kernel = rustix::system::uname()
        .release()
        .to_string_lossy()
        .into_owned();
    let commit = format!("dockless-{VERSION}");
    let platform = Platform { name: "dockless" };
    Shape {
        client: Client {
            platform: platform.clone(),
            version: DOCKER_VERSION.into(),
            api_version: API_VERSION,
            default_api_version: API_VERSION,
            git_commit: commit.clone(),
            os: "linux",
            arch: architecture(),
            context: "default",
        },
        server: Server {
            platform,
            components: vec![Component {
                name: "dockless",
                version: VERSION.into(),
                details: [].into(),
            }],
            version: DOCKER_VERSION.into(),
            api_version: API_VERSION,
            min_api_version: "1.24",
            git_commit: commit,
            os: "linux",
            arch: architecture(),
            kernel_version: kernel,
            experimental: false,
        },
    }
}

impl Run for Version {
    fn run(self, _: &Session) -> Outcome {
        let shape = shape();
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

    #[test]
    fn what_tools_ask_for_is_there() {
        let value = serde_json::to_value(shape()).unwrap();
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
