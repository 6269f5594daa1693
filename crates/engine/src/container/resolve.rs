//! What the user asked for, joined with what the image says. Pure.
//!
//! Source: Docker CLI reference (`--entrypoint` clears the image's command), moby `daemon/commit.go` `merge`,
//! Compose Specification (`entrypoint`, `command`, `healthcheck`).

use super::record::ProcessRecord;
use model::container::ContainerSpec;
use model::health::{HealthTest, Healthcheck};
use model::mount::{Mount, MountKind};
use model::port::ContainerPort;
use oci::{ContainerConfig, HealthConfig};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Docker's search path where neither image nor user sets one.
pub const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The process to execute.
pub fn process(spec: &ContainerSpec, image: &ContainerConfig) -> ProcessRecord {
    let cleared = |v: &[String]| v.iter().all(String::is_empty);
    let (entrypoint, inherited) = match &spec.entrypoint {
        Some(given) if cleared(given) => (Vec::new(), None),
        Some(given) => (given.clone(), None),
        None => (
            image.entrypoint.clone().unwrap_or_default(),
            image.cmd.clone(),
        ),
    };
    let command = spec.command.clone().or(inherited).unwrap_or_default();
    ProcessRecord {
        entrypoint,
        command,
        env: environment(&spec.env, &image.env),
        working_dir: first(spec.working_dir.as_deref(), &image.working_dir, "/"),
        user: first(spec.user.as_deref(), &image.user, ""),
    }
}

fn first(given: Option<&str>, image: &str, default: &str) -> String {
    let chosen = given.filter(|g| !g.is_empty()).unwrap_or(image);
    if chosen.is_empty() {
        default.to_owned()
    } else {
        chosen.to_owned()
    }
}

/// The image's variables with the user's over them; a bare `KEY` takes the image's away.
pub fn environment(given: &[String], image: &[String]) -> Vec<String> {
    let key = |entry: &str| entry.split('=').next().unwrap_or_default().to_owned();
    let mut result: Vec<String> = image.to_vec();
    for entry in given {
        let name = key(entry);
        let place = result.iter().position(|e| key(e) == name);
        match (entry.contains('='), place) {
            (true, Some(at)) => result[at].clone_from(entry),
            (true, None) => result.push(entry.clone()),
            (false, Some(at)) => drop(result.remove(at)),
            (false, None) => {}
        }
    }
    if !result.iter().any(|e| e.starts_with("PATH=")) {
        result.insert(0, DEFAULT_PATH.to_owned());
    }
    result
}

/// The image's labels with the user's over them.
pub fn labels(spec: &ContainerSpec, image: &ContainerConfig) -> BTreeMap<String, String> {
    let mut labels = image.labels.clone();
    labels.extend(spec.labels.clone());
    labels
}

/// Every port that is exposed: by the image, by `--expose`, by publishing it.
pub fn exposed(spec: &ContainerSpec, image: &ContainerConfig) -> Vec<ContainerPort> {
    let mut ports: BTreeSet<ContainerPort> = spec.expose.iter().copied().collect();
    for text in image.exposed_ports.keys() {
        ports.extend(model::port::parse_expose(text).unwrap_or_default());
    }
    ports.extend(spec.ports.iter().map(|p| ContainerPort {
        port: p.container_port,
        protocol: p.protocol,
    }));
    ports.into_iter().collect()
}

/// The check to run, or `None`.
pub fn healthcheck(spec: &ContainerSpec, image: &ContainerConfig) -> Option<Healthcheck> {
    let from_image = image.healthcheck.as_ref().and_then(image_healthcheck);
    let given = match &spec.healthcheck {
        None => return from_image.filter(|h| h.test != HealthTest::None),
        Some(given) => given.clone(),
    };
    match given.test {
        HealthTest::None => None,
        HealthTest::Inherit => {
            let base = from_image.filter(|h| h.test != HealthTest::None)?;
            Some(Healthcheck {
                test: base.test,
                interval: given.interval.or(base.interval),
                timeout: given.timeout.or(base.timeout),
                start_period: given.start_period.or(base.start_period),
                start_interval: given.start_interval.or(base.start_interval),
                retries: given.retries.or(base.retries),
            })
        }
        _ => Some(given),
    }
}

