//! Which services are built and in which order: one after those whose images it builds upon.
//!
//! A service builds upon another one when an additional context is `service:x`, or when its Dockerfile says FROM (or COPY --from)
//! with the name of an image that the other one builds. Such a base is built along when its image is not there.

use build::dockerfile::{self, Instruction};
use compose_file::project::Build;
use compose_file::{Project, Service};
use engine::Context;
use std::collections::BTreeSet;
use std::path::Path;

/// The services given, and what they build upon and is not there, bases first.
pub(super) fn with_bases<'a>(
    ctx: &Context,
    project: &'a Project,
    services: &[&'a Service],
) -> Vec<&'a Service> {
    let is_here = |service: &Service| {
        let name = service.image_name(&project.name);
        ctx.images().is_ok_and(|store| store.find(&name).is_ok())
    };
    let mut all: Vec<&Service> = services.to_vec();
    let mut next = 0;
    while let Some(service) = all.get(next).copied() {
        for base in bases(project, service) {
            let known = all.iter().any(|known| known.name == base.name);
            if !known && !is_here(base) {
                all.push(base);
            }
        }
        next += 1;
    }
    sorted(project, all)
}

fn sorted<'a>(project: &'a Project, mut left: Vec<&'a Service>) -> Vec<&'a Service> {
    let mut ordered: Vec<&Service> = Vec::new();
    while !left.is_empty() {
        let names: BTreeSet<&str> = left.iter().map(|s| s.name.as_str()).collect();
        let before = left.len();
        left.retain(|service| {
            let waits = bases(project, service)
                .iter()
                .any(|base| names.contains(base.name.as_str()));
            if !waits {
                ordered.push(service);
            }
            waits
        });
        if left.len() == before {
            // They go round in a circle: the builder says what is missing.
            ordered.append(&mut left);
        }
    }
    ordered
}

/// The services whose images a service is built upon.
fn bases<'a>(project: &'a Project, service: &Service) -> Vec<&'a Service> {
    let Some(wanted) = &service.build else {
        return Vec::new();
    };
    let contexts = wanted.additional_contexts.values();
    let named: BTreeSet<&str> = contexts
        .filter_map(|value| value.strip_prefix("service:"))
        .collect();
    let images = images_of(wanted);
    let is_base = |other: &&Service| {
        other.name != service.name
            && other.build.is_some()
            && (named.contains(other.name.as_str())
                || images.contains(&full(&other.image_name(&project.name))))
    };
    project.services.iter().filter(is_base).collect()
}

/// The images that a Dockerfile takes files from, where they are named without variables.
fn images_of(wanted: &Build) -> BTreeSet<String> {
    let text = match &wanted.dockerfile_inline {
        Some(text) => text.clone(),
        None => {
            let name = wanted.dockerfile.as_deref().unwrap_or("Dockerfile");
            // One that cannot be read is the builder's to tell.
            std::fs::read_to_string(Path::new(&wanted.context).join(name)).unwrap_or_default()
        }
    };
    let Ok(file) = dockerfile::parse(&text) else {
        return BTreeSet::new();
    };
    let mut images = BTreeSet::new();
    for stage in &file.stages {
        images.insert(full(&stage.from.what.image));
        for placed in &stage.instructions {
            if let Instruction::Copy(copy) = &placed.what {
                images.extend(copy.from.iter().map(|from| full(from)));
            }
        }
    }
    images
}

/// With its registry and tag, however it is written.
fn full(name: &str) -> String {
    name.parse::<oci::Reference>()
        .map_or_else(|_| name.to_owned(), |r| r.or_latest().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(name: &str, dockerfile: &str) -> Service {
        Service {
            name: name.into(),
            build: Some(Build {
                context: "/nowhere".into(),
                dockerfile_inline: Some(dockerfile.into()),
                ..Build::default()
            }),
            ..Service::default()
        }
    }

    #[test]
    fn a_base_is_built_first_however_it_is_named() {
        let mut by_context = service("a", "FROM base");
        if let Some(build) = &mut by_context.build {
            let context = ("base".to_owned(), "service:d".to_owned());
            build.additional_contexts.extend([context]);
        }
        let project = Project {
            name: "p".into(),
            services: vec![
                by_context,
                service("b", "FROM p-c\nRUN x"),
                service("c", "FROM busybox\nCOPY --from=p-d:latest / /"),
                service("d", "FROM scratch"),
            ],
            ..Project::default()
        };
        let all: Vec<&Service> = project.services.iter().collect();
        let names: Vec<&str> = sorted(&project, all)
            .iter()
            .map(|s| s.name.as_str())
            .collect();
        assert_eq!(names, ["d", "a", "c", "b"]);
    }

    #[test]
    fn a_circle_is_left_to_the_builder() {
        let project = Project {
            name: "p".into(),
            services: vec![service("a", "FROM p-b"), service("b", "FROM p-a")],
            ..Project::default()
        };
        assert_eq!(sorted(&project, project.services.iter().collect()).len(), 2);
    }
}
