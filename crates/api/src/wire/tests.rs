//! The shapes against Docker's: names of fields, their order, nulls and empty lists.

use super::container_config::Config;
use super::endpoint::{Joined, NetworkSettings, Published};
use super::host_config::HostConfig;
use super::state::State;
use engine::Timestamp;
use engine::container::record::{ContainerRecord, Lifecycle};
use engine::container::state::State as EngineState;
use model::mount::{Mount, MountKind};
use model::network::{EndpointSettings, NetworkMode};
use model::port::{ContainerPort, HostPort, PortBinding, Protocol};
use serde_json::{Value, json};

fn record() -> ContainerRecord {
    let mut spec = model::ContainerSpec {
        image: "nginx".into(),
        network_mode: NetworkMode::Networks,
        ..Default::default()
    };
    spec.networks = vec![EndpointSettings {
        network: "front".into(),
        aliases: vec!["www".into()],
        ipv4_address: Some([10, 0, 0, 5].into()),
        ..Default::default()
    }];
    spec.ports = vec![PortBinding {
        host_ip: None,
        host_port: HostPort::Exact(8080),
        container_port: 80,
        protocol: Protocol::Tcp,
    }];
    spec.mounts = vec![Mount {
        kind: MountKind::Bind {
            source: "/srv".into(),
            create_source: true,
            propagation: None,
            recursion: Default::default(),
        },
        target: "/data".into(),
        read_only: true,
    }];
    spec.resources.memory = Some(1 << 20);
    ContainerRecord {
        id: model::Id::from_random([0xab; 32]),
        name: "web".into(),
        created: Timestamp(0),
        spec,
        image: Default::default(),
        process: Default::default(),
        mounts: Vec::new(),
        hostname: "h".into(),
        labels: Default::default(),
        stop_signal: "SIGTERM".into(),
        healthcheck: None,
        runtime: None,
        userns: None,
        quota: None,
        exposed: vec![
            ContainerPort {
                port: 80,
                protocol: Protocol::Tcp,
            },
            ContainerPort {
                port: 443,
                protocol: Protocol::Tcp,
            },
        ],
    }
}

fn value(shape: impl serde::Serialize) -> Value {
    serde_json::to_value(shape).unwrap()
}

#[test]
fn a_host_config_says_what_was_asked_in_dockers_words() {
    let host = value(HostConfig::from(&record()));
    for (pointer, wanted) in [
        ("/Binds/0", json!("/srv:/data:ro")),
        ("/NetworkMode", json!("front")),
        (
            "/PortBindings/80~1tcp/0",
            json!({"HostIp": "", "HostPort": "8080"}),
        ),
        (
            "/RestartPolicy",
            json!({"Name": "no", "MaximumRetryCount": 0}),
        ),
        ("/Memory", json!(1 << 20)),
        ("/MemorySwap", json!(2 << 20)),
        ("/CapAdd", Value::Null),
        ("/Dns", json!([])),
        ("/ShmSize", json!(64 << 20)),
        ("/UTSMode", json!("")),
        ("/IpcMode", json!("private")),
        ("/PidsLimit", Value::Null),
        ("/LogConfig", json!({"Type": "local", "Config": {}})),
        ("/BlkioDeviceReadIOps", json!([])),
    ] {
        assert_eq!(host.pointer(pointer), Some(&wanted), "{pointer}");
    }
    assert!(
        host.get("Init").is_none() && host.get("Sysctls").is_none(),
        "left out when not asked for"
    );
}

#[test]
fn a_config_leaves_out_what_docker_leaves_out() {
    let config = value(Config::from(&record()));
    assert_eq!(config["ExposedPorts"], json!({"443/tcp": {}, "80/tcp": {}}));
    assert_eq!(config["Entrypoint"], Value::Null);
    assert_eq!(config["Volumes"], Value::Null);
    assert_eq!(config["StopSignal"], "SIGTERM");
    assert!(config.get("Healthcheck").is_none());
}

#[test]
fn an_exited_state_tells_when_and_how() {
    let last = Lifecycle {
        exit_code: 137,
        oom_killed: true,
        finished_at: Some(Timestamp(1_000_000_000)),
        ..Default::default()
    };
    let state = value(State::new(&record(), &EngineState::Exited(last)));
    assert_eq!(
        state,
        json!({
            "Status": "exited", "Running": false, "Paused": false, "Restarting": false, "OOMKilled": true, "Dead": false,
            "Pid": 0, "ExitCode": 137, "Error": "", "StartedAt": "0001-01-01T00:00:00Z",
            "FinishedAt": "1970-01-01T00:00:01.000000000Z"
        })
    );
}

