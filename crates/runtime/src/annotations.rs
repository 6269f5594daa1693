//! The annotations of a configuration that change what this runtime does. All others are the callers' own.
//!
//! They are crun's, so that configurations written for it mean the same here. An engine that passes on annotations of people who
//! may not name files of the host must hold these back: `features` says so.
//! Source: crun(1) "CRUN EXTENSIONS", runtime-spec `features.md` "Unsafe annotations in `config.json`".

use oci_spec::runtime::Spec;
use std::collections::HashMap;

/// What every one of ours begins with.
pub(crate) const PREFIX: &str = "run.oci.";

const KEEP_GROUPS: &str = "run.oci.keep_original_groups";
const UNKNOWN_SYSCALLS: &str = "run.oci.seccomp_fail_unknown_syscall";

/// Files of the host to which what hooks write is appended.
pub(crate) const HOOKS_STDOUT: &str = "run.oci.hooks.stdout";
pub(crate) const HOOKS_STDERR: &str = "run.oci.hooks.stderr";

pub(crate) type Annotations = Option<HashMap<String, String>>;

pub(crate) fn text<'a>(annotations: &'a Annotations, name: &str) -> Option<&'a str> {
    annotations.as_ref()?.get(name).map(String::as_str)
}

fn is_on(spec: &Spec, name: &str) -> bool {
    text(spec.annotations(), name).is_some_and(|value| value != "0")
}

/// Whether the process has the groups of whoever starts it beside its own.
pub fn keeps_groups(spec: &Spec) -> bool {
    is_on(spec, KEEP_GROUPS)
}

/// Whether a seccomp profile may name only system calls that are known; else the others are left out.
pub(crate) fn refuses_unknown_syscalls(spec: &Spec) -> bool {
    is_on(spec, UNKNOWN_SYSCALLS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_zero_turns_one_off() {
        let with = |value: &str| {
            let mut spec = Spec::default();
            let one = (KEEP_GROUPS.to_owned(), value.to_owned());
            spec.set_annotations(Some(HashMap::from([one])));
            keeps_groups(&spec)
        };
        assert!(with("1") && with("") && !with("0"));
        assert!(!keeps_groups(&Spec::default()));
    }
}
