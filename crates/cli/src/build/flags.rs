//! The flags of `build`, and how they become a build's options.
//!
//! Source: Docker CLI reference (`docker build`, `docker buildx build`).

use crate::args::resources::BasicLimits;
use crate::args::{key_value, parse_all, parse_some};
use crate::failure::Failure;
use build::{
    CacheFrom, CacheTo, ContextSource, DockerfileSource, NamedContext, Options, Secret, Ssh,
};
use clap::Args;
use image::archive::Content;
use std::collections::BTreeMap;
use std::io::Read;

#[derive(Debug, Default, Args)]
pub(super) struct BuildFlags {
    /// Add a custom host-to-IP mapping (format: "host:ip")
    #[arg(long, value_name = "strings")]
    add_host: Vec<String>,
    /// Allow extra privileged entitlement (e.g., "network.host", "security.insecure")
    #[arg(long, value_name = "stringArray")]
    allow: Vec<String>,
    /// Set build-time variables
    #[arg(long, value_name = "stringArray")]
    build_arg: Vec<String>,
    /// Additional build contexts (e.g., name=path)
    #[arg(long, value_name = "stringArray")]
    build_context: Vec<String>,
    /// External cache sources (e.g., "user/app:cache", "type=local,src=path/to/dir")
    #[arg(long, value_name = "stringArray")]
    cache_from: Vec<String>,
    /// Cache export destinations (e.g., "user/app:cache", "type=local,dest=path/to/dir,mode=max")
    #[arg(long, value_name = "stringArray")]
    cache_to: Vec<String>,
    /// Name of the Dockerfile (default: "PATH/Dockerfile")
    #[arg(short, long, value_name = "string")]
    file: Option<String>,
    /// Set metadata for an image
    #[arg(long, value_name = "stringArray")]
    label: Vec<String>,
    /// Set the networking mode for the "RUN" instructions during build
    #[arg(long, value_name = "string", default_value = "default")]
    network: String,
    /// Do not use cache when building the image
    #[arg(long)]
    no_cache: bool,
    /// Do not cache specified stages
    #[arg(long, value_name = "stringArray", value_delimiter = ',')]
    no_cache_filter: Vec<String>,
    /// Ulimit options
    #[arg(long, value_name = "ulimit")]
    ulimit: Vec<String>,
    /// Set target platform for build
    #[arg(long, value_name = "string")]
    platform: Option<String>,
    /// Always attempt to pull all referenced images
    #[arg(long)]
    pull: bool,
    /// Secret to expose to the build (format: "id=mysecret[,src=/local/secret]")
    #[arg(long, value_name = "stringArray")]
    secret: Vec<String>,
    /// Shared memory size for build containers
    #[arg(long, value_name = "bytes")]
    shm_size: Option<String>,
    /// SSH agent socket or keys to expose to the build (format: "default|<id>[=<socket>|<key>[,<key>]]")
    #[arg(long, value_name = "stringArray")]
    ssh: Vec<String>,
    /// Name and optionally a tag (format: "name:tag")
    #[arg(short, long, value_name = "stringArray")]
    tag: Vec<String>,
    /// Set the target build stage to build
    #[arg(long, value_name = "string")]
    target: Option<String>,
    #[command(flatten)]
    limits: BasicLimits,
    #[command(flatten)]
    accepted: AcceptedFlags,
    #[command(flatten)]
    refused: RefusedFlags,
}

/// Flags that ask for what happens anyway.
#[derive(Debug, Default, Args)]
struct AcceptedFlags {
    #[arg(long, hide = true)]
    compress: bool,
    #[arg(long, hide = true)]
    disable_content_trust: bool,
    #[arg(long, hide = true)]
    force_rm: bool,
    #[arg(long, hide = true)]
    load: bool,
    #[arg(long, hide = true)]
    rm: bool,
    #[arg(long, value_name = "string", hide = true)]
    builder: Option<String>,
    #[arg(long, value_name = "string", hide = true)]
    isolation: Option<String>,
    #[arg(long, value_name = "string", hide = true)]
    provenance: Option<String>,
    #[arg(long, value_name = "string", hide = true)]
    sbom: Option<String>,
}

/// Flags that mean something this builder does not do.
#[derive(Debug, Default, Args)]
struct RefusedFlags {
    #[arg(long, value_name = "v", hide = true)]
    annotation: Vec<String>,
    #[arg(long, value_name = "v", hide = true)]
    attest: Vec<String>,
    #[arg(long, value_name = "v", hide = true)]
    cgroup_parent: Option<String>,
    #[arg(long, value_name = "v", hide = true)]
    security_opt: Vec<String>,
    #[arg(long, hide = true)]
    squash: bool,
}