#[test]
fn network_settings_show_addresses_names_and_ports() {
    let joined = Joined {
        network: "front".into(),
        network_id: "n1".into(),
        endpoint_id: "e1".into(),
        gateway: Some([10, 0, 0, 1].into()),
        address: Some(([10, 0, 0, 5].into(), 24)),
        mac_address: "02:42:0a:00:00:05".into(),
        ..Default::default()
    };
    let published = Published {
        container_port: "80/tcp".into(),
        host_ip: None,
        host_port: 8080,
    };
    let settings = value(NetworkSettings::new(
        &record(),
        &[joined],
        &[published],
        true,
    ));
    for (pointer, wanted) in [
        ("/Networks/front/IPAddress", json!("10.0.0.5")),
        ("/Networks/front/IPPrefixLen", json!(24)),
        (
            "/Networks/front/IPAMConfig",
            json!({"IPv4Address": "10.0.0.5"}),
        ),
        ("/Networks/front/Aliases", json!(["www"])),
        (
            "/Networks/front/DNSNames",
            json!(["web", "www", "abababababab"]),
        ),
        (
            "/Ports/80~1tcp",
            json!([{"HostIp": "0.0.0.0", "HostPort": "8080"}, {"HostIp": "::", "HostPort": "8080"}]),
        ),
        ("/Ports/443~1tcp", Value::Null),
        ("/IPAddress", json!("")),
        ("/SecondaryIPAddresses", Value::Null),
    ] {
        assert_eq!(settings.pointer(pointer), Some(&wanted), "{pointer}");
    }
}

/// As watchtower does it: a container is made anew from what inspect told of the old one.
#[test]
fn what_inspect_tells_can_be_asked_for_again() {
    let mut record = record();
    record.spec.restart = "on-failure:3".parse().unwrap();
    record.spec.cap_add = vec!["NET_ADMIN".into()];
    record.spec.resources.nano_cpus = Some(500_000_000);
    let mut body = value(Config::from(&record));
    let host = value(HostConfig::from(&record));
    body.as_object_mut()
        .unwrap()
        .insert("HostConfig".into(), host);
    let joined = Joined {
        network: "front".into(),
        ..Default::default()
    };
    let settings = value(NetworkSettings::new(&record, &[joined], &[], false));
    let endpoints = json!({ "EndpointsConfig": settings["Networks"] });
    body.as_object_mut()
        .unwrap()
        .insert("NetworkingConfig".into(), endpoints);
    let body: crate::ask::ContainerBody = serde_json::from_value(body).unwrap();
    let again = body.read().unwrap();
    assert_eq!(again.ports, record.spec.ports);
    assert_eq!(again.mounts, record.spec.mounts);
    assert_eq!(again.restart, record.spec.restart);
    assert_eq!(again.networks[0].aliases, ["www"]);
    assert_eq!(
        again.networks[0].ipv4_address,
        record.spec.networks[0].ipv4_address
    );
    assert_eq!(again.resources.memory, record.spec.resources.memory);
    assert_eq!(again.resources.nano_cpus, record.spec.resources.nano_cpus);
    assert_eq!(again.cap_add, record.spec.cap_add);
}

#[test]
fn what_a_process_is_not_given_and_what_it_is_to_get_are_shown() {
    let mut container = record();
    container.spec.env = vec!["A=1".into(), "Bare".into()];
    container.process.env = vec!["PATH=/bin".into(), "A=1".into()];
    let config = value(Config::from(&container));
    assert_eq!(config["Env"], json!(["PATH=/bin", "A=1", "Bare"]));
    container.spec.networks[0].mac_address = Some("02:42:ac:11:00:02".into());
    let asked = |network| super::endpoint::asked_mac_address(&container, network);
    assert_eq!(
        (asked("front"), asked("back")),
        ("02:42:ac:11:00:02".into(), String::new())
    );
}

#[test]
fn requests_for_devices_are_in_dockers_words_and_can_be_asked_for_again() {
    let mut container = record();
    container.spec.device_requests = vec![model::device::DeviceRequest {
        driver: "cdi".into(),
        count: -1,
        device_ids: vec!["vendor.com/class=a".into()],
        capabilities: vec![vec!["gpu".into()]],
        options: [("a".into(), "b".into())].into(),
    }];
    let host = value(HostConfig::from(&container));
    assert_eq!(
        host["DeviceRequests"],
        json!([{
            "Driver": "cdi", "Count": -1, "DeviceIDs": ["vendor.com/class=a"],
            "Capabilities": [["gpu"]], "Options": {"a": "b"},
        }])
    );
    let body = json!({ "Image": "x", "HostConfig": { "DeviceRequests": host["DeviceRequests"] } });
    let body: crate::ask::ContainerBody = serde_json::from_value(body).unwrap();
    let again = body.read().unwrap().device_requests;
    assert_eq!(again, container.spec.device_requests);
}
