//! Stores that ask servers of the test for the images of a registry nobody answers for.

use crate::common::{FakeServer, Fixture, Root, noise, tar_of};
use image::registry::config::{Mirror, Rule};
use image::{Depth, Fault, RegistryOptions, Silent, Store, StoreOptions};
use std::fs;

/// A registry nobody answers for: whoever is asked for its images is asked through a file.
pub(crate) const FAR: &str = "registry.invalid";

pub(crate) fn store(root: &Root, registries: RegistryOptions) -> Store {
    // No name server: names that are not in the files are unknown at once.
    let hosts = root.path("hosts");
    fs::write(&hosts, "127.0.0.1 localhost\n192.0.2.1 registry.invalid\n").unwrap();
    let registries = RegistryOptions {
        resolver: image::registry::resolver::ResolverFiles {
            hosts,
            resolv_conf: "/nonexistent".into(),
        },
        ..registries
    };
    root.store_with(StoreOptions {
        registries,
        ..Default::default()
    })
}

pub(crate) fn mirrored(prefix: &str, locations: &[String]) -> RegistryOptions {
    let mirror = |location: &String| Mirror {
        location: location.clone(),
        ..Mirror::default()
    };
    RegistryOptions {
        rules: vec![Rule {
            prefix: prefix.into(),
            mirrors: locations.iter().map(mirror).collect(),
            ..Rule::default()
        }],
        ..RegistryOptions::default()
    }
}

pub(crate) fn name(tag: &str) -> oci::Reference {
    format!("{FAR}/team/app:{tag}").parse().unwrap()
}

pub(crate) fn large() -> Fixture {
    Fixture::new(&[tar_of(&[("data", &noise(1 << 20, 7))])])
}

/// A port nobody listens on.
pub(crate) fn closed() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

/// An image of a server, by its tag `latest`.
pub(crate) fn app(server: &FakeServer) -> oci::Reference {
    format!("{}/app", server.host()).parse().unwrap()
}

/// What is wrong with a store, all digests read.
pub(crate) fn faults(store: &Store) -> Vec<Fault> {
    store.check(Depth::Contents, &Silent).unwrap().faults
}
