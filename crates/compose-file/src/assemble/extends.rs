//! `extends`: another service, of this file or another one, under a service.
//! Source: Compose Specification `05-services.md` "extends", compose-go `extends.go`.

use super::{Loader, Scope};
use crate::diagnostic::Place;
use crate::merge;
use crate::paths;
use crate::tree::{Map, Node, Value};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Services may extend each other this deep.
const MAX_CHAIN: usize = 50;

/// One service of one document.
#[derive(Debug, Clone)]
struct Target {
    document: Rc<Node>,
    file: PathBuf,
    name: String,
}

/// What is known while one document's services are extended.
struct Extending<'e> {
    scope: Scope<'e>,
    /// The files merged so far, whose services can be extended too.
    earlier: Option<&'e Node>,
    others: HashMap<PathBuf, Option<Rc<Node>>>,
    chain: Vec<(PathBuf, String)>,
    /// Services of a circle that is told already.
    told: Vec<(PathBuf, String)>,
}

impl Loader<'_> {
    /// Resolves every `extends` of a document; false when there were errors.
    pub(super) fn extend(
        &mut self,
        document: &mut Node,
        file: &Path,
        scope: Scope<'_>,
        earlier: Option<&Node>,
    ) -> bool {
        let extending = |services: &Map| -> Vec<String> {
            services
                .iter()
                .filter(|entry| entry.node.get("extends").is_some())
                .map(|entry| entry.key.clone())
                .collect()
        };
        let names = document
            .get("services")
            .and_then(Node::as_map)
            .map(extending)
            .unwrap_or_default();
        if names.is_empty() {
            return true;
        }
        let original = Rc::new(document.clone());
        let mut state = Extending {
            scope,
            earlier,
            others: HashMap::new(),
            chain: Vec::new(),
            told: Vec::new(),
        };
        let mut complete = true;
        for name in names {
            if state.told.contains(&(file.to_owned(), name.clone())) {
                continue;
            }
            let target = Target {
                document: original.clone(),
                file: file.to_owned(),
                name: name.clone(),
            };
            let Some(resolved) = self.extended(&target, &mut state) else {
                complete = false;
                state.chain.clear();
                continue;
            };
            let services = document
                .as_map_mut()
                .and_then(|root| root.get_mut("services"))
                .and_then(Node::as_map_mut);
            if let Some(service) = services.and_then(|services| services.get_mut(&name)) {
                *service = resolved;
            }
        }
        complete
    }

    /// A service with everything it extends merged under it.
    fn extended(&mut self, target: &Target, state: &mut Extending<'_>) -> Option<Node> {
        let service = target.document.get("services")?.get(&target.name)?;
        let Some(extends) = service.get("extends") else {
            return Some(service.clone());
        };
        let path = format!("services.{}.extends", target.name);
        let Some(base_name) = extends.get("service").and_then(Node::scalar_text) else {
            self.error(
                extends.place,
                &path,
                "names no service".into(),
                "add \"service: NAME\"",
            );
            return None;
        };
        let link = (target.file.clone(), target.name.clone());
        if state.chain.contains(&link) || state.chain.len() >= MAX_CHAIN {
            state.told.extend(state.chain.iter().cloned());
            let mut names: Vec<_> = state.chain.iter().map(|(_, name)| name.as_str()).collect();
            names.push(&target.name);
            let message = format!(
                "services extend each other in a circle: {}",
                names.join(" -> ")
            );
            self.error(
                extends.place,
                &path,
                message,
                "take the common part into a service of its own",
            );
            return None;
        }
        state.chain.push(link);
        let base = match extends.get("file").and_then(Node::scalar_text) {
            None => self.base_here(target, &base_name, extends.place, &path, state),
            Some(file) => self.base_elsewhere(&file, &base_name, extends.place, &path, state),
        };
        state.chain.pop();
        let base = base?;
        let mut own = service.clone();
        if let Some(map) = own.as_map_mut() {
            map.remove("extends");
        }
        Some(merge::merge(
            self.form,
            base,
            own,
            &["services", &target.name],
        ))
    }

    fn base_here(
        &mut self,
        target: &Target,
        name: &str,
        place: Place,
        path: &str,
        state: &mut Extending<'_>,
    ) -> Option<Node> {
        if target
            .document
            .get("services")
            .and_then(|services| services.get(name))
            .is_some()
        {
            let base = Target {
                name: name.to_owned(),
                ..target.clone()
            };
            return self.extended(&base, state);
        }
        let earlier = state
            .earlier
            .and_then(|node| node.get("services"))
            .and_then(|services| services.get(name));
        if let Some(base) = earlier {
            return Some(base.clone());
        }
        self.unknown_base(&target.document, &target.file, name, place, path);
        None
    }

    fn base_elsewhere(
        &mut self,
        file: &str,
        name: &str,
        place: Place,
        path: &str,
        state: &mut Extending<'_>,
    ) -> Option<Node> {
        let file = match paths::is_remote(file) {
            true => self.fetch(file, place, path)?,
            false => paths::resolve(state.scope.base_dir, file, None),
        };
        let document = match state.others.get(&file) {
            Some(known) => known.clone()?,
            None => {
                let loaded = self.other_document(&file, place, path, state.scope);
                state.others.insert(file.clone(), loaded.clone());
                loaded?
            }
        };
        if document
            .get("services")
            .and_then(|services| services.get(name))
            .is_none()
        {
            self.unknown_base(&document, &file, name, place, path);
            return None;
        }
        self.extended(
            &Target {
                document,
                file,
                name: name.to_owned(),
            },
            state,
        )
    }

    /// All documents of another file as one; its relative paths begin at its own directory.
    fn other_document(
        &mut self,
        file: &Path,
        place: Place,
        path: &str,
        scope: Scope<'_>,
    ) -> Option<Rc<Node>> {
        let mut parsed = self.parse(file, Some((place, path)))?;
        parsed.iter_mut().for_each(empty_services);
        let base_dir = file.parent().unwrap_or(scope.base_dir);
        let documents = self.prepare(file, parsed, Scope { base_dir, ..scope })?;
        let merged = documents
            .into_iter()
            .reduce(|base, over| merge::merge(self.form, base, over, &[]));
        match merged {
            Some(document) => Some(Rc::new(document)),
            None => {
                self.error(place, path, format!("{} is empty", file.display()), "");
                None
            }
        }
    }

    fn unknown_base(&mut self, document: &Node, file: &Path, name: &str, place: Place, path: &str) {
        let known: Vec<&str> = document
            .get("services")
            .and_then(Node::as_map)
            .map(|services| services.iter().map(|entry| entry.key.as_str()).collect())
            .unwrap_or_default();
        let hint = match crate::schema::nearest(name, known.iter().copied()) {
            Some(nearest) => format!("did you mean \"{nearest}\"?"),
            None => format!("services there: {}", known.join(", ")),
        };
        let message = format!(
            "cannot extend service \"{name}\": it is not in {}",
            file.display()
        );
        self.error(place, path, message, &hint);
    }
}

/// A service with nothing below it is good enough to be extended.
fn empty_services(document: &mut Node) {
    let services = document
        .as_map_mut()
        .and_then(|root| root.get_mut("services"))
        .and_then(Node::as_map_mut);
    for (_, service) in services.into_iter().flat_map(Map::values_mut) {
        if service.is_null() {
            service.value = Value::Map(Map::new());
        }
    }
}
