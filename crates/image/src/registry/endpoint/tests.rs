//! Who is asked, for every kind of file and all together.

use super::*;
use crate::registry::config::{HostsFile, Mirror};

fn reference(text: &str) -> Reference {
    text.parse::<Reference>().unwrap().or_latest()
}

/// `role scheme host root repository ns` of each.
fn plan(config: &HostConfig, name: &str) -> Vec<String> {
    let list = endpoints(config, &reference(name)).unwrap();
    let line = |e: &Endpoint| {
        let scheme = e
            .scheme
            .map_or("any", |s| if s == Scheme::Http { "http" } else { "https" });
        let role = if e.role == Role::Mirror {
            "mirror"
        } else {
            "origin"
        };
        let ns = e.namespace.as_deref().unwrap_or("-");
        let insecure = if e.transport.insecure {
            " insecure"
        } else {
            ""
        };
        format!(
            "{role} {scheme} {}{} {} {ns}{insecure}",
            e.host, e.root, e.repository
        )
    };
    list.iter().map(line).collect()
}

fn mirror(location: &str) -> Mirror {
    Mirror {
        location: location.into(),
        ..Mirror::default()
    }
}

#[test]
fn nothing_said_is_the_registry_itself() {
    let config = HostConfig::default();
    assert_eq!(
        plan(&config, "redis"),
        ["origin any registry-1.docker.io/v2 library/redis -"]
    );
    assert_eq!(
        plan(&config, "ghcr.io/a/b:1"),
        ["origin any ghcr.io/v2 a/b -"]
    );
}

#[test]
fn dockers_mirrors_are_for_the_hub_alone_and_may_have_a_project() {
    let config = HostConfig {
        hub_mirrors: vec![
            "https://m.example/".into(),
            "http://harbor.local/proxy".into(),
            "nexus.local/repository/hub/v2".into(),
        ],
        ..HostConfig::default()
    };
    assert_eq!(
        plan(&config, "redis"),
        [
            "mirror https m.example/v2 library/redis -",
            "mirror http harbor.local/v2 proxy/library/redis -",
            "mirror https nexus.local/repository/hub/v2 library/redis -",
            "origin any registry-1.docker.io/v2 library/redis -",
        ]
    );
    assert_eq!(plan(&config, "quay.io/x/y").len(), 1);
}

#[test]
fn containers_rules_move_mirror_and_forbid() {
    let rules = vec![
        Rule {
            prefix: "example.com/foo".into(),
            location: Some("internal.local/bar".into()),
            insecure: true,
            mirrors: vec![
                mirror("one.local/foo"),
                Mirror {
                    insecure: true,
                    pull_from_mirror: Some(PullFrom::DigestOnly),
                    ..mirror("two.local")
                },
                Mirror {
                    pull_from_mirror: Some(PullFrom::TagOnly),
                    ..mirror("three.local")
                },
            ],
            ..Rule::default()
        },
        Rule {
            prefix: "*.blocked.example".into(),
            blocked: true,
            ..Rule::default()
        },
        Rule {
            prefix: "*.wild.example".into(),
            mirrors: vec![mirror("wild.local/w")],
            ..Rule::default()
        },
    ];
    let config = HostConfig {
        rules: [Vec::new(), rules],
        ..HostConfig::default()
    };
    assert_eq!(
        plan(&config, "example.com/foo/image"),
        [
            "mirror any one.local/v2 foo/image -",
            "mirror any three.local/v2 image -",
            "origin any internal.local/v2 bar/image - insecure",
        ]
    );
    let digest = oci::Digest::sha256(b"x");
    assert_eq!(
        plan(&config, &format!("example.com/foo/image@{digest}"))[1],
        "mirror any two.local/v2 image - insecure"
    );
    assert_eq!(
        plan(&config, "a.wild.example/x")[0],
        "mirror any wild.local/v2 w/x -"
    );
    assert_eq!(
        endpoints(&config, &reference("x.blocked.example/y")),
        Err("*.blocked.example".into())
    );
}

#[test]
fn containerds_hosts_say_whose_image_it_is() {
    let host = |url: &str, resolve, override_path| Host {
        url: url.into(),
        pull: true,
        resolve,
        override_path,
        ..Host::default()
    };
    let mut file = HostsFile {
        hosts: vec![
            host("https://m.example", false, false),
            host("http://n.local:8081/repository/q", true, false),
            host("https://o.local/v2/q", true, true),
        ],
        ..HostsFile::default()
    };
    let plan_of = |file: &HostsFile| {
        let config = HostConfig {
            hosts: Some(file.clone()),
            ..HostConfig::default()
        };
        plan(&config, "quay.io/x/y")
    };
    assert_eq!(
        plan_of(&file),
        [
            "mirror https m.example/v2 x/y quay.io",
            "mirror http n.local:8081/repository/q/v2 x/y quay.io",
            "mirror https o.local/v2/q x/y quay.io",
            "origin any quay.io/v2 x/y -",
        ]
    );
    file.hosts.truncate(1);
    file.server = Some(host("https://only.example", true, false));
    assert_eq!(
        plan_of(&file)[1],
        "origin https only.example/v2 x/y quay.io"
    );
}

#[test]
fn every_files_mirrors_are_asked_once_and_in_order() {
    let own = Rule {
        prefix: "docker.io".into(),
        mirrors: vec![mirror("https://a.local")],
        ..Rule::default()
    };
    let theirs = Rule {
        prefix: "docker.io".into(),
        mirrors: vec![mirror("b.local"), mirror("https://a.local")],
        ..Rule::default()
    };
    let config = HostConfig {
        rules: [vec![own], vec![theirs]],
        hub_mirrors: vec!["https://c.local".into(), "https://a.local".into()],
        hosts: Some(HostsFile {
            hosts: vec![Host {
                url: "https://d.local".into(),
                pull: true,
                resolve: true,
                ..Host::default()
            }],
            is_default: true,
            ..HostsFile::default()
        }),
        ..HostConfig::default()
    };
    let hosts: Vec<String> = endpoints(&config, &reference("redis"))
        .unwrap()
        .into_iter()
        .map(|e| e.host)
        .collect();
    assert_eq!(
        hosts,
        ["a.local", "b.local", "c.local", "d.local", HUB_HOST]
    );
}

#[test]
fn an_origin_listed_among_the_hosts_stays_the_origin() {
    let listed = Host {
        url: "https://registry-1.docker.io".into(),
        pull: true,
        resolve: true,
        ..Host::default()
    };
    let file = HostsFile {
        hosts: vec![listed.clone()],
        server: Some(listed),
        is_default: false,
    };
    let config = HostConfig {
        hosts: Some(file),
        ..HostConfig::default()
    };
    let list = endpoints(&config, &reference("redis")).unwrap();
    assert_eq!(list.len(), 1);
    assert_eq!(
        (list[0].name.as_str(), list[0].role, list[0].push),
        (DOCKER_HUB, Role::Origin, true)
    );
    assert_eq!(list[0].describe(), "registry docker.io");
}
