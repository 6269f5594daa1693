//! What a create document becomes, and what hostile ones do not become.

use super::*;
use model::restart::RestartCondition;
use serde_json::json;

fn read(value: serde_json::Value) -> Result<ContainerSpec, String> {
    let body: ContainerBody = serde_json::from_value(value).map_err(|e| e.to_string())?;
    body.read().map_err(|e| e.to_string())
}

#[test]
fn what_the_docker_command_sends_becomes_what_was_typed() {
    let text = r#"{
        "Hostname": "", "User": "1000:1000", "Tty": true, "OpenStdin": true, "StdinOnce": true,
        "Env": ["A=1"], "Cmd": ["sleep", "1"], "Image": "busybox", "Volumes": {"/data": {}, "/srv": {}},
        "WorkingDir": "", "Entrypoint": null, "OnBuild": null, "Labels": {"a": "b"},
        "ExposedPorts": {"80/tcp": {}}, "StopSignal": "SIGINT", "StopTimeout": 3, "Future": {"x": [1]},
        "Healthcheck": {"Test": ["CMD-SHELL", "true"], "Interval": 1000000000},
        "HostConfig": {
            "Binds": ["/srv:/srv:ro", "db:/var/lib/db"], "NetworkMode": "front", "AutoRemove": true,
            "PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}], "443/tcp": [{"HostIp": "", "HostPort": ""}]},
            "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3}, "LogConfig": {"Type": "", "Config": {}},
            "Memory": 67108864, "NanoCpus": 500000000, "MemorySwappiness": -1, "PidsLimit": null,
            "CapDrop": ["ALL"], "Dns": [], "ExtraHosts": ["a:1.2.3.4"], "Ulimits": [{"Name": "nofile", "Soft": 10, "Hard": 20}],
            "Tmpfs": {"/tmp": "size=1m"}, "Mounts": [{"Type": "volume", "Source": "x", "Target": "/x"}],
            "Devices": [{"PathOnHost": "/dev/null", "PathInContainer": "/dev/n", "CgroupPermissions": "r"}],
            "IpcMode": "", "PidMode": "host", "UTSMode": "", "Init": true, "ConsoleSize": [0, 0]
        },
        "NetworkingConfig": {"EndpointsConfig": {"front": {"Aliases": ["www"], "IPAMConfig": {"IPv4Address": "10.0.0.5"}}, "back": null}}
    }"#;
    let spec = read(serde_json::from_str(text).unwrap()).unwrap();
    assert_eq!(
        spec.command.as_deref(),
        Some(&["sleep".to_owned(), "1".into()][..])
    );
    assert_eq!(spec.entrypoint, None);
    assert_eq!(spec.user.as_deref(), Some("1000:1000"));
    assert!(spec.tty && spec.open_stdin && spec.stdin_once && spec.init && spec.auto_remove);
    assert_eq!(spec.network_mode, NetworkMode::Networks);
    let names: Vec<&str> = spec.networks.iter().map(|e| e.network.as_str()).collect();
    assert_eq!(names, ["front", "back"]);
    assert_eq!(spec.networks[0].aliases, ["www"]);
    assert_eq!(spec.ports.len(), 2);
    assert_eq!(spec.restart.condition, RestartCondition::OnFailure);
    assert_eq!(spec.resources.memory, Some(64 << 20));
    assert_eq!(spec.resources.memory_swappiness, None);
    assert_eq!(spec.pid_mode, NamespaceMode::Host);
    let targets: Vec<&str> = spec.mounts.iter().map(|m| m.target.as_str()).collect();
    assert_eq!(targets, ["/data", "/srv", "/var/lib/db", "/tmp", "/x"]);
    assert!(
        spec.mounts[1].read_only,
        "the bind, not an anonymous volume"
    );
    assert_eq!(
        spec.healthcheck.unwrap().interval,
        Some(Duration::from_secs(1))
    );
}

#[test]
fn modes_of_the_network_stand_alone() {
    for (mode, wanted) in [
        ("", NetworkMode::Default),
        ("default", NetworkMode::Default),
        ("bridge", NetworkMode::Default),
        ("host", NetworkMode::Host),
        ("none", NetworkMode::None),
        ("container:x", NetworkMode::Container("x".into())),
        ("front", NetworkMode::Networks),
    ] {
        let spec = read(json!({"Image": "i", "HostConfig": {"NetworkMode": mode}})).unwrap();
        assert_eq!(spec.network_mode, wanted, "{mode}");
    }
    let spec = read(json!({"MacAddress": "02:42:ac:11:00:02"})).unwrap();
    assert_eq!(
        spec.networks[0].mac_address.as_deref(),
        Some("02:42:ac:11:00:02")
    );
}

