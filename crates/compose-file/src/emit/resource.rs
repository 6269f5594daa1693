//! Networks, volumes, configs, secrets, models.

use super::Object;
use crate::project::{AiModel, FileObject, FileSource, Network, Volume};

fn name(object: &mut Object, name: &str) {
    if !name.is_empty() {
        object.set("name", name);
    }
}

pub(super) fn network(network: &Network) -> Object {
    let spec = &network.spec;
    let mut object = Object::new();
    name(&mut object, &spec.name);
    if !spec.driver.is_empty() {
        object.set("driver", spec.driver.as_str());
    }
    object.table("driver_opts", &spec.driver_opts);
    let mut ipam = Object::new();
    ipam.text("driver", &spec.ipam_driver);
    ipam.list("config", &spec.ipam, |pool| {
        let mut object = Object::new();
        object.text("subnet", &pool.subnet);
        object.text("gateway", &pool.gateway);
        object.text("ip_range", &pool.ip_range);
        object.table("aux_addresses", &pool.aux_addresses);
        object.into_value()
    });
    ipam.table("options", &spec.ipam_options);
    object.object("ipam", ipam);
    object.flag("external", network.external);
    object.flag("internal", spec.internal);
    object.flag("attachable", spec.attachable);
    object.table("labels", &spec.labels);
    object.option("enable_ipv4", spec.ipv4);
    object.option("enable_ipv6", spec.ipv6);
    object.extensions(&network.extensions);
    object
}

pub(super) fn volume(volume: &Volume) -> Object {
    let mut object = Object::new();
    name(&mut object, &volume.name);
    object.text("driver", &volume.driver);
    object.table("driver_opts", &volume.driver_opts);
    object.flag("external", volume.external);
    object.table("labels", &volume.labels);
    object.extensions(&volume.extensions);
    object
}

pub(super) fn file_object(file: &FileObject) -> Object {
    let mut object = Object::new();
    name(&mut object, &file.name);
    match &file.source {
        FileSource::File(path) => object.set("file", path.to_string_lossy()),
        FileSource::Environment { variable, .. } => object.set("environment", variable.as_str()),
        FileSource::Content(content) => object.set("content", content.as_str()),
        FileSource::External => {}
    }
    object.flag(
        "external",
        file.source == FileSource::External && file.driver.is_none(),
    );
    object.table("labels", &file.labels);
    object.text("driver", &file.driver);
    object.table("driver_opts", &file.driver_opts);
    object.text("template_driver", &file.template_driver);
    object.extensions(&file.extensions);
    object
}

pub(super) fn ai_model(model: &AiModel) -> Object {
    let mut object = Object::new();
    object.text("name", &model.name);
    object.set("model", model.model.as_str());
    object.option("context_size", model.context_size);
    object.texts("runtime_flags", &model.runtime_flags);
    object.extensions(&model.extensions);
    object
}
