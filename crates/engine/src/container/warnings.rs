//! What a container will not get although it was asked for: said when it is made, in Docker's words where it has some.
//!
//! Source: moby `daemon/daemon_unix.go` `verifyPlatformContainerResources`; setrlimit(2).

use crate::spec::rlimits;
use model::container::ContainerSpec;

/// One line for each wish that is met by less. Looks at the host only for what was asked.
pub fn warnings(spec: &ContainerSpec) -> Vec<String> {
    let wanted = &spec.resources;
    let mut lines = Vec::new();
    let v2_memory = || {
        let found = runtime::cgroup::hierarchies();
        found.is_ok_and(|h| h.v1_with("memory").is_none())
    };
    if wanted.memory_swappiness.is_some() && v2_memory() {
        lines.push("Your kernel does not support memory swappiness capabilities or the cgroup is not mounted. Memory swappiness discarded.".to_owned());
    }
    if wanted.oom_kill_disable {
        if v2_memory() {
            lines.push(
                "Your kernel does not support OomKillDisable. OomKillDisable discarded.".to_owned(),
            );
        } else if wanted.memory.is_none() {
            lines.push("OOM killer is disabled for the container, but no memory limit is set, this can result in the system running out of resources.".to_owned());
        }
    }
    let swap = wanted.memory_swap.is_some_and(|swap| swap > 0);
    if swap && !runtime::cgroup::limits_swap() {
        lines.push("Your kernel does not support swap limit capabilities or the cgroup is not mounted. Memory limited without swap.".to_owned());
    }
    lines.extend(lowered_limits(spec));
    lines
}

/// Hard limits above our own need CAP_SYS_RESOURCE; without it the container gets ours.
fn lowered_limits(spec: &ContainerSpec) -> Vec<String> {
    let may_raise = || {
        let bit = sys::capability::number("SYS_RESOURCE");
        bit.is_some_and(|bit| sys::capability::effective().contains(bit))
    };
    if spec.ulimits.is_empty() || may_raise() {
        return Vec::new();
    }
    let wanted = rlimits(spec).unwrap_or_default();
    let lowered = wanted
        .iter()
        .zip(&spec.ulimits)
        .filter_map(|(limit, asked)| {
            let own = sys::rlimit::get(sys::rlimit::number(&limit.typ().to_string())?).ok()?;
            let name = &asked.name;
            (limit.hard() > own.hard).then(|| {
                format!(
                    "ulimit {name} is limited to {}: raising it needs CAP_SYS_RESOURCE.",
                    own.hard
                )
            })
        });
    lowered.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_for_nothing_is_told_nothing() {
        assert!(warnings(&ContainerSpec::default()).is_empty());
    }

    #[test]
    fn an_unlimited_killer_is_warned_of() {
        let mut spec = ContainerSpec::default();
        spec.resources.oom_kill_disable = true;
        let said = warnings(&spec);
        assert!(
            said[0].contains("OOM killer is disabled") || said[0].contains("discarded"),
            "{said:?}"
        );
    }

    #[test]
    fn a_limit_that_cannot_be_raised_is_told() {
        let spec = ContainerSpec {
            ulimits: vec![model::limits::Ulimit {
                name: "core".into(),
                soft: 0,
                hard: 0,
            }],
            ..Default::default()
        };
        assert!(warnings(&spec).is_empty(), "lowering is always allowed");
    }
}
