//! All verbs, by their spellings.

use crate::verb::Verb;
use crate::{
    argv, boot, build, container, image, inspect, job, network, registry, serve, stored, swarm,
    system, volume,
};

/// The nouns that have verbs of their own, for help.
pub(crate) const GROUPS: [(&str, &str); 16] = [
    ("artifact", "Manage artifacts, whose layers are files"),
    ("builder", "Manage builds"),
    ("compose", "Run the project of a Compose file"),
    ("config", "Manage configs"),
    ("container", "Manage containers"),
    ("image", "Manage images"),
    ("job", "Manage the jobs of projects and their schedules"),
    (
        "manifest",
        "Manage manifests of several platforms at a registry",
    ),
    ("network", "Manage networks"),
    ("node", "Manage this host's labels, as Swarm's only node"),
    ("secret", "Manage secrets"),
    ("service", "Manage the services of projects, as Swarm's"),
    ("stack", "Manage projects as Swarm's stacks"),
    ("swarm", "Tell what of a cluster there is"),
    ("system", "Manage dockless"),
    ("volume", "Manage volumes"),
];

/// Every verb, one noun after the other.
pub(crate) fn all() -> impl Iterator<Item = &'static Verb> {
    [
        container::VERBS,
        image::VERBS,
        registry::VERBS,
        &registry::MANIFEST,
        build::VERBS,
        volume::VERBS,
        network::VERBS,
        stored::VERBS,
        inspect::VERBS,
        system::VERBS,
        boot::VERBS,
        job::VERBS,
        serve::VERBS,
    ]
    .into_iter()
    .flatten()
    .chain(swarm::verbs())
}

/// The verb the words begin with, and how many of them name it: the longest spelling wins.
pub(crate) fn find(words: &[&str]) -> Option<(&'static Verb, usize)> {
    (1..=words.len().min(3)).rev().find_map(|count| {
        let spelling = words[..count].join(" ");
        all()
            .find(|verb| verb.names.contains(&spelling.as_str()))
            .map(|verb| (verb, count))
    })
}

/// The spelling nearest to what was typed: within a noun only its verbs count.
pub(crate) fn nearest(words: &str) -> Option<String> {
    let (noun, verb) = words
        .rsplit_once(' ')
        .map_or((None, words), |(noun, verb)| (Some(noun), verb));
    let names = all().flat_map(|verb| verb.names.iter().copied());
    let fitting = names.filter_map(|name| match (noun, name.rsplit_once(' ')) {
        (None, None) => Some(name),
        (Some(noun), Some((of, rest))) if of == noun => Some(rest),
        _ => None,
    });
    let groups = GROUPS
        .iter()
        .map(|(name, _)| *name)
        .filter(|_| noun.is_none());
    let found = argv::nearest(verb, fitting.chain(groups))?;
    Some(noun.map_or_else(|| found.to_owned(), |noun| format!("{noun} {found}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_spelling_is_taken_twice_and_every_parser_builds() {
        let mut seen = BTreeSet::new();
        for verb in all() {
            for name in verb.names {
                assert!(seen.insert(*name), "{name}");
            }
            verb.parser().debug_assert();
        }
    }

    #[test]
    fn both_forms_lead_to_the_same_verb() {
        for (short, long) in [
            ("ps", "container ls"),
            ("images", "image ls"),
            ("rmi", "image rm"),
            ("run", "container run"),
        ] {
            let long: Vec<&str> = long.split(' ').collect();
            assert_eq!(
                find(&[short, "x"]).unwrap().0.name(),
                find(&long).unwrap().0.name()
            );
        }
        assert_eq!(find(&["container", "ls", "-a"]).unwrap().1, 2);
        assert!(find(&["frobnicate"]).is_none());
        assert_eq!(nearest("imgaes").as_deref(), Some("images"));
        assert_eq!(nearest("container foo"), None);
        assert_eq!(nearest("network crate").as_deref(), Some("network create"));
    }
}
