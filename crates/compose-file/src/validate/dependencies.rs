//! A service cannot wait for itself.

use crate::diagnostic::Diagnostic;
use crate::project::Project;
use std::collections::{HashMap, HashSet};

/// The first cycle among dependencies, with the path that closes it.
pub(super) fn cycle(project: &Project) -> Option<Diagnostic> {
    let edges: HashMap<&str, Vec<&str>> = project
        .services
        .iter()
        .chain(&project.jobs)
        .map(|service| {
            (
                service.name.as_str(),
                service.depends_on.keys().map(String::as_str).collect(),
            )
        })
        .collect();
    let mut done: HashSet<&str> = HashSet::new();
    for service in project.services.iter().chain(&project.jobs) {
        if let Some(path) = find(&service.name, &edges, &mut done) {
            let first = path.first().copied().unwrap_or_default();
            let second = path.get(1).copied().unwrap_or_default();
            let at = format!("services.{first}.depends_on.{second}");
            let message = format!("dependency cycle detected: {}", path.join(" -> "));
            return Some(project.error_at(&at, message).with_hint(
                "remove one of these dependencies; the services can still reach each other by name",
            ));
        }
    }
    None
}

/// Walks depth first with a stack of its own: the number of services is the file's.
fn find<'p>(
    start: &'p str,
    edges: &HashMap<&'p str, Vec<&'p str>>,
    done: &mut HashSet<&'p str>,
) -> Option<Vec<&'p str>> {
    let mut path: Vec<(&str, usize)> = vec![(start, 0)];
    let mut on_path: HashSet<&str> = HashSet::from([start]);
    if done.contains(start) {
        return None;
    }
    while let Some((name, next)) = path.last_mut() {
        let target = edges
            .get(name)
            .and_then(|targets| targets.get(*next))
            .copied();
        *next += 1;
        match target {
            Some(target) if on_path.contains(target) => {
                let from = path
                    .iter()
                    .position(|(name, _)| *name == target)
                    .unwrap_or(0);
                let mut cycle: Vec<&str> = path[from..].iter().map(|(name, _)| *name).collect();
                cycle.push(target);
                return Some(cycle);
            }
            Some(target) if done.contains(target) => {}
            Some(target) => {
                on_path.insert(target);
                path.push((target, 0));
            }
            None => {
                if let Some((finished, _)) = path.pop() {
                    on_path.remove(finished);
                    done.insert(finished);
                }
            }
        }
    }
    None
}
