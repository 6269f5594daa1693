//! `config.json` and `process.json` of a bundle: from text to the runtime specification's types, with the property named that is
//! wrong.
//!
//! The types are those of `oci-spec`, which are stricter than the specification in a few places and spell a few words their own
//! way. A text they take as it is, is taken in one pass; any other is read again as plain JSON and brought into their form first
//! ([`adapt`]). What a spec says beyond its words (relations between properties, the host's abilities) is left to
//! `runtime::validate`.
//! Source: OCI runtime-spec 1.3 `config.md`, `config-linux.md`; `runtime.md` "Warnings".

use oci_spec::runtime::{Capability, LinuxSchedulerFlag, Process, Spec};
use serde::de::DeserializeOwned;
use serde_json::Value;
use thiserror::Error;

/// A document, and what had to be left out of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed<T> {
    pub value: T,
    /// To be logged: what the specification wants to be warned about and not refused.
    pub warnings: Vec<String>,
}

#[derive(Debug, Error)]
pub enum Error {
    #[error("not JSON: {0}")]
    Syntax(#[source] serde_json::Error),
    #[error("{path}: {source}")]
    Property {
        /// As `process.user.uid`.
        path: String,
        source: serde_json::Error,
    },
}

/// Reads a `config.json`.
pub fn parse(text: &[u8]) -> Result<Parsed<Spec>, Error> {
    read(text, |document, warnings| {
        if let Some(process) = document.get_mut("process") {
            adapt(process, "process.", warnings);
        }
        if let Some(resources) = document.pointer_mut("/linux/resources") {
            cut_hugepage_limits(resources);
        }
    })
}

/// Reads a `process.json`, as `exec --process` takes it.
pub fn parse_process(text: &[u8]) -> Result<Parsed<Process>, Error> {
    read(text, |document, warnings| adapt(document, "", warnings))
}

fn read<T: DeserializeOwned>(
    text: &[u8],
    adapt: impl FnOnce(&mut Value, &mut Vec<String>),
) -> Result<Parsed<T>, Error> {
    if let Ok(value) = serde_json::from_slice(text) {
        return Ok(Parsed {
            value,
            warnings: Vec::new(),
        });
    }
    let mut document: Value = serde_json::from_slice(text).map_err(Error::Syntax)?;
    let mut warnings = Vec::new();
    adapt(&mut document, &mut warnings);
    serde_path_to_error::deserialize(document)
        .map(|value| Parsed { value, warnings })
        .map_err(|e| Error::Property {
            path: e.path().to_string(),
            source: e.into_inner(),
        })
}

/// What the types of `process` do not take although the specification allows it.
fn adapt(process: &mut Value, at: &str, warnings: &mut Vec<String>) {
    if let Value::Object(properties) = &mut *process {
        // Whoever names no user means root.
        properties
            .entry("user")
            .or_insert_with(|| Value::Object(serde_json::Map::new()));
    }
    if let Some(Value::Object(sets)) = process.get_mut("capabilities") {
        let mut dropped: Vec<String> = Vec::new();
        for (_, list) in sets {
            drop_unknown_capabilities(list, &mut dropped);
        }
        if !dropped.is_empty() {
            // The words are runc's.
            warnings.push(format!(
                "{at}capabilities: ignoring unknown or unavailable capabilities: [{}]",
                dropped.join(" ")
            ));
        }
    }
    if let Some(Value::Array(flags)) = process.pointer_mut("/scheduler/flags") {
        flags.iter_mut().for_each(respell);
    }
    if let Some(Value::Object(affinity)) = process.get_mut("execCPUAffinity") {
        // An empty list is as good as none.
        affinity.retain(|_, list| list.as_str() != Some(""));
    }
}

/// "Any value which cannot be mapped to a relevant kernel interface [...] MUST be logged as a warning": the capabilities of a newer
/// kernel. What is not even spelt as one stays, to be refused.
fn drop_unknown_capabilities(list: &mut Value, dropped: &mut Vec<String>) {
    let Value::Array(names) = list else { return };
    names.retain(|name| {
        let unknown = name.as_str().filter(|text| {
            text.starts_with("CAP_") && serde_json::from_value::<Capability>(name.clone()).is_err()
        });
        let Some(text) = unknown else { return true };
        if !dropped.iter().any(|other| other == text) {
            dropped.push(text.to_owned());
        }
        false
    });
}

/// The specification's names of the scheduler's flags that `oci-spec` spells otherwise.
fn respell(flag: &mut Value) {
    let meant = match flag.as_str() {
        Some("SCHED_FLAG_RESET_ON_FORK") => LinuxSchedulerFlag::SchedResetOnFork,
        Some("SCHED_FLAG_DL_OVERRUN") => LinuxSchedulerFlag::SchedFlagDLOverrun,
        _ => return,
    };
    if let Ok(word) = serde_json::to_value(meant) {
        *flag = word;
    }
}

/// A limit is a `uint64`, the type's an `i64`: what is beyond is no limit either way.
fn cut_hugepage_limits(resources: &mut Value) {
    let Some(Value::Array(limits)) = resources.get_mut("hugepageLimits") else {
        return;
    };
    for limit in limits.iter_mut().filter_map(|entry| entry.get_mut("limit")) {
        if limit
            .as_u64()
            .is_some_and(|bytes| i64::try_from(bytes).is_err())
        {
            *limit = i64::MAX.into();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::runtime::LinuxSchedulerFlag::{SchedFlagDLOverrun, SchedResetOnFork};
    use proptest::prelude::*;

    fn process(json: &str) -> Result<Parsed<Process>, Error> {
        parse_process(json.as_bytes())
    }

    #[test]
    fn wrong_properties_are_named() {
        let told = |text: &str| parse(text.as_bytes()).unwrap_err().to_string();
        assert_eq!(
            told(r#"{"ociVersion":"1.0.0","process":{"cwd":"/","user":{"uid":"root"}}}"#),
            "process.user.uid: invalid type: string \"root\", expected u32"
        );
        assert!(
            told(r#"{"linux":{"namespaces":[{"type":"pid"},{"type":"moon"}]}}"#)
                .starts_with("linux.namespaces[1].type: unknown variant `moon`")
        );
        assert!(
            told(r#"{"linux":{"seccomp":{"defaultAction":"SCMP_ACT_SHRUG"}}}"#)
                .starts_with("linux.seccomp.defaultAction: unknown variant `SCMP_ACT_SHRUG`")
        );
        assert!(told("{\n\"a\":,}").starts_with("not JSON: expected value at line 2"));
        assert!(told("").starts_with("not JSON"));
        assert!(told("3").contains("invalid type"));
    }

    #[test]
    fn unknown_properties_are_ignored() {
        let parsed =
            parse(br#"{"ociVersion":"1.0.0","future":{"a":1},"linux":{"more":[]}}"#).unwrap();
        assert_eq!(
            (parsed.value.version().as_str(), parsed.warnings.len()),
            ("1.0.0", 0)
        );
    }

    #[test]
    fn unknown_capabilities_are_left_out_with_a_warning() {
        let parsed = process(
            r#"{"cwd":"/","user":{},"capabilities":{"bounding":["CAP_CHOWN","CAP_FLY"],"effective":["cap_kill"]}}"#,
        )
        .unwrap();
        assert_eq!(
            parsed.warnings,
            ["capabilities: ignoring unknown or unavailable capabilities: [CAP_FLY]"]
        );
        let wrong = process(r#"{"cwd":"/","capabilities":{"bounding":["TEST_CAP"]}}"#);
        assert_eq!(
            wrong.unwrap_err().to_string(),
            "capabilities.bounding[0]: no variant for TEST_CAP (converted to TEST_CAP)"
        );
        let sets = parsed.value.capabilities().clone().unwrap();
        assert_eq!(sets.bounding().as_ref().unwrap().len(), 1);
        assert_eq!(sets.effective().as_ref().unwrap().len(), 1);
    }

    #[test]
    fn flags_of_the_scheduler_as_the_specification_spells_them() {
        let parsed = process(
            r#"{"cwd":"/","user":{},"scheduler":{"policy":"SCHED_FIFO",
                "flags":["SCHED_FLAG_RESET_ON_FORK","SCHED_FLAG_DL_OVERRUN","SCHED_FLAG_RECLAIM"]}}"#,
        )
        .unwrap();
        let scheduler = parsed.value.scheduler().clone().unwrap();
        let flags = scheduler.flags().clone().unwrap();
        assert_eq!(flags[..2], [SchedResetOnFork, SchedFlagDLOverrun]);
        let wrong = process(
            r#"{"cwd":"/","user":{},"scheduler":{"policy":"SCHED_FIFO","flags":["SCHED_FLAG_X"]}}"#,
        );
        assert!(
            wrong
                .unwrap_err()
                .to_string()
                .starts_with("scheduler.flags[0]: unknown variant")
        );
    }

    #[test]
    fn no_user_is_root() {
        let parsed = process(r#"{"cwd":"/"}"#).unwrap();
        assert_eq!(parsed.value.user().uid(), 0);
    }

    #[test]
    fn empty_affinities_and_huge_limits() {
        let parsed =
            process(r#"{"cwd":"/","user":{},"execCPUAffinity":{"initial":"","final":"0-1"}}"#)
                .unwrap();
        let affinity = parsed.value.exec_cpu_affinity().clone().unwrap();
        assert_eq!(affinity.initial(), &None);
        assert_eq!(affinity.cpu_affinity_final().as_deref(), Some("0-1"));
        let parsed = parse(
            br#"{"linux":{"resources":{"hugepageLimits":[{"pageSize":"2MB","limit":18446744073709551615}]}}}"#,
        )
        .unwrap();
        let linux = parsed.value.linux().clone().unwrap();
        let resources = linux.resources().clone().unwrap();
        assert_eq!(
            resources.hugepage_limits().as_ref().unwrap()[0].limit(),
            i64::MAX
        );
    }

    proptest! {
        #[test]
        fn anything_is_taken_or_refused(text in "\\PC*") {
            let _ = parse(text.as_bytes());
            let _ = parse_process(text.as_bytes());
        }
    }
}
