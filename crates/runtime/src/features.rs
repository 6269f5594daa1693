//! What this runtime knows, for callers that choose by it: the specification's features structure.
//!
//! It tells what the program is made for, not what this host can do; that is for `validate` and the start.
//! Source: runtime-spec `features.md`, `features-linux.md`.

use crate::hooks::HookKind;
use oci_spec::runtime::{
    Apparmor, Cgroup, Features, IDMap, IntelRdt, LinuxFeature, LinuxNamespaceType,
    LinuxSeccompAction, LinuxSeccompFilterFlag, LinuxSeccompOperator, MemoryPolicy,
    MemoryPolicyFlagType, MemoryPolicyModeType, MountExtensions, NetDevices, Seccomp, Selinux,
};
use std::collections::HashMap;

pub const OCI_VERSION_MIN: &str = "1.0.0";
pub const OCI_VERSION_MAX: &str = "1.3.0";

/// The whole structure.
pub fn features() -> Features {
    let mut features = Features::default();
    features
        .set_oci_version_min(OCI_VERSION_MIN.to_owned())
        .set_oci_version_max(OCI_VERSION_MAX.to_owned())
        .set_hooks(Some(words(HookKind::ALL.map(HookKind::name))))
        .set_mount_options(Some(crate::init::options::names()))
        .set_linux(Some(linux()))
        .set_annotations(Some(HashMap::from([(
            "org.opencontainers.runc.checkpoint.enabled".to_owned(),
            "false".to_owned(),
        )])))
        .set_potentially_unsafe_config_annotations(Some(words([crate::annotations::PREFIX])));
    features
}

fn words<T: ToString>(list: impl IntoIterator<Item = T>) -> Vec<String> {
    list.into_iter().map(|word| word.to_string()).collect()
}

fn linux() -> LinuxFeature {
    use LinuxNamespaceType as Ns;
    let mut linux = LinuxFeature::default();
    linux
        .set_namespaces(Some(vec![
            Ns::Cgroup,
            Ns::Ipc,
            Ns::Mount,
            Ns::Network,
            Ns::Pid,
            Ns::Time,
            Ns::User,
            Ns::Uts,
        ]))
        .set_capabilities(Some((0..64).map_while(sys::capability::name).collect()))
        .set_cgroup(Some(cgroup()))
        .set_seccomp(Some(seccomp()))
        .set_apparmor(Some({
            let mut apparmor = Apparmor::default();
            apparmor.set_enabled(Some(true));
            apparmor
        }))
        .set_selinux(Some({
            let mut selinux = Selinux::default();
            selinux.set_enabled(Some(true));
            selinux
        }))
        .set_intel_rdt(Some(intel_rdt()))
        .set_memory_policy(Some(memory_policy()))
        .set_mount_extensions(Some({
            let mut idmap = IDMap::default();
            idmap.set_enabled(Some(true));
            let mut extensions = MountExtensions::default();
            extensions.set_idmap(Some(idmap));
            extensions
        }))
        .set_net_devices(Some({
            let mut devices = NetDevices::default();
            devices.set_enabled(Some(true));
            devices
        }));
    linux
}

fn cgroup() -> Cgroup {
    let mut cgroup = Cgroup::default();
    cgroup
        .set_v1(Some(true))
        .set_v2(Some(true))
        .set_systemd(Some(true))
        .set_systemd_user(Some(false))
        .set_rdma(Some(true));
    cgroup
}