fn image_healthcheck(health: &HealthConfig) -> Option<Healthcheck> {
    let nanos = |n: i64| {
        u64::try_from(n)
            .ok()
            .filter(|n| *n > 0)
            .map(Duration::from_nanos)
    };
    let test = match health.test.split_first()? {
        (kind, _) if kind == "NONE" => HealthTest::None,
        (kind, rest) if kind == "CMD-SHELL" => HealthTest::Shell(rest.join(" ")),
        (kind, rest) if kind == "CMD" => HealthTest::Cmd(rest.to_vec()),
        _ => return None,
    };
    Some(Healthcheck {
        test,
        interval: nanos(health.interval),
        timeout: nanos(health.timeout),
        start_period: nanos(health.start_period),
        start_interval: nanos(health.start_interval),
        retries: u32::try_from(health.retries).ok().filter(|n| *n > 0),
    })
}

/// The user's mounts, then those of `--volumes-from`, then an anonymous volume for every volume of the image
/// that none of them covers.
pub fn mounts(spec: &ContainerSpec, from: Vec<Mount>, image: &ContainerConfig) -> Vec<Mount> {
    let clean = |path: &str| {
        let trimmed = path.trim_end_matches('/');
        if trimmed.is_empty() {
            "/".to_owned()
        } else {
            trimmed.to_owned()
        }
    };
    let mut mounts: Vec<Mount> = spec.mounts.clone();
    let mut taken: BTreeSet<String> = mounts.iter().map(|m| clean(&m.target)).collect();
    for mount in from {
        if taken.insert(clean(&mount.target)) {
            mounts.push(mount);
        }
    }
    for target in image.volumes.keys() {
        if taken.insert(clean(target)) {
            mounts.push(anonymous(target));
        }
    }
    mounts
}

fn anonymous(target: &str) -> Mount {
    Mount {
        kind: MountKind::anonymous_volume(),
        target: target.to_owned(),
        read_only: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(list: &[&str]) -> Vec<String> {
        list.iter().map(|s| (*s).to_owned()).collect()
    }

    fn image() -> ContainerConfig {
        ContainerConfig {
            entrypoint: Some(strings(&["/entry"])),
            cmd: Some(strings(&["serve"])),
            env: strings(&["PATH=/bin", "A=image", "B=image"]),
            ..Default::default()
        }
    }

    #[test]
    fn a_command_replaces_the_images_and_an_entrypoint_clears_it() {
        let mut spec = ContainerSpec::default();
        assert_eq!(process(&spec, &image()).args(), ["/entry", "serve"]);
        spec.command = Some(strings(&["help"]));
        assert_eq!(process(&spec, &image()).args(), ["/entry", "help"]);
        spec.command = None;
        spec.entrypoint = Some(strings(&["sh"]));
        assert_eq!(
            process(&spec, &image()).args(),
            ["sh"],
            "the image's command goes with its entrypoint"
        );
        spec.entrypoint = Some(strings(&[""]));
        assert_eq!(process(&spec, &image()).args(), Vec::<String>::new());
    }

    #[test]
    fn variables_are_replaced_in_place_added_and_taken_away() {
        let env = environment(&strings(&["A=mine", "C=new", "B"]), &image().env);
        assert_eq!(env, ["PATH=/bin", "A=mine", "C=new"]);
        assert_eq!(environment(&[], &[]), [DEFAULT_PATH]);
    }

    #[test]
    fn image_volumes_become_anonymous_unless_something_is_mounted_there() {
        let mut image = image();
        image.volumes.insert("/data/".into(), Default::default());
        image.volumes.insert("/cache".into(), Default::default());
        let mut spec = ContainerSpec::default();
        spec.mounts.push(Mount {
            kind: MountKind::Tmpfs {
                size: None,
                mode: None,
                options: vec![],
            },
            target: "/data".into(),
            read_only: false,
        });
        let targets: Vec<String> = mounts(&spec, vec![], &image)
            .into_iter()
            .map(|m| m.target)
            .collect();
        assert_eq!(targets, ["/data", "/cache"]);
    }

    #[test]
    fn timings_alone_keep_the_images_test() {
        let mut image = image();
        image.healthcheck = Some(HealthConfig {
            test: strings(&["CMD", "true"]),
            interval: 2_000_000_000,
            ..Default::default()
        });
        let given = Healthcheck {
            test: HealthTest::Inherit,
            interval: None,
            timeout: Some(Duration::from_secs(1)),
            start_period: None,
            start_interval: None,
            retries: Some(7),
        };
        let spec = ContainerSpec {
            healthcheck: Some(given),
            ..Default::default()
        };
        let check = healthcheck(&spec, &image).unwrap();
        assert_eq!(check.test, HealthTest::Cmd(strings(&["true"])));
        assert_eq!(check.interval, Some(Duration::from_secs(2)));
        assert_eq!(
            (check.timeout, check.retries),
            (Some(Duration::from_secs(1)), Some(7))
        );
    }
}