#[test]
fn nothing_said_is_nothing_asked() {
    let empty =
        read(json!({"HostConfig": null, "NetworkingConfig": null, "Env": null, "Cmd": null}))
            .unwrap();
    assert_eq!(empty, ContainerSpec::default());
    assert_eq!(read(json!({"Cmd": []})).unwrap().command, None);
    assert_eq!(
        read(json!({"Entrypoint": "/bin/x"})).unwrap().entrypoint,
        Some(vec!["/bin/x".into()])
    );
}

#[test]
fn a_volume_driver_is_that_of_the_volumes_named_in_the_short_form() {
    let spec = read(json!({"HostConfig": {
        "Binds": ["db:/data", "/srv:/srv"], "VolumeDriver": "tmpfs", "Isolation": "default",
    }}));
    let spec = spec.unwrap();
    let drivers = spec.mounts.iter().map(|mount| match &mount.kind {
        MountKind::Volume { driver, .. } => driver.as_deref(),
        _ => None,
    });
    assert_eq!(drivers.collect::<Vec<_>>(), [Some("tmpfs"), None]);
    assert_eq!(spec.volume_driver.as_deref(), Some("tmpfs"));
}

#[test]
fn hostile_wishes_are_refused_with_their_place() {
    for (value, words) in [
        (json!({"Env": "A=1"}), "invalid type"),
        (json!({"Tty": "yes"}), "invalid type"),
        (json!({"HostConfig": []}), "invalid"),
        (json!({"HostConfig": {"Memory": 1e300}}), "invalid"),
        (json!({"HostConfig": {"Memory": -5}}), "below zero"),
        (
            json!({"HostConfig": {"PortBindings": {"99999/tcp": []}}}),
            "port",
        ),
        (
            json!({"HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": "9-1"}]}}}),
            "empty",
        ),
        (json!({"HostConfig": {"Binds": ["x"]}}), "x"),
        (
            json!({"HostConfig": {"Mounts": [{"Type": "bind", "Source": "../etc", "Target": "/x"}]}}),
            "absolute",
        ),
        (
            json!({"HostConfig": {"Mounts": [{"Type": "npipe", "Target": "/x"}]}}),
            "npipe",
        ),
        (json!({"HostConfig": {"Dns": ["nowhere"]}}), "nowhere"),
        (
            json!({"HostConfig": {"RestartPolicy": {"Name": "sometimes"}}}),
            "sometimes",
        ),
        (
            json!({"HostConfig": {"NetworkMode": "container:"}}),
            "container",
        ),
        (
            json!({"HostConfig": {"LogConfig": {"Type": "fluentd"}}}),
            "logger: no log driver named 'fluentd' is registered",
        ),
        (json!({"HostConfig": {"Isolation": "hyperv"}}), "hyperv"),
        (
            json!({"HostConfig": {"Ulimits": [{"Name": "x"}]}}),
            "ulimit",
        ),
        (
            json!({"NetworkingConfig": {"EndpointsConfig": {"a": {"IPAMConfig": {"IPv4Address": "999"}}}}}),
            "999",
        ),
    ] {
        let refused = read(value.clone()).unwrap_err();
        assert!(refused.contains(words), "{value}: {refused}");
    }
}

/// A create document, broken in one place after the other: it is read, or refused.
#[test]
fn no_mutant_of_a_document_does_harm() {
    let seed = include_bytes!("../../../../fuzz/seeds/api_body/create.json");
    let mut state = 1u64;
    let mut random = |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap_or(0) % below
    };
    let pieces: [&[u8]; 9] = [
        b"-1",
        b"null",
        b"[]",
        b"{}",
        b"\"\"",
        b"99999999999999999999",
        b"\\u0000",
        b":",
        b"\xff",
    ];
    let mut understood = 0;
    for _ in 0..20_000 {
        let mut bytes = seed.to_vec();
        for _ in 0..=random(3) {
            let at = random(bytes.len());
            let end = (at + random(6)).min(bytes.len());
            bytes.splice(at..end, pieces[random(pieces.len())].iter().copied());
        }
        if let Ok(body) = serde_json::from_slice::<ContainerBody>(&bytes) {
            understood += usize::from(body.read().is_ok());
        }
    }
    assert!(understood > 0);
}
