//! `boot`: starts what the restart policies say, once after the host came up; and takes over what runs without
//! a monitor.

use crate::container::launch;
use crate::container::record::{ContainerRecord, Lifecycle};
use crate::container::start::{StartOptions, start};
use crate::container::state::{RunState, State};
use crate::context::Context;
use crate::error::{Error, Result};
use model::restart::RestartCondition;

/// What came of one container.
#[derive(Debug)]
pub struct Outcome {
    pub name: String,
    pub result: Result<Action>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Started,
    /// It ran, but its monitor was gone.
    Adopted,
}

/// Starts and adopts. One that fails does not keep the others back. Containers of a Compose project come in
/// the order of their dependencies.
pub fn boot(ctx: &Context) -> Result<Vec<Outcome>> {
    let mut containers = ContainerRecord::list(ctx)?;
    containers.sort_by_key(|c| c.created);
    let mut outcomes = Vec::new();
    for container in in_order(&containers) {
        let id = container.id.as_str();
        let name = container.name.clone();
        if State::load(ctx, id)?.process().is_some() {
            if RunState::load(ctx, id)?.is_some_and(|r| !r.monitor.is_alive()) {
                let result = launch::adopt(ctx, container).map(|()| Action::Adopted);
                outcomes.push(Outcome { name, result });
            }
            continue;
        }
        if wants_start(ctx, container)? {
            crate::sweep::sweep_run(ctx, id)?;
            let result = start(ctx, container, StartOptions::default()).map(|_| Action::Started);
            outcomes.push(Outcome { name, result });
        }
    }
    crate::sweep::sweep(ctx)?;
    Ok(outcomes)
}

/// Docker's rules after a restart of the host.
fn wants_start(ctx: &Context, container: &ContainerRecord) -> Result<bool> {
    let Some(last) = Lifecycle::load(ctx, container.id.as_str())? else {
        return Ok(false);
    };
    Ok(match container.spec.restart.condition {
        RestartCondition::No => false,
        RestartCondition::Always => true,
        RestartCondition::UnlessStopped => !last.stopped_by_user,
        RestartCondition::OnFailure => {
            last.running || (last.exit_code != 0 && !last.stopped_by_user)
        }
    })
}

/// Dependencies (Compose's label `com.docker.compose.depends_on`) before those who depend on them.
fn in_order(containers: &[ContainerRecord]) -> Vec<&ContainerRecord> {
    let mut ordered: Vec<&ContainerRecord> = Vec::new();
    let mut left: Vec<&ContainerRecord> = containers.iter().collect();
    while !left.is_empty() {
        let waits = |c: &ContainerRecord| {
            dependencies(c)
                .iter()
                .any(|d| left.iter().any(|o| o.id != c.id && is_service(o, c, d)))
        };
        let (later, now): (Vec<_>, Vec<_>) = left.iter().copied().partition(|c| waits(c));
        if now.is_empty() {
            // A circle: Compose refuses one, so this is not a project of ours; any order will do.
            ordered.extend(later);
            break;
        }
        ordered.extend(now);
        left = later;
    }
    ordered
}

/// `db:service_healthy:true,cache:service_started:false` → db, cache.
fn dependencies(container: &ContainerRecord) -> Vec<String> {
    let label = container
        .labels
        .get("com.docker.compose.depends_on")
        .map_or("", String::as_str);
    label
        .split(',')
        .filter_map(|d| d.split(':').next())
        .filter(|d| !d.is_empty())
        .map(str::to_owned)
        .collect()
}

fn is_service(other: &ContainerRecord, container: &ContainerRecord, service: &str) -> bool {
    let project = "com.docker.compose.project";
    other.labels.get(project) == container.labels.get(project)
        && other
            .labels
            .get("com.docker.compose.service")
            .is_some_and(|s| s == service)
}

/// Where the hook for systemd is written.
pub const SYSTEMD_UNIT: &str = "/etc/systemd/system/dockless.service";

/// The unit's text.
pub fn systemd_unit(executable: &std::path::Path) -> String {
    format!(
        "[Unit]\n\
         Description=Start containers by their restart policies (dockless boot)\n\
         Documentation=man:dockless-boot(8)\n\
         After=network-online.target local-fs.target\n\
         Wants=network-online.target\n\n\
         [Service]\n\
         Type=oneshot\n\
         RemainAfterExit=yes\n\
         ExecStart={} boot\n\
         # Containers and their monitors outlive this unit.\n\
         KillMode=none\n\
         Delegate=yes\n\n\
         [Install]\n\
         WantedBy=multi-user.target\n",
        executable.display()
    )
}

