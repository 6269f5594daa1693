//! The container that is to be made: a new one of its service, or one that takes another's place.

use super::{ImageState, Planner};
use crate::labels;
use crate::observe::Container;
use crate::plan::NewContainer;
use crate::spec::ServiceSpec;
use compose_file::Service;
use model::mount::MountKind;
use std::collections::BTreeMap;

impl Planner<'_> {
    /// The container that is to take another's place, with what nobody named of the old one's volumes.
    pub(super) fn replacement(
        &self,
        service: &Service,
        spec: &ServiceSpec,
        old: &Container,
        temporary: &str,
        name: &str,
    ) -> NewContainer {
        let mut new = self.new_container(service, spec, old.number, temporary, name);
        new.spec
            .labels
            .insert(labels::REPLACE.to_owned(), old.name.clone());
        if !self.input.options.renew_anonymous_volumes {
            let of_image = match self.input.images.get(&service.name) {
                Some(ImageState::Present { volumes, .. }) => volumes.as_slice(),
                _ => &[],
            };
            carry_over(&mut new.spec.mounts, of_image, &old.anonymous_volumes);
        }
        new
    }

    pub(super) fn new_container(
        &self,
        service: &Service,
        spec: &ServiceSpec,
        number: u32,
        name: &str,
        final_name: &str,
    ) -> NewContainer {
        let image_id = match self.input.images.get(&service.name) {
            Some(ImageState::Present { id, .. }) => Some(id.clone()),
            _ => None,
        };
        let mut container = spec.spec.clone();
        container
            .labels
            .insert(labels::NUMBER.to_owned(), number.to_string());
        if let Some(id) = &image_id {
            container
                .labels
                .insert(labels::IMAGE.to_owned(), id.clone());
        }
        NewContainer {
            service: service.name.clone(),
            number,
            name: name.to_owned(),
            final_name: final_name.to_owned(),
            spec: container,
            files: spec.files.clone(),
            image_id,
        }
    }
}

/// Mounts the volumes nobody named of the old container at the same places of the new one, where file or image still
/// want one.
fn carry_over(
    mounts: &mut Vec<model::mount::Mount>,
    of_image: &[String],
    volumes: &[(String, String)],
) {
    let clean = |path: &str| path.trim_end_matches('/').to_owned();
    for (target, volume) in volumes {
        let kind = |name: &String| MountKind::Volume {
            name: Some(name.clone()),
            no_copy: true,
            subpath: None,
            driver: None,
            driver_opts: BTreeMap::new(),
            labels: BTreeMap::new(),
        };
        match mounts
            .iter_mut()
            .find(|m| clean(&m.target) == clean(target))
        {
            Some(mount) => {
                if matches!(mount.kind, MountKind::Volume { name: None, .. }) {
                    mount.kind = kind(volume);
                }
            }
            None if of_image.iter().any(|wanted| clean(wanted) == clean(target)) => {
                mounts.push(model::mount::Mount {
                    kind: kind(volume),
                    target: target.clone(),
                    read_only: false,
                });
            }
            None => {}
        }
    }
}