impl RefusedFlags {
    /// The first one that was given.
    fn given(&self) -> Option<&'static str> {
        let some = |value: &Option<String>| value.is_some();
        let any = |values: &Vec<String>| !values.is_empty();
        [
            (any(&self.annotation), "annotation"),
            (any(&self.attest), "attest"),
            (some(&self.cgroup_parent), "cgroup-parent"),
            (any(&self.security_opt), "security-opt"),
            (self.squash, "squash"),
        ]
        .into_iter()
        .find_map(|(given, name)| given.then_some(name))
    }
}

impl AcceptedFlags {
    fn check(&self) -> Result<(), Failure> {
        for (flag, value) in [("provenance", &self.provenance), ("sbom", &self.sbom)] {
            if value
                .as_deref()
                .is_some_and(|value| !matches!(value, "false" | "0"))
            {
                return Err(Failure::said(format!(
                    "--{flag} is not supported: no attestations are made"
                )));
            }
        }
        Ok(())
    }
}

impl BuildFlags {
    /// The build these flags and a context ask for.
    pub(super) fn options(&self, context: &str) -> Result<Options, Failure> {
        if let Some(flag) = self.refused.given() {
            return Err(
                Failure::said(format!("--{flag} is not supported by this builder")).code(125),
            );
        }
        self.accepted.check()?;
        let (source, dockerfile) = self.source(context)?;
        let mut options = Options::new(source);
        options.dockerfile = dockerfile;
        options.tags = self.tag.clone();
        options.build_args = build_args(&self.build_arg);
        options.target = self.target.clone();
        options.no_cache = self.no_cache;
        options.no_cache_filter = self.no_cache_filter.clone();
        options.ulimits = parse_all("ulimit", &self.ulimit, str::parse)?;
        self.limits.apply(&mut options.resources)?;
        options.pull = self.pull;
        options.labels = key_value::map(&self.label);
        options.platform = self.platform.clone();
        options.network = build::options::parse_network(&self.network).ok_or_else(|| {
            Failure::said(format!(
                "network mode {:?} not supported by the builder",
                self.network
            ))
            .hint("use default, none or host")
        })?;
        options.allow_insecure = self.allows_insecure()?;
        options.extra_hosts = parse_all("add-host", &self.add_host, str::parse)?;
        let env = |name: &str| std::env::var(name).ok();
        options.secrets = parse_all("secret", &self.secret, |text| Secret::parse(text, &env))?;
        options.ssh = ssh(&self.ssh)?;
        options.cache_from = parse_all("cache-from", &self.cache_from, CacheFrom::parse)?;
        options.cache_to = parse_all("cache-to", &self.cache_to, CacheTo::parse)?;
        options.build_contexts =
            parse_all("build-context", &self.build_context, NamedContext::parse)?
                .into_iter()
                .collect();
        options.shm_size = parse_some("shm-size", self.shm_size.as_ref(), model::size::parse)?;
        options.source_date_epoch = std::env::var("SOURCE_DATE_EPOCH")
            .ok()
            .and_then(|text| text.parse().ok());
        Ok(options)
    }

    /// What RUN may ask for; the host's network it has for the asking.
    fn allows_insecure(&self) -> Result<bool, Failure> {
        let known = |text: &&String| matches!(text.as_str(), "network.host" | "security.insecure");
        if let Some(other) = self.allow.iter().find(|text| !known(text)) {
            return Err(Failure::said(format!("unknown entitlement {other:?}"))
                .hint("use network.host or security.insecure"));
        }
        Ok(self.allow.iter().any(|text| text == "security.insecure"))
    }

