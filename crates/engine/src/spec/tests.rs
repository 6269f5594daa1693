//! From a record to the OCI spec, without a kernel.

use super::*;
use crate::fixture::{record, refusal};
use model::container::NamespaceMode;
use model::limits::{Resources, Ulimit};
use model::network::NetworkMode;
use oci_spec::runtime::Capability;
use runtime::defaults;
use std::path::Path;

fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(|s| (*s).to_owned()).collect()
}

fn held(add: &[&str], drop: &[&str]) -> std::collections::HashSet<Capability> {
    let spec = ContainerSpec {
        cap_add: strings(add),
        cap_drop: strings(drop),
        ..Default::default()
    };
    let sets = capabilities::sets(&spec).unwrap();
    assert_eq!(sets.bounding(), sets.effective());
    assert_eq!(sets.bounding(), sets.permitted());
    assert!(sets.ambient().as_ref().unwrap().is_empty());
    assert!(sets.inheritable().as_ref().unwrap().is_empty());
    sets.bounding().clone().unwrap()
}

#[test]
fn capabilities_are_dockers_with_additions_and_without_what_is_dropped() {
    assert_eq!(held(&[], &[]), defaults::CAPABILITIES.into_iter().collect());
    let changed = held(&["NET_ADMIN", "cap_sys_ptrace"], &["CHOWN", "CAP_MKNOD"]);
    assert!(changed.contains(&Capability::NetAdmin) && changed.contains(&Capability::SysPtrace));
    assert!(!changed.contains(&Capability::Chown) && !changed.contains(&Capability::Mknod));
    assert!(held(&[], &["ALL"]).is_empty());
    let one = held(&["NET_BIND_SERVICE"], &["all"]);
    assert_eq!(
        one.into_iter().collect::<Vec<_>>(),
        [Capability::NetBindService]
    );
}

#[test]
fn all_capabilities_are_those_we_have_ourselves() {
    let own = sys::capability::effective();
    let count = (0..=sys::capability::last_capability())
        .filter(|bit| own.contains(*bit))
        .count();
    assert_eq!(held(&["ALL"], &[]).len(), count);
    if count > 0 {
        assert!(!held(&["ALL"], &["CHOWN"]).contains(&Capability::Chown));
    }
    let privileged = ContainerSpec {
        privileged: true,
        cap_drop: strings(&["ALL"]),
        ..Default::default()
    };
    let sets = capabilities::sets(&privileged).unwrap();
    assert_eq!(sets.bounding().as_ref().unwrap().len(), count);
}

#[test]
fn an_unknown_capability_is_refused_by_name() {
    let spec = ContainerSpec {
        cap_add: strings(&["FLY"]),
        ..Default::default()
    };
    assert!(refusal(check(&spec)).contains("unknown capability: \"CAP_FLY\""));
}

pub(crate) fn facts() -> Facts {
    Facts {
        hostname_file: "/data/hostname".into(),
        contents: "/run/files".into(),
        hosts_file: "/data/hosts".into(),
        resolv_file: "/data/resolv.conf".into(),
        volumes: HashMap::from([(
            "db".to_owned(),
            VolumeSource {
                directory: "/volumes/db/_data".into(),
                flags: Vec::new(),
                is_filesystem: false,
            },
        )]),
        ..Default::default()
    }
}

fn limits(resources: Resources) -> Result<oci_spec::runtime::LinuxResources> {
    let spec = ContainerSpec {
        resources,
        ..Default::default()
    };
    linux_resources(&spec, &[])
}

#[test]
fn limits_become_cgroup_values() {
    let set = limits(Resources {
        memory: Some(64 << 20),
        memory_swap: Some(-1),
        nano_cpus: Some(500_000_000),
        pids_limit: Some(20),
        ..Default::default()
    })
    .unwrap();
    let memory = set.memory().as_ref().unwrap();
    assert_eq!((memory.limit(), memory.swap()), (Some(64 << 20), Some(-1)));
    let cpu = set.cpu().as_ref().unwrap();
    assert_eq!((cpu.quota(), cpu.period()), (Some(50_000), Some(100_000)));
    assert_eq!(set.pids().as_ref().unwrap().limit(), 20);
    let unlimited = limits(Resources {
        pids_limit: Some(-1),
        ..Default::default()
    })
    .unwrap();
    assert!(unlimited.pids().is_none() && unlimited.memory().is_none());
}

#[test]
fn contradictory_limits_are_refused_in_dockers_words() {
    let says = |resources, text: &str| {
        let said = refusal(limits(resources));
        assert!(said.contains(text), "{said}");
    };
    let none = Resources::default;
    says(
        Resources {
            memory: Some(4 << 20),
            ..none()
        },
        "Minimum memory limit allowed is 6MB",
    );
    says(
        Resources {
            memory: Some(8 << 20),
            memory_swap: Some(7 << 20),
            ..none()
        },
        "Minimum memoryswap limit should be larger than memory limit",
    );
    says(
        Resources {
            memory_swap: Some(8 << 20),
            ..none()
        },
        "You should always set the Memory limit when using Memoryswap limit",
    );
    says(
        Resources {
            memory: Some(8 << 20),
            memory_reservation: Some(9 << 20),
            ..none()
        },
        "Minimum memory limit can not be less than memory reservation limit",
    );
    says(
        Resources {
            nano_cpus: Some(1_000_000_000),
            cpu_quota: Some(5),
            ..none()
        },
        "Conflicting options: Nano CPUs and CPU Period cannot both be set",
    );
    says(
        Resources {
            nano_cpus: Some(100_000 * 1_000_000_000),
            ..none()
        },
        "range of CPUs is from 0.01 to",
    );
    says(
        Resources {
            blkio_weight: Some(5),
            ..none()
        },
        "Range of blkio weight is from 10 to 1000",
    );
}

