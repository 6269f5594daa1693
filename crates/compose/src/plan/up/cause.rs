//! Why a container must be replaced, or changed.

use super::{ImageState, Planner, Recreate, live};
use crate::change;
use crate::observe::Container;
use crate::plan::LiveChange;
use crate::spec::ServiceSpec;
use compose_file::Service;
use compose_file::project::{NamespaceRef, NetworkModeRef, VolumesFromSource};
use model::mount::MountKind;
use std::collections::BTreeSet;

/// How a container is not as the file wants it.
pub(super) enum Divergence {
    /// And why it must be replaced.
    Replace(String),
    /// What can be changed while it runs, and why.
    Change(Vec<LiveChange>, String),
}

impl Planner<'_> {
    /// How a container differs from what the file wants; `None`: it does not.
    pub(super) fn divergence(
        &self,
        service: &Service,
        spec: &ServiceSpec,
        container: &Container,
    ) -> Option<Divergence> {
        let cause = self.cause(service, spec, container)?;
        let forced = self.recreate(service) == Recreate::Always;
        let same_image = matches!(self.input.images.get(&service.name),
            Some(ImageState::Present { id, .. }) if *id == container.image_id);
        let donor = donors(service).any(|donor| self.replaced.contains(donor));
        if !forced
            && same_image
            && !donor
            && self.mounted_image(spec, container).is_none()
            && (container.config_hash != spec.hash || container.spec.ports != spec.spec.ports)
            && !self.wants_a_port_of_others(&service.name, spec)
            && let Some((changes, why)) = live::changes(container, spec)
        {
            return Some(Divergence::Change(changes, why));
        }
        Some(Divergence::Replace(cause))
    }

    fn recreate(&self, service: &Service) -> Recreate {
        let options = self.input.options;
        if options.services.is_empty() || options.services.contains(&service.name) {
            options.recreate
        } else {
            options.recreate_dependencies
        }
    }

    /// Why a container must be replaced.
    fn cause(
        &self,
        service: &Service,
        spec: &ServiceSpec,
        container: &Container,
    ) -> Option<String> {
        match self.recreate(service) {
            Recreate::Never => return None,
            Recreate::Always => return Some("force recreate".to_owned()),
            Recreate::Diverged => {}
        }
        if container.config_hash != spec.hash {
            let differences = change::differences(&container.spec, &spec.spec);
            return Some(match differences.len() {
                0 => "configuration changed".to_owned(),
                _ => format!("configuration changed ({})", differences.join(", ")),
            });
        }
        if container.config_hash == spec.hash && moved(&container.spec, &spec.spec) {
            return Some("a network or volume has another name".to_owned());
        }
        if container.spec.ports != spec.spec.ports {
            return Some("its ports are not published yet".to_owned());
        }
        match self.input.images.get(&service.name) {
            Some(ImageState::Present { id, .. }) if *id != container.image_id => {
                return Some("image changed".to_owned());
            }
            Some(ImageState::Missing(why)) => return Some(format!("image changed ({why})")),
            _ => {}
        }
        if let Some(cause) = self.mounted_image(spec, container) {
            return Some(cause);
        }
        let donor = donors(service).find(|donor| self.replaced.contains(*donor));
        donor.map(|donor| {
            format!("service {donor}, whose namespace or volumes it shares, is replaced")
        })
    }
}

impl Planner<'_> {
    /// An image that is mounted, and is another one by now: built by a service of the project, or elsewhere.
    fn mounted_image(&self, spec: &ServiceSpec, container: &Container) -> Option<String> {
        let input = self.input;
        spec.spec.mounts.iter().find_map(|mount| {
            let MountKind::Image { reference, .. } = &mount.kind else {
                return None;
            };
            let mut mounted = container.mounted_images.iter();
            let (_, before) = mounted.find(|(target, _)| *target == mount.target)?;
            let builder =
                input.project.services.iter().find(|service| {
                    same_image(&service.image_name(&input.project.name), reference)
                });
            let changed = match builder.and_then(|service| input.images.get(&service.name)) {
                Some(ImageState::Present { id, .. }) => id != before,
                Some(ImageState::Missing(_)) => true,
                None => input
                    .observed
                    .images
                    .get(reference)
                    .is_some_and(|id| id != before),
            };
            changed.then(|| format!("image {reference}, mounted at {}, changed", mount.target))
        })
    }
}

/// Whether two texts name one image: `tools` is `docker.io/library/tools:latest`.
fn same_image(one: &str, other: &str) -> bool {
    match (
        one.parse::<oci::Reference>(),
        other.parse::<oci::Reference>(),
    ) {
        (Ok(one), Ok(other)) => one == other,
        _ => one == other,
    }
}

/// Whether what the service calls by its key has got another real name.
fn moved(old: &model::ContainerSpec, new: &model::ContainerSpec) -> bool {
    let networks = |spec: &model::ContainerSpec| -> BTreeSet<String> {
        spec.networks.iter().map(|n| n.network.clone()).collect()
    };
    let volume = |spec: &model::ContainerSpec, target: &str| {
        spec.mounts
            .iter()
            .find(|m| m.target == target)
            .map(|m| m.kind.clone())
    };
    let renamed = |mount: &model::mount::Mount| match (&mount.kind, volume(old, &mount.target)) {
        (
            MountKind::Volume {
                name: Some(new), ..
            },
            Some(MountKind::Volume {
                name: Some(old), ..
            }),
        ) => *new != old,
        _ => false,
    };
    networks(old) != networks(new) || new.mounts.iter().any(renamed)
}

/// The services whose network, process or IPC namespace or volumes a service joins.
pub(super) fn donors(service: &Service) -> impl Iterator<Item = &str> {
    let network = match &service.network_mode {
        Some(NetworkModeRef::Service(name)) => Some(name.as_str()),
        _ => None,
    };
    let joined = |reference: &'_ NamespaceRef| matches!(reference, NamespaceRef::Service(_));
    let namespaces = [&service.pid, &service.ipc, &service.uts, &service.cgroup];
    let names = namespaces
        .into_iter()
        .filter(move |r| joined(r))
        .filter_map(|r| match r {
            NamespaceRef::Service(name) => Some(name.as_str()),
            NamespaceRef::Mode(_) => None,
        });
    let volumes = service
        .volumes_from
        .iter()
        .filter_map(|from| match &from.source {
            VolumesFromSource::Service(name) => Some(name.as_str()),
            VolumesFromSource::Container(_) => None,
        });
    network.into_iter().chain(names).chain(volumes)
}
