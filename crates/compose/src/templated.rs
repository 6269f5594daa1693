//! Configs and secrets whose content is a template (`template_driver: golang`): what a service gets is made of what is known of it
//! and of this node. The content that comes of it counts in the hash of the service, as any other.
//!
//! | in the template | is |
//! |---|---|
//! | `.Service.ID`, `.Service.Name`, `.Service.Labels` | as `service ls` shows them; labels of `deploy` |
//! | `.Node.ID`, `.Node.Hostname`, `.Node.Platform.OS`, `.Node.Platform.Architecture` | this host |
//! | `env "X"` | a variable of the service |
//! | `secret "x"`, `config "x"` | the content of another one of the service, by its key or its target |
//!
//! `.Task` is not there: a content is made for a service, not for each of its containers.
//! Source: Docker CLI reference, `docker config create` (`--template-driver`); SwarmKit `template/context.go`.

use crate::placement::Node;
use compose_file::project::{FileObject, FileReference, FileSource};
use compose_file::{Diagnostic, Project, Service};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::collections::BTreeMap;
use template::Template;

const FUNCTIONS: [&str; 3] = ["env", "secret", "config"];

type Objects = BTreeMap<String, FileObject>;

/// The project as one service sees it.
pub(crate) fn resolve<'a>(
    project: &'a Project,
    service: &Service,
    node: &Node,
) -> Result<Cow<'a, Project>, Vec<Diagnostic>> {
    let mut result = Cow::Borrowed(project);
    let mut errors = Vec::new();
    for (kind, references) in [("configs", &service.configs), ("secrets", &service.secrets)] {
        for reference in references {
            let key = &reference.source;
            let Some(object) = objects(project, kind).get(key) else {
                continue;
            };
            let Some(driver) = &object.template_driver else {
                continue;
            };
            match render(project, service, node, driver, object) {
                Ok(Some(text)) => {
                    let all = match kind {
                        "configs" => &mut result.to_mut().configs,
                        _ => &mut result.to_mut().secrets,
                    };
                    if let Some(object) = all.get_mut(key) {
                        object.source = FileSource::Content(text);
                    }
                }
                // Told where the service is converted.
                Ok(None) => {}
                Err(why) => {
                    let path = format!("{kind}.{key}.template_driver");
                    let text = format!("{why}, for service {}", service.name);
                    let error = project.error_at(&path, text);
                    errors.push(error.with_hint(
                        "known are .Service, .Node, env, secret and config, with the driver golang",
                    ));
                }
            }
        }
    }
    match errors.is_empty() {
        true => Ok(result),
        false => Err(errors),
    }
}

fn objects<'a>(project: &'a Project, kind: &str) -> &'a Objects {
    match kind {
        "configs" => &project.configs,
        _ => &project.secrets,
    }
}

/// `None`: there is no content.
fn render(
    project: &Project,
    service: &Service,
    node: &Node,
    driver: &str,
    object: &FileObject,
) -> Result<Option<String>, String> {
    if driver != "golang" {
        return Err(format!("unknown template driver {driver:?}"));
    }
    let Some(source) = content(object) else {
        return Ok(None);
    };
    let functions = |name: &str, arguments: &[Value]| {
        let wanted = arguments.first().and_then(Value::as_str)?;
        match name {
            "env" => {
                let value = service.environment.get(wanted).cloned().flatten();
                Some(Value::from(value.unwrap_or_default()))
            }
            "secret" => named(&service.secrets, &project.secrets, wanted),
            "config" => named(&service.configs, &project.configs, wanted),
            _ => None,
        }
    };
    let made = Template::parse_with(&source, &FUNCTIONS).and_then(|template| {
        template.execute_with(&data(project, service, node), Some(&functions))
    });
    made.map(Some).map_err(|error| error.to_string())
}

fn named(references: &[FileReference], objects: &Objects, wanted: &str) -> Option<Value> {
    let is = |reference: &&FileReference| {
        let file = reference.target.rsplit('/').next();
        reference.source == wanted || reference.target == wanted || file == Some(wanted)
    };
    let reference = references.iter().find(is)?;
    content(objects.get(&reference.source)?).map(Value::from)
}

/// The text as it is given; what cannot be read is told where it is handed over.
fn content(object: &FileObject) -> Option<String> {
    match &object.source {
        FileSource::File(path) => std::fs::read_to_string(path).ok(),
        FileSource::Content(text) => Some(text.clone()),
        FileSource::Environment { value, .. } => value.clone(),
        FileSource::External => None,
    }
}

fn data(project: &Project, service: &Service, node: &Node) -> Value {
    let labels = service.deploy.as_ref().map(|deploy| &deploy.labels);
    json!({
        "Service": {
            "ID": crate::swarm::id(&format!("{}/{}", project.name, service.name)),
            "Name": format!("{}_{}", project.name, service.name),
            "Labels": labels,
        },
        "Node": {
            "ID": node.id,
            "Hostname": node.hostname,
            "Platform": { "OS": node.os, "Architecture": node.arch },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(text: &str) -> Result<Option<String>, String> {
        let object = |text: &str| FileObject {
            name: String::new(),
            source: FileSource::Content(text.to_owned()),
            labels: BTreeMap::new(),
            driver: None,
            driver_opts: BTreeMap::new(),
            template_driver: None,
            extensions: Default::default(),
        };
        let project = Project {
            name: "shop".into(),
            secrets: BTreeMap::from([("key".to_owned(), object("hunter2"))]),
            ..Default::default()
        };
        let service = Service {
            name: "web".into(),
            environment: BTreeMap::from([("LEVEL".to_owned(), Some("one".to_owned()))]),
            secrets: vec![FileReference {
                source: "key".into(),
                target: "/run/secrets/token".into(),
                written: None,
                uid: None,
                gid: None,
                mode: None,
            }],
            ..Default::default()
        };
        let node = Node {
            hostname: "box".into(),
            ..Default::default()
        };
        render(&project, &service, &node, "golang", &object(text))
    }

    #[test]
    fn a_template_is_made_of_service_and_node() {
        let text = "{{.Service.Name}}@{{.Node.Hostname}} {{env \"LEVEL\" | upper}} {{secret \"token\"}}{{env \"NONE\"}}";
        assert_eq!(
            rendered(text),
            Ok(Some("shop_web@box ONE hunter2".to_owned()))
        );
    }

    #[test]
    fn what_is_not_there_is_refused() {
        for wrong in ["{{.Task.Slot}}", "{{secret \"none\"}}", "{{nope}}", "{{"] {
            assert!(rendered(wrong).is_err(), "{wrong}");
        }
    }
}