    /// Where the files and the Dockerfile come from. On standard input comes an archive, or the Dockerfile alone.
    fn source(&self, context: &str) -> Result<(ContextSource, DockerfileSource), Failure> {
        let dockerfile = match self.file.as_deref() {
            None | Some("") => DockerfileSource::InContext,
            Some("-") if context == "-" => {
                return Err(Failure::said(
                    "invalid argument: can't use stdin for both build context and dockerfile",
                ));
            }
            Some("-") => DockerfileSource::Text(text_of_stdin()?),
            Some(path) => DockerfileSource::Path(path.into()),
        };
        if context != "-" {
            let source = ContextSource::parse(context, || Box::new(std::io::empty()));
            return Ok((
                source.map_err(|error| Failure::said(error.to_string()))?,
                dockerfile,
            ));
        }
        let head = head_of_stdin()?;
        let kind = image::archive::detect(head.as_slice())
            .map_err(Failure::system("look at the context on standard input"))?;
        match (kind, dockerfile) {
            (Content::Other, DockerfileSource::InContext) => {
                let mut text = head;
                std::io::stdin()
                    .read_to_end(&mut text)
                    .map_err(Failure::system("read the Dockerfile from standard input"))?;
                let text = String::from_utf8(text).map_err(|_| {
                    Failure::said("standard input is neither an archive nor a Dockerfile")
                })?;
                Ok((ContextSource::Empty, DockerfileSource::Text(text)))
            }
            (Content::Unsupported(kind), _) => Err(Failure::said(format!(
                "archives compressed with {kind} are not supported as a build context"
            ))
            .hint("compress it with gzip or zstd, or not at all")),
            (_, dockerfile) => {
                let stream = std::io::Cursor::new(head).chain(std::io::stdin());
                Ok((ContextSource::Tar(Box::new(stream)), dockerfile))
            }
        }
    }
}

/// Agents and keys, each id once; the caller's own agent is where SSH_AUTH_SOCK says.
pub(crate) fn ssh(given: &[String]) -> Result<Vec<Ssh>, Failure> {
    let env = |name: &str| std::env::var(name).ok();
    let all = parse_all("ssh", given, |text| Ssh::parse(text, &env))?;
    Ssh::check_unique(&all).map_err(|error| Failure::said(error.to_string()))?;
    Ok(all)
}

/// The first bytes of standard input: enough to tell a compressed archive by the header in it.
fn head_of_stdin() -> Result<Vec<u8>, Failure> {
    let mut head = Vec::new();
    std::io::stdin()
        .take(256 * 1024)
        .read_to_end(&mut head)
        .map_err(Failure::system("read the context from standard input"))?;
    Ok(head)
}

fn text_of_stdin() -> Result<String, Failure> {
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .map_err(Failure::system("read the Dockerfile from standard input"))?;
    Ok(text)
}

/// `KEY=value`; a bare `KEY` takes the caller's value, and is left out where there is none.
fn build_args(given: &[String]) -> BTreeMap<String, String> {
    given
        .iter()
        .filter_map(|entry| match entry.split_once('=') {
            Some((key, value)) => Some((key.to_owned(), value.to_owned())),
            None => Some((entry.clone(), std::env::var(entry).ok()?)),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use build::dockerfile::RunNetwork;
    use clap::{Command, FromArgMatches};

    fn options(words: &[&str]) -> Result<Options, String> {
        let command = BuildFlags::augment_args(
            Command::new("")
                .no_binary_name(true)
                .args_override_self(true),
        );
        let matches = command
            .try_get_matches_from(words)
            .map_err(|error| error.to_string())?;
        BuildFlags::from_arg_matches(&matches)
            .unwrap()
            .options(".")
            .map_err(|failure| failure.chain())
    }

    #[test]
    fn flags_become_options() {
        let built = options(&[
            "-t",
            "a:1",
            "-t",
            "b",
            "--build-arg",
            "X=1",
            "--build-arg",
            "DOCKLESS_UNSET",
            "--target",
            "t",
            "--no-cache",
            "--network=none",
            "--label",
            "k=v",
            "-f",
            "D",
        ])
        .unwrap();
        assert_eq!(built.tags, ["a:1", "b"]);
        assert_eq!(built.build_args, BTreeMap::from([("X".into(), "1".into())]));
        assert_eq!(built.network, RunNetwork::None);
        assert_eq!(built.dockerfile, DockerfileSource::Path("D".into()));
        assert!(built.no_cache);
    }

    #[test]
    fn what_is_not_done_is_said() {
        for words in [
            &["--squash"][..],
            &["--memory", "much"],
            &["--allow", "device"],
            &["--sbom", "true"],
            &["--cache-to", "type=gha"],
            &["--ssh", "default=/no/such/socket"],
            &["--network", "mynet"],
            &["--secret", "src=x"],
        ] {
            assert!(!options(words).unwrap_err().is_empty(), "{words:?}");
        }
        assert!(
            options(&[
                "--load",
                "--provenance=false",
                "--rm",
                "--allow=network.host"
            ])
            .is_ok()
        );
    }
}
