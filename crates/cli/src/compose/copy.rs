//! `cp`: files between a service's containers and the host, or the containers of another service.
//!
//! From a service it is its first container (or that of `--index`), to a service all of its containers, as Docker has it.

use super::Call;
use super::delegated::{Words, delegate};
use super::verb::{Run, Verb, usage, verb};
use crate::failure::{Failure, Outcome};
use clap::Args;

pub(crate) const VERBS: &[Verb] = &[verb::<Copy>(
    &["cp"],
    "[OPTIONS] SERVICE:SRC_PATH DEST_PATH|- | SRC_PATH|- SERVICE:DEST_PATH | SERVICE:SRC_PATH SERVICE:DEST_PATH",
    "Copy files/folders between a service container and the local filesystem, or another service",
)
.examples("cp web:/etc/nginx/nginx.conf .\ncp ./site/. web:/usr/share/nginx/html\ncp db:/backup worker:/var/lib/backup")];

#[derive(Debug, Args)]
struct Copy {
    /// Include containers created by the run command
    #[arg(long)]
    all: bool,
    /// Archive mode (copy all uid/gid information)
    #[arg(short, long)]
    archive: bool,
    /// Always follow symbol link in SRC_PATH
    #[arg(short = 'L', long)]
    follow_link: bool,
    /// Index of the container if service has multiple replicas
    #[arg(long, value_name = "int")]
    index: Option<u32>,
    #[arg(required = true)]
    source: String,
    #[arg(required = true)]
    destination: String,
}

/// `web:/path`, unless it is a path of the host.
fn in_service(text: &str) -> Option<(&str, &str)> {
    let (service, path) = text.split_once(':')?;
    (!service.is_empty() && !service.contains('/') && !text.starts_with('.'))
        .then_some((service, path))
}

impl Run for Copy {
    fn run(self, call: &Call<'_>) -> Outcome {
        let (from, to) = (in_service(&self.source), in_service(&self.destination));
        if from.is_none() && to.is_none() {
            return Err(usage(
                "unknown copy direction: one side must be SERVICE:PATH",
            ));
        }
        let source = match from {
            // An index between two services is the receiver's: there it makes a difference.
            Some((service, path)) => {
                let index = self.index.filter(|_| to.is_none());
                format!("{}:{path}", call.one(service, index)?.id)
            }
            None => self.source.clone(),
        };
        let Some((service, path)) = to else {
            return self.once(call, &source, &self.destination);
        };
        let targets = self.receivers(call, service)?;
        if source == "-" && targets.len() > 1 {
            return Err(Failure::said(format!(
                "service {service:?} has {} containers, and standard input can be read once",
                targets.len()
            ))
            .hint("choose one with --index"));
        }
        for id in targets {
            self.once(call, &source, &format!("{id}:{path}"))?;
        }
        Ok(0)
    }
}

impl Copy {
    /// The ids of the containers a copy into the service goes to.
    fn receivers(&self, call: &Call<'_>, service: &str) -> Result<Vec<String>, Failure> {
        let names = [service.to_owned()];
        let target = call.target(&names)?;
        let mut containers = call.containers(&target, &names, self.all)?;
        containers.retain(|c| {
            self.index
                .is_none_or(|index| c.number == index && !c.oneoff)
        });
        match (containers.is_empty(), self.index) {
            (false, _) => Ok(containers.into_iter().map(|c| c.id).collect()),
            (true, Some(index)) => Err(super::project::not_running(service, Some(index))),
            (true, None) => Err(Failure::said(format!(
                "no container found for service {service:?}"
            ))
            .hint("start it with `up -d`")),
        }
    }

    fn once(&self, call: &Call<'_>, source: &str, target: &str) -> Outcome {
        let mut words = Words::default();
        words.switch(self.archive, "-a");
        words.switch(self.follow_link, "-L");
        words.push(source);
        words.push(target);
        delegate(call, "cp", words.0)
    }
}

#[cfg(test)]
mod tests {
    use super::in_service;

    #[test]
    fn a_service_is_told_from_a_path() {
        assert_eq!(in_service("web:/etc"), Some(("web", "/etc")));
        for host in ["./a:b", "/a:b", "a/b:c", "plain", "-", ":x"] {
            assert_eq!(in_service(host), None, "{host}");
        }
    }
}