#[test]
fn ulimits_are_read_with_minus_one_for_unlimited() {
    let ulimit = |name: &str, soft, hard| ContainerSpec {
        ulimits: vec![Ulimit {
            name: name.into(),
            soft,
            hard,
        }],
        ..Default::default()
    };
    let set = rlimits(&ulimit("nofile", 1024, -1)).unwrap();
    assert_eq!(set[0].typ(), PosixRlimitType::RlimitNofile);
    assert_eq!((set[0].soft(), set[0].hard()), (1024, u64::MAX));
    assert!(refusal(check(&ulimit("files", 1, 1))).contains("invalid ulimit type: files"));
    for name in model::limits::ULIMIT_NAMES {
        assert!(rlimits(&ulimit(name, 1, 2)).is_ok(), "{name}");
    }
}

#[test]
fn sysctls_of_the_host_are_refused() {
    let with = |key: &str| ContainerSpec {
        sysctls: [(key.to_owned(), "1".to_owned())].into(),
        ..Default::default()
    };
    for good in [
        "net.core.somaxconn",
        "kernel.shmmax",
        "fs.mqueue.msg_max",
        "kernel.domainname",
    ] {
        assert!(check(&with(good)).is_ok(), "{good}");
    }
    assert!(refusal(check(&with("vm.swappiness"))).contains("invalid sysctl vm.swappiness"));
    let host_network = ContainerSpec {
        network_mode: NetworkMode::Host,
        ..with("net.core.somaxconn")
    };
    assert!(check(&host_network).is_err());
    let host_ipc = ContainerSpec {
        ipc_mode: NamespaceMode::Host,
        ..with("kernel.shmmax")
    };
    assert!(check(&host_ipc).is_err());
}

#[test]
fn low_ports_need_no_capability_in_a_network_namespace_of_ones_own() {
    let key = "net.ipv4.ip_unprivileged_port_start";
    let set = |record: &ContainerRecord, facts: &Facts| {
        let spec = build(record, facts).unwrap();
        let sysctl = spec.linux().as_ref().unwrap().sysctl().clone();
        sysctl.unwrap_or_default().get(key).cloned()
    };
    let mut web = record(ContainerSpec::default());
    assert_eq!(set(&web, &facts()).as_deref(), Some("0"));
    let host = Facts {
        network: Source::Host,
        ..facts()
    };
    assert_eq!(set(&web, &host), None);
    web.spec.sysctls.insert(key.into(), "80".into());
    assert_eq!(set(&web, &facts()).as_deref(), Some("80"));
}

#[test]
fn the_environment_has_hostname_and_with_a_terminal_term() {
    let mut web = record(ContainerSpec::default());
    assert_eq!(environment(&web, &[]), ["HOSTNAME=box", "PATH=/bin"]);
    web.spec.tty = true;
    web.process.env.push("HOSTNAME=mine".into());
    assert_eq!(
        environment(&web, &["HOSTNAME=linked".into()]),
        ["TERM=xterm", "PATH=/bin", "HOSTNAME=mine"]
    );
}

#[test]
fn namespaces_come_from_where_they_were_asked_for() {
    let joined = Facts {
        pid: Source::Process(42),
        ipc: Source::Host,
        ..facts()
    };
    let spec = build(&record(ContainerSpec::default()), &joined).unwrap();
    let list = spec.linux().as_ref().unwrap().namespaces().clone().unwrap();
    let of = |kind| list.iter().find(|n| n.typ() == kind);
    let pid = of(LinuxNamespaceType::Pid).unwrap();
    assert_eq!(pid.path().as_deref(), Some(Path::new("/proc/42/ns/pid")));
    assert!(of(LinuxNamespaceType::Ipc).is_none());
    assert!(of(LinuxNamespaceType::Mount).is_some_and(|n| n.path().is_none()));
}

#[test]
fn an_exec_takes_the_containers_settings_and_its_own_over_them() {
    let web = record(ContainerSpec {
        cap_drop: strings(&["ALL"]),
        ..Default::default()
    });
    let exec = crate::container::exec::ExecSpec {
        args: strings(&["ls"]),
        env: strings(&["A=1"]),
        working_dir: Some("/tmp".into()),
        ..Default::default()
    };
    let process = exec_process(&web, &exec, Vec::new()).unwrap();
    assert_eq!(process.args().as_deref(), Some(&strings(&["ls"])[..]));
    assert_eq!(process.cwd(), Path::new("/tmp"));
    assert!(process.env().as_ref().unwrap().contains(&"A=1".to_owned()));
    let held = process.capabilities().as_ref().unwrap().bounding().clone();
    assert!(held.unwrap().is_empty());
}

#[test]
fn device_rules_are_read_or_refused() {
    let rule = |text: &str| devices::rules(&[text.to_owned()]);
    let read = rule("c 1:* rw").unwrap();
    assert_eq!((read[0].major(), read[0].minor()), (Some(1), None));
    assert_eq!(read[0].access().as_deref(), Some("rw"));
    for bad in ["", "c", "x 1:3 r", "c 1 r", "c 1:3 q", "c 1:3 r more"] {
        assert!(rule(bad).is_err(), "{bad:?}");
    }
}
