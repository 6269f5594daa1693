//! Docker's profile files: `--security-opt seccomp=FILE`.
//!
//! Beside the OCI keys they have `archMap`, and rules that hold only for some architectures, capabilities or kernels.
//! Source: Docker's "Seccomp security profiles", moby `profiles/seccomp` for the meaning of the conditions.

use super::Error;
use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompArgBuilder,
    LinuxSeccompBuilder, LinuxSeccompFilterFlag, LinuxSeccompOperator, LinuxSyscall,
    LinuxSyscallBuilder,
};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    default_action: String,
    default_errno_ret: Option<u32>,
    architectures: Option<Vec<String>>,
    arch_map: Option<Vec<ArchMap>>,
    flags: Option<Vec<String>>,
    syscalls: Option<Vec<Syscall>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ArchMap {
    architecture: String,
    sub_architectures: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Syscall {
    /// The form of Docker 1.10.
    name: Option<String>,
    names: Option<Vec<String>>,
    action: String,
    errno_ret: Option<u32>,
    args: Option<Vec<Argument>>,
    #[serde(default)]
    includes: Condition,
    #[serde(default)]
    excludes: Condition,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Argument {
    index: usize,
    value: u64,
    #[serde(default)]
    value_two: u64,
    op: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Condition {
    caps: Vec<String>,
    arches: Vec<String>,
    min_kernel: Option<String>,
}

#[cfg(target_arch = "x86_64")]
const GO_ARCH: &str = "amd64";
#[cfg(target_arch = "aarch64")]
const GO_ARCH: &str = "arm64";

/// Reads a profile file for a process with these capabilities (`CAP_...`, the bounding set).
pub fn parse_docker_profile(text: &[u8], capabilities: &[String]) -> Result<LinuxSeccomp, Error> {
    let file: File = serde_json::from_slice(text)?;
    let kernel = rustix::system::uname();
    let kernel = kernel.release().to_string_lossy().into_owned();
    let mut syscalls = Vec::new();
    for syscall in file.syscalls.iter().flatten() {
        if holds(&syscall.includes, &syscall.excludes, capabilities, &kernel) {
            syscalls.push(convert(syscall)?);
        }
    }
    let mut builder = LinuxSeccompBuilder::default()
        .default_action(word::<LinuxSeccompAction>("action", &file.default_action)?)
        .architectures(architectures(&file)?)
        .syscalls(syscalls);
    if let Some(errno) = file.default_errno_ret {
        builder = builder.default_errno_ret(errno);
    }
    if let Some(flags) = &file.flags {
        let flags: Result<Vec<_>, Error> = flags
            .iter()
            .map(|flag| word::<LinuxSeccompFilterFlag>("flag", flag))
            .collect();
        builder = builder.flags(flags?);
    }
    builder.build().map_err(|e| Error::Unknown {
        what: "profile",
        value: e.to_string(),
    })
}

fn word<T: std::str::FromStr>(what: &'static str, text: &str) -> Result<T, Error> {
    text.parse().map_err(|_| Error::Unknown {
        what,
        value: text.to_owned(),
    })
}

fn architectures(file: &File) -> Result<Vec<Arch>, Error> {
    let native = if GO_ARCH == "amd64" {
        "SCMP_ARCH_X86_64"
    } else {
        "SCMP_ARCH_AARCH64"
    };
    let mut names: Vec<&str> = file
        .architectures
        .iter()
        .flatten()
        .map(String::as_str)
        .collect();
    for map in file
        .arch_map
        .iter()
        .flatten()
        .filter(|map| map.architecture == native)
    {
        names.push(&map.architecture);
        names.extend(map.sub_architectures.iter().flatten().map(String::as_str));
    }
    names.into_iter().map(arch).collect()
}

/// strum spells x86-64 its own way, so these are told by hand; architectures of other machines mean nothing here.
fn arch(name: &str) -> Result<Arch, Error> {
    Ok(match name {
        "SCMP_ARCH_X86_64" => Arch::ScmpArchX86_64,
        "SCMP_ARCH_X86" => Arch::ScmpArchX86,
        "SCMP_ARCH_X32" => Arch::ScmpArchX32,
        "SCMP_ARCH_AARCH64" => Arch::ScmpArchAarch64,
        other if other.starts_with("SCMP_ARCH_") => Arch::ScmpArchNative,
        other => {
            return Err(Error::Unknown {
                what: "architecture",
                value: other.to_owned(),
            });
        }
    })
}

/// All of `includes` and nothing of `excludes`.
fn holds(
    includes: &Condition,
    excludes: &Condition,
    capabilities: &[String],
    kernel: &str,
) -> bool {
    let has = |name: &String| capabilities.iter().any(|known| plain(known) == plain(name));
    let here = |arch: &String| arch == GO_ARCH;
    includes.caps.iter().all(has)
        && !excludes.caps.iter().any(has)
        && (includes.arches.is_empty() || includes.arches.iter().any(here))
        && !excludes.arches.iter().any(here)
        && includes
            .min_kernel
            .as_ref()
            .is_none_or(|least| version(kernel) >= version(least))
        && excludes
            .min_kernel
            .as_ref()
            .is_none_or(|least| version(kernel) < version(least))
}

fn plain(capability: &str) -> &str {
    capability.strip_prefix("CAP_").unwrap_or(capability)
}

fn version(text: &str) -> (u32, u32) {
    let mut parts = text
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|part| part.parse().ok());
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

fn convert(syscall: &Syscall) -> Result<LinuxSyscall, Error> {
    let names: Vec<String> = syscall
        .name
        .iter()
        .chain(syscall.names.iter().flatten())
        .cloned()
        .collect();
    let args: Result<Vec<LinuxSeccompArg>, Error> =
        syscall.args.iter().flatten().map(argument).collect();
    let mut builder = LinuxSyscallBuilder::default()
        .names(names)
        .action(word::<LinuxSeccompAction>("action", &syscall.action)?)
        .args(args?);
    if let Some(errno) = syscall.errno_ret {
        builder = builder.errno_ret(errno);
    }
    builder.build().map_err(|e| Error::Unknown {
        what: "rule",
        value: e.to_string(),
    })
}

fn argument(argument: &Argument) -> Result<LinuxSeccompArg, Error> {
    LinuxSeccompArgBuilder::default()
        .index(argument.index)
        .value(argument.value)
        .value_two(argument.value_two)
        .op(word::<LinuxSeccompOperator>("operator", &argument.op)?)
        .build()
        .map_err(|e| Error::Unknown {
            what: "argument",
            value: e.to_string(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROFILE: &str = r#"{
        "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1,
        "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]},
                    {"architecture": "SCMP_ARCH_RISCV64", "subArchitectures": null}],
        "syscalls": [
            {"names": ["read", "write"], "action": "SCMP_ACT_ALLOW"},
            {"name": "old", "action": "SCMP_ACT_ALLOW", "args": []},
            {"names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
            {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 2114060288, "op": "SCMP_CMP_MASKED_EQ"}],
             "excludes": {"caps": ["CAP_SYS_ADMIN"], "arches": ["s390x"]}},
            {"names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}},
            {"names": ["future"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "99.0"}}
        ]}"#;

    fn names(capabilities: &[String]) -> Vec<String> {
        let profile = parse_docker_profile(PROFILE.as_bytes(), capabilities).unwrap();
        profile
            .syscalls()
            .iter()
            .flatten()
            .flat_map(|syscall| syscall.names().clone())
            .collect()
    }

    #[test]
    fn conditions_choose_the_rules() {
        assert_eq!(names(&[]), ["read", "write", "old", "clone", "ptrace"]);
        assert_eq!(
            names(&["CAP_SYS_ADMIN".to_owned()]),
            ["read", "write", "old", "mount", "ptrace"]
        );
    }

    #[test]
    fn it_compiles() {
        super::super::compile(&parse_docker_profile(PROFILE.as_bytes(), &[]).unwrap()).unwrap();
    }

    #[test]
    fn nonsense_is_named() {
        for text in ["", "{}", "[]", r#"{"defaultAction": "SCMP_ACT_NOPE"}"#] {
            assert!(
                parse_docker_profile(text.as_bytes(), &[]).is_err(),
                "{text}"
            );
        }
    }

    #[test]
    fn kernel_versions() {
        assert!(version("6.18.44-fc") >= version("4.8"));
        assert!(version("4.19.0") < version("5.4"));
    }
}