/// Installs the hook: the unit, and the link that `systemctl enable` would make.
pub fn enable(root: &std::path::Path) -> Result<std::path::PathBuf> {
    if !root.join("etc/systemd/system").is_dir() && !root.join("run/systemd/system").is_dir() {
        return Err(Error::invalid(
            "boot enable",
            "this host's init is not systemd; call `dockless boot` from its start-up script (other inits come later)",
        ));
    }
    let executable = std::env::current_exe().map_err(Error::system("find own executable"))?;
    let unit = root.join(SYSTEMD_UNIT.trim_start_matches('/'));
    let wants = root.join("etc/systemd/system/multi-user.target.wants");
    std::fs::create_dir_all(&wants).map_err(Error::file("create", &wants))?;
    ::state::record::write_bytes(
        &unit,
        systemd_unit(&executable).as_bytes(),
        ::state::Durability::Durable,
    )
    .map_err(Error::file("write", &unit))?;
    let mode: std::fs::Permissions = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(&unit, mode).map_err(Error::file("write", &unit))?;
    let link = wants.join("dockless.service");
    let _ = std::fs::remove_file(&link);
    std::os::unix::fs::symlink(SYSTEMD_UNIT, &link).map_err(Error::file("create", &link))?;
    Ok(unit)
}

/// Takes the hook away; `false` when there was none.
pub fn disable(root: &std::path::Path) -> Result<bool> {
    let _ = std::fs::remove_file(
        root.join("etc/systemd/system/multi-user.target.wants/dockless.service"),
    );
    let unit = root.join(SYSTEMD_UNIT.trim_start_matches('/'));
    match std::fs::remove_file(&unit) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(Error::file("remove", &unit)(e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{container, context};
    use model::container::ContainerSpec;
    use model::restart::RestartPolicy;

    fn service(ctx: &Context, name: &str, needs: &str) -> ContainerRecord {
        let label =
            |key: &str, value: &str| (format!("com.docker.compose.{key}"), value.to_owned());
        let spec = ContainerSpec {
            labels: [
                label("project", "shop"),
                label("service", name),
                label("depends_on", needs),
            ]
            .into(),
            ..Default::default()
        };
        container(ctx, name, spec)
    }

    fn names(ordered: &[&ContainerRecord]) -> Vec<String> {
        ordered.iter().map(|c| c.name.clone()).collect()
    }

    #[test]
    fn dependencies_come_before_those_who_need_them() {
        let (_dir, ctx) = context();
        let list = [
            service(
                &ctx,
                "web",
                "api:service_healthy:true,cache:service_started:false",
            ),
            service(&ctx, "api", "db:service_healthy:true"),
            service(&ctx, "cache", ""),
            service(&ctx, "db", ""),
        ];
        assert_eq!(names(&in_order(&list)), ["cache", "db", "api", "web"]);
    }

    #[test]
    fn a_circle_still_starts_everybody() {
        let (_dir, ctx) = context();
        let list = [service(&ctx, "aa", "bb"), service(&ctx, "bb", "aa")];
        assert_eq!(in_order(&list).len(), 2);
    }

    #[test]
    fn the_policies_decide_as_docker_does_after_a_restart_of_the_host() {
        let (_dir, ctx) = context();
        let starts = |condition, last: Option<Lifecycle>| {
            let spec = ContainerSpec {
                restart: RestartPolicy {
                    condition,
                    ..Default::default()
                },
                ..Default::default()
            };
            let web = container(&ctx, "web", spec);
            if let Some(last) = last {
                last.save(&ctx, web.id.as_str(), ::state::Durability::Volatile)
                    .unwrap();
            }
            let wanted = wants_start(&ctx, &web).unwrap();
            crate::container::remove::remove(&ctx, &web, Default::default()).unwrap();
            wanted
        };
        let ended = |exit_code, stopped_by_user, running| {
            Some(Lifecycle {
                exit_code,
                stopped_by_user,
                running,
                ..Default::default()
            })
        };
        use RestartCondition::{Always, No, OnFailure, UnlessStopped};
        assert!(!starts(Always, None), "never started");
        assert!(!starts(No, ended(1, false, true)));
        assert!(starts(Always, ended(0, true, false)));
        assert!(starts(UnlessStopped, ended(0, false, true)));
        assert!(!starts(UnlessStopped, ended(0, true, false)));
        assert!(starts(OnFailure, ended(3, false, false)));
        assert!(!starts(OnFailure, ended(0, false, false)));
        assert!(!starts(OnFailure, ended(3, true, false)));
        assert!(starts(OnFailure, ended(0, false, true)), "cut off");
    }

    #[test]
    fn the_hook_is_installed_and_taken_away_again() {
        let dir = tempfile::tempdir().unwrap();
        assert!(enable(dir.path()).is_err(), "not systemd");
        std::fs::create_dir_all(dir.path().join("etc/systemd/system")).unwrap();
        let unit = enable(dir.path()).unwrap();
        assert!(std::fs::read_to_string(&unit).unwrap().contains(" boot\n"));
        enable(dir.path()).unwrap();
        assert!(disable(dir.path()).unwrap());
        assert!(!disable(dir.path()).unwrap());
    }
}