fn seccomp() -> Seccomp {
    use LinuxSeccompAction as Act;
    use LinuxSeccompFilterFlag as Flag;
    use LinuxSeccompOperator as Op;
    let known = [
        Flag::SeccompFilterFlagTsync,
        Flag::SeccompFilterFlagSpecAllow,
        Flag::SeccompFilterFlagLog,
        Flag::SeccompFilterFlagWaitKillableRecv,
    ];
    let supported = known
        .into_iter()
        .filter(|flag| sys::seccomp::knows_flag(crate::seccomp::flag(*flag)));
    let mut seccomp = Seccomp::default();
    seccomp
        .set_enabled(Some(true))
        .set_actions(Some(vec![
            Act::ScmpActAllow,
            Act::ScmpActErrno,
            Act::ScmpActKill,
            Act::ScmpActKillProcess,
            Act::ScmpActKillThread,
            Act::ScmpActLog,
            Act::ScmpActNotify,
            Act::ScmpActTrace,
            Act::ScmpActTrap,
        ]))
        .set_operators(Some(words([
            Op::ScmpCmpEq,
            Op::ScmpCmpGe,
            Op::ScmpCmpGt,
            Op::ScmpCmpLe,
            Op::ScmpCmpLt,
            Op::ScmpCmpMaskedEq,
            Op::ScmpCmpNe,
        ])))
        .set_archs(Some(crate::seccomp::KNOWN_ARCHES.to_vec()))
        .set_supported_flags(Some(words(supported)))
        .set_known_flags(Some(words(known)));
    seccomp
}

/// Refused where it is asked for: see `validate`.
fn intel_rdt() -> IntelRdt {
    let mut rdt = IntelRdt::default();
    rdt.set_enabled(Some(false))
        .set_schemata(Some(false))
        .set_monitoring(Some(false));
    rdt
}

fn memory_policy() -> MemoryPolicy {
    use MemoryPolicyFlagType as Flag;
    use MemoryPolicyModeType as Mode;
    let mut policy = MemoryPolicy::default();
    policy
        .set_modes(Some(words([
            Mode::MpolDefault,
            Mode::MpolBind,
            Mode::MpolInterleave,
            Mode::MpolWeightedInterleave,
            Mode::MpolPreferred,
            Mode::MpolPreferredMany,
            Mode::MpolLocal,
        ])))
        .set_flags(Some(words([
            Flag::MpolFNumaBalancing,
            Flag::MpolFRelativeNodes,
            Flag::MpolFStaticNodes,
        ])));
    policy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_the_specifications() {
        let json = serde_json::to_value(features()).unwrap();
        let has = |pointer: &str, word: &str| {
            let list = json.pointer(pointer).and_then(|list| list.as_array());
            assert!(
                list.is_some_and(|list| list.iter().any(|entry| entry == word)),
                "{word} in {pointer}"
            );
        };
        assert_eq!(json["ociVersionMin"], "1.0.0");
        has("/hooks", "createRuntime");
        has("/mountOptions", "rro");
        has("/linux/namespaces", "time");
        has("/linux/capabilities", "CAP_CHECKPOINT_RESTORE");
        has("/linux/seccomp/actions", "SCMP_ACT_NOTIFY");
        has("/linux/seccomp/operators", "SCMP_CMP_MASKED_EQ");
        has("/linux/seccomp/archs", "SCMP_ARCH_X86_64");
        has("/linux/seccomp/knownFlags", "SECCOMP_FILTER_FLAG_LOG");
        has("/linux/seccomp/supportedFlags", "SECCOMP_FILTER_FLAG_LOG");
        has("/linux/memoryPolicy/modes", "MPOL_INTERLEAVE");
        has("/linux/memoryPolicy/flags", "MPOL_F_STATIC_NODES");
        assert_eq!(json["linux"]["netDevices"]["enabled"], true);
        assert_eq!(json["linux"]["mountExtensions"]["idmap"]["enabled"], true);
        assert_eq!(json["linux"]["intelRdt"]["enabled"], false);
        assert_eq!(json["linux"]["capabilities"].as_array().unwrap().len(), 41);
    }

    #[test]
    fn nothing_is_left_unsaid() {
        fn check(at: &str, value: &serde_json::Value) {
            match value {
                serde_json::Value::Null => panic!("{at} is null"),
                serde_json::Value::Object(map) => map
                    .iter()
                    .for_each(|(key, value)| check(&format!("{at}.{key}"), value)),
                _ => {}
            }
        }
        check("", &serde_json::to_value(features()).unwrap());
    }
}
